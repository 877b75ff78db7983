/* From which image a copy is made, and what of its configuration is the image's. */
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

/* A field of the configuration of the source's image. */
static json_t *given(const struct work *w, const char *field) { return doc_get(w->o->image_config, field); }

void image_begin(struct work *w)
{
	const char *id = doc_str(w->inspect, "Image");
	const bool moved = id && w->o->image_id && strcmp(w->o->image_id, id) != 0;

	w->follow = !w->o->recreate && work_says(w, "autoscale.image", "follow", "pin") && moved;
}

/* The name while it means the source's image; else that one's id, or the name if the copy follows it. */
int rule_pin_image(struct work *w, json_t *in, const char *field)
{
	const char *name = doc_str(in, field), *id = doc_str(w->inspect, "Image");

	if (w->follow && !w->o->image_config)
		return work_refuse(w, "it follows its image's tag, but what the old image gave is not known any more");
	(void)snprintf(w->out->image_id, sizeof w->out->image_id, "%s", w->follow ? w->o->image_id : id ? id : "");
	if (w->follow)
		work_note(w, "image %s means another image now: the copy follows it, to %s", name ? name : "", w->o->image_id);
	if (w->follow || !id || (name && is(w->o->image_id, id)))
		return 0;
	if (!is(name, id))
		work_note(w, "image %s means another image now, or none: the copy is made from the source's, %s",
		          name ? name : "", id);
	work_put(w, in, field, json_string(id));
	return 0;
}

/* The engine takes [""] for none; with nothing sent it would take the image's. */
int rule_no_entrypoint(struct work *w, json_t *in, const char *field)
{
	const bool none = !json_array_size(doc_get(doc_get(w->inspect, "Config"), field));

	if (none && (json_array_size(given(w, field)) || !w->o->image_config))
		work_put(w, in, field, json_pack("[s]", ""));
	return 0;
}

/* ---- a copy that follows a tag gets what the new image gives, not what the old one gave ---- */

int rule_less_entries(struct work *w, json_t *in, const char *field)
{
	json_t *list = doc_get(in, field), *old = given(w, field);

	for (size_t i = json_array_size(list); w->follow && i-- > 0;) {
		bool both = false;
		for (size_t k = 0; k < json_array_size(old); k++)
			both |= json_equal(json_array_get(list, i), json_array_get(old, k));
		if (both)
			(void)json_array_remove(list, i);
	}
	return 0;
}

int rule_less_members(struct work *w, json_t *in, const char *field)
{
	json_t *ours = doc_get(in, field), *value;
	const char *name;

	if (!w->follow)
		return 0;
	json_object_foreach(given(w, field), name, value)
		if (json_equal(json_object_get(ours, name), value))
			(void)json_object_del(ours, name);
	return 0;
}

int rule_less_value(struct work *w, json_t *in, const char *field)
{
	return w->follow && json_equal(doc_get(in, field), given(w, field)) ? rule_drop(w, in, field) : 0;
}

/* The engine takes each member that is not given from the image's. */
int rule_less_health(struct work *w, json_t *in, const char *field)
{
	(void)rule_less_members(w, in, field);
	return w->follow && !json_object_size(doc_get(in, field)) ? rule_drop(w, in, field) : 0;
}

/* The engine takes the image's command only with the image's entry point. Both are the user's where the entry point
 * is; the image's entry point without its command was given by hand, to be rid of that command. */
int rule_less_command(struct work *w, json_t *in, const char *field)
{
	json_t *command = doc_get(in, field), *entry = doc_get(in, "Entrypoint");
	const json_t *old_command = given(w, field), *old_entry = given(w, "Entrypoint");
	const bool same_entry = json_array_size(entry) == json_array_size(old_entry) &&
	                        (!json_array_size(entry) || json_equal(entry, old_entry));

	if (!w->follow || !same_entry || (!json_array_size(command) && json_array_size(old_command)))
		return 0;
	if (json_equal(command, old_command))
		(void)json_object_del(in, field);
	return rule_drop(w, in, "Entrypoint");
}
