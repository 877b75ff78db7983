/* How an engine is reached: from a host of the configuration to the target of its HTTP calls. For this room only. */
#ifndef ENGINE_WHERE_H
#define ENGINE_WHERE_H

#include "base/conf.h"
#include "base/http.h"

#define WHERE_PATH 512

struct where {
	struct http_target target; /* its texts are those below and the host's */
	char base[512], pem[3][WHERE_PATH];
	char url[WHERE_PATH];                                   /* of a context */
	char user[64], port[8], machine[256], path[WHERE_PATH]; /* of ssh; "": not given */
	/* The program whose standard input and output are the connection, NULL at its end; [0] NULL: there is none. */
	const char *argv[24];
};

/* Fills w, which must not be copied after. CONFIG: a url or a docker context that cannot be used, and what to write
 * instead. DENIED: files of certificates that are not there, or may not be read. */
int where_find(const struct conf_host *host, struct where *w, struct err *err);

#endif
