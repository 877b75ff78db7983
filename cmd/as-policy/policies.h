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
	char actor[128];  /* who: as-policy@HOST, or with the name of the login */
	json_t *row;      /* found by fetch_row */
	const char *name; /* that it looks for */
	bool found;       /* by print_version */
	int64_t version;  /* of it; 0: the newest, from the table of what holds now */
};

/* row.c: a row as JSON: {"name","service","type","priority","enabled","version", FIELD...} */

/* New; NULL: no memory. */
json_t *row_json(const struct policy_row *p);
/* Checks every value of the row, and with `store` stores it, inside the caller's transaction. A row that says its
 * `version` (as one of `list` does) is refused when the stored one is at another. */
int put_row(struct policies *p, const json_t *row, bool store, struct err *err);

#endif
