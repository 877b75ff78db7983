/* The address of a store on a server: SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST...][/DATABASE][?NAME=VALUE&...],
 * RFC 3986 with percent escapes. Only files in this folder include it.
 *
 * The password may stand in the address (it comes from the environment or from a configuration file that nobody else
 * may read), or in a file that the option password-file names. It is in no message: those show url.shown. */
#ifndef STORE_URL_H
#define STORE_URL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define URL_OPTIONS_MAX 32

struct url_option {
	char *name, *value;
};

struct url {
	char *scheme;   /* "mysql" */
	char *user;     /* NULL: none */
	char *password; /* NULL: none; from the address or from password-file */
	char *host;     /* decoded; with several hosts all of them, "a:1,b:2"; never NULL, may be "" */
	long port;      /* 0: none, or several hosts */
	char *database; /* NULL: none */
	struct url_option options[URL_OPTIONS_MAX];
	size_t noptions;
	char *shown; /* the address for messages, "mysql://as:***@db/as" */
};

/* CONFIG: what is wrong with it, without its password; DENIED: a password file that others may read, or that cannot be
 * read. On failure nothing is left to release. */
int url_parse(const char *text, struct url *u, struct err *err);
void url_release(struct url *u);
const char *url_option(const struct url *u, const char *name); /* NULL: not given */
/* CONFIG, naming the known ones, when an option is none of `known` (ended by NULL). */
int url_check_options(const struct url *u, const char *const *known, struct err *err);
/* Every host of it is this machine: localhost, 127.0.0.0/8, ::1, or a socket's path. */
bool url_is_local(const struct url *u);

#endif
