/* The alert queue: finds the driver of a URL and hands each call to it. */
#include "store/alerts.h"

#include "store/alerts_driver.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/banned.h"

static const struct alerts_driver *const drivers[] = {&alerts_sql};

struct alerts *alerts_open(const char *url, struct err *err)
{
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (drivers[i]->serves(url))
			return drivers[i]->open(url, err);
	/* Only the scheme is shown: the rest may hold a password. */
	(void)err_set(err, ERR_CONFIG, "no alert store of kind \"%.*s\" in this program: use sqlite:PATH",
	              (int)strcspn(url, ":"), url);
	return NULL;
}

void alerts_close(struct alerts *a)
{
	if (a)
		a->driver->close(a);
}

int64_t alerts_now(struct alerts *a) { return a->driver->now(a); }

int alerts_put(struct alerts *a, const struct alert_put *put, bool *stored, char id_out[ALERT_ID], struct err *err)
{
	return a->driver->put(a, put, stored, id_out, err);
}

int alerts_begin(struct alerts *a, struct err *err) { return a->driver->begin(a, err); }

int alerts_commit(struct alerts *a, struct err *err) { return a->driver->commit(a, err); }

void alerts_rollback(struct alerts *a) { a->driver->rollback(a); }

int alerts_claim(struct alerts *a, int64_t limit, int64_t lease_ms, const char *service, alert_claim_fn fn, void *ctx,
                 int64_t *count, int64_t *now, struct err *err)
{
	*count = 0;
	if (limit < 1 || lease_ms < 1)
		return err_set(err, ERR_USAGE, "a claim needs a limit and a lease above 0");
	return a->driver->claim(a, limit, lease_ms, service, fn, ctx, count, now, err);
}

int alerts_finish(struct alerts *a, const char *id, const char *token, const char *result, bool *held, struct err *err)
{
	return a->driver->finish(a, id, token, result, held, err);
}

int alerts_give_back(struct alerts *a, const char *id, const char *token, int64_t delay_ms, bool final,
                     const char *error, bool *held, bool *dead, struct err *err)
{
	return a->driver->give_back(a, id, token, delay_ms, final, error, held, dead, err);
}

int alerts_each(struct alerts *a, const char *state, alert_row_fn fn, void *ctx, struct err *err)
{
	return a->driver->each(a, state, fn, ctx, err);
}

int alerts_requeue(struct alerts *a, const char *id, bool *there, struct err *err)
{
	return a->driver->requeue(a, id, there, err);
}

int alerts_next_due(struct alerts *a, int64_t *due, struct err *err) { return a->driver->next_due(a, due, err); }

/* --- for the drivers --- */

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
