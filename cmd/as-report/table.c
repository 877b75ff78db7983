/* The tables. */
#include "cmd/as-report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define DAY_MS (24 * 60 * 60 * 1000)

static void cell_count(struct buf *b, int64_t n)
{
	buf_puts(b, n ? "<td class=\"n\">" : "<td class=\"n zero\">");
	text_count(b, n);
	buf_puts(b, "</td>");
}

static void cell_length(struct buf *b, int64_t ms)
{
	buf_puts(b, ms ? "<td class=\"n\">" : "<td class=\"n zero\">");
	html_length(b, ms);
	buf_puts(b, "</td>");
}

static void put_limits(struct buf *b, const struct service *s)
{
	const struct point *p = s->points.n ? (const struct point *)s->points.v + s->points.n - 1 : NULL;

	buf_puts(b, "<td class=\"n\">");
	if (p && p->max >= 0)
		buf_printf(b, "%d to %d", p->min < 0 ? 0 : p->min, p->max);
	else if (p && p->min >= 0)
		buf_printf(b, "from %d", p->min);
	buf_puts(b, "</td>");
}

static void put_numbers(struct buf *b, const struct service *s, const struct sums *sums)
{
	cell_count(b, s->out);
	cell_count(b, s->in);
	cell_count(b, s->repairs);
	buf_puts(b, s->failures ? "<td class=\"n bad\">" : "<td class=\"n zero\">");
	text_count(b, s->failures);
	buf_puts(b, "</td><td class=\"n\">");
	html_hours(b, sums->replica_ms);
	buf_puts(b, "</td>");
	cell_length(b, sums->max_ms);
	cell_length(b, sums->over_ms);
	buf_puts(b, "</tr>\n");
}

static void put_service(struct buf *b, const struct service *s)
{
	const struct sums sums = sum_up(s);

	buf_puts(b, "<tr><th scope=\"row\"><bdi>");
	if (s->section)
		buf_printf(b, "<a href=\"#s%zu\">", s->number);
	html_text(b, s->name);
	buf_puts(b, s->section ? "</a></bdi></th>" : "</bdi></th>");
	buf_puts(b, "<td class=\"n\">");
	if (s->points.n) {
		buf_printf(b, "%d", sums.last);
		if (sums.lowest != sums.highest)
			buf_printf(b, " <span class=\"range\">(%d to %d)</span>", sums.lowest, sums.highest);
	}
	buf_puts(b, "</td>");
	put_limits(b, s);
	put_numbers(b, s, &sums);
}

static void put_all(struct report *rep)
{
	struct service all = {0};
	struct sums sum = {0};

	for (size_t i = 0; i < rep->services.n; i++) {
		const struct service *s = rep->services.v[i];
		const struct sums one = sum_up(s);
		all.out += s->out;
		all.in += s->in;
		all.repairs += s->repairs;
		all.failures += s->failures;
		sum.replica_ms += one.replica_ms;
		sum.max_ms += one.max_ms;
		sum.over_ms += one.over_ms;
	}
	buf_puts(&rep->out, "<tfoot><tr><th scope=\"row\">all</th><td></td><td></td>");
	put_numbers(&rep->out, &all, &sum);
	buf_puts(&rep->out, "</tfoot>\n");
}

int put_summary(struct report *rep, struct err *err)
{
	static const char *const columns[] = {"Replicas", "Limits",        "Scaled out", "Scaled in",  "Repairs",
	                                      "Failures", "Replica-hours", "At max",     "Over target"};
	struct buf *b = &rep->out;

	buf_puts(b, "<table class=\"summary\"><caption>All services</caption>\n<thead><tr><th scope=\"col\">Service</th>");
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		buf_printf(b, "<th scope=\"col\" class=\"n\">%s</th>", columns[i]);
	buf_puts(b, "</tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < rep->services.n; i++) {
		put_service(b, rep->services.v[i]);
		if (page_flush(rep, err) < 0)
			return -1;
	}
	buf_puts(b, "</tbody>\n");
	if (rep->services.n > 1)
		put_all(rep);
	buf_puts(b, "</table>\n");
	return page_flush(rep, err);
}

/* ---- of one service ---- */

