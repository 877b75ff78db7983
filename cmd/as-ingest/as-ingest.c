/* as-ingest: foreign alerts on standard input -> the alert store, each once. It has stored them durably when it exits
 * 0, and prints nothing; --normalize prints instead of storing. See as-ingest(1). */
#include "base/exit.h"
#include "cmd/front/front.h"
#include "cmd/front/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static struct intake intake = {.rearm_ms = 60000};
static bool normalize, whole;

static const struct option_row options[] = {
	{'s', "source", OPTION_TEXT, "NAME", &intake.how.source, "name the source instead of finding it from the shape"},
	{0, "service", OPTION_TEXT, "SERVICE", &intake.how.service, "the service, where the alert names none"},
	{0, "service-field", OPTION_TEXT, "PATH", &intake.how.service_field,
     "where the alert names it, such as docker.service"},
	{0, "action", OPTION_TEXT, "ACTION", &intake.how.action, "the action, where the alert names none"},
	{0, "rule", OPTION_TEXT, "NAME", &intake.how.rule, "the rule that fired, where the alert does not say"},
	{0, "threshold", OPTION_TEXT, "NUMBER", &intake.how.threshold, "the threshold, where the alert names none"},
	{0, "mapping", OPTION_TEXT, "FILE", &intake.mapping, "a file that describes further sources"},
	{0, "rearm", OPTION_DURATION, "DURATION", &intake.rearm_ms,
     "a condition repeated this much later is a new alert (60s)"},
	{0, "normalize", OPTION_FLAG, NULL, &normalize, "print the normalised alerts, store nothing; so does -n"},
	{0, "whole", OPTION_FLAG, NULL, &whole, "standard input is one document over several lines"},
	{0},
};
static const struct command command = {"as-ingest", "normalise alerts from standard input and store each once", "",
                                       options};

static struct front front;

static int print_alert(void *ctx, const struct alert *a, struct err *err)
{
	(void)ctx;
	return record_loop_put(&front.loop, a->body.p, a->body.n, err);
}

static int commit(void *ctx, struct err *err)
{
	(void)ctx;
	return intake_commit(&intake, err);
}

static void tell(unsigned long line, const struct intake_result *result)
{
	front_say(&front, "line %lu: %lld stored, %lld known already, %lld dead letters, %lld dropped", line,
	          (long long)result->stored, (long long)result->seen, (long long)result->dead, (long long)result->dropped);
	if (*result->warning)
		front_warn(&front, "line %lu: %s", line, result->warning);
	if (result->bad.code == ERR_NONE)
		return;
	front.loop.bad_input = true;
	front_warn(&front, "line %lu: %s%s", line, result->bad.message,
	           result->dead ? ": kept as a dead letter (as-fetch-alerts --dead)" : "");
}

/* What the sender may deliver again, since nothing of it is stored, is called temporary. */
static int again(struct err *err)
{
	if (err->code == ERR_UNAVAILABLE && err->retry)
		err->code = ERR_TEMPORARY;
	return -1;
}

/* One line. A store that is away ends the run, so that the sender tries again; a line that makes no sense does not. */
static enum record_fate take(unsigned long line, const char *p, size_t n)
{
	struct intake_result result;
	struct err err = {0};

	if (intake_document(&intake, p, n, &result, &err) < 0) {
		(void)again(&err);
		exit(front_fail(&front, &err));
	}
	tell(line, &result);
	return RECORD_DROP;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	(void)ctx;
	(void)err;
	return take(r->line, r->whole.p, r->whole.n);
}

static bool bad_line(void *ctx, unsigned long line, const char *p, size_t n)
{
	(void)ctx;
	(void)take(line, p, n);
	return true;
}

/* Too long to be held: its hash is kept. */
static int long_line(void *ctx, unsigned long line, const char *p, size_t n, bool last, struct err *err)
{
	struct intake_result result;
	(void)ctx;

	if (intake_long(&intake, p, n, last, "a document of more than 1 MiB", &result, err) < 0)
		return again(err);
	if (last)
		tell(line, &result);
	return 0;
}

/* All of standard input as one document. */
static int read_whole(struct err *err)
{
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	char block[8192];
	ssize_t n;
	int bad = 0;

	while (!bad && !front_stopping() && (n = read(STDIN_FILENO, block, sizeof block)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			bad = err_set(err, ERR_UNAVAILABLE, "cannot read standard input: %s", strerror(errno));
		else if (!b.full && (buf_put(&b, block, (size_t)n), b.full))
			bad = long_line(NULL, 1, b.p, b.n, false, err);
		if (!bad && b.full)
			bad = long_line(NULL, 1, block, (size_t)n, false, err);
	}
	if (front_stopping())
		b.n = 0; /* half a document is none */
	else if (!bad && b.full)
		bad = long_line(NULL, 1, "", 0, true, err);
	else if (!bad && (bad = buf_ok(&b, err)) == 0 && b.n)
		(void)take(1, b.p, b.n);
	buf_release(&b);
	return bad || intake_commit(&intake, err) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct err err = {0};
	int done = front_start(&front, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_terminal(&front)) >= 0 || (done = front_conf(&front)) >= 0)
		return done;

	intake.url = front.conf.alerts;
	if (!intake.mapping)
		intake.mapping = front.conf.mapping;
	if (normalize || front.dry_run)
		intake.print = print_alert;
	int bad = intake_prepare(&intake, &err) < 0 || front_open(&front, each, NULL, true, &err) < 0 ? -1 : 0;
	front.loop.any = true;
	front.loop.bad_line = bad_line;
	front.loop.long_line = long_line;
	front.loop.idle = commit;
	front.loop.flush_each = false;
	if (!bad)
		bad = whole ? read_whole(&err) : record_loop_run(&front.loop, &err);
	intake_close(&intake);
	conf_release(&front.conf);
	return front_close(&front, bad, &err);
}
