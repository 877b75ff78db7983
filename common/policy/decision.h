/* What the files behind decide.h share: one decision on its way from the record to the plan.
 *
 * decide.c: the steps in the order of the design; decide_read.c: what the record says; decide_schedule.c: the limits of
 * this hour; decide_signals.c: what each metric wants; decide_stable.c: windows and foresight; decide_rate.c: rates and
 * cooldowns; decide_limits.c: min and max; decide_available.c: what is stopped, missing or unhealthy; decide_backoff.c:
 * crash loops; decide_hosts.c: how the service lies on the hosts; decide_place.c: names and hosts; decide_victims.c:
 * which copies go; decide_service.c: what a swarm keeps; decide_plan.c: the plan's text; decide_state.c: what earlier
 * records of the stream decided. */
#ifndef POLICY_DECISION_H
#define POLICY_DECISION_H

#include "base/clock.h"
#include "base/limits.h"
#include "policy/decide.h"

#define NAME 256
#define COUNT_MAX 1000000      /* no count that is read or wanted is larger, so that products of it fit */
#define STALE_AFTER_MS 300000  /* where a policy made by hand does not say it */
#define COOLDOWN_DOWN_MS 60000 /* the same */
#define READY_TIMEOUT_MS 60000 /* the same */
#define TOLERANCE_MICRO 100000 /* the same */

/* ---- decide_state.c: what one stream remembers of a service ---- */

struct repaired { /* one container that a plan starts, makes again or replaces */
	int64_t at;
	bool made; /* it is not only started */
	char name[NAME];
};

struct planned {
	char service[SERVICE_NAME_MAX + 1];
	char id[NAME];      /* the record that acted */
	int64_t at;         /* its `now` */
	int64_t from, to;   /* the count it leads to */
	int64_t generation; /* that it will get */
	bool out, in;       /* direction */
	bool repair;        /* it starts or makes again */
	struct buf indexes; /* taken by its plans, int64_t each, until planned_names_free */
	struct buf removed; /* ids that its plans take away and no history has shown yet, NAME bytes each */
	struct buf repairs; /* of this stream that no history has shown yet, oldest first: struct repaired each */
	struct planned *next;
};

/* The memory of a decision's texts goes from one decision to the next: taken at its begin, empty, and given back. */
#define DECISION_TEXTS 5
void decision_borrow(struct decide_state *s, struct buf *const texts[DECISION_TEXTS]);
void decision_return(struct decide_state *s, struct buf *const texts[DECISION_TEXTS]);

/* The service's last plan of this stream that acts, or NULL. */
struct planned *planned_get(struct decide_state *s, const char *service);
/* May the names of its plans be given again? Once a history shows the last one and it is a while ago: then the
 * observation shows which of them are there. A stream may last for months. */
bool planned_names_free(const struct planned *p, const struct decide_input *in);
/* Notes a plan that acts. TEMPORARY: no memory. */
int planned_note(struct decide_state *s, const struct decide_input *in, struct jv plan, struct err *err);
/* For the simulation, which also asks what would have been decided without it: out of the memory, which forgets it and
 * gives it to the caller; a copy (NULL: no memory); and into the memory again, in place of what is there. */
struct planned *planned_take(struct decide_state *s, const char *service);
struct planned *planned_copy(const struct planned *p);
void planned_put(struct decide_state *s, struct planned *p);
void planned_free(struct planned *p); /* NULL is fine */

/* ---- one decision ---- */

#define SIGNAL_WHY 240
#define MICRO_TEXT 32

/* What one metric with a target wants. Values, targets and loads are millionths. */
struct signal {
	const char *name; /* in the decision's `names` */
	int64_t target;   /* 0: not usable */
	enum signal_per { PER_SERVICE, PER_REPLICA, PER_CONTAINER } per;
	bool here;                   /* there is a value: */
	int64_t value;               /* of what `per` says; of containers the mean of those that have one */
	__int128 load;               /* of all replicas together */
	bool held;                   /* within the tolerance */
	int64_t silent;              /* containers without a usable value, */
	char silent_why[SIGNAL_WHY]; /* and why, as far as it was told */
	bool missing;
	char why[SIGNAL_WHY]; /* it is missing */
	char fallback[32];    /* what the policy says for that */
	int64_t want;
};

