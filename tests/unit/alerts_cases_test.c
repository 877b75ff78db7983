/* What every alert queue does, whatever store it is in. Run it on another one with
 *
 *     AS_TEST_ALERTS=mongodb://127.0.0.1:27017/NAME build/unit/alerts_cases_test
 *
 * where each case puts a name of its own for NAME and finds an empty store there (scratch_store.h). Default: SQLite
 * files. */
#include "alerts_cases.h"

#include "scratch_store.h"

#include "base/banned.h"

#define WORKERS_ALERTS 80 /* for the cases of many processes at once */

static const char *url_of(const char *name) { return scratch_store("AS_TEST_ALERTS", name); }

struct totals {
	int rows, done, once; /* once: claimed exactly once */
	int64_t seen;
};

static int add_row(void *ctx, const struct alert_row *r, struct err *err)
{
	struct totals *t = ctx;
	(void)err;

	t->rows++;
	t->done += strcmp(r->state, "done") == 0;
	t->once += r->attempts == 1;
	t->seen += r->seen;
	return 0;
}

static struct totals total(struct alerts *a)
{
	struct totals t = {0};
	struct err err = {0};

	if (alerts_each(a, NULL, add_row, &t, &err) < 0)
		printf("# %s\n", err.message);
	return t;
}

/* Claims and lets the lease run out. */
static void claim_and_leave(struct alerts *a, struct taken *t)
{
	(void)claim(a, 10, 1, NULL, t);
	clock_sleep_ms(3);
}

/* --- put --- */

static void test_dedup(void)
{
	struct alerts *a = must_open(url_of("dedup"));
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
	IS(total(a).seen, 6, "it was seen 6 times");
	IS_STR(put(a, "b1", "other", now, 0, &stored), "b1", "another dedup key is another alert");
	const struct alert_put taken = {.id = "b1", .dedup = "third", .service = "web", .body = "{}", .received_at = now};
	OK(alerts_put(a, &taken, &stored, id, &err) < 0 && err.code == ERR_CONFLICT, "an id in use is a CONFLICT (%s)",
	   err.message);
	const struct alert_put empty = {.id = "c1", .service = "web", .body = "{}"};
	OK(alerts_put(a, &empty, &stored, id, &err) < 0 && err.code == ERR_MISSING, "a dedup key is needed");
	static char text[200];
	memset(text, 'x', sizeof text - 1);
	const struct alert_put longer = {.id = "c1", .dedup = text, .service = "web", .body = "{}"};
	OK(alerts_put(a, &longer, &stored, id, &err) < 0 && err.code == ERR_INPUT, "one that is too long is refused");
	IS(total(a).rows, 2, "2 alerts are stored");
	alerts_close(a);
}

static void test_rearm(void)
{
	struct alerts *a = must_open(url_of("rearm"));
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
	IS(total(a).rows, 3, "3 alerts");
	alerts_close(a);
}

