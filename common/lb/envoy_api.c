/* What Envoy's admin listener says. It answers HTTP/1.1 only. */
#include "lb/envoy.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define TAKE_MS 10000
#define STEP_MS 2
#define STEP_MAX_MS 50
#define AGAIN_MS 300 /* after which a file that is not used is put there once more: overlooked, or refused at once */
#define KNOWN_MS 10000

/* ---- the way there ---- */

int envoy_admin(struct lb *lb, struct err *err)
{
	const char *url = lb->conf->admin;
	const bool tls = strncmp(url, "https://", 8) == 0;
	const char *host = url + (tls ? 8 : 7);
	const size_t n = strcspn(host, "/");

	if ((!tls && strncmp(url, "http://", 7) != 0) || !n || host[n + strspn(host + n, "/")] || strpbrk(host, "@?# \t"))
		return err_set(err, ERR_CONFIG,
		               "[lb \"%s\"]: `admin` is no URL of Envoy's admin listener such as http://127.0.0.1:9901",
		               lb->conf->name);
	lb->admin = strndup(url, (size_t)(host - url) + n);
	return lb->admin ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

int envoy_no_cluster(const struct lb *lb, const char *backend, struct err *err)
{
	return err_set(
		err, ERR_NOT_FOUND,
		"lb %s: backend %s: No such cluster in Envoy: %s: give its containers an autoscale.lb.rule, or add to "
		"Envoy's configuration a cluster of type EDS of that name whose eds_config reads %s/%s.json",
		lb->conf->name, backend, backend, lb->path, backend);
}

int envoy_get(const struct lb *lb, const char *path, struct buf *reply, struct err *err)
{
	char name[128];
	long status = 0;

	(void)snprintf(name, sizeof name, "lb %s", lb->conf->name);
	const struct http_target target = {
		.base = lb->admin,
		.name = name,
		.hint = "is Envoy running, and is `admin` its admin listener?",
		.tasks = lb->means->tasks,
	};
	struct http *http = http_new(&target, err);
	if (!http)
		return -1;
	int rc = http_call(http, "GET", path, NULL, 0, NULL, 0, reply, &status, err);
	http_free(http);
	if (rc == 0 && status != 200)
		rc = err_set(err, status == 401 || status == 403 ? ERR_DENIED : ERR_CONFIG,
		             "lb %s: %s%.64s answers %ld: is `admin` Envoy's admin listener?", lb->conf->name, lb->admin, path,
		             status);
	return rc;
}

/* ---- stats as text ---- */

bool envoy_stat(const char *text, const char *name, char *out, size_t size)
{
	const size_t n = strlen(name);

	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		if (strncmp(at, name, n) != 0 || strncmp(at + n, ": ", 2) != 0)
			continue;
		const char *value = at + n + 2;
		size_t end = strcspn(value, "\n");
		if (end >= 2 && *value == '"' && value[end - 1] == '"') {
			value++;
			end -= 2;
		}
		(void)snprintf(out, size, "%.*s", (int)(end < size ? end : size - 1), value);
		return true;
	}
	return false;
}

int64_t envoy_count(const char *text, const char *name)
{
	char value[32];

	if (!envoy_stat(text, name, value, sizeof value) || !*value || strspn(value, "0123456789") != strlen(value))
		return -1;
	return strtoll(value, NULL, 10);
}

static struct envoy_known *known_of(struct lb *lb, const char *backend, int64_t now)
{
	for (size_t i = 0; i < sizeof lb->known / sizeof *lb->known; i++)
		if (strcmp(lb->known[i].backend, backend) == 0 && now - lb->known[i].at_ms <= KNOWN_MS)
			return &lb->known[i];
	return NULL;
}

int envoy_cluster(struct lb *lb, const char *backend, enum envoy_cluster *is, bool *checks, struct err *err)
{
	const int64_t now = clock_monotonic_ms();
	const struct envoy_known *known = known_of(lb, backend, now);
	struct buf reply = BUF_INIT(LB_REPLY_MAX);
	char name[LB_NAME + 64], value[ENVOY_VERSION];

	*is = ENVOY_EDS;
	*checks = known && known->checks;
	if (known)
		return 0;
	const int rc = envoy_get(lb, ENVOY_OF_CLUSTERS, &reply, err);
	const char *text = rc == 0 && reply.p ? reply.p : "";
	(void)snprintf(name, sizeof name, "cluster.%s.version_text", backend);
	const bool eds = envoy_stat(text, name, value, sizeof value);
	(void)snprintf(name, sizeof name, "cluster.%s.membership_total", backend);
	*is = eds ? ENVOY_EDS : envoy_count(text, name) >= 0 ? ENVOY_OTHER : ENVOY_NONE;
	(void)snprintf(name, sizeof name, "cluster.%s.health_check.attempt", backend);
	*checks = envoy_count(text, name) >= 0;
	if (eds) {
		struct envoy_known *k = &lb->known[lb->known_at++ % (sizeof lb->known / sizeof *lb->known)];
		*k = (struct envoy_known){.checks = *checks, .at_ms = now};
		(void)snprintf(k->backend, sizeof k->backend, "%s", backend);
	}
	if (rc == 0 && !lb->round) {
		buf_release(&lb->before);
		lb->before = reply;
		lb->before_ms = now;
	} else {
		buf_release(&reply);
	}
	return rc;
}

