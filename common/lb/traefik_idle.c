/* Is anything at work at a server? Traefik has no gauge of that. Two things prove that nothing is:
 *
 * - The table of TCP connections of the network namespace that Traefik is in: the file gives it no kept connections to
 *   servers (traefik_file.c), so each one that is open is a request. It is ours to read when the process that listens
 *   at `admin`'s port on this machine is Traefik itself (and not, say, the proxy of a published port, behind which it
 *   has a table of its own), or when `container` says in which container it is.
 * - Its entry points have no connection at all.
 *
 * What a middleware holds back before it is sent on, such as a body that is buffered, only the second sees. */
#include "lb/traefik.h"

#include "base/clock.h"
#include "base/limits.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define STEP_MS 50
#define QUIET 2      /* looks in a row: between the choice of a server and the connection to it nothing is seen */
#define SHARED_MS 20 /* less than STEP_MS: the second look of a wait is later than what it waits for */
#define SOUGHT_MS 5000
#define PROCESS "traefik"
#define INTERNAL "traefik" /* the entry point of the API: its connections are ours */
#define TABLE_MAX (64u * 1024u * 1024u)

enum { ESTABLISHED = 1, SYN_SENT = 2, CLOSE_WAIT = 8, LISTEN = 10 }; /* linux/tcp_states.h */

/* One line of proc(5) /proc/net/tcp: "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0
 * INODE ...". */
struct row {
	unsigned local_port, state;
	unsigned long inode;
};

/* Only the line goes to sscanf(3), which measures all of what it is given. */
static bool read_row(const char *text, struct row *r)
{
	char line[256];

	(void)snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
	return sscanf(line, " %*u: %*32[0-9A-Fa-f]:%x %*32[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu", &r->local_port,
	              &r->state, &r->inode) == 3;
}

/* The address as those tables have it: 32-bit words in the order of this machine; and that of an IPv4 address in the
 * table of IPv6. */
static void table_form(const char *address, char out[33], char mapped[33])
{
	uint32_t w[4] = {0};

	if (inet_pton(AF_INET, address, w) == 1) {
		(void)snprintf(out, 33, "%08X", w[0]);
		(void)snprintf(mapped, 33, "0000000000000000%08X%08X", htonl(0xffff), w[0]);
		return;
	}
	(void)inet_pton(AF_INET6, address, w);
	(void)snprintf(out, 33, "%08X%08X%08X%08X", w[0], w[1], w[2], w[3]);
	mapped[0] = '\0';
}

/* Connections that somebody has open, or is opening, to "REMOTE:PORT" of such a table. */
static int64_t open_at(const char *table, const char *remote, unsigned port)
{
	char needle[48];
	int64_t n = 0;

	const int len = snprintf(needle, sizeof needle, " %s:%04X ", remote, port);
	for (const char *at = table; len > 0 && (at = strstr(at, needle)); at += len) {
		const long state = strtol(at + len, NULL, 16);
		n += state == ESTABLISHED || state == SYN_SENT || state == CLOSE_WAIT;
	}
	return n;
}

static int64_t open_to(const char *table, const struct lb_server *s)
{
	char form[33], mapped[33];

	table_form(s->address, form, mapped);
	return open_at(table, form, s->port) + (*mapped ? open_at(table, mapped, s->port) : 0);
}

static bool add_file(const char *path, struct buf *table)
{
	struct err ignored;
	struct stat st;

	return lb_file_read(path, table, &st, &ignored) == 0;
}

/* ---- the same from the kernel's own interface ---- */

/* sock_diag(7): every TCP socket of this namespace in one of these states. The files under /proc also list connections
 * that ended a minute ago, of which a busy balancer has tens of thousands (half a second for 50,000). */
typedef void (*socket_fn)(void *ctx, const struct inet_diag_msg *m);

static bool ask_diag(int fd, unsigned char family, uint32_t states)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} ask = {.head = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

	ask.head.nlmsg_len = sizeof ask;
	ask.body.sdiag_family = family;
	ask.body.sdiag_protocol = IPPROTO_TCP;
	ask.body.idiag_states = states;
	return send(fd, &ask, sizeof ask, 0) == (ssize_t)sizeof ask;
}

