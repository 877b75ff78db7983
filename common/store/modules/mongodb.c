/* The alert queue as collection `alerts` of a MongoDB database, after alerts_sql.c, whose rules it keeps.
 *
 * A document has the members of table alert (schema/001-first.sql): _id, dedup, rearm, service, source, status, state,
 * received_at, due, lease_token, attempts, seen, result, body, raw, raw_sha256; counters and times are int64, body and
 * raw are strings, so that their bytes come back as they went in. Three more: `bytes`, the size of the body; `seen_by`,
 * who counted last; and lease_token stays on what has ended, so that who ended it can still find out that it did.
 *
 * There is no transaction: each call is durable by itself, with w: majority and j: true, before it returns. Between
 * begin and commit, ends of alerts whose lease is sure to last are only noted, and commit sends them as one command:
 * one disk sync for a batch. Rollback drops those notes; a put or a requeue stays done.
 *
 * A claim is an updateMany whose filter asks for due <= now, then a find by the fresh token: right wherever an update
 * of one document is atomic, and where it is not (FerretDB 1.24), two passes may get the same alert and the intent's
 * unique key lets one of them act. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "store/alerts_driver.h"
#include "store/fits.h"
#include "store/module.h"
#include "store/modules/mongodb_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

#define CANDIDATES 1000     /* ids read at once */
#define IDLE_ROUNDS 8       /* a claim that gets nothing this often leaves it to the others */
#define CONTENDED_FOR 32    /* claims that take at random after one that met others */
#define LEASE_LEFT_MS 10000 /* an end is only noted when its lease lasts this much longer */
#define HELD_MAX 4096       /* alerts under one token that are known to be held */
#define WALK_BATCH 100      /* documents in one answer, 16 MiB at most */
#define PRUNE_BATCH 1000

/* Alerts found: offsets into a buffer of texts, which may move. */
struct found {
	size_t id, body;
	int64_t due, bytes, attempts, received_at;
	bool ours;
};
struct list {
	struct found *p;
	size_t n, cap;
	struct buf texts;
};

/* The end of an alert that commit will send. */
struct note {
	char *id;
	char token[ALERT_TOKEN];
	const char *state;
	bson_t *change;
};

struct alerts_in_mongo {
	struct alerts base; /* first: the handle that the callers hold */
	struct link link;
	int contended;
	bool in_batch;
	struct note *notes;
	size_t nnotes, notes_cap;
	char held_token[ALERT_TOKEN]; /* of these: */
	struct list held;
};

static struct alerts_in_mongo *mongo_of(struct alerts *a) { return (struct alerts_in_mongo *)(void *)a; }

static const char *list_id(const struct list *l, size_t i) { return l->texts.p + l->p[i].id; }

static void list_empty(struct list *l)
{
	l->n = 0;
	buf_reset(&l->texts);
}

static void list_release(struct list *l)
{
	free(l->p);
	buf_release(&l->texts);
	*l = (struct list){0};
}

