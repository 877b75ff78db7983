#include "base/dial.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define ARGS_MAX 32
#define LINE_SIZE 240
#define TAIL_SIZE 1024
#define END_MS 1000 /* from the end of its output to the end of a program that ends by itself */

/* One running program. */
struct child {
	struct child *next;
	pid_t pid;  /* 0: it has ended */
	int fd;     /* our end */
	int found;  /* the socket that waited for us, as a file */
	int errors; /* what it says, a file in memory */
};

struct dial {
	size_t holders;
	char *argv[ARGS_MAX];
	char name[24];
	struct child *children;
	/* Of the last one. */
	int cannot; /* errno of its start */
	int status; /* exit status when it ended by itself, else 0 */
	char line[LINE_SIZE];
};

/* FNV-1a over the lane, the arguments and the NULs between them. */
static void make_name(struct dial *d, int lane)
{
	uint64_t hash = (UINT64_C(0xcbf29ce484222325) ^ (unsigned char)lane) * UINT64_C(0x100000001b3);

	for (char *const *a = d->argv; *a; a++)
		for (const char *p = *a;; p++) {
			hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
			if (!*p)
				break;
		}
	(void)snprintf(d->name, sizeof d->name, "dial:%016" PRIx64, hash);
}

struct dial *dial_new(const char *const *argv, int lane, struct err *err)
{
	struct dial *d = calloc(1, sizeof *d);

	if (!d)
		goto bad;
	d->holders = 1;
	for (size_t i = 0; argv[i]; i++)
		if (i == ARGS_MAX - 1 || !(d->argv[i] = strdup(argv[i])))
			goto bad;
	make_name(d, lane);
	return d;
bad:
	(void)err_set(err, ERR_TEMPORARY, "out of memory");
	dial_free(d);
	return NULL;
}

struct dial *dial_hold(struct dial *d)
{
	d->holders++;
	return d;
}

void dial_free(struct dial *d)
{
	if (!d || --d->holders)
		return;
	for (char **a = d->argv; *a; a++)
		free(*a);
	free(d);
}

const char *dial_name(const struct dial *d) { return d->name; }

/* ---- start and end ---- */

/* In the child, between fork and exec: nothing but system calls. Ours are closed (a lock that it held would outlive us)
 * and signals are as they are for anybody: a caller's thread may have blocked them all. */
static void become(int listener, int errors, pid_t parent, char *const argv[])
{
	static const char excuse[] = "cannot be run: ";
	struct ucred peer = {0};
	socklen_t size = sizeof peer;
	sigset_t none;
	int fd;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	/* An end of its input is not enough: what follows an engine's events ends with the next event only. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(255);
	/* Nobody but our parent is served. */
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == parent)
			break;
		(void)close(fd);
	}
	if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(errors, 2) < 0)
		_exit(255);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	(void)close_range(3, ~0U, 0);
#endif
	(void)execvp(argv[0], argv);
	const char *why = strerrordesc_np(errno);
	(void)!write(2, excuse, sizeof excuse - 1);
	(void)!write(2, why ? why : "", why ? strlen(why) : 0);
	_exit(255);
}

/* A socket that listens, and a file descriptor by which it can be found: its name is gone again before anybody else may
 * use it. libcurl keeps no connection to a socket without a path (an abstract one). */
static int listen_nameless(int *listener, int *found)
{
	const char *const folders[] = {getenv("TMPDIR"), "/tmp", "/dev/shm"};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char folder[sizeof name.sun_path - 4];

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		const int n = folders[i] ? snprintf(folder, sizeof folder, "%s/as-XXXXXX", folders[i]) : -1;
		if (n < 0 || (size_t)n >= sizeof folder || !mkdtemp(folder))
			continue;
		(void)snprintf(name.sun_path, sizeof name.sun_path, "%s/s", folder);
		*listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (*listener >= 0 && bind(*listener, (struct sockaddr *)&name, sizeof name) == 0) {
			*found = open(name.sun_path, O_PATH | O_CLOEXEC);
			(void)unlink(name.sun_path);
		}
		const int why = errno;
		(void)rmdir(folder);
		errno = why;
		return *listener >= 0 && *found >= 0 && listen(*listener, 8) == 0 ? 0 : -1;
	}
	return -1;
}

/* Starts the program behind a socket that waits for one connection; *address, which has room for *size bytes, gets its
 * path, good for as long as c is. */
static int start(struct child *c, char *const argv[], struct sockaddr *address, unsigned int *size)
{
	const pid_t self = getpid();
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int listener = -1;

	if (listen_nameless(&listener, &c->found) < 0)
		goto bad;
	const int n = snprintf(name.sun_path, sizeof name.sun_path, "/proc/self/fd/%d", c->found);
	const size_t need = offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1;
	if (need > *size) {
		errno = EMFILE;
		goto bad;
	}
	memcpy(address, &name, need);
	*size = (unsigned int)need;
	c->pid = fork();
	if (c->pid == 0)
		become(listener, c->errors, self, argv);
	if (c->pid < 0)
		goto bad;
	(void)close(listener);
	return 0;
bad:
	if (listener >= 0)
		(void)close(listener);
	return -1;
}

