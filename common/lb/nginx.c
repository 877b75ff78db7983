/* The driver for nginx, of which any build since 1.9 has what is needed. The files of the folder are all that is known;
 * nginx itself is only asked which generation of them it has loaded. */
#include "lb/nginx.h"

#include "base/clock.h"
#include "lb/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/banned.h"

#define GATHER_MS 20 /* a round waits so long for others, */
#define YOUNG_MS 150 /* and for attaches that began to ask their servers less than this ago */
#define STEP_MS 5
#define STEP_MAX_MS 50
#define INSIDE_MS 200  /* between two looks into a container */
#define SETTLE_MS 3000 /* for the old workers to close their listening sockets: nginx tells them 100 ms later */
#define BLIND_MS 300   /* the same where they cannot be seen */

/* ---- opening ---- */

static bool is_folder(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int find_folder(struct lb *lb, struct err *err)
{
	const struct conf_lb *conf = lb->conf;
	const char *folder = conf->folder;
	const char *slash = conf->config ? strrchr(conf->config, '/') : NULL;

	if (conf->config && !is_folder(conf->config))
		lb->main = conf->config;
	else if (!folder)
		folder = conf->config;
	if (!folder && !(slash && !conf->container))
		return err_set(err, ERR_CONFIG,
		               "[lb \"%s\"] needs `folder`: where nginx's configuration includes as-*.conf from", conf->name);
	const int n = folder ? snprintf(lb->path, sizeof lb->path, "%s", folder)
	                     : snprintf(lb->path, sizeof lb->path, "%.*s", (int)(slash - conf->config), conf->config);
	if (n >= (int)sizeof lb->path - 128)
		return err_set(err, ERR_CONFIG, "[lb \"%s\"]: the path of its folder is too long", conf->name);
	for (size_t end = strlen(lb->path); end > 1 && lb->path[end - 1] == '/';)
		lb->path[--end] = '\0';
	return 0;
}

static int find_admin(struct lb *lb, struct err *err)
{
	const char *url = lb->conf->admin;
	size_t n = url ? strlen(url) : 0;

	if (!n)
		return 0;
	while (n && url[n - 1] == '/')
		n--;
	const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
	if (!host || n >= sizeof lb->base || memchr(host, '/', (size_t)(url + n - host)) || host >= url + n)
		return err_set(err, ERR_CONFIG, "[lb \"%s\"]: `admin` is to be an address such as http://127.0.0.1:8081",
		               lb->conf->name);
	(void)snprintf(lb->base, sizeof lb->base, "%.*s", (int)n, url);
	return 0;
}

static void nginx_close(struct lb *lb)
{
	if (!lb)
		return;
	nginx_workers_release(&lb->old);
	buf_release(&lb->old_gen);
	buf_release(&lb->old_routes);
	free(lb->probing);
	nginx_log_free(lb->log);
	free(lb);
}

static struct lb *nginx_open(const struct conf_lb *conf, const struct lb_means *means, struct err *err)
{
	struct lb *lb = malloc(sizeof *lb);
	char listen[64];

	if (!lb) {
		err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	*lb = (struct lb){
		.conf = conf, .means = means, .old_gen = BUF_INIT(DOCUMENT_MAX), .old_routes = BUF_INIT(DOCUMENT_MAX)};
	int rc = find_folder(lb, err) < 0 || find_admin(lb, err) < 0 ? -1 : 0;
	if (rc == 0 && conf->frontend && !nginx_listen(conf->frontend, listen))
		rc = err_set(err, ERR_CONFIG, "[lb \"%s\"]: `frontend` is to be a port or ADDRESS:PORT, as of nginx's `listen`",
		             conf->name);
	if (rc < 0) {
		nginx_close(lb);
		return NULL;
	}
	lb->folder = (struct filed_folder){.lb = lb,
	                                   .conf = conf,
	                                   .tasks = means->tasks,
	                                   .kind = &nginx_kind,
	                                   .path = lb->path,
	                                   .gather_ms = means->tasks ? GATHER_MS : 0};
	return lb;
}

/* ---- a change, and what the workers that were there before it still do ---- */

static void note(struct lb_result *result, const char *text)
{
	if (!*result->note)
		(void)snprintf(result->note, sizeof result->note, "%s", text);
}

static int64_t longer(const struct lb *lb, int64_t ms)
{
	if (lb->conf->container)
		return INSIDE_MS;
	return ms * 2 < STEP_MAX_MS ? ms * 2 : STEP_MAX_MS;
}

/* In a round with those of other tasks. *before: the workers that may still have what was there before it. */
static int change(struct lb *lb, struct filed_change *c, struct nginx_workers *before, struct lb_result *result,
                  struct err *err)
{
	const unsigned long rounds = lb->rounds;

	*before = (struct nginx_workers){0};
	if (lb_filed_change(&lb->folder, c, err) < 0)
		return -1;
	if (lb->rounds == rounds) {
		nginx_workers_find(lb, before, true);
		return 0;
	}
	before->known = lb->old.known;
	before->v = calloc(lb->old.n ? lb->old.n : 1, sizeof *before->v);
	if (!before->v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (; before->n < lb->old.n; before->n++)
		before->v[before->n] = lb->old.v[before->n];
	if (lb->blind)
		note(result, "there is no proof that nginx loaded it: say `admin` in its [lb]");
	else if (lb->unproven)
		note(result, "no `admin` is configured: only new worker processes show that nginx loaded it");
	return 0;
}

/* Until they accept no connections any more, so that every request from now on meets the new state. */
static void settle(struct lb *lb, struct nginx_workers *before)
{
	const int64_t deadline = clock_monotonic_ms() + SETTLE_MS;
	int left;

	for (int64_t ms = STEP_MS; (left = nginx_workers_left(lb, before, true)) > 0 && clock_monotonic_ms() < deadline;
	     ms = longer(lb, ms))
		tasks_sleep(lb->means->tasks, ms);
	if (left < 0)
		tasks_sleep(lb->means->tasks, BLIND_MS);
}

/* Until they are gone, and with them the requests that they had; else with a note. */
static void finish(struct lb *lb, struct nginx_workers *before, int64_t wait_ms, struct lb_result *result)
{
	const int64_t deadline = clock_monotonic_ms() + wait_ms;
	int left;

	for (int64_t ms = STEP_MS; (left = nginx_workers_left(lb, before, false)) > 0 && clock_monotonic_ms() < deadline;
	     ms = longer(lb, ms))
		tasks_sleep(lb->means->tasks, ms);
	if (left < 0) {
		tasks_sleep(lb->means->tasks, wait_ms);
		note(result, "nginx's worker processes cannot be seen: what it had was only given time to finish");
	} else if (left > 0) {
		*result->note = '\0';
		(void)snprintf(result->note, sizeof result->note,
		               "after %g s worker processes of before still finish what they have: %d; nginx cuts no single "
		               "connection",
		               (double)wait_ms / 1000, left);
	}
}

/* ---- attach ---- */

static int probe(struct lb *lb, const char *backend, const struct lb_server *want, int64_t gate_ms, struct err *err)
{
	const int64_t now = clock_monotonic_ms();
	int64_t *more = realloc(lb->probing, (lb->nprobing + 1) * sizeof *more);

	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	lb->probing = more;
	lb->probing[lb->nprobing++] = now;
	const int rc = lb_probe(lb->conf, lb->means->tasks, backend, want, gate_ms, err);
	for (size_t i = 0; i < lb->nprobing; i++)
		if (lb->probing[i] == now) {
			lb->probing[i] = lb->probing[--lb->nprobing];
			break;
		}
	return rc;
}

/* So that fifty attaches are one reload, however long each server takes to answer. */
static void gather(const struct lb *lb)
{
	for (;;) {
		const int64_t now = clock_monotonic_ms();
		bool young = false;
		for (size_t i = 0; i < lb->nprobing; i++)
			young = young || now - lb->probing[i] < YOUNG_MS;
		if (!young)
			return;
		tasks_sleep(lb->means->tasks, STEP_MS);
	}
}

/* An entry that moved has the address of before, which may be somebody else's by now. */
static int not_healthy(struct lb *lb, const char *backend, const struct lb_server *want, bool moved, struct err *err)
{
	struct filed_change c = {.what = FILED_TAKE, .backend = backend, .name = want->name};
	struct nginx_workers before = {0};
	struct lb_result ignored = {0};
	struct err fault;

	if (moved && change(lb, &c, &before, &ignored, &fault) < 0)
		err_prefix(err, "%s; and before", fault.message);
	else if (moved)
		settle(lb, &before);
	nginx_workers_release(&before);
	return -1;
}

static int nginx_attach(struct lb *lb, const char *backend, const struct lb_server *server, int64_t gate_ms,
                        struct lb_result *result, struct err *err)
{
	struct lb_server want;
	struct filed_change c = {.what = FILED_PUT, .backend = backend, .server = &want};
	struct nginx_workers before;
	struct filed f;
	bool others = false;

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0 || lb_check_server(lb->conf, server, &want, err) < 0 ||
	    lb_filed_read(&lb->folder, backend, &f, err) < 0)
		return -1;
	want.state = LB_UP;
	lb_place(&want, result->address);
	const struct lb_server *is = lb_list_find(&f.list, want.name);
	const bool moved = is && !lb_same_place(is, &want), added = !is || is->state != LB_UP;
	for (size_t i = 0; i < f.list.n; i++)
		others = others || (f.list.v[i].state == LB_UP && f.list.v[i].weight);
	lb_filed_release(&f);
	if (probe(lb, backend, &want, gate_ms, err) < 0)
		return not_healthy(lb, backend, &want, moved, err);
	gather(lb);
	const int rc = change(lb, &c, &before, result, err);
	result->already = rc == 0 && c.already;
	/* Where the new one only joins others, an old worker does no harm with the next request. */
	if (rc == 0 && !(added && !moved && others))
		settle(lb, &before);
	nginx_workers_release(&before);
	return rc;
}

/* ---- out ---- */

static int out(struct lb *lb, struct filed_change *c, int64_t wait_ms, struct lb_result *result, struct err *err)
{
	struct nginx_workers before = {0};

	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, c->backend, c->name, err) < 0)
		return -1;
	const int rc = change(lb, c, &before, result, err);
	result->already = rc == 0 && c->already;
	if (rc == 0 && *c->was.name) {
		lb_place(&c->was, result->address);
		/* After that nothing is forced: to end an old worker would cut the connections of all that it serves. What is
		 * left to it goes on, and ends with the container at the latest. */
		finish(lb, &before, wait_ms, result);
	}
	nginx_workers_release(&before);
	return rc;
}

