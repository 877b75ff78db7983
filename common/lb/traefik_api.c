/* What Traefik's API says. One document, /api/rawdata, has all routers, services and middlewares with their status, so
 * that one look sees one state. */
#include "lb/traefik.h"

#include "base/clock.h"
#include "base/limits.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define TAKE_MS 10000 /* Traefik reads a change at most every providersThrottleDuration, which is 2 s unless set */
#define STEP_MS 10
#define STEP_MAX_MS 100
#define PUT_BACK_MS 3000
#define FOREIGN_MAX (1024u * 1024u)

/* ---- the way there ---- */

/* "http://HOST:PORT/PREFIX" into its parts. */
int traefik_admin(struct lb *lb, struct err *err)
{
	const char *url = lb->conf->admin;
	const bool tls = strncmp(url, "https://", 8) == 0;
	const char *host = url + (tls ? 8 : 7);
	const size_t n = strcspn(host, "/");
	size_t name = strcspn(host, ":/");

	if ((!tls && strncmp(url, "http://", 7) != 0) || !n || strpbrk(host, "@?# \t"))
		return err_set(err, ERR_CONFIG, "[lb \"%s\"]: `admin` is no URL of Traefik's API such as http://127.0.0.1:8080",
		               lb->conf->name);
	if (host[0] == '[')
		name = strcspn(host, "]") + 1;
	lb->admin.port = tls ? 443 : 80;
	if (name > n || name >= sizeof lb->admin.host || (host[name] == ':' && name + 6 < n))
		return err_set(err, ERR_CONFIG, "[lb \"%s\"]: `admin` has no such host and port", lb->conf->name);
	(void)snprintf(lb->admin.host, sizeof lb->admin.host, "%.*s", (int)name, host);
	if (host[name] == ':') {
		char port[8];
		(void)snprintf(port, sizeof port, "%.*s", (int)(n - name - 1), host + name + 1);
		if (!lb_safe_port(port, &lb->admin.port))
			return err_set(err, ERR_CONFIG, "[lb \"%s\"]: `admin` has no such port", lb->conf->name);
	}
	size_t path = strlen(host + n);
	while (path && host[n + path - 1] == '/')
		path--;
	lb->admin.base = strndup(url, (size_t)(host - url) + n);
	lb->admin.prefix = strndup(host + n, path);
	return lb->admin.base && lb->admin.prefix ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

static int connection(const struct lb *lb, struct traefik_look *look, struct err *err)
{
	char name[128];

	if (look->http)
		return 0;
	(void)snprintf(name, sizeof name, "lb %s", lb->conf->name);
	const struct http_target target = {
		.base = lb->admin.base,
		.name = name,
		.hint = "is Traefik running, with its API there, and is `admin` right?",
		.tasks = lb->means->tasks,
	};
	look->reply = (struct buf)BUF_INIT(LB_REPLY_MAX);
	look->http = http_new(&target, err);
	return look->http ? 0 : -1;
}

void traefik_look_release(struct traefik_look *look)
{
	http_free(look->http);
	buf_release(&look->reply);
	*look = (struct traefik_look){0};
}

int traefik_get(const struct lb *lb, struct traefik_look *look, const char *path, struct err *err)
{
	char whole[1024];
	long status = 0;

	if (connection(lb, look, err) < 0)
		return -1;
	(void)snprintf(whole, sizeof whole, "%s%s", lb->admin.prefix, path);
	if (http_call(look->http, "GET", whole, NULL, 0, NULL, 0, &look->reply, &status, err) < 0)
		return -1;
	if (status == 200)
		return 0;
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "lb %s: %s%s answers %ld: who may ask it?", lb->conf->name, lb->admin.base,
		               whole, status);
	return err_set(err, status == 404 ? ERR_CONFIG : ERR_UNAVAILABLE,
	               "lb %s: %s%s answers %ld: Traefik serves it when `%s` is configured, at the entry point of that",
	               lb->conf->name, lb->admin.base, whole, status,
	               strcmp(path, "/metrics") == 0 ? "metrics.prometheus" : "api");
}

