/* Slots: see haproxy.h. The configuration says which is whose, and is changed under its lock, so that two writers never
 * take the same. A slot whose address is that of a free one is free, whatever the configuration says. */
#include "lb/haproxy.h"
#include "lb/haproxy_config.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

bool haproxy_is_free(const struct haproxy_entry *e)
{
	return e->server.port == HAPROXY_FREE_PORT && strcmp(e->server.address, HAPROXY_FREE_ADDRESS) == 0 &&
	       e->server.state == LB_MAINT;
}

int haproxy_name_slots(const struct haproxy_config *c, struct haproxy_entry *v, size_t n, struct err *err)
{
	struct haproxy_slot *slots;
	size_t nslots;

	const int rc = haproxy_config_slots(c, &slots, &nslots, err);
	for (size_t k = 0; rc == 0 && k < nslots; k++)
		for (size_t i = 0; i < n; i++) {
			if (strcmp(v[i].real, slots[k].slot) != 0 || strcmp(v[i].backend, slots[k].backend) != 0 ||
			    haproxy_is_free(&v[i]))
				continue;
			(void)snprintf(v[i].server.name, sizeof v[i].server.name, "%s", slots[k].name);
			v[i].server.ours = true;
		}
	free(slots);
	return rc;
}

static bool has_others(const struct haproxy_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!v[i].server.ours)
			return true;
	return false;
}

int haproxy_look_for_slots(struct lb *lb, struct haproxy_entry *v, size_t n, struct err *err)
{
	struct haproxy_config c;
	struct err ignored;

	if (!lb->peer.conf->config || !has_others(v, n))
		return 0;
	int rc = haproxy_config_read(&c, lb->peer.conf->config, &ignored);
	rc = rc == 0 ? haproxy_name_slots(&c, v, n, err) : 0; /* a file that cannot be read names none */
	haproxy_config_close(&c);
	return rc;
}

bool haproxy_slot_of(struct lb *lb, const char *backend, const char *name, char slot[LB_NAME])
{
	struct haproxy_slot *slots = NULL;
	struct haproxy_config c;
	struct err ignored;
	bool found = false;
	size_t n = 0;

	if (!lb->peer.conf->config)
		return false;
	if (haproxy_config_read(&c, lb->peer.conf->config, &ignored) == 0 &&
	    haproxy_config_slots(&c, &slots, &n, &ignored) == 0)
		for (size_t i = 0; i < n; i++)
			if (strcmp(slots[i].backend, backend) == 0 && strcmp(slots[i].name, name) == 0) {
				(void)snprintf(slot, LB_NAME, "%s", slots[i].slot);
				found = true;
			}
	free(slots);
	haproxy_config_close(&c);
	return found;
}

static bool was_of(const struct haproxy_slot *slots, size_t n, const struct haproxy_entry *e, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(slots[i].backend, e->backend) == 0 && strcmp(slots[i].slot, e->real) == 0 &&
		    strcmp(slots[i].name, name) == 0)
			return true;
	return false;
}

struct haproxy_entry *haproxy_free_slot(const struct lb *lb, const struct haproxy_config *c, const char *backend,
                                        const char *name, struct haproxy_entry *v, size_t n, struct err *err)
{
	struct haproxy_entry *best = NULL;
	struct haproxy_slot *slots;
	size_t nslots, used = 0;

	const int rc = haproxy_config_slots(c, &slots, &nslots, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (strcmp(v[i].backend, backend) != 0)
			continue;
		used += v[i].server.ours && strcmp(v[i].real, v[i].server.name) != 0;
		if (!v[i].server.ours && haproxy_is_free(&v[i]) && lb_safe_name(v[i].real) &&
		    (!best || was_of(slots, nslots, &v[i], name)))
			best = &v[i];
	}
	free(slots);
	if (rc == 0 && !best)
		(void)err_set(err, used ? ERR_LIMIT : ERR_NOT_FOUND,
		              "lb %s: backend %s: all %zu slots are taken: give its `server-template` more",
		              lb->peer.conf->name, backend, used);
	return best;
}

int haproxy_fill_slot(struct lb *lb, const char *backend, const char *slot, const struct lb_server *want,
                      struct err *err)
{
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	struct haproxy_entry e = {.backend = ""};

	/* What it answers says nothing: it is the same level for success and for a bad address. */
	int rc = haproxy_ask(&lb->peer, &answer, err, "set server %s/%s addr %s port %u", backend, slot, want->address,
	                     want->port);
	if (rc == 0)
		rc = haproxy_find(lb, backend, slot, &e, err);
	if (rc >= 0 && (rc == 0 || !lb_same_place(&e.server, want)))
		rc = err_set(err, ERR_REMOTE, "lb %s: backend %s: %s did not take its address: %.*s", lb->peer.conf->name,
		             backend, slot, (int)strcspn(answer.p, "\r\n"), answer.p);
	buf_release(&answer);
	return rc < 0 ? -1 : 0;
}
