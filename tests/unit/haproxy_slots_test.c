/* Spare servers where HAProxy's balance rule takes none at run time, what an older HAProxy refuses, and many changes in
 * one write. `eval "$(tests/rig/up haproxy)"` first. */
#include "tests/unit/haproxy_rig.h"

#include "base/banned.h"

#define MANY 32

static struct tasks *tasks;

/* ---- an older HAProxy ---- */

/* The rig's, which refuses what 2.4 refuses: `add server` and `del server` without the experimental mode, and checks
 * of what is added. */
static void old_haproxy(int fd)
{
	char line[4096];

	for (;;) {
		const int client = accept(fd, NULL, NULL);
		ssize_t n = 0, got;
		while ((got = recv(client, line + n, sizeof line - 1 - (size_t)n, 0)) > 0 && line[(n += got) - 1] != '\n')
			;
		line[n > 0 ? n - 1 : 0] = '\0';
		const char *answer,
			*order = strstr(line, "add server") ? strstr(line, "add server") : strstr(line, "del server");
		if (order && !strstr(line, "experimental-mode on;"))
			answer = "[6]: This command is restricted to experimental mode only.\n";
		else if (order && strstr(order, " check "))
			answer = "[3]: 'check' option is not accepted for dynamic server\n";
		else
			answer = tell_edge(line);
		(void)send(client, answer, strlen(answer), MSG_NOSIGNAL);
		(void)close(client);
	}
}

static void test_old_haproxy(void)
{
	char path[PATH_SIZE];
	struct conf_lb conf = edge;
	const int fd = listen_unix(path_in(path, "old"));
	const pid_t pid = app_fork();

	if (pid == 0)
		old_haproxy(fd);
	(void)close(fd);
	conf.socket = path;
	struct lb *was = lb;
	lb = lb_haproxy.open(&conf, &alone, &err);
	done(attach(1, apps[0].port), "a HAProxy where adding a server is an experiment takes one");
	IS(listed(), 1, "it is up");
	failed(attach_to("web", 2, apps[3].port, 500), ERR_UNAVAILABLE, "did not get healthy within 0.5 s",
	       "where HAProxy does not check what is added, we look ourselves");
	IS(listed(), 1, "a closed port is not listed");
	done(detach(1), "it is deleted there");
	IS(listed(), 0, "none is listed then");
	lb_haproxy.close(lb);
	lb = was;
	(void)kill(pid, SIGKILL);
	(void)app_reap(pid);
}

/* ---- slots, where the balance rule takes no server at run time ---- */

/* Those of ours in `slots`, whatever their state. */
static int in_slots(void)
{
	struct lb_list list;
	int n = 0;

	must(lb_haproxy.list(lb, "slots", &list, &err));
	for (size_t i = 0; i < list.n; i++)
		n += list.v[i].ours;
	lb_list_release(&list);
	return n;
}

static int answers(int number)
{
	int n = 0, by = -1;

	for (int i = 0; i < 20; i++)
		n += get("x", "/slots/x", &by) == 200 && by == number;
	return n;
}

