/* Docker's config.json: which login goes to which registry, and in which form. */
#include "engine/engine.h"
#include "tap.h"

#include "scratch.h"

#include <openssl/evp.h>

#include "base/banned.h"

static void write_file(const char *name, const char *text, mode_t mode)
{
	const char *path = scratch_path(name);
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path, mode) < 0)
		abort();
}

/* The header, decoded by somebody else's decoder; "" when there is none, the message when it failed. */
static const char *header(const char *config, const char *ref, struct err *err)
{
	static char text[4096];
	struct buf b = BUF_INIT(4096);

	*err = (struct err){0};
	text[0] = '\0';
	write_file("config.json", config, 0600);
	if (credentials_find(NULL, scratch, ref, &b, err) < 0) {
		(void)snprintf(text, sizeof text, "%s", err->message);
	} else if (b.n) {
		for (char *p = b.p; *p; p++)
			*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
		const int n = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)b.p, (int)b.n);
		text[n < 0 ? 0 : n] = '\0'; /* what padding stands for is NUL */
	}
	buf_release(&b);
	return text;
}

static void test_registries(void)
{
	static const struct {
		const char *ref, *registry;
	} rows[] = {
		{"webapp:1", "docker.io"},
		{"as/webapp@sha256:0", "docker.io"},
		{"docker.io/as/webapp:1", "docker.io"},
		{"r.example/webapp:1", "r.example"},
		{"r:5000/as/webapp", "r:5000"},
		{"localhost/webapp", "localhost"},
		{"localhosts/webapp", "docker.io"},
		{"10.1.2.3:5000/a@sha256:0", "10.1.2.3:5000"},
	};
	char got[256];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		credentials_registry(rows[i].ref, got, sizeof got);
		IS_STR(got, rows[i].registry, rows[i].ref);
	}
}

static void test_logins(void)
{
	static const struct {
		const char *name, *config, *ref, *want;
	} rows[] = {
		{"nobody logged in", "{}", "r.example/a:1", ""},
		{"logged in elsewhere", "{\"auths\":{\"s.example\":{\"auth\":\"YTpi\"}}}", "r.example/a:1", ""},
		{"a key is no beginning of another", "{\"auths\":{\"r.example.org\":{\"auth\":\"YTpi\"}}}", "r.example/a:1",
	     ""},
		{"name and password", "{\"auths\":{\"r.example\":{\"auth\":\"YTpi\"}}}", "r.example/a:1",
	     "{\"serveraddress\":\"r.example\",\"username\":\"a\",\"password\":\"b\"}"},
		{"a password with colons, padded", "{\"auths\":{\"r.example\":{\"auth\":\"YXM6YjpjOg==\"}}}", "r.example/a:1",
	     "{\"serveraddress\":\"r.example\",\"username\":\"as\",\"password\":\"b:c:\"}"},
		{"bytes beyond ASCII", "{\"auths\":{\"r.example\":{\"auth\":\"YTrDv8O/w78+Pz8=\"}}}", "r.example/a:1",
	     "{\"serveraddress\":\"r.example\",\"username\":\"a\",\"password\":\"\xc3\xbf\xc3\xbf\xc3\xbf>??\"}"},
		{"a key that is a URL", "{\"auths\":{\"https://r.example/v1/\":{\"auth\":\"YTpi\"}}}", "r.example/a:1",
	     "{\"serveraddress\":\"r.example\",\"username\":\"a\",\"password\":\"b\"}"},
		{"the hub's key", "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YTpi\"}}}", "as/a:1",
	     "{\"serveraddress\":\"https://index.docker.io/v1/\",\"username\":\"a\",\"password\":\"b\"}"},
		{"a token goes before a password", "{\"auths\":{\"r.example\":{\"auth\":\"YTpi\",\"identitytoken\":\"t\"}}}",
	     "r.example/a:1", "{\"serveraddress\":\"r.example\",\"username\":\"a\",\"identitytoken\":\"t\"}"},
		{"in plain", "{\"auths\":{\"r.example\":{\"username\":\"a\",\"password\":\"b\"}}}", "r.example/a:1",
	     "{\"serveraddress\":\"r.example\",\"username\":\"a\",\"password\":\"b\"}"},
		{"an entry of a login that a helper keeps", "{\"auths\":{\"r.example\":{}}}", "r.example/a:1", ""},
	};
	struct err err;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		IS_STR(header(rows[i].config, rows[i].ref, &err), rows[i].want, rows[i].name);
}