static int put_all(int number, const char *url)
{
	struct alerts *a = must_open(url);
	int fresh = 0;

	for (int i = 0; i < 20; i++) {
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
	alerts_close(must_open(url_of("putters")));
	IS(scratch_run(SCRATCH_WORKERS, put_all, url_of("putters")), 20,
	   "8 processes store the same 20 alerts: each is new once");
	struct alerts *a = must_open(url_of("putters"));
	IS(total(a).seen, 160, "and every delivery was counted");
	alerts_close(a);
}

/* What ends: the alert of this dedup. */
static const char *put_end(struct alerts *a, const char *id, const char *dedup, const char *voids, bool *stored)
{
	static char got[ALERT_ID];
	struct err err = {0};
	const struct alert_put p = {.id = id,
	                            .dedup = dedup,
	                            .service = "web",
	                            .status = "resolved",
	                            .received_at = 1,
	                            .body = "{\"service\":\"web\"}",
	                            .voids = voids};

	return alerts_put(a, &p, stored, got, &err) == 0 ? got : "";
}

static void test_voids(void)
{
	struct alerts *a = must_open(url_of("voids"));
	struct taken t = {0};
	bool stored;

	(void)put(a, "fire", "f", 1, 0, &stored);
	IS_STR(put_end(a, "over", "r", "f", &stored), "fire", "the end of a waiting alert finishes it");
	OK(!stored, "and is no alert");
	IS_STR(put_end(a, "over2", "r", "f", &stored), "fire", "nor is its repeat");
	IS(total(a).seen, 3, "they are counted as seen there");
	IS_STR(rows(a, NULL), "fire:done:0:resolved ", "it is done, as resolved, and nobody got it");
	IS(claim(a, 9, 60000, NULL, &t), 0, "and nobody will");
	(void)put(a, "fire3", "g", 1, 0, &stored);
	IS(claim(a, 9, 60000, NULL, &t), 1, "one that somebody has");
	IS_STR(put_end(a, "over3", "s", "g", &stored), "over3", "is left alone: its end is an alert");
	OK(stored && finish(a, &t), "and its holder still holds it");
	IS_STR(put_end(a, "over4", "u", "nothing", &stored), "over4", "the end of an unknown alert is an alert");
	buf_release(&t.ids);
	alerts_close(a);
}

/* --- claims --- */

static void test_claims(void)
{
	struct alerts *a = must_open(url_of("claims"));
	struct err err = {0};
	struct taken t = {0};
	bool stored, held;
	int64_t due = 0, count;

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
	b.ids = (struct buf){0};
	IS(claim(a, 10, 60000, "db", &t), 0, "none for another service");
	IS(claim(a, 10, 60000, "web", &t), 1, "the next claim gets what is left for the service");
	IS_STR(t.ids.p, "c ", "not what is leased, nor what is not due");
	OK(strcmp(t.token, b.token) != 0, "under another token");
	OK(finish(a, &b), "who holds the lease finishes");
	OK(!finish(a, &b), "once");
	OK(alerts_finish(a, "c", b.token, "done", &held, &err) == 0 && !held, "another's token finishes nothing");
	IS_STR(rows(a, "done"), "b:done:1:done ", "one is done");
	IS_STR(rows(a, NULL), "a:claimed:1:- b:done:1:done c:claimed:1:- later:new:0:- ", "all are listed, oldest first");
	OK(alerts_begin(a, &err) == 0, "a batch begins");
	OK(alerts_claim(a, 1, 1000, NULL, on_claim, &b, &count, &count, &err) < 0 && err.code == ERR_USAGE,
	   "inside it nothing can be claimed");
	OK(finish(a, &t), "but finished");
	OK(!finish(a, &t), "once");
	alerts_rollback(a);
	IS_STR(rows(a, "done"), "b:done:1:done ", "a rollback undoes it");
	buf_release(&t.ids);
	alerts_close(a);
}

static void test_batch(void)
{
	struct alerts *a = must_open(url_of("batch"));
	struct err err = {0};
	struct taken t = {0}, last = {0};
	bool stored, held, dead;

	for (int i = 0; i < 6; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, i, 0, &stored);
	}
	(void)claim(a, 5, 60000, NULL, &t);
	(void)claim(a, 1, 60000, NULL, &last);
	(void)alerts_begin(a, &err);
	int all = 0;
	for (const char *const *id = (const char *const[]){"a0", "a1", "a2", NULL}; *id; id++) {
		(void)alerts_finish(a, *id, t.token, *id, &held, &err);
		all += held;
	}
	IS(all, 3, "of a batch 3 are finished");
	OK(finish(a, &last), "and one of another claim");
	OK(alerts_give_back(a, "a3", t.token, -1, false, "host is down", &held, &dead, &err) == 0 && held && !dead,
	   "one is given back");
	OK(alerts_give_back(a, "a4", t.token, -1, true, "never", &held, &dead, &err) == 0 && held && dead, "one is dead");
	OK(alerts_finish(a, "a4", t.token, "x", &held, &err) == 0 && !held, "which cannot be finished then");
	OK(alerts_finish(a, "a5", t.token, "x", &held, &err) == 0 && !held, "nor by another's token");
	OK(alerts_commit(a, &err) == 0, "the batch is committed");
	IS_STR(rows(a, NULL),
	       "a0:done:1:a0 a1:done:1:a1 a2:done:1:a2 a3:new:1:host is down a4:dead:1:never a5:done:1:done ",
	       "and all stands as it was said");
	OK(alerts_begin(a, &err) == 0 && !finish(a, &last) && alerts_commit(a, &err) == 0,
	   "another batch finishes nothing");
	buf_release(&t.ids);
	buf_release(&last.ids);
	alerts_close(a);
}

