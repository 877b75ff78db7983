/* Intents and outcomes: what makes a crash harmless (design: crash rules 2, 6 and 7). Every change happens in one
 * transaction that holds the row of the service, so two passes over one service decide one after the other. */
#include "store/store.h"

#include "store/inner.h"
#include "store/many.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define MAX_ATTEMPTS 5

/* --- the row of a service --- */

static int on_service(void *ctx, const struct sql_value *col, struct err *err)
{
	struct service_row *row = ctx;
	(void)err;

	row->generation = col[0].i;
	row->last_out = sql_get_time(&col[1]);
	row->last_in = sql_get_time(&col[2]);
	row->audit_seq = col[3].i;
	(void)snprintf(row->audit_hash, sizeof row->audit_hash, "%s", col[4].s);
	return 0;
}

int service_lock(struct sql *db, const char *service, struct service_row *row, struct err *err)
{
	const struct sql_value name = sql_text(service);

	*row = (struct service_row){.service = service, .last_out = TIME_NONE, .last_in = TIME_NONE};
	/* An update, because it is what locks a row on every server. */
	if (sql_run(db, "UPDATE service_state SET service = service WHERE service = ?", SQL_BINDS(name), NULL, NULL, err) <
	    0)
		return -1;
	row->at = sql_now(db);
	if (db->changed == 0)
		return sql_run(db,
		               "INSERT INTO service_state (service, generation, audit_seq, audit_hash, updated_at)"
		               " VALUES (?, 0, 0, '', ?)",
		               SQL_BINDS(name, sql_int(row->at)), NULL, NULL, err);
	return sql_run(db,
	               "SELECT generation, last_out, last_in, audit_seq, audit_hash FROM service_state"
	               " WHERE service = ?",
	               SQL_BINDS(name), on_service, row, err);
}

int service_save(struct sql *db, const struct service_row *row, struct err *err)
{
	return sql_run(db,
	               "UPDATE service_state SET generation = ?, last_out = ?, last_in = ?, audit_seq = ?, audit_hash = ?,"
	               " updated_at = ? WHERE service = ?",
	               SQL_BINDS(sql_int(row->generation), sql_time(row->last_out), sql_time(row->last_in),
	                         sql_int(row->audit_seq), sql_text(row->audit_hash), sql_int(row->at),
	                         sql_text(row->service)),
	               NULL, NULL, err);
}

/* --- intent --- */

struct intent_job {
	const struct intent_ask *ask;
	struct intent *out;
	bool found, planned;
};

static int on_operation(void *ctx, const struct sql_value *col, struct err *err)
{
	struct intent_job *job = ctx;
	struct intent *out = job->out;

	job->found = true;
	job->planned = strcmp(col[2].s, "planned") == 0;
	(void)snprintf(out->op_id, sizeof out->op_id, "%s", col[0].s);
	(void)snprintf(out->alert_id, sizeof out->alert_id, "%s", col[1].s);
	out->generation = col[3].i;
	buf_reset(&out->plan);
	buf_reset(&out->policies);
	if (!job->planned)
		return 0;
	buf_put(&out->plan, col[4].s, col[4].n);
	buf_put(&out->policies, col[5].s, col[5].n);
	return buf_ok(&out->plan, err) < 0 ? -1 : buf_ok(&out->policies, err);
}

#define OPERATION_SELECT "SELECT op_id, alert_id, state, generation, plan, policies FROM operation"

/* The operation that stands in the way of a new one: this alert's own, else the service's unfinished one. */
static int find_operation(struct sql *db, struct intent_job *job, struct err *err)
{
	const struct intent_ask *ask = job->ask;

	if (ask->alert_id && *ask->alert_id &&
	    sql_run(db, OPERATION_SELECT " WHERE alert_key = ? AND action = ?",
	            SQL_BINDS(sql_text(ask->alert_id), sql_text(ask->action)), on_operation, job, err) < 0)
		return -1;
	if (job->found)
		return 0;
	return sql_run(db, OPERATION_SELECT " WHERE service = ? AND state = 'planned'", SQL_BINDS(sql_text(ask->service)),
	               on_operation, job, err);
}

static int plan_operation(struct sql *db, const struct intent_job *job, struct service_row *row, struct err *err)
{
	const struct intent_ask *ask = job->ask;
	const char *alert = ask->alert_id ? ask->alert_id : "";

	row->generation++;
	return sql_run(
		db,
		"INSERT INTO operation (op_id, service, generation, alert_id, alert_key, action, state, plan, policies,"
		" actor, attempts, created_at) VALUES (?, ?, ?, ?, ?, ?, 'planned', ?, ?, ?, 1, ?)",
		SQL_BINDS(sql_text(ask->op_id), sql_text(ask->service), sql_int(row->generation), sql_text(alert),
	              sql_text_or_null(alert), sql_text(ask->action), sql_text(ask->plan), sql_text_or_null(ask->policies),
	              sql_text(ask->actor ? ask->actor : ""), sql_int(row->at)),
		NULL, NULL, err);
}

