/* The door of the room alert/: foreign notifications -> the normalised alert, autoscale-alert(5). Pure: time and
 * randomness come in as parameters. Bytes of numbers and labels are kept as they came. */
#ifndef ALERT_ALERT_H
#define ALERT_ALERT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/jv.h"

#include <stdbool.h>
#include <stdint.h>

struct alert_options {
	const char *source;        /* NULL: found from the shape */
	const char *service;       /* used when the notification names none */
	const char *service_field; /* dotted path of the service in it, e.g. "docker.service" */
	const char *action, *rule; /* used when it names none */
	int64_t now;               /* ms UTC: received_at */
	void (*random)(void *p, size_t n);
};

struct alert {
	struct buf body;     /* the normalised alert, one JSON object */
	struct buf identity; /* what makes it the same alert: source, key, starts_at; empty: every delivery is its own */
	char id[128], service[64], source[32], status[16];
	bool repeats; /* the source sends the same identity again while the condition persists */
};

/* Called for each alert of a notification; -1 ends the walk. The alert is the callee's to read only. */
typedef int (*alert_fn)(void *ctx, const struct alert *alert, struct err *err);

/* One document: an alert of our own form, an array of ElastAlert2 matches, or an Alertmanager v4 group. ERR_INPUT says
 * what is missing and which option supplies it; the other alerts of a list were handed over all the same. */
int alert_each(struct jv document, const struct alert_options *options, alert_fn fn, void *ctx, struct err *err);

/* "scaleup", "scale_up", "ScaleUp", "up" -> "scale-up", and so on for the known actions; another text stays. */
void alert_action(const char *text, char *out, size_t size);

/* A new id: 48 bits of time, 80 random, 26 characters that sort by time (ULID, github.com/ulid/spec). */
void alert_new_id(int64_t now, void (*random)(void *p, size_t n), char out[27]);

#endif
