#include "base/conf.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/convention.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- the known sections and keys: one table for parsing and for "did you mean" ---- */

enum kind { TEXT, WORDS, FILE_PATH, SHORT, COUNT, PRIVILEGED, LABELS, COMPOSE_DOWN, SWITCH };

struct key {
	const char *section; /* "store", "ingest", "limits", "metrics", and "host", "lb", which carry a name */
	const char *name;
	enum kind kind;
	size_t offset; /* into struct conf, conf_host or conf_lb */
};

#define HOST(k)                                         \
	{                                                   \
		"host", #k, TEXT, offsetof(struct conf_host, k) \
	}
#define LB(k)                                       \
	{                                               \
		"lb", #k, TEXT, offsetof(struct conf_lb, k) \
	}

static const struct key keys[] = {
	{"store", "store", TEXT, offsetof(struct conf, store)},
	{"store", "alerts", TEXT, offsetof(struct conf, alerts)},
	{"ingest", "mapping", TEXT, offsetof(struct conf, mapping)},
	{"limits", "max_replicas", COUNT, offsetof(struct conf, max_replicas)},
	{"limits", "per_host", COUNT, offsetof(struct conf, per_host)},
	{"limits", "privileged", PRIVILEGED, offsetof(struct conf, privileged)},
	{"limits", "labels", LABELS, offsetof(struct conf, labels)},
	{"limits", "compose_down", COMPOSE_DOWN, offsetof(struct conf, compose_down)},
	{"limits", "image_transfer", SWITCH, offsetof(struct conf, image_transfer)},
	{"metrics", "prometheus", TEXT, offsetof(struct conf, metrics.prometheus)},
	{"metrics", "prometheus_token_file", FILE_PATH, offsetof(struct conf, metrics.prometheus_token_file)},
	{"metrics", "prometheus_ca", FILE_PATH, offsetof(struct conf, metrics.prometheus_ca)},
	{"metrics", "programs", FILE_PATH, offsetof(struct conf, metrics.programs)},
	{"metrics", "program_timeout", SHORT, offsetof(struct conf, metrics.program_ms)},
	{"metrics", "files", FILE_PATH, offsetof(struct conf, metrics.files)},
	HOST(url),
	HOST(cert_path),
	HOST(context),
	HOST(engine),
	HOST(zone),
	HOST(cloud),
	HOST(address),
	{"host", "weight", COUNT, offsetof(struct conf_host, weight)},
	{"host", "image_transfer", SWITCH, offsetof(struct conf_host, image_transfer)},
	LB(driver),
	LB(socket),
	LB(config),
	LB(admin),
	LB(master),
	LB(folder),
	LB(pid),
	LB(log),
	LB(frontend),
	LB(container),
	LB(host),
	{"lb", "conventions", WORDS, offsetof(struct conf_lb, conventions)},
};
#define NKEYS (sizeof keys / sizeof *keys)
#define LINE_BYTES 198 /* what inih reads as one line, as Debian builds it */

static const char *const sections[] = {"store", "ingest", "limits", "metrics", "host", "lb"};

/* Edit distance (Levenshtein) of two short words. */
static size_t distance(const char *a, const char *b)
{
	const size_t n = strlen(a), m = strlen(b);
	size_t row[64];

	if (n > 63 || m > 63)
		return 64;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			const size_t up = row[j];
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			best = up + 1 < best ? up + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			diagonal = up;
			row[j] = best;
		}
	}
	return row[m];
}

static void nearer(const char *word, const char *candidate, const char **best, size_t *least)
{
	const size_t d = distance(word, candidate);

	if (d < *least) {
		*least = d;
		*best = candidate;
	}
}

const char *conf_nearest(const char *word, const char *const *known, size_t n)
{
	const char *best = "";
	size_t least = 64;

	for (size_t i = 0; i < n; i++)
		nearer(word, known[i], &best, &least);
	return best;
}

/* ---- one file ---- */

struct reading {
	struct conf *conf;
	const char *file;
	struct err *err;
	bool failed;
	bool others; /* the file may be read by others than its owner */
};

static int keep(char **slot, const char *value, struct err *err)
{
	char *copy = strdup(value);

	if (!copy)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	free(*slot);
	*slot = copy;
	return 0;
}

