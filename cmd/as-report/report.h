/* What the files of as-report share: what is kept of the records until the page is written.
 *
 * take.c: a record is read; row.c: the rows of the tables; sums.c: the arithmetic of pipelines/replay; page.c: the
 * page; table.c: its tables; chart.c: its charts; html.c: text; style.c: how it looks. */
#ifndef CMD_AS_REPORT_REPORT_H
#define CMD_AS_REPORT_REPORT_H

#include "base/buf.h"
#include "base/byname.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept is bounded, whatever comes in. Points are 32 bytes, rows at most some kilobytes. */
#define POINTS_MAX 2000000 /* decisions and measured values */
#define SERVICES_MAX 10000
#define SECTIONS_MAX 200  /* services that get charts and tables of their own */
#define ROWS_MAX 20000    /* rows of all tables of decisions */
#define SERVICE_ROWS 1000 /* of one service; fewer when all have many */
#define SERIES_MAX 4      /* loads of one service */
#define TEXT_MAX 2000     /* bytes of a reason, and of what failed in one decision */

#define NONE INT64_MIN

/* A decision: what it left, until the next one. */
struct point {
	int64_t at;
	int32_t count, recorded; /* recorded: what there really was, in a replay; else as count */
	int32_t min, max;        /* -1: none */
	bool over;               /* the load of one replica was past its target and the tolerance */
};

/* A measured value, in millionths, and what it may be: the target, times the replicas if it is of the service. */
struct sample {
	int64_t at, value, limit; /* value, limit NONE: not known */
};

struct list {
	void *v;
	size_t n, cap;
};

struct series {
	char name[160];
	char per[16];
	bool alert; /* what alerts said, and not what was measured */
	struct list samples;
};

/* A line of the table of decisions, or several of a kind. */
struct row {
	int64_t first, last;
	int64_t times;
	int32_t from, to;
	char op[16], outcome[16];
	enum row_worth { NOTHING, ACTS, FAILED } worth;
	const char *reason, *policy, *failure; /* in text; failure "": none, else a line each */
	char text[];
};

struct service {
	char name[SERVICE_NAME_MAX + 1];
	struct list points; /* struct point */
	struct list rows;   /* struct row *, in the order of the records */
	struct series series[SERIES_MAX];
	size_t nseries, more_series;
	int64_t records, out, in, repairs, failures;
	int64_t cut[FAILED + 1]; /* decisions that are no longer in rows */
	bool simulated, diverged;
	bool section;
	size_t number;
};

/* pipelines/replay.jq has the same under the same names. */
struct sums {
	int64_t replica_ms, over_ms, max_ms;
	int32_t lowest, highest, last;
	int64_t first_at, last_at;
};

struct report {
	struct byname services;
	size_t points, rows, row_cap;
	int64_t records, left_out, undecided, late;
	int64_t from, until;
	bool simulated;
	size_t sections;
	const char *title;
	struct buf out;
	struct record_loop *loop;
};

/* ---- take.c ---- */
enum record_fate report_take(void *report, struct record *r, struct err *err);

/* ---- row.c ---- */
int row_add(struct report *rep, struct service *s, const struct row *like, struct err *err);
void rows_free(struct service *s);

/* ---- sums.c ---- */
/* By time. TEMPORARY: no memory. */
int sort_service(struct service *s, struct err *err);
struct sums sum_up(const struct service *s);
int list_add(struct list *l, const void *item, size_t size, struct err *err);

/* ---- page.c ---- */
int page_write(struct report *rep, struct err *err);
/* Hands on what is written so far; between parts, so that the page is never held whole. */
int page_flush(struct report *rep, struct err *err);

/* ---- table.c ---- */
int put_summary(struct report *rep, struct err *err);
void put_cut_note(struct report *rep, const struct service *s);
int put_decisions(struct report *rep, const struct service *s, struct err *err);
int put_failures(struct report *rep, const struct service *s, struct err *err);

/* ---- chart.c ---- */
void put_charts(struct report *rep, const struct service *s, const struct sums *sums);

/* ---- html.c ---- */
/* Text from outside: markup is quoted; control characters, and those that turn the direction of writing or are not to
 * be seen, are shown as \x1b and \u202e. */
void html_text(struct buf *b, const char *text);
void html_time(struct buf *b, int64_t ms, bool same_day); /* <time>, UTC, to the second; same_day: without the day */
void html_length(struct buf *b, int64_t ms);              /* <data>: 1 h 20 min */
void html_hours(struct buf *b, int64_t ms);               /* <data>: hours, two digits */
void text_micro(struct buf *b, int64_t micro);            /* 12.5 */
void text_short(struct buf *b, int64_t micro);            /* 128.5 M */
void text_count(struct buf *b, int64_t n);                /* 12,345 */
void text_length(struct buf *b, int64_t ms);
void text_time(struct buf *b, int64_t ms);

/* ---- style.c ---- */
extern const char style[];

#endif
