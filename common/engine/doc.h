/* Reading the engine's documents, for the files of this room only. Every json_t that comes back is borrowed, may be
 * NULL, and is not to be changed. An absent member reads as NULL, 0 or false. */
#ifndef ENGINE_DOC_H
#define ENGINE_DOC_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOC_ID 64       /* hex digits of a container's or network's whole id */
#define DOC_SHORT_ID 12 /* digits that people and default host names use */

/* A member by its path, as in "State.Health.Status". Names with a dot inside, such as labels, have no path. */
json_t *doc_get(const json_t *doc, const char *path);
const char *doc_str(const json_t *doc, const char *path);
int64_t doc_int(const json_t *doc, const char *path);
bool doc_true(const json_t *doc, const char *path);
bool doc_time_ns(const char *text, int64_t *ns); /* UTC since the epoch; false: it is no time */

const char *doc_name(const json_t *inspect); /* without the slash; "" when it has none */
const char *doc_label(const json_t *inspect, const char *name);
/* The value of an environment variable, or NULL. The last of several counts. */
const char *doc_variable(const json_t *inspect, const char *name);
/* Of "autoscale.lb.port", or of AUTOSCALE_LB_PORT when there is no such label, design.md section 5. */
const char *doc_setting(const json_t *inspect, const char *label);
/* The one port that it tells other tools by their conventions (base/convention.h); 0: none, or several. */
int doc_convention_port(const json_t *inspect);
/* An endpoint's IPv4 address, else its IPv6 address, else NULL. */
const char *doc_address(const json_t *endpoint);
/* The engine lists a network that was given by id once by that id and once by its name. True for the former. */
bool doc_listed_twice(const json_t *networks, const char *name);
bool doc_is_hex(const char *s, size_t digits); /* exactly so many lower case hex digits */
/* 1 to 65535, else 0. With end not NULL the number may be followed by something, and *end is set to it. */
int doc_port(const char *s, const char **end);

/* A value as JSON text, escaped as buf_json_str does it. NULL: null. */
void doc_write(struct buf *out, const json_t *value);
/* `"name":[...]` and `"name":{...}` of both observed.containers and observed.template. */
void doc_write_labels(struct buf *out, const json_t *inspect);
void doc_write_ports(struct buf *out, const json_t *inspect);
void doc_write_variables(struct buf *out, const json_t *inspect);

#endif
