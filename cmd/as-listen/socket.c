/* The listening socket: from a service manager, or made here. */
#include "cmd/as-listen/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/banned.h"

#define PASSED_FIRST 3 /* SD_LISTEN_FDS_START */

static bool is_local(const struct sockaddr *a)
{
	if (a->sa_family == AF_UNIX)
		return true;
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
	}
	if (a->sa_family != AF_INET6)
		return false;
	const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static void show(const struct sockaddr *a, socklen_t n, char *out, size_t size)
{
	char host[64] = "?", port[16] = "?";

	if (a->sa_family == AF_UNIX) {
		(void)snprintf(out, size, "unix:%s", ((const struct sockaddr_un *)(const void *)a)->sun_path);
		return;
	}
	(void)getnameinfo(a, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(out, size, a->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void endpoint_client(const struct sockaddr *peer, unsigned char client[CLIENT_BYTES], bool *local, char *shown,
                     size_t size)
{
	char host[64] = "?";

	memset(client, 0, CLIENT_BYTES);
	*local = is_local(peer);
	if (peer->sa_family == AF_INET) {
		client[0] = 4;
		memcpy(client + 1, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
		(void)getnameinfo(peer, sizeof(struct sockaddr_in), host, sizeof host, NULL, 0, NI_NUMERICHOST);
	} else if (peer->sa_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
		client[0] = 6;
		if (IN6_IS_ADDR_V4MAPPED(six))
			memcpy(client + 1, six->s6_addr + 12, 4);
		else
			memcpy(client + 1, six->s6_addr, 8); /* a host commands all of its /64 */
		(void)getnameinfo(peer, sizeof(struct sockaddr_in6), host, sizeof host, NULL, 0, NI_NUMERICHOST);
	} else {
		(void)snprintf(host, sizeof host, "unix");
	}
	(void)snprintf(shown, size, "%s", host);
}

/* A number from the environment; -1: none. */
static long env_number(const char *name)
{
	const char *text = getenv(name);
	char *end = NULL;
	const long v = text && *text ? strtol(text, &end, 10) : -1;

	return end && !*end ? v : -1;
}

/* sd_listen_fds(3): LISTEN_PID says whom they are for, LISTEN_FDS how many. 1: there is one; 0: none. */
static int passed(int *fd, struct err *err)
{
	const long pid = env_number("LISTEN_PID"), n = env_number("LISTEN_FDS");
	int listening = 0;
	socklen_t size = sizeof listening;

	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (pid != (long)getpid() || n <= 0)
		return 0;
	if (n != 1)
		return err_set(err, ERR_CONFIG, "%ld sockets were passed, one is taken: make a unit for each", n);
	if (getsockopt(PASSED_FIRST, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
		return err_set(err, ERR_CONFIG, "the descriptor that was passed is no listening socket: set Accept=no");
	*fd = PASSED_FIRST;
	return 1;
}

/* "127.0.0.1:9197", "[::1]:0", "localhost:80": no name but that one, so that what it means does not depend on DNS. */
static int resolve(const char *text, struct sockaddr_storage *out, socklen_t *n, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	                               .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	const char *colon = strrchr(text, ':');
	const size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	struct addrinfo *found = NULL;
	char host[64];
	size_t len = colon ? (size_t)(colon - text) : 0;

	const bool six = len > 2 && text[0] == '[' && text[len - 1] == ']';
	if (six) {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof host || !colon[1] || (!six && memchr(text, ':', len)))
		return err_set(err, ERR_USAGE, "--listen wants ADDRESS:PORT, such as 127.0.0.1:9197 or [::1]:9197");
	memcpy(host, text, len);
	host[len] = '\0';
	if (strcmp(host, "localhost") == 0)
		(void)snprintf(host, sizeof host, "127.0.0.1");
	/* getaddrinfo(3) takes a port of any size, by its last 16 bits */
	if (!digits || digits > 5 || colon[1 + digits] || strtol(colon + 1, NULL, 10) > 65535 ||
	    getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return err_set(err, ERR_USAGE, "--listen: no numeric address and port: %s:%s", host, colon + 1);
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*n = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int make(const char *address, int *fd, struct err *err)
{
	struct sockaddr_storage a = {0};
	socklen_t n = 0;
	const int on = 1;

	if (resolve(address, &a, &n, err) < 0)
		return -1;
	*fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd >= 0)
		(void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (*fd >= 0 && bind(*fd, (struct sockaddr *)&a, n) == 0 && listen(*fd, SOMAXCONN) == 0)
		return 0;
	const int error = errno;
	if (*fd >= 0)
		(void)close(*fd);
	if (error == EADDRINUSE)
		return err_set(err, ERR_UNAVAILABLE, "%s is in use: give --listen another port", address);
	if (error == EACCES || error == EPERM)
		return err_set(err, ERR_DENIED, "may not listen on %s: give --listen a port from 1024 up", address);
	return err_set(err, ERR_CONFIG, "cannot listen on %s: %s", address, strerror(error));
}

int endpoint_open(const char *address, struct endpoint *e, struct err *err)
{
	struct sockaddr_storage a = {0};
	socklen_t n = sizeof a;
	const int there = passed(&e->fd, err);

	if (there < 0 || (!there && make(address, &e->fd, err) < 0))
		return -1;
	if (getsockname(e->fd, (struct sockaddr *)&a, &n) < 0 || fcntl(e->fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(e->fd, F_SETFL, fcntl(e->fd, F_GETFL) | O_NONBLOCK) < 0)
		return err_set(err, ERR_CONFIG, "the listening socket: %s", strerror(errno));
	e->local = is_local((struct sockaddr *)&a);
	show((struct sockaddr *)&a, n, e->shown, sizeof e->shown);
	return 0;
}
