/* What every driver of the alert queue does alike. */
#include "store/alerts_driver.h"
#include "store/fits.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

int64_t alerts_backoff_ms(int64_t attempts)
{
	int64_t ms = 5000;
	uint32_t random = 0;

	for (int64_t i = 1; i < attempts && ms < 600000; i++)
		ms *= 2;
	if (ms > 600000)
		ms = 600000;
	if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
		return ms; /* the spread is a courtesy */
	return ms - ms / 5 + (int64_t)random % (ms * 2 / 5 + 1);
}

int alerts_token(char out[ALERT_TOKEN], struct err *err)
{
	unsigned char random[16];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return err_set(err, ERR_TEMPORARY, "the system gave no random bytes: try again");
	for (size_t i = 0; i < sizeof random; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", random[i]);
	return 0;
}

int alerts_check_put(const struct alert_put *put, struct err *err)
{
	if (!put->id || !*put->id || !put->dedup || !*put->dedup || !put->body)
		return err_set(err, ERR_MISSING, "an alert needs an id, a dedup key and a body");
	if (store_fits("the alert's id", put->id, ALERT_ID - 1, err) < 0 ||
	    store_fits("the dedup key", put->dedup, ALERT_DEDUP_BYTES, err) < 0 ||
	    store_fits("the service's name", put->service, SERVICE_NAME_MAX, err) < 0 ||
	    store_fits("the alert's source", put->source, ALERT_WORD_BYTES, err) < 0 ||
	    store_fits("the alert's status", put->status, ALERT_STATUS_BYTES, err) < 0 ||
	    store_fits("the alert's hash", put->raw_sha256, ALERT_WORD_BYTES, err) < 0 ||
	    store_fits("the reason", put->dead, LINE_MAX_BYTES, err) < 0 ||
	    store_fits("the notification", put->raw, LINE_MAX_BYTES, err) < 0)
		return -1;
	return store_fits("the alert", put->body, LINE_MAX_BYTES, err);
}

bool alerts_rearmed(const struct alert_put *put, int64_t stored_received_at)
{
	return put->rearm_ms > 0 && put->received_at - stored_received_at >= put->rearm_ms;
}

int alerts_never_whole(const char *id, struct err *err)
{
	return err_set(err, ERR_REFUSED,
	               "%s was never a whole alert: mend its text (as-fetch-alerts --dead shows it as `raw`) and ingest it",
	               id);
}
