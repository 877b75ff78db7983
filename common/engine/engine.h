/* The door of the room engine/: container engines that speak Docker's API. A driver is one file and one line in the
 * table of engine.c. One struct engine is one host; any number of tasks (base/tasks.h) of one thread may have a call to
 * it in hand, and a call suspends its task only.
 *
 * Documents of the engine are jansson values; "new" results belong to the caller (json_decref), arguments are
 * borrowed. Source of every call: Docker Engine API 1.24 to 1.4x, https://docs.docker.com/engine/api/. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/jv.h"
#include "base/tasks.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct engine; /* every driver's own */

/* Following what happens to the containers of one engine. */
struct engine_events {
	int64_t since; /* ns of the engine's clock: what it still knows from then on comes first; 0: from now on */
	/* Start, stop, die, oom, destroy and health_status of a container, in the form of Docker's API; borrowed. It makes
	 * no calls to an engine and does not wait. -1 ends it. */
	int (*event)(void *ctx, json_t *event, struct err *err);
	void *ctx;
	struct exchange *hand; /* the driver's */
};

/* Hears how far the transfer of an image is, in words for a person; often. fn NULL: nobody wants to know. */
struct image_watch {
	void (*fn)(void *ctx, const char *text);
	void *ctx;
};
/* A number for a service whose containers its engine makes and removes by itself. Never against what is asked: where
 * somebody set more than more replicas than asked for meanwhile, or fewer than fewer, nothing is changed. */
struct engine_scale {
	/* in */
	const char *service; /* its id */
	int64_t replicas;    /* how many there shall be */
	bool fewer;          /* done when those too many have ended; else when all run */
	/* When they do not all run: those that never did are taken back, down to this number. */
	int64_t back_to;
	int64_t timeout_ms;
	/* out */
	bool already;  /* it had this number, and they ran or had ended */
	int64_t from;  /* it had before */
	int64_t now;   /* it has */
	int conflicts; /* how often somebody else changed the service between our look and our change */
};

#define ENGINE_SCALE_SAID 48
/* "already", "2 -> 5", or "" when the number was right, but not yet what runs. */
void engine_scale_said(const struct engine_scale *s, char out[ENGINE_SCALE_SAID]);

/* What a container uses, at one moment. */
struct engine_stats {
	int64_t at_ns;  /* of the engine's clock */
	int64_t cpu_ns; /* processor time since its start; -1: not told */
	int64_t
		memory; /* bytes, without the file cache that is given back first (Podman 4 counts that too); -1: not told */
};

/* Who an engine is, for a person. Texts are "" where it does not say. */
struct engine_about {
	char name[48], version[48]; /* "Docker", "20.10.24" */
	int spoken;                 /* minor version of the API that is used: 41 for 1.41 */
	char newest[16], oldest[16];
	char where[256];           /* how it is reached: a socket, an address, ssh and a machine */
	int64_t certificate_until; /* of the server, ms UTC; TIME_NONE: none, or not known */
	bool timed;
	int64_t ahead_ms, fuzz_ms; /* its clock before ours, and how sure that is; if timed */
};

