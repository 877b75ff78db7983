/* The calls behind engine_driver's signal and exec, for this room only. */
#ifndef ENGINE_EXEC_H
#define ENGINE_EXEC_H

#include "engine/api.h"

/* id: whole. */
int exec_signal(struct api *api, const char *id, const char *signal, struct err *err);
int exec_run(struct api *api, struct tasks *tasks, const char *id, const char *const *argv, struct buf *out,
             int *status, struct err *err);

#endif
