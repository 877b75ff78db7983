/* What was seen of containers: rows per host, deliberate removals, the repairs of the last hour. */
#include "store/store.h"

#include "tap.h"

#include "scratch_store.h"

#include "base/banned.h"

static const char *store_of(const char *name) { return scratch_store("AS_TEST_STORE", name); }

static struct store *must_open(const char *path)
{
	struct err err = {0};
	struct store *s = store_open(path, &err);

	if (!s) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	return s;
}

/* ---- rows per host ---- */

static const struct container_row web = {"h1", "aaa", "web", "running", "", -1, NULL};
static const struct container_row web_1 = {"h1", "bbb", "web-1", "running", "aaa", 1, NULL};
static const struct container_row web_2 = {"h2", "aaa", "web-2", "running", "aaa", 2, NULL}; /* ids are a host's own */

static bool note(struct store *s, const char *hosts, size_t n, ...)
{
	const char *const both[] = {"h1", "h2"};
	struct container_row rows[4];
	struct container_look look = {.service = "web", .rows = rows, .nrows = n};
	struct err err = {0};
	va_list ap;

	look.hosts = strcmp(hosts, "h2") == 0 ? both + 1 : both;
	look.nhosts = strcmp(hosts, "both") == 0 ? 2 : 1;
	va_start(ap, n);
	for (size_t i = 0; i < n; i++)
		rows[i] = *va_arg(ap, const struct container_row *);
	va_end(ap);
	const bool good = store_container_note(s, &look, &err) == 0;
	if (!good)
		printf("# %s\n", err.message);
	return good;
}

static int print_row(void *ctx, const struct container_row *r, struct err *err)
{
	buf_printf(ctx, "%s %s %s %s '%s' %lld; ", r->host, r->id, r->name, r->state, r->copy_of, (long long)r->index);
	return buf_ok(ctx, err);
}

static void rows_are(struct store *s, const char *host, const char *want, const char *name)
{
	struct buf b = BUF_INIT(2000);
	struct err err = {0};

	buf_puts(&b, "");
	if (store_container_each(s, "web", host, print_row, &b, &err) < 0)
		printf("# %s\n", err.message);
	IS_STR(b.p ? b.p : "", want, name);
	buf_release(&b);
}

static void test_rows(void)
{
	const char *path = store_of("rows");
	struct store *s = must_open(path);
	struct container_row exited = web_1;
	struct err err = {0};
	bool known = true;

	OK(store_container_host(s, "h2", &known, &err) == 0 && !known, "of a host where nothing was seen nothing is known");
	OK(note(s, "both", 3, &web, &web_1, &web_2), "three containers on two hosts are noted");
	rows_are(s, "h1", "h1 aaa web running '' -1; h1 bbb web-1 running 'aaa' 1; ", "each with what it was");
	OK(store_container_host(s, "h2", &known, &err) == 0 && known, "both hosts are known");
	const long long changes = scratch_look(path, "SELECT MAX(seen_at) FROM container");
	(void)scratch_look(path, "UPDATE container SET seen_at = seen_at - 3600000");
	OK(note(s, "both", 3, &web_2, &web, &web_1), "the same again, in another order");
	OK(scratch_look(path, "SELECT MAX(seen_at) FROM container") == changes - 3600000, "writes nothing");
	exited.state = "exited";
	OK(note(s, "h1", 1, &exited), "h1 alone answered: an exited one, and one gone");
	rows_are(s, "h1", "h1 bbb web-1 exited 'aaa' 1; ", "its rows are replaced");
	rows_are(s, "h2", "h2 aaa web-2 running 'aaa' 2; ", "those of the host that did not answer stay");
	(void)scratch_look(path, "UPDATE container SET seen_at = seen_at - 50000000");
	OK(note(s, "h1", 1, &exited) &&
	       scratch_look(path, "SELECT MAX(seen_at) FROM container WHERE host = 'h1'") > changes,
	   "what was noted half a day ago is noted again, so that a prune leaves it");
	OK(note(s, "both", 0), "nothing is left anywhere");
	IS(scratch_look(path, "SELECT COUNT(*) FROM container"), 0, "nor in the table");
	store_close(s);
}

