#include "engine/where.h"

#include "engine/doc.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static int no_url(const struct conf_host *host, const char *why, struct err *err)
{
	return err_set(err, ERR_CONFIG, "host %s: url %s: %s", host->name, host->url ? host->url : "is missing", why);
}

/* "tcp://HOST[:PORT]": the port is 2375, and 2376 with TLS, as the IANA lists them. */
static int tcp_base(const struct conf_host *host, char *base, size_t size, struct err *err)
{
	const char *at = host->url + strlen("tcp://"), *from = at;
	const size_t n = strcspn(at, "/");

	if (at[n] && at[n + 1])
		return no_url(host, "a path is not supported: use tcp://HOST:PORT", err);
	if (!n || strcspn(at, "@?#% \t") < n)
		return no_url(host, "use tcp://HOST:PORT", err);
	if (*at == '[') /* IPv6: its colons are no port's */
		from = memchr(at, ']', n) ? strchr(at, ']') : at + n;
	const char *colon = memchr(from, ':', n - (size_t)(from - at)), *end = at;
	if (colon == at || (colon && (!doc_port(colon + 1, &end) || end != at + n)))
		return no_url(host, "use tcp://HOST:PORT with a port from 1 to 65535", err);
	const int len = snprintf(base, size, "http%s://%.*s%s", host->cert_path ? "s" : "", (int)n, at,
	                         colon             ? ""
	                         : host->cert_path ? ":2376"
	                                           : ":2375");
	return len < 0 || (size_t)len >= size ? no_url(host, "is too long", err) : 0;
}

int where_find(const struct conf_host *host, struct where *w, struct err *err)
{
	struct http_target *t = &w->target;
	static const char *const files[] = {"ca.pem", "cert.pem", "key.pem"};
	const char *url = host->url ? host->url : "";

	if (!host->url && host->context)
		return no_url(host, "docker contexts are not supported yet: give the url and cert_path of the context", err);
	if (strncmp(url, "unix://", 7) == 0) {
		t->unix_path = url + 7;
		t->base = "http://localhost";
		return *t->unix_path == '/' ? 0 : no_url(host, "use unix:///PATH", err);
	}
	if (strncmp(url, "ssh://", 6) == 0)
		return no_url(host,
		              "ssh is not supported yet: forward the socket (ssh -L /run/h.sock:/run/docker.sock HOST) "
		              "and use unix:///run/h.sock",
		              err);
	if (strncmp(url, "http", 4) == 0)
		return no_url(host, "use tcp://HOST:PORT; cert_path turns TLS on", err);
	if (strncmp(url, "tcp://", 6) != 0)
		return no_url(host, "use unix:///PATH or tcp://HOST:PORT", err);
	if (tcp_base(host, w->base, sizeof w->base, err) < 0)
		return -1;
	t->base = w->base;
	if (!host->cert_path)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		const int n = snprintf(w->pem[i], sizeof w->pem[i], "%s/%s", host->cert_path, files[i]);
		if (n < 0 || (size_t)n >= sizeof w->pem[i])
			return err_set(err, ERR_CONFIG, "host %s: cert_path is too long", host->name);
	}
	t->ca = w->pem[0];
	t->cert = w->pem[1];
	t->key = w->pem[2];
	return 0;
}
