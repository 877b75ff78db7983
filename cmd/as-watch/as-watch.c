/* as-watch: what happens to the containers of all hosts, as records. See as-watch(1). */
#include "base/exit.h"
#include "base/limits.h"
#include "cmd/as-watch/watch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/banned.h"

#define SAVE_MS 1000 /* the state is written at most this often */
#define END_MS 300   /* calls that are in hand at the end may take this long; then they are dropped */

static struct watch watch = {.heartbeat_ms = 10000, .resync_ms = 60000, .settle_ms = 100};

static const struct option_row options[] = {
	{0, "state", OPTION_TEXT, "FILE", &watch.state, "keep in FILE where the events were left, and go on from there"},
	{0, "once", OPTION_FLAG, NULL, &watch.once, "tell what is not well now, then end"},
	{0, "settle", OPTION_DURATION, "DURATION", &watch.settle_ms,
     "what happens to a service within this time is one record (100ms)"},
	{0, "resync", OPTION_DURATION, "DURATION", &watch.resync_ms,
     "tell of a service that is still not well again, at least this often (60s; 0: never)"},
	{0, "heartbeat", OPTION_DURATION, "DURATION", &watch.heartbeat_ms,
     "ask each host this often whether it is there (10s; 0: never)"},
	{0},
};
static const struct command command = {"as-watch", "container events of every host, as records", "[SERVICE ...]",
                                       options};

/* ---- the teller ---- */

static bool all_tried(const struct watch *w)
{
	for (size_t i = 0; i < w->nhosts; i++)
		if (!w->hosts[i].tried)
			return false;
	return true;
}

static int some_connected(const struct watch *w, struct err *err)
{
	for (size_t i = 0; i < w->nhosts; i++)
		if (w->hosts[i].connected)
			return 0;
	return err_set(err, ERR_UNAVAILABLE, "no host answers");
}

static int save_due(struct watch *w, struct err *err)
{
	if (!w->state || !w->changed || clock_monotonic_ms() - w->saved_at < SAVE_MS)
		return 0;
	return save_state(w, err);
}

/* Until something is due or happened. True: a signal asks us to end. */
static bool wait_for_more(struct watch *w, struct err *err)
{
	struct pollfd fds[] = {{.fd = w->signals, .events = POLLIN},
	                       {.fd = w->wake, .events = POLLIN},
	                       {.fd = STDOUT_FILENO, .events = w->blocked ? POLLOUT : 0}};
	const int64_t hour = 3600 * 1000, now = clock_monotonic_ms();
	int64_t next = next_due(w);
	uint64_t n;

	if (w->state && w->changed && w->saved_at + SAVE_MS < next)
		next = w->saved_at + SAVE_MS;
	(void)tasks_poll(w->engines.tasks, fds, 3, next < now ? 0 : next - now < hour ? next - now : hour);
	(void)!read(w->wake, &n, sizeof n);
	if (fds[2].revents & (POLLERR | POLLNVAL))
		(void)err_set(err, ERR_OUTPUT, "nobody reads the records any more");
	return (fds[0].revents & POLLIN) != 0;
}

static int tell_all(struct watch *w, struct err *err)
{
	if (!(w->store = store_open(w->f.conf.store, err)) || !(w->sources = alert_sources_new(err)))
		return -1;
	for (;;) {
		for (size_t i = 0; i < w->nhosts; i++)
			if (w->hosts[i].order)
				order_host(&w->hosts[i]);
		const bool last = w->once && all_tried(w);
		if (tell_due(w, last, err) < 0 || save_due(w, err) < 0)
			return -1;
		if (last && nothing_waits(w))
			return some_connected(w, err);
		if (wait_for_more(w, err))
			return 0;
		if (err->code)
			return -1;
	}
}

/* The exit status, after what is left to do. */
static int finish(struct watch *w)
{
	if (w->state && w->changed && w->bad == 0)
		w->bad = save_state(w, &w->err);
	return front_close(&w->f, w->bad, &w->err);
}