static void cell_time(struct buf *b, const struct row *row)
{
	buf_puts(b, "<td class=\"t\">");
	html_time(b, row->first, false);
	if (row->times > 1) {
		buf_puts(b, " <span class=\"more until\">to ");
		html_time(b, row->last, row->last / DAY_MS == row->first / DAY_MS);
		buf_puts(b, "</span> <span class=\"more\">");
		text_count(b, row->times);
		buf_puts(b, " times, as the last</span>");
	}
	buf_puts(b, "</td>");
}

static void cell_text(struct buf *b, const char *class, const char *text)
{
	const char *end;

	buf_printf(b, "<td class=\"%s\">", class);
	for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		struct buf one = BUF_INIT(LINE_MAX_BYTES);
		buf_put(&one, text, (size_t)(end - text));
		html_text(b, one.p ? one.p : "");
		buf_puts(b, "<br/>");
		buf_release(&one);
	}
	html_text(b, text);
	buf_puts(b, "</td>");
}

static void put_decision(struct buf *b, const struct row *row)
{
	const bool none = strcmp(row->op, "none") == 0;

	buf_puts(b, row->worth != NOTHING ? "<tr>" : "<tr class=\"quiet\">");
	cell_time(b, row);
	buf_puts(b, "<td class=\"d\">");
	html_text(b, row->op);
	if (row->from >= 0 && (!none || row->from != row->to))
		buf_printf(b, " <span class=\"c\">%d \xe2\x86\x92 %d</span>", row->from, row->to);
	buf_puts(b, "</td>");
	cell_text(b, *row->failure ? "o bad" : "o", none && strcmp(row->outcome, "none") == 0 ? "" : row->outcome);
	cell_text(b, "r", row->reason);
	cell_text(b, "p", row->policy);
	buf_puts(b, "</tr>\n");
}

static void put_cut(struct buf *b, int64_t n, const char *what, bool *any)
{
	if (!n)
		return;
	buf_puts(b, *any ? ", " : "<p class=\"note\">The tables are cut. Left out are the oldest: ");
	text_count(b, n);
	buf_printf(b, " %s", what);
	*any = true;
}

/* Before the tables, for they begin late then. */
void put_cut_note(struct report *rep, const struct service *s)
{
	bool any = false;

	put_cut(&rep->out, s->cut[NOTHING], "that did nothing", &any);
	put_cut(&rep->out, s->cut[ACTS], "that did something", &any);
	put_cut(&rep->out, s->cut[FAILED], "that failed", &any);
	if (any)
		buf_puts(&rep->out, ". Numbers and charts have them.</p>\n");
}

int put_decisions(struct report *rep, const struct service *s, struct err *err)
{
	struct buf *b = &rep->out;

	buf_puts(b, "<table class=\"decisions\"><caption>Decisions</caption>\n<thead><tr><th scope=\"col\">Time</th>"
	            "<th scope=\"col\">Decision</th><th scope=\"col\">Outcome</th><th scope=\"col\">Reason</th>"
	            "<th scope=\"col\">Policy</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < s->rows.n; i++) {
		put_decision(b, ((struct row *const *)s->rows.v)[i]);
		if (page_flush(rep, err) < 0)
			return -1;
	}
	buf_puts(b, "</tbody></table>\n");
	return 0;
}

int put_failures(struct report *rep, const struct service *s, struct err *err)
{
	struct buf *b = &rep->out;

	if (!s->failures)
		return 0;
	buf_puts(b, "<table class=\"failures\"><caption>Failures</caption>\n<thead><tr><th scope=\"col\">Time</th>"
	            "<th scope=\"col\">Outcome</th><th scope=\"col\">What failed</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < s->rows.n; i++) {
		const struct row *row = ((struct row *const *)s->rows.v)[i];
		if (!*row->failure)
			continue;
		buf_puts(b, "<tr>");
		cell_time(b, row);
		cell_text(b, "o bad", row->outcome);
		cell_text(b, "r", row->failure);
		buf_puts(b, "</tr>\n");
		if (page_flush(rep, err) < 0)
			return -1;
	}
	buf_puts(b, "</tbody></table>\n");
	return 0;
}
