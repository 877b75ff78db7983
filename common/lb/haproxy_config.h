/* The server lines that the toolkit keeps in HAProxy's own configuration, so that a restart or reload finds what was
 * attached at run time:
 *
 *     backend web
 *         # as-lb begin web
 *         server as-0123456789ab 127.0.0.1:19001 check inter 200ms rise 1 fall 3 weight 100
 *         # as-lb end web
 *
 * Between the markers only lines `server as-XXXXXXXXXXXX ...` are ours; every other byte of the file stays. Nobody
 * is told to reload. Used by haproxy.c only. */
#ifndef LB_HAPROXY_CONFIG_H
#define LB_HAPROXY_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "lb/file.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct haproxy_config {
	struct tasks *tasks;
	char file[PATH_MAX]; /* symbolic links followed: the rename must not replace one */
	int lock;            /* FILE.lock, -1 when not held */
	struct stat st;      /* of the file that was read */
	struct buf text;
	bool marked;            /* it has markers for the backend */
	size_t from, to;        /* the bytes between the marker lines */
	size_t indent, nindent; /* the white space before the first marker */
};

/* Takes the lock (flock on FILE.lock, waits at most 10 s) and reads the file. What the caller then asks the load
 * balancer is as new as anybody's who wrote before. `marked` is false when the backend has no markers; CONFIG when
 * they do not make a block inside that backend's section. Close it whatever the result. */
int haproxy_config_open(struct haproxy_config *c, struct tasks *tasks, const char *path, const char *backend,
                        struct err *err);

/* Makes the server lines of the block these (n of them, without indentation and newline) and puts the new file in
 * the place of the old one, synced, with its mode and owner. Nothing happens when they are these already. REFUSED when
 * `haproxy -c` finds the new file bad; where there is no haproxy program the file is written unchecked. TEMPORARY when
 * somebody without our lock, such as an editor, wrote the file meanwhile. */
int haproxy_config_write(const struct haproxy_config *c, char *const *lines, size_t n, struct err *err);

void haproxy_config_close(struct haproxy_config *c);

#endif
