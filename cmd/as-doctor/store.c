/* The store, and that of the alerts: is it there, of which schema, may it be written, is there room? */
#include "base/clock.h"
#include "cmd/as-doctor/doctor.h"
#include "store/alerts.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/banned.h"

#define MIB (1024ull * 1024)
#define ROOM_FAIL (16 * MIB)
#define ROOM_WARN (256 * MIB)
#define FUZZ_MS 100

/* ---- a file ---- */

/* The nearest folder above that is there. */
static void folder_of(const char *file, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s", file);
	do {
		char *slash = strrchr(out, '/');
		if (!slash)
			(void)snprintf(out, PATH_MAX, ".");
		else
			slash[slash == out] = '\0';
	} while (access(out, F_OK) < 0 && strcmp(out, "/") != 0 && strcmp(out, ".") != 0);
}

static void check_room(const char *file, const struct findings *to)
{
	char folder[PATH_MAX], found[FINDING_TEXT];
	struct statvfs fs;

	folder_of(file, folder);
	if (statvfs(folder, &fs) < 0)
		return;
	const unsigned long long room = (unsigned long long)fs.f_bavail * fs.f_frsize;
	if (room >= ROOM_WARN) {
		finding_ok(to, "room", "%llu MiB are free where it lives", room / MIB);
		return;
	}
	(void)snprintf(found, sizeof found, "only %llu MiB are free where it lives", room / MIB);
	finding_bad(
		to, room < ROOM_FAIL ? FINDING_FAIL : FINDING_WARN, "room", found,
		"free space on the file system of %.200s (`df -h` shows it), or take old rows away: `as-store --older-than "
		"90d prune`",
		folder);
}

static void check_mode(const char *file, const struct findings *to)
{
	char found[FINDING_TEXT];
	struct stat st;

	if (stat(file, &st) < 0 || !(st.st_mode & 077))
		return;
	(void)snprintf(found, sizeof found,
	               "others may %s %.400s (mode %04o), which keeps the variables of containers, with their secrets",
	               st.st_mode & 022 ? "change" : "read", file, (unsigned)st.st_mode & 07777);
	finding_bad(to, st.st_mode & 022 ? FINDING_FAIL : FINDING_WARN, "mode", found, "chmod 600 %s", file);
}

/* There is none yet: could one be made? */
static void check_absent(const char *file, const struct findings *to)
{
	char folder[PATH_MAX], found[FINDING_TEXT];

	folder_of(file, folder);
	if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0) {
		finding_ok(to, "schema", "%s is not there yet: the first command makes it", file);
		return;
	}
	(void)snprintf(found, sizeof found, "%.400s is not there, and cannot be made in %.300s: %s", file, folder,
	               strerror(errno));
	finding_bad(to, FINDING_FAIL, "schema", found,
	            "make its folder for this user (uid %lu), mode 700, or name another file by `store` in [store] or "
	            "AUTOSCALE_STORE",
	            (unsigned long)geteuid());
}

/* ---- of any kind ---- */

/* What is to be done when it cannot be opened or written. */
static void tell_why(const char *what, const char *file, const struct err *err, const struct findings *to)
{
	const unsigned long uid = (unsigned long)geteuid();
	const bool login = strstr(err->message, "user and password") != NULL;

	if (*file && err->code == ERR_DENIED)
		finding_failed(
			to, what, err,
			"give this user (uid %lu) the file and its folder, `chown %lu %.200s*`; if its file system is mounted "
			"read-only, or the file is immutable (lsattr), undo that",
			uid, uid, file);
	else if (*file && err->code == ERR_TEMPORARY)
		finding_failed(to, what, err, "look who holds it: `fuser -v %s`", file);
	else if (*file)
		finding_failed(
			to, what, err,
			"put a copy of the store there (sqlite3 FILE .backup makes one), or name another file by `store` in "
			"[store] or AUTOSCALE_STORE");
	else if (strstr(err->message, "others may read"))
		finding_failed(to, what, err, "chmod 600 the file that it names");
	else if (err->code == ERR_DENIED && login)
		finding_failed(
			to, what, err,
			"put the password that the server knows where the address takes it from (password-file=, mode 600, or "
			"the address "
			"itself), or set this one there (ALTER USER, db.changeUserPassword)");
	else if (err->code == ERR_DENIED)
		finding_failed(
			to, what, err,
			"give the user its rights there: GRANT ALL ON DATABASE.* TO USER; in MongoDB the role readWrite on the "
			"database");
	else if (strstr(err->message, "read-only"))
		finding_failed(to, what, err,
		               "take that off (SET GLOBAL read_only = OFF), or name the server that takes writes");
	else if (err->code == ERR_UNAVAILABLE || err->code == ERR_TEMPORARY)
		finding_failed(to, what, err, "start the server, open the way to it, or correct its address in [store]");
	else
		finding_failed(to, what, err,
		               "correct its address in [store] (autoscale.conf(5)), or what it says of the server");
}

