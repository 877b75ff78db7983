#include "cmd/front/intake.h"

#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
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

static void hex(const unsigned char md[32], char out[SHA256_HEX])
{
	for (unsigned i = 0; i < 32; i++) {
		out[2 * i] = "0123456789abcdef"[md[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
	}
	out[64] = '\0';
}

static void sha256_hex(const void *p, size_t n, char out[SHA256_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!EVP_Digest(p, n, md, &len, EVP_sha256(), NULL))
		abort();
	hex(md, out);
}

/* ---- the mapping and the options ---- */

static int read_mapping(const char *file, struct buf *text, struct err *err)
{
	FILE *f = fopen(file, "re");
	char block[4096];
	size_t n;

	if (!f)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", file, strerror(errno));
	while ((n = fread(block, 1, sizeof block, f)) > 0 && !text->failed)
		buf_put(text, block, n);
	buf_put(text, "", 0);
	const bool failed = ferror(f) != 0;
	const int why = errno;
	(void)fclose(f);
	if (failed)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", file, strerror(why));
	if (buf_ok(text, err) < 0)
		return err_prefix(err, "%s", file);
	return memchr(text->p, '\0', text->n) ? err_set(err, ERR_CONFIG, "%s is no text", file) : 0;
}

static int load_sources(struct intake *in, struct err *err)
{
	struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	int bad = 0;

	if (!(in->sources = alert_sources_new(err)))
		return -1;
	if (in->mapping)
		bad = read_mapping(in->mapping, &text, err) < 0 || alert_sources_add(in->sources, in->mapping, text.p, err) < 0;
	buf_release(&text);
	if (bad) {
		alert_sources_free(in->sources);
		in->sources = NULL;
	}
	return bad ? -1 : 0;
}

int intake_prepare(struct intake *in, struct err *err)
{
	if (alert_check_options(&in->how, err) < 0 || (!in->sources && load_sources(in, err) < 0))
		return -1;
	in->how.sources = in->sources; /* the caller may have replaced all of `how` */
	in->how.random = random_bytes;
	return 0;
}

/* ---- the store ---- */

struct intake_long {
	EVP_MD_CTX *md;
};

static void end_long(struct intake *in)
{
	if (in->longer)
		EVP_MD_CTX_free(in->longer->md);
	free(in->longer);
	in->longer = NULL;
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
	alert_sources_free(in->sources);
	in->store = NULL;
	in->sources = NULL;
	in->open = false;
	end_long(in);
}

struct alerts *intake_store(struct intake *in, struct err *err)
{
	if (!in->store)
		in->store = alerts_open(in->url, err);
	return in->store;
}

static int begin(struct intake *in, struct err *err)
{
	if (!intake_store(in, err))
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
	p->received_at = alerts_now(in->store); /* by a host's clock that is ahead it would be due that much later */
	if (alerts_put(in->store, p, stored, stored_id, err) < 0 &&
	    (err->code != ERR_CONFLICT || put_under_new_id(in, p, stored, stored_id, err) < 0))
		return -1;
	return ++in->pending < BATCH ? 0 : intake_commit(in, err);
}

static void roll_back(struct intake *in)
{
	if (in->open)
		alerts_rollback(in->store);
	in->open = false;
	in->pending = 0;
}

/* ---- one document ---- */

struct document {
	struct intake *in;
	struct intake_result *result;
};

static int count_dropped(struct intake_result *result, const struct alert *a)
{
	result->dropped++;
	if (a->warning.n && !*result->warning)
		(void)snprintf(result->warning, sizeof result->warning, "%s", a->warning.p);
	return 0;
}

static int store_one(void *ctx, const struct alert *a, struct err *err)
{
	struct document *d = ctx;
	struct intake *in = d->in;
	char dedup[SHA256_HEX], voids[SHA256_HEX], hash[SHA256_HEX];
	struct buf raw = BUF_INIT(RAW_MAX + 1);
	bool stored = false;

	if (a->dropped)
		return count_dropped(d->result, a);
	if (in->print)
		return in->print(in->print_ctx, a, err);
	const struct buf *identity = &a->identity;
	sha256_hex(identity->n ? identity->p : a->id, identity->n ? identity->n : strlen(a->id), dedup);
	sha256_hex(a->voids.n ? a->voids.p : "", a->voids.n, voids);
	sha256_hex(a->raw.p, a->raw.n, hash);
	if (a->raw.n <= RAW_MAX)
		buf_put(&raw, a->raw.p, a->raw.n);
	struct alert_put p = {
		.id = a->id,
		.dedup = dedup,
		.service = a->service,
		.source = a->source,
		.status = a->status,
		.body = a->body.p,
		.rearm_ms = a->repeats ? in->rearm_ms : 0,
		.raw = a->raw.n <= RAW_MAX ? raw.p : NULL,
		.raw_sha256 = hash,
		.voids = a->voids.n ? voids : NULL,
	};
	const int bad = buf_ok(&raw, err) < 0 || put(in, &p, &stored, err) < 0 ? -1 : 0;
	buf_release(&raw);
	if (!bad)
		*(stored ? &d->result->stored : &d->result->seen) += 1;
	return bad;
}

/* A text that every store can keep: what is not UTF-8, and NUL, becomes U+FFFD. The hash is that of the bytes. */
static void clean(struct buf *out, const char *p, size_t n)
{
	struct buf quoted = BUF_INIT(8 * RAW_MAX);
	size_t from = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && p[i])
			continue;
		buf_reset(&quoted);
		buf_json_strn(&quoted, p + from, i - from);
		if (quoted.failed || !jv_str_buf((struct jv){quoted.p, quoted.n}, out))
			out->failed = true;
		if (i < n)
			buf_puts(out, "\xef\xbf\xbd");
		from = i + 1;
	}
	buf_release(&quoted);
}

