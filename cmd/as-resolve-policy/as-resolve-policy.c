/* as-resolve-policy: which rule holds for the service of each record, field by field, and who said so: a label of the
 * container, a row of the store, the alert, or the default. Adds `policy` and `history`. See as-resolve-policy(1). */
#include "cmd/as-resolve-policy/resolve.h"

#include "base/clock.h"
#include "base/exit.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* One record of the batch. */
struct item {
	char service[SERVICE_NAME_MAX + 1]; /* "": it is none of ours */
	int64_t now, running;
	struct buf policy;
	struct past_span span;
	size_t past; /* its place among those of the batch */
	bool bad;
	struct err err;
};

struct resolver {
	struct front f;
	struct batch batch;
	const char *policies; /* --policies: instead of the store */
	struct store *store;  /* opened at the first record */
	struct rows rows;
	struct known known;
	struct item items[BATCH_RECORDS];
	/* of the services in the batch, each once */
	struct past_ask asks[BATCH_RECORDS];
	struct service_past pasts[BATCH_RECORDS];
	size_t npasts;
};

static struct resolver resolver;

static const struct option_row options[] = {
	{0, "policies", OPTION_TEXT, "FILE", &resolver.policies,
     "policies of this file instead of the store, and each record's own history"},
	{0},
};
static const struct command command = {"as-resolve-policy", "find the policy of each record's service, with provenance",
                                       "[SERVICE ...]", options};

/* Of a policy that was made before it is known how far back it looks. */
static int resolve_item(struct resolver *r, struct jv record, struct item *it)
{
	struct known_policy *entry = NULL;
	const int bad = rows_resolve(&r->rows, &r->f.conf, it->service, jv_path(record, "observed.template"),
	                             jv_get(record, "alert"), &r->known, &entry, &it->policy, &it->err);

	struct past_span *const span = entry ? &entry->span : &it->span;
	if (!entry || !entry->spanned)
		past_span_read((struct jv){it->policy.p, it->policy.n}, span);
	if (entry) {
		entry->spanned = true;
		it->span = entry->span;
	}
	return bad;
}

/* ---- a batch ---- */

/* The services, each once; and for each item which of them is its own. */
static size_t name_services(struct resolver *r, size_t n, const char **services)
{
	size_t found = 0, slot[2 * BATCH_RECORDS] = {0}; /* one more than the place; 0: free */

	for (size_t i = 0; i < n; i++) {
		struct item *it = &r->items[i];
		if (!*it->service)
			continue;
		size_t at = hash_text(it->service) % (2 * BATCH_RECORDS);
		for (; slot[at] && strcmp(services[slot[at] - 1], it->service) != 0;)
			at = (at + 1) % (2 * BATCH_RECORDS);
		if (!slot[at]) {
			services[found++] = it->service;
			slot[at] = found;
		}
		it->past = slot[at] - 1;
	}
	return found;
}

static int load_rows(struct resolver *r, const char *const *services, size_t n, struct err *err)
{
	if (r->policies)
		return 0;
	if (!r->store && !(r->store = store_open(r->f.conf.store, err)))
		return -1;
	return rows_read(&r->rows, r->store, services, n, err);
}

static int64_t earlier(int64_t a, int64_t b) { return a == TIME_NONE || (b != TIME_NONE && b < a) ? b : a; }

/* Several records of one service may look back to different times: their policies can differ by what alerts say. */
static int load_pasts(struct resolver *r, const char *const *services, size_t n, size_t nitems, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		r->asks[i] = (struct past_ask){.service = services[i], .window_since = TIME_NONE, .moves_since = TIME_NONE};
	for (size_t i = 0; i < nitems; i++) {
		struct past_ask own, *ask = &r->asks[r->items[i].past];
		if (!*r->items[i].service || r->items[i].bad)
			continue;
		past_bounds(&r->items[i].span, r->items[i].now, &own);
		ask->window_since = earlier(ask->window_since, own.window_since);
		ask->moves_since = earlier(ask->moves_since, own.moves_since);
		ask->counted = ask->counted || own.counted;
	}
	if (r->policies)
		return 0;
	r->npasts = n;
	return store_past_all(r->store, r->asks, n, r->pasts, err);
}

static void read_item(struct item *it, struct jv record)
{
	it->bad = false;
	buf_reset(&it->policy);
	if (!jv_str(jv_get(record, "service"), it->service, sizeof it->service))
		it->service[0] = '\0';
	if (!clock_json(jv_get(record, "now"), &it->now))
		it->now = clock_now_ms();
	it->running = jv_int_or(jv_path(record, "observed.running"), -1);
}

static void release_pasts(struct resolver *r)
{
	for (; r->npasts; r->npasts--)
		store_past_release(&r->pasts[r->npasts - 1]);
}

static void prepare(void *ctx, const struct jv *records, size_t n)
{
	struct resolver *r = ctx;
	const char *services[BATCH_RECORDS];
	struct err err = {0};

	release_pasts(r);
	for (size_t i = 0; i < n; i++)
		read_item(&r->items[i], records[i]);
	const size_t nservices = name_services(r, n, services);
	int bad = load_rows(r, services, nservices, &err);
	for (size_t i = 0; i < n && !bad; i++)
		if (*r->items[i].service)
			r->items[i].bad = resolve_item(r, records[i], &r->items[i]) < 0;
	if (!bad)
		bad = load_pasts(r, services, nservices, n, &err);
	for (size_t i = 0; i < n && bad; i++) {
		r->items[i].bad = true;
		r->items[i].err = err;
	}
}

static enum record_fate each(void *ctx, struct record *rec, struct err *err)
{
	struct resolver *r = ctx;
	struct item *it = &r->items[r->batch.at];
	char service[SERVICE_NAME_MAX + 1];

	/* What was decided then is decided again, also where a later stage failed. */
	if (!jv_is_null(record_get(rec, "error")) && !jv_is_object(record_get(rec, "plan")))
		return RECORD_PRINT;
	if (record_service(rec, service, err) < 0)
		return RECORD_ERROR;
	if (it->bad)
		*err = it->err;
	if (it->policy.n)
		buf_put(record_edit(rec, "policy"), it->policy.p, it->policy.n);
	if (it->bad)
		return RECORD_ERROR;
	if (!r->policies || !jv_is_object(record_get(rec, "history")))
		past_put(record_edit(rec, "history"), &r->asks[it->past], r->policies ? NULL : &r->pasts[it->past], it->now,
		         r->policies ? -1 : it->running);
	return RECORD_PRINT;
}

int main(int argc, char **argv)
{
	struct resolver *r = &resolver;
	struct err err = {0};
	int done = front_start(&r->f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&r->f)) >= 0)
		return done;

	for (size_t i = 0; i < BATCH_RECORDS; i++)
		r->items[i].policy = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	if (r->policies && rows_load(&r->rows, r->policies, &err) < 0)
		return front_fail(&r->f, &err);
	r->batch =
		(struct batch){.f = &r->f, .prepare = prepare, .each = each, .ctx = r, .errors_too = r->policies != NULL};
	const int status = front_filter_batched(&r->batch);
	release_pasts(r);
	rows_clear(&r->rows);
	known_release(&r->known);
	for (size_t i = 0; i < BATCH_RECORDS; i++)
		buf_release(&r->items[i].policy);
	store_close(r->store);
	conf_release(&r->f.conf);
	return status;
}
