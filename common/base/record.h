/* Records and the loop that every stage runs, autoscale-record(5).
 *
 * A stage keeps the bytes of the line it read, validated once, and inserts or replaces members of its own; every
 * other byte leaves as it came. The loop reads lines of bounded length, reports bad ones by number and goes on,
 * writes in blocks and flushes whenever the input would block, so that a record never waits inside a stage. */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/jv.h"
#include "base/limits.h"

#include <signal.h>
#include <stdbool.h>

#define RECORD_VERSION 1

struct record_edit {
	char name[24];
	struct buf value;
};

struct record {
	unsigned long line; /* of the input; 0 when the command made the record */
	struct jv whole;    /* the object */
	struct jv_member *members;
	size_t nmembers;
	struct record_edit edits[EDITS_MAX];
	size_t nedits;
};

/* A member as it stands now, edits included. Absent: .p is NULL. Good until the next edit of that member. */
struct jv record_get(const struct record *r, const char *name);
/* The buffer that becomes the member's value; empty at first. What is written must be one JSON value. */
struct buf *record_edit(struct record *r, const char *name);
/* Adds one element (JSON text) to a member that is an array; makes the array when it is not there. */
void record_append(struct record *r, const char *name, const struct buf *element);
/* Sets `error`, unless the record has one: the first failure stays. at: ms UTC, or TIME_NONE. */
void record_fail(struct record *r, const char *stage, const struct err *err, int64_t at);

/* Reading what every stage needs. -1: MISSING, with the member's name. */
int record_service(const struct record *r, char out[SERVICE_NAME_MAX + 1], struct err *err);
int record_now(const struct record *r, int64_t *now, struct err *err);

/* Did what was planned happen? outcome: audit.outcome. */
bool outcome_acts(const char *outcome);

/* What happens to a record after its stage saw it. */
enum record_fate {
	RECORD_ERROR = -1, /* err becomes the record's `error`, is reported, and the record is printed */
	RECORD_PRINT = 0,
	RECORD_DROP = 1,
};
typedef enum record_fate (*record_fn)(void *ctx, struct record *r, struct err *err);

struct record_loop {
	const char *stage; /* "as-decide" */
	int in, out;       /* descriptors */
	record_fn each;
	void *ctx;
	bool errors_too;        /* also call `each` for records that carry an error; else they pass */
	bool any;               /* a line may also be an array (foreign input) */
	bool sink;              /* records end here: none is printed */
	bool flush_each;        /* acting stages: no action after a record that could not be written */
	int64_t (*clock)(void); /* for error.at; NULL: the record's own `now` */
	void (*report)(void *ctx, unsigned long line, const struct err *err);
	void *report_ctx;
	/* Called for a line that is no record, with its bytes; true: it was dealt with, and is not reported. May be NULL.
	 */
	bool (*bad_line)(void *ctx, unsigned long line, const char *bytes, size_t n);
	/* Called for a line that is too long, piece by piece as it is read; the line is then not reported. -1 ends the
	 * loop. May be NULL. */
	int (*long_line)(void *ctx, unsigned long line, const char *piece, size_t n, bool last, struct err *err);
	/* Called before the loop waits for more input and at its end: the place to commit a batch. May be NULL. */
	int (*idle)(void *ctx, struct err *err);
	const volatile sig_atomic_t *stop; /* not 0: leave after the record in hand; may be NULL */
	/* For a stage that works on several records at a time (cmd/front/abreast.h, batch.h). take gets each line instead
	 * of `each` and hands a copy of it to record_loop_one later; wait is called before a read or write that may block,
	 * with what poll(2) calls events. -1 ends the loop. Both or none. */
	int (*take)(void *ctx, unsigned long line, const char *bytes, size_t n, struct err *err);
	int (*wait)(void *ctx, int fd, short events, struct err *err);
	bool pieces;    /* a wait before a write may let others write too: what is written is what a pipe takes at once */
	void *side_ctx; /* of both */

	bool failed, bad_input; /* results: some record carries an error of ours; some line was bad */

	struct buf input, output;  /* private */
	struct jv_member *members; /* of the record in hand; unless there is `take` */
	struct jv_index index;     /* of the same */
};

int record_loop_init(struct record_loop *l, struct err *err);
/* Reads `in` to its end. -1: input unreadable or OUTPUT; bad lines are no failure of the loop. */
int record_loop_run(struct record_loop *l, struct err *err);
/* The same for one record, of a line or (line 0) made by the command itself; bytes without newline, with a NUL behind
 * them. */
int record_loop_one(struct record_loop *l, unsigned long line, const char *bytes, size_t n, struct err *err);
/* The same for an object that jv_scan_indexed validated as a record's, with room for MEMBERS_MAX members, and that is
 * in its index whole. */
int record_loop_scanned(struct record_loop *l, unsigned long line, struct jv whole, struct err *err);
/* Writes a line as it is, for commands whose output is not a stage's. */
int record_loop_put(struct record_loop *l, const char *bytes, size_t n, struct err *err);
int record_loop_flush(struct record_loop *l, struct err *err);
void record_loop_release(struct record_loop *l);

#endif
