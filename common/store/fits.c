#include "store/fits.h"

#include <string.h>

#include "base/banned.h"

int store_fits(const char *what, const char *text, size_t max, struct err *err)
{
	const size_t n = text ? strlen(text) : 0;

	if (n <= max)
		return 0;
	return err_set(err, ERR_INPUT, "%s has %zu bytes, the store keeps at most %zu: \"%.40s...\"", what, n, max, text);
}