/* A dead letter: the same bytes again are the same one. */
static int bury(struct intake *in, const char hash[SHA256_HEX], const char *raw, const char *why, struct err *err)
{
	char id[27], dedup[SHA256_HEX + 8] = "raw:";
	struct buf body = BUF_INIT(LINE_MAX_BYTES);
	bool stored;

	memcpy(dedup + 4, hash, SHA256_HEX);
	alert_new_id(in->how.now, random_bytes, id);
	buf_putc(&body, '{');
	buf_json_member_str(&body, "id", id);
	buf_json_member_str(&body, "source", in->how.source ? in->how.source : "");
	buf_putc(&body, '}');
	struct alert_put letter = {
		.id = id,
		.dedup = dedup,
		.source = in->how.source,
		.body = body.p,
		.raw = raw,
		.raw_sha256 = hash,
		.dead = why,
	};
	const int bad = buf_ok(&body, err) < 0 || put(in, &letter, &stored, err) < 0 ? -1 : 0;
	buf_release(&body);
	return bad;
}

/* What cannot be understood is kept with the reason. */
static int bury_document(struct document *d, const char *p, size_t n, const struct err *why, struct err *err)
{
	char hash[SHA256_HEX];
	struct buf raw = BUF_INIT(8 * RAW_MAX);

	d->result->bad = *why;
	if (d->in->print)
		return 0;
	sha256_hex(p, n, hash);
	if (n <= RAW_MAX)
		clean(&raw, p, n);
	const int bad =
		buf_ok(&raw, err) < 0 || bury(d->in, hash, n <= RAW_MAX ? raw.p : NULL, why->message, err) < 0 ? -1 : 0;
	d->result->dead += !bad;
	buf_release(&raw);
	return bad;
}

static bool is_content(const struct err *err) { return err->code == ERR_INPUT || err->code == ERR_LIMIT; }

/* Text that is no JSON may still be what Python takes for it. */
static int scan(const char *p, size_t n, struct buf *mended, struct jv *whole, struct err *err)
{
	struct err first = {0};

	if (jv_scan(p, n, whole, NULL, 0, NULL, &first) < 0 &&
	    (!alert_mend(p, n, mended) || jv_scan(mended->p, mended->n, whole, NULL, 0, NULL, &first) < 0)) {
		*err = first;
		return -1;
	}
	if (!jv_is_object(*whole) && !jv_is_array(*whole))
		return err_set(err, ERR_INPUT, "not an alert: not an object and not a list");
	return 0;
}

int intake_document(struct intake *in, const char *p, size_t n, struct intake_result *result, struct err *err)
{
	struct document d = {in, result};
	struct buf mended = BUF_INIT(2 * LINE_MAX_BYTES);
	struct err why = {0};
	struct jv whole;

	*result = (struct intake_result){0};
	if (intake_prepare(in, err) < 0)
		return -1;
	in->how.now = clock_now_ms();
	int bad = scan(p, n, &mended, &whole, &why) < 0 || alert_each(whole, &in->how, store_one, &d, &why) < 0 ? -1 : 0;
	if (bad && is_content(&why))
		bad = bury_document(&d, p, n, &why, err);
	else if (bad)
		*err = why;
	buf_release(&mended);
	if (bad)
		roll_back(in);
	return bad;
}

/* ---- a document too long to be held ---- */

static int add_piece(struct intake *in, const char *p, size_t n, struct err *err)
{
	if (!in->longer) {
		in->longer = calloc(1, sizeof *in->longer);
		if (in->longer)
			in->longer->md = EVP_MD_CTX_new();
		if (!in->longer || !in->longer->md || !EVP_DigestInit_ex(in->longer->md, EVP_sha256(), NULL)) {
			end_long(in);
			return err_set(err, ERR_TEMPORARY, "out of memory");
		}
	}
	if (!EVP_DigestUpdate(in->longer->md, p, n))
		abort();
	return 0;
}

int intake_long(struct intake *in, const char *p, size_t n, bool last, const char *why, struct intake_result *result,
                struct err *err)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	char hash[SHA256_HEX];

	*result = (struct intake_result){0};
	if (add_piece(in, p, n, err) < 0)
		return -1;
	if (!last)
		return 0;
	if (!EVP_DigestFinal_ex(in->longer->md, md, NULL))
		abort();
	end_long(in);
	hex(md, hash);
	in->how.now = clock_now_ms();
	(void)err_set(&result->bad, ERR_LIMIT, "%s", why);
	if (in->print)
		return 0;
	if (bury(in, hash, NULL, why, err) < 0) {
		roll_back(in);
		return -1;
	}
	result->dead = 1;
	return 0;
}