static int intent_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct intent_job *job = ctx;
	const struct intent_ask *ask = job->ask;
	struct intent *out = job->out;
	struct service_row row;

	job->found = job->planned = false;
	if (service_lock(db, ask->service, &row, err) < 0 || find_operation(db, job, err) < 0)
		return -1;
	if (job->found && !job->planned) {
		out->state = INTENT_FINISHED;
		return 0;
	}
	if (job->found) {
		out->state = INTENT_RESUMED;
		return sql_run(db, "UPDATE operation SET attempts = attempts + 1 WHERE op_id = ?",
		               SQL_BINDS(sql_text(out->op_id)), NULL, NULL, err);
	}
	out->generation = row.generation;
	if (ask->generation >= 0 && ask->generation != row.generation) {
		out->state = INTENT_DEFERRED;
		return 0;
	}
	if (plan_operation(db, job, &row, err) < 0 || spec_mark_removals(db, ask, err) < 0 ||
	    audit_append(db, &row, ask->actor, "intent", ask->op_id, ask->plan, err) < 0 || service_save(db, &row, err) < 0)
		return -1;
	out->state = INTENT_NEW;
	out->generation = row.generation;
	(void)snprintf(out->op_id, sizeof out->op_id, "%s", ask->op_id);
	(void)snprintf(out->alert_id, sizeof out->alert_id, "%s", ask->alert_id ? ask->alert_id : "");
	return 0;
}

static int intent_check(const struct intent_ask *ask, struct err *err)
{
	if (!ask->service || !*ask->service || !ask->action || !*ask->action || !ask->plan || !ask->op_id || !*ask->op_id)
		return err_set(err, ERR_MISSING, "an intent needs a service, an action, a plan and an operation's id");
	if (store_fits("the service's name", ask->service, SERVICE_NAME_MAX, err) < 0 ||
	    store_fits("the alert's id", ask->alert_id, STORE_ALERT_ID, err) < 0 ||
	    store_fits("the action", ask->action, STORE_WORD, err) < 0 ||
	    store_fits("the operation's id", ask->op_id, STORE_ID, err) < 0)
		return -1;
	if (store_fits("the policies' names", ask->policies, STORE_DOCUMENT, err) < 0)
		return -1;
	return store_fits("the plan", ask->plan, STORE_DOCUMENT, err);
}

void intent_release(struct intent *in)
{
	buf_release(&in->plan);
	buf_release(&in->policies);
}

int store_intent(struct store *s, const struct intent_ask *ask, struct intent *out, struct err *err)
{
	struct intent_job job = {.ask = ask, .out = out};

	*out = (struct intent){
		.state = INTENT_DEFERRED, .plan = BUF_INIT(STORE_DOCUMENT), .policies = BUF_INIT(STORE_DOCUMENT)};
	if (intent_check(ask, err) < 0)
		return -1;
	if (sql_atomic(s->db, SQL_WRITE, intent_in_tx, &job, err) == 0)
		return 0;
	if (err->code != ERR_CONFLICT)
		return -1;
	/* Another process used the generation, the alert or the id in between: it decided, we did not. */
	out->state = INTENT_DEFERRED;
	out->op_id[0] = out->alert_id[0] = '\0';
	return 0;
}

/* --- outcome --- */

struct outcome_job {
	const struct outcome *o;
	int64_t history_id, at; /* results */
	/* the operation */
	bool found, planned;
	int64_t generation, attempts, created_at;
	char alert_id[STORE_ALERT_ID + 1], action[STORE_WORD + 1];
};

static int on_outcome_operation(void *ctx, const struct sql_value *col, struct err *err)
{
	struct outcome_job *job = ctx;
	(void)err;

	job->found = true;
	job->planned = strcmp(col[0].s, "planned") == 0;
	job->generation = col[1].i;
	job->attempts = col[2].i;
	job->created_at = col[3].i;
	(void)snprintf(job->alert_id, sizeof job->alert_id, "%s", col[4].s);
	(void)snprintf(job->action, sizeof job->action, "%s", col[5].s);
	return 0;
}

static int on_closed(void *ctx, const struct sql_value *col, struct err *err)
{
	struct outcome_job *job = ctx;
	(void)err;

	job->history_id = col[0].i;
	job->at = col[1].i;
	return 0;
}

static int on_number(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)err;
	*(int64_t *)ctx = col[0].i;
	return 0;
}

static int next_history_id(struct sql *db, int64_t *id, struct err *err)
{
	if (sql_run(db, "UPDATE counter SET value = value + 1 WHERE name = 'history'", SQL_NO_BINDS, NULL, NULL, err) < 0)
		return -1;
	return sql_run(db, "SELECT value FROM counter WHERE name = 'history'", SQL_NO_BINDS, on_number, id, err);
}

