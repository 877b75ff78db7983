/* The copy rule: a copy is the source's create request, not its state. Config and HostConfig of the inspect document
 * are sent as they are, but for the fields of the table below; of the networks only what was configured is sent. */
#include "base/limits.h"
#include "engine/doc.h"
#include "engine/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NOTE_MAX 400
#define INDEX_TEXT 24     /* any int64_t */
#define NETWORK_ID_MIN 12 /* hex digits that people give a network by */

/* One copy in the making. */
struct work {
	const json_t *inspect;
	const struct copy_options *o;
	struct copy_request *out;
	json_t *config, *host; /* of the create request */
	const char *id, *mode; /* the source's id; the copy's NetworkMode */
	bool no_memory;        /* a value could not be stored */
	struct err *err;
};

/* Mends one field of `in`, the copy's Config or HostConfig. -1: the copy is refused, and w->err says why. */
typedef int mend(struct work *w, json_t *in, const char *field);

static mend drop, drop_zero, ask_true, ask_host, ask_any, ask_caps, ask_socket, mode_name, drop_own_hostname, pin_image,
	say_no_entrypoint, own_labels, op_label, fixed_ports, bound_ports, drop_mac, drop_made_mac, fresh_binds, old_binds,
	fresh_mounts, old_mounts, drop_foreign_paths;

/* What is not listed is kept as it is. Rows of one field are applied in turn; later rows see what earlier ones did. */
static const struct rule {
	const char *part, *field;
	mend *copy, *recreate; /* NULL: keep */
} rules[] = {
	/* More rights than any container has: conflict, unless [limits] says privileged = allow. */
	{"HostConfig", "Privileged", ask_true, ask_true},
	{"HostConfig", "CapAdd", ask_caps, ask_caps},
	{"HostConfig", "Devices", ask_any, ask_any},
	{"HostConfig", "DeviceCgroupRules", ask_any, ask_any},
	{"HostConfig", "PidMode", ask_host, ask_host},
	{"HostConfig", "IpcMode", ask_host, ask_host},
	{"HostConfig", "UsernsMode", ask_host, ask_host},
	{"HostConfig", "NetworkMode", ask_host, ask_host},
	{"HostConfig", "Binds", ask_socket, ask_socket}, /* Mounts too */

	/* Who it is. */
	{"HostConfig", "NetworkMode", mode_name, mode_name},            /* an id or a network that it left -> a name */
	{"Config", "Hostname", drop_own_hostname, drop_own_hostname},   /* a generated one would be everybody's */
	{"Config", "Image", pin_image, pin_image},                      /* the name may mean another image by now */
	{"Config", "Entrypoint", say_no_entrypoint, say_no_entrypoint}, /* none, although the image has one -> [""] */
	{"Config", "Labels", own_labels, op_label}, /* compose's go, a scheduler's conflict, ours come */
	{"Config", "MacAddress", drop_mac, drop_made_mac},

	/* What only one container can have. */
	{"HostConfig", "PortBindings", fixed_ports, NULL}, /* conflict, recompute or drop, by autoscale.ports */
	{"Config", "ExposedPorts", bound_ports, bound_ports},
	{"HostConfig", "Binds", fresh_binds, old_binds}, /* anonymous volumes: new for a copy, the old ones if recreated */
	{"HostConfig", "Mounts", fresh_mounts, old_mounts},

	/* What the engine fills in by itself, and may not be sent back. */
	{"HostConfig", "ContainerIDFile", drop, drop},
	{"HostConfig", "ConsoleSize", drop, drop},
	{"HostConfig", "Cgroup", drop, drop},
	{"HostConfig", "KernelMemory", drop_zero, drop_zero}, /* unknown from API 1.42 on */
	{"HostConfig", "KernelMemoryTCP", drop_zero, drop_zero},
	{"HostConfig", "MaskedPaths", drop_foreign_paths, drop_foreign_paths}, /* each engine has its own list */
	{"HostConfig", "ReadonlyPaths", drop_foreign_paths, drop_foreign_paths},
};

/* The same for one endpoint of NetworkSettings.Networks. Addresses, ids, gateways and DNS names are the engine's. */
static const struct {
	const char *field;
	bool copy, recreate;
} endpoint_rules[] = {
	{"Links", true, true}, {"DriverOpts", true, true}, {"IPAMConfig", false, true}, /* a fixed address */
};

