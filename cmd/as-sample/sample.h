/* What the files of as-sample share.
 *
 * A record becomes a sampling: which metrics its policy asks for (asked.c), each taken by the source that its name
 * begins with, all at the same time, and written as the member `metrics`. A metric that could not be taken is a reading
 * that is not ok and has no value. Samplings of several records run at the same time, in tasks. */
#ifndef CMD_AS_SAMPLE_H
#define CMD_AS_SAMPLE_H

#include "cmd/front/front.h"
#include "engine/hosts.h"

#define METRIC_NAME 1024
#define METRICS_MAX 32 /* that one service may ask for */

/* Of what a value is one: the service's total, what each replica has on average, or one container's own. */
enum metric_per { PER_SERVICE, PER_REPLICA, PER_CONTAINER };

struct metric {
	char name[METRIC_NAME]; /* as in policy.target */
	/* A name written by a tenant (label, variable) may not reach what only the operator may name: see programs and
	 * files of autoscale.conf(5). */
	bool trusted;
};

struct reading {
	const char *name, *id; /* id: the container's, PER_CONTAINER only */
	enum metric_per per;
	const char *unit;   /* "connections", "1/s", "s", "%", "bytes", "" */
	const char *source; /* "lb:edge", "engine:host-1", "prometheus", "exec:NAME", "file:PATH" */
	int64_t micro;      /* the value in millionths */
	int64_t at;         /* ms UTC, when it was measured */
	const char *why;    /* NULL: it is good; else it has no value, and this is the reason */
};

struct balancers;  /* balancer.c */
struct prometheus; /* prometheus.c */

struct sampler {
	struct front f;
	struct engine_hosts hosts; /* and the tasks */
	struct balancers *balancers;
	struct prometheus *prometheus; /* NULL: none is configured */
	int64_t over_ms;               /* how long rates are measured */
	bool connections_only;         /* --connections: only what the choice of a victim needs */
};

struct sampling {
	struct sampler *s;
	struct record *r;
	char service[SERVICE_NAME_MAX + 1];
	struct jv policy, observed; /* policy: the record's, else made of the labels and variables of the template */
	struct buf labels_policy;   /* that one */
	int64_t now;                /* the record's */
	struct metric *asked;
	size_t nasked;
	struct buf *out; /* the member `metrics`, being written */
};

/* ---- as-sample.c ---- */

/* Adds a reading to the member. In any task of the sampling, in any order: the member is sorted at the end. */
void put_reading(struct sampling *m, const struct reading *reading);
/* The same for one that could not be taken: name, per and source are told, and err's message. */
void put_failure(struct sampling *m, const char *name, enum metric_per per, const char *source, const struct err *err);

/* ---- the sources: each takes one metric that was asked for (or, for the balancers, all of them at once) ---- */

/* balancer.c: lb.connections, lb.queue, lb.request_rate, lb.error_rate, lb.response_time of the load balancers that the
 * policy names, and each server's connections as PER_CONTAINER lb.connections. Nothing where it names none. */
int balancers_init(struct sampler *s, struct err *err);
void balancers_release(struct sampler *s);
void sample_balancers(struct sampling *m);

/* engine.c: docker.cpu, docker.memory. */
void sample_engine(struct sampling *m, const struct metric *metric);
/* prometheus.c: prometheus:QUERY. */
int prometheus_init(struct sampler *s, struct err *err);
void prometheus_release(struct sampler *s);
void sample_prometheus(struct sampling *m, const struct metric *metric);
/* program.c: exec:PROGRAM. */
void sample_program(struct sampling *m, const struct metric *metric);
/* file.c: file:PATH. */
void sample_file(struct sampling *m, const struct metric *metric);

/* reply.c: what programs and files print: a number, or {"value":N,"per":"service"|"replica","unit":"","at":TIME}.
 * INPUT: it is neither. per: of the metric, unless the text says it. */
struct reply {
	int64_t micro, at; /* at: TIME_NONE when it is not told */
	enum metric_per per;
	char unit[32];
};
int reply_parse(const char *text, size_t n, struct reply *out, struct err *err);
/* What stands behind the prefix of a name, and whether "replica:" stands before it. */
const char *metric_text(const struct metric *metric, const char *prefix, enum metric_per *per);
/* That text with the service's name for each $service. REFUSED: a name that would need quoting. */
int metric_expand(const struct sampling *m, const char *text, char *out, size_t size, struct err *err);

#endif
