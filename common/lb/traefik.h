/* What the files of the Traefik driver share. Traefik reads a folder (its file provider) and tells through its API what
 * it made of it. One file per backend: a `weighted` service with the backend's name, and one child service per server,
 * so that each server has a name, a weight of its own (0: drained) and counters of its own.
 *
 * Source: https://doc.traefik.io/traefik/reference/; what it really does was measured on 3.7. */
#ifndef LB_TRAEFIK_H
#define LB_TRAEFIK_H

#include "base/http.h"
#include "base/jv.h"
#include "lb/filed.h"

#define TRAEFIK_MARK 48         /* see traefik_mark */
#define TRAEFIK_CHILD 128       /* BACKEND-as-0123456789ab@file */
#define TRAEFIK_SUFFIX "-as-lb" /* BACKEND-as-lb: the names of what else is in a backend's file */

struct traefik_total;

/* The table of connections that shows what is at work (traefik_idle.c), as it was last seen. */
struct traefik_view {
	struct tasks_gate gate;
	struct buf table;
	int64_t read_ms, sought_ms; /* when: 0: never */
	bool good, here;            /* it could be read; Traefik is on this machine */
};

struct lb {
	const struct conf_lb *conf;
	const struct lb_means *means;
	struct filed_folder folder; /* path NULL: Traefik's docker provider is all there is */
	char path[PATH_MAX];        /* of the folder */
	char temp[PATH_MAX];        /* see new_files */
	struct {
		char *base;   /* "http://127.0.0.1:8080"; NULL: there is no API to ask */
		char *prefix; /* of every path: "" or "/x" */
		char host[256];
		unsigned port;
	} admin;
	struct traefik_total *totals;
	struct traefik_view view;
};

/* ---- traefik_file.c: how a backend's file looks ---- */

extern const struct filed_kind traefik_kind;
/* From conf->folder, or config; none: folder.path stays NULL. */
int traefik_folder(struct lb *lb, struct err *err);

/* NAME of the child service of a server, without "@file". */
void traefik_child(const char *backend, const char *server, char out[TRAEFIK_CHILD]);
/* What the file's middleware BACKEND-as-lb holds, which does nothing but tell what was loaded: its version and a hash
 * of its services and router. "" for a file that has none. */
void traefik_mark(const struct buf *file, char out[TRAEFIK_MARK]);
int64_t traefik_weight(const struct lb_server *s); /* as the file has it */
void traefik_rule(const struct rule *rule, struct buf *out);
/* When a drained server's drain began, milliseconds since 1970, 0: unknown. Kept in `sessions`, for which a file has no
 * other use. */
int64_t traefik_drained_ms(const struct lb_server *s);

/* ---- traefik_api.c: what Traefik says ---- */

int traefik_admin(struct lb *lb, struct err *err); /* reads conf->admin */

/* One look at all that Traefik knows. Zero it before the first; the connection serves several looks. */
struct traefik_look {
	struct http *http;
	struct buf reply;
	struct jv routers, services, middlewares;
};
int traefik_look(const struct lb *lb, struct traefik_look *look, struct err *err);
/* REFUSED for a name that is not safe, or like that of a server. */
int traefik_check(const struct lb *lb, const char *backend, const char *server, struct err *err);
/* The file, or an empty one with `there` false when there is none but Traefik knows the backend: a router leads to it,
 * which waits for a service. Looks into *look when there is an API to ask. */
int traefik_find(struct lb *lb, const char *backend, struct filed *f, struct traefik_look *look, struct err *err);
/* GET, with its status 200; other answers are errors. */
int traefik_get(const struct lb *lb, struct traefik_look *look, const char *path, struct err *err);
void traefik_look_release(struct traefik_look *look);
struct jv traefik_object(struct jv objects, const char *name, const char *provider); /* absent: p is NULL */
bool traefik_enabled(struct jv object);
void traefik_complaint(struct jv object, char *out, size_t size); /* its errors, as text */
bool traefik_down(struct jv service, const char *url);            /* its health check says so */
void traefik_url(const struct lb_server *s, char *out, size_t size);

/* Does Traefik use this file as it is? 0; 1: not yet; -1: it is loaded, but something stands against it. */
int traefik_used(struct lb *lb, const struct traefik_look *look, const struct filed *f, struct err *err);
int traefik_take(struct lb *lb, struct filed *const *files, size_t n, struct err *err);
int traefik_before(struct lb *lb, struct err *err);
void traefik_put_back(struct lb *lb, struct filed *const *files, size_t n);
/* The mark of a backend's file that Traefik has loaded; "": none. */
void traefik_loaded(const struct traefik_look *look, const char *backend, char out[TRAEFIK_MARK]);
/* Is there a router that leads to it, or a service of that name? */
bool traefik_routed(const struct traefik_look *look, const char *backend, const char *provider);

/* ---- traefik_idle.c: is anything at work at a server? ---- */

/* How many connections to the server there are where Traefik is; -1: not known. As Traefik keeps none to our servers,
 * they are requests, and what others on that machine have there. */
int64_t traefik_connections(struct lb *lb, const struct lb_server *s);
/* The same of all servers of a look, by one reading; of all files' servers in the order of the look's. */
void traefik_connections_of(struct lb *lb, const struct filed *files, size_t n, struct lb_look *look);
/* Waits until the server has nothing to do, at most until `deadline` (monotonic); gives a note when that is not known,
 * and says `forced` when it is known that it still has. */
void traefik_await_idle(struct lb *lb, const struct lb_server *s, int64_t wait_ms, int64_t deadline,
                        struct lb_result *result);

/* ---- traefik_check.c: a verb of lb.h ---- */

void traefik_check_all(struct lb *lb, const struct findings *to);

/* ---- traefik_load.c: verbs of lb.h ---- */

int traefik_load(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err);
int traefik_load_of_all(struct lb *lb, struct lb_look *out, struct err *err);

/* ---- traefik_metrics.c ---- */

/* One line of the text format of Prometheus: a sample of this name. labels: what stands between { and }. */
struct traefik_sample {
	const char *labels;
	size_t labels_n;
	double value;
};
/* The next sample of a metric from *at on; false: no more. Skips what is not a finite number. */
bool traefik_sample(const char **at, const char *metric, struct traefik_sample *out);
/* A label's value, with its escapes resolved; "" when there is none. */
void traefik_label(const struct traefik_sample *s, const char *name, char *out, size_t size);
/* Counts what a text tells of all backends, each as the sum over its servers; then the sums of one. */
int traefik_count(struct lb *lb, const char *text, struct err *err);
int traefik_counted(struct lb *lb, const char *backend, struct lb_stats *out, struct err *err);
/* Servers that their health check found down are so in the look, which is sorted. */
void traefik_mark_down(const struct lb *lb, const char *text, struct lb_look *look);
/* Both for one backend. */
int traefik_counters(struct lb *lb, const char *text, const char *backend, struct lb_stats *out, struct err *err);
void traefik_totals_free(struct lb *lb);

/* ---- traefik_docker.c: servers that Traefik's docker provider finds by itself ---- */

extern const struct lb_driver traefik_docker; /* its verbs take the same struct lb; it has no open and no close */

#endif