static bool is(const char *word, const char *a) { return strcmp(word, a) == 0; }

/* The history row, and the operation closed or, when it is to be tried again, left planned with its error. */
static int close_operation(struct sql *db, struct outcome_job *job, const struct service_row *row, struct err *err)
{
	const struct outcome *o = job->o;
	const bool failure = is(o->outcome, "failed") || is(o->outcome, "partial");
	const struct sql_value op_id = sql_text(o->op_id), error = sql_text_or_null(o->error);

	/* A deferred record or a rehearsal did nothing, so it ends nothing. */
	if (is(o->outcome, "deferred") || is(o->outcome, "dry-run") || (failure && o->keep && job->attempts < MAX_ATTEMPTS))
		return sql_run(db, "UPDATE operation SET error = ? WHERE op_id = ?", SQL_BINDS(error, op_id), NULL, NULL, err);

	if (sql_run(db,
	            failure ? "UPDATE operation SET state = 'failed', alert_key = NULL, error = ?, finished_at = ?"
	                      " WHERE op_id = ?"
	                    : "UPDATE operation SET state = 'done', error = ?, finished_at = ? WHERE op_id = ?",
	            SQL_BINDS(error, sql_int(row->at), op_id), NULL, NULL, err) < 0 ||
	    next_history_id(db, &job->history_id, err) < 0)
		return -1;
	return sql_run(db,
	               "INSERT INTO autoscale_history (history_id, op_id, service, generation, alert_id, action,"
	               " from_replicas, to_replicas, outcome, reason, error, duration_ms, audit_seq, finished_at, policies)"
	               " SELECT ?, op_id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, policies FROM operation WHERE op_id = ?",
	               SQL_BINDS(sql_int(job->history_id), sql_text(o->service), sql_int(job->generation),
	                         sql_text(job->alert_id), sql_text(job->action), sql_int(o->from), sql_int(o->to),
	                         sql_text(o->outcome), sql_text(o->reason ? o->reason : ""), error,
	                         sql_int(row->at - job->created_at), sql_int(row->audit_seq), sql_int(row->at), op_id),
	               NULL, NULL, err);
}

static void note_action(const struct outcome_job *job, struct service_row *row)
{
	if (!is(job->o->outcome, "done") && !is(job->o->outcome, "partial"))
		return;
	if (is(job->action, "scale-up") || is(job->action, "recreate") || is(job->action, "start"))
		row->last_out = row->at;
	else if (is(job->action, "scale-down"))
		row->last_in = row->at;
}

/* The operation as it is: *closed when its story is told already. */
static int find_outcome_operation(struct sql *db, struct outcome_job *job, bool *closed, struct err *err)
{
	const struct outcome *o = job->o;

	if (sql_run(db,
	            "SELECT state, generation, attempts, created_at, alert_id, action FROM operation"
	            " WHERE op_id = ? AND service = ?",
	            SQL_BINDS(sql_text(o->op_id), sql_text(o->service)), on_outcome_operation, job, err) < 0)
		return -1;
	if (!job->found)
		return err_set(err, ERR_NOT_FOUND, "service %s has no operation %s in this store: was the store replaced?",
		               o->service, o->op_id);
	*closed = !job->planned;
	if (!*closed)
		return 0;
	return sql_run(db, "SELECT history_id, finished_at FROM autoscale_history WHERE op_id = ?",
	               SQL_BINDS(sql_text(o->op_id)), on_closed, job, err);
}

static int note_want(struct sql *db, const struct outcome *o, int64_t at, int64_t want, struct err *err)
{
	const struct sql_value service = sql_text(o->service), noted = sql_int(at);

	/* The same decision again, or another one of that moment: the last one counts. */
	if (sql_run(db, "DELETE FROM recommendation WHERE service = ? AND noted_at = ?", SQL_BINDS(service, noted), NULL,
	            NULL, err) < 0)
		return -1;
	return sql_run(db, "INSERT INTO recommendation (service, noted_at, want) VALUES (?, ?, ?)",
	               SQL_BINDS(service, noted, sql_int(want)), NULL, NULL, err);
}

static int note_wants(struct sql *db, const struct outcome *o, struct err *err)
{
	if (!o->measured)
		return 0;
	if (o->first && note_want(db, o, o->noted_at - 1, o->before, err) < 0)
		return -1;
	return note_want(db, o, o->noted_at, o->want, err);
}

