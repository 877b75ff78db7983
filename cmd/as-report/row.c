/* The rows of the tables: like ones become one, and of too many the oldest go: those that did nothing, then those that
 * went well. */
#include "cmd/as-report/report.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static struct row **rows_of(const struct service *s) { return s->rows.v; }

/* The same but for its numbers? A pass each fifteen seconds says the same all day, with other numbers. */
static bool alike(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (isdigit((unsigned char)*a) && isdigit((unsigned char)a[1]))
			a++;
		while (isdigit((unsigned char)*b) && isdigit((unsigned char)b[1]))
			b++;
		if (*a != *b && !(isdigit((unsigned char)*a) && isdigit((unsigned char)*b)))
			return false;
		if (!*a)
			return true;
	}
}

static bool same(const struct row *a, const struct row *b)
{
	return !outcome_acts(a->outcome) && strcmp(a->op, b->op) == 0 && strcmp(a->outcome, b->outcome) == 0 &&
	       a->from == b->from && a->to == b->to && alike(a->reason, b->reason) && alike(a->failure, b->failure) &&
	       strcmp(a->policy, b->policy) == 0;
}

static void drop(struct report *rep, struct service *s, struct row *row)
{
	s->cut[row->worth] += row->times;
	rep->rows--;
	free(row);
}

/* Leaves at most `keep` rows. */
static void trim(struct report *rep, struct service *s, size_t keep)
{
	struct row **v = rows_of(s);

	for (int worth = NOTHING; worth <= FAILED; worth++) {
		size_t surplus = s->rows.n > keep ? s->rows.n - keep : 0, n = 0;
		for (size_t i = 0; i < s->rows.n; i++) {
			if (surplus && (int)v[i]->worth == worth) {
				drop(rep, s, v[i]);
				surplus--;
			} else {
				v[n++] = v[i];
			}
		}
		s->rows.n = n;
	}
}

/* The share of each service gets smaller until there is room. */
static void make_room(struct report *rep)
{
	while (rep->rows >= ROWS_MAX && rep->row_cap > 1) {
		rep->row_cap -= rep->row_cap / 4 + 1;
		for (size_t i = 0; i < rep->services.n; i++)
			trim(rep, rep->services.v[i], rep->row_cap);
	}
}

static struct row *copy(const struct row *like)
{
	const size_t reason = strlen(like->reason) + 1, policy = strlen(like->policy) + 1,
				 failure = strlen(like->failure) + 1;
	struct row *row = malloc(sizeof *row + reason + policy + failure);

	if (!row)
		return NULL;
	*row = *like;
	row->reason = memcpy(row->text, like->reason, reason);
	row->policy = memcpy(row->text + reason, like->policy, policy);
	row->failure = memcpy(row->text + reason + policy, like->failure, failure);
	return row;
}

int row_add(struct report *rep, struct service *s, const struct row *like, struct err *err)
{
	struct row **v = rows_of(s), *row = copy(like);

	if (!row)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (s->rows.n && same(v[s->rows.n - 1], row)) {
		const struct row *old = v[s->rows.n - 1];
		row->first = old->first < row->first ? old->first : row->first;
		row->last = old->last > row->last ? old->last : row->last;
		row->times += old->times;
		free(v[s->rows.n - 1]);
		v[s->rows.n - 1] = row;
		return 0;
	}
	make_room(rep);
	if (s->rows.n >= rep->row_cap)
		trim(rep, s, rep->row_cap - rep->row_cap / 8 - 1);
	if (list_add(&s->rows, &row, sizeof row, err) < 0) {
		free(row);
		return -1;
	}
	rep->rows++;
	return 0;
}

void rows_free(struct service *s)
{
	for (size_t i = 0; i < s->rows.n; i++)
		free(rows_of(s)[i]);
	free(s->rows.v);
}
