/* One container: its source, its create request, and bringing it up under a name that may be taken. */
#include "cmd/as-clone/clone.h"

#include "cmd/front/steps.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* ---- the source ---- */

int read_live(struct clone *c, const struct record *r, const char *like, struct source *s, struct err *err)
{
	struct jv_cursor each = jv_each(jv_get(record_get(r, "observed"), "containers"));
	struct jv_member m;

	if (record_service(r, s->service, err) < 0)
		return -1;
	steps_text(jv_get(record_get(r, "observed"), "template"), "host", s->host, sizeof s->host);
	while (jv_next(&each, &m))
		if (jv_is(jv_get(m.value, "id"), like))
			steps_text(m.value, "host", s->host, sizeof s->host);
	struct engine_host *h = engine_hosts_get(&c->hosts, s->host, err);
	if (!h || h->driver->inspect(h->engine, like, &s->doc, err) < 0 ||
	    (h->driver->is_podman && h->driver->is_podman(h->engine, &s->podman, err) < 0))
		return err_prefix(err, "the container to copy, %.12s", like);
	return 0;
}

int read_remembered(const struct record *r, const char *name, struct source *s, struct err *err)
{
	struct jv_cursor each = jv_each(jv_get(record_get(r, "observed"), "remembered"));
	struct jv create = {0};
	struct jv_member m;
	json_error_t why;

	while (jv_next(&each, &m))
		if (jv_is(jv_get(m.value, "name"), name)) {
			create = jv_path(m.value, "template.create");
			steps_text(jv_get(m.value, "template"), "image_id", s->image_id, sizeof s->image_id);
			steps_text(m.value, "host", s->host, sizeof s->host);
		}

	if (!jv_is_object(create))
		return err_set(err, ERR_MISSING,
		               "no specification of %s is remembered: run as-inspect --remember while it lives", name);
	s->create = json_loadb(create.p, create.n, JSON_REJECT_DUPLICATES, &why);
	if (!s->create)
		return err_set(err, ERR_INPUT, "template.create: %s", why.text);
	s->connect = json_incref(json_object_get(s->create, "connect"));
	(void)json_object_del(s->create, "connect");
	return 0;
}

void release_source(struct source *s)
{
	json_decref(s->doc);
	json_decref(s->create);
	json_decref(s->connect);
}

/* ---- one copy ---- */

/* The id that the image's name means on the copy's host by now, "" for none; asked once for copies of one record. */
static int ask_name(const struct copy *copy, const char *name, char id[80], struct err *err)
{
	struct placement *p = copy->place;
	struct err gone = {0};

	id[0] = '\0';
	if (p && *name && strcmp(p->name, name) == 0) {
		(void)snprintf(id, 80, "%s", p->named);
		return 0;
	}
	if (copy->target->driver->image_id(copy->target->engine, name, id, &gone) < 0 && gone.code != ERR_NOT_FOUND) {
		*err = gone;
		return -1;
	}
	if (p && strlen(name) < sizeof p->name) {
		(void)snprintf(p->named, sizeof p->named, "%s", id);
		(void)snprintf(p->name, sizeof p->name, "%s", name);
	}
	return 0;
}

/* The configuration of the copy's image, new; NULL: it cannot be had. */
static json_t *ask_config(const struct source *s, const struct copy *copy)
{
	const char *image = *copy->image ? copy->image : json_string_value(json_object_get(s->doc, "Image"));
	json_t *config = NULL;
	struct err none;

	if (copy->place && copy->place->config)
		return json_incref(copy->place->config);
	if (image && copy->target->driver->image_config(copy->target->engine, image, &config, &none) < 0)
		config = NULL;
	return config;
}

/* A container that is gone: its own request, from the image it had, whatever its tag means by now. */
static int make_again(const struct source *s, const struct copy *copy, const char *op_id, struct copy_request *out,
                      struct err *err)
{
	const char *image = json_string_value(json_object_get(s->create, "Image"));
	char now[80] = "";
	int bad = 0;

	out->create = json_deep_copy(s->create);
	out->connect = json_incref(s->connect);
	json_t *labels = json_object_get(out->create, "Labels");
	if (json_is_object(labels))
		bad = json_object_set_new(labels, "autoscale.op", json_string(op_id));
	if (image && ask_name(copy, image, now, err) < 0)
		return -1;
	const char *pinned = *copy->image ? copy->image : s->image_id;
	if (*pinned && strcmp(now, pinned) != 0)
		bad |= json_object_set_new(out->create, "Image", json_string(pinned));
	(void)snprintf(out->image_id, sizeof out->image_id, "%s", pinned);
	if (bad || !out->create)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	return copy_lost_volumes(out, copy->target->driver, copy->target->engine, err);
}

static int make_request(const struct clone *c, const struct source *s, const struct copy *copy, const char *op_id,
                        struct copy_request *out, struct err *err)
{
	const char *of = container_label(s->doc, "autoscale.copy-of");
	const char *image = json_string_value(json_object_get(json_object_get(s->doc, "Config"), "Image"));
	char image_id[80] = "";