static void test_slot(void)
{
	struct lb_list want = {.n = 0};

	done(attach_to("slots", 1, apps[0].port, GATE), "where no server can be added, a spare one is used");
	OK(!result.already && !*result.note, "this is reported as a change, and it is saved");
	IS(in_slots(), 1, "it is listed as ours");
	IS(state_of("slots", 1), LB_UP, "it is up");
	OK(has_backend("slots"), "its backend is among those with servers of ours");
	IS(answers(0), 20, "20 of 20 requests reach it");
	OK(strstr(text_of(config), "# as-lb slot slot1 as-000000000001\n"), "the configuration says whose the slot is");
	done(attach_to("slots", 1, apps[0].port, GATE), "attaching it again succeeds");
	OK(result.already, "attaching it again reports that nothing was to be done");
	done(attach_to("slots", 1, apps[1].port, GATE), "when it moved it is attached at its new address");
	IS(answers(1), 20, "20 of 20 requests reach the new address");
	IS(in_slots(), 1, "it is listed once");
	failed(attach_to("slots", 2, apps[3].port, 500), ERR_UNAVAILABLE, "did not pass a health check",
	       "a closed port gets no slot");
	IS(in_slots(), 1, "it is not listed");
	must(attach_to("slots", 2, apps[0].port, GATE));
	must(attach_to("slots", 3, apps[2].port, GATE));
	failed(attach_to("slots", 4, apps[2].port, GATE), ERR_LIMIT, "all 3 slots are taken", "three slots take three");
	const long before = app_shared->hits[1];
	err = (struct err){0};
	done(lb_haproxy.drain(lb, "slots", server(1, 1).name, WAIT, &result, &err), "one is drained");
	IS(state_of("slots", 1), LB_DRAIN, "it is listed as drained");
	(void)answers(0);
	IS(app_shared->hits[1] - before, 0, "0 of 20 requests reach it");
	failed(lb_haproxy.verify(lb, "slots", &want, &err), ERR_CONFLICT, "is stale", "verify knows whose the slots are");

	must(ensure("app", "Host(`a.example`)"));
	IS(in_slots(), 3, "after a reload three are listed");
	IS(state_of("slots", 1), LB_DRAIN, "the drained one is drained");
	IS(state_of("slots", 2), LB_UP, "another is up");
	done(attach_to("slots", 2, apps[0].port, GATE), "attaching it again succeeds after a reload");
	OK(result.already, "nothing is to be done then");
	must(forget("app"));
	for (unsigned i = 1; i <= 3; i++)
		done(detach_from("slots", i, WAIT), "one is detached");
	IS(in_slots(), 0, "none is left");
	OK(!strstr(text_of(config), "as-lb slot ") && !count(text_of(config), "server as-"), "none is saved");
	must(attach_to("slots", 5, apps[2].port, GATE));
	IS(answers(2), 20, "the slots are free again");
	done(detach_from("slots", 5, WAIT), "it is detached from its slot");
	OK(!result.forced && !result.already, "that takes no force");
	IS(get("x", "/slots/x", NULL), 503, "no request reaches it");
}

static int slot_in_child(unsigned number)
{
	int failures = 0;

	for (int i = 0; i < 4; i++) {
		failures += attach_to("slots", number, apps[0].port, GATE) != 0 || *result.note;
		failures += i < 3 && (detach_from("slots", number, WAIT) != 0 || *result.note);
	}
	return failures;
}

static void test_slots_of_three(void)
{
	pid_t pid[3];
	char line[64];
	int failures = 0;

	for (unsigned i = 0; i < 3; i++) {
		pid[i] = app_fork();
		if (pid[i] == 0)
			_exit(slot_in_child(0x40 + i));
	}
	for (unsigned i = 0; i < 3; i++)
		failures += app_reap(pid[i]) != 0;
	IS(failures, 0, "three writers that want a slot at once each get one, four times");
	IS(in_slots(), 3, "three are listed");
	for (int i = 1; i <= 3; i++) {
		(void)snprintf(line, sizeof line, "# as-lb slot slot%d as-", i);
		IS(count(text_of(config), line), 1, "no slot has two owners");
	}
	for (unsigned i = 0; i < 3; i++)
		must(detach_from("slots", 0x40 + i, WAIT));
}

/* ---- many at once ---- */

static struct {
	int rc, notes;
	struct err err;
} outcome[MANY];

static void attach_one(void *ctx, size_t i)
{
	const struct lb_server s = server(0x300 + (unsigned)i, apps[0].port);
	struct lb_result r;

	outcome[i].rc = lb_haproxy.attach(ctx, "web", &s, GATE, &r, &outcome[i].err);
	outcome[i].notes = *r.note != '\0';
}