static void test_renew(void)
{
	struct alerts *a = must_open(url_of("renew"));
	struct err err = {0};
	struct taken t = {0}, other = {0};
	bool stored;
	int64_t held = 0, due = 0;

	for (int i = 0; i < 4; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, i, 0, &stored);
	}
	(void)claim(a, 3, 20000, NULL, &t);
	(void)claim(a, 1, 60000, NULL, &other);
	OK(finish(a, &t), "of 3 claimed one is finished");
	const int64_t before = alerts_now(a);
	OK(alerts_renew(a, t.token, 40000, &held, &err) == 0 && held == 2, "the leases of the other 2 are renewed");
	OK(alerts_next_due(a, &due, &err) == 0 && due >= before + 40000 && due <= alerts_now(a) + 40000,
	   "until this long from now");
	(void)claim(a, 9, 60000, NULL, &t);
	OK(alerts_renew(a, "no-such-token", 60000, &held, &err) == 0 && held == 0, "a token without leases renews none");
	(void)put(a, "b", "b", 1, 0, &stored);
	(void)claim(a, 1, 1, NULL, &t);
	clock_sleep_ms(3);
	OK(alerts_renew(a, t.token, 60000, &held, &err) == 0 && held == 0, "a lease that ran out is not renewed");
	buf_release(&t.ids);
	buf_release(&other.ids);
	alerts_close(a);
}

static void test_backoff(void)
{
	struct taken t = {0};

	/* bounds: 5, 10, 20, 40 s, each +-20 %; attempts are used up by leases that run out */
	for (int64_t attempt = 1, base = 5000; attempt <= 4; attempt++, base *= 2) {
		char name[16];
		struct err err = {0};
		bool stored, there;
		int64_t due = 0;
		(void)snprintf(name, sizeof name, "backoff%d", (int)attempt);
		struct alerts *a = must_open(url_of(name));
		(void)put(a, "a", "1", 1, 0, &stored);
		for (int64_t i = 1; i < attempt; i++)
			claim_and_leave(a, &t);
		(void)claim(a, 1, 60000, NULL, &t);
		const int64_t before = alerts_now(a);
		const char got = give_back(a, &t, -1, false, "host is down");
		const int64_t after = alerts_now(a);
		(void)alerts_next_due(a, &due, &err);
		OK(got == 'b' && t.attempt == attempt && due >= before + base * 8 / 10 && due <= after + base * 12 / 10,
		   "attempt %lld: again in %lld ms", (long long)attempt, (long long)(due - before));
		OK(alerts_requeue(a, "a", &there, &err) == 0 && there && claim(a, 1, 60000, NULL, &t) == 0,
		   "requeueing does not hurry one that waits");
		alerts_close(a);
	}
	buf_release(&t.ids);
}

