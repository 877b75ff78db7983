/* The last container of a service is gone, and with it the label that said which load balancer the service joined. Of
 * what as-watch tells there is still the container's id: where it has an entry, the service was; unless this process
 * has worked for the service before, and knows. */
#include "cmd/as-lb-update/update.h"

#include "cmd/front/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct search {
	struct update *u;
	const char *entry;
	struct place *found;
	size_t n;
	bool bad;
	struct err err;
};

static bool lists(struct balancer *b, const char *backend, const char *entry)
{
	struct lb_list list = {0};
	struct err unknown = {0};
	bool yes = false;

	if (b->driver->list(b->lb, backend, &list, &unknown) < 0)
		return false;
	for (size_t i = 0; i < list.n; i++)
		yes = yes || strcmp(list.v[i].name, entry) == 0;
	lb_list_release(&list);
	return yes;
}

/* A task: one load balancer. */
static void search_one(void *ctx, size_t i)
{
	struct search *s = ctx;
	struct balancer *b = &s->u->balancers[i];
	struct lb_names names = {0};
	struct err unknown = {0}; /* of one that does not answer nobody said that the service was there */

	if (open_balancer(s->u, i, &unknown) < 0 || b->driver->backends(b->lb, &names, &unknown) < 0)
		return;
	for (size_t k = 0; k < names.n && !s->bad; k++) {
		if (!lists(b, names.v[k], s->entry))
			continue;
		struct place *more = realloc(s->found, (s->n + 1) * sizeof *more);
		if (!more) {
			s->bad = true;
			break;
		}
		s->found = more;
		more[s->n].balancer = i;
		(void)snprintf(more[s->n++].backend, LB_NAME, "%s", names.v[k]);
	}
	lb_names_release(&names);
}

int find_bereft(const struct job *j, struct place **found, size_t *n, struct err *err)
{
	const struct jv alert = record_get(j->r, "alert"), observed = record_get(j->r, "observed");
	char id[128], entry[LB_NAME];

	*found = NULL;
	*n = 0;
	if (is_blind(j->r) || !jv_is_object(observed) || jv_count(jv_get(observed, "containers")))
		return 0;
	if (j->known->nplaces) {
		*found = j->known->places;
		*n = j->known->nplaces;
		j->known->places = NULL;
		j->known->nplaces = 0;
		return 0;
	}
	steps_text(jv_get(alert, "container"), "id", id, sizeof id);
	if (!jv_is(jv_get(alert, "source"), "docker") || !lb_server_name(id, entry))
		return 0;
	struct search s = {.u = j->u, .entry = entry};
	int bad = tasks_run(j->u->hosts.tasks, j->u->f.conf.nlbs, search_one, &s, err);
	if (!bad && s.bad)
		bad = err_set(err, ERR_TEMPORARY, "out of memory");
	*found = s.found;
	*n = s.n;
	return bad;
}
