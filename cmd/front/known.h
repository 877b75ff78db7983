/* Policies that were made before, by the very words that they are made of: services that differ in nothing but their
 * names have one policy. For a command that resolves many of them (rows.h). */
#ifndef CMD_FRONT_KNOWN_H
#define CMD_FRONT_KNOWN_H

#include "base/buf.h"
#include "policy/policy.h"

/* How far back a policy looks, in ms; 0: not at all. */
struct past_span {
	int64_t window, moves;
	bool counted;
};

#define KNOWN_MAX 512

struct known_policy {
	struct buf words, policy;
	bool named;            /* a source names a load balancer */
	bool spanned;          /* it is known how far back it looks: */
	struct past_span span; /* noted by who asked for the policy */
};
struct known {
	struct known_policy v[KNOWN_MAX];
	struct buf words; /* of the service in hand */
};

/* The words of these sources. The alert's are its limits alone; of labels and variables only what is ours, without the
 * service's name: conventions are not in it. */
void known_begin(struct known *k, const struct policy_source *sources, size_t n);
/* The policy of those words, or NULL. */
struct known_policy *known_find(struct known *k);
/* Keeps it for those words, in place of another one. NULL: it could not. */
struct known_policy *known_keep(struct known *k, const struct buf *policy, bool named);
void known_release(struct known *k);

#endif
