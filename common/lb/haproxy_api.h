/* HAProxy's Runtime API on a unix socket: one connection, one command line, the answer up to the end of file. Source:
 * HAProxy Management Guide 9.3, "Unix Socket commands", and what 2.6.12 was seen to do. For the driver haproxy only.
 *
 * An answer is judged by its text: its level says "info" for success and for an unknown command alike. Messages
 * begin with the load balancer's name. No text that was not checked may get into a command: a `;` or a newline is the
 * beginning of a second one. */
#ifndef LB_HAPROXY_API_H
#define LB_HAPROXY_API_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/tasks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct haproxy_peer {
	const struct conf_lb *conf;
	struct tasks *tasks; /* only the calling task waits */
};

/* Sends one command line (printf form, without the newline) and puts the answer, which is not empty, in place of what
 * *answer held; its max bounds it. UNAVAILABLE: no connection within 2 s or no end of the answer within 10 s more;
 * what the command did is then unknown. DENIED: not allowed to connect. */
int haproxy_ask(const struct haproxy_peer *peer, struct buf *answer, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same to the master's socket (conf->master), whose answer may be empty. */
int haproxy_master(const struct haproxy_peer *peer, struct buf *answer, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool haproxy_says(const struct buf *answer, const char *text);

/* Sends a command that answers nothing when it did its work. `backend` is for the message. */
int haproxy_order(const struct haproxy_peer *peer, const char *backend, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Turns an answer that is not the hoped one into an error: NOT_FOUND for a backend or server, REFUSED when the
 * backend's balance rule forbids it, DENIED, else REMOTE with HAProxy's words. Returns -1. */
int haproxy_complain(const struct haproxy_peer *peer, const char *backend, const struct buf *answer, struct err *err);

/* Tables. Columns are found by the name in the header: their numbers differ between versions. */
#define HAPROXY_COLUMNS_MAX 320 /* `show stat` of 2.6 has 121 */

struct haproxy_table {
	struct buf text; /* cut into cells in place */
	char *next, sep;
	char *head[HAPROXY_COLUMNS_MAX], *cell[HAPROXY_COLUMNS_MAX];
	size_t nhead, ncell;
};

/* `show servers state BACKEND` and `show stat BACKEND 6 -1` (its backend and servers); NULL: of all. Release in any
 * case.
 */
int haproxy_servers(const struct haproxy_peer *peer, const char *backend, struct haproxy_table *t, struct err *err);
int haproxy_stats(const struct haproxy_peer *peer, const char *backend, struct haproxy_table *t, struct err *err);
/* The latter of a certain worker, by the master. */
int haproxy_stats_of(const struct haproxy_peer *peer, long worker, const char *backend, struct haproxy_table *t,
                     struct err *err);
int haproxy_backends_table(const struct haproxy_peer *peer, struct haproxy_table *t, struct err *err); /* all */
void haproxy_table_release(struct haproxy_table *t);

bool haproxy_row(struct haproxy_table *t); /* to the next row; false at the end */
/* Cells of the row: "" and `otherwise` when there is no such column or no whole number. */
const char *haproxy_cell(const struct haproxy_table *t, const char *column);
int64_t haproxy_number(const struct haproxy_table *t, const char *column, int64_t otherwise);

#endif
