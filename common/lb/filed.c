#include "lb/filed.h"

#include "base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define LOCK_NAME ".as-lb.lock"
#define FILES_MAX 4096 /* of one round */

/* ---- one file ---- */

static bool is_reserved(const struct filed_kind *kind, const char *backend)
{
	for (const char *const *r = kind->reserved; r && *r; r++)
		if (strcmp(*r, backend) == 0)
			return true;
	return false;
}

static void path_of(const struct filed_folder *folder, const char *backend, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s%s%s", folder->path, folder->kind->prefix, backend, folder->kind->suffix);
}

/* Hidden and with another ending: no include pattern and no watcher takes it for one of the files. */
static void temp_of(const struct filed_folder *folder, const char *backend, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s%s%s%s%s.as-lb", folder->temp ? folder->temp : folder->path,
	               folder->temp ? "" : "/.", folder->kind->prefix, backend, folder->kind->suffix);
}

int lb_filed_add(struct filed *f, const struct lb_server *server, struct err *err)
{
	size_t at = 0;

	while (at < f->list.n && strcmp(f->list.v[at].name, server->name) < 0)
		at++;
	if (at < f->list.n && strcmp(f->list.v[at].name, server->name) == 0)
		return err_set(err, ERR_CONFIG, "it lists %s twice", server->name);
	struct lb_server *more = realloc(f->list.v, (f->list.n + 1) * sizeof *more);
	if (!more)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	f->list.v = more;
	memmove(more + at + 1, more + at, (f->list.n - at) * sizeof *more);
	more[at] = *server;
	more[at].ours = lb_is_ours(server->name);
	f->list.n++;
	return 0;
}

void lb_filed_release(struct filed *f)
{
	lb_list_release(&f->list);
	buf_release(&f->old);
	buf_release(&f->text);
}

