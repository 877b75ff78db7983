/* A filter that looks at several records before it goes through them one by one, for a stage that asks somebody about
 * each: it can ask about all of them at once. Records leave in the order in which they came. A batch is what can be
 * read without a wait, so that no record waits for others. */
#ifndef CMD_FRONT_BATCH_H
#define CMD_FRONT_BATCH_H

#include "cmd/front/front.h"

#define BATCH_RECORDS 256

struct batch {
	struct front *f;
	/* Called with the records of a batch before `each` sees the first of them; a line that is no record, or carries an
	 * error already, is absent. What fails in it is told by `each`, record by record. */
	void (*prepare)(void *ctx, const struct jv *records, size_t n);
	record_fn each; /* not for those that are absent */
	void *ctx;
	bool errors_too; /* those that carry an error are neither absent nor left out */
	size_t at;       /* which record of the batch `each` has in hand */

	/* private */
	struct buf bytes;      /* the lines, each with a NUL */
	struct jv_node *nodes; /* of the records in hand */
	struct {
		unsigned long number;
		size_t from, n;
	} lines[BATCH_RECORDS];
	size_t n;
	bool running;
};

/* As front_filter, with operands too. */
int front_filter_batched(struct batch *b);

#endif
