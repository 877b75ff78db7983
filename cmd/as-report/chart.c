/* The charts: one panel for the replicas, one for each load, above each other over one time. The drawings stretch with
 * the page, and their labels, which are text beside them, do not. What has more points than columns is thinned so that
 * the first, lowest, highest and last of each column stay. */
#include "cmd/as-report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define WIDE 4000 /* units of the drawing */
#define HIGH 400
#define COLUMNS 800
#define DENSE 200 /* changes from which on a line is drawn thinner */
#define MICRO 1000000

/* Something that is drawn: its times and values, in the order of time. */
struct line {
	const void *items;
	size_t n, size, value; /* value: where in an item */
	bool wide;             /* an int64_t in millionths; else an int32_t */
	int64_t none;          /* stands for no value */
};

struct axis {
	int64_t from, until; /* of time */
	double top;          /* the value at the upper edge; the lower one is 0 */
};

static int64_t at_of(const struct line *l, size_t i)
{
	int64_t at;

	memcpy(&at, (const char *)l->items + i * l->size, sizeof at);
	return at;
}

static int64_t value_of(const struct line *l, size_t i)
{
	const char *p = (const char *)l->items + i * l->size + l->value;
	int64_t wide;
	int32_t narrow;

	if (l->wide) {
		memcpy(&wide, p, sizeof wide);
		return wide;
	}
	memcpy(&narrow, p, sizeof narrow);
	return narrow;
}

static int x_of(const struct axis *a, int64_t at)
{
	return (int)((double)(at - a->from) / (double)(a->until - a->from) * WIDE + 0.5);
}

static int y_of(const struct axis *a, int64_t value)
{
	const double share = (double)value / a->top;

	return HIGH - (int)((share < 0 ? 0 : share > 1 ? 1 : share) * HIGH + 0.5);
}

/* ---- thinning ---- */

struct chosen {
	size_t v[4 * (COLUMNS + 2)], n;
};

static int by_index(const void *x, const void *y)
{
	const size_t a = *(const size_t *)x, b = *(const size_t *)y;

	return (a > b) - (a < b);
}

static void choose_column(struct chosen *c, const struct line *l, size_t first, size_t end)
{
	size_t pick[4] = {first, first, first, end - 1};

	for (size_t i = first; i < end; i++) {
		pick[1] = value_of(l, i) < value_of(l, pick[1]) ? i : pick[1];
		pick[2] = value_of(l, i) > value_of(l, pick[2]) ? i : pick[2];
	}
	qsort(pick, 4, sizeof *pick, by_index);
	for (size_t i = 0; i < 4; i++)
		if (!i || pick[i] != pick[i - 1])
			c->v[c->n++] = pick[i];
}

static void choose(struct chosen *c, const struct line *l, const struct axis *a)
{
	c->n = 0;
	if (l->n <= COLUMNS) {
		while (c->n < l->n) {
			c->v[c->n] = c->n;
			c->n++;
		}
		return;
	}
	for (size_t i = 0, first = 0; i < l->n; i++) {
		const int column = x_of(a, at_of(l, i)) * COLUMNS / WIDE;
		if (i + 1 == l->n || x_of(a, at_of(l, i + 1)) * COLUMNS / WIDE != column) {
			choose_column(c, l, first, i + 1);
			first = i + 1;
		}
	}
}

/* ---- paths ---- */

/* Each value holds until the next; without a value there is a gap. */
static void put_steps(struct buf *b, const struct line *l, const struct axis *a, const struct chosen *c)
{
	bool drawn = false;

	for (size_t i = 0; i < c->n; i++) {
		const int64_t v = value_of(l, c->v[i]);
		const int x = x_of(a, at_of(l, c->v[i]));
		if (drawn)
			buf_printf(b, "H%d", x);
		if (v == l->none)
			drawn = false;
		else if (!drawn)
			buf_printf(b, "M%d %dh0", x, y_of(a, v));
		else if (v != value_of(l, c->v[i - 1]))
			buf_printf(b, "V%d", y_of(a, v));
		drawn = v != l->none;
	}
}

