/* Docker's API, https://docs.docker.com/engine/api/ : every call, its answers, and what they mean to us. Podman
 * speaks the same one. */
#include "base/limits.h"
#include "engine/api.h"
#include "engine/doc.h"
#include "engine/engine.h"
#include "engine/events.h"
#include "engine/exec.h"
#include "engine/images.h"
#include "engine/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define STOP_SPARE_MS 30000 /* engines 23 and 24 kill at once when the client of a stop leaves, moby#45731 */

struct engine {
	struct api *api;
	struct tasks *tasks;
	bool asked, podman; /* who it is */
};

static void docker_close(struct engine *e)
{
	if (!e)
		return;
	api_close(e->api);
	free(e);
}

static struct engine *docker_open(const struct conf_host *host, struct tasks *tasks, struct err *err)
{
	struct engine *e = calloc(1, sizeof *e);

	if (!e) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	e->tasks = tasks;
	e->api = api_open(host, tasks, err);
	if (e->api)
		return e;
	free(e);
	return NULL;
}

static int docker_ping(struct engine *e, struct err *err) { return api_version(e->api, err) < 0 ? -1 : 0; }

static int docker_about(struct engine *e, struct engine_about *out, struct err *err) { return api_about(e->api, out, err); }

static int docker_is_podman(struct engine *e, bool *yes, struct err *err)
{
	json_t *doc = NULL;

	if (!e->asked && api_json_done(api_call(e->api, err, "GET", NULL, 0, "/version"), 200, &doc, err) < 0)
		return -1;
	const json_t *components = doc_get(doc, "Components");
	for (size_t i = 0; i < json_array_size(components); i++) {
		const char *name = doc_str(json_array_get(components, i), "Name");
		e->podman = e->podman || (name && strcmp(name, "Podman Engine") == 0);
	}
	json_decref(doc);
	e->asked = true;
	*yes = e->podman;
	return 0;
}

/* ---- containers ---- */

static int docker_list(struct engine *e, const char *label, json_t **list, struct err *err)
{
	struct buf filter = BUF_INIT(API_PATH);
	char value[API_PATH] = "";

	buf_puts(&filter, "{\"label\":[");
	buf_json_str(&filter, label ? label : "");
	buf_puts(&filter, "]}");
	int bad = buf_ok(&filter, err);
	if (!bad && label && api_encode(filter.p, "", value, sizeof value) < 0)
		bad = err_set(err, ERR_LIMIT, "host %s: the label %.60s... is too long to ask for", api_host(e->api), label);
	buf_release(&filter);
	if (bad)
		return -1;
	return api_json_done(api_list(e->api, err, "/containers/json?all=1%s%s", label ? "&filters=" : "", value), 200,
	                     list, err);
}

/* The engine takes the beginning of an id for the id. We do not: a name that is gone must not hit a stranger. */
static bool is_meant(const json_t *doc, const char *id)
{
	const char *whole = doc_str(doc, "Id");

	if (!whole)
		return false;
	return strcmp(doc_name(doc), id) == 0 || strcmp(whole, id) == 0 ||
	       (doc_is_hex(id, DOC_SHORT_ID) && strncmp(whole, id, DOC_SHORT_ID) == 0);
}

