/* What the files of as-inspect share. */
#ifndef CMD_AS_INSPECT_H
#define CMD_AS_INSPECT_H

#include "base/clock.h"
#include "cmd/front/front.h"
#include "engine/hosts.h"
#include "store/store.h"

/* What every host listed, kept for the records of one pass (they have one `now`). */
struct listing {
	bool ok;
	struct err why;                         /* when it is not */
	json_t *list;                           /* the engine's */
	char (*services)[SERVICE_NAME_MAX + 1]; /* of each entry; "" none */
	bool *joined;                           /* of each entry: it asked to be scaled */
};

struct inspect {
	struct front f;
	bool full, remember;  /* options */
	unsigned conventions; /* that make a container join */
	struct engine_hosts hosts;
	struct listing *listings; /* one per host */
	char now[CLOCK_TEXT];     /* that they belong to */
	json_t *variables;        /* container id -> {service, joined}: the environment never changes */
	struct store *store;
	bool unwritable;                 /* the store cannot be written: nothing more is noted in this run */
	char last[SERVICE_NAME_MAX + 1]; /* the service looked at last in this pass, */
	struct buf observed;             /* and what was seen */
};

/* One container of the service in hand. */
struct found {
	json_t *doc;
	const char *host;
	bool copy;
	bool service; /* no container but what an engine makes the service's containers from */
	int64_t created;
};

#define FOUND_MAX REPLICAS_MAX

/* listing.c: which containers there are, and of which service. */

/* Lists every host, all at a time, unless it was done for records of the same `now`; a host that does not answer is
 * noted in its listing. now "": always. -1: no host answered, so that nothing is known and nothing may be concluded. */
int list_hosts(struct inspect *in, const char *now, struct err *err);
void drop_listing(struct listing *l);
/* The service's containers, at most FOUND_MAX; each doc is the caller's. Of an engine that keeps the service itself
 * also that. */
int find_containers(struct inspect *in, const char *service, struct found *v, size_t *n, struct err *err);

/* observed.c: what is seen of one service. */

/* Fills in->observed with the member `observed` of the service, and in->last with its name. */
int look_at_service(struct inspect *in, const char *service, struct err *err);

/* unseen.c: what is known of hosts that do not answer. */

struct unseen {
	struct buf containers; /* elements of observed.containers, without the brackets */
	struct buf names;      /* theirs, each with its NUL */
	int64_t running;       /* of them, when they were seen last */
};
void init_unseen(struct unseen *u);
void release_unseen(struct unseen *u);

/* Keeps which containers the hosts that answered have. That it cannot be written is no error. */
void note_containers(struct inspect *in, const char *service, const struct found *v, size_t n);
void cannot_note(struct inspect *in, const struct err *why);
int read_unseen(struct inspect *in, const char *service, struct unseen *u, struct err *err);
bool unseen_has(const struct unseen *u, const char *name);

/* remembered.c: specifications in the store. */

struct remembered {
	struct inspect *in;
	const struct found *v;
	size_t n;
	const struct unseen *unseen;
	struct buf list;   /* elements of observed.remembered */
	struct buf newest; /* the template kept with the newest missing one */
	struct buf marks;  /* what is to be noted afterwards: a letter, name NUL, host NUL */
	int64_t now;       /* by the store */
	int64_t missing;
};
void init_remembered(struct remembered *m, struct inspect *in, const struct found *v, size_t n, const struct unseen *u);
void release_remembered(struct remembered *m);

int spec_of(struct inspect *in, const struct found *v, struct buf *out, struct err *err);
int remember_specs(struct inspect *in, const char *service, const struct found *v, size_t n, struct err *err);
int read_remembered(struct remembered *m, const char *service, struct err *err);

/* Opens the store at the first call. */
int need_store(struct inspect *in, struct err *err);

#endif
