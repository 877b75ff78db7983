/* HAProxy's master process: the one reload that a new backend or route needs. Source: Management Guide 9.4, "Master
 * CLI". What 2.6 answers to `reload` is nothing, and whether it did well shows in `show proc`; 3.0 says "Success=1". */
#include "lb/haproxy.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define RELOAD_MS 10000
#define STEP_MAX_MS 50
#define OLD_MAX 16 /* workers of before a reload that are asked; there are more only after a storm of them */

struct proc {
	long worker;  /* its pid */
	long reloads; /* that the master began */
	long old[OLD_MAX];
	size_t nold;
};

/* The n-th word of a line as a number, -1 when it is none. */
static long number_at(const char *line, size_t n)
{
	char *end;

	for (; n; n--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	const long v = strtol(line, &end, 10);
	return end == line ? -1 : v;
}

/* "#<PID> <type> <reloads> ..." and sections that begin with "# workers", "# old workers", "# programs". */
static void read_proc(const char *text, struct proc *p)
{
	enum { OTHER, NOW, OLD } section = OTHER;
	size_t reloads = 2;

	*p = (struct proc){.worker = -1};
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		char type[16] = "";
		if (strncmp(line, "#<PID>", 6) == 0) {
			const char *head = strstr(line, "<reloads>");
			for (reloads = 0; head && line < head; line++)
				reloads += *line == '<';
		} else if (*line == '#') {
			section = strncmp(line, "# workers", 9) == 0 ? NOW : strncmp(line, "# old", 5) == 0 ? OLD : OTHER;
		} else if (sscanf(line, "%*d %15s", type) == 1) {
			if (strcmp(type, "master") == 0)
				p->reloads = number_at(line, reloads);
			else if (section == NOW && strcmp(type, "worker") == 0)
				p->worker = number_at(line, 0);
			else if (section == OLD && p->nold < OLD_MAX)
				p->old[p->nold++] = number_at(line, 0);
		}
	}
}

static int show_proc(const struct lb *lb, struct proc *p, struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);

	int rc = haproxy_master(&lb->peer, &answer, err, "show proc");
	if (rc == 0)
		read_proc(answer.p ? answer.p : "", p);
	if (rc == 0 && p->worker < 0)
		rc = err_set(err, ERR_CONFIG, "lb %s: %s is no master socket of HAProxy (`haproxy -W -S PATH`)",
		             lb->peer.conf->name, lb->peer.conf->master);
	buf_release(&answer);
	return rc;
}

int haproxy_has_master(const struct lb *lb, struct err *err)
{
	struct proc p;

	return show_proc(lb, &p, err);
}

static int refused(const struct lb *lb, const char *why, struct err *err)
{
	return err_set(err, ERR_REFUSED, "lb %s: HAProxy did not load its configuration; its old worker serves on (%.*s)",
	               lb->peer.conf->name, (int)strcspn(why, "\n"), why);
}

/* Success=0, a line of dashes and the log. */
static int read_verdict(const struct lb *lb, const char *answer, struct err *err)
{
	if (!strstr(answer, "Success=0"))
		return 0;
	const char *why = strstr(answer, "[ALERT]");
	return refused(lb, why ? why : "its log says why", err);
}

/* Who answers at the Runtime API. */
static long answering(const struct lb *lb)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	struct err ignored;
	long pid = -1;

	if (haproxy_ask(&lb->peer, &answer, &ignored, "show info") == 0) {
		const char *line = strstr(answer.p, "\nPid: ");
		pid = line ? strtol(line + 6, NULL, 10) : -1;
	}
	buf_release(&answer);
	return pid;
}

/* Until the master has a new worker, and that one answers. While the master starts itself anew nobody answers. */
static int await_worker(struct lb *lb, const struct proc *before, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + RELOAD_MS;
	int64_t step = HAPROXY_STEP_MS;
	struct proc p;

	for (;;) {
		if (show_proc(lb, &p, err) == 0) {
			if (p.worker == before->worker && p.reloads > before->reloads)
				return refused(lb, "its log says why", err);
			if (p.worker != before->worker && answering(lb) == p.worker)
				return 0;
		} else if (err->code != ERR_UNAVAILABLE && err->code != ERR_CONFIG) {
			return -1;
		}
		if (clock_monotonic_ms() >= deadline)
			return err_set(err, ERR_UNAVAILABLE, "lb %s: no new worker of HAProxy answers %d s after a reload",
			               lb->peer.conf->name, RELOAD_MS / 1000);
		haproxy_wait_step(lb, &step, STEP_MAX_MS);
	}
}

int haproxy_reload(struct lb *lb, struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	struct proc before;

	if (show_proc(lb, &before, err) < 0)
		return -1;
	int rc = haproxy_master(&lb->peer, &answer, err, "reload");
	if (rc == 0)
		rc = read_verdict(lb, answer.p ? answer.p : "", err);
	buf_release(&answer);
	return rc < 0 ? -1 : await_worker(lb, &before, err);
}

/* ---- workers of before ---- */

static int64_t sessions_in(const struct lb *lb, long pid, const char *backend, const char *name)
{
	struct haproxy_table t;
	struct err ignored;
	int64_t work = 0;

	if (haproxy_stats_of(&lb->peer, pid, backend, &t, &ignored) == 0)
		while (haproxy_row(&t))
			if (strcmp(haproxy_cell(&t, "svname"), name) == 0)
				work = haproxy_number(&t, "scur", 0);
	haproxy_table_release(&t); /* a worker that is gone meanwhile has none */
	return work;
}

int64_t haproxy_busy_before(struct lb *lb, const char *backend, const char *name)
{
	struct err ignored;
	int64_t work = 0;
	struct proc p;

	if (!lb->peer.conf->master || show_proc(lb, &p, &ignored) < 0)
		return 0;
	for (size_t i = 0; i < p.nold; i++)
		work += sessions_in(lb, p.old[i], backend, name);
	return work;
}
