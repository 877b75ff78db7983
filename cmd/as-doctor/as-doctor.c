/* as-doctor: tries all that the configuration names and says what is wrong and how to mend it. See as-doctor(1). */
#include "base/clock.h"
#include "base/exit.h"
#include "base/limits.h"
#include "cmd/as-doctor/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static struct doctor doctor;

static const struct option_row options[] = {
	{0, "json", OPTION_FLAG, NULL, &doctor.json, "print one JSON object a check"},
	{'q', "quiet", OPTION_FLAG, NULL, &doctor.quiet, "print only what is not ok"},
	{0},
};
static const struct command command = {"as-doctor", "try all that the configuration names, and say how to mend it", "",
                                       options};

/* ---- for all checks ---- */

void check_date(const struct findings *to, const char *date, const char *mend)
{
	const int64_t half = 500; /* it tells whole seconds */
	int64_t at;

	if (clock_http(date, &at))
		finding_clock(to, "the server's", at + half - clock_now_ms(), half + 100, mend);
}

/* ---- telling ---- */

/* The subject stands before it already. */
static const char *without_subject(const struct subject *s, const char *text)
{
	const size_t n = strlen(s->name);

	return strncmp(text, s->name, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

/* Text that came from outside cannot reach the terminal as control codes. */
static void put_line(struct buf *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		buf_putc(b, *p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) ? '?' : (char)*p);
}

static void put_text(struct buf *b, const struct subject *s, const struct finding *f)
{
	static const char *const levels[] = {[FINDING_OK] = "ok   ", [FINDING_WARN] = "warn ", [FINDING_FAIL] = "FAIL "};

	buf_printf(b, "%s %s: %s: ", levels[f->level], s->name, f->what);
	put_line(b, without_subject(s, f->found));
	buf_putc(b, '\n');
	if (f->level == FINDING_OK)
		return;
	buf_puts(b, "      -> ");
	put_line(b, f->mend);
	buf_putc(b, '\n');
}

static void put_json(struct buf *b, const struct subject *s, const struct finding *f)
{
	static const char *const levels[] = {[FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "fail"};

	buf_putc(b, '{');
	buf_json_member_str(b, "subject", s->name);
	buf_json_member_str(b, "check", f->what);
	buf_json_member_str(b, "level", levels[f->level]);
	buf_json_member_str(b, "found", without_subject(s, f->found));
	buf_json_member_str(b, "mend", f->level == FINDING_OK ? NULL : f->mend);
	buf_puts(b, "}\n");
}

static int tell(void *ctx, const struct subject *s, const struct finding *f, struct err *err)
{
	struct buf b = BUF_INIT(16384);
	struct doctor *d = ctx;

	d->ok += f->level == FINDING_OK;
	d->warned += f->level == FINDING_WARN;
	d->failed += f->level == FINDING_FAIL;
	if (d->quiet && f->level == FINDING_OK)
		return 0;
	if (d->json)
		put_json(&b, s, f);
	else
		put_text(&b, s, f);
	int rc = buf_ok(&b, err);
	if (rc == 0 && (fwrite(b.p, 1, b.n, stdout) != b.n || fflush(stdout) != 0))
		rc = err_set(err, ERR_OUTPUT, "cannot write standard output: %s", strerror(errno));
	buf_release(&b);
	return rc;
}

/* ---- what there is to try ---- */

struct list {
	struct subject *v;
	size_t n;
};

static void add(struct list *l, void (*check)(const struct doctor *, size_t, const struct findings *), size_t i,
                const char *kind, const char *name)
{
	struct subject *s = &l->v[l->n++];

	*s = (struct subject){.check = check, .i = i};
	(void)snprintf(s->name, sizeof s->name, "%s%s%s", kind, *name ? " " : "", name);
}

static int list_subjects(const struct conf *c, struct list *l, struct err *err)
{
	l->v = calloc(c->nhosts + c->nlbs + 16, sizeof *l->v);
	if (!l->v)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	add(l, check_program, 0, "program", "");
	add(l, check_modules, 0, "drivers", "");
	add(l, check_configuration, 0, "configuration", "");
	add(l, check_zones, 0, "time zones", "");
	add(l, check_store, 0, "store", "");
	add(l, check_alerts, 0, "alerts", "");
	for (size_t i = 0; i < c->nhosts; i++)
		add(l, check_host, i, "host", c->hosts[i].name);
	for (size_t i = 0; i < c->nlbs; i++)
		add(l, check_balancer, i, "lb", c->lbs[i].name);
	if (c->metrics.prometheus)
		add(l, check_prometheus, 0, "prometheus", "");
	add(l, check_programs, 0, "metrics programs", "");
	add(l, check_files, 0, "metrics files", "");
	return 0;
}

int main(int argc, char **argv)
{
	struct doctor *d = &doctor;
	struct list subjects = {0};
	struct err err = {0};
	int done = front_start(&d->f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&d->f)) >= 0)
		return done;

	int bad = list_subjects(&d->f.conf, &subjects, &err);
	if (bad == 0)
		bad = try_all(d, subjects.v, subjects.n, tell, d, &err);
	if (bad < 0)
		done = front_fail(&d->f, &err);
	else
		done = d->failed ? EX_RECORDS : EX_DONE;
	front_say(&d->f, "%zu ok, %zu to look at, %zu wrong", d->ok, d->warned, d->failed);
	free(subjects.v);
	conf_release(&d->f.conf);
	return done;
}
