/* Which containers were seen on which host: what is known of a host that does not answer. */
#include "store/inner.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* A container that does not change is noted again after this time, or pruning would take it for long gone. */
#define SEEN_AGAIN_MS (INT64_C(12) * 60 * 60 * 1000)

/* A row of the table, its texts one after the other in one piece of memory. */
struct known {
	char *host, *id, *name, *state, *copy_of;
	int64_t index, seen_at;
	bool there; /* also in this look */
};

struct noting {
	const struct container_look *look;
	struct known *v;
	size_t n, cap;
	bool *same; /* of each row of the look: nothing to write */
};

static char *put(char **at, const struct sql_value *v)
{
	char *to = *at;

	memcpy(to, v->s, v->n + 1);
	*at += v->n + 1;
	return to;
}

static int on_known(void *ctx, const struct sql_value *col, struct err *err)
{
	struct noting *t = ctx;
	size_t size = 5;

	for (int i = 0; i < 5; i++)
		size += col[i].n;
	if (t->n == t->cap) {
		const size_t cap = t->cap ? t->cap * 2 : 64;
		void *grown = realloc(t->v, cap * sizeof *t->v);
		if (!grown)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		t->v = grown;
		t->cap = cap;
	}
	char *at = malloc(size);
	if (!at)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	struct known *k = &t->v[t->n++];
	*k = (struct known){.index = col[5].type == SQL_NULL ? -1 : col[5].i, .seen_at = col[6].i};
	k->host = put(&at, &col[0]);
	k->id = put(&at, &col[1]);
	k->name = put(&at, &col[2]);
	k->state = put(&at, &col[3]);
	k->copy_of = put(&at, &col[4]);
	return 0;
}

static int by_place(const void *x, const void *y)
{
	const struct known *a = x, *b = y;
	const int order = strcmp(a->host, b->host);

	return order ? order : strcmp(a->id, b->id);
}

static bool answered(const struct container_look *look, const char *host)
{
	for (size_t i = 0; i < look->nhosts; i++)
		if (strcmp(look->hosts[i], host) == 0)
			return true;
	return false;
}

/* Finds what is to be written; true when there is anything. */
static bool compare(struct noting *t, int64_t now)
{
	const struct container_look *look = t->look;
	bool any = false;

	if (t->n)
		qsort(t->v, t->n, sizeof *t->v, by_place);
	for (size_t i = 0; i < look->nrows; i++) {
		const struct container_row *r = &look->rows[i];
		const struct known key = {.host = (char *)r->host, .id = (char *)r->id};
		struct known *k = t->n ? bsearch(&key, t->v, t->n, sizeof *t->v, by_place) : NULL;
		if (k)
			k->there = true;
		t->same[i] = k && strcmp(k->name, r->name) == 0 && strcmp(k->state, r->state) == 0 &&
		             strcmp(k->copy_of, r->copy_of) == 0 && k->index == r->index && now - k->seen_at < SEEN_AGAIN_MS;
		any = any || !t->same[i];
	}
	for (size_t i = 0; i < t->n; i++) {
		t->v[i].there = t->v[i].there || !answered(look, t->v[i].host);
		any = any || !t->v[i].there;
	}
	return any;
}

