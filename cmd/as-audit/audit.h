/* What the files of as-audit share. */
#ifndef CMD_AS_AUDIT_H
#define CMD_AS_AUDIT_H

#include "cmd/front/front.h"
#include "store/store.h"

struct audit {
	struct front f;
	struct store *store;
	struct buf line;
	char actor[96];             /* who: as-audit@HOST */
	struct trail_filter filter; /* of what is printed */
	const char *outcomes;       /* comma list, NULL: any */
};

/* Opens the store at the first call. */
int need_store(struct audit *a, struct err *err);

/* intent.c: the promise before acting; ctx is a struct audit. */
enum record_fate before(void *ctx, struct record *r, struct err *err);
/* story.c: outcome and history after it. */
enum record_fate after(void *ctx, struct record *r, struct err *err);

/* trail.c: reading what was written, as a->filter and a->outcomes say. */
int print_history(struct audit *a, struct err *err);
/* records: each decision as a record that can be decided again; else every row as it is. */
int print_trail(struct audit *a, bool records, struct err *err);
/* An RFC 3339 time, or a duration that counts back from now. text NULL: *ms stays. USAGE. */
int trail_time(const char *option, const char *text, int64_t now, int64_t *ms, struct err *err);
/* Is it a decision, and not a promise or a pruning? */
bool audit_row_decides(const struct audit_row *row);
int check_outcomes(const char *list, struct err *err); /* USAGE for an unknown word */
int verify_chain(struct audit *a, struct err *err);

/* prometheus.c: the trail as numbers, of a->filter.service or all. */
int print_prometheus(struct audit *a, struct err *err);

#endif
