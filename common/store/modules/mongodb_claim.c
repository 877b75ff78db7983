/* Claims on the alert store in MongoDB. mongodb.c has the idea. */
#include "base/clock.h"
#include "store/modules/mongodb_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

#define CANDIDATES 1000 /* ids read at once, at most */
/* A list is used this long. What gets due meanwhile is younger than all of it. */
#define LIST_GOOD_MS 10000
#define IDLE_ROUNDS 8    /* a claim that gets nothing this often leaves it to the others */
#define MISSES 8         /* a list is thrown away after so many */
#define CONTENDED_FOR 32 /* claims that enter the list by lot after one that met others */

struct claim_job {
	struct link *link;
	struct candidates *due;
	int64_t limit, lease_ms;
	const char *service;
	char token[ALERT_TOKEN];
	int64_t now;
	struct list taken; /* ours, with bodies */
	bool full, lost;   /* no room for the next body; somebody else was faster */
};

static bool have_due(const struct claim_job *job)
{
	const struct candidates *c = job->due;

	return c->list.n > 0 && c->misses < MISSES && clock_monotonic_ms() - c->read_at < LIST_GOOD_MS &&
	       strcmp(c->service, job->service ? job->service : "") == 0;
}

/* More than are wanted: several passes find room beside each other, and the next claim of this handle need not read. */
static int read_due(struct claim_job *job, struct err *err)
{
	struct candidates *c = job->due;
	const int64_t want = job->limit - (int64_t)job->taken.n;
	const int64_t some = c->read || want > CANDIDATES / 16 ? CANDIDATES : want < 4 ? 64 : 16 * want;
	bson_t *filter = BCON_NEW("due", "{", "$lte", BCON_INT64(job->now), "}");

	if (job->service)
		BSON_APPEND_UTF8(filter, "service", job->service);
	list_empty(&c->list);
	c->at = 0;
	c->misses = 0;
	(void)snprintf(c->service, sizeof c->service, "%s", job->service ? job->service : "");
	if (link_find(job->link, filter,
	              BCON_NEW("sort", "{", "due", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit", BCON_INT64(some),
	                       "projection", "{", "due", BCON_INT32(1), "bytes", BCON_INT32(1), "attempts", BCON_INT32(1),
	                       "}"),
	              on_found, &c->list, err) < 0)
		return -1;
	c->more = (int64_t)c->list.n == some;
	c->read = true;
	c->read_at = clock_monotonic_ms();
	return 0;
}

/* Takes those out of the list whose attempts are used up; they are dead. */
static int bury_spent(struct claim_job *job, struct err *err)
{
	struct list *l = &job->due->list;
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct found f = l->p[i];
		char why[64];
		int64_t matched;
		bool repeated;
		if (f.attempts < ALERT_MAX_ATTEMPTS) {
			l->p[kept++] = f;
			continue;
		}
		(void)snprintf(why, sizeof why, "lease ran out %" PRId64 " times", f.attempts);
		if (link_update_one(job->link,
		                    BCON_NEW("_id", BCON_UTF8(list_id(l, i)), "due", "{", "$lte", BCON_INT64(job->now), "}",
		                             "attempts", BCON_INT64(f.attempts)),
		                    BCON_NEW("$set", "{", "state", BCON_UTF8("dead"), "due", BCON_NULL, "lease_token",
		                             BCON_NULL, "result", BCON_UTF8(why), "}"),
		                    &matched, &repeated, err) < 0)
			return -1;
	}
	l->n = kept;
	return 0;
}

struct take {
	struct claim_job *job;
	size_t n; /* this many of the list, from where it is entered */
};

static int on_taken(void *ctx, const bson_t *doc, struct err *err)
{
	struct take *t = ctx;
	const struct candidates *c = t->job->due;
	struct list *taken = &t->job->taken;
	const char *id = link_text(doc, "_id"), *body = link_text(doc, "body");

	if (list_add(taken, doc, err) < 0)
		return -1;
	struct found *got = &taken->p[taken->n - 1];
	got->body = taken->texts.n;
	buf_put(&taken->texts, body, strlen(body) + 1);
	for (size_t i = c->at; i < c->at + t->n; i++) /* `due` is the lease's end now; the order is by what it was */
		if (strcmp(list_id(&c->list, i), id) == 0)
			got->due = c->list.p[i].due;
	return buf_ok(&taken->texts, err);
}

/* As many of the list as are wanted and their bodies have room for. */
static void choose(struct take *t)
{
	struct claim_job *job = t->job;
	const struct candidates *c = job->due;
	size_t room = ALERT_CLAIM_BYTES > job->taken.texts.n ? ALERT_CLAIM_BYTES - job->taken.texts.n : 0;

	for (t->n = 0; c->at + t->n < c->list.n && (int64_t)(job->taken.n + t->n) < job->limit; t->n++) {
		const size_t need = (size_t)c->list.p[c->at + t->n].bytes + strlen(list_id(&c->list, c->at + t->n)) + 2;
		job->full = need > room && job->taken.n + t->n > 0;
		if (job->full)
			return;
		room = need < room ? room - need : 0;
	}
}

