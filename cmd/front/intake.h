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
	struct alert_options how; /* the caller's; `random` and `now` are set here */
	const char *url;          /* of the alert store; opened at the first alert */
	int64_t rearm_ms;
	/* Not NULL: called for each normalised alert instead of storing it; nothing is opened. */
	alert_fn print;
	void *print_ctx;

	struct alerts *store; /* private */
	bool open;
	int pending;
};

/* What came of one document. */
struct intake_result {
	int64_t stored, seen, dead; /* new alerts; alerts that are stored already; dead letters */
	struct err bad;             /* why the first dead letter could not be understood; code ERR_NONE: none */
};

/* One document: bytes as they came, not validated. It becomes alerts, or a dead letter, or some of each; with `print`
 * what is bad is only told in result->bad. Stored durably after the next commit, which comes by itself after 256
 * alerts. -1: the store failed (UNAVAILABLE, TEMPORARY, CONFIG, DENIED); what was not committed is rolled back.
 * USAGE: an option is missing without which alerts of this form cannot be told apart. */
int intake_document(struct intake *in, const char *p, size_t n, struct intake_result *result, struct err *err);
int intake_commit(struct intake *in, struct err *err);
void intake_close(struct intake *in);

#endif
