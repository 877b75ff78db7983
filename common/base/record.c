#include "base/record.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

/* ---- one record ---- */

static struct record_edit *find_edit(const struct record *r, const char *name)
{
	for (size_t i = 0; i < r->nedits; i++)
		if (strcmp(r->edits[i].name, name) == 0)
			return (struct record_edit *)&r->edits[i];
	return NULL;
}

static const struct jv_member *find_member(const struct record *r, const char *name)
{
	const size_t n = strlen(name);

	for (size_t i = 0; i < r->nmembers; i++) {
		const struct jv_member *const m = &r->members[i];
		if (m->escaped ? jv_name_is(m, name) : m->name.n == n && memcmp(m->name.p, name, n) == 0)
			return m;
	}
	return NULL;
}

struct jv record_get(const struct record *r, const char *name)
{
	const struct record_edit *e = find_edit(r, name);
	if (e)
		return (struct jv){e->value.p, e->value.n};
	const struct jv_member *m = find_member(r, name);
	return m ? m->value : (struct jv){0};
}

bool outcome_acts(const char *outcome) { return strcmp(outcome, "done") == 0 || strcmp(outcome, "partial") == 0; }

/* An edit, with what the member holds now when keep is set. More edits than EDITS_MAX is a mistake of the stage:
 * the last one is used again, so that nothing is written out of bounds. */
static struct record_edit *make_edit(struct record *r, const char *name, bool keep)
{
	struct record_edit *e = find_edit(r, name);
	if (!e) {
		const struct jv now = record_get(r, name);
		if (r->nedits < EDITS_MAX)
			r->nedits++;
		e = &r->edits[r->nedits - 1];
		buf_release(&e->value);
		e->value = (struct buf)BUF_INIT(LINE_MAX_BYTES);
		const size_t n = strnlen(name, sizeof e->name - 1);
		memcpy(e->name, name, n);
		e->name[n] = '\0';
		if (keep && now.n)
			buf_put(&e->value, now.p, now.n);
	} else if (!keep) {
		buf_reset(&e->value);
	}
	return e;
}

struct buf *record_edit(struct record *r, const char *name) { return &make_edit(r, name, false)->value; }

void record_append(struct record *r, const char *name, const struct buf *element)
{
	struct buf *b = &make_edit(r, name, true)->value;

	if (element->failed) {
		b->failed = true;
		return;
	}
	if (!b->n || *b->p != '[') {
		buf_reset(b);
		buf_puts(b, "[]");
	}
	b->n--; /* the bracket */
	while (strchr(" \t\r\n", b->p[b->n - 1]))
		b->n--;
	buf_json_comma(b);
	buf_put(b, element->p, element->n);
	buf_putc(b, ']');
}

void record_fail(struct record *r, const char *stage, const struct err *err, int64_t at)
{
	if (!jv_is_null(record_get(r, "error")))
		return;
	struct buf *b = record_edit(r, "error");
	buf_putc(b, '{');
	buf_json_member_str(b, "stage", stage);
	buf_json_member_str(b, "code", err_name(err->code));
	buf_json_member_str(b, "message", err->message);
	buf_json_member_bool(b, "retry", err->retry);
	clock_json_member(b, "at", at);
	buf_putc(b, '}');
}

int record_service(const struct record *r, char out[SERVICE_NAME_MAX + 1], struct err *err)
{
	const struct jv v = record_get(r, "service");

	if (!jv_str(v, out, SERVICE_NAME_MAX + 1) || !*out)
		return err_set(err, ERR_MISSING, "no usable `service` (a name of 1 to %d bytes)", SERVICE_NAME_MAX);
	return 0;
}

int record_now(const struct record *r, int64_t *now, struct err *err)
{
	if (!clock_json(record_get(r, "now"), now))
		return err_set(err, ERR_MISSING, "no usable `now` (an RFC 3339 time)");
	return 0;
}

/* ---- output ---- */

