/* The call behind engine_driver's stats, for this room only. */
#ifndef ENGINE_STATS_H
#define ENGINE_STATS_H

#include "engine/api.h"
#include "engine/engine.h"

/* id: whole. */
int stats_take(struct api *api, const char *id, struct engine_stats *out, struct err *err);

#endif