struct decision {
	const struct decide_input *in;
	struct planned *before; /* this stream's last action for the service, or NULL */
	struct buf trace, create, start, remove;
	char reason[512];
	const char *op;
	int64_t from, to;
	/* the policy, read once */
	int64_t min, max; /* max -1: none */
	int64_t tolerance;
	/* an active entry of its schedule */
	char limits_from[2][160]; /* where min and max come from then: "schedule (label)"; "": as the policy has it */
	int64_t initial;          /* the count it begins with; -1: none */
	int64_t initial_since;    /* ms UTC */
	int64_t per_host;         /* 0: no limit */
	/* what the metrics want */
	bool tracking;
	struct signal *signals; /* by name */
	size_t nsignals;
	struct buf names;
	int64_t want; /* by the metrics and the alert, before any limit; -1: not tracking */
	bool held;    /* by a cooldown */
	/* the observation */
	int64_t warming; /* running, and not ready for the first time yet */
	int64_t running, stopped;
	int64_t going;      /* being deleted by somebody: what is to be done about it is decided when it is gone */
	int64_t restarting; /* by the engine, after the container's own restart policy: it is left to it */
	int64_t unknown;    /* ran when they were seen last, on hosts that do not answer now */
	int64_t sick;       /* unhealthy, and not to be replaced: they do not count towards min */
	bool swarm;         /* a swarm makes and removes the service's containers; running is the number it aims at */
	bool blind;         /* some host did not answer, */
	bool dark;          /* and of one nobody knows what it had */
	bool defer;         /* the alert goes back and is decided anew */
	struct jv resumed;  /* the stored plan that is carried out instead of a new one */
	/* crash loops */
	int64_t waits, waiting; /* repairs that wait; those of containers that do not run */
	int64_t retry_at;       /* when the first of them may be tried; TIME_NONE */
	int64_t worst;          /* repairs in a row of the container that loop tells of */
	char loop[400];
};

/* ---- decide_read.c ---- */

void decision_read(struct decision *d);
/* The entries of `containers` or `remembered` by name, the shorter first (web, web-2, web-10), then host and id, so
 * that their order in the record does not matter where it is a choice. NULL: no memory, then the plan fails. The caller
 * frees it. */
struct jv *observed_by_name(struct decision *d, const char *list, size_t *n);
/* A duration of the policy: seconds in the record, ms here. */
int64_t decision_ms(const struct decision *d, const char *field, int64_t otherwise);
/* "label", "db:web@4", "default": where a field came from, for reasons. */
const char *decision_source(const struct decision *d, const char *field, char out[128]);
/* The same for min and max, which an entry of the schedule may have set. */
const char *limit_source(const struct decision *d, bool max, char out[160]);
/* How many there are by what the policy counts from. */
void decision_count(struct decision *d);
int64_t count_member(struct jv object, const char *name);                     /* from 0 to COUNT_MAX */
int64_t decision_past(const struct decision *d, const char *member);          /* a time of `history`, or TIME_NONE */
void member_text(struct jv object, const char *name, char *out, size_t size); /* "" where there is none that fits */
bool member_is(struct jv object, const char *name, const char *text);
bool container_running(struct jv c);
bool container_stopped(struct jv c);
bool container_unready(struct jv c);                           /* it is said to be not ready */
bool container_unhealthy(struct jv c);                         /* and running */
bool host_answers(const struct decision *d, const char *host); /* also one that the record does not list */
bool available(const struct decision *d, const char *what);    /* one of the words of the policy's `available` */
/* The plan of an earlier record of this stream that the record's history does not show yet, or NULL. */
const struct planned *decision_unseen(const struct decision *d);

/* ---- decide_plan.c ---- */

