#include "engine/where.h"

#include "engine/doc.h"
#include "engine/engine.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define LOCAL "unix:///var/run/docker.sock"
#define SSH_CONNECT_S "5" /* to a login; HTTP_CALL_MS bounds all of the first call */

/* In messages: of what the url is. */
static int no_url(const struct conf_host *host, const char *url, const char *why, struct err *err)
{
	if (host->url || !host->context)
		return err_set(err, ERR_CONFIG, "host %s: url %s: %s", host->name, host->url ? host->url : "is missing", why);
	return err_set(err, ERR_CONFIG, "host %s: docker context %s: url %s: %s", host->name, host->context, url, why);
}

/* ---- tcp ---- */

/* "tcp://HOST[:PORT]": the port is 2375, and 2376 with TLS, as the IANA lists them. */
static int tcp_base(const struct conf_host *host, struct where *w, const char *url, bool tls, struct err *err)
{
	const char *at = url + strlen("tcp://"), *from = at;
	const size_t n = strcspn(at, "/");

	if (at[n] && at[n + 1])
		return no_url(host, url, "a path is not supported: use tcp://HOST:PORT", err);
	if (!n || strcspn(at, "@?#% \t") < n)
		return no_url(host, url, "use tcp://HOST:PORT", err);
	if (*at == '[') /* IPv6: its colons are no port's */
		from = memchr(at, ']', n) ? strchr(at, ']') : at + n;
	const char *colon = memchr(from, ':', n - (size_t)(from - at)), *end = at;
	if (colon == at || (colon && (!doc_port(colon + 1, &end) || end != at + n)))
		return no_url(host, url, "use tcp://HOST:PORT with a port from 1 to 65535", err);
	const int len = snprintf(w->base, sizeof w->base, "http%s://%.*s%s", tls ? "s" : "", (int)n, at,
	                         colon ? ""
	                         : tls ? ":2376"
	                               : ":2375");
	w->target.base = w->base;
	return len < 0 || (size_t)len >= sizeof w->base ? no_url(host, url, "is too long", err) : 0;
}

/* The folder's ca.pem, and cert.pem and key.pem: without both of them the server may not ask who we are. */
static int certificates(const struct conf_host *host, struct where *w, const char *folder, struct err *err)
{
	static const char *const files[] = {"ca.pem", "cert.pem", "key.pem"};
	int why[3];

	for (size_t i = 0; i < 3; i++) {
		const int n = snprintf(w->pem[i], sizeof w->pem[i], "%s/%s", folder, files[i]);
		if (n < 0 || (size_t)n >= sizeof w->pem[i])
			return err_set(err, ERR_CONFIG, "host %s: cert_path is too long", host->name);
		why[i] = access(w->pem[i], R_OK) < 0 ? errno : 0;
	}
	const bool anonymous = why[1] == ENOENT && why[2] == ENOENT;
	for (size_t i = 0; i < 3; i++)
		if (why[i] && !(i && anonymous))
			return err_set(err, ERR_DENIED,
			               "host %s: cannot read %s: %s (look at cert_path: it needs ca.pem, cert.pem and key.pem)",
			               host->name, w->pem[i], strerror(why[i]));
	w->target.ca = w->pem[0];
	w->target.cert = anonymous ? NULL : w->pem[1];
	w->target.key = anonymous ? NULL : w->pem[2];
	return 0;
}

/* ---- ssh ---- */

/* A part of the url that becomes an argument of ssh: nothing that it, or the shell over there, would read otherwise. */
static bool is_plain(const char *s, size_t n, const char *also)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(also, s[i]))
			return false;
	return n && *s != '-';
}

