#include "base/http.h"

#include "base/cert.h"
#include "base/clock.h"
#include "base/limits.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/banned.h"

#define HEADER_MAX 128

struct http {
	CURL *curl;
	char *where; /* the socket or the base, for messages */
	char *base, *name, *hint, *header;
	char *ca, *cert; /* NULL: none */
	bool tls, unix_socket;
	int64_t certificate; /* of the peer: until when it is good */
	struct dial *dial;
	long call_ms;
	struct tasks *tasks;
	char value[HEADER_MAX];       /* of the header to keep */
	char reason[CURL_ERROR_SIZE]; /* curl's words for the last failure */
	/* Of the call in hand. */
	struct buf *reply;
	const struct http_stream *stream; /* NULL: http_call */
	struct err *err;                  /* what its functions say */
	int64_t last_byte;                /* monotonic ms */
	bool idle;                        /* ended because no byte came */
};

/* What perform sends. */
struct request {
	const char *method, *url;
	const void *body;
	size_t body_n;
	const char *content_type;   /* NULL: JSON */
	const char *const *headers; /* more ones; NULL: none */
	long limit_ms;              /* 0: none */
};

/* libcurl wants its global part once per process, before threads use it. */
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void) { (void)curl_global_init(CURL_GLOBAL_DEFAULT); }

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;
	long status = 0;

	h->last_byte = clock_monotonic_ms();
	if (h->stream && h->stream->data) {
		(void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status == 200)
			return h->stream->data(h->stream->ctx, p, size * n, h->err) < 0 ? 0 : size * n;
	}
	buf_put(h->reply, p, size * n);
	return h->reply->failed ? 0 : size * n; /* 0 ends the transfer with CURLE_WRITE_ERROR */
}

static size_t on_read(char *p, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;
	const long got = h->stream->more(h->stream->ctx, p, size * n);

	h->last_byte = clock_monotonic_ms();
	return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

/* Called at least once a second: the limit on silence. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct http *h = ctx;

	(void)a, (void)b, (void)c, (void)d;
	h->idle = h->stream && h->stream->idle_ms && clock_monotonic_ms() - h->last_byte > h->stream->idle_ms;
	return h->idle;
}

/* Called for each line of the head, without a NUL at its end, https://curl.se/libcurl/c/CURLOPT_HEADERFUNCTION.html */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;
	const size_t len = size * n, name = h->header ? strlen(h->header) : 0;

	if (!name || len <= name || p[name] != ':' || strncasecmp(p, h->header, name) != 0)
		return len;
	size_t from = name + 1, to = len;
	while (from < to && (p[from] == ' ' || p[from] == '\t'))
		from++;
	while (to > from && (p[to - 1] == '\r' || p[to - 1] == '\n' || p[to - 1] == ' '))
		to--;
	(void)snprintf(h->value, sizeof h->value, "%.*s", (int)(to - from), p + from);
	return len;
}

/* ---- connections that a program makes ---- */

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)purpose;
	return dial_open(ctx, &address->addr, &address->addrlen); /* -1 is CURL_SOCKET_BAD */
}

static int on_close(void *ctx, curl_socket_t fd)
{
	dial_close(ctx, fd);
	return 0;
}

/* To libcurl it is a connection over the unix socket of that name, so that it is taken for no other one. */
static bool set_up_dial(CURL *c, struct dial *d)
{
	return curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, dial_name(d)) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, d) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CLOSESOCKETDATA, d) == CURLE_OK;
}

/* The settings that hold for every call. */
static bool set_up(struct http *h, const struct http_target *t)
{
	CURL *c = h->curl;
	bool good =
		curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->reason) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, t->connect_ms ? t->connect_ms : HTTP_CONNECT_MS) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_READDATA, h) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_XFERINFODATA, h) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_WRITEDATA, h) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
		curl_easy_setopt(c, CURLOPT_HEADERDATA, h) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075500
	good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
	good = good && curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)) == CURLE_OK;
