/* The door of the room store/: policies, operations (intents), history, the audit chain, remembered specifications.
 * One portable SQL over thin drivers (sql.h); alerts have a door of their own (alerts.h).
 *
 * Times are int64_t ms UTC by the store's own clock (store_now). Strings given are borrowed; strings handed to
 * callbacks live until the callback returns; "" where there is none unless said otherwise. A callback may read from
 * the store and must not write to it. A store is made, and migrated, at first use. One store belongs to one thread and
 * is not carried over a fork. Failures: UNAVAILABLE (disk full; retry) or TEMPORARY (busy; retry), CONFIG (schema newer
 * than this program, bad URL, damaged file), DENIED (file permission), INPUT (a text longer than its column). */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

/* url: "sqlite:PATH" or a plain path. Makes missing folders (0700) and the file (0600). */
struct store *store_open(const char *url, struct err *err);
/* The same of one that is there. NULL with *there false, and err as it was: there is none, and none was made. */
struct store *store_open_existing(const char *url, bool *there, struct err *err);
void store_close(struct store *s); /* NULL is fine */
int64_t store_now(struct store *s);
bool store_serves(const char *url); /* a store of this kind may be opened: SQL; an alert store may be another kind */
/* The address for messages and listings, without its password. */
void store_shown(const char *url, char *out, size_t size);
/* Several calls in one transaction: all or none. After a call that failed, roll back. */
int store_begin(struct store *s, struct err *err);
int store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);

/* --- policies --- */
struct policy_row {
	const char *name;    /* unique */
	const char *service; /* a glob: exact name, or with * and ? */
	const char *type;    /* scale-up, scale-down, service-availability, load-balancer, track, or "" for any */
	const char *fields;  /* JSON object text: {"min":1,"max":5,"step_up":"2"} */
	int64_t priority;
	bool enabled;
	int64_t version; /* set by the store: 1, 2, ...; goes on when a removed policy is made again */
	int64_t updated_at;
	const char *actor; /* who made this version; store_policy_history only, and for a put */
	bool removed;      /* this version took the policy away; store_policy_history only */
};
typedef int (*policy_row_fn)(void *ctx, const struct policy_row *row, struct err *err); /* -1 stops the walk */

/* Inserts or replaces by name and gives the new version. expected: the version the caller saw, 0 for "must not
 * exist", -1 for "whatever is there"; CONFLICT when it is another. The same content again keeps the version. */
int store_policy_put(struct store *s, const struct policy_row *row, int64_t expected, int64_t *version,
                     struct err *err);
/* Rows ordered by priority descending, then name. service not NULL: only enabled rows whose service equals it or
 * holds * or ? or [ (the caller matches the glob). */
int store_policy_each(struct store *s, const char *service, policy_row_fn fn, void *ctx, struct err *err);
/* The enabled rows whose service is one of these, or a glob (the caller matches it), in one statement for some hundred
 * services. A glob comes once for each hundred. */
int store_policy_for(struct store *s, const char *const *services, size_t n, policy_row_fn fn, void *ctx,
                     struct err *err);
/* *some: an enabled row's service is this one, or a glob that matches it. */
int store_policy_some(struct store *s, const char *service, bool *some, struct err *err);
/* *version: of the policy, 0: it is not there. *newest: the greatest number that one of this name ever had, 0: none
 * was. */
int store_policy_version(struct store *s, const char *name, int64_t *version, int64_t *newest, struct err *err);
/* expected as for a put. The removal is a version of its own. */
int store_policy_remove(struct store *s, const char *name, int64_t expected, const char *actor, bool *there,
                        struct err *err);
/* Every version of a policy, oldest first; also of one that is gone. */
int store_policy_history(struct store *s, const char *name, policy_row_fn fn, void *ctx, struct err *err);

