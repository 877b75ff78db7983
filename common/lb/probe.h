/* The gate of drivers whose load balancer does not tell whether a server is healthy before it sends it work. */
#ifndef LB_PROBE_H
#define LB_PROBE_H

#include "lb/lb.h"

/* Until the server accepts a connection or, with a check, answers a GET of that path with 200 to 399; asks every 50 ms,
 * at most gate_ms together. UNAVAILABLE with the last reason. */
int lb_probe(const struct conf_lb *conf, struct tasks *tasks, const char *backend, const struct lb_server *server,
             int64_t gate_ms, struct err *err);

#endif
