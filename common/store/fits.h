/* Whether a text fits its column, asked before a server is: one that cuts and one that refuses then behave alike. */
#ifndef STORE_FITS_H
#define STORE_FITS_H

#include "base/err.h"

#include <stddef.h>

/* ERR_INPUT unless text (NULL counts as "") has at most max bytes. */
int store_fits(const char *what, const char *text, size_t max, struct err *err);

#endif
