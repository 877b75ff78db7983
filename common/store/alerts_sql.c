/* The alert queue in table alert, by portable SQL. One column says all: an alert may be taken when `due` <= now. */
#include "base/limits.h"
#include "store/alerts_driver.h"
#include "store/fits.h"
#include "store/sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct alerts_in_sql {
	struct alerts base; /* first: the handle that the callers hold */
	struct sql *db;
};

static struct sql *db_of(struct alerts *a) { return ((struct alerts_in_sql *)(void *)a)->db; }

static struct alerts *sql_alerts_open(const char *url, struct err *err)
{
	struct alerts_in_sql *a = calloc(1, sizeof *a);

	if (!a) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	a->base.driver = &alerts_sql;
	a->db = sql_open(url, err);
	if (a->db)
		return &a->base;
	free(a);
	return NULL;
}

static void sql_alerts_close(struct alerts *a)
{
	sql_close(db_of(a));
	free(a);
}

static int64_t sql_alerts_now(struct alerts *a) { return sql_now(db_of(a)); }

static int sql_alerts_begin(struct alerts *a, struct err *err) { return sql_begin(db_of(a), SQL_WRITE, err); }

static int sql_alerts_commit(struct alerts *a, struct err *err) { return sql_commit(db_of(a), err); }

static void sql_alerts_rollback(struct alerts *a) { sql_rollback(db_of(a)); }

/* --- put --- */

struct put_job {
	const struct alert_put *put;
	char *id; /* of the stored row, ALERT_ID bytes */
	bool stored;
	bool known; /* the newest alert with this dedup: */
	int64_t rearm, received_at;
	bool resolved; /* its condition was over before anybody took it */
};

static int on_known(void *ctx, const struct sql_value *col, struct err *err)
{
	struct put_job *job = ctx;
	(void)err;

	job->known = true;
	(void)snprintf(job->id, ALERT_ID, "%s", col[0].s);
	job->rearm = col[1].i;
	job->received_at = col[2].i;
	job->resolved = strcmp(col[3].s, "done") == 0 && strcmp(col[4].s, "resolved") == 0;
	return 0;
}

static int find_known(struct sql *db, const char *dedup, struct put_job *job, struct err *err)
{
	job->known = false;
	return sql_run(db,
	               "SELECT alert_id, rearm, received_at, state, result FROM alert WHERE dedup = ?"
	               " ORDER BY rearm DESC LIMIT 1",
	               SQL_BINDS(sql_text(dedup)), on_known, job, err);
}

static int see_again(struct sql *db, const char *id, struct err *err)
{
	return sql_run(db, "UPDATE alert SET seen = seen + 1 WHERE alert_id = ?", SQL_BINDS(sql_text(id)), NULL, NULL, err);
}

/* The alert that this notification ends, while nobody has it, is finished; *taken: it was, now or before. */
static int void_waiting(struct sql *db, struct put_job *job, bool *taken, struct err *err)
{
	*taken = false;
	if (find_known(db, job->put->voids, job, err) < 0)
		return -1;
	if (!job->known)
		return 0;
	if (sql_run(db,
	            "UPDATE alert SET state = 'done', due = NULL, result = 'resolved' WHERE alert_id = ? AND state = 'new'",
	            SQL_BINDS(sql_text(job->id)), NULL, NULL, err) < 0)
		return -1;
	*taken = db->changed > 0 || job->resolved;
	return *taken ? see_again(db, job->id, err) : 0;
}

static int insert_alert(struct sql *db, struct put_job *job, struct err *err)
{
	const struct alert_put *put = job->put;
	const struct sql_value received = sql_int(put->received_at);

	if (sql_run(db,
	            "INSERT INTO alert (alert_id, dedup, rearm, service, source, status, state, received_at, due, attempts,"
	            " seen, body, result, raw, raw_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?, ?, ?, ?)",
	            SQL_BINDS(sql_text(put->id), sql_text(put->dedup), sql_int(job->known ? job->rearm + 1 : 0),
	                      sql_text(put->service ? put->service : ""), sql_text(put->source ? put->source : ""),
	                      sql_text(put->status ? put->status : ""), sql_text(put->dead ? "dead" : "new"), received,
	                      put->dead ? sql_text(NULL) : received, sql_text(put->body), sql_text(put->dead),
	                      sql_text(put->raw), sql_text(put->raw_sha256)),
	            NULL, NULL, err) < 0)
		return -1;
	job->stored = true;
	(void)snprintf(job->id, ALERT_ID, "%s", put->id);
	return 0;
}

