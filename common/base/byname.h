/* struct byname: entries found by the name of a service, in the order of the names. An entry is a struct of the
 * caller's that begins with `char name[SERVICE_NAME_MAX + 1]`; it stays where it is until byname_release. Made for a
 * page or a scrape: finding is by halves, a new name moves pointers. */
#ifndef BASE_BYNAME_H
#define BASE_BYNAME_H

#include "base/err.h"

#include <stddef.h>

struct byname {
	size_t size, max; /* of an entry; how many there may be */
	void **v;
	size_t n, cap;
};

#define BYNAME_INIT(type, maximum)             \
	{                                          \
		.size = sizeof(type), .max = (maximum) \
	}

/* The entry of that name, or NULL. */
void *byname_find(const struct byname *t, const char *name);
/* The same, made when it is not there: zero but for its name. NULL: LIMIT when there are `max`, TEMPORARY without
 * memory. */
void *byname_get(struct byname *t, const char *name, struct err *err);
/* Frees the entries, not what they point at. */
void byname_release(struct byname *t);

#endif
