/* What the tests of the alert queue share: short forms of its calls. */
#ifndef TESTS_UNIT_ALERTS_CASES_H
#define TESTS_UNIT_ALERTS_CASES_H

#include "base/clock.h"
#include "base/limits.h"
#include "store/alerts.h"
#include "tap.h"

#include "scratch.h"

static inline struct alerts *must_open(const char *url)
{
	struct err err = {0};
	struct alerts *a = alerts_open(url, &err);

	if (!a) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	return a;
}

/* Stores one and gives its id; "" when it failed. */
static inline const char *put(struct alerts *a, const char *id, const char *dedup, int64_t received_at,
                              int64_t rearm_ms, bool *stored)
{
	static char got[ALERT_ID];
	struct err err = {0};
	const struct alert_put p = {.id = id,
	                            .dedup = dedup,
	                            .service = "web",
	                            .source = "test",
	                            .status = "firing",
	                            .received_at = received_at,
	                            .body = "{\"service\":\"web\"}",
	                            .rearm_ms = rearm_ms};

	if (alerts_put(a, &p, stored, got, &err) == 0)
		return got;
	printf("# %s\n", err.message);
	return "";
}

/* The last claim that was handed over, and all ids. */
struct taken {
	char id[ALERT_ID], token[ALERT_TOKEN];
	int64_t attempt, lease_until, received_at;
	struct buf ids;
};

static inline int on_claim(void *ctx, const struct alert_claim *c, struct err *err)
{
	struct taken *t = ctx;

	(void)snprintf(t->id, sizeof t->id, "%s", c->id);
	(void)snprintf(t->token, sizeof t->token, "%s", c->token);
	t->attempt = c->attempt;
	t->lease_until = c->lease_until;
	t->received_at = c->received_at;
	buf_printf(&t->ids, "%s ", c->id);
	return strcmp(c->body, "{\"service\":\"web\"}") == 0 ? 0 : err_set(err, ERR_INPUT, "body %s", c->body);
}

/* How many were claimed, -1 on failure. */
static inline int64_t claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, struct taken *t)
{
	struct err err = {0};
	int64_t count = 0, now = 0;

	buf_release(&t->ids);
	t->ids = (struct buf)BUF_INIT(100000);
	const int rc = alerts_claim(a, limit, lease_ms, service, on_claim, t, &count, &now, &err);
	if (rc < 0)
		printf("# %s\n", err.message);
	if (rc == 0 && count > 0 && t->lease_until != now + lease_ms)
		return -2;
	return rc < 0 ? -1 : count;
}

static inline bool finish(struct alerts *a, const struct taken *t)
{
	struct err err = {0};
	bool held = false;

	if (alerts_finish(a, t->id, t->token, "done", &held, &err) < 0)
		printf("# %s\n", err.message);
	return held;
}

/* 'd' dead, 'b' back in the queue, 'l' lost the lease, 'x' failed. */
static inline char give_back(struct alerts *a, const struct taken *t, int64_t delay_ms, bool final, const char *error)
{
	struct err err = {0};
	bool held = false, dead = false;

	if (alerts_give_back(a, t->id, t->token, delay_ms, final, error, &held, &dead, &err) < 0)
		return 'x';
	return !held ? 'l' : dead ? 'd' : 'b';
}

static inline int print_row(void *ctx, const struct alert_row *r, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s:%s:%lld:%s ", r->id, r->state, (long long)r->attempts, r->result ? r->result : "-");
	return 0;
}

static inline const char *rows(struct alerts *a, const char *state)
{
	static char text[1000];
	struct buf b = BUF_INIT(sizeof text - 1);
	struct err err = {0};

	if (alerts_each(a, state, print_row, &b, &err) < 0)
		buf_puts(&b, err.message);
	(void)snprintf(text, sizeof text, "%s", b.p ? b.p : "");
	buf_release(&b);
	return text;
}

/* n alerts, "alert-000000" and so on, the first one the oldest. */
static inline void fill(const char *url, int n)
{
	struct alerts *a = must_open(url);
	struct err err = {0};
	bool stored;

	(void)alerts_begin(a, &err);
	for (int i = 0; i < n; i++) {
		char id[32];
		(void)snprintf(id, sizeof id, "alert-%06d", i);
		(void)put(a, id, id, 1000 + i, 0, &stored);
	}
	if (alerts_commit(a, &err) < 0)
		printf("# %s\n", err.message);
	alerts_close(a);
}

/* Up to 100 claims. */
struct batch {
	struct taken t[100];
	size_t n;
};

static inline int on_batch(void *ctx, const struct alert_claim *c, struct err *err)
{
	struct batch *b = ctx;

	if (b->n == 100)
		return err_set(err, ERR_LIMIT, "more than asked for");
	struct taken *t = &b->t[b->n++];
	(void)snprintf(t->id, sizeof t->id, "%s", c->id);
	(void)snprintf(t->token, sizeof t->token, "%s", c->token);
	return 0;
}

#endif
