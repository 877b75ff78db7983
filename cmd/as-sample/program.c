/* exec:PROGRAM, a number that a program prints. It runs without a shell, in a process group of its own, which ends with
 * it. */
#include "cmd/as-sample/sample.h"

#include "base/clock.h"
#include "base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define ARGS_MAX 64
#define TEXT_MAX (64u * 1024u)
#define ERRORS_MAX (1024u * 1024u)
#define LINE_SIZE 200
#define BLOCKS 32  /* read at a time: who writes without end shall not hold up all others */
#define LOOK_MS 20 /* where the kernel has no descriptors of processes (before Linux 5.3) */
#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct program {
	const struct sampling *m;
	char file[PATH_MAX];
	char *argv[ARGS_MAX + 1]; /* into words */
	char words[METRIC_NAME + SERVICE_NAME_MAX * 8];
	char *env[4];
	char variables[3][PATH_MAX];
	pid_t pid;
	int in, out, errors;  /* its standard input, a file; our ends of its outputs */
	int ended;            /* its descriptor, or -1 */
	struct buf text;      /* what it prints */
	char line[LINE_SIZE]; /* on standard error, the line in hand */
	size_t line_n;
	size_t errors_n;      /* bytes on standard error */
	char last[LINE_SIZE]; /* the last one that is not empty */
};

/* ---- which program ---- */

/* A word that a tenant may hand to a program: no option, no path. */
static bool is_harmless(const char *word) { return *word != '-' && !strchr(word, '/') && strcmp(word, "..") != 0; }

