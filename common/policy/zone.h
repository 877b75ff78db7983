/* Time zones of the system's zone database, read from its files (TZif, RFC 9636) and not through the C library: that
 * one takes a zone it does not know for UTC without a word, and knows one zone at a time, which is the process's own.
 *
 * A zone is read once and kept: there are some hundreds of them, and they are the same for everybody. So a program that
 * runs when the database is replaced sees the new rules when it starts again. For one thread. */
#ifndef POLICY_ZONE_H
#define POLICY_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_NAME_MAX 63

struct zone;

/* The zone of that name: `UTC`, or a file below $TZDIR or /usr/share/zoneinfo. Borrowed. NULL: there is none, and why
 * says so. */
const struct zone *zone_get(const char *name, char *why, size_t size);

/* Is the database there, with zones that change? why: where it is and its version, or what is missing. */
bool zone_database(char *why, size_t size);

/* Seconds east of UTC at a time in seconds UTC, and the time of the next change; INT64_MAX: there is none. */
int64_t zone_offset(const struct zone *z, int64_t at, int64_t *until);

#endif
