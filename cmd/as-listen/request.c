/* What a request is answered: who may ask, what is asked, and, for a delivery, what came of it. Every status of the
 * manual is given here. */
#include "base/clock.h"
#include "cmd/as-listen/listen.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define HELD_MAX (64u * 1024u * 1024u) /* bytes of all bodies at once */
#define AWAY_MS 1000                   /* a store that failed is not asked again before this */
#define HEALTH_MS 1000                 /* nor asked more often for its health */
#define AWAY_RETRY_S 5

enum route { ROUTE_DELIVER, ROUTE_HEALTH, ROUTE_METRICS, ROUTE_NONE };

/* ---- answers ---- */

static void message(struct request *r, int status, const char *text)
{
	r->status = status;
	buf_reset(&r->answer);
	buf_putc(&r->answer, '{');
	buf_json_member_str(&r->answer, "message", text);
	buf_puts(&r->answer, "}\n");
	r->type = "application/json";
}

static void later(struct request *r, int status, int64_t seconds, const char *text)
{
	message(r, status, text);
	r->retry_after = seconds;
}

/* One sentence for whatever was wrong with the credentials. */
static void refuse(struct request *r)
{
	message(r, 401, "not authorised");
	r->challenge = true;
}

static void delivered(struct request *r, const char *text)
{
	struct buf *b = &r->answer;

	r->status = 200;
	buf_reset(b);
	buf_putc(b, '{');
	buf_json_member_int(b, "stored", r->result.stored);
	buf_json_member_int(b, "seen", r->result.seen);
	buf_json_member_int(b, "dead", r->result.dead);
	buf_json_member_str(b, "message", text);
	buf_puts(b, "}\n");
	r->type = "application/json";
}

/* ---- the store ---- */

/* The handle is closed, so that the next try connects anew; nobody waits for a store that has just failed. */
static void went_away(struct listen *l, const struct err *err)
{
	l->store_errors++;
	intake_close(&l->intake);
	l->away_until = clock_monotonic_ms() + AWAY_MS;
	if (!l->away)
		front_warn(l->front, "the alert store is away, senders are told to come again: %s", err->message);
	else
		front_say(l->front, "the alert store is still away: %s", err->message);
	l->away = true;
	l->healthy = false;
}

static void is_back(struct listen *l)
{
	if (l->away)
		front_warn(l->front, "the alert store is back");
	l->away = false;
}

static bool is_away(const struct listen *l) { return l->away && clock_monotonic_ms() < l->away_until; }

bool request_store_opens(struct listen *l, struct err *err)
{
	struct err why = {0};

	if (l->intake.print || intake_store(&l->intake, &why))
		return true;
	if (why.code != ERR_CONFIG) {
		went_away(l, &why);
		return true;
	}
	*err = why;
	return false;
}

static bool healthy(struct listen *l)
{
	const int64_t now = clock_monotonic_ms();
	struct err err = {0};
	int64_t due;

	if (l->intake.print)
		return true;
	if (is_away(l) || (l->health_at && now < l->health_at + HEALTH_MS))
		return l->healthy;
	struct alerts *store = intake_store(&l->intake, &err);
	l->healthy = store && alerts_next_due(store, &due, &err) == 0;
	l->health_at = now;
	if (l->healthy)
		is_back(l);
	else
		went_away(l, &err);
	return l->healthy;
}

/* ---- routes ---- */

/* "/" or "/SOURCE" */
static bool is_source(const char *path)
{
	size_t n = strspn(path + 1, "abcdefghijklmnopqrstuvwxyz0123456789-_");

	return path[0] == '/' && n <= 31 && !path[1 + n];
}

static enum route route_of(const char *path)
{
	if (strcmp(path, "/healthz") == 0)
		return ROUTE_HEALTH;
	if (strcmp(path, "/metrics") == 0)
		return ROUTE_METRICS;
	return is_source(path) ? ROUTE_DELIVER : ROUTE_NONE;
}

static bool method_fits(struct request *r, enum route route)
{
	const bool get = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;

	if (route == ROUTE_DELIVER ? strcmp(r->method, "POST") == 0 : get)
		return true;
	r->allow = route == ROUTE_DELIVER ? "POST" : "GET, HEAD";
	message(r, 405, "another method is wanted here: see the Allow header");
	return false;
}

