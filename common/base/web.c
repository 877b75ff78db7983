#include "base/web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* n bytes with %XX as what they mean. New; NULL: no memory. */
static char *decoded(const char *p, size_t n)
{
	char *out = malloc(n + 1);
	size_t k = 0;

	for (size_t i = 0; out && i < n; i++) {
		if (p[i] == '%' && i + 2 < n && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
			out[k++] = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
			i += 2;
		} else {
			out[k++] = p[i];
		}
	}
	if (out)
		out[k] = '\0';
	return out;
}

int web_read(struct web *w, const char *url, const char *more, const char *what, struct err *err)
{
	const size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
	const char *host = url + scheme, *slash = strchr(host, '/'), *end = slash ? slash : host + strlen(host);
	const char *at = memrchr(host, '@', (size_t)(end - host));
	const char *colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
	size_t prefix = strlen(end);

	*w = (struct web){.base = NULL};
	if (at) {
		w->user = decoded(host, (size_t)((colon ? colon : at) - host));
		w->password = colon ? decoded(colon + 1, (size_t)(at - colon - 1)) : strdup("");
		host = at + 1;
	}
	if (!scheme || end == host || strpbrk(url, "?# "))
		return err_set(err, ERR_CONFIG,
		               "%s is http:// or https:// with a host, perhaps a port and a path, as http://127.0.0.1:9090",
		               what);
	while (prefix && end[prefix - 1] == '/')
		prefix--;
	if (asprintf(&w->base, "%.*s%.*s", (int)scheme, url, (int)(end - host), host) < 0)
		w->base = NULL;
	if (asprintf(&w->path, "%.*s%s", (int)prefix, end, more) < 0)
		w->path = NULL;
	return w->base && w->path && (!at || (w->user && w->password)) ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

void web_release(struct web *w)
{
	free(w->base);
	free(w->path);
	free(w->user);
	free(w->password);
	*w = (struct web){.base = NULL};
}

int web_token(const char *file, const char *what, char token[WEB_TOKEN], struct err *err)
{
	struct stat st;
	const int fd = open(file, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0) {
		const int why = errno;
		if (fd >= 0)
			(void)close(fd);
		return err_set(err, ERR_CONFIG, "%s: cannot read %s: %s", what, file, strerror(why));
	}
	n = read(fd, token, WEB_TOKEN - 1);
	(void)close(fd);
	if (st.st_mode & 077)
		return err_set(err, ERR_CONFIG, "%s: others may read the token: chmod 600 %s", what, file);
	token[n > 0 ? n : 0] = '\0';
	token[strcspn(token, "\r\n")] = '\0';
	return *token ? 0 : err_set(err, ERR_CONFIG, "%s: there is no token in %s", what, file);
}
