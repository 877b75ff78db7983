/* A filter that works on several records at a time, for commands that wait long for each: one service that is slow to
 * get ready does not hold up the others. Records leave in the order in which they are done; those of one service keep
 * theirs. */
#ifndef CMD_FRONT_ABREAST_H
#define CMD_FRONT_ABREAST_H

#include "base/tasks.h"
#include "cmd/front/front.h"

#define ABREAST_RECORDS 32 /* in hand at a time */

/* As front_filter. `each` runs in a task and may wait as base/tasks.h says; it shares ctx with those of other records.
 * A signal ends the command after the records in hand. */
int front_filter_abreast(struct front *f, struct tasks *tasks, record_fn each, void *ctx, bool errors_too);

#define ABREAST_TOGETHER 64

/* The same for a stage whose records of one service need not wait for each other: up to ABREAST_TOGETHER of whatever
 * services are worked on at the same time. `each` is entered in the order of the lines, and those of one service still
 * leave in theirs. */
int front_filter_together(struct front *f, struct tasks *tasks, record_fn each, void *ctx, bool errors_too);

#endif
