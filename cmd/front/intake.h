/* A notification in any known form -> the alert store, each of its alerts once, and a dead letter of what cannot be
 * understood. What as-ingest and as-listen share. */
#ifndef CMD_FRONT_INTAKE_H
#define CMD_FRONT_INTAKE_H

#include "alert/alert.h"
#include "base/err.h"
#include "store/alerts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intake {
	struct alert_options how; /* the caller's; `sources`, `random` and `now` are set here */
	const char *mapping;      /* file with further sources, autoscale-mapping(5); NULL: none */
	const char *url;          /* of the alert store; opened at the first alert */
	int64_t rearm_ms;
	/* Not NULL: called for each normalised alert instead of storing it; nothing is opened. */
	alert_fn print;
	void *print_ctx;

	struct alerts *store; /* private */
	struct alert_sources *sources;
	struct intake_long *longer;
	bool open;
	int pending;
};

/* What came of one document. */
struct intake_result {
	int64_t stored, seen, dead; /* new alerts; alerts that are stored already; dead letters */
	int64_t dropped;            /* what its source says is nothing to act on */
	struct err bad;             /* why the first dead letter could not be understood; code ERR_NONE: none */
	char warning[640];          /* about what was dropped, for a person to read; "" when there is nothing to say */
};

/* Reads the mapping, once, and checks the options in `how`, which may be others for each document. Each document does
 * it; a command that should end before it reads anything calls it. CONFIG: the mapping, with its line. USAGE: an
 * option. */
int intake_prepare(struct intake *in, struct err *err);
/* One document: bytes as they came, not validated. It becomes alerts, or a dead letter, or some of each; with `print`
 * what is bad is only told in result->bad. Stored durably after the next commit, which comes by itself after 256
 * alerts. -1: the store failed (UNAVAILABLE, TEMPORARY, CONFIG, DENIED); what was not committed is rolled back.
 * USAGE: an option is missing without which alerts of this form cannot be told apart. */
int intake_document(struct intake *in, const char *p, size_t n, struct intake_result *result, struct err *err);
/* A document that is too long to be held, piece by piece; with the last piece it becomes a dead letter that has its
 * hash alone. `why` is its reason. */
int intake_long(struct intake *in, const char *p, size_t n, bool last, const char *why, struct intake_result *result,
                struct err *err);
/* The store itself, opened if it is not yet; for questions, between documents. NULL: it cannot be opened. */
struct alerts *intake_store(struct intake *in, struct err *err);
int intake_commit(struct intake *in, struct err *err);
void intake_close(struct intake *in);

#endif
