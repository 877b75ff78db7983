/* A load balancer that is a table in this process and sends nobody anywhere: what a fifth driver takes (lb_memory.c),
 * and what the cases of lb_suite.h must say of a driver that is right. */
#ifndef TESTS_UNIT_LB_MEMORY_H
#define TESTS_UNIT_LB_MEMORY_H

#include "lb/lb.h"

/* `frontend` of its configuration is the one backend that its operator made. */
extern const struct lb_driver lb_memory;

#endif
