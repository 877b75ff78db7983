/* What the files of as-clone share. */
#ifndef CMD_AS_CLONE_H
#define CMD_AS_CLONE_H

#include "cmd/front/front.h"
#include "engine/hosts.h"

struct clone {
	struct front f;
	struct engine_hosts hosts;
};

/* One entry of plan.create on its way. */
struct copy {
	char name[256], host[SERVICE_NAME_MAX + 1], like[128];
	int64_t index; /* -1: the container itself is made anew */
	char id[65];
	bool already; /* it was there and ran */
	bool failed;
	struct err err;
	json_t *notes; /* what it does not have, or shares, and why */
	int64_t ms;    /* for create and start */
	struct engine_host *target;
	char image[80];          /* id of its image on the target; "": not known */
	struct placement *place; /* of that image; NULL: not known */
};

/* The source of a record's copies, read from the engine by id: the record holds no values of the environment. */
struct source {
	json_t *doc;                     /* inspect document; NULL when the container is gone */
	json_t *create, *connect;        /* the remembered create request; NULL when it lives */
	bool podman;                     /* who wrote doc */
	char image_id[80];               /* that it was made from, with create */
	char host[SERVICE_NAME_MAX + 1]; /* that it lives on, or did */
	char service[SERVICE_NAME_MAX + 1];
};

/* image.c: the image of a copy on the host that it is to run on. */

/* The images that one record's copies need, each once for a host. */
struct placements {
	struct placement {
		struct engine_host *host;
		char id[80];    /* at the source */
		char there[80]; /* on the host, where engines store images otherwise */
		json_t *config; /* its Config; NULL: not known */
		char named[80]; /* id of what the image's name means on the host by now; "": nothing */
		char name[256]; /* that this was asked for; "": none yet */
		bool done;
		struct err err;
	} * v; /* as many as there are copies */
	size_t n;
};

/* Sees to it that the image is on copy->target, and sets copy->image: pulled from its registry, or copied from the
 * source's host when image_transfer allows it; the record then gets a step `image`. NOT_FOUND, DENIED, ...: what is to
 * be done. */
int image_place(struct clone *c, struct record *r, struct placements *list, const struct source *s, struct copy *copy,
                struct err *err);
void image_release(struct placements *list);
const char *image_name(const struct source *s); /* that the source was made from */

/* elsewhere.c: networks and volumes by name, and paths: REFUSED if the copy's host lacks one. Paths can only be asked
 * for when the image is there. */
int elsewhere_named(const struct copy *copy, const struct copy_request *request, struct err *err);
int elsewhere_ready(const struct copy *copy, const struct copy_request *request, struct err *err);

/* copy.c: one container. */

/* The container whose id is `like`, where the record saw it. NOT_FOUND: it went. */
int read_live(struct clone *c, const struct record *r, const char *like, struct source *s, struct err *err);
/* What the record's `observed.remembered` keeps of the container of that name. */
int read_remembered(const struct record *r, const char *name, struct source *s, struct err *err);
void release_source(struct source *s);
/* Whether a copy on another host than the source's could be made there, as far as that can be told without its image.
 */
int may_live_elsewhere(struct clone *c, const struct source *s, const struct copy *copy, struct err *err);
/* create, connect, start: each looks before it does. A copy that cannot be started is taken away again. CONFLICT: the
 * name belongs to a container that is not of this operation. */
int bring_up(struct clone *c, const struct source *s, struct copy *copy, const char *op_id, struct err *err);

#endif
