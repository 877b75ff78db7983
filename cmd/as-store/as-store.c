/* as-store: the stores themselves. `migrate` brings them to this program's schema, `status` tells what is in them,
 * `prune` deletes what is old and settled. One JSON line per store. See as-store(1). */
#include "base/clock.h"
#include "cmd/front/front.h"
#include "store/alerts.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define SLICE 1000 /* rows that one transaction deletes, so that nobody waits long for it */
#define URL_SHOWN 512

static int64_t older_than = -1;
static bool dead_too;

static const struct option_row options[] = {
	{0, "older-than", OPTION_DURATION, "DURATION", &older_than,
     "with prune: delete what is older than this, such as 90d"},
	{0, "dead", OPTION_FLAG, NULL, &dead_too, "with prune: delete old dead letters too"},
	{0},
};
static const struct command command = {"as-store", "migrate, look at or prune the stores", "migrate | status | prune",
                                       options};

struct upkeep {
	struct front f;
	struct store *store;
	struct alerts *alerts;
	struct buf line;
	uint64_t *open; /* hashes of the ids of alerts that may yet be taken, in order */
	size_t nopen, cap;
};

static int open_stores(struct upkeep *u, struct err *err)
{
	if (!(u->store = store_open(u->f.conf.store, err)))
		return -1;
	u->alerts = alerts_open(u->f.conf.alerts, err);
	return u->alerts ? 0 : -1;
}

static void begin_line(struct upkeep *u, const char *which, const char *url)
{
	char shown[URL_SHOWN];

	store_shown(url, shown, sizeof shown);
	buf_reset(&u->line);
	buf_putc(&u->line, '{');
	buf_json_member_str(&u->line, which, shown);
}

/* The kind of the store: the scheme of its URL; a plain path is SQLite's. */
static void put_driver(struct upkeep *u, const char *url)
{
	const size_t n = strcspn(url, ":/");
	char driver[32];

	(void)snprintf(driver, sizeof driver, "%.*s", (int)strcspn(url, ":+"), url);
	buf_json_member_str(&u->line, "driver", url[n] == ':' ? driver : "sqlite");
}

static int end_line(struct upkeep *u, struct err *err)
{
	buf_putc(&u->line, '}');
	if (buf_ok(&u->line, err) < 0)
		return -1;
	return record_loop_put(&u->f.loop, u->line.p, u->line.n, err);
}

/* Opening has done it; this tells from where to where. An alert store of another kind has no schema to speak of. */
static int migrated(struct upkeep *u, const char *which, const char *url, struct store *s, struct err *err)
{
	struct store_status status;

	begin_line(u, which, url);
	if (s) {
		if (store_status(s, &status, err) < 0)
			return -1;
		buf_json_member_int(&u->line, "from", status.schema_was);
		buf_json_member_int(&u->line, "to", status.schema);
	}
	return end_line(u, err);
}

static int migrate(struct upkeep *u, struct err *err)
{
	struct store *other = NULL;
	int bad;

	if (!(u->store = store_open(u->f.conf.store, err)) || migrated(u, "store", u->f.conf.store, u->store, err) < 0)
		return -1;
	if (store_serves(u->f.conf.alerts))
		other = store_open(u->f.conf.alerts, err);
	else
		u->alerts = alerts_open(u->f.conf.alerts, err);
	bad = other || u->alerts ? migrated(u, "alerts", u->f.conf.alerts, other, err) : -1;
	store_close(other);
	return bad;
}

static int store_line(struct upkeep *u, struct err *err)
{
	struct store_status s;
	struct buf *b = &u->line;

	if (store_status(u->store, &s, err) < 0)
		return -1;
	begin_line(u, "store", u->f.conf.store);
	put_driver(u, u->f.conf.store);
	buf_json_member_int(b, "schema", s.schema);
	buf_json_member_int(b, "schema_known", s.schema_known);
	buf_json_member_int(b, "policies", s.policies);
	buf_json_member_int(b, "services", s.services);
	buf_json_member_int(b, "operations", s.operations);
	buf_json_member_int(b, "open_operations", s.open_operations);
	buf_json_member_int(b, "history", s.history);
	buf_json_member_int(b, "audit", s.audit);
	buf_json_member_int(b, "specifications", s.specifications);
	return end_line(u, err);
}

static int alerts_line(struct upkeep *u, struct err *err)
{
	struct alert_counts c;
	struct buf *b = &u->line;

	if (alerts_count(u->alerts, &c, err) < 0)
		return -1;
	begin_line(u, "alerts", u->f.conf.alerts);
	put_driver(u, u->f.conf.alerts);
	buf_json_member_int(b, "waiting", c.waiting);
	buf_json_member_int(b, "claimed", c.claimed);
	buf_json_member_int(b, "done", c.done);
	buf_json_member_int(b, "dead", c.dead);
	clock_json_member(b, "oldest", c.oldest);
	buf_json_key(b, "age");
	if (c.oldest != INT64_MIN)
		buf_json_int(b, (alerts_now(u->alerts) - c.oldest) / 1000);
	else
		buf_puts(b, "null");
	return end_line(u, err);
}

static int status(struct upkeep *u, struct err *err)
{
	return open_stores(u, err) < 0 || store_line(u, err) < 0 ? -1 : alerts_line(u, err);
}

/* --- prune --- */

static bool stopping(void *ctx)
{
	(void)ctx;
	return front_stopping();
}

/* FNV-1a, 64 bits. Two ids with one hash keep what could have gone, and nothing worse. */
static uint64_t hash_id(const char *id)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
	return h;
}