static bool take(char *out, size_t size, const char *s, size_t n, const char *also)
{
	if (n >= size || !is_plain(s, n, also))
		return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

/* "ssh://[USER@]HOST[:PORT][/PATH]", as the docker command takes it; PATH is the engine's socket there. */
static bool split_ssh(struct where *w, const char *at)
{
	const size_t n = strcspn(at, "/");
	const char *login = memchr(at, '@', n), *end = at + n;

	w->path[0] = '\0';
	if (at[n] && at[n + 1] && !take(w->path, sizeof w->path, at + n, strlen(at + n), "/._-"))
		return false;
	if (login && !take(w->user, sizeof w->user, at, (size_t)(login - at), "._-"))
		return false;
	at = login ? login + 1 : at;
	if (*at == '[') {
		const char *close = memchr(at, ']', (size_t)(end - at));
		if (!close || !take(w->machine, sizeof w->machine, at + 1, (size_t)(close - at - 1), ":.%"))
			return false;
		at = close + 1;
	} else {
		const char *colon = memchr(at, ':', (size_t)(end - at));
		const size_t len = (size_t)((colon ? colon : end) - at);
		if (!take(w->machine, sizeof w->machine, at, len, "._-"))
			return false;
		at += len;
	}
	const char *over = at;
	if (at == end)
		return true;
	return *at == ':' && doc_port(at + 1, &over) && over == end &&
	       take(w->port, sizeof w->port, at + 1, (size_t)(end - at - 1), "");
}

/* The command line of the docker command, and that nobody is asked anything: there is no one to answer. */
static int ssh_program(const struct conf_host *host, struct where *w, const char *url, struct err *err)
{
	size_t n = 0;

	if (!split_ssh(w, url + strlen("ssh://")))
		return no_url(host, url, "use ssh://USER@HOST:PORT; a password belongs to nothing but an agent", err);
	w->target.base = "http://localhost";
	w->argv[n++] = "ssh";
	w->argv[n++] = "-o";
	w->argv[n++] = "ConnectTimeout=" SSH_CONNECT_S;
	w->argv[n++] = "-o";
	w->argv[n++] = "BatchMode=yes";
	w->argv[n++] = "-T";
	if (*w->user) {
		w->argv[n++] = "-l";
		w->argv[n++] = w->user;
	}
	if (*w->port) {
		w->argv[n++] = "-p";
		w->argv[n++] = w->port;
	}
	w->argv[n++] = "--";
	w->argv[n++] = w->machine;
	w->argv[n++] = "docker";
	if (*w->path) {
		const int len = snprintf(w->base, sizeof w->base, "unix://%s", w->path);
		if (len < 0 || (size_t)len >= sizeof w->base)
			return no_url(host, url, "is too long", err);
		w->argv[n++] = "--host";
		w->argv[n++] = w->base;
	}
	w->argv[n++] = "system";
	w->argv[n++] = "dial-stdio";
	w->argv[n] = NULL;
	return 0;
}

/* ---- docker contexts: how the docker command keeps them, https://github.com/docker/cli/tree/master/cli/context ----
 */

static json_t *load(const struct conf_host *host, const char *path, bool *missing, struct err *err)
{
	json_error_t why;
	json_t *doc = json_load_file(path, 0, &why);

	*missing = !doc && json_error_code(&why) == json_error_cannot_open_file && errno == ENOENT;
	if (!doc && !*missing)
		(void)err_set(err, ERR_CONFIG, "host %s: cannot read %s: %s", host->name, path, why.text);
	return doc;
}

/* The name of the context; "default" is none. */
static int context_name(const struct conf_host *host, char *name, size_t size, struct err *err)
{
	char path[WHERE_PATH];
	bool missing = true;
	json_t *doc = NULL;

	if (*host->context)
		return snprintf(name, size, "%s", host->context) < (int)size ? 0
		                                                             : no_url(host, "", "its name is too long", err);
	(void)snprintf(name, size, "default");
	if (!host->docker_config)
		return 0;
	(void)snprintf(path, sizeof path, "%.*s/config.json", WHERE_PATH - 16, host->docker_config);
	doc = load(host, path, &missing, err);
	if (!doc)
		return missing ? 0 : -1;
	const char *current = doc_str(doc, "currentContext");
	const bool fits = !current || !*current || snprintf(name, size, "%s", current) < (int)size;
	json_decref(doc);
	return fits ? 0 : no_url(host, "", "its name is too long", err);
}

static int digest(const char *name, char hex[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (EVP_Digest(name, strlen(name), md, &n, EVP_sha256(), NULL) != 1 || n != 32)
		return -1;
	for (unsigned int i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", md[i]);
	return 0;
}

/* Where the context NAME is: its url to w, the folder of its certificates, "" for none. */
static int read_context(const struct conf_host *host, struct where *w, const char *name, char *folder, size_t size,
                        struct err *err)
{
	const char *home = host->docker_config;
	char path[WHERE_PATH], id[65];
	bool missing = true;

	if (digest(name, id) < 0)
		return err_set(err, ERR_TEMPORARY, "host %s: no SHA-256", host->name);
	int n = snprintf(path, sizeof path, "%s/contexts/meta/%s/meta.json", home ? home : "", id);
	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(err, ERR_CONFIG, "host %s: the path %.80s... is too long", host->name, path);
	json_t *doc = home ? load(host, path, &missing, err) : NULL;
	if (!doc && missing)
		return err_set(err, ERR_CONFIG,
		               "host %s: there is no docker context \"%s\" in %s (docker context ls shows them)", host->name,
		               name, home ? home : "the home folder, for HOME is not set");
	if (!doc)
		return -1;
	const char *url = doc_str(doc, "Endpoints.docker.Host");
	int bad = 0;
	(void)snprintf(w->url, sizeof w->url, "%s", url ? url : "");
	if (!*w->url || strlen(url) >= sizeof w->url)
		bad = err_set(err, ERR_CONFIG, "host %s: docker context \"%s\" has no Docker endpoint", host->name, name);
	else if (doc_true(doc, "Endpoints.docker.SkipTLSVerify"))
		bad = err_set(err, ERR_CONFIG,
		              "host %s: docker context \"%s\" does not look at the server's certificate (skip-tls-verify), so "
		              "anybody could be it: give the context its ca",
		              host->name, name);
	json_decref(doc);
	n = snprintf(folder, size, "%s/contexts/tls/%s/docker", home, id);
	if (n < 0 || (size_t)n >= size || access(folder, F_OK) < 0)
		folder[0] = '\0';
	return bad;
}

/* ---- all of them ---- */

int engine_files(const struct conf_host *host, struct engine_files *out, struct err *err)
{
	struct where w = {.url = ""};
	const int rc = where_find(host, &w, err);

	(void)snprintf(out->ca, sizeof out->ca, "%s", w.target.ca ? w.target.ca : "");
	(void)snprintf(out->cert, sizeof out->cert, "%s", w.target.cert ? w.target.cert : "");
	(void)snprintf(out->key, sizeof out->key, "%s", w.target.key ? w.target.key : "");
	return rc;
}

int where_find(const struct conf_host *host, struct where *w, struct err *err)
{
	char name[WHERE_PATH / 2], folder[WHERE_PATH] = "";
	const char *url = host->url, *certs = host->cert_path;

	if (url && host->context)
		return err_set(err, ERR_CONFIG, "host %s: it has both a url and a context: take one away", host->name);
	if (!url && !host->context)
		return no_url(host, "", "give a url or a context", err);
	if (!url) {
		if (context_name(host, name, sizeof name, err) < 0)
			return -1;
		const bool is_default = strcmp(name, "default") == 0;
		if (!is_default && read_context(host, w, name, folder, sizeof folder, err) < 0)
			return -1;
		url = is_default ? LOCAL : w->url;
		certs = *folder ? folder : NULL;
	}
	if (strncmp(url, "unix://", 7) == 0) {
		w->target.unix_path = url + 7;
		w->target.base = "http://localhost";
		return *w->target.unix_path == '/' ? 0 : no_url(host, url, "use unix:///PATH", err);
	}
	if (strncmp(url, "ssh://", 6) == 0)
		return ssh_program(host, w, url, err);
	if (strncmp(url, "http", 4) == 0)
		return no_url(host, url, "use tcp://HOST:PORT; cert_path turns TLS on", err);
	if (strncmp(url, "tcp://", 6) != 0)
		return no_url(host, url, "use unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST", err);
	if (tcp_base(host, w, url, certs != NULL, err) < 0)
		return -1;
	return certs ? certificates(host, w, certs, err) : 0;
}
