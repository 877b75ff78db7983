/* Routes and made backends in the text of HAProxy's configuration. All routes stand in one block, sorted so that the
 * first line that fits is the closest: a name before `*.x` before any name, then the longer path. */
#include "lb/haproxy_config.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define RULES_BEGIN "# as-lb rules begin"
#define RULES_END "# as-lb rules end"
#define BACKENDS_BEGIN "# as-lb backends begin"
#define BACKENDS_END "# as-lb backends end"
#define WAY_BYTES 2048 /* HAProxy reads no longer one */

struct span {
	bool there;
	size_t begin, from, to, end; /* with and without the marker lines */
};

/* The block between two marker lines, below `limit`. */
static int find_span(const struct haproxy_config *c, const char *begin, const char *end, struct span *s,
                     struct err *err)
{
	const char *at = c->text.p, *stop = c->text.p + c->text.n;
	bool inside = false;
	struct haproxy_line l;

	*s = (struct span){.there = false};
	while (haproxy_next_line(&at, stop, &l)) {
		if (haproxy_is_line(&l, begin)) {
			if (s->there)
				return err_set(err, ERR_CONFIG, "%s has `%s` twice", c->file, begin);
			s->there = inside = true;
			s->begin = (size_t)(l.at - c->text.p);
			s->from = (size_t)(at - c->text.p);
		} else if (inside && haproxy_is_line(&l, end)) {
			inside = false;
			s->to = (size_t)(l.at - c->text.p);
			s->end = (size_t)(at - c->text.p);
		}
	}
	return inside ? err_set(err, ERR_CONFIG, "%s: `%s` has no end", c->file, begin) : 0;
}

/* ---- routes ---- */

struct way {
	char backend[LB_NAME];
	struct rule_way way;
};

struct ways {
	struct way *v;
	size_t n;
};

static int add_way(struct ways *w, const char *backend, const struct rule_way *way, struct err *err)
{
	struct way *more = realloc(w->v, (w->n + 1) * sizeof *more);

	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	w->v = more;
	(void)snprintf(more[w->n].backend, sizeof more->backend, "%s", backend);
	more[w->n++].way = *way;
	return 0;
}

/* hdr(host),field(1,:) is the name without a port. */
static void put_host(struct buf *b, const char *host)
{
	if (host[0] == '*')
		buf_printf(b, " { hdr(host),field(1,:) -i -m end %s }", host + 1);
	else if (*host)
		buf_printf(b, " { hdr(host),field(1,:) -i %s }", host);
}

/* A path in whole segments takes two conditions: it is this, or it begins with this and a slash. */
static void put_way(struct buf *b, const struct way *w)
{
	const char *path = strcmp(w->way.path, "/") == 0 ? "" : w->way.path;

	buf_printf(b, "use_backend %s if", w->backend);
	put_host(b, w->way.host);
	if (*path) {
		buf_printf(b, " { path %s } or", path);
		put_host(b, w->way.host);
		buf_printf(b, " { path -m beg %s/ }", path);
	} else if (!*w->way.host) {
		buf_puts(b, " TRUE");
	}
}

/* Reads a line that put_way wrote; false for any other. */
static bool read_way(const struct haproxy_line *l, struct way *w)
{
	char text[WAY_BYTES], *rest = NULL;
	struct buf again = BUF_INIT(WAY_BYTES);
	const char *before = "", *option = "";

	*w = (struct way){.backend = ""};
	if (l->nword >= sizeof text || !haproxy_begins(l, "use_backend", ""))
		return false;
	memcpy(text, l->word, l->nword);
	text[l->nword] = '\0';
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		if (strcmp(before, "use_backend") == 0)
			(void)snprintf(w->backend, sizeof w->backend, "%s", word);
		else if (strcmp(before, "path") == 0 && *word == '/')
			(void)snprintf(w->way.path, sizeof w->way.path, "%s", word);
		else if (strcmp(before, "-i") == 0 && *word != '-')
			(void)snprintf(w->way.host, sizeof w->way.host, "%s", word);
		else if (strcmp(before, "end") == 0 && strcmp(option, "-m") == 0)
			(void)snprintf(w->way.host, sizeof w->way.host, "*%s", word);
		option = before;
		before = word;
	}
	if (!*w->way.host && !*w->way.path)
		(void)snprintf(w->way.path, sizeof w->way.path, "/");
	put_way(&again, w);
	const bool same = lb_safe_name(w->backend) && !again.failed && haproxy_is_line(l, again.p);
	buf_release(&again);
	return same;
}

static int rank(const char *host) { return !*host ? 2 : host[0] == '*'; }

