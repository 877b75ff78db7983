/* The arithmetic: as in pipelines/replay.jq, each decision holds until the service's next one. */
#include "cmd/as-report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int list_add(struct list *l, const void *item, size_t size, struct err *err)
{
	if (l->n == l->cap) {
		const size_t cap = l->cap ? 2 * l->cap : 16;
		void *v = realloc(l->v, cap * size);
		if (!v)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		l->v = v;
		l->cap = cap;
	}
	memcpy((char *)l->v + l->n++ * size, item, size);
	return 0;
}

/* Passes run beside each other, and a long one is told of late. Sorting is stable: a merge of neighbours, which costs
 * nothing where all is in order already. `at` is the first member of what is sorted. */
static int64_t at_of(const char *item)
{
	int64_t at;

	memcpy(&at, item, sizeof at);
	return at;
}

static void merge(char *v, char *room, size_t size, size_t n)
{
	const size_t half = n / 2;
	size_t a = 0, b = half, out = 0;

	if (n < 2)
		return;
	merge(v, room, size, half);
	merge(v + half * size, room, size, n - half);
	if (at_of(v + (half - 1) * size) <= at_of(v + half * size))
		return;
	while (a < half || b < n) {
		const size_t next = b >= n || (a < half && at_of(v + a * size) <= at_of(v + b * size)) ? a++ : b++;
		memcpy(room + out++ * size, v + next * size, size);
	}
	memcpy(v, room, n * size);
}

static bool sort_list(struct list *l, size_t size)
{
	char *room = l->n > 1 ? malloc(l->n * size) : NULL;

	if (room)
		merge(l->v, room, size, l->n);
	free(room);
	return room || l->n < 2;
}

static int by_time(const void *x, const void *y)
{
	const struct row *a = *(struct row *const *)x, *b = *(struct row *const *)y;

	return (a->first > b->first) - (a->first < b->first);
}

int sort_service(struct service *s, struct err *err)
{
	bool done = sort_list(&s->points, sizeof(struct point));

	for (size_t i = 0; i < s->nseries; i++)
		done = sort_list(&s->series[i].samples, sizeof(struct sample)) && done;
	if (s->rows.n)
		qsort(s->rows.v, s->rows.n, sizeof(struct row *), by_time);
	return done ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

struct sums sum_up(const struct service *s)
{
	const struct point *p = s->points.v;
	struct sums sums = {0};

	for (size_t i = 0; i < s->points.n; i++) {
		const int64_t held = i + 1 < s->points.n ? p[i + 1].at - p[i].at : 0;
		sums.replica_ms += p[i].count * held;
		sums.over_ms += p[i].over ? held : 0;
		sums.max_ms += p[i].max >= 0 && p[i].count >= p[i].max ? held : 0;
		sums.lowest = !i || p[i].count < sums.lowest ? p[i].count : sums.lowest;
		sums.highest = p[i].count > sums.highest ? p[i].count : sums.highest;
	}
	if (s->points.n) {
		sums.first_at = p[0].at;
		sums.last_at = p[s->points.n - 1].at;
		sums.last = p[s->points.n - 1].count;
	}
	return sums;
}
