/* Rounds: what several tasks want written at about the same time is written once, checked once and, for a new backend
 * or route, loaded by one reload. A reload takes away every server that was added at run time. So before one the blocks
 * of all backends are made to agree with what HAProxy has, and after it what was drained or in maintenance is so again.
 */
#include "lb/haproxy.h"

#include "lb/haproxy_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define GATHER_MS 20 /* others that want a reload too have so long to join; the reload itself takes 70 ms and more */

struct round {
	struct lb *lb;
	struct haproxy_config config;
	struct haproxy_entry *live; /* all servers of HAProxy, sorted */
	size_t nlive;
	struct lb_names backends; /* that HAProxy has; asked only for a change of rules */
	bool pending;             /* HAProxy may not have loaded what was written before */
	bool reload;
};

/* ---- what HAProxy has ---- */

static int by_name(const void *a, const void *b)
{
	const struct haproxy_entry *x = a, *y = b;
	const int backend = strcmp(x->backend, y->backend);

	return backend ? backend : strcmp(x->server.name, y->server.name);
}

/* Of one backend, or of all with NULL. Release *v also after -1. */
static int look(struct lb *lb, const char *backend, struct haproxy_entry **v, size_t *n, struct err *err)
{
	struct haproxy_table t;
	size_t room = 0;

	*v = NULL;
	*n = 0;
	int rc = haproxy_servers(&lb->peer, backend, &t, err);
	while (rc == 0 && haproxy_row(&t)) {
		if (*n == room) {
			struct haproxy_entry *more = realloc(*v, (room = room * 2 + 16) * sizeof *more);
			if (!more) {
				rc = err_set(err, ERR_TEMPORARY, "out of memory");
				break;
			}
			*v = more;
		}
		haproxy_read_entry(&t, &(*v)[*n]);
		*n += *(*v)[*n].backend != '\0';
	}
	haproxy_table_release(&t);
	if (*n)
		qsort(*v, *n, sizeof **v, by_name);
	return rc;
}

static const struct haproxy_entry *among(const struct haproxy_entry *v, size_t n, const char *backend, const char *name)
{
	struct haproxy_entry key;

	(void)snprintf(key.backend, sizeof key.backend, "%s", backend);
	(void)snprintf(key.server.name, sizeof key.server.name, "%s", name);
	return n ? bsearch(&key, v, n, sizeof *v, by_name) : NULL;
}

static int look_for_backends(struct round *r, struct err *err)
{
	struct haproxy_table t;

	int rc = haproxy_backends_table(&r->lb->peer, &t, err);
	while (rc == 0 && haproxy_row(&t))
		if (lb_safe_name(haproxy_cell(&t, "pxname")))
			rc = lb_names_add(&r->backends, haproxy_cell(&t, "pxname"), err);
	haproxy_table_release(&t);
	return rc;
}

static bool is_running(const struct round *r, const char *backend)
{
	for (size_t i = 0; i < r->backends.n; i++)
		if (strcmp(r->backends.v[i], backend) == 0)
			return true;
	return false;
}

/* ---- the servers of a backend ---- */

/* What takes no traffic now takes none either when HAProxy loads this. */
static char *line_of(const struct lb_server *s)
{
	const bool off = s->state == LB_MAINT || s->state == LB_DRAIN;
	char place[LB_PLACE], *line;

	lb_place(s, place);
	return asprintf(&line, "server %s %s " HAPROXY_CHECKS " weight %u " HAPROXY_POOL "%s", s->name, place, s->weight,
	                off ? " disabled" : "") < 0
	           ? NULL
	           : line;
}

static int save(struct round *r, const char *backend, bool add, struct err *err)
{
	char **lines = calloc(2 * r->nlive + 1, sizeof *lines);
	size_t n = 0;
	int rc = lines ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (size_t i = 0; rc == 0 && i < r->nlive; i++) {
		const struct haproxy_entry *e = &r->live[i];
		if (!e->server.ours || !*e->server.address || strcmp(e->backend, backend) != 0)
			continue;
		const bool slot = strcmp(e->real, e->server.name) != 0;
		if (slot && asprintf(&lines[n], "# as-lb slot %s %s", e->real, e->server.name) < 0)
			rc = err_set(err, ERR_TEMPORARY, "out of memory");
		n += slot && rc == 0;
		/* Twice the same name: in a slot and in a line of its own. */
		if (rc < 0 || (i && by_name(e, &r->live[i - 1]) == 0))
			continue;
		lines[n] = line_of(&e->server);
		if (!lines[n++])
			rc = err_set(err, ERR_TEMPORARY, "out of memory");
	}
	if (rc == 0)
		rc = haproxy_config_servers(&r->config, backend, lines, n, add && n, err);
	for (size_t i = 0; lines && i < n; i++)
		free(lines[i]);
	free(lines);
	return rc < 0 ? -1 : 0;
}

