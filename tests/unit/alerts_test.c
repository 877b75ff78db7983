/* The alert queue under many processes at once, some of them killed, and what only SQLite's file shows. On the server
 * that AS_TEST_ALERTS=mysql://... names (scratch_store.h) the first part. AS_STORM=40000: that many alerts, and a kill
 * each second until all are done. */
#include "alerts_cases.h"
#include "store/store.h"

#include "scratch_store.h"

#include "base/banned.h"

#define STORM_MAX 1000000

static bool on_file(void)
{
	const char *pattern = getenv("AS_TEST_ALERTS");

	return !pattern || scratch_is_file(pattern);
}

static const char *store_of(const char *name) { return scratch_store("AS_TEST_ALERTS", name); }

/* AS_STORM, else as many as are done in a moment. */
static int storm_of(int file, int server)
{
	const char *asked = getenv("AS_STORM");
	const long n = asked ? strtol(asked, NULL, 10) : on_file() ? file : server;

	if (n < 1 || n > STORM_MAX)
		abort();
	return (int)n;
}

/* --- many at once --- */

/* Claims by `size`, notes each in the file NOTES (one write, so whole even when killed), finishes the batch in one
 * transaction. Ends when nothing is left open. */
static int drain(const char *path, const char *notes, int64_t size, int64_t lease_ms)
{
	struct alerts *a = must_open(path);
	struct err err = {0};
	const int fd = open(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int64_t due = 0;
	int status = 0;

	while (status == 0 && alerts_next_due(a, &due, &err) == 0 && due != INT64_MAX) {
		static struct batch b;
		int64_t count = 0, now = 0;
		bool held = false;
		b.n = 0;
		if (alerts_claim(a, size, lease_ms, NULL, on_batch, &b, &count, &now, &err) < 0) {
			status = 1;
			break;
		}
		if (count == 0) {
			clock_sleep_ms(5);
			continue;
		}
		if (alerts_begin(a, &err) < 0)
			status = 1;
		struct buf text = BUF_INIT(10000);
		for (size_t i = 0; i < b.n && status == 0; i++) {
			if (alerts_finish(a, b.t[i].id, b.t[i].token, "done", &held, &err) < 0)
				status = 1;
			if (held)
				buf_printf(&text, "%s\n", b.t[i].id);
		}
		if (status == 0 && alerts_commit(a, &err) < 0)
			status = 1;
		if (status == 0 && text.n > 0 && write(fd, text.p, text.n) != (ssize_t)text.n)
			status = 1;
		buf_release(&text);
	}
	if (status)
		fprintf(stderr, "# %s\n", err.message);
	(void)close(fd);
	alerts_close(a);
	return status;
}

static int drain_by_1(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 1, 60000);
}

static int drain_by_10(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 10, 60000);
}

static int drain_by_100(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 100, 60000);
}

/* Lines of the file, and how many of them are there twice. */
static int count_notes(int *twice)
{
	static bool seen[STORM_MAX];
	int lines = 0, n;
	FILE *f = fopen(scratch_path("notes"), "re");

	memset(seen, 0, sizeof seen);
	*twice = 0;
	while (f && fscanf(f, "alert-%d\n", &n) == 1 && n >= 0 && n < STORM_MAX) {
		lines++;
		*twice += seen[n];
		seen[n] = true;
	}
	if (f)
		(void)fclose(f);
	(void)unlink(scratch_path("notes"));
	return lines;
}

static void test_storm(void)
{
	static const struct {
		int size;
		scratch_worker fn;
	} cases[] = {{1, drain_by_1}, {10, drain_by_10}, {100, drain_by_100}};

	const int storm = storm_of(4000, 2000);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char name[32];
		int twice = 0;
		(void)snprintf(name, sizeof name, "storm-%d", cases[i].size);
		const char *path = store_of(name);
		fill(path, storm);
		const int64_t start = clock_monotonic_ms();
		const int sum = scratch_run(SCRATCH_WORKERS, cases[i].fn, path);
		const int64_t took = clock_monotonic_ms() - start;
		const int lines = count_notes(&twice);
		OK(sum == 0 && lines == storm && twice == 0, "8 processes by %d: %d of %d alerts finished, %d twice (%lld/s)",
		   cases[i].size, lines, storm, twice, storm * 1000LL / (took + 1));
		IS(scratch_look(path, "SELECT COUNT(*) FROM alert WHERE state = 'done' AND attempts = 1"), storm,
		   "each was claimed exactly once");
	}
}