int traefik_look(const struct lb *lb, struct traefik_look *look, struct err *err)
{
	struct jv all;

	if (traefik_get(lb, look, "/api/rawdata", err) < 0)
		return -1;
	if (jv_scan(look->reply.p ? look->reply.p : "", look->reply.n, &all, NULL, 0, NULL, err) < 0 || !jv_is_object(all))
		return err_set(err, ERR_REMOTE, "lb %s: %s%s/api/rawdata is no JSON object: is that Traefik's API?",
		               lb->conf->name, lb->admin.base, lb->admin.prefix);
	look->routers = jv_get(all, "routers");
	look->services = jv_get(all, "services");
	look->middlewares = jv_get(all, "middlewares");
	return 0;
}

/* ---- reading ---- */

struct jv traefik_object(struct jv objects, const char *name, const char *provider)
{
	char full[TRAEFIK_CHILD + 16];

	(void)snprintf(full, sizeof full, "%s@%s", name, provider);
	return jv_get(objects, full);
}

bool traefik_enabled(struct jv object) { return jv_is(jv_get(object, "status"), "enabled"); }

void traefik_complaint(struct jv object, char *out, size_t size)
{
	struct jv_cursor c = jv_each(jv_get(object, "error"));
	struct jv_member m;

	if (!jv_next(&c, &m) || !jv_str(m.value, out, size))
		(void)snprintf(out, size, "no reason given");
}

bool traefik_down(struct jv service, const char *url)
{
	return jv_is(jv_get(jv_get(service, "serverStatus"), url), "DOWN");
}

bool traefik_routed(const struct traefik_look *look, const char *backend, const char *provider)
{
	char full[TRAEFIK_CHILD + 16];
	struct jv_cursor c = jv_each(look->routers);
	struct jv_member m;

	(void)snprintf(full, sizeof full, "%s@%s", backend, provider);
	if (jv_here(jv_get(look->services, full)))
		return true;
	while (jv_next(&c, &m)) {
		const struct jv service = jv_get(m.value, "service");
		/* Without a provider it is the router's own. */
		const char *at = memchr(m.name.p, '@', m.name.n);
		const size_t n = at ? (size_t)(m.name.p + m.name.n - at) - 1 : 0;
		if (jv_is(service, full) ||
		    (jv_is(service, backend) && n == strlen(provider) && memcmp(at + 1, provider, n) == 0))
			return true;
	}
	return false;
}

/* ---- is a file used as it is? ---- */

static const char *const endings[] = {".yml", ".yaml", ".toml"};

static bool is_read(const char *name)
{
	const size_t n = strlen(name);

	for (size_t i = 0; i < sizeof endings / sizeof *endings && name[0] != '.'; i++)
		if (n > strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0)
			return true;
	return false;
}

/* Whether text has this word, as YAML or TOML would have a key: the characters around it are of no name. */
static bool has_key(const char *text, const char *word)
{
	static const char in_name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	const size_t n = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += n)
		if ((at == text || !strchr(in_name, at[-1])) && (!at[n] || !strchr(in_name, at[n])))
			return true;
	return false;
}

/* A file of somebody else's in the folder: with `key`, the first by name that has it and comes before ours, so that
 * Traefik prefers it; without, the one that was changed last. False: none. */
