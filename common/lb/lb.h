/* The door of the room lb/: load balancers. A driver is one file and one line in the table of lb.c.
 *
 * Every verb is idempotent: what is done already succeeds and says so. A name, backend or address that does not
 * pass lb_safe_*() is refused (ERR_REFUSED) before a byte is sent; text never reaches a load balancer unchecked. */
#ifndef LB_LB_H
#define LB_LB_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/finding.h"
#include "base/rule.h"
#include "base/tasks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lb; /* every driver's own; any number of tasks may have a verb in hand on one */

#define LB_NAME 64 /* [A-Za-z0-9][A-Za-z0-9_.-]{0,62} */
#define LB_ADDRESS 46
#define LB_PLACE (LB_ADDRESS + 8) /* with port and brackets */
#define LB_WEIGHT_MAX 256
#define LB_CHECK 257 /* "/" and at most 255 of [A-Za-z0-9._~/-] */

enum lb_state { LB_UP, LB_DOWN, LB_DRAIN, LB_MAINT };

struct lb_server {
	char name[LB_NAME];
	char address[LB_ADDRESS]; /* as inet_ntop prints it */
	unsigned port;
	unsigned weight;      /* 0 to 256, 100 is normal; 0 is no traffic, which is not the same as drain */
	char check[LB_CHECK]; /* a path that answers 2xx or 3xx when it is healthy; "": accepting a connection is enough */
	enum lb_state state;
	bool ours;        /* its name is "as-" and 12 hex digits */
	int64_t sessions; /* open now; -1 when unknown */
};

struct lb_list {
	struct lb_server *v;
	size_t n;
};

struct lb_names {
	char (*v)[LB_NAME];
	size_t n;
};

/* What leads to a backend. */
struct lb_route {
	const struct rule *rule; /* NULL: the backend alone */
	char check[LB_CHECK];    /* as that of its servers */
};

/* One look. Counters count from some moment of the balancer's or of this struct lb's, so only two looks through the
 * same struct lb say something: lb_rates. -1: unknown. */
struct lb_stats {
	int64_t at_ms;              /* monotonic, when it was looked */
	int64_t connections, queue; /* now */
	int64_t requests, errors;   /* counters: all answered requests; those with a status of 500 or more */
	int64_t time_us;            /* counter: how long those requests took together */
	int64_t average_us;         /* instead of time_us: the balancer's own average of its latest requests */
};

/* Between two looks. -1: unknown; for the time of a response also when there was no request. */
struct lb_rates {
	int64_t requests;
	int64_t request_rate_milli, error_rate_milli; /* thousandths per second */
	int64_t response_us;
};

/* One look at everything: every backend that the load balancer has a list of, sorted, and each server's open sessions.
 * Counters as in struct lb_stats. */
struct lb_look {
	struct lb_seen {
		char backend[LB_NAME];
		struct lb_stats stats;
		struct lb_busy {
			char name[LB_NAME];
			enum lb_state state;
			int64_t sessions; /* open now; -1 when unknown */
		} * v;
		size_t n;
	} * v;
	size_t n;
};

struct lb_result {
	bool already;           /* nothing had to be done */
	bool forced;            /* connections were cut at the deadline */
	char address[LB_PLACE]; /* ADDRESS:PORT of the entry, [ADDRESS]:PORT for IPv6 */
	char note[160];         /* "", or a sentence about what did not go as wished although the verb did its work */
};

/* What a driver may use of the process that it is in. */
struct lb_means {
	struct tasks *tasks; /* a verb called in a task suspends that task only; NULL: it holds up the process */
	/* For a load balancer that itself runs in a container (conf_lb.container): sends that a signal ("HUP"); runs argv
	 * (ends with NULL) in it, adds what it prints to *out and gives its exit status. NULL: cannot be done here. */
	int (*signal)(void *ctx, const struct conf_lb *conf, const char *signal, struct err *err);
	int (*exec)(void *ctx, const struct conf_lb *conf, const char *const *argv, struct buf *out, int *status,
	            struct err *err);
	void *ctx;
};

/* How to add a driver: write FILE.c with one `const struct lb_driver lb_NAME`, and name it in the table of lb.c. All
 * members are there. */
