/* The copy rule: a copy is the source's create request, not its state. Config and HostConfig of the inspect document
 * are sent as they are, but for the fields of the table below; of the networks only what was configured is sent.
 *
 * The table is the rule. A row says what becomes of a field in a copy, while its source lives, and what in a
 * recreation, when only the remembered document is left. as-clone(1) shows it to the operator. */
#include "engine/copy.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/banned.h"

#define keep NULL

/* What is not listed is kept as it is. Rows of one field are applied in turn; later rows see what earlier ones did.
 * drop: the engine's again; ask: refused unless [limits] says privileged = allow; own: what the engine made for this
 * one container goes, what was chosen stays; less: without what the image gave, where the copy follows its tag. */
static const struct rule {
	const char *part, *field;
	rule_word *copy, *recreate;
} rules[] = {
	/* What Podman says otherwise than Docker: mended before anything looks at it. */
	{"HostConfig", "PortBindings", rule_podman_null, rule_podman_null},
	{"HostConfig", "NanoCpus", rule_podman_cpu, rule_podman_cpu}, /* or CpuPeriod and CpuQuota, not both */
	{"HostConfig", "MemorySwappiness", rule_podman_swappiness, rule_podman_swappiness},
	{"HostConfig", "Runtime", rule_podman_runtime, rule_podman_runtime},
	{"HostConfig", "Ulimits", rule_podman_ulimits, rule_podman_ulimits}, /* RLIMIT_NOFILE -> nofile */
	{"Config", "Env", rule_podman_env, rule_podman_env},                 /* container, TERM and HOSTNAME */

	/* More rights than any container has. */
	{"HostConfig", "Privileged", rule_ask_true, rule_ask_true},
	{"HostConfig", "CapAdd", rule_ask_caps, rule_ask_caps},
	{"HostConfig", "Devices", rule_ask_any, rule_ask_any},
	{"HostConfig", "DeviceCgroupRules", rule_ask_any, rule_ask_any},
	{"HostConfig", "PidMode", rule_ask_host, rule_ask_host},
	{"HostConfig", "IpcMode", rule_ask_host, rule_ask_host},
	{"HostConfig", "UsernsMode", rule_ask_host, rule_ask_host},
	{"HostConfig", "NetworkMode", rule_ask_host, rule_ask_host},
	{"HostConfig", "Binds", rule_ask_socket, rule_ask_socket}, /* and Mounts: the engine's socket */

	/* The image: pinned to the source's, or with autoscale.image = follow what the tag means now, and then without
     * what the old image gave. */
	{"Config", "Image", rule_pin_image, rule_pin_image},
	{"Config", "Env", rule_less_entries, keep},
	{"Config", "Labels", rule_less_members, keep},
	{"Config", "ExposedPorts", rule_less_members, keep},
	{"Config", "Volumes", rule_less_members, keep},
	{"Config", "WorkingDir", rule_less_value, keep},
	{"Config", "User", rule_less_value, keep},
	{"Config", "StopSignal", rule_less_value, keep},
	{"Config", "Healthcheck", rule_less_health, keep},
	{"Config", "Cmd", rule_less_command, keep},                       /* and Entrypoint: they belong together */
	{"Config", "Entrypoint", rule_no_entrypoint, rule_no_entrypoint}, /* none, although the image has one -> [""] */

	/* Who it is. */
	{"HostConfig", "NetworkMode", rule_mode_name, rule_mode_name}, /* an id, or one that it left -> a name it has */
	{"Config", "Hostname", rule_own_hostname, rule_own_hostname},  /* a generated one would be everybody's */
	{"Config", "Labels", rule_own_labels, rule_op_label},          /* compose's go, ours come, a scheduler's refuse */
	{"Config", "MacAddress", rule_drop_mac, rule_made_mac},        /* by autoscale.address */

	/* What only one container can have. */
	{"HostConfig", "PortBindings", rule_fixed_ports, keep},         /* refuse, recompute or drop: autoscale.ports */
	{"Config", "ExposedPorts", rule_bound_ports, rule_bound_ports}, /* and all that is bound */
	{"HostConfig", "Binds", rule_fresh_binds, rule_old_binds},      /* anonymous volumes: new, or the old ones */
	{"HostConfig", "Mounts", rule_fresh_mounts, rule_old_mounts},

	/* What the engine fills in by itself, and may not be sent back. */
	{"HostConfig", "ContainerIDFile", rule_drop, rule_drop},
	{"HostConfig", "ConsoleSize", rule_drop, rule_drop},
	{"HostConfig", "Cgroup", rule_drop, rule_drop},
	{"HostConfig", "KernelMemory", rule_drop_zero, rule_drop_zero}, /* unknown from API 1.42 on */
	{"HostConfig", "KernelMemoryTCP", rule_drop_zero, rule_drop_zero},
	{"HostConfig", "MaskedPaths", rule_drop_foreign, rule_drop_foreign}, /* each engine has its own list */
	{"HostConfig", "ReadonlyPaths", rule_drop_foreign, rule_drop_foreign},
};

/* ---- words that any field may need ---- */

int rule_drop(struct work *w, json_t *in, const char *field)
{
	(void)w;
	(void)json_object_del(in, field); /* -1: it is not there */
	return 0;
}

int rule_drop_zero(struct work *w, json_t *in, const char *field)
{
	return doc_int(in, field) == 0 ? rule_drop(w, in, field) : 0;
}

int rule_drop_foreign(struct work *w, json_t *in, const char *field)
{
	/* An empty list is the user's: --security-opt systempaths=unconfined. */
	return w->o->other_host && json_array_size(doc_get(in, field)) ? rule_drop(w, in, field) : 0;
}

/* ---- the work ---- */

void work_put(struct work *w, json_t *in, const char *field, json_t *value)
{
	w->no_memory |= json_object_set_new(in, field, value) < 0;
}

void work_add(struct work *w, json_t *array, json_t *value) { w->no_memory |= json_array_append_new(array, value) < 0; }

void work_note(struct work *w, const char *fmt, ...)
{
	const size_t n = json_array_size(w->out->notes);
	char text[NOTE_MAX];
	va_list ap;

	if (n == NOTES_MAX - 1)
		work_add(w, w->out->notes, json_string("and more of this kind"));
	if (n >= NOTES_MAX - 1)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* A name of many bytes may have been cut within a character. */
	json_t *value = json_string(text);
	work_add(w, w->out->notes, value ? value : json_string("a name that is too long was left out here"));
}

int work_refuse(struct work *w, const char *what)
{
	return err_set(w->err, ERR_REFUSED, "%s cannot be copied: %s", doc_name(w->inspect), what);
}

bool work_says(struct work *w, const char *label, const char *word, const char *otherwise)
{
	const char *value = doc_setting(w->inspect, label);

	if (!value || is(value, otherwise))
		return false;
	if (is(value, word))
		return true;
	work_note(w, "%s is neither %s nor %s: it is taken for %s", label, otherwise, word, otherwise);
	return false;
}

static int apply(struct work *w)
{
	image_begin(w);
	w->keep_address = w->o->recreate || work_says(w, "autoscale.address", "keep", "drop");
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const struct rule *r = &rules[i];
		rule_word *const fn = w->o->recreate ? r->recreate : r->copy;
		if (fn && fn(w, is(r->part, "Config") ? w->config : w->host, r->field) < 0)
			return -1;
	}
	if (w->o->other_host && check_portable(w) < 0)
		return -1;
	networks_make(w);
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
