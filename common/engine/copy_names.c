/* Who a copy is: its network, host name and labels. */
#include "base/limits.h"
#include "engine/copy.h"

#include <stdio.h>

#include "base/banned.h"

#define INDEX_TEXT 24 /* any int64_t */

int rule_mode_name(struct work *w, json_t *in, const char *field)
{
	const char *mode = doc_str(in, field), *name = networks_special(mode) ? NULL : networks_primary(w);
	const bool same = !name || is(mode, name) || (is(mode, "default") && is(name, "bridge"));

	if (!same)
		work_put(w, in, field, json_string(name));
	w->mode = doc_str(in, field);
	if (!w->mode)
		w->mode = "default";
	return 0;
}

int rule_own_hostname(struct work *w, json_t *in, const char *field)
{
	const char *name = doc_str(in, field);

	if (!name || is(w->mode, "host") || has_prefix(w->mode, "container:") || is(doc_str(w->host, "UTSMode"), "host"))
		return rule_drop(w, in, field);
	if (!doc_is_hex(name, DOC_SHORT_ID))
		return 0;
	if (!has_prefix(w->id, name))
		work_note(w, "host name %s looks like the id of an earlier container and is not copied", name);
	return rule_drop(w, in, field);
}

static int refuse_scheduled(struct work *w, json_t *list)
{
	static const struct {
		const char *prefix, *what;
	} schedulers[] = {
		{"com.docker.swarm.", "it is a task of a swarm service: scale the service"},
		{"io.kubernetes.", "it belongs to a Kubernetes pod: scale its deployment"},
		{"com.hashicorp.nomad.", "it belongs to a Nomad job: scale the job"},
	};
	const char *name;
	json_t *value;

	json_object_foreach(list, name, value)
		for (size_t i = 0; i < sizeof schedulers / sizeof *schedulers; i++)
			if (has_prefix(name, schedulers[i].prefix))
				return work_refuse(w, schedulers[i].what);
	return 0;
}

int rule_op_label(struct work *w, json_t *in, const char *field)
{
	if (!json_is_object(doc_get(in, field)))
		work_put(w, in, field, json_object());
	json_t *list = doc_get(in, field);
	if (refuse_scheduled(w, list) < 0)
		return -1;
	if (w->o->op_id)
		work_put(w, list, "autoscale.op", json_string(w->o->op_id));
	return 0;
}

/* `compose up` removes what carries its labels and is not in its file; `compose down` knows only what carries them, and
 * cannot remove a network that somebody else is in. */
static void detach_compose(struct work *w, json_t *list)
{
	const bool stay = work_says(w, "autoscale.compose", "keep", "detach");
	const char *name;
	json_t *value;
	void *next;
	bool some = false;

	json_object_foreach_safe(list, next, name, value)
	{
		if (!has_prefix(name, "com.docker.compose."))
			continue;
		if (!stay)
			(void)json_object_del(list, name);
		some = true;
	}
	if (some)
		work_note(w, "labels com.docker.compose.* are %s",
		          stay ? "copied: the next docker compose up removes the copy"
		               : "not copied: docker compose up would remove the copy, and down leaves it, and its networks");
}

int rule_own_labels(struct work *w, json_t *in, const char *field)
{
	char service[SERVICE_NAME_MAX + 1], still[SERVICE_NAME_MAX + 1], index[INDEX_TEXT];
	bool has = container_service(w->inspect, service, sizeof service);

	/* Known by its own name, which is not the copy's. */
	if (!has && w->o->service && strcmp(w->o->service, doc_name(w->inspect)) == 0) {
		(void)snprintf(service, sizeof service, "%s", w->o->service);
		has = true;
	}
	if (rule_op_label(w, in, field) < 0)
		return -1;
	json_t *list = doc_get(in, field);
	detach_compose(w, list);
	(void)snprintf(index, sizeof index, "%lld", (long long)w->o->index);
	work_put(w, list, "autoscale.index", json_string(index));
	work_put(w, list, "autoscale.copy-of", json_string(w->o->copy_of ? w->o->copy_of : w->id));
	if (!w->o->op_id) /* a source's, if it is a copy itself */
		(void)json_object_del(list, "autoscale.op");
	/* The service may have been known by a label that is gone now. */
	json_t *made = json_pack("{s:O}", "Config", in);
	if (has && (!container_service(made, still, sizeof still) || strcmp(service, still) != 0))
		work_put(w, list, "autoscale.service", json_string(service));
	w->no_memory |= !made;
	json_decref(made);
	return 0;
}
