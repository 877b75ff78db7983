/* The load as it would have been: what all replicas do together stays, and is shared by as many as there would be. */
#include "policy/simulation.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define MICRO 1000000

void sim_put_micro(struct buf *out, int64_t micro)
{
	const uint64_t size = micro < 0 ? 0 - (uint64_t)micro : (uint64_t)micro;
	char text[48];
	int n = snprintf(text, sizeof text, "%s%llu.%06llu", micro < 0 ? "-" : "", (unsigned long long)(size / MICRO),
	                 (unsigned long long)(size % MICRO));

	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	buf_put(out, text, (size_t)n);
}

/* To the nearest; half away from zero. */
static int64_t quotient(__int128 x, __int128 parts)
{
	const __int128 r = (2 * x + (x < 0 ? -parts : parts)) / (2 * parts);

	return r > INT64_MAX ? INT64_MAX : r < -INT64_MAX ? -INT64_MAX : (int64_t)r;
}

/* The share of one replica, when n of them had a sum of v. */
static int64_t of_one(const struct scene *scene, __int128 v, int64_t n)
{
	return scene->recorded > 0 && scene->count > 0 ? quotient(v * scene->recorded, (__int128)n * scene->count)
	                                               : quotient(v, n);
}

static bool is_gone(const struct scene *scene, struct jv id)
{
	for (size_t i = 0; i < SIM_COUNT(&scene->gone, struct jv); i++) {
		const struct jv *gone = SIM_AT(&scene->gone, struct jv, i);
		if (gone->n == id.n && id.n && memcmp(gone->p, id.p, id.n) == 0)
			return true;
	}
	return false;
}

static void put_metric(const struct scene *scene, struct buf *out, struct jv metric)
{
	const bool shared = member_is(metric, "per", "replica") || member_is(metric, "per", "container");
	struct jv_cursor c = jv_each(metric);
	struct jv_member m;
	int64_t micro;

	buf_json_comma(out);
	buf_putc(out, '{');
	while (jv_next(&c, &m)) {
		buf_json_comma(out);
		buf_printf(out, "\"%.*s\":", (int)m.name.n, m.name.p);
		if (shared && scene->count != scene->recorded && jv_name_is(&m, "value") && jv_micro(m.value, &micro))
			sim_put_micro(out, of_one(scene, micro, 1));
		else
			buf_put(out, m.value.p, m.value.n);
	}
	buf_putc(out, '}');
}

static bool of_container(struct jv metric, struct jv name)
{
	const struct jv own = jv_get(metric, "name");

	return jv_is_object(metric) && member_is(metric, "per", "container") && own.n == name.n && name.n &&
	       memcmp(own.p, name.p, name.n) == 0;
}

/* What the containers have of this together, and how many of them have a value. */
static int64_t sum_of(struct jv metrics, struct jv name, __int128 *sum)
{
	struct jv_cursor c = jv_each(metrics);
	struct jv_member m;
	int64_t n = 0, one;

	*sum = 0;
	while (jv_next(&c, &m)) {
		if (!of_container(m.value, name) || !jv_is_true(jv_get(m.value, "ok")) ||
		    !jv_micro(jv_get(m.value, "value"), &one))
			continue;
		*sum += one;
		n++;
	}
	return n;
}

/* What came has the mean of the others, of each metric per container. */
static void put_came(const struct scene *scene, struct buf *out, struct jv metrics, struct jv first)
{
	char id[NAME + 16];
	__int128 sum;
	const int64_t n = sum_of(metrics, jv_get(first, "name"), &sum);

	if (!n)
		return;
	for (size_t i = 0; i < SIM_COUNT(&scene->came, struct sim_copy); i++) {
		struct jv_cursor c = jv_each(first);
		struct jv_member m;
		(void)snprintf(id, sizeof id, "simulated-%s", SIM_AT(&scene->came, struct sim_copy, i)->name);
		buf_json_comma(out);
		buf_putc(out, '{');
		while (jv_next(&c, &m)) {
			if (jv_name_is(&m, "value") || jv_name_is(&m, "id") || jv_name_is(&m, "ok") || jv_name_is(&m, "message"))
				continue;
			buf_json_comma(out);
			buf_printf(out, "\"%.*s\":", (int)m.name.n, m.name.p);
			buf_put(out, m.value.p, m.value.n);
		}
		buf_json_member_str(out, "id", id);
		buf_json_key(out, "value");
		sim_put_micro(out, of_one(scene, sum, n));
		buf_puts(out, ",\"ok\":true}");
	}
}

