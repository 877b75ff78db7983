/* Tasks and services of a swarm in the form in which the engine describes a container. */
#include "engine/doc.h"
#include "engine/swarm.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NAME 512

bool swarm_should_run(const json_t *task)
{
	const char *desired = doc_str(task, "DesiredState");

	/* "ready": it takes the place of one that ended, after a pause. */
	return desired &&
	       (strcmp(desired, "running") == 0 || strcmp(desired, "ready") == 0 || strcmp(desired, "accepted") == 0);
}

const char *swarm_id(const json_t *task)
{
	const char *id = doc_str(task, "Status.ContainerStatus.ContainerID");

	return id && *id ? id : doc_str(task, "ID");
}

/* "web.3"; of a global service "web." and the node's id, as the engine names the containers. */
static void name_of(const json_t *service, const json_t *task, char out[NAME])
{
	const char *name = doc_str(service, "Spec.Name"), *node = doc_str(task, "NodeID");

	if (!name)
		name = "";
	if (!task)
		(void)snprintf(out, NAME, "%s", name);
	else if (doc_int(task, "Slot"))
		(void)snprintf(out, NAME, "%s.%lld", name, (long long)doc_int(task, "Slot"));
	else
		(void)snprintf(out, NAME, "%s.%s", name, node ? node : "");
}

/* What the tasks run, or this one: after an update both differ for a while. */
static const json_t *spec_of(const json_t *service, const json_t *task)
{
	return doc_get(task ? task : service, task ? "Spec" : "Spec.TaskTemplate");
}

static void set_text(json_t *object, const char *name, const char *value)
{
	if (value && *value)
		(void)json_object_set_new(object, name, json_string(value));
}

/* The service's labels over those that its containers get, and with those by which the engine marks a container. */
static json_t *labels_of(const json_t *service, const json_t *task)
{
	json_t *labels = json_object(), *own = doc_get(spec_of(service, task), "ContainerSpec.Labels"),
		   *over = doc_get(service, "Spec.Labels");

	if (own)
		(void)json_object_update(labels, own);
	if (over)
		(void)json_object_update(labels, over);
	set_text(labels, "com.docker.swarm.service.id", doc_str(service, "ID"));
	set_text(labels, "com.docker.swarm.service.name", doc_str(service, "Spec.Name"));
	set_text(labels, "com.docker.swarm.task.id", doc_str(task, "ID"));
	set_text(labels, "com.docker.swarm.node.id", doc_str(task, "NodeID"));
	return labels;
}

json_t *swarm_entry(const json_t *service, const json_t *task)
{
	char name[NAME];
	const char *state = doc_str(task, "Status.State");

	name_of(service, task, name);
	return json_pack("{s:s?, s:[s], s:o, s:s?}", "Id", task ? swarm_id(task) : doc_str(service, "ID"), "Names", name,
	                 "Labels", labels_of(service, task), "State", state);
}

/* No task is an original: any of them may go, and which does is for the swarm to choose. */
static json_t *copy_labels(const json_t *service, const json_t *task)
{
	json_t *labels = labels_of(service, task);
	const int64_t slot = doc_int(task, "Slot");
	char index[24];

	if (!task)
		return labels;
	set_text(labels, "autoscale.copy-of", doc_str(service, "ID"));
	(void)snprintf(index, sizeof index, "%lld", (long long)slot);
	set_text(labels, "autoscale.index", slot > 0 ? index : NULL);
	return labels;
}

/* The addresses of a task by the networks' names, without that of the routing mesh, which is of no use to others. A
 * service says only which networks. */
static json_t *networks_of(const json_t *service, const json_t *task)
{
	json_t *networks = json_object(), *attached = doc_get(task, "NetworksAttachments"), *a;
	const json_t *wanted = task ? NULL : doc_get(service, "Spec.TaskTemplate.Networks");
	size_t i;

	json_array_foreach(attached, i, a) {
		const char *name = doc_str(a, "Network.Spec.Name");
		const char *address = json_string_value(json_array_get(doc_get(a, "Addresses"), 0));
		if (!name || !address || doc_true(a, "Network.Spec.Ingress"))
			continue;
		(void)json_object_set_new(networks, name,
		                          json_pack("{s:s?, s:s%}", "NetworkID", doc_str(a, "Network.ID"),
		                                    strchr(address, ':') ? "GlobalIPv6Address" : "IPAddress", address,
		                                    strcspn(address, "/")));
	}
	for (i = 0; i < json_array_size(wanted); i++) {
		const char *target = doc_str(json_array_get(wanted, i), "Target");
		if (target)
			(void)json_object_set_new(networks, target, json_object());
	}
	return networks;
}

