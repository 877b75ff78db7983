/* The alert queue on real SQLite files: stored once, claimed once, given back, dead-lettered; and killed claimers. */
#include "base/clock.h"
#include "base/limits.h"
#include "store/alerts.h"
#include "store/store.h"
#include "tap.h"

#include "scratch.h"

#include "base/banned.h"

#define STORM 4000
#define KILLS_STORM 20000 /* more than is done before the kills, on a disk that syncs at once too */

static struct alerts *must_open(const char *path)
{
	struct err err = {0};
	struct alerts *a = alerts_open(path, &err);

	if (!a) {
		printf("Bail out! %s: %s\n", path, err.message);
		exit(1);
	}
	return a;
}

/* Stores one and gives its id; "" when it failed. */
static const char *put(struct alerts *a, const char *id, const char *dedup, int64_t received_at, int64_t rearm_ms,
                       bool *stored)
{
	static char got[ALERT_ID];
	struct err err = {0};
	const struct alert_put p = {.id = id,
	                            .dedup = dedup,
	                            .service = "web",
	                            .source = "test",
	                            .status = "firing",
	                            .received_at = received_at,
	                            .body = "{\"service\":\"web\"}",
	                            .rearm_ms = rearm_ms};

	if (alerts_put(a, &p, stored, got, &err) == 0)
		return got;
	printf("# %s\n", err.message);
	return "";
}

/* The last claim that was handed over, and all ids. */
struct taken {
	char id[ALERT_ID], token[ALERT_TOKEN];
	int64_t attempt, lease_until, received_at;
	struct buf ids;
};

static int on_claim(void *ctx, const struct alert_claim *c, struct err *err)
{
	struct taken *t = ctx;

	(void)snprintf(t->id, sizeof t->id, "%s", c->id);
	(void)snprintf(t->token, sizeof t->token, "%s", c->token);
	t->attempt = c->attempt;
	t->lease_until = c->lease_until;
	t->received_at = c->received_at;
	buf_printf(&t->ids, "%s ", c->id);
	return strcmp(c->body, "{\"service\":\"web\"}") == 0 ? 0 : err_set(err, ERR_INPUT, "body %s", c->body);
}

/* How many were claimed, -1 on failure. */
static int64_t claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, struct taken *t)
{
	struct err err = {0};
	int64_t count = 0, now = 0;

	t->ids = (struct buf)BUF_INIT(100000);
	const int rc = alerts_claim(a, limit, lease_ms, service, on_claim, t, &count, &now, &err);
	if (rc < 0)
		printf("# %s\n", err.message);
	if (rc == 0 && count > 0 && t->lease_until != now + lease_ms)
		return -2;
	return rc < 0 ? -1 : count;
}

static bool finish(struct alerts *a, const struct taken *t)
{
	struct err err = {0};
	bool held = false;

	if (alerts_finish(a, t->id, t->token, "done", &held, &err) < 0)
		printf("# %s\n", err.message);
	return held;
}

/* 'd' dead, 'b' back in the queue, 'l' lost the lease, 'x' failed. */
static char give_back(struct alerts *a, const struct taken *t, int64_t delay_ms, bool final, const char *error)
{
	struct err err = {0};
	bool held = false, dead = false;

	if (alerts_give_back(a, t->id, t->token, delay_ms, final, error, &held, &dead, &err) < 0)
		return 'x';
	return !held ? 'l' : dead ? 'd' : 'b';
}

static int print_row(void *ctx, const struct alert_row *r, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s:%s:%lld:%s ", r->id, r->state, (long long)r->attempts, r->result ? r->result : "-");
	return 0;
}

static const char *rows(struct alerts *a, const char *state)
{
	static char text[1000];
	struct buf b = BUF_INIT(sizeof text - 1);
	struct err err = {0};

	if (alerts_each(a, state, print_row, &b, &err) < 0)
		buf_puts(&b, err.message);
	(void)snprintf(text, sizeof text, "%s", b.p ? b.p : "");
	buf_release(&b);
	return text;
}

/* --- put --- */

