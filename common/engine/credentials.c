/* What `docker login` keeps: config.json with a login per registry ("auths"), or the name of a program that keeps it
 * ("credsStore", "credHelpers"), https://docs.docker.com/reference/cli/docker/login/ . The program's protocol is that
 * of https://github.com/docker/docker-credential-helpers : `docker-credential-NAME get`, the registry on standard
 * input,
 * {"Username","Secret"} on standard output. */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/limits.h"
#include "engine/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define HUB "docker.io"
#define HUB_KEY "https://index.docker.io/v1/" /* under which Docker keeps the login of its own registry */
#define HELPER_MS 10000
#define SECRET_MAX (64u * 1024u)
#define PATH_BYTES 4096

extern char **environ;

/* ---- names ---- */

/* The part before the first slash is a registry if it looks like a host, else it is the hub's. */
void credentials_registry(const char *ref, char *out, size_t size)
{
	const size_t n = strcspn(ref, "/");
	const bool host =
		ref[n] && (memchr(ref, '.', n) || memchr(ref, ':', n) || (n == 9 && strncmp(ref, "localhost", 9) == 0));

	(void)snprintf(out, size, "%.*s", host ? (int)n : (int)strlen(HUB), host ? ref : HUB);
}

/* Keys of "auths" were URLs once: "https://registry.example/v1/". */
static bool is_key_of(const char *key, const char *registry)
{
	const char *at = strstr(key, "://");
	const size_t n = strlen(registry);

	at = at ? at + 3 : key;
	return strncmp(at, registry, n) == 0 && (!at[n] || at[n] == '/');
}

/* ---- base64, RFC 4648 ---- */

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* False: it is none. */
static bool decode(const char *s, struct buf *out)
{
	unsigned int bits = 0, held = 0;

	for (; *s && *s != '='; s++) {
		const int d = digit(*s);
		if (d < 0)
			return false;
		bits = (bits << 6 | (unsigned int)d) & 0xffffu;
		held += 6;
		if (held >= 8) {
			held -= 8;
			buf_putc(out, (char)(bits >> held & 0xffu));
		}
	}
	return s[strspn(s, "=")] == '\0';
}

/* With the alphabet for URLs, as the header wants it. */
static void encode(const char *p, size_t n, struct buf *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < n; i += 3) {
		unsigned int bits = 0;
		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (i + k < n ? (unsigned char)p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			buf_putc(out, i + k <= n ? alphabet[bits >> (18 - 6 * k) & 63u] : '=');
	}
}

/* ---- the header ---- */

struct login {
	const char *user, *password, *token; /* borrowed, NULL: none */
};

static int write_header(const struct login *l, const char *server, struct buf *out, struct err *err)
{
	json_t *doc = json_object();
	int bad = !doc || json_object_set_new(doc, "serveraddress", json_string(server));

	if (l->user)
		bad |= json_object_set_new(doc, "username", json_string(l->user));
	if (l->token)
		bad |= json_object_set_new(doc, "identitytoken", json_string(l->token));
	else if (l->password)
		bad |= json_object_set_new(doc, "password", json_string(l->password));
	char *text = bad ? NULL : json_dumps(doc, JSON_COMPACT);
	if (text)
		encode(text, strlen(text), out);
	json_decref(doc);
	free(text);
	return text ? buf_ok(out, err)
	            : err_set(err, ERR_CONFIG, "the login kept for registry %s is not text: docker login again", server);
}

/* ---- a login in the file ---- */

static int from_file(const json_t *entry, const char *server, const char *file, struct buf *out, struct err *err)
{
	struct buf plain = BUF_INIT(SECRET_MAX);
	const char *auth = doc_str(entry, "auth"), *token = doc_str(entry, "identitytoken");
	struct login l = {.user = doc_str(entry, "username"), .password = doc_str(entry, "password")};
	int bad = 0;

	if (token && *token)
		l.token = token;
	if (auth && *auth) {
		char *colon = decode(auth, &plain) && plain.n ? memchr(plain.p, ':', plain.n) : NULL;
		if (!colon) {
			buf_release(&plain);
			return err_set(err, ERR_CONFIG, "%s: the login for registry %s cannot be read: docker login again", file,
			               server);
		}
		*colon = '\0';
		l.user = plain.p;
		l.password = colon + 1;
	}
	if (l.user || l.token)
		bad = write_header(&l, server, out, err);
	buf_release(&plain);
	return bad;
}

/* ---- a login that a program keeps ---- */

struct helper {
	char program[160]; /* docker-credential-NAME */
	pid_t pid;
	int out; /* our end of its standard output */
	int64_t until;
};

static int helper_bad(const struct helper *h, const char *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "the credential helper %s %s (docker's config.json names it)", h->program, why);
}

/* in, out: its standard input and output. An errno. */
static int spawn(struct helper *h, int in, int out)
{
	char *const argv[] = {h->program, (char[]){"get"}, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, usual;

	(void)sigemptyset(&none); /* tasks have all signals blocked */
	(void)sigemptyset(&usual);
	(void)sigaddset(&usual, SIGPIPE);
	if (posix_spawnattr_init(&attr) != 0)
		return ENOMEM;
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &usual);
	int bad = posix_spawn_file_actions_init(&files);
	if (!bad) {
		bad = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO) ||
		      posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO) ||
		      posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
		bad = bad ? ENOMEM : posix_spawnp(&h->pid, h->program, &files, &attr, argv, environ);
		(void)posix_spawn_file_actions_destroy(&files);
	}
	(void)posix_spawnattr_destroy(&attr);
	return bad;
}

