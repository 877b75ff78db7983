/* What the driver nginx needs of an nginx, tried. */
#include "base/limits.h"
#include "lb/nginx.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static void check_process(struct lb *lb, const struct findings *to)
{
	struct err err;

	if (nginx_may_signal(lb, &err) == 0)
		finding_ok(to, "process", "nginx runs and may be told to reload");
	else if (err.code == ERR_DENIED)
		finding_failed(to, "process", &err, "run as the user of nginx's master process, which is root in most setups");
	else
		finding_failed(to, "process", &err,
		               "start nginx (systemctl start nginx), or set `pid` of this [lb] to its pid file");
}

static void check_test(struct lb *lb, const struct findings *to)
{
	char said[NGINX_TEXT], found[FINDING_TEXT];
	struct err err;
	const int rc = nginx_test(lb, said, sizeof said, &err);

	if (rc == 0) {
		finding_ok(to, "configuration", "nginx -t takes it");
	} else if (rc < 0) {
		finding_failed(to, "configuration", &err,
		               "let this user run nginx -t: is nginx installed here, or in a `container` of this [lb]?");
	} else {
		(void)snprintf(found, sizeof found, "nginx -t refuses its configuration: %s", said);
		if (strstr(said, "(13: Permission denied)"))
			finding_bad(to, FINDING_FAIL, "configuration", found,
			            "run as the user of nginx's master process: others may not test its configuration");
		else
			finding_bad(
				to, FINDING_FAIL, "configuration", found,
				"mend or remove what it names, until `nginx -t` is silent: before, nginx loads nothing, and would not "
				"start again");
	}
}

static void check_include(struct lb *lb, bool there, const struct findings *to)
{
	struct nginx_operator is;
	char found[FINDING_TEXT];

	nginx_look(lb, &is);
	if (!is.read || !there)
		return; /* elsewhere; or there is no file yet by which it could be seen */
	if (is.included) {
		finding_ok(to, "include", "nginx's configuration includes %s/as-*.conf", lb->path);
		return;
	}
	(void)snprintf(found, sizeof found, "nginx's configuration does not include the folder %s", lb->folder.path);
	finding_bad(to, FINDING_FAIL, "include", found,
	            "add `include %s/as-*.conf;` within http { } of %s and reload nginx", lb->path,
	            lb->main ? lb->main : "/etc/nginx/nginx.conf");
}

static void check_use(struct lb *lb, bool there, const struct findings *to)
{
	struct buf reply = BUF_INIT(LB_REPLY_MAX);
	struct err err = {0};
	bool answers = false;

	if (!*lb->base)
		finding_bad(to, FINDING_WARN, "admin",
		            "no `admin` is set: only new worker processes show that nginx loaded a change",
		            "add a server with `location = /as-gen { return 200 \"$as_gen\\n\"; }` and `location = /as-status "
		            "{ stub_status; "
		            "}` to nginx, and set `admin` of this [lb] to its address");
	else if (there && nginx_ask(lb, "/as-gen", &reply, &err) < 0)
		finding_failed(to, "admin", &err,
		               "start nginx, or correct `admin` of this [lb]; autoscale.conf(5) has the server that it needs");
	else if (nginx_ask(lb, "/as-status", &reply, &err) < 0)
		finding_failed(to, "admin", &err, "add `location = /as-status { stub_status; }` to that server of nginx");
	else
		answers = true;
	if (answers)
		finding_ok(to, "admin", "nginx answers at %s", lb->base);
	buf_release(&reply);
	if (!there)
		finding_ok(to, "in use", "nothing of ours was ever loaded from %s", lb->path);
	else if (*lb->base && !answers)
		return;
	else if (nginx_used(lb, &err) == 0)
		finding_ok(to, "in use", "nginx uses what is in %s", lb->path);
	else
		finding_failed(to, "in use", &err, LB_SYNC);
}

void nginx_check(struct lb *lb, const struct findings *to)
{
	struct nginx_gen gen;
	struct err err;

	lb_filed_try(&lb->folder, to);
	if (nginx_gen_read(lb, &gen, &err) < 0) {
		finding_failed(to, "folder", &err, "let this user read the folder, or correct `folder` of this [lb]");
		return;
	}
	check_process(lb, to);
	check_test(lb, to);
	check_include(lb, gen.there, to);
	check_use(lb, gen.there, to);
	buf_release(&gen.text);
}
