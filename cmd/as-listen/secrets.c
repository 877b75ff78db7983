/* Bearer tokens and HMAC keys, from files. Every compare takes the same time whatever is wrong. */
#include "cmd/as-listen/listen.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

static int read_all(int fd, const char *path, struct buf *out, struct err *err)
{
	char block[4096];
	ssize_t n;

	while ((n = read(fd, block, sizeof block)) > 0)
		buf_put(out, block, (size_t)n);
	OPENSSL_cleanse(block, sizeof block);
	if (n < 0)
		return err_set(err, ERR_CONFIG, "cannot read %s: %s", path, strerror(errno));
	if (out->full)
		return err_set(err, ERR_CONFIG, "%s is longer than %zu bytes", path, out->max);
	return buf_ok(out, err);
}

int secrets_read(const char *path, bool private, size_t max, struct buf *out, struct err *err)
{
	struct stat st;
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int bad;

	out->max = max;
	if (fd < 0)
		return err_set(err, errno == EACCES || errno == EPERM ? ERR_DENIED : ERR_CONFIG, "cannot read %s: %s", path,
		               strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		bad = err_set(err, ERR_CONFIG, "%s is no regular file", path);
	else if (private && st.st_mode & (S_IRWXG | S_IRWXO))
		bad = err_set(err, ERR_DENIED, "others may read %s: chmod 600 it", path);
	else
		bad = read_all(fd, path, out, err);
	(void)close(fd);
	return bad;
}

static void wipe(struct secret *list, size_t n)
{
	if (list)
		OPENSSL_cleanse(list, n * sizeof *list);
	free(list);
}

/* One secret a line; blank lines and lines that begin with # are not secrets. */
static int split(const char *path, const struct buf *text, struct secret **list, size_t *n, struct err *err)
{
	*n = 0;
	if (!(*list = calloc(SECRETS_MAX, sizeof **list)))
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (const char *p = text->p; p && *p;) {
		const char *end = strchrnul(p, '\n');
		size_t len = (size_t)(end - p);
		if (len && p[len - 1] == '\r')
			len--;
		if (len && *p != '#') {
			if (*n == SECRETS_MAX || len >= SECRET_BYTES)
				return err_set(err, ERR_CONFIG, "%s: at most %d lines of less than %d bytes", path, SECRETS_MAX,
				               SECRET_BYTES);
			memcpy((*list)[*n].text, p, len);
			(*list)[(*n)++].n = len;
		}
		p = *end ? end + 1 : end;
	}
	return *n ? 0 : err_set(err, ERR_CONFIG, "%s holds no secret: write one a line", path);
}

static int load(const char *path, struct secret **list, size_t *n, struct err *err)
{
	struct buf text = {0};

	*list = NULL;
	*n = 0;
	if (!path)
		return 0;
	int bad = secrets_read(path, true, (size_t)SECRETS_MAX * SECRET_BYTES, &text, err);
	if (!bad)
		bad = split(path, &text, list, n, err);
	if (text.p)
		OPENSSL_cleanse(text.p, text.cap);
	buf_release(&text);
	return bad;
}

int secrets_load(struct secrets *s, const char *token_file, const char *hmac_file, struct err *err)
{
	struct secrets fresh = {0};

	if (load(token_file, &fresh.tokens, &fresh.ntokens, err) < 0 ||
	    load(hmac_file, &fresh.keys, &fresh.nkeys, err) < 0) {
		secrets_release(&fresh);
		return -1;
	}
	secrets_release(s);
	*s = fresh;
	return 0;
}

void secrets_release(struct secrets *s)
{
	wipe(s->tokens, SECRETS_MAX);
	wipe(s->keys, SECRETS_MAX);
	*s = (struct secrets){0};
}

/* What an Authorization header shows as a token: all behind "Bearer ", or the password of "Basic ", RFC 7617, for
 * senders that have no other. out: of size 2 * SECRET_BYTES. */
static bool shown_token(const char *authorization, char *out)
{
	unsigned char plain[2 * SECRET_BYTES];

	if (strncasecmp(authorization, "Bearer ", 7) == 0) {
		(void)snprintf(out, 2 * SECRET_BYTES, "%s", authorization + 7);
		return true;
	}
	const size_t n = strlen(authorization) < 6 ? 0 : strlen(authorization + 6);
	if (strncasecmp(authorization, "Basic ", 6) != 0 || n / 4 * 3 >= sizeof plain)
		return false;
	const int len = EVP_DecodeBlock(plain, (const unsigned char *)authorization + 6, (int)n);
	if (len < 0)
		return false;
	plain[len] = '\0'; /* the padding is decoded to NULs too */
	const char *colon = strchr((char *)plain, ':');
	(void)snprintf(out, 2 * SECRET_BYTES, "%s", colon ? colon + 1 : "");
	OPENSSL_cleanse(plain, sizeof plain);
	return colon != NULL;
}

/* Hashes first, so that neither a length nor a common beginning shows in the time; no early end either. */
bool secrets_token(const struct secrets *s, const char *authorization)
{
	unsigned char given[EVP_MAX_MD_SIZE], ours[EVP_MAX_MD_SIZE];
	char token[2 * SECRET_BYTES];
	unsigned found = 0;

	if (!authorization || !shown_token(authorization, token) ||
	    !EVP_Digest(token, strlen(token), given, NULL, EVP_sha256(), NULL))
		return false;
	OPENSSL_cleanse(token, sizeof token);
	for (size_t i = 0; i < s->ntokens; i++) {
		if (!EVP_Digest(s->tokens[i].text, s->tokens[i].n, ours, NULL, EVP_sha256(), NULL))
			return false;
		found |= CRYPTO_memcmp(given, ours, MAC_BYTES) == 0;
	}
	OPENSSL_cleanse(ours, sizeof ours);
	return found != 0;
}

/* 1 to 15 digits, nothing else: ms. */
static bool parse_time(const char *s, int64_t *ms)
{
	int64_t v = 0;
	size_t n = 0;

	for (; s[n] >= '0' && s[n] <= '9' && n < 15; n++)
		v = v * 10 + (s[n] - '0');
	*ms = v * 1000;
	return n > 0 && !s[n];
}

static bool parse_mac(const char *s, unsigned char mac[MAC_BYTES])
{
	if (strncmp(s, "sha256=", 7) != 0 || strlen(s += 7) != 2 * MAC_BYTES)
		return false;
	for (size_t i = 0; i < 2 * MAC_BYTES; i++) {
		if (!isxdigit((unsigned char)s[i]))
			return false;
		const int digit = s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10;
		mac[i / 2] = (unsigned char)(mac[i / 2] << 4 | digit);
	}
	return true;
}

static bool make_mac(const struct secret *key, const char *timestamp, const void *body, size_t n,
                     unsigned char mac[MAC_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)key->text, key->n);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = MAC_BYTES;
	const bool good = pkey && ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
	                  EVP_DigestSignUpdate(ctx, timestamp, strlen(timestamp)) == 1 &&
	                  EVP_DigestSignUpdate(ctx, ".", 1) == 1 && (!n || EVP_DigestSignUpdate(ctx, body, n) == 1) &&
	                  EVP_DigestSignFinal(ctx, mac, &len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good && len == MAC_BYTES;
}

bool secrets_signed(const struct secrets *s, const char *timestamp, const char *signature, const void *body, size_t n,
                    int64_t now, unsigned char mac[MAC_BYTES])
{
	unsigned char ours[MAC_BYTES];
	unsigned found = 0;
	int64_t at;

	if (!timestamp || !signature || !parse_time(timestamp, &at) || !parse_mac(signature, mac))
		return false;
	for (size_t i = 0; i < s->nkeys; i++)
		found |= make_mac(&s->keys[i], timestamp, body, n, ours) && CRYPTO_memcmp(mac, ours, MAC_BYTES) == 0;
	return found && at >= now - WINDOW_MS && at <= now + WINDOW_MS;
}

/* ---- signatures that were used ---- */

#define REPLAY_SLOTS 65536u /* a power of 2 */
#define REPLAY_WAYS 32u     /* slots that may hold one signature */

struct replay {
	struct {
		unsigned char mac[16]; /* half of it tells signatures apart well enough */
		int64_t until;         /* 0: free */
	} slots[REPLAY_SLOTS];
};

struct replay *replay_new(void) { return calloc(1, sizeof(struct replay)); }

void replay_free(struct replay *r) { free(r); }

static uint32_t slot_of(const unsigned char mac[MAC_BYTES], uint32_t way)
{
	const uint32_t first = (uint32_t)mac[31] << 8 | mac[30];

	return (first + way) % REPLAY_SLOTS;
}

bool replay_seen(const struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now)
{
	for (uint32_t w = 0; w < REPLAY_WAYS; w++) {
		const uint32_t i = slot_of(mac, w);
		if (r->slots[i].until >= now && memcmp(r->slots[i].mac, mac, sizeof r->slots[i].mac) == 0)
			return true;
	}
	return false;
}

static int64_t free_slot(const struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now)
{
	for (uint32_t w = 0; w < REPLAY_WAYS; w++)
		if (r->slots[slot_of(mac, w)].until < now)
			return slot_of(mac, w);
	return -1;
}

bool replay_room(const struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now)
{
	return free_slot(r, mac, now) >= 0;
}

/* Its own time may be up to a window ahead of ours. */
void replay_add(struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now)
{
	const int64_t i = free_slot(r, mac, now);

	if (i < 0)
		return;
	memcpy(r->slots[i].mac, mac, sizeof r->slots[i].mac);
	r->slots[i].until = now + 2 * WINDOW_MS;
}