static int nginx_drain(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
                       struct err *err)
{
	struct filed_change c = {.what = FILED_DRAIN, .backend = backend, .name = name};

	return out(lb, &c, wait_ms, result, err);
}

static int nginx_detach(struct lb *lb, const char *backend, const char *name, int64_t wait_ms, struct lb_result *result,
                        struct err *err)
{
	struct filed_change c = {.what = FILED_TAKE, .backend = backend, .name = name};

	return out(lb, &c, wait_ms, result, err);
}

/* ---- looking ---- */

static int nginx_list(struct lb *lb, const char *backend, struct lb_list *list, struct err *err)
{
	struct filed f;

	*list = (struct lb_list){0};
	if (lb_filed_read(&lb->folder, backend, &f, err) < 0)
		return -1;
	*list = f.list;
	f.list = (struct lb_list){0};
	lb_filed_release(&f);
	return 0;
}

static int nginx_backends(struct lb *lb, struct lb_names *out_names, struct err *err)
{
	struct filed *files = NULL;
	size_t n = 0;

	*out_names = (struct lb_names){0};
	int rc = lb_filed_all(&lb->folder, &files, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (lb_filed_is_ours(&files[i]))
			rc = lb_names_add(out_names, files[i].backend, err);
	}
	lb_filed_free_all(files, n);
	if (rc < 0)
		lb_names_release(out_names);
	return rc;
}

