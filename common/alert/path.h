/* The paths of a mapping, autoscale-mapping(5): where in a notification a value stands. A path is used as the text it
 * is, straight from the mapping; path_check says beforehand whether it is one.
 *
 *     path  = [ "^" ] step { step } | "$" { step } | "$rule" | "\"text\""
 *     step  = [ "." ] NAME | [ "." ] "*" | "[\"NAME\"]" | "[N]" | "[-N]" | "[NAME=TEXT]" | "{json}" | "{TEXT=}"
 */
#ifndef ALERT_PATH_H
#define ALERT_PATH_H

#include "base/buf.h"
#include "base/err.h"
#include "base/jv.h"

#define PATH_NAME_MAX 255
#define PATH_STEPS_MAX 16
#define PATH_TEXTS 4

/* What the paths of one notification are looked up in. */
struct path_scope {
	struct jv document, alert; /* "^" and what a path starts at */
	struct jv rule;            /* "$rule": a JSON string; absent when there is none */

	/* private: texts that hold JSON, decoded once. A notification that has more of them than this is not read
	 * deeper. */
	struct {
		const char *from;
		struct buf text;
		struct jv value;
	} texts[PATH_TEXTS];
	size_t ntexts;
};
void path_release(struct path_scope *scope);

/* Moves *p past the path that begins there. -1: INPUT, it is none and why. */
int path_check(const char **p, struct err *err);
/* The value there, absent when there is none; *p moves past the path, which was checked before. Good until
 * path_release, and as long as the notification and the path's own text. */
struct jv path_get(struct path_scope *scope, const char **p);

#endif