/* --- what a decision needs to know of the past --- */
struct past_ask {
	const char *service;
	int64_t window_since; /* what was wanted after this; TIME_NONE: nothing is asked for */
	int64_t moves_since;  /* actions that ended after this; TIME_NONE: none are asked for */
	bool counted;         /* how many containers run, by what was seen of them last */
};
struct service_past {
	int64_t generation;        /* 0: nothing was ever decided */
	int64_t last_out, last_in; /* end of the last action that added / took away; TIME_NONE */
	int64_t counted;           /* -1: not asked for */
	bool pending;              /* an operation is planned and not finished: */
	char pending_op[64], pending_alert[128], pending_action[32];
	int64_t pending_generation, pending_at, pending_attempts;
	struct buf pending_plan; /* its plan, JSON text */
	/* JSON array, newest first, at most 16: what was started, made again, or made in vain within the last hour,
	 * {"at": its end, "op": "start" | "recreate" | "scale-up", "names": [those its plan starts, creates or removes]} */
	struct buf repairs;
	struct buf window; /* JSON array, oldest first: {"at", "want"}, what was wanted before windows and limits */
	struct buf moves;  /* JSON array, oldest first: {"at": its end, "from", "to"} of what was done, or done in part */
};
#define STORE_REPAIRS_MS (60 * 60 * 1000)
/* The past of many services in one view and a few statements, however many they are; pasts[i] belongs to asks[i], and
 * no two ask for the same service. */
int store_past_all(struct store *s, const struct past_ask *asks, size_t n, struct service_past *pasts, struct err *err);
/* Of one, without window and moves. */
int store_past(struct store *s, const char *service, struct service_past *past, struct err *err);
void store_past_release(struct service_past *past); /* also one that store_past failed to fill */

/* --- intent before action, outcome after: crash rules 2, 6 and 7 of the design --- */
enum intent_state {
	INTENT_NEW,      /* the operation is ours: act */
	INTENT_RESUMED,  /* an operation of this service was planned and not finished: carry out ITS plan */
	INTENT_DEFERRED, /* somebody else decided meanwhile: do nothing, give the alert back */
	INTENT_FINISHED, /* this alert's operation is done already: do nothing, finish the alert */
};
struct intent_ask {
	const char *service;
	const char *alert_id; /* NULL or "": no alert stands behind it */
	const char *action;   /* plan.op */
	const char *plan;     /* JSON text; what a resuming pass will carry out */
	const char *policies; /* JSON text: the policy versions it was decided by, ["web@4"]; NULL: unknown */
	const char *actor;    /* who, for the audit chain */
	int64_t generation;   /* the generation the decision saw; -1: unknown, do not check */
	const char *op_id;    /* a fresh id, used when the state is new */
};
struct intent {
	enum intent_state state;
	char op_id[64];
	char alert_id[128]; /* the alert the operation belongs to, "" for none */
	int64_t generation;
	/* INTENT_RESUMED: the stored plan, and the policy versions it was decided by (empty: unknown) */
	struct buf plan, policies;
};
void intent_release(struct intent *in); /* also one that store_intent failed to fill */
/* In ONE transaction that holds the service's row: (1) an operation with this (alert_id, action): planned ->
 * RESUMED, done -> FINISHED; a failed one does not stand in the way. (2) another planned operation of the service
 * -> RESUMED. (3) generation differs from ask->generation -> DEFERRED. (4) else insert the operation with
 * generation + 1, state planned, and an audit row "intent": NEW. A RESUMED operation counts an attempt. A unique
 * key hit in a race is DEFERRED. A NEW operation whose plan removes a remembered container marks its specification in
 * the same transaction: it goes deliberately. */
int store_intent(struct store *s, const struct intent_ask *ask, struct intent *out, struct err *err);

