/* The alert queue on real SQLite files: what alerts_cases_test does not say of every store. */
#include "alerts_cases.h"
#include "store/store.h"

#include "base/banned.h"

#define STORM 4000
#define KILLS_STORM 20000 /* more than is done before the kills, on a disk that syncs at once too */

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
	static bool seen[KILLS_STORM];
	int lines = 0, n;
	FILE *f = fopen(scratch_path("notes"), "re");

	memset(seen, 0, sizeof seen);
	*twice = 0;
	while (f && fscanf(f, "alert-%d\n", &n) == 1 && n >= 0 && n < KILLS_STORM) {
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

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char path[300];
		int twice = 0;
		(void)snprintf(path, sizeof path, "%s/storm-%d.db", scratch, cases[i].size);
		fill(path, STORM);
		const int64_t start = clock_monotonic_ms();
		const int sum = scratch_run(SCRATCH_WORKERS, cases[i].fn, path);
		const int64_t took = clock_monotonic_ms() - start;
		const int lines = count_notes(&twice);
		OK(sum == 0 && lines == STORM && twice == 0, "8 processes by %d: %d of %d alerts finished, %d twice (%lld/s)",
		   cases[i].size, lines, STORM, twice, (long long)(STORM * 1000 / (took + 1)));
		IS(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE state = 'done' AND attempts = 1"), STORM,
		   "each was claimed exactly once");
	}
}

static int drain_short(int number, const char *path)
{
	(void)number;
	return drain(path, scratch_path("notes"), 7, 400);
}

static void test_killed_claimers(void)
{
	const char *path = scratch_path("kills.db");
	const int n = KILLS_STORM;
	pid_t pid[4];
	int kills = 0, twice = 0;

	fill(path, n);
	srand(2);
	for (int i = 0; i < 4; i++)
		pid[i] = scratch_fork(drain_short, i, path, -1);
	while (kills < 60 && scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE due IS NOT NULL") > 0) {
		clock_sleep_ms(rand() % 6);
		(void)kill(pid[kills % 4], SIGKILL);
		(void)waitpid(pid[kills % 4], NULL, 0);
		pid[kills % 4] = scratch_fork(drain_short, kills, path, -1);
		kills++;
	}
	for (int i = 0; i < 4; i++)
		(void)waitpid(pid[i], NULL, 0);
	const int lines = count_notes(&twice);
	OK(kills > 10 && twice == 0, "4 claimers are killed %d times: no alert is finished twice (%d noted)", kills, lines);
	IS(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE state = 'done'"), n, "none is lost");
	OK(scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE attempts > 1") > 0, "%lld had to be taken again",
	   scratch_sql(path, "SELECT COUNT(*) FROM alert WHERE attempts > 1"));
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
	struct service_past past;
	bool stored = false;

	(void)put(a, "a", "1", 1, 0, &stored);
	OK(s && stored && store_past(s, "web", &past, &err) == 0, "one file serves the store and the alerts");
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
	test_batch_is_one_write();
	test_shared_file();
	scratch_remove();
	return DONE();
}
