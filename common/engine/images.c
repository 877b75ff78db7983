/* Images over Docker's API, https://docs.docker.com/engine/api/ : ImageCreate, ImageGet, ImageLoad, ImageTag. A pull
 * and a load answer 200 before they begin, and tell of a failure in the lines that follow, so every answer is read to
 * its end; whether the right image is there afterwards is for the caller to ask. */
#include "engine/images.h"

#include "engine/doc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define PULL_IDLE_MS 60000
#define WORK_IDLE_MS 300000 /* an engine puts a whole image together before it sends the first byte of it */
#define STREAM_LINE_MAX (64u * 1024u)

/* A stream of JSON texts, one a line, as an engine tells of its work. */
struct story {
	struct buf line;
	char error[API_SAID]; /* "": none was told */
	char id[80];          /* that a load names */
	size_t layers, done;
	int64_t bytes; /* of a file that were read */
	int fd;
	const struct image_watch *watch;
};

__attribute__((format(printf, 2, 3))) static void tell(const struct image_watch *watch, const char *fmt, ...)
{
	char text[120];
	va_list ap;

	if (!watch || !watch->fn)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	watch->fn(watch->ctx, text);
}

static void tell_bytes(const struct image_watch *watch, const char *verb, int64_t bytes)
{
	tell(watch, "%s %lld MB", verb, (long long)(bytes / 1000000));
}

/* One line without control characters, cut to fit. */
static void one_line(char *out, size_t size, const char *s)
{
	(void)snprintf(out, size, "%s", s);
	for (char *p = out; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
	for (size_t n = strlen(out); n && out[n - 1] == ' '; n--)
		out[n - 1] = '\0';
}

static void read_loaded(struct story *s, const char *text)
{
	static const char *const before[] = {"Loaded image ID: ", "Loaded image: "}; /* the latter by Podman */

	for (size_t i = 0; i < 2; i++)
		if (strncmp(text, before[i], strlen(before[i])) == 0 && strncmp(text + strlen(before[i]), "sha256:", 7) == 0)
			one_line(s->id, sizeof s->id, text + strlen(before[i]));
}

static void read_line(struct story *s)
{
	json_t *doc = s->line.failed ? NULL : json_loadb(s->line.p ? s->line.p : "", s->line.n, 0, NULL);
	const char *error = doc_str(doc, "errorDetail.message"), *text = doc_str(doc, "stream");
	const char *status = doc_str(doc, "status");

	if (!error)
		error = doc_str(doc, "error");
	if (error && !*s->error)
		one_line(s->error, sizeof s->error, *error ? error : "it gives no reason");
	if (text)
		read_loaded(s, text);
	if (status && strcmp(status, "Pulling fs layer") == 0)
		s->layers++;
	if (status && strcmp(status, "Pull complete") == 0)
		tell(s->watch, "%zu of %zu layers", ++s->done, s->layers);
	json_decref(doc);
	buf_reset(&s->line);
}

/* A line that is too long is progress of some kind; it is left out. */
static int on_story(void *ctx, const char *p, size_t n, struct err *err)
{
	struct story *s = ctx;

	(void)err;
	for (const char *end; n && (end = memchr(p, '\n', n)); n -= (size_t)(end + 1 - p), p = end + 1) {
		buf_put(&s->line, p, (size_t)(end - p));
		read_line(s);
	}
	buf_put(&s->line, p, n);
	return 0;
}

/* The end of an answer, which may be 200 and tell of a failure. Gives the status, -1 for no complete answer (x NULL),
 * and in `said` what went wrong, "" for nothing. Ends the exchange. */
static long end_story(struct story *s, struct exchange *x, char said[API_SAID])
{
	const long status = x ? x->status : -1;

	if (s->line.n)
		read_line(s);
	buf_release(&s->line);
	if (status >= 0 && status != 200)
		api_said(x, said);
	else
		(void)snprintf(said, API_SAID, "%s", s->error);
	api_done(x);
	return status;
}

int images_inspect(struct api *a, const char *ref, json_t **doc, struct err *err)
{
	char name[API_NAME];

	*doc = NULL;
	if (!*ref || api_encode(ref, "/:@", name, sizeof name) < 0)
		return err_set(err, ERR_NOT_FOUND, "host %s: \"%.80s\" is no image's name", api_host(a), ref);
	return api_json_done(api_call(a, err, "GET", NULL, 0, "/images/%s/json", name), 200, doc, err);
}

/* ---- pull ---- */

static bool says(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strstr(text, *words))
			return true;
	return false;
}

/* The registry's or the engine's words -> what is to be done. */
static int pull_failed(struct api *a, const char *ref, long status, const char *said, struct err *err)
{
	static const char *const full[] = {"no space left", NULL};
	static const char *const denied[] = {"unauthorized", "denied", "no basic auth", "incorrect username", NULL};
	static const char *const damaged[] = {"verification failed", "unexpected EOF", NULL};
	static const char *const unknown[] = {"manifest unknown", "not found", "name unknown", NULL};
	static const char *const away[] = {"dial tcp", "no such host", "timeout", "Timeout",       "deadline",
	                                   "refused",  "unreachable",  "EOF",     "reset by peer", "TLS",
	                                   "x509",     "HTTPS client", NULL};
	char registry[256];

	credentials_registry(ref, registry, sizeof registry);
	if (says(said, full))
		return err_set(err, ERR_REMOTE, "host %s: no room on its disk: make some (docker system prune)", api_host(a));
	if (says(said, denied))
		return err_set(err, ERR_DENIED, "host %s: registry %s refuses: docker login %s as the user who runs this (%s)",
		               api_host(a), registry, registry, said);
	if (says(said, damaged))
		return err_set(err, ERR_REMOTE, "host %s: registry %s gives something else: push the image again (%s)",
		               api_host(a), registry, said);
	if (status == 404 || says(said, unknown))
		return err_set(err, ERR_NOT_FOUND, "host %s: registry %s does not have it: push it there (%s)", api_host(a),
		               registry, said);
	if (says(said, away))
		return err_set(err, ERR_UNAVAILABLE, "host %s cannot reach registry %s: is it up? (%s)", api_host(a), registry,
		               said);
	return err_set(err, ERR_REMOTE, "host %s: registry %s: %s", api_host(a), registry, said);
}