static int list_add(struct list *l, const bson_t *doc, struct err *err)
{
	const char *id = link_text(doc, "_id");

	if (l->n == l->cap) {
		const size_t cap = l->cap ? l->cap * 2 : 64;
		struct found *p = realloc(l->p, cap * sizeof *p);
		if (!p)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = (struct found){
		.id = l->texts.n,
		.due = link_int(doc, "due"),
		.bytes = link_int(doc, "bytes"),
		.attempts = link_int(doc, "attempts"),
		.received_at = link_int(doc, "received_at"),
	};
	buf_put(&l->texts, id, strlen(id) + 1);
	return buf_ok(&l->texts, err);
}

static int on_found(void *ctx, const bson_t *doc, struct err *err) { return list_add(ctx, doc, err); }

static int on_any(void *ctx, const bson_t *doc, struct err *err)
{
	(void)doc;
	(void)err;
	*(bool *)ctx = true;
	return 0;
}

/* --- put --- */

struct put_job {
	const struct alert_put *put;
	char *id; /* of the stored document, ALERT_ID bytes */
	bool stored;
	bool known; /* the newest alert with this dedup: */
	int64_t rearm, received_at;
	bool resolved; /* its condition was over before anybody took it */
};

static int on_known(void *ctx, const bson_t *doc, struct err *err)
{
	struct put_job *job = ctx;
	(void)err;

	job->known = true;
	(void)snprintf(job->id, ALERT_ID, "%s", link_text(doc, "_id"));
	job->rearm = link_int(doc, "rearm");
	job->received_at = link_int(doc, "received_at");
	job->resolved = strcmp(link_text(doc, "state"), "done") == 0 && strcmp(link_text(doc, "result"), "resolved") == 0;
	return 0;
}

static int find_known(struct link *l, const char *dedup, struct put_job *job, struct err *err)
{
	job->known = false;
	return link_find(l, BCON_NEW("dedup", BCON_UTF8(dedup)),
	                 BCON_NEW("sort", "{", "rearm", BCON_INT32(-1), "}", "limit", BCON_INT64(1), "projection", "{",
	                          "rearm", BCON_INT32(1), "received_at", BCON_INT32(1), "state", BCON_INT32(1), "result",
	                          BCON_INT32(1), "}"),
	                 on_known, job, err);
}

static int see_again(struct link *l, const char *id, struct err *err)
{
	char token[ALERT_TOKEN];
	int64_t matched;
	bool repeated;

	if (alerts_token(token, err) < 0)
		return -1;
	return link_update_one(
		l, BCON_NEW("_id", BCON_UTF8(id), "seen_by", "{", "$ne", BCON_UTF8(token), "}"),
		BCON_NEW("$inc", "{", "seen", BCON_INT64(1), "}", "$set", "{", "seen_by", BCON_UTF8(token), "}"), &matched,
		&repeated, err);
}

/* The alert that this notification ends, while nobody has it, is finished; *taken: it was, now or before. */
static int void_waiting(struct link *l, struct put_job *job, bool *taken, struct err *err)
{
	int64_t matched = 0;
	bool repeated = false;

	*taken = false;
	if (find_known(l, job->put->voids, job, err) < 0)
		return -1;
	if (!job->known)
		return 0;
	if (!job->resolved && link_update_one(l, BCON_NEW("_id", BCON_UTF8(job->id), "state", BCON_UTF8("new")),
	                                      BCON_NEW("$set", "{", "state", BCON_UTF8("done"), "due", BCON_NULL, "result",
	                                               BCON_UTF8("resolved"), "}"),
	                                      &matched, &repeated, err) < 0)
		return -1;
	if (repeated && matched == 0 && find_known(l, job->put->voids, job, err) < 0)
		return -1;
	*taken = matched > 0 || job->resolved;
	return *taken ? see_again(l, job->id, err) : 0;
}

static int insert_alert(struct link *l, struct put_job *job, bool *repeated, struct err *err)
{
	const struct alert_put *put = job->put;
	bson_t *doc = bson_new();

	BSON_APPEND_UTF8(doc, "_id", put->id);
	BSON_APPEND_UTF8(doc, "dedup", put->dedup);
	BSON_APPEND_INT64(doc, "rearm", job->known ? job->rearm + 1 : 0);
	BSON_APPEND_UTF8(doc, "service", put->service ? put->service : "");
	BSON_APPEND_UTF8(doc, "source", put->source ? put->source : "");
	BSON_APPEND_UTF8(doc, "status", put->status ? put->status : "");
	BSON_APPEND_UTF8(doc, "state", put->dead ? "dead" : "new");
	BSON_APPEND_INT64(doc, "received_at", put->received_at);
	if (put->dead)
		BSON_APPEND_NULL(doc, "due");
	else
		BSON_APPEND_INT64(doc, "due", put->received_at);
	BSON_APPEND_NULL(doc, "lease_token");
	BSON_APPEND_INT64(doc, "attempts", 0);
	BSON_APPEND_INT64(doc, "seen", 1);
	link_put_text(doc, "result", put->dead);
	BSON_APPEND_UTF8(doc, "body", put->body);
	BSON_APPEND_INT64(doc, "bytes", (int64_t)strlen(put->body));
	link_put_text(doc, "raw", put->raw);
	link_put_text(doc, "raw_sha256", put->raw_sha256);
	if (link_insert(l, doc, repeated, err) < 0)
		return -1;
	job->stored = true;
	(void)snprintf(job->id, ALERT_ID, "%s", put->id);
	return 0;
}

static int put_one(struct link *l, struct put_job *job, struct err *err)
{
	bool taken = false, repeated = false;

	if (job->put->voids && void_waiting(l, job, &taken, err) < 0)
		return -1;
	if (taken)
		return 0;
	if (find_known(l, job->put->dedup, job, err) < 0)
		return -1;
	if (!job->known || alerts_rearmed(job->put, job->received_at)) {
		if (insert_alert(l, job, &repeated, err) == 0)
			return 0;
		if (err->code != ERR_CONFLICT)
			return -1;
		/* Another process stored the same alert in between; or we did, before the connection was cut; or the id is in
		 * use, which is the caller's mistake. */
		if (find_known(l, job->put->dedup, job, err) < 0)
			return -1;
		job->stored = repeated && job->known && strcmp(job->id, job->put->id) == 0;
		if (job->stored)
			return 0;
		if (!job->known || alerts_rearmed(job->put, job->received_at))
			return err_set(err, ERR_CONFLICT, "the alert id %s is in use for another alert", job->put->id);
	}
	return see_again(l, job->id, err);
}

/* A store of strings keeps no others. */
static int check_utf8(const struct alert_put *put, struct err *err)
{
	const char *const texts[] = {put->id, put->dedup, put->service, put->source, put->status, put->body, put->voids};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i] && !bson_utf8_validate(texts[i], strlen(texts[i]), false))
			return err_set(err, ERR_INPUT, "an alert that is not UTF-8 cannot be stored");
	return 0;
}

