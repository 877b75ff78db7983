/* Schedules: "mon-fri 08:00-18:00 Europe/Berlin min=4 max=20; daily 22:00-06:00 UTC max=2". A door of policy/. Pure but
 * for the system's zone database (zone.h): the time is a parameter. */
#ifndef POLICY_SCHEDULE_H
#define POLICY_SCHEDULE_H

#include "policy/zone.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One entry. It follows the wall clock of its zone: an hour that comes twice is inside both times, and what would begin
 * in an hour that is left out begins with the next minute that there is. */
struct schedule_entry {
	unsigned days;  /* on which it begins: bit 0 is Monday */
	int start, end; /* minutes after midnight, start inclusive, end exclusive; end <= start: of the next day */
	char zone[ZONE_NAME_MAX + 1];
	int64_t min, max, initial; /* -1: not said */
	int64_t since;             /* schedule_at only: when the active period began, ms UTC */
};

/* Takes the next entry from *text, which then is behind it. False: it does not parse, and why says what is wrong. */
bool schedule_next(const char **text, struct schedule_entry *e, char *why, size_t size);

/* Do all entries parse? There is at least one. why: "entry 2: start and end are equal". */
bool schedule_valid(const char *text, char *why, size_t size);

/* The first entry of the text that is active at now. False: none is. */
bool schedule_at(const char *text, int64_t now_ms, struct schedule_entry *out);

/* Is this entry active, and since when? */
bool schedule_active(const struct schedule_entry *e, int64_t now_ms, int64_t *since);

/* Is the zone database there? why: what it is, such as "/usr/share/zoneinfo, 2024a", or what is missing. */
bool schedule_zones(char *why, size_t size);

/* Are both active at some time? Looked at is a week in winter and one in summer, of the year of now_ms. */
bool schedule_overlap(const struct schedule_entry *a, const struct schedule_entry *b, int64_t now_ms);

#endif
