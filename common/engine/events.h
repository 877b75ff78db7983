/* What happens to the containers of an engine that speaks Docker's API: the driver calls events, events_stop, clock and
 * alive. For the drivers of this room only. */
#ifndef ENGINE_EVENTS_H
#define ENGINE_EVENTS_H

#include "engine/api.h"
#include "engine/engine.h"

int events_follow(struct api *a, struct engine_events *w, struct err *err);
void events_stop(struct engine_events *w);
int events_clock(struct api *a, int64_t *ns, struct err *err);
int events_alive(struct api *a, int64_t within_ms, struct err *err);

#endif