static bool guarded(const struct listen *l) { return l->secrets.ntokens || l->secrets.nkeys; }

/* What the head can tell about who sends it. A delivery with a signature is judged when its body is here. */
static void authenticate(struct listen *l, struct request *r, enum route route)
{
	if (route == ROUTE_HEALTH || !guarded(l))
		return;
	if (route == ROUTE_METRICS && !l->secrets.ntokens) {
		if (!r->local) /* a scraper cannot sign */
			message(r, 403, "metrics are shown to this machine only, unless --token-file is given");
		return;
	}
	r->by_signature = route == ROUTE_DELIVER && l->secrets.nkeys && (r->signature || r->timestamp);
	if (!r->by_signature && !secrets_token(&l->secrets, r->authorization))
		refuse(r);
}

static void limit_all(struct listen *l, struct request *r)
{
	const int64_t seconds = rate_of_all(&l->rate, clock_monotonic_ms());

	if (seconds)
		later(r, 429, seconds, "too many requests: send them in groups");
}

void request_begin(struct listen *l, struct request *r)
{
	const enum route route = route_of(r->path);
	const int64_t seconds = rate_of_client(&l->rate, r->client, r->began);

	if (seconds)
		later(r, 429, seconds, "too many requests of this client: send them in groups");
	else if (route == ROUTE_NONE)
		message(r, 404, "POST to / or to /SOURCE, or GET /healthz or /metrics");
	else if (!method_fits(r, route))
		return;
	else if (r->origin) /* a page in somebody's browser must not reach through to what only listens to this machine */
		message(r, 403, "not for browsers");
	else if (authenticate(l, r, route), r->status)
		return;
	else if (route != ROUTE_DELIVER)
		return;
	else if (r->length > l->max_body)
		message(r, 413, "the body is longer than --max-body");
	else if (r->bad_param)
		message(r, 422, "the parameters are service, service-field, action, rule and threshold, of plain text");
	else if (!r->by_signature)
		limit_all(l, r);
}

void request_param(struct request *r, const char *name, const char *value)
{
	static const char *const names[PARAMS] = {"service", "service-field", "action", "rule", "threshold"};

	for (size_t i = 0; i < PARAMS; i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		for (const char *p = value; *p; p++)
			r->bad_param |= *p < ' ' || *p > '~';
		r->bad_param |= strlen(value) >= PARAM_BYTES;
		(void)snprintf(r->params[i], PARAM_BYTES, "%s", value);
		return;
	}
	r->bad_param = true;
}

/* A body that is not wanted any more is read to its end all the same: a client that still writes would see a broken
 * connection instead of the answer. */
void request_body(struct listen *l, struct request *r, const char *p, size_t n)
{
	l->body_bytes += (int64_t)n;
	if (r->status)
		return;
	if (n > l->max_body - r->body.n)
		message(r, 413, "the body is longer than --max-body");
	else if (l->held + n > HELD_MAX)
		later(r, 503, AWAY_RETRY_S, "too much is on its way in");
	if (r->status) {
		l->held -= r->body.n;
		buf_release(&r->body);
		return;
	}
	buf_put(&r->body, p, n);
	l->held += r->body.failed ? 0 : n;
}

/* ---- deliveries ---- */

static const char *given(const char *param, const char *otherwise) { return *param ? param : otherwise; }

/* The signature, that it is new, and that there is room to remember it. */
static bool check_signature(struct listen *l, struct request *r)
{
	const int64_t now = clock_now_ms();

	if (!secrets_signed(&l->secrets, r->timestamp, r->signature, r->body.p ? r->body.p : "", r->body.n, now, r->mac) ||
	    replay_seen(l->replay, r->mac, now))
		refuse(r);
	else if (!replay_room(l->replay, r->mac, now))
		later(r, 503, AWAY_RETRY_S, "too many signed requests");
	else
		limit_all(l, r);
	return !r->status;
}

