/* Conventions: labels and variables by which other tools are told how a container is reached, autoscale-policy(5). One
 * table says what each of them means; policy/conventions.c makes fields of it. They are tenants' words.
 *
 * A set of conventions has bit 1u << CONVENTION for each. */
#ifndef BASE_CONVENTION_H
#define BASE_CONVENTION_H

#include <stdbool.h>
#include <stddef.h>

enum convention {
	CONVENTION_VIRTUAL_HOST, /* nginx-proxy */
	CONVENTION_TRAEFIK,
	CONVENTION_DF,          /* Docker Flow Proxy */
	CONVENTION_DOCKERCLOUD, /* dockercloud/haproxy */
	CONVENTION_EASYHAPROXY,
	CONVENTION_CADDY, /* caddy-docker-proxy */
	CONVENTIONS
};

extern const char *const convention_names[CONVENTIONS]; /* "virtual_host", ... */

#define CONVENTION_KEY 64

/* What a value is. Those that have the same key belong together: they are one route. */
enum convention_kind {
	CONVENTION_NAMES,    /* names, comma separated */
	CONVENTION_PATHS,    /* paths, comma separated */
	CONVENTION_URLS,     /* [SCHEME://]NAME[:PORT][/PATH], separated by commas and spaces */
	CONVENTION_RULE,     /* in the language of base/rule.h, or more than that */
	CONVENTION_SERVICE,  /* the key of the service that the route leads to */
	CONVENTION_PROXY,    /* [PATH] {{upstreams [SCHEME] [PORT]}} */
	CONVENTION_PORT,     /* of the container */
	CONVENTION_SCHEME,   /* that the container speaks; only http can be had */
	CONVENTION_LISTENER, /* the balancer's port; only 80 and 443 are a matter of its own configuration */
	CONVENTION_SERVICE_PORT,
	CONVENTION_SERVICE_SCHEME,
	/* Without a key. */
	CONVENTION_NETWORK,
	CONVENTION_PORTS,     /* of the container, comma separated, instead of those that it exposes */
	CONVENTION_NOT_PORTS, /* but not these */
	CONVENTION_ON,        /* a boolean: does it take part? */
	CONVENTION_OFF,       /* a boolean: does it not? */
	CONVENTION_FOREIGN,   /* what is not read, and goes before the others */
	CONVENTION_KINDS
};

struct convention_row {
	enum convention convention;
	bool variable; /* else a label */
	bool joins;    /* where it is, and is not empty, the container takes part */
	enum convention_kind kind;
	/* A name, in any case. "*" stands for a part without dot, "#" for digits; that is the key. */
	const char *name;
};

extern const struct convention_row convention_rows[];
extern const size_t convention_rows_count;

/* "traefik,df" -> a set. False: *bad, of size bytes, is a word that is none. */
bool convention_set(const char *words, unsigned *set, char *bad, size_t size);
/* Does the row's name fit? key: what stood for its "*" or "#", else "". */
bool convention_fits(const struct convention_row *row, const char *name, char key[CONVENTION_KEY]);
/* Is it a label, or variable, of any of them? */
bool convention_has(bool variable, const char *name);

/* Which conventions a container follows: each of its labels and variables is shown to convention_see. */
struct convention_tally {
	unsigned said, in, out; /* which are there at all; by which it takes part, and does not */
};
void convention_see(struct convention_tally *t, bool variable, const char *name, const char *value);
unsigned convention_followed(const struct convention_tally *t);

#endif