static int put_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct put_job *job = ctx;

	bool taken = false;

	job->stored = false;
	if (job->put->voids && void_waiting(db, job, &taken, err) < 0)
		return -1;
	if (taken)
		return 0;
	if (find_known(db, job->put->dedup, job, err) < 0)
		return -1;
	if (!job->known || alerts_rearmed(job->put, job->received_at)) {
		if (insert_alert(db, job, err) == 0)
			return 0;
		if (err->code != ERR_CONFLICT)
			return -1;
		/* Another process stored the same alert in between; or the id is in use, which is the caller's mistake. */
		if (find_known(db, job->put->dedup, job, err) < 0)
			return -1;
		if (!job->known || alerts_rearmed(job->put, job->received_at))
			return err_set(err, ERR_CONFLICT, "the alert id %s is in use for another alert", job->put->id);
	}
	return see_again(db, job->id, err);
}

static int sql_alerts_put(struct alerts *a, const struct alert_put *put, bool *stored, char id_out[ALERT_ID],
                          struct err *err)
{
	struct put_job job = {.put = put, .id = id_out};

	if (alerts_check_put(put, err) < 0 || sql_atomic(db_of(a), SQL_WRITE, put_in_tx, &job, err) < 0)
		return -1;
	*stored = job.stored;
	return 0;
}

/* --- claim --- */

struct claimed {
	size_t id, body; /* offsets in texts */
	int64_t attempts, received_at;
};

struct claim_job {
	int64_t limit, lease_ms;
	const char *service;
	char token[ALERT_TOKEN];
	int64_t now;
	struct claimed *list;
	size_t n, cap;
	struct buf texts;
	bool full;
};

static int on_due(void *ctx, const struct sql_value *col, struct err *err)
{
	struct claim_job *job = ctx;

	if (job->full)
		return 0;
	if (job->n > 0 && job->texts.n + col[0].n + col[3].n + 2 > ALERT_CLAIM_BYTES) {
		job->full = true;
		return 0;
	}
	if (job->n == job->cap) {
		const size_t cap = job->cap ? job->cap * 2 : 16;
		struct claimed *list = realloc(job->list, cap * sizeof *list);
		if (!list)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		job->list = list;
		job->cap = cap;
	}
	struct claimed *c = &job->list[job->n++];
	*c = (struct claimed){.id = job->texts.n, .attempts = col[1].i, .received_at = col[2].i};
	buf_put(&job->texts, col[0].s, col[0].n + 1);
	c->body = job->texts.n;
	buf_put(&job->texts, col[3].s, col[3].n + 1);
	return buf_ok(&job->texts, err);
}

static int select_due(struct sql *db, struct claim_job *job, struct err *err)
{
	const struct sql_value now = sql_int(job->now), limit = sql_int(job->limit - (int64_t)job->n);
	char text[200];

	(void)snprintf(text, sizeof text,
	               "SELECT alert_id, attempts, received_at, body FROM alert WHERE due <= ?%s"
	               " ORDER BY due, alert_id LIMIT ?%s",
	               job->service ? " AND service = ?" : "", db->skip_locked);
	if (job->service)
		return sql_run(db, text, SQL_BINDS(now, sql_text(job->service), limit), on_due, job, err);
	return sql_run(db, text, SQL_BINDS(now, limit), on_due, job, err);
}

static int bury(struct sql *db, const char *id, const char *why, struct err *err)
{
	return sql_run(db, "UPDATE alert SET state = 'dead', due = NULL, lease_token = NULL, result = ? WHERE alert_id = ?",
	               SQL_BINDS(sql_text(why), sql_text(id)), NULL, NULL, err);
}

