/* The image of a copy, on the host that the copy is to run on: there, pulled, or copied from the source's host. */
#include "cmd/as-clone/clone.h"

#include "base/clock.h"
#include "cmd/front/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define PULLS_MAX 4    /* names of an image that are tried */
#define SAY_EVERY 2000 /* ms between two lines of progress */

/* An image on its way to a host. */
struct move {
	struct clone *c;
	const struct engine_host *to, *from; /* from NULL: the source's host is not known */
	const char *name, *id;               /* as the source was made from it */
	json_t *source;                      /* the image at the source's host; NULL: it is not there any more */
	char *there;                         /* 80 bytes: its id on `to` */
	json_t **config;                     /* its configuration there */
	int64_t said;                        /* when progress was told last */
};

/* ---- looking ---- */

static const char *text_of(const json_t *doc, const char *name)
{
	const char *text = json_string_value(json_object_get(doc, name));

	return text ? text : "";
}

/* Ids differ between the two ways in which engines store images; the layers, and what they are for, do not. */
static bool same_image(const json_t *a, const json_t *b)
{
	const json_t *layers = json_object_get(json_object_get(a, "RootFS"), "Layers");

	return json_array_size(layers) && json_equal(layers, json_object_get(json_object_get(b, "RootFS"), "Layers")) &&
	       strcmp(text_of(a, "Os"), text_of(b, "Os")) == 0 &&
	       strcmp(text_of(a, "Architecture"), text_of(b, "Architecture")) == 0;
}

/* The image by its id. NOT_FOUND: it is not there. */
static int look(struct move *m, struct err *err)
{
	json_t *doc = NULL;

	if (m->to->driver->image_inspect(m->to->engine, m->id, &doc, err) < 0)
		return -1;
	(void)snprintf(m->there, 80, "%s", text_of(doc, "Id"));
	json_decref(*m->config);
	*m->config = json_incref(json_object_get(doc, "Config"));
	json_decref(doc);
	return 0;
}

/* After an engine said that all went well. `came`: what it calls the image, "" when it did not tell. */
static int verify(struct move *m, const char *came, struct err *err)
{
	json_t *doc = NULL;
	struct err why = {0};

	if (look(m, &why) == 0)
		return 0;
	if (why.code != ERR_NOT_FOUND) {
		*err = why;
		return -1;
	}
	if (*came && m->to->driver->image_inspect(m->to->engine, came, &doc, &why) == 0 && same_image(m->source, doc))
		(void)snprintf(m->there, 80, "%s", text_of(doc, "Id"));
	json_decref(doc);
	return *m->there
	           ? 0
	           : err_set(err, ERR_REMOTE, "host %s: what came as image %s is not the image %.19s that was asked for",
	                     m->to->host->name, m->name, m->id);
}

/* ---- names ---- */

/* NAME:TAG of a name that may lack a tag; "" of an id or a digest. */
static void with_tag(const struct move *m, char *out, size_t size)
{
	const char *slash = strrchr(m->name, '/'), *hex = strchr(m->id, ':');
	const bool named = *m->name && !strchr(m->name, '@') && strncmp(m->name, "sha256:", 7) != 0 &&
	                   !(hex && strlen(m->name) >= 12 && strncmp(hex + 1, m->name, strlen(m->name)) == 0);

	(void)snprintf(out, size, "%s%s", named ? m->name : "",
	               !named || strchr(slash ? slash : m->name, ':') ? "" : ":latest");
}

