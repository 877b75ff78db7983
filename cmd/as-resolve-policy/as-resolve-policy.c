/* as-resolve-policy: which rule holds for the service of each record, field by field, and who said so: a label of the
 * container, a row of the store, the alert, or the default. Adds `policy` and `history`. See as-resolve-policy(1). */
#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/front.h"
#include "policy/policy.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const struct option_row options[] = {{0}};
static const struct command command = {"as-resolve-policy", "find the policy of each record's service, with provenance",
                                       "[SERVICE ...]", options};

struct row {
	int64_t priority, version;
	bool exact;
	char from[128], type[32];
	char *fields;
};

#define ROWS_MAX 256

struct resolver {
	struct front f;
	struct store *store; /* opened at the first record */
	const char *service; /* of the record in hand */
	struct row rows[ROWS_MAX];
	size_t nrows;
	struct policy_switched lbs[CONFIG_LBS_MAX];
	size_t nlbs;
};

static int keep_row(void *ctx, const struct policy_row *p, struct err *err)
{
	struct resolver *r = ctx;

	if (!policy_matches(p->service, r->service))
		return 0;
	if (r->nrows == ROWS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d policies match service %s", ROWS_MAX, r->service);
	struct row *row = &r->rows[r->nrows];
	*row = (struct row){p->priority, p->version, strcmp(p->service, r->service) == 0, "", "", strdup(p->fields)};
	if (!row->fields)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	(void)snprintf(row->from, sizeof row->from, "db:%s@%lld", p->name, (long long)p->version);
	(void)snprintf(row->type, sizeof row->type, "%s", p->type);
	r->nrows++;
	return 0;
}

/* Higher priority first, then exact name over glob, then newer version. */
static int by_rank(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->exact != b->exact)
		return a->exact ? -1 : 1;
	return (a->version < b->version) - (a->version > b->version);
}

static void drop_rows(struct resolver *r)
{
	while (r->nrows)
		free(r->rows[--r->nrows].fields);
}

static int add_policy(struct resolver *r, struct record *rec, struct err *err)
{
	const struct jv template = jv_get(record_get(rec, "observed"), "template");
	const struct policy_limits limits = {.max_replicas = r->f.conf.max_replicas,
	                                     .per_host = r->f.conf.per_host,
	                                     .narrow = r->f.conf.labels == CONF_LABELS_NARROW};
	struct policy_source sources[ROWS_MAX + 3 + CONVENTIONS + 1];
	struct policy_conventions conventions = {.n = 0};
	size_t n = 0;
	int bad = 0;

	if (r->f.conf.labels != CONF_LABELS_IGNORE) {
		sources[n++] =
			(struct policy_source){.kind = POLICY_LABELS, .from = "label", .object = jv_get(template, "labels")};
		sources[n++] = (struct policy_source){
			.kind = POLICY_VARIABLES, .from = "variable", .object = jv_get(template, "variables")};
	}
	for (size_t i = 0; i < r->nrows; i++)
		sources[n++] = (struct policy_source){.kind = POLICY_ROW,
		                                      .from = r->rows[i].from,
		                                      .type = r->rows[i].type,
		                                      .object = {r->rows[i].fields, strlen(r->rows[i].fields)}};
	sources[n++] = (struct policy_source){.kind = POLICY_ALERT, .from = "alert", .object = record_get(rec, "alert")};
	if (r->f.conf.labels != CONF_LABELS_IGNORE) {
		const bool named = policy_says(sources, n, "lb");
		bad = policy_conventions_read(&conventions, template, named, r->lbs, r->nlbs, err);
		memcpy(&sources[n], conventions.v, conventions.n * sizeof *conventions.v);
		n += conventions.n;
	}
	if (!bad)
		bad = policy_resolve(sources, n, &limits, record_edit(rec, "policy"), err);
	policy_conventions_release(&conventions);
	return bad;
}

static void put_history(struct buf *b, const struct service_past *past)
{
	buf_putc(b, '{');
	buf_json_member_int(b, "generation", past->generation);
	clock_json_member(b, "last_out", past->last_out);
	clock_json_member(b, "last_in", past->last_in);
	buf_puts(b, ",\"window\":[],\"repairs\":");
	buf_put(b, past->repairs.p, past->repairs.n);
	buf_puts(b, ",\"pending\":");
	if (!past->pending) {
		buf_puts(b, "null}");
		return;
	}
	buf_putc(b, '{');
	buf_json_member_str(b, "op_id", past->pending_op);
	buf_json_member_int(b, "generation", past->pending_generation);
	buf_json_member_str(b, "alert_id", past->pending_alert);
	buf_json_member_str(b, "action", past->pending_action);
	clock_json_member(b, "at", past->pending_at);
	buf_json_member_int(b, "attempts", past->pending_attempts);
	buf_json_key(b, "plan");
	buf_put(b, past->pending_plan.p, past->pending_plan.n);
	buf_puts(b, "}}");
}

static enum record_fate each(void *ctx, struct record *rec, struct err *err)
{
	struct resolver *r = ctx;
	char service[SERVICE_NAME_MAX + 1];
	struct service_past past = {0};
	int bad;

	if (record_service(rec, service, err) < 0)
		return RECORD_ERROR;
	if (!r->store && !(r->store = store_open(r->f.conf.store, err)))
		return RECORD_ERROR;
	r->service = service;
	bad = store_policy_each(r->store, service, keep_row, r, err);
	if (!bad) {
		qsort(r->rows, r->nrows, sizeof *r->rows, by_rank);
		bad = add_policy(r, rec, err);
	}
	drop_rows(r);
	if (!bad && !(bad = store_past(r->store, service, &past, err)))
		put_history(record_edit(rec, "history"), &past);
	store_past_release(&past);
	return bad ? RECORD_ERROR : RECORD_PRINT;
}

int main(int argc, char **argv)
{
	static struct resolver r;
	int done = front_start(&r.f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&r.f)) >= 0)
		return done;

	for (; r.nlbs < r.f.conf.nlbs; r.nlbs++)
		r.lbs[r.nlbs] = (struct policy_switched){r.f.conf.lbs[r.nlbs].name, conf_conventions(&r.f.conf.lbs[r.nlbs])};
	const int status = front_filter(&r.f, each, &r, false);
	store_close(r.store);
	conf_release(&r.f.conf);
	return status;
}