#endif
	if (good && t->unix_path)
		good = curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, t->unix_path) == CURLE_OK;
	if (good && h->dial)
		good = set_up_dial(c, h->dial);
	if (good && h->tls)
		good = curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
	if (good && t->ca) /* only this authority: the system's bundle is neither trusted nor read */
		good = curl_easy_setopt(c, CURLOPT_CAINFO, t->ca) == CURLE_OK &&
		       curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK;
	if (good && t->cert)
		good = curl_easy_setopt(c, CURLOPT_SSLCERT, t->cert) == CURLE_OK;
	if (good && h->tls && t->certificate)
		good = curl_easy_setopt(c, CURLOPT_CERTINFO, 1L) == CURLE_OK;
	if (good && t->key)
		good = curl_easy_setopt(c, CURLOPT_SSLKEY, t->key) == CURLE_OK;
	return good;
}

static bool set_up_login(CURL *c, const struct http_target *t)
{
	if (t->token)
		return curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) == CURLE_OK &&
		       curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, t->token) == CURLE_OK;
	return !t->user || (curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
	                    curl_easy_setopt(c, CURLOPT_USERNAME, t->user) == CURLE_OK &&
	                    curl_easy_setopt(c, CURLOPT_PASSWORD, t->password ? t->password : "") == CURLE_OK);
}

static char *copy_text(const char *s) { return strdup(s ? s : ""); }

struct http *http_new(const struct http_target *t, struct err *err)
{
	const struct sockaddr_un *longest = NULL;

	if (t->unix_path && strlen(t->unix_path) >= sizeof longest->sun_path) {
		(void)err_set(err, ERR_CONFIG, "%s: the path %s is longer than a socket's may be (%zu bytes)", t->name,
		              t->unix_path, sizeof longest->sun_path - 1);
		return NULL;
	}
	(void)pthread_once(&curl_once, curl_start);
	struct http *h = calloc(1, sizeof *h);
	if (!h)
		goto bad;
	h->call_ms = t->call_ms ? t->call_ms : HTTP_CALL_MS;
	h->tasks = t->tasks;
	h->certificate = TIME_NONE;
	h->tls = strncmp(t->base, "https:", 6) == 0;
	h->unix_socket = t->unix_path != NULL;
	h->dial = t->dial ? dial_hold(t->dial) : NULL;
	h->curl = curl_easy_init();
	h->base = copy_text(t->base);
	h->where = copy_text(t->unix_path ? t->unix_path : t->base);
	h->name = copy_text(t->name);
	h->hint = copy_text(t->hint);
	h->header = t->header ? strdup(t->header) : NULL;
	h->ca = t->ca ? strdup(t->ca) : NULL;
	h->cert = t->cert ? strdup(t->cert) : NULL;
	if (h->curl && h->base && h->where && h->name && h->hint && !h->header == !t->header && !h->ca == !t->ca &&
	    !h->cert == !t->cert && set_up(h, t) && set_up_login(h->curl, t))
		return h;
bad:
	(void)err_set(err, ERR_TEMPORARY, "%s: out of memory", t->name);
	http_free(h);
	return NULL;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->curl);
	dial_free(h->dial);
	free(h->base);
	free(h->where);
	free(h->name);
	free(h->hint);
	free(h->header);
	free(h->ca);
	free(h->cert);
	free(h);
}

const char *http_header(const struct http *h) { return h->value; }
int64_t http_certificate(const struct http *h) { return h->certificate; }
const char *http_library(void) { return curl_version(); }

/* Of the peer's own certificate, which comes first in the chain; only the first call on a connection has it. */
static void note_certificate(struct http *h)
{
	struct curl_certinfo *chain = NULL;

	if (!h->tls || curl_easy_getinfo(h->curl, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || !chain->num_of_certs)
		return;
	for (const struct curl_slist *line = chain->certinfo[0]; line; line = line->next)
		if (strncmp(line->data, "Cert:", 5) == 0)
			(void)cert_text_until(line->data + 5, &h->certificate);
}

static int unreachable(const struct http *h, CURLcode code, const char *method, const char *path, struct err *err)
{
	const char *open = *h->hint ? " (" : "", *close = *h->hint ? ")" : "";
	long number = 0, sent = 0; /* errno of the connect; bytes of the request */

	(void)curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &number);
	(void)curl_easy_getinfo(h->curl, CURLINFO_REQUEST_SIZE, &sent);
	if (code == CURLE_COULDNT_CONNECT && h->unix_socket && (number == EACCES || number == EPERM))
		return err_set(err, ERR_DENIED,
		               "%s: cannot connect to %s: %s (run as a member of the group that owns the socket, or as root)",
		               h->name, h->where, strerror((int)number));
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
	    (code == CURLE_OPERATION_TIMEDOUT && !sent))
		return err_set(err, ERR_UNAVAILABLE, "%s: cannot connect to %s: %s%s%s%s", h->name, h->where,
		               code == CURLE_COULDNT_CONNECT && number ? strerror((int)number) : h->reason, open, h->hint,
		               close);
	return err_set(err, ERR_UNAVAILABLE, "%s: no complete answer to %s %s: %s", h->name, method, path, h->reason);
}

