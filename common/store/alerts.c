/* The alert queue: finds the driver of a URL and hands each call to it. */
#include "store/alerts.h"

#include "store/alerts_driver.h"
#include "store/module.h"
#include "store/sql.h"

#include <string.h>

#include "base/banned.h"

/* By the scheme of the URL. What an SQL store serves is alerts_sql's, the others are modules. */
static const char *const modules[] = {"mongodb"};

static const char *module_of(const char *url)
{
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
		const size_t n = strlen(modules[i]);
		if (strncmp(url, modules[i], n) == 0 && (url[n] == ':' || url[n] == '+'))
			return modules[i];
	}
	return NULL;
}

struct alerts *alerts_open(const char *url, struct err *err)
{
	if (sql_serves(url))
		return alerts_sql.open(url, err);
	const char *name = module_of(url);
	if (!name) { /* only the scheme is shown: the rest may hold a password */
		(void)err_set(err, ERR_CONFIG,
		              "no alert store of kind \"%.*s\": use sqlite:PATH, mysql://USER@HOST/DATABASE or "
		              "mongodb://HOST/DATABASE",
		              (int)strcspn(url, ":"), url);
		return NULL;
	}
	const struct store_module *m = store_module(name, err);
	return m ? m->alerts->open(url, err) : NULL;
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

int alerts_renew(struct alerts *a, const char *token, int64_t lease_ms, int64_t *held, struct err *err)
{
	return a->driver->renew(a, token, lease_ms, held, err);
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

int alerts_count(struct alerts *a, struct alert_counts *counts, struct err *err)
{
	*counts = (struct alert_counts){.oldest = INT64_MIN};
	return a->driver->count(a, counts, err);
}

int alerts_may_write(struct alerts *a, struct err *err) { return a->driver->may_write(a, err); }

int alerts_prune(struct alerts *a, const char *state, int64_t before, int64_t limit, int64_t *n, struct err *err)
{
	*n = 0;
	if (strcmp(state, "done") != 0 && strcmp(state, "dead") != 0)
		return err_set(err, ERR_USAGE, "alerts that are %s are not pruned", state);
	return a->driver->prune(a, state, before, limit, n, err);
}
