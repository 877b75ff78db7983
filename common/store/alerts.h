/* The alert store: put once, claim under a lease, finish by token, give back. Nothing here is ever deleted by a
 * failure. One member `due` says when anybody may next take an alert: received_at when new, the lease's end when
 * claimed, the retry time when given back, NULL when done or dead. Times: ms UTC by the store's clock. */
#ifndef STORE_ALERTS_H
#define STORE_ALERTS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ALERT_ID 128
#define ALERT_TOKEN 40
#define ALERT_MAX_ATTEMPTS 5

struct alerts;

/* url: "sqlite:PATH" or a plain path (the store's file serves both), "mysql://..." or "mongodb://...". One thread; not
 * carried over a fork. Failures as in store.h; ERR_INPUT for a text longer than its column. */
struct alerts *alerts_open(const char *url, struct err *err);
void alerts_close(struct alerts *a); /* NULL is fine */
int64_t alerts_now(struct alerts *a);

struct alert_put {
	const char *id;    /* a fresh id, used when the alert is new */
	const char *dedup; /* hash of what makes it the same alert; one stored alert per dedup, for ever */
	const char *service, *source, *status;
	int64_t received_at;
	const char *body;       /* the normalised alert, JSON text */
	int64_t rearm_ms;       /* > 0: the same dedup this long after the stored one was received is a new alert */
	const char *raw;        /* the notification as it came, UTF-8; NULL: not kept */
	const char *raw_sha256; /* of its bytes; NULL: none */
	const char *dead;       /* not NULL: a dead letter from the start, with this reason */
	/* A notification that a condition is over names the dedup of the alert that reported it. While that one waits
	 * (nobody has it) it is finished as "resolved" and this notification is counted as seen there; so is every
	 * repeat. Else it is stored like any other. NULL: none. */
	const char *voids;
};
/* *stored: it is new; otherwise the `seen` count of a stored one rose. id_out: id of the stored row. */
int alerts_put(struct alerts *a, const struct alert_put *put, bool *stored, char id_out[ALERT_ID], struct err *err);
/* Several puts, finishes, give-backs and requeues in one transaction (SQL stores): begin, calls, commit. All or none,
 * one disk sync. A claim is not allowed inside. After a call that failed, roll back. */
int alerts_begin(struct alerts *a, struct err *err);
int alerts_commit(struct alerts *a, struct err *err);
void alerts_rollback(struct alerts *a);

struct alert_claim {
	const char *id, *body, *token;
	int64_t attempt; /* 1 for the first */
	int64_t lease_until, received_at;
};
typedef int (*alert_claim_fn)(void *ctx, const struct alert_claim *claim, struct err *err);
/* Claims up to limit alerts that are due, oldest first, in one transaction, and hands them to fn after it is
 * committed. service NULL: of any. Fewer than limit when their bodies pass DOCUMENT_MAX (limits.h). All of one call
 * carry the same token. When fn fails, the rest stays leased and comes back at the lease's end. An alert whose
 * attempts are used up is marked dead instead ("lease ran out N times"). *count: how many were handed over. *now: the
 * store's time of the claim. */
int alerts_claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn, void *ctx,
                 int64_t *count, int64_t *now, struct err *err);
/* Moves the end of every lease under this token that has not run out to now + lease_ms. *held: how many. */
int alerts_renew(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err);
/* *held: false when the lease was lost (somebody else has it or it is finished): then nothing was changed. */
int alerts_finish(struct alerts *a, const char *id, const char *token, const char *result, bool *held, struct err *err);
/* Back into the queue. delay_ms 0: at once and the attempt is not counted (a lost race); < 0: with the backoff
 * min(5 s * 2^(attempts-1), 10 min) +-20 %. dead at the last attempt or when final. *dead says so. */
int alerts_give_back(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
                     const char *error, bool *held, bool *dead, struct err *err);

struct alert_row {
	const char *id, *service, *state, *body;  /* state: new, claimed, done, dead */
	const char *result;                       /* of the finish, else the last error; NULL: none */
	int64_t received_at, due, attempts, seen; /* due INT64_MIN: none */
	const char *raw, *raw_sha256;             /* NULL: none */
};
typedef int (*alert_row_fn)(void *ctx, const struct alert_row *row, struct err *err);
/* state NULL: every one. Oldest first. */
int alerts_each(struct alerts *a, const char *state, alert_row_fn fn, void *ctx, struct err *err);
/* A dead (or done) alert becomes new again with no attempts; a new or claimed one stays. *there: it exists. REFUSED for
 * a dead letter that was never a whole alert (it names no service). */
int alerts_requeue(struct alerts *a, const char *id, bool *there, struct err *err);
/* When the next alert gets due; INT64_MAX: none waits. For --follow. */
int alerts_next_due(struct alerts *a, int64_t *due, struct err *err);

/* Does the store take writes of this user? Tried as far as that changes nothing. DENIED: no. */
int alerts_may_write(struct alerts *a, struct err *err);

struct alert_counts {
	int64_t waiting, claimed, done, dead; /* by state; waiting: new */
	int64_t oldest;                       /* received_at of the oldest that is new or claimed; INT64_MIN: none */
};
int alerts_count(struct alerts *a, struct alert_counts *counts, struct err *err);
/* Deletes at most `limit` alerts of this state, "done" or "dead", that were received before this time. *n: how many. */
int alerts_prune(struct alerts *a, const char *state, int64_t before, int64_t limit, int64_t *n, struct err *err);

#endif
