/* What the driver traefik needs of a Traefik, tried. */
#include "base/limits.h"
#include "lb/traefik.h"

#include <stdio.h>

#include "base/banned.h"

/* The version, "" when it does not answer, which is told. */
static bool check_api(struct lb *lb, struct traefik_look *look, const struct findings *to)
{
	char version[48] = "";
	struct err err = {0};
	struct jv doc;

	if (traefik_get(lb, look, "/api/version", &err) < 0) {
		finding_failed(
			to, "admin", &err,
			"start Traefik with `api` (insecure, or behind a router of its own), or correct `admin` of this [lb]");
		return false;
	}
	if (jv_scan(look->reply.p ? look->reply.p : "", look->reply.n, &doc, NULL, 0, NULL, &err) < 0 ||
	    !jv_str(jv_get(doc, "Version"), version, sizeof version)) {
		(void)err_set(&err, ERR_REMOTE, "lb %s: %s does not tell Traefik's version", lb->conf->name, lb->admin.base);
		finding_failed(to, "admin", &err, "correct `admin` of this [lb]: it is the address of Traefik's API");
		return false;
	}
	if (traefik_look(lb, look, &err) < 0) {
		finding_failed(to, "admin", &err, "let this machine ask for /api/rawdata there");
		return false;
	}
	finding_ok(to, "admin", "Traefik %s answers at %s", version, lb->admin.base);
	return true;
}

static bool check_file(struct lb *lb, const struct traefik_look *look, const char *backend, const struct findings *to)
{
	struct err err = {0};
	struct filed f;
	int rc = lb_filed_read(&lb->folder, backend, &f, &err);

	if (rc < 0 && err.code == ERR_NOT_FOUND)
		return true; /* gone meanwhile */
	if (rc < 0) {
		finding_failed(to, "in use", &err, "put the file back as it was, or remove it and " LB_SYNC);
	} else if ((rc = traefik_used(lb, look, &f, &err)) > 0) {
		(void)err_set(&err, ERR_CONFLICT, "lb %s: backend %s: Traefik does not use its file as it is", lb->conf->name,
		              backend);
		finding_failed(
			to, "in use", &err,
			"look into Traefik's log: one file in %s that it cannot read freezes all of them; mend or remove that "
			"one, then " LB_SYNC,
			lb->path);
	} else if (rc < 0) {
		finding_failed(to, "in use", &err, "take away what stands against it, then " LB_SYNC);
	}
	lb_filed_release(&f);
	return rc == 0;
}

static void check_files(struct lb *lb, const struct traefik_look *look, const struct findings *to)
{
	struct lb_names names;
	struct err err;
	size_t bad = 0;

	if (lb_filed_backends(&lb->folder, &names, &err) < 0) {
		finding_failed(to, "in use", &err, "let this user read the folder, or correct `folder` of this [lb]");
		return;
	}
	for (size_t i = 0; i < names.n; i++)
		bad += !check_file(lb, look, names.v[i], to);
	if (!bad)
		finding_ok(to, "in use", "Traefik uses our files in %s as they are (%zu)", lb->path, names.n);
	lb_names_release(&names);
}

void traefik_check_all(struct lb *lb, const struct findings *to)
{
	struct traefik_look look = {0};

	if (lb->folder.path)
		lb_filed_try(&lb->folder, to);
	if (!lb->admin.base)
		finding_bad(to, FINDING_WARN, "admin", "no `admin` is set: nobody says whether Traefik uses what is written",
		            "set `admin` of this [lb] to the address of Traefik's API");
	else if (check_api(lb, &look, to) && lb->folder.path)
		check_files(lb, &look, to);
	traefik_look_release(&look);
}
