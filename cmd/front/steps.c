#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

void step_put(struct record *r, const struct step *s)
{
	struct buf b = BUF_INIT(LINE_MAX_BYTES);

	buf_putc(&b, '{');
	buf_json_member_str(&b, "stage", s->stage);
	buf_json_member_str(&b, "do", s->what);
	buf_json_member_str(&b, "name", s->name);
	buf_json_member_str(&b, "id", s->id);
	buf_json_member_str(&b, "host", s->host);
	buf_json_member_bool(&b, "ok", s->ok);
	buf_json_member_int(&b, "ms", s->ms);
	buf_json_member_str(&b, "message", s->message);
	if (s->dry)
		buf_json_member_bool(&b, "dry", true);
	if (s->container) {
		buf_json_key(&b, "container");
		buf_put(&b, s->container->p, s->container->n);
	}
	if (s->notes) {
		buf_json_key(&b, "notes");
		buf_puts(&b, s->notes);
	}
	buf_putc(&b, '}');
	record_append(r, "steps", &b);
	buf_release(&b);
}

struct jv steps_todo(const struct record *r, const char *list)
{
	const struct jv intent = record_get(r, "intent");
	const struct jv state = jv_get(intent, "state");

	if (jv_is_object(intent) && !jv_is(state, "new") && !jv_is(state, "resumed"))
		return (struct jv){0};
	return jv_get(record_get(r, "plan"), list);
}

int steps_entries(const struct record *r, const char *list, struct jv **entries, size_t *n, struct err *err)
{
	const struct jv todo = steps_todo(r, list);
	struct jv_cursor each = jv_each(todo);
	struct jv_member m;

	*n = jv_count(todo);
	*entries = *n ? calloc(*n, sizeof **entries) : NULL;
	if (*n && !*entries)
		return err_set(err, ERR_TEMPORARY, "out of memory");
	for (size_t i = 0; i < *n && jv_next(&each, &m); i++)
		(*entries)[i] = m.value;
	return 0;
}

bool steps_dry(const struct front *f, const struct record *r)
{
	return f->dry_run || jv_is_true(jv_get(record_get(r, "policy"), "dry_run"));
}

void steps_text(struct jv object, const char *name, char *out, size_t size)
{
	if (!jv_str(jv_get(object, name), out, size))
		out[0] = '\0';
}

static uint64_t fnv(uint64_t h, struct jv v)
{
	for (size_t i = 0; i < v.n; i++)
		h = (h ^ (unsigned char)v.p[i]) * UINT64_C(1099511628211);
	return h;
}

void steps_op_id(const struct record *r, char out[64])
{
	steps_text(record_get(r, "intent"), "op_id", out, 64);
	if (*out)
		return;
	uint64_t h = fnv(UINT64_C(14695981039346656037), record_get(r, "id"));
	h = fnv(h, record_get(r, "plan"));
	(void)snprintf(out, 64, "op-%016llx", (unsigned long long)h);
}

int64_t steps_policy_ms(const struct record *r, const char *field, int64_t otherwise)
{
	int64_t micro;

	return jv_micro(jv_get(record_get(r, "policy"), field), &micro) ? micro / 1000 : otherwise;
}
