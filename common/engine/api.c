#include "engine/api.h"

#include "base/clock.h"
#include "base/limits.h"
#include "engine/doc.h"
#include "engine/where.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define API_OLDEST 24 /* 1.24: Docker 1.12 */
#define API_NEWEST 47 /* 1.47: Docker 27; newer engines speak it too */
#define AT_ONCE 8     /* short calls in hand, and so connections; whoever makes longer ones bounds them */
/* The same where each connection is a program: one login serves all short calls; an SSH server begins to refuse those
 * who are not let in yet at 10 (MaxStartups, sshd_config(5)). */
#define DIALS_SHORT 1
#define DIALS_LONG 8

/* Exchanges, each with a connection while it is used. */
struct lane {
	struct dial *dial;      /* NULL: the target's own way */
	struct tasks_gate gate; /* for those that are counted */
	struct exchange *free;
};

struct api {
	const char *name; /* of the host */
	struct where where;
	struct tasks *tasks;
	/* Only where a connection is a program are the longer calls apart: they would take the connection, and the next
	 * short call would need a login. */
	struct lane quick, slow;
	int version; /* minor version that the calls speak; 0: not negotiated */
	int64_t certificate;
};

static struct lane *lane_of(struct api *a, bool slow) { return slow && a->slow.dial ? &a->slow : &a->quick; }

static struct exchange *new_exchange(struct api *a, struct lane *lane, struct err *err)
{
	struct exchange *x = calloc(1, sizeof *x);
	char peer[300];

	(void)snprintf(peer, sizeof peer, "host %.256s", a->name);
	a->where.target.name = peer;
	a->where.target.dial = lane->dial;
	if (!x)
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	else if (!(x->http = http_new(&a->where.target, err))) {
		free(x);
		x = NULL;
	}
	a->where.target.name = NULL;
	if (!x)
		return NULL;
	x->api = a;
	x->lane = lane;
	return x;
}

struct api *api_open(const struct conf_host *host, struct tasks *tasks, struct err *err)
{
	struct api *a = calloc(1, sizeof *a);

	if (!a) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	a->name = host->name;
	a->tasks = tasks;
	a->quick.gate.width = AT_ONCE;
	if (where_find(host, &a->where, err) < 0)
		goto bad;
	a->where.target.hint = "is the engine running? is its url, or DOCKER_HOST, right?";
	a->where.target.header = "Api-Version";
	a->where.target.certificate = true;
	a->certificate = TIME_NONE;
	a->where.target.tasks = tasks;
	if (a->where.argv[0]) {
		a->quick.gate.width = DIALS_SHORT;
		a->slow.gate.width = DIALS_LONG;
		if (!(a->quick.dial = dial_new(a->where.argv, 0, err)) || !(a->slow.dial = dial_new(a->where.argv, 1, err)))
			goto bad;
	}
	/* The first connection is made here, so that a target which cannot be is found out. */
	if ((a->quick.free = new_exchange(a, &a->quick, err)))
		return a;
bad:
	api_close(a);
	return NULL;
}

static void empty(struct lane *lane)
{
	for (struct exchange *x = lane->free, *next; x; x = next) {
		next = x->next;
		http_free(x->http);
		buf_release(&x->reply);
		free(x);
	}
	dial_free(lane->dial);
}

void api_close(struct api *a)
{
	if (!a)
		return;
	empty(&a->quick);
	empty(&a->slow);
	free(a);
}

const char *api_host(const struct api *a) { return a->name; }
int64_t api_certificate(const struct api *a) { return a->certificate; }

void api_where(const struct api *a, char *out, size_t size)
{
	const struct where *w = &a->where;

	if (w->argv[0])
		(void)snprintf(out, size, "ssh, %s", w->machine);
	else
		(void)snprintf(out, size, "%s", w->target.unix_path ? w->target.unix_path : w->target.base);
}

/* ---- exchanges ---- */

