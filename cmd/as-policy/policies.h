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
/* What the row says of itself. Borrowed from it. -1: it cannot be a policy, and *member is what is wrong; NULL: the row
 * itself. */
int row_head(const json_t *row, struct policy_row *r, const char **member, struct err *err);
bool row_member(const char *name); /* of the row itself: it is no field */
/* A field checked by its own parser, in the form that is stored. -1: err names it. New in *out. */
int row_field(const char *name, const json_t *value, json_t **out, struct err *err);
int row_limits(const json_t *fields, struct err *err); /* is min larger than max? */
/* All its fields, from `fields` and from the top level. New in *out, also when it fails. */
int row_fields(const json_t *row, json_t **out, struct err *err);
/* Checks every value of the row, and with `store` stores it, inside the caller's transaction. A row that says its
 * `version` (as one of `list` does) is refused when the stored one is at another. */
int put_row(struct policies *p, const json_t *row, bool store, struct err *err);

/* bands.c: the bands of a step, for messages: step_valid (policy/policy.h) only says whether it is one. */
struct band {
	const char *text; /* "20..50", */
	int length;
	int64_t from, to; /* millionths; INT64_MAX: open */
	int64_t amount;
	bool percent;
};
/* Takes the next band from *text. False: there is none, or it is none. */
bool band_next(const char **text, struct band *b);
/* Why a field does not take this text, beyond what it wants. False: there is nothing to say. */
bool explain(const char *field, const char *text, char *why, size_t size);

/* check.c: files, or standard input where there are none; "-" is that too. What is found goes to standard error, and
 * into the exit status. */
int check_files(struct policies *p, char **files, struct err *err);

#endif
