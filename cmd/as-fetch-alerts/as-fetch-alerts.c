/* as-fetch-alerts: the alert store -> one record per alert, claimed under a lease, oldest first. See
 * as-fetch-alerts(1). */
#include "base/clock.h"
#include "base/exit.h"
#include "cmd/as-fetch-alerts/keeper.h"
#include "cmd/front/front.h"
#include "store/alerts.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define POLL_FIRST_MS 5   /* --follow looks again this soon after it found something, */
#define POLL_LAST_MS 250  /* and at least this often when nothing comes */
#define POLL_AWAY_MS 1000 /* after the store was away */

static int64_t limit = 1000, lease_ms = 60000;
static bool follow, dead;
static const char *service, *requeue;

static const struct option_row options[] = {
	{'l', "limit", OPTION_COUNT, "N", &limit, "claim at most this many (1000)"},
	{0, "lease", OPTION_DURATION, "DURATION", &lease_ms, "hold the claims this long (60s)"},
	{'f', "follow", OPTION_FLAG, NULL, &follow, "keep going: claim alerts as they arrive"},
	{0, "service", OPTION_TEXT, "SERVICE", &service, "only alerts of this service"},
	{0, "dead", OPTION_FLAG, NULL, &dead, "list the dead letters instead of claiming"},
	{0, "requeue", OPTION_TEXT, "ID", &requeue, "put a dead alert back into the queue"},
	{0},
};
static const struct command command = {"as-fetch-alerts", "claim unprocessed alerts, oldest first, as records", "",
                                       options};

struct fetch {
	struct front f;
	struct alerts *store;
	struct buf line;
	int64_t now;            /* of the batch: one pass, one time */
	int64_t looked;         /* with -n: how many were printed */
	struct keeper *keeper;  /* with --follow */
	char kept[ALERT_TOKEN]; /* the token that it was last told */
};

static int print_record(struct fetch *f, const char *id, const char *alert, const struct alert_claim *c,
                        struct err *err)
{
	struct buf *b = &f->line;
	const struct jv body = {alert, strlen(alert)};

	buf_reset(b);
	buf_putc(b, '{');
	buf_json_member_int(b, "v", RECORD_VERSION);
	buf_json_member_str(b, "id", id);
	clock_json_member(b, "now", f->now);
	buf_json_key(b, "alert");
	buf_put(b, body.p, body.n);
	if (c) {
		buf_json_key(b, "claim");
		buf_putc(b, '{');
		buf_json_member_str(b, "token", c->token);
		buf_json_member_int(b, "attempt", c->attempt);
		clock_json_member(b, "lease_until", c->lease_until);
		buf_putc(b, '}');
	}
	buf_json_key(b, "service");
	const struct jv name = jv_get(body, "service");
	buf_put(b, jv_is_string(name) ? name.p : "\"\"", jv_is_string(name) ? name.n : 2);
	buf_putc(b, '}');
	if (buf_ok(b, err) < 0)
		return -1;
	return record_loop_put(&f->f.loop, b->p, b->n, err);
}

static int print_claim(void *ctx, const struct alert_claim *c, struct err *err)
{
	struct fetch *f = ctx;

	if (f->keeper && strcmp(f->kept, c->token) != 0) { /* one token a claim */
		if (keeper_add(f->keeper, c->token, err) < 0)
			return -1;
		(void)snprintf(f->kept, sizeof f->kept, "%s", c->token);
	}
	return print_record(f, c->id, c->body, c, err);
}

/* -n: what a claim would hand over now, in no order but the store's, and nobody's lease. */
static int print_due(void *ctx, const struct alert_row *row, struct err *err)
{
	struct fetch *f = ctx;
	const bool open = strcmp(row->state, "new") == 0 || strcmp(row->state, "claimed") == 0;

	if (!open || row->due > f->now || f->looked == limit || (service && strcmp(service, row->service) != 0))
		return 0;
	f->looked++;
	return print_record(f, row->id, row->body, NULL, err);
}

/* One batch; *count: how many alerts it had. */
static int claim(struct fetch *f, int64_t *count, struct err *err)
{
	f->now = alerts_now(f->store);
	if (alerts_claim(f->store, limit, lease_ms, service, print_claim, f, count, &f->now, err) < 0)
		return -1;
	return record_loop_flush(&f->f.loop, err);
}

