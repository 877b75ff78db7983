/* Each subject in a process of its own, all at the same time, with a limit for each. */
#include "base/buf.h"
#include "base/clock.h"
#include "cmd/as-doctor/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define AT_ONCE 64
#define LIMIT_MS 20000 /* of one subject: its clients' own limits, 2 s to connect and 10 s for a call, come before */
#define FOUND_MAX (1024u * 1024u)

struct bed {
	pid_t pid; /* 0: not begun */
	int fd;    /* what it found; -1: all was read */
	int64_t until;
	bool done, late;
	int status; /* of waitpid */
	struct buf found;
};

/* ---- in the process: a byte for the level, then three texts, each with its NUL ---- */

static void send_finding(void *ctx, const struct finding *f)
{
	struct buf b = BUF_INIT(8192);
	const int fd = *(const int *)ctx;

	buf_putc(&b, (char)('0' + (int)f->level));
	buf_put(&b, f->what, strlen(f->what) + 1);
	buf_put(&b, f->found, strlen(f->found) + 1);
	buf_put(&b, f->mend, strlen(f->mend) + 1);
	for (size_t at = 0; !b.failed && at < b.n;) {
		const ssize_t n = write(fd, b.p + at, b.n - at);
		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	buf_release(&b);
}

_Noreturn static void be_tried(const struct doctor *d, const struct subject *s, pid_t parent, int fd)
{
	const struct findings to = {send_finding, &fd};
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)setpgid(0, 0); /* with what it starts, for the end */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || null < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(1);
	s->check(d, s->i, &to);
	_exit(0);
}

/* ---- in the parent ---- */

static int begin(const struct doctor *d, const struct subject *s, struct bed *b, struct err *err)
{
	const pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, ERR_TEMPORARY, "cannot make a pipe: %s", strerror(errno));
	b->pid = fork();
	if (b->pid == 0)
		be_tried(d, s, parent, ends[1]);
	(void)close(ends[1]);
	if (b->pid < 0) {
		(void)close(ends[0]);
		b->pid = 0;
		return err_set(err, ERR_TEMPORARY, "cannot start a process: %s", strerror(errno));
	}
	b->fd = ends[0];
	b->until = clock_monotonic_ms() + LIMIT_MS;
	return 0;
}

static void end(struct bed *b)
{
	/* Its process group is made by itself, which may not have come so far. */
	if (b->late && kill(-b->pid, SIGKILL) < 0)
		(void)kill(b->pid, SIGKILL);
	while (waitpid(b->pid, &b->status, 0) < 0 && errno == EINTR)
		;
	(void)close(b->fd);
	b->fd = -1;
	b->done = true;
}

static void read_more(struct bed *b)
{
	char block[16384];
	const ssize_t n = read(b->fd, block, sizeof block);

	if (n > 0)
		buf_put(&b->found, block, (size_t)n);
	else if (n == 0 || errno != EINTR)
		end(b);
}

/* Waits until something comes, or the time of one is over. */
static void wait_some(struct bed *beds, size_t n)
{
	struct pollfd fds[AT_ONCE];
	size_t of[AT_ONCE], nfds = 0;
	int64_t now = clock_monotonic_ms(), least = LIMIT_MS;

	for (size_t i = 0; i < n && nfds < AT_ONCE; i++) {
		if (!beds[i].pid || beds[i].done)
			continue;
		least = beds[i].until - now < least ? beds[i].until - now : least;
		fds[nfds] = (struct pollfd){.fd = beds[i].fd, .events = POLLIN};
		of[nfds++] = i;
	}
	(void)poll(fds, nfds, least < 0 ? 0 : (int)least + 1);
	now = clock_monotonic_ms();
	for (size_t i = 0; i < nfds; i++) {
		struct bed *b = &beds[of[i]];
		if (fds[i].revents) {
			read_more(b);
		} else if (now >= b->until) {
			b->late = true;
			end(b);
		}
	}
}

/* The next whole text; NULL: it was cut off. */
static const char *next_text(const char **p, const char *stop)
{
	const char *from = *p, *nul = from < stop ? memchr(from, '\0', (size_t)(stop - from)) : NULL;

	if (nul)
		*p = nul + 1;
	return nul ? from : NULL;
}

static int tell(const struct subject *s, const struct bed *b, told_fn told, void *ctx, struct err *err)
{
	const char *p = b->found.p, *stop = p ? p + b->found.n : NULL;
	struct finding f = {.level = FINDING_FAIL, .what = "check"};
	char found[FINDING_TEXT];

	while (p && p < stop) {
		struct finding one = {.level = (enum finding_level)(*p++ - '0')};
		if (!(one.what = next_text(&p, stop)) || !(one.found = next_text(&p, stop)) ||
		    !(one.mend = next_text(&p, stop)))
			break;
		if (told(ctx, s, &one, err) < 0)
			return -1;
	}
	if (b->late) {
		(void)snprintf(found, sizeof found, "not done within %d s: somebody does not answer", LIMIT_MS / 1000);
		f.mend = "look at the machine, and at the way to it: it takes connections, and then says nothing";
	} else if (!WIFEXITED(b->status) || WEXITSTATUS(b->status)) {
		(void)snprintf(found, sizeof found, "the process that tried it ended %s %d",
		               WIFSIGNALED(b->status) ? "by signal" : "with status",
		               WIFSIGNALED(b->status) ? WTERMSIG(b->status) : WEXITSTATUS(b->status));
		f.mend = "run it again; if it stays, report it as a bug, with what `as-doctor --version` and the check "
				 "\"program\" say";
	} else {
		return 0;
	}
	f.found = found;
	return told(ctx, s, &f, err);
}

int try_all(const struct doctor *d, const struct subject *subjects, size_t n, told_fn told, void *ctx, struct err *err)
{
	struct bed *beds = calloc(n ? n : 1, sizeof *beds);
	size_t begun = 0, ended = 0;
	int rc = beds ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; rc == 0 && i < n; i++)
		beds[i].found = (struct buf)BUF_INIT(FOUND_MAX);
	for (size_t at = 0; rc == 0 && at < n;) {
		while (rc == 0 && begun < n && begun - ended < AT_ONCE) {
			rc = begin(d, &subjects[begun], &beds[begun], err);
			begun += rc == 0;
		}
		if (rc == 0)
			wait_some(beds, n);
		ended = 0;
		for (size_t i = 0; i < n; i++)
			ended += beds[i].done;
		for (; rc == 0 && at < n && beds[at].done; at++)
			rc = tell(&subjects[at], &beds[at], told, ctx, err);
	}
	for (size_t i = 0; beds && i < n; i++) {
		if (beds[i].pid && !beds[i].done) {
			beds[i].late = true;
			end(&beds[i]);
		}
		buf_release(&beds[i].found);
	}
	free(beds);
	return rc;
}
