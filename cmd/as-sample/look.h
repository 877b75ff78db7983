/* Looks at the load balancers, shared by the records that come while one is young: a balancer is asked once or twice a
 * pass, however many services it has. */
#ifndef CMD_AS_SAMPLE_LOOK_H
#define CMD_AS_SAMPLE_LOOK_H

#include "cmd/as-sample/sample.h"
#include "lb/lb.h"

/* One look at one balancer. */
struct sight {
	unsigned users;
	int64_t begun_utc;    /* ms UTC */
	int64_t begun, ended; /* monotonic */
	struct lb_look look;
	struct err err; /* code 0: none */
};

struct balancer {
	const struct conf_lb *conf;
	const struct lb_driver *driver;
	struct lb *lb; /* NULL: not opened yet */
	struct tasks_gate look_gate, pair_gate;
	struct sight *last;           /* the latest look */
	struct sight *first, *second; /* the latest two that are apart as --over says */
};

struct balancers {
	struct sampler *s;
	struct lb_means means;
	struct balancer *v; /* one for each of conf.lbs */
};

/* What a record may use: a look, or with rates two. Both are given back with sight_drop; *before is NULL without rates.
 * One that failed has an err; then *before is NULL as well. NULL: no memory. */
struct sight *sight_take(struct balancers *all, struct balancer *b, int64_t record_now, bool rates,
                         struct sight **before);
void sight_drop(struct sight *s);

#endif
