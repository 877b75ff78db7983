#include "store/url.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define URL_MAX 8192
#define PASSWORD_MAX 1024

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy of n bytes with its percent escapes resolved. NULL: a bad escape, a NUL inside, or no memory. */
static char *decoded(const char *p, size_t n)
{
	char *out = malloc(n + 1), *q = out;

	for (size_t i = 0; out && i < n; i++) {
		int c = (unsigned char)p[i];
		if (c == '%') {
			const int hi = i + 1 < n ? hex(p[i + 1]) : -1, lo = i + 2 < n ? hex(p[i + 2]) : -1;
			c = hi < 0 || lo < 0 ? 0 : hi * 16 + lo;
			i += 2;
		}
		if (c == 0) {
			free(out);
			return NULL;
		}
		*q++ = (char)c;
	}
	if (out)
		*q = '\0';
	return out;
}

static int take(char **field, const char *p, size_t n, const char *what, const struct url *u, struct err *err)
{
	*field = decoded(p, n);
	return *field ? 0 : err_set(err, ERR_CONFIG, "%s: the %s has a bad percent escape (%%40 is @)", u->shown, what);
}

void url_release(struct url *u)
{
	free(u->scheme);
	free(u->user);
	if (u->password)
		explicit_bzero(u->password, strlen(u->password));
	free(u->password);
	free(u->host);
	free(u->database);
	free(u->shown);
	for (size_t i = 0; i < u->noptions; i++) {
		free(u->options[i].name);
		free(u->options[i].value);
	}
	*u = (struct url){0};
}

const char *url_option(const struct url *u, const char *name)
{
	for (size_t i = 0; i < u->noptions; i++)
		if (strcasecmp(u->options[i].name, name) == 0)
			return u->options[i].value;
	return NULL;
}

