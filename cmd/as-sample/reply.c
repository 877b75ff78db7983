/* The texts that metrics are read from, and how the names that ask for them are read. */
#include "cmd/as-sample/sample.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define NUMBER_MAX 64 /* bytes of a number */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The beginning of a text, for a message: one line, no control characters. */
static void quote(const char *p, size_t n, char out[48])
{
	const size_t shown = n < 40 ? n : 40;

	for (size_t i = 0; i < shown; i++)
		out[i] = p[i] > ' ' && p[i] < 127 && p[i] != '"' ? p[i] : ' ';
	(void)snprintf(out + shown, 8, "%s", n > shown ? "..." : "");
}

static int no_number(const char *p, size_t n, struct err *err)
{
	char text[48];

	quote(p, n, text);
	return err_set(err, ERR_INPUT, "\"%s\", which is not one number, as 12, -0.5 or 1e3, nor {\"value\":NUMBER}", text);
}

/* JSON's grammar of a number, and .5, as bc(1) prints it. */
static int read_number(const char *p, size_t n, int64_t *micro, struct err *err)
{
	char text[NUMBER_MAX + 2];
	const size_t minus = n && *p == '-';
	struct jv v;
	struct err unused;

	if (n > NUMBER_MAX)
		return no_number(p, n, err);
	const int len = snprintf(text, sizeof text, "%s%s%.*s", minus ? "-" : "", n > minus && p[minus] == '.' ? "0" : "",
	                         (int)(n - minus), p + minus);
	if (jv_scan(text, (size_t)len, &v, NULL, 0, NULL, &unused) < 0 || !jv_is_number(v))
		return no_number(p, n, err);
	return jv_micro(v, micro) ? 0 : err_set(err, ERR_INPUT, "%.*s, which is too large", (int)n, p);
}

/* A time, or seconds since 1970, as `date +%s` prints them. */
static bool read_at(struct jv v, int64_t *at)
{
	int64_t micro;

	if (!jv_is_number(v))
		return clock_json(v, at);
	if (!jv_micro(v, &micro) || micro < 0)
		return false;
	*at = micro / 1000;
	return true;
}

static int read_object(const char *p, size_t n, struct reply *out, struct err *err)
{
	struct jv_member members[32];
	struct jv object;
	size_t count;

	if (jv_scan(p, n, &object, members, sizeof members / sizeof *members, &count, err) < 0)
		return err_prefix(err, "an object that cannot be read");
	const struct jv value = jv_get(object, "value"), per = jv_get(object, "per"), unit = jv_get(object, "unit"),
					at = jv_get(object, "at");
	if (!jv_is_number(value))
		return err_set(err, ERR_INPUT, "an object %s",
		               jv_here(value) ? "whose `value` is no number" : "without `value`");
	if (!jv_micro(value, &out->micro))
		return err_set(err, ERR_INPUT, "an object whose `value` is too large");
	if (jv_here(per) && !jv_is(per, "service") && !jv_is(per, "replica"))
		return err_set(err, ERR_INPUT, "an object whose `per` is neither \"service\" nor \"replica\"");
	if (jv_here(per))
		out->per = jv_is(per, "replica") ? PER_REPLICA : PER_SERVICE;
	if (jv_here(unit) && !jv_str(unit, out->unit, sizeof out->unit))
		return err_set(err, ERR_INPUT, "an object whose `unit` is no text of at most %zu bytes", sizeof out->unit - 1);
	if (jv_here(at) && !read_at(at, &out->at))
		return err_set(err, ERR_INPUT,
		               "an object whose `at` is no time, as \"2026-11-24T02:55:16Z\", nor seconds since 1970");
	return 0;
}

int reply_parse(const char *text, size_t n, struct reply *out, struct err *err)
{
	out->at = TIME_NONE;
	out->unit[0] = '\0';
	while (n && is_blank(text[n - 1]))
		n--;
	while (n && is_blank(*text)) {
		text++;
		n--;
	}
	if (!n)
		return err_set(err, ERR_INPUT, "nothing, where a number or {\"value\":NUMBER} is wanted");
	return *text == '{' ? read_object(text, n, out, err) : read_number(text, n, &out->micro, err);
}

const char *metric_text(const struct metric *metric, const char *prefix, enum metric_per *per)
{
	static const char replica[] = "replica:";
	const bool each = strncmp(metric->name, replica, sizeof replica - 1) == 0;

	*per = each ? PER_REPLICA : PER_SERVICE;
	return metric->name + (each ? sizeof replica - 1 : 0) + strlen(prefix);
}

/* Needs no quoting in a path nor in a string of PromQL. */
static bool is_plain(const char *service)
{
	return service[strspn(service, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == '\0' &&
	       *service != '.' && *service != '-';
}

int metric_expand(const struct sampling *m, const char *text, char *out, size_t size, struct err *err)
{
	static const char word[] = "$service";
	const char *p = text;
	size_t n = 0;

	if (strstr(text, word) && !is_plain(m->service))
		return err_set(err, ERR_REFUSED, "$service: the name %.63s has other characters than letters, digits, _ . -",
		               m->service);
	for (;;) {
		const char *at = strstr(p, word);
		const size_t part = at ? (size_t)(at - p) : strlen(p);
		const int put = snprintf(out + n, size - n, "%.*s%s", (int)part, p, at ? m->service : "");
		if (put < 0 || (size_t)put >= size - n)
			return err_set(err, ERR_LIMIT, "it is longer than %zu bytes", size - 1);
		n += (size_t)put;
		if (!at)
			return 0;
		p = at + sizeof word - 1;
	}
}
