/* as-report: records that were decided -> one HTML page: replicas against load over time, every decision and its
 * reason, what failed, what it cost. It reads standard input to its end and opens nothing else. See as-report(1). */
#include "cmd/as-report/report.h"

#include "base/exit.h"
#include "cmd/front/front.h"

#include <stdlib.h>

#include "base/banned.h"

static const char *title = "Autoscaling";

static const struct option_row options[] = {
	{0, "title", OPTION_TEXT, "TEXT", &title, "the page's heading, instead of Autoscaling"},
	{0},
};
static const struct command command = {"as-report", "show what was decided as a page of HTML", "", options};

static void release(struct report *rep)
{
	for (size_t i = 0; i < rep->services.n; i++) {
		struct service *s = rep->services.v[i];
		rows_free(s);
		free(s->points.v);
		for (size_t k = 0; k < s->nseries; k++)
			free(s->series[k].samples.v);
	}
	byname_release(&rep->services);
	buf_release(&rep->out);
}

/* The page is written when every record is read; a failure before that leaves none. */
static int report(struct front *f, struct report *rep, struct err *err)
{
	f->loop.sink = true;
	if (record_loop_run(&f->loop, err) < 0)
		return -1;
	if (rep->left_out) {
		front_warn(
			f, "%lld records are not in the page, for there were too many: choose with as-audit --since or --service",
			(long long)rep->left_out);
		f->loop.failed = true;
	}
	return page_write(rep, err);
}

int main(int argc, char **argv)
{
	static struct report rep;
	struct front f = {0};
	struct err err = {0};
	int done = front_start(&f, &command, FRONT_FILTER, argc, argv);

	if (done >= 0 || (done = front_terminal(&f)) >= 0)
		return done;
	rep.services = (struct byname)BYNAME_INIT(struct service, SERVICES_MAX);
	rep.out = (struct buf)BUF_INIT(2 * LINE_MAX_BYTES);
	rep.row_cap = SERVICE_ROWS;
	rep.title = title;
	rep.loop = &f.loop;
	int bad = front_open(&f, report_take, &rep, true, &err);
	if (!bad)
		bad = report(&f, &rep, &err);
	done = front_close(&f, bad, &err);
	release(&rep);
	return done;
}
