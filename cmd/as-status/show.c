/* The table. Every cell is made safe for a terminal first, then cut to its column. */
#include "cmd/as-status/status.h"

#include "cmd/front/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

enum { SERVICE, RUN, READY, MIN, MAX, TREND, LAST, NEXT, LB, HOSTS, WHY, COLUMNS };

#define GAP 2
#define CELL_MAX (64 * 1024)
#define WHY_LEAST 30 /* columns that a reason needs beside the others; else it has a line of its own */
#define INDENT 2

static const struct {
	const char *head;
	bool right;
	size_t least; /* columns that it may be cut to; 0: it is never cut */
} columns[COLUMNS] = {
	[SERVICE] = {"SERVICE", false, 8}, [RUN] = {"RUN", true, 0},          [READY] = {"READY", true, 0},
	[MIN] = {"MIN", true, 0},          [MAX] = {"MAX", true, 0},          [TREND] = {"TREND", false, 0},
	[LAST] = {"LAST", false, 6},       [NEXT] = {"NEXT", false, 6},       [LB] = {"LB", false, 0},
	[HOSTS] = {"HOSTS", false, 5},     [WHY] = {"WHY", false, WHY_LEAST},
};

/* What is cut first when the terminal is narrow, and what is left out after that. */
static const int cut_order[] = {HOSTS, SERVICE, LAST, NEXT};
static const int drop_order[] = {TREND, HOSTS, LAST, NEXT, LB, MIN, MAX};

enum shade { PLAIN, GOOD, WARN, BAD, DIM, BOLD };

struct line {
	struct buf cells[COLUMNS]; /* safe text */
	enum shade shades[COLUMNS];
	const struct service *v; /* NULL: the heads */
};

struct table {
	const struct status *s;
	const struct screen *screen;
	struct buf *out;
	struct line *v;
	size_t n, widths[COLUMNS]; /* 0: the column is left out */
	bool why_below;
	size_t printed; /* lines */
	bool full;      /* the screen is */
};

/* ---- cells ---- */

static void put_age(struct buf *b, int64_t ms)
{
	const int64_t s = ms > 0 ? ms / 1000 : 0;

	if (s < 100)
		buf_printf(b, "%llds", (long long)s);
	else if (s < 100 * 60)
		buf_printf(b, "%lldm", (long long)(s / 60));
	else if (s < 48 * 3600)
		buf_printf(b, "%lldh", (long long)(s / 3600));
	else
		buf_printf(b, "%lldd", (long long)(s / 86400));
}

static const char *short_of(const char *action)
{
	return strcmp(action, "scale-up") == 0 ? "up" : strcmp(action, "scale-down") == 0 ? "down" : action;
}

static void put_text(const struct table *t, struct buf *b, const char *text) { text_put(b, text, t->screen->ascii); }

static void fill_counts(const struct table *t, struct line *l)
{
	const struct service *v = l->v;

	buf_printf(&l->cells[RUN], "%lld", (long long)v->running);
	if (v->unknown)
		buf_printf(&l->cells[RUN], "+%lld?", (long long)v->unknown);
	buf_printf(&l->cells[READY], "%lld", (long long)v->ready);
	l->shades[READY] = v->ready < v->running ? WARN : PLAIN;
	if (!v->limits_known) {
		buf_puts(&l->cells[MIN], "?");
		buf_puts(&l->cells[MAX], "?");
	} else {
		buf_printf(&l->cells[MIN], "%lld", (long long)v->min);
		if (v->max < 0)
			buf_puts(&l->cells[MAX], "-");
		else
			buf_printf(&l->cells[MAX], "%lld", (long long)v->max);
		l->shades[RUN] = v->running + v->unknown < v->min || (v->max >= 0 && v->running > v->max) ? BAD : PLAIN;
	}
	if (!t->s->store_ok)
		buf_puts(&l->cells[TREND], "?");
	else if (v->moved)
		buf_printf(&l->cells[TREND], "%+lld", (long long)v->moved);
	else
		buf_puts(&l->cells[TREND], "=");
	if (v->wanted_known && v->wanted != v->running)
		buf_printf(&l->cells[TREND], " >%lld", (long long)v->wanted);
}