static void report_keeper(void *ctx, const struct err *err)
{
	front_warn(ctx, "cannot renew the leases: %s: trying again", err->message);
}

/* Sleeps; true: nobody reads our output any more (the line behind us is dead). */
static bool sleep_or_gone(int64_t ms)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, (int)ms) > 0 && (out.revents & (POLLERR | POLLNVAL)) != 0;
}

/* One look; a store that is away for the time being is opened anew by the next one. */
static int look(struct fetch *f, int64_t *count, int64_t *wait, struct err *err)
{
	int64_t due = INT64_MAX, now;

	*count = 0;
	if (!f->store && !(f->store = alerts_open(f->f.conf.alerts, err)))
		return -1;
	if (claim(f, count, err) < 0)
		return -1;
	if (*count || alerts_next_due(f->store, &due, err) < 0)
		return *count ? 0 : -1;
	now = alerts_now(f->store);
	if (due != INT64_MAX && due - now < *wait)
		*wait = due > now ? due - now : 1;
	return 0;
}

/* Looks often after something came, then less and less; never later than the next alert gets due. */
static int follow_alerts(struct fetch *f, struct err *err)
{
	int64_t wait = POLL_FIRST_MS;

	f->keeper = keeper_start(f->f.conf.alerts, lease_ms, report_keeper, &f->f, err);
	if (!f->keeper)
		return -1;
	while (!front_stopping()) {
		int64_t count = 0;
		if (look(f, &count, &wait, err) < 0) {
			if (!err->retry)
				return -1;
			front_warn(&f->f, "%s: trying again", err->message);
			alerts_close(f->store);
			f->store = NULL;
			wait = POLL_AWAY_MS;
		}
		if (count) {
			wait = POLL_FIRST_MS;
			continue;
		}
		if (sleep_or_gone(wait))
			return err_set(err, ERR_OUTPUT, "nobody reads the records any more");
		wait = wait * 2 < POLL_LAST_MS ? wait * 2 : POLL_LAST_MS;
	}
	return 0;
}

static int print_dead(void *ctx, const struct alert_row *row, struct err *err)
{
	struct fetch *f = ctx;
	struct buf *b = &f->line;

	buf_reset(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "id", row->id);
	buf_json_member_str(b, "service", row->service);
	buf_json_member_int(b, "attempts", row->attempts);
	buf_json_member_str(b, "error", row->result);
	buf_json_key(b, "alert");
	buf_puts(b, row->body);
	if (row->raw_sha256)
		buf_json_member_str(b, "raw_sha256", row->raw_sha256);
	if (row->raw)
		buf_json_member_str(b, "raw", row->raw);
	buf_putc(b, '}');
	if (buf_ok(b, err) < 0)
		return -1;
	return record_loop_put(&f->f.loop, b->p, b->n, err);
}

static int requeue_one(struct fetch *f, struct err *err)
{
	bool there = false;

	if (alerts_requeue(f->store, requeue, &there, err) < 0)
		return -1;
	return there ? 0
	             : err_set(err, ERR_NOT_FOUND, "no alert has the id %s: as-fetch-alerts --dead lists them", requeue);
}

int main(int argc, char **argv)
{
	static struct fetch f;
	struct err err = {0};
	int64_t count;
	int done = front_start(&f.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&f.f)) >= 0)
		return done;

	f.line = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	int bad = front_open(&f.f, NULL, NULL, false, &err);
	f.f.loop.flush_each = false;
	f.store = bad ? NULL : alerts_open(f.f.conf.alerts, &err);
	if (!f.store)
		bad = -1;
	else if (requeue)
		bad = requeue_one(&f, &err);
	else if (dead)
		bad = alerts_each(f.store, "dead", print_dead, &f, &err);
	else if (f.f.dry_run) {
		f.now = alerts_now(f.store);
		bad = alerts_each(f.store, NULL, print_due, &f, &err);
	} else
		bad = follow ? follow_alerts(&f, &err) : claim(&f, &count, &err);
	keeper_stop(f.keeper);
	alerts_close(f.store);
	buf_release(&f.line);
	conf_release(&f.f.conf);
	return front_close(&f.f, bad, &err);
}
