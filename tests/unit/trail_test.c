/* What becomes of the trail over the years: pruning beside writers and through kills, chains that were tampered with
 * before and after it, versions of policies. On a SQLite file, or on the server that AS_TEST_STORE names. */
#include "base/clock.h"
#include "store/store.h"
#include "tap.h"

#include "scratch_store.h"

#include "base/banned.h"

static const char *store_of(const char *name) { return scratch_store("AS_TEST_STORE", name); }

/* --- making and looking --- */

static const char *const plan = "{\"op\":\"scale-up\"}";

static int promise(struct store *s, const char *service, const char *op_id, const char *alert_id)
{
	const struct intent_ask ask = {.service = service,
	                               .alert_id = alert_id,
	                               .action = "scale-up",
	                               .plan = plan,
	                               .policies = "[\"web@4\"]",
	                               .actor = "test",
	                               .generation = -1,
	                               .op_id = op_id};
	struct err err = {0};
	struct intent in;

	const int bad = store_intent(s, &ask, &in, &err);
	if (bad)
		printf("# %s\n", err.message);
	intent_release(&in);
	return bad || in.state != INTENT_NEW ? -1 : 0;
}

static int tell(struct store *s, const char *service, const char *op_id, const char *word)
{
	const struct outcome o = {.op_id = op_id,
	                          .service = service,
	                          .alert_id = "",
	                          .actor = "test",
	                          .action = "scale-up",
	                          .outcome = word,
	                          .from = 1,
	                          .to = 2,
	                          .reason = "why",
	                          .body = "{\"v\":1}"};
	struct err err = {0};
	int64_t id, at;

	const int bad = store_outcome(s, &o, &id, &at, &err);
	if (bad)
		printf("# %s\n", err.message);
	return bad;
}

/* An operation of the alert, planned and done. */
static void act(struct store *s, const char *service, const char *op_id, const char *alert_id)
{
	if (promise(s, service, op_id, alert_id) < 0 || tell(s, service, op_id, "done") < 0)
		OK(false, "%s is done", op_id);
}

static long long look(const char *path, const char *text) { return scratch_look(path, text); }

static bool waits_for_two(void *ctx, const char *alert_id)
{
	(void)ctx;
	return strcmp(alert_id, "alert-2") == 0;
}

static struct store_pruned prune(struct store *s, struct prune_ask ask)
{
	struct store_pruned gone = {0};
	struct err err = {0};

	if (!ask.actor)
		ask.actor = "test";
	if (store_prune(s, &ask, &gone, &err) < 0)
		OK(false, "prune: %s", err.message);
	return gone;
}

/* The number of rows of whole chains; -1: they are not, and the message in text. */
static int64_t verify(struct store *s, char text[640])
{
	struct err err = {0};
	int64_t rows;

	const int bad = store_audit_verify(s, &rows, &err);
	(void)snprintf(text, 640, "%s", err.message);
	return bad ? -1 : rows;
}

static void whole(struct store *s, int64_t want, const char *what)
{
	char text[640];
	const int64_t rows = verify(s, text);

	if (rows < 0)
		printf("# %s\n", text);
	IS(rows, want, what);
}

/* Later than what was just written, so that it is old. */
static int64_t next_ms(struct store *s)
{
	const int64_t now = store_now(s);

	while (store_now(s) <= now)
		clock_sleep_ms(1);
	return store_now(s);
}

/* --- pruning --- */

static void test_prune_counts(void)
{
	const char *path = store_of("counts");
	struct store *s = scratch_open(path);
	char op[32], alert[32];

	for (int i = 1; i <= 5; i++) {
		(void)snprintf(op, sizeof op, "op-%d", i);
		(void)snprintf(alert, sizeof alert, "alert-%d", i);
		act(s, i % 2 ? "web" : "db", op, alert);
	}
	const struct prune_ask all = {.before = next_ms(s), .limit = 1000, .waits = waits_for_two};
	struct prune_ask dry = all;
	dry.dry = true;
	struct store_pruned gone = prune(s, (struct prune_ask){.before = 1000, .limit = 1000});
	OK(gone.history == 0 && gone.audit == 0 && gone.operations == 0, "nothing is older than 1970");
	whole(s, 10, "and no chain tells of it");
	gone = prune(s, dry);
	OK(gone.history == 4 && gone.operations == 4 && gone.audit == 8,
	   "counted: 4 operations whose alerts are through, and each chain but its last row");
	gone = prune(s, all);
	OK(gone.history == 4 && gone.operations == 4 && gone.audit == 8, "and so many go");
	IS(look(path, "SELECT COUNT(*) FROM operation WHERE alert_id = 'alert-2'"), 1,
	   "what was done for an alert that waits stays");
	IS(look(path, "SELECT COUNT(*) FROM autoscale_history"), 1, "with its row of the history");
	whole(s, 4, "of each chain the last row is left, and one that tells of the pruning");
	gone = prune(s, all);
	OK(gone.history == 0 && gone.audit == 0, "once more, nothing goes");
	whole(s, 4, "and nothing is added");
	gone = prune(s, (struct prune_ask){.before = all.before, .limit = 1000});
	OK(gone.history == 1 && gone.operations == 1, "once the alert is through, the rest goes");
	store_close(s);
}

