#include "lb/file.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define LOCK_MS 10000
#define STEP_MS 5
#define ARGS_MAX 16

extern char **environ;

/* What an errno of a file means: who has to do something. */
static enum err_code code_of(int no)
{
	switch (no) {
	case ENOENT: return ERR_NOT_FOUND;
	case ENOMEM:
	case EMFILE:
	case ENFILE: return ERR_TEMPORARY;
	case ENOSPC:
	case EDQUOT:
	case EIO: return ERR_OUTPUT;
	default: return ERR_DENIED;
	}
}

int lb_file_may_lock(const char *path, struct err *err)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		return close(fd);
	return errno == ENOENT ? 0 : err_set(err, code_of(errno), "cannot open %s: %s", path, strerror(errno));
}

int lb_file_lock(struct tasks *tasks, const char *path, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + LOCK_MS;
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(err, code_of(errno), "cannot open %s: %s", path, strerror(errno));
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		const int no = errno;
		if (no != EWOULDBLOCK && no != EINTR) {
			(void)close(fd);
			return err_set(err, ERR_TEMPORARY, "cannot lock %s: %s", path, strerror(no));
		}
		if (clock_monotonic_ms() >= deadline) {
			(void)close(fd);
			return err_set(err, ERR_TEMPORARY, "%s is locked for more than %d s", path, LOCK_MS / 1000);
		}
		tasks_sleep(tasks, STEP_MS);
	}
	return fd;
}

int lb_file_read(const char *path, struct buf *text, struct stat *st, struct err *err)
{
	char block[16384];
	ssize_t n;

	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, code_of(errno), "cannot read %s: %s", path, strerror(errno));
	while ((n = read(fd, block, sizeof block)) > 0)
		buf_put(text, block, (size_t)n);
	if (n == 0)
		n = fstat(fd, st);
	const int no = errno;
	(void)close(fd);
	if (n < 0)
		return err_set(err, code_of(no), "cannot read %s: %s", path, strerror(no));
	return buf_ok(text, err) < 0 ? err_prefix(err, "%s", path) : 0;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		const ssize_t did = write(fd, p, n);
		if (did < 0 && errno == EINTR)
			continue;
		if (did <= 0)
			return -1;
		p += did;
		n -= (size_t)did;
	}
	return 0;
}

int lb_file_write(const char *temp, const struct buf *text, const struct stat *like, struct err *err)
{
	(void)unlink(temp);
	const int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, code_of(errno), "cannot create %s: %s", temp, strerror(errno));
	bool good = write_all(fd, text->p, text->n) == 0 && (!like || fchown(fd, like->st_uid, like->st_gid) == 0) &&
	            fchmod(fd, like ? like->st_mode & 07777 : 0644) == 0 && fsync(fd) == 0;
	int no = errno;
	if (close(fd) < 0 && good) {
		good = false;
		no = errno;
	}
	if (good)
		return 0;
	(void)unlink(temp);
	return err_set(err, ERR_OUTPUT, "cannot write %s: %s", temp, strerror(no));
}

/* What happened in a folder is on disk when the folder is synced; a failure of that only means a later moment. */
static void sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');

	(void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)close(fd);
}

int lb_file_rename(const char *temp, const char *path, struct err *err)
{
	if (rename(temp, path) < 0) {
		err_set(err, ERR_OUTPUT, "cannot rename %s: %s", temp, strerror(errno));
		(void)unlink(temp);
		return -1;
	}
	sync_folder(path);
	return 0;
}

int lb_file_remove(const char *path, struct err *err)
{
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_OUTPUT, "cannot remove %s: %s", path, strerror(errno));
	sync_folder(path);
	return 0;
}

/* 0, or an errno; ENOENT when none of the programs is there. */
static int spawn(const char *const *programs, char **argv, int errors, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	int rc = posix_spawn_file_actions_init(&files);

	if (rc)
		return rc;
	rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, STDIN_FILENO, STDOUT_FILENO);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
	if (!rc) {
		rc = ENOENT;
		for (; *programs && rc == ENOENT; programs++) {
			argv[0] = (char *)(uintptr_t)*programs; /* execve(2) takes no const, and changes nothing */
			rc = posix_spawnp(pid, *programs, &files, NULL, argv, environ);
		}
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* Waits for the child; its wait status, or -1. */
static int await(struct tasks *tasks, pid_t pid, const char *program, int64_t limit_ms, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + limit_ms;
	int status = 0;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
		if (clock_monotonic_ms() >= deadline) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return err_set(err, ERR_TEMPORARY, "%s took more than %g s", program, (double)limit_ms / 1000);
		}
		tasks_sleep(tasks, STEP_MS);
	}
	return got < 0 ? err_set(err, ERR_TEMPORARY, "cannot wait for %s: %s", program, strerror(errno)) : status;
}

int lb_file_run(struct tasks *tasks, const char *const *programs, const char *const *argv, int64_t limit_ms,
                char *errors, size_t size, struct err *err)
{
	char *args[ARGS_MAX + 1] = {NULL};
	pid_t pid = 0;
	int rc = -1;

	errors[0] = '\0';
	for (size_t i = 0; i < ARGS_MAX && argv[i]; i++)
		args[i] = (char *)(uintptr_t)argv[i];
	const int fd = memfd_create("errors", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_TEMPORARY, "memfd_create: %s", strerror(errno));
	const int no = spawn(programs, args, fd, &pid);
	if (no) {
		err_set(err, no == ENOENT ? ERR_NOT_FOUND : ERR_TEMPORARY, "cannot start %s: %s", *programs, strerror(no));
	} else if ((rc = await(tasks, pid, *programs, limit_ms, err)) >= 0) {
		const ssize_t n = pread(fd, errors, size - 1, 0);
		errors[n > 0 ? n : 0] = '\0';
		rc = WIFEXITED(rc) ? WEXITSTATUS(rc) : 128 + WTERMSIG(rc);
	}
	(void)close(fd);
	return rc;
}
