/* What the files behind decide.h share: one decision on its way from the record to the plan.
 *
 * decide.c: the steps in the order of the design; decide_read.c: what the record says; decide_available.c: what is
 * stopped or missing; decide_place.c: names and hosts; decide_victims.c: which copies go; decide_plan.c: the plan's
 * text; decide_state.c: what earlier records of the stream decided. */
#ifndef POLICY_DECISION_H
#define POLICY_DECISION_H

#include "base/clock.h"
#include "base/limits.h"
#include "policy/decide.h"

#define NAME 256

/* ---- decide_state.c: what one stream remembers of a service ---- */

struct planned {
	char service[SERVICE_NAME_MAX + 1];
	char id[NAME];      /* the record that acted */
	int64_t at;         /* its `now` */
	int64_t to;         /* the count it leads to */
	int64_t generation; /* that it will get */
	bool out, in;       /* direction */
	struct buf indexes; /* taken by its plan: int64_t each */
	struct planned *next;
};

/* The service's last plan of this stream that acts, or NULL. */
struct planned *planned_get(struct decide_state *s, const char *service);
/* Notes a plan that acts. TEMPORARY: no memory. */
int planned_note(struct decide_state *s, const struct decide_input *in, struct jv plan, struct err *err);

/* ---- one decision ---- */

struct decision {
	const struct decide_input *in;
	struct planned *before; /* this stream's last action for the service, or NULL */
	struct buf trace, create, start, remove;
	char reason[512];
	const char *op;
	int64_t from, to;
	/* the policy, read once */
	int64_t min, max; /* max -1: none */
	/* the observation */
	int64_t running, stopped;
	bool blind;        /* some host did not answer */
	bool defer;        /* the alert goes back and is decided anew */
	struct jv resumed; /* the stored plan that is carried out instead of a new one */
};

/* ---- decide_read.c ---- */

void decision_read(struct decision *d);
/* A duration of the policy: seconds in the record, ms here. */
int64_t decision_ms(const struct decision *d, const char *field, int64_t otherwise);
/* "label", "db:web@4", "default": where a field came from, for reasons. */
const char *decision_source(const struct decision *d, const char *field, char out[128]);
int64_t decision_past(const struct decision *d, const char *member);          /* a time of `history`, or TIME_NONE */
void member_text(struct jv object, const char *name, char *out, size_t size); /* "" where there is none that fits */
bool member_is(struct jv object, const char *name, const char *text);
bool container_running(struct jv c);
bool container_stopped(struct jv c);

/* ---- decide_plan.c ---- */

void plan_trace(struct decision *d, const char *step, int64_t in, int64_t out, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void plan_say(struct decision *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void plan_say_more(struct decision *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* index -1: none, the container is made again as it was. */
void plan_create(struct decision *d, const char *name, const char *host, const char *like, int64_t index);
void plan_target(struct buf *list, struct jv container); /* an entry of `start` or `remove` */
void plan_write(const struct decision *d, struct buf *out);

/* ---- decide_place.c, decide_victims.c: each plans up to count of them and gives how many ---- */

int64_t plan_copies(struct decision *d, int64_t count);
int64_t plan_removals(struct decision *d, int64_t count);

/* ---- decide_available.c: true when there was something to plan ---- */

bool start_stopped(struct decision *d);
bool recreate_missing(struct decision *d);

#endif