static int write_all(int fd, const char *p, size_t n, struct err *err)
{
	while (n) {
		const ssize_t w = write(fd, p, n);
		if (w >= 0) {
			p += w;
			n -= (size_t)w;
		} else if (errno == EAGAIN) {
			struct pollfd out = {.fd = fd, .events = POLLOUT};
			(void)poll(&out, 1, -1);
		} else if (errno != EINTR) {
			return err_set(err, ERR_OUTPUT, "cannot write standard output: %s", strerror(errno));
		}
	}
	return 0;
}

/* In pieces that a pipe which is ready takes at once (PIPE_BUF, pipe(7)). Meanwhile other records may be added, and
 * another one may do the same: each piece is taken from the front. */
static int flush_aside(struct record_loop *l, struct err *err)
{
	while (l->output.n) {
		if (l->wait(l->side_ctx, l->out, POLLOUT, err) < 0)
			return -1;
		const size_t n = l->output.n < PIPE_BUF ? l->output.n : PIPE_BUF;
		if (write_all(l->out, l->output.p, n, err) < 0)
			return -1;
		buf_drop_front(&l->output, n);
	}
	return 0;
}

int record_loop_flush(struct record_loop *l, struct err *err)
{
	const size_t n = l->output.n;

	if (l->wait && l->pieces)
		return flush_aside(l, err);

	l->output.n = 0;
	return write_all(l->out, l->output.p, n, err);
}

int record_loop_put(struct record_loop *l, const char *bytes, size_t n, struct err *err)
{
	buf_put(&l->output, bytes, n);
	buf_putc(&l->output, '\n');
	if (buf_ok(&l->output, err) < 0)
		return -1;
	return l->flush_each || l->output.n >= OUT_BLOCK ? record_loop_flush(l, err) : 0;
}

/* The record's bytes with its edits: replaced where the member stands, new ones before the last brace. */
static int render(const struct record *r, struct buf *out, struct err *err)
{
	const char *from = r->whole.p, *last = r->whole.p + r->whole.n - 1;
	bool used[EDITS_MAX] = {false};

	for (size_t i = 0; i < r->nmembers; i++) {
		for (size_t e = 0; e < r->nedits; e++) {
			if (!jv_name_is(&r->members[i], r->edits[e].name))
				continue;
			buf_put(out, from, (size_t)(r->members[i].value.p - from));
			buf_put(out, r->edits[e].value.p, r->edits[e].value.n);
			from = r->members[i].value.p + r->members[i].value.n;
			used[e] = true;
		}
	}
	buf_put(out, from, (size_t)(last - from));
	bool first = r->nmembers == 0;
	for (size_t e = 0; e < r->nedits; e++) {
		if (used[e])
			continue;
		if (buf_ok(&r->edits[e].value, err) < 0)
			return err_prefix(err, "member `%s`", r->edits[e].name);
		buf_puts(out, first ? "\"" : ",\"");
		buf_puts(out, r->edits[e].name);
		buf_puts(out, "\":");
		buf_put(out, r->edits[e].value.p, r->edits[e].value.n);
		first = false;
	}
	buf_putc(out, '}');
	return buf_ok(out, err);
}

static void drop_edits(struct record *r)
{
	for (size_t i = 0; i < r->nedits; i++)
		buf_release(&r->edits[i].value);
	r->nedits = 0;
}

/* Straight into the output block. A record that grew over the maximum leaves as it came, with an error. */
static int emit(struct record_loop *l, struct record *r, int64_t at, struct err *err)
{
	const size_t before = l->output.n;
	const size_t max = l->output.max;
	struct err big = {0};

	for (int attempt = 0; attempt < 2; attempt++) {
		l->output.max = before + LINE_MAX_BYTES;
		const int bad = render(r, &l->output, &big);
		l->output.max = max;
		if (!bad) {
			buf_putc(&l->output, '\n');
			if (buf_ok(&l->output, err) < 0)
				return -1;
			return l->flush_each || l->output.n >= OUT_BLOCK ? record_loop_flush(l, err) : 0;
		}
		l->output.n = before;
		l->output.failed = l->output.full = false;
		if (big.code == ERR_LIMIT)
			(void)err_set(&big, ERR_LIMIT, "the record grew over %u bytes", LINE_MAX_BYTES);
		drop_edits(r);
		record_fail(r, l->stage, &big, at);
		l->failed = true;
		l->report(l->report_ctx, r->line, &big);
	}
	return 0; /* not even its error fits: reported twice, and left out */
}