struct engine_driver {
	const char *name; /* "docker" */
	/* Connects lazily: the first call that fails says why. host and tasks (may be NULL) live longer than it. */
	struct engine *(*open)(const struct conf_host *host, struct tasks *tasks, struct err *err);
	void (*close)(struct engine *e); /* NULL is fine */
	/* Negotiates the version and stores it for the calls that follow. Called by them when it was not. */
	int (*ping)(struct engine *e, struct err *err);
	int (*about)(struct engine *e, struct engine_about *out, struct err *err);
	/* Whether it is Podman, which says some things otherwise; asked once. NULL: it never is. */
	int (*is_podman)(struct engine *e, bool *yes, struct err *err);
	/* The engine's list, newest first; label "NAME" or "NAME=VALUE" or NULL for all; stopped ones too. New. */
	int (*list)(struct engine *e, const char *label, json_t **list, struct err *err);
	/* One container by id or exact name (never by prefix or regex). New. NOT_FOUND. */
	int (*inspect)(struct engine *e, const char *id, json_t **doc, struct err *err);
	/* The id of an image by name or id, for "does the tag still mean the source's image?". NOT_FOUND. */
	int (*image_id)(struct engine *e, const char *ref, char id[80], struct err *err);
	/* Config of an image: {"Entrypoint":..,"Cmd":..}. New. */
	int (*image_config)(struct engine *e, const char *ref, json_t **config, struct err *err);
	/* Creates NAME from a create request. CONFLICT: the name is in use (look who has it). */
	int (*create)(struct engine *e, const char *name, const json_t *request, char id[65], struct err *err);
	/* Connects a container to one more network before its start. Already connected is success. */
	int (*connect)(struct engine *e, const char *network, const char *id, const json_t *endpoint, struct err *err);
	int (*disconnect)(struct engine *e, const char *network, const char *id, struct err *err);
	/* *already: it ran before (304). */
	int (*start)(struct engine *e, const char *id, bool *already, struct err *err);
	/* Stops with a grace in ms (rounded up to seconds), waits for it. *already: it was stopped or is gone. */
	int (*stop)(struct engine *e, const char *id, int64_t grace_ms, bool *already, struct err *err);
	/* Removes a container with its anonymous volumes. *already: it was gone, or is going. */
	int (*remove)(struct engine *e, const char *id, bool force, bool *already, struct err *err);
	/* Whether the host has a volume of that name. */
	int (*volume_exists)(struct engine *e, const char *name, bool *there, struct err *err);
	/* Follows events until the engine ends it (0) or another task does by events_stop (-1, UNAVAILABLE). w lives longer
	 * than the call. Engines keep a few events only (256): list after each start of following. */
	int (*events)(struct engine *e, struct engine_events *w, struct err *err);
	void (*events_stop)(struct engine_events *w);
	/* Its clock, ns UTC, which its events carry. */
	int (*clock)(struct engine *e, int64_t *ns, struct err *err);
	/* Does it answer at all within this time? */
	int (*alive)(struct engine *e, int64_t within_ms, struct err *err);

	/* One image by name, name@digest or id: {"Id","RepoTags","RepoDigests","RootFS":{"Layers"},..}. New. NOT_FOUND. */
	int (*image_inspect)(struct engine *e, const char *ref, json_t **doc, struct err *err);
	/* The engine gets "NAME@DIGEST" or "NAME:TAG" from its registry; auth is what credentials_find wrote. No limit but
	 * that on silence. DENIED: the registry wants other credentials. NOT_FOUND: it does not have it. UNAVAILABLE: it
	 * is not reached. Success is the engine's word only: look at what is there. */
	int (*image_pull)(struct engine *e, const char *ref, const char *auth, const struct image_watch *watch,
	                  struct err *err);
	/* Writes an image as an archive to a file; loads the archive that is in a file, and says under which id the engine
	 * took it, "" when it does not tell. An image saved by its id has no name afterwards. */
	int (*image_save)(struct engine *e, const char *id, int fd, const struct image_watch *watch, struct err *err);
	int (*image_load)(struct engine *e, int fd, char id[80], const struct image_watch *watch, struct err *err);
	/* "NAME:TAG", or "NAME" for NAME:latest; a name that another image has is taken from it. */
	int (*image_tag)(struct engine *e, const char *id, const char *name, struct err *err);
	int (*network_exists)(struct engine *e, const char *name, bool *there, struct err *err);
	/* Sends a signal, "HUP", to the first process of a container. CONFLICT: it does not run. */
	int (*signal)(struct engine *e, const char *id, const char *signal, struct err *err);
	/* Runs argv, ended by NULL, in a container that runs, and gives its exit status; what it prints on standard output
	 * and standard error is added to *out. The usual limit of a call is its own. */
	int (*exec)(struct engine *e, const char *id, const char *const *argv, struct buf *out, int *status,
	            struct err *err);
	/* One look at a container that runs. CONFLICT: it does not. NOT_FOUND: also a swarm's that runs on another node. */
	int (*stats)(struct engine *e, const char *id, struct engine_stats *out, struct err *err);
	/* NULL for an engine that has single containers. REFUSED: a service without a number of its own. */
	int (*scale)(struct engine *e, struct engine_scale *s, struct err *err);
};

extern const struct engine_driver engine_docker;
extern const struct engine_driver
	engine_swarm; /* its containers are the tasks of services, which scale alone changes */

