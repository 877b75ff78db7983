/* Keeps the claims of --follow while the line behind it works: their leases are renewed at a third of their time, by a
 * thread with a connection of its own, since the printing thread may stand before a full pipe. A claim whose alerts are
 * all settled is forgotten; one that nobody settles is let go after KEEPER_LEASES leases, so that a record that a gate
 * in the line dropped comes back. */
#ifndef CMD_AS_FETCH_ALERTS_KEEPER_H
#define CMD_AS_FETCH_ALERTS_KEEPER_H

#include "base/err.h"
#include "store/alerts.h"

#include <stdint.h>

#define KEEPER_LEASES 10

struct keeper;

/* report is called from the keeper's thread when the store fails; it tries again by itself. NULL: TEMPORARY. */
struct keeper *keeper_start(const char *url, int64_t lease_ms, void (*report)(void *ctx, const struct err *err),
                            void *ctx, struct err *err);
/* The alerts under this token are ours now. */
int keeper_add(struct keeper *k, const char *token, struct err *err);
void keeper_stop(struct keeper *k); /* NULL is fine */

#endif
