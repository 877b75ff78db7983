/* struct err: how a failure travels up. The callee fills it, the command prints it once or puts it into the
 * record. A message is complete enough to print and says what to do next; it never holds a secret.
 *
 * Convention: a function that can fail takes `struct err *err` last and returns 0 or -1 (or a pointer or NULL).
 * On success it leaves err alone. err is never NULL. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err_code {
	ERR_NONE = 0,
	ERR_USAGE,          /* the command line */
	ERR_INPUT,          /* a line or document that is not what it should be */
	ERR_RECORD_VERSION, /* a record of a newer major version */
	ERR_MISSING,        /* the record lacks a member that this stage needs */
	ERR_NOT_FOUND,      /* a container, service or row that is not there */
	ERR_CONFLICT,       /* a name, row or entry that belongs to somebody else */
	ERR_REFUSED,        /* our own rules say no */
	ERR_LIMIT,          /* larger than a maximum of limits.h */
	ERR_UNAVAILABLE,    /* a peer is down or silent */
	ERR_REMOTE,         /* a peer answered with an error that a repeat will not mend */
	ERR_OUTPUT,         /* output could not be written */
	ERR_TEMPORARY,      /* try again later: busy, lease lost, out of memory */
	ERR_DENIED,         /* credentials or permission refused */
	ERR_CONFIG,         /* configuration or schema */
};

struct err {
	enum err_code code;
	bool retry; /* the same call may succeed later without anybody changing anything */
	char message[640];
};

/* Sets code and message (printf form); retry follows from the code (UNAVAILABLE and TEMPORARY: true) and may be
 * changed after. Returns -1, so that a caller can `return err_set(...)`. A message longer than fits is cut. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "PREFIX: " before the message, for the context that only the caller knows. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The name of a code as `error.code` in a record: "unavailable", "record-version", ... */
const char *err_name(enum err_code code);

/* The exit status for a failure that ends the whole command (exit.h). */
int err_exit(enum err_code code);

#endif
