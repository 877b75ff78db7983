/* as-listen: webhooks over HTTP -> the alert store, each alert once. It has stored an alert durably when it answers
 * 200. See as-listen(1). */
#include "base/exit.h"
#include "cmd/as-listen/listen.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static struct listen l = {.intake.rearm_ms = 60000, .rate = {.client = 1000, .all = 2000}};
static const char *address = "127.0.0.1:9197", *token_file, *hmac_file, *cert_file, *key_file;
static int64_t max_body = LINE_MAX_BYTES, max_connections = 256, request_ms = 10000;
static bool no_tls;

static const struct option_row options[] = {
	{'l', "listen", OPTION_TEXT, "ADDRESS", &address, "address:port to listen on (127.0.0.1:9197); port 0: any"},
	{0, "token-file", OPTION_TEXT, "FILE", &token_file, "bearer tokens, one a line; its mode must be 0600"},
	{0, "hmac-file", OPTION_TEXT, "FILE", &hmac_file, "keys of signed requests, one a line; its mode must be 0600"},
	{0, "tls-cert", OPTION_TEXT, "FILE", &cert_file, "serve TLS with this certificate and its chain (PEM)"},
	{0, "tls-key", OPTION_TEXT, "FILE", &key_file, "and this key; its mode must be 0600"},
	{0, "no-tls", OPTION_FLAG, NULL, &no_tls, "serve a network without TLS: something before it does that"},
	{'s', "source", OPTION_TEXT, "NAME", &l.how.source, "the source of requests to / (else found from the shape)"},
	{0, "service", OPTION_TEXT, "SERVICE", &l.how.service, "the service, where the alert names none"},
	{0, "service-field", OPTION_TEXT, "PATH", &l.how.service_field, "where the alert names it, such as docker.service"},
	{0, "action", OPTION_TEXT, "ACTION", &l.how.action, "the action, where the alert names none"},
	{0, "rule", OPTION_TEXT, "NAME", &l.how.rule, "the rule that fired, where the alert does not say"},
	{0, "threshold", OPTION_TEXT, "NUMBER", &l.how.threshold, "the threshold, where the alert names none"},
	{0, "mapping", OPTION_TEXT, "FILE", &l.intake.mapping, "a file that describes further sources"},
	{0, "rearm", OPTION_DURATION, "DURATION", &l.intake.rearm_ms,
     "a condition repeated this much later is a new alert (60s)"},
	{0, "max-body", OPTION_COUNT, "BYTES", &max_body, "longer bodies are refused (1048576)"},
	{0, "max-connections", OPTION_COUNT, "N", &max_connections,
     "connections at once (256), half of them of one client"},
	{0, "max-time", OPTION_DURATION, "DURATION", &request_ms, "cut a request that takes longer (10s)"},
	{0, "rate", OPTION_COUNT, "N", &l.rate.client, "requests a second of one client (1000); 0: no limit"},
	{0, "rate-all", OPTION_COUNT, "N", &l.rate.all, "deliveries a second of all clients (2000); 0: no limit"},
	{0},
};
static const struct command command = {"as-listen", "take alerts over HTTP and store each once", "", options};

static struct front front;

/* -n: one normalised alert a line, while the sender waits. */
static int print_alert(void *ctx, const struct alert *a, struct err *err)
{
	(void)ctx;
	return record_loop_put(&front.loop, a->body.p, a->body.n, err) < 0 || record_loop_flush(&front.loop, err) < 0 ? -1
	                                                                                                              : 0;
}

static int check_options(struct err *err)
{
	if (!cert_file != !key_file)
		return err_set(err, ERR_USAGE, "--tls-cert and --tls-key go together");
	if (max_body < 1 || max_body > DOCUMENT_MAX)
		return err_set(err, ERR_USAGE, "--max-body wants 1 to %u", DOCUMENT_MAX);
	if (max_connections < 2 || max_connections > 10000)
		return err_set(err, ERR_USAGE, "--max-connections wants 2 to 10000");
	if (request_ms < 1)
		return err_set(err, ERR_USAGE, "--max-time wants more than 0");
	return 0;
}

/* An address that others can reach needs both: that we know who sends, and that nobody can read along. */
static int check_exposure(const struct endpoint *e, struct err *err)
{
	if (e->local)
		return 0;
	if (!token_file && !hmac_file)
		return err_set(err, ERR_CONFIG, "%s is reached from other machines: give --token-file or --hmac-file",
		               e->shown);
	if (!cert_file && !no_tls)
		return err_set(err, ERR_CONFIG,
		               "%s is reached from other machines: give --tls-cert and --tls-key, or --no-tls when something "
		               "before it speaks TLS",
		               e->shown);
	return 0;
}

static void hangup(void *ctx)
{
	struct err err = {0};

	(void)ctx;
	if (secrets_load(&l.secrets, token_file, hmac_file, &err) < 0)
		front_warn(&front, "the secrets stay as they were: %s", err.message);
	else
		front_say(&front, "the secrets are read again");
}

static int serve(struct err *err)
{
	struct server_options o = {.max_connections = max_connections, .request_ms = request_ms};
	struct buf cert = {0}, key = {0};
	struct endpoint e = {.fd = -1};
	struct server *s = NULL;

	int bad = secrets_load(&l.secrets, token_file, hmac_file, err);
	if (!bad && cert_file)
		bad = secrets_read(cert_file, false, CONFIG_MAX_BYTES, &cert, err) < 0 ||
		              secrets_read(key_file, true, CONFIG_MAX_BYTES, &key, err) < 0
		          ? -1
		          : 0;
	o.cert = cert.p;
	o.key = key.p;
	if (!bad && hmac_file && !(l.replay = replay_new()))
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	if (!bad && !request_store_opens(&l, err))
		bad = -1;
	if (!bad)
		bad = endpoint_open(address, &e, err) < 0 || check_exposure(&e, err) < 0 ? -1 : 0;
	if (!bad && !(s = server_start(&l, &e, &o, err)))
		bad = -1;
	if (!bad) {
		front_warn(&front, "listening on %s%s", cert_file ? "https://" : "http://", e.shown);
		bad = server_run(s, hangup, NULL, err);
	}
	server_free(s);
	if (e.fd >= 0)
		(void)close(e.fd);
	if (key.p)
		explicit_bzero(key.p, key.n);
	buf_release(&key);
	buf_release(&cert);
	secrets_release(&l.secrets);
	replay_free(l.replay);
	return bad;
}

int main(int argc, char **argv)
{
	struct err err = {0};
	int done = front_start(&front, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&front)) >= 0)
		return done;

	l.front = &front;
	l.max_body = (size_t)max_body;
	l.intake.url = front.conf.alerts;
	if (!l.intake.mapping)
		l.intake.mapping = front.conf.mapping;
	if (front.dry_run)
		l.intake.print = print_alert;
	int bad = front_open(&front, NULL, NULL, true, &err);
	if (!bad)
		bad = check_options(&err) < 0 || intake_prepare(&l.intake, &err) < 0 || serve(&err) < 0 ? -1 : 0;
	intake_close(&l.intake);
	conf_release(&front.conf);
	return front_close(&front, bad, &err);
}