static int mongo_put(struct alerts *a, const struct alert_put *put, bool *stored, char id_out[ALERT_ID],
                     struct err *err)
{
	struct put_job job = {.put = put, .id = id_out};

	if (alerts_check_put(put, err) < 0 || check_utf8(put, err) < 0 || put_one(&mongo_of(a)->link, &job, err) < 0)
		return -1;
	*stored = job.stored;
	return 0;
}

/* --- claim --- */

struct claim_job {
	struct link *link;
	int64_t limit, lease_ms;
	const char *service;
	char token[ALERT_TOKEN];
	int64_t now;
	struct list due;   /* what may be taken, oldest first */
	struct list taken; /* ours, with bodies */
	bool full, lost;   /* no room for the next body; somebody else was faster */
	bool more;         /* the list is as long as it may get: behind it others may wait */
};

/* More than are wanted, so that several passes find room beside each other. */
static int read_due(struct claim_job *job, struct err *err)
{
	const int64_t want = job->limit - (int64_t)job->taken.n;
	const int64_t some = want > CANDIDATES / 16 ? CANDIDATES : want < 4 ? 64 : 16 * want;
	bson_t *filter = BCON_NEW("due", "{", "$lte", BCON_INT64(job->now), "}");

	if (job->service)
		BSON_APPEND_UTF8(filter, "service", job->service);
	list_empty(&job->due);
	if (link_find(job->link, filter,
	              BCON_NEW("sort", "{", "due", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit", BCON_INT64(some),
	                       "projection", "{", "due", BCON_INT32(1), "bytes", BCON_INT32(1), "attempts", BCON_INT32(1),
	                       "}"),
	              on_found, &job->due, err) < 0)
		return -1;
	job->more = (int64_t)job->due.n == some;
	return 0;
}

/* Takes those out of the list whose attempts are used up; they are dead. */
static int bury_spent(struct claim_job *job, struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < job->due.n; i++) {
		const struct found f = job->due.p[i];
		char why[64];
		int64_t matched;
		bool repeated;
		if (f.attempts < ALERT_MAX_ATTEMPTS) {
			job->due.p[kept++] = f;
			continue;
		}
		(void)snprintf(why, sizeof why, "lease ran out %" PRId64 " times", f.attempts);
		if (link_update_one(job->link,
		                    BCON_NEW("_id", BCON_UTF8(list_id(&job->due, i)), "due", "{", "$lte", BCON_INT64(job->now),
		                             "}", "attempts", BCON_INT64(f.attempts)),
		                    BCON_NEW("$set", "{", "state", BCON_UTF8("dead"), "due", BCON_NULL, "lease_token",
		                             BCON_NULL, "result", BCON_UTF8(why), "}"),
		                    &matched, &repeated, err) < 0)
			return -1;
	}
	job->due.n = kept;
	return 0;
}

struct take {
	struct claim_job *job;
	size_t from, n; /* this many of the list of due ones, from there round and round */
};

