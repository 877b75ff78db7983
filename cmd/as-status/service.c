/* What is said of one service. */
#include "cmd/as-status/status.h"

#include "policy/decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* ---- which there are ---- */

static int by_text(const void *x, const void *y) { return strcmp(*(const char *const *)x, *(const char *const *)y); }

/* Each once, in order; n of them. */
static const char **all_names(const struct status *s, size_t *n)
{
	const char **v = calloc(s->nreplicas + s->nspecs + s->nunseen + (size_t)s->f.noperands + 1, sizeof *v);
	size_t all = 0, kept = 0;

	if (!v)
		return NULL;
	for (size_t i = 0; i < s->nreplicas; i++)
		v[all++] = s->replicas[i].service;
	for (size_t i = 0; i < s->nspecs; i++)
		v[all++] = s->specs[i].service;
	for (size_t i = 0; i < s->nunseen; i++)
		v[all++] = s->unseen[i].service;
	for (int i = 0; i < s->f.noperands; i++)
		if (strlen(s->f.operands[i]) <= SERVICE_NAME_MAX)
			v[all++] = s->f.operands[i];
	qsort(v, all, sizeof *v, by_text);
	for (size_t i = 0; i < all; i++)
		if (!kept || strcmp(v[i], v[kept - 1]) != 0)
			v[kept++] = v[i];
	*n = kept;
	return v;
}

static bool has_policy(const struct status *s, const char *name)
{
	const struct row *one[1];

	return rows_match(&s->rows, name, one, 1) > 0;
}