static void test_give_back(void)
{
	struct alerts *a = must_open(url_of("back"));
	struct err err = {0};
	struct taken t = {0};
	bool stored, there;
	int64_t due = 0;

	(void)put(a, "a", "1", alerts_now(a), 0, &stored);
	for (int i = 0; i < 10; i++) {
		const int64_t n = claim(a, 1, 60000, NULL, &t);
		if (n != 1 || t.attempt != 1 || give_back(a, &t, 0, false, "lost a race") != 'b')
			OK(false, "a lost race %d", i);
	}
	IS_STR(rows(a, NULL), "a:new:0:lost a race ", "lost races give it back at once, with no attempt counted");
	for (int i = 0; i < 4; i++)
		claim_and_leave(a, &t);
	(void)claim(a, 1, 60000, NULL, &t);
	IS(give_back(a, &t, -1, false, "host is down still"), 'd', "the fifth failure is the last");
	IS_STR(rows(a, "dead"), "a:dead:5:host is down still ", "it is dead, with its last error");
	IS(claim(a, 1, 60000, NULL, &t), 0, "and in no claim");
	IS(give_back(a, &t, -1, false, "x"), 'l', "nor given back by its last holder");
	OK(alerts_requeue(a, "a", &there, &err) == 0 && there, "it is requeued by hand");
	IS_STR(rows(a, NULL), "a:new:0:- ", "as new");
	OK(alerts_requeue(a, "zzz", &there, &err) == 0 && !there, "an unknown one is not there");
	(void)claim(a, 1, 60000, NULL, &t);
	OK(t.attempt == 1, "it starts at attempt 1");
	OK(alerts_requeue(a, "a", &there, &err) == 0 && there && finish(a, &t), "a claimed one is left to its holder");
	OK(alerts_requeue(a, "a", &there, &err) == 0 && claim(a, 1, 60000, NULL, &t) == 1, "a done one can run again");
	IS(give_back(a, &t, 30000, false, "wait"), 'b', "given back with a delay");
	(void)alerts_next_due(a, &due, &err);
	OK(due >= alerts_now(a) + 25000 && due <= alerts_now(a) + 30000, "it is due after that");
	(void)put(a, "b", "2", alerts_now(a), 0, &stored);
	(void)claim(a, 1, 60000, NULL, &t);
	IS(give_back(a, &t, -1, true, "never"), 'd', "a final failure is dead at once");
	IS_STR(rows(a, "dead"), "b:dead:1:never ", "with its reason");
	buf_release(&t.ids);
	alerts_close(a);
}

static void test_dead_leases(void)
{
	struct alerts *a = must_open(url_of("spent"));
	struct taken t = {0};
	bool stored;

	for (int i = 0; i < 4; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, i, 0, &stored);
	}
	for (int i = 0; i < 5; i++) /* claimed five times and never finished */
		claim_and_leave(a, &t);
	const int64_t now = alerts_now(a);
	(void)put(a, "b4", "4", now, 0, &stored);
	(void)put(a, "b5", "5", now, 0, &stored);
	IS(claim(a, 2, 60000, NULL, &t), 2, "behind 4 alerts with used up leases 2 are claimed");
	IS_STR(t.ids.p, "b4 b5 ", "the right ones");
	IS_STR(rows(a, "dead"),
	       "a0:dead:5:lease ran out 5 times a1:dead:5:lease ran out 5 times "
	       "a2:dead:5:lease ran out 5 times a3:dead:5:lease ran out 5 times ",
	       "the 4 are dead and say why");
	buf_release(&t.ids);
	alerts_close(a);
}

static int refuse_second(void *ctx, const struct alert_claim *c, struct err *err)
{
	(void)c;
	return ++*(int *)ctx < 2 ? 0 : err_set(err, ERR_OUTPUT, "closed");
}