static void test_dedup(void)
{
	const char *path = scratch_path("dedup.db");
	struct alerts *a = must_open(path);
	struct err err = {0};
	bool stored = false;
	const int64_t now = alerts_now(a);
	char id[ALERT_ID];

	IS_STR(put(a, "a1", "same", now, 0, &stored), "a1", "an alert is stored under its id");
	OK(stored, "as a new one");
	for (int i = 0; i < 4; i++)
		(void)put(a, "a2", "same", now + i, 0, &stored);
	IS_STR(put(a, "a3", "same", now, 0, &stored), "a1", "five repetitions give the id of the first");
	OK(!stored, "and are not new");
	IS(scratch_sql(path, "SELECT seen FROM alert"), 6, "it was seen 6 times");
	IS_STR(put(a, "b1", "other", now, 0, &stored), "b1", "another dedup key is another alert");
	const struct alert_put taken = {.id = "b1", .dedup = "third", .service = "web", .body = "{}", .received_at = now};
	OK(alerts_put(a, &taken, &stored, id, &err) < 0 && err.code == ERR_CONFLICT, "an id in use is a CONFLICT (%s)",
	   err.message);
	const struct alert_put empty = {.id = "c1", .service = "web", .body = "{}"};
	OK(alerts_put(a, &empty, &stored, id, &err) < 0 && err.code == ERR_MISSING, "a dedup key is needed");
	alerts_close(a);
}

static void test_rearm(void)
{
	const char *path = scratch_path("rearm.db");
	struct alerts *a = must_open(path);
	bool stored = false;
	const int64_t t = alerts_now(a) - 1000000;

	(void)put(a, "a1", "k", t, 60000, &stored);
	IS_STR(put(a, "a2", "k", t + 59999, 60000, &stored), "a1", "within the rearm time it is the same alert");
	IS_STR(put(a, "a3", "k", t + 60000, 60000, &stored), "a3", "after it, a new one");
	OK(stored, "that is stored");
	IS_STR(put(a, "a4", "k", t + 119999, 60000, &stored), "a3", "the time counts from the last one stored");
	IS_STR(put(a, "a5", "k", t + 120000, 60000, &stored), "a5", "and so on");
	IS_STR(put(a, "a6", "k", t + 500000, 0, &stored), "a5", "without rearm it is the same for ever");
	IS_STR(put(a, "a7", "k", t + 1, 60000, &stored), "a5", "a late delivery is no new alert");
	IS(scratch_sql(path, "SELECT COUNT(*) FROM alert"), 3, "3 alerts");
	alerts_close(a);
}

static int put_all(int number, const char *path)
{
	struct alerts *a = must_open(path);
	int fresh = 0;

	for (int i = 0; i < 40; i++) {
		char id[32], dedup[32];
		bool stored = false;
		(void)snprintf(id, sizeof id, "a-%d-%d", number, i);
		(void)snprintf(dedup, sizeof dedup, "d-%d", i);
		(void)put(a, id, dedup, alerts_now(a), 0, &stored);
		fresh += stored;
	}
	alerts_close(a);
	return fresh;
}

static void test_putters(void)
{
	const char *path = scratch_path("putters.db");

	IS(scratch_run(SCRATCH_WORKERS, put_all, path), 40, "8 processes store the same 40 alerts: each is new once");
	IS(scratch_sql(path, "SELECT SUM(seen) FROM alert"), 320, "and every delivery was counted");
}

/* --- claims --- */