static int drain_short(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 7, on_file() ? 400 : 1500);
}

/* Until the next kill: a moment, so that many fit; a second where many alerts are asked for of a server. A file is done
 * with them in a few seconds. */
static int kill_pause_ms(void)
{
	if (getenv("AS_STORM"))
		return on_file() ? 50 : 1000;
	return rand() % (on_file() ? 6 : 60); /* a connection to a server takes its time */
}

static void test_killed_claimers(void)
{
	const char *path = store_of("kills");
	const int n = storm_of(20000, 4000); /* more than is done before the kills, on a disk that syncs at once too */
	pid_t pid[SCRATCH_WORKERS];
	int kills = 0, twice = 0;

	fill(path, n);
	srand(2);
	for (int i = 0; i < SCRATCH_WORKERS; i++)
		pid[i] = scratch_fork(drain_short, i, path, -1);
	while ((kills < 60 || getenv("AS_STORM")) &&
	       scratch_look(path, "SELECT COUNT(*) FROM alert WHERE due IS NOT NULL") > 0) {
		clock_sleep_ms(kill_pause_ms());
		pid_t *victim = &pid[kills % SCRATCH_WORKERS];
		(void)kill(*victim, SIGKILL);
		(void)waitpid(*victim, NULL, 0);
		*victim = scratch_fork(drain_short, kills, path, -1);
		kills++;
	}
	for (int i = 0; i < SCRATCH_WORKERS; i++)
		(void)waitpid(pid[i], NULL, 0);
	const int lines = count_notes(&twice);
	OK(kills > 5 && twice == 0, "8 claimers are killed %d times: no alert is finished twice (%d noted)", kills, lines);
	IS(scratch_look(path, "SELECT COUNT(*) FROM alert WHERE state = 'done'"), n, "none is lost");
	const long long again = scratch_look(path, "SELECT COUNT(*) FROM alert WHERE attempts > 1");
	OK(again > 0, "%lld had to be taken again", again);
}

/* --- batches and the shared file --- */

static void test_batch_is_one_write(void)
{
	const char *path = scratch_path("batch.db");
	struct alerts *a;
	struct err err = {0};
	static struct batch b;
	int64_t count = 0, now = 0;
	bool held = false;
	int all_held = 0;
	struct stat st = {0};

	fill(path, 300);
	a = must_open(path);
	for (int round = 0; round < 3; round++) {
		b.n = 0;
		(void)alerts_claim(a, 100, 60000, NULL, on_batch, &b, &count, &now, &err);
		(void)alerts_begin(a, &err);
		for (size_t i = 0; i < b.n; i++) {
			(void)alerts_finish(a, b.t[i].id, b.t[i].token, NULL, &held, &err);
			all_held += held;
		}
		(void)alerts_commit(a, &err);
	}
	IS(all_held, 300, "300 alerts are finished in 3 batches");
	/* The log grows by each transaction's changed pages: 6 transactions of at most some 60 pages, where one by one
	 * 300 finishes of at least 4 pages each would be over 4 MB. */
	(void)stat(scratch_path("batch.db-wal"), &st);
	OK(st.st_size > 0 && st.st_size < 2000000, "in few writes: the log has %lld bytes", (long long)st.st_size);
	alerts_close(a);
}

static void test_shared_file(void)
{
	const char *path = scratch_path("shared.db");
	struct err err = {0};
	struct store *s = store_open(path, &err);
	struct alerts *a = must_open(path);
	struct service_past past = {0};
	bool stored = false;

	(void)put(a, "a", "1", 1, 0, &stored);
	OK(s && stored && store_past(s, "web", &past, &err) == 0, "one file serves the store and the alerts");
	store_past_release(&past);
	alerts_close(a);
	store_close(s);
	a = alerts_open("other://u:secret@db/as", &err);
	OK(!a && err.code == ERR_CONFIG && strstr(err.message, "other") && !strstr(err.message, "secret"),
	   "an unknown kind of alert store is refused without its password");
	alerts_close(a);
}

int main(void)
{
	scratch_make();
	test_storm();
	test_killed_claimers();
	if (on_file()) {
		test_batch_is_one_write();
		test_shared_file();
	}
	scratch_remove();
	return DONE();
}
