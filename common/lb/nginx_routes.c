/* Servers for rules. nginx chooses the server by the name and then the location by the longest path, so one server per
 * name holds the ways of that name, and those of wider names ("*.a.example", any name) whose paths it leaves free. */
#include "lb/nginx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct way {
	const struct rule_way *is;
	const struct filed *file;
};

struct ways {
	struct way *v;
	size_t n;
};

/* "" and "/" are the same. */
static const char *path_of(const struct way *w) { return strcmp(w->is->path, "/") == 0 ? "" : w->is->path; }

static int by_host(const void *a, const void *b)
{
	const struct way *x = a, *y = b;
	const int host = strcmp(x->is->host, y->is->host);
	const int path = host ? host : strcmp(path_of(x), path_of(y));

	return path ? path : strcmp(x->file->backend, y->file->backend);
}

/* All ways, by name and path, each once. */
static int collect(const struct filed *const *files, size_t n, nginx_refuse refuse, void *ctx, struct ways *all,
                   struct err *err)
{
	size_t total = 0, kept = 0;

	for (size_t i = 0; i < n; i++)
		total += files[i]->rule.n;
	*all = (struct ways){.v = calloc(total ? total : 1, sizeof *all->v)};
	if (!all->v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < files[i]->rule.n; j++)
			all->v[all->n++] = (struct way){&files[i]->rule.v[j], files[i]};
	qsort(all->v, all->n, sizeof *all->v, by_host);
	for (size_t i = 0; i < all->n; i++) {
		const struct way *w = &all->v[i], *last = kept ? &all->v[kept - 1] : NULL;
		if (!last || strcmp(last->is->host, w->is->host) != 0 || strcmp(path_of(last), path_of(w)) != 0)
			all->v[kept++] = *w;
		else if (last->file != w->file)
			refuse(ctx, w->file, last->file, w->is);
	}
	all->n = kept;
	return 0;
}

/* As whole segments. */
static bool covers(const char *prefix, const char *path)
{
	const size_t n = strlen(prefix);

	return strncmp(prefix, path, n) == 0 && (!path[n] || path[n] == '/');
}

/* Adds the ways of one name to those of a server, but for what narrower names have already. */
static void merge(const struct ways *all, const char *host, struct ways *own)
{
	const size_t before = own->n;

	for (size_t i = 0; i < all->n; i++) {
		bool taken = strcmp(all->v[i].is->host, host) != 0;
		for (size_t j = 0; !taken && j < before; j++)
			taken = covers(path_of(&own->v[j]), path_of(&all->v[i]));
		if (!taken)
			own->v[own->n++] = all->v[i];
	}
}

/* The widest last: for "b.a.example" after itself "*.a.example", "*.example", "". */
static void inherit(const struct ways *all, const char *host, struct ways *own)
{
	own->n = 0;
	merge(all, host, own);
	for (const char *dot = strchr(host, '.'); *host && dot; dot = strchr(dot + 1, '.')) {
		char wide[RULE_HOST];
		if (snprintf(wide, sizeof wide, "*%s", dot) < (int)sizeof wide && strcmp(wide, host) != 0)
			merge(all, wide, own);
	}
	if (*host)
		merge(all, "", own);
}

static void write_location(const char *path, const char *backend, struct buf *out)
{
	if (*path)
		buf_printf(out, "  location = %s { proxy_pass http://%s; }\n", path, backend);
	buf_printf(out, "  location %s/ { proxy_pass http://%s; }\n", path, backend);
}

static void write_server(const char *listen, const char *host, const struct ways *own, struct buf *out)
{
	bool whole = false;

	buf_printf(out, "server {\n  listen %s%s;\n  server_name %s;\n", listen, *host ? "" : " default_server",
	           *host ? host : "_");
	if (own->n)
		buf_puts(out, "  proxy_http_version 1.1;\n"
		              "  proxy_connect_timeout 2s;\n"
		              "  proxy_set_header Host $http_host;\n"
		              "  proxy_set_header Upgrade $http_upgrade;\n"
		              "  proxy_set_header Connection $as_connection;\n"
		              "  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
		              "  proxy_set_header X-Forwarded-Proto $scheme;\n");
	for (size_t i = 0; i < own->n; i++) {
		whole = whole || !*path_of(&own->v[i]);
		write_location(path_of(&own->v[i]), own->v[i].file->backend, out);
	}
	if (!whole)
		buf_puts(out, "  location / { return 404; }\n");
	buf_puts(out, "}\n");
}

int nginx_routes(const struct filed *const *files, size_t n, const char *listen, bool theirs, nginx_refuse refuse,
                 void *ctx, struct buf *out, struct err *err)
{
	struct ways all, own = {0};

	if (collect(files, n, refuse, ctx, &all, err) < 0)
		return -1;
	if (all.n && !(own.v = calloc(all.n, sizeof *own.v))) {
		free(all.v);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	buf_puts(out, "# Written by the toolkit from the rules in the files beside: what is changed here is lost.\n");
	if (all.n) {
		buf_puts(out, "map $http_upgrade $as_connection { default upgrade; \"\" \"\"; }\n");
		/* Else the first of the others would be it. */
		if (!theirs && *all.v[0].is->host)
			write_server(listen, "", &own, out);
	}
	for (size_t i = 0; i < all.n; i++) {
		if (i && strcmp(all.v[i].is->host, all.v[i - 1].is->host) == 0)
			continue;
		if (theirs && !*all.v[i].is->host)
			continue;
		inherit(&all, all.v[i].is->host, &own);
		write_server(listen, all.v[i].is->host, &own, out);
	}
	free(all.v);
	free(own.v);
	return buf_ok(out, err);
}
