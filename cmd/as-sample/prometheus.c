/* prometheus:QUERY, instant queries of a server that speaks Prometheus' HTTP API,
 * https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries . The services of one pass that ask the
 * same share the answer. */
#include "cmd/as-sample/sample.h"

#include "base/clock.h"
#include "base/http.h"
#include "base/web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define AT_ONCE 16    /* queries in hand, and so connections */
#define DOWN_MS 5000  /* for so long a server that did not answer is not asked again */
#define QUERY_MS 9000 /* that the server has: its own word of it comes before our limit */
#define KEEP_MS 10000 /* for so long an answer is shared */
#define QUERY_MAX (METRIC_NAME + SERVICE_NAME_MAX * 8)
#define SAID 400 /* bytes of the server's own words */

/* What one query gave. */
struct answer {
	struct answer *next;
	uint64_t hash;
	char *query;
	int64_t pass, asked; /* the `now` of the records; monotonic ms */
	size_t users;        /* tasks that look at it */
	struct tasks_gate gate;
	bool done;
	int bad;
	struct err err;
	int64_t micro, at;
};

struct line {
	struct line *next;
	struct http *http;
};

struct prometheus {
	struct sampler *s;
	struct web web;
	struct tasks_gate gate;
	struct line *free;
	struct answer *answers;
	int64_t down_until; /* monotonic ms */
	struct err why;
};

/* ---- where it is ---- */

int prometheus_init(struct sampler *s, struct err *err)
{
	if (!s->f.conf.metrics.prometheus)
		return 0;
	struct prometheus *p = s->prometheus = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	p->s = s;
	p->gate.width = AT_ONCE;
	return web_read(&p->web, s->f.conf.metrics.prometheus, "/api/v1/query", "prometheus in [metrics]", err);
}

static void forget(struct answer *a)
{
	free(a->query);
	free(a);
}

void prometheus_release(struct sampler *s)
{
	struct prometheus *p = s->prometheus;

	if (!p)
		return;
	for (struct line *l = p->free, *next; l; l = next) {
		next = l->next;
		http_free(l->http);
		free(l);
	}
	for (struct answer *a = p->answers, *next; a; a = next) {
		next = a->next;
		forget(a);
	}
	web_release(&p->web);
	free(p);
	s->prometheus = NULL;
}

/* ---- connections ---- */

static struct line *new_line(struct prometheus *p, struct err *err)
{
	const struct conf_metrics *conf = &p->s->f.conf.metrics;
	struct line *l = calloc(1, sizeof *l);
	char token[WEB_TOKEN];
	struct http_target target = {.base = p->web.base,
	                             .ca = conf->prometheus_ca,
	                             .user = p->web.user,
	                             .password = p->web.password,
	                             .name = "prometheus",
	                             .hint = "does it run? is prometheus in [metrics] right?",
	                             .tasks = p->s->hosts.tasks};

	if (!l) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	if (!conf->prometheus_token_file ||
	    web_token(conf->prometheus_token_file, "prometheus_token_file", token, err) == 0) {
		target.token = conf->prometheus_token_file ? token : NULL;
		l->http = http_new(&target, err);
	}
	if (l->http)
		return l;
	free(l);
	return NULL;
}

/* A login that was refused may have been replaced in its file meanwhile: the next one reads it again. */
static void give_back(struct prometheus *p, struct line *l, bool refused)
{
	if (refused) {
		http_free(l->http);
		free(l);
		return;
	}
	l->next = p->free;
	p->free = l;
}

/* ---- one query ---- */