/* Those of the list from `first` on whose attempts are used up are dead; the others close up. *gone: how many. */
static int bury_spent(struct sql *db, struct claim_job *job, size_t first, size_t *gone, struct err *err)
{
	*gone = 0;
	for (size_t i = first; i < job->n; i++) {
		const struct claimed *c = &job->list[i];
		char why[64];
		if (c->attempts < ALERT_MAX_ATTEMPTS) {
			job->list[i - *gone] = *c;
			continue;
		}
		(void)snprintf(why, sizeof why, "lease ran out %" PRId64 " times", c->attempts);
		if (sql_run(db,
		            "UPDATE alert SET state = 'dead', due = NULL, lease_token = NULL, result = ?"
		            " WHERE alert_id = ? AND due <= ?",
		            SQL_BINDS(sql_text(why), sql_text(job->texts.p + c->id), sql_int(job->now)), NULL, NULL, err) < 0)
			return -1;
		++*gone;
	}
	job->n -= *gone;
	return 0;
}

#define TAKE_N 20

/* A few of the list that are to become ours by one statement. */
struct few {
	const struct claim_job *job;
	size_t first, n; /* n <= TAKE_N */
	bool ours[TAKE_N];
};

static const char *few_id(const struct few *f, size_t i) { return f->job->texts.p + f->job->list[f->first + i].id; }

static int on_ours(void *ctx, const struct sql_value *col, struct err *err)
{
	struct few *f = ctx;
	(void)err;

	for (size_t i = 0; i < f->n; i++)
		f->ours[i] = f->ours[i] || strcmp(few_id(f, i), col[0].s) == 0;
	return 0;
}

#define TAKE_MARKS "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
/* Found by their keys: on the index of `due` the rows of other claimers would be met, and waited for. */
#define TAKE_UPDATE                                                                         \
	"UPDATE alert SET state = 'claimed', due = ?, lease_token = ?, attempts = attempts + 1" \
	" WHERE due + 0 <= ? AND alert_id IN "

/* Each only if it is still due: where the server cannot pass over rows that others hold, another may have been faster.
 */
static int take_few(struct sql *db, struct few *f, struct err *err)
{
	const struct claim_job *job = f->job;
	struct sql_value binds[3 + TAKE_N] = {sql_int(job->now + job->lease_ms), sql_text(job->token), sql_int(job->now)};
	const bool one = f->n == 1;

	for (size_t i = 0; i < TAKE_N; i++) /* the last one stands for those that are missing */
		binds[3 + i] = sql_text(few_id(f, i < f->n ? i : f->n - 1));
	if (sql_run(db, one ? TAKE_UPDATE "(?)" : TAKE_UPDATE "(" TAKE_MARKS ")", binds, one ? 4 : 3 + TAKE_N, NULL, NULL,
	            err) < 0)
		return -1;
	if (db->changed == 0)
		return 0;
	if (db->changed == (int64_t)f->n) {
		for (size_t i = 0; i < f->n; i++)
			f->ours[i] = true;
		return 0;
	}
	binds[2] = binds[1];
	return sql_run(db, "SELECT alert_id FROM alert WHERE lease_token = ? AND alert_id IN (" TAKE_MARKS ")", binds + 2,
	               1 + TAKE_N, on_ours, f, err);
}

/* Those of the list from `first` on become ours; what does not is left out. *lost: how many. */
static int take(struct sql *db, struct claim_job *job, size_t first, size_t *lost, struct err *err)
{
	size_t kept = first;

	for (size_t i = first; i < job->n; i += TAKE_N) {
		struct few f = {.job = job, .first = i, .n = job->n - i < TAKE_N ? job->n - i : TAKE_N};
		if (take_few(db, &f, err) < 0)
			return -1;
		for (size_t k = 0; k < f.n; k++) {
			if (!f.ours[k])
				continue;
			job->list[kept] = job->list[i + k];
			job->list[kept++].attempts++;
		}
	}
	*lost = job->n - kept;
	job->n = kept;
	return 0;
}

static int claim_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct claim_job *job = ctx;
	size_t dead, lost;

	job->now = sql_now(db);
	job->n = 0;
	job->full = false;
	buf_reset(&job->texts);
	do { /* once more when some of those found were dead or another's: behind them others may wait */
		const size_t first = job->n;
		if (select_due(db, job, err) < 0 || bury_spent(db, job, first, &dead, err) < 0 ||
		    take(db, job, first, &lost, err) < 0)
			return -1;
	} while (dead + lost > 0 && (int64_t)job->n < job->limit && !job->full);
	return 0;
}

static int on_any(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)col;
	(void)err;
	*(bool *)ctx = true;
	return 0;
}

