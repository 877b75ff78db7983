/* What the parts of as-listen share. server.c speaks HTTP and knows nothing of alerts; request.c decides what an answer
 * is and knows nothing of sockets; secrets.c, rate.c and socket.c do one thing each. All of it runs in one thread. */
#ifndef AS_LISTEN_H
#define AS_LISTEN_H

#include "base/buf.h"
#include "base/err.h"
#include "cmd/front/front.h"
#include "cmd/front/intake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* --- secrets.c: who may deliver --- */

#define SECRETS_MAX 64
#define SECRET_BYTES 1024
#define MAC_BYTES 32           /* SHA-256 */
#define WINDOW_MS (300 * 1000) /* how far a signature's time may be from ours */

struct secret {
	char text[SECRET_BYTES];
	size_t n;
};
struct secrets {
	struct secret *tokens, *keys; /* of the bearer tokens; of the HMAC */
	size_t ntokens, nkeys;
};

/* The whole of a file of at most max bytes. private: one that others may read is DENIED. CONFIG: it is not there. */
int secrets_read(const char *path, bool private, size_t max, struct buf *out, struct err *err);
/* A file that is NULL gives none. On failure *s stays as it was. */
int secrets_load(struct secrets *s, const char *token_file, const char *hmac_file, struct err *err);
void secrets_release(struct secrets *s);
/* An Authorization header, or NULL: "Bearer TOKEN", or "Basic" with the token as the password of any user. */
bool secrets_token(const struct secrets *s, const char *authorization);
/* HMAC-SHA256 over "TIMESTAMP.BODY", hex behind "sha256=", and a time (seconds since the epoch) inside the window. mac:
 * what was signed, for the memory below. Any argument from outside may be NULL. */
bool secrets_signed(const struct secrets *s, const char *timestamp, const char *signature, const void *body, size_t n,
                    int64_t now, unsigned char mac[MAC_BYTES]);

/* Signatures that were accepted, each for as long as its time is inside the window. */
struct replay;
struct replay *replay_new(void);
void replay_free(struct replay *r);
bool replay_seen(const struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now);
/* False: no room; the request must be refused, or it could be repeated. */
bool replay_room(const struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now);
void replay_add(struct replay *r, const unsigned char mac[MAC_BYTES], int64_t now);

/* --- rate.c: how often --- */

#define CLIENT_BYTES 16
#define RATE_SETS 256
#define RATE_WAYS 8

struct rate {
	int64_t client, all; /* requests a second; 0: no limit */
	struct {
		unsigned char client[CLIENT_BYTES];
		int64_t full_at; /* us: when nothing of its allowance is used */
	} slots[RATE_SETS][RATE_WAYS];
	int64_t all_full_at;
};
/* 0: go on; else the seconds after which to come again. now: monotonic ms. */
int64_t rate_of_client(struct rate *r, const unsigned char client[CLIENT_BYTES], int64_t now);
int64_t rate_of_all(struct rate *r, int64_t now);

/* --- socket.c: where --- */

struct endpoint {
	int fd;
	bool local; /* nobody but this machine can reach it */
	char shown[128];
};
/* The socket that a service manager passed (sd_listen_fds(3)), else a new one at ADDRESS:PORT. */
int endpoint_open(const char *address, struct endpoint *e, struct err *err);
/* The client for rate limits (IPv6: its /64) and for the log. */
void endpoint_client(const struct sockaddr *peer, unsigned char client[CLIENT_BYTES], bool *local, char *shown,
                     size_t size);

/* --- request.c: what the answer is --- */

enum parameter { PARAM_SERVICE, PARAM_SERVICE_FIELD, PARAM_ACTION, PARAM_RULE, PARAM_THRESHOLD, PARAMS };
#define PARAM_BYTES 256

struct request {
	char method[16], path[128], peer[80];
	unsigned char client[CLIENT_BYTES];
	bool local;                                        /* the client is on this machine */
	const char *authorization, *timestamp, *signature; /* headers, or NULL */
	bool origin;                                       /* it has an Origin header: a browser's page made it */
	uint64_t length;                                   /* Content-Length; 0: none */
	char params[PARAMS][PARAM_BYTES];
	bool bad_param;
	struct buf body;
	bool by_signature; /* who sent it is known when the body is here */
	unsigned char mac[MAC_BYTES];
	int64_t began;

	int status; /* of the answer; 0: none yet */
	struct buf answer;
	const char *type, *allow; /* headers, or NULL */
	int64_t retry_after;      /* seconds; 0: none */
	bool challenge;
	struct intake_result result;
};

#define STATUSES 12

struct listen {
	struct front *front;
	struct intake intake;
	struct alert_options how; /* of the command line */
	struct secrets secrets;
	struct replay *replay;
	struct rate rate;
	struct err output;     /* with -n: standard output cannot be written, which ends it */
	size_t max_body, held; /* held: bytes of bodies that are on their way in */
	int connections;       /* open now */

	/* the store: not asked again for a moment after it failed */
	int64_t away_until;
	bool away, healthy;
	int64_t health_at, counted_at;
	struct alert_counts counts;

	struct {
		int status;
		int64_t n;
	} answers[STATUSES];
	int64_t stored, seen, dead, store_errors, body_bytes, cut;
};

/* In the order of a request: its head is there (it may get its answer already); a part of its body; all is there (it
 * has an answer then); it is over. */
void request_begin(struct listen *l, struct request *r);
void request_param(struct request *r, const char *name, const char *value);
void request_body(struct listen *l, struct request *r, const char *p, size_t n);
void request_end(struct listen *l, struct request *r);
void request_over(struct listen *l, struct request *r, bool whole);
void request_release(struct listen *l, struct request *r);
/* False, err: the store cannot be right (ERR_CONFIG); one that is merely away is said and waited for. */
bool request_store_opens(struct listen *l, struct err *err);
/* The text of GET /metrics. */
void metrics_put(struct listen *l, struct buf *b);

/* --- server.c: HTTP --- */

struct server_options {
	int64_t max_connections, request_ms; /* request_ms: from the first byte of a request to the last of its answer */
	const char *cert, *key;              /* PEM texts, or NULL: no TLS */
};
struct server;
struct server *server_start(struct listen *l, const struct endpoint *e, const struct server_options *o,
                            struct err *err);
/* Serves until front_stopping() or l->output is set, calling hangup after a SIGHUP; then finishes what has begun. */
int server_run(struct server *s, void (*hangup)(void *ctx), void *ctx, struct err *err);
void server_free(struct server *s);

#endif
