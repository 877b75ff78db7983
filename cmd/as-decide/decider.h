/* What the files of as-decide share. */
#ifndef CMD_AS_DECIDE_DECIDER_H
#define CMD_AS_DECIDE_DECIDER_H

#include "base/buf.h"
#include "base/jv.h"

/* --explain: the plan as a table a person reads, one line a step, every line ended. Control characters are escaped:
 * labels are written by tenants. */
void explain(const char *service, const char *now, struct jv plan, struct buf *out);

#endif
