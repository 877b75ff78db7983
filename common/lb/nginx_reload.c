/* The folder as a whole: its generation, its routes, and how nginx is made to use them. All but nginx_used and
 * nginx_ask is done under the folder's lock. */
#include "lb/nginx.h"

#include "base/clock.h"
#include "base/http.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define ASK_MS 3000
#define STEP_MS 2
#define STEP_MAX_MS 40
#define TAKE_MS 10000    /* for nginx to load what it was told to */
#define DISTANCE_MS 1000 /* between two reloads when workers of before the last one still work */
#define TOLD_MS 120      /* nginx tells old workers to end 100 ms after it started new ones */

struct gen {
	int64_t number;
	uint64_t digest;
	bool there;
	struct stat st;
	struct buf text;
};

static void path_of(const struct lb *lb, const char *name, bool temp, char out[PATH_MAX + 128])
{
	(void)snprintf(out, PATH_MAX + 128, "%s/%sas-%s.conf%s", lb->path, temp ? "." : "", name, temp ? ".as-lb" : "");
}

/* ---- nginx's own server ---- */

int nginx_ask(const struct lb *lb, const char *path, struct buf *reply, struct err *err)
{
	char name[128];
	const struct http_target target = {.base = lb->base,
	                                   .name = name,
	                                   .hint = "is nginx running, and is `admin` the address of one of its servers?",
	                                   .call_ms = ASK_MS,
	                                   .tasks = lb->means->tasks};
	long status = 0;

	(void)snprintf(name, sizeof name, "lb %s", lb->conf->name);

	/* A connection of its own: a kept one would be an old worker's. */
	struct http *http = http_new(&target, err);
	if (!http)
		return -1;
	const int rc = http_call(http, "GET", path, NULL, 0, NULL, 0, reply, &status, err);
	http_free(http);
	if (rc < 0)
		return -1;
	if (status == 200)
		return 0;
	return err_set(err, ERR_CONFIG,
	               "lb %s: %s%s answers %ld: nginx's configuration needs `location = /as-gen { return 200 "
	               "\"$as_gen\\n\"; }` and `location = /as-status { stub_status; }` in that server",
	               lb->conf->name, lb->base, path, status);
}

/* The number that nginx serves; -1: none. */
static int served(const struct lb *lb, int64_t *number, struct err *err)
{
	struct buf reply = BUF_INIT(4096);
	char *end = NULL;

	*number = -1;
	const int rc = nginx_ask(lb, "/as-gen", &reply, err);
	if (rc == 0 && reply.n && *reply.p >= '0' && *reply.p <= '9')
		*number = strtoll(reply.p, &end, 10);
	buf_release(&reply);
	return rc;
}

/* ---- the files ---- */

int nginx_files(struct lb *lb, struct filed **files, size_t *n, struct err *err)
{
	struct lb_names names;
	int rc = lb_filed_backends(&lb->folder, &names, err);

	*files = NULL;
	*n = 0;
	if (rc < 0)
		return -1;
	struct filed *v = calloc(names.n ? names.n : 1, sizeof *v);
	if (!v)
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		rc = lb_filed_read(&lb->folder, names.v[i], &v[*n], err);
		if (rc == 0)
			(*n)++;
		else if (err->code == ERR_NOT_FOUND || err->code == ERR_CONFIG) /* gone, or not ours to read: no rules */
			rc = 0;
	}
	lb_names_release(&names);
	*files = v;
	if (rc < 0) {
		nginx_files_free(v, *n);
		*files = NULL;
	}
	return rc;
}

void nginx_files_free(struct filed *files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		lb_filed_release(&files[i]);
	free(files);
}

static int replace(struct lb *lb, const char *name, const struct buf *text, struct err *err)
{
	char temp[PATH_MAX + 128], path[PATH_MAX + 128];

	path_of(lb, name, true, temp);
	path_of(lb, name, false, path);
	if (lb_file_write(temp, text, NULL, err) < 0 || lb_file_rename(temp, path, err) < 0)
		return err_prefix(err, "lb %s", lb->conf->name);
	return 0;
}

