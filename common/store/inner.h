/* What the files behind store.h share: the open store, and the row of a service that every decision locks. */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include "base/limits.h"
#include "store/fits.h"
#include "store/sql.h"
#include "store/store.h"

#define STORE_ID 63 /* bytes of an operation's id */
#define STORE_ALERT_ID 127
#define STORE_WORD 31                 /* an action, a type, an event */
#define STORE_NAME 127                /* a policy, an actor */
#define STORE_PLACE 255               /* a container or a host */
#define STORE_DOCUMENT LINE_MAX_BYTES /* a plan, an audited record, a specification */

struct store {
	struct sql *db;
};

#define AUDIT_HASH 65 /* sha256 in hex and a NUL */
/* The body of a row "prune": this, the number of the newest row that went, and "}". */
#define AUDIT_PRUNED "{\"pruned_to\":"
#define AUDIT_PRUNED_BODY 48

/* Table service_state. Inside one transaction: lock, change, save. */
struct service_row {
	const char *service; /* borrowed */
	int64_t generation, last_out, last_in;
	int64_t audit_seq;
	char audit_hash[AUDIT_HASH];
	int64_t at; /* the transaction's time */
};
int service_lock(struct sql *db, const char *service, struct service_row *row, struct err *err);
int service_save(struct sql *db, const struct service_row *row, struct err *err);

/* Adds the next row of the service's chain and moves the chain's head in row (saved by service_save). */
int audit_append(struct sql *db, struct service_row *row, const char *actor, const char *event, const char *op_id,
                 const char *body, struct err *err);

/* seen.c: marks the remembered specifications whose containers the plan of a new operation removes. */
int spec_mark_removals(struct sql *db, const struct intent_ask *ask, struct err *err);

#endif