/* ---- small words ---- */

static void put(struct work *w, json_t *in, const char *field, json_t *value) /* takes value */
{
	w->no_memory |= json_object_set_new(in, field, value) < 0;
}

static void add(struct work *w, json_t *array, json_t *value) /* takes value */
{
	w->no_memory |= json_array_append_new(array, value) < 0;
}

__attribute__((format(printf, 2, 3))) static void note(struct work *w, const char *fmt, ...)
{
	char text[NOTE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* A name of many bytes may have been cut within a character. */
	json_t *value = json_string(text);
	add(w, w->out->notes, value ? value : json_string("a name that is too long was left out here"));
}

static int refuse(struct work *w, const char *what)
{
	return err_set(w->err, ERR_REFUSED, "%s cannot be copied: %s", doc_name(w->inspect), what);
}

static int ask_leave(struct work *w, const char *what)
{
	char text[NOTE_MAX];

	if (w->o->privileged_allowed)
		return 0;
	(void)snprintf(text, sizeof text, "it has %s (if copies may have that: privileged = allow in [limits])", what);
	return refuse(w, text);
}

static bool has_prefix(const char *s, const char *prefix) { return s && strncmp(s, prefix, strlen(prefix)) == 0; }

static bool is(const char *s, const char *text) { return s && strcmp(s, text) == 0; }

/* ---- fields that go, fields that need leave ---- */

static int drop(struct work *w, json_t *in, const char *field)
{
	(void)w;
	(void)json_object_del(in, field); /* -1: it is not there */
	return 0;
}

static int drop_zero(struct work *w, json_t *in, const char *field)
{
	return doc_int(in, field) == 0 ? drop(w, in, field) : 0;
}

static int drop_foreign_paths(struct work *w, json_t *in, const char *field)
{
	/* An empty list is the user's: --security-opt systempaths=unconfined. */
	return w->o->other_host && json_array_size(doc_get(in, field)) ? drop(w, in, field) : 0;
}

static int ask_true(struct work *w, json_t *in, const char *field)
{
	return doc_true(in, field) ? ask_leave(w, "all privileges") : 0;
}

static int ask_any(struct work *w, json_t *in, const char *field)
{
	(void)field;
	return json_array_size(doc_get(in, field)) ? ask_leave(w, "devices of its host") : 0;
}

static int ask_host(struct work *w, json_t *in, const char *field)
{
	char what[80];

	if (!is(doc_str(in, field), "host"))
		return 0;
	(void)snprintf(what, sizeof what, "its host's namespace (%s: host)", field);
	return ask_leave(w, what);
}

/* Those that every container has are no addition: `--cap-drop ALL --cap-add CHOWN` takes rights away. Source: the
 * engine's default list, https://docs.docker.com/engine/security/#linux-kernel-capabilities */
static bool is_default_cap(const char *cap)
{
	static const char *const caps[] = {"AUDIT_WRITE", "CHOWN",   "DAC_OVERRIDE",     "FOWNER",    "FSETID",
	                                   "KILL",        "MKNOD",   "NET_BIND_SERVICE", "NET_RAW",   "SETFCAP",
	                                   "SETGID",      "SETPCAP", "SETUID",           "SYS_CHROOT"};

	cap += has_prefix(cap, "CAP_") ? strlen("CAP_") : 0;
	for (size_t i = 0; i < sizeof caps / sizeof *caps; i++)
		if (strcmp(caps[i], cap) == 0)
			return true;
	return false;
}

static int ask_caps(struct work *w, json_t *in, const char *field)
{
	const json_t *caps = doc_get(in, field);
	char what[80];

	for (size_t i = 0; i < json_array_size(caps); i++) {
		const char *cap = json_string_value(json_array_get(caps, i));
		if (!cap || is_default_cap(cap))
			continue;
		(void)snprintf(what, sizeof what, "the added capability %.40s", cap);
		return ask_leave(w, what);
	}
	return 0;
}

/* A socket of an engine, or a folder that holds one. */
static bool reaches_engine(const char *path)
{
	static const char *const sockets[] = {"docker.sock", "containerd.sock", "podman.sock", "crio.sock"};
	static const char *const folders[] = {"/", "/run", "/var/run", "/run/containerd", "/run/podman", "/run/crio"};
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++)
		if (slash && strcmp(slash + 1, sockets[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		if (strcmp(path, folders[i]) == 0)
			return true;
	return false;
}

/* The inspect document's Mounts show all kinds of mounts, and their sources without "//", "." and "..". */
static int ask_socket(struct work *w, json_t *in, const char *field)
{
	const json_t *list = doc_get(w->inspect, "Mounts");

	(void)in;
	(void)field;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		const char *source = doc_str(m, "Source");
		char what[160];
		if (!is(doc_str(m, "Type"), "bind") || !source || !reaches_engine(source))
			continue;
		(void)snprintf(what, sizeof what, "the engine's socket (%.60s)", source);
		return ask_leave(w, what);
	}
	return 0;
}

/* ---- names ---- */

/* The name of the network that NetworkMode means, a key of Networks; NULL when it is connected to none. */
static const char *primary_network(const struct work *w)
{
	json_t *networks = doc_get(w->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *mode = doc_str(w->host, "NetworkMode"), *name;

	if (!mode || is(mode, "default"))
		mode = "bridge";
	if (json_object_get(networks, mode) && !doc_listed_twice(networks, mode))
		return mode;
	/* Given by id, or by the beginning of it. */
	if (strlen(mode) >= NETWORK_ID_MIN && doc_is_hex(mode, strlen(mode)))
		json_object_foreach(networks, name, endpoint)
			if (has_prefix(doc_str(endpoint, "NetworkID"), mode) && !doc_listed_twice(networks, name))
				return name;
	/* It has left that one, or the engine says "bridge" for any network, as Podman does. */
	json_object_foreach(networks, name, endpoint)
		if (!doc_listed_twice(networks, name))
			return name;
	return NULL;
}

static bool is_special_mode(const char *mode)
{
	return !mode || is(mode, "host") || is(mode, "none") || has_prefix(mode, "container:");
}

static int mode_name(struct work *w, json_t *in, const char *field)
{
	const char *mode = doc_str(in, field), *name = is_special_mode(mode) ? NULL : primary_network(w);
	const bool same = !name || is(mode, name) || (is(mode, "default") && is(name, "bridge"));

	if (!same)
		put(w, in, field, json_string(name));
	w->mode = doc_str(in, field);
	if (!w->mode)
		w->mode = "default";
	return 0;
}

static int drop_own_hostname(struct work *w, json_t *in, const char *field)
{
	const char *name = doc_str(in, field);

	if (!name || is(w->mode, "host") || has_prefix(w->mode, "container:") || is(doc_str(w->host, "UTSMode"), "host"))
		return drop(w, in, field);
	if (!doc_is_hex(name, DOC_SHORT_ID))
		return 0;
	if (!has_prefix(w->id, name))
		note(w, "host name %s looks like the id of an earlier container and is not copied", name);
	return drop(w, in, field);
}

static int pin_image(struct work *w, json_t *in, const char *field)
{
	const char *name = doc_str(in, field), *id = doc_str(w->inspect, "Image");

	if (!id || (name && is(w->o->image_id, id)))
		return 0;
	if (!is(name, id))
		note(w, "image %s means another image now, or none: the copy is made from the source's, %s", name ? name : "",
		     id);
	put(w, in, field, json_string(id));
	return 0;
}

/* The engine takes [""] for none; with nothing sent it would take the image's. */
static int say_no_entrypoint(struct work *w, json_t *in, const char *field)
{
	if (!json_array_size(doc_get(in, field)) && (w->o->image_has_entrypoint || w->o->recreate))
		put(w, in, field, json_pack("[s]", ""));
	return 0;
}

/* ---- labels ---- */

static int refuse_scheduled(struct work *w, json_t *list)
{
	static const struct {
		const char *prefix, *what;
	} schedulers[] = {
		{"com.docker.swarm.", "it is a task of a swarm service: scale the service"},
		{"io.kubernetes.", "it belongs to a Kubernetes pod: scale its deployment"},
		{"com.hashicorp.nomad.", "it belongs to a Nomad job: scale the job"},
	};
	const char *name;
	json_t *value;

	json_object_foreach(list, name, value)
		for (size_t i = 0; i < sizeof schedulers / sizeof *schedulers; i++)
			if (has_prefix(name, schedulers[i].prefix))
				return refuse(w, schedulers[i].what);
	return 0;
}

static int op_label(struct work *w, json_t *in, const char *field)
{
	if (!json_is_object(doc_get(in, field)))
		put(w, in, field, json_object());
	json_t *list = doc_get(in, field);
	if (refuse_scheduled(w, list) < 0)
		return -1;
	if (w->o->op_id)
		put(w, list, "autoscale.op", json_string(w->o->op_id));
	return 0;
}

/* `compose up` removes what carries its labels and is not in its file. */
static void drop_compose(struct work *w, json_t *list)
{
	const char *name;
	json_t *value;
	void *next;
	bool some = false;

	json_object_foreach_safe(list, next, name, value)
	{
		if (!has_prefix(name, "com.docker.compose."))
			continue;
		(void)json_object_del(list, name);
		some = true;
	}
	if (some)
		note(w, "labels com.docker.compose.* are not copied: compose would remove the copy");
}

static int own_labels(struct work *w, json_t *in, const char *field)
{
	char service[SERVICE_NAME_MAX + 1], still[SERVICE_NAME_MAX + 1], index[INDEX_TEXT];
	const bool has = container_service(w->inspect, service, sizeof service);

	if (op_label(w, in, field) < 0)
		return -1;
	json_t *list = doc_get(in, field);
	drop_compose(w, list);
	(void)snprintf(index, sizeof index, "%lld", (long long)w->o->index);
	put(w, list, "autoscale.index", json_string(index));
	put(w, list, "autoscale.copy-of", json_string(w->o->copy_of ? w->o->copy_of : w->id));
	if (!w->o->op_id) /* a source's, if it is a copy itself */
		(void)json_object_del(list, "autoscale.op");
	/* The service may have been known by a label that is gone now. */
	json_t *made = json_pack("{s:O}", "Config", in);
	if (has && (!container_service(made, still, sizeof still) || strcmp(service, still) != 0))
		put(w, list, "autoscale.service", json_string(service));
	w->no_memory |= !made;
	json_decref(made);
	return 0;
}

/* ---- ports and addresses ---- */

/* "8080", and "8000-8000", which leaves no choice either. */
static bool is_fixed(const char *published)
{
	const char *end, *rest = "";
	const int from = published ? doc_port(published, &end) : 0;

	if (!from)
		return false;
	return *end != '-' || doc_port(end + 1, &rest) == from;
}

/* What autoscale.ports says for a port that only one container can have. *gone: this binding goes. */
static int fixed_port(struct work *w, const char *key, json_t *binding, bool *gone)
{
	const char *policy = doc_setting(w->inspect, "autoscale.ports"), *port = doc_str(binding, "HostPort");
	char text[NOTE_MAX];

	*gone = is(policy, "none");
	if (is(policy, "auto")) {
		note(w, "host port %s of %s is not copied: the engine picks one", port, key);
		put(w, binding, "HostPort", json_string(""));
	} else if (*gone) {
		note(w, "host port %s of %s is not copied: the copy does not publish it", port, key);
	} else if (!is(policy, "same")) {
		(void)snprintf(
			text, sizeof text,
			"its host port %.20s can be had once (the label autoscale.ports says what copies get: auto another port, "
			"none, or same on another host)",
			port);
		return refuse(w, text);
	}
	return 0;
}

static int fixed_ports(struct work *w, json_t *in, const char *field)
{
	json_t *map = doc_get(in, field), *bindings;
	const char *key;
	void *next;

	if (is(w->mode, "host")) /* nothing is published there */
		return 0;
	json_object_foreach_safe(map, next, key, bindings)
	{
		bool gone = false, some = false;
		for (size_t i = json_array_size(bindings); i-- > 0;) {
			json_t *b = json_array_get(bindings, i);
			if (!is_fixed(doc_str(b, "HostPort")))
				continue;
			if (fixed_port(w, key, b, &gone) < 0)
				return -1;
			if (gone)
				(void)json_array_remove(bindings, i);
			some |= gone;
		}
		if (some && !json_array_size(bindings))
			(void)json_object_del(map, key);
	}
	return 0;
}

/* The engine publishes only what is exposed, and wants nothing exposed in a network that belongs to another. */
static int bound_ports(struct work *w, json_t *in, const char *field)
{
	json_t *map = doc_get(w->host, "PortBindings"), *bindings;
	const char *key;

	if (has_prefix(w->mode, "container:"))
		return drop(w, in, field);
	if (json_object_size(map) && !json_is_object(doc_get(in, field)))
		put(w, in, field, json_object());
	json_t *exposed = doc_get(in, field);
	json_object_foreach(map, key, bindings)
		if (!json_object_get(exposed, key))
			put(w, exposed, key, json_object());
	return 0;
}

/* Engines make 02:42 and the four bytes of the IPv4 address. */
static bool is_made_mac(const json_t *endpoint, const char *mac)
{
	const char *ip = doc_str(endpoint, "IPAddress");
	unsigned int a, b, c, d;
	char made[18];

	if (!ip || sscanf(ip, "%3u.%3u.%3u.%3u", &a, &b, &c, &d) != 4)
		return false;
	(void)snprintf(made, sizeof made, "02:42:%02x:%02x:%02x:%02x", a & 255, b & 255, c & 255, d & 255);
	return strcmp(mac, made) == 0;
}

static bool is_any_made_mac(const struct work *w, const char *mac)
{
	json_t *networks = doc_get(w->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *name;

	if (!mac || !*mac)
		return true;
	json_object_foreach(networks, name, endpoint)
		if (is_made_mac(endpoint, mac))
			return true;
	return false;
}

static int drop_mac(struct work *w, json_t *in, const char *field)
{
	const char *mac = doc_str(in, field);

	if (!is_any_made_mac(w, mac))
		note(w, "MAC address %s is not copied: two containers with one disturb each other", mac);
	return drop(w, in, field);
}

static int drop_made_mac(struct work *w, json_t *in, const char *field)
{
	return is_any_made_mac(w, doc_str(in, field)) ? drop(w, in, field) : 0;
}

/* ---- volumes ---- */

/* "SOURCE:DESTINATION[:OPTIONS]" of Binds. */
struct bind {
	size_t source_n, destination_n;
	const char *source, *destination;
	bool writable, anonymous, path;
};

static bool parse_bind(const char *text, struct bind *b)
{
	const char *colon = text ? strchr(text, ':') : NULL;

	if (!colon)
		return false;
	*b = (struct bind){
		.source = text, .source_n = (size_t)(colon - text), .destination = colon + 1, .path = *text == '/'};
	b->destination_n = strcspn(b->destination, ":");
	const char *options = b->destination + b->destination_n;
	b->writable = true;
	while (*options) {
		options++;
		b->writable = b->writable && !(has_prefix(options, "ro") && (options[2] == ',' || !options[2]));
		options += strcspn(options, ",");
	}
	b->anonymous = b->source_n == DOC_ID && strspn(text, "0123456789abcdef") == DOC_ID;
	return true;
}

static void note_shared(struct work *w, bool path, const char *source, int n)
{
	note(w, "%s %.*s is shared with the source, and both write to it", path ? "host path" : "volume", n, source);
}

/* A bind of 64 hex digits is an anonymous volume that a recreation attached again: each copy gets its own. */
static int fresh_binds(struct work *w, json_t *in, const char *field)
{
	json_t *list = doc_get(in, field);
	struct bind b;

	for (size_t i = 0; i < json_array_size(list);) {
		if (!parse_bind(json_string_value(json_array_get(list, i)), &b)) {
			i++;
			continue;
		}
		if (!b.anonymous) {
			if (b.writable)
				note_shared(w, b.path, b.source, (int)b.source_n);
			i++;
			continue;
		}
		if (!json_is_object(doc_get(w->config, "Volumes")))
			put(w, w->config, "Volumes", json_object());
		json_t *path = json_stringn(b.destination, b.destination_n);
		w->no_memory |= !path;
		if (path)
			put(w, doc_get(w->config, "Volumes"), json_string_value(path), json_object());
		json_decref(path);
		(void)json_array_remove(list, i);
	}
	return 0;
}

static int fresh_mounts(struct work *w, json_t *in, const char *field)
{
	const json_t *list = doc_get(in, field);

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *m = json_array_get(list, i);
		const char *type = doc_str(m, "Type"), *source = doc_str(m, "Source");
		if (is(type, "volume") && source && doc_is_hex(source, DOC_ID))
			(void)json_object_del(m, "Source");
		else if (source && *source && (is(type, "volume") || is(type, "bind")) && !doc_true(m, "ReadOnly"))
			note_shared(w, is(type, "bind"), source, (int)strlen(source));
	}
	return 0;
}

/* The name of the volume that the source had at a path, or NULL. */
static const json_t *volume_at(const struct work *w, const char *destination)
{
	const json_t *list = doc_get(w->inspect, "Mounts");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		if (is(doc_str(m, "Type"), "volume") && doc_str(m, "Name") && is(doc_str(m, "Destination"), destination))
			return m;
	}
	return NULL;
}

static bool is_bound(const struct work *w, const char *destination)
{
	const json_t *list = doc_get(w->host, "Binds"), *more = doc_get(w->host, "Mounts");
	struct bind b;

	for (size_t i = 0; i < json_array_size(list); i++)
		if (parse_bind(json_string_value(json_array_get(list, i)), &b) && strlen(destination) == b.destination_n &&
		    strncmp(destination, b.destination, b.destination_n) == 0)
			return true;
	for (size_t i = 0; i < json_array_size(more); i++)
		if (is(doc_str(json_array_get(more, i), "Target"), destination))
			return true;
	return false;
}

static void note_attached(struct work *w, const char *volume, const char *path)
{
	note(w, "volume %s is attached at %s again (empty, if the engine has it no more)", volume, path);
}

/* What -v PATH and the image's VOLUME made outlives its container unless that was removed with -v. */
static int old_binds(struct work *w, json_t *in, const char *field)
{
	json_t *volumes = doc_get(w->config, "Volumes"), *nothing;
	const char *path;

	json_object_foreach(volumes, path, nothing) {
		const json_t *m = volume_at(w, path);
		if (!m || is_bound(w, path))
			continue;
		if (!json_is_array(doc_get(in, field)))
			put(w, in, field, json_array());
		json_t *bind = json_sprintf("%s:%s%s", doc_str(m, "Name"), path, doc_true(m, "RW") ? "" : ":ro");
		add(w, doc_get(in, field), bind);
		note_attached(w, doc_str(m, "Name"), path);
	}
	return 0;
}

static int old_mounts(struct work *w, json_t *in, const char *field)
{
	const json_t *list = doc_get(in, field);

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *mount = json_array_get(list, i);
		const char *path = doc_str(mount, "Target"), *source = doc_str(mount, "Source");
		const json_t *m =
			path && is(doc_str(mount, "Type"), "volume") && (!source || !*source) ? volume_at(w, path) : NULL;
		if (!m)
			continue;
		put(w, mount, "Source", json_string(doc_str(m, "Name")));
		note_attached(w, doc_str(m, "Name"), path);
	}
	return 0;
}

/* ---- networks ---- */

/* Aliases without those that are the source's alone: its short id (the engine adds the copy's) and its name. */
static json_t *own_aliases(struct work *w, const json_t *list)
{
	json_t *kept = json_array();

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *alias = json_string_value(json_array_get(list, i));
		if (!alias || (strlen(alias) == DOC_SHORT_ID && has_prefix(w->id, alias)))
			continue;
		if (!w->o->recreate && is(alias, doc_name(w->inspect)))
			note(w, "alias %s is the source's name and is not copied", alias);
		else
			add(w, kept, json_string(alias));
	}
	return kept;
}

