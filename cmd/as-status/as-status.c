/* as-status: one table a person reads: what runs for each service, what was done last and why, what may come next, and
 * whether the load balancers agree. See as-status(1). */
#include "cmd/as-status/status.h"

#include "base/exit.h"
#include "cmd/front/means.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/banned.h"

#define WATCH_MS 2000
#define WATCH_LEAST_MS 100
#define NOTES_MAX (64 * 1024)
#define OUT_MAX (256u * 1024u * 1024u)

static struct status status = {.watch_ms = TIME_NONE};

static const struct option_row options[] = {
	{0, "json", OPTION_FLAG, NULL, &status.json, "print a JSON object for each service, one a line"},
	{0, "watch", OPTION_MAYBE, "SECONDS", &status.watch_ms, "print it again and again, every 2 seconds or as said"},
	{0},
};
static const struct command command = {"as-status", "show each service, its last action and what may come next",
                                       "[SERVICE ...]", options};

/* A note that many services would give is given once. */
void add_note(struct status *s, const char *text)
{
	s->failed = true;
	for (size_t at = 0; at < s->notes.n; at += strlen(s->notes.p + at) + 1)
		if (strcmp(s->notes.p + at, text) == 0)
			return;
	if (s->notes.n + strlen(text) < NOTES_MAX)
		buf_put(&s->notes, text, strlen(text) + 1);
}

/* ---- one frame ---- */

static void free_service(struct service *v)
{
	buf_release(&v->template);
	buf_release(&v->policy);
	store_past_release(&v->past);
	free(v->last.action);
	free(v->last.outcome);
	free(v->last.reason);
	free(v->last.error);
	free(v->last.policies);
	for (size_t i = 0; i < v->nsides; i++)
		release_side(&v->sides[i]);
	free(v->sides);
}

static void clear(struct status *s)
{
	for (size_t i = 0; i < s->nservices; i++)
		free_service(&s->services[i]);
	free(s->services);
	for (size_t i = 0; i < s->nreplicas; i++)
		json_decref(s->replicas[i].doc);
	free(s->replicas);
	for (size_t i = 0; i < s->nspecs; i++) {
		free(s->specs[i].service);
		free(s->specs[i].name);
		free(s->specs[i].host);
		free(s->specs[i].text);
	}
	free(s->specs);
	free(s->unseen);
	rows_clear(&s->rows);
	s->services = NULL;
	s->replicas = NULL;
	s->specs = NULL;
	s->unseen = NULL;
	s->nservices = s->nreplicas = s->nspecs = s->nunseen = 0;
	buf_reset(&s->notes);
	s->failed = s->nothing = false;
	s->worst.code = ERR_NONE;
}

/* Where no host answers and nothing is remembered, nothing is known. */
static int look(struct status *s, struct err *err)
{
	clear(s);
	s->now = clock_now_ms();
	if (look_at_world(s, err) < 0)
		return -1;
	read_memory(s);
	if (find_replicas(s, err) < 0 || find_services(s, err) < 0)
		return -1;
	s->nothing = s->nothing && !s->nservices;
	return 0;
}

/* ---- printing ---- */

static size_t columns_said(void)
{
	const char *said = getenv("COLUMNS");
	char *end;

	if (!said || *said < '1' || *said > '9')
		return 0;
	const unsigned long n = strtoul(said, &end, 10);
	return *end || n > 10000 ? 0 : (size_t)n;
}

/* Where it is no terminal, nothing is cut unless COLUMNS says so. */
static void measure(const struct status *s, struct screen *screen)
{
	const bool terminal = isatty(STDOUT_FILENO) != 0;
	const char *plain = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size = {0};

	*screen = (struct screen){.columns = columns_said(), .ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0};
	if (!terminal)
		return;
	const bool dumb = !term || strcmp(term, "dumb") == 0;
	screen->colour = (!plain || !*plain) && !dumb;
	screen->redraw = s->watch_ms && !dumb;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) {
		screen->columns = screen->columns ? screen->columns : size.ws_col;
		screen->lines = screen->redraw ? size.ws_row : 0;
	}
	screen->columns = screen->columns ? screen->columns : 80;
}

static int print(struct status *s, struct buf *out, struct err *err)
{
	struct screen screen;

	buf_reset(out);
	measure(s, &screen);
	if (s->json) {
		for (size_t i = 0; i < s->nservices; i++)
			tell_service(s, &s->services[i], out);
		for (size_t at = 0; at < s->notes.n; at += strlen(s->notes.p + at) + 1)
			front_warn(&s->f, "%s", s->notes.p + at);
	} else {
		show_table(s, &screen, out);
	}
	if (buf_ok(out, err) < 0)
		return -1;
	if (fwrite(out->p ? out->p : "", 1, out->n, stdout) != out->n || fflush(stdout) != 0)
		return err_set(err, ERR_OUTPUT, "cannot write standard output: %s", strerror(errno));
	return 0;
}

static int run(struct status *s, struct buf *out, struct err *err)
{
	for (;;) {
		if (look(s, err) < 0)
			return -1;
		if (s->nothing && !s->watch_ms) {
			*err = s->worst;
			return -1;
		}
		if (print(s, out, err) < 0)
			return -1;
		if (!s->watch_ms)
			return 0;
		clock_sleep_ms(s->watch_ms);
	}
}

static int start(struct status *s, struct err *err)
{
	const struct conf *conf = &s->f.conf;

	if (s->watch_ms == TIME_NONE)
		s->watch_ms = 0;
	else if (s->watch_ms == OPTION_ALONE)
		s->watch_ms = WATCH_MS;
	else if (s->watch_ms < WATCH_LEAST_MS)
		return err_set(err, ERR_USAGE, "--watch wants at least 0.1 s");
	s->conventions = conf_all_conventions(conf);
	s->notes = (struct buf)BUF_INIT(2 * NOTES_MAX);
	s->host = calloc(conf->nhosts + 1, sizeof *s->host);
	s->balancer = calloc(conf->nlbs + 1, sizeof *s->balancer);
	s->known = json_object();
	if (!s->host || !s->balancer || !s->known)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	if (neighbours_init(&s->neighbours, conf, err) < 0 || engine_hosts_init(&s->hosts, conf, err) < 0)
		return -1;
	front_means(&s->means, &s->hosts);
	return 0;
}

static void end(struct status *s)
{
	clear(s);
	for (size_t i = 0; s->host && i < s->f.conf.nhosts; i++)
		json_decref(s->host[i].list);
	for (size_t i = 0; s->balancer && i < s->f.conf.nlbs; i++) {
		lb_look_release(&s->balancer[i].look);
		if (s->balancer[i].lb)
			s->balancer[i].driver->close(s->balancer[i].lb);
	}
	free(s->host);
	free(s->balancer);
	json_decref(s->known);
	buf_release(&s->notes);
	store_close(s->store);
	neighbours_release(&s->neighbours);
	engine_hosts_release(&s->hosts);
	conf_release(&s->f.conf);
}

int main(int argc, char **argv)
{
	struct status *s = &status;
	struct buf out = BUF_INIT(OUT_MAX);
	struct err err = {0};
	int done = front_start(&s->f, &command, FRONT_FILTER, argc, argv);
	if (done >= 0 || (done = front_conf(&s->f)) >= 0)
		return done;

	(void)setlocale(LC_CTYPE, "");
	done = start(s, &err) < 0 || run(s, &out, &err) < 0 ? front_fail(&s->f, &err) : s->failed ? EX_RECORDS : EX_DONE;
	buf_release(&out);
	end(s);
	return done;
}