/* Whether anything is due at all. An empty queue is the usual case of a polling loop: this takes no write lock. */
static int any_due(struct sql *db, const char *service, int64_t now, bool *any, struct err *err)
{
	if (service)
		return sql_run(db, "SELECT alert_id FROM alert WHERE due <= ? AND service = ? LIMIT 1",
		               SQL_BINDS(sql_int(now), sql_text(service)), on_any, any, err);
	return sql_run(db, "SELECT alert_id FROM alert WHERE due <= ? LIMIT 1", SQL_BINDS(sql_int(now)), on_any, any, err);
}

static int hand_over(const struct claim_job *job, alert_claim_fn fn, void *ctx, int64_t *count, struct err *err)
{
	for (size_t i = 0; i < job->n; i++) {
		const struct claimed *c = &job->list[i];
		const struct alert_claim claim = {
			.id = job->texts.p + c->id,
			.body = job->texts.p + c->body,
			.token = job->token,
			.attempt = c->attempts,
			.lease_until = job->now + job->lease_ms,
			.received_at = c->received_at,
		};
		if (fn(ctx, &claim, err) < 0)
			return -1; /* the rest stays leased and comes back when the lease runs out */
		(*count)++;
	}
	return 0;
}

static int sql_alerts_claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn,
                            void *ctx, int64_t *count, int64_t *now, struct err *err)
{
	struct sql *db = db_of(a);
	struct claim_job job = {
		.limit = limit, .lease_ms = lease_ms, .service = service, .texts = BUF_INIT(2 * ALERT_CLAIM_BYTES)};
	bool any = false;
	int rc = -1;

	if (db->in_tx) /* nothing may be handed over before it is committed */
		return err_set(err, ERR_USAGE, "alerts cannot be claimed inside a batch: commit it first");
	*now = sql_now(db);
	if (any_due(db, service, *now, &any, err) < 0)
		return -1;
	if (!any)
		return 0;
	if (alerts_token(job.token, err) < 0 || sql_atomic(db, SQL_WRITE, claim_in_tx, &job, err) < 0)
		goto out;
	*now = job.now;
	rc = hand_over(&job, fn, ctx, count, err);
out:
	free(job.list);
	buf_release(&job.texts);
	return rc;
}

/* --- renew, finish and give back --- */

struct end_job {
	const char *id, *token, *text;
	int64_t delay_ms;
	bool final;
	int64_t attempts;
	bool held, dead;
};

struct renew_job {
	const char *token;
	int64_t lease_ms, held;
};

/* A claimed row's `due` is its lease's end, so those that still hold stand behind now on the index. */
static int renew_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct renew_job *job = ctx;
	const int64_t now = sql_now(db);

	if (sql_run(db, "UPDATE alert SET due = ? WHERE due > ? AND lease_token = ? AND state = 'claimed'",
	            SQL_BINDS(sql_int(now + job->lease_ms), sql_int(now), sql_text(job->token)), NULL, NULL, err) < 0)
		return -1;
	job->held = db->changed;
	return 0;
}

static int sql_alerts_renew(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err)
{
	struct renew_job job = {.token = token, .lease_ms = lease_ms};

	if (sql_atomic(db_of(a), SQL_WRITE, renew_in_tx, &job, err) < 0)
		return -1;
	*held = job.held;
	return 0;
}

static int finish_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct end_job *job = ctx;

	if (sql_run(db,
	            "UPDATE alert SET state = 'done', due = NULL, lease_token = NULL, result = ?"
	            " WHERE alert_id = ? AND lease_token = ? AND state = 'claimed'",
	            SQL_BINDS(sql_text(job->text), sql_text(job->id), sql_text(job->token)), NULL, NULL, err) < 0)
		return -1;
	job->held = db->changed > 0;
	return 0;
}

static int sql_alerts_finish(struct alerts *a, const char *id, const char *token, const char *result, bool *held,
                             struct err *err)
{
	struct end_job job = {.id = id, .token = token, .text = result};

	if (store_fits("the result", result, LINE_MAX_BYTES, err) < 0 ||
	    sql_atomic(db_of(a), SQL_WRITE, finish_in_tx, &job, err) < 0)
		return -1;
	*held = job.held;
	return 0;
}

static int on_attempts(void *ctx, const struct sql_value *col, struct err *err)
{
	struct end_job *job = ctx;
	(void)err;

	job->held = true;
	job->attempts = col[0].i;
	return 0;
}