static int take_slice(struct take *t, struct err *err)
{
	struct claim_job *job = t->job;
	const size_t before = job->taken.n;
	int64_t matched = 0;
	bool repeated = false;
	bson_t *filter = list_ids(&job->due->list, job->due->at, t->n);

	BCON_APPEND(filter, "due", "{", "$lte", BCON_INT64(job->now), "}", "attempts", "{", "$lt",
	            BCON_INT64(ALERT_MAX_ATTEMPTS), "}");
	if (link_update_many(job->link, filter,
	                     BCON_NEW("$set", "{", "state", BCON_UTF8("claimed"), "due",
	                              BCON_INT64(job->now + job->lease_ms), "lease_token", BCON_UTF8(job->token), "}",
	                              "$inc", "{", "attempts", BCON_INT64(1), "}"),
	                     &matched, &repeated, err) < 0)
		return -1;
	if (matched == 0 && !repeated) {
		job->lost = true;
		return 0;
	}
	filter = list_ids(&job->due->list, job->due->at, t->n);
	BSON_APPEND_UTF8(filter, "lease_token", job->token);
	if (link_find(job->link, filter,
	              BCON_NEW("projection", "{", "body", BCON_INT32(1), "attempts", BCON_INT32(1), "received_at",
	                       BCON_INT32(1), "}"),
	              on_taken, t, err) < 0)
		return -1;
	job->lost = job->lost || job->taken.n - before < t->n;
	return 0;
}

static void enter_by_lot(struct candidates *c)
{
	uint32_t random = 0;

	if (c->list.n > 0 && getrandom(&random, sizeof random, 0) == (ssize_t)sizeof random)
		c->at = random % c->list.n;
}

/* What was tried is taken out. Where others were first, the list is entered elsewhere for the next: all around there is
 * taken too. */
static void leave_behind(struct candidates *c, size_t n, bool missed)
{
	memmove(&c->list.p[c->at], &c->list.p[c->at + n], (c->list.n - c->at - n) * sizeof *c->list.p);
	c->list.n -= n;
	if (missed) {
		c->misses++;
		enter_by_lot(c);
	} else if (c->at == c->list.n) {
		c->at = 0;
	}
}

/* The oldest first; where several passes claim at once, all but one would find those taken, so then from a place in the
 * list drawn by lot. */
static int claim_all(struct claim_job *job, bool contended, struct err *err)
{
	for (int idle = 0; idle < IDLE_ROUNDS && !job->full && (int64_t)job->taken.n < job->limit; idle++) {
		const size_t before = job->taken.n;
		struct take t = {.job = job};
		if (!have_due(job)) {
			if (read_due(job, err) < 0 || bury_spent(job, err) < 0)
				return -1;
			if (contended || job->lost)
				enter_by_lot(job->due);
		}
		if (job->due->list.n == 0 && !job->due->more)
			break;
		choose(&t);
		if (t.n > 0 && take_slice(&t, err) < 0)
			return -1;
		leave_behind(job->due, t.n, job->taken.n - before < t.n);
		if (job->taken.n > before || t.n == 0) /* got some; or all that were read are dead now */
			idle = -1;
	}
	return 0;
}

/* For qsort, which passes no context. */
struct order {
	int64_t due;
	const char *id;
	size_t at;
};

static int oldest_first(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	return x->due != y->due ? (x->due < y->due ? -1 : 1) : strcmp(x->id, y->id);
}

static int hand_over(const struct claim_job *job, alert_claim_fn fn, void *ctx, int64_t *count, struct err *err)
{
	const struct list *l = &job->taken;
	struct order *order = calloc(l->n + 1, sizeof *order);
	int rc = 0;

	if (!order)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < l->n; i++)
		order[i] = (struct order){l->p[i].due, list_id(l, i), i};
	qsort(order, l->n, sizeof *order, oldest_first);
	for (size_t i = 0; i < l->n && rc == 0; i++) {
		const struct found *f = &l->p[order[i].at];
		const struct alert_claim claim = {
			.id = order[i].id,
			.body = l->texts.p + f->body,
			.token = job->token,
			.attempt = f->attempts,
			.lease_until = job->now + job->lease_ms,
			.received_at = f->received_at,
		};
		rc = fn(ctx, &claim, err); /* on failure the rest stays leased and comes back when the lease runs out */
		*count += rc == 0;
	}
	free(order);
	return rc;
}

int mongo_claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn, void *ctx,
                int64_t *count, int64_t *now, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	struct claim_job job = {.link = &m->link, .due = &m->due, .limit = limit, .lease_ms = lease_ms, .service = service};
	int rc = -1;

	if (m->in_batch)
		return err_set(err, ERR_USAGE, "alerts cannot be claimed inside a batch: commit it first");
	m->due.list.texts.max = CANDIDATES * (size_t)ALERT_ID;
	job.taken.texts.max = 2 * (size_t)ALERT_CLAIM_BYTES;
	if (link_ready(job.link, err) < 0 || alerts_token(job.token, err) < 0)
		return -1;
	*now = job.now = link_now(job.link);
	if (claim_all(&job, m->contended > 0, err) == 0) {
		m->contended = job.lost ? CONTENDED_FOR : m->contended > 0 ? m->contended - 1 : 0;
		rc = hand_over(&job, fn, ctx, count, err);
	}
	list_release(&job.taken);
	return rc;
}
