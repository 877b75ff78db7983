/* Containers by host: noted in the store while the host answers, told from there while it does not. A host that is cut
 * off did not lose its replicas. */
#include "cmd/as-inspect/inspect.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define COPY_OF_MAX 255 /* of a copy's label the store keeps so much; a longer one is somebody's joke */

/* Said once, to who asked for it; looking goes on. */
void cannot_note(struct inspect *in, const struct err *why)
{
	if (!in->unwritable)
		front_say(&in->f, "what is seen is not noted: %s", why->message);
	in->unwritable = true;
}

static int64_t index_of(const json_t *doc)
{
	const char *label = container_label(doc, "autoscale.index");
	char *end;

	if (!label || *label < '0' || *label > '9' || strlen(label) > 9)
		return -1;
	const long index = strtol(label, &end, 10);
	return *end ? -1 : index;
}

void note_containers(struct inspect *in, const char *service, const struct found *v, size_t n)
{
	const char **hosts = calloc(in->f.conf.nhosts, sizeof *hosts);
	struct container_row *rows = calloc(n + 1, sizeof *rows);
	struct container_look look = {.service = service, .hosts = hosts, .rows = rows, .nrows = n};
	struct err why = {0};

	for (size_t i = 0; hosts && i < in->f.conf.nhosts; i++)
		if (in->listings[i].ok)
			hosts[look.nhosts++] = in->f.conf.hosts[i].name;
	for (size_t i = 0; rows && i < n; i++) {
		const char *of = container_label(v[i].doc, "autoscale.copy-of");
		const char *id = json_string_value(json_object_get(v[i].doc, "Id"));
		const char *state = json_string_value(json_object_get(json_object_get(v[i].doc, "State"), "Status"));
		rows[i] = (struct container_row){.host = v[i].host,
		                                 .id = id ? id : "",
		                                 .name = container_name(v[i].doc),
		                                 .state = state ? state : "",
		                                 .copy_of = !of                                ? ""
		                                            : strlen(of) <= COPY_OF_MAX && *of ? of
		                                                                               : "?",
		                                 .index = index_of(v[i].doc)};
	}
	if (hosts && rows && !in->unwritable && store_container_note(in->store, &look, &why) < 0)
		cannot_note(in, &why);
	free(hosts);
	free(rows);
}

/* It counts as a replica unless it did not run when it was seen last. */
static bool counts(const char *state) { return strcmp(state, "running") == 0 || strcmp(state, "restarting") == 0; }

static int put_unseen(void *ctx, const struct container_row *row, struct err *err)
{
	struct unseen *u = ctx;
	struct buf *b = &u->containers;

	buf_json_comma(b);
	buf_putc(b, '{');
	buf_json_member_str(b, "id", row->id);
	buf_json_member_str(b, "name", row->name);
	buf_json_member_str(b, "host", row->host);
	buf_json_member_str(b, "state", "unknown");
	buf_json_member_str(b, "last_state", row->state);
	buf_json_key(b, "index");
	if (row->index < 0)
		buf_puts(b, "null");
	else
		buf_json_int(b, row->index);
	buf_json_member_bool(b, "copy", *row->copy_of != '\0');
	buf_json_member_str(b, "copy_of", *row->copy_of ? row->copy_of : NULL);
	buf_json_member_bool(b, "ready", false);
	buf_puts(b, ",\"addresses\":{},\"ports\":[],\"labels\":{},\"variables\":{}}");
	buf_put(&u->names, row->name, strlen(row->name) + 1);
	u->running += counts(row->state);
	return buf_ok(b, err);
}

int read_unseen(struct inspect *in, const char *service, struct unseen *u, struct err *err)
{
	for (size_t i = 0; i < in->f.conf.nhosts; i++)
		if (!in->listings[i].ok &&
		    store_container_each(in->store, service, in->f.conf.hosts[i].name, put_unseen, u, err) < 0)
			return -1;
	return 0;
}

bool unseen_has(const struct unseen *u, const char *name)
{
	for (const char *p = u->names.p; p && p < u->names.p + u->names.n; p += strlen(p) + 1)
		if (strcmp(p, name) == 0)
			return true;
	return false;
}

void init_unseen(struct unseen *u)
{
	*u = (struct unseen){.containers = BUF_INIT(LINE_MAX_BYTES), .names = BUF_INIT(LINE_MAX_BYTES)};
}

void release_unseen(struct unseen *u)
{
	buf_release(&u->containers);
	buf_release(&u->names);
}