static int keep_words(char **slot, const char *value, struct err *err)
{
	char bad[64];
	unsigned set;

	if (!convention_set(value, &set, bad, sizeof bad))
		return err_set(err, ERR_CONFIG, "conventions knows no \"%s\" (did you mean \"%s\"?)", bad,
		               conf_nearest(bad, convention_names, CONVENTIONS));
	return keep(slot, value, err);
}

static int keep_path(char **slot, const struct key *key, const char *value, struct err *err)
{
	if (*value != '/')
		return err_set(err, ERR_CONFIG, "%s wants a path that begins with a slash, not \"%s\"", key->name, value);
	return keep(slot, value, err);
}

static int keep_short(int64_t *slot, const struct key *key, const char *value, struct err *err)
{
	const int64_t most = 60000;

	if (!duration_parse(value, slot) || *slot < 1 || *slot > most)
		return err_set(err, ERR_CONFIG, "%s wants a time of up to 60s, not \"%s\"", key->name, value);
	return 0;
}

static int set_value(const struct key *key, void *base, const char *value, struct err *err)
{
	void *slot = (char *)base + key->offset;
	char *end;

	switch (key->kind) {
	case TEXT: return keep(slot, value, err);
	case WORDS: return keep_words(slot, value, err);
	case FILE_PATH: return keep_path(slot, key, value, err);
	case SHORT: return keep_short(slot, key, value, err);
	case COUNT: {
		const long v = strtol(value, &end, 10);
		if (end == value || *end || v < 0 || v > REPLICAS_MAX)
			return err_set(err, ERR_CONFIG, "%s wants a number from 0 to %d, not \"%s\"", key->name, REPLICAS_MAX,
			               value);
		*(long *)slot = v;
		return 0;
	}
	case PRIVILEGED:
		if (strcmp(value, "allow") != 0 && strcmp(value, "refuse") != 0)
			return err_set(err, ERR_CONFIG, "privileged is \"refuse\" or \"allow\", not \"%s\"", value);
		*(bool *)slot = strcmp(value, "allow") == 0;
		return 0;
	case COMPOSE_DOWN:
		if (strcmp(value, "respect") != 0 && strcmp(value, "recreate") != 0)
			return err_set(err, ERR_CONFIG, "compose_down is \"recreate\" or \"respect\", not \"%s\"", value);
		*(bool *)slot = strcmp(value, "respect") == 0;
		return 0;
	case LABELS: {
		static const char *const names[] = {"trust", "narrow", "ignore"};
		for (int i = 0; i < 3; i++)
			if (strcmp(value, names[i]) == 0) {
				*(enum conf_labels *)slot = (enum conf_labels)i;
				return 0;
			}
		return err_set(err, ERR_CONFIG, "labels is \"trust\", \"narrow\" or \"ignore\", not \"%s\"", value);
	}
	case SWITCH:
		if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
			return err_set(err, ERR_CONFIG, "%s is \"yes\" or \"no\", not \"%s\"", key->name, value);
		*(enum conf_switch *)slot = strcmp(value, "yes") == 0 ? CONF_YES : CONF_NO;
		return 0;
	}
	return 0;
}

/* `host "edge-1"` -> host, edge-1. The name is what stands between the quotes. */
static bool split_section(const char *section, char kind[16], char name[SERVICE_NAME_MAX + 1])
{
	const size_t n = strcspn(section, " \t");
	const char *p = section + n + strspn(section + n, " \t");
	size_t len = strlen(p);

	name[0] = '\0';
	if (n >= 16)
		return false;
	memcpy(kind, section, n);
	kind[n] = '\0';
	if (!*p)
		return true;
	if (*p == '"' && len > 2 && p[len - 1] == '"') {
		p++;
		len -= 2;
	}
	if (len > SERVICE_NAME_MAX || memchr(p, '"', len))
		return false;
	memcpy(name, p, len);
	name[len] = '\0';
	return true;
}

