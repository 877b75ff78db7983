#include "base/byname.h"

#include "base/limits.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* Where the name is, or where it would be put. */
static size_t place(const struct byname *t, const char *name, bool *there)
{
	size_t low = 0, high = t->n;

	*there = false;
	while (low < high) {
		const size_t mid = (low + high) / 2;
		const int order = strcmp(name, t->v[mid]);
		if (!order) {
			*there = true;
			return mid;
		}
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

void *byname_find(const struct byname *t, const char *name)
{
	bool there;
	const size_t i = place(t, name, &there);

	return there ? t->v[i] : NULL;
}

static void *no_memory(struct err *err)
{
	(void)err_set(err, ERR_TEMPORARY, "out of memory");
	return NULL;
}

static bool grow(struct byname *t)
{
	const size_t cap = t->cap ? 2 * t->cap : 64;
	void **v = t->n < t->cap ? t->v : realloc(t->v, cap * sizeof *v);

	if (!v)
		return false;
	if (t->n == t->cap)
		t->cap = cap;
	t->v = v;
	return true;
}

void *byname_get(struct byname *t, const char *name, struct err *err)
{
	bool there;
	const size_t i = place(t, name, &there);

	if (there)
		return t->v[i];
	if (t->n >= t->max || strlen(name) > SERVICE_NAME_MAX) {
		(void)err_set(err, ERR_LIMIT, "more than %zu services: choose one with --service", t->max);
		return NULL;
	}
	if (!grow(t))
		return no_memory(err);
	char *entry = calloc(1, t->size);
	if (!entry)
		return no_memory(err);
	memcpy(entry, name, strlen(name));
	memmove(t->v + i + 1, t->v + i, (t->n - i) * sizeof *t->v);
	t->v[i] = entry;
	t->n++;
	return entry;
}

void byname_release(struct byname *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
	t->v = NULL;
	t->n = t->cap = 0;
}