/* The driver of a host (conf_host.engine, default "docker"); NULL and CONFIG for an unknown one. */
const struct engine_driver *engine_driver(const struct conf_host *host, struct err *err);
/* Is it reached through a socket of this machine? Then its containers' own addresses are reached from here too. */
bool engine_is_local(const struct conf_host *host);

/* The files that TLS with a host needs, "" where it has none. As for `open`, CONFIG and DENIED. */
#define ENGINE_FILE 512
struct engine_files {
	char ca[ENGINE_FILE], cert[ENGINE_FILE], key[ENGINE_FILE];
};
int engine_files(const struct conf_host *host, struct engine_files *out, struct err *err);
const char *engine_library(void); /* that reads its documents: "2.14" of jansson */

/* credentials.c: what `docker login` has kept in its folder, $DOCKER_CONFIG or ~/.docker. */

/* The registry of an image's name, "docker.io" where it names none. */
void credentials_registry(const char *ref, char *out, size_t size);
/* Writes the value of X-Registry-Auth for that registry: a secret. Nothing is kept for it: nothing is written. A
 * credential helper is asked if one is configured; that suspends the task. CONFIG: the file, or the helper, cannot be
 * used; no message holds what is in them. */
int credentials_find(struct tasks *tasks, const char *folder, const char *ref, struct buf *out, struct err *err);

/* container.c: how the toolkit sees a container. */

/* The service of a container by its labels, in the order autoscale.service, service,
 * com.docker.compose.service, com.docker.swarm.service.name, then the variable AUTOSCALE_SERVICE, then, for a copy,
 * autoscale.copy-of's service is carried by its own labels. False: it belongs to none. */
bool container_service(const json_t *inspect, char *out, size_t size);
const char *container_name(const json_t *inspect);                    /* without the slash; "" when it has none */
const char *container_label(const json_t *inspect, const char *name); /* or NULL */
/* Did it ask to be scaled: has it a label "autoscale.*", or a variable AUTOSCALE_* in its inspect document? labels may
 * be NULL. */
bool labels_join(const json_t *labels);
bool variables_join(const json_t *inspect);
/* Which conventions (base/convention.h) it follows, by its labels alone (may be NULL), and by all of its document. */
unsigned labels_conventions(const json_t *labels);
unsigned container_conventions(const json_t *inspect);
/* Did it join, by a label, a variable or one of these conventions? service: of which service it is, "" of none; one
 * that names a load balancer or follows a convention, and names no service, is a service of its own name. */
bool container_joins(const json_t *inspect, unsigned conventions, char *service, size_t size);

/* Writes one entry of observed.containers from the engine's inspect document: {id, name, host, state, health,
 * created, started, index, copy, copy_of, op, ready, network_mode, addresses:{network:ip},
 * ports:[{port,protocol,published,ip}], image, labels:{}, variables:{}}. `variables` holds only AUTOSCALE_* (without
 * AUTOSCALE_STORE, _ALERTS and _CONF, which configure the toolkit and may hold a password) and those of
 * base/convention.h of its environment. `ready` is false unless `is_ready`. Not running: no addresses. */
void container_json(struct buf *out, const json_t *inspect, const char *host, bool is_ready);

/* Writes observed.template: {id, host, name, image, image_id, cpu, memory, volumes:[{type,source,destination,mode,rw}],
 * labels, variables, ports, networks:[names], network_mode, restart, healthcheck, env:[names], command, entrypoint}.
 * cpu is a number of CPUs, memory bytes, each null without a limit; restart is as `docker run --restart` takes it. With
 * create not NULL also "create": the whole create request (values of the environment included), as copy_make made
 * it. Of a service that its engine keeps: also engine, and replicas, null when they have no number. */
void template_json(struct buf *out, const json_t *inspect, const char *host, const json_t *create);

/* Which of a service's containers is the template: a ready original before a ready copy before what is not ready; the
 * newest of equals. Below TEMPLATE_RANKS. */
#define TEMPLATE_RANKS 4
int template_rank(bool ready, bool copy);

/* listed.c: what an entry of an engine's list tells, so that nobody has to ask about each container. */

/* Of which service it is, and whether it joined, as far as labels tell. False: what is in its environment, which only
 * the inspect document shows, may tell more. service: "" of none. */
