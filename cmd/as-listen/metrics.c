/* GET /metrics, in the text form that Prometheus reads:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "base/clock.h"
#include "cmd/as-listen/listen.h"

#include "base/banned.h"

#define COUNTED_MS 1000 /* the queue is counted at most this often */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP autoscale_%s %s\n# TYPE autoscale_%s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, int64_t v)
{
	head(b, name, type, help);
	buf_printf(b, "autoscale_%s %lld\n", name, (long long)v);
}

/* The lengths of the queue, or nothing of them while the store is away. */
static bool recount(struct listen *l)
{
	const int64_t now = clock_monotonic_ms();
	struct err err = {0};

	if (l->intake.print || (l->away && now < l->away_until))
		return false;
	if (l->counted_at && now < l->counted_at + COUNTED_MS)
		return true;
	struct alerts *store = intake_store(&l->intake, &err);
	if (!store || alerts_count(store, &l->counts, &err) < 0) {
		l->counted_at = 0;
		return false;
	}
	l->counted_at = now;
	return true;
}

static void put_queue(struct listen *l, struct buf *b)
{
	const struct alert_counts *c = &l->counts;
	const bool known = recount(l);

	one(b, "store_up", "gauge", "Whether the alert store answers.", known);
	if (!known)
		return;
	head(b, "alerts", "gauge", "Alerts in the store, by state.");
	buf_printf(b, "autoscale_alerts{state=\"new\"} %lld\n", (long long)c->waiting);
	buf_printf(b, "autoscale_alerts{state=\"claimed\"} %lld\n", (long long)c->claimed);
	buf_printf(b, "autoscale_alerts{state=\"done\"} %lld\n", (long long)c->done);
	buf_printf(b, "autoscale_alerts{state=\"dead\"} %lld\n", (long long)c->dead);
	const int64_t age = c->oldest == INT64_MIN ? 0 : clock_now_ms() - c->oldest;
	head(b, "alerts_oldest_seconds", "gauge", "Age of the oldest alert that is new or claimed.");
	buf_printf(b, "autoscale_alerts_oldest_seconds %lld.%03lld\n", (long long)(age > 0 ? age / 1000 : 0),
	           (long long)(age > 0 ? age % 1000 : 0));
}

void metrics_put(struct listen *l, struct buf *b)
{
	head(b, "listen_requests_total", "counter", "Answers given, by HTTP status.");
	for (size_t i = 0; i < STATUSES && l->answers[i].status; i++)
		buf_printf(b, "autoscale_listen_requests_total{status=\"%d\"} %lld\n", l->answers[i].status,
		           (long long)l->answers[i].n);
	one(b, "listen_stored_total", "counter", "New alerts stored.", l->stored);
	one(b, "listen_seen_total", "counter", "Alerts delivered that were stored already.", l->seen);
	one(b, "listen_dead_total", "counter", "Dead letters stored.", l->dead);
	one(b, "listen_store_errors_total", "counter", "Failures of the alert store.", l->store_errors);
	one(b, "listen_body_bytes_total", "counter", "Bytes of bodies received.", l->body_bytes);
	one(b, "listen_cut_total", "counter", "Connections that ended before their request had an answer.", l->cut);
	one(b, "listen_connections", "gauge", "Connections open now.", l->connections);
	put_queue(l, b);
}
