/* Connections that are the standard input and output of a program, such as `ssh HOST docker system dial-stdio`, for
 * base/http.h. A program that has to be asked something is at fault: it gets no terminal from us, and its standard
 * error is kept for the message.
 *
 * A struct dial belongs to all connections that it opened, too: libcurl closes a kept one whenever it likes. Not thread
 * safe. */
#ifndef BASE_DIAL_H
#define BASE_DIAL_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/socket.h>

struct dial;

/* argv, NULL at its end, is copied; argv[0] is looked for in PATH. lane: a number that keeps connections apart whose
 * program is the same. NULL: TEMPORARY. */
struct dial *dial_new(const char *const *argv, int lane, struct err *err);
struct dial *dial_hold(struct dial *d); /* one more holder; d */
void dial_free(struct dial *d);         /* one holder less; NULL is fine */

/* A name that no other program's arguments, or lane, give, "dial:" and 16 digits: connections of one name may be mixed.
 */
const char *dial_name(const struct dial *d);

/* Starts the program. A socket that is still to be connected to *address, where *size bytes are room enough:
 * libcurl 7.88 connects it even when told that it is connected. -1: dial_failed tells the reason. */
int dial_open(struct dial *d, struct sockaddr *address, unsigned int *size);
/* The same socket again: closes it and ends the program. */
void dial_close(struct dial *d, int fd);

/* Whether the program that was started last could not be, or ended by itself with a status that is not 0; then err
 * tells why: UNAVAILABLE; DENIED when a login or a host's key was refused; REMOTE: no docker command there;
 * CONFIG: argv[0] cannot be run. name is what the message calls the peer. */
bool dial_failed(struct dial *d, const char *name, struct err *err);

#endif
