/* Leases renewed, alerts finished and given back, in the alert store in MongoDB. mongodb.c has the idea. */
#include "store/fits.h"
#include "store/modules/mongodb_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define LEASE_LEFT_MS 10000 /* an end is only noted when its lease lasts this much longer */
#define HELD_MAX 8192       /* alerts under one token that are known to be held */
#define HELD_ONE_BY_ONE 16

struct note {
	char *id;
	char token[ALERT_TOKEN];
	const char *state;
	bson_t *change;
};

int mongo_renew(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err)
{
	struct link *l = &mongo_of(a)->link;
	bool repeated;

	if (link_ready(l, err) < 0)
		return -1;
	/* A claimed alert's `due` is its lease's end, so those that still hold stand behind now on the index. */
	const int64_t now = link_now(l);
	return link_update_many(l,
	                        BCON_NEW("due", "{", "$gt", BCON_INT64(now), "}", "lease_token", BCON_UTF8(token), "state",
	                                 BCON_UTF8("claimed")),
	                        BCON_NEW("$set", "{", "due", BCON_INT64(now + lease_ms), "}"), held, &repeated, err);
}

static bson_t *held_by(const char *id, const char *token, const char *state)
{
	return BCON_NEW("_id", BCON_UTF8(id), "lease_token", BCON_UTF8(token), "state", BCON_UTF8(state));
}

static bool noted(const struct alerts_in_mongo *m, const char *id)
{
	for (size_t i = 0; i < m->nnotes; i++)
		if (strcmp(m->notes[i].id, id) == 0)
			return true;
	return false;
}

static struct found *find_held(struct alerts_in_mongo *m, const char *id, int64_t until)
{
	for (size_t i = 0; i < m->held.n; i++)
		if (m->held.p[i].due > until && strcmp(list_id(&m->held, i), id) == 0)
			return &m->held.p[i];
	return NULL;
}

static int on_held(void *ctx, const bson_t *doc, struct err *err)
{
	struct alerts_in_mongo *m = ctx;

	if (strcmp(link_text(doc, "lease_token"), m->held_token) != 0 || strcmp(link_text(doc, "state"), "claimed") != 0)
		return 0;
	return list_add(&m->held, doc, err);
}

/* By its _id alone: the cheapest question there is, on every server. */
static int ask_for_one(struct alerts_in_mongo *m, const char *id, struct err *err)
{
	return link_find(&m->link, BCON_NEW("_id", BCON_UTF8(id)),
	                 BCON_NEW("projection", "{", "due", BCON_INT32(1), "attempts", BCON_INT32(1), "state",
	                          BCON_INT32(1), "lease_token", BCON_INT32(1), "}"),
	                 on_held, m, err);
}

static int ask_for_all(struct alerts_in_mongo *m, int64_t until, struct err *err)
{
	return link_find(&m->link,
	                 BCON_NEW("due", "{", "$gt", BCON_INT64(until), "}", "lease_token", BCON_UTF8(m->held_token),
	                          "state", BCON_UTF8("claimed")),
	                 BCON_NEW("limit", BCON_INT64(HELD_MAX / 2), "projection", "{", "due", BCON_INT32(1), "attempts",
	                          BCON_INT32(1), "}"),
	                 on_found, &m->held, err);
}

/* The alert among those that this token is sure to hold for a while; NULL: not known to be. The first few are asked for
 * one by one, then all of the token are read. */
static struct found *sure_of(struct alerts_in_mongo *m, const char *id, const char *token)
{
	struct err unsaid = {0}; /* the write itself will fail, and say so */
	const int64_t until = link_now(&m->link) + LEASE_LEFT_MS;

	if (strcmp(m->held_token, token) != 0) {
		list_empty(&m->held);
		m->held.texts.max = HELD_MAX * (size_t)ALERT_ID;
		m->held_asked = 0;
		(void)snprintf(m->held_token, sizeof m->held_token, "%s", token);
	}
	struct found *f = find_held(m, id, until);
	if (f || m->held_asked == HELD_ONE_BY_ONE || m->held.n >= HELD_MAX / 2)
		return f;
	if (++m->held_asked < HELD_ONE_BY_ONE ? ask_for_one(m, id, &unsaid) < 0 : ask_for_all(m, until, &unsaid) < 0)
		list_empty(&m->held);
	return find_held(m, id, until);
}