/* The host or lb of that name, made when it is new. */
static void *named(struct conf *c, bool host, const char *name, struct err *err)
{
	for (size_t i = 0; i < (host ? c->nhosts : c->nlbs); i++)
		if (strcmp(host ? c->hosts[i].name : c->lbs[i].name, name) == 0)
			return host ? (void *)&c->hosts[i] : (void *)&c->lbs[i];
	const size_t n = host ? c->nhosts : c->nlbs, size = host ? sizeof *c->hosts : sizeof *c->lbs;
	if (n == (host ? CONFIG_HOSTS_MAX : CONFIG_LBS_MAX)) {
		(void)err_set(err, ERR_CONFIG, "more than %zu sections of this kind", n);
		return NULL;
	}
	char *grown = realloc(host ? (void *)c->hosts : (void *)c->lbs, (n + 1) * size);
	char *copy = strdup(name);
	if (grown && host)
		c->hosts = (void *)grown;
	else if (grown)
		c->lbs = (void *)grown;
	if (!grown || !copy) {
		free(copy);
		(void)err_set(err, ERR_TEMPORARY, "out of memory");
		return NULL;
	}
	memset(grown + n * size, 0, size);
	if (host) {
		c->hosts[n].weight = HOST_WEIGHT;
		c->hosts[c->nhosts++].name = copy;
	} else
		c->lbs[c->nlbs++].name = copy;
	return grown + n * size;
}

static int unknown_section(const char *section, struct err *err)
{
	return err_set(err, ERR_CONFIG, "unknown section [%s] (did you mean [%s]?)", section,
	               conf_nearest(section, sections, sizeof sections / sizeof *sections));
}

static unsigned all_conventions(const struct conf *c)
{
	unsigned set = 0;

	for (size_t i = 0; i < c->nlbs; i++)
		set |= conf_conventions(&c->lbs[i]);
	return set;
}

static int check_conventions(const struct conf *c, struct err *err)
{
	const unsigned both = 1u << CONVENTION_VIRTUAL_HOST | 1u << CONVENTION_DOCKERCLOUD;

	if ((all_conventions(c) & both) != both)
		return 0;
	return err_set(err, ERR_CONFIG,
	               "conventions: virtual_host and dockercloud read VIRTUAL_HOST in different ways: "
	               "switch on one of them, for all load balancers");
}

static int one_key(struct conf *c, const char *section, const char *name, const char *value, struct err *err)
{
	char kind[16], of[SERVICE_NAME_MAX + 1];
	const char *best = "";
	size_t least = 64;
	bool known = false;

	if (!split_section(section, kind, of))
		return unknown_section(section, err);
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
		known = known || strcmp(kind, sections[i]) == 0;
	if (!known)
		return unknown_section(kind, err);
	const bool host = strcmp(kind, "host") == 0, lb = strcmp(kind, "lb") == 0;
	if ((host || lb) && !*of)
		return err_set(err, ERR_CONFIG, "[%s] needs a name: [%s \"NAME\"]", kind, kind);
	for (size_t i = 0; i < NKEYS; i++) {
		if (strcmp(kind, keys[i].section) != 0)
			continue;
		nearer(name, keys[i].name, &best, &least);
		if (least)
			continue;
		void *base = host || lb ? named(c, host, of, err) : c;
		return !base || set_value(&keys[i], base, value, err) < 0 ? -1 : check_conventions(c, err);
	}
	return err_set(err, ERR_CONFIG, "unknown key \"%s\" in [%s] (did you mean \"%s\"?)", name, section, best);
}

/* SCHEME://USER:PASSWORD@...: the last @ before the options ends the login. */
static bool has_password(const char *url)
{
	const char *auth = strstr(url, "://"), *at = NULL;

	for (const char *p = auth; p && *p && *p != '?'; p++)
		if (*p == '@')
			at = p;
	return at && memchr(auth + 3, ':', (size_t)(at - auth - 3));
}