/* ---- deliberate removals ---- */

static bool intend(struct store *s, const char *op_id, const char *action, const char *plan)
{
	const struct intent_ask ask = {
		.service = "web", .action = action, .plan = plan, .actor = "test", .generation = -1, .op_id = op_id};
	struct intent in = {0};
	struct err err = {0};
	const bool isnew = store_intent(s, &ask, &in, &err) == 0 && in.state == INTENT_NEW;

	intent_release(&in);
	return isnew;
}

static bool end(struct store *s, const char *op_id, const char *action, const char *word)
{
	const struct outcome o = {.op_id = op_id,
	                          .service = "web",
	                          .alert_id = "",
	                          .actor = "test",
	                          .action = action,
	                          .outcome = word,
	                          .reason = "",
	                          .body = "{}"};
	struct err err = {0};
	int64_t id = 0, at;

	return store_outcome(s, &o, &id, &at, &err) == 0 && id > 0;
}

struct search {
	const char *name;
	char removal[64];
};

static int on_spec(void *ctx, const struct spec_row *row, struct err *err)
{
	struct search *f = ctx;

	(void)err;
	if (strcmp(row->name, f->name) == 0)
		(void)snprintf(f->removal, sizeof f->removal, "%s", row->removal);
	return 0;
}

static const char *removal_of(struct store *s, const char *name)
{
	static struct search f;
	struct err err = {0};

	f = (struct search){.name = name, .removal = "no such specification"};
	(void)store_spec_each(s, "web", on_spec, &f, &err);
	return f.removal;
}

static void test_removals(void)
{
	struct store *s = must_open(store_of("removals"));
	struct err err = {0};
	static const char plan[] =
		"{\"op\":\"scale-down\",\"create\":[],\"remove\":[{\"id\":\"a\",\"name\":\"web\",\"host\":"
		"\"h1\"},{\"id\":\"b\",\"name\":\"web-1\",\"host\":\"h1\"}]}";

	if (store_spec_put(s, "web", "web", "h1", "{\"a\":1}", &err) < 0 ||
	    store_spec_put(s, "web", "web", "h2", "{\"a\":2}", &err) < 0 ||
	    store_spec_put(s, "web", "other", "h1", "{\"a\":3}", &err) < 0)
		OK(false, "%s", err.message);
	IS_STR(removal_of(s, "other"), "", "what is remembered is not marked");
	OK(intend(s, "op-1", "scale-down", plan), "an operation is promised that removes an original");
	(void)store_spec_put(s, "web", "web", "h2", "{\"a\":2}", &err);
	IS_STR(removal_of(s, "other"), "", "others are not touched");
	IS(scratch_look(store_of("removals"), "SELECT COUNT(*) FROM container_spec WHERE removal = 'op-1' AND host = 'h1'"),
	   1, "the specification is marked with the promise, and only that of its host");
	(void)store_spec_put(s, "web", "web", "h1", "{\"a\":1}", &err);
	IS(scratch_look(store_of("removals"), "SELECT COUNT(*) FROM container_spec WHERE removal = 'op-1'"), 1,
	   "seen once more before it goes, it stays marked");
	OK(end(s, "op-1", "scale-down", "failed"), "the operation ends, and the container was not removed");
	(void)store_spec_put(s, "web", "web", "h1", "{\"a\":1}", &err);
	IS(scratch_look(store_of("removals"), "SELECT COUNT(*) FROM container_spec WHERE removal IS NOT NULL"), 0,
	   "seen after that, it is not gone");
	OK(intend(s, "op-2", "scale-down", plan), "the next operation removes it");
	(void)store_spec_put(s, "web", "web", "h1", "{\"a\":9}", &err);
	IS(scratch_look(store_of("removals"), "SELECT COUNT(*) FROM container_spec WHERE removal IS NOT NULL"), 0,
	   "another container of its name is not gone");
	OK(store_spec_removed(s, "web", "other", "h1", "compose down", &err) == 0, "one is marked for another reason");
	IS_STR(removal_of(s, "other"), "compose down", "which is kept");
	OK(store_spec_missing(s, "web", "web", "h1", true, &err) == 0, "one is noted as missing");
	IS(scratch_look(store_of("removals"), "SELECT COUNT(*) FROM container_spec WHERE missing_at > 0"), 1, "it alone");
	(void)store_spec_put(s, "web", "web", "h1", "{\"a\":9}", &err);
	IS(scratch_look(store_of("removals"), "SELECT COUNT(*) FROM container_spec WHERE missing_at > 0"), 0,
	   "until it is seen again");
	store_close(s);
}