/* ---- hosts ---- */

static int look(struct lb *lb, struct err *err)
{
	struct jv all;

	lb->look.text.max = LB_REPLY_MAX;
	if (envoy_get(lb, "/clusters?format=json", &lb->look.text, err) < 0)
		return -1;
	if (jv_scan(lb->look.text.p ? lb->look.text.p : "", lb->look.text.n, &all, NULL, 0, NULL, err) < 0 ||
	    !jv_is_object(all))
		return err_set(err, ERR_REMOTE, "lb %s: %s/clusters is no JSON object: is that Envoy's admin listener?",
		               lb->conf->name, lb->admin);
	lb->look.statuses = jv_get(all, "cluster_statuses");
	return 0;
}

/* A failure is shared as well: many tasks do not wait for a silent Envoy one after the other. */
int envoy_look(struct lb *lb, struct err *err)
{
	const unsigned long before = lb->look.started;
	int rc = 0;

	lb->look.gate.width = 1;
	tasks_enter(lb->means->tasks, &lb->look.gate);
	if (lb->look.failed > before) {
		*err = lb->look.err;
		rc = -1;
	} else if (lb->look.is <= before) {
		const unsigned long mine = ++lb->look.started;
		lb->look.is = 0;
		rc = look(lb, err);
		if (rc == 0) {
			lb->look.is = mine;
		} else {
			lb->look.failed = mine;
			lb->look.err = *err;
		}
	}
	tasks_leave(lb->means->tasks, &lb->look.gate);
	return rc;
}

struct jv envoy_hosts(const struct lb *lb, const char *backend)
{
	struct jv_cursor c = jv_each(lb->look.statuses);
	struct jv_member m;

	while (lb->look.is && jv_next(&c, &m))
		if (jv_is(jv_get(m.value, "name"), backend))
			return jv_get(m.value, "host_statuses");
	return (struct jv){0};
}

bool envoy_pending(struct jv host, char out[LB_NAME])
{
	return jv_is_true(jv_path(host, "health_status.pending_dynamic_removal")) &&
	       jv_str(jv_get(host, "hostname"), out, LB_NAME) && lb_is_ours(out);
}

/* A number is left out when it is 0, and is text when it is not. */
static int64_t stat_of(struct jv host, const char *name)
{
	struct jv_cursor c = jv_each(jv_get(host, "stats"));
	struct jv_member m;
	char text[24];

	while (jv_next(&c, &m)) {
		if (!jv_is(jv_get(m.value, "name"), name))
			continue;
		const struct jv value = jv_get(m.value, "value");
		if (jv_str(value, text, sizeof text))
			return strtoll(text, NULL, 10);
		return jv_int_or(value, 0);
	}
	return -1;
}

/* "failed_active_health_check eds_health_status=DRAINING" */
static void flags_of(struct jv health, struct envoy_host *h)
{
	struct jv_cursor c = jv_each(health);
	struct jv_member m;
	size_t n = 0;

	while (jv_next(&c, &m) && n < sizeof h->flags - 1) {
		char value[24] = "";
		if (!jv_is_true(m.value) && !jv_str(m.value, value, sizeof value))
			continue;
		if (strcmp(value, "HEALTHY") == 0)
			continue;
		const int put = snprintf(h->flags + n, sizeof h->flags - n, "%s%.*s%s%s", n ? " " : "",
		                         (int)(m.name.n < 48 ? m.name.n : 48), m.name.p, *value ? "=" : "", value);
		n += put > 0 ? (size_t)put : 0;
		h->unable = h->unable || !jv_name_is(&m, "pending_dynamic_removal");
	}
}

struct envoy_host envoy_host_of(struct jv host)
{
	const struct jv health = jv_get(host, "health_status");
	struct envoy_host h = {
		.there = true,
		.failed = jv_is_true(jv_get(health, "failed_active_health_check")),
		.draining = jv_is(jv_get(health, "eds_health_status"), "DRAINING"),
		.pending = jv_is_true(jv_get(health, "pending_dynamic_removal")),
		.active = stat_of(host, "rq_active"),
	};

