/* The door of the room lb/: load balancers. A driver is one file and one line in the table of lb.c.
 *
 * Every verb is idempotent: what is done already succeeds and says so. A name, backend or address that does not
 * pass lb_safe_*() is refused (ERR_REFUSED) before a byte is sent; text never reaches a load balancer unchecked. */
#ifndef LB_LB_H
#define LB_LB_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lb; /* every driver's own */

#define LB_NAME 64 /* [A-Za-z0-9][A-Za-z0-9_.-]{0,62} */
#define LB_ADDRESS 46
#define LB_PLACE (LB_ADDRESS + 8) /* with port and brackets */
#define LB_WEIGHT_MAX 256

enum lb_state { LB_UP, LB_DOWN, LB_DRAIN, LB_MAINT };

struct lb_server {
	char name[LB_NAME];
	char address[LB_ADDRESS]; /* as inet_ntop prints it */
	unsigned port;
	unsigned weight; /* 0 to 256, 100 is normal */
	enum lb_state state;
	bool ours;        /* its name is "as-" and 12 hex digits */
	int64_t sessions; /* open now; -1 when unknown */
};

struct lb_list {
	struct lb_server *v;
	size_t n;
};

struct lb_stats {
	int64_t connections, queue, request_rate; /* -1: unknown */
	int64_t response_ms;                      /* -1: unknown or idle */
};

struct lb_result {
	bool already;           /* nothing had to be done */
	bool forced;            /* connections were cut at the deadline */
	char address[LB_PLACE]; /* ADDRESS:PORT of the entry, [ADDRESS]:PORT for IPv6 */
	char note[160];         /* "", or a sentence about what did not go as wished although the verb did its work */
};

struct lb_driver {
	const char *name; /* "haproxy" */
	/* Borrows conf until close. Connects lazily: the first verb that fails says why. */
	struct lb *(*open)(const struct conf_lb *conf, struct err *err);
	void (*close)(struct lb *lb); /* NULL is fine */
	/* NOT_FOUND: no such backend. Release with lb_list_release. */
	int (*list)(struct lb *lb, const char *backend, struct lb_list *out, struct err *err);
	/* Adds the server and waits at most gate_ms until the load balancer itself found it healthy, then lets traffic
	 * in; takes it out again and fails (UNAVAILABLE) when it does not get healthy. An entry of that name with
	 * another address is drained and replaced. */
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
	/* Is what is listed what is wanted? 0 when yes; CONFLICT names the first difference: missing, stale, moved, down.
	 */
	int (*verify)(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err);
};

/* The driver of a configured load balancer; NULL and CONFIG for an unknown one. */
const struct lb_driver *lb_driver(const struct conf_lb *conf, struct err *err);
void lb_list_release(struct lb_list *list);
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

/* For drivers. */
void lb_place(const struct lb_server *s, char out[LB_PLACE]); /* ADDRESS:PORT, [ADDRESS]:PORT */
bool lb_same_place(const struct lb_server *a, const struct lb_server *b);
/* A server that a caller wants, with its address made canonical. REFUSED when anything of it is not safe. */
int lb_check_server(const struct conf_lb *conf, const struct lb_server *in, struct lb_server *out, struct err *err);
/* The answer of `verify`, from a list. The worst first: stale, moved, missing, down. */
int lb_compare(const struct conf_lb *conf, const char *backend, const struct lb_list *wanted,
               const struct lb_list *listed, struct err *err);

/* The drivers, each in the file of its name. */
extern const struct lb_driver lb_haproxy;

#endif