static bool is_alert(const struct http *h) { return h->tls && strstr(h->reason, " alert "); }

/* Under TLS 1.3 a server looks at the client's certificate when the client has finished its handshake already, so that
 * a refusal comes as an alert instead of the answer, RFC 8446 section 4.4.2.4. Often enough the connection is closed
 * before that is read. So the handshake alone is tried again with TLS 1.2, where the refusal is a part of it. */
static bool is_certificate_refused(struct http *h, CURLcode code)
{
	char was[sizeof h->reason];

	if (!h->tls || is_alert(h) || (code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING))
		return is_alert(h);
	memcpy(was, h->reason, sizeof was);
	h->reason[0] = '\0';
	(void)curl_easy_setopt(h->curl, CURLOPT_SSLVERSION, (long)(CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2));
	(void)curl_easy_setopt(h->curl, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_perform(h->curl);
	(void)curl_easy_setopt(h->curl, CURLOPT_CONNECT_ONLY, 0L);
	(void)curl_easy_setopt(h->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (is_alert(h) && !strstr(h->reason, "protocol version")) /* TLS 1.2 may be off there */
		return true;
	memcpy(h->reason, was, sizeof was);
	return false;
}

/* The server does not let us in. */
static int our_certificate(const struct http *h, struct err *err)
{
	char trouble[400];

	if (!h->cert)
		return err_set(err, ERR_DENIED,
		               "%s: tls: certificate refused by %s: it wants one, and there is none (put cert.pem and key.pem "
		               "beside %s)",
		               h->name, h->where, h->ca ? h->ca : "ca.pem");
	cert_trouble(h->cert, h->ca, clock_now_ms(), trouble, sizeof trouble);
	return err_set(err, ERR_DENIED, "%s: tls: certificate refused by %s: %s", h->name, h->where, trouble);
}

/* We do not believe the server. */
static int their_certificate(const struct http *h, struct err *err)
{
	static const struct {
		const char *reason, *advice;
	} known[] = {
		{"has expired", "have it made anew, or set this machine's clock"},
		{"not yet valid", "set this machine's clock, or the one's where it was made"},
		{"subject name", "use a name or an address in it as url, or have this one put into it as subjectAltName"},
	};
	const char *advice = "is ca.pem the authority that signed it?";

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strstr(h->reason, known[i].reason))
			advice = known[i].advice;
	return err_set(err, ERR_DENIED, "%s: the certificate of %s is refused: %s (%s)", h->name, h->where, h->reason,
	               advice);
}

static int failed(struct http *h, CURLcode code, const char *method, const char *path, struct err *err)
{
	if (h->idle)
		(void)snprintf(h->reason, sizeof h->reason, "nothing came for %ld s", h->stream->idle_ms / 1000);
	else if (!*h->reason)
		(void)snprintf(h->reason, sizeof h->reason, "%s", curl_easy_strerror(code));
	if (is_certificate_refused(h, code))
		return our_certificate(h, err);
	if (h->dial && dial_failed(h->dial, h->name, err))
		return -1;
	switch (code) {
	case CURLE_OUT_OF_MEMORY: return err_set(err, ERR_TEMPORARY, "%s: out of memory", h->name);
	case CURLE_WRITE_ERROR:
		if (h->reply->failed && buf_ok(h->reply, err) < 0)
			return err_prefix(err, "%s: answer to %s %s", h->name, method, path);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_ISSUER_ERROR: return their_certificate(h, err);
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return err_set(err, ERR_DENIED, "%s: our certificate files cannot be used: %s (look at cert_path)", h->name,
		               h->reason);
	case CURLE_SSL_CONNECT_ERROR:
		/* A peer that went away during the handshake is a network failure, all else is how one of us is set up. */
		if (strstr(h->reason, "SYSCALL") || strstr(h->reason, "reset") || strstr(h->reason, "eof"))
			break;
		return err_set(err, ERR_DENIED, "%s: no TLS with %s: %s (%s)", h->name, h->where, h->reason,
		               strstr(h->reason, "wrong version number")
		                   ? "it speaks no TLS on this port: take its TLS port, or cert_path away"
		                   : "does it speak TLS 1.2 or newer on this port?");
	default: break;
	}
	return unreachable(h, code, method, path, err);
}

/* "Content-Type:" without a value takes the header away. */
static struct curl_slist *make_headers(const struct request *q, bool streams)
{
	char type[HEADER_MAX];
	struct curl_slist *list = NULL, *more;
	const char *content_type = q->content_type ? q->content_type : q->body ? "application/json" : NULL;

	(void)snprintf(type, sizeof type, "Content-Type:%s%s", content_type ? " " : "", content_type ? content_type : "");
	/* curl's default wait for "100 Continue" costs up to a second. */
	const char *const usual[] = {"Expect:", type, streams ? "Transfer-Encoding: chunked" : NULL, NULL};
	for (size_t k = 0; k < 2; k++)
		for (const char *const *h = k ? q->headers : usual; h && *h; h++) {
			if (!(more = curl_slist_append(list, *h))) {
				curl_slist_free_all(list);
				return NULL;
			}
			list = more;
		}
	return list;
}

static CURLcode perform(struct http *h, const struct request *q)
{
	CURL *c = h->curl;
	const bool streams = h->stream && h->stream->more;
	const bool sends = streams || q->body || strcmp(q->method, "POST") == 0 || strcmp(q->method, "PUT") == 0 ||
	                   strcmp(q->method, "PATCH") == 0;
	const void *body = streams ? NULL : q->body ? q->body : "";
	struct curl_slist *headers = make_headers(q, streams);
	CURLcode code = CURLE_OUT_OF_MEMORY;

	if (!headers || curl_easy_setopt(c, sends ? CURLOPT_POST : CURLOPT_HTTPGET, 1L) != CURLE_OK ||
	    (sends && (curl_easy_setopt(c, CURLOPT_POSTFIELDS, body) != CURLE_OK ||
	               curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
	                                (curl_off_t)(streams ? -1 : (curl_off_t)(q->body ? q->body_n : 0))) != CURLE_OK)) ||
	    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, q->limit_ms) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_NOPROGRESS, h->stream ? 0L : 1L) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_URL, q->url) != CURLE_OK)
		goto out;
	code = h->tasks ? (CURLcode)tasks_perform(h->tasks, c) : curl_easy_perform(c);
