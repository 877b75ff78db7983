/* The inner door of the alert queue: one struct alerts_driver per kind of database, one line each in alerts.c; one
 * whose client library is large is a module (module.h). What each function does is said in alerts.h. */
#ifndef STORE_ALERTS_DRIVER_H
#define STORE_ALERTS_DRIVER_H

#include "base/limits.h"
#include "store/alerts.h"

/* A driver's own struct begins with this. */
struct alerts {
	const struct alerts_driver *driver;
};

struct alerts_driver {
	struct alerts *(*open)(const char *url, struct err *err);
	void (*close)(struct alerts *a);
	int64_t (*now)(struct alerts *a);
	int (*put)(struct alerts *a, const struct alert_put *put, bool *stored, char id_out[ALERT_ID], struct err *err);
	int (*begin)(struct alerts *a, struct err *err);
	int (*commit)(struct alerts *a, struct err *err);
	void (*rollback)(struct alerts *a);
	int (*claim)(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn, void *ctx,
	             int64_t *count, int64_t *now, struct err *err);
	int (*renew)(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err);
	int (*finish)(struct alerts *a, const char *id, const char *token, const char *result, bool *held, struct err *err);
	int (*give_back)(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
	                 const char *error, bool *held, bool *dead, struct err *err);
	int (*each)(struct alerts *a, const char *state, alert_row_fn fn, void *ctx, struct err *err);
	int (*requeue)(struct alerts *a, const char *id, bool *there, struct err *err);
	int (*next_due)(struct alerts *a, int64_t *due, struct err *err);
	int (*count)(struct alerts *a, struct alert_counts *counts, struct err *err);
	int (*may_write)(struct alerts *a, struct err *err);
	int (*prune)(struct alerts *a, const char *state, int64_t before, int64_t limit, int64_t *n, struct err *err);
};

extern const struct alerts_driver alerts_sql; /* alerts_sql.c */

/* What every driver does alike: alerts_common.c. */
#define ALERT_DEDUP_BYTES 160
#define ALERT_WORD_BYTES 64
#define ALERT_STATUS_BYTES 32
/* A claim ends early, with at least one alert, at this size of its bodies. */
#define ALERT_CLAIM_BYTES DOCUMENT_MAX
/* MISSING or INPUT when something needed is not there or longer than every store can keep. */
int alerts_check_put(const struct alert_put *put, struct err *err);
/* put->received_at is late enough after the stored one to be a new alert. */
bool alerts_rearmed(const struct alert_put *put, int64_t stored_received_at);
int alerts_never_whole(const char *id, struct err *err); /* REFUSED, for alerts_requeue */
int64_t alerts_backoff_ms(int64_t attempts);             /* min(5 s * 2^(attempts-1), 10 min) +-20 % */
int alerts_token(char out[ALERT_TOKEN], struct err *err);

#endif