/* inih calls this per key; 0 makes ini_parse remember the line of the first failure. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;

	if (r->failed)
		return 1;
	r->failed = one_key(r->conf, section, name, value, r->err) < 0;
	if (!r->failed && r->others && has_password(value)) {
		r->failed = true;
		(void)err_set(
			r->err, ERR_CONFIG,
			"a password stands here and others may read the file: chmod 600 %s, or name a file of your own by "
			"password-file=",
			r->file);
	}
	return !r->failed;
}

static int read_file(struct conf *c, const char *file, bool must, struct err *err)
{
	struct reading r = {.conf = c, .file = file, .err = err};
	struct stat st;

	if (access(file, R_OK) < 0) {
		if (!must && (errno == ENOENT || errno == ENOTDIR))
			return 0;
		return err_set(err, ERR_CONFIG, "cannot read %s: %s%s", file, strerror(errno),
		               must || errno != EACCES ? ""
		                                       : ": become a member of the file's group, or name another file with -c");
	}
	r.others = stat(file, &st) < 0 || (st.st_mode & 077) != 0;
	const int line = ini_parse(file, on_key, &r);
	if (r.failed)
		return err_prefix(err, "%s:%d", file, line);
	if (line > 0)
		return err_set(err, ERR_CONFIG, "%s:%d: neither a [section] nor a key = value line", file, line);
	if (line < 0)
		return err_set(err, ERR_CONFIG, "cannot read %s", file);
	return keep(&c->file, file, err);
}

/* ---- the text of another file ---- */

struct text_reading {
	conf_key_fn fn;
	void *ctx;
	struct err *err;
	bool failed;
};

static int on_text_key(void *user, const char *section, const char *name, const char *value)
{
	struct text_reading *r = user;

	if (!r->failed)
		r->failed = r->fn(r->ctx, section, name, value, r->err) < 0;
	return !r->failed;
}

/* The library would cut a longer line in two, and the rest would be read as a line of its own. */
static int check_lines(const char *text, const char *file, struct err *err)
{
	for (int line = 1; *text; line++) {
		const size_t n = strcspn(text, "\n");
		if (n > LINE_BYTES)
			return err_set(err, ERR_CONFIG, "%s:%d: a line of more than %d bytes: go on in the next, indented", file,
			               line, LINE_BYTES);
		text += n + (text[n] != '\0');
	}
	return 0;
}

int conf_text(const char *text, const char *file, conf_key_fn fn, void *ctx, struct err *err)
{
	struct text_reading r = {.fn = fn, .ctx = ctx, .err = err};

	if (check_lines(text, file, err) < 0)
		return -1;
	const int line = ini_parse_string(text, on_text_key, &r);
	if (r.failed)
		return err_prefix(err, "%s:%d", file, line);
	if (line)
		return err_set(err, line > 0 ? ERR_CONFIG : ERR_TEMPORARY, "%s:%d: neither a [section] nor a key = value line",
		               file, line > 0 ? line : 0);
	return 0;
}

/* ---- defaults and the environment ---- */

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static int default_store(struct conf *c, struct err *err)
{
	const char *state = env("XDG_STATE_HOME"), *home = env("HOME");
	char path[4096];
	int n;

	if (c->store)
		return 0;
	if (state)
		n = snprintf(path, sizeof path, "sqlite:%s/autoscale/autoscale.db", state);
	else if (geteuid() == 0)
		n = snprintf(path, sizeof path, "sqlite:/var/lib/autoscale/autoscale.db");
	else if (home)
		n = snprintf(path, sizeof path, "sqlite:%s/.local/state/autoscale/autoscale.db", home);
	else
		return err_set(err, ERR_CONFIG, "no place for the store: set AUTOSCALE_STORE, or HOME");
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(err, ERR_CONFIG, "the path of the store is too long");
	return keep(&c->store, path, err);
}

/* The engine that the docker command would use: DOCKER_HOST goes before DOCKER_CONTEXT, and both before the context
 * that was chosen with `docker context use`. */
static int default_host(struct conf *c, struct err *err)
{
	const char *url = env("DOCKER_HOST"), *context = env("DOCKER_CONTEXT"), *certs = env("DOCKER_CERT_PATH");
	const char *home = env("HOME");
	char path[4096];

	struct conf_host *h = named(c, true, "local", err);
	if (!h)
		return -1;
	if (!url)
		return keep(&h->context, context ? context : "", err);
	if (keep(&h->url, url, err) < 0)
		return -1;
	if (!env("DOCKER_TLS_VERIFY"))
		return 0;
	if (!certs) {
		(void)snprintf(path, sizeof path, "%s/.docker", home ? home : "");
		certs = path;
	}
	return keep(&h->cert_path, certs, err);
}