struct lb_driver {
	const char *name; /* "haproxy" */
	/* Borrows conf and means until close. Connects lazily: the first verb that fails says why. */
	struct lb *(*open)(const struct conf_lb *conf, const struct lb_means *means, struct err *err);
	void (*close)(struct lb *lb); /* NULL is fine */
	/* NOT_FOUND: no such backend. Release with lb_list_release. */
	int (*list)(struct lb *lb, const char *backend, struct lb_list *out, struct err *err);
	/* The backends that have entries of ours or that ensure made, sorted. Release with lb_names_release. */
	int (*backends)(struct lb *lb, struct lb_names *out, struct err *err);
	/* Adds the server and lets traffic in when it is healthy, which is waited for at most gate_ms: by the load
	 * balancer's own check where it has one that can be asked, else by ours. Not healthy: it is not listed, or not any
	 * more, and UNAVAILABLE. An entry of that name with another address is drained and replaced. Another weight is
	 * set. Returns when the load balancer itself says that the server is in. */
	int (*attach)(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
	              struct lb_result *result, struct err *err);
	/* No new work from now on; waits at most wait_ms until what it has is finished. Not there: already. Returns 0
	 * also when the time ran out, with result->forced unset and a note: detach decides. */
	int (*drain)(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
	             struct err *err);
	/* Takes the entry out; after wait_ms cuts what is still open (forced). Not there: already. */
	int (*detach)(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
	              struct err *err);
	int (*stats)(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err);
	/* The same of all backends and their servers with as few questions as of one. A server is `up` as far as these
	 * answers tell. One look at a time through one struct lb. Release with lb_look_release. */
	int (*look)(struct lb *lb, struct lb_look *out, struct err *err);
	/* Is what is listed what is wanted, and does the load balancer use what is written? 0 when yes; CONFLICT names the
	 * first difference: stale, moved, missing, down, or what else this load balancer does with it. */
	int (*verify)(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err);
	/* Makes the backend exist, and its route be this one. A backend of the operator's own is left as it is (already,
	 * when there is no rule). With route NULL: what ensure made for this backend is taken away, if it has no servers
	 * (CONFLICT); what it did not make stays (already). CONFIG: something of the load balancer's configuration that
	 * only the operator can add is missing; the message says which line. */
	int (*ensure)(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
	              struct err *err);
	/* Makes what is written of a backend and what the load balancer has agree, where a hand or a run that was killed
	 * left them apart: HAProxy's configuration becomes what runs, the others use what their files say. No such backend:
	 * nothing is done. */
	int (*agree)(struct lb *lb, const char *backend, struct err *err);
	/* Tries what the other verbs need, and changes nothing that the load balancer reads: does it answer, may it be told
	 * things, can what it reads be written, does it use what is written? Tells of each; for as-doctor. */
	void (*check)(struct lb *lb, const struct findings *to);
};

/* The driver of a configured load balancer; NULL and CONFIG for an unknown one. */
const struct lb_driver *lb_driver(const struct conf_lb *conf, struct err *err);
/* Finds the driver and opens it, unless *lb is there already. */
int lb_open(const struct conf_lb *conf, const struct lb_means *means, const struct lb_driver **driver, struct lb **lb,
            struct err *err);
void lb_list_release(struct lb_list *list);
const struct lb_server *lb_list_find(const struct lb_list *list, const char *name); /* or NULL */
void lb_names_release(struct lb_names *names);
void lb_look_release(struct lb_look *look);
struct lb_seen *lb_look_find(const struct lb_look *look, const char *backend); /* or NULL; of a whole look, sorted */
struct lb_rates lb_rates(const struct lb_stats *before, const struct lb_stats *after);
const char *lb_state_name(enum lb_state state); /* "up", "down", "drain", "maint" */

bool lb_safe_name(const char *s);
/* inet_pton and back: false for anything but an IPv4 or IPv6 literal. 0.0.0.0 and :: are no server; of ::/96
 * (IPv4-compatible, RFC 4291 2.5.5.1: deprecated) only ::1 passes, because `::1:80` is meant as a port. */
bool lb_safe_address(const char *in, char out[LB_ADDRESS]);
/* Digits without sign or leading zero, 1 to 65535. */
bool lb_safe_port(const char *s, unsigned *port);
/* "as-" and the first 12 hex digits of a container id; false when id is no 64-digit hex. */
bool lb_server_name(const char *container_id, char out[LB_NAME]);
bool lb_is_ours(const char *name); /* is it such a name? */

bool lb_safe_check(const char *s); /* "" or a path as LB_CHECK says */

/* For drivers. */
/* What makes all entries right again. */
#define LB_SYNC "run the pipeline lb-sync (as-inspect --all | as-resolve-policy | as-lb-update --sync)"
void lb_place(const struct lb_server *s, char out[LB_PLACE]); /* ADDRESS:PORT, [ADDRESS]:PORT */
bool lb_same_place(const struct lb_server *a, const struct lb_server *b);
/* A server that a caller wants, with its address made canonical. REFUSED when anything of it is not safe. */
int lb_check_server(const struct conf_lb *conf, const struct lb_server *in, struct lb_server *out, struct err *err);
/* REFUSED for a backend or server (may be NULL) whose name is not safe. */
int lb_check_names(const struct conf_lb *conf, const char *backend, const char *server, struct err *err);
int lb_names_add(struct lb_names *names, const char *name, struct err *err); /* once, in order */
/* One more backend, of which nothing is known yet, or server; NULL: TEMPORARY. Good until the next one is added. */
struct lb_seen *lb_look_add(struct lb_look *look, const char *backend, struct err *err);
struct lb_busy *lb_seen_add(struct lb_seen *seen, const char *server, enum lb_state state, int64_t sessions,
                            struct err *err);
void lb_look_sort(struct lb_look *look);
extern const struct lb_stats lb_stats_unknown;
/* The answer of `verify`, from a list. The worst first: stale, moved, missing, down. */
int lb_compare(const struct conf_lb *conf, const char *backend, const struct lb_list *wanted,
               const struct lb_list *listed, struct err *err);

/* The drivers, each in the file of its name. */
extern const struct lb_driver lb_haproxy, lb_nginx, lb_traefik, lb_envoy;

#endif
