/* Replaying: what would these policies have done? Records that were decided before are decided again, in order. As long
 * as a service is treated as it was, its records are decided as they are; from the first plan that differs on, they are
 * shown to decide() as they would have been then. decide() stays the only code that decides. Pure: time is the
 * records' `now`. */
#ifndef POLICY_SIMULATE_H
#define POLICY_SIMULATE_H

#include "policy/decide.h"

struct simulation;
struct simulation *simulation_new(void);
void simulation_free(struct simulation *s);

struct simulate_record {
	struct decide_input in;
	struct jv plan, intent, audit; /* what came of it then; all absent: nobody decided it yet */
};

/* Writes the `plan` and the `simulation` member. As decide(), and INPUT, with a plan whose op is "none": the record is
 * of an earlier time than one of its service that came before it. */
int simulate(struct simulation *s, const struct simulate_record *r, struct buf *plan, struct buf *member,
             struct err *err);

/* The member `load` of `simulation`, of a record as it is: the metrics that the policy has targets for, as decided on.
 * Reads `policy` and `metrics`. */
void simulate_load(const struct decide_input *in, struct buf *out);

#endif