static void release(struct child *c)
{
	const int fds[] = {c->fd, c->found, c->errors};

	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	free(c);
}

int dial_open(struct dial *d, struct sockaddr *address, unsigned int *size)
{
	struct child *c = calloc(1, sizeof *c);

	d->cannot = d->status = 0;
	d->line[0] = '\0';
	if (!c) {
		d->cannot = ENOMEM;
		return -1;
	}
	c->found = -1;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->errors = memfd_create("errors", MFD_CLOEXEC);
	if (c->fd >= 0 && c->errors >= 0 && start(c, d->argv, address, size) == 0) {
		c->next = d->children;
		d->children = c;
		d->holders++;
		return c->fd;
	}
	d->cannot = errno;
	release(c);
	return -1;
}

/* Its last line that is not empty, without control characters. */
static void keep_line(struct dial *d, int errors)
{
	char tail[TAIL_SIZE];
	const off_t size = lseek(errors, 0, SEEK_END);
	const off_t from = size > TAIL_SIZE ? size - TAIL_SIZE : 0;
	ssize_t n = size > 0 ? pread(errors, tail, sizeof tail, from) : 0;

	while (n > 0 && strchr("\r\n ", tail[n - 1]))
		n--;
	ssize_t at = n > 0 ? n : 0;
	while (at > 0 && tail[at - 1] != '\n')
		at--;
	const size_t len = n - at < LINE_SIZE - 1 ? (size_t)(n > at ? n - at : 0) : LINE_SIZE - 1;
	memcpy(d->line, tail + at, len);
	d->line[len] = '\0';
	for (char *p = d->line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = ' ';
}

/* Waits at most END_MS for its end; its status is kept when it is not 0, and it was not we who ended it. */
static void await_end(struct dial *d, struct child *c, bool by_itself)
{
	const int64_t until = clock_monotonic_ms() + END_MS;
	int status = 0;
	pid_t got;

	while ((got = waitpid(c->pid, &status, WNOHANG)) == 0 && clock_monotonic_ms() < until)
		clock_sleep_ms(2);
	if (got == 0)
		return;
	c->pid = 0;
	if (got < 0 || !by_itself || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return;
	d->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	keep_line(d, c->errors);
}

/* One that closed its output is about to end by itself, and its status tells why. */
static void look(struct dial *d, struct child *c)
{
	char byte;
	const ssize_t got = c->pid ? recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 1;

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		await_end(d, c, true);
}

void dial_close(struct dial *d, int fd)
{
	struct child **at = &d->children;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	struct child *c = *at;
	if (!c)
		return;
	*at = c->next;
	look(d, c);
	(void)close(c->fd);
	c->fd = -1;
	if (c->pid) {
		(void)kill(c->pid, SIGTERM);
		await_end(d, c, false);
	}
	if (c->pid) {
		(void)kill(c->pid, SIGKILL);
		(void)waitpid(c->pid, NULL, 0);
	}
	release(c);
	dial_free(d);
}

/* ---- why ---- */

bool dial_failed(struct dial *d, const char *name, struct err *err)
{
	/* libcurl may not have closed it yet. */
	for (struct child *c = d->children; c; c = c->next)
		look(d, c);
	const char *line = *d->line ? d->line : "it said nothing";

	if (d->cannot) {
		(void)err_set(err, ERR_TEMPORARY, "%s: cannot run %s: %s", name, d->argv[0], strerror(d->cannot));
		return true;
	}
	if (!d->status)
		return false;
	if (d->status == 127) {
		(void)err_set(err, ERR_REMOTE,
		              "%s: no docker command there: %s (install Docker's client there, in the PATH of those who log in "
		              "without a terminal)",
		              name, line);
		return true;
	}
	if (d->status == 255 && strncmp(line, "cannot be run", 13) == 0) {
		(void)err_set(err, ERR_CONFIG, "%s: %s %s (install it, or mend PATH)", name, d->argv[0], line);
		return true;
	}
	const bool denied = strstr(line, "Permission denied") || strstr(line, "Host key verification failed") ||
	                    strstr(line, "Too many authentication failures");
	if (d->status == 255)
		(void)err_set(err, denied ? ERR_DENIED : ERR_UNAVAILABLE,
		              "%s: %s failed: %s (does it work by hand, for this user, without a question?)", name, d->argv[0],
		              line);
	else
		(void)err_set(err, ERR_UNAVAILABLE, "%s: %s ended with status %d: %s (is the engine running there?)", name,
		              d->argv[0], d->status, line);
	return true;
}
