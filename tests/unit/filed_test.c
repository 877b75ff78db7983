/* Rounds of file changes (common/lb/filed.h), with a balancer that is a table in this file: what it reads is a line per
 * server, and whether it takes that is said here. */
#include "lb/filed.h"
#include "tests/unit/files.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tap.h"

#include "base/banned.h"

#define MANY 50

static struct err err;
static int taken, refused_before; /* how often take and before were called, or said no */
static bool refuse_all, refuse_bad, bad_before;

/* "3 made" and then "NAME ADDRESS PORT WEIGHT up" for each server. */
static int parse(struct lb *lb, const char *text, struct filed *f, struct err *e)
{
	char made[8], state[8];
	long long version;
	int n = 0;

	(void)lb;
	if (sscanf(text, "%lld %7s\n%n", &version, made, &n) != 2)
		return err_set(e, ERR_CONFIG, "not understood");
	f->version = version;
	f->made = strcmp(made, "made") == 0;
	for (text += n; *text; text += n) {
		struct lb_server s = {.sessions = -1};
		if (sscanf(text, "%63s %45s %u %u %7s\n%n", s.name, s.address, &s.port, &s.weight, state, &n) != 5)
			return err_set(e, ERR_CONFIG, "not understood");
		s.state = strcmp(state, "up") == 0 ? LB_UP : LB_DRAIN;
		if (lb_filed_add(f, &s, e) < 0)
			return -1;
	}
	return 0;
}

static int render(struct lb *lb, const struct filed *f, struct buf *out, struct err *e)
{
	(void)lb;
	(void)e;
	buf_printf(out, "%lld %s\n", (long long)f->version, f->made ? "made" : "theirs");
	for (size_t i = 0; i < f->list.n; i++)
		buf_printf(out, "%s %s %u %u %s\n", f->list.v[i].name, f->list.v[i].address, f->list.v[i].port,
		           f->list.v[i].weight, lb_state_name(f->list.v[i].state));
	return 0;
}

static int before(struct lb *lb, struct err *e)
{
	(void)lb;
	if (!bad_before)
		return 0;
	refused_before++;
	return err_set(e, ERR_CONFIG, "somebody else's file is broken");
}

static int take(struct lb *lb, struct filed *const *files, size_t n, struct err *e)
{
	(void)lb;
	taken++;
	for (size_t i = 0; i < n; i++)
		if (refuse_bad && strcmp(files[i]->backend, "bad") == 0)
			err_set(&files[i]->err, ERR_REMOTE, "bad is refused");
	return refuse_all ? err_set(e, ERR_REMOTE, "all is refused") : 0;
}

static const char *const reserved[] = {"gen", NULL};
static const struct filed_kind kind = {"as-", ".txt", reserved, parse, render, before, take, NULL};
static const struct conf_lb edge = {.name = (char[]){"edge"}};
static struct filed_folder folder = {.conf = &edge, .kind = &kind, .path = scratch};

static const char *in_file(const char *name) { return text_of(scratch_path(name)); }

static struct lb_server server(unsigned number)
{
	struct lb_server s = {.port = 1000 + number, .weight = 100};

	(void)snprintf(s.name, sizeof s.name, "as-%012x", number);
	(void)snprintf(s.address, sizeof s.address, "127.0.0.1");
	return s;
}

static int put(const char *backend, unsigned number, bool *already)
{
	const struct lb_server s = server(number);
	struct filed_change c = {.what = FILED_PUT, .backend = backend, .server = &s, .may_create = true};
	const int rc = lb_filed_change(&folder, &c, &err);

	*already = c.already;
	return rc;
}

static int change(enum filed_do what, const char *backend, const char *name, bool *already)
{
	static const struct lb_route route = {.check = "/health"};
	struct filed_change c = {.what = what, .backend = backend, .name = name, .route = &route};
	const int rc = lb_filed_change(&folder, &c, &err);

	*already = c.already;
	return rc;
}

static void test_one_by_one(void)
{
	bool already;

	OK(put("web", 1, &already) == 0 && !already, "a server is put into a new file");
	IS_STR(in_file("as-web.txt"), "1 theirs\nas-000000000001 127.0.0.1 1001 100 up\n", "the file is whole");
	OK(put("web", 1, &already) == 0 && already, "put twice is there already");
	OK(change(FILED_DRAIN, "web", "as-000000000001", &already) == 0 && !already, "it is drained");
	OK(change(FILED_DRAIN, "web", "as-000000000001", &already) == 0 && already, "drained twice is so already");
	IS_STR(in_file("as-web.txt"), "2 theirs\nas-000000000001 127.0.0.1 1001 100 drain\n", "the version counts changes");
	OK(put("web", 1, &already) == 0 && !already, "put again after drain lets it in");
	OK(change(FILED_TAKE, "web", "as-000000000001", &already) == 0 && !already, "it is taken out");
	OK(change(FILED_TAKE, "web", "as-000000000001", &already) == 0 && already, "what is not there is out already");
	OK(change(FILED_TAKE, "none", "as-000000000001", &already) < 0 && err.code == ERR_NOT_FOUND,
	   "a backend without a file is not found");
	OK(put("gen", 1, &already) < 0 && err.code == ERR_REFUSED, "a reserved name is refused");
	OK(put("a/b", 1, &already) < 0 && err.code == ERR_REFUSED, "a name with a slash is refused");
}

