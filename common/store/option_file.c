#include "store/option_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define FILE_MAX_BYTES 65536

static const struct {
	const char *name;
	size_t offset;
} keys[] = {
	{"host", offsetof(struct option_file, host)},         {"user", offsetof(struct option_file, user)},
	{"password", offsetof(struct option_file, password)}, {"socket", offsetof(struct option_file, socket)},
	{"database", offsetof(struct option_file, database)}, {"ssl-ca", offsetof(struct option_file, ca)},
	{"ssl-cert", offsetof(struct option_file, cert)},     {"ssl-key", offsetof(struct option_file, key)},
};
#define NKEYS (sizeof keys / sizeof *keys)

static char **slot(struct option_file *f, size_t i) { return (char **)(void *)((char *)f + keys[i].offset); }

void option_file_release(struct option_file *f)
{
	if (f->password)
		explicit_bzero(f->password, strlen(f->password));
	for (size_t i = 0; i < NKEYS; i++)
		free(*slot(f, i));
	*f = (struct option_file){0};
}

/* Dashes and underscores are the same in a name. */
static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
			return false;
	return *a == *b;
}

static char *trimmed(char *p)
{
	char *end;

	p += strspn(p, " \t\r");
	for (end = p + strlen(p); end > p && isspace((unsigned char)end[-1]); end--)
		;
	*end = '\0';
	return p;
}

/* In place: quotes around the value taken away, and its escapes resolved (my_print_defaults(1) knows these). */
static char *unquoted(char *p)
{
	static const char from[] = "btnrs\\\"'", to[] = "\b\t\n\r \\\"'";
	const size_t n = strlen(p);
	char *out, *q;

	if (n > 1 && (*p == '"' || *p == '\'') && p[n - 1] == *p) {
		p[n - 1] = '\0';
		p++;
	}
	for (out = q = p; *q; q++) {
		const char *known = *q == '\\' && q[1] ? strchr(from, q[1]) : NULL;
		*out++ = known ? to[known - from] : *q;
		q += known != NULL;
	}
	*out = '\0';
	return p;
}

static int take_key(struct option_file *f, const char *name, char *value, struct err *err)
{
	if (same_name(name, "port")) {
		char *end;
		f->port = strtol(value, &end, 10);
		return *end || f->port < 1 || f->port > 65535 ? err_set(err, ERR_CONFIG, "the port is a number from 1 to 65535")
		                                              : 0;
	}
	for (size_t i = 0; i < NKEYS; i++) {
		if (!same_name(name, keys[i].name))
			continue;
		free(*slot(f, i));
		*slot(f, i) = strdup(value);
		return *slot(f, i) ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
	}
	return 0;
}

/* One line; *in: it stands in the group that is looked for. */
static int take_line(struct option_file *f, char *line, const char *group, bool *in, bool *found, struct err *err)
{
	char *p = trimmed(line), *end;

	if (!*p || *p == '#' || *p == ';')
		return 0;
	if (*p == '!')
		return err_set(err, ERR_CONFIG, "another file is not followed: name the file that holds the login itself");
	if (*p == '[') {
		end = strchr(p, ']');
		if (!end)
			return err_set(err, ERR_CONFIG, "a group is [NAME]");
		*end = '\0';
		*in = strcmp(trimmed(p + 1), group) == 0;
		*found = *found || *in;
		return 0;
	}
	if (!*in)
		return 0;
	char *eq = strchr(p, '=');
	if (!eq)
		return 0; /* an option without a value: none of ours */
	*eq = '\0';
	return take_key(f, trimmed(p), unquoted(trimmed(eq + 1)), err);
}

static int take_group(struct option_file *f, const char *path, const char *text, const char *group, bool must,
                      struct err *err)
{
	char *copy = strdup(text), *rest = copy, *line;
	bool in = false, found = false;
	int rc = copy ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");

	for (int n = 1; rc == 0 && (line = strsep(&rest, "\n")); n++)
		if (take_line(f, line, group, &in, &found, err) < 0)
			rc = err_prefix(err, "%s:%d", path, n);
	if (rc == 0 && must && !found)
		rc = err_set(err, ERR_CONFIG, "%s has no group [%s]", path, group);
	if (copy)
		explicit_bzero(copy, strlen(text));
	free(copy);
	return rc;
}

/* *open: others than the owner may read it. */
static int read_text(const char *path, char *text, bool *others, struct err *err)
{
	struct stat st = {0};
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = fd < 0 || fstat(fd, &st) < 0 ? -1 : 1;

	while (got > 0 && n < FILE_MAX_BYTES) {
		got = read(fd, text + n, FILE_MAX_BYTES - n);
		n += got > 0 ? (size_t)got : 0;
	}
	const int failure = errno;
	if (fd >= 0)
		(void)close(fd);
	if (got < 0)
		return err_set(err, ERR_DENIED, "cannot read defaults-file %s: %s", path, strerror(failure));
	if (n == FILE_MAX_BYTES)
		return err_set(err, ERR_CONFIG, "defaults-file %s has more than %d bytes", path, FILE_MAX_BYTES);
	text[n] = '\0';
	*others = (st.st_mode & 077) != 0;
	return 0;
}

int option_file_read(const char *path, const char *group, struct option_file *f, struct err *err)
{
	char *text = malloc(FILE_MAX_BYTES + 1);
	bool others = false;

	*f = (struct option_file){0};
	int rc = text ? read_text(path, text, &others, err) : err_set(err, ERR_TEMPORARY, "out of memory");
	if (rc == 0)
		rc = take_group(f, path, text, "client", false, err);
	if (rc == 0 && group)
		rc = take_group(f, path, text, group, true, err);
	if (rc == 0 && f->password && others)
		rc = err_set(err, ERR_DENIED, "others may read the password in defaults-file %s: chmod 600 it", path);
	if (text)
		explicit_bzero(text, FILE_MAX_BYTES + 1);
	free(text);
	if (rc < 0)
		option_file_release(f);
	return rc;
}