static void test_claims(void)
{
	struct alerts *a = must_open(scratch_path("claims.db"));
	struct err err = {0};
	struct taken t = {0};
	bool stored, held;
	int64_t due = 0;

	IS(claim(a, 10, 60000, NULL, &t), 0, "an empty queue gives nothing");
	OK(alerts_next_due(a, &due, &err) == 0 && due == INT64_MAX, "and none will get due");
	const int64_t now = alerts_now(a);
	(void)put(a, "c", "3", now - 10, 0, &stored);
	(void)put(a, "a", "1", now - 30, 0, &stored);
	(void)put(a, "b", "2", now - 20, 0, &stored);
	(void)put(a, "later", "4", now + 3600000, 0, &stored);
	OK(alerts_next_due(a, &due, &err) == 0 && due == now - 30, "the oldest is due first");
	IS(claim(a, 2, 60000, NULL, &t), 2, "a limit of 2 claims 2");
	IS_STR(t.ids.p, "a b ", "the oldest first");
	OK(t.attempt == 1 && t.received_at == now - 20, "as their first attempt");
	struct taken b = t;
	buf_release(&t.ids);
	IS(claim(a, 10, 60000, "db", &t), 0, "none for another service");
	buf_release(&t.ids);
	IS(claim(a, 10, 60000, "web", &t), 1, "the next claim gets what is left for the service");
	IS_STR(t.ids.p, "c ", "not what is leased, nor what is not due");
	OK(strcmp(t.token, b.token) != 0, "under another token");
	OK(finish(a, &b), "who holds the lease finishes");
	OK(!finish(a, &b), "once");
	OK(alerts_finish(a, "c", b.token, "done", &held, &err) == 0 && !held, "another's token finishes nothing");
	IS_STR(rows(a, "done"), "b:done:1:done ", "one is done");
	IS_STR(rows(a, NULL), "a:claimed:1:- b:done:1:done c:claimed:1:- later:new:0:- ", "all are listed, oldest first");
	OK(alerts_begin(a, &err) == 0, "a batch begins");
	OK(alerts_claim(a, 1, 1000, NULL, on_claim, &t, &due, &due, &err) < 0 && err.code == ERR_USAGE,
	   "inside it nothing can be claimed");
	OK(finish(a, &t), "but finished");
	alerts_rollback(a);
	IS_STR(rows(a, "done"), "b:done:1:done ", "a rollback undoes it");
	buf_release(&t.ids);
	alerts_close(a);
}

static void test_give_back(void)
{
	const char *path = scratch_path("back.db");
	struct alerts *a = must_open(path);
	struct err err = {0};
	struct taken t = {0};
	bool stored, there;
	int64_t due = 0;

	(void)put(a, "a", "1", alerts_now(a), 0, &stored);
	for (int i = 0; i < 20; i++) {
		const int64_t n = claim(a, 1, 60000, NULL, &t);
		buf_release(&t.ids);
		if (n != 1 || t.attempt != 1 || give_back(a, &t, 0, false, "lost a race") != 'b')
			OK(false, "a lost race %d", i);
	}
	IS_STR(rows(a, NULL), "a:new:0:lost a race ", "lost races give it back at once, with no attempt counted");

	/* bounds of the backoff: 5, 10, 20, 40 s, each +-20 % */
	for (int64_t attempt = 1, base = 5000; attempt <= 4; attempt++, base *= 2) {
		(void)claim(a, 1, 60000, NULL, &t);
		buf_release(&t.ids);
		const int64_t before = alerts_now(a);
		const char got = give_back(a, &t, -1, false, "host is down");
		const int64_t after = alerts_now(a);
		(void)alerts_next_due(a, &due, &err);
		OK(got == 'b' && t.attempt == attempt && due >= before + base * 8 / 10 && due <= after + base * 12 / 10,
		   "attempt %lld: again in %lld ms", (long long)attempt, (long long)(due - before));
		(void)scratch_sql(path, "UPDATE alert SET due = 0");
	}
	(void)claim(a, 1, 60000, NULL, &t);
	buf_release(&t.ids);
	IS(give_back(a, &t, -1, false, "host is down still"), 'd', "the fifth failure is the last");
	IS_STR(rows(a, "dead"), "a:dead:5:host is down still ", "it is dead, with its last error");
	IS(claim(a, 1, 60000, NULL, &t), 0, "and in no claim");
	IS(give_back(a, &t, -1, false, "x"), 'l', "nor given back by its last holder");
	OK(alerts_requeue(a, "a", &there, &err) == 0 && there, "it is requeued by hand");
	IS_STR(rows(a, NULL), "a:new:0:- ", "as new");
	OK(alerts_requeue(a, "zzz", &there, &err) == 0 && !there, "an unknown one is not there");
	(void)claim(a, 1, 60000, NULL, &t);
	buf_release(&t.ids);
	OK(t.attempt == 1, "it starts at attempt 1");
	OK(alerts_requeue(a, "a", &there, &err) == 0 && there && finish(a, &t), "a claimed one is left to its holder");
	OK(alerts_requeue(a, "a", &there, &err) == 0 && claim(a, 1, 60000, NULL, &t) == 1, "a done one can run again");
	buf_release(&t.ids);
	IS(give_back(a, &t, 30000, false, "wait"), 'b', "given back with a delay");
	(void)alerts_next_due(a, &due, &err);
	OK(due >= alerts_now(a) + 25000 && due <= alerts_now(a) + 30000, "it is due after that");
	(void)scratch_sql(path, "UPDATE alert SET due = 0");
	(void)claim(a, 1, 60000, NULL, &t);
	buf_release(&t.ids);
	IS(give_back(a, &t, -1, true, "never"), 'd', "a final failure is dead at once");
	alerts_close(a);
}