static void fill_last(const struct table *t, struct line *l)
{
	const struct last *last = &l->v->last;
	const struct service_past *past = &l->v->past;
	struct buf *b = &l->cells[LAST];

	if (past->pending) {
		put_text(t, b, short_of(past->pending_action));
		buf_puts(b, " begun ");
		put_age(b, t->s->now - past->pending_at);
		l->shades[LAST] = WARN;
	} else if (!t->s->store_ok) {
		buf_puts(b, "?");
	} else if (last->at == TIME_NONE) {
		buf_puts(b, "-");
	} else {
		const bool done = strcmp(last->outcome, "done") == 0;
		put_text(t, b, short_of(last->action));
		buf_printf(b, " %lld>%lld ", (long long)last->from, (long long)last->to);
		put_age(b, t->s->now - last->at);
		if (!done) {
			buf_putc(b, ' ');
			put_text(t, b, last->outcome);
			l->shades[LAST] = BAD;
		}
	}
	if (last->at == TIME_NONE)
		return;
	put_text(t, &l->cells[WHY], last->reason);
	if (last->error) {
		buf_puts(&l->cells[WHY], *last->reason ? ": " : "");
		put_text(t, &l->cells[WHY], last->error);
	}
}

static void put_step(struct buf *b, const char *word, int64_t left, bool paused)
{
	if (left == NEVER)
		return;
	buf_puts(b, b->n ? ", " : "");
	buf_puts(b, word);
	if (paused) {
		buf_puts(b, " paused");
	} else if (left) {
		buf_putc(b, ' ');
		put_age(b, left + 999);
	}
}

static void fill_next(const struct table *t, struct line *l)
{
	struct outlook o;
	struct buf *b = &l->cells[NEXT];

	look_ahead(t->s, l->v, &o);
	if (!l->v->limits_known) {
		buf_puts(b, "?");
		return;
	}
	put_step(b, "up", o.out, o.paused_out);
	put_step(b, "down", o.in, o.paused_in);
	buf_puts(b, b->n ? "" : "-");
}

/* "2/2": entries that take traffic, ready replicas. */
static void fill_sides(const struct table *t, struct line *l)
{
	const struct service *v = l->v;
	struct buf *b = &l->cells[LB];

	for (size_t i = 0; i < v->nsides; i++) {
		const struct side *side = &v->sides[i];
		buf_puts(b, i ? " " : "");
		if (v->nsides > 1) {
			put_text(t, b, side->name);
			buf_putc(b, ' ');
		}
		if (!side->known) {
			buf_puts(b, "?");
			l->shades[LB] = BAD;
			continue;
		}
		buf_printf(b, "%lld/%lld", (long long)side->up, (long long)expected_at(v));
		if (side->nmissing || side->nstale) {
			buf_puts(b, " !");
			l->shades[LB] = BAD;
		} else if (l->shades[LB] == PLAIN) {
			l->shades[LB] = GOOD;
		}
	}
	buf_puts(b, v->nsides ? "" : "-");
}

static void fill_hosts(const struct table *t, struct line *l)
{
	const struct conf *conf = &t->s->f.conf;
	struct buf *b = &l->cells[HOSTS];

	for (size_t i = 0; i < conf->nhosts; i++) {
		const bool ok = t->s->host[i].ok;
		const int64_t n = ok ? running_on(l->v, i) : unseen_on(t->s, l->v, i);
		if (!n && conf->nhosts > 1)
			continue;
		buf_puts(b, b->n ? " " : "");
		put_text(t, b, conf->hosts[i].name);
		if (conf->nhosts > 1)
			buf_printf(b, ":%lld", (long long)n);
		if (!ok) {
			buf_putc(b, '?');
			l->shades[HOSTS] = BAD;
		}
	}
	buf_puts(b, b->n ? "" : "-");
}

static void fill(const struct table *t, struct line *l)
{
	put_text(t, &l->cells[SERVICE], l->v->name);
	fill_counts(t, l);
	fill_last(t, l);
	fill_next(t, l);
	fill_sides(t, l);
	fill_hosts(t, l);
}

/* ---- widths ---- */

static const char *cell(const struct line *l, int column)
{
	const char *text = l->v ? l->cells[column].p : columns[column].head;

	return text ? text : "";
}

