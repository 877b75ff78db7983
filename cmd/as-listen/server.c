/* HTTP by libmicrohttpd, driven from our own loop: one thread, one store handle, no locks. libmicrohttpd's time limit
 * is for silence; ours is for a whole request, so that one byte now and then does not hold a connection for ever. */
#include "base/clock.h"
#include "cmd/as-listen/listen.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/banned.h"

#define HEAD_MAX (32u * 1024u) /* memory of a connection: request line, headers, a block of the body */
#define FRESH_MS 1000          /* when stopping: how long a new connection may take to begin its request */

struct connection {
	struct connection *next, *prev;
	int fd;
	int64_t deadline; /* by loop_now() */
	bool busy, used;  /* a request is in hand; one was before */
};

struct server {
	struct listen *l;
	struct MHD_Daemon *daemon;
	struct connection *connections;
	int64_t request_ms;
	int64_t lost; /* ms that our own work took: no connection pays for them */
	int epoll;
	bool stopping;
	char log[256]; /* libmicrohttpd's last word */
};

static volatile sig_atomic_t hangups;

static void on_hangup(int sig)
{
	(void)sig;
	hangups = 1;
}

static int64_t loop_now(const struct server *s) { return clock_monotonic_ms() - s->lost; }

static void on_log(void *ctx, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_log(void *ctx, const char *fmt, va_list ap)
{
	struct server *s = ctx;

	(void)vsnprintf(s->log, sizeof s->log, fmt, ap);
	s->log[strcspn(s->log, "\n")] = '\0';
	if (s->daemon)
		front_say(s->l->front, "%s", s->log);
}

/* ---- connections ---- */

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
	struct server *s = ctx;
	struct connection *c = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (!fd || !(c = calloc(1, sizeof *c)))
			return; /* its first request is refused, see on_request */
		c->fd = fd->connect_fd;
		c->deadline = loop_now(s) + (s->stopping ? FRESH_MS : s->request_ms);
		c->next = s->connections;
		if (c->next)
			c->next->prev = c;
		s->connections = c;
		*socket_context = c;
	} else if (c) {
		*(c->prev ? &c->prev->next : &s->connections) = c->next;
		if (c->next)
			c->next->prev = c->prev;
		free(c);
		*socket_context = NULL;
	}
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *i = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return i ? i->socket_context : NULL;
}

/* libmicrohttpd sees the end of the stream and lets the connection go. */
static void cut(struct connection *c)
{
	(void)shutdown(c->fd, SHUT_RDWR);
	c->deadline = INT64_MAX;
}

/* Cuts what is over its time; gives the ms until the next one is, at most `most`. */
static int64_t cut_late(struct server *s, int64_t most)
{
	const int64_t now = loop_now(s);

	for (struct connection *c = s->connections; c; c = c->next) {
		if (c->deadline <= now)
			cut(c);
		else if (c->deadline - now < most)
			most = c->deadline - now;
	}
	return most;
}

/* ---- requests ---- */

static const char *header(struct MHD_Connection *mhd, const char *name)
{
	return MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, name);
}

static enum MHD_Result on_param(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	request_param(ctx, name, value ? value : "");
	return MHD_YES;
}

static struct request *begin(struct server *s, struct MHD_Connection *mhd, const char *path, const char *method)
{
	const union MHD_ConnectionInfo *peer = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	struct request *r = calloc(1, sizeof *r);
	const char *length = header(mhd, "Content-Length");

	if (!r)
		return NULL;
	r->began = clock_monotonic_ms();
	r->body.max = s->l->max_body;
	r->answer.max = 64u * 1024u;
	(void)snprintf(r->method, sizeof r->method, "%s", method);
	(void)snprintf(r->path, sizeof r->path, "%s", path);
	if (peer && peer->client_addr)
		endpoint_client(peer->client_addr, r->client, &r->local, r->peer, sizeof r->peer);
	r->authorization = header(mhd, "Authorization");
	r->timestamp = header(mhd, "X-Autoscale-Timestamp");
	r->signature = header(mhd, "X-Autoscale-Signature");
	r->origin = header(mhd, "Origin") != NULL;
	r->length = length ? strtoull(length, NULL, 10) : 0;
	(void)MHD_get_connection_values(mhd, MHD_GET_ARGUMENT_KIND, on_param, r);
	request_begin(s->l, r);
	return r;
}

static enum MHD_Result send_answer(struct server *s, struct MHD_Connection *mhd, struct request *r)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(r->answer.n, r->answer.p, MHD_RESPMEM_MUST_COPY);
	char number[24];

	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", r->type);
	if (r->allow)
		(void)MHD_add_response_header(response, "Allow", r->allow);
	if (r->challenge)
		(void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"as-listen\"");
	(void)snprintf(number, sizeof number, "%lld", (long long)r->retry_after);
	if (r->retry_after)
		(void)MHD_add_response_header(response, "Retry-After", number);
	if (s->stopping)
		(void)MHD_add_response_header(response, "Connection", "close");
	const enum MHD_Result queued = MHD_queue_response(mhd, (unsigned)r->status, response);
	MHD_destroy_response(response);
	return queued;
}