	if (s->create)
		return make_again(s, copy, op_id, out, err);
	if (image && ask_name(copy, image, image_id, err) < 0)
		return -1;
	json_t *config = ask_config(s, copy);
	const struct copy_options o = {
		.name = copy->name,
		.copy_of = of ? of : json_string_value(json_object_get(s->doc, "Id")),
		.op_id = op_id,
		.service = *s->service ? s->service : NULL,
		.index = copy->index,
		.image_id = *image_id ? image_id : NULL,
		.image_config = config,
		.other_host = strcmp(s->host, copy->host) != 0,
		.privileged_allowed = c->f.conf.privileged,
		.podman = s->podman,
	};
	/* The same image may have another id on that host. */
	json_t *doc = *copy->image ? json_copy(s->doc) : json_incref(s->doc);
	int bad = doc && *copy->image ? json_object_set_new(doc, "Image", json_string(copy->image)) : 0;
	bad = bad || !doc ? err_set(err, ERR_TEMPORARY, "out of memory") : copy_make(doc, &o, out, err);
	json_decref(doc);
	json_decref(config);
	return bad;
}

/* The name is in use: by our own half-made copy of this operation, or by a stranger. *doc: what has it. */
static int adopt(struct copy *copy, const char *op_id, json_t **doc, struct err *err)
{
	const struct engine_host *h = copy->target;

	if (h->driver->inspect(h->engine, copy->name, doc, err) < 0) {
		err->retry = true; /* it is being made or removed at this moment */
		return -1;
	}
	const char *op = container_label(*doc, "autoscale.op"), *id = json_string_value(json_object_get(*doc, "Id"));
	if (op && id && strcmp(op, op_id) == 0) {
		(void)snprintf(copy->id, sizeof copy->id, "%s", id);
		return 0;
	}
	return err_set(err, ERR_CONFLICT,
	               "host %s: 409 name \"%s\" is in use by a container that is not of this operation (%s)", copy->host,
	               copy->name, op ? op : "not ours");
}

/* Makes the container, or finds the one that an earlier run made; one that was not started yet is compared with the
 * request. *running: nothing of it is to be judged any more. */
static int create_or_adopt(struct copy *copy, const struct copy_request *request, const char *op_id, bool *running,
                           struct err *err)
{
	const struct engine_host *h = copy->target;
	json_t *doc = NULL;
	int bad = h->driver->create(h->engine, copy->name, request->create, copy->id, err);

	if (!bad)
		bad = h->driver->inspect(h->engine, copy->id, &doc, err);
	else if (err->code == ERR_CONFLICT)
		bad = adopt(copy, op_id, &doc, err);
	*running = json_is_true(json_object_get(json_object_get(doc, "State"), "Running"));
	if (!bad && !*running)
		bad = copy_check(request, doc, err) < 0 ? err_prefix(err, "%s", copy->name) : 0;
	json_decref(doc);
	return bad;
}

/* The networks beyond the first; a null endpoint is one that the source has left. */
static int connect_all(const struct copy *copy, const json_t *connect, struct err *err)
{
	const struct engine_host *h = copy->target;
	size_t i;
	json_t *value;

	json_array_foreach(connect, i, value) {
		const char *network = json_string_value(json_object_get(value, "network"));
		const json_t *endpoint = json_object_get(value, "endpoint");
		if ((json_is_null(endpoint) ? h->driver->disconnect(h->engine, network, copy->id, err)
		                            : h->driver->connect(h->engine, network, copy->id, endpoint, err)) < 0)
			return -1;
	}
	return 0;
}

/* Parallel starts may fight over a port of a range, which the engine tells as 500: that is tried once more. */
static int start(struct copy *copy, struct err *err)
{
	const struct engine_host *h = copy->target;
	struct err first = {0};

	if (h->driver->start(h->engine, copy->id, &copy->already, &first) == 0)
		return 0;
	if (first.code == ERR_REMOTE && first.retry)
		return h->driver->start(h->engine, copy->id, &copy->already, err);
	*err = first;
	return -1;
}

/* Takes away what could not be brought up. When the engine has not answered nobody knows what it did: then the next
 * run finds the copy by its label and goes on. */
static void undo(const struct copy *copy, const struct err *why)
{
	const struct engine_host *h = copy->target;
	struct err err = {0};
	bool gone;

	if (why->code != ERR_UNAVAILABLE && why->code != ERR_TEMPORARY)
		(void)h->driver->remove(h->engine, copy->id, true, &gone, &err);
}

static bool is_elsewhere(const struct source *s, const struct copy *copy)
{
	return *s->host && strcmp(s->host, copy->host) != 0;
}

int may_live_elsewhere(struct clone *c, const struct source *s, const struct copy *copy, struct err *err)
{
	struct copy_request request = {0};

	if (!is_elsewhere(s, copy))
		return 0;
	const int bad = make_request(c, s, copy, "", &request, err) || elsewhere_named(copy, &request, err);
	copy_release(&request);
	return bad ? -1 : 0;
}

int bring_up(struct clone *c, const struct source *s, struct copy *copy, const char *op_id, struct err *err)
{
	struct copy_request request = {0};
	bool running = false;

	const struct engine_host *h = copy->target;
	int bad = make_request(c, s, copy, op_id, &request, err);
	if (!bad && is_elsewhere(s, copy))
		bad = elsewhere_ready(copy, &request, err);
	if (!bad)
		bad = copy_partners_run(&request, h->driver, h->engine, err) < 0 ? err_prefix(err, "%s", copy->name) : 0;
	if (!bad)
		bad = create_or_adopt(copy, &request, op_id, &running, err);
	if (!bad)
		bad = connect_all(copy, request.connect, err);
	if (!bad)
		bad = start(copy, err);
	if (bad && *copy->id && !running)
		undo(copy, err);
	for (size_t i = 0; i < json_array_size(request.notes); i++)
		front_say(&c->f, "%s: %s", copy->name, json_string_value(json_array_get(request.notes, i)));
	copy->notes = json_incref(request.notes);
	copy_release(&request);
	return bad;
}