static int on_taken(void *ctx, const bson_t *doc, struct err *err)
{
	struct take *t = ctx;
	struct claim_job *job = t->job;
	const char *id = link_text(doc, "_id"), *body = link_text(doc, "body");

	if (list_add(&job->taken, doc, err) < 0)
		return -1;
	struct found *got = &job->taken.p[job->taken.n - 1];
	got->body = job->taken.texts.n;
	buf_put(&job->taken.texts, body, strlen(body) + 1);
	for (size_t i = 0; i < t->n; i++) { /* `due` is the lease's end now; the order is by what it was */
		const size_t at = (t->from + i) % job->due.n;
		if (strcmp(list_id(&job->due, at), id) == 0)
			got->due = job->due.p[at].due;
	}
	return buf_ok(&job->taken.texts, err);
}

/* The ids of a slice of the list as {_id: {$in: [...]}}. */
static bson_t *ids_of(const struct take *t)
{
	bson_t *filter = bson_new(), in, ids = BSON_INITIALIZER;

	for (size_t i = 0; i < t->n; i++) {
		char buffer[16];
		const char *key;
		(void)bson_uint32_to_string((uint32_t)i, &key, buffer, sizeof buffer);
		BSON_APPEND_UTF8(&ids, key, list_id(&t->job->due, (t->from + i) % t->job->due.n));
	}
	BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &in);
	BSON_APPEND_ARRAY(&in, "$in", &ids);
	bson_append_document_end(filter, &in);
	bson_destroy(&ids);
	return filter;
}

/* As many as are wanted and their bodies have room for. */
static void choose(struct take *t)
{
	struct claim_job *job = t->job;
	size_t room = ALERT_CLAIM_BYTES > job->taken.texts.n ? ALERT_CLAIM_BYTES - job->taken.texts.n : 0;

	for (t->n = 0; t->n < job->due.n && (int64_t)(job->taken.n + t->n) < job->limit; t->n++) {
		const struct found *f = &job->due.p[(t->from + t->n) % job->due.n];
		const size_t need = (size_t)f->bytes + strlen(job->due.texts.p + f->id) + 2;
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
	bson_t *filter = ids_of(t);

	BCON_APPEND(filter, "due", "{", "$lte", BCON_INT64(job->now), "}");
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
	filter = ids_of(t);
	BSON_APPEND_UTF8(filter, "lease_token", job->token);
	if (link_find(job->link, filter,
	              BCON_NEW("projection", "{", "body", BCON_INT32(1), "attempts", BCON_INT32(1), "received_at",
	                       BCON_INT32(1), "}"),
	              on_taken, t, err) < 0)
		return -1;
	job->lost = job->lost || job->taken.n - before < t->n;
	return 0;
}

/* The oldest first. Where several passes claim at once, all but one would find those taken: then from a place in the
 * list drawn by lot, and the list is read anew, since what it says is old by then. */
static int claim_all(struct claim_job *job, bool contended, struct err *err)
{
	for (int idle = 0; idle < IDLE_ROUNDS && !job->full && (int64_t)job->taken.n < job->limit; idle++) {
		const size_t before = job->taken.n;
		uint32_t random = 0;
		if (read_due(job, err) < 0 || bury_spent(job, err) < 0)
			return -1;
		if (job->due.n == 0 && !job->more)
			break;
		struct take t = {.job = job};
		if ((contended || job->lost) && getrandom(&random, sizeof random, 0) == (ssize_t)sizeof random && job->due.n)
			t.from = random % job->due.n;
		choose(&t);
		if (t.n > 0 && take_slice(&t, err) < 0)
			return -1;
		if (job->taken.n > before || job->due.n == 0)
			idle = -1;
	}
	return 0;
}

/* For qsort, which gives no context: the texts are reached through the list's own copy of the base. */
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

static int mongo_claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn,
                       void *ctx, int64_t *count, int64_t *now, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	struct claim_job job = {.link = &m->link, .limit = limit, .lease_ms = lease_ms, .service = service};
	int rc = -1;

	if (m->in_batch)
		return err_set(err, ERR_USAGE, "alerts cannot be claimed inside a batch: commit it first");
	job.due.texts.max = CANDIDATES * (size_t)ALERT_ID;
	job.taken.texts.max = 2 * (size_t)ALERT_CLAIM_BYTES;
	if (link_ready(job.link, err) < 0 || alerts_token(job.token, err) < 0)
		goto out;
	*now = job.now = link_now(job.link);
	if (claim_all(&job, m->contended > 0, err) < 0)
		goto out;
	if (job.lost)
		m->contended = CONTENDED_FOR;
	else if (m->contended > 0)
		m->contended--;
	rc = hand_over(&job, fn, ctx, count, err);
out:
	list_release(&job.due);
	list_release(&job.taken);
	return rc;
}

