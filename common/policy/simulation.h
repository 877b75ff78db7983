/* What the files behind simulate.h share: one service as it would have been.
 *
 * simulate.c: one record, decided as it is or as it would have been; simulate_story.c: what the two plans, the recorded
 * and the new one, did; simulate_scene.c: the containers as they would have been; simulate_load.c: the load on them;
 * simulate_past.c: the past that a decision reads. */
#ifndef POLICY_SIMULATION_H
#define POLICY_SIMULATION_H

#include "policy/decision.h"
#include "policy/simulate.h"

#define SIM_KEPT_MS (24 * 60 * 60 * 1000) /* no window and no rate looks back further */
#define SIM_KEPT (1u << 20)               /* bytes of each list */

struct sim_want { /* what some record wanted, before windows and limits */
	int64_t at, want;
};

struct sim_move {
	int64_t at, from, to;
	bool out, in; /* which of the cooldowns it begins; a repair is outward */
};

struct sim_copy { /* a container that is there in the simulation only */
	char name[NAME], host[NAME];
	int64_t index, created;
};

struct sim_mark { /* a repair that was done in one of the two pasts only */
	char name[NAME], host[NAME];
	enum { SIM_UP, SIM_DOWN, SIM_HEALED } kind;
	bool made; /* again, after it was deleted */
	bool seen; /* DOWN: the record's own past shows it running */
};

struct sim_effect { /* what a recorded plan did, until the records show it */
	int64_t end, generation, moved;
};

struct sim_repair {
	int64_t at;
	bool made;
	char name[NAME];
};

struct sim_service {
	char service[SERVICE_NAME_MAX + 1];
	struct sim_service *next;
	int64_t seen;              /* the latest `now` */
	bool diverged, strayed;    /* in what was done; in what was wanted */
	int64_t since;             /* when it diverged, */
	int64_t strayed_at;        /* and when it strayed */
	int64_t delta;             /* simulated count minus recorded count, but for what marks say */
	int64_t generation;        /* that the simulated past shows */
	int64_t last_out, last_in; /* before the first of moves */
	int64_t acted_at, acts;    /* plans of one `now`, the last */
	struct buf wants;          /* struct sim_want each, oldest first */
	struct buf moves;          /* struct sim_move */
	struct buf copies;         /* struct sim_copy */
	struct buf marks;          /* struct sim_mark */
	struct buf effects;        /* struct sim_effect */
	struct buf repairs;        /* struct sim_repair */
};

/* What was decided, read once: of the record and of the simulation. */
struct sim_plan {
	struct jv plan;
	bool told;    /* there is one, and it is known what came of it */
	bool repair;  /* start, recreate */
	bool acted;   /* it did what it says */
	bool resumed; /* the store put an unfinished one in its place */
	int64_t from, to, moved;
};

/* The record as the simulated service would have shown it. */
struct scene {
	struct decide_input in;
	int64_t recorded;  /* containers that count, as observed */
	int64_t under_way; /* what recorded plans add to that, which the record cannot show yet */
	int64_t count;     /* the same in the simulation */
	struct buf observed, metrics, history;
	struct buf gone; /* struct jv: ids of containers that are not there in the simulation */
	struct buf came; /* struct sim_copy */
};

/* ---- lists of one kind of thing ---- */

#define SIM_COUNT(b, type) ((b)->n / sizeof(type))
#define SIM_AT(b, type, i) (((type *)(void *)(b)->p) + (i))
void sim_drop(struct buf *list, size_t size, size_t i);

/* ---- simulate_story.c ---- */

struct sim_plan sim_recorded(const struct simulate_record *r, int64_t observed);
/* Notes what the new plan does, and whether the service goes its own way from here. */
void sim_note(struct sim_service *s, const struct simulate_record *r, const struct sim_plan *recorded,
              struct sim_plan *decided);
/* What recorded plans do that this record cannot show yet. */
int64_t sim_under_way(struct sim_service *s, const struct decide_input *in);
/* Forgets what is too old to matter. */
void sim_prune(struct sim_service *s, int64_t now);

/* ---- simulate_scene.c ---- */

/* Containers that count, as observed. */
int64_t sim_observed(const struct decide_input *in);
void scene_containers(struct scene *scene, struct sim_service *s, const struct decide_input *in);
bool sim_running(struct jv c); /* does it count? */

/* ---- simulate_load.c ---- */

/* A value per replica times the count is the load, and the load stays. */
void scene_metrics(struct scene *scene, struct jv metrics);
void sim_put_micro(struct buf *out, int64_t micro);

/* ---- simulate_past.c ---- */

void scene_history(struct scene *scene, struct sim_service *s, struct jv history);
/* Does this replay know of wants from before the first that the record's history shows? */
bool sim_knows_more(const struct sim_service *s, const struct decide_input *in);
int64_t sim_past(const struct sim_service *s, bool out, int64_t before); /* last_out, last_in; TIME_NONE */

#endif
