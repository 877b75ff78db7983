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
	/* Rounds, haproxy_round.c. */
	struct tasks_gate gate;
	struct haproxy_change *waiting;
};

/* ---- haproxy_entry.c ---- */

/* How a server is added and saved. No pool of kept server connections (`pool-max-conn`): an application that closes an
 * idle connection just when it is used again fails the request, seen for 305 of 3,200 POSTs; without one a connection
 * is opened for each, none failed. */
#define HAPROXY_CHECKS "check inter 200ms rise 1 fall 3"
#define HAPROXY_FORCE_MS 2000 /* for HAProxy to close what it was told to close */

struct haproxy_entry {
	char backend[LB_NAME]; /* "" when that is no safe name */
	struct lb_server server;
	bool passed, checked; /* its last check; it has a check */
};

/* The row of a table of haproxy_servers. */
void haproxy_read_entry(const struct haproxy_table *t, struct haproxy_entry *e);
/* 1 and *e, 0 when there is no such server, -1. */
int haproxy_find(struct lb *lb, const char *backend, const char *name, struct haproxy_entry *e, struct err *err);
/* Sessions or connections in use of one server, 0 when it is not there. */
int haproxy_busy(struct lb *lb, const char *backend, const char *name, int64_t *work, struct err *err);
/* Until the entry is there and at its place: 1 and *e when it was, 0 when it was added, -1. */
int haproxy_put(struct lb *lb, const char *backend, const struct lb_server *want, int64_t wait_ms,
                struct haproxy_entry *e, struct lb_result *result, struct err *err);
/* From an entry that is there (is; NULL: just added) to one that takes traffic. 0; 1 with err set when it is not
 * healthy and takes no traffic; 2 when it went away meanwhile; -1. */
int haproxy_admit(struct lb *lb, const char *backend, const struct lb_server *want, const struct haproxy_entry *is,
                  int64_t gate_ms, struct lb_result *result, struct err *err);
/* Out; what is at work after wait_ms is cut. */
int haproxy_take_out(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, bool *forced,
                     struct err *err);
/* Waits between two looks: *step, and longer the next time. */
#define HAPROXY_STEP_MS 10
#define HAPROXY_STEP_MAX_MS 100 /* the longest while sessions end */
void haproxy_wait_step(struct lb *lb, int64_t *step, int64_t longest);

/* ---- haproxy_round.c ---- */

enum haproxy_do {
	HAPROXY_SAVE,   /* the servers of the backend */
	HAPROXY_ENSURE, /* the backend and its route */
	HAPROXY_FORGET, /* what ensure made goes */
};

struct haproxy_change {
	/* in */
	enum haproxy_do what;
	const char *backend;
	const struct lb_server *up; /* of SAVE: was attached; may be NULL */
	const struct lb_route *route;
	/* out */
	bool already;
	bool lost; /* `up` does not take traffic: a reload took it away before it was saved */
	/* Private. */
	bool done;
	struct err err;
	struct haproxy_change *next;
};

/* Carries out the change, in one round with those that other tasks want at the time. */
int haproxy_change(struct lb *lb, struct haproxy_change *change, struct err *err);
/* Adds the backends that ensure made. */
int haproxy_made(struct lb *lb, struct lb_names *out, struct err *err);

/* ---- haproxy_master.c ---- */

/* Has the master load its configuration, and returns when the new worker answers at the Runtime API. REFUSED when the
 * old one serves on. */
int haproxy_reload(struct lb *lb, struct err *err);
/* Sessions of a server in workers of before a reload; 0 also when they cannot be asked. */
int64_t haproxy_busy_before(struct lb *lb, const char *backend, const char *name);

#endif
