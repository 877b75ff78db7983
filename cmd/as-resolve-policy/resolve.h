/* What the files of as-resolve-policy share.
 *
 * A batch of records is resolved in three strides: the policies of all its services are read, each record's `policy` is
 * made, and then the past of all services is asked for as far back as those policies look. */
#ifndef CMD_AS_RESOLVE_H
#define CMD_AS_RESOLVE_H

#include "cmd/front/batch.h"
#include "cmd/front/known.h"
#include "cmd/front/rows.h"
#include "store/store.h"

/* ---- past.c: the member `history` ---- */

/* policy: of a record. */
void past_span_read(struct jv policy, struct past_span *span);
/* now: the record's time. */
void past_bounds(const struct past_span *span, int64_t now, struct past_ask *ask);
/* running: how many there are now, for a service of which nothing was noted; -1: not known. past NULL: nothing ever
 * was. */
void past_put(struct buf *b, const struct past_ask *ask, const struct service_past *past, int64_t now, int64_t running);

#endif
