/* The address of a web server with what it takes to be let in, as an operator writes it. */
#ifndef BASE_WEB_H
#define BASE_WEB_H

#include "base/err.h"

#include <stddef.h>

/* SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX], http or https, taken apart. */
struct web {
	char *base;            /* "https://host:9090" */
	char *path;            /* "/prefix", and what the caller adds to it */
	char *user, *password; /* NULL: none */
};

/* more is added to the path; what: whose address it is, for the message. CONFIG: it is none; the message does not show
 * it, for it may hold a password. Release in any case. */
int web_read(struct web *w, const char *url, const char *more, const char *what, struct err *err);
void web_release(struct web *w);

#define WEB_TOKEN 8192
/* The first line of a file that its owner alone may read. CONFIG, beginning with `what`. */
int web_token(const char *file, const char *what, char token[WEB_TOKEN], struct err *err);

#endif
