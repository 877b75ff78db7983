/* struct jv: a JSON view, a view of one JSON value inside bytes that were validated before. It owns nothing, allocates
 * nothing and stays good as long as the bytes do. This is how filters read a record; documents that are taken
 * apart or rebuilt (the engine's, policy files) are jansson's.
 *
 * Source of the grammar: RFC 8259, with these bounds: depth DEPTH_MAX, no byte order mark, strings are valid UTF-8
 * and their surrogate escapes come in pairs. */
#ifndef BASE_JV_H
#define BASE_JV_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jv {
	const char *p; /* first byte of the value; NULL: absent */
	size_t n;
	const struct jv_node *node; /* of an indexed document: its place in the index; else NULL */
};

/* An index of a document: its values in the order of the text, so that what a container holds is found without reading
 * its bytes. Values found through it carry it along; all else works the same, slower. */
struct jv_node {
	uint32_t at, n;         /* the value's bytes, from the document's first */
	uint32_t name_at, name; /* of a member: where its name begins behind the quote; twice its length, 1 more: escapes */
	uint32_t next;          /* nodes to the next value of its container; 0: not all that it holds is in the index */
};
struct jv_index {
	struct jv_node *v; /* the caller's, good as long as the values are in use */
	uint32_t max, n;   /* what does not fit is not in it */
	bool full;
};

/* One member of an object as jv_scan and jv_next give it; `name` is without its quotes, escapes in place. */
struct jv_member {
	struct jv name, value;
	uint32_t hash; /* of the decoded name; jv_scan only */
	bool escaped;  /* the name has escapes */
};

/* Validates n bytes as one JSON value with optional white space around it. On success *value is the value without
 * the white space. When the value is an object and members is not NULL, its members are stored there, at most
 * max; more are ERR_LIMIT, a name given twice (escapes decoded) is ERR_INPUT. ERR_INPUT names the byte offset. */
int jv_scan(const char *p, size_t n, struct jv *value, struct jv_member *members, size_t max, size_t *count,
            struct err *err);
/* The same, and the index of the value, in place of what was in it. */
int jv_scan_indexed(const char *p, size_t n, struct jv *value, struct jv_member *members, size_t max, size_t *count,
                    struct jv_index *index, struct err *err);

/* Reading of validated values. Each is a no with an absent or other-typed value. */
bool jv_is_object(struct jv v);
bool jv_is_array(struct jv v);
bool jv_is_string(struct jv v);
bool jv_is_number(struct jv v);
bool jv_is_true(struct jv v);
bool jv_is_null(struct jv v); /* also absent */
static inline bool jv_here(struct jv v) { return v.p != NULL; }

struct jv jv_get(struct jv object, const char *name);    /* absent: p is NULL */
struct jv jv_path(struct jv object, const char *dotted); /* "observed.template.labels" */

/* Iteration over an array or object: `struct jv_cursor c = jv_each(v); while (jv_next(&c, &m)) ...`. For
 * an array m.name is absent. */
struct jv_cursor {
	const char *at, *end; /* with an index `at` is the document's first byte */
	const struct jv_node *node, *stop;
	bool object;
};
struct jv_cursor jv_each(struct jv container);
bool jv_next(struct jv_cursor *c, struct jv_member *m);
size_t jv_count(struct jv container);

/* An integer in [-2^63, 2^63): true and *out, or false for anything else (fractions and exponents too). */
bool jv_int(struct jv v, int64_t *out);
int64_t jv_int_or(struct jv v, int64_t otherwise);
/* A number as value * 10^6, rounded to nearest, exact within that: false when it does not fit in 63 bits. */
bool jv_micro(struct jv v, int64_t *out);
/* A string decoded into out (NUL terminated, at most size - 1 bytes). False: no string, too long, or has NUL. */
bool jv_str(struct jv v, char *out, size_t size);
/* A string compared without decoding when it has no escapes. */
bool jv_is(struct jv v, const char *s);
bool jv_name_is(const struct jv_member *m, const char *s);
/* Decodes a string of any length to the end of b. False: not a string. */
bool jv_str_buf(struct jv v, struct buf *b);

#endif
