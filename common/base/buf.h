/* struct buf: bytes that grow up to a stated maximum.
 *
 * Invariants: n <= max; when p is not NULL there is a NUL at p[n], which does not count. A put that would pass the
 * maximum or finds no memory marks the buffer `failed` and changes nothing; later puts do nothing. So a caller
 * builds a whole text and asks once, with buf_ok(). buf_release() frees; a released buffer may be used again.
 * JSON text is written with the buf_json_* functions only, so that quoting is done in one place. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *p;
	size_t n, cap, max;
	bool failed; /* a put did not fit or found no memory: */
	bool full;   /* it did not fit */
};

#define BUF_INIT(maximum) \
	{                     \
		.max = (maximum)  \
	}

void buf_release(struct buf *b);
void buf_reset(struct buf *b); /* empty, not failed, keeps its memory */
int buf_reserve(struct buf *b, size_t more);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop_front(struct buf *b, size_t n);

/* 0, or -1 and err: LIMIT when the maximum was passed, TEMPORARY when there was no memory. */
int buf_ok(const struct buf *b, struct err *err);

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; C0, DEL and C1 are escaped. */
void buf_json_str(struct buf *b, const char *s);
void buf_json_strn(struct buf *b, const char *s, size_t n);
void buf_json_int(struct buf *b, int64_t v);
void buf_json_bool(struct buf *b, bool v);

/* `"name":` with a comma before it unless it is the first after '{', '[' or ':'. The three below add the value. */
void buf_json_key(struct buf *b, const char *name);
void buf_json_member_str(struct buf *b, const char *name, const char *value); /* NULL: null */
void buf_json_member_int(struct buf *b, const char *name, int64_t value);
void buf_json_member_bool(struct buf *b, const char *name, bool value);
/* A comma unless at the start of an array or object. */
void buf_json_comma(struct buf *b);

#endif