static int nginx_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	struct lb_list listed;

	if (nginx_list(lb, backend, &listed, err) < 0)
		return -1;
	const int rc = lb_compare(lb->conf, backend, wanted, &listed, err);
	lb_list_release(&listed);
	return rc < 0 ? -1 : nginx_used(lb, err);
}

/* ---- ensure ---- */

/* Has another backend one of these ways? */
static int check_ways(struct lb *lb, const char *backend, const struct rule *rule, struct err *err)
{
	struct filed *files = NULL;
	size_t n = 0;
	int rc = lb_filed_all(&lb->folder, &files, &n, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (strcmp(files[i].backend, backend) == 0)
			continue;
		const struct rule_way *way = rule_shared(&files[i].rule, rule);
		if (way)
			rc = err_set(err, ERR_REFUSED,
			             "lb %s: backends %s and %s both have the rule for %s%s: change the rule of one",
			             lb->conf->name, backend, files[i].backend, *way->host ? way->host : "any name", way->path);
	}
	lb_filed_free_all(files, n);
	return rc;
}

/* What else must be so that servers for rules disturb nobody: nginx makes the first server of a `listen` its default
 * one, and files of ours may come first. */
static int check_listen(struct lb *lb, const char *backend, const struct rule *rule, struct err *err)
{
	const char *listen = lb->conf->frontend ? lb->conf->frontend : "80";
	struct nginx_operator is;

	nginx_look(lb, &is);
	if (is.listens && !is.is_default)
		return err_set(err, ERR_CONFIG,
		               "lb %s: %s has a server that listens on %s as those for rules would: let it say `listen %s "
		               "default_server;`, or nginx may take one of those for the default",
		               lb->conf->name, is.listener, listen, listen);
	for (size_t i = 0; is.listens && i < rule->n; i++)
		if (!*rule->v[i].host)
			return err_set(err, ERR_CONFIG,
			               "lb %s: backend %s: its rule has no name, but the default server of %s is the one in %s: "
			               "give the rule a name, or another `frontend`",
			               lb->conf->name, backend, listen, is.listener);
	return 0;
}

