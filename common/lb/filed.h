/* Load balancers that read their servers from files: one file per backend in a folder, each wholly ours. For the
 * drivers nginx, traefik and envoy, which say how such a file looks and how the load balancer is made to take it.
 *
 * Changes that several tasks want at about the same time are carried out in one round: one lock, each file written
 * once, one reload. A round that the load balancer does not take is undone: the old bytes are put back. A run that
 * was killed in the middle leaves whole files; the next round finds that what is written is not what is used, and has
 * it taken. */
#ifndef LB_FILED_H
#define LB_FILED_H

#include "lb/file.h"
#include "lb/lb.h"

/* One backend's file. */
struct filed {
	char backend[LB_NAME];
	bool there;           /* the file exists */
	bool made;            /* by ensure, not by the operator: it may go with its last server */
	int64_t version;      /* counts the changes; a driver shows it to the load balancer and asks it back */
	struct lb_list list;  /* sorted by name; state is LB_UP or LB_DRAIN */
	struct rule rule;     /* n 0: none */
	char check[LB_CHECK]; /* of ensure */
	bool gone;            /* for `take`: the file was removed, or was never there */
	bool changed;         /* for `take`: in this round */
	/* Set by `take`: this one was refused; its file is put back. */
	struct err err;
	/* Private. */
	struct buf old, text; /* the bytes before and after */
	struct stat st;
	struct filed *next;
};

struct filed_kind {
	const char *prefix, *suffix; /* the file of web is PREFIXwebSUFFIX */
	const char *const *reserved; /* names that no backend may have, NULL ends them; may be NULL */
	/* The text of a file, NUL terminated, into *f (all but backend, there and what is private). CONFIG: it is not as
	 * `render` writes it. Servers with lb_filed_add. */
	int (*parse)(struct lb *lb, const char *text, struct filed *f, struct err *err);
	/* f->backend, version, list, rule, check, made -> text. */
	int (*render)(struct lb *lb, const struct filed *f, struct buf *out, struct err *err);
	/* Asked before anything is changed: would the load balancer take what is there now? The message blames whose file
	 * it is. NULL: no such question. */
	int (*before)(struct lb *lb, struct err *err);
	/* The files (n of them, changed or not) are in place: makes the load balancer use them if it does not yet, and
	 * returns when it says that it does. -1: none is used; or 0 with f->err set in those that are not. */
	int (*take)(struct lb *lb, struct filed *const *files, size_t n, struct err *err);
	/* Some files were put back as they were before. NULL: nothing is to be done. */
	void (*put_back)(struct lb *lb, struct filed *const *files, size_t n);
};

/* One folder, in a driver's struct lb. */
struct filed_folder {
	/* Set by lb_filed_open's caller. */
	struct lb *lb;
	const struct conf_lb *conf;
	struct tasks *tasks;
	const struct filed_kind *kind;
	const char *path;  /* no slash at its end */
	int64_t gather_ms; /* a round waits so long for others that want something too; 0: none */
	const char *temp;  /* what the paths of new files begin with until they are renamed; NULL: hidden, in the folder */
	/* Private. */
	struct tasks_gate gate;
	struct filed_change *waiting;
};

enum filed_do {
	FILED_PUT,    /* server: added, or its address, weight and state made these */
	FILED_DRAIN,  /* name: to LB_DRAIN; not there: already */
	FILED_TAKE,   /* name: taken out; not there: already */
	FILED_ENSURE, /* route: the file exists and has this route; the check only of a file that ensure made */
	FILED_FORGET, /* the route goes, and the file, if ensure made it; CONFLICT when it lists a server */
};

struct filed_change {
	/* in */
	enum filed_do what;
	const char *backend, *name;
	const struct lb_server *server;
	const struct lb_route *route;
	bool may_create; /* FILED_PUT makes a file that is missing; else NOT_FOUND */
	/* out */
	bool already;
	struct lb_server was; /* of DRAIN and TAKE: the entry before; name "" when there was none */
	/* Private. */
	bool done;
	struct err err;
	struct filed_change *next;
};

/* What `folder` says, or `config`, without slashes at its end. 1; 0: neither says anything; -1, CONFIG: it is no
 * folder. */
int lb_filed_path(const struct conf_lb *conf, char out[PATH_MAX], struct err *err);

/* Carries out the change, in a round with those of other tasks; returns when the load balancer uses it. */
int lb_filed_change(struct filed_folder *folder, struct filed_change *change, struct err *err);
/* Reads one backend's file as it is now. NOT_FOUND. Release with lb_filed_release. */
int lb_filed_read(struct filed_folder *folder, const char *backend, struct filed *f, struct err *err);
void lb_filed_release(struct filed *f);
/* Has it an entry of ours, or something that ensure made? */
bool lb_filed_is_ours(const struct filed *f);
/* The backends that have a file in the folder. */
int lb_filed_backends(struct filed_folder *folder, struct lb_names *out, struct err *err);
/* All backends' files, but those that are not as we write them. */
int lb_filed_all(struct filed_folder *folder, struct filed **files, size_t *n, struct err *err);
void lb_filed_free_all(struct filed *files, size_t n);
/* A look with these backends and their servers, in this order; of their load nothing is known. */
int lb_filed_look(const struct filed *files, size_t n, struct lb_look *out, struct err *err);
/* The verb `agree`: a round that changes nothing. */
int lb_filed_agree(struct filed_folder *folder, const char *backend, struct err *err);
/* For `check`: could a backend's file be written? A file that nobody reads is made and removed. Tells it. */
void lb_filed_try(const struct filed_folder *folder, const struct findings *to);
int lb_filed_add(struct filed *f, const struct lb_server *server, struct err *err);

#endif