static int by_hash(const void *x, const void *y)
{
	const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

static int note_open(void *ctx, const struct alert_row *row, struct err *err)
{
	struct upkeep *u = ctx;

	if (u->nopen == u->cap) {
		const size_t cap = u->cap ? u->cap * 2 : 1024;
		void *more = realloc(u->open, cap * sizeof *u->open);
		if (!more)
			return err_set(err, ERR_TEMPORARY, "out of memory");
		u->open = more;
		u->cap = cap;
	}
	u->open[u->nopen++] = hash_id(row->id);
	return 0;
}

/* The alerts that somebody may yet take; a dead one may be requeued. */
static int list_open(struct upkeep *u, struct err *err)
{
	static const char *const states[] = {"new", "claimed", "dead"};

	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		if (alerts_each(u->alerts, states[i], note_open, u, err) < 0)
			return -1;
	if (u->nopen)
		qsort(u->open, u->nopen, sizeof *u->open, by_hash);
	return 0;
}

static bool waits(void *ctx, const char *alert_id)
{
	const struct upkeep *u = ctx;
	const uint64_t h = hash_id(alert_id);

	return u->nopen && bsearch(&h, u->open, u->nopen, sizeof h, by_hash) != NULL;
}

static int pruned_store_line(struct upkeep *u, const struct store_pruned *gone, struct err *err)
{
	struct buf *b = &u->line;

	begin_line(u, "store", u->f.conf.store);
	buf_json_member_int(b, "history", gone->history);
	buf_json_member_int(b, "operations", gone->operations);
	buf_json_member_int(b, "audit", gone->audit);
	buf_json_member_int(b, "specifications", gone->specifications);
	buf_json_member_int(b, "containers", gone->containers);
	buf_json_member_int(b, "recommendations", gone->recommendations);
	if (u->f.dry_run)
		buf_json_member_bool(b, "dry", true);
	return end_line(u, err);
}

/* What is gone is told also when the rest failed. */
static int prune_store(struct upkeep *u, struct err *err)
{
	struct store_pruned gone = {0};
	char host[64] = "", actor[96];
	struct err unsaid;

	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(actor, sizeof actor, "as-store@%s", host);
	const struct prune_ask ask = {
		.before = store_now(u->store) - older_than,
		.limit = SLICE,
		.actor = actor,
		.dry = u->f.dry_run,
		.waits = waits,
		.stop = stopping,
		.ctx = u,
	};
	const int bad = store_prune(u->store, &ask, &gone, err);
	if (bad && !u->f.dry_run)
		(void)pruned_store_line(u, &gone, &unsaid);
	return bad ? bad : pruned_store_line(u, &gone, err);
}

struct old_alerts {
	int64_t before, n;
};

static int count_old(void *ctx, const struct alert_row *row, struct err *err)
{
	struct old_alerts *old = ctx;
	(void)err;

	old->n += row->received_at < old->before;
	return 0;
}

static int prune_state(struct upkeep *u, const char *state, int64_t before, int64_t *sum, struct err *err)
{
	struct old_alerts old = {.before = before};
	int64_t n = SLICE;

	if (u->f.dry_run) {
		const int bad = alerts_each(u->alerts, state, count_old, &old, err);
		*sum = old.n;
		return bad;
	}
	for (*sum = 0; n == SLICE && !front_stopping(); *sum += n)
		if (alerts_prune(u->alerts, state, before, SLICE, &n, err) < 0)
			return -1;
	return 0;
}

static int pruned_alerts_line(struct upkeep *u, int64_t settled, int64_t dead, struct err *err)
{
	begin_line(u, "alerts", u->f.conf.alerts);
	buf_json_member_int(&u->line, "done", settled);
	buf_json_member_int(&u->line, "dead", dead);
	if (u->f.dry_run)
		buf_json_member_bool(&u->line, "dry", true);
	return end_line(u, err);
}

static int prune_alerts(struct upkeep *u, struct err *err)
{
	const int64_t before = alerts_now(u->alerts) - older_than;
	int64_t settled = 0, dead = 0;
	struct err unsaid;
	int bad = prune_state(u, "done", before, &settled, err);

	if (!bad && dead_too)
		bad = prune_state(u, "dead", before, &dead, err);
	if (bad && !u->f.dry_run)
		(void)pruned_alerts_line(u, settled, dead, &unsaid);
	return bad ? bad : pruned_alerts_line(u, settled, dead, err);
}

static int prune(struct upkeep *u, struct err *err)
{
	if (older_than < 0)
		return err_set(err, ERR_USAGE, "prune wants --older-than DURATION, such as --older-than 90d");
	if (open_stores(u, err) < 0 || list_open(u, err) < 0)
		return -1;
	return prune_store(u, err) < 0 ? -1 : prune_alerts(u, err);
}

int main(int argc, char **argv)
{
	static struct upkeep u;
	struct err err = {0};
	int done = front_start(&u.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&u.f)) >= 0)
		return done;

	u.line = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	int bad = front_open(&u.f, NULL, NULL, false, &err);
	const char *verb = u.f.noperands == 1 ? u.f.operands[0] : "";
	if (bad)
		;
	else if (u.f.dry_run && strcmp(verb, "prune") != 0)
		bad = err_set(&err, ERR_USAGE, "-n goes with prune: opening a store brings it up to date");
	else if (strcmp(verb, "migrate") == 0)
		bad = migrate(&u, &err);
	else if (strcmp(verb, "status") == 0)
		bad = status(&u, &err);
	else if (strcmp(verb, "prune") == 0)
		bad = prune(&u, &err);
	else
		bad = err_set(&err, ERR_USAGE, "usage: as-store %s", command.operands);
	alerts_close(u.alerts);
	store_close(u.store);
	free(u.open);
	buf_release(&u.line);
	conf_release(&u.f.conf);
	return front_close(&u.f, bad, &err);
}