static int split(struct program *p, bool trusted, struct err *err)
{
	size_t n = 0;
	char *save = NULL;

	for (char *w = strtok_r(p->words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (n == ARGS_MAX)
			return err_set(err, ERR_LIMIT, "more than %d arguments", ARGS_MAX - 1);
		if (n && !trusted && !is_harmless(w))
			return err_set(err, ERR_REFUSED,
			               "only a policy in the store may give the argument %s: a label gives words without a slash "
			               "that do not begin with a dash",
			               w);
		p->argv[n++] = w;
	}
	return n ? 0 : err_set(err, ERR_INPUT, "no program is named: exec:PROGRAM");
}

static int find(struct program *p, bool trusted, struct err *err)
{
	const char *folder = p->m->s->f.conf.metrics.programs, *name = p->argv[0];

	if (*name == '/' && !trusted)
		return err_set(err, ERR_REFUSED,
		               "only a policy in the store may name the path %s: a label names a program in %s", name, folder);
	if (*name != '/' && (*name == '.' || strchr(name, '/')))
		return err_set(err, ERR_REFUSED, "%s is no name of a program in %s", name, folder);
	if (*name != '/' && trust_folder(folder, err) < 0)
		return -1;
	const int n =
		snprintf(p->file, sizeof p->file, "%s%s%s", *name == '/' ? "" : folder, *name == '/' ? "" : "/", name);
	if (n < 0 || (size_t)n >= sizeof p->file)
		return err_set(err, ERR_LIMIT, "the path of %.80s is too long", name);
	return trust_program(p->file, err);
}

/* ---- its start ---- */

static void set_variables(struct program *p)
{
	const char *path = getenv("PATH");
	char now[CLOCK_TEXT];

	clock_format(p->m->now, now);
	(void)snprintf(p->variables[0], sizeof *p->variables, "AUTOSCALE_SERVICE=%s", p->m->service);
	(void)snprintf(p->variables[1], sizeof *p->variables, "AUTOSCALE_NOW=%s", now);
	(void)snprintf(p->variables[2], sizeof *p->variables, "PATH=%s", path && *path ? path : USUAL_PATH);
	for (size_t i = 0; i < 3; i++)
		p->env[i] = p->variables[i];
}

/* The record, in a file: it need not read it. */
static int open_input(struct program *p, struct err *err)
{
	const struct jv record = p->m->r->whole;

	p->in = memfd_create("record", MFD_CLOEXEC);
	if (p->in >= 0 && write(p->in, record.p, record.n) == (ssize_t)record.n && write(p->in, "\n", 1) == 1 &&
	    lseek(p->in, 0, SEEK_SET) == 0)
		return 0;
	return err_set(err, ERR_TEMPORARY, "no file for a program's input: %s", strerror(errno));
}

/* The child becomes the program. From here to its exec: nothing but system calls, as between any fork and exec. */
static void become(const struct program *p, int out, int errors)
{
	sigset_t none;

	if (dup2(p->in, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0 || chdir("/") < 0)
		_exit(126);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	(void)close_range(3, ~0U, 0);
#endif
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* tasks have all blocked */
	(void)execve(p->file, p->argv, p->env);
	const char *why = strerrordesc_np(errno);
	(void)!write(2, why ? why : "", why ? strlen(why) : 0);
	_exit(126);
}

static void end_group(int sig)
{
	(void)sig;
	(void)kill(0, SIGKILL);
}

/* The leader of the program's group, which ends as the program does. Where we are killed, it ends the whole group:
 * nothing shall sleep on for good that nobody waits for. */
static void lead(const struct program *p, int out, int errors, pid_t parent)
{
	const struct sigaction act = {.sa_handler = end_group};
	sigset_t term;
	int status;

	(void)setpgid(0, 0);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	const pid_t pid = fork();
	if (pid == 0)
		become(p, out, errors);
	if (pid < 0)
		_exit(126);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
	(void)close_range(0, ~0U, 0);
#endif
	(void)sigfillset(&term);
	(void)sigdelset(&term, SIGTERM);
	(void)sigprocmask(SIG_SETMASK, &term, NULL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		(void)sigemptyset(&term);
		(void)signal(WTERMSIG(status), SIG_DFL);
		(void)sigprocmask(SIG_SETMASK, &term, NULL);
		(void)kill(getpid(), WTERMSIG(status));
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
}

static int start(struct program *p, struct err *err)
{
	const pid_t self = getpid();
	int out[2], errors[2];

	if (open_input(p, err) < 0)
		return -1;
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_set(err, ERR_TEMPORARY, "no pipe for a program: %s", strerror(errno));
	if (pipe2(errors, O_CLOEXEC) < 0) {
		(void)close(out[0]);
		(void)close(out[1]);
		return err_set(err, ERR_TEMPORARY, "no pipe for a program: %s", strerror(errno));
	}
	p->pid = fork();
	if (p->pid == 0)
		lead(p, out[1], errors[1], self);
	const int why = errno;
	(void)close(out[1]);
	(void)close(errors[1]);
	p->out = out[0];
	p->errors = errors[0];
	if (p->pid < 0)
		return err_set(err, ERR_TEMPORARY, "cannot start %s: %s", p->file, strerror(why));
	(void)setpgid(p->pid, p->pid); /* whoever of us is first */
	(void)fcntl(p->out, F_SETFL, O_NONBLOCK);
	(void)fcntl(p->errors, F_SETFL, O_NONBLOCK);
#ifdef SYS_pidfd_open
	p->ended = (int)syscall(SYS_pidfd_open, p->pid, 0);
#endif
	return 0;
}

/* ---- what it says ---- */

static void end_line(struct program *p)
{
	p->line[p->line_n] = '\0';
	if (p->line_n) {
		memcpy(p->last, p->line, p->line_n + 1);
		front_say(&p->m->s->f, "%s, %s: %s", p->m->service, p->file, p->line);
	}
	p->line_n = 0;
}

static void take_errors(struct program *p, const char *block, size_t n)
{
	p->errors_n += n;
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)block[i];
		if (c == '\n')
			end_line(p);
		else if (p->line_n < sizeof p->line - 1)
			p->line[p->line_n++] = c < ' ' || c == 127 ? ' ' : (char)c;
	}
}

/* What is there, and no more than a pipe holds. Closed: *fd is -1. */
static void drain(struct program *p, int *fd)
{
	char block[4096];
	ssize_t n = 1;

	for (int i = 0; *fd >= 0 && n > 0 && i < BLOCKS; i++) {
		n = read(*fd, block, sizeof block);
		if (n > 0 && fd == &p->out)
			buf_put(&p->text, block, (size_t)n);
		else if (n > 0)
			take_errors(p, block, (size_t)n);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			(void)close(*fd);
			*fd = -1;
		}
	}
}

