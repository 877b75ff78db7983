/* Swarm: Docker's own cluster, asked through one of its managers. What runs is listed for all nodes at once; the number
 * of a service's replicas is changed as a whole (swarm_scale.c), and everything else is the swarm's own work. */
#include "engine/swarm.h"

#include "base/limits.h"
#include "engine/doc.h"
#include "engine/stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static void swarm_close(struct engine *e)
{
	if (!e)
		return;
	api_close(e->api);
	json_decref(e->task_ids);
	free(e);
}

static struct engine *swarm_open(const struct conf_host *host, struct tasks *tasks, struct err *err)
{
	struct engine *e = calloc(1, sizeof *e);

	if (e)
		e->task_ids = json_object();
	if (!e || !e->task_ids)
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	else if ((e->api = api_open(host, tasks, err))) {
		e->tasks = tasks;
		return e;
	}
	swarm_close(e);
	return NULL;
}

static int swarm_ping(struct engine *e, struct err *err) { return api_version(e->api, err) < 0 ? -1 : 0; }

/* Any node tells its version; a manager its services, too. */
static int swarm_about(struct engine *e, struct engine_about *out, struct err *err)
{
	json_t *services = NULL;

	if (api_about(e->api, out, err) < 0)
		return -1;
	const int rc = swarm_json_done(e, api_call(e->api, err, "GET", NULL, 0, "/services"), &services, err);
	json_decref(services);
	return rc;
}

/* ---- asking ---- */

int swarm_json_done(struct engine *e, struct exchange *x, json_t **doc, struct err *err)
{
	char said[API_SAID];

	if (!x || x->status != 503)
		return api_json_done(x, 200, doc, err);
	api_said(x, said);
	api_done(x);
	return err_set(err, ERR_REMOTE, "host %s is no swarm manager: 503 %s", api_host(e->api), said);
}

