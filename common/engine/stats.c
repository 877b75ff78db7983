/* What a container uses now. Docker's API, for docker.c and swarm.c: containers/stats. From 1.41 on the engine is asked
 * for one look (one-shot); an older one takes two by itself and needs two seconds. The answer is read as a
 * view: it has numbers that jansson refuses, 2^64 - 1 where there is no limit. */
#include "engine/stats.h"

#include "base/jv.h"
#include "base/limits.h"
#include "engine/doc.h"

#include "base/banned.h"

/* As `docker stats` shows it: without what the kernel takes back first. */
static int64_t memory_of(struct jv memory)
{
	const int64_t usage = jv_int_or(jv_get(memory, "usage"), -1);
	/* version 1 of the kernel's control groups, and version 2 */
	const int64_t cache =
		jv_int_or(jv_path(memory, "stats.total_inactive_file"), jv_int_or(jv_path(memory, "stats.inactive_file"), 0));

	return cache > 0 && cache < usage ? usage - cache : usage;
}

static int read_stats(struct api *api, const struct exchange *x, const char *id, struct engine_stats *out,
                      struct err *err)
{
	char at[64];
	struct jv doc = {0};

	/* Podman says nothing of one that does not run; Docker was not asked of one that does in the year 1. */
	if (x->reply.n && jv_scan(x->reply.p, x->reply.n, &doc, NULL, 0, NULL, err) < 0)
		return err_set(err, ERR_REMOTE, "host %s: the answer is not JSON", api_host(api));
	if (!jv_str(jv_get(doc, "read"), at, sizeof at) || !doc_time_ns(at, &out->at_ns) || out->at_ns <= 0)
		return err_set(err, ERR_CONFLICT, "host %s: container %.12s does not run", api_host(api), id);
	out->cpu_ns = jv_int_or(jv_path(doc, "cpu_stats.cpu_usage.total_usage"), -1);
	out->memory = memory_of(jv_get(doc, "memory_stats"));
	return 0;
}

int stats_take(struct api *api, const char *id, struct engine_stats *out, struct err *err)
{
	struct exchange *x =
		api_call(api, err, "GET", NULL, HTTP_CALL_MS, "/containers/%s/stats?stream=false&one-shot=true", id);

	if (!x || x->status != 200)
		return x ? api_good_done(x, false, err) : -1;
	const int bad = read_stats(api, x, id, out, err);
	api_done(x);
	return bad;
}