static void put_encoded(struct buf *b, const char *s)
{
	for (; *s; s++)
		if ((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z'))
			buf_putc(b, *s);
		else
			buf_printf(b, "%%%02X", (unsigned char)*s);
}

/* An array of a time and the value as text. */
static int read_sample(struct jv pair, struct answer *a, struct err *err)
{
	struct jv_cursor c = jv_each(pair);
	struct jv_member at = {0}, value = {0};
	struct reply number = {0};
	char text[64];
	int64_t micro;

	if (!jv_next(&c, &at) || !jv_next(&c, &value) || !jv_micro(at.value, &micro) ||
	    !jv_str(value.value, text, sizeof text))
		return err_set(err, ERR_REMOTE, "prometheus: its answer has no sample where one should be");
	a->at = micro / 1000;
	if (strspn(text, "+-0123456789.eE") != strlen(text))
		return err_set(err, ERR_REMOTE, "prometheus: the value is %.16s, which is no number (a division by zero?)",
		               text);
	if (reply_parse(text, strlen(text), &number, err) < 0)
		return err_prefix(err, "prometheus: the value");
	a->micro = number.micro;
	return 0;
}

static int read_vector(struct jv result, struct answer *a, struct err *err)
{
	const size_t n = jv_count(result);
	struct jv_cursor c = jv_each(result);
	struct jv_member sample;

	if (!n)
		return err_set(err, ERR_REMOTE,
		               "prometheus: the query gives no sample: is every name in it right? (where none means zero: "
		               "QUERY or vector(0))");
	if (n > 1)
		return err_set(
			err, ERR_REMOTE,
			"prometheus: the query gives %zu samples, and one is wanted: sum(...), max(...) or avg(...) makes "
			"one of them",
			n);
	(void)jv_next(&c, &sample);
	if (!jv_here(jv_get(sample.value, "value")))
		return err_set(err, ERR_REMOTE,
		               "prometheus: the sample is a histogram: histogram_quantile(...) or "
		               "histogram_avg(...) makes a number of it");
	return read_sample(jv_get(sample.value, "value"), a, err);
}

/* In the server's own words. */
static int refused(struct jv doc, long status, struct err *err)
{
	struct buf said = BUF_INIT(HTTP_BODY_MAX);

	if (status == 401 || status == 403)
		return err_set(
			err, ERR_DENIED,
			"prometheus: %ld, the login is refused: look at prometheus and prometheus_token_file in [metrics]", status);
	if (!jv_str_buf(jv_get(doc, "error"), &said) || !said.n)
		buf_puts(&said,
		         jv_here(doc) ? "without a reason" : "and no JSON: is prometheus in [metrics] the address of its API?");
	(void)err_set(err, status >= 500 ? ERR_UNAVAILABLE : ERR_REMOTE, "prometheus: %ld %.*s", status, SAID,
	              said.p ? said.p : "");
	buf_release(&said);
	return -1;
}

static int read_answer(const struct buf *reply, long status, struct answer *a, struct err *err)
{
	struct jv doc = {0};
	struct err unused;
	char type[32] = "";

	if (!reply->n || jv_scan(reply->p, reply->n, &doc, NULL, 0, NULL, &unused) < 0)
		doc = (struct jv){0};
	if (!jv_is(jv_get(doc, "status"), "success"))
		return refused(doc, status, err);
	const struct jv result = jv_path(doc, "data.result");
	(void)jv_str(jv_path(doc, "data.resultType"), type, sizeof type);
	if (strcmp(type, "scalar") == 0)
		return read_sample(result, a, err);
	if (strcmp(type, "vector") == 0)
		return read_vector(result, a, err);
	return err_set(err, ERR_REMOTE, "prometheus: the query gives a %s: a vector of one sample, or a scalar, is wanted",
	               *type ? type : "thing without a type");
}

static int ask(struct prometheus *p, struct answer *a, bool *down, struct err *err)
{
	struct buf body = BUF_INIT(QUERY_MAX * 4), reply = BUF_INIT(HTTP_BODY_MAX);
	struct line *l = p->free;
	long status = 0;

	if (l)
		p->free = l->next;
	else
		l = new_line(p, err);
	buf_puts(&body, "query=");
	put_encoded(&body, a->query);
	/* What asks several servers (Thanos) shall not leave out the one that is down. */
	buf_printf(&body, "&timeout=%dms&partial_response=false", QUERY_MS);
	int bad = l ? buf_ok(&body, err) : -1;
	if (!bad)
		bad = http_call(l->http, "POST", p->web.path, body.p, body.n, "application/x-www-form-urlencoded", 0, &reply,
		                &status, err);
	*down = bad && err->code == ERR_UNAVAILABLE;
	if (!bad)
		bad = read_answer(&reply, status, a, err);
	if (l)
		give_back(p, l, status == 401 || status == 403);
	buf_release(&body);
	buf_release(&reply);
	return bad;
}

static void ask_in_turn(struct prometheus *p, struct answer *a)
{
	tasks_enter(p->s->hosts.tasks, &p->gate);
	if (clock_monotonic_ms() < p->down_until) {
		a->bad = -1;
		a->err = p->why;
	} else {
		bool down = false;
		a->bad = ask(p, a, &down, &a->err);
		if (down) {
			p->down_until = clock_monotonic_ms() + DOWN_MS;
			p->why = a->err;
		}
	}
	tasks_leave(p->s->hosts.tasks, &p->gate);
}

/* ---- shared answers ---- */

static uint64_t hash_of(const char *s)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *s; s++)
		hash = (hash ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return hash;
}

/* The one of this pass; a new one where there is none. Those that nobody will ask for go. */
static struct answer *answer_to(struct prometheus *p, const char *query, int64_t pass, struct err *err)
{
	const uint64_t hash = hash_of(query);
	const int64_t oldest = clock_monotonic_ms() - KEEP_MS;

	for (struct answer **at = &p->answers; *at;) {
		struct answer *a = *at;
		const bool fresh = a->pass == pass && a->asked >= oldest;
		if (fresh && a->hash == hash && strcmp(a->query, query) == 0)
			return a;
		if (fresh || a->users) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		forget(a);
	}
	struct answer *a = calloc(1, sizeof *a);
	if (a && !(a->query = strdup(query))) {
		free(a);
		a = NULL;
	}
	if (!a) {
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	a->hash = hash;
	a->pass = pass;
	a->asked = clock_monotonic_ms();
	a->gate.width = 1;
	a->next = p->answers;
	return p->answers = a;
}

static int query(struct sampling *m, const char *text, struct reading *out, struct err *err)
{
	struct tasks *tasks = m->s->hosts.tasks;

	if (!m->s->prometheus)
		return err_set(err, ERR_CONFIG,
		               "no Prometheus server is configured: write prometheus = http://127.0.0.1:9090 into [metrics]");
	struct answer *a = answer_to(m->s->prometheus, text, m->now, err);
	if (!a)
		return -1;
	a->users++;
	tasks_enter(tasks, &a->gate);
	if (!a->done)
		ask_in_turn(m->s->prometheus, a);
	a->done = true;
	tasks_leave(tasks, &a->gate);
	a->users--;
	if (a->bad)
		*err = a->err;
	out->micro = a->micro;
	out->at = a->at;
	return a->bad;
}

void sample_prometheus(struct sampling *m, const struct metric *metric)
{
	struct reading r = {.name = metric->name, .unit = "", .source = "prometheus"};
	char text[QUERY_MAX];
	struct err err;

	const char *asked = metric_text(metric, "prometheus:", &r.per);
	if (metric_expand(m, asked, text, sizeof text, &err) < 0 || query(m, text, &r, &err) < 0)
		put_failure(m, metric->name, r.per, r.source, &err);
	else
		put_reading(m, &r);
}