static void test_prune_slices(void)
{
	const char *path = store_of("slices");
	struct store *s = scratch_open(path);
	char op[32];

	for (int i = 1; i <= 10; i++) {
		(void)snprintf(op, sizeof op, "op-%d", i);
		act(s, "web", op, NULL);
	}
	const struct prune_ask ask = {.before = next_ms(s), .limit = 3};
	struct prune_ask dry = ask;
	dry.dry = true;
	struct store_pruned gone = prune(s, dry);
	OK(gone.history == 10 && gone.operations == 10 && gone.audit == 19, "10 operations, 19 of 20 rows are counted");
	gone = prune(s, ask);
	OK(gone.history == 10 && gone.operations == 10 && gone.audit == 19, "and go, 3 at a time");
	IS(look(path, "SELECT COUNT(*) FROM audit WHERE event = 'prune'"), 7, "the chain tells of each of the 7 slices");
	whole(s, 8, "and is whole");
	IS(look(path, "SELECT seq FROM audit WHERE event = 'done'"), 20, "the last that was decided is left");
	act(s, "web", "op-11", NULL);
	gone = prune(s, (struct prune_ask){.before = next_ms(s), .limit = 1000});
	OK(gone.audit == 9 && gone.history == 1, "later those rows go too");
	whole(s, 2, "and the chain is whole");
	IS(look(path, "SELECT generation FROM service_state"), 11, "generations go on");
	store_close(s);
}

static bool stop_at_once(void *ctx)
{
	++*(int *)ctx;
	return true;
}

static void test_prune_stops(void)
{
	struct store *s = scratch_open(store_of("stops"));
	int asked = 0;
	char op[32];

	for (int i = 1; i <= 10; i++) {
		(void)snprintf(op, sizeof op, "op-%d", i);
		act(s, "web", op, NULL);
	}
	const struct store_pruned gone =
		prune(s, (struct prune_ask){.before = next_ms(s), .limit = 4, .stop = stop_at_once, .ctx = &asked});
	OK(gone.history == 4 && gone.audit == 0 && asked > 0, "asked to stop, it leaves after the transaction in hand");
	whole(s, 20, "with whole chains");
	store_close(s);
}

static void test_prune_keeps_planned(void)
{
	const char *path = store_of("planned");
	struct store *s = scratch_open(path);
	struct err err = {0};
	struct service_past past;

	act(s, "web", "op-1", NULL);
	(void)next_ms(s); /* what is of the promise's own millisecond stays with it */
	(void)promise(s, "web", "op-2", "alert-9");
	(void)tell(s, "web", "", "none");
	if (store_spec_put(s, "web", "web", "h1", "{\"a\":1}", &err) < 0 ||
	    store_spec_put(s, "db", "db", "h1", "{\"a\":2}", &err) < 0 ||
	    store_spec_put(s, "db", "db2", "h1", "{\"a\":3}", &err) < 0)
		OK(false, "%s", err.message);
	const struct prune_ask ask = {.before = next_ms(s), .limit = 1};
	struct prune_ask dry = ask;
	dry.dry = true;
	struct store_pruned gone = prune(s, dry);
	OK(gone.operations == 1 && gone.audit == 2 && gone.specifications == 2, "what may go is counted");
	gone = prune(s, ask);
	OK(gone.operations == 1 && gone.history == 1 && gone.audit == 2, "what is done goes, and its rows of the trail");
	IS(gone.specifications, 2, "what was remembered of another service goes");
	IS(look(path, "SELECT COUNT(*) FROM container_spec WHERE service = 'web'"), 1,
	   "not what an operation that is planned may need");
	IS(look(path, "SELECT seq FROM audit WHERE event = 'intent'"), 3, "and its promise stays in the trail");
	OK(store_past(s, "web", &past, &err) == 0 && past.pending && strcmp(past.pending_op, "op-2") == 0,
	   "it can be resumed");
	store_past_release(&past);
	whole(s, 4, "the chain is whole");
	store_close(s);
}

