/* What is known from record to record: several of one service may be in hand, and each saw the service at another
 * time. */
#include "cmd/as-lb-update/update.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define KEEP_MS (3600 * 1000) /* no record is under way for longer */

struct service *know_service(struct update *u, const char *name)
{
	struct service *s = u->services;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	if (!s && (s = calloc(1, sizeof *s))) {
		(void)snprintf(s->name, sizeof s->name, "%s", name);
		s->newest = INT64_MIN;
		s->next = u->services;
		u->services = s;
	}
	return s;
}

bool is_newest(struct service *s, int64_t now)
{
	if (now <= s->newest)
		return false;
	s->newest = now;
	return true;
}

void note_places(struct job *j)
{
	struct place *places = calloc(j->nsides + 1, sizeof *places);

	if (!places)
		return;
	for (size_t i = 0; i < j->nsides; i++) {
		places[i].balancer = (size_t)(j->sides[i].b - j->u->balancers);
		(void)snprintf(places[i].backend, sizeof places[i].backend, "%s", j->backend);
	}
	free(j->known->places);
	j->known->places = places;
	j->known->nplaces = j->nsides;
}

static void forget_old(struct service *s)
{
	const int64_t old = clock_now_ms() - KEEP_MS;

	for (struct touch **at = &s->touches, *t; (t = *at);) {
		if (t->refs || t->at > old) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		free(t);
	}
}

struct touch *touch_begin(struct update *u, struct service *s, const struct conf_lb *lb, const char *name)
{
	struct touch *t = s->touches;

	while (t && (t->lb != lb || strcmp(t->name, name) != 0))
		t = t->next;
	if (!t) {
		forget_old(s);
		if (!(t = calloc(1, sizeof *t)))
			return NULL;
		(void)snprintf(t->name, sizeof t->name, "%s", name);
		t->lb = lb;
		t->gate.width = 1;
		t->next = s->touches;
		s->touches = t;
	}
	t->refs++;
	tasks_enter(u->hosts.tasks, &t->gate);
	return t;
}

void touch_end(struct update *u, struct touch *t)
{
	t->refs--;
	tasks_leave(u->hosts.tasks, &t->gate);
}

void touch_done(struct touch *t, const struct job *j, bool in, int64_t at)
{
	t->by = j->number;
	t->in = in;
	t->at = at;
}

void free_known(struct update *u)
{
	for (struct service *s = u->services, *next; s; s = next) {
		next = s->next;
		for (struct touch *t = s->touches, *more; t; t = more) {
			more = t->next;
			free(t);
		}
		free(s->places);
		free(s);
	}
	u->services = NULL;
}