/* An empty text: the file goes. */
static int restore(struct lb *lb, const char *name, const struct buf *text, struct err *err)
{
	char path[PATH_MAX + 128];

	path_of(lb, name, false, path);
	return text->n ? replace(lb, name, text, err) : lb_file_remove(path, err);
}

static int read_gen(const struct lb *lb, struct gen *g, struct err *err)
{
	char path[PATH_MAX + 128];
	const char *begin = NULL, *end = NULL, *digest;

	*g = (struct gen){.number = -1, .text = BUF_INIT(4096)};
	path_of(lb, NGINX_GEN, false, path);
	if (lb_file_read(path, &g->text, &g->st, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : err_prefix(err, "lb %s", lb->conf->name);
	g->there = true;
	g->number = g->text.p ? nginx_map(g->text.p, &begin, &end) : -1;
	if (g->text.p && (digest = strstr(g->text.p, "# of ")))
		g->digest = strtoull(digest + 5, NULL, 16);
	return 0;
}

static int write_gen(struct lb *lb, int64_t number, uint64_t digest, struct err *err)
{
	struct buf text = BUF_INIT(4096);

	buf_printf(&text,
	           "# Counts what the toolkit changes in this folder; nginx serves it at /as-gen when it has loaded that.\n"
	           "# of %016llx\nmap \"\" $as_gen { default %lld; }\n",
	           (unsigned long long)digest, (long long)number);
	const int rc = replace(lb, NGINX_GEN, &text, err);
	buf_release(&text);
	return rc;
}

/* Of what nginx reads in the folder but the generation itself. */
static int digest_of(struct lb *lb, uint64_t *digest, struct err *err)
{
	struct lb_names names;
	int rc = lb_filed_backends(&lb->folder, &names, err);

	if (rc < 0)
		return -1;
	*digest = nginx_digest(0, "");
	for (size_t i = 0; rc == 0 && i <= names.n; i++) {
		const char *name = i < names.n ? names.v[i] : NGINX_ROUTES;
		struct buf text = BUF_INIT(DOCUMENT_MAX);
		char path[PATH_MAX + 128];
		struct stat st;
		path_of(lb, name, false, path);
		rc = lb_file_read(path, &text, &st, err);
		if (rc == 0)
			*digest = nginx_digest(*digest, text.p ? text.p : "");
		else if (err->code == ERR_NOT_FOUND)
			rc = 0;
		buf_release(&text);
	}
	lb_names_release(&names);
	return rc;
}

/* A map that stands in a backend's file moves into a file of its own. For a moment there are two; they say the same
 * number, and nginx (measured) takes the later one without complaint. */
static int move_map(struct lb *lb, const char *backend, int64_t *number, bool cut, struct err *err)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX), rest = BUF_INIT(DOCUMENT_MAX);
	char path[PATH_MAX + 128], temp[PATH_MAX + 128];
	const char *begin = NULL, *end = NULL;
	struct stat st;

	path_of(lb, backend, false, path);
	path_of(lb, backend, true, temp);
	int rc = lb_file_read(path, &text, &st, err);
	const int64_t found = rc == 0 && text.p ? nginx_map(text.p, &begin, &end) : -1;
	if (found > *number)
		*number = found;
	if (found >= 0 && cut) {
		buf_put(&rest, text.p, (size_t)(begin - text.p));
		buf_puts(&rest, end);
		if (lb_file_write(temp, &rest, &st, err) < 0 || lb_file_rename(temp, path, err) < 0)
			rc = err_prefix(err, "lb %s", lb->conf->name);
	} else if (rc < 0 && err->code == ERR_NOT_FOUND) {
		rc = 0;
	}
	buf_release(&text);
	buf_release(&rest);
	return rc;
}