static bool foreign(struct lb *lb, const char *key, const char *ours, char out[NAME_MAX + 1])
{
	struct timespec newest = {0};
	const struct dirent *entry;
	char path[PATH_MAX];
	bool found = false;
	DIR *dir = opendir(lb->folder.path);

	while (dir && (entry = readdir(dir))) { // cppcheck-suppress readdirCalled
		struct buf text = BUF_INIT(FOREIGN_MAX);
		struct err ignored;
		struct stat st;
		if (!is_read(entry->d_name) || (key && strcmp(entry->d_name, ours) >= 0) ||
		    (!key && strncmp(entry->d_name, traefik_kind.prefix, strlen(traefik_kind.prefix)) == 0) ||
		    (key && found && strcmp(entry->d_name, out) > 0))
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", lb->folder.path, entry->d_name);
		if (key && lb_file_read(path, &text, &st, &ignored) == 0 && text.p && has_key(text.p, key)) {
			found = true;
			(void)snprintf(out, NAME_MAX + 1, "%s", entry->d_name);
		} else if (!key && stat(path, &st) == 0 &&
		           (st.st_mtim.tv_sec > newest.tv_sec ||
		            (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec))) {
			found = true;
			newest = st.st_mtim;
			(void)snprintf(out, NAME_MAX + 1, "%s", entry->d_name);
		}
		buf_release(&text);
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

static int taken_by_other(struct lb *lb, const struct filed *f, const char *what, struct err *err)
{
	char ours[LB_NAME + 16], name[NAME_MAX + 1];

	(void)snprintf(ours, sizeof ours, "%s%s%s", traefik_kind.prefix, f->backend, traefik_kind.suffix);
	const bool found = foreign(lb, f->backend, ours, name);
	return err_set(
		err, ERR_CONFLICT,
		"lb %s: backend %s: conflict: Traefik read %s, but uses another %s of that name: %s%s defines it too, "
		"and the first file by name wins",
		lb->conf->name, f->backend, ours, what, found ? "it seems that " : "some other file in the folder",
		found ? name : "");
}

static int disabled(struct lb *lb, const struct filed *f, const char *what, struct jv object, struct err *err)
{
	char why[256];

	traefik_complaint(object, why, sizeof why);
	return err_set(err, ERR_REMOTE, "lb %s: backend %s: Traefik read its file, but has disabled the %s: %s",
	               lb->conf->name, f->backend, what, why);
}

/* The weights of the parent are those of the list. */
static bool same_weights(const struct filed *f, struct jv parent)
{
	struct jv_cursor c = jv_each(jv_path(parent, "weighted.services"));
	struct jv_member m;
	char name[TRAEFIK_CHILD];
	size_t i = 0;

	for (; jv_next(&c, &m); i++) {
		if (i == f->list.n)
			return false;
		traefik_child(f->backend, f->list.v[i].name, name);
		if (!jv_is(jv_get(m.value, "name"), name) ||
		    jv_int_or(jv_get(m.value, "weight"), 1) != traefik_weight(&f->list.v[i]))
			return false;
	}
	return i == f->list.n && jv_is_object(jv_get(parent, "weighted"));
}

static bool same_server(struct jv child, const struct lb_server *s)
{
	const struct jv servers = jv_path(child, "loadBalancer.servers");
	struct jv_cursor c = jv_each(servers);
	struct jv_member m;
	char url[LB_PLACE + 8];

	traefik_url(s, url, sizeof url);
	return jv_count(servers) == 1 && jv_next(&c, &m) && jv_is(jv_get(m.value, "url"), url);
}

static bool same_rule(struct jv router, const struct filed *f)
{
	struct buf rule = BUF_INIT(DOCUMENT_MAX);

	traefik_rule(&f->rule, &rule);
	const bool same = rule.p && jv_is(jv_get(router, "rule"), rule.p) && jv_is(jv_get(router, "service"), f->backend);
	buf_release(&rule);
	return same;
}

void traefik_loaded(const struct traefik_look *look, const char *backend, char out[TRAEFIK_MARK])
{
	char extra[LB_NAME + 8];

	(void)snprintf(extra, sizeof extra, "%s" TRAEFIK_SUFFIX, backend);
	const struct jv middleware = traefik_object(look->middlewares, extra, "file");
	if (!jv_str(jv_path(middleware, "headers.customRequestHeaders.X-As-Lb"), out, TRAEFIK_MARK))
		out[0] = '\0';
}

/* The file's middleware shows that exactly this text was loaded; then all of it must be in use. */
int traefik_used(struct lb *lb, const struct traefik_look *look, const struct filed *f, struct err *err)
{
	char want[TRAEFIK_MARK], is[TRAEFIK_MARK], name[TRAEFIK_CHILD];

	traefik_loaded(look, f->backend, is);
	if (f->gone)
		return *is != '\0';
	traefik_mark(f->changed ? &f->text : &f->old, want);
	if (strcmp(is, want) != 0)
		return 1;
	const struct jv parent = traefik_object(look->services, f->backend, "file");
	if (!same_weights(f, parent))
		return *want ? taken_by_other(lb, f, "service", err) : 1;
	for (size_t i = 0; i < f->list.n; i++) {
		traefik_child(f->backend, f->list.v[i].name, name);
		const struct jv child = traefik_object(look->services, name, "file");
		if (!same_server(child, &f->list.v[i]))
			return *want ? taken_by_other(lb, f, "child service", err) : 1;
		if (!traefik_enabled(child))
			return disabled(lb, f, name, child, err);
	}
	if (!traefik_enabled(parent))
		return disabled(lb, f, "service", parent, err);
	const struct jv router = traefik_object(look->routers, f->backend, "file");
	if (f->rule.n && !same_rule(router, f))
		return taken_by_other(lb, f, "router", err);
	if (f->rule.n && !traefik_enabled(router))
		return disabled(lb, f, "router", router, err);
	return 0;
}

static void not_taken(struct lb *lb, struct filed *f)
{
	char name[NAME_MAX + 1];
	const bool found = foreign(lb, NULL, NULL, name);

	err_set(
		&f->err, ERR_UNAVAILABLE,
		"lb %s: backend %s: Traefik did not take %s/%s%s%s within %d s: one file that it cannot read freezes the whole "
		"folder (its log names it%s%s), or it does not watch this folder",
		lb->conf->name, f->backend, lb->folder.path, traefik_kind.prefix, f->backend, traefik_kind.suffix,
		TAKE_MS / 1000, found ? "; the last one changed by others is " : "", found ? name : "");
}

int traefik_before(struct lb *lb, struct err *err)
{
	struct traefik_look look = {0};

	if (!lb->admin.base)
		return 0;
	const int rc = traefik_look(lb, &look, err);
	traefik_look_release(&look);
	return rc;
}

int traefik_take(struct lb *lb, struct filed *const *files, size_t n, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + TAKE_MS;
	struct traefik_look look = {0};
	int64_t step = STEP_MS;
	int rc = 0;

	if (!lb->admin.base)
		return 0;
	for (;;) {
		const bool last = clock_monotonic_ms() >= deadline;
		size_t open = 0;
		rc = traefik_look(lb, &look, err);
		for (size_t i = 0; rc == 0 && i < n; i++) {
			struct filed *f = files[i];
			const int not_yet = f->err.code ? 0 : traefik_used(lb, &look, f, &f->err);
			open += not_yet > 0;
			if (not_yet > 0 && last)
				not_taken(lb, f);
		}
		if (rc < 0 || !open || last)
			break;
		tasks_sleep(lb->means->tasks, step);
		step = step * 3 / 2 < STEP_MAX_MS ? step * 3 / 2 : STEP_MAX_MS;
	}
	traefik_look_release(&look);
	return rc;
}

/* Waits until what was refused is not in use any more: else a verb that follows at once would take it for somebody
 * else's. */
void traefik_put_back(struct lb *lb, struct filed *const *files, size_t n)
{
	const int64_t deadline = clock_monotonic_ms() + PUT_BACK_MS;
	char want[TRAEFIK_MARK], is[TRAEFIK_MARK];
	struct traefik_look look = {0};
	struct err ignored;
	bool same = false;

	while (lb->admin.base && !same && clock_monotonic_ms() < deadline && traefik_look(lb, &look, &ignored) == 0) {
		same = true;
		for (size_t i = 0; i < n; i++) {
			traefik_loaded(&look, files[i]->backend, is);
			traefik_mark(files[i]->changed && !files[i]->err.code ? &files[i]->text : &files[i]->old, want);
			same = same && strcmp(is, want) == 0;
		}
		if (!same)
			tasks_sleep(lb->means->tasks, STEP_MAX_MS);
	}
	traefik_look_release(&look);
}
