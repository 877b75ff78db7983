/* Who an engine is: GET /version and the clock of GET /info. */
#include "base/clock.h"
#include "engine/api.h"
#include "engine/doc.h"
#include "engine/engine.h"
#include "engine/events.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void copy(char *out, size_t size, const char *text) { (void)snprintf(out, size, "%s", text ? text : ""); }

static int read_version(struct api *a, struct engine_about *out, struct err *err)
{
	json_t *doc = NULL;

	if (api_json_done(api_call(a, err, "GET", NULL, 0, "/version"), 200, &doc, err) < 0)
		return -1;
	/* Docker has "Engine" there, Podman "Podman Engine". */
	const char *name = doc_str(json_array_get(doc_get(doc, "Components"), 0), "Name");
	copy(out->name, sizeof out->name, name && strcmp(name, "Engine") != 0 ? name : "Docker");
	copy(out->version, sizeof out->version, doc_str(doc, "Version"));
	copy(out->newest, sizeof out->newest, doc_str(doc, "ApiVersion"));
	copy(out->oldest, sizeof out->oldest, doc_str(doc, "MinAPIVersion"));
	json_decref(doc);
	return 0;
}

int api_about(struct api *a, struct engine_about *out, struct err *err)
{
	struct err ignored;
	int64_t ns = 0;

	*out = (struct engine_about){.certificate_until = TIME_NONE};
	api_where(a, out->where, sizeof out->where);
	out->spoken = api_version(a, err);
	out->certificate_until = api_certificate(a);
	if (out->spoken < 0 || read_version(a, out, err) < 0)
		return -1;
	const int64_t before = clock_now_ms();
	out->timed = events_clock(a, &ns, &ignored) == 0;
	const int64_t after = clock_now_ms();
	out->ahead_ms = ns / 1000000 - before - (after - before) / 2;
	out->fuzz_ms = (after - before) / 2 + 1;
	return 0;
}

const char *engine_library(void) { return jansson_version_str(); }
