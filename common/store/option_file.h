/* The option file of MySQL's and MariaDB's clients (my.cnf), read for the login that a URL names by defaults-file= and
 * group=. Only files in this folder include it.
 *
 * It is read here and not by the client library, because a line of it could otherwise undo what this toolkit decides:
 * run a statement before the server is known (init-command), load a plugin, take TLS away. Of the group [client], and
 * then of the named one over it, these are taken: host, port, user, password, socket, database, ssl-ca, ssl-cert,
 * ssl-key. All else in the file is for other programs. */
#ifndef STORE_OPTION_FILE_H
#define STORE_OPTION_FILE_H

#include "base/err.h"

struct option_file {
	char *host, *user, *password, *socket, *database, *ca, *cert, *key; /* NULL: not there */
	long port;                                                          /* 0: not there */
};

/* group NULL: [client] alone. DENIED: not readable, or it holds a password and others may read it. CONFIG: a line that
 * is none, with its number; a group that is not there; an !include, which is not followed. On failure nothing is left
 * to release. */
int option_file_read(const char *path, const char *group, struct option_file *f, struct err *err);
void option_file_release(struct option_file *f);

#endif