/* Takes change. The found one is no longer known to be held. */
static int note_end(struct alerts_in_mongo *m, struct found *f, const char *state, bson_t *change, struct err *err)
{
	if (m->nnotes == m->notes_cap) {
		const size_t cap = m->notes_cap ? m->notes_cap * 2 : 64;
		struct note *p = realloc(m->notes, cap * sizeof *p);
		if (p)
			m->notes = p;
		m->notes_cap = p ? cap : m->notes_cap;
	}
	char *id = m->nnotes < m->notes_cap ? strdup(m->held.texts.p + f->id) : NULL;
	if (!id) {
		bson_destroy(change);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	struct note *n = &m->notes[m->nnotes++];
	*n = (struct note){.id = id, .state = state, .change = change};
	memcpy(n->token, m->held_token, sizeof n->token);
	f->due = 0;
	return 0;
}

/* Ends the claim by `change`, now or with the batch. *held: it was ours. */
static int end_claim(struct alerts_in_mongo *m, const char *id, const char *token, const char *state, bson_t *change,
                     struct found *sure, bool *held, struct err *err)
{
	int64_t matched = 0;
	bool repeated = false;

	*held = true;
	if (sure)
		return note_end(m, sure, state, change, err);
	*held = false;
	if (link_update_one(&m->link, held_by(id, token, "claimed"), change, &matched, &repeated, err) < 0)
		return -1;
	*held = matched > 0;
	if (!*held && repeated)
		return link_find(&m->link, held_by(id, token, state), NULL, on_any, held, err);
	return 0;
}

int mongo_finish(struct alerts *a, const char *id, const char *token, const char *result, bool *held, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	bson_t set;

	*held = false;
	if (store_fits("the result", result, LINE_MAX_BYTES, err) < 0 || link_ready(&m->link, err) < 0)
		return -1;
	if (noted(m, id))
		return 0;
	struct found *sure = m->in_batch ? sure_of(m, id, token) : NULL;
	bson_t *change = bson_new();
	BSON_APPEND_DOCUMENT_BEGIN(change, "$set", &set);
	BSON_APPEND_UTF8(&set, "state", "done");
	BSON_APPEND_NULL(&set, "due");
	link_put_text(&set, "result", result);
	bson_append_document_end(change, &set);
	return end_claim(m, id, token, "done", change, sure, held, err);
}

struct attempts {
	int64_t n;
	bool there;
};

static int on_attempts(void *ctx, const bson_t *doc, struct err *err)
{
	(void)err;
	*(struct attempts *)ctx = (struct attempts){link_int(doc, "attempts"), true};
	return 0;
}

static bson_t *give_back_change(int64_t due, int64_t attempts, bool dead, const char *error)
{
	bson_t *change = bson_new(), set;

	BSON_APPEND_DOCUMENT_BEGIN(change, "$set", &set);
	BSON_APPEND_UTF8(&set, "state", dead ? "dead" : "new");
	if (dead)
		BSON_APPEND_NULL(&set, "due");
	else
		BSON_APPEND_INT64(&set, "due", due);
	BSON_APPEND_INT64(&set, "attempts", attempts);
	link_put_text(&set, "result", error);
	bson_append_document_end(change, &set);
	return change;
}

int mongo_give_back(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
                    const char *error, bool *held, bool *dead, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	struct attempts attempts = {0};

	*held = *dead = false;
	if (store_fits("the error", error, LINE_MAX_BYTES, err) < 0 || link_ready(&m->link, err) < 0)
		return -1;
	if (noted(m, id))
		return 0;
	struct found *sure = m->in_batch ? sure_of(m, id, token) : NULL;
	if (sure)
		attempts = (struct attempts){sure->attempts, true};
	else if (link_find(&m->link, held_by(id, token, "claimed"),
	                   BCON_NEW("projection", "{", "attempts", BCON_INT32(1), "}"), on_attempts, &attempts, err) < 0)
		return -1;
	if (!attempts.there)
		return 0;
	const bool last = final || (delay_ms != 0 && attempts.n >= ALERT_MAX_ATTEMPTS);
	const int64_t due = link_now(&m->link) + (delay_ms < 0 ? alerts_backoff_ms(attempts.n) : delay_ms);
	bson_t *change = give_back_change(due, attempts.n - (!last && delay_ms == 0), last, error);
	if (end_claim(m, id, token, last ? "dead" : "new", change, sure, held, err) < 0)
		return -1;
	*dead = last && *held;
	return 0;
}

/* --- batches --- */

static void forget_notes(struct alerts_in_mongo *m)
{
	for (size_t i = 0; i < m->nnotes; i++) {
		free(m->notes[i].id);
		bson_destroy(m->notes[i].change);
	}
	m->nnotes = 0;
}

int mongo_begin(struct alerts *a, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);

	if (m->in_batch)
		return err_set(err, ERR_USAGE, "a batch is open already");
	m->in_batch = true;
	m->held_token[0] = '\0';
	return 0;
}

