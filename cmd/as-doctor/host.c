/* An engine: does it answer, in which version, how long are the certificates good, how late is it there? */
#include "base/cert.h"
#include "base/clock.h"
#include "cmd/as-doctor/doctor.h"
#include "engine/engine.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define RENEW                                                                                                          \
	"have a new one made by the authority that the engine trusts (its --tlscacert, extendedKeyUsage=clientAuth), and " \
	"put "                                                                                                             \
	"it there with its key.pem"

static void check_client(const struct engine_files *files, const struct findings *to)
{
	char found[FINDING_TEXT];
	int64_t until;
	struct stat st;

	if (!*files->cert)
		return;
	if (cert_until(files->cert, &until) < 0) {
		(void)snprintf(found, sizeof found, "%s is no certificate", files->cert);
		finding_bad(to, FINDING_FAIL, "client certificate", found, RENEW);
	} else {
		finding_until(to, "client certificate", files->cert, until, clock_now_ms(), RENEW);
	}
	if (stat(files->key, &st) == 0 && (st.st_mode & 077)) {
		(void)snprintf(found, sizeof found, "others may use the key %s (mode %04o)", files->key,
		               (unsigned)st.st_mode & 07777);
		finding_bad(to, FINDING_FAIL, "client key", found, "chmod 600 %s", files->key);
	}
}

/* What is to be done when it cannot be asked. */
static void tell_why(const struct conf_host *h, const struct engine_files *files, const struct err *err,
                     const struct findings *to)
{
	const char *name = h->name;
	const bool unix_socket = !h->url || strncmp(h->url, "unix:", 5) == 0;

	if (err->code == ERR_DENIED && *files->ca)
		finding_failed(
			to, "engine", err,
			"put into its cert_path what the engine believes in: ca.pem of the authority that made the engine's "
			"certificate, "
			"cert.pem and key.pem by the one that it trusts (its --tlscacert); the engine's own goes with `url`");
	else if (err->code == ERR_DENIED && unix_socket)
		finding_failed(
			to, "engine", err,
			"make this user (uid %lu) a member of the group that owns the socket, `usermod -aG docker USER`, and "
			"log in "
			"again; or run as root",
			(unsigned long)geteuid());
	else if (err->code == ERR_DENIED)
		finding_failed(to, "engine", err, "make that login work without a question, or correct [host \"%s\"]", name);
	else if (err->code == ERR_UNAVAILABLE && unix_socket)
		finding_failed(
			to, "engine", err,
			"start the engine (`systemctl start docker`), or name its socket: `url` of [host \"%s\"], or DOCKER_HOST",
			name);
	else if (err->code == ERR_UNAVAILABLE)
		finding_failed(
			to, "engine", err,
			"start the engine on that machine (`systemctl start docker`), open the way to it, or correct `url` of "
			"[host "
			"\"%s\"]",
			name);
	else if (strstr(err->message, "no swarm manager"))
		finding_failed(
			to, "engine", err,
			"name a manager of the swarm as `url` of [host \"%s\"] (`docker node ls` shows them), or make this one "
			"a manager; for "
			"single containers take `engine = swarm` away",
			name);
	else
		finding_failed(to, "engine", err, "correct [host \"%s\"]: autoscale.conf(5) has what it may say", name);
}

void check_host(const struct doctor *d, size_t i, const struct findings *to)
{
	const struct conf_host *h = &d->f.conf.hosts[i];
	struct engine_files files = {.ca = ""};
	struct engine *e = NULL;
	struct engine_about is;
	struct err err = {0};

	const struct engine_driver *driver = engine_driver(h, &err);
	if (!driver || engine_files(h, &files, &err) < 0) {
		tell_why(h, &files, &err, to);
		return;
	}
	check_client(&files, to);
	e = driver->open(h, NULL, &err);
	if (!e || driver->about(e, &is, &err) < 0) {
		tell_why(h, &files, &err, to);
		driver->close(e);
		return;
	}
	finding_ok(to, "engine", "%s %s answers at %s, API 1.%d is spoken (it knows %s%s%s)", is.name, is.version, is.where,
	           is.spoken, is.oldest, *is.oldest ? " to " : "", is.newest);
	if (is.certificate_until != TIME_NONE)
		finding_until(
			to, "server certificate", is.where, is.certificate_until, clock_now_ms(),
			"have the engine's certificate (its --tlscert) made anew by the same authority, and start it again");
	if (is.timed)
		finding_clock(to, "the engine's", is.ahead_ms, is.fuzz_ms, SET_CLOCKS);
	driver->close(e);
}
