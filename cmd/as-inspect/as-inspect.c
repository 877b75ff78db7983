/* as-inspect: what runs for a service on every host, and everything a `docker run` of it needs. Adds `observed`.
 * See as-inspect(1). */
#include "cmd/as-inspect/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static bool all;
static struct inspect inspection;

static const struct option_row options[] = {
	{'a', "all", OPTION_FLAG, NULL, &all,
     "one record for every service that joined by a label, a variable or a policy"},
	{0, "full", OPTION_FLAG, NULL, &inspection.full,
     "add template.create, the create request with the environment's values"},
	{0, "remember", OPTION_FLAG, NULL, &inspection.remember, "keep the specification of each original in the store"},
	{0},
};
static const struct command command = {"as-inspect", "show what runs for a service on every host", "[SERVICE ...]",
                                       options};

int need_store(struct inspect *in, struct err *err)
{
	if (!in->store)
		in->store = store_open(in->f.conf.store, err);
	return in->store ? 0 : -1;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct inspect *in = ctx;
	char service[SERVICE_NAME_MAX + 1], now[CLOCK_TEXT] = "";

	if (record_service(r, service, err) < 0)
		return RECORD_ERROR;
	(void)jv_str(record_get(r, "now"), now, sizeof now);
	if (list_hosts(in, now, err) < 0)
		return RECORD_ERROR;
	if (strcmp(service, in->last) != 0 && look_at_service(in, service, err) < 0)
		return RECORD_ERROR;
	buf_put(record_edit(r, "observed"), in->observed.p, in->observed.n);
	return RECORD_PRINT;
}

/* ---- --all ---- */

static int note_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	if (json_object_get(ctx, row->service))
		return 0;
	return json_object_set_new(ctx, row->service, json_true()) < 0 ? err_set(err, ERR_TEMPORARY, "out of memory") : 0;
}

static int inspect_all(struct inspect *in, struct err *err)
{
	json_t *services = json_object(); /* name -> joined by itself */
	const char *service;
	json_t *value;
	int bad = services ? need_store(in, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	if (!bad)
		bad = list_hosts(in, "", err);
	for (size_t i = 0; !bad && i < in->f.conf.nhosts; i++) {
		const struct listing *l = &in->listings[i];
		for (size_t k = 0; l->ok && k < json_array_size(l->list); k++)
			if (*l->services[k] && (l->joined[k] || !json_object_get(services, l->services[k])))
				(void)json_object_set_new(services, l->services[k], json_boolean(l->joined[k]));
	}
	if (!bad)
		bad = store_spec_each(in->store, NULL, note_spec, services, err);
	if (bad)
		goto out;
	json_object_foreach(services, service, value) {
		/* Joined by a label or variable of one of its containers, or by a policy that names it. */
		bool yes = json_is_true(value);
		bad = yes ? 0 : store_policy_some(in->store, service, &yes, err);
		if (!bad && yes)
			bad = front_service(&in->f, service, err);
		if (bad)
			break;
	}
out:
	json_decref(services);
	return bad;
}

int main(int argc, char **argv)
{
	struct err err = {0};
	int done = front_start(&inspection.f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&inspection.f)) >= 0)
		return done;

	inspection.conventions = conf_all_conventions(&inspection.f.conf);
	inspection.listings = calloc(inspection.f.conf.nhosts, sizeof *inspection.listings);
	inspection.variables = json_object();
	inspection.observed = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	if (!inspection.listings || !inspection.variables ||
	    engine_hosts_init(&inspection.hosts, &inspection.f.conf, &err) < 0) {
		(void)err_set(&err, ERR_TEMPORARY, "out of memory");
		return front_fail(&inspection.f, &err);
	}
	if (!all) {
		done = front_filter(&inspection.f, each, &inspection, false);
	} else {
		int bad = front_open(&inspection.f, each, &inspection, false, &err);
		if (!bad)
			bad = inspect_all(&inspection, &err);
		done = front_close(&inspection.f, bad, &err);
	}
	store_close(inspection.store);
	for (size_t i = 0; i < inspection.f.conf.nhosts; i++)
		drop_listing(&inspection.listings[i]);
	free(inspection.listings);
	json_decref(inspection.variables);
	buf_release(&inspection.observed);
	engine_hosts_release(&inspection.hosts);
	conf_release(&inspection.f.conf);
	return done;
}