/* Every backend that has a server of ours. */
static int save_all(struct round *r, struct err *err)
{
	const char *last = "";

	for (size_t i = 0; i < r->nlive; i++) {
		if (!r->live[i].server.ours || strcmp(r->live[i].backend, last) == 0)
			continue;
		last = r->live[i].backend;
		if (save(r, last, true, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- does the file agree? ---- */

/* The name of the first server in the section's text that is not live, or that is live and not in it; "" none. */
static const char *odd_one(const struct round *r, const struct haproxy_section *s, char name[LB_NAME], bool *live)
{
	const char *at = r->config.text.p + s->from, *end = r->config.text.p + s->to;
	struct haproxy_line l;
	char place[64];

	*live = false;
	while (haproxy_next_line(&at, end, &l)) {
		if (sscanf(l.word, "server %63s %63s", name, place) == 2 && lb_is_ours(name) &&
		    !among(r->live, r->nlive, s->name, name))
			return name;
	}
	*live = true;
	for (size_t i = 0; i < r->nlive; i++) {
		const struct haproxy_entry *e = &r->live[i];
		if (!e->server.ours || strcmp(e->backend, s->name) != 0)
			continue;
		(void)snprintf(name, LB_NAME, "%s", e->server.name);
		if (!memmem(r->config.text.p + s->from, s->to - s->from, name, strlen(name)))
			return name;
	}
	name[0] = '\0';
	return name;
}

/* Would saving change the text? A drain that is under way may be saved or not. */
static int would_change(struct round *r, const char *backend, bool *yes, struct err *err)
{
	char *before = malloc(r->config.text.n + 1);
	const size_t n = r->config.text.n;
	int rc = before ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	*yes = true;
	if (before)
		memcpy(before, r->config.text.p, n);
	for (int tries = 0; rc == 0 && *yes && tries < 2; tries++) {
		for (size_t i = 0; tries && i < r->nlive; i++)
			if (r->live[i].server.state == LB_DRAIN)
				r->live[i].server.state = LB_UP;
		rc = save(r, backend, false, err);
		*yes = rc == 0 && (n != r->config.text.n || memcmp(before, r->config.text.p, n) != 0);
		haproxy_splice(&r->config, 0, r->config.text.n, before, n);
	}
	free(before);
	return rc;
}

/* Servers run there and nothing keeps them: is there a block for them at all? */
static bool has_no_block(const struct round *r, const struct haproxy_section *s)
{
	char marker[160];
	bool some = false;

	(void)snprintf(marker, sizeof marker, "# as-lb begin %s\n", s->name);
	for (size_t i = 0; i < r->nlive; i++)
		some = some || (r->live[i].server.ours && strcmp(r->live[i].backend, s->name) == 0);
	return some && !memmem(r->config.text.p + s->from, s->to - s->from, marker, strlen(marker));
}

static void tell_no_block(const struct round *r, const struct haproxy_section *s, const struct findings *to)
{
	const char *file = r->lb->peer.conf->config;
	char found[FINDING_TEXT];

	(void)snprintf(found, sizeof found,
	               "backend %s has servers of ours, and %s no markers there: a restart forgets them", s->name, file);
	finding_bad(to, FINDING_WARN, "saved servers", found,
	            "add the lines `# as-lb begin %s` and `# as-lb end %s` to that backend in %s; then " LB_SYNC, s->name,
	            s->name, file);
}

static void tell_difference(const struct round *r, const struct haproxy_section *s, const struct findings *to)
{
	char found[FINDING_TEXT], name[LB_NAME];
	bool live, some = false;

	for (size_t i = 0; i < r->nlive; i++)
		some = some || (r->live[i].server.ours && strcmp(r->live[i].backend, s->name) == 0);
	const char *odd = odd_one(r, s, name, &live);
	(void)snprintf(found, sizeof found, "backend %s: what %s keeps between its markers is not what runs (%s%s)",
	               s->name, r->lb->peer.conf->config, *odd ? odd : "other weights, addresses or slots",
	               !*odd  ? ""
	               : live ? " runs and is not in it"
	                      : " is in it and does not run");
	if (some)
		finding_bad(to, FINDING_FAIL, "saved servers", found, LB_SYNC);
	else
		finding_bad(
			to, FINDING_FAIL, "saved servers", found,
			"no server of ours runs there: take the lines between `# as-lb begin %s` and `# as-lb end %s` out of "
			"%s, or reload HAProxy if it shall have them",
			s->name, s->name, r->config.file);
}

int haproxy_agrees(struct lb *lb, const struct haproxy_config *c, const struct findings *to, struct err *err)
{
	struct round r = {.lb = lb, .config = *c};
	struct haproxy_section s;
	size_t at = 0, bad = 0, sections = 0;
	bool differs;

	int rc = look(lb, NULL, &r.live, &r.nlive, err);
	if (rc == 0)
		rc = haproxy_name_slots(&r.config, r.live, r.nlive, err);
	if (r.nlive)
		qsort(r.live, r.nlive, sizeof *r.live, by_name);
	r.config.text = (struct buf)BUF_INIT(DOCUMENT_MAX);
	buf_put(&r.config.text, c->old.p ? c->old.p : "", c->old.n);
	while (rc == 0 && haproxy_next_section(&r.config, NULL, NULL, &at, &s)) {
		if (!lb_safe_name(s.name))
			continue;
		rc = would_change(&r, s.name, &differs, err);
		sections++;
		bad += rc == 0 && differs;
		if (rc == 0 && differs)
			tell_difference(&r, &s, to);
		else if (rc == 0 && has_no_block(&r, &s) && ++bad)
			tell_no_block(&r, &s, to);
	}
	if (rc == 0 && !bad)
		finding_ok(to, "saved servers", "what %s keeps is what runs, in %zu backend%s", c->file, sections,
		           sections == 1 ? "" : "s");
	free(r.live);
	buf_release(&r.config.text);
	return rc;
}

/* ---- one change ---- */

static int apply_save(struct round *r, struct haproxy_change *c)
{
	if (c->up) {
		const struct haproxy_entry *e = among(r->live, r->nlive, c->backend, c->up->name);
		c->lost = !e || (e->server.state != LB_UP && e->server.state != LB_DOWN);
	}
	return save(r, c->backend, false, &c->err);
}

/* Into the file first: a run that is killed then has a name for the slot, which is still free. */
static int apply_slot(struct round *r, struct haproxy_change *c)
{
	struct haproxy_entry *e = haproxy_free_slot(r->lb, &r->config, c->backend, c->up->name, r->live, r->nlive, &c->err);

	if (!e)
		return -1;
	const unsigned weight = e->server.weight;
	(void)snprintf(c->slot, sizeof c->slot, "%s", e->real);
	e->server = *c->up;
	e->server.weight = weight;
	e->server.state = LB_MAINT;
	e->server.ours = true;
	qsort(r->live, r->nlive, sizeof *r->live, by_name);
	return save(r, c->backend, true, &c->err);
}

static int apply_rule(struct round *r, struct haproxy_change *c)
{
	const char *frontend = r->lb->peer.conf->frontend;
	const size_t n = r->config.text.n;
	char *before = malloc(n + 1);

	if (!before)
		return err_set(&c->err, ERR_TEMPORARY, "out of memory");
	memcpy(before, r->config.text.p, n);
	int rc = c->what == HAPROXY_ENSURE
	             ? haproxy_config_ensure(&r->config, frontend, c->backend, c->route, is_running(r, c->backend), &c->err)
	             : haproxy_config_forget(&r->config, frontend, c->backend, &c->err);
	c->already = rc == 0 && n == r->config.text.n && memcmp(before, r->config.text.p, n) == 0;
	for (size_t i = 0; rc == 0 && !c->already && c->what == HAPROXY_FORGET && i < r->nlive; i++)
		if (strcmp(r->live[i].backend, c->backend) == 0)
			rc = err_set(&c->err, ERR_CONFLICT, "backend %s still has servers, such as %s", c->backend,
			             r->live[i].server.name);
	/* A run that was killed before its reload left it in the file only. */
	if (rc == 0 && (r->pending || (c->what == HAPROXY_ENSURE && !is_running(r, c->backend))))
		c->already = false;
	if (rc == 0 && !c->already)
		r->reload = true;
	if (rc < 0) /* as it was; this change alone is left out */
		haproxy_splice(&r->config, 0, r->config.text.n, before, n);
	free(before);
	return rc;
}

static int apply(struct round *r, struct haproxy_change *c)
{
	switch (c->what) {
	case HAPROXY_SAVE: return apply_save(r, c);
	case HAPROXY_SLOT: return apply_slot(r, c);
	default: return apply_rule(r, c);
	}
}

/* ---- all of them ---- */

static bool wants_rules(const struct haproxy_change *changes)
{
	for (; changes; changes = changes->next)
		if (changes->what == HAPROXY_ENSURE || changes->what == HAPROXY_FORGET)
			return true;
	return false;
}

static bool has_no_master(const struct lb *lb, struct err *err)
{
	if (lb->peer.conf->master)
		return false;
	(void)err_set(err, ERR_CONFIG,
	              "HAProxy has to reload for a new backend or rule: set `master` in [lb \"%s\"] to its master socket "
	              "(`haproxy -W -S PATH`)",
	              lb->peer.conf->name);
	return true;
}

/* What was drained or in maintenance, ours or not, is so again; and nothing of ours is missing. */
static int restore(struct round *r, struct err *err)
{
	static const char *const states[] = {[LB_DRAIN] = "drain", [LB_MAINT] = "maint"};
	struct haproxy_entry *now;
	size_t n;

	int rc = look(r->lb, NULL, &now, &n, err);
	for (size_t i = 0; rc == 0 && i < r->nlive; i++) {
		const struct haproxy_entry *was = &r->live[i];
		const struct lb_server *s = &was->server;
		const struct haproxy_entry *is = among(now, n, was->backend, s->name);
		if (!is && s->ours && *s->address)
			rc = err_set(err, ERR_REMOTE, "backend %s: server %s is gone after the reload", was->backend, s->name);
		if (!is || is->server.state == s->state || (s->state != LB_DRAIN && s->state != LB_MAINT) ||
		    !lb_safe_name(is->real))
			continue;
		/* Ours came in maintenance: somebody let it in meanwhile. */
		if (s->ours && is->server.state != LB_MAINT)
			continue;
		rc = haproxy_order(&r->lb->peer, was->backend, err, "set server %s/%s state %s", was->backend, is->real,
		                   states[s->state]);
	}
	free(now);
	return rc;
}

/* The new text into its place and, when the round has to, into HAProxy. What HAProxy does not take is put back. */
static int take(struct round *r, struct err *err)
{
	struct err fault = {0};

	if (r->reload &&
	    (has_no_master(r->lb, err) || save_all(r, err) < 0 || haproxy_config_set_pending(&r->config, true, err) < 0))
		return -1;
	if (haproxy_config_commit(&r->config, err) < 0)
		return -1;
	if (!r->reload)
		return 0;
	if (haproxy_reload(r->lb, err) < 0) {
		if (haproxy_config_put_back(&r->config, &fault) < 0)
			(void)err_prefix(err, "%s; and before", fault.message);
		return -1;
	}
	if (restore(r, err) < 0)
		return -1;
	return haproxy_config_set_pending(&r->config, false, err);
}

/* The backend whose servers are all that the round is about; NULL: there are several, or a reload takes all. */
static const char *only_one(const struct haproxy_change *changes)
{
	for (const struct haproxy_change *c = changes; c; c = c->next)
		if (c->what == HAPROXY_ENSURE || c->what == HAPROXY_FORGET || strcmp(c->backend, changes->backend) != 0)
			return NULL;
	return changes->backend;
}

static int carry_out(struct round *r, struct haproxy_change *changes, struct err *err)
{
	struct lb *lb = r->lb;

	if (haproxy_config_open(&r->config, lb->peer.tasks, lb->peer.conf->config, err) < 0)
		return -1;
	r->pending = haproxy_config_pending(&r->config);
	r->reload = r->pending && wants_rules(changes);
	if (look(lb, only_one(changes), &r->live, &r->nlive, err) < 0 ||
	    haproxy_name_slots(&r->config, r->live, r->nlive, err) < 0 ||
	    (wants_rules(changes) && look_for_backends(r, err) < 0))
		return -1;
	if (r->nlive)
		qsort(r->live, r->nlive, sizeof *r->live, by_name);
	for (struct haproxy_change *c = changes; c; c = c->next)
		(void)apply(r, c);
	int rc = take(r, err);
	for (struct haproxy_change *c = changes; rc == 0 && c; c = c->next)
		if (c->what == HAPROXY_SLOT && !c->err.code && r->reload) /* it came back by its own name */
			(void)snprintf(c->slot, sizeof c->slot, "%s", c->up->name);
		else if (c->what == HAPROXY_SLOT && !c->err.code)
			(void)haproxy_fill_slot(lb, c->backend, c->slot, c->up, &c->err);
	struct err fault = {0};
	if (rc < 0 && r->reload && !r->pending && err->code == ERR_REFUSED)
		(void)haproxy_config_set_pending(&r->config, false, &fault); /* the old file is what runs */
	return rc;
}

static void run(struct lb *lb, struct haproxy_change *changes)
{
	struct round r = {.lb = lb, .config = {.lock = -1}};
	struct err err = {0}, why = {0};

	const int rc = carry_out(&r, changes, &err);
	const bool rules = wants_rules(changes);
	/* Whose fault is it? With a file that HAProxy did not take before either, everybody fails. */
	const bool alone =
		rc < 0 && err.code == ERR_REFUSED && rules && changes->next && haproxy_config_check(&r.config, &why) == 0;
	haproxy_config_close(&r.config);
	free(r.live);
	lb_names_release(&r.backends);
	for (struct haproxy_change *c = changes, *next; c; c = next) {
		next = c->next;
		c->next = NULL;
		if (alone && !c->err.code) {
			run(lb, c);
			continue;
		}
		if (rc < 0 && !c->err.code)
			c->err = err;
		c->done = true;
	}
}

static int is_there(struct lb *lb, struct haproxy_change *change, struct err *err);

int haproxy_change(struct lb *lb, struct haproxy_change *change, struct err *err)
{
	struct haproxy_change **end = &lb->waiting;

	change->done = change->already = change->lost = false;
	change->err = (struct err){0};
	change->next = NULL;
	if (!lb->peer.conf->config)
		return is_there(lb, change, err);
	while (*end)
		end = &(*end)->next;
	*end = change;
	if (change->what == HAPROXY_ENSURE || change->what == HAPROXY_FORGET)
		tasks_sleep(lb->peer.tasks, GATHER_MS);
	tasks_enter(lb->peer.tasks, &lb->gate);
	if (!change->done) {
		struct haproxy_change *all = lb->waiting;
		lb->waiting = NULL;
		run(lb, all);
	}
	tasks_leave(lb->peer.tasks, &lb->gate);
	if (!change->err.code)
		return 0;
	*err = change->err;
	if (change->what == HAPROXY_SAVE || strncmp(err->message, "lb ", 3) == 0)
		return -1;
	return err_prefix(err, "lb %s", lb->peer.conf->name);
}

/* Without `config` nothing can be made, and nothing of ours is there. */
static int is_there(struct lb *lb, struct haproxy_change *change, struct err *err)
{
	struct haproxy_table t;

	change->already = true;
	if (change->what != HAPROXY_ENSURE)
		return 0;
	const int rc = haproxy_stats(&lb->peer, change->backend, &t, err);
	haproxy_table_release(&t);
	if (rc < 0 && err->code != ERR_NOT_FOUND)
		return -1;
	if (rc == 0 && (!change->route->rule || !change->route->rule->n))
		return 0;
	return err_set(err, ERR_CONFIG,
	               "lb %s: backend %s: for a new backend or rule set `config` and `master` in [lb \"%s\"]: HAProxy's "
	               "configuration file and its master socket",
	               lb->peer.conf->name, change->backend, lb->peer.conf->name);
}

int haproxy_made(struct lb *lb, struct lb_names *out, struct err *err)
{
	struct haproxy_config c;
	struct err ignored;

	int rc = haproxy_config_read(&c, lb->peer.conf->config, &ignored);
	rc = rc < 0 ? 0 /* nothing is known to be made */ : haproxy_config_made(&c, out, err);
	struct haproxy_slot *slots = NULL;
	size_t n = 0;
	if (rc == 0)
		rc = haproxy_config_slots(&c, &slots, &n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (lb_safe_name(slots[i].backend))
			rc = lb_names_add(out, slots[i].backend, err);
	free(slots);
	haproxy_config_close(&c);
	return rc;
}
