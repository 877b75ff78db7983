/* The page: what it is of, all services in a table, then each with its charts and tables. */
#include "cmd/as-report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* The loop ends what it is given with a line feed, and so does each part of the page. */
int page_flush(struct report *rep, struct err *err)
{
	struct buf *b = &rep->out;

	if (buf_ok(b, err) < 0)
		return -1;
	if (!b->n || b->p[b->n - 1] != '\n')
		return 0;
	const int bad = record_loop_put(rep->loop, b->p, b->n - 1, err);
	buf_reset(b);
	return bad;
}

/* ---- which services get charts and tables ---- */

static int64_t worth(const struct service *s)
{
	return 1000 * s->failures + 100 * (s->out + s->in + s->repairs) + (s->nseries > 0);
}

static int by_worth(const void *x, const void *y)
{
	const struct service *a = *(struct service *const *)x, *b = *(struct service *const *)y;
	const int64_t wa = worth(a), wb = worth(b);

	return wa != wb ? (wa < wb) - (wa > wb) : strcmp(a->name, b->name);
}

static int choose_sections(struct report *rep, struct err *err)
{
	const size_t n = rep->services.n;
	struct service **order = malloc((n + 1) * sizeof *order);

	if (!order)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	memcpy(order, rep->services.v, n * sizeof *order);
	qsort(order, n, sizeof *order, by_worth);
	for (size_t i = 0; i < n && i < SECTIONS_MAX; i++)
		order[i]->section = true;
	rep->sections = n < SECTIONS_MAX ? n : SECTIONS_MAX;
	free(order);
	for (size_t i = 0, number = 0; i < n; i++) {
		struct service *s = rep->services.v[i];
		s->number = s->section ? ++number : 0;
		if (sort_service(s, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- head and foot ---- */

static void count_of(struct buf *b, int64_t n, const char *one, const char *many)
{
	text_count(b, n);
	buf_printf(b, " %s", n == 1 ? one : many);
}

static void note(struct buf *b, int64_t n, const char *one, const char *many)
{
	if (!n)
		return;
	buf_puts(b, "<p class=\"note\">");
	count_of(b, n, one, many);
	buf_puts(b, "</p>\n");
}

static void put_head(struct report *rep)
{
	struct buf *b = &rep->out;

	/* Nothing is fetched and nothing runs, even where something were to get past the quoting. */
	buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<meta charset=\"utf-8\"/>\n"
	            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
	            "base-uri 'none'; form-action 'none'\"/>\n"
	            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
	            "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
	            "<meta name=\"referrer\" content=\"no-referrer\"/>\n<title>");
	html_text(b, rep->title);
	buf_puts(b, "</title>\n<style>\n");
	buf_puts(b, style);
	buf_puts(b, "</style>\n</head>\n<body>\n<header>\n<h1>");
	html_text(b, rep->title);
	buf_puts(b, "</h1>\n<p>");
	count_of(b, rep->records, "decision", "decisions");
	buf_puts(b, " on ");
	count_of(b, (int64_t)rep->services.n, "service", "services");
	if (rep->records) {
		buf_puts(b, ", from ");
		html_time(b, rep->from, false);
		buf_puts(b, " to ");
		html_time(b, rep->until, false);
		buf_puts(b, " UTC, which is ");
		html_length(b, rep->until - rep->from);
	}
	buf_puts(b, ".</p>\n");
	if (rep->simulated)
		buf_puts(b,
		         "<p class=\"note\">This is a replay: what would have been decided. What failed is told as long as a "
		         "service does what it did then.</p>\n");
	note(b, rep->left_out, "record is not in this page, for there were too many.",
	     "records are not in this page, for there were too many.");
	note(b, rep->late, "record was left out of the replay, because it came too late.",
	     "records were left out of the replay, because they came too late.");
	note(b, rep->undecided, "record has no plan and is left out.", "records have no plan and are left out.");
	buf_puts(b, "</header>\n<main>\n");
}

static void put_foot(struct report *rep)
{
	struct buf *b = &rep->out;

	buf_puts(
		b, "</main>\n<footer>\n<h2>How to read this</h2>\n<dl>\n"
		   "<dt>Replica-hours</dt><dd>Each count holds until the next decision on its service. "
		   "What came after the last one is not counted.</dd>\n"
		   "<dt>At max</dt><dd>How long there were as many replicas as the policy allows.</dd>\n"
		   "<dt>Over target</dt><dd>How long the load of one replica was above the target by more than the "
		   "tolerance, as measured at each decision.</dd>\n"
		   "<dt>Scaled out, scaled in, repairs</dt><dd>Decisions by which the count rose or fell, and those to start "
		   "or to make again what had stopped or gone.</dd>\n"
		   "<dt>Policy</dt><dd>db:NAME@VERSION is a version of a policy in the store; "
		   "<code>as-policy get NAME@VERSION</code> prints it. Where there is none, the other sources.</dd>\n"
		   "<dt>Decisions in one row</dt><dd>What came several times in a row and differs only in numbers, "
		   "and changed nothing, is one row with the text of the last.</dd>\n"
		   "<dt>Times</dt><dd>All are UTC. The charts share one time axis.</dd>\n</dl>\n</footer>\n</body>\n</html>\n");
}

/* ---- one service ---- */

static void put_tally(struct buf *b, const char *what, int64_t n)
{
	buf_puts(b, what);
	text_count(b, n);
}

static int put_section(struct report *rep, const struct service *s, struct err *err)
{
	const struct sums sums = sum_up(s);
	struct buf *b = &rep->out;

	buf_printf(b, "<section id=\"s%zu\" aria-labelledby=\"h%zu\">\n<h2 id=\"h%zu\"><bdi>", s->number, s->number,
	           s->number);
	html_text(b, s->name);
	buf_puts(b, "</bdi></h2>\n<p>");
	count_of(b, s->records, "decision", "decisions");
	put_tally(b, ": scaled out ", s->out);
	put_tally(b, ", in ", s->in);
	put_tally(b, ", repaired ", s->repairs);
	put_tally(b, ", failed ", s->failures);
	buf_puts(b, ". ");
	html_hours(b, sums.replica_ms);
	buf_puts(b, " replica-hours, ");
	html_length(b, sums.max_ms);
	buf_puts(b, " at max, ");
	html_length(b, sums.over_ms);
	buf_puts(b, " over target.</p>\n");
	if (s->points.n)
		put_charts(rep, s, &sums);
	put_cut_note(rep, s);
	if (page_flush(rep, err) < 0 || put_failures(rep, s, err) < 0 || put_decisions(rep, s, err) < 0)
		return -1;
	buf_puts(b, "</section>\n");
	return page_flush(rep, err);
}

int page_write(struct report *rep, struct err *err)
{
	if (choose_sections(rep, err) < 0)
		return -1;
	put_head(rep);
	if (rep->services.n) {
		if (put_summary(rep, err) < 0)
			return -1;
	} else {
		buf_puts(&rep->out, "<p>Nothing was decided.</p>\n");
	}
	if (rep->sections < rep->services.n)
		buf_printf(&rep->out,
		           "<p class=\"note\">Charts and decisions follow for the %zu services with most failures and "
		           "actions; choose others with <code>as-audit --service</code>.</p>\n",
		           rep->sections);
	for (size_t i = 0; i < rep->services.n; i++) {
		const struct service *s = rep->services.v[i];
		if (s->section && put_section(rep, s, err) < 0)
			return -1;
	}
	put_foot(rep);
	return page_flush(rep, err);
}