/* The configured part of an endpoint. New. */
static json_t *make_endpoint(struct work *w, const char *network, const json_t *endpoint)
{
	const char *ip4 = doc_str(endpoint, "IPAMConfig.IPv4Address"), *ip6 = doc_str(endpoint, "IPAMConfig.IPv6Address");
	const char *mac = doc_str(endpoint, "MacAddress");
	json_t *made = json_object(), *aliases = own_aliases(w, doc_get(endpoint, "Aliases"));

	w->no_memory |= !made || !aliases;
	if (json_array_size(aliases))
		put(w, made, "Aliases", json_incref(aliases));
	json_decref(aliases);
	for (size_t i = 0; i < sizeof endpoint_rules / sizeof *endpoint_rules; i++) {
		json_t *value = doc_get(endpoint, endpoint_rules[i].field);
		if (value && !json_is_null(value) && (w->o->recreate ? endpoint_rules[i].recreate : endpoint_rules[i].copy))
			put(w, made, endpoint_rules[i].field, json_incref(value));
	}
	/* Read from API 1.44 on; older ones ignore it. */
	if (w->o->recreate && mac && *mac && !is_made_mac(endpoint, mac))
		put(w, made, "MacAddress", json_string(mac));
	if (!w->o->recreate && ((ip4 && *ip4) || (ip6 && *ip6)))
		note(w, "fixed address %s in network %s is not copied: the engine picks one", ip4 && *ip4 ? ip4 : ip6, network);
	return made;
}