static int by_closeness(const void *a, const void *b)
{
	const struct way *x = a, *y = b;
	const size_t xh = strlen(x->way.host), yh = strlen(y->way.host);
	const size_t xp = strlen(x->way.path), yp = strlen(y->way.path);

	if (rank(x->way.host) != rank(y->way.host))
		return rank(x->way.host) - rank(y->way.host);
	if (rank(x->way.host) == 1 && xh != yh)
		return xh > yh ? -1 : 1;
	if (xp != yp)
		return xp > yp ? -1 : 1;
	const int host = strcmp(x->way.host, y->way.host), path = strcmp(x->way.path, y->way.path);
	return host ? host : path ? path : strcmp(x->backend, y->backend);
}

/* The frontend where the routes are: the one named, else the one that has the block, else the only one. */
static int find_frontend(const struct haproxy_config *c, const char *name, const struct span *rules,
                         struct haproxy_section *out, struct err *err)
{
	struct haproxy_section s;
	size_t at = 0, n = 0;

	while (haproxy_next_section(c, "frontend", name, &at, &s)) {
		*out = s;
		if (rules->there && s.from <= rules->begin && rules->end <= s.to)
			return 0;
		n++;
	}
	at = 0;
	if (!n && name && haproxy_next_section(c, "listen", name, &at, out)) {
		n = 1;
		if (rules->there && out->from <= rules->begin && rules->end <= out->to)
			return 0;
	}
	if (rules->there && n)
		return err_set(err, ERR_CONFIG, "%s: `" RULES_BEGIN "` is not in the frontend%s%s; move the block there",
		               c->file, name ? " " : "", name ? name : "");
	if (n == 1)
		return 0;
	if (name)
		return err_set(err, ERR_CONFIG, "%s has %s frontend %s, which `frontend` names", c->file,
		               n ? "more than one" : "no", name);
	return err_set(err, ERR_CONFIG, "%s has %zu frontends; say in [lb] which one gets the rules: `frontend = NAME`",
	               c->file, n);
}

/* Reads the block, and what in it is not ours into *foreign. */
static int read_ways(const struct haproxy_config *c, struct span *s, struct ways *w, struct buf *foreign,
                     struct err *err)
{
	struct haproxy_line l;
	struct way way;

	if (find_span(c, RULES_BEGIN, RULES_END, s, err) < 0)
		return -1;
	const char *at = s->there ? c->text.p + s->from : NULL, *end = c->text.p + s->to;
	while (haproxy_next_line(&at, end, &l)) {
		if (!read_way(&l, &way))
			buf_put(foreign, l.at, (size_t)(at - l.at));
		else if (add_way(w, way.backend, &way.way, err) < 0)
			return -1;
	}
	return buf_ok(foreign, err);
}

/* The ways of one backend become those of the rule; it may not have one that another backend has. */
static int change_ways(struct ways *w, const char *backend, const struct rule *rule, struct err *err)
{
	size_t left = 0;

	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->v[i].backend, backend) != 0)
			w->v[left++] = w->v[i];
	w->n = left;
	for (size_t k = 0; rule && k < rule->n; k++) {
		for (size_t i = 0; i < left; i++)
			if (rule_way_same(&w->v[i].way, &rule->v[k]))
				return err_set(err, ERR_CONFLICT, "backend %s: requests for %s%s go to backend %s already", backend,
				               rule->v[k].host, rule->v[k].path, w->v[i].backend);
		if (add_way(w, backend, &rule->v[k], err) < 0)
			return -1;
	}
	if (w->n)
		qsort(w->v, w->n, sizeof *w->v, by_closeness);
	return 0;
}

static int write_ways(struct haproxy_config *c, const char *frontend, const struct span *s, const struct ways *w,
                      const struct buf *foreign, struct err *err)
{
	struct buf lines = BUF_INIT(DOCUMENT_MAX);
	struct haproxy_section section;

	if (!s->there && !w->n)
		return 0;
	if (find_frontend(c, frontend, s, &section, err) < 0)
		return -1;
	if (!s->there)
		buf_printf(&lines, "%s" RULES_BEGIN "\n", section.indent);
	buf_put(&lines, foreign->p, foreign->n);
	for (size_t i = 0; i < w->n; i++) {
		buf_puts(&lines, section.indent);
		put_way(&lines, &w->v[i]);
		buf_putc(&lines, '\n');
	}
	if (!s->there)
		buf_printf(&lines, "%s" RULES_END "\n", section.indent);
	const int rc = buf_ok(&lines, err);
	if (rc == 0)
		haproxy_splice(c, s->there ? s->from : section.to, s->there ? s->to : section.to, lines.p, lines.n);
	buf_release(&lines);
	return rc;
}

