/* How nginx is made to use what the folder has. All but nginx_used and nginx_ask is done under the folder's lock. */
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
#define OLD_MS 1000      /* after which no old worker accepts a connection */
#define TOLD_MS 120      /* nginx tells old workers to end 100 ms after it started new ones */

/* ---- nginx's own server ---- */

int nginx_ask(const struct lb *lb, const char *path, struct buf *reply, struct err *err)
{
	char name[128];
	const struct http_target target = {.base = lb->base,
	                                   .name = name,
	                                   .hint = "is nginx running, and is `admin` the address of one of its servers?",
	                                   .tasks = lb->means->tasks};
	/* A connection of its own: a kept one would be an old worker's. */
	static const char *const headers[] = {"Connection: close", NULL};
	const struct http_stream once = {.idle_ms = ASK_MS};
	long status = 0;

	(void)snprintf(name, sizeof name, "lb %s", lb->conf->name);
	struct http *http = http_new(&target, err);
	if (!http)
		return -1;
	const int rc = http_stream(http, "GET", path, headers, &once, reply, &status, err);
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

/* As served(), but a worker of before, which may take a connection for a moment more, is not believed. */
static int served_now(const struct lb *lb, const struct nginx_gen *gen, int64_t *number, struct err *err)
{
	for (;;) {
		const int64_t written = (int64_t)gen->st.st_mtim.tv_sec * 1000 + gen->st.st_mtim.tv_nsec / 1000000;
		const int64_t age = clock_now_ms() - written;
		if (served(lb, number, err) < 0)
			return -1;
		if (*number == gen->number || age < 0 || age > OLD_MS)
			return 0;
		tasks_sleep(lb->means->tasks, STEP_MAX_MS);
	}
}

/* ---- a reload ---- */

/* Workers of how many generations live is what reloads cost. So before one, the workers of the last have to be gone, or
 * a second has to be over since; over all processes. */
static void breathe(struct lb *lb, const struct nginx_gen *before)
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

static int reload(struct lb *lb, const struct nginx_gen *before, int64_t number, struct err *err)
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
	nginx_path(lb, name, false, path);
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
	nginx_path(lb, NGINX_GEN, false, path);
	(void)lb_file_read(path, &lb->old_gen, &st, &absent);
	nginx_path(lb, NGINX_ROUTES, false, path);
	(void)lb_file_read(path, &lb->old_routes, &st, &absent);
}

static int before(struct lb *lb, struct err *err)
{
	struct nginx_operator is;
	char said[NGINX_TEXT];
	int64_t number;

	if (*lb->base && served(lb, &number, err) < 0)
		return -1;
	if (nginx_settle(lb, err) < 0)
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
	const struct nginx_refusal r = {lb, files, n};
	uint64_t digest = 0;
	int64_t number = -1;
	struct nginx_gen gen;

	lb->reloaded = false;
	if (nginx_settle(lb, err) < 0 || nginx_routes_write(lb, &r, err) < 0 || nginx_digest_of(lb, &digest, err) < 0 ||
	    nginx_gen_read(lb, &gen, err) < 0)
		return -1;
	int rc = 0;
	if (gen.digest == digest && gen.there) {
		/* A run that was killed may have written it and not told nginx. */
		if (*lb->base)
			rc = served_now(lb, &gen, &number, err);
		else if (!nginx_workers_older(lb, &gen.st))
			number = gen.number;
		if (rc == 0 && number != gen.number) {
			number = gen.number;
			rc = check(lb, err) < 0 ? -1 : reload(lb, &gen, number, err);
		}
	} else {
		number = gen.number + 1;
		rc = nginx_gen_write(lb, number, digest, err);
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
	struct nginx_refusal r = {lb, files, 0};
	uint64_t digest = 0;
	struct err ignored;
	struct nginx_gen gen;

	(void)n;
	if (!lb->reloaded) {
		(void)nginx_restore(lb, NGINX_ROUTES, &lb->old_routes, &ignored);
		(void)nginx_restore(lb, NGINX_GEN, &lb->old_gen, &ignored);
		(void)nginx_settle(lb, &ignored);
		return;
	}
	if (nginx_settle(lb, &ignored) < 0 || nginx_routes_write(lb, &r, &ignored) < 0 ||
	    nginx_digest_of(lb, &digest, &ignored) < 0 || nginx_gen_read(lb, &gen, &ignored) < 0)
		return;
	if (nginx_gen_write(lb, gen.number + 1, digest, &ignored) == 0 && check(lb, &ignored) == 0)
		(void)nginx_hup(lb, &ignored);
	buf_release(&gen.text);
}

const struct filed_kind nginx_kind = {"as-", ".conf", NULL, nginx_parse, nginx_render, before, take, put_back};

int nginx_used(struct lb *lb, struct err *err)
{
	uint64_t digest = 0;
	int64_t number = -1;
	struct nginx_gen gen;

	if (nginx_digest_of(lb, &digest, err) < 0 || nginx_gen_read(lb, &gen, err) < 0)
		return -1;
	buf_release(&gen.text);
	if (!gen.there || gen.digest != digest)
		return err_set(err, ERR_CONFLICT, "lb %s: the files in %s changed since nginx was last told to load them",
		               lb->conf->name, lb->path);
	if (!*lb->base)
		return 0;
	if (served_now(lb, &gen, &number, err) < 0)
		return -1;
	if (number == gen.number)
		return 0;
	return err_set(err, ERR_CONFLICT, "lb %s: nginx serves generation %lld of the folder %s, which has %lld",
	               lb->conf->name, (long long)number, lb->path, (long long)gen.number);
}