struct outcome {
	const char *op_id; /* NULL or "": no operation (a decision not to act): audit row only */
	const char *service, *alert_id, *actor;
	const char *action;  /* plan.op */
	const char *outcome; /* done, partial, failed, none, deferred, dry-run */
	bool keep;           /* partial or failed, and worth another try: the operation stays planned (see below) */
	int64_t from, to;    /* replicas; -1 unknown */
	const char *reason;  /* one sentence */
	const char *error;   /* or NULL */
	const char *body;    /* JSON object text for the audit row: the record, without secrets */
	/* What was wanted before windows and limits, for the windows of later decisions. */
	bool measured;
	int64_t want, noted_at; /* noted_at: the decision's time */
	bool first;             /* nothing was noted of late: */
	int64_t before;         /* what the count was until now */
};
/* In ONE transaction: closes the operation (state done, or failed when outcome is partial or failed and keep is
 * unset), adds its history row, updates last_out / last_in (by action: scale-up, recreate, start: out; scale-down:
 * in; only when the outcome is done or partial), appends the audit row. keep: the operation stays planned unless it
 * had max_attempts (5) tries, no history row then, but an audit row. An operation that is closed already changes
 * nothing: *history_id is that of its row. *history_id is 0 when there is none. */
int store_outcome(struct store *s, const struct outcome *o, int64_t *history_id, int64_t *at, struct err *err);

struct history_row {
	int64_t history_id, generation, from, to, at, duration_ms, seq;
	const char *service, *op_id, *alert_id, *action, *outcome, *reason, *error, *policies;
};
/* Which rows of the trail: service NULL: of all. since is inclusive, until exclusive, ms UTC; TIME_NONE: no bound. */
struct trail_filter {
	const char *service;
	int64_t since, until;
};
#define TRAIL_ALL ((struct trail_filter){.since = TIME_NONE, .until = TIME_NONE})
/* error, policies: NULL for none. seq: the audit row. Oldest first, in bounded memory; the callback does not use the
 * store. */
typedef int (*history_row_fn)(void *ctx, const struct history_row *row, struct err *err);
int store_history_each(struct store *s, const struct trail_filter *filter, history_row_fn fn, void *ctx,
                       struct err *err);

/* The newest row of each of these services, in a few statements, however many they are. */
int store_history_newest(struct store *s, const char *const *services, size_t n, history_row_fn fn, void *ctx,
                         struct err *err);

struct audit_row {
	int64_t seq, at;
	int64_t history_id; /* 0: none */
	const char *service, *actor, *event, *op_id, *body, *prev_hash, *hash;
};
/* event: "intent", "prune", or the outcome. Of one service by seq, of all by time; bounded memory as above. */
typedef int (*audit_row_fn)(void *ctx, const struct audit_row *row, struct err *err);
int store_audit_each(struct store *s, const struct trail_filter *filter, audit_row_fn fn, void *ctx, struct err *err);
/* Walks the chain of every service, from where a prune left it, which the chain's newest row "prune" has to tell too.
 * 0: whole, *rows counted. -1 CONFLICT: names service and seq of the first row that was changed or is missing. */
int store_audit_verify(struct store *s, int64_t *rows, struct err *err);

/* --- remembered specifications (crash rule 5, service availability) --- */
/* spec: the create request and connects, JSON text. One per (service, name, host): another content replaces it, the
 * same content again only renews seen_at (at most every 30 s: looking is free of disk syncs). The container is there,
 * so a mark that it was removed goes, unless it is that of an operation which is still at it. */
int store_spec_put(struct store *s, const char *service, const char *name, const char *host, const char *spec,
                   struct err *err);
/* Adds to *spec the newest spec of a service, or of one container name when name is not NULL. NOT_FOUND. */
int store_spec_get(struct store *s, const char *service, const char *name, struct buf *spec, struct err *err);
/* service NULL: every one. */
struct spec_row {
	const char *service, *name, *host, *spec;
	int64_t seen_at;
	const char *removal; /* it went deliberately: by this operation, or in other words; "" */
	int64_t missing_at;  /* see store_spec_missing; TIME_NONE */
};
typedef int (*spec_row_fn)(void *ctx, const struct spec_row *row, struct err *err);
int store_spec_each(struct store *s, const char *service, spec_row_fn fn, void *ctx, struct err *err);
/* Marks it as gone deliberately. removal: a few words why. */
int store_spec_removed(struct store *s, const char *service, const char *name, const char *host, const char *removal,
                       struct err *err);