static void test_prune_seen(void)
{
	const char *path = store_of("seen");
	struct store *s = scratch_open(path);

	(void)look(path,
	           "INSERT INTO recommendation (service, noted_at, want) VALUES ('a', 1, 1), ('a', 2, 1), ('a', 3, 1),"
	           " ('b', 3, 1), ('b', 4, 1), ('b', 5, 1), ('b', 6, 1)");
	(void)look(path, "INSERT INTO container (host, id, service, name, state, copy_of, seen_at) VALUES"
	                 " ('h', '1', 'a', 'a', 'running', '', 5), ('h', '2', 'a', 'a', 'running', '', 6)");
	const struct store_pruned gone = prune(s, (struct prune_ask){.before = 6, .limit = 2});
	IS(gone.recommendations, 6, "recommendations that are old go, by slices");
	IS(gone.containers, 1, "and containers that nobody saw");
	IS(look(path, "SELECT COUNT(*) FROM recommendation"), 1, "what is not old stays");
	store_close(s);
}

/* --- pruning beside writers, and kills --- */

#define TOLD 60

static int writer(int number, const char *path)
{
	struct store *s = scratch_open(path);
	char op[32];
	int failures = 0;

	for (int i = 0; i < TOLD; i++) {
		(void)snprintf(op, sizeof op, "op-%d-%d", number, i);
		failures += tell(s, number % 2 ? "web" : "db", "", "none") < 0;
	}
	store_close(s);
	return failures;
}

static int pruner(const char *path)
{
	struct store *s = scratch_open(path);
	struct err err = {0};
	int failures = 0;

	for (int i = 0; i < 20; i++) {
		struct store_pruned gone = {0};
		const struct prune_ask ask = {.before = store_now(s), .limit = 2, .actor = "pruner"};
		failures += store_prune(s, &ask, &gone, &err) < 0;
	}
	if (failures)
		printf("# %s\n", err.message);
	store_close(s);
	return failures;
}

static int writer_or_pruner(int number, const char *path) { return number < 4 ? writer(number, path) : pruner(path); }

static void test_prune_beside_writers(void)
{
	const char *path = store_of("beside");
	char text[640];

	store_close(scratch_open(path));
	IS(scratch_run(6, writer_or_pruner, path), 0, "4 processes write while 2 prune: none fails");
	struct store *s = scratch_open(path);
	OK(verify(s, text) > 0, "and the chains are whole %s", text);
	IS(look(path, "SELECT SUM(audit_seq) FROM service_state"
	              " WHERE audit_seq - (SELECT COUNT(*) FROM audit a WHERE a.service = service_state.service) ="
	              " COALESCE((SELECT seq FROM audit_start p WHERE p.service = service_state.service), 0)"),
	   look(path, "SELECT SUM(audit_seq) FROM service_state"), "from where the pruning left them to their heads");
	store_close(s);
}

/* Prunes by single rows until it is killed; a byte at the start. */
static int prune_for_ever(int number, const char *path)
{
	struct store *s = scratch_open(path);
	struct err err = {0};

	(void)!write(number, "", 1);
	for (;;) {
		struct store_pruned gone = {0};
		const struct prune_ask ask = {.before = store_now(s), .limit = 1, .actor = "pruner"};
		if (store_prune(s, &ask, &gone, &err) < 0)
			return 1;
	}
}

static void test_prune_killed(void)
{
	const char *path = store_of("killed");
	struct store *s = scratch_open(path);
	char op[32], text[640], c;
	int right = 0;

	for (int i = 0; i < 8; i++) {
		int ready[2];
		for (int k = 0; k < 12; k++) {
			(void)snprintf(op, sizeof op, "op-%d-%d", i, k);
			act(s, "web", op, NULL);
		}
		if (pipe2(ready, O_CLOEXEC) < 0)
			abort();
		const pid_t pid = scratch_fork(prune_for_ever, ready[1], path, -1);
		(void)!read(ready[0], &c, 1);
		clock_sleep_ms(i * 3);
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		(void)close(ready[0]);
		(void)close(ready[1]);
		if (verify(s, text) > 0)
			right++;
		else
			printf("# kill %d: %s\n", i, text);
	}
	IS(right, 8, "killed at any time, 8 times: the chain is whole");
	(void)prune(s, (struct prune_ask){.before = next_ms(s), .limit = 1000});
	IS(look(path, "SELECT COUNT(*) FROM autoscale_history"), 0, "and the next run ends it");
	store_close(s);
}

/* --- tampering --- */

/* A pruned chain of web: rows 6 ("done") and 7 ("prune"), then 8 and 9. */
static struct store *pruned_chain(const char *path)
{
	struct store *s = scratch_open(path);