/* Makes as-_gen.conf exist and be the only map. */
static int settle(struct lb *lb, struct err *err)
{
	struct lb_names names;
	struct gen gen;
	int64_t number = -1;
	int rc = read_gen(lb, &gen, err);

	buf_release(&gen.text);
	if (rc < 0 || lb_filed_backends(&lb->folder, &names, err) < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		rc = move_map(lb, names.v[i], &number, false, err);
	if (rc == 0 && (gen.number < 0 || number > gen.number))
		rc = write_gen(lb, number < 0 ? 0 : number, gen.digest, err);
	for (size_t i = 0; rc == 0 && number >= 0 && i < names.n; i++)
		rc = move_map(lb, names.v[i], &number, true, err);
	lb_names_release(&names);
	return rc;
}

/* ---- routes ---- */

struct refusal {
	struct lb *lb;
	struct filed *const *files; /* of the round */
	size_t n;
};

/* The way of a file that this round changed is another's: its change does not go through. */
static void refuse(void *ctx, const struct filed *loser, const struct filed *owner, const struct rule_way *way)
{
	const struct refusal *r = ctx;

	for (size_t i = 0; i < r->n; i++)
		if (r->files[i]->changed && !r->files[i]->err.code && strcmp(r->files[i]->backend, loser->backend) == 0)
			(void)err_set(&r->files[i]->err, ERR_REFUSED,
			              "lb %s: backends %s and %s both have the rule for %s%s: change the rule of one",
			              r->lb->conf->name, loser->backend, owner->backend, *way->host ? way->host : "any name",
			              way->path);
}

static int write_routes(struct lb *lb, const struct refusal *r, struct err *err)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX), old = BUF_INIT(DOCUMENT_MAX);
	const char *listen = lb->conf->frontend ? lb->conf->frontend : "80";
	const struct filed **list = NULL;
	struct filed *files = NULL;
	struct nginx_operator is;
	char path[PATH_MAX + 128];
	struct err absent;
	struct stat st;
	size_t n = 0, rules = 0;

	int rc = nginx_files(lb, &files, &n, err);
	if (rc == 0 && !(list = calloc(n ? n : 1, sizeof *list)))
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; rc == 0 && i < n; i++) {
		list[i] = &files[i];
		rules += files[i].rule.n;
	}
	if (rc == 0) {
		nginx_look(lb, &is);
		rc = nginx_routes(list, n, listen, is.listens, refuse, (void *)(uintptr_t)r, &text, err);
	}
	path_of(lb, NGINX_ROUTES, false, path);
	if (rc == 0 && lb_file_read(path, &old, &st, &absent) < 0)
		buf_reset(&old);
	if (rc == 0 && !rules)
		rc = old.n ? lb_file_remove(path, err) : 0;
	else if (rc == 0 && (text.n != old.n || memcmp(text.p, old.p, text.n) != 0))
		rc = replace(lb, NGINX_ROUTES, &text, err);
	nginx_files_free(files, n);
	free(list);
	buf_release(&text);
	buf_release(&old);
	return rc;
}

/* ---- a reload ---- */

/* Workers of how many generations live is what reloads cost. So before one, the workers of the last have to be gone, or
 * a second has to be over since; over all processes. */
static void breathe(struct lb *lb, const struct gen *before)
{
	const int64_t written = (int64_t)before->st.st_mtim.tv_sec * 1000 + before->st.st_mtim.tv_nsec / 1000000;
	struct nginx_workers ending = {0};
	int64_t since = clock_now_ms() - written;

	if (!before->there || since < 0)
		return;
	if (since < TOLD_MS)
		tasks_sleep(lb->means->tasks, TOLD_MS - since);
	for (; (since = clock_now_ms() - written) >= 0 && since < DISTANCE_MS; tasks_sleep(lb->means->tasks, STEP_MAX_MS)) {
		nginx_workers_find(lb, &ending, true);
		const bool gone = ending.known && !ending.n;
		nginx_workers_release(&ending);
		if (gone)
			return;
	}
}

static int64_t step(int64_t ms) { return ms * 3 / 2 + 1 < STEP_MAX_MS ? ms * 3 / 2 + 1 : STEP_MAX_MS; }