static bool each_socket(unsigned char family, uint32_t states, socket_fn fn, void *ctx)
{
	const struct timeval limit = {.tv_sec = 1}; /* the kernel answers at once */
	_Alignas(struct nlmsghdr) char block[32768];
	const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	bool ended = false, good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
	                           ask_diag(fd, family, states);

	while (good && !ended) {
		const ssize_t got = recv(fd, block, sizeof block, 0);
		const struct nlmsghdr *m = (const void *)block;
		unsigned left = got > 0 ? (unsigned)got : 0;
		good = got > 0;
		for (; good && !ended && NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
			ended = m->nlmsg_type == NLMSG_DONE;
			good = m->nlmsg_type != NLMSG_ERROR;
			if (good && !ended && m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
				fn(ctx, NLMSG_DATA(m));
		}
	}
	if (fd >= 0)
		(void)close(fd);
	return good;
}

/* As much of a line of /proc/net/tcp as open_at reads. */
static void add_line(void *ctx, const struct inet_diag_msg *m)
{
	const uint32_t *w = m->id.idiag_dst;

	if (m->idiag_family == AF_INET)
		buf_printf(ctx, " %08X:%04X %02X\n", w[0], ntohs(m->id.idiag_dport), m->idiag_state);
	else
		buf_printf(ctx, " %08X%08X%08X%08X:%04X %02X\n", w[0], w[1], w[2], w[3], ntohs(m->id.idiag_dport),
		           m->idiag_state);
}

static bool add_open(struct buf *table)
{
	const uint32_t states = 1u << ESTABLISHED | 1u << SYN_SENT | 1u << CLOSE_WAIT;

	return each_socket(AF_INET, states, add_line, table) && each_socket(AF_INET6, states, add_line, table);
}

/* ---- whose table? ---- */

static bool has_socket(const char *pid, unsigned long inode)
{
	char path[PATH_MAX], want[64], is[64];
	const struct dirent *entry;
	bool has = false;

	(void)snprintf(want, sizeof want, "socket:[%lu]", inode);
	(void)snprintf(path, sizeof path, "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	while (dir && !has && (entry = readdir(dir))) { // cppcheck-suppress readdirCalled
		const ssize_t n = readlinkat(dirfd(dir), entry->d_name, is, sizeof is - 1);
		is[n > 0 ? n : 0] = '\0';
		has = strcmp(is, want) == 0;
	}
	if (dir)
		(void)closedir(dir);
	return has;
}

/* Does a process of Traefik's own have this socket? */
static bool is_traefiks(unsigned long inode)
{
	char path[PATH_MAX], name[32];
	const struct dirent *entry;
	bool found = false;
	DIR *dir = opendir("/proc");

	while (dir && !found && (entry = readdir(dir))) { // cppcheck-suppress readdirCalled
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		(void)snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		FILE *f = fopen(path, "re");
		if (!f)
			continue;
		const bool is = fgets(name, sizeof name, f) && strcmp(name, PROCESS "\n") == 0;
		(void)fclose(f);
		found = is && has_socket(entry->d_name, inode);
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

struct listener {
	unsigned port;
	unsigned long inode[4]; /* at one address or another */
	size_t n;
};

static void add_listener(void *ctx, const struct inet_diag_msg *m)
{
	struct listener *l = ctx;

	if (ntohs(m->id.idiag_sport) == l->port && l->n < sizeof l->inode / sizeof *l->inode)
		l->inode[l->n++] = m->idiag_inode;
}

/* Is who listens at admin's port on this machine Traefik? */
static bool is_here(const struct lb *lb)
{
	const char *host = lb->admin.host;
	struct listener l = {.port = lb->admin.port};
	struct buf table = BUF_INIT(TABLE_MAX);
	bool here = false;
	struct row r;

	if (!lb->admin.base || lb->conf->container ||
	    (strncmp(host, "127.", 4) != 0 && strcmp(host, "localhost") != 0 && strcmp(host, "[::1]") != 0))
		return false;
	if (each_socket(AF_INET, 1u << LISTEN, add_listener, &l) && each_socket(AF_INET6, 1u << LISTEN, add_listener, &l)) {
		for (size_t i = 0; !here && i < l.n; i++)
			here = is_traefiks(l.inode[i]);
		return here;
	}
	(void)add_file("/proc/net/tcp", &table);
	(void)add_file("/proc/net/tcp6", &table);
	for (const char *line = table.p; !here && line && *line; line = strchr(line, '\n'), line += line != NULL)
		here = read_row(line, &r) && r.state == LISTEN && r.local_port == lb->admin.port && is_traefiks(r.inode);
	buf_release(&table);
	return here;
}

/* ---- one look ---- */

enum sight { BLIND, HERE, CONTAINER };

static enum sight sight_of(struct lb *lb)
{
	const int64_t now = clock_monotonic_ms();

	if (lb->conf->container)
		return lb->means->exec ? CONTAINER : BLIND;
	if (!lb->view.sought_ms || now - lb->view.sought_ms > SOUGHT_MS) {
		lb->view.here = is_here(lb);
		lb->view.sought_ms = now;
	}
	return lb->view.here ? HERE : BLIND;
}

static bool read_table(const struct lb *lb, enum sight sight, struct buf *table)
{
	static const char *const argv[] = {"cat", "/proc/net/tcp", "/proc/net/tcp6", NULL};
	struct err ignored;
	int status = 0;

	buf_reset(table);
	table->max = TABLE_MAX;
	if (sight == CONTAINER)
		return lb->means->exec(lb->means->ctx, lb->conf, argv, table, &status, &ignored) == 0 && !table->failed &&
		       table->p && strstr(table->p, "local_address");
	if (add_open(table))
		return !table->failed;
	buf_reset(table);
	/* A kernel without IPv6 has no second table. */
	if (!add_file("/proc/net/tcp", table))
		return false;
	(void)add_file("/proc/net/tcp6", table);
	return !table->failed;
}

/* The table is long where many connections ended lately: servers that are waited for at the same time share one. False:
 * there is none; to be left in any case. */
static bool enter_table(struct lb *lb)
{
	struct traefik_view *v = &lb->view;

	v->gate.width = 1;
	tasks_enter(lb->means->tasks, &v->gate);
	const enum sight sight = sight_of(lb);
	if (sight == BLIND)
		return false;
	if (!v->read_ms || clock_monotonic_ms() - v->read_ms > SHARED_MS) {
		v->good = read_table(lb, sight, &v->table);
		v->read_ms = clock_monotonic_ms();
	}
	return v->good;
}

static int64_t open_now(const struct lb *lb, const struct lb_server *s)
{
	return open_to(lb->view.table.p ? lb->view.table.p : "", s);
}

int64_t traefik_connections(struct lb *lb, const struct lb_server *s)
{
	const int64_t n = enter_table(lb) ? open_now(lb, s) : -1;

	tasks_leave(lb->means->tasks, &lb->view.gate);
	return n;
}

void traefik_connections_of(struct lb *lb, const struct filed *files, size_t n, struct lb_look *look)
{
	const bool known = enter_table(lb);

	for (size_t i = 0; known && i < n; i++) {
		struct lb_seen *seen = &look->v[i];
		seen->stats.connections = 0;
		for (size_t k = 0; k < seen->n; k++) {
			seen->v[k].sessions = open_now(lb, &files[i].list.v[k]);
			seen->stats.connections += seen->v[k].sessions;
		}
	}
	tasks_leave(lb->means->tasks, &lb->view.gate);
}

/* No entry point but that of the API has a connection. False also when that is not known. */
static bool nobody_connected(struct lb *lb, struct traefik_look *look)
{
	struct traefik_sample s;
	struct err ignored;
	char point[128];
	bool some = false;

	if (!lb->admin.base || traefik_get(lb, look, "/metrics", &ignored) < 0 || !look->reply.p)
		return false;
	for (const char *at = look->reply.p; traefik_sample(&at, "traefik_open_connections", &s);) {
		traefik_label(&s, "entrypoint", point, sizeof point);
		if (strcmp(point, INTERNAL) == 0)
			continue;
		some = true;
		if (s.value > 0)
			return false;
	}
	return some;
}

void traefik_await_idle(struct lb *lb, const struct lb_server *s, int64_t wait_ms, int64_t deadline,
                        struct lb_result *result)
{
	struct traefik_look look = {0};
	int64_t open = -1;
	int quiet = 0;

	for (;;) {
		open = traefik_connections(lb, s);
		quiet = open == 0 || (open != 0 && nobody_connected(lb, &look)) ? quiet + 1 : 0;
		const int64_t left = deadline - clock_monotonic_ms();
		if (quiet >= QUIET || left <= 0)
			break;
		tasks_sleep(lb->means->tasks, left < STEP_MS ? left : STEP_MS);
	}
	if (quiet < QUIET && open > 0) {
		result->forced = true;
		(void)snprintf(result->note, sizeof result->note,
		               "connections still open after %g s: %lld; Traefik cuts none, the end of the container will",
		               (double)wait_ms / 1000, (long long)open);
	} else if (quiet < QUIET && open < 0) {
		(void)snprintf(result->note, sizeof result->note,
		               "waited for %g s: Traefik does not tell whether requests are still at work",
		               (double)wait_ms / 1000);
	}
	traefik_look_release(&look);
}
