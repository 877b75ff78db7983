#include "cmd/front/front.h"

#include "base/clock.h"
#include "base/exit.h"
#include "cmd/front/complete.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/banned.h"

#ifndef AS_VERSION
#define AS_VERSION "0.0"
#endif
#ifndef AS_SCHEMA
#define AS_SCHEMA 0 /* the newest file of common/store/schema: the Makefile counts them */
#endif

static volatile sig_atomic_t stop_signal;

static void on_stop(int sig) { stop_signal = sig; }

static char alarm_text[160]; /* made before the alarm: a handler may only write */

static void on_alarm(int sig)
{
	(void)sig;
	(void)!write(STDERR_FILENO, alarm_text, strlen(alarm_text));
	_exit(EX_TRY_AGAIN);
}

bool front_stopping(void) { return stop_signal != 0; }

/* One line on stderr; text that came from outside cannot reach the terminal as control codes. */
static void say(const struct front *f, const char *fmt, va_list ap)
{
	char text[1024];

	(void)vsnprintf(text, sizeof text, fmt, ap);
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
			*p = '?';
	(void)fprintf(stderr, "%s: %s\n", f->command->name, text);
}

void front_say(const struct front *f, const char *fmt, ...)
{
	va_list ap;

	if (!f->verbose)
		return;
	va_start(ap, fmt);
	say(f, fmt, ap);
	va_end(ap);
}

void front_warn(const struct front *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(f, fmt, ap);
	va_end(ap);
}

void front_progress(const struct front *f, const char *fmt, ...)
{
	char text[160] = "";
	va_list ap;

	if (!isatty(STDERR_FILENO))
		return;
	if (fmt) {
		va_start(ap, fmt);
		(void)vsnprintf(text, sizeof text, fmt, ap);
		va_end(ap);
	}
	/* Back to the line's beginning, and away with what stood there: ECMA-48, EL. */
	(void)fprintf(stderr, "\r\033[K%s%s%s", fmt ? f->command->name : "", fmt ? ": " : "", text);
	(void)fflush(stderr);
}

int front_fail(struct front *f, const struct err *err)
{
	front_warn(f, "%s", err->message);
	return err_exit(err->code);
}

static void report(void *ctx, unsigned long line, const struct err *err)
{
	const struct front *f = ctx;

	if (line)
		front_warn(f, "line %lu: %s", line, err->message);
	else
		front_warn(f, "%s", err->message);
}

/* A descriptor that is closed would be taken by the next file that is opened. */
static bool check_descriptors(void)
{
	if (fcntl(STDIN_FILENO, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0)
		return false;
	if (fcntl(STDERR_FILENO, F_GETFD) < 0) {
		const int fd = open("/dev/null", O_WRONLY);
		if (fd != STDERR_FILENO && (fd < 0 || dup2(fd, STDERR_FILENO) < 0))
			return false;
	}
	return fcntl(STDOUT_FILENO, F_GETFD) >= 0;
}

static void catch_signals(enum front_kind kind)
{
	struct sigaction act = {.sa_handler = on_stop};

	if (kind != FRONT_ACTS)
		return;
	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)sigaction(SIGHUP, &act, NULL);
	act.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &act, NULL);
}

static void make_rows(struct front *f)
{
	const struct option_row common[] = {
		{'h', "help", OPTION_FLAG, NULL, &f->help, "print this help"},
		{0, "version", OPTION_FLAG, NULL, &f->version, "print the version, and those of records and schema"},
		{'c', "config", OPTION_TEXT, "FILE", &f->config, "read this configuration file instead of the usual ones"},
		{'v', "verbose", OPTION_FLAG, NULL, &f->verbose, "say on standard error what is done"},
		{0, "timeout", OPTION_DURATION, "DURATION", &f->timeout_ms, "end the whole run after this time"},
		{'n', "dry-run", OPTION_FLAG, NULL, &f->dry_run, "change nothing outside, print what would be done"},
	};
	const size_t ncommon = sizeof common / sizeof *common - (f->kind == FRONT_ACTS ? 0 : 1);
	size_t n = 0;

	for (const struct option_row *row = f->command->options; row->name; row++)
		f->rows[n++] = *row;
	for (size_t i = 0; i < ncommon; i++)
		f->rows[n++] = common[i];
	f->rows[n] = (struct option_row){0};
}

static int print_text(struct front *f, const struct buf *text)
{
	struct err err = {0};

	if (buf_ok(text, &err) < 0)
		return front_fail(f, &err);
	if (fwrite(text->p, 1, text->n, stdout) != text->n || fflush(stdout) != 0) {
		(void)err_set(&err, ERR_OUTPUT, "cannot write standard output: %s", strerror(errno));
		return front_fail(f, &err);
	}
	return EX_DONE;
}

/* --help and --version; -1 when neither is asked for. */
static int tell(struct front *f)
{
	struct buf out = BUF_INIT(65536);
	int status;

	if (f->help)
		options_help(f->command, f->rows, &out);
	else if (f->version)
		buf_printf(&out, "%s %s (record %d, schema %d)\n", f->command->name, AS_VERSION, RECORD_VERSION, AS_SCHEMA);
	else
		return -1;
	status = print_text(f, &out);
	buf_release(&out);
	return status;
}