static void test_helpers(void)
{
	struct err err;
	char path[4096];
	static const char use[] = "{\"credsStore\":\"t\",\"auths\":{\"r.example\":{\"auth\":\"YTpi\"}}}";

	(void)snprintf(path, sizeof path, "%s:%s", scratch, getenv("PATH"));
	(void)setenv("PATH", path, 1);
	write_file("docker-credential-t",
	           "#!/bin/sh\nread -r at\necho \"{\\\"Username\\\":\\\"$1\\\",\\\"Secret\\\":\\\"$at\\\"}\"\n", 0700);
	IS_STR(header(use, "r.example/a:1", &err),
	       "{\"serveraddress\":\"r.example\",\"username\":\"get\",\"password\":\"r.example\"}",
	       "the store is asked before the file");
	IS_STR(header("{\"credsStore\":\"nowhere\",\"credHelpers\":{\"r.example\":\"t\"}}", "r.example/a:1", &err),
	       "{\"serveraddress\":\"r.example\",\"username\":\"get\",\"password\":\"r.example\"}",
	       "a registry's own helper before the store");
	IS_STR(header(use, "a:1", &err),
	       "{\"serveraddress\":\"https://index.docker.io/v1/\",\"username\":\"get\",\"password\":\"https://"
	       "index.docker.io/v1/\"}",
	       "the hub by its URL");
	write_file("docker-credential-t", "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"s\"}'\n", 0700);
	IS_STR(header(use, "r.example/a:1", &err), "{\"serveraddress\":\"r.example\",\"identitytoken\":\"s\"}",
	       "a token, from one that reads nothing");
	write_file("docker-credential-t", "#!/bin/sh\necho 'credentials not found in native keychain'; exit 1\n", 0700);
	IS_STR(header(use, "r.example/a:1", &err), "", "it knows no login");
	write_file("docker-credential-t", "#!/bin/sh\necho '{\"Username\":\"u\"}'\n", 0700);
	IS_STR(header(use, "r.example/a:1", &err),
	       "the credential helper docker-credential-t gives no login (docker's config.json names it)",
	       "half an answer");
	write_file("docker-credential-t", "#!/bin/sh\nhead -c 100000 /dev/zero\n", 0700);
	OK(header(use, "r.example/a:1", &err) && err.code == ERR_LIMIT, "an answer without an end: %s", err.message);
	(void)header("{\"credsStore\":\"../../bin/t\"}", "r.example/a:1", &err);
	OK(err.code == ERR_CONFIG && strstr(err.message, "no name of a credential helper"), "a path is no helper: %s",
	   err.message);
}

static void test_refused(void)
{
	struct err err;

	(void)header("{\"auths\":{\"r.example\":{\"auth\":\"canary\"}}}", "r.example/a:1", &err);
	OK(err.code == ERR_CONFIG && strstr(err.message, "docker login again") && !strstr(err.message, "canary"),
	   "what is no login is not shown: %s", err.message);
	(void)header("{\"auths\":{\n\"canary\"", "r.example/a:1", &err);
	OK(err.code == ERR_CONFIG && strstr(err.message, "config.json:2: is no JSON") && !strstr(err.message, "canary"),
	   "what is no JSON is not shown: %s", err.message);
	struct buf b = BUF_INIT(100);
	err = (struct err){0};
	OK(credentials_find(NULL, "/nonexistent", "a:1", &b, &err) == 0 && !b.n, "no file is no login");
}

int main(void)
{
	scratch_make();
	test_registries();
	test_logins();
	test_helpers();
	test_refused();
	scratch_remove();
	return DONE();
}
