/* Volumes: shared, anonymous, attached again. */
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

/* "SOURCE:DESTINATION[:OPTIONS]" of Binds. */
struct bind {
	size_t source_n, destination_n;
	const char *source, *destination;
	bool writable, anonymous, path;
};

static bool parse_bind(const char *text, struct bind *b)
{
	const char *colon = text ? strchr(text, ':') : NULL;

	if (!colon)
		return false;
	*b = (struct bind){
		.source = text, .source_n = (size_t)(colon - text), .destination = colon + 1, .path = *text == '/'};
	b->destination_n = strcspn(b->destination, ":");
	const char *options = b->destination + b->destination_n;
	b->writable = true;
	while (*options) {
		options++;
		b->writable = b->writable && !(has_prefix(options, "ro") && (options[2] == ',' || !options[2]));
		options += strcspn(options, ",");
	}
	b->anonymous = b->source_n == DOC_ID && strspn(text, "0123456789abcdef") == DOC_ID;
	return true;
}

/* The i-th of Binds becomes an anonymous volume, which the engine makes. */
static int make_fresh(json_t *config, json_t *binds, size_t i, const struct bind *b)
{
	json_t *path = json_stringn(b->destination, b->destination_n);
	int bad = path ? 0 : -1;

	if (!bad && !json_is_object(doc_get(config, "Volumes")))
		bad = json_object_set_new(config, "Volumes", json_object());
	if (!bad)
		bad = json_object_set_new(doc_get(config, "Volumes"), json_string_value(path), json_object());
	json_decref(path);
	return bad ? -1 : json_array_remove(binds, i);
}

static void note_shared(struct work *w, bool path, const char *source, int n)
{
	work_note(w, "%s %.*s is shared with the source, and both write to it", path ? "host path" : "volume", n, source);
}

/* A bind of 64 hex digits is an anonymous volume that a recreation attached again: each copy gets its own. */
int rule_fresh_binds(struct work *w, json_t *in, const char *field)
{
	json_t *list = doc_get(in, field);
	struct bind b;

	for (size_t i = 0; i < json_array_size(list);) {
		if (!parse_bind(json_string_value(json_array_get(list, i)), &b)) {
			i++;
			continue;
		}
		if (!b.anonymous) {
			if (b.writable)
				note_shared(w, b.path, b.source, (int)b.source_n);
			i++;
			continue;
		}
		if (make_fresh(w->config, list, i, &b) < 0) {
			w->no_memory = true;
			break;
		}
	}
	return 0;
}

int rule_fresh_mounts(struct work *w, json_t *in, const char *field)
{
	const json_t *list = doc_get(in, field);

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *m = json_array_get(list, i);
		const char *type = doc_str(m, "Type"), *source = doc_str(m, "Source");
		if (is(type, "volume") && source && doc_is_hex(source, DOC_ID))
			(void)json_object_del(m, "Source");
		else if (source && *source && (is(type, "volume") || is(type, "bind")) && !doc_true(m, "ReadOnly"))
			note_shared(w, is(type, "bind"), source, (int)strlen(source));
	}
	return 0;
}

/* The name of the volume that the source had at a path, or NULL. */
static const json_t *volume_at(const struct work *w, const char *destination)
{
	const json_t *list = doc_get(w->inspect, "Mounts");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		if (is(doc_str(m, "Type"), "volume") && doc_str(m, "Name") && is(doc_str(m, "Destination"), destination))
			return m;
	}
	return NULL;
}

static bool is_bound(const struct work *w, const char *destination)
{
	const json_t *list = doc_get(w->host, "Binds"), *more = doc_get(w->host, "Mounts");
	struct bind b;

	for (size_t i = 0; i < json_array_size(list); i++)
		if (parse_bind(json_string_value(json_array_get(list, i)), &b) && strlen(destination) == b.destination_n &&
		    strncmp(destination, b.destination, b.destination_n) == 0)
			return true;
	for (size_t i = 0; i < json_array_size(more); i++)
		if (is(doc_str(json_array_get(more, i), "Target"), destination))
			return true;
	return false;
}

