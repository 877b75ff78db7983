/* as-ack-alerts: the last stage. By the record's outcome the alert is done, goes back with a backoff, or becomes a
 * dead letter; records pass through. One without a claim only passes. See as-ack-alerts(1). */
#include "base/exit.h"
#include "cmd/front/front.h"
#include "cmd/front/steps.h"
#include "store/alerts.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define BATCH 256 /* alerts in one transaction */

static const struct option_row options[] = {{0}};
static const struct command command = {"as-ack-alerts",
                                       "mark each record's alert done, give it back, or dead-letter it", "", options};

struct ack {
	struct front f;
	struct alerts *store; /* opened at the first claim */
	bool open;
	int pending;
};

static int commit(void *ctx, struct err *err)
{
	struct ack *a = ctx;

	if (!a->open)
		return 0;
	a->open = false;
	a->pending = 0;
	return alerts_commit(a->store, err);
}

static bool failed(const char *outcome) { return strcmp(outcome, "failed") == 0 || strcmp(outcome, "partial") == 0; }

/* done, or back at once (a lost race), or back later with the reason. */
static int settle(struct ack *a, const struct record *r, const char *id, const char *token, struct err *err)
{
	const struct jv error = record_get(r, "error");
	char outcome[32], why[512];
	bool held = false, dead = false;

	steps_text(record_get(r, "audit"), "outcome", outcome, sizeof outcome);
	steps_text(error, "message", why, sizeof why);
	if (!*outcome)
		(void)snprintf(outcome, sizeof outcome, "%s", jv_is_null(error) ? "none" : "failed");
	if (strcmp(outcome, "deferred") == 0) {
		if (alerts_give_back(a->store, id, token, 0, false, "deferred", &held, &dead, err) < 0)
			return -1;
	} else if (failed(outcome) || (!jv_is_null(error) && strcmp(outcome, "done") != 0)) {
		if (alerts_give_back(a->store, id, token, -1, false, *why ? why : outcome, &held, &dead, err) < 0)
			return -1;
	} else if (alerts_finish(a->store, id, token, outcome, &held, err) < 0) {
		return -1;
	}
	if (!held)
		front_warn(&a->f, "alert %s: the lease was lost, somebody else has it: left alone", id);
	if (dead)
		front_warn(&a->f, "alert %s is a dead letter now: %s", id, why);
	return 0;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct ack *a = ctx;
	char id[ALERT_ID], token[ALERT_TOKEN];

	steps_text(record_get(r, "claim"), "token", token, sizeof token);
	if (!*token || a->f.dry_run)
		return RECORD_PRINT;
	if (!jv_str(record_get(r, "id"), id, sizeof id)) {
		(void)err_set(err, ERR_MISSING, "a `claim` but no usable `id`");
		return RECORD_ERROR;
	}
	if (!a->store && !(a->store = alerts_open(a->f.conf.alerts, err)))
		return RECORD_ERROR;
	if (!a->open && alerts_begin(a->store, err) < 0)
		return RECORD_ERROR;
	a->open = true;
	if (settle(a, r, id, token, err) < 0 || (++a->pending >= BATCH && commit(a, err) < 0))
		return RECORD_ERROR;
	return RECORD_PRINT;
}

int main(int argc, char **argv)
{
	static struct ack a;
	struct err err = {0};
	int done = front_start(&a.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_terminal(&a.f)) >= 0 || (done = front_conf(&a.f)) >= 0)
		return done;

	int bad = front_open(&a.f, each, &a, true, &err);
	a.f.loop.idle = commit;
	a.f.loop.flush_each = false; /* records leave when their batch is committed */
	if (!bad)
		bad = record_loop_run(&a.f.loop, &err);
	alerts_close(a.store);
	conf_release(&a.f.conf);
	return front_close(&a.f, bad, &err);
}