	for (int i = 1; i <= 3; i++) {
		char op[32];
		(void)snprintf(op, sizeof op, "op-%d", i);
		act(s, "web", op, NULL);
	}
	(void)prune(s, (struct prune_ask){.before = next_ms(s), .limit = 1000});
	act(s, "web", "op-4", NULL);
	whole(s, 4, "a pruned chain that goes on is whole");
	return s;
}

static void test_tampering_after_prune(void)
{
	static const struct {
		const char *change, *back, *says;
	} cases[] = {
		{"UPDATE audit SET body = '{}' WHERE seq = 8", "UPDATE audit SET body = '{\"op\":\"scale-up\"}' WHERE seq = 8",
	     "service web: row 8 was changed"},
		{"UPDATE audit SET logged_at = logged_at + 1 WHERE seq = 6",
	     "UPDATE audit SET logged_at = logged_at - 1 WHERE seq = 6", "service web: row 6 was changed"},
		{"UPDATE audit_start SET seq = 4", "UPDATE audit_start SET seq = 5", "service web: row 5 is missing"},
		{"UPDATE audit_start SET seq = 6", "UPDATE audit_start SET seq = 5", "service web: row 6 was added"},
		{"UPDATE audit_start SET hash = 'x'", NULL, "service web: row 5 was changed"},
	};
	const char *path = store_of("tampered");
	struct store *s = pruned_chain(path);
	char text[640];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		(void)look(path, cases[i].change);
		OK(verify(s, text) < 0 && strstr(text, cases[i].says), "%s: %s", cases[i].change, text);
		if (cases[i].back)
			(void)look(path, cases[i].back);
		if (cases[i].back)
			whole(s, 4, "changed back it is whole");
	}
	store_close(s);
}

static void test_missing_after_prune(void)
{
	const char *path = store_of("missing");
	struct store *s = pruned_chain(path);
	char text[640];

	(void)look(path, "DELETE FROM audit WHERE seq = 9");
	OK(verify(s, text) < 0 && strstr(text, "service web: row 9 is missing"), "the last row is missed");
	(void)look(path, "DELETE FROM audit");
	OK(verify(s, text) < 0 && strstr(text, "service web: row 6 is missing"),
	   "when all are gone, the first behind the pruning is missed");
	store_close(s);

	path = store_of("unlogged");
	s = pruned_chain(path);
	(void)look(path, "UPDATE audit_start SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7);"
	                 "DELETE FROM audit WHERE seq <= 7");
	OK(verify(s, text) < 0 && strstr(text, "service web: row 1 is missing"),
	   "rows that went by hand, with a start that fits, are missed: no row tells of it");
	store_close(s);
}

/* --- versions of policies --- */

static int print_version(void *ctx, const struct policy_row *row, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%lld %s %s%s; ", (long long)row->version, row->actor, row->fields, row->removed ? " removed" : "");
	return row->updated_at > 0 ? 0 : err_set(err, ERR_INPUT, "no time");
}

static void history_is(struct store *s, const char *want, const char *what)
{
	struct buf b = BUF_INIT(4096);
	struct err err = {0};

	if (store_policy_history(s, "web", print_version, &b, &err) < 0)
		buf_puts(&b, err.message);
	IS_STR(b.p ? b.p : "", want, what);
	buf_release(&b);
}

static void test_policy_versions(void)
{
	struct store *s = scratch_open(store_of("versions"));
	struct err err = {0};
	struct policy_row row = {
		.name = "web", .service = "web", .type = "", .fields = "{\"max\":1}", .enabled = true, .actor = "ann"};
	int64_t version, newest;
	bool there;

	OK(store_policy_version(s, "web", &version, &newest, &err) == 0 && version == 0 && newest == 0,
	   "one that never was has no version");
	(void)store_policy_put(s, &row, 0, &version, &err);
	row.fields = "{\"max\":2}";
	row.actor = "bob";
	(void)store_policy_put(s, &row, 1, &version, &err);
	row.actor = "eve";
	OK(store_policy_put(s, &row, 2, &version, &err) == 0 && version == 2, "the same again is no version");
	OK(store_policy_remove(s, "web", 1, "eve", &there, &err) < 0 && err.code == ERR_CONFLICT,
	   "a removal by who saw version 1 is a conflict (%s)", err.message);
	history_is(s, "1 ann {\"max\":1}; 2 bob {\"max\":2}; ", "neither is in the history");
	OK(store_policy_remove(s, "web", 2, "eve", &there, &err) == 0 && there, "by who saw version 2 it is not");
	OK(store_policy_version(s, "web", &version, &newest, &err) == 0 && version == 0 && newest == 3,
	   "its number was one of its own");
	OK(store_policy_remove(s, "web", 3, "eve", &there, &err) < 0 && err.code == ERR_CONFLICT,
	   "what is gone is at no version (%s)", err.message);
	OK(store_policy_put(s, &row, 3, &version, &err) < 0 && err.code == ERR_CONFLICT, "and cannot be changed");
	OK(store_policy_put(s, &row, 0, &version, &err) == 0 && version == 4, "made again it goes on with the next");
	history_is(s, "1 ann {\"max\":1}; 2 bob {\"max\":2}; 3 eve {\"max\":2} removed; 4 eve {\"max\":2}; ",
	           "the history has all four");
	(void)store_begin(s, &err);
	row.fields = "{\"max\":5}";
	OK(store_policy_put(s, &row, 4, &version, &err) == 0 && version == 5, "in a transaction that is rolled back");
	store_rollback(s);
	OK(store_policy_version(s, "web", &version, &newest, &err) == 0 && version == 4 && newest == 4,
	   "neither the policy nor its history keeps it");
	store_close(s);
}

