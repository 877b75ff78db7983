/* What is wrong with a client's certificate, for a message after a server has refused it: servers say little more than
 * "bad certificate". */
#ifndef BASE_CERT_H
#define BASE_CERT_H

#include <stddef.h>
#include <stdint.h>

/* One clause about the certificate in the PEM file cert: "/x/cert.pem expired on 2026-11-23 (have it made anew)". ca
 * is the file with the authority of the server, which usually is the client's too. now_ms is the time since 1970. */
void cert_trouble(const char *cert, const char *ca, int64_t now_ms, char *out, size_t size);

#endif
