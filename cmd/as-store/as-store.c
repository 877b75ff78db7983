/* as-store: the stores themselves. `migrate` brings them to this program's schema, `status` tells what is in them,
 * `prune` deletes what is old and settled. One JSON line per store. See as-store(1). */
#include "base/clock.h"
#include "cmd/front/front.h"
#include "store/alerts.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define SLICE 1000 /* rows that one transaction deletes, so that nobody waits long for it */
#define URL_SHOWN 512

static int64_t older_than = -1;

static const struct option_row options[] = {
	{0, "older-than", OPTION_DURATION, "DURATION", &older_than,
     "with prune: delete what is older than this, such as 90d"},
	{0},
};
static const struct command command = {"as-store", "migrate, look at or prune the stores", "migrate | status | prune",
                                       options};

struct upkeep {
	struct front f;
	struct store *store;
	struct alerts *alerts;
	struct buf line;
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

static int status(struct upkeep *u, struct err *err)
{
	struct store_status s;
	struct alert_counts c;
	char oldest[CLOCK_TEXT];
	struct buf *b = &u->line;

	if (open_stores(u, err) < 0 || store_status(u->store, &s, err) < 0 || alerts_count(u->alerts, &c, err) < 0)
		return -1;
	begin_line(u, "store", u->f.conf.store);
	buf_json_member_int(b, "schema", s.schema);
	buf_json_member_int(b, "policies", s.policies);
	buf_json_member_int(b, "services", s.services);
	buf_json_member_int(b, "operations", s.operations);
	buf_json_member_int(b, "open_operations", s.open_operations);
	buf_json_member_int(b, "history", s.history);
	buf_json_member_int(b, "audit", s.audit);
	buf_json_member_int(b, "specifications", s.specifications);
	if (end_line(u, err) < 0)
		return -1;
	begin_line(u, "alerts", u->f.conf.alerts);
	buf_json_member_int(b, "waiting", c.waiting);
	buf_json_member_int(b, "claimed", c.claimed);
	buf_json_member_int(b, "done", c.done);
	buf_json_member_int(b, "dead", c.dead);
	if (c.oldest != TIME_NONE)
		clock_format(c.oldest, oldest);
	buf_json_member_str(b, "oldest", c.oldest != TIME_NONE ? oldest : NULL);
	return end_line(u, err);
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

static int prune_alerts(struct upkeep *u, int64_t before, int64_t *sum, struct err *err)
{
	struct old_alerts old = {.before = before};
	int64_t n = SLICE;

	if (u->f.dry_run) {
		const int bad = alerts_each(u->alerts, "done", count_old, &old, err);
		*sum = old.n;
		return bad;
	}
	for (*sum = 0; n == SLICE && !front_stopping(); *sum += n)
		if (alerts_prune(u->alerts, before, SLICE, &n, err) < 0)
			return -1;
	return 0;
}

static int prune(struct upkeep *u, struct err *err)
{
	struct store_pruned gone = {0};
	int64_t alerts = 0;
	char host[64] = "", actor[96];
	struct buf *b = &u->line;

	if (older_than < 0)
		return err_set(err, ERR_USAGE, "prune wants --older-than DURATION, such as --older-than 90d");
	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(actor, sizeof actor, "as-store@%s", host);
	if (open_stores(u, err) < 0 ||
	    store_prune(u->store, store_now(u->store) - older_than, SLICE, actor, u->f.dry_run, &gone, err) < 0)
		return -1;
	begin_line(u, "store", u->f.conf.store);
	buf_json_member_int(b, "history", gone.history);
	buf_json_member_int(b, "operations", gone.operations);
	buf_json_member_int(b, "audit", gone.audit);
	buf_json_member_int(b, "specifications", gone.specifications);
	buf_json_member_int(b, "containers", gone.containers);
	buf_json_member_int(b, "recommendations", gone.recommendations);
	if (u->f.dry_run)
		buf_json_member_bool(b, "dry", true);
	if (end_line(u, err) < 0)
		return -1;
	if (prune_alerts(u, alerts_now(u->alerts) - older_than, &alerts, err) < 0)
		return -1;
	begin_line(u, "alerts", u->f.conf.alerts);
	buf_json_member_int(b, "done", alerts);
	if (u->f.dry_run)
		buf_json_member_bool(b, "dry", true);
	return end_line(u, err);
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
	buf_release(&u.line);
	conf_release(&u.f.conf);
	return front_close(&u.f, bad, &err);
}
