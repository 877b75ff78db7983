/* as-clone: creates the copies that each plan names, starts them, waits until they are ready. The names are fixed in
 * the plan and every copy carries its operation's id, so that a second run finds what the first one made, finishes what
 * it left half done, and never takes a stranger's container for its own. See as-clone(1). */
#include "base/clock.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "engine/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static const struct option_row options[] = {{0}};
static const struct command command = {"as-clone", "create the copies that each plan names", "", options};

struct clone {
	struct front f;
	struct engine_hosts hosts;
};

/* One entry of plan.create on its way. */
struct copy {
	char name[256], host[SERVICE_NAME_MAX + 1], like[128];
	int64_t index; /* -1: the container itself is made anew */
	char id[65];
	bool already; /* it was there and ran */
	bool failed;
	struct err err;
	int64_t ms; /* for create and start */
	struct engine_host *target;
};

/* The source of a record's copies, read from the engine by id: the record holds no values of the environment. */
struct source {
	json_t *doc;              /* inspect document; NULL when the container is gone */
	json_t *create, *connect; /* the remembered create request; NULL when it lives */
	char image_id[80];        /* that it was made from, with create */
	char host[SERVICE_NAME_MAX + 1];
};

static const char *label_of(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(json_object_get(json_object_get(doc, "Config"), "Labels"), name));
}

/* ---- the source ---- */

static int read_live(struct clone *c, const struct record *r, const char *like, struct source *s, struct err *err)
{
	struct jv_cursor each = jv_each(jv_get(record_get(r, "observed"), "containers"));
	struct jv_member m;

	steps_text(jv_get(record_get(r, "observed"), "template"), "host", s->host, sizeof s->host);
	while (jv_next(&each, &m))
		if (jv_is(jv_get(m.value, "id"), like))
			steps_text(m.value, "host", s->host, sizeof s->host);
	struct engine_host *h = engine_hosts_get(&c->hosts, s->host, err);
	if (!h || h->driver->inspect(h->engine, like, &s->doc, err) < 0)
		return err_prefix(err, "the container to copy, %.12s", like);
	return 0;
}

