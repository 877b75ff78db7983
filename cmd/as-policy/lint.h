/* What the files of `as-policy check` share: the rows that were read, and what is found about them.
 *
 * check.c: files, rows, and printing; lint_row.c: what one row says; lint_rows.c: what rows do to each other;
 * lint_labels.c: what the labels of services do to them. */
#ifndef CMD_AS_POLICY_LINT_H
#define CMD_AS_POLICY_LINT_H

#include "cmd/as-policy/policies.h"

#include "base/jv.h"
#include "policy/policy.h"

struct lint_file {
	const char *name;
	struct buf text;
};

struct lint_row {
	const struct lint_file *file; /* NULL: it is in the store only, and nothing is said about it */
	struct jv object;             /* where it stands in the file */
	json_t *json;                 /* owns the texts of head */
	struct policy_row head;
	char *fields;    /* as they are stored; NULL: it would not load */
	int64_t version; /* that it says it has; -1: none */
	bool replaced;   /* by a later one of its name */
	bool label_max;  /* a remembered service for which it holds has its max by a label or variable */
	char name[80];   /* for messages: also that of one without a name */
	char from[96];   /* "policy NAME": as a source of fields */
};

struct finding {
	const struct lint_file *file;
	size_t at, order; /* bytes from the beginning; which was found first */
	char *text;
};

struct lint {
	struct policies *p;
	struct lint_file *files;
	size_t nfiles;
	struct lint_row *rows;
	size_t nrows, room;
	struct finding *findings;
	size_t nfindings, findings_room, errors, warnings;
	bool failed; /* no memory */
};

/* Notes what is wrong with a member of a row; NULL: with the row as a whole. error: the row would not load. */
void lint_say(struct lint *l, const struct lint_row *row, const char *member, bool error, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Where one of its members stands, on top or in `fields`; absent: nowhere. */
struct jv lint_member(const struct lint_row *row, const char *name);

/* Does the row take part: it would load, is enabled, and is not replaced. */
bool lint_holds(const struct lint_row *row);
/* One of its fields as JSON, or as text; absent or false: it does not say it. */
struct jv lint_field(const struct lint_row *row, const char *name);
bool lint_text(const struct lint_row *row, const char *name, char text[POLICY_TEXT]);

/* An element more, zeroed. NULL: no memory, which is noted. The old ones may move. */
void *lint_more(struct lint *l, void **list, size_t *n, size_t *room, size_t size);

void lint_row(struct lint *l, struct lint_row *row); /* also fills head and fields */
int lint_stored(struct lint *l, struct err *err);    /* adds the rows of the store that no file replaces */
void lint_names(struct lint *l);                     /* marks the rows that others replace */
void lint_rows(struct lint *l);
int lint_labels(struct lint *l, struct err *err);

#endif
