/* GET /events: one JSON object a line for as long as both want. Source: Docker Engine API, "Monitor events". */
#include "engine/events.h"

#include "base/limits.h"
#include "engine/doc.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NS 1000000000

struct lines {
	struct engine_events *w;
	const char *host;
	struct buf part; /* of a line that is not whole yet */
};

/* Podman says the health beside the action, and `died`. */
static int even_out(json_t *event)
{
	const char *action = doc_str(event, "Action"), *health = doc_str(event, "Actor.Attributes.health_status");
	char whole[64];

	if (!action)
		return 0;
	if (strcmp(action, "died") == 0)
		return json_object_set_new(event, "Action", json_string("die"));
	if (strcmp(action, "remove") == 0)
		return json_object_set_new(event, "Action", json_string("destroy"));
	if (strcmp(action, "health_status") != 0 || !health)
		return 0;
	(void)snprintf(whole, sizeof whole, "health_status: %.40s", health);
	return json_object_set_new(event, "Action", json_string(whole));
}

static int one_event(struct lines *l, const char *p, size_t n, struct err *err)
{
	json_t *event = json_loadb(p, n, 0, NULL);
	int bad;

	if (!json_is_object(event))
		bad = err_set(err, ERR_REMOTE, "host %s: an event that is no JSON object", l->host);
	else if (even_out(event) < 0)
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	else
		bad = l->w->event(l->w->ctx, event, err);
	json_decref(event);
	return bad;
}

static int take(void *ctx, const char *p, size_t n, struct err *err)
{
	struct lines *l = ctx;

	for (const char *nl; n && (nl = memchr(p, '\n', n)); n -= (size_t)(nl + 1 - p), p = nl + 1) {
		buf_put(&l->part, p, (size_t)(nl - p));
		if (buf_ok(&l->part, err) < 0)
			return err_prefix(err, "host %s: an event", l->host);
		const int bad = l->part.n ? one_event(l, l->part.p, l->part.n, err) : 0;
		buf_reset(&l->part);
		if (bad)
			return -1;
	}
	buf_put(&l->part, p, n);
	return buf_ok(&l->part, err) < 0 ? err_prefix(err, "host %s: an event", l->host) : 0;
}

/* `kill` is left out: what kills is followed by die. Other programs' `exec_create` of every health check, too. Podman
 * wants to be asked for `died`, and then says `die`. */
#define FILTER                             \
	"{\"type\":[\"container\"],\"event\":" \
	"[\"die\",\"died\",\"stop\",\"oom\",\"destroy\",\"remove\",\"start\",\"health_status\"]}"

int events_follow(struct api *a, struct engine_events *w, struct err *err)
{
	struct lines lines = {.w = w, .host = api_host(a), .part = BUF_INIT(LINE_MAX_BYTES)};
	const struct http_stream stream = {.data = take, .ctx = &lines};
	char filter[3 * sizeof FILTER], since[64] = "";

	if (w->since > 0)
		(void)snprintf(since, sizeof since, "&since=%lld.%09lld", (long long)(w->since / NS),
		               (long long)(w->since % NS));
	(void)api_encode(FILTER, "", filter, sizeof filter);
	w->hand = NULL;
	struct exchange *x = api_stream(a, err, "GET", NULL, &stream, &w->hand, "/events?filters=%s%s", filter, since);
	buf_release(&lines.part);
	return api_good_done(x, x && x->status == 200, err);
}

void events_stop(struct engine_events *w) { api_cancel(w->hand); }

int events_clock(struct api *a, int64_t *ns, struct err *err)
{
	json_t *info = NULL;

	*ns = 0;
	if (api_json_done(api_call(a, err, "GET", NULL, 0, "/info"), 200, &info, err) < 0)
		return -1;
	const bool good = doc_time_ns(doc_str(info, "SystemTime"), ns) && *ns > 0;
	json_decref(info);
	return good ? 0 : err_set(err, ERR_REMOTE, "host %s: the engine does not tell its time", api_host(a));
}

/* Any answer will do. */
int events_alive(struct api *a, int64_t within_ms, struct err *err)
{
	struct exchange *x = api_call(a, err, "GET", NULL, (long)within_ms, "/_ping");

	return api_good_done(x, x != NULL, err);
}