/* It has ended, and can still be asked how. */
static bool has_ended(const struct program *p)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == p->pid;
}

/* Until it ends. What it left running may hold its outputs open: nobody waits for that. */
static int follow(struct program *p, struct err *err)
{
	const int64_t limit = p->m->s->f.conf.metrics.program_ms, until = clock_monotonic_ms() + limit;

	for (;;) {
		const bool ended = has_ended(p);
		drain(p, &p->out);
		drain(p, &p->errors);
		if (p->text.failed)
			return err_set(err, ERR_LIMIT, "%s prints more than %u bytes: it was ended", p->file, TEXT_MAX);
		if (p->errors_n > ERRORS_MAX)
			return err_set(err, ERR_LIMIT, "%s prints more than %u bytes of errors: it was ended", p->file, ERRORS_MAX);
		if (ended)
			return 0;
		const int64_t left = until - clock_monotonic_ms();
		if (left <= 0)
			return err_set(err, ERR_UNAVAILABLE, "%s took longer than %lld.%03lld s: it was ended", p->file,
			               (long long)limit / 1000, (long long)limit % 1000);
		/* A negative descriptor is passed over. */
		struct pollfd fds[3] = {
			{.fd = p->out, .events = POLLIN}, {.fd = p->errors, .events = POLLIN}, {.fd = p->ended, .events = POLLIN}};
		(void)tasks_poll(p->m->s->hosts.tasks, fds, 3, p->ended >= 0 || left < LOOK_MS ? left : LOOK_MS);
	}
}

static int judge(struct program *p, int status, struct reply *reply, struct err *err)
{
	const char *colon = *p->last ? ": " : "";

	end_line(p);
	if (WIFSIGNALED(status))
		return err_set(err, ERR_REMOTE, "%s was ended by signal %d%s%s", p->file, WTERMSIG(status), colon, p->last);
	if (WEXITSTATUS(status))
		return err_set(err, ERR_REMOTE, "%s ended with status %d%s%s", p->file, WEXITSTATUS(status), colon, p->last);
	return reply_parse(p->text.p, p->text.n, reply, err) < 0 ? err_prefix(err, "%s prints", p->file) : 0;
}

static int run(struct program *p, struct reply *reply, struct err *err)
{
	int status = 0, bad;

	set_variables(p);
	bad = start(p, err);
	if (p->pid > 0) {
		bad = follow(p, err);
		/* Before its number is given away: the group has the same one. */
		(void)kill(-p->pid, SIGKILL);
		while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!bad)
			bad = judge(p, status, reply, err);
	}
	const int fds[] = {p->in, p->out, p->errors, p->ended};
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	buf_release(&p->text);
	return bad;
}

void sample_program(struct sampling *m, const struct metric *metric)
{
	struct program *p = calloc(1, sizeof *p);
	struct reply reply = {0};
	char source[METRIC_NAME];
	struct err err;

	const char *text = metric_text(metric, "exec:", &reply.per);
	const enum metric_per per = reply.per;
	(void)snprintf(source, sizeof source, "exec:%.*s", (int)strcspn(text, " "), text);
	int bad = p ? 0 : err_set(&err, ERR_TEMPORARY, "out of memory");
	if (!bad) {
		*p = (struct program){.m = m, .in = -1, .out = -1, .errors = -1, .ended = -1, .text = BUF_INIT(TEXT_MAX)};
		bad = metric_expand(m, text, p->words, sizeof p->words, &err) < 0 || split(p, metric->trusted, &err) < 0 ||
		      find(p, metric->trusted, &err) < 0 || run(p, &reply, &err) < 0;
	}
	free(p);
	if (bad) {
		put_failure(m, metric->name, per, source, &err);
		return;
	}
	put_reading(m, &(struct reading){.name = metric->name,
	                                 .per = reply.per,
	                                 .unit = reply.unit,
	                                 .source = source,
	                                 .micro = reply.micro,
	                                 .at = reply.at == TIME_NONE ? clock_now_ms() : reply.at});
}
