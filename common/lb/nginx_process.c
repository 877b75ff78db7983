/* nginx's processes: the master, which takes a signal, and its workers, whose titles say whether they still accept
 * connections ("nginx: worker process is shutting down" does not). Of an nginx in a container they are asked for inside
 * of it. */
#include "lb/nginx.h"

#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/banned.h"

#define TEST_MS 10000
#define ENDING "is shutting down"
#define WORKER "nginx: worker process"
#define MASTER "nginx: master process"
#define TITLE 160
#define OUTPUT_MAX (256u * 1024u)

static const char *const programs[] = {"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx",
                                       "/usr/local/nginx/sbin/nginx", NULL};

/* ---- the test ---- */

/* "nginx: [emerg] 12#12: unknown directive ... in FILE:1", of the first such line; else the first line. */
static void first_fault(const char *text, char *said, size_t size)
{
	const char *line = strstr(text, "[emerg]");

	if (line)
		line += strlen("[emerg] ") + strspn(line + strlen("[emerg] "), "0123456789#:");
	else
		line = text;
	line += strspn(line, " ");
	(void)snprintf(said, size, "%.*s", (int)strcspn(line, "\n"), line);
	for (char *c = said; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
}

static int test_inside(struct lb *lb, const char *const *argv, char *said, size_t size, struct err *err)
{
	struct buf out = BUF_INIT(OUTPUT_MAX);
	int status = 0;

	if (!lb->means->exec)
		return 0; /* what nginx does not take is seen by its generation */
	const int rc = lb->means->exec(lb->means->ctx, lb->conf, argv, &out, &status, err);
	if (rc == 0)
		first_fault(out.p ? out.p : "", said, size);
	buf_release(&out);
	return rc < 0 ? -1 : status != 0;
}

/* ---- processes ---- */

static bool read_text(char *out, size_t size, const char *fmt, int pid)
{
	struct buf text = BUF_INIT(64u * 1024u);
	char path[64];
	struct stat st;
	struct err ignored;

	(void)snprintf(path, sizeof path, "/proc/%d/%s", pid, fmt);
	const bool good = lb_file_read(path, &text, &st, &ignored) == 0 && text.p;
	if (good)
		(void)snprintf(out, size, "%s", text.p);
	buf_release(&text);
	return good;
}

/* Fields 4 and 22 of proc(5), stat: the parent and the tick at which it began. False: no such process. */
static bool stat_of(int pid, int *parent, unsigned long long *start)
{
	char text[1024];

	if (!read_text(text, sizeof text, "stat", pid))
		return false;
	const char *p = strrchr(text, ')');
	return p && p[1] && p[2] != 'Z' &&
	       sscanf(p + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", parent,
	              start) == 2;
}

static int master_pid(struct lb *lb, pid_t *pid, struct err *err)
{
	struct nginx_operator is = {.pid = ""};
	struct buf text = BUF_INIT(4096);
	const char *path = lb->conf->pid;
	char title[TITLE], *end = NULL;
	struct stat st;

	if (!path) {
		nginx_look(lb, &is);
		path = *is.pid ? is.pid : "/run/nginx.pid";
	}
	const int rc = lb_file_read(path, &text, &st, err);
	const long n = rc == 0 && text.p ? strtol(text.p, &end, 10) : 0;
	buf_release(&text);
	if (rc < 0)
		return err_set(
			err, err->code == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err->code,
			"lb %s: nginx's pid file %s cannot be read: is nginx running, and is `pid` of [lb \"%s\"] right?",
			lb->conf->name, path, lb->conf->name);
	if (n < 2 || n > INT32_MAX || !read_text(title, sizeof title, "cmdline", (int)n) ||
	    strncmp(title, MASTER, strlen(MASTER)) != 0)
		return err_set(err, ERR_UNAVAILABLE,
		               "lb %s: process %ld of %s is no master process of nginx: is nginx running?", lb->conf->name, n,
		               path);
	*pid = (pid_t)n;
	return 0;
}

/* The options -c and -p of the master, whose title is "nginx: master process nginx -p DIR/ -c FILE". */
static void started_with(struct lb *lb, char file[PATH_MAX], char prefix[PATH_MAX])
{
	char title[PATH_MAX], *rest = NULL;
	struct err ignored;
	pid_t pid;

	if (master_pid(lb, &pid, &ignored) < 0 || !read_text(title, sizeof title, "cmdline", pid))
		return;
	for (const char *w = strtok_r(title, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
		char *const to = strcmp(w, "-c") == 0 ? file : strcmp(w, "-p") == 0 ? prefix : NULL;
		if (to && (w = strtok_r(NULL, " ", &rest)) && *w == '/')
			(void)snprintf(to, PATH_MAX, "%s", w);
		if (!w)
			return;
	}
}

int nginx_test(struct lb *lb, char *said, size_t size, struct err *err)
{
	const char *argv[10] = {"nginx", "-t", "-q"};
	char text[2048], file[PATH_MAX] = "", prefix[PATH_MAX] = "";
	size_t n = 3;

	*said = '\0';
	if (lb->main)
		(void)snprintf(file, sizeof file, "%s", lb->main);
	if (!lb->conf->container)
		started_with(lb, *file ? NULL : file, prefix);
	if (*file) {
		argv[n++] = "-c";
		argv[n++] = file;
	}
	if (*prefix) {
		argv[n++] = "-p";
		argv[n++] = prefix;
	}
	if (lb->conf->container)
		return test_inside(lb, argv, said, size, err);
	const int rc = lb_file_run(lb->means->tasks, programs, argv, TEST_MS, text, sizeof text, err);
	if (rc < 0)
		return err_prefix(err, "lb %s", lb->conf->name);
	first_fault(text, said, size);
	return rc != 0;
}

int nginx_hup(struct lb *lb, struct err *err)
{
	pid_t pid;

	if (lb->conf->container) {
		if (!lb->means->signal)
			return err_set(err, ERR_CONFIG,
			               "lb %s: nginx runs in a container, to which no signal can be sent from here",
			               lb->conf->name);
		return lb->means->signal(lb->means->ctx, lb->conf, "HUP", err);
	}
	if (master_pid(lb, &pid, err) < 0)
		return -1;
	if (kill(pid, SIGHUP) < 0)
		return err_set(err, errno == EPERM ? ERR_DENIED : ERR_UNAVAILABLE,
		               "lb %s: cannot send HUP to nginx's master process %d: %s", lb->conf->name, (int)pid,
		               strerror(errno));
	return 0;
}

int nginx_may_signal(struct lb *lb, struct err *err)
{
	pid_t pid;

	if (lb->conf->container)
		return 0; /* whoever is let to the engine is */
	if (master_pid(lb, &pid, err) < 0)
		return -1;
	if (kill(pid, 0) == 0)
		return 0;
	return err_set(err, errno == EPERM ? ERR_DENIED : ERR_UNAVAILABLE,
	               "lb %s: no signal can be sent to nginx's master process %d: %s", lb->conf->name, (int)pid,
	               strerror(errno));
}

static void add_worker(struct nginx_workers *out, int pid, unsigned long long start)
{
	struct nginx_worker *more = realloc(out->v, (out->n + 1) * sizeof *more);

	if (!more) {
		out->known = false;
		return;
	}
	out->v = more;
	out->v[out->n++] = (struct nginx_worker){pid, start};
}

/* 2 accepts connections, 1 finishes its last ones, 0 is no worker. */
static int working(const char *title)
{
	if (strncmp(title, WORKER, strlen(WORKER)) != 0)
		return 0;
	return strstr(title, ENDING) ? 1 : 2;
}

static void find_here(struct lb *lb, struct nginx_workers *out, bool ending_only)
{
	const struct dirent *entry;
	char title[TITLE];
	struct err ignored;
	pid_t master;
	int parent;
	unsigned long long start;

	DIR *proc = master_pid(lb, &master, &ignored) == 0 ? opendir("/proc") : NULL;
	if (!proc)
		return;
	out->known = true;
	while ((entry = readdir(proc))) {
		const long pid = strtol(entry->d_name, NULL, 10);
		if (pid <= 1 || !stat_of((int)pid, &parent, &start) || parent != master ||
		    !read_text(title, sizeof title, "cmdline", (int)pid))
			continue;
		const int state = working(title);
		if (state == 1 || (state == 2 && !ending_only))
			add_worker(out, (int)pid, start);
	}
	(void)closedir(proc);
}

/* Calls fn for each process in the container. False: they cannot be seen. The text is the container's: it is believed
 * in nothing but which of its workers live. */
static bool look_inside(struct lb *lb, void (*fn)(void *ctx, int pid, const char *title), void *ctx)
{
	/* "==> /proc/7/cmdline <==", then the title. */
	static const char *const argv[] = {"sh", "-c", "head -c 100 /proc/[0-9]*/cmdline 2>/dev/null; true", NULL};
	struct buf out = BUF_INIT(OUTPUT_MAX);
	struct err ignored;
	int status = 0, seen = 0;

	if (!lb->means->exec || lb->means->exec(lb->means->ctx, lb->conf, argv, &out, &status, &ignored) < 0) {
		buf_release(&out);
		return false;
	}
	for (size_t i = 0; i < out.n; i++)
		if (!out.p[i])
			out.p[i] = '\n';
	for (const char *p = out.p; p && (p = strstr(p, "==> /proc/"));) {
		const int pid = (int)strtol(p + 10, NULL, 10);
		if (!(p = strstr(p, "<==\n")))
			break;
		p += 4;
		seen += strncmp(p, MASTER, strlen(MASTER)) == 0;
		fn(ctx, pid, p);
	}
	buf_release(&out);
	return seen > 0;
}

struct inside {
	struct nginx_workers *w;
	bool only; /* those that end, or that serve */
	int left;
};

static void find_one(void *ctx, int pid, const char *title)
{
	struct inside *in = ctx;
	char line[TITLE];

	(void)snprintf(line, sizeof line, "%.*s", (int)strcspn(title, "\n"), title);
	const int state = working(line);
	if (state == 1 || (state == 2 && !in->only))
		add_worker(in->w, pid, 0);
}

static void count_one(void *ctx, int pid, const char *title)
{
	struct inside *in = ctx;
	char line[TITLE];

	(void)snprintf(line, sizeof line, "%.*s", (int)strcspn(title, "\n"), title);
	const int state = working(line);
	for (size_t i = 0; i < in->w->n; i++)
		if (in->w->v[i].pid == pid)
			in->left += in->only ? state == 2 : state > 0;
}

void nginx_workers_find(struct lb *lb, struct nginx_workers *out, bool ending_only)
{
	struct inside in = {.w = out, .only = ending_only};

	*out = (struct nginx_workers){0};
	if (!lb->conf->container) {
		find_here(lb, out, ending_only);
		return;
	}
	out->known = true;
	out->known = look_inside(lb, find_one, &in) && out->known;
}

int nginx_workers_left(struct lb *lb, struct nginx_workers *w, bool serving)
{
	struct inside in = {.w = w, .only = serving};
	unsigned long long start;
	char title[TITLE];
	int parent;

	if (!w->known)
		return -1;
	if (!w->n)
		return 0;
	if (lb->conf->container)
		return look_inside(lb, count_one, &in) ? in.left : -1;
	for (size_t i = 0; i < w->n; i++) {
		if (!stat_of(w->v[i].pid, &parent, &start) || start != w->v[i].start ||
		    !read_text(title, sizeof title, "cmdline", w->v[i].pid))
			continue;
		in.left += !serving || working(title) == 2;
	}
	return in.left;
}

/* Of ticks since the machine started: field 22 of proc(5), stat, counts with CLOCK_BOOTTIME. */
bool nginx_workers_older(struct lb *lb, const struct stat *than)
{
	struct nginx_workers w;
	struct timespec boot, now;
	bool older = false;
	const long ticks = sysconf(_SC_CLK_TCK);

	if (lb->conf->container || ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &boot) < 0 ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0)
		return false;
	const double age =
		(double)(now.tv_sec - than->st_mtim.tv_sec) + (double)(now.tv_nsec - than->st_mtim.tv_nsec) / 1e9;
	const double then = ((double)boot.tv_sec + (double)boot.tv_nsec / 1e9 - age) * (double)ticks;
	nginx_workers_find(lb, &w, false);
	for (size_t i = 0; i < w.n; i++) {
		struct nginx_workers one = {&w.v[i], 1, true};
		/* A tick is no exact time: some are given away. */
		older = older || ((double)w.v[i].start + 2 < then && nginx_workers_left(lb, &one, true) == 1);
	}
	nginx_workers_release(&w);
	return older;
}

void nginx_workers_release(struct nginx_workers *w)
{
	free(w->v);
	*w = (struct nginx_workers){0};
}
