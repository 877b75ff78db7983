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
#include "base/limits.h"
#include "store/fits.h"
#include "store/module.h"
#include "store/modules/mongodb_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define WALK_BATCH 100 /* documents in one answer, 16 MiB at most */
#define PRUNE_BATCH 1000

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

/* Without a state, all of them by name, so that the index on state gives them in order. */
static int mongo_each(struct alerts *a, const char *state, alert_row_fn fn, void *ctx, struct err *err)
{
	struct row_walk walk = {fn, ctx};
	bson_t *filter = state ? BCON_NEW("state", BCON_UTF8(state))
	                       : BCON_NEW("state", "{", "$in", "[", BCON_UTF8("new"), BCON_UTF8("claimed"),
	                                  BCON_UTF8("done"), BCON_UTF8("dead"), "]", "}");

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

static int on_oldest(void *ctx, const bson_t *doc, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = link_int(doc, "received_at");
	return 0;
}

static int mongo_count(struct alerts *a, struct alert_counts *counts, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	const struct {
		const char *state;
		int64_t *n;
	} states[] = {
		{"new", &counts->waiting}, {"claimed", &counts->claimed}, {"done", &counts->done}, {"dead", &counts->dead}};

	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (link_count(l, BCON_NEW("state", BCON_UTF8(states[i].state)), states[i].n, err) < 0)
			return -1;
	return link_find(l, BCON_NEW("state", "{", "$in", "[", BCON_UTF8("new"), BCON_UTF8("claimed"), "]", "}"),
	                 BCON_NEW("sort", "{", "received_at", BCON_INT32(1), "}", "limit", BCON_INT64(1), "projection", "{",
	                          "received_at", BCON_INT32(1), "}"),
	                 on_oldest, &counts->oldest, err);
}

/* An update and a deletion of what cannot be there need the same rights as others. */
static int mongo_may_write(struct alerts *a, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	int64_t n;
	bool repeated;

	if (link_update_one(l, BCON_NEW("_id", BCON_UTF8(""), "state", BCON_UTF8("")),
	                    BCON_NEW("$set", "{", "seen", BCON_INT64(0), "}"), &n, &repeated, err) < 0)
		return -1;
	return link_delete_many(l, BCON_NEW("_id", BCON_UTF8(""), "state", BCON_UTF8("")), &n, &repeated, err);
}

/* Deletes what the list holds; *n: how many of it are gone. */
static int delete_listed(struct link *l, const char *state, const struct list *list, int64_t *n, struct err *err)
{
	bson_t *filter = list_ids(list, 0, list->n);
	int64_t deleted;
	bool repeated;

	BSON_APPEND_UTF8(filter, "state", state);
	if (link_delete_many(l, filter, &deleted, &repeated, err) < 0)
		return -1;
	*n += repeated ? (int64_t)list->n : deleted;
	return 0;
}

static int mongo_prune(struct alerts *a, const char *state, int64_t before, int64_t limit, int64_t *n, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	struct list list = {.texts = BUF_INIT(PRUNE_BATCH * (size_t)ALERT_ID)};
	int rc = 0;

	*n = 0;
	while (rc == 0 && *n < limit) {
		const int64_t some = limit - *n < PRUNE_BATCH ? limit - *n : PRUNE_BATCH;
		list_empty(&list);
		rc = link_find(l, BCON_NEW("received_at", "{", "$lt", BCON_INT64(before), "}", "state", BCON_UTF8(state)),
		               BCON_NEW("sort", "{", "received_at", BCON_INT32(1), "_id", BCON_INT32(1), "}", "limit",
		                        BCON_INT64(some), "projection", "{", "_id", BCON_INT32(1), "}"),
		               on_found, &list, err);
		if (rc == 0 && list.n > 0)
			rc = delete_listed(l, state, &list, n, err);
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

	mongo_end_release(m);
	list_release(&m->due.list);
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
	.may_write = mongo_may_write,
	.prune = mongo_prune,
};

static const char *library(void) { return "libmongoc " MONGOC_VERSION_S; }

const struct store_module autoscale_store_module = {
	.version = AS_VERSION, .library = library, .alerts = &alerts_mongodb};
