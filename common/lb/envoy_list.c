/* What is there: the files, and in them what Envoy says. */
#include "lb/envoy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

/* The file's list, in it what Envoy says. A backend of which only the rest is there, in the files of all backends, has
 * an empty list: so whoever looks takes that away too. */
int envoy_list(struct lb *lb, const char *backend, struct lb_list *out, struct err *err)
{
	struct filed f;

	*out = (struct lb_list){0};
	if (lb_check_names(lb->conf, backend, NULL, err) < 0)
		return -1;
	if (lb_filed_read(&lb->folder, backend, &f, err) < 0)
		return err->code == ERR_NOT_FOUND && envoy_mentioned(lb, backend) ? 0 : -1;
	const int rc = lb->admin ? envoy_look(lb, err) : 0;
	for (size_t i = 0; rc == 0 && i < f.list.n; i++) {
		struct lb_server *s = &f.list.v[i];
		s->sessions = -1;
		if (!lb->admin)
			continue;
		const struct envoy_host h = envoy_host(lb, backend, s->name, s);
		s->sessions = h.active;
		if (s->state == LB_UP && (!h.there || (s->weight ? h.unable : h.failed)))
			s->state = LB_DOWN;
	}
	if (rc == 0) {
		*out = f.list;
		f.list = (struct lb_list){0};
	}
	lb_filed_release(&f);
	return rc;
}

/* A file that cannot be read is among them: whoever lists that backend hears why. */
static bool is_used(struct lb *lb, const char *backend)
{
	struct err ignored;
	struct filed f;
	bool used = true;

	if (lb_filed_read(&lb->folder, backend, &f, &ignored) == 0)
		used = lb_filed_is_ours(&f);
	lb_filed_release(&f);
	return used;
}

int envoy_backends(struct lb *lb, struct lb_names *out, struct err *err)
{
	struct lb_names all;

	*out = (struct lb_names){0};
	if (lb_filed_backends(&lb->folder, &all, err) < 0)
		return -1;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < all.n; i++)
		if (is_used(lb, all.v[i]))
			rc = lb_names_add(out, all.v[i], err);
	lb_names_release(&all);
	if (rc == 0)
		rc = envoy_mentions(lb, out, err);
	if (rc < 0)
		lb_names_release(out);
	return rc;
}

int envoy_verify(struct lb *lb, const char *backend, const struct lb_list *wanted, struct err *err)
{
	struct lb_list listed;
	struct jv_member m;
	char name[LB_NAME];

	if (envoy_list(lb, backend, &listed, err) < 0)
		return -1;
	int rc = lb_compare(lb->conf, backend, wanted, &listed, err);
	lb_list_release(&listed);
	struct jv_cursor c = jv_each(envoy_hosts(lb, backend));
	while (rc == 0 && lb->admin && jv_next(&c, &m))
		if (envoy_pending(m.value, name))
			rc = err_set(err, ERR_CONFLICT,
			             "lb %s: backend %s: %s is stale: Envoy keeps it although it was taken out "
			             "(pending_dynamic_removal), because it passes health checks; add " ENVOY_REMOVAL
			             " to the cluster",
			             lb->conf->name, backend, name);
	return rc;
}
