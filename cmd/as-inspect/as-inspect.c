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

static int prepare(struct inspect *in, struct err *err)
{
	in->conventions = conf_all_conventions(&in->f.conf);
	in->listings = calloc(in->f.conf.nhosts, sizeof *in->listings);
	in->variables = json_object();
	in->observed = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	if (!in->listings || !in->variables || engine_hosts_init(&in->hosts, &in->f.conf, err) < 0)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	return 0;
}

static void release(struct inspect *in)
{
	store_close(in->store);
	for (size_t i = 0; in->listings && i < in->f.conf.nhosts; i++)
		drop_listing(&in->listings[i]);
	free(in->listings);
	json_decref(in->variables);
	buf_release(&in->observed);
	engine_hosts_release(&in->hosts);
	conf_release(&in->f.conf);
}

/* ---- words for completion: of the store first, which answers at once, then of the engines ---- */

static int offer_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	(void)err;
	front_word(*(const bool *)ctx ? row->name : row->service, "");
	return 0;
}

static int offer_policy(void *ctx, const struct policy_row *row, struct err *err)
{
	(void)ctx;
	(void)err;
	front_word(row->service, "");
	return 0;
}

static bool words(struct front *f, const char *kind)
{
	struct inspect *in = &inspection;
	const bool services = strcmp(kind, "services") == 0;
	bool there = false, containers = strcmp(kind, "containers") == 0;
	struct err err = {0};

	if (!services && !containers)
		return false;
	if (front_conf(f) >= 0 || prepare(in, &err) < 0)
		return true;
	in->store = store_open_existing(f->conf.store, &there, &err);
	if (in->store) {
		(void)store_spec_each(in->store, NULL, offer_spec, &containers, &err);
		if (services)
			(void)store_policy_each(in->store, NULL, offer_policy, NULL, &err);
		(void)fflush(stdout);
	}
	(void)list_hosts(in, "", &err);
	for (size_t i = 0; i < f->conf.nhosts; i++)
		for (size_t k = 0; in->listings[i].ok && k < json_array_size(in->listings[i].list); k++) {
			const json_t *names = json_object_get(json_array_get(in->listings[i].list, k), "Names");
			const char *name = json_string_value(json_array_get(names, 0));
			if (services)
				front_word(in->listings[i].services[k], "");
			else if (name)
				front_word(name + (*name == '/'), "");
		}
	release(in);
	return true;
}

int main(int argc, char **argv)
{
	struct err err = {0};
	inspection.f.words = words;
	int done = front_start(&inspection.f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&inspection.f)) >= 0)
		return done;

	if (prepare(&inspection, &err) < 0)
		return front_fail(&inspection.f, &err);
	if (!all) {
		done = front_filter(&inspection.f, each, &inspection, false);
	} else {
		int bad = front_open(&inspection.f, each, &inspection, false, &err);
		if (!bad)
			bad = inspect_all(&inspection, &err);
		done = front_close(&inspection.f, bad, &err);
	}
	release(&inspection);
	return done;
}
