/* A swarm through one of its managers, for swarm*.c of this room only. What a swarm keeps are services, each with a
 * number of tasks that should run, on any node. To us a task is a container: its document is written as an inspect of
 * a container would be, with a member `Task`. A service's document is the specification that its tasks are made from,
 * with a member `Service`.
 *
 * Source: https://docs.docker.com/engine/api/v1.41/#tag/Service and #tag/Task */
#ifndef ENGINE_SWARM_H
#define ENGINE_SWARM_H

#include "engine/api.h"
#include "engine/engine.h"

struct engine {
	struct api *api;
	struct tasks *tasks;
	json_t *task_ids; /* id of a container -> id of its task: it never changes */
};

/* ---- swarm.c ---- */

/* As api_json_done for a 200; what a node that is no manager answers is told as that. */
int swarm_json_done(struct engine *e, struct exchange *x, json_t **doc, struct err *err);
/* By id or exact name. New. */
int swarm_service(struct engine *e, const char *id, json_t **service, struct err *err);
/* The tasks of a service, those that ended included, as far as the swarm remembers them. New. */
int swarm_tasks(struct engine *e, const char *service_id, json_t **tasks, struct err *err);

/* ---- swarm_doc.c: documents of tasks and services in the form of a container's; all new, NULL: no memory ---- */

/* Is it one that should run? Those that ended, or are to end, stay listed for a while. */
bool swarm_should_run(const json_t *task);
/* The id of the container; before there is one, or when it is nowhere told, the task's. Borrowed; may be NULL. */
const char *swarm_id(const json_t *task);
/* An entry of a list. task NULL: the service itself. */
json_t *swarm_entry(const json_t *service, const json_t *task);
json_t *swarm_doc(const json_t *service, const json_t *task);

/* ---- swarm_scale.c ---- */

int swarm_scale(struct engine *e, struct engine_scale *s, struct err *err);

#endif
