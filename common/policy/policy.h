/* The door of the room policy/: what a service wants, and where each part of that came from, autoscale-policy(5).
 * Pure: no clock, no files, no store. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/buf.h"
#include "base/convention.h"
#include "base/err.h"
#include "base/jv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- fields: one table (fields.c) of names, labels, types, defaults --- */

#define POLICY_TEXT 1024 /* longest value of a field */

struct policy_field {
	const char *name;     /* "cooldown_down" */
	const char *label;    /* "autoscale.cooldown-down" */
	const char *family;   /* "cooldown": also read from the field of that name; NULL */
	const char *fallback; /* default as label text; NULL: none */
	/* Checks a label's text and writes the field as JSON. False: it does not parse or is out of bounds. */
	bool (*parse)(const char *text, struct buf *json);
	const char *wants; /* for the warning: "a number from 0 to 10000" */
};

extern const struct policy_field policy_fields[];
extern const size_t policy_fields_count;

/* The field of that name, or NULL. A family name ("step", "cooldown") is a field too when it is in the table. */
const struct policy_field *policy_field(const char *name);
/* A JSON value of a policy row as label text: strings decoded, numbers and booleans as they are, a target object as
 * "A=1;B=2". False: another type or too long. */
bool policy_text(struct jv value, char *out, size_t size);

/* --- resolve: sources in falling order -> the effective policy --- */

enum policy_kind {
	POLICY_LABELS,    /* object: label -> text, read under "autoscale.*" */
	POLICY_VARIABLES, /* object: AUTOSCALE_* -> text */
	POLICY_ROW,       /* object: field -> JSON value */
	POLICY_ALERT,     /* the alert: only min and max are read */
	POLICY_FIELDS,    /* object: field -> text, of a convention */
};

struct policy_source {
	enum policy_kind kind;
	const char *from; /* "label", "variable", "db:web@4", "alert", "convention:traefik" */
	const char *type; /* of a row: "scale-up" makes `step` mean `step_up`, "scale-down" `step_down`; may be NULL */
	struct jv object;
	struct jv warnings; /* array of texts that are said along; may be absent */
};

struct policy_limits {
	int64_t max_replicas;
	int64_t per_host; /* containers of one service on one host; 0: no limit */
	bool narrow;      /* labels and variables may only lower what the rows allow */
};

/* Writes the `policy` member: every field that has a value, `from`, `shadowed`, `warnings`. REFUSED: min is larger
 * than max. */
int policy_resolve(const struct policy_source *sources, size_t n, const struct policy_limits *limits, struct buf *out,
                   struct err *err);

/* Has any of the sources a usable value of this field? */
bool policy_says(const struct policy_source *sources, size_t n, const char *field);

/* --- conventions: labels and variables of other tools as fields (base/convention.h) --- */

/* One load balancer, and by which conventions containers join it. */
struct policy_switched {
	const char *lb;
	unsigned conventions;
};

struct policy_conventions {
	struct policy_source v[CONVENTIONS + 1]; /* to be put behind all other sources */
	size_t n;
	char from[CONVENTIONS + 1][96];
	struct buf fields[CONVENTIONS + 1], warnings[CONVENTIONS];
};

/* container: {labels, variables, ports} as observed.template has them. With named, a source has named a load balancer:
 * read are virtual_host, traefik, df and what is switched on. Else it joins those whose conventions it follows (`lb` is
 * one of the fields), and only these are read. Release in any case. */
int policy_conventions_read(struct policy_conventions *c, struct jv container, bool named,
                            const struct policy_switched *lbs, size_t nlbs, struct err *err);
void policy_conventions_release(struct policy_conventions *c);

/* Does a policy row's service glob match? Exact name or fnmatch(3). */
bool policy_matches(const char *glob, const char *service);

/* --- steps: "2", "50%", "25%min2", "0..20:1;20..50:25%;50..:100%" --- */

/* Is it one of these forms, the bands without gap or overlap, the last of them open? */
bool step_valid(const char *step);
/* How many replicas to move from a count of n. breach: how far the value is past the threshold, in millionths;
 * used by bands only. 0 when the breach is below the first band. A percentage moves at least its min, or 1. */
int64_t step_size(const char *step, int64_t n, int64_t breach_micro);

/* --- rates: "4/60s", "100%/15s", several with commas; " min" or " max" at the end: which of them counts --- */

bool rate_valid(const char *text);
int64_t rate_longest(const char *text); /* of its periods, in ms; 0: it is none */

#endif
