/* What the files of as-lb-update share. */
#ifndef CMD_AS_LB_UPDATE_H
#define CMD_AS_LB_UPDATE_H

#include "cmd/front/front.h"
#include "lb/lb.h"

struct balancer {
	const struct conf_lb *conf;
	const struct lb_driver *driver;
	struct lb *lb;
};

/* When this process last changed the entries of a service: what a record saw before that is no longer true. */
struct handled {
	char service[SERVICE_NAME_MAX + 1];
	int64_t at;
	struct handled *next;
};

struct update {
	struct front f;
	struct lb_means means;
	struct balancer *balancers; /* one per configured load balancer, opened at first use */
	struct handled *handled;
};

/* One record's work. */
struct job {
	struct update *u;
	struct record *r;
	struct balancer *b;
	char service[SERVICE_NAME_MAX + 1], backend[LB_NAME], network[64];
	int64_t port, weight, drain_ms, gate_ms;
	bool dry, heal;
	bool drain_only;
	bool failed; /* err holds the first failure */
	struct err *err;
};

/* entries.c: one load balancer of one record. Each change becomes an entry of the record's `lb`; the first failure is
 * kept in the job. */

/* Drains (drain_only) or detaches what the plan removes. */
void take_out_removed(struct job *j);
/* Takes out what the plan removes, attaches what is ready, and with `heal` takes out what is gone. */
void make_right(struct job *j);

#endif