/* Engines before API 1.44 take one endpoint at create: that of NetworkMode. The rest is connected before the start. */
static void make_networks(struct work *w)
{
	json_t *networks = doc_get(w->inspect, "NetworkSettings.Networks"), *endpoint;
	const char *primary = is(w->mode, "default") ? "bridge" : w->mode, *name;

	if (is_special_mode(w->mode))
		return;
	json_object_foreach(networks, name, endpoint) {
		if (doc_listed_twice(networks, name))
			continue;
		json_t *made = make_endpoint(w, name, endpoint);
		if (!is(name, primary))
			add(w, w->out->connect, json_pack("{s:s, s:o}", "network", name, "endpoint", made));
		else if (json_object_size(made))
			put(w, w->out->create, "NetworkingConfig", json_pack("{s:{s:o}}", "EndpointsConfig", name, made));
		else
			json_decref(made);
	}
	if (networks && !json_object_size(networks))
		add(w, w->out->connect, json_pack("{s:s, s:n}", "network", primary, "endpoint"));
}

/* ---- another host ---- */

/* Loud here, for there most of it would go wrong in silence: a missing path or volume is made, empty. */
static int check_portable(struct work *w)
{
	static const char *const lists[] = {"VolumesFrom", "Links", "Devices", "DeviceRequests"};
	static const char *const modes[] = {"NetworkMode", "PidMode", "IpcMode"};
	const json_t *list = doc_get(w->inspect, "Mounts");
	const char *bound = NULL;
	char text[NOTE_MAX];

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (json_array_size(doc_get(w->host, lists[i])))
			bound = lists[i];
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (has_prefix(doc_str(w->host, modes[i]), "container:"))
			bound = modes[i];
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		const char *name = doc_str(m, "Name"), *type = doc_str(m, "Type");
		if (is(type, "bind") || (is(type, "volume") && name && !doc_is_hex(name, DOC_ID)))
			bound = name ? name : doc_str(m, "Source");
	}
	if (!bound)
		return 0;
	(void)snprintf(text, sizeof text,
	               "%.100s is on its host only (the policy's placement = same-host keeps copies there)", bound);
	return refuse(w, text);
}

