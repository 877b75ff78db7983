/* as-audit: the promise before acting (--intent) and the story after. Between the two stands whatever acts, so that
 * a crash anywhere leaves a planned operation that the next pass carries out under the same names.
 * --history prints what was done, --export the audit trail, --verify proves that nobody changed it. See as-audit(1). */
#include "cmd/as-audit/audit.h"

#include <stdio.h>
#include <unistd.h>

#include "base/banned.h"

static bool intent, history, export, verify;
static const char *service_filter;

static const struct option_row options[] = {
	{'i', "intent", OPTION_FLAG, NULL, &intent, "before acting: promise the plan, or resume an unfinished one"},
	{0, "history", OPTION_FLAG, NULL, &history, "print one line per operation, oldest first"},
	{0, "export", OPTION_FLAG, NULL, &export, "print the audit trail as records"},
	{0, "verify", OPTION_FLAG, NULL, &verify, "check the hash chain of every service"},
	{0, "service", OPTION_TEXT, "NAME", &service_filter, "with --history and --export: only this service"},
	{0},
};
static const struct command command = {"as-audit", "promise before acting, write the history after", "", options};

int need_store(struct audit *a, struct err *err)
{
	if (!a->store)
		a->store = store_open(a->f.conf.store, err);
	return a->store ? 0 : -1;
}

int main(int argc, char **argv)
{
	static struct audit a;
	struct err err = {0};
	char host[64] = "";
	int done = front_start(&a.f, &command, FRONT_ACTS, argc, argv);
	if (done >= 0 || (done = front_conf(&a.f)) >= 0)
		return done;

	(void)gethostname(host, sizeof host - 1);
	(void)snprintf(a.actor, sizeof a.actor, "as-audit@%s", host);
	a.line = (struct buf)BUF_INIT(2 * LINE_MAX_BYTES);
	if (!history && !export && !verify) {
		done = front_filter(&a.f, intent ? before : after, &a, !intent);
	} else {
		int bad = front_open(&a.f, NULL, NULL, false, &err);
		a.f.loop.flush_each = false;
		if (!bad)
			bad = need_store(&a, &err);
		if (!bad)
			bad = verify    ? verify_chain(&a, &err)
			      : history ? print_history(&a, service_filter, &err)
			                : print_trail(&a, service_filter, &err);
		done = front_close(&a.f, bad, &err);
	}
	store_close(a.store);
	conf_release(&a.f.conf);
	buf_release(&a.line);
	return done;
}