static struct exchange *take(struct api *a, bool slow, struct err *err)
{
	struct lane *lane = lane_of(a, slow);
	struct exchange *x = lane->free;

	if (x)
		lane->free = x->next;
	else
		x = new_exchange(a, lane, err);
	if (!x)
		return NULL;
	x->status = 0;
	x->next = NULL;
	x->reply.max = HTTP_BODY_MAX;
	return x;
}

void api_done(struct exchange *x)
{
	if (!x)
		return;
	if (x->reply.max > HTTP_BODY_MAX) /* a long list is not kept */
		buf_release(&x->reply);
	x->next = x->lane->free;
	x->lane->free = x;
}

static int negotiate(struct api *a, struct exchange *x, struct err *err)
{
	int major = 0, minor = 0;
	char more;

	if (http_call(x->http, "GET", "/_ping", NULL, 0, NULL, 0, &x->reply, &x->status, err) < 0)
		return -1;
	if (x->status == 400 && api_said_so(x, "HTTPS server"))
		return err_set(
			err, ERR_DENIED,
			"host %s: %s speaks TLS on this port (give cert_path, or DOCKER_TLS_VERIFY and DOCKER_CERT_PATH)", a->name,
			a->where.target.base);
	if (x->status != 200)
		return api_refused(x, err);
	const char *version = http_header(x->http);
	if (sscanf(version, "%4d.%4d%c", &major, &minor, &more) != 2 || major < 1)
		return err_set(err, ERR_REMOTE,
		               "host %s: no Docker engine answers there (no Api-Version in its answer): is the url right?",
		               a->name);
	if (major == 1 && minor < API_OLDEST)
		return err_set(err, ERR_REMOTE, "host %s: the engine speaks API %s, 1.%d or newer is needed: update the engine",
		               a->name, version, API_OLDEST);
	a->version = major > 1 || minor > API_NEWEST ? API_NEWEST : minor;
	a->certificate = http_certificate(x->http);
	return 0;
}

int api_version(struct api *a, struct err *err)
{
	if (a->version)
		return a->version;
	struct exchange *x = take(a, false, err);
	const int bad = x ? negotiate(a, x, err) : -1;
	api_done(x);
	return bad ? -1 : a->version;
}

/* An exchange with the whole path. NULL: err. */
static struct exchange *prepare(struct api *a, bool slow, char path[API_PATH], const char *fmt, va_list ap,
                                struct err *err)
{
	struct exchange *x = take(a, slow, err);

	if (x && !a->version && negotiate(a, x, err) < 0) {
		api_done(x);
		return NULL;
	}
	if (!x)
		return NULL;
	int n = snprintf(path, API_PATH, "/v1.%d", a->version);
	n += vsnprintf(path + n, API_PATH - (size_t)n, fmt, ap);
	if ((size_t)n < API_PATH)
		return x;
	(void)err_set(err, ERR_LIMIT, "host %s: a request's path is longer than %d bytes", a->name, API_PATH);
	api_done(x);
	return NULL;
}

static struct exchange *call(struct api *a, struct err *err, const char *method, const json_t *body, long call_ms,
                             size_t max, const char *fmt, va_list ap)
{
	char path[API_PATH], *text = NULL;
	struct tasks_gate *gate = call_ms && !a->slow.dial ? NULL : &lane_of(a, call_ms != 0)->gate;
	int bad = 0;

	if (gate)
		tasks_enter(a->tasks, gate);
	struct exchange *x = prepare(a, call_ms != 0, path, fmt, ap, err);
	if (x && body && !(text = json_dumps(body, JSON_COMPACT)))
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	if (x && !bad) {
		x->reply.max = max;
		bad =
			http_call(x->http, method, path, text, text ? strlen(text) : 0, NULL, call_ms, &x->reply, &x->status, err);
	}
	if (gate)
		tasks_leave(a->tasks, gate);
	free(text);
	if (!x || !bad)
		return x;
	api_done(x);
	return NULL;
}

