/* What every main() does: options, help, version, configuration, where errors are printed, exit statuses, signals.
 * This and the commands are the only places that print or read the clock. */
#ifndef CMD_FRONT_H
#define CMD_FRONT_H

#include "base/conf.h"
#include "base/err.h"
#include "base/options.h"
#include "base/record.h"

#include <stdbool.h>

enum front_kind {
	FRONT_FILTER, /* ends quietly by SIGPIPE, like cat */
	FRONT_ACTS,   /* changes something outside: finishes the record in hand before a signal ends it, writes each
	               * record before it takes the next, and has -n */
};

struct front {
	const struct command *command;
	enum front_kind kind;
	bool verbose, dry_run;
	const char *config; /* -c */
	struct conf conf;   /* after front_conf */
	char **operands;    /* NULL terminated */
	int noperands;
	struct record_loop loop;
	struct option_row rows[OPTIONS_MAX + 1];
	bool help, version;
	int64_t timeout_ms;
	/* For completion: front_word of each word of a kind, "services"; false: not known here. A command that knows some
	 * sets this before front_start. It has a moment for that, and a store that is not there is not made. */
	bool (*words)(struct front *f, const char *kind);
};

/* Parses the command line. Returns -1 to go on, else the exit status: --help and --version are done, usage is
 * printed. */
int front_start(struct front *f, const struct command *command, enum front_kind kind, int argc, char **argv);
/* Loads the configuration; -1 to go on, else the exit status. The command releases f->conf when it is done. */
int front_conf(struct front *f);
/* Prints "COMMAND: message" and gives the exit status of err. */
int front_fail(struct front *f, const struct err *err);
/* Prints on stderr with -v. */
void front_say(const struct front *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints on stderr always, one line, control characters escaped. */
void front_warn(const struct front *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* How far a long work is, on one line that is written again and again; only when stderr is a terminal. fmt NULL: the
 * work is over, the line goes. */
void front_progress(const struct front *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* -1 to go on; 64, with usage printed, when the command would wait for records at a terminal. */
int front_terminal(struct front *f);

/* A filter's whole life: the record loop over standard input, or over one record per operand (a service name). At a
 * terminal with neither it prints usage. Gives the exit status. */
int front_filter(struct front *f, record_fn each, void *ctx, bool errors_too);

/* The same in parts, for sources: open, then record_loop_one or record_loop_put on f->loop, then close. */
int front_open(struct front *f, record_fn each, void *ctx, bool errors_too, struct err *err);
int front_close(struct front *f, int bad, const struct err *err);
/* Runs `each` on a fresh record {v, id: "SERVICE@NOW", now, service}. */
int front_service(struct front *f, const char *service, struct err *err);
/* Offers a word to complete what was typed with, if it goes on with that. what: in a few words, or "". */
void front_word(const char *word, const char *what);
const char *front_typed(void);
/* True once a signal asked an acting command or a follower to leave. */
bool front_stopping(void);

#endif