bool listed_joins(const json_t *entry, unsigned conventions, char *service, size_t size, bool *joined);
/* A task of a swarm that ended is never started again: another container takes its place. */
bool listed_ended_task(const json_t *entry);
/* As much of an inspect document as the list tells, and this environment (an array as in Config.Env; NULL: not known):
 * enough for container_json, template_json and ready_check. New; NULL: no memory. */
json_t *listed_container(const json_t *entry, const json_t *env);
/* Does it tell as much as ready_check needs? Not of what runs in its host's network: its ports are not listed. */
bool listed_tells(const json_t *entry);

/* ready.c: when a container counts. */

struct ready_target {
	/* in */
	const json_t *inspect; /* borrowed */
	const char *rule;      /* "", "health", "tcp:PORT", "http:PORT/PATH"; "" is the engine's health, else tcp */
	const char *network;   /* which address; NULL: the only or first network */
	/* An IP address, for a port that is published and for host networking; NULL: the container's own address. */
	const char *host_address;
	/* out */
	bool ready;
	bool failed; /* it will not get ready: exited, restarting, dead, unhealthy */
	char why[160];
};

/* Asks all targets at once, within wait_ms together, and suspends the task meanwhile; needs no engine. A container
 * without a health check, exposed port and rule is ready when it runs. */
void ready_check(struct tasks *tasks, struct ready_target *targets, size_t n, int64_t wait_ms);

/* copy.c: the copy rule. */

struct copy_request {
	json_t *create; /* the create request with one endpoint in NetworkingConfig; new */
	/* Array of {"network":NAME,"endpoint":{...}} to connect before the start; "endpoint":null means to disconnect
	 * (the engine puts a container into its NetworkMode's network although the source has left it). New. */
	json_t *connect;
	json_t *notes;     /* array of strings: what was dropped or shared and why; new */
	char image_id[80]; /* of the image that it is to be made from; "": any that the name means */
};

struct copy_options {
	const char *name;     /* of the copy */
	const char *copy_of;  /* id of the original, for autoscale.copy-of; with recreate it is not used */
	const char *op_id;    /* for autoscale.op; NULL: none */
	const char *service;  /* that it is for: a label where only the source's name says so; NULL: none */
	int64_t index;        /* for autoscale.index; with recreate it is not used */
	const char *image_id; /* id that Config.Image resolves to now; NULL: it resolves to nothing */
	/* Config of the source's image, borrowed; NULL: not known. Then nothing can follow a tag. */
	const json_t *image_config;
	bool other_host; /* the copy is made on another host than the source's: what lives on one host only is refused */
	bool recreate;   /* the source is gone: keep name, labels, address, port */
	bool privileged_allowed;
	bool podman; /* the document was written by Podman, which says some things otherwise */
};

/* Makes the create request of a copy from the source's inspect document. REFUSED with the reason when something
 * cannot be copied faithfully (fixed host port, swarm task, privileged without leave). Labels of the source (or the
 * variables of the same name) choose, the first word being the default:
 *   autoscale.ports    refuse, auto, none, same   a fixed host port: the engine picks one, not published, as it is
 *   autoscale.image    pin, follow                a tag that moved: the source's image, or what the tag means now
 *   autoscale.compose  detach, keep               compose's labels
 *   autoscale.address  drop, keep                 a fixed IP or MAC address
 *   autoscale.portable path, volume, both         what another host has by the same name (none)
 * On failure *out holds nothing; release with copy_release. */
int copy_make(const json_t *inspect, const struct copy_options *options, struct copy_request *out, struct err *err);
void copy_release(struct copy_request *r);

/* What only the engine knows of a request. The first two may be asked before create, the last after it. */

/* REFUSED: a container whose network, process ids or shared memory it shares is gone or does not run, or one that it is
 * linked to is gone. */
int copy_partners_run(const struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                      struct err *err);
/* For a recreation: a volume that is gone is noted, "data_lost: PATH (...)", and if it had no name a new one takes its
 * place; the engine would make an empty one of the old name and say nothing. */
int copy_lost_volumes(struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                      struct err *err);
/* For a request that is to be remembered: such containers by name, for one that is made again has another id. */
int copy_partner_names(struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                       struct err *err);
/* Compares the request with the inspect document of what was made from it. REFUSED, naming the field, when an engine
 * left out what it does not know (an older API drops it without a word) or cannot do, or made it from another image. */
int copy_check(const struct copy_request *r, const json_t *made, struct err *err);

#endif