static void test_reader_leaves(void)
{
	struct alerts *a = must_open(url_of("leaves"));
	struct err err = {0};
	int64_t count = 0, now = 0;
	int calls = 0;
	bool stored;

	for (int i = 0; i < 5; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, i, 0, &stored);
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
	struct alerts *a = must_open(url_of("large"));
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

/* --- what is kept, and for how long --- */

struct kept {
	char body[200], raw[200], hash[80], result[80];
	int64_t due;
};

static int keep_row(void *ctx, const struct alert_row *r, struct err *err)
{
	struct kept *k = ctx;
	(void)err;

	(void)snprintf(k->body, sizeof k->body, "%s", r->body);
	(void)snprintf(k->raw, sizeof k->raw, "%s", r->raw ? r->raw : "none");
	(void)snprintf(k->hash, sizeof k->hash, "%s", r->raw_sha256 ? r->raw_sha256 : "none");
	(void)snprintf(k->result, sizeof k->result, "%s", r->result ? r->result : "none");
	k->due = r->due;
	return 0;
}

static void test_bytes(void)
{
	static const char body[] = "{\"labels\":{\"a.b\":\"c\",\"$set\":1.0,\"x\":18446744073709551616,\"\xc3\xa4\":null}}";
	static const char raw[] = "not \"JSON\" {$gt: 1} \xf0\x9f\x90\xb3\n";
	struct alerts *a = must_open(url_of("bytes"));
	struct err err = {0};
	struct kept k = {0};
	bool stored, there;
	char id[ALERT_ID];
	const struct alert_put alert = {.id = "a", .dedup = "$d", .service = "web", .body = body, .received_at = 1};
	const struct alert_put letter = {.id = "l",
	                                 .dedup = "raw:1",
	                                 .body = "{}",
	                                 .received_at = 2,
	                                 .raw = raw,
	                                 .raw_sha256 = "cafe",
	                                 .dead = "not an alert: offset 4"};

	OK(alerts_put(a, &alert, &stored, id, &err) == 0 && alerts_each(a, "new", keep_row, &k, &err) == 0, "an alert");
	IS_STR(k.body, body, "keeps the bytes of its body: names with a dot or a $, and numbers as they are");
	IS_STR(k.raw, "none", "and no notification unless one is given");
	OK(alerts_put(a, &letter, &stored, id, &err) == 0 && stored, "a dead letter is stored");
	OK(alerts_each(a, "dead", keep_row, &k, &err) == 0 && k.due == INT64_MIN, "it is never due");
	IS_STR(k.raw, raw, "with the bytes of the notification");
	IS_STR(k.hash, "cafe", "their hash");
	IS_STR(k.result, "not an alert: offset 4", "and the reason");
	OK(alerts_put(a, &letter, &stored, id, &err) == 0 && !stored, "the same again is the same dead letter");
	OK(alerts_requeue(a, "l", &there, &err) < 0 && err.code == ERR_REFUSED, "it cannot be requeued (%s)", err.message);
	alerts_close(a);
}

static void test_counts_and_prune(void)
{
	struct alerts *a = must_open(url_of("prune"));
	struct err err = {0};
	struct taken t = {0};
	struct alert_counts n;
	bool stored;
	int64_t pruned = 0;

	OK(alerts_count(a, &n, &err) == 0 && n.waiting == 0 && n.done == 0 && n.oldest == INT64_MIN, "none is counted");
	for (int i = 0; i < 8; i++) {
		char id[8];
		(void)snprintf(id, sizeof id, "a%d", i);
		(void)put(a, id, id, 100 + i, 0, &stored);
	}
	for (int i = 0; i < 5; i++)
		if (claim(a, 1, 60000, NULL, &t) != 1 || !finish(a, &t))
			OK(false, "an alert is finished");
	(void)claim(a, 1, 60000, NULL, &t);
	IS(give_back(a, &t, -1, true, "never"), 'd', "one is dead");
	(void)claim(a, 1, 60000, NULL, &t);
	OK(alerts_count(a, &n, &err) == 0 && n.waiting == 1 && n.claimed == 1 && n.done == 5 && n.dead == 1,
	   "1 waits, 1 is claimed, 5 are done, 1 is dead");
	IS(n.oldest, 106, "the oldest that is not through");
	OK(alerts_prune(a, "done", 104, 3, &pruned, &err) == 0 && pruned == 3, "of 4 old ones that are done 3 are deleted");
	OK(alerts_prune(a, "done", 104, 3, &pruned, &err) == 0 && pruned == 1, "and then the last");
	OK(alerts_prune(a, "done", 104, 3, &pruned, &err) == 0 && pruned == 0, "and then none");
	IS_STR(rows(a, NULL), "a4:done:1:done a5:dead:1:never a6:claimed:1:- a7:new:0:- ", "what is not done stays");
	OK(alerts_prune(a, "dead", 105, 3, &pruned, &err) == 0 && pruned == 0, "a dead letter that is not old stays");
	OK(alerts_prune(a, "dead", 106, 3, &pruned, &err) == 0 && pruned == 1, "an old one goes when it is asked for");
	OK(alerts_prune(a, "claimed", 1000, 3, &pruned, &err) < 0 && err.code == ERR_USAGE, "what waits never goes");
	IS_STR(rows(a, NULL), "a4:done:1:done a6:claimed:1:- a7:new:0:- ", "and nothing else went");
	buf_release(&t.ids);
	alerts_close(a);
}

/* --- many at once --- */

/* Claims by `size` and finishes in batches until nothing is open; how many it finished. */
static int drain(const char *url, int64_t size)
{
	struct alerts *a = must_open(url);
	struct err err = {0};
	int64_t due = 0;
	int finished = 0;

	while (alerts_next_due(a, &due, &err) == 0 && due != INT64_MAX) {
		static struct batch b;
		int64_t count = 0, now = 0;
		b.n = 0;
		if (alerts_claim(a, size, 60000, NULL, on_batch, &b, &count, &now, &err) < 0 || alerts_begin(a, &err) < 0)
			return 255;
		for (size_t i = 0; i < b.n; i++) {
			bool held = false;
			if (alerts_finish(a, b.t[i].id, b.t[i].token, "done", &held, &err) < 0)
				return 255;
			finished += held;
		}
		if (alerts_commit(a, &err) < 0)
			return 255;
		if (count == 0)
			clock_sleep_ms(5);
	}
	alerts_close(a);
	return finished;
}

static int drain_by_1(int number, const char *url)
{
	(void)number;
	return drain(url, 1);
}

static int drain_by_10(int number, const char *url)
{
	(void)number;
	return drain(url, 10);
}

static void test_claimers(void)
{
	static const struct {
		const char *name;
		scratch_worker fn;
	} cases[] = {{"by1", drain_by_1}, {"by10", drain_by_10}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		fill(url_of(cases[i].name), WORKERS_ALERTS);
		IS(scratch_run(SCRATCH_WORKERS, cases[i].fn, url_of(cases[i].name)), WORKERS_ALERTS,
		   "8 processes finish each alert once");
		struct alerts *a = must_open(url_of(cases[i].name));
		const struct totals t = total(a);
		OK(t.done == WORKERS_ALERTS && t.once == WORKERS_ALERTS, "%d are done, %d were claimed exactly once", t.done,
		   t.once);
		alerts_close(a);
	}
}

/* Claims with a short lease and dies holding it. */
static int hold_and_die(int number, const char *url)
{
	struct alerts *a = must_open(url);
	struct taken t = {0};
	(void)number;

	(void)claim(a, 1, 300, NULL, &t);
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static void test_killed_holder(void)
{
	const char *url = url_of("killed");
	struct alerts *a;
	struct taken t = {0}, lost;
	int64_t n = 0;

	fill(url, 1);
	const int64_t start = clock_monotonic_ms();
	IS(scratch_run(1, hold_and_die, url), -1, "a holder is killed");
	a = must_open(url);
	while (n == 0 && clock_monotonic_ms() < start + 5000) {
		n = claim(a, 1, 100, NULL, &t);
		clock_sleep_ms(5);
	}
	OK(n == 1 && t.attempt == 2, "then the alert is retaken as attempt 2");
	OK(clock_monotonic_ms() >= start + 300, "not before the lease ran out");
	lost = t;
	lost.ids = (struct buf){0};
	for (n = 0; n == 0 && clock_monotonic_ms() < start + 5000; clock_sleep_ms(5))
		n = claim(a, 1, 60000, NULL, &t);
	OK(n == 1 && !finish(a, &lost), "who lost the lease finishes nothing");
	IS(give_back(a, &lost, -1, true, "x"), 'l', "and gives nothing back");
	IS_STR(rows(a, "claimed"), "alert-000000:claimed:3:- ", "nothing was changed");
	OK(finish(a, &t), "the new holder finishes");
	buf_release(&t.ids);
	alerts_close(a);
}

int main(void)
{
	scratch_make();
	test_dedup();
	test_rearm();
	test_putters();
	test_voids();
	test_claims();
	test_batch();
	test_renew();
	test_backoff();
	test_give_back();
	test_dead_leases();
	test_reader_leaves();
	test_large_bodies();
	test_bytes();
	test_counts_and_prune();
	test_claimers();
	test_killed_holder();
	scratch_remove();
	return DONE();
}