static size_t total(const struct table *t)
{
	size_t sum = 0;

	for (int i = 0; i < WHY; i++)
		sum += t->widths[i] ? t->widths[i] + GAP : 0;
	return sum ? sum - GAP : 0;
}

static size_t too_wide(const struct table *t)
{
	return total(t) > t->screen->columns ? total(t) - t->screen->columns : 0;
}

static void narrow(struct table *t)
{
	for (size_t i = 0; i < sizeof cut_order / sizeof *cut_order && too_wide(t); i++) {
		size_t *w = &t->widths[cut_order[i]];
		const size_t least = columns[cut_order[i]].least, room = *w > least ? *w - least : 0;
		*w -= too_wide(t) < room ? too_wide(t) : room;
	}
	for (size_t i = 0; i < sizeof drop_order / sizeof *drop_order && too_wide(t); i++)
		t->widths[drop_order[i]] = 0;
	if (too_wide(t))
		t->widths[SERVICE] = t->widths[SERVICE] > too_wide(t) + 1 ? t->widths[SERVICE] - too_wide(t) : 1;
	/* What was cut before a column was left out gets that room back. */
	for (size_t i = 0; i < sizeof cut_order / sizeof *cut_order; i++) {
		size_t *w = &t->widths[cut_order[i]], widest = 0;
		for (size_t k = 0; k < t->n; k++)
			widest =
				text_width(cell(&t->v[k], cut_order[i])) > widest ? text_width(cell(&t->v[k], cut_order[i])) : widest;
		while (*w && *w < widest && total(t) < t->screen->columns)
			++*w;
	}
}

static void measure(struct table *t)
{
	for (int i = 0; i < COLUMNS; i++)
		for (size_t k = 0; k < t->n; k++) {
			const size_t w = text_width(cell(&t->v[k], i));
			t->widths[i] = w > t->widths[i] ? w : t->widths[i];
		}
	if (!t->screen->columns)
		return;
	narrow(t);
	const size_t used = total(t) + GAP, left = t->screen->columns > used ? t->screen->columns - used : 0;
	t->why_below = left < WHY_LEAST && left < t->widths[WHY];
	t->widths[WHY] = t->why_below ? 0 : left < t->widths[WHY] ? left : t->widths[WHY];
}

/* ---- printing ---- */

/* ECMA-48, SGR. */
static const char *const sgr[] = {
	[PLAIN] = "", [GOOD] = "\033[32m", [WARN] = "\033[33m", [BAD] = "\033[31m", [DIM] = "\033[2m", [BOLD] = "\033[1m"};

static void put_shaded(struct table *t, const char *text, size_t width, enum shade shade)
{
	const bool colour = t->screen->colour && shade != PLAIN;

	buf_puts(t->out, colour ? sgr[shade] : "");
	text_cut(t->out, text, width, t->screen->ascii);
	buf_puts(t->out, colour ? "\033[0m" : "");
}

static void end_line(struct table *t)
{
	buf_puts(t->out, t->screen->redraw ? "\033[K\n" : "\n"); /* the rest of what stood there goes: EL */
	t->printed++;
	t->full = t->screen->lines && t->printed + 1 >= t->screen->lines;
}

static void put_line(struct table *t, const struct line *l)
{
	bool first = true;
	size_t owed = 0; /* spaces that are only put before more text */

	for (int i = 0; i < COLUMNS; i++) {
		const size_t w = t->widths[i], is = text_width(cell(l, i)), fills = is < w ? w - is : 0;
		if (!w)
			continue;
		owed += first ? 0 : GAP;
		first = false;
		if (columns[i].right)
			owed += fills;
		if (is) {
			text_pad(t->out, owed);
			put_shaded(t, cell(l, i), w, l->v ? l->shades[i] : BOLD);
			owed = 0;
		}
		owed += columns[i].right ? 0 : is ? fills : w;
	}
	end_line(t);
}

/* A line that begins below the name of a service. */
static void put_below(struct table *t, const char *text, enum shade shade)
{
	const size_t width = !t->screen->columns ? SIZE_MAX : t->screen->columns > INDENT ? t->screen->columns - INDENT : 1;

	if (t->full)
		return;
	text_pad(t->out, INDENT);
	put_shaded(t, text, width, shade);
	end_line(t);
}