/* GET of one object; what is "service", "task" or "network". */
static int get_one(struct engine *e, const char *what, const char *id, json_t **doc, struct err *err)
{
	char name[API_NAME];

	*doc = NULL;
	if (!*id || api_encode(id, "", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no %s's id or name", api_host(e->api), id, what);
	return swarm_json_done(e, api_call(e->api, err, "GET", NULL, 0, "/%ss/%s", what, name), doc, err);
}

/* The engine takes the beginning of an id for the id. We do not. */
int swarm_service(struct engine *e, const char *id, json_t **service, struct err *err)
{
	if (get_one(e, "service", id, service, err) < 0)
		return -1;
	const char *whole = doc_str(*service, "ID"), *name = doc_str(*service, "Spec.Name");
	if ((whole && strcmp(whole, id) == 0) || (name && strcmp(name, id) == 0))
		return 0;
	json_decref(*service);
	*service = NULL;
	return err_set(err, ERR_NOT_FOUND, "host %s: no service has the id or name \"%.80s\"", api_host(e->api), id);
}

/* Without those that ended. */
static int tasks_that_should_run(struct engine *e, json_t **tasks, struct err *err)
{
	/* {"desired-state":["running","ready","accepted"]} */
	return swarm_json_done(e,
	                       api_list(e->api, err, "/tasks?filters=%s",
	                                "%7B%22desired-state%22%3A%5B%22running%22%2C%22ready%22%2C%22accepted%22%5D%7D"),
	                       tasks, err);
}

int swarm_tasks(struct engine *e, const char *service_id, json_t **tasks, struct err *err)
{
	char id[API_NAME];

	*tasks = NULL;
	if (api_encode(service_id, "", id, sizeof id) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no service's id", api_host(e->api), service_id);
	/* {"service":["ID"]} */
	return swarm_json_done(
		e, api_list(e->api, err, "/tasks?filters=%s%s%s", "%7B%22service%22%3A%5B%22", id, "%22%5D%7D"), tasks, err);
}

/* ---- what there is ---- */

/* label: "NAME" or "NAME=VALUE". */
static bool has_label(const json_t *entry, const char *label)
{
	const size_t n = strcspn(label, "=");
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(entry, "Labels"), name, value)
		if (strlen(name) == n && memcmp(name, label, n) == 0)
			return !label[n] || strcmp(json_string_value(value), label + n + 1) == 0;
	return false;
}

static int add_entry(json_t *list, const json_t *service, const json_t *task, const char *label)
{
	json_t *entry = swarm_entry(service, task);

	if (!entry || (label && !has_label(entry, label))) {
		json_decref(entry);
		return entry ? 0 : -1;
	}
	return json_array_append_new(list, entry);
}

static int add_task(struct engine *e, json_t *list, const json_t *services, const json_t *task, const char *label)
{
	const char *service_id = doc_str(task, "ServiceID"), *id = doc_str(task, "ID");
	const json_t *service = service_id ? json_object_get(services, service_id) : NULL;

	/* One without a service is the attachment of a container to a network. */
	if (!service || !id || !swarm_should_run(task))
		return 0;
	if (json_object_set_new(e->task_ids, swarm_id(task), json_string(id)) < 0)
		return -1;
	return add_entry(list, service, task, label);
}

/* The services, and the tasks of each that should run. */
static int swarm_list(struct engine *e, const char *label, json_t **list, struct err *err)
{
	json_t *services = NULL, *tasks = NULL, *by_id = json_object(), *value;
	size_t i;
	int bad = swarm_json_done(e, api_list(e->api, err, "/services"), &services, err);

	*list = json_array();
	if (!bad)
		bad = tasks_that_should_run(e, &tasks, err);
	if (bad)
		goto out;
	json_array_foreach(services, i, value) {
		const char *id = doc_str(value, "ID");
		if (id)
			bad |= json_object_set(by_id, id, value) < 0 || add_entry(*list, value, NULL, label) < 0;
	}
	json_array_foreach(tasks, i, value)
		bad |= add_task(e, *list, by_id, value, label) < 0;
	if (bad)
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
out:
	json_decref(services);
	json_decref(tasks);
	json_decref(by_id);
	if (bad) {
		json_decref(*list);
		*list = NULL;
	}
	return bad ? -1 : 0;
}

/* The task with this container. */
static int find_task(struct engine *e, const char *id, json_t **task, struct err *err)
{
	const char *known = json_string_value(json_object_get(e->task_ids, id));
	json_t *tasks = NULL, *value;
	size_t i;

	if (known)
		return get_one(e, "task", known, task, err);
	if (!doc_is_hex(id, DOC_ID))
		return get_one(e, "task", id, task, err);
	if (tasks_that_should_run(e, &tasks, err) < 0)
		return -1;
	json_array_foreach(tasks, i, value)
		if (!*task && swarm_id(value) && strcmp(swarm_id(value), id) == 0)
			*task = json_incref(value);
	json_decref(tasks);
	return *task ? 0 : err_set(err, ERR_NOT_FOUND, "host %s: no task has the container %.12s", api_host(e->api), id);
}

/* A service tells its networks by their ids. One that cannot be read keeps that. */
static int name_networks(struct engine *e, json_t *doc)
{
	json_t *networks = doc_get(doc, "NetworkSettings.Networks"), *named = json_object(), *value;
	const char *id;
	int bad = named ? 0 : -1;

	json_object_foreach(networks, id, value) {
		struct err unknown = {0};
		json_t *network = NULL;
		const char *name = get_one(e, "network", id, &network, &unknown) == 0 ? doc_str(network, "Name") : NULL;
		bad |= json_object_set(named, name ? name : id, value);
		json_decref(network);
	}
	if (!bad)
		bad = json_object_set(doc_get(doc, "NetworkSettings"), "Networks", named);
	json_decref(named);
	return bad;
}

/* By the id of a container, a task or a service. */
static int swarm_inspect(struct engine *e, const char *id, json_t **doc, struct err *err)
{
	json_t *task = NULL, *service = NULL;
	struct err no_task = {0};
	int bad;

	*doc = NULL;
	if (find_task(e, id, &task, &no_task) == 0) {
		const char *service_id = doc_str(task, "ServiceID");
		bad = swarm_service(e, service_id ? service_id : "", &service, err);
	} else if (no_task.code == ERR_NOT_FOUND) {
		bad = swarm_service(e, id, &service, err);
	} else {
		*err = no_task;
		bad = -1;
	}
	if (!bad && (!(*doc = swarm_doc(service, task)) || (!task && name_networks(e, *doc) < 0)))
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	json_decref(task);
	json_decref(service);
	return bad;
}

/* ---- what is not done to a swarm ---- */

static int refuse(struct engine *e, struct err *err)
{
	return err_set(err, ERR_REFUSED,
	               "host %s: a swarm makes, starts and removes the tasks of its services by itself: scale the service",
	               api_host(e->api));
}

static int refuse_create(struct engine *e, const char *name, const json_t *request, char id[65], struct err *err)
{
	(void)name, (void)request;
	id[0] = '\0';
	return refuse(e, err);
}

static int refuse_connect(struct engine *e, const char *network, const char *id, const json_t *endpoint,
                          struct err *err)
{
	(void)network, (void)id, (void)endpoint;
	return refuse(e, err);
}

static int refuse_disconnect(struct engine *e, const char *network, const char *id, struct err *err)
{
	(void)network, (void)id;
	return refuse(e, err);
}

static int refuse_start(struct engine *e, const char *id, bool *already, struct err *err)
{
	(void)id;
	*already = false;
	return refuse(e, err);
}

static int refuse_stop(struct engine *e, const char *id, int64_t grace_ms, bool *already, struct err *err)
{
	(void)id, (void)grace_ms;
	*already = false;
	return refuse(e, err);
}

static int refuse_remove(struct engine *e, const char *id, bool force, bool *already, struct err *err)
{
	(void)id, (void)force;
	*already = false;
	return refuse(e, err);
}

static int refuse_image_id(struct engine *e, const char *ref, char id[80], struct err *err)
{
	(void)ref;
	id[0] = '\0';
	return refuse(e, err);
}

static int refuse_image_config(struct engine *e, const char *ref, json_t **config, struct err *err)
{
	(void)ref;
	*config = NULL;
	return refuse(e, err);
}

static int refuse_volume_or_network(struct engine *e, const char *name, bool *there, struct err *err)
{
	(void)name;
	*there = false;
	return refuse(e, err);
}

static int refuse_image_inspect(struct engine *e, const char *ref, json_t **doc, struct err *err)
{
	(void)ref;
	*doc = NULL;
	return refuse(e, err);
}

static int refuse_image_pull(struct engine *e, const char *ref, const char *auth, const struct image_watch *watch,
                             struct err *err)
{
	(void)ref, (void)auth, (void)watch;
	return refuse(e, err);
}

static int refuse_image_save(struct engine *e, const char *id, int fd, const struct image_watch *watch, struct err *err)
{
	(void)id, (void)fd, (void)watch;
	return refuse(e, err);
}

static int refuse_image_load(struct engine *e, int fd, char id[80], const struct image_watch *watch, struct err *err)
{
	(void)fd, (void)watch;
	id[0] = '\0';
	return refuse(e, err);
}

static int refuse_image_tag(struct engine *e, const char *id, const char *name, struct err *err)
{
	(void)id, (void)name;
	return refuse(e, err);
}

static int refuse_signal(struct engine *e, const char *id, const char *signal, struct err *err)
{
	(void)id, (void)signal;
	return refuse(e, err);
}

static int refuse_exec(struct engine *e, const char *id, const char *const *argv, struct buf *out, int *status,
                       struct err *err)
{
	(void)id, (void)argv, (void)out;
	*status = -1;
	return refuse(e, err);
}

/* A manager's own engine knows the containers of its own node only. */
static int swarm_stats(struct engine *e, const char *id, struct engine_stats *out, struct err *err)
{
	if (!doc_is_hex(id, DOC_ID))
		return err_set(err, ERR_NOT_FOUND, "host %s: task %.40s has no container yet", api_host(e->api), id);
	if (stats_take(e->api, id, out, err) == 0)
		return 0;
	return err->code != ERR_NOT_FOUND
	           ? -1
	           : err_set(err, ERR_NOT_FOUND,
	                     "host %s: container %.12s is not on this node: add a [host] for the engine of its own",
	                     api_host(e->api), id);
}

const struct engine_driver engine_swarm = {
	.name = "swarm",
	.open = swarm_open,
	.close = swarm_close,
	.ping = swarm_ping,
	.about = swarm_about,
	.list = swarm_list,
	.inspect = swarm_inspect,
	.image_id = refuse_image_id,
	.image_config = refuse_image_config,
	.create = refuse_create,
	.connect = refuse_connect,
	.disconnect = refuse_disconnect,
	.start = refuse_start,
	.stop = refuse_stop,
	.remove = refuse_remove,
	.volume_exists = refuse_volume_or_network,
	.image_inspect = refuse_image_inspect,
	.image_pull = refuse_image_pull,
	.image_save = refuse_image_save,
	.image_load = refuse_image_load,
	.image_tag = refuse_image_tag,
	.network_exists = refuse_volume_or_network,
	.signal = refuse_signal,
	.exec = refuse_exec,
	.stats = swarm_stats,
	.scale = swarm_scale,
};