/* What the routing mesh publishes, or the nodes do. */
static json_t *ports_of(const json_t *service)
{
	json_t *ports = json_object(), *published = doc_get(service, "Endpoint.Ports"), *p;
	size_t i;

	json_array_foreach(published, i, p) {
		const char *protocol = doc_str(p, "Protocol");
		char key[64], port[24];
		(void)snprintf(key, sizeof key, "%lld/%.8s", (long long)doc_int(p, "TargetPort"), protocol ? protocol : "tcp");
		(void)snprintf(port, sizeof port, "%lld", (long long)doc_int(p, "PublishedPort"));
		(void)json_object_set_new(ports, key, json_pack("[{s:s}]", "HostPort", port));
	}
	return ports;
}

static json_t *mounts_of(const json_t *spec)
{
	json_t *mounts = json_array(), *asked = doc_get(spec, "ContainerSpec.Mounts"), *m;
	size_t i;

	json_array_foreach(asked, i, m)
		(void)json_array_append_new(mounts, json_pack("{s:s?, s:s?, s:s?, s:b}", "Type", doc_str(m, "Type"), "Source",
		                                              doc_str(m, "Source"), "Destination", doc_str(m, "Target"), "RW",
		                                              !doc_true(m, "ReadOnly")));
	return mounts;
}

static json_t *state_of(const json_t *task)
{
	const char *state = doc_str(task, "Status.State"), *error = doc_str(task, "Status.Err");
	const bool runs = state && strcmp(state, "running") == 0;

	return json_pack("{s:s?, s:b, s:s?, s:s?, s:I}", "Status", state, "Running", runs, "StartedAt",
	                 runs ? doc_str(task, "Status.Timestamp") : NULL, "Error", error, "ExitCode",
	                 (json_int_t)doc_int(task, "Status.ContainerStatus.ExitCode"));
}

/* The member by which the others of this room know what the document is of. */
static int mark(json_t *doc, const json_t *service, const json_t *task)
{
	json_t *replicas = doc_get(service, "Spec.Mode.Replicated.Replicas");

	if (task)
		return json_object_set_new(
			doc, "Task", json_pack("{s:s?, s:s?}", "ID", doc_str(task, "ID"), "NodeID", doc_str(task, "NodeID")));
	return json_object_set_new(doc, "Service", json_pack("{s:O?}", "Replicas", replicas));
}

/* As `docker run --restart` says it. */
static const char *restart_of(const json_t *spec)
{
	const char *condition = doc_str(spec, "RestartPolicy.Condition");

	return !condition || strcmp(condition, "any") == 0 ? "always" : strcmp(condition, "none") == 0 ? "no" : condition;
}

json_t *swarm_doc(const json_t *service, const json_t *task)
{
	const json_t *spec = spec_of(service, task);
	const char *restart = restart_of(spec);
	char name[NAME];

	name_of(service, task, name);
	json_t *config =
		json_pack("{s:s?, s:o, s:O?, s:O?, s:O?, s:O?}", "Image", doc_str(spec, "ContainerSpec.Image"), "Labels",
	              copy_labels(service, task), "Env", doc_get(spec, "ContainerSpec.Env"), "Cmd",
	              doc_get(spec, "ContainerSpec.Args"), "Entrypoint", doc_get(spec, "ContainerSpec.Command"),
	              "Healthcheck", doc_get(spec, "ContainerSpec.Healthcheck"));
	json_t *host = json_pack("{s:O?, s:O?, s:{s:s?}}", "NanoCpus", doc_get(spec, "Resources.Limits.NanoCPUs"), "Memory",
	                         doc_get(spec, "Resources.Limits.MemoryBytes"), "RestartPolicy", "Name", restart);
	json_t *doc = json_pack("{s:s?, s:s, s:s?, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "Id",
	                        task ? swarm_id(task) : doc_str(service, "ID"), "Name", name, "Created",
	                        doc_str(task ? task : service, "CreatedAt"), "State", state_of(task), "Config", config,
	                        "HostConfig", host, "Mounts", mounts_of(spec), "NetworkSettings", "Networks",
	                        networks_of(service, task), "Ports", ports_of(service));
	if (!doc || mark(doc, service, task) < 0) {
		json_decref(doc);
		return NULL;
	}
	return doc;
}
