/* Drivers that come as a loadable file, so that a command pays for the client library of a database (10 ms for
 * MongoDB's) only when a URL names one, and a machine without that library still has SQLite. Only files in this folder
 * include it.
 *
 * A module is PREFIX/lib/autoscale/NAME.so, looked for beside the running program (PREFIX/bin), made of one file in
 * modules/ that defines autoscale_store_module. */
#ifndef STORE_MODULE_H
#define STORE_MODULE_H

#include "base/err.h"

struct sql_driver;
struct alerts_driver;

struct store_module {
	const char *version;                /* of the toolkit it was built with: must be the program's */
	const char *(*library)(void);       /* which version of the client library it runs with */
	const struct sql_driver *sql;       /* NULL: none */
	const struct alerts_driver *alerts; /* NULL: none */
};

/* Loads NAME.so once and gives its table; it stays loaded. NULL: CONFIG (not installed, its library is missing, another
 * version), with what to install. */
const struct store_module *store_module(const char *name, struct err *err);

/* What a module's file defines. */
extern const struct store_module autoscale_store_module __attribute__((visibility("default")));

#endif