void mongo_rollback(struct alerts *a)
{
	struct alerts_in_mongo *m = mongo_of(a);

	forget_notes(m);
	m->in_batch = false;
}

/* Which of the notes stand in the store. */
static int count_ended(struct alerts_in_mongo *m, int64_t *n, struct err *err)
{
	*n = 0;
	for (size_t i = 0; i < m->nnotes; i++) {
		const struct note *note = &m->notes[i];
		bool there = false;
		if (link_find(&m->link, held_by(note->id, note->token, note->state), NULL, on_any, &there, err) < 0)
			return -1;
		*n += there;
	}
	return 0;
}

/* The notes from *first on that one update ends: of one token, to the same end. *first: the next after them. */
static struct link_update next_update(struct alerts_in_mongo *m, size_t *first)
{
	const struct note *n = &m->notes[*first];
	bson_t ids = BSON_INITIALIZER;
	uint32_t i = 0;

	for (; *first + i < m->nnotes; i++) {
		const struct note *next = n + i;
		char buffer[16];
		const char *key;
		if (strcmp(next->token, n->token) != 0 || !bson_equal(next->change, n->change))
			break;
		(void)bson_uint32_to_string(i, &key, buffer, sizeof buffer);
		BSON_APPEND_UTF8(&ids, key, next->id);
	}
	*first += i;
	const struct link_update u = {BCON_NEW("_id", "{", "$in", BCON_ARRAY(&ids), "}", "lease_token", BCON_UTF8(n->token),
	                                       "state", BCON_UTF8("claimed")),
	                              bson_copy(n->change)};
	bson_destroy(&ids);
	return u;
}

int mongo_commit(struct alerts *a, struct err *err)
{
	struct alerts_in_mongo *m = mongo_of(a);
	const int64_t want = (int64_t)m->nnotes;
	int64_t matched = 0;
	bool repeated = false;
	size_t n = 0, first = 0;
	int rc = 0;

	m->in_batch = false;
	if (want == 0)
		return 0;
	struct link_update *updates = calloc(m->nnotes, sizeof *updates);
	if (!updates) {
		forget_notes(m);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	while (first < m->nnotes)
		updates[n++] = next_update(m, &first);
	rc = link_update_each(&m->link, updates, n, &matched, &repeated, err);
	if (rc == 0 && matched < want)
		rc = count_ended(m, &matched, err);
	if (rc == 0 && matched < want)
		rc = err_set(err, ERR_TEMPORARY,
		             "the leases of %" PRId64 " of %" PRId64
		             " alerts ran out before their end was stored: they come again",
		             want - matched, want);
	free(updates);
	forget_notes(m);
	return rc;
}

void mongo_end_release(struct alerts_in_mongo *m)
{
	forget_notes(m);
	free(m->notes);
	list_release(&m->held);
}
