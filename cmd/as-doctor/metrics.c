/* What as-sample measures with: a Prometheus, a folder of programs, a folder of files. */
#include "base/clock.h"
#include "base/http.h"
#include "base/limits.h"
#include "base/trust.h"
#include "base/web.h"
#include "cmd/as-doctor/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- Prometheus ---- */

static void ask(struct http *h, const char *path, const struct findings *to)
{
	struct buf reply = BUF_INIT(HTTP_BODY_MAX);
	struct err err = {0};
	long status = 0;

	if (http_call(h, "GET", path, NULL, 0, NULL, 0, &reply, &status, &err) < 0) {
		finding_failed(
			to, "query", &err,
			err.code == ERR_DENIED
				? "set `prometheus_ca` of [metrics] to the authority that signed the server's certificate, or "
				  "have that one made anew"
				: "start Prometheus, or correct `prometheus` in [metrics]");
	} else if (status == 401 || status == 403) {
		(void)err_set(&err, ERR_DENIED, "it answers %ld: our login is not let in", status);
		finding_failed(to, "query", &err,
		               "put the right token into the file that `prometheus_token_file` of [metrics] names, or name and "
		               "password into "
		               "`prometheus`");
	} else if (status != 200 || !reply.p || !strstr(reply.p, "\"success\"")) {
		(void)err_set(&err, ERR_REMOTE, "it answers %ld to a query, and no success", status);
		finding_failed(to, "query", &err,
		               "correct `prometheus` in [metrics]: the address, up to what stands before /api/v1");
	} else {
		finding_ok(to, "query", "a query is answered");
	}
	if (http_certificate(h) != TIME_NONE)
		finding_until(to, "server certificate", "its certificate", http_certificate(h), clock_now_ms(),
		              "have the server's certificate made anew");
	if (status)
		check_date(to, http_header(h), SET_CLOCKS);
	buf_release(&reply);
}

void check_prometheus(const struct doctor *d, size_t i, const struct findings *to)
{
	const struct conf_metrics *c = &d->f.conf.metrics;
	char token[WEB_TOKEN];
	struct err err = {0};
	struct web web;

	(void)i;
	if (web_read(&web, c->prometheus, "/api/v1/query?query=1", "prometheus in [metrics]", &err) < 0) {
		finding_failed(to, "address", &err, "correct `prometheus` in [metrics]");
	} else if (c->prometheus_token_file &&
	           web_token(c->prometheus_token_file, "prometheus_token_file", token, &err) < 0) {
		finding_failed(to, "token", &err, "put the token into that file, for its owner alone: chmod 600 %s",
		               c->prometheus_token_file);
	} else {
		const struct http_target target = {.base = web.base,
		                                   .ca = c->prometheus_ca,
		                                   .user = web.user,
		                                   .password = web.password,
		                                   .token = c->prometheus_token_file ? token : NULL,
		                                   .name = "prometheus",
		                                   .certificate = true,
		                                   .header = "Date"};
		struct http *h = http_new(&target, &err);
		if (h)
			ask(h, web.path, to);
		else
			finding_failed(to, "address", &err, "correct `prometheus` in [metrics]");
		http_free(h);
	}
	web_release(&web);
}

/* ---- programs ---- */

static void check_each(const char *folder, const struct findings *to)
{
	const struct dirent *entry;
	char path[PATH_MAX];
	struct err err;
	size_t good = 0, bad = 0;

	DIR *dir = opendir(folder);
	while (dir && (entry = readdir(dir))) { // cppcheck-suppress readdirCalled
		if (*entry->d_name == '.')
			continue; /* no policy can name it */
		(void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (trust_program(path, &err) == 0) {
			good++;
			continue;
		}
		bad++;
		if (err.code == ERR_DENIED)
			finding_failed(to, "program", &err, "chmod +x %s", path);
		else
			finding_failed(to, "program", &err, "chown root %s && chmod go-w %s; or remove it", path, path);
	}
	if (dir)
		(void)closedir(dir);
	if (!bad)
		finding_ok(to, "programs", "%zu in %s, which only their owner may change", good, folder);
}

void check_programs(const struct doctor *d, size_t i, const struct findings *to)
{
	const char *folder = d->f.conf.metrics.programs;
	struct err err = {0};

	(void)i;
	if (access(folder, F_OK) < 0 && errno == ENOENT && strcmp(folder, CONF_PROGRAMS) == 0)
		finding_ok(to, "folder", "there is no %s: no label can name a program", folder);
	else if (trust_folder(folder, &err) < 0)
		finding_failed(to, "folder", &err,
		               err.code == ERR_REFUSED ? "chown root %s && chmod go-w %s"
		                                       : "mkdir -p %s (root's, chmod go-w %s), "
		                                         "or correct `programs` in [metrics]",
		               folder, folder);
	else
		check_each(folder, to);
}

void check_files(const struct doctor *d, size_t i, const struct findings *to)
{
	const char *folder = d->f.conf.metrics.files;
	char found[FINDING_TEXT];

	(void)i;
	if (access(folder, R_OK | X_OK) == 0) {
		finding_ok(to, "folder", "%s can be read", folder);
	} else if (errno == ENOENT && strcmp(folder, CONF_FILES) == 0) {
		finding_ok(to, "folder", "there is no %s: no label can name a file", folder);
	} else {
		(void)snprintf(found, sizeof found, "cannot look into %s: %s", folder, strerror(errno));
		finding_bad(to, FINDING_FAIL, "folder", found,
		            "make it, let this user (uid %lu) read it, or correct `files` in [metrics]",
		            (unsigned long)geteuid());
	}
}
