#include "cmd/front/intake.h"

#include "base/clock.h"
#include "base/limits.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

#define BATCH 256             /* alerts in one transaction */
#define RAW_MAX (64u * 1024u) /* of a longer notification only the hash is kept */
#define SHA256_HEX 65

static void random_bytes(void *p, size_t n)
{
	if (getrandom(p, n, 0) != (ssize_t)n)
		abort(); /* 256 bytes at most never fail once the kernel has its seed */
}

static void sha256_hex(const void *p, size_t n, char out[SHA256_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!EVP_Digest(p, n, md, &len, EVP_sha256(), NULL))
		abort();
	for (unsigned i = 0; i < 32; i++) {
		out[2 * i] = "0123456789abcdef"[md[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
	}
	out[64] = '\0';
}

int intake_commit(struct intake *in, struct err *err)
{
	if (!in->open)
		return 0;
	in->open = false;
	in->pending = 0;
	return alerts_commit(in->store, err);
}

void intake_close(struct intake *in)
{
	alerts_close(in->store);
	in->store = NULL;
	in->open = false;
}

static int begin(struct intake *in, struct err *err)
{
	if (!in->store && !(in->store = alerts_open(in->url, err)))
		return -1;
	if (!in->open && alerts_begin(in->store, err) < 0)
		return -1;
	in->open = true;
	return 0;
}

/* The id a sender gives is kept while it is free; another episode under the same id gets one of its own. */
static int put_under_new_id(struct intake *in, struct alert_put *put, bool *stored, char stored_id[ALERT_ID],
                            struct err *err)
{
	const struct jv body = {put->body, strlen(put->body)}, old = jv_get(body, "id");
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	char id[27];

	alert_new_id(in->how.now, random_bytes, id);
	buf_put(&b, body.p, (size_t)(old.p - body.p));
	buf_json_str(&b, id);
	buf_puts(&b, old.p + old.n);
	put->id = id;
	put->body = b.p;
	const int bad = buf_ok(&b, err) < 0 || alerts_put(in->store, put, stored, stored_id, err) < 0 ? -1 : 0;
	buf_release(&b);
	return bad;
}

static int put(struct intake *in, struct alert_put *p, bool *stored, struct err *err)
{
	char stored_id[ALERT_ID];

	if (begin(in, err) < 0)
		return -1;
	if (alerts_put(in->store, p, stored, stored_id, err) < 0 &&
	    (err->code != ERR_CONFLICT || put_under_new_id(in, p, stored, stored_id, err) < 0))
		return -1;
	return ++in->pending < BATCH ? 0 : intake_commit(in, err);
}

struct document {
	struct intake *in;
	struct intake_result *result;
};

static int store_one(void *ctx, const struct alert *a, struct err *err)
{
	struct document *d = ctx;
	struct intake *in = d->in;
	char dedup[SHA256_HEX];
	bool stored = false;

	if (in->print)
		return in->print(in->print_ctx, a, err);
	const struct buf *identity = &a->identity;
	sha256_hex(identity->n ? identity->p : a->id, identity->n ? identity->n : strlen(a->id), dedup);
	struct alert_put p = {
		.id = a->id,
		.dedup = dedup,
		.service = a->service,
		.source = a->source,
		.status = a->status,
		.received_at = in->how.now,
		.body = a->body.p,
		.rearm_ms = a->repeats ? in->rearm_ms : 0,
	};
	if (put(in, &p, &stored, err) < 0)
		return -1;
	*(stored ? &d->result->stored : &d->result->seen) += 1;
	return 0;
}

/* What cannot be understood is kept with the reason: the same bytes again are the same dead letter. */
static int bury(struct document *d, const char *p, size_t n, const struct err *why, struct err *err)
{
	struct intake *in = d->in;
	char hash[SHA256_HEX], id[27], dedup[SHA256_HEX + 8] = "raw:";
	struct buf raw = BUF_INIT(8 * RAW_MAX), body = BUF_INIT(LINE_MAX_BYTES);
	bool stored;

	if (d->result->bad.code == ERR_NONE)
		d->result->bad = *why;
	if (in->print)
		return 0;
	sha256_hex(p, n, hash);
	memcpy(dedup + 4, hash, sizeof hash);
	alert_new_id(in->how.now, random_bytes, id);
	buf_putc(&body, '{');
	buf_json_member_str(&body, "id", id);
	buf_json_member_str(&body, "source", in->how.source ? in->how.source : "");
	buf_putc(&body, '}');
	if (n <= RAW_MAX)
		buf_put(&raw, p, n);
	struct alert_put letter = {
		.id = id,
		.dedup = dedup,
		.source = in->how.source,
		.received_at = in->how.now,
		.body = body.p,
		.raw = n <= RAW_MAX ? raw.p : NULL,
		.raw_sha256 = hash,
		.dead = why->message,
	};
	const int bad = buf_ok(&body, err) < 0 || buf_ok(&raw, err) < 0 || put(in, &letter, &stored, err) < 0 ? -1 : 0;
	d->result->dead += !bad;
	buf_release(&raw);
	buf_release(&body);
	return bad;
}

static bool is_content(const struct err *err) { return err->code == ERR_INPUT || err->code == ERR_LIMIT; }

int intake_document(struct intake *in, const char *p, size_t n, struct intake_result *result, struct err *err)
{
	struct document d = {in, result};
	struct err why = {0};
	struct jv whole;

	*result = (struct intake_result){0};
	in->how.now = clock_now_ms();
	in->how.random = random_bytes;
	int bad = jv_scan(p, n, &whole, NULL, 0, NULL, &why);
	if (!bad && !jv_is_object(whole) && !jv_is_array(whole))
		bad = err_set(&why, ERR_INPUT, "not an alert: not an object and not a list");
	if (!bad)
		bad = alert_each(whole, &in->how, store_one, &d, &why);
	if (bad && is_content(&why))
		bad = bury(&d, p, n, &why, err);
	else if (bad)
		*err = why;
	if (bad && in->open) {
		alerts_rollback(in->store);
		in->open = false;
		in->pending = 0;
	}
	return bad;
}
