/* The past that a decision of the simulation reads: what was recorded up to where the service went its own way, and
 * what it did itself from there on. A plan is over at its own `now`, and is past for records of a later one. */
#include "policy/simulation.h"

#include <string.h>

#include "base/banned.h"

#define REPAIRS_SHOWN 16

static const struct sim_move *move_at(const struct sim_service *s, size_t i)
{
	return SIM_AT(&s->moves, struct sim_move, i);
}

int64_t sim_past(const struct sim_service *s, bool out, int64_t before)
{
	for (size_t i = SIM_COUNT(&s->moves, struct sim_move); i-- > 0;)
		if (move_at(s, i)->at < before && (out ? move_at(s, i)->out : move_at(s, i)->in))
			return move_at(s, i)->at;
	return out ? s->last_out : s->last_in;
}

/* When an entry of a list of the history was; TIME_NONE: it does not say. */
static int64_t time_of(struct jv entry)
{
	int64_t at = TIME_NONE;

	(void)clock_json(jv_get(entry, "at"), &at);
	return at;
}

static int64_t oldest(struct jv list, int64_t otherwise)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	while (jv_next(&c, &m))
		if (time_of(m.value) < otherwise && time_of(m.value) != TIME_NONE)
			otherwise = time_of(m.value);
	return otherwise;
}

bool sim_knows_more(const struct sim_service *s, const struct decide_input *in)
{
	return s->wants.n && SIM_AT(&s->wants, struct sim_want, 0)->at < oldest(jv_get(in->history, "window"), in->now);
}

/* Entries of the recorded list, of before a time. */
static void copy_before(struct buf *out, struct jv list, int64_t before)
{
	struct jv_cursor c = jv_each(list);
	struct jv_member m;

	while (jv_next(&c, &m)) {
		if (time_of(m.value) >= before)
			continue;
		buf_json_comma(out);
		buf_put(out, m.value.p, m.value.n);
	}
}

static void put_want(struct buf *out, const struct sim_want *w)
{
	buf_json_comma(out);
	buf_putc(out, '{');
	clock_json_member(out, "at", w->at);
	buf_json_member_int(out, "want", w->want);
	buf_putc(out, '}');
}

/* The recorded ones reach back as far as the recorded policy's window did: before them stand our own. */
static void put_window(struct buf *out, const struct sim_service *s, struct jv recorded, int64_t now)
{
	const int64_t end = s->strayed ? s->strayed_at : INT64_MAX, first = oldest(recorded, now);

	buf_json_key(out, "window");
	buf_putc(out, '[');
	for (size_t i = 0; i < SIM_COUNT(&s->wants, struct sim_want); i++) {
		const struct sim_want *w = SIM_AT(&s->wants, struct sim_want, i);
		if (w->at < first && w->at < end)
			put_want(out, w);
	}
	copy_before(out, recorded, end);
	for (size_t i = 0; i < SIM_COUNT(&s->wants, struct sim_want); i++) {
		const struct sim_want *w = SIM_AT(&s->wants, struct sim_want, i);
		if (w->at >= end)
			put_want(out, w);
	}
	buf_putc(out, ']');
}

static void put_move(struct buf *out, const struct sim_move *m)
{
	if (m->from == m->to)
		return;
	buf_json_comma(out);
	buf_putc(out, '{');
	clock_json_member(out, "at", m->at);
	buf_json_member_int(out, "from", m->from);
	buf_json_member_int(out, "to", m->to);
	buf_putc(out, '}');
}

/* out and in are false in what was done before the service diverged: those the recorded history shows, if it looked
 * back far enough. */
static void put_moves(struct buf *out, const struct sim_service *s, struct jv recorded, int64_t now)
{
	const int64_t first = oldest(recorded, now);

	buf_json_key(out, "moves");
	buf_putc(out, '[');
	for (size_t i = 0; i < SIM_COUNT(&s->moves, struct sim_move); i++)
		if (move_at(s, i)->at <= s->since && !move_at(s, i)->out && !move_at(s, i)->in && move_at(s, i)->at < first)
			put_move(out, move_at(s, i));
	copy_before(out, recorded, s->since + 1);
	for (size_t i = 0; i < SIM_COUNT(&s->moves, struct sim_move); i++)
		if ((move_at(s, i)->out || move_at(s, i)->in) && move_at(s, i)->at < now)
			put_move(out, move_at(s, i));
	buf_putc(out, ']');
}

static void put_repairs(struct buf *out, const struct sim_service *s, struct jv recorded, int64_t now)
{
	size_t shown = 0;

	buf_json_key(out, "repairs");
	buf_putc(out, '[');
	for (size_t i = SIM_COUNT(&s->repairs, struct sim_repair); i-- > 0 && shown < REPAIRS_SHOWN;) {
		const struct sim_repair *r = SIM_AT(&s->repairs, struct sim_repair, i);
		if (r->at >= now)
			continue;
		buf_json_comma(out);
		buf_putc(out, '{');
		clock_json_member(out, "at", r->at);
		buf_json_member_str(out, "op", r->made ? "recreate" : "start");
		buf_json_key(out, "names");
		buf_putc(out, '[');
		buf_json_str(out, r->name);
		buf_puts(out, "]}");
		shown++;
	}
	copy_before(out, recorded, s->since + 1);
	buf_putc(out, ']');
}

static bool replaced(const struct jv_member *m, bool diverged)
{
	static const char *const names[] = {"generation", "last_out", "last_in", "moves", "repairs", "pending", "counted"};

	if (jv_name_is(m, "window"))
		return true;
	for (size_t i = 0; diverged && i < sizeof names / sizeof *names; i++)
		if (jv_name_is(m, names[i]))
			return true;
	return false;
}

static void put_own(struct buf *out, const struct scene *scene, const struct sim_service *s, struct jv history)
{
	const int64_t now = scene->in.now;
	int64_t counted;

	buf_json_member_int(out, "generation", s->generation - (s->acted_at == now ? s->acts : 0));
	clock_json_member(out, "last_out", sim_past(s, true, now));
	clock_json_member(out, "last_in", sim_past(s, false, now));
	put_moves(out, s, jv_get(history, "moves"), now);
	put_repairs(out, s, jv_get(history, "repairs"), now);
	buf_puts(out, ",\"pending\":null");
	if (jv_int(jv_get(history, "counted"), &counted))
		buf_json_member_int(out, "counted", counted + scene->count - scene->recorded);
}

void scene_history(struct scene *scene, struct sim_service *s, struct jv history)
{
	struct buf *out = &scene->history;
	struct jv_cursor c = jv_each(history);
	struct jv_member m;

	buf_putc(out, '{');
	while (jv_is_object(history) && jv_next(&c, &m)) {
		if (replaced(&m, s->diverged))
			continue;
		buf_json_comma(out);
		buf_printf(out, "\"%.*s\":", (int)m.name.n, m.name.p);
		buf_put(out, m.value.p, m.value.n);
	}
	if (s->diverged)
		put_own(out, scene, s, history);
	put_window(out, s, jv_get(history, "window"), scene->in.now);
	buf_putc(out, '}');
}
