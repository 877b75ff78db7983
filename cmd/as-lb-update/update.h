/* What the files of as-lb-update share.
 *
 * A record becomes a job: it looks at each of its load balancers (a side), writes down what is to be changed, carries
 * the changes out at the same time, in three steps, and tells them in the record in the order in which they were
 * written down. Jobs of several records run at the same time, in tasks; those tasks start further ones for the changes,
 * which start none: so they cannot wait for each other in a circle for room (TASKS_AT_ONCE). */
#ifndef CMD_AS_LB_UPDATE_H
#define CMD_AS_LB_UPDATE_H

#include "cmd/front/address.h"
#include "cmd/front/front.h"
#include "engine/hosts.h"
#include "lb/lb.h"

#include <jansson.h>

struct balancer {
	const struct conf_lb *conf;
	const struct lb_driver *driver;
	struct lb *lb;
};

/* Which containers run, on all hosts: the entries' names of theirs. */
struct world {
	json_t *running;
	int64_t at;     /* monotonic ms, when the list was asked for; 0: never */
	bool complete;  /* every host answered, */
	struct err why; /* or the first that did not */
	struct tasks_gate gate;
};

/* What this process did to an entry, and when: a record that looked before says nothing about it. */
struct job;
struct touch {
	char name[LB_NAME];
	const struct conf_lb *lb;
	int64_t at;  /* ms UTC */
	uint64_t by; /* the job that did it last */
	bool in;     /* it was attached; else taken out */
	size_t refs;
	struct tasks_gate gate; /* one at a time works on it */
	struct touch *next;
};

/* Where a service has, or had, entries. */
struct place {
	size_t balancer;
	char backend[LB_NAME];
};

struct service {
	char name[SERVICE_NAME_MAX + 1];
	int64_t newest;       /* `now` of the newest record so far */
	struct place *places; /* that the newest one with a policy named */
	size_t nplaces;
	struct touch *touches;
	struct service *next;
};

struct update {
	struct front f;
	struct engine_hosts hosts; /* and the tasks */
	struct lb_means means;
	struct balancer *balancers; /* one per configured load balancer, opened at first use */
	struct neighbours neighbours;
	struct service *services;
	struct world world;
	uint64_t jobs; /* so far */
	/* --sync: entries' name -> {places: {"LB BACKEND"}, drain, dry} of each container that a record knows; and all such
	 * places. */
	json_t *owners, *claimed;
	json_t *spared; /* "LB BACKEND ENTRY" of what stays since it is only rehearsed */
	bool drain_only, sync, force;
};

/* A container that shall have an entry. */
struct want {
	struct lb_server server;
	char container[256]; /* its name */
	struct jv doc;
	bool looked; /* from what the record saw; else an earlier stage brought it up */
	bool await;  /* it is not ready yet, but may still become so */
	bool bad;    /* it cannot have one: */
	struct err err;
};

enum change_do { DO_LIST, DO_ENSURE, DO_ATTACH, DO_DRAIN, DO_DETACH, DO_FORGET };

struct change {
	enum change_do what;
	int step; /* 0 to CHANGE_STEPS - 1; those of one are carried out at the same time */
	struct side *side;
	struct lb_server server;
	const struct want *want;  /* of attach */
	char was[LB_PLACE];       /* where it was listed before; "": it was not */
	int64_t wait_ms;          /* of drain and detach */
	bool stale;               /* it goes because its container is gone */
	bool last;                /* it is refused, with err, unless something is attached before it */
	bool settled, bad, quiet; /* nothing is left to do; it failed; it is not told in the record */
	int64_t ms;
	char message[200];
	struct err err;
};

#define CHANGE_STEPS 3

/* One load balancer of a job. */
struct side {
	struct job *j;
	struct balancer *b;
	struct lb_list now;
	int64_t at;  /* monotonic ms, when it was listed */
	bool absent; /* there is no such backend */
	bool bad;
	struct err err;
};

struct job {
	struct update *u;
	uint64_t number;
	struct record *r;
	char service[SERVICE_NAME_MAX + 1], backend[LB_NAME], rule_text[1024];
	struct entry_policy entry;
	int64_t now; /* the record's */
	int64_t drain_ms, gate_ms;
	struct rule rule;
	struct lb_route route;
	bool dry;
	bool believed; /* what it saw is the newest that is known */
	struct service *known;
	struct side *sides;
	size_t nsides;
	struct want *wants;
	size_t nwants;
	struct change *changes;
	size_t nchanges;
	int step;        /* that is carried out, */
	size_t *running; /* and its changes */
	bool failed;     /* err holds the first failure */
	struct err *err;
};

/* wanted.c: what is to be changed for a record. Fills wants, and changes for all sides that could be listed. */
bool is_blind(const struct record *r); /* some host did not answer when it looked */
int find_wants(struct job *j, struct err *err);
int find_changes(struct job *j, struct err *err);
/* Before the last step: is what must stay, if nobody else takes traffic, to stay? */
void settle_last(struct job *j, const struct side *s);
void settle(struct change *c, const char *message); /* nothing is left to do */
void settle_bad(struct change *c, const struct err *why);
struct change *add_change(struct job *j, struct side *side, enum change_do what, int step, struct err *err);

/* carry.c: doing it. */
int carry_out(struct job *j, struct err *err);
int open_balancer(struct update *u, size_t i, struct err *err);
int list_sides(struct job *j, struct err *err);

/* tell.c: saying it, in the record, and as lines that a person reads. */
void tell_change(struct job *j, const struct change *c);
/* "edge web: + as-0123456789ab 172.17.0.5:80 (web-2)" on standard error; control characters escaped. */
void say_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_change(const struct job *j, const struct change *c);

/* known.c: what is known from record to record. */
struct service *know_service(struct update *u, const char *name);
/* Is this the newest record of the service? It is from now on. */
bool is_newest(struct service *s, int64_t now);
/* For find_bereft; that there is no memory for it does not matter. */
void note_places(struct job *j);
/* Holds the entry until touch_end, alone. NULL: no memory. */
struct touch *touch_begin(struct update *u, struct service *s, const struct conf_lb *lb, const char *name);
void touch_end(struct update *u, struct touch *t);
void touch_done(struct touch *t, const struct job *j, bool in, int64_t at);
void free_known(struct update *u);

/* world.c: what runs. Lists all hosts, unless that was done after `since` (monotonic ms). Not from within a change. */
int look_at_world(struct update *u, int64_t since, struct err *err);
bool runs(const struct update *u, const char *name);


/* bereft.c: of a service whose last container is gone, and that names no load balancer any more, where it has entries,
 * or had them a moment ago: for free(3). */
int find_bereft(const struct job *j, struct place **found, size_t *n, struct err *err);

/* sweep.c: --sync. */
/* What a rehearsal of the record would take out is said by it, and stays. */
void note_spared(struct job *j, const struct change *c);
void note_owners(struct job *j);
/* After the last record: what no record claimed. The exit status. */
int sweep(struct update *u);

#endif
