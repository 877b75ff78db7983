/* What the files of as-watch share. One task a host follows its events, helpers see whether the hosts still answer, and
 * one task, the teller, writes the records. Between two waits a task has everything for itself (base/tasks.h). */
#ifndef CMD_AS_WATCH_H
#define CMD_AS_WATCH_H

#include "alert/alert.h"
#include "base/clock.h"
#include "cmd/front/front.h"
#include "engine/hosts.h"
#include "store/store.h"

#define SEEN 512          /* events of a host that are known again; engines give back the last 256 */
#define REPEAT_MS 1000    /* a replay begins this much before the newest event: two may have come out of order */
#define AGAIN_MS 2000     /* a service that is not well is looked at again after this, then after twice as long, */
#define NS_PER_MS 1000000 /* up to --resync */

struct watch;

/* An event that was taken in, so that it is not taken twice. */
struct seen {
	uint64_t hash;  /* of time, container and action */
	int64_t time;   /* ns */
	uint64_t batch; /* in which it waits for its record; 0: it has been told */
};

struct host {
	struct watch *w;
	const char *name;
	struct engine_host *engine;
	struct engine_events stream;
	json_t *known; /* container id -> {name, image, service, joined, look, up, sick, oom} */
	json_t *looks; /* events of containers that must be inspected first */
	struct seen seen[SEEN];
	size_t at;       /* where the next one goes */
	int64_t newest;  /* the newest event's time, ns of the engine's clock; 0: no event yet */
	int64_t since;   /* when it was listed first */
	bool listed;     /* what is known of it is from now or from the state */
	bool connected;  /* and its events are followed */
	bool order;      /* the teller is to look which of its services are not well, */
	bool order_now;  /* and to tell so at once */
	bool again;      /* the state was written with other conventions: who joined is to be found out again */
	bool lost;       /* said so */
	bool tried;      /* at least once */
	int64_t beat_at; /* monotonic ms */
	char why[200];   /* a helper ended the stream; "" */
};

/* A service of which something is to be told, now or later. */
struct service {
	char name[SERVICE_NAME_MAX + 1];
	struct service *next;
	uint64_t batch;   /* of what waits; 0: nothing does */
	int64_t due;      /* monotonic ms: when it is told */
	json_t *waiting;  /* "HOST/ID" -> {"event": the last one, "host": number, "count": n, "made": not the engine's} */
	int64_t again;    /* monotonic ms: when it is looked at again; 0: not */
	int64_t wait;     /* that long it waited */
	int64_t asked_at; /* monotonic ms: when `joined` was found out; 0: never */
	bool joined;
};

struct watch {
	struct front f;
	int64_t heartbeat_ms, resync_ms, settle_ms; /* options */
	const char *state;
	bool once;
	unsigned conventions; /* that make a container join */

	struct engine_hosts engines;
	struct host *hosts; /* as many as configured */
	size_t nhosts, nhelpers;
	struct service *services;
	uint64_t batches;
	struct store *store; /* the teller's */
	struct alert_sources *sources;
	struct buf line;
	int signals, wake, stopped; /* descriptors: signalfd; eventfds: something for the teller, the end */
	int *helper_wake;           /* eventfds, one a helper */
	size_t live;                /* host tasks and helpers */
	bool stop;
	bool blocked;     /* standard output takes no more for now */
	bool changed;     /* since the state was written */
	int64_t saved_at; /* monotonic ms */
	struct err err;   /* why the teller ended */
	int bad;
};

/* host.c: one host. */
void follow_host(struct watch *w, struct host *h);
void help_hosts(struct watch *w, size_t helper);
int take_event(void *ctx, json_t *event, struct err *err);

/* known.c: which containers there are, and of which service. */
enum kind { KIND_OTHER, KIND_UP, KIND_DOWN, KIND_STOP, KIND_OOM, KIND_GONE, KIND_SICK, KIND_HEALTHY, KIND_ORDER };
enum kind event_kind(const json_t *event);
const char *event_id(const json_t *event);
const char *attribute(const json_t *event, const char *name); /* or NULL */
int64_t event_time(const json_t *event);                      /* ns */
/* Adds a container by what the engine's list or an event tells of it. Borrowed; NULL: no memory. When that does not say
 * of which service it is, or whether it joined, its member `look` is true until know_more. */
json_t *know(struct host *h, const char *id, const char *name, const char *image, const json_t *labels);
void know_more(const struct watch *w, json_t *k, const json_t *inspect);
const char *known_text(const json_t *k, const char *member); /* never NULL */
bool known_true(const json_t *k, const char *member);
void known_set(json_t *k, const char *member, bool yes);
bool is_well(const json_t *k);
/* An event of our own making, in the form of the engine's; new. */
json_t *make_event(const char *action, const char *id, const json_t *k, int64_t ns);
/* Compares the engine's list with what was known. */
int compare_list(struct host *h, json_t *list, int64_t ns, struct err *err);

/* services.c: what is to be told of which service, and when. */
/* What happened to k, borrowed; made: we conclude it from a list. Gives the batch that it waits in; 0: it is of no
 * service that is asked for. */
uint64_t push_event(struct host *h, const json_t *k, json_t *event, bool made);
/* All of a batch was told. */
void settle_batch(struct watch *w, uint64_t batch);
int tell_due(struct watch *w, bool all, struct err *err);
int64_t next_due(const struct watch *w); /* monotonic ms; INT64_MAX: never */
bool nothing_waits(const struct watch *w);
void look_again(struct watch *w, const char *service);
void free_services(struct watch *w);

/* well.c: which services are not well. */
bool is_wanted(const struct watch *w, const char *service);
bool has_joined(struct watch *w, struct service *s);
/* The first of the service's containers that is stopped, unhealthy or missing, as an event of action reconcile (new),
 * or NULL: it is well. */
json_t *find_unwell(struct watch *w, const char *service, struct host **where);
/* Which services of the host are not well: they are told of at once (order_now), or looked at again. */
void order_host(struct host *h);

/* tell.c: one record. action: instead of the one that the event means; NULL. count: of events. */
int tell(struct watch *w, const char *service, const struct host *h, json_t *event, const char *action, int64_t count,
         struct err *err);

/* state.c: --state FILE. */
int load_state(struct watch *w, struct err *err);
int save_state(struct watch *w, struct err *err);

void nudge(int fd); /* an eventfd */

#endif