static void test_dead_leases(void)
{
	const char *path = scratch_path("dead.db");
	struct alerts *a = must_open(path);
	struct taken t = {0};
	bool stored;

	for (int i = 0; i < 6; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, alerts_now(a), 0, &stored);
	}
	/* a0 to a3 were claimed five times and never finished */
	(void)scratch_sql(path, "UPDATE alert SET state = 'claimed', attempts = 5, due = 1 WHERE alert_id < 'a4'");
	IS(claim(a, 2, 60000, NULL, &t), 2, "behind 4 alerts with used up leases 2 are claimed");
	IS_STR(t.ids.p, "a4 a5 ", "the right ones");
	buf_release(&t.ids);
	IS(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE state = 'dead' AND due IS NULL"
	                     " AND result = 'lease ran out 5 times'"),
	   4, "the 4 are dead and say why");
	alerts_close(a);
}

static int refuse_second(void *ctx, const struct alert_claim *c, struct err *err)
{
	(void)c;
	return ++*(int *)ctx < 2 ? 0 : err_set(err, ERR_OUTPUT, "closed");
}

static void test_reader_leaves(void)
{
	struct alerts *a = must_open(scratch_path("leaves.db"));
	struct err err = {0};
	int64_t count = 0, now = 0;
	int calls = 0;
	bool stored;

	for (int i = 0; i < 5; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, alerts_now(a), 0, &stored);
	}
	OK(alerts_claim(a, 5, 60000, NULL, refuse_second, &calls, &count, &now, &err) < 0 && err.code == ERR_OUTPUT,
	   "an output that closes ends the claim with its error");
	OK(count == 1 && calls == 2, "one was handed over");
	IS_STR(rows(a, "claimed"), "a0:claimed:1:- a1:claimed:1:- a2:claimed:1:- a3:claimed:1:- a4:claimed:1:- ",
	       "the rest comes back when its lease runs out");
	alerts_close(a);
}

static void test_large_bodies(void)
{
	struct alerts *a = must_open(scratch_path("large.db"));
	struct err err = {0};
	static char body[1000001];
	char id[ALERT_ID];
	int64_t count = 0, now = 0;
	int calls = -1000;
	bool stored;

	memset(body, ' ', sizeof body - 1);
	(void)alerts_begin(a, &err);
	for (int i = 0; i < 20; i++) {
		char name[8];
		(void)snprintf(name, sizeof name, "a%d", i);
		const struct alert_put p = {.id = name, .dedup = name, .service = "web", .body = body, .received_at = 1};
		if (alerts_put(a, &p, &stored, id, &err) < 0)
			printf("# %s\n", err.message);
	}
	OK(alerts_commit(a, &err) == 0, "20 alerts of 1 MB are stored");
	OK(alerts_claim(a, 20, 60000, NULL, refuse_second, &calls, &count, &now, &err) == 0 && count == 16,
	   "one claim takes 16 MiB of them");
	OK(alerts_claim(a, 20, 60000, NULL, refuse_second, &calls, &count, &now, &err) == 0 && count == 4,
	   "the next the rest");
	alerts_close(a);
}

/* --- many at once --- */

static void fill(const char *path, int n)
{
	struct alerts *a = must_open(path);
	struct err err = {0};
	bool stored;

	(void)alerts_begin(a, &err);
	for (int i = 0; i < n; i++) {
		char id[32];
		(void)snprintf(id, sizeof id, "alert-%06d", i);
		(void)put(a, id, id, alerts_now(a), 0, &stored);
	}
	if (alerts_commit(a, &err) < 0)
		printf("# %s\n", err.message);
	alerts_close(a);
}

struct batch {
	struct taken t[100];
	size_t n;
};

static int on_batch(void *ctx, const struct alert_claim *c, struct err *err)
{
	struct batch *b = ctx;

	if (b->n == 100)
		return err_set(err, ERR_LIMIT, "more than asked for");
	struct taken *t = &b->t[b->n++];
	(void)snprintf(t->id, sizeof t->id, "%s", c->id);
	(void)snprintf(t->token, sizeof t->token, "%s", c->token);
	return 0;
}

