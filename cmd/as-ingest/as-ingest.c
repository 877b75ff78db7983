/* as-ingest: foreign alerts on standard input -> the alert store, each once. It has stored them durably when it exits
 * 0, and prints nothing; --normalize prints instead of storing. See as-ingest(1). */
#include "alert/alert.h"
#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/front.h"
#include "store/alerts.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/banned.h"

#define BATCH 256 /* alerts in one transaction */

static struct alert_options how;
static bool normalize, whole;
static int64_t rearm = 60000;

static const struct option_row options[] = {
	{'s', "source", OPTION_TEXT, "NAME", &how.source, "name the source instead of finding it from the shape"},
	{0, "service", OPTION_TEXT, "NAME", &how.service, "the service, where the alert names none"},
	{0, "service-field", OPTION_TEXT, "PATH", &how.service_field, "where the alert names it, such as docker.service"},
	{0, "action", OPTION_TEXT, "ACTION", &how.action, "the action, where the alert names none"},
	{0, "rule", OPTION_TEXT, "NAME", &how.rule, "the rule that fired, where the alert does not say"},
	{0, "rearm", OPTION_DURATION, "DURATION", &rearm, "a condition repeated this much later is a new alert (60s)"},
	{0, "normalize", OPTION_FLAG, NULL, &normalize, "print the normalised alerts, store nothing; so does -n"},
	{0, "whole", OPTION_FLAG, NULL, &whole, "standard input is one document over several lines"},
	{0},
};
static const struct command command = {"as-ingest", "normalise alerts from standard input and store each once", "",
                                       options};

struct ingest {
	struct front f;
	struct alerts *store; /* opened at the first alert */
	bool open;            /* a transaction is */
	int pending;          /* alerts in it */
};

static void random_bytes(void *p, size_t n)
{
	if (getrandom(p, n, 0) != (ssize_t)n)
		abort(); /* 256 bytes at most never fail once the kernel has its seed */
}

static void sha256_hex(const void *p, size_t n, char out[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!EVP_Digest(p, n, md, &len, EVP_sha256(), NULL))
		abort();
	for (unsigned i = 0; i < 32; i++) {
		out[2 * i] = "0123456789abcdef"[md[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
	}
	out[64] = '\0';
}

static int commit(void *ctx, struct err *err)
{
	struct ingest *in = ctx;

	if (!in->open)
		return 0;
	in->open = false;
	in->pending = 0;
	return alerts_commit(in->store, err);
}

/* The id a sender gives is kept while it is free; another episode under the same id gets one of its own. */
static int put_under_new_id(struct ingest *in, struct alert_put *put, bool *stored, char stored_id[ALERT_ID],
                            struct err *err)
{
	const struct jv body = {put->body, strlen(put->body)}, old = jv_get(body, "id");
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	char id[27];

	alert_new_id(how.now, random_bytes, id);
	buf_put(&b, body.p, (size_t)(old.p - body.p));
	buf_json_str(&b, id);
	buf_puts(&b, old.p + old.n);
	put->id = id;
	put->body = b.p;
	const int bad = buf_ok(&b, err) < 0 || alerts_put(in->store, put, stored, stored_id, err) < 0 ? -1 : 0;
	buf_release(&b);
	return bad;
}

static int store_one(void *ctx, const struct alert *a, struct err *err)
{
	struct ingest *in = ctx;
	char dedup[65], stored_id[ALERT_ID];
	bool stored;

	if (normalize || in->f.dry_run)
		return record_loop_put(&in->f.loop, a->body.p, a->body.n, err);
	if (!in->store && !(in->store = alerts_open(in->f.conf.alerts, err)))
		return -1;
	if (!in->open && alerts_begin(in->store, err) < 0)
		return -1;
	in->open = true;
	const struct buf *identity = &a->identity;
	sha256_hex(identity->n ? identity->p : a->id, identity->n ? identity->n : strlen(a->id), dedup);
	struct alert_put put = {
		.id = a->id,
		.dedup = dedup,
		.service = a->service,
		.source = a->source,
		.status = a->status,
		.received_at = how.now,
		.body = a->body.p,
		.rearm_ms = a->repeats ? rearm : 0,
	};
	if (alerts_put(in->store, &put, &stored, stored_id, err) < 0 &&
	    (err->code != ERR_CONFLICT || put_under_new_id(in, &put, &stored, stored_id, err) < 0))
		return -1;
	front_say(&in->f, "%s alert %s for service %s", stored ? "stored" : "already have", stored_id, a->service);
	return ++in->pending < BATCH ? 0 : commit(in, err);
}

/* A store that is away ends the run, so that the sender tries again; a line that makes no sense does not. */
static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct ingest *in = ctx;

	how.now = clock_now_ms();
	if (alert_each(r->whole, &how, store_one, in, err) == 0)
		return RECORD_DROP;
	if (err->code != ERR_INPUT && err->code != ERR_LIMIT) {
		if (in->open)
			alerts_rollback(in->store);
		exit(front_fail(&in->f, err));
	}
	in->f.loop.bad_input = true;
	front_warn(&in->f, "line %lu: %s", r->line, err->message);
	return RECORD_DROP;
}

/* All of standard input as one line. */
static int read_whole(struct ingest *in, struct err *err)
{
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	ssize_t n = 1;
	int bad = 0;

	while (n > 0 && !bad) {
		char block[8192];
		n = read(STDIN_FILENO, block, sizeof block);
		buf_put(&b, block, n > 0 ? (size_t)n : 0);
		bad = buf_ok(&b, err);
	}
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '\n')
			b.p[i] = ' ';
	if (!bad && b.n)
		bad = record_loop_one(&in->f.loop, b.p, b.n, err);
	buf_release(&b);
	return bad || commit(in, err) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	static struct ingest in;
	struct err err = {0};
	int done = front_start(&in.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_terminal(&in.f)) >= 0 || (done = front_conf(&in.f)) >= 0)
		return done;

	how.random = random_bytes;
	int bad = front_open(&in.f, each, &in, true, &err);
	in.f.loop.any = true;
	in.f.loop.idle = commit;
	in.f.loop.flush_each = false;
	if (!bad)
		bad = whole ? read_whole(&in, &err) : record_loop_run(&in.f.loop, &err);
	alerts_close(in.store);
	conf_release(&in.f.conf);
	return front_close(&in.f, bad, &err);
}