int url_check_options(const struct url *u, const char *const *known, struct err *err)
{
	char list[400] = "";

	for (size_t i = 0; i < u->noptions; i++) {
		const char *const *k = known;
		while (*k && strcasecmp(*k, u->options[i].name) != 0)
			k++;
		if (*k)
			continue;
		for (k = known; *k; k++)
			(void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", k == known ? "" : ", ", *k);
		return err_set(err, ERR_CONFIG, "%s: unknown option \"%.40s\"; known are %s", u->shown, u->options[i].name,
		               list);
	}
	return 0;
}

static bool local_host(const char *p, size_t n)
{
	static const char *const names[] = {"", "localhost", "::1", "[::1]"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (n == strlen(names[i]) && strncasecmp(p, names[i], n) == 0)
			return true;
	return (n > 0 && *p == '/') || (n > 4 && strncmp(p, "127.", 4) == 0 && strspn(p, "0123456789.") >= n);
}

bool url_is_local(const struct url *u)
{
	for (const char *p = u->host;; p++) {
		const size_t n = strcspn(p, ",");
		const char *colon = memchr(p, ':', n);
		/* one colon ends a name or an IPv4 address; an IPv6 address in brackets ends with its bracket */
		size_t name = n;
		if (*p == '[')
			name = strcspn(p, "]") + 1;
		else if (colon && !memchr(colon + 1, ':', n - (size_t)(colon - p) - 1))
			name = (size_t)(colon - p);
		if (!local_host(p, name < n ? name : n))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

/* The address without its password; a text that is no address shows its scheme at most. */
static char *redacted(const char *text, const char *auth, const char *at)
{
	struct buf b = BUF_INIT(URL_MAX + 8);
	const char *colon = at ? memchr(auth, ':', (size_t)(at - auth)) : NULL;

	if (colon) {
		buf_put(&b, text, (size_t)(colon - text));
		buf_puts(&b, ":***");
		text = at;
	}
	buf_puts(&b, text);
	if (b.failed)
		buf_release(&b);
	return b.p;
}

static int read_password(struct url *u, const char *path, struct err *err)
{
	char text[PASSWORD_MAX + 1];
	struct stat st;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd < 0)
		return err_set(err, ERR_DENIED, "%s: cannot read password-file %s: %s", u->shown, path, strerror(errno));
	if (fstat(fd, &st) == 0 && (st.st_mode & 077) == 0)
		n = read(fd, text, sizeof text - 1);
	(void)close(fd);
	if (n < 0)
		return err_set(err, ERR_DENIED, "%s: others may read password-file %s: chmod 600 it", u->shown, path);
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	free(u->password);
	u->password = strdup(text);
	explicit_bzero(text, sizeof text);
	return u->password ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

static int take_options(struct url *u, const char *p, struct err *err)
{
	for (; *p; p += *p == '&') {
		const size_t n = strcspn(p, "&");
		const char *eq = memchr(p, '=', n);
		struct url_option *o = &u->options[u->noptions];
		if (!eq || eq == p)
			return err_set(err, ERR_CONFIG, "%s: an option is NAME=VALUE", u->shown);
		if (u->noptions == URL_OPTIONS_MAX)
			return err_set(err, ERR_CONFIG, "%s: more than %d options", u->shown, URL_OPTIONS_MAX);
		u->noptions++;
		if (take(&o->name, p, (size_t)(eq - p), "option", u, err) < 0 ||
		    take(&o->value, eq + 1, n - (size_t)(eq + 1 - p), "option", u, err) < 0)
			return -1;
		p += n;
	}
	const char *file = url_option(u, "password-file");
	return file ? read_password(u, file, err) : 0;
}

/* HOST[:PORT], or several of them as they are. */
static int take_host(struct url *u, const char *p, size_t n, struct err *err)
{
	const char *end = p + n, *colon = NULL;

	if (memchr(p, ',', n))
		return take(&u->host, p, n, "host", u, err);
	for (const char *q = *p == '[' ? p + strcspn(p, "]") : p; q < end; q++)
		if (*q == ':')
			colon = q;
	if (colon) {
		char *stop;
		u->port = strtol(colon + 1, &stop, 10);
		if (stop != end || stop == colon + 1 || u->port < 1 || u->port > 65535)
			return err_set(err, ERR_CONFIG, "%s: the port is a number from 1 to 65535", u->shown);
		end = colon;
	}
	if (*p == '[' && end > p && end[-1] == ']') {
		p++;
		end--;
	}
	return take(&u->host, p, (size_t)(end - p), "host", u, err);
}

/* Where the parts begin. A password may hold an @ that should have been escaped: the last one of the authority ends it,
 * so that no rest of a password is ever taken for a host and shown. */
static int parse(struct url *u, const char *text, struct err *err)
{
	const size_t scheme = strcspn(text, ":");
	const char *auth = text + scheme + 3, *end, *at = NULL;

	if (strncmp(text + scheme, "://", 3) != 0 || scheme == 0)
		return err_set(err, ERR_CONFIG, "the store's address is SCHEME://USER@HOST/DATABASE, such as mysql://as@db/as");
	if (strlen(text) > URL_MAX)
		return err_set(err, ERR_CONFIG, "the store's address is longer than %d bytes", URL_MAX);
	for (const char *p = auth; *p && *p != '?'; p++)
		if (*p == '@')
			at = p;
	const char *host = at ? at + 1 : auth;
	end = host + strcspn(host, "/?");
	u->shown = redacted(text, auth, at);
	if (!u->shown || !(u->scheme = strndup(text, scheme)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (at) {
		const char *colon = memchr(auth, ':', (size_t)(at - auth)), *user_end = colon ? colon : at;
		if (take(&u->user, auth, (size_t)(user_end - auth), "user", u, err) < 0 ||
		    (colon && take(&u->password, colon + 1, (size_t)(at - colon - 1), "password", u, err) < 0))
			return -1;
	}
	if (take_host(u, host, (size_t)(end - host), err) < 0)
		return -1;
	if (*end == '/') {
		const size_t n = strcspn(++end, "?");
		if (n && take(&u->database, end, n, "database", u, err) < 0)
			return -1;
		end += n;
	}
	return *end == '?' ? take_options(u, end + 1, err) : 0;
}

int url_parse(const char *text, struct url *u, struct err *err)
{
	*u = (struct url){0};
	if (parse(u, text, err) == 0)
		return 0;
	url_release(u);
	return -1;
}
