/* What is on this machine: the program, its libraries and drivers, the configuration's files, the zone database. */
#include "alert/alert.h"
#include "base/cert.h"
#include "base/http.h"
#include "base/limits.h"
#include "cmd/as-doctor/doctor.h"
#include "engine/engine.h"
#include "policy/schedule.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#ifndef AS_VERSION
#define AS_VERSION "0.0"
#endif

void check_program(const struct doctor *d, size_t i, const struct findings *to)
{
	(void)d, (void)i;
	finding_ok(to, "version", "%s, records of version %d", AS_VERSION, RECORD_VERSION);
	finding_ok(to, "libraries", "%.*s, %s, SQLite %s, jansson %s", (int)strcspn(http_library(), " "), http_library(),
	           cert_library(), store_library(), engine_library());
}

/* A driver that is not there is at fault only where an address asks for it. */
static bool is_asked_for(const struct conf *c, const char *module)
{
	const size_t n = strlen(module);

	return strncmp(c->store, module, n) == 0 || strncmp(c->alerts, module, n) == 0;
}

void check_modules(const struct doctor *d, size_t i, const struct findings *to)
{
	(void)i;
	for (const char *const *m = store_modules; *m; m++) {
		struct err err = {0};
		const char *library = store_module_library(*m, &err);
		if (library)
			finding_ok(to, *m, "is there, with client library %s", library);
		else if (is_asked_for(&d->f.conf, *m))
			finding_failed(to, *m, &err,
			               "install it from the same build as this program, with the client library it names");
		else
			finding_ok(to, *m, "is not used, and not there: %s", err.message);
	}
}

void check_zones(const struct doctor *d, size_t i, const struct findings *to)
{
	char why[300];

	(void)d, (void)i;
	if (schedule_zones(why, sizeof why))
		finding_ok(to, "database", "%s", why);
	else
		finding_bad(
			to, FINDING_FAIL, "database", why,
			"install the package tzdata, or set TZDIR to a zone database: without it a schedule in a zone holds "
			"at no time");
}

/* Nobody else may change what is believed. */
static void check_mode(const char *what, const char *file, const struct findings *to)
{
	char found[FINDING_TEXT];
	struct stat st;

	if (stat(file, &st) < 0) {
		(void)snprintf(found, sizeof found, "cannot look at %s: %s", file, strerror(errno));
		finding_bad(to, FINDING_FAIL, what, found, "let this user (uid %lu) read it", (unsigned long)geteuid());
	} else if ((st.st_mode & 022) || (st.st_uid != 0 && st.st_uid != geteuid())) {
		(void)snprintf(found, sizeof found, "others may change %s (mode %04o, uid %lu), and with it what is done here",
		               file, (unsigned)st.st_mode & 07777, (unsigned long)st.st_uid);
		finding_bad(to, FINDING_FAIL, what, found, "chmod go-w %s, and chown it to root, or to who runs this", file);
	} else {
		finding_ok(to, what, "%s can be read, and only its owner may change it", file);
	}
}

static int read_all(const char *file, struct buf *text, struct err *err)
{
	const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char block[16384];
	ssize_t n = -1;

	while (fd >= 0 && ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)))
		buf_put(text, block, n > 0 ? (size_t)n : 0);
	const int why = errno;
	if (fd >= 0)
		(void)close(fd);
	return n < 0 ? err_set(err, ERR_CONFIG, "cannot read %s: %s", file, strerror(why)) : buf_ok(text, err);
}

static void check_mapping(const char *file, const struct findings *to)
{
	struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	struct err err = {0};
	struct alert_sources *sources = alert_sources_new(&err);

	if (sources && read_all(file, &text, &err) == 0 &&
	    alert_sources_add(sources, file, text.p ? text.p : "", &err) == 0)
		check_mode("mapping", file, to);
	else
		finding_failed(to, "mapping", &err,
		               "correct the line, or the path `mapping` in [ingest]; autoscale-mapping(5)");
	alert_sources_free(sources);
	buf_release(&text);
}

void check_configuration(const struct doctor *d, size_t i, const struct findings *to)
{
	const struct conf *c = &d->f.conf;

	(void)i;
	if (c->file)
		check_mode("file", c->file, to);
	else
		finding_ok(to, "file", "there is none: the defaults hold");
	if (c->mapping)
		check_mapping(c->mapping, to);
}
