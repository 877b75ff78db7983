/* Rights beyond those that every container has: they are copied only with the operator's leave. */
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

static int ask_leave(struct work *w, const char *what)
{
	char text[NOTE_MAX];

	if (w->o->privileged_allowed)
		return 0;
	(void)snprintf(text, sizeof text, "it has %s (if copies may have that: privileged = allow in [limits])", what);
	return work_refuse(w, text);
}

int rule_ask_true(struct work *w, json_t *in, const char *field)
{
	return doc_true(in, field) ? ask_leave(w, "all privileges") : 0;
}

int rule_ask_any(struct work *w, json_t *in, const char *field)
{
	(void)field;
	return json_array_size(doc_get(in, field)) ? ask_leave(w, "devices of its host") : 0;
}

int rule_ask_host(struct work *w, json_t *in, const char *field)
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

int rule_ask_caps(struct work *w, json_t *in, const char *field)
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
int rule_ask_socket(struct work *w, json_t *in, const char *field)
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
