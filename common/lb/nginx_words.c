#include "lb/nginx.h"

#include <string.h>

#include "base/banned.h"

static void put(struct nginx_words *w, size_t *n, char c)
{
	if (*n < sizeof w->word - 1)
		w->word[(*n)++] = c;
	w->word[*n] = '\0';
}

static enum nginx_kind quoted(struct nginx_words *w, char quote)
{
	size_t n = 0;

	for (w->p++; *w->p && *w->p != quote; w->p++) {
		if (*w->p == '\\' && w->p[1])
			w->p++;
		put(w, &n, *w->p);
	}
	if (!*w->p)
		return NGINX_BAD;
	w->p++;
	return NGINX_WORD;
}

/* "${name}" is part of a word although it has braces. */
static enum nginx_kind plain(struct nginx_words *w)
{
	size_t n = 0;
	bool variable = false;

	for (; *w->p && (variable || !strchr(" \t\r\n;{}", *w->p) || (*w->p == '{' && n && w->p[-1] == '$')); w->p++) {
		if (*w->p == '{')
			variable = true;
		else if (*w->p == '}')
			variable = false;
		else if (*w->p == '\\' && w->p[1])
			put(w, &n, *w->p++);
		put(w, &n, *w->p);
	}
	return NGINX_WORD;
}

enum nginx_kind nginx_next(struct nginx_words *w)
{
	size_t n = 0;

	w->p += strspn(w->p, " \t\r\n");
	w->begin = w->p;
	w->word[0] = '\0';
	switch (*w->p) {
	case '\0': return NGINX_EOF;
	case ';': w->p++; return NGINX_END;
	case '{': w->p++; return NGINX_OPEN;
	case '}': w->p++; return NGINX_CLOSE;
	case '"':
	case '\'': return quoted(w, *w->p);
	case '#':
		for (w->p++; *w->p && *w->p != '\n'; w->p++)
			put(w, &n, *w->p);
		return NGINX_COMMENT;
	default: return plain(w);
	}
}
