#include "cmd/front/batch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define BATCH_BYTES (1024u * 1024u) /* a batch ends with the line that passes this */
#define BATCH_NODES (64u * 1024u)   /* values in the records of a batch that are found without reading */

/* The record of a line, with its index; absent when it is none, or has no place in the index. Of those the loop makes
 * what it makes of any line. */
static struct jv scan(struct batch *b, size_t i, size_t *used)
{
	struct jv_index index = {.v = b->nodes + *used, .max = (uint32_t)(BATCH_NODES - *used)};
	struct jv record = {0};
	size_t members;
	struct err unused;

	if (jv_scan_indexed(b->bytes.p + b->lines[i].from, b->lines[i].n, &record, b->f->loop.members, MEMBERS_MAX,
	                    &members, &index, &unused) < 0 ||
	    !jv_is_object(record) || index.full)
		return (struct jv){0};
	*used += index.n;
	return record;
}

/* What `prepare` sees of it. */
static struct jv look(const struct batch *b, size_t i, struct jv scanned)
{
	struct jv record = scanned;
	struct err unused;

	if (!jv_here(record) && jv_scan(b->bytes.p + b->lines[i].from, b->lines[i].n, &record, NULL, 0, NULL, &unused) < 0)
		return (struct jv){0};
	if (!jv_is_object(record) || (!b->errors_too && !jv_is_null(jv_get(record, "error"))))
		return (struct jv){0};
	return record;
}

static int run(struct batch *b, struct err *err)
{
	struct record_loop *l = &b->f->loop;
	int (*const take)(void *, unsigned long, const char *, size_t, struct err *) = l->take;
	struct jv scanned[BATCH_RECORDS], records[BATCH_RECORDS];
	size_t used = 0;
	int bad = 0;

	for (size_t i = 0; i < b->n; i++) {
		scanned[i] = scan(b, i, &used);
		records[i] = look(b, i, scanned[i]);
	}
	b->running = true;
	b->prepare(b->ctx, records, b->n);
	l->take = NULL; /* one at a time from here */
	for (b->at = 0; !bad && b->at < b->n; b->at++)
		bad = jv_here(scanned[b->at]) ? record_loop_scanned(l, b->lines[b->at].number, scanned[b->at], err)
		                              : record_loop_one(l, b->lines[b->at].number, b->bytes.p + b->lines[b->at].from,
		                                                b->lines[b->at].n, err);
	l->take = take;
	b->running = false;
	b->n = 0;
	buf_reset(&b->bytes);
	return bad;
}

static int take(void *ctx, unsigned long number, const char *p, size_t n, struct err *err)
{
	struct batch *b = ctx;

	b->lines[b->n].number = number;
	b->lines[b->n].from = b->bytes.n;
	b->lines[b->n].n = n;
	buf_put(&b->bytes, p, n);
	buf_putc(&b->bytes, '\0');
	if (buf_ok(&b->bytes, err) < 0)
		return -1;
	b->n++;
	return b->n == BATCH_RECORDS || b->bytes.n > BATCH_BYTES ? run(b, err) : 0;
}

/* Before a read: what there is goes its way, unless more comes at once. */
static int wait_for(void *ctx, int fd, short events, struct err *err)
{
	struct batch *b = ctx;
	struct pollfd p = {.fd = fd, .events = events};

	if (events != POLLIN) {
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
		return 0;
	}
	if (!b->n || poll(&p, 1, 0) != 0)
		return 0;
	return run(b, err) < 0 || record_loop_flush(&b->f->loop, err) < 0 ? -1 : 0;
}

static enum record_fate each(void *ctx, struct record *r, struct err *err)
{
	struct batch *b = ctx;

	if (!b->running) { /* made of an operand: a batch of its own */
		b->at = 0;
		b->prepare(b->ctx, &r->whole, 1);
	}
	return b->each(b->ctx, r, err);
}

int front_filter_batched(struct batch *b)
{
	struct front *f = b->f;
	struct err err = {0};
	const int status = front_terminal(f);

	if (status >= 0)
		return status;
	b->bytes = (struct buf)BUF_INIT(BATCH_BYTES + 2 * LINE_MAX_BYTES);
	b->nodes = malloc(BATCH_NODES * sizeof *b->nodes);
	int bad = front_open(f, each, b, b->errors_too, &err);
	if (!bad && !b->nodes)
		bad = err_set(&err, ERR_TEMPORARY, "out of memory");
	if (!bad && !f->noperands) {
		f->loop.take = take;
		f->loop.wait = wait_for;
		f->loop.side_ctx = b;
		bad = record_loop_run(&f->loop, &err);
		if (!bad && b->n)
			bad = run(b, &err);
		f->loop.take = NULL;
		f->loop.wait = NULL;
	}
	for (int i = 0; !bad && i < f->noperands && !front_stopping(); i++)
		bad = front_service(f, f->operands[i], &err);
	buf_release(&b->bytes);
	free(b->nodes);
	return front_close(f, bad, &err);
}