static int give_back_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct end_job *job = ctx;
	const struct sql_value id = sql_text(job->id), token = sql_text(job->token);

	job->held = job->dead = false;
	/* The update changes nothing; it makes the row ours, so that what is read next stays true. */
	if (sql_run(db, "UPDATE alert SET state = state WHERE alert_id = ? AND lease_token = ? AND state = 'claimed'",
	            SQL_BINDS(id, token), NULL, NULL, err) < 0 ||
	    sql_run(db, "SELECT attempts FROM alert WHERE alert_id = ? AND lease_token = ? AND state = 'claimed'",
	            SQL_BINDS(id, token), on_attempts, job, err) < 0)
		return -1;
	if (!job->held)
		return 0;
	job->dead = job->final || (job->delay_ms != 0 && job->attempts >= ALERT_MAX_ATTEMPTS);
	if (job->dead)
		return bury(db, job->id, job->text, err);
	const int64_t delay = job->delay_ms < 0 ? alerts_backoff_ms(job->attempts) : job->delay_ms;
	return sql_run(
		db,
		"UPDATE alert SET state = 'new', due = ?, lease_token = NULL, attempts = ?, result = ?"
		" WHERE alert_id = ?",
		SQL_BINDS(sql_int(sql_now(db) + delay), sql_int(job->attempts - (job->delay_ms == 0)), sql_text(job->text), id),
		NULL, NULL, err);
}

static int sql_alerts_give_back(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
                                const char *error, bool *held, bool *dead, struct err *err)
{
	struct end_job job = {.id = id, .token = token, .text = error, .delay_ms = delay_ms, .final = final};

	if (store_fits("the error", error, LINE_MAX_BYTES, err) < 0 ||
	    sql_atomic(db_of(a), SQL_WRITE, give_back_in_tx, &job, err) < 0)
		return -1;
	*held = job.held;
	*dead = job.dead;
	return 0;
}

/* --- looking and requeueing --- */

struct row_walk {
	alert_row_fn fn;
	void *ctx;
};

static int on_alert(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct row_walk *walk = ctx;
	const struct alert_row row = {
		.id = col[0].s,
		.service = col[1].s,
		.state = col[2].s,
		.body = col[3].s,
		.result = col[4].type == SQL_NULL ? NULL : col[4].s,
		.received_at = col[5].i,
		.due = sql_get_time(&col[6]),
		.attempts = col[7].i,
		.seen = col[8].i,
		.raw = col[9].type == SQL_NULL ? NULL : col[9].s,
		.raw_sha256 = col[10].type == SQL_NULL ? NULL : col[10].s,
	};

	return walk->fn(walk->ctx, &row, err);
}

#define ALERT_SELECT \
	"SELECT alert_id, service, state, body, result, received_at, due, attempts, seen, raw, raw_sha256 FROM alert"
#define ALERT_ORDER " ORDER BY received_at, alert_id"

static int sql_alerts_each(struct alerts *a, const char *state, alert_row_fn fn, void *ctx, struct err *err)
{
	struct row_walk walk = {fn, ctx};

	if (!state)
		return sql_walk(db_of(a), ALERT_SELECT ALERT_ORDER, SQL_NO_BINDS, on_alert, &walk, err);
	return sql_walk(db_of(a), ALERT_SELECT " WHERE state = ?" ALERT_ORDER, SQL_BINDS(sql_text(state)), on_alert, &walk,
	                err);
}

static int requeue_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct end_job *job = ctx;
	const struct sql_value id = sql_text(job->id);

	job->held = false;
	if (sql_run(db,
	            "UPDATE alert SET state = 'new', due = ?, attempts = 0, result = NULL"
	            " WHERE alert_id = ? AND state IN ('dead', 'done') AND service <> ''",
	            SQL_BINDS(sql_int(sql_now(db)), id), NULL, NULL, err) < 0)
		return -1;
	if (db->changed > 0) {
		job->held = true;
		return 0;
	}
	bool never_whole = false;
	if (sql_run(db, "SELECT alert_id FROM alert WHERE alert_id = ? AND state = 'dead' AND service = ''", SQL_BINDS(id),
	            on_any, &never_whole, err) < 0)
		return -1;
	if (never_whole)
		return alerts_never_whole(job->id, err);
	return sql_run(db, "SELECT alert_id FROM alert WHERE alert_id = ?", SQL_BINDS(id), on_any, &job->held, err);
}