static void detach_one(void *ctx, size_t i)
{
	struct lb_result r;

	outcome[i].rc = lb_haproxy.detach(ctx, "web", server(0x300 + (unsigned)i, 1).name, WAIT, &r, &outcome[i].err);
	outcome[i].notes = *r.note != '\0';
}

static void ensure_one(void *ctx, size_t i)
{
	struct rule rule = {.n = 1};
	const struct lb_route route = {.rule = &rule};
	struct lb_result r;
	char name[LB_NAME];

	(void)snprintf(name, sizeof name, "many-%zu", i);
	(void)snprintf(rule.v[0].host, sizeof rule.v[0].host, "m%zu.example", i);
	outcome[i].rc = lb_haproxy.ensure(ctx, name, &route, &r, &outcome[i].err);
}

static void forget_one(void *ctx, size_t i)
{
	struct lb_result r;
	char name[LB_NAME];

	(void)snprintf(name, sizeof name, "many-%zu", i);
	outcome[i].rc = lb_haproxy.ensure(ctx, name, NULL, &r, &outcome[i].err);
}

static int at_once(struct lb *by, void (*fn)(void *ctx, size_t i))
{
	int good = 0;

	memset(outcome, 0, sizeof outcome);
	must(tasks_run(tasks, MANY, fn, by, &err));
	for (int i = 0; i < MANY; i++) {
		good += outcome[i].rc == 0 && !outcome[i].notes;
		if (outcome[i].rc < 0)
			printf("# %s\n", outcome[i].err.message);
	}
	return good;
}

/* Each run of `haproxy -c` leaves a line. */
static void test_many(void)
{
	const struct lb_means means = {.tasks = tasks};
	char bin[PATH_SIZE], program[160], log[PATH_SIZE], text[512], path[4096];

	struct lb *many = lb_haproxy.open(&edge, &means, &err);
	must(mkdir(path_in(bin, "bin"), 0755));
	(void)snprintf(program, sizeof program, "%s/haproxy", bin);
	(void)snprintf(text, sizeof text, "#!/bin/sh\necho x >>%s\nexec %s \"$@\"\n", path_in(log, "log"),
	               "/usr/sbin/haproxy");
	write_all(program, text, 0755);
	(void)snprintf(path, sizeof path, "%s", getenv("PATH"));
	(void)snprintf(text, sizeof text, "%s:/usr/sbin:/usr/bin:/bin", bin);
	(void)setenv("PATH", text, 1);

	IS(at_once(many, attach_one), MANY, "32 servers are attached at once");
	IS(listed(), MANY, "32 are listed");
	IS(count(text_of(config), "server as-"), MANY, "32 are saved when the last attach returns");
	const int checks = count(text_of(log), "x");
	OK(checks >= 1 && checks <= 8, "32 at once make few checks of the configuration (%d)", checks);
	const long was = reloads();
	IS(at_once(many, ensure_one), MANY, "32 backends are made at once");
	IS(reloads() - was, 1, "by one reload");
	IS(count(tell_edge("show stat -1 2 -1"), "\nmany-"), MANY, "HAProxy has 32 backends more");
	IS(listed(), MANY, "the 32 servers are still listed");
	IS(at_once(many, forget_one), MANY, "32 backends go at once");
	IS(at_once(many, detach_one), MANY, "32 servers are detached at once");
	IS(count(text_of(config), "server as-"), 0, "none is saved then");
	(void)setenv("PATH", path, 1);
	lb_haproxy.close(many);
}

int main(void)
{
	if (!rig_begin() || !(edge.master = getenv("AS_RIG_HAPROXY_MASTER")) || !(tasks = tasks_new(&err))) {
		OK(true, "HAProxy # SKIP no rig: eval \"$(tests/rig/up haproxy)\"");
		return rig_end();
	}
	test_old_haproxy();
	test_slot();
	test_slots_of_three();
	say(original);
	test_many();
	say(original);
	tasks_free(tasks);
	return rig_end();
}