/* --- renew, finish and give back --- */

static int mongo_renew(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	bool repeated;

	if (link_ready(l, err) < 0)
		return -1;
	/* A claimed alert's `due` is its lease's end, so those that still hold stand behind now on the index. */
	const int64_t now = link_now(l);
	return link_update_many(l,
	                        BCON_NEW("due", "{", "$gt", BCON_INT64(now), "}", "lease_token", BCON_UTF8(token), "state",
	                                 BCON_UTF8("claimed")),
	                        BCON_NEW("$set", "{", "due", BCON_INT64(now + lease_ms), "}"), held, &repeated, err);
}

static bson_t *held_by(const char *id, const char *token, const char *state)
{
	return BCON_NEW("_id", BCON_UTF8(id), "lease_token", BCON_UTF8(token), "state", BCON_UTF8(state));
}

static bool noted(const struct alerts_in_mongo *m, const char *id)
{
	for (size_t i = 0; i < m->nnotes; i++)
		if (strcmp(m->notes[i].id, id) == 0)
			return true;
	return false;
}

/* The alert among those that this token is sure to hold for a while; NULL: not known to be. The first question about a
 * token reads them all. */
static struct found *sure_of(struct alerts_in_mongo *m, const char *id, const char *token, struct err *err)
{
	struct err why = {0};
	const int64_t until = link_now(&m->link) + LEASE_LEFT_MS;
	(void)err;

	if (strcmp(m->held_token, token) != 0) {
		list_empty(&m->held);
		m->held.texts.max = HELD_MAX * (size_t)ALERT_ID;
		(void)snprintf(m->held_token, sizeof m->held_token, "%s", token);
		if (link_find(&m->link,
		              BCON_NEW("due", "{", "$gt", BCON_INT64(until), "}", "lease_token", BCON_UTF8(token), "state",
		                       BCON_UTF8("claimed")),
		              BCON_NEW("limit", BCON_INT64(HELD_MAX), "projection", "{", "due", BCON_INT32(1), "attempts",
		                       BCON_INT32(1), "}"),
		              on_found, &m->held, &why) < 0)
			list_empty(&m->held); /* the write itself will say so */
	}
	for (size_t i = 0; i < m->held.n; i++)
		if (m->held.p[i].due > until && strcmp(list_id(&m->held, i), id) == 0)
			return &m->held.p[i];
	return NULL;
}