/* 0 also when there is no such file; then `there` is false. */
static int load(const struct filed_folder *folder, const char *backend, struct filed *f, struct err *err)
{
	char path[PATH_MAX];

	*f = (struct filed){.old = BUF_INIT(DOCUMENT_MAX), .text = BUF_INIT(DOCUMENT_MAX)};
	(void)snprintf(f->backend, sizeof f->backend, "%s", backend);
	path_of(folder, backend, path);
	if (lb_file_read(path, &f->old, &f->st, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : err_prefix(err, "lb %s", folder->conf->name);
	f->there = true;
	if (folder->kind->parse(folder->lb, f->old.p ? f->old.p : "", f, err) < 0)
		return err_prefix(err, "lb %s: %s", folder->conf->name, path);
	return 0;
}

static int no_backend(const struct filed_folder *folder, const char *backend, struct err *err)
{
	char path[PATH_MAX];

	path_of(folder, backend, path);
	return err_set(err, ERR_NOT_FOUND, "lb %s: backend %s: No such backend: there is no %s", folder->conf->name,
	               backend, path);
}

static int check_backend(const struct filed_folder *folder, const char *backend, struct err *err)
{
	if (lb_check_names(folder->conf, backend, NULL, err) < 0)
		return -1;
	if (is_reserved(folder->kind, backend))
		return err_set(err, ERR_REFUSED, "lb %s: no backend may have the name %s", folder->conf->name, backend);
	return 0;
}

int lb_filed_read(struct filed_folder *folder, const char *backend, struct filed *f, struct err *err)
{
	*f = (struct filed){.backend = ""};
	if (check_backend(folder, backend, err) < 0)
		return -1;
	const int rc = load(folder, backend, f, err);
	if (rc == 0 && f->there)
		return 0;
	lb_filed_release(f);
	*f = (struct filed){.backend = ""};
	return rc < 0 ? -1 : no_backend(folder, backend, err);
}

bool lb_filed_is_ours(const struct filed *f)
{
	bool ours = f->made || f->rule.n;

	for (size_t i = 0; i < f->list.n; i++)
		ours = ours || f->list.v[i].ours;
	return ours;
}

int lb_filed_backends(struct filed_folder *folder, struct lb_names *out, struct err *err)
{
	const size_t before = strlen(folder->kind->prefix), after = strlen(folder->kind->suffix);
	const struct dirent *entry;
	int rc = 0;

	*out = (struct lb_names){0};
	DIR *dir = opendir(folder->path);
	if (!dir)
		return err_set(err, errno == ENOENT ? ERR_CONFIG : ERR_DENIED, "lb %s: cannot read the folder %s: %s",
		               folder->conf->name, folder->path, strerror(errno));
	while (rc == 0 && (entry = readdir(dir))) {
		char name[LB_NAME];
		const size_t n = strlen(entry->d_name);
		if (n <= before + after || n - before - after >= sizeof name ||
		    strncmp(entry->d_name, folder->kind->prefix, before) != 0 ||
		    strcmp(entry->d_name + n - after, folder->kind->suffix) != 0)
			continue;
		(void)snprintf(name, sizeof name, "%.*s", (int)(n - before - after), entry->d_name + before);
		if (lb_safe_name(name) && !is_reserved(folder->kind, name))
			rc = lb_names_add(out, name, err);
	}
	(void)closedir(dir);
	if (rc < 0)
		lb_names_release(out);
	return rc;
}

/* ---- one change to what was read ---- */

static struct lb_server *find(struct filed *f, const char *name)
{
	for (size_t i = 0; i < f->list.n; i++)
		if (strcmp(f->list.v[i].name, name) == 0)
			return &f->list.v[i];
	return NULL;
}

static int put(const struct filed_folder *folder, struct filed *f, struct filed_change *c, struct err *err)
{
	struct lb_server want;

	if (lb_check_server(folder->conf, c->server, &want, err) < 0)
		return -1;
	if (!f->there && !c->may_create)
		return no_backend(folder, f->backend, err);
	struct lb_server *is = find(f, want.name);
	if (is)
		c->was = *is;
	c->already = is && lb_same_place(is, &want) && is->weight == want.weight && is->state == want.state;
	if (c->already)
		return 0;
	f->changed = f->there = true;
	if (!is)
		return lb_filed_add(f, &want, err);
	want.ours = is->ours;
	*is = want;
	return 0;
}

static int out_or_drain(struct filed *f, struct filed_change *c)
{
	struct lb_server *is = find(f, c->name);

	if (is)
		c->was = *is;
	c->already = !is || (c->what == FILED_DRAIN && is->state == LB_DRAIN);
	if (c->already)
		return 0;
	f->changed = true;
	if (c->what == FILED_DRAIN) {
		is->state = LB_DRAIN;
	} else {
		const size_t at = (size_t)(is - f->list.v);
		memmove(is, is + 1, (f->list.n - at - 1) * sizeof *is);
		f->list.n--;
	}
	return 0;
}

static int ensure(const struct filed_folder *folder, struct filed *f, struct filed_change *c, struct err *err)
{
	static const struct rule none;
	const struct rule *rule = c->route->rule ? c->route->rule : &none;

	if (!lb_safe_check(c->route->check))
		return err_set(err, ERR_REFUSED, "lb %s: backend %s: its check is no plain path", folder->conf->name,
		               f->backend);
	if (!f->there)
		f->made = f->there = f->changed = true;
	if (f->made && strcmp(f->check, c->route->check) != 0) {
		(void)snprintf(f->check, sizeof f->check, "%s", c->route->check);
		f->changed = true;
	}
	if (!rule_same(&f->rule, rule)) {
		f->rule = *rule;
		f->changed = true;
	}
	c->already = !f->changed;
	return 0;
}

static int forget(const struct filed_folder *folder, struct filed *f, struct filed_change *c, struct err *err)
{
	c->already = !f->there || (!f->made && !f->rule.n);
	if (c->already)
		return 0;
	if (f->list.n)
		return err_set(err, ERR_CONFLICT, "lb %s: backend %s still has servers, such as %s", folder->conf->name,
		               f->backend, f->list.v[0].name);
	f->rule.n = 0;
	f->changed = true;
	f->there = !f->made;
	return 0;
}

static int apply(const struct filed_folder *folder, struct filed *f, struct filed_change *c, struct err *err)
{
	switch (c->what) {
	case FILED_PUT: return put(folder, f, c, err);
	case FILED_ENSURE: return ensure(folder, f, c, err);
	case FILED_FORGET: return forget(folder, f, c, err);
	case FILED_DRAIN:
	case FILED_TAKE: break;
	}
	return f->there ? out_or_drain(f, c) : no_backend(folder, f->backend, err);
}

/* ---- a round ---- */

struct round {
	struct filed_folder *folder;
	struct filed *all;   /* the files that changes name, in the order of their first change */
	struct filed **list; /* the same, as an array */
	size_t n;
	bool changed;
};

static struct filed *file_of(struct round *r, struct filed_change *c)
{
	struct filed **at = &r->all;

	for (; *at; at = &(*at)->next)
		if (strcmp((*at)->backend, c->backend) == 0)
			return *at;
	struct filed *f = r->n < FILES_MAX ? calloc(1, sizeof *f) : NULL;
	if (!f) {
		err_set(&c->err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	if (load(r->folder, c->backend, f, &c->err) < 0) {
		lb_filed_release(f);
		free(f);
		return NULL;
	}
	c->err = (struct err){0};
	*at = f;
	r->n++;
	return f;
}

static void apply_all(struct round *r, struct filed_change *changes)
{
	for (struct filed_change *c = changes; c; c = c->next) {
		if (check_backend(r->folder, c->backend, &c->err) < 0)
			continue;
		struct filed *f = file_of(r, c);
		if (f)
			(void)apply(r->folder, f, c, &c->err);
		if (f && f->changed)
			r->changed = true;
	}
}

/* The new bytes of every changed file beside its old ones, so that nothing but renames can fail later. */
static int write_temps(struct round *r, struct err *err)
{
	char temp[PATH_MAX];

	for (size_t i = 0; i < r->n; i++) {
		struct filed *f = r->list[i];
		if (!f->changed || !f->there)
			continue;
		f->version++;
		if (r->folder->kind->render(r->folder->lb, f, &f->text, err) < 0 || buf_ok(&f->text, err) < 0)
			return err_prefix(err, "lb %s: backend %s", r->folder->conf->name, f->backend);
		temp_of(r->folder, f->backend, temp);
		if (lb_file_write(temp, &f->text, f->old.p ? &f->st : NULL, err) < 0)
			return err_prefix(err, "lb %s", r->folder->conf->name);
	}
	return 0;
}

static void drop_temps(struct round *r)
{
	char temp[PATH_MAX];

	for (size_t i = 0; i < r->n; i++) {
		temp_of(r->folder, r->list[i]->backend, temp);
		(void)unlink(temp);
	}
}

static int move_in(struct round *r, struct err *err)
{
	char temp[PATH_MAX], path[PATH_MAX];

	for (size_t i = 0; i < r->n; i++) {
		struct filed *f = r->list[i];
		path_of(r->folder, f->backend, path);
		temp_of(r->folder, f->backend, temp);
		f->gone = !f->there;
		if (!f->changed)
			continue;
		if ((f->there ? lb_file_rename(temp, path, err) : lb_file_remove(path, err)) < 0)
			return err_prefix(err, "lb %s", r->folder->conf->name);
	}
	return 0;
}

/* The old bytes again, where all failed (`all`) or the file itself was refused. */
static void put_back(struct round *r, bool all)
{
	char temp[PATH_MAX], path[PATH_MAX];
	bool some = false;

	for (size_t i = 0; i < r->n; i++) {
		struct filed *f = r->list[i];
		struct err why = {0};
		if (!f->changed || (!all && !f->err.code))
			continue;
		path_of(r->folder, f->backend, path);
		temp_of(r->folder, f->backend, temp);
		const bool was = f->st.st_ino != 0; /* 0: it was not there */
		const int rc = !was                                             ? lb_file_remove(path, &why)
		               : lb_file_write(temp, &f->old, &f->st, &why) < 0 ? -1
		                                                                : lb_file_rename(temp, path, &why);
		if (rc < 0 && f->err.code)
			(void)err_prefix(&f->err, "%s; and before", why.message);
		some = true;
	}
	if (some && r->folder->kind->put_back)
		r->folder->kind->put_back(r->folder->lb, r->list, r->n);
}

static int carry_out(struct round *r, struct err *err)
{
	const struct filed_kind *kind = r->folder->kind;

	if (!r->n)
		return 0;
	if (r->changed && kind->before && kind->before(r->folder->lb, err) < 0)
		return -1;
	if (write_temps(r, err) < 0) {
		drop_temps(r);
		return -1;
	}
	int rc = move_in(r, err);
	if (rc == 0)
		rc = kind->take(r->folder->lb, r->list, r->n, err);
	if (rc < 0)
		drop_temps(r);
	put_back(r, rc < 0);
	return rc;
}

static void run(struct filed_folder *folder, struct filed_change *changes)
{
	struct round r = {.folder = folder};
	char lock[PATH_MAX];
	struct err err = {0};
	int rc = -1;

	(void)snprintf(lock, sizeof lock, "%s/" LOCK_NAME, folder->path);
	const int fd = lb_file_lock(folder->tasks, lock, &err);
	if (fd < 0) {
		err_prefix(&err, "lb %s", folder->conf->name);
	} else {
		apply_all(&r, changes);
		if (r.n && !(r.list = calloc(r.n, sizeof *r.list)))
			err_set(&err, ERR_TEMPORARY, "out of memory");
		else {
			size_t i = 0;
			for (struct filed *f = r.all; f; f = f->next)
				r.list[i++] = f;
			rc = carry_out(&r, &err);
		}
		(void)close(fd);
	}
	for (struct filed_change *c = changes; c; c = c->next) {
		for (struct filed *f = r.all; f && !c->err.code; f = f->next)
			if (f->err.code && strcmp(f->backend, c->backend) == 0)
				c->err = f->err;
		if (rc < 0 && !c->err.code)
			c->err = err;
		c->done = true;
	}
	for (struct filed *f = r.all, *next; f; f = next) {
		next = f->next;
		lb_filed_release(f);
		free(f);
	}
	free(r.list);
}

int lb_filed_path(const struct conf_lb *conf, char out[PATH_MAX], struct err *err)
{
	const char *path = conf->folder ? conf->folder : conf->config;
	struct stat st;

	if (!path || !*path)
		return 0;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFIG, "[lb \"%s\"]: %s is no folder: `folder` is the one that %s watches", conf->name,
		               path, conf->driver);
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	(void)snprintf(out, PATH_MAX, "%.*s", (int)n, path);
	return 1;
}

int lb_filed_change(struct filed_folder *folder, struct filed_change *change, struct err *err)
{
	struct filed_change **end = &folder->waiting;

	while (*end)
		end = &(*end)->next;
	*end = change;
	change->next = NULL;
	change->done = change->already = false;
	change->err = (struct err){0};
	change->was = (struct lb_server){.name = ""};
	if (folder->gather_ms)
		tasks_sleep(folder->tasks, folder->gather_ms);
	folder->gate.width = 1;
	tasks_enter(folder->tasks, &folder->gate);
	if (!change->done) {
		struct filed_change *all = folder->waiting;
		folder->waiting = NULL;
		run(folder, all);
	}
	tasks_leave(folder->tasks, &folder->gate);
	if (!change->err.code)
		return 0;
	*err = change->err;
	return -1;
}

/* No server has that name, so that no file is changed; but the load balancer is made to use what is there. */
int lb_filed_agree(struct filed_folder *folder, const char *backend, struct err *err)
{
	struct filed_change change = {.what = FILED_DRAIN, .backend = backend, .name = ""};
	struct err why = {0};

	if (lb_filed_change(folder, &change, &why) == 0 || why.code == ERR_NOT_FOUND)
		return 0;
	*err = why;
	return -1;
}

/* ---- trying ---- */

void lb_filed_try(const struct filed_folder *folder, const struct findings *to)
{
	const struct buf text = BUF_INIT(0);
	char path[PATH_MAX];
	struct err err;

	(void)snprintf(path, sizeof path, "%s/" LOCK_NAME, folder->path);
	int rc = lb_file_may_lock(path, &err);
	temp_of(folder, "_try", path);
	if (rc == 0 && (rc = lb_file_write(path, &text, NULL, &err)) == 0)
		(void)unlink(path);
	if (rc == 0)
		finding_ok(to, "writing", "files can be written in %s", folder->path);
	else
		finding_failed(
			to, "writing", &err,
			"give this user (uid %lu) the folder %s and what is in it: chown -R, or chgrp -R and chmod -R g+w",
			(unsigned long)geteuid(), folder->path);
}
