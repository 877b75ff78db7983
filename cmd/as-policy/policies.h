/* What the files of as-policy share. */
#ifndef CMD_AS_POLICIES_H
#define CMD_AS_POLICIES_H

#include "cmd/front/front.h"
#include "store/store.h"

#include <jansson.h>

struct policies {
	struct front f;
	struct store *store;
	int64_t expected; /* --expect; -1: any version */
	json_t *row;      /* found by fetch_row */
	const char *name; /* that it looks for */
};

/* row.c: a row as JSON: {"name","service","type","priority","enabled","version", FIELD...} */

/* New; NULL: no memory. */
json_t *row_json(const struct policy_row *p);
/* Checks every value of the row, and stores it with `store` (and without -n). */
int put_row(struct policies *p, const json_t *row, bool store, struct err *err);

#endif