/* Takes change. The found one is no longer known to be held. */
static int note_end(struct alerts_in_mongo *m, struct found *f, const char *state, bson_t *change, struct err *err)
{
	if (m->nnotes == m->notes_cap) {
		const size_t cap = m->notes_cap ? m->notes_cap * 2 : 64;
		struct note *p = realloc(m->notes, cap * sizeof *p);
		if (p)
			m->notes = p;
		m->notes_cap = p ? cap : m->notes_cap;
	}
	char *id = m->nnotes < m->notes_cap ? strdup(m->held.texts.p + f->id) : NULL;
	if (!id) {
		bson_destroy(change);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	struct note *n = &m->notes[m->nnotes++];
	*n = (struct note){.id = id, .state = state, .change = change};
	memcpy(n->token, m->held_token, sizeof n->token);
	f->due = 0;
	return 0;
}

/* Ends the claim by `change`, now or with the batch. *held: it was ours. */
static int end_claim(struct alerts_in_mongo *m, const char *id, const char *token, const char *state, bson_t *change,
                     struct found *sure, bool *held, struct err *err)
{
	int64_t matched = 0;
	bool repeated = false;

	*held = true;
	if (sure)
		return note_end(m, sure, state, change, err);
	*held = false;
	if (link_update_one(&m->link, held_by(id, token, "claimed"), change, &matched, &repeated, err) < 0)
		return -1;
	*held = matched > 0;
	if (!*held && repeated)
		return link_find(&m->link, held_by(id, token, state), NULL, on_any, held, err);
	return 0;
}

static int mongo_finish(struct alerts *a, const char *id, const char *token, const char *result, bool *held,
                        struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	bson_t set;

	*held = false;
	if (store_fits("the result", result, LINE_MAX_BYTES, err) < 0 || link_ready(&m->link, err) < 0)
		return -1;
	if (noted(m, id))
		return 0;
	struct found *sure = m->in_batch ? sure_of(m, id, token, err) : NULL;
	bson_t *change = bson_new();
	BSON_APPEND_DOCUMENT_BEGIN(change, "$set", &set);
	BSON_APPEND_UTF8(&set, "state", "done");
	BSON_APPEND_NULL(&set, "due");
	link_put_text(&set, "result", result);
	bson_append_document_end(change, &set);
	return end_claim(m, id, token, "done", change, sure, held, err);
}

struct attempts {
	int64_t n;
	bool there;
};

static int on_attempts(void *ctx, const bson_t *doc, struct err *err)
{
	(void)err;
	*(struct attempts *)ctx = (struct attempts){link_int(doc, "attempts"), true};
	return 0;
}

static bson_t *give_back_change(int64_t due, int64_t attempts, bool dead, const char *error)
{
	bson_t *change = bson_new(), set;

	BSON_APPEND_DOCUMENT_BEGIN(change, "$set", &set);
	BSON_APPEND_UTF8(&set, "state", dead ? "dead" : "new");
	if (dead)
		BSON_APPEND_NULL(&set, "due");
	else
		BSON_APPEND_INT64(&set, "due", due);
	BSON_APPEND_INT64(&set, "attempts", attempts);
	link_put_text(&set, "result", error);
	bson_append_document_end(change, &set);
	return change;
}

static int mongo_give_back(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
                           const char *error, bool *held, bool *dead, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	struct attempts attempts = {0};

	*held = *dead = false;
	if (store_fits("the error", error, LINE_MAX_BYTES, err) < 0 || link_ready(&m->link, err) < 0)
		return -1;
	if (noted(m, id))
		return 0;
	struct found *sure = m->in_batch ? sure_of(m, id, token, err) : NULL;
	if (sure)
		attempts = (struct attempts){sure->attempts, true};
	else if (link_find(&m->link, held_by(id, token, "claimed"),
	                   BCON_NEW("projection", "{", "attempts", BCON_INT32(1), "}"), on_attempts, &attempts, err) < 0)
		return -1;
	if (!attempts.there)
		return 0;
	const bool last = final || (delay_ms != 0 && attempts.n >= ALERT_MAX_ATTEMPTS);
	const int64_t due = link_now(&m->link) + (delay_ms < 0 ? alerts_backoff_ms(attempts.n) : delay_ms);
	bson_t *change = give_back_change(due, attempts.n - (!last && delay_ms == 0), last, error);
	if (end_claim(m, id, token, last ? "dead" : "new", change, sure, held, err) < 0)
		return -1;
	*dead = last && *held;
	return 0;
}

/* --- batches --- */

static void forget_notes(struct alerts_in_mongo *m, bool with_changes)
{
	for (size_t i = 0; i < m->nnotes; i++) {
		free(m->notes[i].id);
		if (with_changes)
			bson_destroy(m->notes[i].change);
	}
	m->nnotes = 0;
}

static int mongo_begin(struct alerts *a, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);

	if (m->in_batch)
		return err_set(err, ERR_USAGE, "a batch is open already");
	m->in_batch = true;
	m->held_token[0] = '\0';
	return 0;
}

static void mongo_rollback(struct alerts *a)
{
	struct alerts_in_mongo *m = mongo_of(a);

	forget_notes(m, true);
	m->in_batch = false;
}

/* Which of the notes stand in the store. */
static int count_ended(struct alerts_in_mongo *m, int64_t *n, struct err *err)
{
	*n = 0;
	for (size_t i = 0; i < m->nnotes; i++) {
		const struct note *note = &m->notes[i];
		bool there = false;
		if (link_find(&m->link, held_by(note->id, note->token, note->state), NULL, on_any, &there, err) < 0)
			return -1;
		*n += there;
	}
	return 0;
}

