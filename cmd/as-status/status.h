/* What the files of as-status share.
 *
 * A frame is one look at everything: every host is listed once and every load balancer looked at once, all at the same
 * time, and the store is read in a few statements, however many services there are. Only what no list tells is asked of
 * single containers: of which service one is that carries no label of ours, the variables of the one that stands for
 * its service, unless the store remembers them, and whether one in the network of its host is ready. What cannot be had
 * is told, and the rest stays. */
#ifndef CMD_AS_STATUS_H
#define CMD_AS_STATUS_H

#include "base/clock.h"
#include "cmd/front/address.h"
#include "cmd/front/front.h"
#include "cmd/front/rows.h"
#include "engine/hosts.h"
#include "lb/lb.h"
#include "store/store.h"

#define TREND_MS (60 * 60 * 1000)  /* how far back the trend looks */
#define WANTED_MS (15 * 60 * 1000) /* a number that was wanted longer ago is none any more */

/* One host of the configuration. */
struct host {
	bool ok, podman;
	struct err why; /* when it is not ok */
	json_t *list;
};

/* One load balancer of the configuration. */
struct balancer {
	const struct lb_driver *driver;
	struct lb *lb;
	bool ok;
	struct err why;
	struct lb_look look;
};

/* One container, or of a swarm also the service itself. */
struct replica {
	char service[SERVICE_NAME_MAX + 1];
	size_t host;         /* its place in the configuration */
	const json_t *entry; /* in the host's list */
	json_t *doc;         /* what is known of it, as its engine would tell; own */
	bool joined, copy, kept, ready;
	int64_t created;
};

/* A remembered specification. */
struct spec {
	char *service, *name, *host, *text; /* text: JSON, as observed.template */
	bool wanted;                        /* nobody took it away */
	int64_t seen_at;
};

/* A container that was seen on a host that does not answer now. */
struct unseen {
	char service[SERVICE_NAME_MAX + 1];
	size_t host;
};

struct last {
	int64_t from, to, at; /* at: TIME_NONE: there was none */
	char *action, *outcome, *reason, *error, *policies;
};

/* A service at one load balancer. */
struct side {
	char name[LB_NAME], backend[LB_NAME];
	const struct balancer *b; /* NULL: not configured */
	bool known;               /* could it be looked at? else `why` */
	struct err why;
	int64_t entries, up; /* of the backend; those that take traffic, */
	int64_t others;      /* and those of them that we did not make */
	struct buf missing;  /* ready replicas that get no traffic, a JSON array: {"name","state"} */
	struct buf stale;    /* entries of ours without a ready replica, the same */
	int64_t nmissing, nstale;
};

struct service {
	char name[SERVICE_NAME_MAX + 1];
	const struct replica *v; /* its containers */
	size_t n;
	int64_t running, ready, stopped, missing, unknown;
	const struct spec *newest; /* remembered of it */
	struct buf template, policy;
	bool resolved; /* the policy is known, else `why` */
	struct err why;
	int64_t min, max; /* max -1: none */
	bool limits_known;
	struct last last;
	struct service_past past;
	int64_t moved, wanted; /* wanted -1: not known */
	bool wanted_known;
	struct side *sides;
	size_t nsides;
};

struct status {
	struct front f;
	int64_t watch_ms; /* 0: once */
	bool json;
	unsigned conventions;
	struct engine_hosts hosts;
	struct lb_means means;
	struct neighbours neighbours;
	struct host *host;         /* one for each of conf.hosts */
	struct balancer *balancer; /* one for each of conf.lbs */
	json_t *known;             /* container id -> {service, joined, env}: a container's environment never changes */
	struct store *store;

	/* one frame */
	int64_t now;
	struct replica *replicas;
	size_t nreplicas;
	struct spec *specs;
	size_t nspecs;
	struct unseen *unseen;
	size_t nunseen;
	bool store_ok, store_there;
	struct err store_why;
	struct rows rows;
	struct service *services;
	size_t nservices;
	struct buf notes; /* what did not answer, and what nobody knows: texts, each with its NUL */
	bool failed;      /* there are such, */
	struct err worst; /* and if nothing at all is known, this is why */
	bool nothing;
};

void add_note(struct status *s, const char *text);

/* world.c: the hosts and the load balancers. */
int look_at_world(struct status *s, struct err *err);
/* Makes the replicas of what the hosts listed, those of a service together. After read_memory. */
int find_replicas(struct status *s, struct err *err);
/* Asks for the variables of these containers, unless they are known. */
int learn_variables(struct status *s, struct replica *const *v, size_t n, struct err *err);
bool is_asked_for(const struct status *s, const char *service);

/* memory.c: the store. A failure is noted, not returned. */
void read_memory(struct status *s);                                   /* specifications, unseen containers */
void read_past(struct status *s, const char *const *names, size_t n); /* of s->services */

/* service.c */
int find_services(struct status *s, struct err *err);
const struct replica *stands_for(const struct service *v);

/* side.c: a service at its load balancers. */
int find_sides(struct status *s, struct service *v, struct err *err);
/* Of all services: a replica that somebody else has listed is not missing. */
int confirm_sides(struct status *s, struct err *err);
void release_side(struct side *side);
int64_t expected_at(const struct service *v); /* entries that it ought to have */

/* show.c */
struct screen {
	size_t columns, lines; /* 0: no end */
	bool colour, ascii, redraw;
};
void show_table(const struct status *s, const struct screen *screen, struct buf *out);

/* tell.c: a JSON object for a service. */
void tell_service(const struct status *s, const struct service *v, struct buf *out);

/* How many of the service run on that host. */
int64_t running_on(const struct service *v, size_t host);
int64_t unseen_on(const struct status *s, const struct service *v, size_t host);
/* What may come next: ms until a step out or in is possible; NEVER: it is not. */
#define NEVER (-1)
struct outlook {
	int64_t out, in; /* ms */
	bool paused_out, paused_in;
};
void look_ahead(const struct status *s, const struct service *v, struct outlook *o);

#endif
