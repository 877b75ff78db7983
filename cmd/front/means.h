/* What a load balancer's driver may use of a command that knows the engines: a balancer that itself runs in a container
 * gets its signals, and its own programs run, through the engine of its host. */
#ifndef CMD_FRONT_MEANS_H
#define CMD_FRONT_MEANS_H

#include "engine/hosts.h"
#include "lb/lb.h"

/* Both live as long as the drivers that are opened with it. */
void front_means(struct lb_means *means, struct engine_hosts *hosts);

#endif