static int mongo_commit(struct alerts *a, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	const int64_t want = (int64_t)m->nnotes;
	int64_t matched = 0;
	bool repeated = false;
	int rc = 0;

	m->in_batch = false;
	if (want == 0)
		return 0;
	struct link_update *updates = calloc(m->nnotes, sizeof *updates);
	if (!updates) {
		forget_notes(m, true);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	for (size_t i = 0; i < m->nnotes; i++)
		updates[i] = (struct link_update){held_by(m->notes[i].id, m->notes[i].token, "claimed"), m->notes[i].change};
	rc = link_update_each(&m->link, updates, m->nnotes, &matched, &repeated, err);
	if (rc == 0 && matched < want)
		rc = count_ended(m, &matched, err);
	if (rc == 0 && matched < want)
		rc = err_set(err, ERR_TEMPORARY,
		             "the leases of %" PRId64 " of %" PRId64
		             " alerts ran out before their end was stored: they come again",
		             want - matched, want);
	free(updates);
	forget_notes(m, false);
	return rc;
}

/* --- looking and requeueing --- */

struct row_walk {
	alert_row_fn fn;
	void *ctx;
};

static int on_row(void *ctx, const bson_t *doc, struct err *err)
{
	const struct row_walk *walk = ctx;
	bson_iter_t it;
	const bool due = bson_iter_init_find(&it, doc, "due") && BSON_ITER_HOLDS_NUMBER(&it);
	const struct alert_row row = {
		.id = link_text(doc, "_id"),
		.service = link_text(doc, "service"),
		.state = link_text(doc, "state"),
		.body = link_text(doc, "body"),
		.result = link_text_or_null(doc, "result"),
		.received_at = link_int(doc, "received_at"),
		.due = due ? bson_iter_as_int64(&it) : INT64_MIN,
		.attempts = link_int(doc, "attempts"),
		.seen = link_int(doc, "seen"),
		.raw = link_text_or_null(doc, "raw"),
		.raw_sha256 = link_text_or_null(doc, "raw_sha256"),
	};

	return walk->fn(walk->ctx, &row, err);
}

static int mongo_each(struct alerts *a, const char *state, alert_row_fn fn, void *ctx, struct err *err)
{
	struct row_walk walk = {fn, ctx};
	bson_t *filter = bson_new();

	if (state)
		BSON_APPEND_UTF8(filter, "state", state);
	return link_find(&mongo_of(a)->link, filter,
	                 BCON_NEW("sort", "{", "received_at", BCON_INT32(1), "_id", BCON_INT32(1), "}", "batchSize",
	                          BCON_INT32(WALK_BATCH)),
	                 on_row, &walk, err);
}

static int mongo_requeue(struct alerts *a, const char *id, bool *there, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	bool repeated, never_whole = false;
	int64_t matched = 0;

	*there = false;
	if (link_ready(l, err) < 0 ||
	    link_update_one(l,
	                    BCON_NEW("_id", BCON_UTF8(id), "state", "{", "$in", "[", BCON_UTF8("dead"), BCON_UTF8("done"),
	                             "]", "}", "service", "{", "$ne", BCON_UTF8(""), "}"),
	                    BCON_NEW("$set", "{", "state", BCON_UTF8("new"), "due", BCON_INT64(link_now(l)), "attempts",
	                             BCON_INT64(0), "result", BCON_NULL, "lease_token", BCON_NULL, "}"),
	                    &matched, &repeated, err) < 0)
		return -1;
	if (matched > 0) {
		*there = true;
		return 0;
	}
	if (link_find(l, BCON_NEW("_id", BCON_UTF8(id), "state", BCON_UTF8("dead"), "service", BCON_UTF8("")), NULL, on_any,
	              &never_whole, err) < 0)
		return -1;
	if (never_whole)
		return alerts_never_whole(id, err);
	return link_find(l, BCON_NEW("_id", BCON_UTF8(id)), NULL, on_any, there, err);
}

static int on_due_time(void *ctx, const bson_t *doc, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = link_int(doc, "due");
	return 0;
}

/* A number: null compares with none. */
static bson_t *is_open(void) { return BCON_NEW("due", "{", "$gte", BCON_INT64(INT64_MIN), "}"); }

static int mongo_next_due(struct alerts *a, int64_t *due, struct err *err)
{
	*due = INT64_MAX;
	return link_find(&mongo_of(a)->link, is_open(),
	                 BCON_NEW("sort", "{", "due", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit", BCON_INT64(1),
	                          "projection", "{", "due", BCON_INT32(1), "}"),
	                 on_due_time, due, err);
}

static int on_count(void *ctx, const bson_t *doc, struct err *err)
{
	struct alert_counts *counts = ctx;
	const struct {
		const char *state;
		int64_t *n;
	} states[] = {
		{"new", &counts->waiting}, {"claimed", &counts->claimed}, {"done", &counts->done}, {"dead", &counts->dead}};
	(void)err;

	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (strcmp(link_text(doc, "_id"), states[i].state) == 0)
			*states[i].n = link_int(doc, "n");
	return 0;
}

static int on_oldest(void *ctx, const bson_t *doc, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = link_int(doc, "received_at");
	return 0;
}

static int mongo_count(struct alerts *a, struct alert_counts *counts, struct err *err)
{
	struct link *l = &mongo_of(a)->link;

	if (link_aggregate(l,
	                   BCON_NEW("pipeline", "[", "{", "$group", "{", "_id", BCON_UTF8("$state"), "n", "{", "$sum",
	                            BCON_INT64(1), "}", "}", "}", "]"),
	                   on_count, counts, err) < 0)
		return -1;
	return link_find(l, is_open(),
	                 BCON_NEW("sort", "{", "received_at", BCON_INT32(1), "}", "limit", BCON_INT64(1), "projection", "{",
	                          "received_at", BCON_INT32(1), "}"),
	                 on_oldest, &counts->oldest, err);
}

/* Deletes what the list holds; *n: how many of it are gone. */
static int delete_listed(struct link *l, const struct list *list, int64_t *n, struct err *err)
{
	struct claim_job as = {.due = *list};
	const struct take all = {.job = &as, .n = list->n};
	bson_t *filter = ids_of(&all);
	int64_t deleted;
	bool repeated;

	BSON_APPEND_UTF8(filter, "state", "done");
	if (link_delete_many(l, filter, &deleted, &repeated, err) < 0)
		return -1;
	*n += repeated ? (int64_t)list->n : deleted;
	return 0;
}

static int mongo_prune(struct alerts *a, int64_t before, int64_t limit, int64_t *n, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	struct list list = {.texts = BUF_INIT(PRUNE_BATCH * (size_t)ALERT_ID)};
	int rc = 0;

	*n = 0;
	while (rc == 0 && *n < limit) {
		const int64_t some = limit - *n < PRUNE_BATCH ? limit - *n : PRUNE_BATCH;
		list_empty(&list);
		rc = link_find(l, BCON_NEW("received_at", "{", "$lt", BCON_INT64(before), "}", "state", BCON_UTF8("done")),
		               BCON_NEW("sort", "{", "received_at", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit",
		                        BCON_INT64(some), "projection", "{", "_id", BCON_INT32(1), "}"),
		               on_found, &list, err);
		if (rc == 0 && list.n > 0)
			rc = delete_listed(l, &list, n, err);
		if ((int64_t)list.n < some)
			break;
	}
	list_release(&list);
	return rc;
}

/* --- open and close --- */

static const struct alerts_driver alerts_mongodb;

static struct alerts *mongo_open(const char *url, struct err *err)
{
	struct alerts_in_mongo *m = calloc(1, sizeof *m);

	if (!m) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	m->base.driver = &alerts_mongodb;
	if (link_open(&m->link, url, err) == 0)
		return &m->base;
	free(m);
	return NULL;
}

static void mongo_close(struct alerts *a)
{
	struct alerts_in_mongo *m = mongo_of(a);

	forget_notes(m, true);
	free(m->notes);
	list_release(&m->held);
	link_close(&m->link);
	free(m);
}

static int64_t mongo_now(struct alerts *a) { return link_now(&mongo_of(a)->link); }

static const struct alerts_driver alerts_mongodb = {
	.open = mongo_open,
	.close = mongo_close,
	.now = mongo_now,
	.put = mongo_put,
	.begin = mongo_begin,
	.commit = mongo_commit,
	.rollback = mongo_rollback,
	.claim = mongo_claim,
	.renew = mongo_renew,
	.finish = mongo_finish,
	.give_back = mongo_give_back,
	.each = mongo_each,
	.requeue = mongo_requeue,
	.next_due = mongo_next_due,
	.count = mongo_count,
	.prune = mongo_prune,
};

const struct store_module autoscale_store_module = {.version = AS_VERSION, .alerts = &alerts_mongodb};
