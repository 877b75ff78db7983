/* What the tests of the stores share: a folder that goes away, worker processes, and a look into a store's file
 * behind the program's back. */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRATCH_WORKERS 8

static char scratch[200];

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_make(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(scratch, sizeof scratch, "%s/as-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(scratch)) {
		perror(scratch);
		exit(1);
	}
}

static inline void scratch_remove(void) { (void)nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* "FOLDER/NAME"; good for the next 15 calls. */
static inline const char *scratch_path(const char *name)
{
	static char path[16][300];
	static unsigned int next;
	char *p = path[next++ % 16];

	(void)snprintf(p, sizeof *path, "%s/%s", scratch, name);
	return p;
}

/* --- workers: all wait for the start, so that they truly run at once --- */

typedef int (*scratch_worker)(int number, const char *path); /* the exit status */

static inline pid_t scratch_fork(scratch_worker fn, int number, const char *path, int start)
{
	(void)fflush(NULL);
	const pid_t pid = fork();

	if (pid == 0) {
		char c;
		if (start >= 0)
			(void)!read(start, &c, 1);
		_exit(fn(number, path));
	}
	return pid;
}

/* Runs n workers at once; the sum of their exit statuses, or -1 when one died of a signal. */
static inline int scratch_run(int n, scratch_worker fn, const char *path)
{
	pid_t pid[SCRATCH_WORKERS];
	int start[2], sum = 0;

	if (n > SCRATCH_WORKERS || pipe2(start, O_CLOEXEC) < 0)
		abort();
	for (int i = 0; i < n; i++) {
		pid[i] = scratch_fork(fn, i, path, start[0]);
		if (pid[i] < 0)
			abort();
	}
	for (int i = 0; i < n; i++)
		(void)!write(start[1], "", 1);
	for (int i = 0; i < n; i++) {
		int status = 0;
		(void)waitpid(pid[i], &status, 0);
		sum = sum < 0 || !WIFEXITED(status) ? -1 : sum + WEXITSTATUS(status);
	}
	(void)close(start[0]);
	(void)close(start[1]);
	return sum;
}

/* --- the file, without the program --- */

/* The first column of the first row, -1 when there is none. Several statements: the last counts. */
static inline long long scratch_sql(const char *path, const char *text)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	long long value = -1;

	if (sqlite3_open(path, &db) == SQLITE_OK)
		(void)sqlite3_busy_timeout(db, 10000);
	while (*text) {
		value = -1;
		if (sqlite3_prepare_v2(db, text, -1, &stmt, &text) != SQLITE_OK) {
			printf("# %s: %s\n", path, sqlite3_errmsg(db));
			break;
		}
		if (sqlite3_step(stmt) == SQLITE_ROW)
			value = sqlite3_column_int64(stmt, 0);
		(void)sqlite3_finalize(stmt);
	}
	(void)sqlite3_close(db);
	return value;
}

#endif
