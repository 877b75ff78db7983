/* What the files of as-audit share. */
#ifndef CMD_AS_AUDIT_H
#define CMD_AS_AUDIT_H

#include "cmd/front/front.h"
#include "store/store.h"

struct audit {
	struct front f;
	struct store *store;
	struct buf line;
	char actor[96]; /* who: as-audit@HOST */
};

/* Opens the store at the first call. */
int need_store(struct audit *a, struct err *err);

/* intent.c: the promise before acting; ctx is a struct audit. */
enum record_fate before(void *ctx, struct record *r, struct err *err);
/* story.c: outcome and history after it. */
enum record_fate after(void *ctx, struct record *r, struct err *err);

/* trail.c: reading what was written; service NULL: of all. */
int print_history(struct audit *a, const char *service, struct err *err);
int print_trail(struct audit *a, const char *service, struct err *err);
int verify_chain(struct audit *a, struct err *err);

#endif
