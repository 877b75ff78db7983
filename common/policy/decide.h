/* Deciding: (alert, policy, observed, history) -> plan with a reason for every step. A pure function of the records of
 * one stream: no clock, no files; time is the record's `now`. */
#ifndef POLICY_DECIDE_H
#define POLICY_DECIDE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/jv.h"

#include <stdbool.h>
#include <stdint.h>

/* What earlier records of the stream decided: a storm of alerts for one service makes one action. */
struct decide_state;
struct decide_state *decide_state_new(void);
void decide_state_free(struct decide_state *s);

struct decide_input {
	const char *service;
	const char *id;                                      /* of the record */
	int64_t now;                                         /* ms UTC */
	struct jv alert, observed, metrics, policy, history; /* absent ones are allowed but policy and observed */
};

/* Writes the `plan` member. REFUSED, with a plan whose op is "none": the alert asks for an action that is unknown or
 * cannot be done. TEMPORARY: no memory. */
int decide(struct decide_state *state, const struct decide_input *in, struct buf *plan, struct err *err);

/* Parts of a decision, for who tells a person what may come next. policy: the record's member. */

/* The min and max that hold at this time: the policy's, or those of an active entry of its schedule. *max -1: none. */
void limits_at(struct jv policy, int64_t now, int64_t *min, int64_t *max);
/* Is it paused at this time, as a whole or also for a step out, or for one in? */
bool paused_at(struct jv policy, bool out, bool in, int64_t now);
/* How long a cooldown still holds, in ms; 0: none does. last: when the last action ended that it counts from, which is
 * one outward for a step out, and either for one in; TIME_NONE. */
int64_t cooldown_left(struct jv policy, bool out, int64_t last, int64_t now);

#endif