/* ---- the loop ---- */

static void report_bad(struct record_loop *l, unsigned long line, const struct err *err)
{
	l->bad_input = true;
	l->report(l->report_ctx, line, err);
}

static int64_t error_time(const struct record_loop *l, const struct record *r)
{
	int64_t now;
	struct err unused;

	if (l->clock)
		return l->clock();
	return record_now(r, &now, &unused) == 0 ? now : TIME_NONE;
}

static int check_version(const struct record *r, struct err *err)
{
	const struct jv v = record_get(r, "v");
	int64_t version = RECORD_VERSION;

	if (jv_here(v) && (!jv_int(v, &version) || version < 1 || version > RECORD_VERSION))
		return err_set(err, ERR_RECORD_VERSION, "record version %.*s, this program knows %d",
		               (int)(v.n < 20 ? v.n : 20), v.p, RECORD_VERSION);
	return 0;
}

/* The stage's say on one record; its failure becomes the record's `error`. */
static enum record_fate ask_stage(struct record_loop *l, struct record *r)
{
	struct err why = {0};
	const bool carries = !jv_is_null(record_get(r, "error"));

	if (carries && !l->errors_too)
		return RECORD_PRINT;
	enum record_fate fate = check_version(r, &why) < 0 ? RECORD_ERROR : l->each(l->ctx, r, &why);
	if (fate != RECORD_ERROR)
		return fate;
	record_fail(r, l->stage, &why, error_time(l, r));
	if (why.code == ERR_RECORD_VERSION || why.code == ERR_MISSING)
		l->bad_input = true;
	else
		l->failed = true;
	l->report(l->report_ctx, r->line, &why);
	return RECORD_PRINT;
}

static int stage_and_emit(struct record_loop *l, struct record *r, struct err *err)
{
	const int bad = ask_stage(l, r) == RECORD_PRINT && !l->sink ? emit(l, r, error_time(l, r), err) : 0;

	drop_edits(r);
	return bad;
}

int record_loop_one(struct record_loop *l, unsigned long line, const char *p, size_t n, struct err *err)
{
	struct jv_member *own = l->take ? malloc(MEMBERS_MAX * sizeof *own) : NULL;
	struct record r = {.line = line, .members = own ? own : l->members};
	struct err why = {0};
	int bad = 0;

	if (l->take && !own)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (strspn(p, " \t\r") >= n)
		goto out; /* a blank line is no record and no mistake */
	if (jv_scan_indexed(p, n, &r.whole, r.members, MEMBERS_MAX, &r.nmembers, own ? NULL : &l->index, &why) < 0 ||
	    (!jv_is_object(r.whole) && !(l->any && jv_is_array(r.whole)) &&
	     err_set(&why, ERR_INPUT, "not a JSON record: not an object"))) {
		if (!l->bad_line || !l->bad_line(l->ctx, line, p, n))
			report_bad(l, line, &why);
		goto out;
	}
	bad = stage_and_emit(l, &r, err);
out:
	free(own);
	return bad;
}

int record_loop_scanned(struct record_loop *l, unsigned long line, struct jv whole, struct err *err)
{
	struct record r = {.line = line, .whole = whole, .members = l->members};
	struct jv_cursor c = jv_each(whole);

	while (r.nmembers < MEMBERS_MAX && jv_next(&c, &r.members[r.nmembers]))
		r.nmembers++;
	return stage_and_emit(l, &r, err);
}

static int one_line(struct record_loop *l, const char *p, size_t n, unsigned long line, struct err *err)
{
	return l->take ? l->take(l->side_ctx, line, p, n, err) : record_loop_one(l, line, p, n, err);
}