/* Starts it with the server's name to read: that is in the pipe before, which a name always fits into. */
static int start(struct helper *h, const char *server, struct err *err)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0)
		return err_set(err, ERR_TEMPORARY, "no pipe for %s: %s", h->program, strerror(errno));
	const bool good = write(in[1], server, strlen(server)) == (ssize_t)strlen(server) && pipe2(out, O_CLOEXEC) == 0;
	(void)close(in[1]);
	if (!good) {
		(void)close(in[0]);
		return err_set(err, ERR_TEMPORARY, "no pipe for %s", h->program);
	}
	const int bad = spawn(h, in[0], out[1]);
	(void)close(in[0]);
	(void)close(out[1]);
	h->out = out[0];
	if (!bad)
		return 0;
	(void)close(h->out);
	return helper_bad(h, bad == ENOENT ? "is not found in PATH" : "cannot be started", err);
}

/* Its answer, until it closes its output. */
static int converse(struct tasks *tasks, const struct helper *h, struct buf *said, struct err *err)
{
	char block[4096];
	ssize_t n = 1;

	while (n > 0 || errno == EINTR) {
		struct pollfd fd = {.fd = h->out, .events = POLLIN};
		const int64_t left = h->until - clock_monotonic_ms();
		if (left <= 0)
			return helper_bad(h, "does not answer", err);
		if (tasks_poll(tasks, &fd, 1, left) <= 0)
			continue;
		n = read(h->out, block, sizeof block);
		if (n == 0)
			return buf_ok(said, err);
		if (n > 0)
			buf_put(said, block, (size_t)n);
	}
	return helper_bad(h, "cannot be read", err);
}

/* -1: it had to be ended. */
static int await_end(struct tasks *tasks, const struct helper *h, int *status)
{
	while (waitpid(h->pid, status, WNOHANG) == 0) {
		if (clock_monotonic_ms() >= h->until) {
			(void)kill(h->pid, SIGKILL);
			(void)waitpid(h->pid, status, 0);
			return -1;
		}
		tasks_sleep(tasks, 5);
	}
	return 0;
}

static int from_helper(struct tasks *tasks, const char *name, const char *server, struct buf *out, struct err *err)
{
	struct helper h = {.until = clock_monotonic_ms() + HELPER_MS};
	struct buf said = BUF_INIT(SECRET_MAX);
	int status = 0;

	const int n = snprintf(h.program, sizeof h.program, "docker-credential-%s", name);
	if (n < 0 || (size_t)n >= sizeof h.program || strchr(name, '/'))
		return err_set(err, ERR_CONFIG, "docker's config.json: \"%.80s\" is no name of a credential helper", name);
	if (start(&h, server, err) < 0)
		return -1;
	int bad = converse(tasks, &h, &said, err);
	(void)close(h.out);
	if (bad)
		h.until = 0;
	if (await_end(tasks, &h, &status) < 0 && !bad)
		bad = helper_bad(&h, "does not end", err);
	/* A failure is told on standard output. What else stands there may be a secret. */
	const bool none = said.n && strstr(said.p, "credentials not found");
	json_t *doc = bad || status ? NULL : json_loadb(said.p ? said.p : "", said.n, 0, NULL);
	const char *user = doc_str(doc, "Username"), *secret = doc_str(doc, "Secret");
	const bool token = user && strcmp(user, "<token>") == 0;
	const struct login l = {
		.user = token ? NULL : user, .password = token ? NULL : secret, .token = token ? secret : NULL};
	if (!bad && user && secret)
		bad = write_header(&l, server, out, err);
	else if (!bad && !(status && none))
		bad = helper_bad(&h, status ? "failed" : "gives no login", err);
	json_decref(doc);
	buf_release(&said);
	return bad;
}

/* ---- the file ---- */

/* 0 without *doc: there is none. */
static int read_config(const char *folder, char file[PATH_BYTES], json_t **doc, struct err *err)
{
	json_error_t why;

	*doc = NULL;
	const int n = snprintf(file, PATH_BYTES, "%s/config.json", folder);
	if (n < 0 || n >= PATH_BYTES)
		return err_set(err, ERR_CONFIG, "the path of docker's config.json is too long");
	FILE *f = fopen(file, "re");
	if (!f && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!f)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", file, strerror(errno));
	*doc = json_loadf(f, 0, &why);
	(void)fclose(f);
	/* The reason would quote a piece of the file. */
	return *doc ? 0 : err_set(err, ERR_CONFIG, "%s:%d: is no JSON", file, why.line);
}

int credentials_find(struct tasks *tasks, const char *folder, const char *ref, struct buf *out, struct err *err)
{
	char registry[256], file[PATH_BYTES];
	json_t *doc, *entry;
	const char *key;
	int bad = 0;

	if (read_config(folder, file, &doc, err) < 0)
		return -1;
	credentials_registry(ref, registry, sizeof registry);
	const char *server = strcmp(registry, HUB) == 0 ? HUB_KEY : registry;
	json_t *auths = json_object_get(doc, "auths"), *found = json_object_get(auths, server);
	const char *helper = json_string_value(json_object_get(json_object_get(doc, "credHelpers"), server));
	if (!helper)
		helper = json_string_value(json_object_get(json_object_get(doc, "credHelpers"), registry));
	if (!helper)
		helper = json_string_value(json_object_get(doc, "credsStore"));
	json_object_foreach(auths, key, entry) {
		if (!found && is_key_of(key, registry))
			found = entry;
	}
	if (helper && *helper)
		bad = from_helper(tasks, helper, server, out, err);
	else if (found)
		bad = from_file(found, server, file, out, err);
	json_decref(doc);
	return bad;
}
