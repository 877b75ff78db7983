/* HAProxy's own configuration as far as the toolkit writes it, so that a restart or reload finds what was attached at
 * run time, and routes and backends that ensure makes:
 *
 *     frontend fe
 *         # as-lb rules begin
 *         use_backend web if { hdr(host),field(1,:) -i a.example }
 *         # as-lb rules end
 *     # as-lb backends begin
 *     backend web
 *         mode http
 *         balance roundrobin
 *         # as-lb begin web
 *         server as-0123456789ab 127.0.0.1:19001 check inter 200ms rise 1 fall 3 weight 100 pool-max-conn 0
 *         # as-lb end web
 *     # as-lb backends end
 *
 * Only between such markers lines are changed, and only those of the forms above; missing markers are added as lines of
 * their own. Every other byte of the file stays. For the driver haproxy only. */
#ifndef LB_HAPROXY_CONFIG_H
#define LB_HAPROXY_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "lb/file.h"
#include "lb/lb.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct haproxy_config {
	struct tasks *tasks;
	char file[PATH_MAX]; /* symbolic links followed: the rename must not replace one */
	int lock;            /* FILE.lock, -1 when not held */
	struct stat st;      /* of the file that was read */
	struct buf old;      /* its bytes */
	struct buf text;     /* the same with the changes */
};

/* Takes the lock (flock on FILE.lock, waits at most 10 s) and reads the file. What the caller then asks the load
 * balancer is as new as anybody's who wrote before. Close it whatever the result. */
int haproxy_config_open(struct haproxy_config *c, struct tasks *tasks, const char *path, struct err *err);
/* Reads it without the lock: for a look. */
int haproxy_config_read(struct haproxy_config *c, const char *path, struct err *err);
void haproxy_config_close(struct haproxy_config *c);

/* Makes the lines of servers and slots of the backend's block these (n of them, without indentation and newline); other
 * lines of the block come first, in their order. 0; 1 when the backend has no block, which is made with `add`; -1:
 * CONFIG when its markers do not make a block inside its section, or it has no section to make one in. */
int haproxy_config_servers(struct haproxy_config *c, const char *backend, char *const *lines, size_t n, bool add,
                           struct err *err);

/* The slots that blocks name, in the order of the file. Give *v to free(3) whatever the result. */
struct haproxy_slot {
	char backend[LB_NAME], slot[LB_NAME], name[LB_NAME];
};
int haproxy_config_slots(const struct haproxy_config *c, struct haproxy_slot **v, size_t *n, struct err *err);

bool haproxy_config_changed(const struct haproxy_config *c);
/* Puts the new text in the place of the file, synced, with its mode and owner; nothing when it is unchanged. REFUSED
 * when `haproxy -c` finds it bad; where there is no haproxy program it is written unchecked. TEMPORARY when somebody
 * without our lock, such as an editor, wrote the file meanwhile. */
int haproxy_config_commit(struct haproxy_config *c, struct err *err);
/* After a commit: the old bytes again, unchecked. */
int haproxy_config_put_back(struct haproxy_config *c, struct err *err);
/* Could it be written? A file beside it is made and removed. */
int haproxy_config_try(const struct haproxy_config *c, struct err *err);
/* Does `haproxy -c` take the file as it is on disk? */
int haproxy_config_check(const struct haproxy_config *c, struct err *err);

/* A file beside it says that HAProxy may not have loaded what is written. It is made before the rename and removed when
 * the load is proven, so that a run that was killed in between leaves it. */
bool haproxy_config_pending(const struct haproxy_config *c);
int haproxy_config_set_pending(const struct haproxy_config *c, bool pending, struct err *err);

/* ---- for what is written: lines and sections ---- */

/* One line of the text: [at, at + n) without its newline, [word, word + nword) without white space around it. */
struct haproxy_line {
	const char *at, *word;
	size_t n, nword;
};

bool haproxy_next_line(const char **at, const char *end, struct haproxy_line *l);
/* Does the line begin with these words? "": any second one. */
bool haproxy_begins(const struct haproxy_line *l, const char *first, const char *second);
bool haproxy_is_line(const struct haproxy_line *l, const char *text); /* but for white space around it */

struct haproxy_section {
	size_t head, from, to; /* its first line, what is behind that line, and where lines may be added */
	char name[128];
	char indent[32]; /* the white space before its lines */
};

/* Walks over the sections: *at is 0 at first. Only those of this kind ("frontend"; NULL: backend or listen) and name
 * (NULL: any). */
bool haproxy_next_section(const struct haproxy_config *c, const char *kind, const char *name, size_t *at,
                          struct haproxy_section *s);
/* Replaces the bytes from `from` to `to`. */
void haproxy_splice(struct haproxy_config *c, size_t from, size_t to, const char *p, size_t n);

/* ---- haproxy_rules.c: routes and the backends that ensure makes ---- */

/* `frontend`: where routes are added; NULL: the only one. `running`: HAProxy has the backend, whatever the file says.
 * CONFIG: no such frontend, or several; CONFLICT: another backend has one of the ways. */
int haproxy_config_ensure(struct haproxy_config *c, const char *frontend, const char *backend,
                          const struct lb_route *route, bool running, struct err *err);
int haproxy_config_forget(struct haproxy_config *c, const char *frontend, const char *backend, struct err *err);
int haproxy_config_made(const struct haproxy_config *c, struct lb_names *out, struct err *err);

#endif