static void test_made_files(void)
{
	bool already;

	OK(change(FILED_FORGET, "web", NULL, &already) == 0 && already && in_file("as-web.txt"),
	   "a file that ensure did not make stays");
	OK(change(FILED_ENSURE, "app", NULL, &already) == 0 && !already, "ensure makes a file");
	OK(change(FILED_ENSURE, "app", NULL, &already) == 0, "ensure twice succeeds");
	OK(put("app", 1, &already) == 0, "it takes a server");
	OK(change(FILED_FORGET, "app", NULL, &already) < 0 && err.code == ERR_CONFLICT, "with a server it does not go");
	OK(change(FILED_TAKE, "app", "as-000000000001", &already) == 0, "the server goes");
	OK(change(FILED_FORGET, "app", NULL, &already) == 0 && !already && !in_file("as-app.txt"), "then the file goes");
}

static void test_refusals(void)
{
	char was[200];
	bool already;

	if (put("bad", 1, &already) < 0 || put("good", 1, &already) < 0)
		abort();
	(void)snprintf(was, sizeof was, "%s", in_file("as-bad.txt"));
	refuse_all = true;
	OK(put("bad", 2, &already) < 0 && strcmp(err.message, "all is refused") == 0, "what is not taken is an error");
	IS_STR(in_file("as-bad.txt"), was, "and the old bytes are put back");
	OK(put("new", 2, &already) < 0 && !in_file("as-new.txt"), "a file that was not there is not there again");
	refuse_all = false;
	refuse_bad = true;
	OK(put("bad", 2, &already) < 0 && strcmp(err.message, "bad is refused") == 0, "one file can be refused");
	IS_STR(in_file("as-bad.txt"), was, "and is put back");
	refuse_bad = false;
	bad_before = true;
	taken = refused_before = 0;
	OK(put("bad", 2, &already) < 0 && err.code == ERR_CONFIG, "nothing is written while somebody else's is broken");
	IS(taken, 0, "and the balancer is not told");
	OK(put("bad", 1, &already) == 0 && already, "what is there already needs no change");
	IS(refused_before, 1, "and no question");
	bad_before = false;
	write_text(scratch_path("as-torn.txt"), "no number");
	OK(put("torn", 1, &already) < 0 && err.code == ERR_CONFIG && strstr(err.message, "as-torn.txt"),
	   "a file that is not ours to read is named");
	IS_STR(in_file("as-torn.txt"), "no number", "and stays as it is");
}

static int outcome[MANY];

static void put_task(void *ctx, size_t item)
{
	struct err mine;
	char backend[16];
	const struct lb_server s = server((unsigned)item);
	struct filed_change c = {.what = FILED_PUT, .backend = backend, .server = &s, .may_create = true};

	(void)ctx;
	(void)snprintf(backend, sizeof backend, item == MANY - 1 ? "bad" : item % 2 ? "many1" : "many2");
	outcome[item] = lb_filed_change(&folder, &c, &mine);
}

static void test_rounds(void)
{
	struct tasks *tasks = tasks_new(&err);
	struct lb_names names;
	struct filed f;
	int good = 0;

	if (!tasks)
		abort();
	folder.tasks = tasks;
	folder.gather_ms = 20;
	taken = 0;
	refuse_bad = true;
	if (tasks_run(tasks, MANY, put_task, NULL, &err) < 0)
		abort();
	IS(taken, 1, "fifty changes of fifty tasks are one round");
	for (int i = 0; i < MANY - 1; i++)
		good += outcome[i] == 0;
	IS(good, MANY - 1, "forty-nine of them succeed");
	IS(outcome[MANY - 1], -1, "one whose file is refused fails alone");
	refuse_bad = false;
	OK(lb_filed_read(&folder, "many1", &f, &err) == 0 && f.list.n == 24 && f.version == 1, "all are in the files");
	lb_filed_release(&f);
	OK(lb_filed_backends(&folder, &names, &err) == 0 && names.n == 6, "the folder's backends are listed (%zu)",
	   names.n);
	lb_names_release(&names);
	tasks_free(tasks);
	folder.tasks = NULL;
	folder.gather_ms = 0;
}

static int worker(int number, const char *path)
{
	bool already;
	int failed = 0;

	(void)path;
	for (unsigned i = 0; i < 20; i++)
		failed += put("shared", (unsigned)number * 100 + i, &already) < 0;
	return failed;
}

static void test_two_writers(void)
{
	struct filed f;

	IS(scratch_run(2, worker, scratch), 0, "two processes put twenty servers each");
	OK(lb_filed_read(&folder, "shared", &f, &err) == 0 && f.list.n == 40 && f.version == 40, "all forty are there");
	lb_filed_release(&f);
}

int main(void)
{
	scratch_make();
	test_one_by_one();
	test_made_files();
	test_refusals();
	test_rounds();
	test_two_writers();
	scratch_remove();
	return DONE();
}
