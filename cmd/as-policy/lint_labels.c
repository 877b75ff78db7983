/* Labels and variables of services that override fields of the rows: as far as the store remembers the services. */
#include "cmd/as-policy/lint.h"

#include "policy/policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define POLICY_BYTES (64 * 1024)

struct labels {
	struct lint *l;
	struct buf policy;
};

/* autoscale.cooldown-up, or AUTOSCALE_COOLDOWN_UP; of the field, or of its family. */
static void name_label(const struct policy_field *f, struct jv labels, bool variable, char out[80])
{
	for (int family = 0; family < 2; family++) {
		if (family && !f->family)
			return;
		(void)snprintf(out, 80, "%s%s", family ? "autoscale." : "", family ? f->family : f->label);
		for (char *p = out; variable && *p; p++)
			*p = (char)(*p == '.' || *p == '-' ? '_' : toupper((unsigned char)*p));
		if (jv_here(jv_get(labels, out)))
			return;
	}
}

static void say_shadowed(struct lint *l, const struct lint_row *row, const char *service, struct jv template,
                         struct jv policy)
{
	struct jv_cursor c = jv_each(jv_get(policy, "shadowed")), by;
	struct jv_member m, entry;

	while (jv_next(&c, &m)) {
		char name[64], label[80];
		bool hit = false;
		by = jv_each(m.value);
		while (!hit && jv_next(&by, &entry))
			hit = jv_is(jv_get(entry.value, "from"), row->from);
		const struct policy_field *f =
			hit && jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name) ? policy_field(name) : NULL;
		if (!f)
			continue;
		const bool variable = jv_is(jv_get(jv_get(policy, "from"), name), "variable");
		const char *member = jv_here(lint_field(row, name)) || !f->family ? name : f->family;
		name_label(f, jv_get(template, variable ? "variables" : "labels"), variable, label);
		lint_say(l, row, member, false, "%s: %s %s of service %s overrides it", member, variable ? "variable" : "label",
		         label, service);
	}
}

/* One container that is remembered, and neither missing nor gone. */
static int each_spec(void *ctx, const struct spec_row *spec, struct err *err)
{
	struct labels *labels = ctx;
	struct lint *l = labels->l;
	const struct policy_limits limits = {.max_replicas = l->p->f.conf.max_replicas,
	                                     .narrow = l->p->f.conf.labels == CONF_LABELS_NARROW};
	struct jv template = {0};
	struct err unused;

	(void)err;
	if (*spec->removal || spec->missing_at != TIME_NONE ||
	    jv_scan(spec->spec, strlen(spec->spec), &template, NULL, 0, NULL, &unused) < 0)
		return 0;
	for (size_t i = 0; i < l->nrows; i++) {
		struct lint_row *row = &l->rows[i];
		if (!row->file || !lint_holds(row) || !policy_matches(row->head.service, spec->service))
			continue;
		const struct policy_source sources[] = {
			{.kind = POLICY_LABELS, .from = "label", .object = jv_get(template, "labels")},
			{.kind = POLICY_VARIABLES, .from = "variable", .object = jv_get(template, "variables")},
			{.kind = POLICY_ROW,
		     .from = row->from,
		     .type = row->head.type,
		     .object = {row->fields, strlen(row->fields)}}};
		buf_reset(&labels->policy);
		(void)policy_resolve(sources, 3, &limits, &labels->policy, &unused); /* one that crosses is told of elsewhere */
		if (labels->policy.failed)
			continue;
		const struct jv policy = {labels->policy.p, labels->policy.n};
		const struct jv from = jv_path(policy, "from.max");
		row->label_max = row->label_max || jv_is(from, "label") || jv_is(from, "variable");
		say_shadowed(l, row, spec->service, template, policy);
	}
	return 0;
}

int lint_labels(struct lint *l, struct err *err)
{
	struct labels labels = {.l = l, .policy = BUF_INIT(POLICY_BYTES)};

	if (l->p->f.conf.labels == CONF_LABELS_IGNORE)
		return 0;
	const int bad = store_spec_each(l->p->store, NULL, each_spec, &labels, err);
	buf_release(&labels.policy);
	return bad;
}