/* From value to value; or, with wide not negative, each for itself and that wide. */
static void put_curve(struct buf *b, const struct line *l, const struct axis *a, const struct chosen *c, int wide)
{
	bool drawn = false;

	for (size_t i = 0; i < c->n; i++) {
		const int64_t v = value_of(l, c->v[i]);
		const int x = x_of(a, at_of(l, c->v[i]));
		if (v != l->none && drawn && wide < 0)
			buf_printf(b, "L%d %d", x, y_of(a, v));
		else if (v != l->none)
			buf_printf(b, "M%d %dh%d", wide < 0 ? x : x - wide / 2, y_of(a, v), wide < 0 ? 0 : wide);
		drawn = v != l->none;
	}
}

static size_t changes(const struct line *l, const struct chosen *c)
{
	size_t n = 0;

	for (size_t i = 1; i < c->n; i++)
		n += value_of(l, c->v[i]) != value_of(l, c->v[i - 1]);
	return n;
}

enum form { STEPS, CURVE, DOTS, BARS };

static void put_path(struct buf *b, const char *class, const struct line *l, const struct axis *a, enum form form)
{
	static struct chosen c;

	choose(&c, l, a);
	buf_printf(b, "<path class=\"%s%s\" d=\"", class, changes(l, &c) > DENSE ? " dense" : "");
	if (form == STEPS)
		put_steps(b, l, a, &c);
	else
		put_curve(b, l, a, &c, form == CURVE ? -1 : form == DOTS ? 0 : WIDE / 60);
	buf_puts(b, "\"/>");
}

static struct line points_line(const struct service *s, size_t value)
{
	return (struct line){s->points.v, s->points.n, sizeof(struct point), value, false, -1};
}

/* Between the limits: along the upper one, and back along the lower one. */
static void put_band(struct buf *b, const struct service *s, const struct axis *a)
{
	static struct chosen c;
	const struct line max = points_line(s, offsetof(struct point, max)),
					  min = points_line(s, offsetof(struct point, min));

	choose(&c, &max, a);
	buf_printf(b, "<path class=\"band\" d=\"M%d %d", x_of(a, at_of(&max, c.v[0])), HIGH);
	for (size_t i = 0; i < c.n; i++) {
		const int64_t v = value_of(&max, c.v[i]);
		buf_printf(b, "H%dV%d", x_of(a, at_of(&max, c.v[i])), v < 0 ? 0 : y_of(a, v));
	}
	choose(&c, &min, a);
	for (size_t i = c.n; i-- > 0;) {
		const int64_t v = value_of(&min, c.v[i]);
		buf_printf(b, "V%dH%d", y_of(a, v < 0 ? 0 : v), x_of(a, at_of(&min, c.v[i])));
	}
	buf_puts(b, "Z\"/>");
}

/* ---- scales ---- */

/* The step of an axis from 0 to at least `most` with at most four of them: 1, 2 or 5 times a power of ten. */
static double step_for(double most, double least)
{
	double step = least;

	for (int i = 0; step * 4 < most; i++)
		step *= i % 3 == 1 ? 2.5 : 2;
	return step;
}

static int steps_to(double most, double step)
{
	int n = 1;

	while (n * step < most)
		n++;
	return n;
}

/* The labels at the left, and their lines through the drawing. unit: millionths of one label unit. */
static void put_scale(struct buf *b, double step, int n, int64_t unit)
{
	buf_puts(b, "<div class=\"y\" aria-hidden=\"true\">");
	for (int i = 0; i <= n; i++) {
		buf_printf(b, "<span style=\"top:%d%%\">", 100 - 100 * i / n);
		text_short(b, (int64_t)(step * i * (double)unit + 0.5));
		buf_puts(b, "</span>");
	}
	buf_puts(b, "</div>");
}

static const int64_t time_steps[] = {1,     2,     5,      10,     15,      30,      60,      120,
                                     300,   600,   900,    1800,   3600,    7200,    10800,   21600,
                                     43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000};

static int64_t time_step(const struct axis *a)
{
	size_t i = 0;

	while (i + 1 < sizeof time_steps / sizeof *time_steps && (a->until - a->from) / 1000 / time_steps[i] > 5)
		i++;
	int64_t step = time_steps[i] * 1000;
	while ((a->until - a->from) / step > 5)
		step *= 10;
	return step;
}

