/* What the files of the copy rule share: copy.c has the table and carries it out, copy_*.c have the words of the table
 * by concern. For these files only; the rule's door is engine.h. */
#ifndef ENGINE_COPY_H
#define ENGINE_COPY_H

#include "engine/doc.h"
#include "engine/engine.h"

#include <string.h>

#define NOTE_MAX 400 /* bytes */
#define NOTES_MAX 20 /* of one copy: a record holds those of many */

/* One copy in the making. */
struct work {
	const json_t *inspect;
	const struct copy_options *o;
	struct copy_request *out;
	json_t *config, *host; /* of the create request */
	const char *id, *mode; /* the source's id; the copy's NetworkMode */
	bool follow;           /* autoscale.image = follow, and the tag means another image now */
	bool keep_address;     /* it is recreated, or autoscale.address = keep */
	bool no_memory;        /* a value could not be stored */
	struct err *err;
};

/* A word of the table: mends one field of `in`, the copy's Config or HostConfig. -1: the copy is refused, and w->err
 * says why. */
typedef int rule_word(struct work *w, json_t *in, const char *field);

/* copy.c */
rule_word rule_drop, rule_drop_zero, rule_drop_foreign;

void work_put(struct work *w, json_t *in, const char *field, json_t *value); /* takes value */
void work_add(struct work *w, json_t *array, json_t *value);                 /* takes value */
void work_note(struct work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int work_refuse(struct work *w, const char *what);
/* True when the source's label or variable says `word`, false when it says `otherwise` or nothing. Any other text is a
 * tenant's slip: it is noted, and false. */
bool work_says(struct work *w, const char *label, const char *word, const char *otherwise);

static inline bool is(const char *s, const char *text) { return s && strcmp(s, text) == 0; }

static inline bool has_prefix(const char *s, const char *prefix)
{
	return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

/* copy_rights.c: more than any container has. */
rule_word rule_ask_true, rule_ask_host, rule_ask_any, rule_ask_caps, rule_ask_socket;

/* copy_names.c: who it is. */
rule_word rule_mode_name, rule_own_hostname, rule_own_labels, rule_op_label;

/* copy_image.c: from which image, and what of it is the image's. */
rule_word rule_pin_image, rule_no_entrypoint, rule_less_entries, rule_less_members, rule_less_value, rule_less_health,
	rule_less_command;
void image_begin(struct work *w); /* before the table: fills w->follow */

/* copy_ports.c */
rule_word rule_fixed_ports, rule_bound_ports;

/* copy_networks.c: endpoints and their addresses. */
rule_word rule_drop_mac, rule_made_mac;
/* Engines before API 1.44 take one endpoint at create: that of NetworkMode. The rest is connected before the start. */
void networks_make(struct work *w);
/* A mode that names no network: host, none, another container's. */
bool networks_special(const char *mode);
/* The name of the network that NetworkMode means, a key of Networks; NULL when it is connected to none. */
const char *networks_primary(const struct work *w);

/* copy_volumes.c */
rule_word rule_fresh_binds, rule_old_binds, rule_fresh_mounts, rule_old_mounts;

/* copy_podman.c: what Podman says otherwise than Docker. They do nothing for a document of Docker's. */
rule_word rule_podman_null, rule_podman_cpu, rule_podman_swappiness, rule_podman_runtime, rule_podman_ulimits,
	rule_podman_env;

/* copy_check.c: what a host has, and what its engine made of the request. */
int check_portable(struct work *w);

#endif
