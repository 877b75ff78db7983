#include "store/many.h"

#include "base/buf.h"

#include "base/banned.h"

#define OTHERS_MAX 4

int sql_many(struct sql *db, const char *before, const char *const *names, size_t n, const char *after,
             const struct sql_value *binds, size_t nbinds, sql_row_fn row, void *ctx, struct err *err)
{
	struct buf text = BUF_INIT(4096);
	struct sql_value values[SQL_MANY + OTHERS_MAX];
	const size_t places = n > 1 ? SQL_MANY : 1;

	if (!n)
		return 0;
	if (n > SQL_MANY || nbinds > OTHERS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d names in one statement", SQL_MANY);
	buf_puts(&text, before);
	for (size_t i = 0; i < places; i++) {
		buf_puts(&text, i ? ",?" : "?");
		values[i] = sql_text(names[i < n ? i : n - 1]);
	}
	buf_puts(&text, after);
	for (size_t i = 0; i < nbinds; i++)
		values[places + i] = binds[i];
	int bad = buf_ok(&text, err);
	if (!bad)
		bad = sql_run(db, text.p, values, places + nbinds, row, ctx, err);
	buf_release(&text);
	return bad;
}