static int outcome_in_tx(struct sql *db, void *ctx, struct err *err)
{
	struct outcome_job *job = ctx;
	const struct outcome *o = job->o;
	const bool has_operation = o->op_id && *o->op_id;
	struct service_row row;
	bool closed = false;

	job->found = false;
	job->history_id = 0;
	if (service_lock(db, o->service, &row, err) < 0)
		return -1;
	job->at = row.at;
	if (has_operation && find_outcome_operation(db, job, &closed, err) < 0)
		return -1;
	if (closed)
		return 0;
	if (audit_append(db, &row, o->actor, o->outcome, o->op_id, o->body, err) < 0 || note_wants(db, o, err) < 0)
		return -1;
	if (has_operation && close_operation(db, job, &row, err) < 0)
		return -1;
	if (job->history_id)
		note_action(job, &row);
	return service_save(db, &row, err);
}

/* A closed vocabulary: a misspelt word must not close an operation as done. */
static int outcome_check(const struct outcome *o, struct err *err)
{
	static const char *const words[] = {"done", "partial", "failed", "none", "deferred", "dry-run"};

	if (!o->service || !*o->service || !o->outcome)
		return err_set(err, ERR_MISSING, "an outcome needs a service and a word for how it ended");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (is(o->outcome, words[i]))
			return 0;
	return err_set(err, ERR_INPUT,
	               "unknown outcome \"%.40s\": done, partial, failed, none, deferred and dry-run are known",
	               o->outcome);
}

int store_outcome(struct store *s, const struct outcome *o, int64_t *history_id, int64_t *at, struct err *err)
{
	struct outcome_job job = {.o = o};

	if (outcome_check(o, err) < 0 || store_fits("the service's name", o->service, SERVICE_NAME_MAX, err) < 0 ||
	    store_fits("the operation's id", o->op_id, STORE_ID, err) < 0 ||
	    store_fits("the reason", o->reason, STORE_DOCUMENT, err) < 0 ||
	    store_fits("the error", o->error, STORE_DOCUMENT, err) < 0 ||
	    sql_atomic(s->db, SQL_WRITE, outcome_in_tx, &job, err) < 0)
		return -1;
	*history_id = job.history_id;
	*at = job.at;
	return 0;
}

/* --- history --- */

struct history_walk {
	history_row_fn fn;
	void *ctx;
};

static int on_history(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct history_walk *walk = ctx;
	const struct history_row row = {
		.history_id = col[0].i,
		.op_id = col[1].s,
		.service = col[2].s,
		.generation = col[3].i,
		.alert_id = col[4].s,
		.action = col[5].s,
		.from = col[6].i,
		.to = col[7].i,
		.outcome = col[8].s,
		.reason = col[9].s,
		.error = col[10].type == SQL_NULL ? NULL : col[10].s,
		.duration_ms = col[11].i,
		.seq = col[12].i,
		.at = col[13].i,
		.policies = col[14].type == SQL_NULL ? NULL : col[14].s,
	};

	return walk->fn(walk->ctx, &row, err);
}

#define HISTORY_SELECT                                                                                              \
	"SELECT history_id, op_id, service, generation, alert_id, action, from_replicas, to_replicas, outcome, reason," \
	" error, duration_ms, audit_seq, finished_at, policies FROM autoscale_history"
/* The newest row of service s: the index gives it without a look at the others. */
#define HISTORY_NEWEST                                                                     \
	" WHERE history_id IN (SELECT (SELECT x.history_id FROM autoscale_history x"           \
	" WHERE x.service = s.service ORDER BY x.finished_at DESC, x.history_id DESC LIMIT 1)" \
	" FROM service_state s WHERE s.service IN ("
#define HISTORY_WHERE " WHERE finished_at >= ? AND finished_at < ?"
#define HISTORY_ORDER " ORDER BY finished_at, history_id"

int store_history_each(struct store *s, const struct trail_filter *f, history_row_fn fn, void *ctx, struct err *err)
{
	struct history_walk walk = {fn, ctx};
	const struct sql_value since = sql_int(f->since), until = sql_int(f->until == TIME_NONE ? INT64_MAX : f->until);

	if (!f->service)
		return sql_walk(s->db, HISTORY_SELECT HISTORY_WHERE HISTORY_ORDER, SQL_BINDS(since, until), on_history, &walk,
		                err);
	return sql_walk(s->db, HISTORY_SELECT HISTORY_WHERE " AND service = ?" HISTORY_ORDER,
	                SQL_BINDS(since, until, sql_text(f->service)), on_history, &walk, err);
}

int store_history_newest(struct store *s, const char *const *services, size_t n, history_row_fn fn, void *ctx,
                         struct err *err)
{
	struct history_walk walk = {fn, ctx};

	for (size_t at = 0; at < n; at += SQL_MANY) {
		const size_t some = n - at < SQL_MANY ? n - at : SQL_MANY;
		if (sql_many(s->db, HISTORY_SELECT HISTORY_NEWEST, services + at, some, "))", SQL_NO_BINDS, on_history, &walk,
		             err) < 0)
			return -1;
	}
	return 0;
}