static void run_teller(struct watch *w)
{
	const int64_t end = clock_monotonic_ms() + END_MS;

	w->bad = tell_all(w, &w->err);
	w->stop = true;
	for (size_t i = 0; i < w->nhosts; i++)
		w->hosts[i].engine->driver->events_stop(&w->hosts[i].stream);
	nudge(w->stopped);
	while (w->live && clock_monotonic_ms() < end)
		tasks_sleep(w->engines.tasks, 5);
	if (w->live)
		_exit(finish(w));
}

/* Item 0 is the teller, then come the hosts, then the helpers. */
static void run(void *ctx, size_t item)
{
	struct watch *w = ctx;

	if (item == 0) {
		run_teller(w);
		return;
	}
	if (item <= w->nhosts)
		follow_host(w, &w->hosts[item - 1]);
	else
		help_hosts(w, item - 1 - w->nhosts);
	w->live--;
}

/* ---- setting up ---- */

/* A swarm heals by itself, and is not watched. */
static int open_hosts(struct watch *w, struct err *err)
{
	const size_t most = TASKS_AT_ONCE - 1;

	w->hosts = calloc(w->f.conf.nhosts, sizeof *w->hosts);
	if (!w->hosts)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (engine_hosts_init(&w->engines, &w->f.conf, err) < 0)
		return -1;
	for (size_t i = 0; i < w->f.conf.nhosts; i++) {
		struct engine_host *engine = engine_hosts_get(&w->engines, w->f.conf.hosts[i].name, err);
		struct host *h = &w->hosts[w->nhosts];
		if (!engine)
			return -1;
		if (!engine->driver->events)
			continue;
		*h = (struct host){.w = w, .name = engine->host->name, .known = json_object(), .looks = json_array()};
		h->engine = engine;
		h->stream.event = take_event;
		h->stream.ctx = h;
		w->nhosts++;
	}
	if (!w->nhosts)
		return err_set(err, ERR_CONFIG, "host %s: an engine of kind %s has no events to watch", w->f.conf.hosts[0].name,
		               w->engines.v[0].driver->name);
	if (w->nhosts >= most)
		return err_set(err, ERR_CONFIG, "more than %zu hosts: run an as-watch for each half of them", most - 1);
	w->nhelpers = w->nhosts < most - w->nhosts ? w->nhosts : most - w->nhosts;
	w->live = w->nhosts + w->nhelpers;
	w->helper_wake = calloc(w->nhelpers, sizeof *w->helper_wake);
	return w->helper_wake ? 0 : err_set(err, ERR_TEMPORARY, "out of memory");
}

static int open_descriptors(struct watch *w, struct err *err)
{
	sigset_t ends;
	bool good;

	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &ends, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	w->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->stopped = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	good = w->signals >= 0 && w->wake >= 0 && w->stopped >= 0;
	for (size_t i = 0; i < w->nhelpers; i++)
		good = (w->helper_wake[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0 && good;
	return good ? 0 : err_set(err, ERR_TEMPORARY, "too many files are open");
}

static void release(struct watch *w)
{
	free_services(w);
	for (size_t i = 0; w->hosts && i < w->nhosts; i++) {
		json_decref(w->hosts[i].known);
		json_decref(w->hosts[i].looks);
	}
	free(w->hosts);
	free(w->helper_wake);
	engine_hosts_release(&w->engines);
	store_close(w->store);
	alert_sources_free(w->sources);
	buf_release(&w->line);
	conf_release(&w->f.conf);
}

int main(int argc, char **argv)
{
	struct watch *w = &watch;
	struct err err = {0};
	int done = front_start(&w->f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&w->f)) >= 0)
		return done;

	srandom((unsigned)getpid());
	w->conventions = conf_all_conventions(&w->f.conf);
	w->line = (struct buf)BUF_INIT(LINE_MAX_BYTES);
	if (front_open(&w->f, NULL, NULL, false, &err) < 0 || open_hosts(w, &err) < 0 || open_descriptors(w, &err) < 0 ||
	    load_state(w, &err) < 0)
		return front_fail(&w->f, &err);
	w->bad = tasks_run(w->engines.tasks, 1 + w->nhosts + w->nhelpers, run, w, &w->err) < 0 ? -1 : w->bad;
	done = finish(w);
	release(w);
	return done;
}
