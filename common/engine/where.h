/* How an engine is reached: from a host of the configuration to the target of its HTTP calls. For this room only. */
#ifndef ENGINE_WHERE_H
#define ENGINE_WHERE_H

#include "base/conf.h"
#include "base/http.h"

#define WHERE_PATH 512

struct where {
	struct http_target target; /* its texts are those below and the host's */
	char base[512], pem[3][WHERE_PATH];
};

/* Fills w, which must not be copied after. CONFIG: a url that cannot be used, and what to write instead. */
int where_find(const struct conf_host *host, struct where *w, struct err *err);

#endif