/* The first entry of its name among those per container? */
static bool is_first(struct jv metrics, struct jv metric)
{
	struct jv_cursor c = jv_each(metrics);
	struct jv_member m;

	while (jv_next(&c, &m))
		if (of_container(m.value, jv_get(metric, "name")))
			return m.value.p == metric.p;
	return false;
}

void scene_metrics(struct scene *scene, struct jv metrics)
{
	struct buf *out = &scene->metrics;
	struct jv_cursor c;
	struct jv_member m;

	buf_putc(out, '[');
	for (c = jv_each(metrics); jv_next(&c, &m);)
		if (jv_is_object(m.value) && !is_gone(scene, jv_get(m.value, "id")))
			put_metric(scene, out, m.value);
	for (c = jv_each(metrics); scene->came.n && jv_next(&c, &m);)
		if (jv_is_object(m.value) && is_first(metrics, m.value))
			put_came(scene, out, metrics, m.value);
	buf_putc(out, ']');
}

/* ---- the member `load` ---- */

/* The mean of the containers' values. False: none has one. */
static bool mean(struct jv metrics, struct jv name, int64_t *micro)
{
	__int128 sum;
	const int64_t n = sum_of(metrics, name, &sum);

	if (n)
		*micro = quotient(sum, n);
	return n > 0;
}

/* The value that a target is compared with: the largest of the service's or a replica's, else the mean of its
 * containers'. False: it is missing. */
static bool value_of(struct jv metrics, struct jv name, int64_t *micro, char per[16])
{
	struct jv_cursor c = jv_each(metrics);
	struct jv_member m;
	struct jv of_containers = {0}; /* the name in their own bytes */
	char want[NAME * 4], own[NAME * 4];
	bool good = true, found = false;
	int64_t one;

	per[0] = '\0';
	if (!jv_str(name, want, sizeof want))
		return false;
	while (jv_next(&c, &m)) {
		member_text(m.value, "name", own, sizeof own);
		if (strcmp(own, want) != 0 || member_is(m.value, "use", "victim"))
			continue;
		if (member_is(m.value, "per", "container")) {
			of_containers = jv_get(m.value, "name");
			continue;
		}
		member_text(m.value, "per", per, 16);
		if (!jv_is_true(jv_get(m.value, "ok")) || !jv_micro(jv_get(m.value, "value"), &one))
			good = false;
		else if (!found || one > *micro)
			*micro = one;
		found = found || good;
	}
	if (*per || !jv_here(of_containers))
		return found && good;
	(void)snprintf(per, 16, "container");
	return mean(metrics, of_containers, micro);
}

void simulate_load(const struct decide_input *in, struct buf *out)
{
	struct jv_cursor c = jv_each(jv_get(in->policy, "target"));
	struct jv_member m;
	char per[16];
	int64_t micro = 0;

	buf_putc(out, '[');
	while (jv_is_object(jv_get(in->policy, "target")) && jv_next(&c, &m)) {
		const struct jv name = {m.name.p - 1, m.name.n + 2}; /* with its quotes */
		const bool here = value_of(in->metrics, name, &micro, per);
		buf_json_comma(out);
		buf_puts(out, "{\"name\":");
		buf_put(out, name.p, name.n);
		buf_json_key(out, "value");
		if (here)
			sim_put_micro(out, micro);
		else
			buf_puts(out, "null");
		buf_json_member_str(out, "per", *per ? per : NULL);
		buf_json_key(out, "target");
		buf_put(out, m.value.p, m.value.n);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}
