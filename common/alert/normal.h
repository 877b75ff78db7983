/* One alert of a source -> its normalised form. */
#ifndef ALERT_NORMAL_H
#define ALERT_NORMAL_H

#include "alert/sources.h"

/* scope->alert is the alert, scope->document what it came in. INPUT: what is wrong with it. */
int normal_alert(const struct source *source, const struct alert_options *options, struct path_scope *scope,
                 struct alert *alert, struct err *err);
/* USAGE when the source cannot tell this alert from the next one and says which option is missing. */
int normal_check_key(const struct source *source, const struct alert_options *options, struct path_scope *scope,
                     struct err *err);
/* What its alerts are said to come from: the name that was given, else the section's up to a dot. */
void normal_source(const struct source *source, const struct alert_options *options, char out[ALERT_SOURCE]);
/* The value of the first of a key's paths that has one; absent: none. */
struct jv normal_find(const struct source *source, enum field field, struct path_scope *scope);

#endif