/* The first replica of a service; they are in order. */
static size_t first_of(const struct status *s, const char *service)
{
	size_t from = 0, to = s->nreplicas;

	while (from < to) {
		const size_t middle = (from + to) / 2;
		if (strcmp(s->replicas[middle].service, service) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool state_is(const struct replica *r, const char *state)
{
	const char *is = json_string_value(json_object_get(json_object_get(r->doc, "State"), "Status"));

	return is && strcmp(is, state) == 0;
}

static bool add_service(struct status *s, const char *name)
{
	struct service *v = &s->services[s->nservices];
	bool joined = s->f.noperands > 0 || has_policy(s, name);

	*v = (struct service){.max = -1,
	                      .wanted = -1,
	                      .template = BUF_INIT(LINE_MAX_BYTES),
	                      .policy = BUF_INIT(LINE_MAX_BYTES),
	                      .last = {.at = TIME_NONE},
	                      .past = {.last_out = TIME_NONE, .last_in = TIME_NONE}};
	(void)snprintf(v->name, sizeof v->name, "%s", name);
	const size_t first = first_of(s, name);
	v->v = &s->replicas[first];
	for (size_t i = first; i < s->nreplicas && strcmp(s->replicas[i].service, name) == 0; i++) {
		const struct replica *r = &s->replicas[i];
		v->n++;
		joined = joined || r->joined;
		if (r->kept)
			continue;
		v->running += state_is(r, "running");
		v->ready += r->ready;
		v->stopped += state_is(r, "exited") || state_is(r, "created") || state_is(r, "dead");
	}
	for (size_t i = 0; i < s->nunseen; i++)
		v->unknown += strcmp(s->unseen[i].service, name) == 0;
	s->nservices += joined || v->unknown;
	return joined || v->unknown;
}

/* ---- what is remembered of it ---- */

/* Its name is there on its host, or on another where it was made later: it moved. */
static bool is_there(const struct service *v, const struct spec *spec, const struct status *s)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(container_name(v->v[i].doc), spec->name) == 0 &&
		    (strcmp(s->f.conf.hosts[v->v[i].host].name, spec->host) == 0 || v->v[i].created * 1000 > spec->seen_at))
			return true;
	return false;
}

static bool answers(const struct status *s, const char *host)
{
	const struct conf_host *h = conf_host(&s->f.conf, host);

	return h && s->host[h - s->f.conf.hosts].ok;
}

static int name_of(const void *x, const void *y) { return strcmp(x, ((const struct service *)y)->name); }

static void place_specs(struct status *s)
{
	for (size_t i = 0; i < s->nspecs; i++) {
		const struct spec *spec = &s->specs[i];
		struct service *v = bsearch(spec->service, s->services, s->nservices, sizeof *v, name_of);
		if (!v)
			continue;
		v->missing += spec->wanted && answers(s, spec->host) && !is_there(v, spec, s);
		if (!v->newest || spec->seen_at > v->newest->seen_at)
			v->newest = spec;
	}
}

/* ---- its policy ---- */

/* As as-inspect chooses the template of a copy. */
const struct replica *stands_for(const struct service *v)
{
	const struct replica *best = NULL;
	int best_rank = -1;

	for (size_t i = 0; i < v->n; i++) {
		const struct replica *r = &v->v[i];
		const int rank = r->kept ? TEMPLATE_RANKS : template_rank(r->ready, r->copy);
		if (rank > best_rank || (rank == best_rank && r->created > best->created)) {
			best = r;
			best_rank = rank;
		}
	}
	return best;
}

static int learn_all(struct status *s, struct err *err)
{
	struct replica **v = calloc(s->nservices + 1, sizeof(struct replica *));
	size_t n = 0;

	if (!v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < s->nservices; i++) {
		const struct replica *r = stands_for(&s->services[i]);
		if (r)
			v[n++] = &s->replicas[r - s->replicas];
	}
	const int bad = s->f.conf.labels == CONF_LABELS_IGNORE ? 0 : learn_variables(s, v, n, err);
	free(v);
	return bad;
}

static bool by_label(struct jv policy, const char *field)
{
	const struct jv from = jv_get(jv_get(policy, "from"), field);

	return jv_is(from, "label") || jv_is(from, "variable");
}

static void resolve(struct status *s, struct service *v)
{
	const struct replica *r = stands_for(v);
	struct jv template = {0};

	if (r)
		template_json(&v->template, r->doc, s->f.conf.hosts[r->host].name, NULL);
	else if (v->newest)
		buf_puts(&v->template, v->newest->text);
	if (v->template.n && jv_scan(v->template.p, v->template.n, &template, NULL, 0, NULL, &v->why) < 0)
		return;
	v->resolved =
		rows_resolve(&s->rows, &s->f.conf, v->name, template, (struct jv){0}, NULL, NULL, &v->policy, &v->why) == 0;
	const struct jv policy = {v->policy.p, v->policy.n};
	if (!v->resolved)
		return;
	limits_at(policy, s->now, &v->min, &v->max);
	v->limits_known = s->store_ok || (by_label(policy, "min") && by_label(policy, "max"));
}

/* ---- all of it ---- */

/* An operand that nobody knows is told, and has no row. */
static void drop_unknown(struct status *s)
{
	size_t kept = 0;
	char text[256];

	for (size_t i = 0; i < s->nservices; i++) {
		struct service *v = &s->services[i];
		if (v->n || v->newest || v->unknown || v->past.generation || v->last.at != TIME_NONE ||
		    has_policy(s, v->name)) {
			s->services[kept++] = *v;
			continue;
		}
		(void)snprintf(text, sizeof text,
		               "service %.*s: no container, policy or history has this name (label autoscale.service)",
		               SERVICE_NAME_MAX, v->name);
		add_note(s, text);
		buf_release(&v->template);
		buf_release(&v->policy);
		store_past_release(&v->past);
	}
	s->nservices = kept;
}

static void note_policies(struct status *s)
{
	for (size_t i = 0; i < s->nservices; i++)
		if (!s->services[i].resolved) {
			struct err why = s->services[i].why;
			(void)err_prefix(&why, "service %s", s->services[i].name);
			add_note(s, why.message);
		}
}

int find_services(struct status *s, struct err *err)
{
	size_t n = 0, kept = 0;
	const char **names = all_names(s, &n);

	s->services = calloc(n + 1, sizeof *s->services);
	int bad = names && s->services ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
	if (!bad && s->store && rows_read(&s->rows, s->store, names, n, &s->store_why) < 0) {
		s->store_ok = false;
		add_note(s, s->store_why.message);
	}
	for (size_t i = 0; !bad && i < n; i++)
		if (add_service(s, names[i]))
			names[kept++] = names[i];
	if (!bad) {
		place_specs(s);
		bad = learn_all(s, err);
	}
	for (size_t i = 0; !bad && i < s->nservices; i++)
		resolve(s, &s->services[i]);
	if (!bad) {
		read_past(s, names, kept);
		drop_unknown(s);
		note_policies(s);
	}
	for (size_t i = 0; !bad && i < s->nservices; i++)
		bad = find_sides(s, &s->services[i], err);
	free(names);
	return bad ? -1 : confirm_sides(s, err);
}

/* ---- questions about it ---- */

int64_t running_on(const struct service *v, size_t host)
{
	int64_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		n += v->v[i].host == host && !v->v[i].kept && state_is(&v->v[i], "running");
	return n;
}

int64_t unseen_on(const struct status *s, const struct service *v, size_t host)
{
	int64_t n = 0;

	for (size_t i = 0; v->unknown && i < s->nunseen; i++)
		n += s->unseen[i].host == host && strcmp(s->unseen[i].service, v->name) == 0;
	return n;
}

void look_ahead(const struct status *s, const struct service *v, struct outlook *o)
{
	const struct jv policy = {v->policy.p, v->policy.n};
	const int64_t count = v->running + v->unknown, out = v->past.last_out, in = v->past.last_in;

	*o = (struct outlook){.out = NEVER, .in = NEVER};
	if (!v->resolved)
		return;
	o->paused_out = paused_at(policy, true, false, s->now);
	o->paused_in = paused_at(policy, false, true, s->now);
	if (count < v->min) /* limits win over cooldowns */
		o->out = 0;
	else if (v->max > count)
		o->out = cooldown_left(policy, true, out, s->now);
	if (v->max >= 0 && count > v->max)
		o->in = 0;
	else if (count > v->min)
		o->in = cooldown_left(policy, false, in > out ? in : out, s->now);
}