static int not_included(const struct lb *lb, struct err *err)
{
	return err_set(err, ERR_CONFIG,
	               "lb %s: nginx does not read the folder: add `include %s/as-*.conf;` within http { } of its "
	               "configuration",
	               lb->conf->name, lb->path);
}

static int not_loaded(const struct lb *lb, int64_t want, int64_t got, struct err *err)
{
	struct nginx_operator is;

	nginx_look(lb, &is);
	if (lb->main && is.read && !is.included)
		return not_included(lb, err);
	return err_set(err, ERR_REMOTE,
	               "lb %s: nginx was told to load generation %lld, but serves %lld after %d s: is `include "
	               "%s/as-*.conf;` within its http { }? Its error log says why",
	               lb->conf->name, (long long)want, (long long)got, TAKE_MS / 1000, lb->path);
}

/* Until nginx says the number. Without `admin`: until the old workers end, for which it starts new ones before. */
static int await(struct lb *lb, int64_t number, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + TAKE_MS;
	int64_t got = -1;

	for (int64_t ms = STEP_MS;; ms = step(ms)) {
		struct err last = {0};
		if (*lb->base) {
			if (served(lb, &got, &last) == 0 && got == number)
				return 0;
			if (last.code == ERR_CONFIG || (last.code && clock_monotonic_ms() >= deadline)) {
				*err = last;
				return -1;
			}
		} else {
			const int left = nginx_workers_left(lb, &lb->old, true);
			lb->blind = left < 0;
			if (left <= 0)
				return 0;
		}
		if (clock_monotonic_ms() >= deadline)
			return not_loaded(lb, number, got, err);
		tasks_sleep(lb->means->tasks, ms);
	}
}

static int reload(struct lb *lb, const struct gen *before, int64_t number, struct err *err)
{
	breathe(lb, before);
	nginx_workers_release(&lb->old);
	nginx_workers_find(lb, &lb->old, false);
	if (nginx_hup(lb, err) < 0)
		return -1;
	lb->rounds++;
	lb->reload_ms = clock_monotonic_ms();
	lb->unproven = !*lb->base;
	lb->blind = false;
	lb->reloaded = true;
	return await(lb, number, err);
}

/* ---- what filed.h asks ---- */

/* An upstream that the operator's configuration names and that is missing, which may be just what is being made. */
static bool wants_upstream(const struct lb *lb, const char *said)
{
	const char *words = "host not found in upstream \"", *at = strstr(said, words);
	char name[LB_NAME], path[PATH_MAX + 128];
	struct stat st;

	if (!at || sscanf(at + strlen(words), "%63[A-Za-z0-9_.-]", name) != 1)
		return false;
	path_of(lb, name, false, path);
	return lb_safe_name(name) && stat(path, &st) < 0;
}

static int missing_include(const struct lb *lb, const char *said, struct err *err)
{
	struct nginx_operator is;

	nginx_look(lb, &is);
	if (!strstr(said, "unknown \"as_gen\" variable") || (is.read && is.included))
		return 0;
	return not_included(lb, err);
}

/* For the way back. */
static void remember(struct lb *lb)
{
	char path[PATH_MAX + 128];
	struct err absent;
	struct stat st;

	lb->reloaded = false;
	buf_reset(&lb->old_gen);
	buf_reset(&lb->old_routes);
	path_of(lb, NGINX_GEN, false, path);
	(void)lb_file_read(path, &lb->old_gen, &st, &absent);
	path_of(lb, NGINX_ROUTES, false, path);
	(void)lb_file_read(path, &lb->old_routes, &st, &absent);
}

