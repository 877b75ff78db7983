/* The door of the room alert/: foreign notifications -> the normalised alert, autoscale-alert(5), by mappings that are
 * data, autoscale-mapping(5). Pure: time and randomness come in as parameters, a mapping as its text. Bytes of numbers
 * and labels are kept as they came. */
#ifndef ALERT_ALERT_H
#define ALERT_ALERT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/jv.h"

#include <stdbool.h>
#include <stdint.h>

#define ALERT_SOURCE 64 /* bytes of a source's name, with its NUL */

/* The sources that are known: built in are those of common/alert/sources. */
struct alert_sources;
struct alert_sources *alert_sources_new(struct err *err);
void alert_sources_free(struct alert_sources *sources); /* NULL is fine */
/* Adds what the text of a mapping file says; a section replaces the source of its name. `file` is for messages.
 * CONFIG: "FILE:LINE: why"; the sources are then only good for alert_sources_free. */
int alert_sources_add(struct alert_sources *sources, const char *file, const char *text, struct err *err);

struct alert_options {
	const struct alert_sources *sources;
	const char *source;        /* NULL: found from the shape; one that is not known: our own form, under this name */
	const char *service;       /* used when the notification names none */
	const char *service_field; /* path of the service in it, instead of the source's */
	const char *action, *rule; /* used when it names none */
	const char *threshold;     /* a JSON number; the same */
	int64_t now;               /* ms UTC: received_at */
	void (*random)(void *p, size_t n);
};

struct alert {
	struct buf body;     /* the normalised alert, one JSON object */
	struct buf identity; /* what makes it the same alert: source, key, starts_at; empty: every delivery is its own */
	struct buf voids;    /* the identity of the firing alert that this one, resolved, ends; empty: of none */
	struct buf key;
	struct jv raw; /* its own part of the notification */
	char id[128], service[64], source[ALERT_SOURCE], status[16];
	bool repeats; /* the source sends the same identity again while the condition persists */
	/* Its source says that it is nothing to act on: only this and `source` are set. Words for a person, or "". */
	bool dropped;
	struct buf warning;
};

/* Called for each alert of a notification; -1 ends the walk. The alert is the callee's to read only. */
typedef int (*alert_fn)(void *ctx, const struct alert *alert, struct err *err);

/* One document. ERR_INPUT says what is missing and which option supplies it; the other alerts of a list were handed
 * over all the same. ERR_USAGE: an option is missing without which its alerts cannot be told apart; none was. */
int alert_each(struct jv document, const struct alert_options *options, alert_fn fn, void *ctx, struct err *err);

/* USAGE: service_field is no path of autoscale-mapping(5), or threshold no number. alert_each does it too. */
int alert_check_options(const struct alert_options *options, struct err *err);

/* Python's json.dumps writes NaN, Infinity and -Infinity, which are no JSON: outside of strings they become null.
 * False: there is none, and out holds nothing. */
bool alert_mend(const char *p, size_t n, struct buf *out);

/* "scaleup", "scale_up", "ScaleUp", "up" -> "scale-up", and so on for the known actions; another text stays. */
void alert_action(const char *text, char *out, size_t size);

/* A new id: 48 bits of time, 80 random, 26 characters that sort by time (ULID, github.com/ulid/spec). */
void alert_new_id(int64_t now, void (*random)(void *p, size_t n), char out[27]);

#endif