int images_pull(struct api *a, const char *ref, const char *auth, const struct image_watch *watch, struct err *err)
{
	struct story s = {.line = BUF_INIT(STREAM_LINE_MAX), .watch = watch};
	const struct http_stream stream = {.data = on_story, .ctx = &s, .idle_ms = PULL_IDLE_MS};
	struct buf header = BUF_INIT(STREAM_LINE_MAX);
	char name[API_NAME], said[API_SAID];

	/* Without either all tags of the repository would be pulled. */
	const char *slash = strrchr(ref, '/');
	if (!strchr(ref, '@') && !strchr(slash ? slash : ref, ':'))
		return err_set(err, ERR_INPUT, "host %s: image %s: neither a tag nor a digest", api_host(a), ref);
	if (api_encode(ref, "/:@", name, sizeof name) < 0)
		return err_set(err, ERR_LIMIT, "host %s: the image's name %.60s... is too long", api_host(a), ref);
	buf_printf(&header, "X-Registry-Auth: %s", auth);
	if (buf_ok(&header, err) < 0)
		return -1;
	const char *const headers[] = {header.p, NULL};
	struct exchange *x =
		api_stream(a, err, "POST", *auth ? headers : NULL, &stream, NULL, "/images/create?fromImage=%s", name);
	buf_release(&header);
	const long status = end_story(&s, x, said);
	if (status < 0)
		return -1;
	return *said ? pull_failed(a, ref, status, said, err) : 0;
}

/* ---- save and load ---- */

static int on_saved(void *ctx, const char *p, size_t n, struct err *err)
{
	struct story *s = ctx;

	while (n) {
		const ssize_t put = write(s->fd, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return err_set(err, ERR_TEMPORARY, "the image cannot be kept meanwhile: %s (TMPDIR names the folder)",
			               put < 0 ? strerror(errno) : "nothing was written");
		p += put;
		n -= (size_t)put;
		s->bytes += put;
	}
	tell_bytes(s->watch, "read", s->bytes);
	return 0;
}

int images_save(struct api *a, const char *id, int fd, const struct image_watch *watch, struct err *err)
{
	struct story s = {.watch = watch, .fd = fd};
	const struct http_stream stream = {.data = on_saved, .ctx = &s, .idle_ms = WORK_IDLE_MS};
	char name[API_NAME];

	if (api_encode(id, "/:@", name, sizeof name) < 0)
		return err_set(err, ERR_LIMIT, "host %s: the image's name %.60s... is too long", api_host(a), id);
	struct exchange *x = api_stream(a, err, "GET", NULL, &stream, NULL, "/images/%s/get", name);
	return api_good_done(x, x && x->status == 200, err);
}

static long to_load(void *ctx, char *p, size_t n)
{
	struct story *s = ctx;
	ssize_t got;

	do
		got = read(s->fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		s->bytes += got;
		tell_bytes(s->watch, "sent", s->bytes);
	}
	return (long)got;
}

int images_load(struct api *a, int fd, char id[80], const struct image_watch *watch, struct err *err)
{
	struct story s = {.line = BUF_INIT(STREAM_LINE_MAX), .watch = watch, .fd = fd};
	const struct http_stream stream = {
		.data = on_story, .more = to_load, .content_type = "application/x-tar", .ctx = &s, .idle_ms = WORK_IDLE_MS};
	char said[API_SAID] = "";

	id[0] = '\0';
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_TEMPORARY, "the saved image cannot be read again: %s", strerror(errno));
	if (end_story(&s, api_stream(a, err, "POST", NULL, &stream, NULL, "/images/load?quiet=0"), said) < 0)
		return -1;
	(void)snprintf(id, 80, "%s", s.id);
	if (!*said)
		return 0;
	if (strstr(said, "no space left"))
		return err_set(err, ERR_REMOTE, "host %s: no room on its disk: make some (docker system prune)", api_host(a));
	return err_set(err, ERR_REMOTE, "host %s: docker load: %s", api_host(a), said);
}

int images_tag(struct api *a, const char *id, const char *name, struct err *err)
{
	char what[API_NAME], repository[API_NAME], of[512];
	const char *slash = strrchr(name, '/'), *colon = strchr(slash ? slash : name, ':');
	const int n = snprintf(of, sizeof of, "%.*s", (int)(colon ? colon - name : (long)strlen(name)), name);

	if (n < 0 || (size_t)n >= sizeof of || api_encode(id, ":", what, sizeof what) < 0 ||
	    api_encode(of, "/:", repository, sizeof repository) < 0 || (colon && strlen(colon) > 128))
		return err_set(err, ERR_LIMIT, "host %s: the image's name %.60s... is too long", api_host(a), name);
	struct exchange *x = api_call(a, err, "POST", NULL, 0, "/images/%s/tag?repo=%s&tag=%s", what, repository,
	                              colon ? colon + 1 : "latest");
	return api_good_done(x, x && x->status == 201, err);
}