static int docker_inspect(struct engine *e, const char *id, json_t **doc, struct err *err)
{
	char name[API_NAME];

	*doc = NULL;
	if (!*id || api_encode(id, "", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no container's id or name", api_host(e->api), id);
	if (api_json_done(api_call(e->api, err, "GET", NULL, 0, "/containers/%s/json", name), 200, doc, err) < 0)
		return -1;
	if (is_meant(*doc, id))
		return 0;
	json_decref(*doc);
	*doc = NULL;
	return err_set(err, ERR_NOT_FOUND, "host %s: no container has the id or name \"%s\"", api_host(e->api), id);
}

/* The whole id for what the caller knows a container by: itself, or asked for. */
static int whole_id(struct engine *e, const char *id, char out[DOC_ID + 1], struct err *err)
{
	json_t *doc = NULL;

	if (doc_is_hex(id, DOC_ID)) {
		memcpy(out, id, DOC_ID + 1);
		return 0;
	}
	if (docker_inspect(e, id, &doc, err) < 0)
		return -1;
	const int n = snprintf(out, DOC_ID + 1, "%s", doc_str(doc, "Id"));
	json_decref(doc);
	return n == DOC_ID ? 0 : err_set(err, ERR_REMOTE, "host %s: an id of %d digits", api_host(e->api), n);
}

static int docker_create(struct engine *e, const char *name, const json_t *request, char id[65], struct err *err)
{
	char encoded[API_NAME];
	json_t *doc = NULL;

	if (api_encode(name, "", encoded, sizeof encoded) < 0)
		return err_set(err, ERR_LIMIT, "host %s: the name %.60s... is too long", api_host(e->api), name);
	struct exchange *x = api_call(e->api, err, "POST", request, API_MAKE_MS, "/containers/create?name=%s", encoded);
	/* Podman says it with 500. */
	const bool taken = x && (x->status == 409 || (x->status == 500 && api_said_so(x, "name is already in use"))) &&
	                   api_said_so(x, "in use");
	if (taken || (x && x->status == 404 && api_said_so(x, "No such image"))) {
		const char *image = doc_str(request, "Image");
		api_done(x);
		return taken ? err_set(err, ERR_CONFLICT, "host %s: 409 name \"%s\" is in use", api_host(e->api), name)
		             : err_set(err, ERR_NOT_FOUND, "host %s: 404 no image %.200s: docker pull or load it there",
		                       api_host(e->api), image ? image : "is named");
	}
	if (api_json_done(x, 201, &doc, err) < 0)
		return -1;
	const char *given = doc_str(doc, "Id");
	int bad = 0;
	if (given && doc_is_hex(given, DOC_ID))
		memcpy(id, given, DOC_ID + 1);
	else
		bad = err_set(err, ERR_REMOTE, "host %s: the answer to create has no id", api_host(e->api));
	json_decref(doc);
	return bad;
}

static int docker_start(struct engine *e, const char *id, bool *already, struct err *err)
{
	char whole[DOC_ID + 1];

	*already = false;
	if (whole_id(e, id, whole, err) < 0)
		return -1;
	struct exchange *x = api_call(e->api, err, "POST", NULL, API_MAKE_MS, "/containers/%s/start", whole);
	if (!x)
		return -1;
	*already = x->status == 304;
	/* 404 is also said when its network, or the container whose network it shares, is not there. */
	const bool elsewhere = x->status == 404 && !api_said_so(x, whole);
	const int bad = api_good_done(x, x->status == 204 || x->status == 304, err);
	if (elsewhere)
		err->code = ERR_REMOTE;
	return bad;
}

/* It is not there, or is being taken away by somebody. */
static bool is_gone(const struct exchange *x)
{
	return x->status == 404 || (x->status == 409 && api_said_so(x, "already in progress"));
}

static int docker_stop(struct engine *e, const char *id, int64_t grace_ms, bool *already, struct err *err)
{
	const int64_t most = 24 * 3600, seconds = grace_ms > 0 ? grace_ms / 1000 + (grace_ms % 1000 != 0) : 0;
	const long grace = (long)(seconds < most ? seconds : most);
	char whole[DOC_ID + 1];

	*already = false;
	if (whole_id(e, id, whole, err) < 0) {
		*already = err->code == ERR_NOT_FOUND;
		return *already ? 0 : -1;
	}
	struct exchange *x =
		api_call(e->api, err, "POST", NULL, grace * 1000 + STOP_SPARE_MS, "/containers/%s/stop?t=%ld", whole, grace);
	if (!x)
		return -1;
	*already = x->status != 204;
	return api_good_done(x, x->status == 204 || x->status == 304 || is_gone(x), err);
}

static int docker_remove(struct engine *e, const char *id, bool force, bool *already, struct err *err)
{
	char whole[DOC_ID + 1];

	*already = false;
	if (whole_id(e, id, whole, err) < 0) {
		*already = err->code == ERR_NOT_FOUND;
		return *already ? 0 : -1;
	}
	struct exchange *x =
		api_call(e->api, err, "DELETE", NULL, API_MAKE_MS, "/containers/%s?v=1%s", whole, force ? "&force=1" : "");
	if (!x)
		return -1;
	*already = x->status != 204;
	/* Podman answers 200 with a list. */
	return api_good_done(x, x->status == 200 || x->status == 204 || is_gone(x), err);
}

/* ---- networks ---- */

static int docker_network(struct engine *e, const char *verb, const char *network, const json_t *body,
                          const char *done_already, struct err *err)
{
	char name[API_NAME];

	if (!*network || api_encode(network, "", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no network's name", api_host(e->api), network);
	if (!body)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	struct exchange *x = api_call(e->api, err, "POST", body, API_MAKE_MS, "/networks/%s/%s", name, verb);
	if (!x)
		return -1;
	return api_good_done(x, x->status == 200 || api_said_so(x, done_already), err);
}

static int docker_connect(struct engine *e, const char *network, const char *id, const json_t *endpoint,
                          struct err *err)
{
	json_t *body = json_pack("{s:s, s:O?}", "Container", id, "EndpointConfig", endpoint);
	const int bad = docker_network(e, "connect", network, body, "already exists in network", err);

	json_decref(body);
	return bad;
}

static int docker_disconnect(struct engine *e, const char *network, const char *id, struct err *err)
{
	json_t *body = json_pack("{s:s, s:b}", "Container", id, "Force", 0);
	const int bad = docker_network(e, "disconnect", network, body, "is not connected to", err);

	json_decref(body);
	return bad;
}

static int docker_network_exists(struct engine *e, const char *network, bool *there, struct err *err)
{
	char name[API_NAME];
	json_t *doc = NULL;
	struct err why = {0};

	*there = false;
	if (!*network || api_encode(network, "", name, sizeof name) < 0)
		return 0;
	if (api_json_done(api_call(e->api, &why, "GET", NULL, 0, "/networks/%s", name), 200, &doc, &why) == 0) {
		const char *found = doc_str(doc, "Name"); /* the beginning of an id finds one too */
		*there = found && strcmp(found, network) == 0;
		json_decref(doc);
		return 0;
	}
	if (why.code == ERR_NOT_FOUND)
		return 0;
	*err = why;
	return -1;
}

/* ---- images ---- */

static int docker_image_id(struct engine *e, const char *ref, char id[80], struct err *err)
{
	json_t *doc = NULL;

	if (images_inspect(e->api, ref, &doc, err) < 0)
		return -1;
	const char *given = doc_str(doc, "Id");
	const int n = snprintf(id, 80, "%s", given ? given : "");
	json_decref(doc);
	return n > 0 && n < 80
	           ? 0
	           : err_set(err, ERR_REMOTE, "host %s: image %s: no usable id in the answer", api_host(e->api), ref);
}

static int docker_image_config(struct engine *e, const char *ref, json_t **config, struct err *err)
{
	json_t *doc = NULL;

	if (images_inspect(e->api, ref, &doc, err) < 0)
		return -1;
	json_t *found = doc_get(doc, "Config");
	*config = json_is_object(found) ? json_incref(found) : json_object();
	json_decref(doc);
	return *config ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

/* ---- volumes ---- */

static int docker_volume_exists(struct engine *e, const char *name, bool *there, struct err *err)
{
	char encoded[API_NAME];

	*there = false;
	if (!*name || api_encode(name, "", encoded, sizeof encoded) < 0)
		return 0;
	struct exchange *x = api_call(e->api, err, "GET", NULL, 0, "/volumes/%s", encoded);
	if (!x)
		return -1;
	*there = x->status == 200;
	return api_good_done(x, *there || x->status == 404, err);
}

/* ---- events ---- */

static int docker_events(struct engine *e, struct engine_events *w, struct err *err)
{
	return events_follow(e->api, w, err);
}

static int docker_clock(struct engine *e, int64_t *ns, struct err *err) { return events_clock(e->api, ns, err); }

static int docker_alive(struct engine *e, int64_t within_ms, struct err *err)
{
	return events_alive(e->api, within_ms, err);
}

static int docker_image_inspect(struct engine *e, const char *ref, json_t **doc, struct err *err)
{
	return images_inspect(e->api, ref, doc, err);
}

static int docker_image_pull(struct engine *e, const char *ref, const char *auth, const struct image_watch *watch,
                             struct err *err)
{
	return images_pull(e->api, ref, auth, watch, err);
}

static int docker_image_save(struct engine *e, const char *id, int fd, const struct image_watch *watch, struct err *err)
{
	return images_save(e->api, id, fd, watch, err);
}

static int docker_image_load(struct engine *e, int fd, char id[80], const struct image_watch *watch, struct err *err)
{
	return images_load(e->api, fd, id, watch, err);
}

static int docker_image_tag(struct engine *e, const char *id, const char *name, struct err *err)
{
	return images_tag(e->api, id, name, err);
}

/* ---- somebody else's containers ---- */

static int docker_signal(struct engine *e, const char *id, const char *signal, struct err *err)
{
	char whole[DOC_ID + 1];

	return whole_id(e, id, whole, err) < 0 ? -1 : exec_signal(e->api, whole, signal, err);
}

static int docker_exec(struct engine *e, const char *id, const char *const *argv, struct buf *out, int *status,
                       struct err *err)
{
	char whole[DOC_ID + 1];

	*status = -1;
	return whole_id(e, id, whole, err) < 0 ? -1 : exec_run(e->api, e->tasks, whole, argv, out, status, err);
}

static int docker_stats(struct engine *e, const char *id, struct engine_stats *out, struct err *err)
{
	char whole[DOC_ID + 1];

	return whole_id(e, id, whole, err) < 0 ? -1 : stats_take(e->api, whole, out, err);
}

const struct engine_driver engine_docker = {
	.name = "docker",
	.open = docker_open,
	.close = docker_close,
	.ping = docker_ping,
	.about = docker_about,
	.is_podman = docker_is_podman,
	.list = docker_list,
	.inspect = docker_inspect,
	.image_id = docker_image_id,
	.image_config = docker_image_config,
	.create = docker_create,
	.connect = docker_connect,
	.disconnect = docker_disconnect,
	.start = docker_start,
	.stop = docker_stop,
	.remove = docker_remove,
	.volume_exists = docker_volume_exists,
	.events = docker_events,
	.events_stop = events_stop,
	.clock = docker_clock,
	.alive = docker_alive,
	.image_inspect = docker_image_inspect,
	.image_pull = docker_image_pull,
	.image_save = docker_image_save,
	.image_load = docker_image_load,
	.image_tag = docker_image_tag,
	.network_exists = docker_network_exists,
	.signal = docker_signal,
	.exec = docker_exec,
	.stats = docker_stats,
};