	flags_of(health, &h);
	return h;
}

struct envoy_host envoy_host(const struct lb *lb, const char *backend, const char *name, const struct lb_server *at)
{
	struct jv_cursor c = jv_each(envoy_hosts(lb, backend));
	const struct envoy_host none = {.active = -1};
	struct jv_member m;

	while (jv_next(&c, &m)) {
		const struct jv place = jv_path(m.value, "address.socket_address");
		struct lb_server is = {.port = (unsigned)jv_int_or(jv_get(place, "port_value"), 0)};
		char address[LB_ADDRESS];
		if ((name && !jv_is(jv_get(m.value, "hostname"), name)) ||
		    !jv_str(jv_get(place, "address"), address, sizeof address) || !lb_safe_address(address, is.address) ||
		    (at && !lb_same_place(at, &is)))
			continue;
		return envoy_host_of(m.value);
	}
	return none;
}

/* ---- until a version is used ---- */

/* What the stats say of one file: 1 used, 0 not yet, -1 refused or not known at all (then err). */
static int judge(const struct lb *lb, struct envoy_wait *w, const char *stats)
{
	char name[LB_NAME + 512], version[ENVOY_VERSION];

	(void)snprintf(name, sizeof name, "%sversion_text", w->stats);
	if (!envoy_stat(stats, name, version, sizeof version)) {
		err_set(&w->err, ERR_NOT_FOUND, "lb %s: No such %s in Envoy", lb->conf->name, w->what);
		return -1;
	}
	if (strcmp(version, w->version) == 0)
		return 1;
	(void)snprintf(name, sizeof name, "%supdate_rejected", w->stats);
	const int64_t rejected = envoy_count(stats, name);
	(void)snprintf(name, sizeof name, "%supdate_failure", w->stats);
	const int64_t failed = envoy_count(stats, name);
	if (w->rejected >= 0 && rejected > w->rejected)
		err_set(
			&w->err, ERR_REMOTE,
			"lb %s: %s: Envoy rejected %s/%s (update_rejected rose to %lld); its log says why, and the old one serves",
			lb->conf->name, w->what, lb->path, w->path, (long long)rejected);
	else if (w->failed >= 0 && failed > w->failed)
		err_set(&w->err, ERR_REMOTE,
		        "lb %s: %s: Envoy cannot read %s/%s (update_failure rose to %lld); its log says why, and the old one "
		        "serves",
		        lb->conf->name, w->what, lb->path, w->path, (long long)failed);
	w->rejected = rejected;
	w->failed = failed;
	return w->err.code ? -1 : 0;
}

/* Envoy looks at a file when it is renamed there. */
static void put_again(const struct lb *lb, const struct envoy_wait *w)
{
	char path[PATH_MAX + 80], temp[PATH_MAX + 96];
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct err ignored;
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/%s", lb->path, w->path);
	(void)snprintf(temp, sizeof temp, "%s/.%s.as-lb", lb->path, w->path);
	if (lb_file_read(path, &text, &st, &ignored) == 0 && lb_file_write(temp, &text, &st, &ignored) == 0)
		(void)lb_file_rename(temp, path, &ignored);
	buf_release(&text);
}

int envoy_await(struct lb *lb, const char *filter, struct envoy_wait *waits, size_t n, struct err *err)
{
	const int64_t start = clock_monotonic_ms();
	struct buf reply = BUF_INIT(LB_REPLY_MAX);
	int64_t step = STEP_MS;
	bool again = false;
	int rc = 0;

	for (size_t left = n; left && rc == 0;) {
		rc = envoy_get(lb, filter, &reply, err);
		if (rc < 0)
			break;
		left = 0;
		const int64_t waited = clock_monotonic_ms() - start;
		for (size_t i = 0; i < n; i++) {
			struct envoy_wait *w = &waits[i];
			if (w->done)
				continue;
			w->done = judge(lb, w, reply.p ? reply.p : "") != 0;
			if (!w->done && waited >= TAKE_MS)
				w->done = err_set(&w->err, ERR_UNAVAILABLE,
				                  "lb %s: %s: Envoy does not use %s/%s within %d s: is that the file which it watches?",
				                  lb->conf->name, w->what, lb->path, w->path, TAKE_MS / 1000) < 0;
			left += !w->done;
			if (!w->done && !again && waited >= AGAIN_MS)
				put_again(lb, w);
		}
		again = again || waited >= AGAIN_MS;
		if (left) {
			tasks_sleep(lb->means->tasks, step);
			step = step * 2 < STEP_MAX_MS ? step * 2 : STEP_MAX_MS;
		}
	}
	buf_release(&reply);
	return rc;
}
