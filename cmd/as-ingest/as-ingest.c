/* as-ingest: foreign alerts on standard input -> the alert store, each once. It has stored them durably when it exits
 * 0, and prints nothing; --normalize prints instead of storing. See as-ingest(1). */
#include "base/exit.h"
#include "cmd/front/front.h"
#include "cmd/front/intake.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

static struct intake intake = {.rearm_ms = 60000};
static bool normalize, whole;

static const struct option_row options[] = {
	{'s', "source", OPTION_TEXT, "NAME", &intake.how.source, "name the source instead of finding it from the shape"},
	{0, "service", OPTION_TEXT, "NAME", &intake.how.service, "the service, where the alert names none"},
	{0, "service-field", OPTION_TEXT, "PATH", &intake.how.service_field,
     "where the alert names it, such as docker.service"},
	{0, "action", OPTION_TEXT, "ACTION", &intake.how.action, "the action, where the alert names none"},
	{0, "rule", OPTION_TEXT, "NAME", &intake.how.rule, "the rule that fired, where the alert does not say"},
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

/* One line. A store that is away ends the run, so that the sender tries again; a line that makes no sense does not. */
static enum record_fate take(unsigned long line, const char *p, size_t n)
{
	struct intake_result result;
	struct err err = {0};

	if (intake_document(&intake, p, n, &result, &err) < 0) {
		if (err.code == ERR_UNAVAILABLE && err.retry)
			err.code = ERR_TEMPORARY; /* nothing is stored: deliver it again */
		exit(front_fail(&front, &err));
	}
	front_say(&front, "%lld stored, %lld known already, %lld dead letters", (long long)result.stored,
	          (long long)result.seen, (long long)result.dead);
	if (result.bad.code != ERR_NONE) {
		front.loop.bad_input = true;
		front_warn(&front, "line %lu: %s%s", line, result.bad.message,
		           result.dead ? ": kept as a dead letter (as-fetch-alerts --dead)" : "");
	}
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

/* All of standard input as one document. */
static int read_whole(struct err *err)
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
	if (!bad && b.n)
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
	if (normalize || front.dry_run)
		intake.print = print_alert;
	int bad = front_open(&front, each, NULL, true, &err);
	front.loop.any = true;
	front.loop.bad_line = bad_line;
	front.loop.idle = commit;
	front.loop.flush_each = false;
	if (!bad)
		bad = whole ? read_whole(&err) : record_loop_run(&front.loop, &err);
	intake_close(&intake);
	conf_release(&front.conf);
	return front_close(&front, bad, &err);
}
