/* struct lb_look: what one look at a load balancer brought. */
#include "base/clock.h"
#include "lb/filed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

const struct lb_stats lb_stats_unknown = {-1, -1, -1, -1, -1, -1, -1};

void lb_look_release(struct lb_look *look)
{
	for (size_t i = 0; i < look->n; i++)
		free(look->v[i].v);
	free(look->v);
	*look = (struct lb_look){0};
}

/* Room for one more of `size` bytes where n are: the room doubles whenever n is a power of two. */
static void *grown(void *v, size_t n, size_t size, struct err *err)
{
	void *more = v;

	if ((n & (n - 1)) == 0 && !(more = realloc(v, (n ? n * 2 : 1) * size)))
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
	return more;
}

struct lb_seen *lb_look_add(struct lb_look *look, const char *backend, struct err *err)
{
	struct lb_seen *more = grown(look->v, look->n, sizeof *more, err);

	if (!more)
		return NULL;
	look->v = more;
	struct lb_seen *s = &more[look->n++];
	*s = (struct lb_seen){.stats = lb_stats_unknown};
	s->stats.at_ms = clock_monotonic_ms();
	(void)snprintf(s->backend, sizeof s->backend, "%s", backend);
	return s;
}

struct lb_busy *lb_seen_add(struct lb_seen *seen, const char *server, enum lb_state state, int64_t sessions,
                            struct err *err)
{
	struct lb_busy *more = grown(seen->v, seen->n, sizeof *more, err);

	if (!more)
		return NULL;
	seen->v = more;
	struct lb_busy *b = &more[seen->n++];
	*b = (struct lb_busy){.state = state, .sessions = sessions};
	(void)snprintf(b->name, sizeof b->name, "%s", server);
	return b;
}

static int by_backend(const void *x, const void *y)
{
	return strcmp(((const struct lb_seen *)x)->backend, ((const struct lb_seen *)y)->backend);
}

void lb_look_sort(struct lb_look *look)
{
	if (look->n)
		qsort(look->v, look->n, sizeof *look->v, by_backend);
}

struct lb_seen *lb_look_find(const struct lb_look *look, const char *backend)
{
	struct lb_seen key;

	if (!look->n)
		return NULL;
	(void)snprintf(key.backend, sizeof key.backend, "%s", backend);
	return bsearch(&key, look->v, look->n, sizeof key, by_backend);
}

int lb_filed_all(struct filed_folder *folder, struct filed **files, size_t *n, struct err *err)
{
	struct lb_names names;
	int rc = lb_filed_backends(folder, &names, err);

	*files = NULL;
	*n = 0;
	if (rc < 0)
		return -1;
	struct filed *v = calloc(names.n ? names.n : 1, sizeof *v);
	if (!v)
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		rc = lb_filed_read(folder, names.v[i], &v[*n], err);
		if (rc == 0)
			(*n)++;
		else if (err->code == ERR_NOT_FOUND || err->code == ERR_CONFIG) /* gone, or not ours to read */
			rc = 0;
	}
	lb_names_release(&names);
	*files = v;
	if (rc < 0) {
		lb_filed_free_all(v, *n);
		*files = NULL;
	}
	return rc;
}

void lb_filed_free_all(struct filed *files, size_t n)
{
	for (size_t i = 0; files && i < n; i++)
		lb_filed_release(&files[i]);
	free(files);
}

int lb_filed_look(const struct filed *files, size_t n, struct lb_look *out, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct lb_seen *seen = lb_look_add(out, files[i].backend, err);
		for (size_t k = 0; seen && k < files[i].list.n; k++)
			if (!lb_seen_add(seen, files[i].list.v[k].name, files[i].list.v[k].state, -1, err))
				seen = NULL;
		if (!seen)
			return -1;
	}
	return 0;
}