static int read_remembered(const struct record *r, const char *name, struct source *s, struct err *err)
{
	struct jv_cursor each = jv_each(jv_get(record_get(r, "observed"), "remembered"));
	struct jv create = {0};
	struct jv_member m;
	json_error_t why;

	while (jv_next(&each, &m))
		if (jv_is(jv_get(m.value, "name"), name)) {
			create = jv_path(m.value, "template.create");
			steps_text(jv_get(m.value, "template"), "image_id", s->image_id, sizeof s->image_id);
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

static void release_source(struct source *s)
{
	json_decref(s->doc);
	json_decref(s->create);
	json_decref(s->connect);
}

/* ---- one copy ---- */

/* A container that is gone: its own request, from the image it had, whatever its tag means by now. */
static int make_again(const struct source *s, const struct copy *copy, const char *op_id, struct copy_request *out,
                      struct err *err)
{
	const char *image = json_string_value(json_object_get(s->create, "Image"));
	char now[80] = "";
	struct err gone = {0};
	int bad = 0;

	out->create = json_deep_copy(s->create);
	out->connect = json_incref(s->connect);
	json_t *labels = json_object_get(out->create, "Labels");
	if (json_is_object(labels))
		bad = json_object_set_new(labels, "autoscale.op", json_string(op_id));
	if (image && copy->target->driver->image_id(copy->target->engine, image, now, &gone) < 0 &&
	    gone.code != ERR_NOT_FOUND) {
		*err = gone;
		return -1;
	}
	if (*s->image_id && strcmp(now, s->image_id) != 0)
		bad |= json_object_set_new(out->create, "Image", json_string(s->image_id));
	return bad || !out->create ? err_set(err, ERR_TEMPORARY, "out of memory") : 0;
}

static int make_request(const struct clone *c, const struct source *s, const struct copy *copy, const char *op_id,
                        struct copy_request *out, struct err *err)
{
	const char *of = label_of(s->doc, "autoscale.copy-of");
	const char *image = json_string_value(json_object_get(json_object_get(s->doc, "Config"), "Image"));
	char image_id[80] = "";
	struct err gone = {0};
	json_t *config = NULL;

	if (s->create)
		return make_again(s, copy, op_id, out, err);
	const struct engine_driver *driver = copy->target->driver;
	if (image && driver->image_id(copy->target->engine, image, image_id, &gone) < 0 && gone.code != ERR_NOT_FOUND) {
		*err = gone;
		return -1;
	}
	const char *source_image = json_string_value(json_object_get(s->doc, "Image"));
	if (source_image && driver->image_config(copy->target->engine, source_image, &config, &gone) < 0)
		config = NULL;
	const json_t *entrypoint = json_object_get(config, "Entrypoint");
	const struct copy_options o = {
		.name = copy->name,
		.copy_of = of ? of : json_string_value(json_object_get(s->doc, "Id")),
		.op_id = op_id,
		.index = copy->index,
		.image_id = *image_id ? image_id : NULL,
		.image_has_entrypoint = json_array_size(entrypoint) > 0,
		.other_host = strcmp(s->host, copy->host) != 0,
		.privileged_allowed = c->f.conf.privileged,
	};
	const int bad = copy_make(s->doc, &o, out, err);
	json_decref(config);
	return bad;
}

/* The name is in use: by our own half-made copy of this operation, or by a stranger. */
static int adopt(struct copy *copy, const char *op_id, struct err *err)
{
	const struct engine_host *h = copy->target;
	json_t *doc = NULL;

	if (h->driver->inspect(h->engine, copy->name, &doc, err) < 0) {
		err->retry = true; /* it is being made or removed at this moment */
		return -1;
	}
	const char *op = label_of(doc, "autoscale.op"), *id = json_string_value(json_object_get(doc, "Id"));
	const bool ours = op && id && strcmp(op, op_id) == 0;
	if (ours)
		(void)snprintf(copy->id, sizeof copy->id, "%s", id);
	json_decref(doc);
	if (ours)
		return 0;
	return err_set(err, ERR_CONFLICT,
	               "host %s: 409 name \"%s\" is in use by a container that is not of this operation (%s)", copy->host,
	               copy->name, op ? op : "not ours");
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

/* create, connect, start: each looks before it does. A copy that cannot be started is taken away again. */
static int bring_up(struct clone *c, const struct source *s, struct copy *copy, const char *op_id, struct err *err)
{
	struct copy_request request = {0};
	struct err undo = {0};
	bool there = false, gone;

	copy->target = engine_hosts_get(&c->hosts, copy->host, err);
	if (!copy->target)
		return -1;
	const struct engine_host *h = copy->target;
	int bad = make_request(c, s, copy, op_id, &request, err);
	if (!bad && h->driver->create(h->engine, copy->name, request.create, copy->id, err) < 0) {
		there = err->code == ERR_CONFLICT;
		bad = there ? adopt(copy, op_id, err) : -1;
	}
	if (!bad) {
		bad = connect_all(copy, request.connect, err);
		if (!bad)
			bad = h->driver->start(h->engine, copy->id, &copy->already, err);
		if (bad && !err->retry)
			(void)h->driver->remove(h->engine, copy->id, true, &gone, &undo);
	}
	for (size_t i = 0; i < json_array_size(request.notes); i++)
		front_say(&c->f, "%s: %s", copy->name, json_string_value(json_array_get(request.notes, i)));
	copy_release(&request);
	return bad;
}

/* ---- all copies of one record ---- */

static void put_step(struct record *r, const struct copy *c, const char *what, bool ok, int64_t ms, const char *message,
                     const struct buf *container)
{
	const struct step step = {.stage = "as-clone",
	                          .what = what,
	                          .name = c->name,
	                          .id = *c->id ? c->id : NULL,
	                          .host = c->host,
	                          .ok = ok,
	                          .ms = ms,
	                          .message = message,
	                          .container = container};

	step_put(r, &step);
}

/* One that never got ready goes again: it would count as a replica and serve nobody. */
static void settle_ready(struct record *r, struct copy *c, const struct ready_wait *w, int64_t ms)
{
	struct buf container = BUF_INIT(LINE_MAX_BYTES / 2);
	struct err undo = {0};
	bool gone;

	if (w->ready) {
		container_json(&container, w->doc, c->host, true);
		put_step(r, c, "ready", true, ms, "", &container);
	} else {
		c->failed = true;
		(void)err_set(&c->err, ERR_REMOTE, "host %s: %s did not get ready and was removed: %s", c->host, c->name,
		              w->why);
		(void)c->target->driver->remove(c->target->engine, c->id, true, &gone, &undo);
		put_step(r, c, "ready", false, ms, c->err.message, NULL);
	}
	buf_release(&container);
}

static void wait_ready(struct record *r, struct copy *copies, size_t n)
{
	char rule[256], network[64];
	const int64_t began = clock_monotonic_ms();
	struct ready_wait *w = calloc(n + 1, sizeof *w);
	size_t m = 0;

	steps_text(record_get(r, "policy"), "ready", rule, sizeof rule);
	steps_text(record_get(r, "policy"), "lb_network", network, sizeof network);
	for (size_t i = 0; w && i < n; i++)
		if (!copies[i].failed)
			w[m++] = (struct ready_wait){.host = copies[i].target, .id = copies[i].id};
	if (w)
		ready_wait(w, m, rule, *network ? network : NULL, steps_policy_ms(r, "ready_timeout", 60000));
	const int64_t ms = clock_monotonic_ms() - began;
	for (size_t i = 0, k = 0; w && i < n; i++) {
		if (copies[i].failed)
			continue;
		settle_ready(r, &copies[i], &w[k], ms);
		json_decref(w[k++].doc);
	}
	free(w);
}

/* Copies of one record are like one container, read once; what is made anew has a specification each. */
static int make_one(struct clone *c, const struct record *r, struct source *live, struct copy *copy, const char *op_id)
{
	struct source own = {0};
	int bad = 0;

	if (!*copy->like)
		bad = read_remembered(r, copy->name, &own, &copy->err);
	else if (!live->doc)
		bad = read_live(c, r, copy->like, live, &copy->err);
	if (!bad)
		bad = bring_up(c, *copy->like ? live : &own, copy, op_id, &copy->err);
	release_source(&own);
	return bad;
}

static void start_copies(struct clone *c, struct record *r, struct copy *copies, size_t n)
{
	struct source live = {0};
	char op_id[64];

	steps_op_id(r, op_id);
	for (size_t i = 0; i < n; i++) {
		struct copy *copy = &copies[i];
		const int64_t began = clock_monotonic_ms();
		copy->failed = make_one(c, r, &live, copy, op_id) < 0;
		copy->ms = clock_monotonic_ms() - began;
		put_step(r, copy, "create", !copy->failed, copy->ms,
		         copy->failed    ? copy->err.message
		         : copy->already ? "already"
		                         : "",
		         NULL);
	}
	release_source(&live);
}

static size_t read_entries(struct jv todo, struct copy *copies)
{
	struct jv_cursor each = jv_each(todo);
	struct jv_member m;
	size_t n = 0;

	while (jv_next(&each, &m)) {
		struct copy *c = &copies[n++];
		steps_text(m.value, "name", c->name, sizeof c->name);
		steps_text(m.value, "host", c->host, sizeof c->host);
		steps_text(m.value, "like", c->like, sizeof c->like);
		c->index = jv_int_or(jv_get(m.value, "index"), -1);
	}
	return n;
}

static void print_dry(struct record *r, const struct copy *copies, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct step step = {.stage = "as-clone",
		                          .what = "create",
		                          .name = copies[i].name,
		                          .host = copies[i].host,
		                          .ok = true,
		                          .message = "",
		                          .dry = true};
		step_put(r, &step);
	}
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct clone *c = ctx;
	const struct jv todo = steps_todo(r, "create");
	enum record_fate fate = RECORD_PRINT;

	if (!jv_count(todo))
		return RECORD_PRINT;
	struct copy *copies = calloc(jv_count(todo), sizeof *copies);
	if (!copies) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return RECORD_ERROR;
	}
	const size_t n = read_entries(todo, copies);
	if (steps_dry(&c->f, r)) {
		print_dry(r, copies, n);
	} else {
		start_copies(c, r, copies, n);
		wait_ready(r, copies, n);
		for (size_t i = n; i-- > 0;)
			if (copies[i].failed) {
				*err = copies[i].err;
				fate = RECORD_ERROR;
			}
	}
	free(copies);
	return fate;
}

int main(int argc, char **argv)
{
	static struct clone c;
	struct err err = {0};
	int done = front_start(&c.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&c.f)) >= 0)
		return done;

	if (engine_hosts_init(&c.hosts, &c.f.conf, &err) < 0)
		return front_fail(&c.f, &err);
	done = front_filter(&c.f, each, &c, false);
	engine_hosts_release(&c.hosts);
	conf_release(&c.f.conf);
	return done;
}
