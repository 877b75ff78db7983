#include "base/options.h"

#include "base/clock.h"

#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

static int take(const struct option_row *row, const char *arg, struct err *err)
{
	char *end;

	switch (row->kind) {
	case OPTION_FLAG: *(bool *)row->dest = true; return 0;
	case OPTION_TEXT: *(const char **)row->dest = arg; return 0;
	case OPTION_COUNT: {
		const long long v = strtoll(arg, &end, 10);
		if (!isdigit((unsigned char)*arg) || *end || v > INT32_MAX)
			return err_set(err, ERR_USAGE, "--%s wants a number from 0 to %d, not \"%s\"", row->name, INT32_MAX, arg);
		*(int64_t *)row->dest = v;
		return 0;
	}
	case OPTION_MAYBE:
		if (!arg) {
			*(int64_t *)row->dest = OPTION_ALONE;
			return 0;
		}
		/* fall through */
	case OPTION_DURATION:
		if (!duration_parse(arg, row->dest))
			return err_set(err, ERR_USAGE, "--%s wants a duration such as 30s, 5m or 1.5, not \"%s\"", row->name, arg);
		return 0;
	}
	return 0;
}

int options_parse(const struct option_row *rows, int argc, char **argv, int *first, struct err *err)
{
	struct option longs[OPTIONS_MAX + 1] = {0};
	char shorts[2 * OPTIONS_MAX + 2] = ":";
	size_t n = 0, s = 1;

	for (; n < OPTIONS_MAX && rows[n].name; n++) {
		const int has = rows[n].kind == OPTION_FLAG    ? no_argument
		                : rows[n].kind == OPTION_MAYBE ? optional_argument
		                                               : required_argument;
		longs[n] = (struct option){rows[n].name, has, NULL, (int)(256 + n)};
		if (rows[n].letter) {
			shorts[s++] = rows[n].letter;
			if (has == required_argument)
				shorts[s++] = ':';
		}
	}
	opterr = 0;
	for (;;) {
		const int at = optind;
		const int c = getopt_long(argc, argv, shorts, longs, NULL);
		if (c == -1)
			break;
		if (c == '?' && optopt && optopt < 256)
			return err_set(err, ERR_USAGE, "unknown option -%c", optopt);
		if (c == '?')
			return err_set(err, ERR_USAGE, "%s: %s", argv[at < argc ? at : argc - 1],
			               optopt ? "takes no argument" : "unknown or ambiguous option");
		size_t i = 0;
		while (i < n && c != longs[i].val && !(c < 256 && c == rows[i].letter) &&
		       !(c == ':' && (optopt == longs[i].val || (optopt < 256 && optopt == rows[i].letter))))
			i++;
		if (c == ':')
			return err_set(err, ERR_USAGE, "--%s wants %s", rows[i].name, rows[i].arg);
		if (take(&rows[i], optarg, err) < 0)
			return -1;
	}
	*first = optind;
	return 0;
}

void options_help(const struct command *c, const struct option_row *rows, struct buf *out)
{
	buf_printf(out, "usage: %s [OPTION ...]%s%s\n%s\n\n", c->name, *c->operands ? " " : "", c->operands, c->summary);
	for (; rows->name; rows++) {
		char left[64];
		struct buf b = BUF_INIT(sizeof left - 1);
		if (rows->letter)
			buf_printf(&b, "-%c, ", rows->letter);
		else
			buf_puts(&b, "    ");
		const char *gap = rows->kind == OPTION_MAYBE ? "[=" : " ", *end = rows->kind == OPTION_MAYBE ? "]" : "";
		buf_printf(&b, "--%s%s%s%s", rows->name, rows->arg ? gap : "", rows->arg ? rows->arg : "", end);
		buf_printf(out, "  %-28s %s\n", b.p ? b.p : "", rows->help);
		buf_release(&b);
	}
	buf_printf(out, "\nThe manual, %s(1), has the rest.\n", c->name);
}
