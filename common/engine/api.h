/* Requests to one engine that speaks Docker's HTTP API, for the drivers of this room: docker.c, swarm.c, events.c.
 * Any number of tasks may have a call in hand at the same time, each on a connection of its own, which is kept for the
 * next one.
 *
 *     struct exchange *x = api_call(a, err, "POST", NULL, 0, "/containers/%s/start", id);
 *     if (!x)
 *         return -1;                       (no complete answer: err says why)
 *     const bool already = x->status == 304;
 *     return api_good_done(x, already || x->status == 204, err);
 *
 * Source: https://docs.docker.com/engine/api/ */
#ifndef ENGINE_API_H
#define ENGINE_API_H

#include "base/conf.h"
#include "base/http.h"

#include <jansson.h>
#include <stdbool.h>

#define API_PATH 4096     /* bytes of a request's path */
#define API_NAME 772      /* a name of 256 bytes, each as %XX */
#define API_SAID 400      /* bytes of an engine's own words in a message */
#define API_MAKE_MS 30000 /* create copies files into volumes, start runs network drivers, remove waits for a kill */

struct api;

struct exchange {
	long status;      /* HTTP's */
	struct buf reply; /* the answer's body */
	struct api *api;
	struct lane *lane;
	struct http *http;
	struct exchange *next; /* of the free ones */
};

/* Connects lazily. CONFIG: the host's url. */
struct api *api_open(const struct conf_host *host, struct tasks *tasks, struct err *err);
void api_close(struct api *a);
const char *api_host(const struct api *a); /* its name, for messages */
/* The minor version that is spoken, 24 for API 1.24; asks the engine at first use. -1 and err. */
int api_version(struct api *a, struct err *err);
struct engine_about;
int api_about(struct api *a, struct engine_about *out, struct err *err); /* about.c */
int64_t api_certificate(const struct api *a);                            /* see engine_about; after a call */
void api_where(const struct api *a, char *out, size_t size);

/* One request; the path is in printf form after the version, its parts encoded by api_encode. body is borrowed JSON or
 * NULL; call_ms 0: the usual limit. NULL: no complete answer came. The answer's body is at most HTTP_BODY_MAX. */
struct exchange *api_call(struct api *a, struct err *err, const char *method, const json_t *body, long call_ms,
                          const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same for an answer of up to HTTP_LIST_MAX. */
struct exchange *api_list(struct api *a, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same over http_stream. headers: NULL, or "Name: value" lines and NULL. *hand, when hand is not NULL, holds the
 * exchange while the call lasts, for api_cancel by another task. */
struct exchange *api_stream(struct api *a, struct err *err, const char *method, const char *const *headers,
                            const struct http_stream *stream, struct exchange **hand, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
void api_cancel(struct exchange *hand); /* NULL is fine */
void api_done(struct exchange *x);      /* NULL is fine */

/* A value for a path or a query: what RFC 3986 calls unreserved stays, and what is in keep. -1: it does not fit. */
int api_encode(const char *s, const char *keep, char *out, size_t size);
/* The JSON of a body. New. REMOTE: it is none. */
int api_parse(const struct exchange *x, json_t **doc, struct err *err);
/* Both end the exchange; NULL (err is set) gives -1. The JSON of an answer of this status, new; a success or not. */
int api_json_done(struct exchange *x, long status, json_t **doc, struct err *err);
int api_good_done(struct exchange *x, bool good, struct err *err);
/* The engine's own words for a failure, in one line. */
void api_said(const struct exchange *x, char out[API_SAID]);
bool api_said_so(const struct exchange *x, const char *words);
/* -1, for a status that is no success: NOT_FOUND 404, CONFLICT 409, else REMOTE; retry for 500 and 503. */
int api_refused(const struct exchange *x, struct err *err);

#endif
