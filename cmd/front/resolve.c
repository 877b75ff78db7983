/* The policy of a service: labels, variables, rows, the alert, conventions. */
#include "cmd/front/rows.h"

#include <string.h>

#include "base/banned.h"

static int keep_row(void *ctx, const struct policy_row *p, struct err *err) { return rows_add(ctx, p, err); }

int rows_read(struct rows *rows, struct store *store, const char *const *services, size_t n, struct err *err)
{
	rows_clear(rows);
	if (store_policy_for(store, services, n, keep_row, rows, err) < 0)
		return -1;
	rows_sort(rows);
	return 0;
}

static size_t switched(const struct conf *conf, struct policy_switched lbs[CONFIG_LBS_MAX])
{
	size_t n = 0;

	for (; n < conf->nlbs; n++)
		lbs[n] = (struct policy_switched){conf->lbs[n].name, conf_conventions(&conf->lbs[n])};
	return n;
}

int rows_resolve(const struct rows *rows, const struct conf *conf, const char *service, struct jv template,
                 struct jv alert, struct known *known, struct known_policy **entry, struct buf *out, struct err *err)
{
	const struct policy_limits limits = {
		.max_replicas = conf->max_replicas, .per_host = conf->per_host, .narrow = conf->labels == CONF_LABELS_NARROW};
	struct policy_source sources[ROWS_MAX + 3 + CONVENTIONS + 1];
	struct policy_switched lbs[CONFIG_LBS_MAX];
	const struct row *found[ROWS_MAX];
	struct policy_conventions conventions = {.n = 0};
	const size_t nrows = rows_match(rows, service, found, ROWS_MAX);
	size_t n = 0;
	int bad = 0;

	if (nrows > ROWS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d policies match service %s", ROWS_MAX, service);
	if (conf->labels != CONF_LABELS_IGNORE) {
		sources[n++] =
			(struct policy_source){.kind = POLICY_LABELS, .from = "label", .object = jv_get(template, "labels")};
		sources[n++] = (struct policy_source){
			.kind = POLICY_VARIABLES, .from = "variable", .object = jv_get(template, "variables")};
	}
	for (size_t i = 0; i < nrows; i++)
		sources[n++] = (struct policy_source){.kind = POLICY_ROW,
		                                      .from = found[i]->from,
		                                      .type = found[i]->type,
		                                      .object = {found[i]->fields, strlen(found[i]->fields)}};
	sources[n++] = (struct policy_source){.kind = POLICY_ALERT, .from = "alert", .object = alert};
	struct known_policy *before = NULL;
	if (known) {
		known_begin(known, sources, n);
		*entry = before = known_find(known);
	}
	const bool named = before ? before->named : policy_says(sources, n, "lb");
	if (conf->labels != CONF_LABELS_IGNORE)
		bad = policy_conventions_read(&conventions, template, named, lbs, switched(conf, lbs), err);
	if (!bad && before && !conventions.n) {
		buf_put(out, before->policy.p, before->policy.n);
		policy_conventions_release(&conventions);
		return buf_ok(out, err);
	}
	if (known)
		*entry = NULL;
	memcpy(&sources[n], conventions.v, conventions.n * sizeof *conventions.v);
	if (!bad)
		bad = policy_resolve(sources, n + conventions.n, &limits, out, err);
	if (!bad && known && !conventions.n)
		*entry = known_keep(known, out, named);
	policy_conventions_release(&conventions);
	return bad;
}
