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
/* The value of the first of a key's paths that has one; absent: none. */
struct jv normal_find(const struct source *source, enum field field, struct path_scope *scope);

#endif