/* True: it may be tried further. */
static bool check_schema(const struct store_probe *p, const struct findings *to)
{
	char found[FINDING_TEXT];
	const long long is = (long long)p->schema, known = (long long)p->schema_known;

	if (is == known) {
		finding_ok(to, "schema", "version %lld, as this program has it", is);
	} else if (is > known) {
		(void)snprintf(found, sizeof found, "version %lld is newer than this program's, %lld: it uses no such store",
		               is, known);
		finding_bad(to, FINDING_FAIL, "schema", found,
		            "install here the version of the toolkit that made it (this is %s), or name another store",
		            AS_VERSION);
	} else {
		(void)snprintf(found, sizeof found,
		               is ? "version %lld is older than this program's, %lld" : "no tables yet (%lld of %lld)", is,
		               known);
		finding_bad(to, FINDING_WARN, "schema", found,
		            "as-store migrate, as a user who may change tables; else the next command tries it");
	}
	return is <= known;
}

static void check_sql(const char *url, const struct findings *to)
{
	char file[PATH_MAX], shown[512];
	struct store_probe p;
	struct err err = {0};

	store_file(url, file, sizeof file);
	store_shown(url, shown, sizeof shown);
	if (store_probe(url, &p, &err) < 0) {
		tell_why("opening", file, &err, to);
	} else if (!p.there) {
		check_absent(file, to);
	} else {
		finding_ok(to, "opening", "%s", shown);
		if (check_schema(&p, to) && p.schema) {
			if (p.writes)
				finding_ok(to, "writing", "rows can be written (tried, and rolled back)");
			else
				tell_why("writing", file, &p.why, to);
		}
		finding_clock(to, "the store's", p.ahead_ms, FUZZ_MS,
		              *file ? "set this machine's clock (`timedatectl set-ntp true`): the store was written at a later "
		                      "time, and its "
		                      "own clock goes at half speed until then"
		                    : SET_CLOCKS);
	}
	if (*file) {
		check_mode(file, to);
		check_room(file, to);
	}
}

void check_store(const struct doctor *d, size_t i, const struct findings *to)
{
	(void)i;
	check_sql(d->f.conf.store, to);
}

static void check_queue(const char *url, const struct findings *to)
{
	struct err err = {0};
	char shown[512];

	store_shown(url, shown, sizeof shown);
	struct alerts *a = alerts_open(url, &err);
	if (!a) {
		tell_why("opening", "", &err, to);
		return;
	}
	finding_ok(to, "opening", "%s", shown);
	if (alerts_may_write(a, &err) == 0)
		finding_ok(to, "writing", "alerts can be changed and deleted (tried on none)");
	else
		tell_why("writing", "", &err, to);
	finding_clock(to, "the store's", alerts_now(a) - clock_now_ms(), FUZZ_MS, SET_CLOCKS);
	alerts_close(a);
}

void check_alerts(const struct doctor *d, size_t i, const struct findings *to)
{
	const struct conf *c = &d->f.conf;

	(void)i;
	if (strcmp(c->alerts, c->store) == 0)
		finding_ok(to, "opening", "they are in the store");
	else if (store_serves(c->alerts))
		check_sql(c->alerts, to);
	else
		check_queue(c->alerts, to);
}