/* Notes since when it is missing, now, or that it is not. A container that is there is not missing: store_spec_put. */
int store_spec_missing(struct store *s, const char *service, const char *name, const char *host, bool missing,
                       struct err *err);

/* --- which containers were seen on which host --- */
struct container_row {
	const char *host, *id, *name, *state;
	const char *copy_of; /* "" for an original */
	int64_t index;       /* of a copy; -1: none */
	const char *service; /* store_container_each only */
};
/* What a look at the service showed: all its containers on the hosts that answered. Rows of other hosts stay. Nothing
 * is written when nothing changed (rows are renewed twice a day, so that a prune leaves them). */
struct container_look {
	const char *service;
	const char *const *hosts; /* that answered */
	size_t nhosts;
	const struct container_row *rows;
	size_t nrows;
};
int store_container_note(struct store *s, const struct container_look *look, struct err *err);
typedef int (*container_row_fn)(void *ctx, const struct container_row *row, struct err *err);
/* The service's rows on one host, by id; service NULL: those of every service. */
int store_container_each(struct store *s, const char *service, const char *host, container_row_fn fn, void *ctx,
                         struct err *err);
/* Was anything ever seen on that host? */
int store_container_host(struct store *s, const char *host, bool *known, struct err *err);

/* --- a look that makes and changes nothing, the schema neither --- */
struct store_probe {
	bool there; /* else the first command that needs it makes it, and nothing more is known here */
	int64_t schema, schema_known; /* 0: no table of ours yet; of this program */
	bool writes;                  /* rows could be written, which was tried and rolled back; else */
	struct err why;
	int64_t ahead_ms; /* its clock before ours */
};
/* Failures as of store_open, but a schema of another version is none. */
int store_probe(const char *url, struct store_probe *out, struct err *err);
/* The file that a store is, "" for one on a server. */
void store_file(const char *url, char *out, size_t size);

/* What the stores are reached with: "SQLite 3.40.1", and the drivers that are loaded when a URL names them. NULL ends
 * the names; CONFIG: it is not installed, or cannot be used. */
const char *store_library(void);
extern const char *const store_modules[];
const char *store_module_library(const char *name, struct err *err);

/* --- upkeep --- */
struct store_status {
	int64_t schema_was, schema, schema_known; /* found at the opening (0: empty), now, and of this program */
	int64_t policies, services, operations, open_operations, history, audit, specifications;
};
int store_status(struct store *s, struct store_status *status, struct err *err);

struct prune_ask {
	int64_t before; /* what is older goes; ms UTC */
	int64_t limit;  /* rows that one transaction deletes, so that nobody waits long for it */
	const char *actor;
	bool dry; /* count, and delete nothing */
	/* Is this alert one that somebody may yet take? What was done for it stays. NULL: none is. */
	bool (*waits)(void *ctx, const char *alert_id);
	bool (*stop)(void *ctx); /* asked between transactions: leave now. NULL: never */
	void *ctx;
};
struct store_pruned {
	int64_t history, operations, audit, specifications, containers, recommendations;
};
/* Deletes what is old and settled, and adds to *sum what went with each transaction that was committed, also when it
 * fails later:
 * - rows of the history with their operations;
 * - of each service's audit chain the oldest rows, up to the first that is not old, the promise of a planned operation,
 *   or the last row but the marks of earlier prunings. Table audit_start keeps number and hash of the newest row that
 *   went, and the chain gets a row "prune" in the same transaction, with {"pruned_to": its number};
 * - specifications, containers and recommendations that nobody saw since, but no specification of a service that has a
 *   planned operation.
 * What is planned, the policies with all their versions, and the services' generations stay. */
int store_prune(struct store *s, const struct prune_ask *ask, struct store_pruned *sum, struct err *err);

#endif
