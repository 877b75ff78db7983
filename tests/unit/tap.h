/* The few lines that turn a C program into a test: results as TAP on standard output, status 1 when any failed. */
#ifndef TESTS_UNIT_TAP_H
#define TESTS_UNIT_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5))) static inline bool tap_ok(bool good, const char *file, int line, const char *fmt,
                                                                ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (!good) {
		printf("\n# %s:%d", file, line);
		tap_failed++;
	}
	printf("\n");
	fflush(stdout);
	return good;
}

static inline void tap_is(long long got, long long want, const char *file, int line, const char *name)
{
	if (!tap_ok(got == want, file, line, "%s", name))
		printf("# got %lld, want %lld\n", got, want);
}

static inline void tap_is_str(const char *got, const char *want, const char *file, int line, const char *name)
{
	if (!tap_ok(got && strcmp(got, want) == 0, file, line, "%s", name))
		printf("#  got: %s\n# want: %s\n", got ? got : "(null)", want);
}

#define OK(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)
#define IS(got, want, name) tap_is((long long)(got), (long long)(want), __FILE__, __LINE__, name)
#define IS_STR(got, want, name) tap_is_str((got), (want), __FILE__, __LINE__, name)
#define DONE() (printf("1..%d\n", tap_count), tap_failed != 0)

#endif