/* ---- the whole ---- */

static int apply(struct work *w)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const struct rule *r = &rules[i];
		mend *const fn = w->o->recreate ? r->recreate : r->copy;
		if (fn && fn(w, strcmp(r->part, "Config") == 0 ? w->config : w->host, r->field) < 0)
			return -1;
	}
	if (w->o->other_host && check_portable(w) < 0)
		return -1;
	make_networks(w);
	return w->no_memory ? err_set(w->err, ERR_TEMPORARY, "out of memory") : 0;
}

int copy_make(const json_t *inspect, const struct copy_options *options, struct copy_request *out, struct err *err)
{
	struct work w = {.inspect = inspect, .o = options, .out = out, .id = doc_str(inspect, "Id"), .err = err};
	const json_t *config = doc_get(inspect, "Config"), *host = doc_get(inspect, "HostConfig");

	*out = (struct copy_request){0};
	if (!w.id || !json_is_object(config) || !json_is_object(host))
		return err_set(err, ERR_INPUT, "%s: the engine's document has no Id, Config or HostConfig", doc_name(inspect));
	out->create = w.config = json_deep_copy(config);
	out->connect = json_array();
	out->notes = json_array();
	w.host = json_deep_copy(host);
	const bool good =
		w.config && out->connect && out->notes && json_object_set_new(w.config, "HostConfig", w.host) == 0;
	if (good && apply(&w) == 0)
		return 0;
	if (!good)
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	copy_release(out);
	return -1;
}

void copy_release(struct copy_request *r)
{
	json_decref(r->create);
	json_decref(r->connect);
	json_decref(r->notes);
	*r = (struct copy_request){0};
}
