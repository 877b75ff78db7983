/* The files of the folder that are no backend's, and all of them together. */
#include "lb/nginx.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void nginx_path(const struct lb *lb, const char *name, bool temp, char out[PATH_MAX + 128])
{
	(void)snprintf(out, PATH_MAX + 128, "%s/%sas-%s.conf%s", lb->path, temp ? "." : "", name, temp ? ".as-lb" : "");
}

static int replace(struct lb *lb, const char *name, const struct buf *text, struct err *err)
{
	char temp[PATH_MAX + 128], path[PATH_MAX + 128];

	nginx_path(lb, name, true, temp);
	nginx_path(lb, name, false, path);
	if (lb_file_write(temp, text, NULL, err) < 0 || lb_file_rename(temp, path, err) < 0)
		return err_prefix(err, "lb %s", lb->conf->name);
	return 0;
}

/* An empty text: the file goes. */
int nginx_restore(struct lb *lb, const char *name, const struct buf *text, struct err *err)
{
	char path[PATH_MAX + 128];

	nginx_path(lb, name, false, path);
	return text->n ? replace(lb, name, text, err) : lb_file_remove(path, err);
}

int nginx_gen_read(const struct lb *lb, struct nginx_gen *g, struct err *err)
{
	char path[PATH_MAX + 128];
	const char *begin = NULL, *end = NULL, *digest;

	*g = (struct nginx_gen){.number = -1, .text = BUF_INIT(4096)};
	nginx_path(lb, NGINX_GEN, false, path);
	if (lb_file_read(path, &g->text, &g->st, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : err_prefix(err, "lb %s", lb->conf->name);
	g->there = true;
	g->number = g->text.p ? nginx_map(g->text.p, &begin, &end) : -1;
	if (g->text.p && (digest = strstr(g->text.p, "# of ")))
		g->digest = strtoull(digest + 5, NULL, 16);
	return 0;
}

int nginx_gen_write(struct lb *lb, int64_t number, uint64_t digest, struct err *err)
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
int nginx_digest_of(struct lb *lb, uint64_t *digest, struct err *err)
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
		nginx_path(lb, name, false, path);
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

	nginx_path(lb, backend, false, path);
	nginx_path(lb, backend, true, temp);
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
int nginx_settle(struct lb *lb, struct err *err)
{
	struct lb_names names;
	struct nginx_gen gen;
	int64_t number = -1;
	int rc = nginx_gen_read(lb, &gen, err);

	buf_release(&gen.text);
	if (rc < 0 || lb_filed_backends(&lb->folder, &names, err) < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		rc = move_map(lb, names.v[i], &number, false, err);
	if (rc == 0 && (gen.number < 0 || number > gen.number))
		rc = nginx_gen_write(lb, number < 0 ? 0 : number, gen.digest, err);
	for (size_t i = 0; rc == 0 && number >= 0 && i < names.n; i++)
		rc = move_map(lb, names.v[i], &number, true, err);
	lb_names_release(&names);
	return rc;
}

/* ---- routes ---- */

/* The way of a file that this round changed is another's: its change does not go through. */
static void refuse(void *ctx, const struct filed *loser, const struct filed *owner, const struct rule_way *way)
{
	const struct nginx_refusal *r = ctx;

	for (size_t i = 0; i < r->n; i++)
		if (r->files[i]->changed && !r->files[i]->err.code && strcmp(r->files[i]->backend, loser->backend) == 0)
			(void)err_set(&r->files[i]->err, ERR_REFUSED,
			              "lb %s: backends %s and %s both have the rule for %s%s: change the rule of one",
			              r->lb->conf->name, loser->backend, owner->backend, *way->host ? way->host : "any name",
			              way->path);
}

int nginx_routes_write(struct lb *lb, const struct nginx_refusal *r, struct err *err)
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

	int rc = lb_filed_all(&lb->folder, &files, &n, err);
	if (rc == 0 && !(list = calloc(n ? n : 1, sizeof *list)))
		rc = err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; rc == 0 && i < n; i++) {
		list[i] = &files[i];
		rules += files[i].rule.n;
	}
	if (rc == 0 && rules) {
		nginx_look(lb, &is);
		rc = nginx_routes(list, n, listen, is.listens, refuse, (void *)(uintptr_t)r, &text, err);
	}
	nginx_path(lb, NGINX_ROUTES, false, path);
	if (rc == 0 && lb_file_read(path, &old, &st, &absent) < 0)
		buf_reset(&old);
	if (rc == 0 && !rules)
		rc = old.n ? lb_file_remove(path, err) : 0;
	else if (rc == 0 && (text.n != old.n || memcmp(text.p, old.p, text.n) != 0))
		rc = replace(lb, NGINX_ROUTES, &text, err);
	lb_filed_free_all(files, n);
	free(list);
	buf_release(&text);
	buf_release(&old);
	return rc;
}
