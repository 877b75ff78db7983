/* Routing rules, the value of autoscale.lb.rule: which requests are a service's. The language is a small part of
 * Traefik's: Host(`a.example`), PathPrefix(`/x`), joined with && and ||, of which && binds closer, and parentheses;
 * several names in one pair of them are alternatives. Source: https://doc.traefik.io/traefik/routing/routers/#rule. */
#ifndef BASE_RULE_H
#define BASE_RULE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define RULE_HOST 254 /* a DNS name in lower case; "*.a.example" is any name below a.example */
#define RULE_PATH 256 /* begins with "/"; [A-Za-z0-9._~/-] */
#define RULE_WAYS 16

/* The longest normal form, with its NUL. */
#define RULE_TEXT (RULE_WAYS * (RULE_HOST + RULE_PATH + 32))

/* A request is the service's when one of the ways fits: its host is `host` and its path begins with `path` as whole
 * segments ("/x" fits /x and /x/y, not /xy). "" fits anything; not both are "". A path has no slash at its end, but for
 * "/", which fits anything too and stands only beside the host "". */
struct rule_way {
	char host[RULE_HOST], path[RULE_PATH];
};

struct rule {
	struct rule_way v[RULE_WAYS]; /* sorted, each once */
	size_t n;
};

/* INPUT: what it does not understand and where; LIMIT: more than RULE_WAYS ways. Only the alphabets above get into
 * *out, so that every part may stand in a configuration between quotes. */
int rule_parse(const char *text, struct rule *out, struct err *err);
/* In the normal form: rule_parse of it gives the same rule. */
void rule_write(const struct rule *r, struct buf *out);
/* Of rules in the normal form, which is what rule_parse and rule_add make. */
bool rule_way_same(const struct rule_way *a, const struct rule_way *b);
bool rule_same(const struct rule *a, const struct rule *b);
const struct rule_way *rule_shared(const struct rule *a,
                                   const struct rule *b); /* the first way of a that b has; NULL */
/* Adds one way, for rules that do not come as text. REFUSED: not of those alphabets. */
int rule_add(struct rule *r, const char *host, const char *path, struct err *err);

#endif