static int usage(struct front *f)
{
	(void)fprintf(stderr, "usage: %s [OPTION ...]%s%s\n", f->command->name, *f->command->operands ? " " : "",
	              f->command->operands);
	(void)fprintf(stderr, "%s --help lists the options\n", f->command->name);
	return EX_BAD_USAGE;
}

int front_start(struct front *f, const struct command *command, enum front_kind kind, int argc, char **argv)
{
	struct err err = {0};
	int first = argc;

	f->command = command;
	f->kind = kind;
	if (!check_descriptors()) {
		front_warn(f, "standard output is closed");
		return EX_NO_OUTPUT;
	}
	make_rows(f);
	if (argc >= 3 && strcmp(argv[1], "--completion") == 0) /* takes no place in the table */
		return complete(f, argc, argv);
	if (options_parse(f->rows, argc, argv, &first, &err) < 0) {
		(void)front_fail(f, &err);
		return usage(f);
	}
	const int told = tell(f);
	if (told >= 0)
		return told;
	f->operands = argv + first;
	f->noperands = argc - first;
	if (f->noperands && !*command->operands) {
		front_warn(f, "unexpected operand \"%s\"", f->operands[0]);
		return usage(f);
	}
	catch_signals(kind);
	if (f->timeout_ms) {
		const struct itimerval t = {.it_value = {f->timeout_ms / 1000, f->timeout_ms % 1000 * 1000}};
		const struct sigaction act = {.sa_handler = on_alarm};
		(void)snprintf(alarm_text, sizeof alarm_text,
		               "%s: time limit of --timeout reached: stopped; the next run goes on from here\n", command->name);
		(void)sigaction(SIGALRM, &act, NULL);
		(void)setitimer(ITIMER_REAL, &t, NULL);
	}
	return -1;
}

int front_conf(struct front *f)
{
	struct err err = {0};

	return conf_load(&f->conf, f->config, &err) < 0 ? front_fail(f, &err) : -1;
}

int front_open(struct front *f, record_fn each, void *ctx, bool errors_too, struct err *err)
{
	f->loop = (struct record_loop){
		.stage = f->command->name,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.each = each,
		.ctx = ctx,
		.errors_too = errors_too,
		.flush_each = f->kind == FRONT_ACTS,
		.clock = f->kind == FRONT_ACTS ? clock_now_ms : NULL,
		.report = report,
		.report_ctx = f,
		.stop = &stop_signal,
	};
	return record_loop_init(&f->loop, err);
}

/* The end: flush, check that the output really was taken, and one exit status for all that happened. */
int front_close(struct front *f, int bad, const struct err *err)
{
	struct err late = {0};
	int status = EX_DONE;

	if (bad < 0)
		status = front_fail(f, err);
	else if (record_loop_flush(&f->loop, &late) < 0)
		status = front_fail(f, &late);
	else if (close(STDOUT_FILENO) < 0 && errno != EINTR) {
		(void)err_set(&late, ERR_OUTPUT, "cannot write standard output: %s", strerror(errno));
		status = front_fail(f, &late);
	} else if (f->loop.bad_input) {
		status = EX_BAD_INPUT;
	} else if (f->loop.failed) {
		status = EX_RECORDS;
	}
	record_loop_release(&f->loop);
	if (stop_signal && status == EX_DONE)
		status = 128 + stop_signal;
	return status;
}

int front_service(struct front *f, const char *service, struct err *err)
{
	struct buf b = BUF_INIT(4096);
	char now[CLOCK_TEXT];

	clock_format(clock_now_ms(), now);
	buf_putc(&b, '{');
	buf_json_member_int(&b, "v", RECORD_VERSION);
	buf_json_key(&b, "id");
	buf_json_str(&b, service);
	b.n--; /* the quote: the time belongs into the same string */
	buf_printf(&b, "@%s\"", now);
	buf_json_member_str(&b, "now", now);
	buf_json_member_str(&b, "service", service);
	buf_putc(&b, '}');
	int bad = buf_ok(&b, err);
	if (!bad)
		bad = record_loop_one(&f->loop, 0, b.p, b.n, err);
	buf_release(&b);
	return bad;
}

int front_terminal(struct front *f) { return !f->noperands && isatty(STDIN_FILENO) ? usage(f) : -1; }

int front_filter(struct front *f, record_fn each, void *ctx, bool errors_too)
{
	struct err err = {0};

	const int status = front_terminal(f);
	if (status >= 0)
		return status;
	int bad = front_open(f, each, ctx, errors_too, &err);
	if (!bad && !f->noperands)
		bad = record_loop_run(&f->loop, &err);
	for (int i = 0; !bad && i < f->noperands && !front_stopping(); i++)
		bad = front_service(f, f->operands[i], &err);
	return front_close(f, bad, &err);
}