int record_loop_init(struct record_loop *l, struct err *err)
{
	l->input = (struct buf)BUF_INIT(LINE_MAX_BYTES + OUT_BLOCK);
	l->output = (struct buf)BUF_INIT(2 * LINE_MAX_BYTES + OUT_BLOCK);
	l->members = malloc(MEMBERS_MAX * sizeof *l->members);
	l->index = (struct jv_index){.v = malloc(INDEX_MAX * sizeof *l->index.v), .max = INDEX_MAX};
	if (!l->members || !l->index.v || buf_reserve(&l->input, OUT_BLOCK) < 0 ||
	    buf_reserve(&l->output, OUT_BLOCK + 4096) < 0)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	l->input.p[0] = '\0';
	return 0;
}

void record_loop_release(struct record_loop *l)
{
	buf_release(&l->input);
	buf_release(&l->output);
	free(l->members);
	free(l->index.v);
	l->members = NULL;
	l->index.v = NULL;
}

static bool would_block(int fd)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};

	return poll(&in, 1, 0) == 0;
}

/* Before a wait and at the end: the batch is committed first, then its records leave. */
static int settle(struct record_loop *l, struct err *err)
{
	return (l->idle && l->idle(l->ctx, err) < 0) || record_loop_flush(l, err) < 0 ? -1 : 0;
}

/* Appends what can be read now. Returns the number of bytes, 0 at the end, -1 on failure or when told to stop. */
static ssize_t fill(struct record_loop *l, struct err *err)
{
	if ((l->output.n || l->idle) && would_block(l->in) && settle(l, err) < 0)
		return -1;
	if (buf_reserve(&l->input, OUT_BLOCK) < 0)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (;;) {
		if (l->wait && l->wait(l->side_ctx, l->in, POLLIN, err) < 0)
			return -1;
		if (l->stop && *l->stop)
			return 0;
		const ssize_t n = read(l->in, l->input.p + l->input.n, OUT_BLOCK);
		if (n >= 0) {
			l->input.n += (size_t)n;
			l->input.p[l->input.n] = '\0';
			return n;
		}
		if (errno == EAGAIN) {
			struct pollfd in = {.fd = l->in, .events = POLLIN};
			(void)poll(&in, 1, -1);
		} else if (errno != EINTR) {
			return err_set(err, ERR_UNAVAILABLE, "cannot read standard input: %s", strerror(errno));
		}
	}
}

static int long_piece(struct record_loop *l, unsigned long line, const char *p, size_t n, bool last, struct err *err)
{
	return l->long_line ? l->long_line(l->ctx, line, p, n, last, err) : 0;
}

int record_loop_run(struct record_loop *l, struct err *err)
{
	unsigned long line = 1;
	size_t from = 0, searched = 0; /* of the input: start of the line; bytes known to hold no newline */
	bool skipping = false;

	for (;;) {
		char *nl = memchr(l->input.p + searched, '\n', l->input.n - searched);
		const size_t end = nl ? (size_t)(nl - l->input.p) : l->input.n;
		if (!skipping && end - from > LINE_MAX_BYTES) {
			struct err why = {0};
			(void)err_set(&why, ERR_LIMIT, "a line of more than %u bytes: skipped", LINE_MAX_BYTES);
			if (!l->long_line)
				report_bad(l, line, &why);
			skipping = true;
		}
		if (skipping && long_piece(l, line, l->input.p + from, end - from, nl != NULL, err) < 0)
			return -1;
		if (nl) {
			*nl = '\0';
			if (!skipping && one_line(l, l->input.p + from, end - from, line, err) < 0)
				return -1;
			skipping = false;
			from = searched = end + 1;
			line++;
			if (l->stop && *l->stop)
				return settle(l, err);
			continue;
		}
		if (skipping)
			from = l->input.n;
		buf_drop_front(&l->input, from);
		from = 0;
		searched = l->input.n;
		const ssize_t n = fill(l, err);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
	}
	if (skipping && !(l->stop && *l->stop) && long_piece(l, line, "", 0, true, err) < 0)
		return -1;
	if (!skipping && l->input.n && !(l->stop && *l->stop) && one_line(l, l->input.p, l->input.n, line, err) < 0)
		return -1;
	return settle(l, err);
}