/* Claims by `size`, notes each in the file NOTES (one write, so whole even when killed), finishes the batch in one
 * transaction. Ends when nothing is left open. */
static int drain(const char *path, const char *notes, int64_t size, int64_t lease_ms)
{
	struct alerts *a = must_open(path);
	struct err err = {0};
	const int fd = open(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int64_t due = 0;
	int status = 0;

	while (status == 0 && alerts_next_due(a, &due, &err) == 0 && due != INT64_MAX) {
		static struct batch b;
		int64_t count = 0, now = 0;
		bool held = false;
		b.n = 0;
		if (alerts_claim(a, size, lease_ms, NULL, on_batch, &b, &count, &now, &err) < 0) {
			status = 1;
			break;
		}
		if (count == 0) {
			clock_sleep_ms(5);
			continue;
		}
		if (alerts_begin(a, &err) < 0)
			status = 1;
		struct buf text = BUF_INIT(10000);
		for (size_t i = 0; i < b.n && status == 0; i++) {
			if (alerts_finish(a, b.t[i].id, b.t[i].token, "done", &held, &err) < 0)
				status = 1;
			if (held)
				buf_printf(&text, "%s\n", b.t[i].id);
		}
		if (status == 0 && alerts_commit(a, &err) < 0)
			status = 1;
		if (status == 0 && text.n > 0 && write(fd, text.p, text.n) != (ssize_t)text.n)
			status = 1;
		buf_release(&text);
	}
	if (status)
		fprintf(stderr, "# %s\n", err.message);
	(void)close(fd);
	alerts_close(a);
	return status;
}

static int drain_by_1(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 1, 60000);
}

static int drain_by_10(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 10, 60000);
}

static int drain_by_100(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 100, 60000);
}

/* Lines of the file, and how many of them are there twice. */
static int count_notes(int *twice)
{
	static bool seen[KILLS_STORM];
	int lines = 0, n;
	FILE *f = fopen(scratch_path("notes"), "re");

	memset(seen, 0, sizeof seen);
	*twice = 0;
	while (f && fscanf(f, "alert-%d\n", &n) == 1 && n >= 0 && n < KILLS_STORM) {
		lines++;
		*twice += seen[n];
		seen[n] = true;
	}
	if (f)
		(void)fclose(f);
	(void)unlink(scratch_path("notes"));
	return lines;
}

static void test_storm(void)
{
	static const struct {
		int size;
		scratch_worker fn;
	} cases[] = {{1, drain_by_1}, {10, drain_by_10}, {100, drain_by_100}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char path[300];
		int twice = 0;
		(void)snprintf(path, sizeof path, "%s/storm-%d.db", scratch, cases[i].size);
		fill(path, STORM);
		const int64_t start = clock_monotonic_ms();
		const int sum = scratch_run(SCRATCH_WORKERS, cases[i].fn, path);
		const int64_t took = clock_monotonic_ms() - start;
		const int lines = count_notes(&twice);
		OK(sum == 0 && lines == STORM && twice == 0, "8 processes by %d: %d of %d alerts finished, %d twice (%lld/s)",
		   cases[i].size, lines, STORM, twice, (long long)(STORM * 1000 / (took + 1)));
		IS(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE state = 'done' AND attempts = 1"), STORM,
		   "each was claimed exactly once");
	}
}

/* Claims with a short lease and dies holding it. */
static int hold_and_die(int number, const char *path)
{
	struct alerts *a = must_open(path);
	struct taken t = {0};
	(void)number;

	(void)claim(a, 1, 300, NULL, &t);
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static void test_killed_holder(void)
{
	const char *path = scratch_path("killed.db");
	struct alerts *a;
	struct taken t = {0};
	int64_t n = 0;

	fill(path, 1);
	const int64_t start = clock_monotonic_ms();
	IS(scratch_run(1, hold_and_die, path), -1, "a holder is killed");
	a = must_open(path);
	IS(claim(a, 1, 60000, NULL, &t), 0, "its lease still holds");
	while (n == 0 && clock_monotonic_ms() < start + 5000) {
		buf_release(&t.ids);
		n = claim(a, 1, 100, NULL, &t);
		clock_sleep_ms(5);
	}
	OK(n == 1 && t.attempt == 2, "then the alert is retaken as attempt 2");
	OK(clock_monotonic_ms() >= start + 300, "not before the lease ran out");
	const struct taken lost = t;
	for (n = 0; n == 0 && clock_monotonic_ms() < start + 5000; clock_sleep_ms(5)) {
		buf_release(&t.ids);
		n = claim(a, 1, 60000, NULL, &t);
	}
	OK(n == 1 && !finish(a, &lost), "who lost the lease finishes nothing");
	IS(give_back(a, &lost, -1, true, "x"), 'l', "and gives nothing back");
	IS_STR(rows(a, "claimed"), "alert-000000:claimed:3:- ", "nothing was changed");
	OK(finish(a, &t), "the new holder finishes");
	buf_release(&t.ids);
	alerts_close(a);
}

static int drain_short(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 7, 400);
}