/* "no entry for web-1, web-2 (drain)" */
static void put_names(const struct table *t, struct buf *b, struct jv list, bool missing)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;
	char text[300];
	bool first = true;

	for (; jv_next(&c, &m); first = false) {
		buf_puts(b, first ? "" : ", ");
		if (!jv_str(jv_get(m.value, "container"), text, sizeof text))
			(void)jv_str(jv_get(m.value, "entry"), text, sizeof text);
		put_text(t, b, text);
		if (jv_str(jv_get(m.value, "state"), text, sizeof text) && (missing || strcmp(text, "up") != 0))
			buf_printf(b, " (%s)", text);
	}
}

static void put_differences(struct table *t, const struct service *v)
{
	for (size_t i = 0; i < v->nsides; i++) {
		const struct side *side = &v->sides[i];
		struct buf b = BUF_INIT(CELL_MAX);
		if (!side->known || (!side->nmissing && !side->nstale))
			continue;
		buf_puts(&b, "! lb ");
		put_text(t, &b, side->name);
		buf_puts(&b, ": ");
		if (side->why.code)
			buf_puts(&b, "it has no such backend; ");
		if (side->nmissing) {
			buf_puts(&b, "no traffic to ");
			put_names(t, &b, (struct jv){side->missing.p, side->missing.n}, true);
		}
		if (side->nstale) {
			buf_puts(&b, side->nmissing ? "; not ready, or gone: " : "not ready, or gone: ");
			put_names(t, &b, (struct jv){side->stale.p, side->stale.n}, false);
		}
		put_below(t, b.p ? b.p : "", BAD);
		buf_release(&b);
	}
}

static void put_rest(struct table *t, const struct line *l)
{
	char text[80];

	if (t->why_below && *cell(l, WHY))
		put_below(t, cell(l, WHY), DIM);
	if (l->v->missing || l->v->stopped) {
		(void)snprintf(text, sizeof text, "! %lld stopped, %lld missing", (long long)l->v->stopped,
		               (long long)l->v->missing);
		put_below(t, text, WARN);
	}
	put_differences(t, l->v);
}

static void put_notes(struct table *t)
{
	const struct buf *notes = &t->s->notes;

	for (size_t at = 0; at < notes->n && !t->full; at += strlen(notes->p + at) + 1) {
		struct buf b = BUF_INIT(CELL_MAX);
		buf_puts(&b, "! ");
		put_text(t, &b, notes->p + at);
		put_shaded(t, b.p, t->screen->columns && t->screen->redraw ? t->screen->columns : SIZE_MAX, BAD);
		end_line(t);
		buf_release(&b);
	}
}

static void put_all(struct table *t)
{
	char now[CLOCK_TEXT];

	if (t->screen->redraw)
		buf_puts(t->out, "\033[H");
	if (t->s->watch_ms) {
		clock_format(t->s->now, now);
		put_shaded(t, now, SIZE_MAX, DIM);
		end_line(t);
	}
	put_line(t, &t->v[0]);
	if (t->screen->redraw) /* a screen may end before the table does */
		put_notes(t);
	for (size_t i = 1; i < t->n && !t->full; i++) {
		put_line(t, &t->v[i]);
		put_rest(t, &t->v[i]);
	}
	if (t->n == 1 && !t->s->failed)
		put_below(t, "no service has joined yet: the label autoscale.service makes one, see autoscale(7)", PLAIN);
	if (!t->screen->redraw)
		put_notes(t);
	else
		buf_puts(t->out, "\033[J"); /* what is below goes too: ED */
}

void show_table(const struct status *s, const struct screen *screen, struct buf *out)
{
	struct table t = {.s = s, .screen = screen, .out = out, .v = calloc(s->nservices + 1, sizeof *t.v)};

	if (!t.v) {
		out->failed = true;
		return;
	}
	for (; t.n <= s->nservices; t.n++) {
		struct line *l = &t.v[t.n];
		for (int i = 0; i < COLUMNS; i++)
			l->cells[i] = (struct buf)BUF_INIT(CELL_MAX);
		if (t.n) {
			l->v = &s->services[t.n - 1];
			fill(&t, l);
		}
	}
	measure(&t);
	put_all(&t);
	for (size_t k = 0; k < t.n; k++)
		for (int i = 0; i < COLUMNS; i++)
			buf_release(&t.v[k].cells[i]);
	free(t.v);
}
