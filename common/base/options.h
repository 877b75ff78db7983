/* The option table: one array of rows per command makes the parser, --help, the completions, and the test that
 * compares it with the manual. What an argument is called says what kind of word it is: a FILE, a SERVICE
 * (cmd/front/complete.c has the list). */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
	OPTION_FLAG,     /* bool *: set to true */
	OPTION_TEXT,     /* const char **: borrowed from argv */
	OPTION_COUNT,    /* int64_t *: 0 to 2^31 - 1 */
	OPTION_DURATION, /* int64_t *: ms; "30s", "5m", "1.5" (seconds) */
	OPTION_MAYBE,    /* the same as --NAME=DURATION; --NAME alone is OPTION_ALONE */
};

struct option_row {
	char letter;      /* 0: no short form */
	const char *name; /* long form without dashes; NULL ends the table */
	enum option_kind kind;
	const char *arg; /* what help calls the argument; NULL for flags */
	void *dest;
	const char *help; /* one line, no full stop */
};

#define OPTIONS_MAX 48
#define OPTION_ALONE (-1)

struct command {
	const char *name;     /* "as-clone" */
	const char *summary;  /* one line, as in the manual's NAME section */
	const char *operands; /* "[SERVICE ...]", or "" */
	const struct option_row *options;
};

/* Parses by getopt_long(3). rows holds the command's and the common options. *first is the index in argv of the
 * first operand. USAGE: what is wrong, naming the option. */
int options_parse(const struct option_row *rows, int argc, char **argv, int *first, struct err *err);
void options_help(const struct command *c, const struct option_row *rows, struct buf *out);

#endif
