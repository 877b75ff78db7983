#include "base/cert.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/banned.h"

static X509 *read_certificate(const char *path)
{
	BIO *file = BIO_new_file(path, "r");
	X509 *x = file ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;

	(void)BIO_free(file);
	ERR_clear_error();
	return x;
}

static void day_of(const ASN1_TIME *at, char out[16])
{
	struct tm tm = {0};

	if (ASN1_TIME_to_tm(at, &tm) != 1 || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(out, 16, "an unknown day");
}

/* The common name of who signed it, or all of its names. */
static void signer_of(X509 *x, char *out, size_t size)
{
	X509_NAME *name = X509_get_issuer_name(x);

	if (X509_NAME_get_text_by_NID(name, NID_commonName, out, (int)size) <= 0)
		(void)X509_NAME_oneline(name, out, (int)size);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			*p = '?';
}

static bool is_signed_by(X509 *x, X509 *authority)
{
	const bool good = X509_check_issued(authority, x) == X509_V_OK && X509_verify(x, X509_get0_pubkey(authority)) == 1;

	ERR_clear_error();
	return good;
}

/* Takes x. */
static int until_of(X509 *x, int64_t *ms)
{
	struct tm tm = {0};
	const int good = x && ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1;

	X509_free(x);
	*ms = good ? (int64_t)timegm(&tm) * 1000 : 0;
	return good ? 0 : -1;
}

int cert_until(const char *file, int64_t *ms) { return until_of(read_certificate(file), ms); }

int cert_text_until(const char *pem, int64_t *ms)
{
	BIO *text = BIO_new_mem_buf(pem, -1);
	X509 *x = text ? PEM_read_bio_X509(text, NULL, NULL, NULL) : NULL;

	(void)BIO_free(text);
	ERR_clear_error();
	return until_of(x, ms);
}

const char *cert_library(void) { return OpenSSL_version(OPENSSL_VERSION); }

void cert_trouble(const char *cert, const char *ca, int64_t now_ms, char *out, size_t size)
{
	time_t now = (time_t)(now_ms / 1000);
	char day[16], signer[80] = "";
	X509 *x = read_certificate(cert), *authority = ca ? read_certificate(ca) : NULL;

	if (!x) {
		(void)snprintf(out, size, "%s cannot be read", cert);
	} else if (X509_cmp_time(X509_get0_notAfter(x), &now) < 0) {
		day_of(X509_get0_notAfter(x), day);
		(void)snprintf(out, size, "%s expired on %s (have it made anew)", cert, day);
	} else if (X509_cmp_time(X509_get0_notBefore(x), &now) > 0) {
		day_of(X509_get0_notBefore(x), day);
		(void)snprintf(out, size, "%s is not valid before %s (is the clock right?)", cert, day);
	} else if (!(X509_get_extended_key_usage(x) & XKU_SSL_CLIENT)) {
		(void)snprintf(out, size, "%s is not for clients (have one made with extendedKeyUsage=clientAuth)", cert);
	} else {
		signer_of(x, signer, sizeof signer);
		(void)snprintf(out, size,
		               authority && is_signed_by(x, authority)
		                   ? "%s was signed by \"%s\", as the server was (is that the authority it lets in?)"
		                   : "%s was signed by \"%s\", which is not in ca.pem (have it made by the server's authority)",
		               cert, signer);
	}
	X509_free(x);
	X509_free(authority);
}