void plan_trace(struct decision *d, const char *step, int64_t in, int64_t out, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void plan_say(struct decision *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void plan_say_more(struct decision *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* index -1: none, the container is made again as it was. */
void plan_create(struct decision *d, const char *name, const char *host, const char *like, int64_t index);
void plan_target(struct buf *list, struct jv container); /* an entry of `start` or `remove` */
void plan_write(const struct decision *d, struct buf *out);

/* ---- decide_schedule.c ---- */

/* The active entry's min, max and initial. The policy's own are read already. */
void schedule_apply(struct decision *d);
void limits_read(struct jv policy, int64_t *min, int64_t *max); /* the policy's own; max -1: none */

/* ---- decide_signals.c ---- */

void micro_text(int64_t micro, char out[MICRO_TEXT]); /* "0.25" */
/* What each metric with a target wants; none where nothing was measured. TEMPORARY: no memory. */
int signals_read(struct decision *d, struct err *err);
/* The largest of what they and the alert want, with the reason. alert -1: none. */
int64_t signals_merge(struct decision *d, int64_t alert);

/* ---- decide_stable.c, decide_rate.c: the count that is left of what is wanted ---- */

int64_t stabilize(struct decision *d, int64_t want);
int64_t foresee(struct decision *d, int64_t want);
int64_t limit_rate(struct decision *d, int64_t want);
int64_t cool_down(struct decision *d, int64_t want);

/* ---- decide_limits.c ---- */

/* Brings the count to what is wanted, within min and max, by copies and removals. */
void reach_count(struct decision *d, int64_t want);
/* The same where no alert asks for it: crash loops and deletions that are under way are waited for. */
void reach_count_gently(struct decision *d, int64_t want);
void keep_limits(struct decision *d);

/* ---- decide_place.c, decide_victims.c: each plans up to count of them and gives how many ---- */

int64_t plan_copies(struct decision *d, int64_t count);
int64_t index_in(const char *service, const char *name);  /* the index in a name SERVICE-INDEX, or -1 */
void next_name(const struct decision *d, char out[NAME]); /* of the first copy that plan_copies would make */
int64_t plan_removals(struct decision *d, int64_t count);
bool container_removable(struct jv c); /* a copy that is not protected, and that runs */

/* ---- decide_hosts.c ---- */

struct host {
	char name[NAME];
	size_t order;          /* in the configuration */
	int64_t n;             /* containers of the service, in whatever state, and those that the plan puts there */
	int64_t weight;        /* how much it takes beside the others */
	bool takes;            /* it answers, and copies may be put there */
	struct jv zone, cloud; /* as the record has them */
	size_t in_zone, in_cloud;
};

struct hosts {
	struct host *v; /* by name; behind the last one stands one for containers of hosts that the record does not list */
	size_t n;
	int64_t *zones, *clouds; /* containers, by in_zone and in_cloud */
};

bool hosts_read(struct hosts *h, const struct decision *d); /* false: no memory; release in any case */
void hosts_release(struct hosts *h);
struct host *hosts_find(const struct hosts *h, const char *name);
void hosts_count(struct hosts *h, struct host *host, int64_t n); /* n more, or fewer */
/* Below 0: a has fewer than b, for their weights; where that is equal, in its zone, then in its cloud. */
int hosts_compare(const struct hosts *h, const struct host *a, const struct host *b);

/* ---- decide_service.c ---- */

/* Is it a service of a swarm? Then that says how many there are. After all else was read. */
void service_read(struct decision *d);
int64_t plan_service(struct decision *d, bool more, int64_t count); /* as plan_copies, plan_removals */

/* ---- decide_available.c: true when something was planned ---- */

bool start_stopped(struct decision *d);
bool recreate_missing(struct decision *d);
bool replace_unhealthy(struct decision *d);

/* ---- decide_backoff.c ---- */

/* Was this container repaired so often of late that the next repair has to wait? Then it is noted for the reason.
 * container: as observed; absent for one that is gone. */
bool must_wait(struct decision *d, const char *name, struct jv container);
/* Is it not yet known whether a remembered container went deliberately? Then it waits too. */
bool may_settle(struct decision *d, const char *name, struct jv remembered);
/* Why a container is down, as far as the engine knows: ", exit code 1", or "". */
void container_cause(struct jv c, char *out, size_t size);
/* Puts what waits into the reason. */
void tell_waiting(struct decision *d);

#endif
