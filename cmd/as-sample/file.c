/* file:PATH, a number that somebody else writes into a file. */
#include "cmd/as-sample/sample.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define TEXT_MAX (64u * 1024u)
/* What is no file does not hold us up: a pipe without a writer. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static int cannot_open(const char *folder, const char *path, struct err *err)
{
	const int why = errno;

	if (why == ELOOP)
		return err_set(err, ERR_REFUSED, "%s in %s is, or is behind, a symbolic link: none is followed there", path,
		               folder);
	return err_set(err, why == EACCES ? ERR_DENIED : ERR_NOT_FOUND, "cannot read %s%s%s: %s", folder,
	               *folder ? "/" : "", path, strerror(why));
}

/* One component after the other, none of them a link, so that a path cannot lead out of the folder. */
static int open_beneath(const char *folder, const char *path, struct err *err)
{
	char name[NAME_MAX + 1];
	const char *p = path;
	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_set(err, ERR_CONFIG, "cannot open the folder %s: %s (make it, or set files in [metrics])", folder,
		               strerror(errno));
	for (;;) {
		const size_t n = strcspn(p, "/");
		const bool last = !p[n];
		if (!n || n > NAME_MAX || (n <= 2 && strspn(p, ".") >= n)) {
			(void)close(dir);
			return err_set(err, ERR_REFUSED,
			               "\"%s\" is no path inside of %s: names with single slashes, no . and no ..", path, folder);
		}
		memcpy(name, p, n);
		name[n] = '\0';
		const int next = openat(dir, name, O_NOFOLLOW | (last ? OPEN_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC));
		const int why = errno;
		(void)close(dir);
		errno = why;
		if (next < 0)
			return cannot_open(folder, path, err);
		if (last)
			return next;
		dir = next;
		p += n + 1;
	}
}

static int read_text(int fd, const char *path, struct buf *text, int64_t *changed, struct err *err)
{
	char block[4096];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_REFUSED, "%s is no regular file", path);
	*changed = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	while ((n = read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)) {
		if (n > 0)
			buf_put(text, block, (size_t)n);
		if (text->failed)
			return buf_ok(text, err) < 0 ? err_prefix(err, "%s", path) : -1;
	}
	return n < 0 ? err_set(err, ERR_REMOTE, "cannot read %s: %s", path, strerror(errno)) : 0;
}

static int read_metric(const struct sampling *m, const struct metric *metric, const char *path, struct reply *out,
                       struct err *err)
{
	const bool absolute = *path == '/';
	struct buf text = BUF_INIT(TEXT_MAX);
	int64_t changed = TIME_NONE;

	if (absolute && !metric->trusted)
		return err_set(err, ERR_REFUSED,
		               "only a policy in the store may name the path %s: a label names a file inside of %s", path,
		               m->s->f.conf.metrics.files);
	const int fd = absolute ? open(path, OPEN_FLAGS) : open_beneath(m->s->f.conf.metrics.files, path, err);
	if (fd < 0)
		return absolute ? cannot_open("", path, err) : -1;
	int bad = read_text(fd, path, &text, &changed, err);
	(void)close(fd);
	if (!bad && (bad = reply_parse(text.p, text.n, out, err)) < 0) {
		/* What stands in any file of the machine is told to nobody. */
		if (absolute)
			(void)err_set(err, ERR_INPUT, "neither one number nor {\"value\":NUMBER}");
		(void)err_prefix(err, "%s holds", path);
	}
	if (!bad && out->at == TIME_NONE)
		out->at = changed;
	buf_release(&text);
	return bad;
}

void sample_file(struct sampling *m, const struct metric *metric)
{
	struct reply reply = {0};
	char source[METRIC_NAME + SERVICE_NAME_MAX * 8] = "file:";
	struct err err;

	const char *text = metric_text(metric, "file:", &reply.per);
	const enum metric_per per = reply.per;
	if (metric_expand(m, text, source + 5, sizeof source - 5, &err) < 0 ||
	    read_metric(m, metric, source + 5, &reply, &err) < 0) {
		put_failure(m, metric->name, per, source, &err);
		return;
	}
	put_reading(m, &(struct reading){.name = metric->name,
	                                 .per = reply.per,
	                                 .unit = reply.unit,
	                                 .source = source,
	                                 .micro = reply.micro,
	                                 .at = reply.at});
}
