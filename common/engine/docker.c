/* Docker's API, https://docs.docker.com/engine/api/ : every call, its answers, and what they mean to us. Podman
 * speaks the same one. */
#include "base/http.h"
#include "base/limits.h"
#include "engine/doc.h"
#include "engine/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define API_OLDEST 24 /* 1.24: Docker 1.12 */
#define API_NEWEST 47 /* 1.47: Docker 27; newer engines speak it too */
#define MAKE_MS                                                                                          \
	30000 /* create copies image files into volumes, start runs network drivers, remove waits for a kill \
	       */
#define STOP_SPARE_MS 30000 /* engines 23 and 24 kill at once when the client of a stop leaves, moby#45731 */
#define PATH_SIZE 4096
#define NAME_SIZE 772 /* a name of 256 bytes, each as %XX */
#define SAID_MAX 400  /* bytes of an engine's own words in a message */

struct engine {
	char *name; /* of the host */
	struct http *http;
	int api; /* minor version that the calls speak; 0: not negotiated */
	struct buf reply;
};

/* ---- where the engine is ---- */

static int no_url(const struct conf_host *host, const char *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "host %s: url %s: %s", host->name, host->url ? host->url : "is missing", why);
}

/* "tcp://HOST[:PORT]": the port is 2375, and 2376 with TLS, as the IANA lists them. */
static int tcp_base(const struct conf_host *host, char *base, size_t size, struct err *err)
{
	const char *at = host->url + strlen("tcp://"), *from = at;
	const size_t n = strcspn(at, "/");

	if (at[n] && at[n + 1])
		return no_url(host, "a path is not supported: use tcp://HOST:PORT", err);
	if (!n || strcspn(at, "@?#% \t") < n)
		return no_url(host, "use tcp://HOST:PORT", err);
	if (*at == '[') /* IPv6: its colons are no port's */
		from = memchr(at, ']', n) ? strchr(at, ']') : at + n;
	const char *colon = memchr(from, ':', n - (size_t)(from - at)), *end = at;
	if (colon == at || (colon && (!doc_port(colon + 1, &end) || end != at + n)))
		return no_url(host, "use tcp://HOST:PORT with a port from 1 to 65535", err);
	const int len = snprintf(base, size, "http%s://%.*s%s", host->cert_path ? "s" : "", (int)n, at,
	                         colon             ? ""
	                         : host->cert_path ? ":2376"
	                                           : ":2375");
	return len < 0 || (size_t)len >= size ? no_url(host, "is too long", err) : 0;
}

/* Fills the target; base and pem hold its texts. */
static int find_target(const struct conf_host *host, struct http_target *t, char *base, size_t size, char pem[3][512],
                       struct err *err)
{
	static const char *const files[] = {"ca.pem", "cert.pem", "key.pem"};
	const char *url = host->url ? host->url : "";

	if (!host->url && host->context)
		return no_url(host, "docker contexts are not supported yet: give the url and cert_path of the context", err);
	if (strncmp(url, "unix://", 7) == 0) {
		t->unix_path = url + 7;
		t->base = "http://localhost";
		return *t->unix_path == '/' ? 0 : no_url(host, "use unix:///PATH", err);
	}
	if (strncmp(url, "ssh://", 6) == 0)
		return no_url(host,
		              "ssh is not supported yet: forward the socket (ssh -L /run/h.sock:/run/docker.sock HOST) "
		              "and use unix:///run/h.sock",
		              err);
	if (strncmp(url, "http", 4) == 0)
		return no_url(host, "use tcp://HOST:PORT; cert_path turns TLS on", err);
	if (strncmp(url, "tcp://", 6) != 0)
		return no_url(host, "use unix:///PATH or tcp://HOST:PORT", err);
	if (tcp_base(host, base, size, err) < 0)
		return -1;
	t->base = base;
	if (!host->cert_path)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		const int n = snprintf(pem[i], sizeof pem[i], "%s/%s", host->cert_path, files[i]);
		if (n < 0 || (size_t)n >= sizeof pem[i])
			return err_set(err, ERR_CONFIG, "host %s: cert_path is too long", host->name);
	}
	t->ca = pem[0];
	t->cert = pem[1];
	t->key = pem[2];
	return 0;
}

static void docker_close(struct engine *e)
{
	if (!e)
		return;
	http_free(e->http);
	buf_release(&e->reply);
	free(e->name);
	free(e);
}

static struct engine *docker_open(const struct conf_host *host, struct err *err)
{
	struct buf peer = BUF_INIT(512);
	struct http_target target = {.hint = "is the engine running? is its url, or DOCKER_HOST, right?",
	                             .header = "Api-Version"};
	char base[512], pem[3][512];
	struct engine *e = NULL;