static int make(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                struct err *err)
{
	struct filed_change c = {.what = FILED_ENSURE, .backend = backend, .route = route};
	struct nginx_workers before = {0};

	if (!lb_safe_check(route->check))
		return err_set(err, ERR_REFUSED, "lb %s: backend %s: its check is no plain path", lb->conf->name, backend);
	if (route->rule && route->rule->n &&
	    (check_ways(lb, backend, route->rule, err) < 0 || check_listen(lb, backend, route->rule, err) < 0))
		return -1;
	const int rc = change(lb, &c, &before, result, err);
	result->already = rc == 0 && c.already;
	if (rc == 0)
		settle(lb, &before);
	nginx_workers_release(&before);
	return rc;
}

/* An upstream that the operator's own configuration names cannot go: only its rule does. */
static int forget(struct lb *lb, const char *backend, struct lb_result *result, struct err *err)
{
	static const struct lb_route plain = {.rule = NULL};
	struct filed_change c = {.what = FILED_FORGET, .backend = backend};
	struct nginx_workers before = {0};
	char words[LB_NAME + 64];

	int rc = change(lb, &c, &before, result, err);
	result->already = rc == 0 && c.already;
	if (rc == 0)
		settle(lb, &before);
	nginx_workers_release(&before);
	(void)snprintf(words, sizeof words, "host not found in upstream \"%s\"", backend);
	if (rc == 0 || !strstr(err->message, words))
		return rc;
	*err = (struct err){0};
	rc = make(lb, backend, &plain, result, err);
	(void)snprintf(result->note, sizeof result->note, "the upstream stays: nginx's own configuration names it");
	return rc;
}

static int nginx_ensure(struct lb *lb, const char *backend, const struct lb_route *route, struct lb_result *result,
                        struct err *err)
{
	*result = (struct lb_result){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0)
		return -1;
	return route ? make(lb, backend, route, result, err) : forget(lb, backend, result, err);
}

static int nginx_agree(struct lb *lb, const char *backend, struct err *err)
{
	return lb_filed_agree(&lb->folder, backend, err);
}

const struct lb_driver lb_nginx = {
	.name = "nginx",
	.open = nginx_open,
	.close = nginx_close,
	.list = nginx_list,
	.backends = nginx_backends,
	.attach = nginx_attach,
	.drain = nginx_drain,
	.detach = nginx_detach,
	.stats = nginx_load,
	.look = nginx_load_of_all,
	.verify = nginx_verify,
	.ensure = nginx_ensure,
	.agree = nginx_agree,
	.check = nginx_check,
};
