/* Certificates: what is wrong with a client's, for a message after a server has refused it (servers say little more
 * than "bad certificate"), and how long one is good. */
#ifndef BASE_CERT_H
#define BASE_CERT_H

#include <stddef.h>
#include <stdint.h>

/* One clause about the certificate in the PEM file cert: "/x/cert.pem expired on 2026-11-23 (have it made anew)". ca
 * is the file with the authority of the server, which usually is the client's too. now_ms is the time since 1970. */
void cert_trouble(const char *cert, const char *ca, int64_t now_ms, char *out, size_t size);

/* Until when the first certificate of a PEM file, or of a PEM text, is good, ms UTC. -1: it is none. */
int cert_until(const char *file, int64_t *ms);
int cert_text_until(const char *pem, int64_t *ms);

const char *cert_library(void); /* "OpenSSL 3.0.11 19 Sep 2023" */

#endif
