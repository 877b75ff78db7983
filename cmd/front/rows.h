/* Policies, of the store or of a file, in the order in which they hold for a service; and what they make of it. What
 * as-resolve-policy and as-status share. */
#ifndef CMD_FRONT_ROWS_H
#define CMD_FRONT_ROWS_H

#include "base/conf.h"
#include "base/jv.h"
#include "cmd/front/known.h"
#include "policy/policy.h"
#include "store/store.h"

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

#define ROWS_MAX 256 /* that match one service */

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
/* Those of the store for these services in place of what was there. */
int rows_read(struct rows *rows, struct store *store, const char *const *services, size_t n, struct err *err);

/* Writes the member `policy` of a service. template: as observed.template, for labels, variables and what conventions
 * need; alert may be absent. known: policies that were made before, *entry the one among them, or NULL; both may be
 * NULL. LIMIT: more than ROWS_MAX match. Else as policy_resolve. */
int rows_resolve(const struct rows *rows, const struct conf *conf, const char *service, struct jv template,
                 struct jv alert, struct known *known, struct known_policy **entry, struct buf *out, struct err *err);

#endif
