/* How long it takes until a server that is attached answers through a load balancer, against one request of the same
 * balancer. For tests/bench/balancers.
 *
 * usage: attach CONFIGURATION NAME FRONT-PORT BACKEND APP-PORT RUNS WITH WITHOUT
 *
 * Server 2 of the backend serves; server 3, at 127.0.0.3:APP-PORT, comes and goes RUNS times by the driver, and RUNS
 * times by `as-lb-update`, whose records WITH and WITHOUT it are in those files. Meanwhile one client asks on a new
 * connection each time, without a pause; its median while nothing else happens is what a trivial request takes. Prints
 * {"trivial":US,"driver":{"returns":[US],"first":[US]},"command":{...}}. */
#include "lb/lb.h"
#include "tests/unit/http_app.h"

#include <sys/wait.h>
#include <time.h>

#include "base/banned.h"

#define NEW "as-000000000003"
#define NUMBER 3
#define TRIVIAL 400
#define RUNS_MAX 200
#define GATE 5000
#define APART_MS 1200 /* a change that comes sooner after another may be put off: nginx is reloaded once a second */

static struct seen {
	atomic_long first_us; /* when NUMBER first answered since this was set to 0 */
	atomic_bool stop;
} * seen;

static long now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int by_size(const void *a, const void *b)
{
	const long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static long trivial_us(unsigned front)
{
	long took[TRIVIAL];

	for (int i = 0; i < TRIVIAL; i++) {
		const long from = now_us();
		if (app_get(front, "/x", NULL) != 200)
			exit(2);
		took[i] = now_us() - from;
	}
	qsort(took, TRIVIAL, sizeof *took, by_size);
	return took[TRIVIAL / 2];
}

static void look(unsigned front)
{
	int number;

	while (!atomic_load(&seen->stop))
		if (app_get(front, "/x", &number) == 200 && number == NUMBER && !atomic_load(&seen->first_us))
			atomic_store(&seen->first_us, now_us());
	_exit(0);
}

static int command(const char *record)
{
	const pid_t pid = app_fork();
	int status;

	if (pid == 0) {
		if (!freopen(record, "r", stdin) || !freopen("/dev/null", "w", stdout))
			_exit(126);
		(void)execlp("as-lb-update", "as-lb-update", (char *)NULL);
		_exit(127);
	}
	status = app_reap(pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

struct way {
	const struct lb_driver *driver; /* NULL: by the command */
	struct lb *lb;
	const char *backend, *with, *without;
	unsigned app;
};

static int come(const struct way *w, struct err *err)
{
	struct lb_server s = {.name = NEW, .address = "127.0.0.3", .port = w->app, .weight = 100};
	struct lb_result result;

	return w->driver ? w->driver->attach(w->lb, w->backend, &s, GATE, &result, err) : command(w->with);
}

static int go(const struct way *w, struct err *err)
{
	struct lb_result result;

	return w->driver ? w->driver->detach(w->lb, w->backend, NEW, GATE, &result, err) : command(w->without);
}

static void print(const char *name, const long *v, int n)
{
	printf("\"%s\":[", name);
	for (int i = 0; i < n; i++)
		printf("%s%ld", i ? "," : "", v[i]);
	printf("]");
}

static int measure(const char *name, const struct way *w, unsigned front, int runs)
{
	long returns[RUNS_MAX], first[RUNS_MAX];
	struct err err = {0};

	for (int i = 0; i < runs; i++) {
		if (go(w, &err) < 0)
			break;
		atomic_store(&seen->first_us, 0);
		atomic_store(&seen->stop, false);
		const pid_t pid = app_fork();
		if (pid == 0)
			look(front);
		clock_sleep_ms(APART_MS);
		const long from = now_us();
		if (come(w, &err) < 0)
			break;
		returns[i] = now_us() - from;
		for (int ms = 0; !atomic_load(&seen->first_us) && ms < 10000; ms++)
			clock_sleep_ms(1);
		first[i] = atomic_load(&seen->first_us) - from;
		atomic_store(&seen->stop, true);
		(void)app_reap(pid);
		if (i == runs - 1) {
			printf("\"%s\":{", name);
			print("returns", returns, runs);
			printf(",");
			print("first", first, runs);
			printf("}");
			return 0;
		}
	}
	(void)fprintf(stderr, "%s: %s\n", name, err.message);
	return -1;
}

int main(int argc, char **argv)
{
	static const struct lb_means alone;
	struct conf conf;
	struct err err = {0};

	if (argc != 9)
		return 64;
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const unsigned front = (unsigned)strtoul(argv[3], NULL, 10);
	const int runs = (int)strtol(argv[6], NULL, 10);
	struct way by_command = {.with = argv[7], .without = argv[8]}, way = {.backend = argv[4]};
	way.app = (unsigned)strtoul(argv[5], NULL, 10);
	if (seen == MAP_FAILED || runs < 1 || runs > RUNS_MAX || conf_load(&conf, argv[1], &err) < 0 ||
	    !conf_lb(&conf, argv[2]) || !(way.driver = lb_driver(conf_lb(&conf, argv[2]), &err)) ||
	    !(way.lb = way.driver->open(conf_lb(&conf, argv[2]), &alone, &err))) {
		(void)fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	(void)setenv("AUTOSCALE_CONF", argv[1], 1);
	printf("{\"trivial\":%ld,", trivial_us(front));
	int rc = measure("driver", &way, front, runs);
	printf(",");
	rc = rc < 0 ? rc : measure("command", &by_command, front, runs);
	printf("}\n");
	way.driver->close(way.lb);
	conf_release(&conf);
	return rc < 0;
}