out:
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, NULL);
	curl_slist_free_all(headers);
	return code;
}

static int run(struct http *h, struct request *q, const char *path, struct buf *reply, long *status, struct err *err)
{
	struct buf url = BUF_INIT(LINE_MAX_BYTES);
	struct err said = {0};
	int bad;

	h->reply = reply;
	h->err = &said;
	h->last_byte = clock_monotonic_ms();
	h->idle = false;
	h->reason[0] = h->value[0] = '\0';
	buf_reset(reply);
	buf_puts(&url, h->base);
	buf_puts(&url, path);
	bad = buf_ok(&url, err);
	if (bad)
		goto out;
	q->url = url.p;
	const CURLcode code = perform(h, q);
	if (code == CURLE_OK) {
		(void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, status);
		note_certificate(h);
	} else if (said.code) {
		*err = said;
	} else {
		(void)failed(h, code, q->method, path, err);
	}
	bad = code == CURLE_OK ? 0 : -1;
out:
	buf_release(&url);
	h->reply = NULL;
	h->stream = NULL;
	h->err = NULL;
	return bad;
}

int http_call(struct http *h, const char *method, const char *path, const void *body, size_t body_n,
              const char *content_type, long call_ms, struct buf *reply, long *status, struct err *err)
{
	struct request q = {.method = method,
	                    .body = body,
	                    .body_n = body_n,
	                    .content_type = content_type,
	                    .limit_ms = call_ms ? call_ms : h->call_ms};

	return run(h, &q, path, reply, status, err);
}

int http_stream(struct http *h, const char *method, const char *path, const char *const *headers,
                const struct http_stream *stream, struct buf *reply, long *status, struct err *err)
{
	struct request q = {.method = method, .headers = headers, .content_type = stream->content_type};

	h->stream = stream;
	return run(h, &q, path, reply, status, err);
}

void http_cancel(struct http *h)
{
	if (h->tasks)
		tasks_cancel(h->tasks, h->curl);
}
