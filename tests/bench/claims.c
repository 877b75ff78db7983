/* How fast alerts are claimed and finished, as a ratio to one keyed update of the same store in the same run.
 *
 *     build/bench/claims URL ALERTS PROCESSES BATCH
 *
 * Prints {"batch","processes","alerts","finished","floor","rate","ratio"}: floor and rate per second; the floor is
 * taken before and after, and is 0 for a store that is not SQL (mongo_floor measures it). The store is empty at the
 * start. */
#include "base/clock.h"
#include "store/alerts.h"
#include "store/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define FLOOR_MS 1500

static const char *url;
static int alerts, processes, batch;
static int64_t *shared; /* one counter a process */

static void die(const struct err *err)
{
	(void)fprintf(stderr, "claims: %s\n", err->message);
	_exit(1);
}

static void id_of(int i, char out[32]) { (void)snprintf(out, 32, "bench-%08d", i); }

static void fill(void)
{
	struct err err = {0};
	struct alerts *a = alerts_open(url, &err);
	char id[32], got[ALERT_ID];
	bool stored;

	if (!a)
		die(&err);
	for (int i = 0; i < alerts; i++) {
		id_of(i, id);
		const struct alert_put p = {.id = id,
		                            .dedup = id,
		                            .service = "web",
		                            .source = "bench",
		                            .status = "firing",
		                            .received_at = 1000 + i,
		                            .body = "{\"service\":\"web\",\"action\":\"scale-up\"}"};
		if ((i % 1000 == 0 && alerts_begin(a, &err) < 0) || alerts_put(a, &p, &stored, got, &err) < 0 ||
		    ((i % 1000 == 999 || i == alerts - 1) && alerts_commit(a, &err) < 0))
			die(&err);
	}
	alerts_close(a);
}

/* Keyed updates, each a transaction of its own, for a fixed time. */
static void floor_worker(int n)
{
	struct err err = {0};
	struct sql *db = sql_open(url, &err);
	const int64_t until = clock_monotonic_ms() + FLOOR_MS;
	char id[32];

	if (!db)
		die(&err);
	srand((unsigned)n);
	for (int64_t done = 0; clock_monotonic_ms() < until; shared[n] = ++done) {
		id_of(rand() % alerts, id);
		if (sql_run(db, "UPDATE alert SET seen = seen + 1 WHERE alert_id = ?", SQL_BINDS(sql_text(id)), NULL, NULL,
		            &err) < 0)
			die(&err);
	}
	sql_close(db);
}

struct taken {
	char (*ids)[32];
	char token[ALERT_TOKEN];
	int n;
};

static int on_claim(void *ctx, const struct alert_claim *c, struct err *err)
{
	struct taken *t = ctx;
	(void)err;

	(void)snprintf(t->ids[t->n++], 32, "%s", c->id);
	(void)snprintf(t->token, sizeof t->token, "%s", c->token);
	return 0;
}

static void claim_worker(int n)
{
	struct err err = {0};
	struct alerts *a = alerts_open(url, &err);
	struct taken t = {.ids = calloc((size_t)batch, 32)};

	if (!a || !t.ids)
		die(&err);
	for (int empty = 0; empty < 20;) {
		int64_t count = 0, now;
		bool held;
		t.n = 0;
		if (alerts_claim(a, batch, 60000, NULL, on_claim, &t, &count, &now, &err) < 0)
			die(&err);
		if (count == 0) { /* others may hold what is left only for this moment */
			struct alert_counts left;
			if (alerts_count(a, &left, &err) < 0)
				die(&err);
			empty = left.waiting ? 0 : 20;
			continue;
		}
		if (batch > 1 && alerts_begin(a, &err) < 0)
			die(&err);
		for (int i = 0; i < t.n; i++) {
			if (alerts_finish(a, t.ids[i], t.token, "done", &held, &err) < 0)
				die(&err);
			shared[n] += held;
		}
		if (batch > 1 && alerts_commit(a, &err) < 0)
			die(&err);
	}
	alerts_close(a);
}

/* Runs all processes at once; how much they did, and in how many ms. */
static int64_t run(void (*worker)(int), int64_t *ms)
{
	int64_t sum = 0;
	const int64_t start = clock_monotonic_ms();

	memset(shared, 0, sizeof *shared * (size_t)processes);
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			worker(i);
			_exit(0);
		}
	for (int i = 0; i < processes; i++) {
		int status;
		if (wait(&status) < 0 || status != 0)
			exit(1);
	}
	*ms = clock_monotonic_ms() - start;
	for (int i = 0; i < processes; i++)
		sum += shared[i];
	return sum;
}

static double run_rate(void (*worker)(int), int64_t *n)
{
	int64_t ms;

	*n = run(worker, &ms);
	return (double)*n * 1000 / (double)(ms ? ms : 1);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		(void)fprintf(stderr, "usage: claims URL ALERTS PROCESSES BATCH\n");
		return 64;
	}
	url = argv[1];
	alerts = (int)strtol(argv[2], NULL, 10);
	processes = (int)strtol(argv[3], NULL, 10);
	batch = (int)strtol(argv[4], NULL, 10);
	shared = mmap(NULL, sizeof *shared * (size_t)processes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || alerts < 1 || processes < 1 || batch < 1)
		return 64;
	fill();
	const bool sql = sql_serves(url);
	int64_t finished, updates;
	double base = sql ? run_rate(floor_worker, &updates) : 0;
	const double claims = run_rate(claim_worker, &finished);
	if (sql)
		base = (base + run_rate(floor_worker, &updates)) / 2;
	printf(
		"{\"batch\":%d,\"processes\":%d,\"alerts\":%d,\"finished\":%lld,\"floor\":%.0f,\"rate\":%.0f,\"ratio\":%.3f}\n",
		batch, processes, alerts, (long long)finished, base, claims, base > 0 ? claims / base : 0);
	return finished == alerts ? 0 : 1;
}