/* The engine lists names of Docker's own registry without it. */
static const char *short_name(const char *name)
{
	static const char *const prefixes[] = {"docker.io/library/", "docker.io/"};

	for (size_t i = 0; i < 2; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return name + strlen(prefixes[i]);
	return name;
}

/* Gives the image its name on the new host, if it has it on the old one and no other image has it on the new. */
static void name_it(struct move *m)
{
	const json_t *tags = json_object_get(m->source, "RepoTags");
	char name[512], id[80];
	struct err err = {0};
	bool has = false;

	with_tag(m, name, sizeof name);
	for (size_t i = 0; *name && i < json_array_size(tags); i++) {
		const char *tag = json_string_value(json_array_get(tags, i));
		has = has || (tag && strcmp(short_name(tag), short_name(name)) == 0);
	}
	if (!has || m->to->driver->image_id(m->to->engine, name, id, &err) == 0 || err.code != ERR_NOT_FOUND)
		return;
	if (m->to->driver->image_tag(m->to->engine, m->there, name, &err) < 0)
		front_say(&m->c->f, "image %s has no name there: %s", name, err.message);
}

/* ---- progress ---- */

static void tell(void *ctx, const char *text)
{
	struct move *m = ctx;
	const int64_t now = clock_monotonic_ms();

	if (now - m->said < SAY_EVERY)
		return;
	m->said = now;
	front_say(&m->c->f, "host %s: image %s: %s", m->to->host->name, m->name, text);
}

/* ---- pull ---- */

/* Where the docker command of the same user keeps its logins; "": nowhere. */
static void login_folder(char *out, size_t size)
{
	const char *given = getenv("DOCKER_CONFIG"), *home = getenv("HOME");

	if (given && *given)
		(void)snprintf(out, size, "%s", given);
	else
		(void)snprintf(out, size, "%s%s", home ? home : "", home && *home ? "/.docker" : "");
}

/* A login that cannot be had matters only to a registry that wants one. */
static int pull_one(struct move *m, const char *ref, struct err *err)
{
	const struct image_watch watch = {.fn = tell, .ctx = m};
	struct buf login = BUF_INIT(LINE_MAX_BYTES);
	struct err none = {0};
	char folder[4096];

	login_folder(folder, sizeof folder);
	if (*folder && credentials_find(m->c->hosts.tasks, folder, ref, &login, &none) < 0) {
		front_say(&m->c->f, "%s", none.message);
		buf_reset(&login);
	}
	front_say(&m->c->f, "host %s: pulling %s%s", m->to->host->name, ref, login.n ? " with its login" : "");
	const int bad = m->to->driver->image_pull(m->to->engine, ref, login.n ? login.p : "", &watch, err);
	buf_release(&login);
	if (bad && none.code && err->code == ERR_DENIED)
		*err = none;
	return bad ? -1 : verify(m, ref, err);
}

/* Repositories first that the source's name is of. */
static size_t digests_of(const struct move *m, const char *refs[PULLS_MAX])
{
	const json_t *list = json_object_get(m->source, "RepoDigests");
	char name[512];
	size_t n = 0;

	with_tag(m, name, sizeof name);
	const char *colon = strrchr(name, ':');
	const size_t len = colon ? (size_t)(colon - name) : 0;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < json_array_size(list) && n < PULLS_MAX; i++) {
			const char *ref = json_string_value(json_array_get(list, i));
			const bool own = ref && len && strncmp(ref, name, len) == 0 && ref[len] == '@';
			if (ref && strchr(ref, '@') && *ref != '<' && own == (pass == 0)) /* "<none>@<none>" is none */
				refs[n++] = ref;
		}
	return n;
}

/* NOT_FOUND without a try: no registry is known to have it. */
static int pull(struct move *m, bool *tried, struct err *err)
{
	const char *refs[PULLS_MAX];
	const size_t n = digests_of(m, refs);

	*tried = n > 0;
	for (size_t i = 0; i < n; i++) {
		if (pull_one(m, refs[i], err) == 0)
			return 0;
		if (i + 1 < n)
			front_say(&m->c->f, "%s", err->message);
	}
	return -1;
}

/* The container is gone and so is its image: the registry may have it still under its name. A name that another image
 * has on the host stays with that. */
static int pull_by_name(struct move *m, bool *tried, struct err *err)
{
	char name[512], id[80];
	struct err why = {0};

	with_tag(m, name, sizeof name);
	*tried = *name && m->to->driver->image_id(m->to->engine, name, id, &why) < 0 && why.code == ERR_NOT_FOUND;
	return *tried ? pull_one(m, name, err) : -1;
}

/* ---- from host to host ---- */

/* A file that goes with the process, whatever ends it. */
static int open_temporary(struct err *err)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];

	if (!folder || !*folder)
		folder = "/tmp";
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		(void)snprintf(path, sizeof path, "%s/as-clone.XXXXXX", folder);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			(void)unlink(path);
	}
	return fd >= 0 ? fd : err_set(err, ERR_TEMPORARY, "no temporary file in %s: %s", folder, strerror(errno));
}

static int transfer(struct move *m, struct err *err)
{
	const struct image_watch watch = {.fn = tell, .ctx = m};
	const char *id = text_of(m->source, "Id");
	char came[80] = "";
	const int fd = open_temporary(err);

	front_say(&m->c->f, "host %s: copying image %s from host %s", m->to->host->name, m->name, m->from->host->name);
	int bad = fd < 0 ? -1 : m->from->driver->image_save(m->from->engine, id, fd, &watch, err);
	if (!bad)
		bad = m->to->driver->image_load(m->to->engine, fd, came, &watch, err);
	if (fd >= 0)
		(void)close(fd);
	if (!bad)
		bad = verify(m, came, err);
	return bad ? err_prefix(err, "image %s cannot be copied from host %s", m->name, m->from->host->name) : 0;
}

/* ---- the whole ---- */

static bool may_transfer(const struct move *m)
{
	const enum conf_switch own = m->to->host->image_transfer;

	return m->source && m->from != m->to && (own ? own : m->c->f.conf.image_transfer) == CONF_YES;
}