static void test_killed_claimers(void)
{
	const char *path = scratch_path("kills.db");
	const int n = KILLS_STORM;
	pid_t pid[4];
	int kills = 0, twice = 0;

	fill(path, n);
	srand(2);
	for (int i = 0; i < 4; i++)
		pid[i] = scratch_fork(drain_short, i, path, -1);
	while (kills < 60 && scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE due IS NOT NULL") > 0) {
		clock_sleep_ms(rand() % 6);
		(void)kill(pid[kills % 4], SIGKILL);
		(void)waitpid(pid[kills % 4], NULL, 0);
		pid[kills % 4] = scratch_fork(drain_short, kills, path, -1);
		kills++;
	}
	for (int i = 0; i < 4; i++)
		(void)waitpid(pid[i], NULL, 0);
	const int lines = count_notes(&twice);
	OK(kills > 10 && twice == 0, "4 claimers are killed %d times: no alert is finished twice (%d noted)", kills, lines);
	IS(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE state = 'done'"), n, "none is lost");
	OK(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE attempts > 1") > 0, "%lld had to be taken again",
	   scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE attempts > 1"));
}

/* --- batches and the shared file --- */

static void test_batch_is_one_write(void)
{
	const char *path = scratch_path("batch.db");
	struct alerts *a;
	struct err err = {0};
	static struct batch b;
	int64_t count = 0, now = 0;
	bool held = false;
	int all_held = 0;
	struct stat st = {0};

	fill(path, 300);
	a = must_open(path);
	for (int round = 0; round < 3; round++) {
		b.n = 0;
		(void)alerts_claim(a, 100, 60000, NULL, on_batch, &b, &count, &now, &err);
		(void)alerts_begin(a, &err);
		for (size_t i = 0; i < b.n; i++) {
			(void)alerts_finish(a, b.t[i].id, b.t[i].token, NULL, &held, &err);
			all_held += held;
		}
		(void)alerts_commit(a, &err);
	}
	IS(all_held, 300, "300 alerts are finished in 3 batches");
	/* The log grows by each transaction's changed pages: 6 transactions of at most some 60 pages, where one by one
	 * 300 finishes of at least 4 pages each would be over 4 MB. */
	(void)stat(scratch_path("batch.db-wal"), &st);
	OK(st.st_size > 0 && st.st_size < 2000000, "in few writes: the log has %lld bytes", (long long)st.st_size);
	alerts_close(a);
}

static void test_shared_file(void)
{
	const char *path = scratch_path("shared.db");
	struct err err = {0};
	struct store *s = store_open(path, &err);
	struct alerts *a = must_open(path);
	struct service_past past;
	bool stored = false;

	(void)put(a, "a", "1", 1, 0, &stored);
	OK(s && stored && store_past(s, "web", &past, &err) == 0, "one file serves the store and the alerts");
	alerts_close(a);
	store_close(s);
	a = alerts_open("mongodb://u:secret@db/as", &err);
	OK(!a && err.code == ERR_CONFIG && strstr(err.message, "mongodb") && !strstr(err.message, "secret"),
	   "an unknown kind of alert store is refused without its password");
	alerts_close(a);
}

int main(void)
{
	scratch_make();
	test_dedup();
	test_rearm();
	test_putters();
	test_claims();
	test_give_back();
	test_dead_leases();
	test_reader_leaves();
	test_large_bodies();
	test_storm();
	test_killed_holder();
	test_killed_claimers();
	test_batch_is_one_write();
	test_shared_file();
	scratch_remove();
	return DONE();
}
