/* One statement for many names. */
#ifndef STORE_MANY_H
#define STORE_MANY_H

#include "store/sql.h"

#define SQL_MANY 128 /* names of one statement */

/* Runs "BEFORE ?,?,...,? AFTER" with n names, at most SQL_MANY, and then the other values (at most 4). Two texts are
 * enough for any number, so that they stay prepared: the last name stands for those that are missing. */
int sql_many(struct sql *db, const char *before, const char *const *names, size_t n, const char *after,
             const struct sql_value *binds, size_t nbinds, sql_row_fn row, void *ctx, struct err *err);

#endif
