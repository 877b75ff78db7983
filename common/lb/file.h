/* Files that a load balancer reads and several writers may change: read and replaced under a lock, whole or not at
 * all. For the drivers. Messages name the file. */
#ifndef LB_FILE_H
#define LB_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/tasks.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Takes an exclusive flock on PATH, which is made if need be and is never the file itself, for a rename would leave
 * the lock behind. Waits at most 10 s, then TEMPORARY. Gives the descriptor; close(2) lets go. */
int lb_file_lock(struct tasks *tasks, const char *path, struct err *err);

/* Could it be taken, if there is one? None is made, whose owner would be whoever only looks. */
int lb_file_may_lock(const char *path, struct err *err);

/* Adds the bytes of a file to *text, whose max bounds them, and puts its status into *st. NOT_FOUND, DENIED. */
int lb_file_read(const char *path, struct buf *text, struct stat *st, struct err *err);

/* A new file TEMP of these bytes, synced, with the mode and owner of *like, or with mode 0644 when it is NULL; one of
 * that name that a killed run left is replaced. The caller holds the lock. */
int lb_file_write(const char *temp, const struct buf *text, const struct stat *like, struct err *err);

/* rename(2) that is on disk when it returns. Removes TEMP when it fails. */
int lb_file_rename(const char *temp, const char *path, struct err *err);
int lb_file_remove(const char *path, struct err *err); /* not there: fine; on disk when it returns */

/* Runs a program without a shell, with standard input and output from and to /dev/null, at most limit_ms. Its exit
 * status, with the first bytes of its standard error in *errors (NUL terminated); -1 with NOT_FOUND when none of the
 * programs, tried in order (NULL ends them), is there; argv[0] is set to it. */
int lb_file_run(struct tasks *tasks, const char *const *programs, const char *const *argv, int64_t limit_ms,
                char *errors, size_t size, struct err *err);

#endif
