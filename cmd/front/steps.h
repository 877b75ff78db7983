/* What the acting commands share: whether a record is to be acted on, and the entries of `steps`. */
#ifndef CMD_FRONT_STEPS_H
#define CMD_FRONT_STEPS_H

#include "base/record.h"
#include "cmd/front/front.h"

#include <stdbool.h>
#include <stdint.h>

struct step {
	const char *stage, *what; /* "as-clone", "create" */
	const char *name, *id, *host;
	bool ok, dry;
	int64_t ms;
	const char *message;         /* "", "already", or what went wrong */
	const struct buf *container; /* an entry like those of observed.containers, or NULL */
	const char *notes;           /* a JSON array of strings, or NULL */
};

void step_put(struct record *r, const struct step *step);

/* The plan's list ("create", "start", "remove") when the record is to be acted on: it has a plan, and its intent, if
 * it has one, is new or resumed. Else an absent value. */
struct jv steps_todo(const struct record *r, const char *list);
/* The entries of that list as an array, NULL for none; for free(3). */
int steps_entries(const struct record *r, const char *list, struct jv **entries, size_t *n, struct err *err);
/* -n was given, or the policy says dry_run. */
bool steps_dry(const struct front *f, const struct record *r);
/* The id under which this plan is carried out: intent.op_id, else one made from the record's id and plan, so that
 * the same record again is the same operation. */
void steps_op_id(const struct record *r, char out[64]);
/* A duration of the policy in ms. */
int64_t steps_policy_ms(const struct record *r, const char *field, int64_t otherwise);
/* A text of the plan's entry; "" when it is not there. */
void steps_text(struct jv object, const char *name, char *out, size_t size);

#endif