/* What the operator is to do. *err: why the pull failed, when it was tried. */
static int give_up(const struct move *m, bool tried, struct err *err)
{
	const bool elsewhere = m->source && m->from != m->to;

	if (tried)
		return err_prefix(err, "image %s is not there, and to pull it failed%s", m->name,
		                  elsewhere ? " (image_transfer = yes would copy it)" : "");
	return err_set(err, ERR_NOT_FOUND, "host %s: image %s is not there: docker pull or load it there%s",
	               m->to->host->name, m->name, elsewhere ? ", or image_transfer = yes" : "");
}

/* Which image it is, and where from. */
static int read_source(struct move *m, struct err *err)
{
	struct err why = {0};

	if (!m->from || m->from == m->to || m->from->driver->image_inspect(m->from->engine, m->id, &m->source, &why) == 0 ||
	    why.code == ERR_NOT_FOUND)
		return 0;
	*err = why;
	return err_prefix(err, "image %s is not on host %s, nor can the source's host be asked", m->name,
	                  m->to->host->name);
}

/* *how: "pulled", "transferred". */
static int bring(struct move *m, const char **how, struct err *err)
{
	bool tried = false;

	if (read_source(m, err) < 0)
		return -1;
	*how = "pulled";
	if ((m->source ? pull(m, &tried, err) : pull_by_name(m, &tried, err)) < 0) {
		if (!may_transfer(m))
			return give_up(m, tried, err);
		if (tried)
			front_say(&m->c->f, "%s", err->message);
		*how = "transferred";
		if (transfer(m, err) < 0)
			return -1;
	}
	name_it(m);
	return 0;
}

static void settle(struct placement *p, const struct err *err)
{
	p->done = true;
	p->err = *err;
}

/* Somebody else may have brought it meanwhile. It is not brought for a copy that is refused anyway. */
static void place(struct clone *c, struct record *r, const struct source *s, const struct copy *copy,
                  struct placement *p)
{
	const int64_t began = clock_monotonic_ms();
	struct move m = {.c = c,
	                 .to = p->host,
	                 .name = image_name(s),
	                 .id = p->id,
	                 .there = p->there,
	                 .config = &p->config,
	                 .said = began};
	const char *how = "";
	struct err why = {0};

	if (look(&m, &why) == 0 || why.code != ERR_NOT_FOUND || may_live_elsewhere(c, s, copy, &why) < 0) {
		settle(p, &why);
		return;
	}
	m.from = *s->host ? engine_hosts_get(&c->hosts, s->host, &why) : NULL;
	const bool good = bring(&m, &how, &why) == 0;
	if (good) /* it may still hold why a first way failed */
		why = (struct err){0};
	settle(p, &why);
	const struct step step = {.stage = "as-clone",
	                          .what = "image",
	                          .name = m.name,
	                          .id = good ? p->there : NULL,
	                          .host = p->host->host->name,
	                          .ok = good,
	                          .ms = clock_monotonic_ms() - began,
	                          .message = good ? how : p->err.message};
	step_put(r, &step);
	json_decref(m.source);
}

const char *image_name(const struct source *s)
{
	const json_t *config = s->create ? s->create : json_object_get(s->doc, "Config");

	return text_of(config, "Image");
}

int image_place(struct clone *c, struct record *r, struct placements *list, const struct source *s, struct copy *copy,
                struct err *err)
{
	const char *id = s->create ? s->image_id : text_of(s->doc, "Image");
	size_t i = 0;

	if (!*id)
		return 0;
	while (i < list->n && (list->v[i].host != copy->target || strcmp(list->v[i].id, id) != 0))
		i++;
	struct placement *p = &list->v[i];
	if (i == list->n) {
		list->n++;
		*p = (struct placement){.host = copy->target};
		(void)snprintf(p->id, sizeof p->id, "%s", id);
	}
	struct move m = {.c = c, .to = p->host, .id = p->id, .there = p->there, .config = &p->config};
	struct err why = {0};
	/* What is there waits for no other image. */
	if (!p->done && (look(&m, &why) == 0 || why.code != ERR_NOT_FOUND)) {
		settle(p, &why);
	} else if (!p->done) {
		tasks_enter(c->hosts.tasks, &p->host->images);
		if (!p->done)
			place(c, r, s, copy, p);
		tasks_leave(c->hosts.tasks, &p->host->images);
	}
	if (p->err.code) {
		*err = p->err;
		return -1;
	}
	(void)snprintf(copy->image, sizeof copy->image, "%s", p->there);
	copy->place = p;
	return 0;
}

void image_release(struct placements *list)
{
	for (size_t i = 0; i < list->n; i++)
		json_decref(list->v[i].config);
	free(list->v);
}