struct exchange *api_call(struct api *a, struct err *err, const char *method, const json_t *body, long call_ms,
                          const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	struct exchange *x = call(a, err, method, body, call_ms, HTTP_BODY_MAX, fmt, ap);
	va_end(ap);
	return x;
}

struct exchange *api_list(struct api *a, struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	struct exchange *x = call(a, err, "GET", NULL, 0, HTTP_LIST_MAX, fmt, ap);
	va_end(ap);
	return x;
}

struct exchange *api_stream(struct api *a, struct err *err, const char *method, const char *const *headers,
                            const struct http_stream *stream, struct exchange **hand, const char *fmt, ...)
{
	char path[API_PATH];
	va_list ap;

	va_start(ap, fmt);
	struct exchange *x = prepare(a, true, path, fmt, ap, err);
	va_end(ap);
	if (!x)
		return NULL;
	if (hand)
		*hand = x;
	const int bad = http_stream(x->http, method, path, headers, stream, &x->reply, &x->status, err);
	if (hand)
		*hand = NULL;
	if (!bad)
		return x;
	api_done(x);
	return NULL;
}

void api_cancel(struct exchange *hand)
{
	if (hand)
		http_cancel(hand->http);
}

/* ---- what they say ---- */

int api_encode(const char *s, const char *keep, char *out, size_t size)
{
	size_t n = 0;

	for (; *s; s++) {
		const unsigned char c = (unsigned char)*s;
		const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		                   strchr("-._~", c) || strchr(keep, c);
		if (n + 4 > size)
			return -1;
		if (plain)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, size - n, "%%%02X", c);
	}
	out[n] = '\0';
	return 0;
}

int api_parse(const struct exchange *x, json_t **doc, struct err *err)
{
	json_error_t why;

	*doc = json_loadb(x->reply.p ? x->reply.p : "", x->reply.n, 0, &why);
	if (*doc)
		return 0;
	if (json_error_code(&why) == json_error_out_of_memory)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	return err_set(err, ERR_REMOTE, "host %s: the answer is not JSON: %s", x->api->name, why.text);
}

/* Older versions answer with plain text. */
void api_said(const struct exchange *x, char out[API_SAID])
{
	json_t *doc = json_loadb(x->reply.p ? x->reply.p : "", x->reply.n, 0, NULL);
	const char *message = doc_str(doc, "message");
	size_t n;

	if (!message)
		message = doc_str(doc, "cause"); /* Podman's */
	(void)snprintf(out, API_SAID, "%s", message ? message : x->reply.n ? x->reply.p : "(no reason given)");
	for (n = strlen(out); n && (out[n - 1] == '\n' || out[n - 1] == ' '); n--)
		out[n - 1] = '\0';
	for (char *p = out; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	json_decref(doc);
}

bool api_said_so(const struct exchange *x, const char *words)
{
	char text[API_SAID];

	api_said(x, text);
	return strstr(text, words) != NULL;
}

/* 403 is libnetwork's ("Address already in use"), not a matter of credentials. */
int api_refused(const struct exchange *x, struct err *err)
{
	char text[API_SAID];

	api_said(x, text);
	const enum err_code code = x->status == 404 ? ERR_NOT_FOUND : x->status == 409 ? ERR_CONFLICT : ERR_REMOTE;
	(void)err_set(err, code, "host %s: %ld %s", x->api->name, x->status, text);
	err->retry = x->status == 500 || x->status == 503;
	return -1;
}

int api_json_done(struct exchange *x, long status, json_t **doc, struct err *err)
{
	if (!x)
		return -1;
	const int bad = x->status == status ? api_parse(x, doc, err) : api_refused(x, err);
	api_done(x);
	return bad;
}

int api_good_done(struct exchange *x, bool good, struct err *err)
{
	const int bad = !x ? -1 : good ? 0 : api_refused(x, err);

	api_done(x);
	return bad;
}