static void note_attached(struct work *w, const char *volume, const char *path)
{
	work_note(w, "volume %s is attached at %s again", volume, path);
}

/* What -v PATH and the image's VOLUME made outlives its container unless that was removed with -v. */
int rule_old_binds(struct work *w, json_t *in, const char *field)
{
	json_t *volumes = doc_get(w->config, "Volumes"), *nothing;
	const char *path;

	json_object_foreach(volumes, path, nothing) {
		const json_t *m = volume_at(w, path);
		if (!m || is_bound(w, path))
			continue;
		if (!json_is_array(doc_get(in, field)))
			work_put(w, in, field, json_array());
		json_t *bind = json_sprintf("%s:%s%s", doc_str(m, "Name"), path, doc_true(m, "RW") ? "" : ":ro");
		work_add(w, doc_get(in, field), bind);
		note_attached(w, doc_str(m, "Name"), path);
	}
	return 0;
}

int rule_old_mounts(struct work *w, json_t *in, const char *field)
{
	const json_t *list = doc_get(in, field);

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *mount = json_array_get(list, i);
		const char *path = doc_str(mount, "Target"), *source = doc_str(mount, "Source");
		const json_t *m =
			path && is(doc_str(mount, "Type"), "volume") && (!source || !*source) ? volume_at(w, path) : NULL;
		if (!m)
			continue;
		work_put(w, mount, "Source", json_string(doc_str(m, "Name")));
		note_attached(w, doc_str(m, "Name"), path);
	}
	return 0;
}

/* ---- what is gone when a container is made again ---- */

struct losses {
	const struct engine_driver *driver;
	struct engine *engine;
	json_t *notes;
	struct err *err;
};

/* 1: the volume is gone, and that is noted; 0: it is there; -1: nobody knows. */
static int is_lost(struct losses *l, const char *volume, const char *path, int path_n)
{
	bool there = false;

	if (l->driver->volume_exists(l->engine, volume, &there, l->err) < 0)
		return -1;
	if (there)
		return 0;
	json_t *note = json_sprintf("data_lost: %.*s (volume %s is gone: it starts empty)", path_n, path, volume);
	if (!note || json_array_append_new(l->notes, note) < 0)
		return err_set(l->err, ERR_TEMPORARY, "out of memory");
	return 1;
}

static int lost_binds(struct losses *l, json_t *config, json_t *list)
{
	struct bind b;

	for (size_t i = 0; i < json_array_size(list);) {
		const char *text = json_string_value(json_array_get(list, i));
		if (!parse_bind(text, &b) || b.path) {
			i++;
			continue;
		}
		json_t *name = json_stringn(b.source, b.source_n);
		const int lost = name ? is_lost(l, json_string_value(name), b.destination, (int)b.destination_n) : -1;
		json_decref(name);
		if (lost < 0)
			return -1;
		if (!lost || !b.anonymous)
			i++;
		else if (make_fresh(config, list, i, &b) < 0)
			return err_set(l->err, ERR_TEMPORARY, "out of memory");
	}
	return 0;
}

static int lost_mounts(struct losses *l, json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *m = json_array_get(list, i);
		const char *source = doc_str(m, "Source"), *path = doc_str(m, "Target");
		if (!is(doc_str(m, "Type"), "volume") || !source || !*source)
			continue;
		const int lost = is_lost(l, source, path ? path : "", path ? (int)strlen(path) : 0);
		if (lost < 0)
			return -1;
		if (lost && doc_is_hex(source, DOC_ID))
			(void)json_object_del(m, "Source");
	}
	return 0;
}

int copy_lost_volumes(struct copy_request *r, const struct engine_driver *driver, struct engine *engine,
                      struct err *err)
{
	struct losses l = {driver, engine, NULL, err};

	if (!r->notes)
		r->notes = json_array();
	l.notes = r->notes;
	return lost_binds(&l, r->create, doc_get(r->create, "HostConfig.Binds")) < 0 ||
	               lost_mounts(&l, doc_get(r->create, "HostConfig.Mounts")) < 0
	           ? -1
	           : 0;
}
