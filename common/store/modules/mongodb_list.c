/* Alerts found by a query, kept in memory. */
#include "store/modules/mongodb_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void list_empty(struct list *l)
{
	l->n = 0;
	buf_reset(&l->texts);
}

void list_release(struct list *l)
{
	free(l->p);
	buf_release(&l->texts);
	*l = (struct list){0};
}

int list_add(struct list *l, const bson_t *doc, struct err *err)
{
	const char *id = link_text(doc, "_id");

	if (l->n == l->cap) {
		const size_t cap = l->cap ? l->cap * 2 : 64;
		struct found *p = realloc(l->p, cap * sizeof *p);
		if (!p)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = (struct found){
		.id = l->texts.n,
		.due = link_int(doc, "due"),
		.bytes = link_int(doc, "bytes"),
		.attempts = link_int(doc, "attempts"),
		.received_at = link_int(doc, "received_at"),
	};
	buf_put(&l->texts, id, strlen(id) + 1);
	return buf_ok(&l->texts, err);
}

int on_found(void *ctx, const bson_t *doc, struct err *err) { return list_add(ctx, doc, err); }

int on_any(void *ctx, const bson_t *doc, struct err *err)
{
	(void)doc;
	(void)err;
	*(bool *)ctx = true;
	return 0;
}

bson_t *list_ids(const struct list *l, size_t from, size_t n)
{
	bson_t *filter = bson_new(), in, ids = BSON_INITIALIZER;

	for (size_t i = 0; i < n; i++) {
		char buffer[16];
		const char *key;
		(void)bson_uint32_to_string((uint32_t)i, &key, buffer, sizeof buffer);
		BSON_APPEND_UTF8(&ids, key, list_id(l, from + i));
	}
	BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &in);
	BSON_APPEND_ARRAY(&in, "$in", &ids);
	bson_append_document_end(filter, &in);
	bson_destroy(&ids);
	return filter;
}
