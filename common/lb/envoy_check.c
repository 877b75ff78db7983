/* What the driver envoy needs of an Envoy, tried. */
#include "base/limits.h"
#include "lb/envoy.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static bool check_admin(struct lb *lb, struct buf *stats, const struct findings *to)
{
	char version[128] = "", state[24] = "";
	struct buf reply = BUF_INIT(LB_REPLY_MAX);
	struct err err = {0};
	struct jv doc;

	int rc = envoy_get(lb, "/server_info", &reply, &err);
	if (rc == 0 && jv_scan(reply.p ? reply.p : "", reply.n, &doc, NULL, 0, NULL, &err) == 0) {
		(void)jv_str(jv_get(doc, "version"), version, sizeof version);
		(void)jv_str(jv_get(doc, "state"), state, sizeof state);
	}
	if (rc == 0)
		rc = envoy_get(lb, ENVOY_OF_CLUSTERS, stats, &err);
	buf_release(&reply);
	if (rc < 0) {
		finding_failed(to, "admin", &err,
		               "start Envoy, or correct `admin` of this [lb]: the address of its admin listener");
		return false;
	}
	/* "HASH/1.40.0/Clean/RELEASE/BoringSSL" */
	const char *number = strchr(version, '/');
	if (strcmp(state, "LIVE") == 0) {
		finding_ok(to, "admin", "Envoy %.*s answers at %s", number ? (int)strcspn(number + 1, "/") : 0,
		           number ? number + 1 : "", lb->admin);
		return true;
	}
	(void)err_set(&err, ERR_UNAVAILABLE, "lb %s: Envoy at %s is %s, not LIVE", lb->conf->name, lb->admin, state);
	finding_failed(to, "admin", &err, "wait until it has started, or start it again");
	return true;
}

/* Does Envoy use this version of the file? */
static bool check_file(struct lb *lb, const char *stats, const char *backend, const struct findings *to)
{
	char name[LB_NAME + 64], is[ENVOY_VERSION], want[ENVOY_VERSION];
	struct err err = {0};
	struct filed f;
	const int rc = lb_filed_read(&lb->folder, backend, &f, &err);

	if (rc < 0) {
		if (err.code != ERR_NOT_FOUND) /* gone meanwhile */
			finding_failed(to, "in use", &err, "put the file back as it was, or remove it and " LB_SYNC);
		return err.code == ERR_NOT_FOUND;
	}
	envoy_version_of(f.old.p ? f.old.p : "", f.old.n, want);
	(void)snprintf(name, sizeof name, "cluster.%s.version_text", backend);
	const bool known = envoy_stat(stats, name, is, sizeof is);
	const bool good = known ? strcmp(is, want) == 0 : !f.list.n;
	if (!known && !good) {
		(void)envoy_no_cluster(lb, backend, &err);
		finding_failed(to, "in use", &err, "add that cluster, or remove %s/%s.json", lb->path, backend);
	} else if (!good) {
		(void)snprintf(name, sizeof name, "cluster.%s.update_rejected", backend);
		(void)err_set(
			&err, ERR_CONFLICT,
			"lb %s: backend %s: Envoy uses version \"%s\" of %s/%s.json, which is \"%s\" (rejected so far: %lld)",
			lb->conf->name, backend, is, lb->path, backend, want, (long long)envoy_count(stats, name));
		finding_failed(to, "in use", &err, LB_SYNC "; if it stays, Envoy's log says why it refuses the file");
	}
	lb_filed_release(&f);
	return good;
}

void envoy_check(struct lb *lb, const struct findings *to)
{
	struct buf stats = BUF_INIT(LB_REPLY_MAX);
	struct lb_names names = {0};
	struct err err;
	size_t bad = 0;

	lb_filed_try(&lb->folder, to);
	if (!lb->admin)
		finding_bad(to, FINDING_WARN, "admin", "no `admin` is set: nobody says whether Envoy uses what is written",
		            "set `admin` of this [lb] to the address of Envoy's admin listener");
	if (!lb->admin || !check_admin(lb, &stats, to))
		goto out;
	if (lb_filed_backends(&lb->folder, &names, &err) < 0) {
		finding_failed(to, "in use", &err, "let this user read the folder, or correct `folder` of this [lb]");
		goto out;
	}
	for (size_t i = 0; i < names.n; i++)
		bad += !check_file(lb, stats.p ? stats.p : "", names.v[i], to);
	if (!bad)
		finding_ok(to, "in use", "Envoy uses the files in %s as they are (%zu)", lb->path, names.n);
out:
	lb_names_release(&names);
	buf_release(&stats);
}
