/* What the files of as-resolve-policy share.
 *
 * A batch of records is resolved in three strides: the policies of all its services are read, each record's `policy` is
 * made, and then the past of all services is asked for as far back as those policies look. */
#ifndef CMD_AS_RESOLVE_H
#define CMD_AS_RESOLVE_H

#include "cmd/front/batch.h"
#include "policy/policy.h"
#include "store/store.h"

/* ---- rows.c: policies, of the store or of a file ---- */

struct row {
	int64_t priority, version;
	bool glob; /* else service is a name */
	char name[128], from[160], type[32];
	char *service, *fields; /* fields: a JSON object */
};

struct rows {
	struct row *v; /* names before globs, by service; those of one service, and the globs, by rank */
	size_t n, room, nnames;
};

/* A copy. */
int rows_add(struct rows *rows, const struct policy_row *p, struct err *err);
/* After the last one was added. */
void rows_sort(struct rows *rows);
void rows_clear(struct rows *rows);
/* Those that match, at most max, in falling rank: higher priority first, then exact name over glob, then newer version.
 * How many there are, also when that is more than max. */
size_t rows_match(const struct rows *rows, const char *service, const struct row **found, size_t max);
/* The policies of a file, as `as-policy list` prints them: objects one after the other, or arrays of them. CONFIG:
 * names the file, the line and what is wrong. */
int rows_load(struct rows *rows, const char *file, struct err *err);

/* ---- past.c: the member `history` ---- */

/* How far back a policy looks, in ms; 0: not at all. */
struct past_span {
	int64_t window, moves;
	bool counted;
};

/* policy: of a record. */
void past_span_read(struct jv policy, struct past_span *span);
/* now: the record's time. */
void past_bounds(const struct past_span *span, int64_t now, struct past_ask *ask);
/* running: how many there are now, for a service of which nothing was noted; -1: not known. past NULL: nothing ever
 * was. */
void past_put(struct buf *b, const struct past_ask *ask, const struct service_past *past, int64_t now, int64_t running);

/* ---- known.c: policies that were made before, by the very words that they are made of ---- */

#define KNOWN_MAX 512

/* Services that differ in nothing but their names have one policy. It is kept with what it says of the past. */
struct known_policy {
	struct buf words, policy;
	struct past_span span;
	bool named; /* a source names a load balancer */
};
struct known {
	struct known_policy v[KNOWN_MAX];
	struct buf words; /* of the record in hand */
};

/* The words of these sources. The alert's are its limits alone; of labels and variables only what is ours, without the
 * service's name: conventions are not in it. */
void known_begin(struct known *k, const struct policy_source *sources, size_t n);
/* The policy of those words, or NULL. */
const struct known_policy *known_find(const struct known *k);
/* Keeps it for those words, in place of another one. */
void known_keep(struct known *k, const struct buf *policy, const struct past_span *span, bool named);
void known_release(struct known *k);

#endif
