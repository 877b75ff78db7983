/* as-audit: the promise before acting (--intent) and the story after. Between the two stands whatever acts, so that
 * a crash anywhere leaves a planned operation that the next pass carries out under the same names.
 * --history prints what was done, --export the decisions, --trail the rows behind both, and --verify proves that nobody
 * changed them. See as-audit(1). */
#include "cmd/as-audit/audit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static bool intent, history, export, trail, verify;
static const char *service, *since, *until, *outcomes, *format;

static const struct option_row options[] = {
	{'i', "intent", OPTION_FLAG, NULL, &intent, "before acting: promise the plan, or resume an unfinished one"},
	{0, "history", OPTION_FLAG, NULL, &history, "print one line per operation, oldest first"},
	{0, "export", OPTION_FLAG, NULL, &export, "print what was decided as records that can be decided again"},
	{0, "trail", OPTION_FLAG, NULL, &trail, "print the rows of the audit trail with their hashes"},
	{0, "verify", OPTION_FLAG, NULL, &verify, "check the hash chain of every service"},
	{0, "format", OPTION_TEXT, "FORMAT", &format, "with --export: records, or prometheus, which is numbers to scrape"},
	{0, "service", OPTION_TEXT, "SERVICE", &service, "of what is printed: only this service"},
	{0, "since", OPTION_TEXT, "TIME", &since, "only from this time on; a duration counts back from now"},
	{0, "until", OPTION_TEXT, "TIME", &until, "only before this time; likewise"},
	{0, "outcome", OPTION_TEXT, "LIST", &outcomes, "only these outcomes, such as failed,partial"},
	{0},
};
static const struct command command = {"as-audit", "promise before acting, write the history after", "", options};

int need_store(struct audit *a, struct err *err)
{
	if (!a->store)
		a->store = store_open(a->f.conf.store, err);
	return a->store ? 0 : -1;
}

static bool prometheus(void) { return format && strcmp(format, "prometheus") == 0; }

/* One thing at a time, and what selects rows only with what prints them. */
static int check_options(struct err *err)
{
	if (intent + history + export + trail + verify > 1)
		return err_set(err, ERR_USAGE, "--intent, --history, --export, --trail and --verify: one of them at a time");
	if ((service || since || until || outcomes) && !(history || export || trail))
		return err_set(err, ERR_USAGE,
		               "--service, --since, --until and --outcome go with --history, --export or --trail");
	if (format && !export)
		return err_set(err, ERR_USAGE, "--format goes with --export");
	if (format && strcmp(format, "records") != 0 && strcmp(format, "prometheus") != 0)
		return err_set(err, ERR_USAGE, "--format: unknown form \"%s\"; known are records and prometheus", format);
	if (prometheus() && (since || until || outcomes))
		return err_set(err, ERR_USAGE,
		               "--format prometheus counts all that the trail has: leave out --since, --until and --outcome");
	return 0;
}

/* What is printed, of the options that name it. */
static int select_rows(struct audit *a, struct err *err)
{
	const int64_t now = store_now(a->store);

	a->filter = TRAIL_ALL;
	a->filter.service = service;
	a->outcomes = outcomes;
	if (check_outcomes(outcomes, err) < 0 || trail_time("--since", since, now, &a->filter.since, err) < 0)
		return -1;
	return trail_time("--until", until, now, &a->filter.until, err);
}

static int print(struct audit *a, struct err *err)
{
	if (need_store(a, err) < 0)
		return -1;
	if (verify)
		return verify_chain(a, err);
	if (select_rows(a, err) < 0)
		return -1;
	if (prometheus())
		return print_prometheus(a, err);
	return history ? print_history(a, err) : print_trail(a, export, err);
}

int main(int argc, char **argv)
{
	static struct audit a;
	struct err err = {0};
	char host[64] = "";
	int done = front_start(&a.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0)
		return done;
	if (check_options(&err) < 0)
		return front_fail(&a.f, &err);
	if ((done = front_conf(&a.f)) >= 0)
		return done;

	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(a.actor, sizeof a.actor, "as-audit@%s", host);
	a.line = (struct buf)BUF_INIT(2 * LINE_MAX_BYTES);
	if (!history && !export && !trail && !verify) {
		done = front_filter(&a.f, intent ? before : after, &a, !intent);
	} else {
		int bad = front_open(&a.f, NULL, NULL, false, &err);
		a.f.loop.flush_each = false;
		if (!bad)
			bad = print(&a, &err);
		done = front_close(&a.f, bad, &err);
	}
	store_close(a.store);
	conf_release(&a.f.conf);
	buf_release(&a.line);
	return done;
}
