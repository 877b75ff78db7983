/* FNV-1a, 64 bits: where a text has its place in a table, and the mark of what was written. Not for what somebody could
 * choose to collide. http://www.isthe.com/chongo/tech/comp/fnv/ */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_BEGIN UINT64_C(14695981039346656037)

/* The hash of what was hashed to h and n bytes more. */
static inline uint64_t hash_more(uint64_t h, const void *bytes, size_t n)
{
	const unsigned char *const p = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return h;
}
static inline uint64_t hash_text(const char *s) { return hash_more(HASH_BEGIN, s, strlen(s)); }

#endif
