/* HTTP/1.1 over libcurl for the engines and admin interfaces: one kept connection per struct http, no redirects, no
 * proxies, a limit on every wait and on every body. Not thread safe, and one call at a time: one struct http per
 * task. A kept connection
 * that the peer has closed is replaced, and the request sent again, when no byte of an answer had come. */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/buf.h"
#include "base/dial.h"
#include "base/err.h"
#include "base/tasks.h"

#include <stdbool.h>
#include <stdint.h>

struct http;

struct http_target {
	const char *unix_path;       /* a socket, or NULL for TCP */
	struct dial *dial;           /* what makes the connections instead; held; NULL: nothing, as usual */
	const char *base;            /* "http://localhost" or "https://10.0.0.5:2376": scheme, host and port, no path */
	const char *ca, *cert, *key; /* PEM files; with https the peer is always verified */
	/* Secrets that each request carries, RFC 7617 and RFC 6750: name and password, or a token; NULL: none. */
	const char *user, *password, *token;
	const char *name;         /* what messages call the peer: "host edge-1" */
	const char *hint;         /* what to look at when it cannot be reached: "is the engine running?"; may be NULL */
	const char *header;       /* a header of the answer to keep for http_header; may be NULL */
	bool certificate;         /* keep how long the peer's certificate is good, for http_certificate */
	long connect_ms, call_ms; /* 0: HTTP_CONNECT_MS, HTTP_CALL_MS */
	struct tasks *tasks;      /* a call from within a task suspends that task only; NULL: calls simply wait */
};

/* Copies the target. NULL: CONFIG (a path that cannot be a socket's), TEMPORARY (memory). */
struct http *http_new(const struct http_target *target, struct err *err);
void http_free(struct http *h);

/* One request. path begins with '/'. body NULL: none; else JSON of body_n bytes unless content_type says otherwise
 * (NULL: application/json). call_ms 0: the target's; a call that waits for a grace period passes more. The reply's
 * body replaces what is in *reply, whose max bounds it; *status gets the HTTP status, whichever it is. -1 only when
 * there is no complete answer: UNAVAILABLE (could not connect, cut, time limit: the outcome of a request that
 * changes something is then unknown), DENIED (permission, certificate), LIMIT (body). */
int http_call(struct http *h, const char *method, const char *path, const void *body, size_t body_n,
              const char *content_type, long call_ms, struct buf *reply, long *status, struct err *err);

/* What becomes of an answer's body when it is not kept. Called while the answer is being received: it makes no calls
 * and does not wait. -1 ends the call, with UNAVAILABLE unless err was set. */
typedef int (*http_data_fn)(void *ctx, const char *p, size_t n, struct err *err);

/* One request with a body from a function, an answer to a function, or both, for what is too long to hold. The limits
 * are: HTTP_CONNECT_MS until connected, and idle_ms without a single byte (0: none). Of an answer with another status
 * than 200 the body goes to *reply as in http_call. */
struct http_stream {
	http_data_fn data; /* NULL: the answer goes to *reply too */
	/* Fills p with 1 to n bytes of the request's body; 0: the end, -1: failed. NULL: no body. */
	long (*more)(void *ctx, char *p, size_t n);
	const char *content_type; /* with more */
	void *ctx;
	long idle_ms;
};
int http_stream(struct http *h, const char *method, const char *path, const char *const *headers,
                const struct http_stream *stream, struct buf *reply, long *status, struct err *err);
/* Ends the call that another task has in hand on h: UNAVAILABLE. */
void http_cancel(struct http *h);

/* The value of the target's header in the last answer; "" when there was none. */
const char *http_header(const struct http *h);
/* Until when the peer's certificate is good, ms UTC; TIME_NONE (clock.h): not known. */
int64_t http_certificate(const struct http *h);
const char *http_library(void); /* "libcurl/7.88.1 OpenSSL/3.0.11 ..." */

#endif
