#include "base/err.h"

#include "base/exit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const struct {
	const char *name;
	int exit;
	bool retry;
} codes[] = {
	[ERR_NONE] = {"none", EX_DONE, false},
	[ERR_USAGE] = {"usage", EX_BAD_USAGE, false},
	[ERR_INPUT] = {"input", EX_BAD_INPUT, false},
	[ERR_RECORD_VERSION] = {"record-version", EX_BAD_INPUT, false},
	[ERR_MISSING] = {"missing", EX_BAD_INPUT, false},
	[ERR_NOT_FOUND] = {"not-found", EX_RECORDS, false},
	[ERR_CONFLICT] = {"conflict", EX_RECORDS, false},
	[ERR_REFUSED] = {"refused", EX_RECORDS, false},
	[ERR_LIMIT] = {"limit", EX_RECORDS, false},
	[ERR_UNAVAILABLE] = {"unavailable", EX_NO_SERVICE, true},
	[ERR_REMOTE] = {"remote", EX_RECORDS, false},
	[ERR_OUTPUT] = {"output", EX_NO_OUTPUT, false},
	[ERR_TEMPORARY] = {"temporary", EX_TRY_AGAIN, true},
	[ERR_DENIED] = {"denied", EX_NO_ACCESS, false},
	[ERR_CONFIG] = {"configuration", EX_BAD_CONFIG, false},
};

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	err->retry = codes[code].retry;
	va_start(ap, fmt);
	(void)vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	char was[sizeof err->message];
	va_list ap;

	memcpy(was, err->message, sizeof was);
	va_start(ap, fmt);
	int n = vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof err->message)
		n = (int)strlen(err->message);
	(void)snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", was);
	return -1;
}

const char *err_name(enum err_code code) { return codes[code].name; }

int err_exit(enum err_code code) { return codes[code].exit; }
