/* The connection below the alert store in MongoDB: the address, limits, the server's clock, errors, and repeats after a
 * connection was cut. Only the files mongodb*.c include it.
 *
 * Repeats. A cut connection leaves it open whether a write was carried out. Each write that is sent through here is
 * therefore made so that carrying it out twice equals once (its filter names what it expects to find, and what it sets
 * makes that false), and is sent again at once, twice at most. `repeated` then tells the caller that the counts may be
 * too low: it looks for its own token before it answers. After a silence there is no repeat, so a call ends in time.
 * The client's own retryable writes are off: not every server that speaks the protocol honours them, and one way is
 * easier to be sure of than two. No transaction, session option, change stream, $expr, $$NOW or w:0 is used, for the
 * same reason.
 *
 * Every bson_t given to a function below is taken over by it (destroyed), also when it fails. */
#ifndef STORE_MODULES_MONGODB_LINK_H
#define STORE_MODULES_MONGODB_LINK_H

#include "base/err.h"
#include "store/url.h"

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stdint.h>

#define LINK_CONNECT_MS 2000 /* until a server has answered: to connect, to choose one */
#define LINK_CALL_MS 5000    /* one command */

struct link {
	struct url url;
	mongoc_uri_t *uri;
	mongoc_client_t *client; /* NULL: not connected, the next call connects */
	mongoc_collection_t *alerts;
	int64_t ahead;  /* the server's clock minus CLOCK_MONOTONIC, ms, */
	int64_t set_at; /* as of this CLOCK_MONOTONIC */
	int walks;      /* cursors that are open: a lost client is kept as long */
	bool lost;
};

/* Connects and makes the indexes. On failure nothing is left to close. Failures here and below: UNAVAILABLE (no server
 * answers, or it was cut; retry), TEMPORARY (the server says so; retry), DENIED, CONFIG, REMOTE (any other refusal). */
int link_open(struct link *l, const char *url, struct err *err);
void link_close(struct link *l);
/* ms UTC by the server's clock. It is asked again every half a minute by the calls below. */
int64_t link_now(const struct link *l);
/* The clock's half-minute check, and a new connection where there is none. */
int link_ready(struct link *l, struct err *err);

typedef int (*link_doc_fn)(void *ctx, const bson_t *doc, struct err *err);
/* Each document that matches. opts: as of mongoc_collection_find_with_opts; NULL: none. */
int link_find(struct link *l, bson_t *filter, bson_t *opts, link_doc_fn fn, void *ctx, struct err *err);
int link_count(struct link *l, bson_t *filter, int64_t *n, struct err *err);

/* CONFLICT: a unique index has it already; after a repeat this may be our own. */
int link_insert(struct link *l, bson_t *doc, bool *repeated, struct err *err);

struct link_update {
	bson_t *filter, *change;
};
/* One command with n updates, each of all that its filter matches. *matched: of all. */
int link_update_each(struct link *l, struct link_update *updates, size_t n, int64_t *matched, bool *repeated,
                     struct err *err);
int link_update_many(struct link *l, bson_t *filter, bson_t *change, int64_t *matched, bool *repeated, struct err *err);
int link_update_one(struct link *l, bson_t *filter, bson_t *change, int64_t *matched, bool *repeated, struct err *err);
int link_delete_many(struct link *l, bson_t *filter, int64_t *n, bool *repeated, struct err *err);

/* Members of a document: 0 or "" when it is not there or of another type. A text lives as long as the document. */
int64_t link_int(const bson_t *doc, const char *name);
const char *link_text(const bson_t *doc, const char *name);
const char *link_text_or_null(const bson_t *doc, const char *name);
/* Adds a text, or null for NULL. What is not UTF-8 in it becomes U+FFFD: BSON can hold no other. */
void link_put_text(bson_t *doc, const char *name, const char *text);

#endif