	if (find_target(host, &target, base, sizeof base, pem, err) < 0)
		return NULL;
	buf_printf(&peer, "host %s", host->name);
	if (buf_ok(&peer, err) < 0)
		goto out;
	target.name = peer.p;
	e = calloc(1, sizeof *e);
	if (!e || !(e->name = strdup(host->name))) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	} else {
		e->reply.max = HTTP_BODY_MAX;
		e->http = http_new(&target, err);
	}
	if (e && !e->http) {
		docker_close(e);
		e = NULL;
	}
out:
	buf_release(&peer);
	return e;
}

/* ---- one request ---- */

/* A value for a path or a query: what RFC 3986 calls unreserved stays, and what is in keep. */
static int encode(const char *s, const char *keep, char *out, size_t size)
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

static const char *message_of(const json_t *doc)
{
	const char *message = doc_str(doc, "message");

	return message ? message : doc_str(doc, "cause"); /* Podman's */
}

/* The engine's own words for a failure, without the line breaks; older versions answer with plain text. */
static void said(const struct engine *e, char out[SAID_MAX])
{
	json_t *doc = json_loadb(e->reply.p ? e->reply.p : "", e->reply.n, 0, NULL);
	const char *message = message_of(doc);
	size_t n;

	(void)snprintf(out, SAID_MAX, "%s", message ? message : e->reply.n ? e->reply.p : "(no reason given)");
	for (n = strlen(out); n && (out[n - 1] == '\n' || out[n - 1] == ' '); n--)
		out[n - 1] = '\0';
	for (char *p = out; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	json_decref(doc);
}

static bool said_so(const struct engine *e, const char *words)
{
	char text[SAID_MAX];

	said(e, text);
	return strstr(text, words) != NULL;
}

/* A status that is no success. 403 is libnetwork's ("Address already in use"), not a matter of credentials. */
static int refused(const struct engine *e, long status, struct err *err)
{
	char text[SAID_MAX];

	said(e, text);
	const enum err_code code = status == 404 ? ERR_NOT_FOUND : status == 409 ? ERR_CONFLICT : ERR_REMOTE;
	(void)err_set(err, code, "host %s: %ld %s", e->name, status, text);
	err->retry = status == 500 || status == 503;
	return -1;
}

static int docker_ping(struct engine *e, struct err *err)
{
	long status = 0;
	int major = 0, minor = 0;
	char more;

	if (http_call(e->http, "GET", "/_ping", NULL, 0, NULL, 0, &e->reply, &status, err) < 0)
		return -1;
	if (status != 200)
		return refused(e, status, err);
	const char *version = http_header(e->http);
	if (sscanf(version, "%4d.%4d%c", &major, &minor, &more) != 2 || major < 1)
		return err_set(err, ERR_REMOTE,
		               "host %s: no Docker engine answers there (no Api-Version in its answer): is the url right?",
		               e->name);
	if (major == 1 && minor < API_OLDEST)
		return err_set(err, ERR_REMOTE, "host %s: the engine speaks API %s, 1.%d or newer is needed: update the engine",
		               e->name, version, API_OLDEST);
	e->api = major > 1 || minor > API_NEWEST ? API_NEWEST : minor;
	return 0;
}

/* One request; the path is in printf form, its parts encoded. The HTTP status, or -1 and err when no complete answer
 * came. The answer is in e->reply. call_ms 0: the usual limit. */
__attribute__((format(printf, 6, 7))) static long call(struct engine *e, struct err *err, const char *method,
                                                       const json_t *body, long call_ms, const char *fmt, ...)
{
	char path[PATH_SIZE], *text = NULL;
	long status = -1;
	va_list ap;

	if (!e->api && docker_ping(e, err) < 0)
		return -1;
	int n = snprintf(path, sizeof path, "/v1.%d", e->api);
	va_start(ap, fmt);
	n += vsnprintf(path + n, sizeof path - (size_t)n, fmt, ap);
	va_end(ap);
	if ((size_t)n >= sizeof path)
		return err_set(err, ERR_LIMIT, "host %s: a request's path is longer than %d bytes", e->name, PATH_SIZE);
	if (body && !(text = json_dumps(body, JSON_COMPACT)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (http_call(e->http, method, path, text, text ? strlen(text) : 0, NULL, call_ms, &e->reply, &status, err) < 0)
		status = -1;
	free(text);
	return status;
}

static int parse(const struct engine *e, json_t **doc, struct err *err)
{
	json_error_t why;

	*doc = json_loadb(e->reply.p ? e->reply.p : "", e->reply.n, 0, &why);
	if (*doc)
		return 0;
	if (json_error_code(&why) == json_error_out_of_memory)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	return err_set(err, ERR_REMOTE, "host %s: the answer is not JSON: %s", e->name, why.text);
}

/* ---- containers ---- */

static int docker_list(struct engine *e, const char *label, json_t **list, struct err *err)
{
	struct buf filter = BUF_INIT(PATH_SIZE);
	char value[PATH_SIZE] = "";
	long status = -1;

	buf_puts(&filter, "{\"label\":[");
	buf_json_str(&filter, label ? label : "");
	buf_puts(&filter, "]}");
	int bad = buf_ok(&filter, err);
	if (!bad && label && encode(filter.p, "", value, sizeof value) < 0)
		bad = err_set(err, ERR_LIMIT, "host %s: the label %.60s... is too long to ask for", e->name, label);
	buf_release(&filter);
	if (bad)
		return -1;
	e->reply.max = HTTP_LIST_MAX;
	status = call(e, err, "GET", NULL, 0, "/containers/json?all=1%s%s", label ? "&filters=" : "", value);
	bad = status < 0 ? -1 : status != 200 ? refused(e, status, err) : parse(e, list, err);
	buf_release(&e->reply);
	e->reply.max = HTTP_BODY_MAX;
	return bad;
}

/* The engine takes the beginning of an id for the id. We do not: a name that is gone must not hit a stranger. */
static bool is_meant(const json_t *doc, const char *id)
{
	const char *whole = doc_str(doc, "Id");

	if (!whole)
		return false;
	return strcmp(doc_name(doc), id) == 0 || strcmp(whole, id) == 0 ||
	       (doc_is_hex(id, DOC_SHORT_ID) && strncmp(whole, id, DOC_SHORT_ID) == 0);
}

static int docker_inspect(struct engine *e, const char *id, json_t **doc, struct err *err)
{
	char name[NAME_SIZE];

	*doc = NULL;
	if (!*id || encode(id, "", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no container's id or name", e->name, id);
	const long status = call(e, err, "GET", NULL, 0, "/containers/%s/json", name);
	if (status < 0)
		return -1;
	if (status != 200)
		return refused(e, status, err);
	if (parse(e, doc, err) < 0)
		return -1;
	if (is_meant(*doc, id))
		return 0;
	json_decref(*doc);
	*doc = NULL;
	return err_set(err, ERR_NOT_FOUND, "host %s: no container has the id or name \"%s\"", e->name, id);
}

/* The whole id for what the caller knows a container by: itself, or asked for. */
static int whole_id(struct engine *e, const char *id, char out[DOC_ID + 1], struct err *err)
{
	json_t *doc = NULL;

	if (doc_is_hex(id, DOC_ID)) {
		memcpy(out, id, DOC_ID + 1);
		return 0;
	}
	if (docker_inspect(e, id, &doc, err) < 0)
		return -1;
	const int n = snprintf(out, DOC_ID + 1, "%s", doc_str(doc, "Id"));
	json_decref(doc);
	return n == DOC_ID ? 0 : err_set(err, ERR_REMOTE, "host %s: an id of %d digits", e->name, n);
}

static int docker_create(struct engine *e, const char *name, const json_t *request, char id[65], struct err *err)
{
	char encoded[NAME_SIZE];
	json_t *doc = NULL;

	if (encode(name, "", encoded, sizeof encoded) < 0)
		return err_set(err, ERR_LIMIT, "host %s: the name %.60s... is too long", e->name, name);
	const long status = call(e, err, "POST", request, MAKE_MS, "/containers/create?name=%s", encoded);
	if (status < 0)
		return -1;
	if (status == 409 && said_so(e, "in use"))
		return err_set(err, ERR_CONFLICT, "host %s: 409 name \"%s\" is in use", e->name, name);
	if (status == 404 && said_so(e, "No such image"))
		return err_set(err, ERR_NOT_FOUND, "host %s: 404 no image %.200s: docker pull or load it there", e->name,
		               doc_str(request, "Image") ? doc_str(request, "Image") : "is named");
	if (status != 201)
		return refused(e, status, err);
	if (parse(e, &doc, err) < 0)
		return -1;
	const char *given = doc_str(doc, "Id");
	int bad = 0;
	if (given && doc_is_hex(given, DOC_ID))
		memcpy(id, given, DOC_ID + 1);
	else
		bad = err_set(err, ERR_REMOTE, "host %s: the answer to create has no id", e->name);
	json_decref(doc);
	return bad;
}

static int docker_start(struct engine *e, const char *id, bool *already, struct err *err)
{
	char whole[DOC_ID + 1];

	*already = false;
	if (whole_id(e, id, whole, err) < 0)
		return -1;
	const long status = call(e, err, "POST", NULL, MAKE_MS, "/containers/%s/start", whole);
	if (status < 0)
		return -1;
	*already = status == 304;
	if (status == 204 || status == 304)
		return 0;
	(void)refused(e, status, err);
	/* 404 is also said when its network, or the container whose network it shares, is not there. */
	if (status == 404 && !said_so(e, whole))
		err->code = ERR_REMOTE;
	return -1;
}

static int docker_stop(struct engine *e, const char *id, int64_t grace_ms, bool *already, struct err *err)
{
	const int64_t most = 24 * 3600, seconds = grace_ms > 0 ? grace_ms / 1000 + (grace_ms % 1000 != 0) : 0;
	const long grace = (long)(seconds < most ? seconds : most);
	char whole[DOC_ID + 1];

	*already = false;
	if (whole_id(e, id, whole, err) < 0) {
		*already = err->code == ERR_NOT_FOUND;
		return *already ? 0 : -1;
	}
	const long status =
		call(e, err, "POST", NULL, grace * 1000 + STOP_SPARE_MS, "/containers/%s/stop?t=%ld", whole, grace);
	if (status < 0)
		return -1;
	*already = status != 204;
	if (status == 204 || status == 304 || status == 404 || (status == 409 && said_so(e, "already in progress")))
		return 0;
	return refused(e, status, err);
}

static int docker_remove(struct engine *e, const char *id, bool force, bool *already, struct err *err)
{
	char whole[DOC_ID + 1];

	*already = false;
	if (whole_id(e, id, whole, err) < 0) {
		*already = err->code == ERR_NOT_FOUND;
		return *already ? 0 : -1;
	}
	const long status = call(e, err, "DELETE", NULL, MAKE_MS, "/containers/%s?v=1%s", whole, force ? "&force=1" : "");
	if (status < 0)
		return -1;
	*already = status != 204;
	/* Podman answers 200 with a list. */
	if (status == 200 || status == 204 || status == 404 || (status == 409 && said_so(e, "already in progress")))
		return 0;
	return refused(e, status, err);
}

/* ---- networks ---- */

static int docker_network(struct engine *e, const char *verb, const char *network, const json_t *body,
                          const char *done_already, struct err *err)
{
	char name[NAME_SIZE];

	if (!*network || encode(network, "", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no network's name", e->name, network);
	if (!body)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	const long status = call(e, err, "POST", body, MAKE_MS, "/networks/%s/%s", name, verb);
	if (status < 0)
		return -1;
	if (status == 200 || said_so(e, done_already))
		return 0;
	return refused(e, status, err);
}

static int docker_connect(struct engine *e, const char *network, const char *id, const json_t *endpoint,
                          struct err *err)
{
	json_t *body = json_pack("{s:s, s:O?}", "Container", id, "EndpointConfig", endpoint);
	const int bad = docker_network(e, "connect", network, body, "already exists in network", err);

	json_decref(body);
	return bad;
}

static int docker_disconnect(struct engine *e, const char *network, const char *id, struct err *err)
{
	json_t *body = json_pack("{s:s, s:b}", "Container", id, "Force", 0);
	const int bad = docker_network(e, "disconnect", network, body, "is not connected to", err);

	json_decref(body);
	return bad;
}

/* ---- images ---- */

static int inspect_image(struct engine *e, const char *ref, json_t **doc, struct err *err)
{
	char name[NAME_SIZE];

	if (!*ref || encode(ref, "/:@", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no image's name", e->name, ref);
	const long status = call(e, err, "GET", NULL, 0, "/images/%s/json", name);
	if (status < 0)
		return -1;
	return status == 200 ? parse(e, doc, err) : refused(e, status, err);
}

static int docker_image_id(struct engine *e, const char *ref, char id[80], struct err *err)
{
	json_t *doc = NULL;

	if (inspect_image(e, ref, &doc, err) < 0)
		return -1;
	const char *given = doc_str(doc, "Id");
	const int n = snprintf(id, 80, "%s", given ? given : "");
	json_decref(doc);
	return n > 0 && n < 80 ? 0
	                       : err_set(err, ERR_REMOTE, "host %s: image %s: no usable id in the answer", e->name, ref);
}

static int docker_image_config(struct engine *e, const char *ref, json_t **config, struct err *err)
{
	json_t *doc = NULL;

	if (inspect_image(e, ref, &doc, err) < 0)
		return -1;
	json_t *found = doc_get(doc, "Config");
	*config = json_is_object(found) ? json_incref(found) : json_object();
	json_decref(doc);
	return *config ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

const struct engine_driver engine_docker = {
	.name = "docker",
	.open = docker_open,
	.close = docker_close,
	.ping = docker_ping,
	.list = docker_list,
	.inspect = docker_inspect,
	.image_id = docker_image_id,
	.image_config = docker_image_config,
	.create = docker_create,
	.connect = docker_connect,
	.disconnect = docker_disconnect,
	.start = docker_start,
	.stop = docker_stop,
	.remove = docker_remove,
};
