/* What the policy's `schedule` says at this time. */
#include "policy/decision.h"

#include "base/banned.h"

void schedule_apply(struct decision *d) { (void)d; }
