/* Where a load balancer reaches a container. What as-lb-update and as-status share. */
#ifndef CMD_FRONT_ADDRESS_H
#define CMD_FRONT_ADDRESS_H

#include "base/conf.h"
#include "base/jv.h"
#include "lb/lb.h"

/* Which hosts are reached through a socket of this machine: asked once for each. */
struct neighbours {
	const struct conf *conf;
	enum { NOT_ASKED, LOCAL, REMOTE } * v; /* of each configured host */
};
int neighbours_init(struct neighbours *n, const struct conf *conf, struct err *err);
void neighbours_release(struct neighbours *n);

/* What the policy says of a service's entries. */
struct entry_policy {
	char network[64], ready[256];
	int64_t port, weight;
};
void entry_policy_read(struct entry_policy *p, struct jv policy);

/* Fills name, address, port, weight and check. container: as in observed.containers. */
int server_of(struct neighbours *n, const struct entry_policy *p, struct jv container, struct lb_server *s,
              struct err *err);

#endif
