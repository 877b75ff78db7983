/* Images of one engine, over its API, for the drivers of this room; the calls are those of struct engine_driver. */
#ifndef ENGINE_IMAGES_H
#define ENGINE_IMAGES_H

#include "engine/api.h"
#include "engine/engine.h"

int images_inspect(struct api *a, const char *ref, json_t **doc, struct err *err);
int images_pull(struct api *a, const char *ref, const char *auth, const struct image_watch *watch, struct err *err);
int images_save(struct api *a, const char *id, int fd, const struct image_watch *watch, struct err *err);
int images_load(struct api *a, int fd, char id[80], const struct image_watch *watch, struct err *err);
int images_tag(struct api *a, const char *id, const char *name, struct err *err);

#endif
