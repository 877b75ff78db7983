/* What the parts of the alert store in MongoDB share: mongodb.c tells the whole, mongodb_claim.c claims, mongodb_end.c
 * renews, finishes and gives back. */
#ifndef STORE_MODULES_MONGODB_INNER_H
#define STORE_MODULES_MONGODB_INNER_H

#include "base/buf.h"
#include "base/limits.h"
#include "store/alerts_driver.h"
#include "store/modules/mongodb_link.h"

/* --- alerts found: what a query said of each, and their texts in one buffer, which may move --- */
struct found {
	size_t id, body; /* where they begin in the texts */
	int64_t due, bytes, attempts, received_at;
};
struct list {
	struct found *p;
	size_t n, cap;
	struct buf texts; /* the owner sets its maximum */
};

static inline const char *list_id(const struct list *l, size_t i) { return l->texts.p + l->p[i].id; }
void list_empty(struct list *l);
void list_release(struct list *l);
int list_add(struct list *l, const bson_t *doc, struct err *err);
/* {_id: {$in: [...]}} of n of them, from `from` on. The caller owns it. */
bson_t *list_ids(const struct list *l, size_t from, size_t n);

/* For link_find: ctx is a struct list; a bool that is set. */
int on_found(void *ctx, const bson_t *doc, struct err *err);
int on_any(void *ctx, const bson_t *doc, struct err *err);

/* --- the handle --- */

/* What may be taken, as it was read a moment ago; what a claim has tried is taken out. */
struct candidates {
	struct list list; /* oldest first */
	size_t at;        /* where the next claim begins */
	int misses;       /* how often others were found to have been here */
	int64_t read_at;  /* CLOCK_MONOTONIC ms */
	char service[SERVICE_NAME_MAX + 1];
	bool more; /* the list was as long as was asked for */
	bool read; /* this handle has read some before */
};

struct note; /* the end of an alert that commit will send: mongodb_end.c */

struct alerts_in_mongo {
	struct alerts base; /* first: the handle that the callers hold */
	struct link link;

	struct candidates due;
	int contended; /* above 0: claims lately met others */

	bool in_batch;
	struct note *notes;
	size_t nnotes, notes_cap;
	char held_token[ALERT_TOKEN]; /* of these, which it is sure to hold for a while: */
	struct list held;
	int held_asked; /* one by one; HELD_ONE_BY_ONE: all were read */
};

static inline struct alerts_in_mongo *mongo_of(struct alerts *a) { return (struct alerts_in_mongo *)(void *)a; }

int mongo_claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn, void *ctx,
                int64_t *count, int64_t *now, struct err *err);
int mongo_renew(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err);
int mongo_finish(struct alerts *a, const char *id, const char *token, const char *result, bool *held, struct err *err);
int mongo_give_back(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
                    const char *error, bool *held, bool *dead, struct err *err);
int mongo_begin(struct alerts *a, struct err *err);
int mongo_commit(struct alerts *a, struct err *err);
void mongo_rollback(struct alerts *a);
void mongo_end_release(struct alerts_in_mongo *m);

#endif