static int complete_hosts(struct conf *c, struct err *err)
{
	const char *folder = env("DOCKER_CONFIG"), *home = env("HOME");
	char path[4096];

	if (!c->nhosts && default_host(c, err) < 0)
		return -1;
	if (!folder && home) {
		(void)snprintf(path, sizeof path, "%s/.docker", home);
		folder = path;
	}
	for (size_t i = 0; i < c->nhosts; i++)
		if (c->hosts[i].context && folder && keep(&c->hosts[i].docker_config, folder, err) < 0)
			return -1;
	return 0;
}

static int usual_files(struct conf *c, struct err *err)
{
	const char *home = env("HOME"), *xdg = env("XDG_CONFIG_HOME");
	char path[4096];

	if (read_file(c, "/etc/autoscale/autoscale.conf", false, err) < 0)
		return -1;
	if (!home && !xdg)
		return 0;
	(void)snprintf(path, sizeof path, "%s%s/autoscale/autoscale.conf", xdg ? xdg : home, xdg ? "" : "/.config");
	return read_file(c, path, false, err);
}

int conf_load(struct conf *c, const char *file, struct err *err)
{
	*c = (struct conf){.max_replicas = 100, .per_host = 50, .metrics.program_ms = 10000};
	if (!file)
		file = env("AUTOSCALE_CONF");
	if ((file ? read_file(c, file, true, err) : usual_files(c, err)) < 0)
		goto bad;
	if (env("AUTOSCALE_STORE") && keep(&c->store, env("AUTOSCALE_STORE"), err) < 0)
		goto bad;
	if (env("AUTOSCALE_ALERTS") && keep(&c->alerts, env("AUTOSCALE_ALERTS"), err) < 0)
		goto bad;
	if ((!c->metrics.programs && keep(&c->metrics.programs, CONF_PROGRAMS, err) < 0) ||
	    (!c->metrics.files && keep(&c->metrics.files, CONF_FILES, err) < 0))
		goto bad;
	if (default_store(c, err) < 0 || (!c->alerts && keep(&c->alerts, c->store, err) < 0) || complete_hosts(c, err) < 0)
		goto bad;
	return 0;
bad:
	conf_release(c);
	return -1;
}

void conf_release(struct conf *c)
{
	for (size_t i = 0; i < NKEYS; i++) {
		const struct key *k = &keys[i];
		if (k->kind != TEXT && k->kind != WORDS && k->kind != FILE_PATH)
			continue;
		for (size_t j = 0; strcmp(k->section, "host") == 0 && j < c->nhosts; j++)
			free(*(char **)((char *)&c->hosts[j] + k->offset));
		for (size_t j = 0; strcmp(k->section, "lb") == 0 && j < c->nlbs; j++)
			free(*(char **)((char *)&c->lbs[j] + k->offset));
		if (strcmp(k->section, "host") != 0 && strcmp(k->section, "lb") != 0)
			free(*(char **)((char *)c + k->offset));
	}
	for (size_t i = 0; i < c->nhosts; i++) {
		free(c->hosts[i].name);
		free(c->hosts[i].docker_config);
	}
	for (size_t i = 0; i < c->nlbs; i++)
		free(c->lbs[i].name);
	free(c->hosts);
	free(c->lbs);
	free(c->file);
	*c = (struct conf){0};
}

const struct conf_host *conf_host(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nhosts; i++)
		if (strcmp(c->hosts[i].name, name) == 0)
			return &c->hosts[i];
	return NULL;
}

const struct conf_lb *conf_lb(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nlbs; i++)
		if (strcmp(c->lbs[i].name, name) == 0)
			return &c->lbs[i];
	return NULL;
}

unsigned conf_conventions(const struct conf_lb *lb)
{
	char bad[1];
	unsigned set;

	return lb->conventions && convention_set(lb->conventions, &set, bad, sizeof bad) ? set : 0;
}

unsigned conf_all_conventions(const struct conf *c) { return c->labels == CONF_LABELS_IGNORE ? 0 : all_conventions(c); }