static void answer_failure(struct listen *l, struct request *r, const struct err *err)
{
	if (err->code == ERR_USAGE) {
		message(r, 422, err->message);
		return;
	}
	if (err->code == ERR_OUTPUT)
		l->output = *err;
	else
		went_away(l, err);
	later(r, 503, AWAY_RETRY_S, "the alert store is away, nothing is stored: deliver it again");
}

/* Nothing is said to be stored before it is on the disk. A signature is used up by then, not before: a sender that was
 * told to come again may come with the same. */
static void deliver(struct listen *l, struct request *r)
{
	struct intake *in = &l->intake;
	struct err err = {0};

	if (is_away(l)) {
		later(r, 503, AWAY_RETRY_S, "the alert store is away, nothing is stored: deliver it again");
		return;
	}
	in->how.source = given(r->path + 1, l->how.source);
	in->how.service = given(r->params[PARAM_SERVICE], l->how.service);
	in->how.service_field = given(r->params[PARAM_SERVICE_FIELD], l->how.service_field);
	in->how.action = given(r->params[PARAM_ACTION], l->how.action);
	in->how.rule = given(r->params[PARAM_RULE], l->how.rule);
	in->how.threshold = given(r->params[PARAM_THRESHOLD], l->how.threshold);
	if (intake_document(in, r->body.p ? r->body.p : "", r->body.n, &r->result, &err) < 0 ||
	    intake_commit(in, &err) < 0) {
		r->result = (struct intake_result){0};
		answer_failure(l, r, &err);
		return;
	}
	if (!in->print)
		is_back(l);
	if (r->by_signature)
		replay_add(l->replay, r->mac, clock_now_ms());
	if (*r->result.warning)
		front_warn(l->front, "%s: %s", r->peer, r->result.warning);
	l->stored += r->result.stored;
	l->seen += r->result.seen;
	l->dead += r->result.dead;
	char text[sizeof err.message + 64] = "stored";
	if (r->result.bad.code != ERR_NONE)
		(void)snprintf(text, sizeof text, "not understood: %s%s", r->result.bad.message,
		               in->print ? "" : ": kept as a dead letter");
	else if (in->print)
		(void)snprintf(text, sizeof text, "dry run: nothing is stored");
	else if (!r->result.stored)
		(void)snprintf(text, sizeof text, r->result.seen ? "known already" : "nothing to act on");
	delivered(r, text);
}

void request_end(struct listen *l, struct request *r)
{
	const enum route route = route_of(r->path);

	if (r->status)
		return;
	if (route == ROUTE_METRICS) {
		buf_reset(&r->answer);
		metrics_put(l, &r->answer);
		r->status = 200;
		r->type = "text/plain; version=0.0.4; charset=utf-8";
	} else if (route == ROUTE_HEALTH) {
		if (healthy(l))
			message(r, 200, "the alert store answers");
		else
			later(r, 503, AWAY_RETRY_S, "the alert store is away");
	} else if (r->body.failed) {
		later(r, 503, AWAY_RETRY_S, "out of memory");
	} else if (!r->by_signature || check_signature(l, r)) {
		deliver(l, r);
	}
}

/* ---- the end ---- */

static void count(struct listen *l, int status)
{
	size_t i = 0;

	while (i + 1 < STATUSES && l->answers[i].status && l->answers[i].status != status)
		i++;
	l->answers[i].status = status;
	l->answers[i].n++;
}

void request_over(struct listen *l, struct request *r, bool whole)
{
	char path[sizeof r->path];
	size_t n = 0;

	if (r->status)
		count(l, r->status);
	else
		l->cut++;
	if (!l->front->verbose)
		return;
	for (const char *p = r->path; *p && n + 1 < sizeof path; p++)
		path[n++] = *p > ' ' && *p <= '~' ? *p : '?';
	path[n] = '\0';
	front_say(l->front, "%s %.15s %s %d%s, %zu bytes, %lld ms: %lld stored, %lld known already, %lld dead letters",
	          r->peer, r->method, path, r->status, whole ? "" : " (cut)", r->body.n,
	          (long long)(clock_monotonic_ms() - r->began), (long long)r->result.stored, (long long)r->result.seen,
	          (long long)r->result.dead);
}

void request_release(struct listen *l, struct request *r)
{
	l->held -= r->body.n;
	buf_release(&r->body);
	buf_release(&r->answer);
}