/* Called at the head (*context NULL), for each part of the body, and at its end (*n 0). */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *n, void **context)
{
	struct server *s = ctx;
	struct request *r = *context;
	struct connection *c = connection_of(mhd);

	(void)version;
	if (!c)
		return MHD_NO;
	if (!r) {
		if (!(r = begin(s, mhd, path, method)))
			return MHD_NO;
		*context = r;
		c->busy = true;
		/* Whoever asks first is told before the body is on its way. */
		return r->status && header(mhd, "Expect") ? send_answer(s, mhd, r) : MHD_YES;
	}
	if (*n) {
		request_body(s->l, r, upload, *n);
		*n = 0;
		return MHD_YES;
	}
	const int64_t from = clock_monotonic_ms();
	request_end(s->l, r);
	s->lost += clock_monotonic_ms() - from;
	return send_answer(s, mhd, r);
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	struct server *s = ctx;
	struct request *r = *context;
	struct connection *c = connection_of(mhd);

	if (!r)
		return;
	request_over(s->l, r, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	request_release(s->l, r);
	free(r);
	*context = NULL;
	if (!c)
		return;
	c->busy = false;
	c->used = true;
	c->deadline = loop_now(s) + s->request_ms;
}

/* ---- the loop ---- */

struct server *server_start(struct listen *l, const struct endpoint *e, const struct server_options *o, struct err *err)
{
	struct server *s = calloc(1, sizeof *s);
	const struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
		{MHD_OPTION_END, 0, NULL}};
	const unsigned limit = (unsigned)o->max_connections;

	if (!s) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	s->l = l;
	s->request_ms = o->request_ms;
	s->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (o->cert ? MHD_USE_TLS : 0), 0, NULL, NULL, on_request, s,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, s, MHD_OPTION_LISTEN_SOCKET, e->fd, MHD_OPTION_CONNECTION_LIMIT, limit,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, limit / 2, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, o->cert ? tls : tls + 3, MHD_OPTION_END);
	const union MHD_DaemonInfo *epoll = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!epoll) {
		(void)err_set(err, ERR_CONFIG, "cannot serve%s: %s",
		              o->cert ? " (do --tls-cert and --tls-key belong together?)" : "", s->log);
		server_free(s);
		return NULL;
	}
	s->epoll = epoll->epoll_fd;
	return s;
}

/* One turn: wait, serve what is there, cut what is late. Signals arrive only while it waits. */
static int turn(struct server *s, const sigset_t *waiting, struct err *err)
{
	struct pollfd p = {.fd = s->epoll, .events = POLLIN};
	const union MHD_DaemonInfo *info;
	MHD_UNSIGNED_LONG_LONG soon;
	int64_t ms = cut_late(s, 60000);

	if (MHD_get_timeout(s->daemon, &soon) == MHD_YES && (int64_t)soon < ms)
		ms = (int64_t)soon;
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	if (ppoll(&p, 1, &t, waiting) < 0 && errno != EINTR)
		return err_set(err, ERR_TEMPORARY, "cannot wait for requests: %s", strerror(errno));
	(void)MHD_run(s->daemon);
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	s->l->connections = info ? (int)info->num_connections : 0;
	return 0;
}

/* Those that sent a request before and none now are let go; a new one has a moment to begin. */
static void let_go(struct server *s)
{
	const int64_t soon = loop_now(s) + FRESH_MS;

	for (struct connection *c = s->connections; c; c = c->next) {
		if (!c->busy && c->used && c->deadline != INT64_MAX)
			cut(c);
		else if (!c->busy && c->deadline > soon && c->deadline != INT64_MAX)
			c->deadline = soon;
	}
}

static int drain(struct server *s, const sigset_t *waiting, struct err *err)
{
	int bad = 0;

	(void)MHD_run(s->daemon); /* takes what has connected already */
	(void)MHD_quiesce_daemon(s->daemon);
	s->stopping = true;
	while (!bad && s->connections) {
		let_go(s);
		bad = turn(s, waiting, err);
	}
	return bad;
}

int server_run(struct server *s, void (*hangup)(void *ctx), void *ctx, struct err *err)
{
	const struct sigaction act = {.sa_handler = on_hangup};
	sigset_t held, waiting;
	int bad = 0;

	(void)sigaction(SIGHUP, &act, NULL);
	(void)sigemptyset(&held);
	(void)sigaddset(&held, SIGTERM);
	(void)sigaddset(&held, SIGINT);
	(void)sigaddset(&held, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &held, &waiting);
	while (!bad && !front_stopping() && s->l->output.code == ERR_NONE) {
		bad = turn(s, &waiting, err);
		if (hangups) {
			hangups = 0;
			hangup(ctx);
		}
	}
	if (!bad)
		bad = drain(s, &waiting, err);
	(void)sigprocmask(SIG_SETMASK, &waiting, NULL);
	if (!bad && s->l->output.code != ERR_NONE) {
		*err = s->l->output;
		bad = -1;
	}
	return bad;
}

void server_free(struct server *s)
{
	if (s && s->daemon)
		MHD_stop_daemon(s->daemon);
	free(s);
}