static int64_t first_tick(const struct axis *a, int64_t step)
{
	const int64_t rest = ((a->from % step) + step) % step;

	return rest ? a->from + step - rest : a->from;
}

static void put_grid(struct buf *b, const struct axis *a, int rows)
{
	const int64_t step = time_step(a);

	buf_puts(b, "<path class=\"grid\" d=\"");
	for (int i = 0; i <= rows; i++)
		buf_printf(b, "M0 %dH%d", HIGH * i / rows, WIDE);
	for (int64_t t = first_tick(a, step); t <= a->until; t += step)
		buf_printf(b, "M%d 0V%d", x_of(a, t), HIGH);
	buf_puts(b, "\"/>");
}

/* The times below: the day at midnight, else the hour. */
static void put_times(struct buf *b, const struct axis *a)
{
	const int64_t step = time_step(a);
	char text[CLOCK_TEXT];

	const bool many = (a->until - first_tick(a, step)) / step >= 4;

	buf_puts(b, many ? "<div class=\"x many\" aria-hidden=\"true\">" : "<div class=\"x\" aria-hidden=\"true\">");
	for (int64_t t = first_tick(a, step); t <= a->until; t += step) {
		clock_format(t, text);
		const bool day = t % 86400000 == 0 && a->until - a->from > 86400000;
		buf_printf(b, "<span style=\"left:%d.%d%%\">", x_of(a, t) * 100 / WIDE, x_of(a, t) * 1000 / WIDE % 10);
		buf_printf(b, "%.*s</span>", day ? 10 : step < 60000 ? 8 : 5, day ? text : text + 11);
	}
	buf_puts(b, "</div>");
}

/* ---- panels ---- */

static void open_drawing(struct buf *b, const char *class)
{
	buf_printf(b, "<svg class=\"%s\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
	           class, WIDE, HIGH);
}

static void key(struct buf *b, const char *class, const char *text)
{
	buf_printf(b, "<span class=\"key\"><span class=\"%s\"></span>%s</span> ", class, text);
}

static int64_t most_of(const struct line *l)
{
	int64_t most = 0;

	for (size_t i = 0; i < l->n; i++)
		most = value_of(l, i) > most && value_of(l, i) != l->none ? value_of(l, i) : most;
	return most;
}

/* Where something failed, at the lower edge. */
static void put_marks(struct buf *b, const struct service *s, const struct axis *a)
{
	int drawn = -1;

	buf_puts(b, "<path class=\"mark\" d=\"");
	for (size_t i = 0; i < s->rows.n; i++) {
		const struct row *row = ((struct row *const *)s->rows.v)[i];
		const int64_t ends[2] = {row->first, row->last};
		for (int k = 0; *row->failure && k < (row->last > row->first ? 2 : 1); k++) {
			const int x = x_of(a, ends[k]);
			if (x / 4 == drawn)
				continue;
			drawn = x / 4;
			buf_printf(b, "M%d %dV%d", x, HIGH, HIGH - HIGH / 6);
		}
	}
	buf_puts(b, "\"/>");
}

static void put_replicas(struct report *rep, const struct service *s, const struct sums *sums, struct axis a)
{
	const struct line count = points_line(s, offsetof(struct point, count)),
					  recorded = points_line(s, offsetof(struct point, recorded)),
					  max = points_line(s, offsetof(struct point, max)),
					  min = points_line(s, offsetof(struct point, min));
	struct buf *b = &rep->out;
	const int64_t limit = most_of(&max), was = most_of(&recorded), least = most_of(&min);
	int64_t most = sums->highest > was ? sums->highest : was;

	most = least > most ? least : most;
	const bool beyond = limit > 2 * most + 2; /* a limit far above would flatten the rest */
	most = limit > most && !beyond ? limit : most < 1 ? 1 : most;
	const double step = step_for((double)most, 1);
	const int n = steps_to((double)most, step);
	a.top = step * n;
	buf_puts(b, "<figure><figcaption>");
	key(b, "k-count", "replicas");
	if (s->diverged)
		key(b, "k-recorded", "as it was");
	key(b, "k-band",
	    beyond  ? "from min up; max is above the chart"
	    : limit ? "between min and max"
	            : "from min up; there is no max");
	if (s->failures)
		key(b, "k-mark", "failure");
	buf_puts(b, "</figcaption><div class=\"plot\">");
	put_scale(b, step, n, MICRO);
	open_drawing(b, "replicas");
	buf_puts(b, "Replicas of ");
	html_text(b, s->name);
	buf_puts(b, " from ");
	text_time(b, sums->first_at);
	buf_puts(b, " to ");
	text_time(b, sums->last_at);
	buf_printf(b, ": lowest %d, highest %d, last %d\">", sums->lowest, sums->highest, sums->last);
	put_band(b, s, &a);
	put_grid(b, &a, n);
	if (s->diverged)
		put_path(b, "recorded", &recorded, &a, STEPS);
	put_path(b, "count", &count, &a, STEPS);
	if (s->failures)
		put_marks(b, s, &a);
	buf_puts(b, "</svg></div>");
}