/* No frontend is looked for when nothing changes: only who wants rules has to say where. */
static int set_ways(struct haproxy_config *c, const char *frontend, const char *backend, const struct rule *rule,
                    struct err *err)
{
	struct buf foreign = BUF_INIT(DOCUMENT_MAX);
	struct ways w = {.n = 0};
	struct span s;
	bool had = false;

	int rc = read_ways(c, &s, &w, &foreign, err);
	for (size_t i = 0; i < w.n; i++)
		had |= strcmp(w.v[i].backend, backend) == 0;
	if (rc == 0 && (had || (rule && rule->n))) {
		rc = change_ways(&w, backend, rule, err);
		if (rc == 0)
			rc = write_ways(c, frontend, &s, &w, &foreign, err);
	}
	buf_release(&foreign);
	free(w.v);
	return rc;
}

/* ---- backends ---- */

/* The section of a backend that ensure made. */
static bool find_made(const struct haproxy_config *c, const char *backend, const struct span *made,
                      struct haproxy_section *s)
{
	size_t at = made->from;

	return made->there && haproxy_next_section(c, "backend", backend, &at, s) && s->head < made->to;
}

static void put_check(struct buf *b, const char *check)
{
	if (*check)
		buf_printf(b, "    option httpchk GET %s\n", check);
}

static int add_backend(struct haproxy_config *c, const char *backend, const char *check, struct span *made,
                       struct err *err)
{
	struct buf text = BUF_INIT(4096);

	if (!made->there)
		buf_puts(&text, BACKENDS_BEGIN "\n");
	buf_printf(&text, "backend %s\n    mode http\n    balance roundrobin\n", backend);
	put_check(&text, check);
	buf_printf(&text, "    # as-lb begin %s\n    # as-lb end %s\n", backend, backend);
	if (!made->there)
		buf_puts(&text, BACKENDS_END "\n");
	const int rc = buf_ok(&text, err);
	const size_t at = made->there ? made->to : c->text.n;
	if (rc == 0)
		haproxy_splice(c, at, at, text.p, text.n);
	buf_release(&text);
	return rc;
}

/* The check of a backend that ensure made. */
static void set_check(struct haproxy_config *c, const struct haproxy_section *s, const char *check)
{
	const char *at = c->text.p + s->from, *end = c->text.p + s->to;
	size_t from = 0, to = 0, after = s->from;
	struct buf line = BUF_INIT(1024);
	struct haproxy_line l;

	while (haproxy_next_line(&at, end, &l)) {
		if (haproxy_begins(&l, "balance", ""))
			after = (size_t)(at - c->text.p);
		if (haproxy_begins(&l, "option", "httpchk")) {
			from = (size_t)(l.at - c->text.p);
			to = (size_t)(at - c->text.p);
		}
	}
	put_check(&line, check);
	if (!to)
		from = to = after;
	haproxy_splice(c, from, to, line.p ? line.p : "", line.n);
	buf_release(&line);
}

int haproxy_config_ensure(struct haproxy_config *c, const char *frontend, const char *backend,
                          const struct lb_route *route, bool running, struct err *err)
{
	struct rule rule = {.n = 0};
	struct haproxy_section s;
	struct span made;
	size_t at = 0;

	for (size_t i = 0; route->rule && i < route->rule->n; i++)
		if (rule_add(&rule, route->rule->v[i].host, route->rule->v[i].path, err) < 0)
			return err_prefix(err, "backend %s", backend);
	if (find_span(c, BACKENDS_BEGIN, BACKENDS_END, &made, err) < 0)
		return -1;
	if (find_made(c, backend, &made, &s))
		set_check(c, &s, route->check);
	else if (!running && !haproxy_next_section(c, NULL, backend, &at, &s) &&
	         add_backend(c, backend, route->check, &made, err) < 0)
		return -1;
	return set_ways(c, frontend, backend, &rule, err);
}

int haproxy_config_forget(struct haproxy_config *c, const char *frontend, const char *backend, struct err *err)
{
	struct haproxy_section s;
	struct span made;

	if (set_ways(c, frontend, backend, NULL, err) < 0 || find_span(c, BACKENDS_BEGIN, BACKENDS_END, &made, err) < 0)
		return -1;
	if (find_made(c, backend, &made, &s))
		haproxy_splice(c, s.head, s.to, "", 0);
	return 0;
}

int haproxy_config_made(const struct haproxy_config *c, struct lb_names *out, struct err *err)
{
	struct haproxy_section s;
	struct span made;

	if (find_span(c, BACKENDS_BEGIN, BACKENDS_END, &made, err) < 0)
		return -1;
	for (size_t at = made.from; made.there && haproxy_next_section(c, "backend", NULL, &at, &s) && s.head < made.to;)
		if (lb_safe_name(s.name) && lb_names_add(out, s.name, err) < 0)
			return -1;
	return 0;
}
