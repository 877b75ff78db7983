/* Signals to, and programs in, a container that somebody else looks after. Docker's API, for docker.c: containers/kill,
 * containers/exec, exec/start, exec/json. */
#include "engine/exec.h"

#include "base/clock.h"
#include "engine/doc.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define END_MS 2000 /* for an engine to note that what has closed its output has ended */
#define LOOK_MS 20
#define FRAME 8 /* bytes before each piece of output: stream, three zeros, its length, most significant byte first */

int exec_signal(struct api *api, const char *id, const char *signal, struct err *err)
{
	char name[API_NAME];

	if (api_encode(signal, "", name, sizeof name) < 0)
		return err_set(err, ERR_LIMIT, "host %s: a signal with a name as long as this", api_host(api));
	struct exchange *x = api_call(api, err, "POST", NULL, 0, "/containers/%s/kill?signal=%s", id, name);
	return x ? api_good_done(x, x->status == 204, err) : -1;
}

/* Takes the pieces out of their frames. A stream that is none (an older engine with a terminal) is taken as it is. */
static void unwrap(const struct buf *stream, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)stream->p;
	size_t left = stream->n;

	while (left >= FRAME && p[0] <= 2 && !p[1] && !p[2] && !p[3]) {
		size_t n = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
		p += FRAME;
		left -= FRAME;
		if (n > left) /* cut */
			n = left;
		buf_put(out, p, n);
		p += n;
		left -= n;
	}
	if (left)
		buf_put(out, p, left);
}

static int prepare(struct api *api, const char *container, const char *const *argv, char id[API_NAME], struct err *err)
{
	json_t *command = json_array(), *doc = NULL;
	int bad = command ? 0 : -1;

	for (; !bad && *argv; argv++)
		bad = json_array_append_new(command, json_string(*argv));
	json_t *body = json_pack("{s:o, s:b, s:b}", "Cmd", command, "AttachStdout", 1, "AttachStderr", 1);
	if (bad || !body) {
		json_decref(body);
		return err_set(err, ERR_TEMPORARY, "out of memory");
	}
	bad = api_json_done(api_call(api, err, "POST", body, 0, "/containers/%s/exec", container), 201, &doc, err);
	json_decref(body);
	if (bad)
		return -1;
	const char *given = doc_str(doc, "Id");
	if (!given || api_encode(given, "", id, API_NAME) < 0)
		bad = err_set(err, ERR_REMOTE, "host %s: the answer to exec has no id", api_host(api));
	json_decref(doc);
	return bad;
}

static int run(struct api *api, const char *id, struct buf *out, struct err *err)
{
	json_t *body = json_pack("{s:b, s:b}", "Detach", 0, "Tty", 0);

	if (!body)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	struct exchange *x = api_call(api, err, "POST", body, 0, "/exec/%s/start", id);
	json_decref(body);
	if (x && x->status == 200)
		unwrap(&x->reply, out);
	return x ? api_good_done(x, x->status == 200, err) : -1;
}

/* Its output ends a moment before the engine knows that it has. */
static int exit_status(struct api *api, struct tasks *tasks, const char *id, int *status, struct err *err)
{
	const int64_t deadline = clock_monotonic_ms() + END_MS;

	for (;;) {
		json_t *doc = NULL;
		if (api_json_done(api_call(api, err, "GET", NULL, 0, "/exec/%s/json", id), 200, &doc, err) < 0)
			return -1;
		const bool ended = !doc_true(doc, "Running") && json_is_integer(doc_get(doc, "ExitCode"));
		*status = ended ? (int)doc_int(doc, "ExitCode") : -1;
		json_decref(doc);
		if (ended)
			return 0;
		if (clock_monotonic_ms() >= deadline)
			return err_set(err, ERR_UNAVAILABLE, "host %s: what was run in a container does not end", api_host(api));
		tasks_sleep(tasks, LOOK_MS);
	}
}

int exec_run(struct api *api, struct tasks *tasks, const char *id, const char *const *argv, struct buf *out,
             int *status, struct err *err)
{
	char exec[API_NAME];

	*status = -1;
	if (prepare(api, id, argv, exec, err) < 0 || run(api, exec, out, err) < 0)
		return -1;
	return exit_status(api, tasks, exec, status, err);
}
