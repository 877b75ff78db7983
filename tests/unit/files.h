/* Whole files as text, for tests. */
#ifndef TESTS_UNIT_FILES_H
#define TESTS_UNIT_FILES_H

#include <stdio.h>
#include <stdlib.h>

static inline void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

/* NULL when it cannot be read; good for the next three calls. */
static inline char *text_of(const char *path)
{
	static char text[4][65536];
	static unsigned turn;
	char *p = text[turn++ % 4];
	FILE *f = fopen(path, "r");

	if (!f)
		return NULL;
	p[fread(p, 1, sizeof text[0] - 1, f)] = '\0';
	(void)fclose(f);
	return p;
}

#endif
