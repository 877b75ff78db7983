/* What the files of the Envoy driver share. Envoy watches a folder: BACKEND.json there is the endpoints of the cluster
 * BACKEND (EDS), as-clusters.json the clusters that ensure made (CDS), as-routes.json the way to them (RDS). Its admin
 * listener says which version of each it uses.
 *
 * Source: https://www.envoyproxy.io/docs/envoy/latest/configuration/upstream/cluster_manager/cluster_stats and the API
 * reference beside it; what it really does was measured on 1.40. */
#ifndef LB_ENVOY_H
#define LB_ENVOY_H

#include "base/http.h"
#include "base/jv.h"
#include "lb/filed.h"

#define ENVOY_MARK "as-lb" /* under this name is what is ours in `metadata`, and each route of ours has it */
#define ENVOY_CLUSTERS "as-clusters.json"
#define ENVOY_ROUTES "as-routes.json"
#define ENVOY_VERSION 64

struct envoy_times;

struct lb {
	const struct conf_lb *conf;
	const struct lb_means *means;
	struct filed_folder folder;
	char path[PATH_MAX]; /* of the folder */
	char *admin;         /* "http://127.0.0.1:9901"; NULL: nobody says what Envoy does */
	struct envoy_known {
		char backend[LB_NAME];
		bool checks;
		int64_t at_ms;
	} known[16];       /* EDS clusters that Envoy was seen to have lately */
	unsigned known_at; /* the next to be replaced */
	struct buf before; /* stats of all clusters, from before a round; may be empty */
	int64_t before_ms; /* when they were asked for, */
	bool round;        /* and whether that is under way */
	struct {           /* the latest /clusters?format=json, shared by the tasks that wait for one */
		struct tasks_gate gate;
		struct buf text;
		struct jv statuses;
		unsigned long started; /* how many looks were begun, */
		unsigned long is;      /* which of them `text` is from; 0: none, */
		unsigned long failed;  /* and which failed last, with err */
		struct err err;
	} look;
	struct envoy_times *times;
};

/* ---- envoy_file.c: how a backend's file looks ---- */

extern const struct filed_kind envoy_kind;

/* The version_info of a document, as the stats will show it; "" when it has none. */
void envoy_version_of(const char *text, size_t n, char out[ENVOY_VERSION]);
/* A hash that tells one content from another: FNV-1a, as 16 digits. */
void envoy_hash(const char *text, size_t n, char out[17]);

/* ---- envoy_list.c: verbs of lb.h ---- */

#define ENVOY_REMOVAL "ignore_health_on_host_removal: true"

int envoy_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err);
int envoy_backends(struct lb *lb, struct lb_names *out, struct err *err);
int envoy_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err);

/* ---- envoy_check.c: a verb of lb.h ---- */

void envoy_check(struct lb *lb, const struct findings *to);

/* ---- envoy_api.c: what Envoy says ---- */

int envoy_admin(struct lb *lb, struct err *err); /* reads conf->admin */
#define ENVOY_OF_CLUSTERS                                                                                             \
	"/stats?filter=%5Ecluster%5C..*%5C.(version_text%7Cmembership_total%7Chealth_check%5C.attempt%7Cupdate_rejected%" \
	"7Cupdate_failure)$"
/* What to do about a cluster that Envoy does not have. NOT_FOUND. */
int envoy_no_cluster(const struct lb *lb, const char *backend, struct err *err);
int envoy_get(const struct lb *lb, const char *path, struct buf *reply, struct err *err);
/* The value of a line "NAME: VALUE" of /stats, without quotes. */
bool envoy_stat(const char *text, const char *name, char *out, size_t size);
int64_t envoy_count(const char *text, const char *name); /* -1: no such number */

enum envoy_cluster { ENVOY_NONE, ENVOY_OTHER, ENVOY_EDS };
/* What Envoy has under that name; *checks: it has health checks. The answer serves a round that begins soon, too. */
int envoy_cluster(struct lb *lb, const char *backend, enum envoy_cluster *is, bool *checks, struct err *err);

/* An endpoint as Envoy sees it. */
struct envoy_host {
	bool there;
	bool failed;   /* failed_active_health_check: also before the first check */
	bool unable;   /* gets no work for any reason, such as that */
	bool draining; /* its file says so */
	bool pending;  /* taken out of its file, but it passes health checks, and the cluster keeps it */
	int64_t active;
	char flags[128]; /* its health_status, for messages */
};
/* Looks at what Envoy has now, not earlier; several tasks that ask at the same time share one answer. */
int envoy_look(struct lb *lb, struct err *err);
/* From the last look, so without a wait in between. name NULL: any of that place. */
struct envoy_host envoy_host(const struct lb *lb, const char *backend, const char *name, const struct lb_server *at);
struct envoy_host envoy_host_of(struct jv host); /* one of envoy_hosts */
/* The hosts of a cluster, an array. */
struct jv envoy_hosts(const struct lb *lb, const char *backend);
/* Is it an endpoint of ours that Envoy keeps although it is out? Its name into out. */
bool envoy_pending(struct jv host, char out[LB_NAME]);

/* A file in the folder whose version Envoy must come to use. */
struct envoy_wait {
	const char *stats; /* prefix of its stats: "cluster.web." */
	const char *path;  /* within the folder */
	const char *what;  /* for messages: "cluster web" */
	char version[ENVOY_VERSION];
	int64_t rejected, failed; /* before the change; -1: not known, then those of the first look after it */
	bool done;
	struct err err;
};
/* Until each is used or refused; 0 also when one was refused, which its err says. */
int envoy_await(struct lb *lb, const char *filter, struct envoy_wait *waits, size_t n, struct err *err);

/* ---- envoy_take.c ---- */

int envoy_take(struct lb *lb, struct filed *const *files, size_t n, struct err *err);
int envoy_before(struct lb *lb, struct err *err);
void envoy_put_back(struct lb *lb, struct filed *const *files, size_t n);

/* ---- envoy_routes.c: the two files that all backends share ---- */

/* What backends want of Envoy, as their files say. */
struct envoy_app {
	char backend[LB_NAME];
	bool made;
	struct rule rule;
	char check[LB_CHECK];
};
struct envoy_apps {
	struct envoy_app *v;
	size_t n;
};
/* The bytes of the two files from those that are there (NUL terminated, "" for none), of which all that is not ours
 * stays. CONFIG: it is not understood. */
int envoy_render_clusters(const struct lb *lb, const struct envoy_apps *apps, const char *old, struct buf *out,
                          struct err *err);
int envoy_render_routes(const struct lb *lb, const struct envoy_apps *apps, const char *old, struct buf *out,
                        struct err *err);
/* Has one of the two anything of ours for the backend? Its own file may be gone: a run was killed between the two. */
bool envoy_mentioned(const struct lb *lb, const char *backend);
/* Adds the names of the clusters that are ours. */
int envoy_mentions(const struct lb *lb, struct lb_names *names, struct err *err);
const char *envoy_route_name(const struct lb *lb);

/* ---- envoy_stats.c: verbs of lb.h ---- */

int envoy_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err);
int envoy_load_of_all(struct lb *lb, struct lb_look *out, struct err *err);
void envoy_times_free(struct lb *lb);

#endif
