/* Requests a second, for each client and overall: the generic cell rate algorithm (ITU-T I.371), one number for each
 * client. Whoever was quiet may send the allowance of one second at once. The table has a fixed size: when more clients
 * come than fit, the one that was quiet the longest is forgotten, which gives it a full allowance, not less. */
#include "cmd/as-listen/listen.h"

#include <string.h>

#include "base/banned.h"

#define SECOND_US 1000000

/* *full_at moves by one request's share; more than one second of shares ahead is too much, for a second at most. */
static int64_t take(int64_t *full_at, int64_t per_second, int64_t now_ms)
{
	const int64_t now = now_ms * 1000, from = *full_at > now ? *full_at : now;
	const int64_t next = from + SECOND_US / per_second;

	if (next > now + SECOND_US)
		return 1;
	*full_at = next;
	return 0;
}

int64_t rate_of_client(struct rate *r, const unsigned char client[CLIENT_BYTES], int64_t now)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	size_t at = 0;

	if (r->client <= 0)
		return 0;
	for (size_t i = 0; i < CLIENT_BYTES; i++)
		hash = (hash ^ client[i]) * 16777619u;
	hash %= RATE_SETS;
	for (size_t i = 0; i < RATE_WAYS; i++) {
		if (memcmp(r->slots[hash][i].client, client, CLIENT_BYTES) == 0)
			return take(&r->slots[hash][i].full_at, r->client, now);
		if (r->slots[hash][i].full_at < r->slots[hash][at].full_at)
			at = i;
	}
	memcpy(r->slots[hash][at].client, client, CLIENT_BYTES);
	r->slots[hash][at].full_at = 0;
	return take(&r->slots[hash][at].full_at, r->client, now);
}

int64_t rate_of_all(struct rate *r, int64_t now) { return r->all > 0 ? take(&r->all_full_at, r->all, now) : 0; }
