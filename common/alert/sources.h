/* What is known about each source of notifications: a section of a mapping, autoscale-mapping(5). */
#ifndef ALERT_SOURCES_H
#define ALERT_SOURCES_H

#include "alert/alert.h"
#include "alert/path.h"

/* The keys of a section. Those from FIELD_ID on are members of the normalised alert. */
enum field {
	FIELD_WHEN,
	FIELD_DROP,
	FIELD_SHOW,
	FIELD_ALERTS,
	FIELD_KEY,
	FIELD_NO_KEY,
	FIELD_VOIDS,
	FIELD_REPEATS,
	FIELD_LASTED,
	FIELD_ID,
	FIELD_SOURCE,
	FIELD_SERVICE,
	FIELD_ACTION,
	FIELD_COUNT,
	FIELD_MIN,
	FIELD_MAX,
	FIELD_METRIC,
	FIELD_VALUE,
	FIELD_THRESHOLD,
	FIELD_SEVERITY,
	FIELD_STATUS,
	FIELD_RULE,
	FIELD_LABELS,
	FIELD_CONTAINER,
	FIELD_CONTAINER_ID,
	FIELD_CONTAINER_NAME,
	FIELD_CONTAINER_HOST,
	FIELD_CONTAINER_IMAGE,
	FIELD_STARTS_AT,
	FIELD_ENDS_AT,
	FIELDS,
};

struct source {
	char name[ALERT_SOURCE];
	size_t file;        /* which file it is from; 0: built in */
	char *text[FIELDS]; /* as it was checked; NULL: not given */
};

/* The files of common/alert/sources, made into a table by embed.sh. */
struct source_file {
	const char *name, *text;
};
extern const struct source_file source_files[];
extern const size_t source_files_count;

/* The source whose shape the document has: the one of whose conditions most hold, then the operator's. NULL: none.
 * Of `family`, where that is not NULL: the section of this name and those whose name goes on with a dot. */
const struct source *sources_by_shape(const struct alert_sources *sources, const char *family,
                                      struct path_scope *scope);
const struct source *sources_by_name(const struct alert_sources *sources, const char *name); /* NULL: none */

/* The values of a key are alternatives with bars between them; one of `key` or `when` has parts beside each other.
 * Each moves *p to the next of them; false: there is no more. */
bool source_next(const char **p);
bool source_next_part(const char **p);
/* What `text` becomes by the translations behind the colon of a value: *n bytes, or NULL when none fits. *given: there
 * are translations at all. */
const char *source_translated(const char *value, const char *text, size_t *n, bool *given);

#endif