/* ---- repairs ---- */

static void test_repairs(void)
{
	const char *path = store_of("repairs");
	struct store *s = must_open(path);
	struct service_past past;
	struct err err = {0};
	char op[16];

	OK(store_past(s, "web", &past, &err) == 0, "the past of a service that has none");
	IS_STR(past.repairs.p, "[]", "no repairs");
	store_past_release(&past);
	OK(intend(s, "op-1", "start", "{\"start\":[{\"id\":\"x\",\"name\":\"web-1\",\"host\":\"h\"}],\"create\":[]}") &&
	       end(s, "op-1", "start", "done") && intend(s, "op-2", "scale-up", "{\"create\":[{\"name\":\"web-9\"}]}") &&
	       end(s, "op-2", "scale-up", "done") &&
	       intend(s, "op-3", "recreate", "{\"create\":[{\"name\":\"web\"}],\"remove\":[{\"name\":\"a\\\"b\"}]}") &&
	       end(s, "op-3", "recreate", "failed") && intend(s, "op-4", "start", "{}"),
	   "a start, a scale-up, a recreation that failed, a start under way");
	(void)scratch_look(path,
	                   "UPDATE autoscale_history SET finished_at = 1000 * history_id + (SELECT MAX(created_at) FROM"
	                   " operation) - 60000");
	OK(store_past(s, "web", &past, &err) == 0, "the past again");
	const struct jv list = {past.repairs.p, past.repairs.n};
	struct jv_cursor c = jv_each(list);
	struct jv_member first, second;
	IS(jv_count(list), 2, "two repairs are over");
	OK(jv_next(&c, &first) && jv_next(&c, &second), "the newer first");
	OK(jv_is(jv_get(first.value, "op"), "recreate") && jv_is(jv_get(second.value, "op"), "start"),
	   "with what they did");
	OK(jv_count(jv_get(first.value, "names")) == 2 && strstr(past.repairs.p, "[\"web\",\"a\\\"b\"]"),
	   "and to which containers");
	store_past_release(&past);
	OK(end(s, "op-4", "start", "done"), "the third ends");
	OK(intend(s, "op-x", "scale-up", "{\"create\":[{\"name\":\"web-1\"}]}") && end(s, "op-x", "scale-up", "partial") &&
	       store_past(s, "web", &past, &err) == 0 && jv_count((struct jv){past.repairs.p, past.repairs.n}) == 4,
	   "a scale-up that failed counts as one");
	store_past_release(&past);
	for (int i = 5; i < 25; i++) {
		(void)snprintf(op, sizeof op, "op-%d", i);
		if (!intend(s, op, "start", "{\"start\":[{\"name\":\"w\"}]}") || !end(s, op, "start", "done"))
			OK(false, "operation %d", i);
	}
	OK(store_past(s, "web", &past, &err) == 0 && jv_count((struct jv){past.repairs.p, past.repairs.n}) == 16,
	   "at most sixteen are told");
	store_past_release(&past);
	(void)scratch_look(path, "UPDATE autoscale_history SET finished_at = finished_at - 3700000");
	OK(store_past(s, "web", &past, &err) == 0 && strcmp(past.repairs.p, "[]") == 0, "none that is over an hour old");
	store_past_release(&past);
	store_close(s);
}

int main(void)
{
	scratch_make();
	test_rows();
	test_removals();
	test_repairs();
	scratch_remove();
	return DONE();
}
