/* What the files of the driver haproxy share: haproxy.c has the verbs, haproxy_entry.c one server's way in and out,
 * haproxy_round.c what is written into the configuration and the reload that a new backend or rule needs. */
#ifndef LB_HAPROXY_H
#define LB_HAPROXY_H

#include "lb/haproxy_api.h"
#include "lb/lb.h"

struct haproxy_change;

struct lb {
	struct haproxy_peer peer;
	bool experimental; /* it wants `experimental-mode on` before `add server` and `del server`: before 2.6 */
	bool unchecked;    /* it takes no `check` there: before 2.5 */
	/* Rounds, haproxy_round.c. */
	struct tasks_gate gate;
	struct haproxy_change *waiting;
};

/* ---- haproxy_entry.c ---- */

/* How a server is added and saved. No pool of kept server connections: an application that closes an
 * idle connection just when it is used again fails the request, seen for 305 of 3,200 POSTs; without one a connection
 * is opened for each, none failed. */
#define HAPROXY_CHECKS "check inter 200ms rise 1 fall 3"
#define HAPROXY_POOL "pool-max-conn 0"
#define HAPROXY_FORCE_MS 2000 /* for HAProxy to close what it was told to close */

struct haproxy_entry {
	char backend[LB_NAME]; /* "" when that is no safe name */
	char real[LB_NAME];    /* HAProxy's name for it: another one than server.name when it is in a slot */
	struct lb_server server;
	bool passed, checked; /* its last check; it has a check */
};

/* The row of a table of haproxy_servers. */
void haproxy_read_entry(const struct haproxy_table *t, struct haproxy_entry *e);
/* 1 and *e, 0 when there is no such server, -1. */
int haproxy_find(struct lb *lb, const char *backend, const char *name, struct haproxy_entry *e, struct err *err);
/* Sessions or connections in use of one server, by HAProxy's name for it; 0 when it is not there. */
int haproxy_busy(struct lb *lb, const char *backend, const char *real, int64_t *work, struct err *err);
/* Until the entry *e is there and at its place: 1 when it was, 0 when it was added, -1. */
int haproxy_put(struct lb *lb, const char *backend, const struct lb_server *want, int64_t wait_ms,
                struct haproxy_entry *e, struct lb_result *result, struct err *err);
/* From that entry to one that takes traffic. 0; 1 with err set when it is not healthy and takes no traffic; 2 when it
 * went away meanwhile; -1. */
int haproxy_admit(struct lb *lb, const struct lb_server *want, const struct haproxy_entry *e, bool was, int64_t gate_ms,
                  struct lb_result *result, struct err *err);
/* Out; what is at work after wait_ms is cut. */
int haproxy_take_out(struct lb *lb, const struct haproxy_entry *e, int64_t wait_ms, bool *forced, struct err *err);
/* Waits between two looks: *step, and longer the next time. */
#define HAPROXY_STEP_MS 10
#define HAPROXY_STEP_MAX_MS 100 /* the longest while sessions end */
void haproxy_wait_step(struct lb *lb, int64_t *step, int64_t longest);

/* ---- haproxy_slots.c ----
 *
 * Where the balance rule takes no server at run time, a server of ours uses one that the configuration keeps for that,
 * a slot: `server-template slot 1-8 127.0.0.1:9 check disabled`. Which slot is whose stands in the marker block:
 * "# as-lb slot slot1 as-0123456789ab". Beside that comment it is saved as a server line of its own like any other, so
 * that after a restart it has its name and the slots are free. */
#define HAPROXY_FREE_ADDRESS "127.0.0.1"
#define HAPROXY_FREE_PORT 9

struct haproxy_config;

bool haproxy_is_free(const struct haproxy_entry *e);
/* Those of n entries that are in slots get the names that the configuration says. */
int haproxy_name_slots(const struct haproxy_config *c, struct haproxy_entry *v, size_t n, struct err *err);
/* The same for one backend's, by a look into the file; nothing when there is none. */
int haproxy_look_for_slots(struct lb *lb, struct haproxy_entry *v, size_t n, struct err *err);
/* Only the name of the slot that the file says a server is in. */
bool haproxy_slot_of(struct lb *lb, const char *backend, const char *name, char slot[LB_NAME]);
/* A free one of n entries, best the one that had that name before; NULL: none, and err says why. */
struct haproxy_entry *haproxy_free_slot(const struct lb *lb, const struct haproxy_config *c, const char *backend,
                                        const char *name, struct haproxy_entry *v, size_t n, struct err *err);
/* Makes its address this one, in HAProxy; it is in maintenance. */
int haproxy_fill_slot(struct lb *lb, const char *backend, const char *slot, const struct lb_server *want,
                      struct err *err);

/* ---- haproxy_round.c ---- */

enum haproxy_do {
	HAPROXY_SAVE,   /* the servers of the backend */
	HAPROXY_SLOT,   /* `up` gets one, in maintenance */
	HAPROXY_ENSURE, /* the backend and its route */
	HAPROXY_FORGET, /* what ensure made goes */
};

struct haproxy_change {
	/* in */
	enum haproxy_do what;
	const char *backend;
	const struct lb_server *up; /* of SAVE: was attached; NULL: none was */
	const struct lb_route *route;
	/* out */
	bool already;
	bool lost; /* `up` does not take traffic: a reload took it away before it was saved */
	char slot[LB_NAME];
	/* Private. */
	bool done;
	struct err err;
	struct haproxy_change *next;
};

/* Carries out the change, in one round with those that other tasks want at the time. */
int haproxy_change(struct lb *lb, struct haproxy_change *change, struct err *err);
/* Adds the backends that ensure made, and those with a slot that is ours. */
int haproxy_made(struct lb *lb, struct lb_names *out, struct err *err);

/* Does what is saved of the backends agree with what HAProxy has? Tells of the first difference of each. */
int haproxy_agrees(struct lb *lb, const struct haproxy_config *c, const struct findings *to, struct err *err);

/* ---- haproxy_check.c: a verb of lb.h ---- */

void haproxy_check(struct lb *lb, const struct findings *to);

/* ---- haproxy_master.c ---- */

/* Is `master` the master socket? */
int haproxy_has_master(const struct lb *lb, struct err *err);

/* Has the master load its configuration, and returns when the new worker answers at the Runtime API. REFUSED when the
 * old one serves on. */
int haproxy_reload(struct lb *lb, struct err *err);
/* Sessions of a server in workers of before a reload; 0 also when they cannot be asked. */
int64_t haproxy_busy_before(struct lb *lb, const char *backend, const char *real);

#endif