static int write_row(struct sql *db, const char *service, const struct container_row *r, struct err *err)
{
	const struct sql_value binds[] = {
		sql_text(service),
		sql_text(r->name),
		sql_text(r->state),
		sql_text(r->copy_of),
		r->index < 0 ? sql_text(NULL) : sql_int(r->index),
		sql_int(sql_now(db)),
		sql_text(r->host),
		sql_text(r->id),
	};
	const size_t n = sizeof binds / sizeof *binds;

	if (sql_run(db,
	            "UPDATE container SET service = ?, name = ?, state = ?, copy_of = ?, copy_index = ?, seen_at = ?"
	            " WHERE host = ? AND id = ?",
	            binds, n, NULL, NULL, err) < 0)
		return -1;
	if (db->changed > 0)
		return 0;
	return sql_run(db,
	               "INSERT INTO container (service, name, state, copy_of, copy_index, seen_at, host, id)"
	               " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	               binds, n, NULL, NULL, err);
}

static int note_in_tx(struct sql *db, void *ctx, struct err *err)
{
	const struct noting *t = ctx;
	const struct container_look *look = t->look;
	int bad = 0;

	for (size_t i = 0; !bad && i < t->n; i++)
		if (!t->v[i].there)
			bad = sql_run(db, "DELETE FROM container WHERE host = ? AND id = ? AND service = ?",
			              SQL_BINDS(sql_text(t->v[i].host), sql_text(t->v[i].id), sql_text(look->service)), NULL, NULL,
			              err);
	for (size_t i = 0; !bad && i < look->nrows; i++)
		if (!t->same[i])
			bad = write_row(db, look->service, &look->rows[i], err);
	return bad;
}

static int look_fits(const struct container_look *look, struct err *err)
{
	if (store_fits("the service's name", look->service, SERVICE_NAME_MAX, err) < 0)
		return -1;
	for (size_t i = 0; i < look->nrows; i++) {
		const struct container_row *r = &look->rows[i];
		if (store_fits("the host's name", r->host, STORE_PLACE, err) < 0 ||
		    store_fits("the container's id", r->id, STORE_ALERT_ID, err) < 0 ||
		    store_fits("the container's name", r->name, STORE_PLACE, err) < 0 ||
		    store_fits("the container's state", r->state, STORE_WORD, err) < 0 ||
		    store_fits("the container's original", r->copy_of, STORE_PLACE, err) < 0)
			return -1;
	}
	return 0;
}

int store_container_note(struct store *s, const struct container_look *look, struct err *err)
{
	struct noting t = {.look = look, .same = calloc(look->nrows + 1, sizeof *t.same)};
	int bad = t.same ? look_fits(look, err) : err_set(err, ERR_TEMPORARY, "out of memory");

	if (!bad)
		bad = sql_run(s->db,
		              "SELECT host, id, name, state, copy_of, copy_index, seen_at FROM container WHERE service = ?",
		              SQL_BINDS(sql_text(look->service)), on_known, &t, err);
	if (!bad && compare(&t, sql_now(s->db)))
		bad = sql_atomic(s->db, SQL_WRITE, note_in_tx, &t, err);
	while (t.n)
		free(t.v[--t.n].host); /* the first of its texts */
	free(t.v);
	free(t.same);
	return bad;
}

struct container_walk {
	container_row_fn fn;
	void *ctx;
};

static int on_container(void *ctx, const struct sql_value *col, struct err *err)
{
	const struct container_walk *walk = ctx;
	const struct container_row row = {
		.host = col[0].s,
		.id = col[1].s,
		.name = col[2].s,
		.state = col[3].s,
		.copy_of = col[4].s,
		.index = col[5].type == SQL_NULL ? -1 : col[5].i,
		.service = col[6].s,
	};

	return walk->fn(walk->ctx, &row, err);
}

#define CONTAINER_SELECT "SELECT host, id, name, state, copy_of, copy_index, service FROM container WHERE host = ?"

int store_container_each(struct store *s, const char *service, const char *host, container_row_fn fn, void *ctx,
                         struct err *err)
{
	struct container_walk walk = {fn, ctx};

	if (!service)
		return sql_walk(s->db, CONTAINER_SELECT " ORDER BY id", SQL_BINDS(sql_text(host)), on_container, &walk, err);
	return sql_walk(s->db, CONTAINER_SELECT " AND service = ? ORDER BY id",
	                SQL_BINDS(sql_text(host), sql_text(service)), on_container, &walk, err);
}

static int on_any(void *ctx, const struct sql_value *col, struct err *err)
{
	(void)col;
	(void)err;
	*(bool *)ctx = true;
	return 0;
}

int store_container_host(struct store *s, const char *host, bool *known, struct err *err)
{
	*known = false;
	return sql_run(s->db, "SELECT 1 FROM container WHERE host = ? LIMIT 1", SQL_BINDS(sql_text(host)), on_any, known,
	               err);
}
