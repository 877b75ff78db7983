#include "base/trust.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

static bool others_write(const struct stat *st) { return (st->st_mode & 022) != 0; }

/* Whose word counts: root's, and that of the user we run as. */
static bool is_ours(const struct stat *st) { return st->st_uid == 0 || st->st_uid == geteuid(); }

int trust_program(const char *file, struct err *err)
{
	struct stat st;

	if (stat(file, &st) < 0)
		return err_set(err, ERR_NOT_FOUND, "cannot run %s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_REFUSED, "%s is no regular file", file);
	if (!is_ours(&st) || others_write(&st))
		return err_set(
			err, ERR_REFUSED,
			"%s is not run, for others may write it: chown it to root or to who runs this, and chmod go-w it", file);
	if (access(file, X_OK) < 0)
		return err_set(err, ERR_DENIED, "cannot run %s: %s (chmod +x it?)", file, strerror(errno));
	return 0;
}

int trust_folder(const char *folder, struct err *err)
{
	struct stat st;

	if (stat(folder, &st) < 0)
		return err_set(err, ERR_CONFIG, "cannot look into the folder %s: %s (make it, or set programs in [metrics])",
		               folder, strerror(errno));
	if (!is_ours(&st) || others_write(&st))
		return err_set(err, ERR_REFUSED, "nothing in %s is run, for others may write there: chmod go-w it", folder);
	return 0;
}
