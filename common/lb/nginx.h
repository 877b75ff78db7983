/* What the files of the nginx driver share. nginx reads a folder of files that its configuration includes:
 *
 *   as-BACKEND.conf   the upstream of a backend, with a line per server, and in comments what nginx has no word for
 *   as-_gen.conf      a number, which nginx serves at /as-gen: the proof of what it has loaded
 *   as-_routes.conf   servers for the rules of all backends
 *
 * ("_" begins no backend's name.) A change is a file replaced, `nginx -t`, and SIGHUP to its master process: new
 * worker processes take over, the old ones finish their requests and end.
 *
 * Sources: https://nginx.org/en/docs/control.html, http/ngx_http_upstream_module.html; the rest was measured on 1.22.
 */
#ifndef LB_NGINX_H
#define LB_NGINX_H

#include "lb/filed.h"

#include <sys/types.h>

#define NGINX_GEN "_gen"
#define NGINX_ROUTES "_routes"
#define NGINX_TEXT 300 /* of what nginx says, in a message */

struct nginx_log;

/* A worker process, and the clock tick at which it began, so that its number is never taken for another's. */
struct nginx_worker {
	pid_t pid;
	unsigned long long start;
};

/* Those that served before a reload. */
struct nginx_workers {
	struct nginx_worker *v;
	size_t n;
	bool known; /* else they cannot be seen from here */
};

struct lb {
	const struct conf_lb *conf;
	const struct lb_means *means;
	struct filed_folder folder;
	char path[PATH_MAX];  /* of the folder */
	const char *main;     /* nginx's own configuration, `config`; NULL: where nginx looks by itself */
	char base[300];       /* of admin; "": none */
	unsigned long rounds; /* how often nginx was made to load something */
	int64_t reload_ms;    /* monotonic, of the latest; 0: none */
	struct nginx_workers old;
	bool unproven;                  /* the latest reload had no other proof than the processes; or, */
	bool blind;                     /* not even that */
	struct buf old_gen, old_routes; /* of the round in hand, for the way back */
	bool reloaded;                  /* in the round in hand */
	int64_t *probing;               /* when attaches in hand began to ask their servers */
	size_t nprobing;
	struct nginx_log *log;
};

/* ---- nginx_words.c: words of nginx's language ---- */

enum nginx_kind { NGINX_WORD, NGINX_END, NGINX_OPEN, NGINX_CLOSE, NGINX_COMMENT, NGINX_EOF, NGINX_BAD };

struct nginx_words {
	const char *p;     /* what comes next */
	const char *begin; /* of what nginx_next gave */
	char word[1024];   /* without its quotes; a comment without `#`; cut when longer */
};
enum nginx_kind nginx_next(struct nginx_words *w);

/* ---- nginx_text.c: the files, no I/O ---- */

int nginx_parse(struct lb *lb, const char *text, struct filed *f, struct err *err);
/* Statements of the upstream that are not ours (`least_conn;`) stay: they are taken from f->old. */
int nginx_render(struct lb *lb, const struct filed *f, struct buf *out, struct err *err);
/* The number of a `map "" $as_gen`, -1: there is none; *begin and *end: where it stands. */
int64_t nginx_map(const char *text, const char **begin, const char **end);
uint64_t nginx_digest(uint64_t hash, const char *text); /* of all but comments; begins with 0 */

/* ---- nginx_routes.c ---- */

/* The servers for all rules. Two backends with the same way: the first keeps it, and refuse(ctx, ...) is told. theirs:
 * the operator has the default server of that listen; else it is one of these. */
typedef void (*nginx_refuse)(void *ctx, const struct filed *loser, const struct filed *owner,
                             const struct rule_way *way);
int nginx_routes(const struct filed *const *files, size_t n, const char *listen, bool theirs, nginx_refuse refuse,
                 void *ctx, struct buf *out, struct err *err);

/* ---- nginx_operator.c: what the operator's configuration says ---- */

struct nginx_operator {
	bool read;          /* the main configuration was found */
	bool included;      /* our folder is, within http { } */
	char pid[PATH_MAX]; /* "": not said */
	bool listens, is_default;
	char listener[PATH_MAX]; /* the file of a server that listens where ours will */
};
void nginx_look(const struct lb *lb, struct nginx_operator *out);
bool nginx_listen(const char *value, char out[64]); /* ADDRESS:PORT; false: nothing that may be a listen of ours */

/* ---- nginx_process.c: the master, its workers, its test ---- */

int nginx_test(struct lb *lb, char *said, size_t size, struct err *err); /* 0 good, 1 no: *said; -1 */
int nginx_hup(struct lb *lb, struct err *err);
void nginx_workers_find(struct lb *lb, struct nginx_workers *out, bool ending_only);
/* How many of them live; `serving`: only those that still accept connections. -1: cannot be seen. */
int nginx_workers_left(struct lb *lb, struct nginx_workers *w, bool serving);
/* Do some serve that were there before that file was written, and so have not read it? */
bool nginx_workers_older(struct lb *lb, const struct stat *than);
void nginx_workers_release(struct nginx_workers *w);

int nginx_may_signal(struct lb *lb, struct err *err); /* would nginx_hup be let? */

/* ---- nginx_folder.c: the files that are no backend's, and all together ---- */

struct nginx_gen {
	int64_t number;  /* -1: none */
	uint64_t digest; /* of what the folder had then */
	bool there;
	struct stat st;
	struct buf text;
};

struct nginx_refusal {
	struct lb *lb;
	struct filed *const *files; /* of the round */
	size_t n;
};

void nginx_path(const struct lb *lb, const char *name, bool temp, char out[PATH_MAX + 128]);
int nginx_gen_read(const struct lb *lb, struct nginx_gen *g, struct err *err); /* release its text */
int nginx_gen_write(struct lb *lb, int64_t number, uint64_t digest, struct err *err);
int nginx_digest_of(struct lb *lb, uint64_t *digest, struct err *err);
int nginx_settle(struct lb *lb, struct err *err);
int nginx_routes_write(struct lb *lb, const struct nginx_refusal *r, struct err *err);
int nginx_restore(struct lb *lb, const char *name, const struct buf *text, struct err *err);

/* ---- nginx_reload.c: the folder as a whole, and nginx's word for it ---- */

extern const struct filed_kind nginx_kind;
/* GET of a path of admin: its body. */
int nginx_ask(const struct lb *lb, const char *path, struct buf *reply, struct err *err);
int nginx_used(struct lb *lb, struct err *err); /* 0: nginx uses what is written; CONFLICT */

/* ---- nginx_check.c: a verb of lb.h ---- */

void nginx_check(struct lb *lb, const struct findings *to);

/* ---- nginx_load.c: verbs of lb.h ---- */

int nginx_load(struct lb *lb, const char *backend, struct lb_stats *stats, struct err *err);
int nginx_load_of_all(struct lb *lb, struct lb_look *out, struct err *err);

/* ---- nginx_log.c ---- */

/* Reads on in the log once; what the backends of these files had, into *out[i] of each. Nothing when there is no log.
 */
int nginx_counters(struct lb *lb, const struct filed *files, size_t n, struct lb_stats *const *out, struct err *err);
void nginx_log_free(struct nginx_log *log);

#endif
