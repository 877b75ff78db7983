/* One record. What an event means, the mapping of the source "docker" says, for as-ingest and for us. */
#include "cmd/as-watch/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

static void random_bytes(void *p, size_t n)
{
	if (getrandom(p, n, 0) != (ssize_t)n)
		abort(); /* 256 bytes at most never fail once the kernel has its seed */
}

struct telling {
	struct watch *w;
	const char *id, *service;
	int64_t now;
	bool told;
};

static int put_record(void *ctx, const struct alert *a, struct err *err)
{
	struct telling *t = ctx;
	struct buf *b = &t->w->line;

	if (a->dropped)
		return 0;
	t->told = true;
	buf_reset(b);
	buf_putc(b, '{');
	buf_json_member_int(b, "v", RECORD_VERSION);
	buf_json_member_str(b, "id", t->id);
	clock_json_member(b, "now", t->now);
	buf_json_key(b, "alert");
	buf_put(b, a->body.p, a->body.n);
	buf_json_member_str(b, "service", t->service);
	buf_putc(b, '}');
	if (buf_ok(b, err) < 0 || record_loop_put(&t->w->f.loop, b->p, b->n, err) < 0)
		return -1;
	return record_loop_flush(&t->w->f.loop, err);
}

/* The same event has the same id, whoever tells it and how often: "HOST/TIME/CONTAINER/ACTION". */
static void make_id(const struct telling *t, const struct host *h, const json_t *event, const char *action, char *id,
                    size_t size)
{
	const char *word = json_string_value(json_object_get(event, "Action")), *colon = word ? strstr(word, ": ") : NULL;
	char now[CLOCK_TEXT];

	clock_format(t->now, now);
	if (event_kind(event) == KIND_ORDER)
		(void)snprintf(id, size, "%s@%s", t->service, now);
	else
		(void)snprintf(id, size, "%.40s/%lld/%.12s/%.20s", h->name, (long long)event_time(event), event_id(event),
		               action  ? action
		               : colon ? colon + 2
		               : word  ? word
		                       : "");
}

/* What only we know goes into the event, where the mapping finds it. */
static int complete(const struct telling *t, const struct host *h, json_t *event, const char *action, int64_t count)
{
	json_t *ours =
		json_pack("{s:s, s:s, s:s, s:s}", "id", t->id, "service", t->service, "host", h->name, "status", "firing");
	char number[24];

	(void)snprintf(number, sizeof number, "%lld", (long long)count);
	if (ours && action)
		(void)json_object_set_new(ours, "action", json_string(action));
	if (!ours || json_object_set_new(event, "autoscale", ours) < 0)
		return -1;
	return json_object_set_new(json_object_get(json_object_get(event, "Actor"), "Attributes"), "events",
	                           json_string(number));
}

int tell(struct watch *w, const char *service, const struct host *h, json_t *event, const char *action, int64_t count,
         struct err *err)
{
	char id[128], *text = NULL;
	struct telling t = {.w = w, .id = id, .service = service, .now = clock_now_ms()};
	const struct alert_options how = {.sources = w->sources,
	                                  .source = "docker",
	                                  .service_field = "autoscale.service",
	                                  .now = t.now,
	                                  .random = random_bytes};
	struct jv document;

	make_id(&t, h, event, action, id, sizeof id);
	if (complete(&t, h, event, action, count) < 0 || !(text = json_dumps(event, JSON_COMPACT)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	int bad = jv_scan(text, strlen(text), &document, NULL, 0, NULL, err);
	if (!bad)
		bad = alert_each(document, &how, put_record, &t, err);
	free(text);
	if (!bad || err->code == ERR_OUTPUT || err->code == ERR_TEMPORARY)
		return bad;
	front_warn(&w->f, "host %s: an event of service %s cannot be told: %s", h->name, service, err->message);
	*err = (struct err){0};
	return 0;
}