static int before(struct lb *lb, struct err *err)
{
	struct nginx_operator is;
	char said[NGINX_TEXT];
	int64_t number;

	if (*lb->base && served(lb, &number, err) < 0)
		return -1;
	if (settle(lb, err) < 0)
		return -1;
	remember(lb);
	nginx_look(lb, &is);
	if (lb->main && is.read && !is.included)
		return not_included(lb, err);
	const int rc = nginx_test(lb, said, sizeof said, err);
	if (rc <= 0 || wants_upstream(lb, said))
		return rc < 0 ? -1 : 0;
	if (missing_include(lb, said, err) < 0)
		return -1;
	return err_set(err, ERR_CONFIG, "lb %s: nothing was changed, for nginx refuses its configuration as it is: %s",
	               lb->conf->name, said);
}

static int check(struct lb *lb, struct err *err)
{
	char said[NGINX_TEXT];
	const int rc = nginx_test(lb, said, sizeof said, err);

	if (rc <= 0)
		return rc;
	if (missing_include(lb, said, err) < 0)
		return -1;
	return err_set(err, ERR_REMOTE, "lb %s: nginx refuses the change: %s", lb->conf->name, said);
}

static int take(struct lb *lb, struct filed *const *files, size_t n, struct err *err)
{
	const struct refusal r = {lb, files, n};
	uint64_t digest = 0;
	int64_t number = -1;
	struct gen gen;

	lb->reloaded = false;
	if (settle(lb, err) < 0 || write_routes(lb, &r, err) < 0 || digest_of(lb, &digest, err) < 0 ||
	    read_gen(lb, &gen, err) < 0)
		return -1;
	int rc = 0;
	if (gen.digest == digest && gen.there) {
		/* A run that was killed may have written it and not told nginx. */
		if (*lb->base)
			rc = served(lb, &number, err);
		else
			number = gen.number;
		if (rc == 0 && number != gen.number) {
			number = gen.number;
			rc = check(lb, err) < 0 ? -1 : reload(lb, &gen, number, err);
		}
	} else {
		number = gen.number + 1;
		rc = write_gen(lb, number, digest, err);
		if (rc == 0 && (rc = check(lb, err)) == 0)
			rc = reload(lb, &gen, number, err);
	}
	buf_release(&gen.text);
	return rc;
}

/* What nginx was not told, it need not be told again; else it gets the old state as a newer generation. Whether it then
 * takes that, the next change sees. */
static void put_back(struct lb *lb, struct filed *const *files, size_t n)
{
	struct refusal r = {lb, files, 0};
	uint64_t digest = 0;
	struct err ignored;
	struct gen gen;

	(void)n;
	if (!lb->reloaded) {
		(void)restore(lb, NGINX_ROUTES, &lb->old_routes, &ignored);
		(void)restore(lb, NGINX_GEN, &lb->old_gen, &ignored);
		(void)settle(lb, &ignored);
		return;
	}
	if (settle(lb, &ignored) < 0 || write_routes(lb, &r, &ignored) < 0 || digest_of(lb, &digest, &ignored) < 0 ||
	    read_gen(lb, &gen, &ignored) < 0)
		return;
	if (write_gen(lb, gen.number + 1, digest, &ignored) == 0 && check(lb, &ignored) == 0)
		(void)nginx_hup(lb, &ignored);
	buf_release(&gen.text);
}

const struct filed_kind nginx_kind = {"as-", ".conf", NULL, nginx_parse, nginx_render, before, take, put_back};

int nginx_used(struct lb *lb, struct err *err)
{
	uint64_t digest = 0;
	int64_t number = -1;
	struct gen gen;

	if (digest_of(lb, &digest, err) < 0 || read_gen(lb, &gen, err) < 0)
		return -1;
	buf_release(&gen.text);
	if (!gen.there || gen.digest != digest)
		return err_set(err, ERR_CONFLICT, "lb %s: the files in %s changed since nginx was last told to load them",
		               lb->conf->name, lb->path);
	if (!*lb->base)
		return 0;
	if (served(lb, &number, err) < 0)
		return -1;
	if (number == gen.number)
		return 0;
	return err_set(err, ERR_CONFLICT, "lb %s: nginx serves generation %lld of the folder %s, which has %lld",
	               lb->conf->name, (long long)number, lb->path, (long long)gen.number);
}
