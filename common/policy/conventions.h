/* What the two files of conventions share, for this room only: a convention as it is read from one container. */
#ifndef POLICY_CONVENTIONS_H
#define POLICY_CONVENTIONS_H

#include "policy/policy.h"

#include "base/rule.h"

#define ROUTES_MAX 16

/* Values of one key. */
struct route {
	char key[CONVENTION_KEY];
	struct jv said[CONVENTION_KINDS];
	struct rule rule;
	char port[8], path[RULE_PATH]; /* "": none */
	bool good;
};

struct reading {
	enum convention of;
	const char *from;
	struct route *routes, *services; /* ROUTES_MAX each */
	size_t nroutes, nservices;
	struct jv said[CONVENTION_KINDS]; /* without a key */
	struct jv ports;                  /* of the container */
	struct buf *warnings;
	unsigned nwarnings;
};

/* One sentence of `warnings`. text NULL: a value of another type or too long. */
void convention_warn(struct reading *r, const char *field, const char *text, const char *why);
/* 1: it is there; 0: it is not, or empty; -1: of another type or too long, which is said. */
int convention_text(struct reading *r, struct jv value, const char *field, char out[POLICY_TEXT]);
/* What to->said means: its rule and port, and whether it is any good. */
void convention_route(struct reading *r, struct route *to);
/* Where a service has a port and no route leads to it. */
void convention_bare_service(struct reading *r, struct route *service);
/* The port that the tool itself would take where none is said; "" none. */
void convention_default_port(struct reading *r, char port[8]);

#endif