static int sql_alerts_requeue(struct alerts *a, const char *id, bool *there, struct err *err)
{
	struct end_job job = {.id = id};

	if (sql_atomic(db_of(a), SQL_WRITE, requeue_in_tx, &job, err) < 0)
		return -1;
	*there = job.held;
	return 0;
}

static int on_due_time(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = col[0].i;
	return 0;
}

static int sql_alerts_next_due(struct alerts *a, int64_t *due, struct err *err)
{
	*due = INT64_MAX;
	return sql_run(db_of(a), "SELECT due FROM alert WHERE due IS NOT NULL ORDER BY due LIMIT 1", SQL_NO_BINDS,
	               on_due_time, due, err);
}

static int on_count(void *ctx, const struct sql_value *col, struct err *err)
{
	struct alert_counts *counts = ctx;
	const struct {
		const char *state;
		int64_t *n;
	} states[] = {
		{"new", &counts->waiting}, {"claimed", &counts->claimed}, {"done", &counts->done}, {"dead", &counts->dead}};
	(void)err;

	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (strcmp(col[0].s, states[i].state) == 0)
			*states[i].n = col[1].i;
	if (strcmp(col[0].s, "new") == 0 || strcmp(col[0].s, "claimed") == 0)
		if (counts->oldest == INT64_MIN || col[2].i < counts->oldest)
			counts->oldest = col[2].i;
	return 0;
}

static int sql_alerts_may_write(struct alerts *a, struct err *err) { return sql_may_write(db_of(a), err); }

static int sql_alerts_count(struct alerts *a, struct alert_counts *counts, struct err *err)
{
	return sql_run(db_of(a), "SELECT state, COUNT(*), MIN(received_at) FROM alert GROUP BY state", SQL_NO_BINDS,
	               on_count, counts, err);
}

struct prune_job {
	const char *state;
	int64_t before, limit, n;
	char id[ALERT_ID];
	int64_t received_at;
};

static int on_last(void *ctx, const struct sql_value *col, struct err *err)
{
	struct prune_job *job = ctx;
	(void)err;

	job->received_at = col[0].i;
	(void)snprintf(job->id, sizeof job->id, "%s", col[1].s);
	return 0;
}

/* The limit-th settled alert marks where this slice ends: no server deletes by ORDER BY and LIMIT alike. */
static int prune_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct prune_job *job = ctx;

	job->received_at = job->before;
	job->id[0] = '\0';
	if (sql_run(db,
	            "SELECT received_at, alert_id FROM alert WHERE state = ? AND received_at < ?"
	            " ORDER BY received_at, alert_id LIMIT 1 OFFSET ?",
	            SQL_BINDS(sql_text(job->state), sql_int(job->before), sql_int(job->limit)), on_last, job, err) < 0 ||
	    sql_run(
			db, "DELETE FROM alert WHERE state = ? AND (received_at < ? OR (received_at = ? AND alert_id < ?))",
			SQL_BINDS(sql_text(job->state), sql_int(job->received_at), sql_int(job->received_at), sql_text(job->id)),
			NULL, NULL, err) < 0)
		return -1;
	job->n = db->changed;
	return 0;
}

static int sql_alerts_prune(struct alerts *a, const char *state, int64_t before, int64_t limit, int64_t *n,
                            struct err *err)
{
	struct prune_job job = {.state = state, .before = before, .limit = limit};

	if (sql_atomic(db_of(a), SQL_WRITE, prune_in_tx, &job, err) < 0)
		return -1;
	*n = job.n;
	return 0;
}

const struct alerts_driver alerts_sql = {
	.open = sql_alerts_open,
	.close = sql_alerts_close,
	.now = sql_alerts_now,
	.put = sql_alerts_put,
	.begin = sql_alerts_begin,
	.commit = sql_alerts_commit,
	.rollback = sql_alerts_rollback,
	.claim = sql_alerts_claim,
	.renew = sql_alerts_renew,
	.finish = sql_alerts_finish,
	.give_back = sql_alerts_give_back,
	.each = sql_alerts_each,
	.requeue = sql_alerts_requeue,
	.next_due = sql_alerts_next_due,
	.count = sql_alerts_count,
	.may_write = sql_alerts_may_write,
	.prune = sql_alerts_prune,
};