/* --- which versions decided --- */

static int print_policies(void *ctx, const struct history_row *row, struct err *err)
{
	(void)err;
	buf_printf(ctx, "%s=%s ", row->op_id, row->policies ? row->policies : "-");
	return 0;
}

static void test_deciding_versions(void)
{
	struct store *s = scratch_open(store_of("deciding"));
	struct err err = {0};
	struct intent in;
	struct buf b = BUF_INIT(1000);

	(void)promise(s, "web", "op-1", "alert-1");
	struct intent_ask ask = {.service = "web",
	                         .alert_id = "alert-1",
	                         .action = "scale-up",
	                         .plan = "{\"op\":\"none\"}",
	                         .policies = "[\"web@5\"]",
	                         .actor = "test",
	                         .generation = 1,
	                         .op_id = "op-2"};
	OK(store_intent(s, &ask, &in, &err) == 0 && in.state == INTENT_RESUMED, "what is resumed");
	IS_STR(in.policies.p, "[\"web@4\"]", "is of the versions that decided it, not of today's");
	intent_release(&in);
	(void)tell(s, "web", "op-1", "done");
	ask.alert_id = "alert-2";
	ask.policies = NULL;
	if (store_intent(s, &ask, &in, &err) < 0 || in.state != INTENT_NEW || in.policies.n)
		OK(false, "an operation without them");
	intent_release(&in);
	(void)tell(s, "web", "op-2", "failed");
	OK(store_history_each(s, &TRAIL_ALL, print_policies, &b, &err) == 0, "the history");
	IS_STR(b.p, "op-1=[\"web@4\"] op-2=- ", "tells them");
	buf_release(&b);
	store_close(s);
}

/* --- the newest action of many services --- */

static int print_newest(void *ctx, const struct history_row *row, struct err *err)
{
	buf_printf(ctx, "%s=%s ", row->service, row->op_id);
	return buf_ok(ctx, err);
}

static void test_newest(void)
{
	struct buf b = BUF_INIT(65536);
	char names[400][8], op[32];
	const char *services[400];
	struct err err = {0};
	struct store *s = store_open(store_of("newest"), &err);

	for (int i = 0; i < 400; i++) { /* more than one statement takes */
		(void)snprintf(names[i], sizeof names[i], "s%03d", i);
		services[i] = names[i];
	}
	for (int i = 0; s && i < 400; i += 133)
		for (int k = 0; k < 2; k++) {
			(void)snprintf(op, sizeof op, "o%d-%d", i, k);
			act(s, names[i], op, "");
		}
	act(s, "other", "other-0", "");
	OK(store_history_newest(s, services, 400, print_newest, &b, &err) == 0, "the newest action of 400 services");
	IS_STR(b.p ? b.p : "", "s000=o0-1 s133=o133-1 s266=o266-1 s399=o399-1 ", "is one of each that has any");
	buf_reset(&b);
	OK(store_history_newest(s, services, 0, print_newest, &b, &err) == 0 && b.n == 0, "and of none nothing");
	buf_release(&b);
	store_close(s);
}

int main(void)
{
	scratch_make();
	test_newest();
	test_prune_counts();
	test_prune_slices();
	test_prune_stops();
	test_prune_keeps_planned();
	test_prune_seen();
	test_prune_beside_writers();
	test_prune_killed();
	test_tampering_after_prune();
	test_missing_after_prune();
	test_policy_versions();
	test_deciding_versions();
	scratch_remove();
	return DONE();
}