static const char *what_of(const struct series *v)
{
	return v->alert                           ? "as alerts said it"
	       : strcmp(v->per, "service") == 0   ? "of all replicas together"
	       : strcmp(v->per, "container") == 0 ? "of one replica, the mean of them"
	                                          : "of one replica";
}

static const char *limit_of(const struct series *v)
{
	return v->alert ? "threshold" : strcmp(v->per, "service") == 0 ? "target times replicas" : "target";
}

static void put_load(struct report *rep, const struct service *s, const struct series *v, struct axis a)
{
	const struct line value = {v->samples.v, v->samples.n, sizeof(struct sample), offsetof(struct sample, value),
	                           true,         NONE},
					  limit = {v->samples.v, v->samples.n, sizeof(struct sample), offsetof(struct sample, limit),
	                           true,         NONE};
	struct buf *b = &rep->out;
	const int64_t high = most_of(&value), allowed = most_of(&limit);
	const bool beyond = allowed / 4 > high;
	const double most = (double)(allowed > high && !beyond ? allowed : high > 0 ? high : MICRO);
	const double step = step_for(most, 1);
	const int n = steps_to(most, step);

	a.top = step * n;
	buf_puts(b, "<figure><figcaption>");
	buf_printf(b, "<span class=\"key\"><span class=\"%s\"></span><bdi>", v->alert ? "k-dots" : "k-load");
	html_text(b, v->name);
	buf_printf(b, "</bdi>, %s</span> ", what_of(v));
	if (allowed) {
		buf_printf(b, "<span class=\"key\"><span class=\"%s\"></span>%s%s</span>", v->alert ? "k-threshold" : "k-limit",
		           limit_of(v), beyond ? ", above the chart" : "");
	}
	buf_puts(b, "</figcaption><div class=\"plot\">");
	put_scale(b, step, n, 1);
	open_drawing(b, "load");
	html_text(b, v->name);
	buf_puts(b, " of ");
	html_text(b, s->name);
	buf_printf(b, ", %s: %zu values, highest ", what_of(v), v->samples.n);
	text_micro(b, high);
	if (allowed) {
		buf_printf(b, "; %s at most ", limit_of(v));
		text_micro(b, allowed);
	}
	buf_puts(b, "\">");
	put_grid(b, &a, n);
	if (!beyond)
		put_path(b, v->alert ? "threshold" : "limit", &limit, &a, v->alert ? BARS : STEPS);
	put_path(b, v->alert ? "dots" : "curve", &value, &a, v->alert ? DOTS : CURVE);
	buf_puts(b, "</svg></div>");
}

void put_charts(struct report *rep, const struct service *s, const struct sums *sums)
{
	struct axis a = {rep->from, rep->until, 1};

	if (a.until <= a.from)
		a.until = a.from + 1000;
	buf_puts(&rep->out, "<div class=\"charts\">");
	put_replicas(rep, s, sums, a);
	for (size_t i = 0; i < s->nseries; i++) {
		buf_puts(&rep->out, "</figure>");
		put_load(rep, s, &s->series[i], a);
	}
	put_times(&rep->out, &a);
	buf_puts(&rep->out, "</figure></div>\n");
	if (s->more_series)
		buf_printf(&rep->out, "<p class=\"note\">It has more loads than these %d.</p>\n", SERIES_MAX);
}
