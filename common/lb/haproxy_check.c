/* What the driver haproxy needs of an HAProxy, tried. */
#include "base/limits.h"
#include "lb/haproxy.h"
#include "lb/haproxy_config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

static bool check_socket(struct lb *lb, const struct findings *to)
{
	const struct conf_lb *conf = lb->peer.conf;
	struct buf answer = BUF_INIT(LB_REPLY_MAX);
	char version[48] = "of unknown version", found[FINDING_TEXT];
	struct err err;

	if (haproxy_ask(&lb->peer, &answer, &err, "show info") < 0) {
		finding_failed(
			to, "socket", &err, "%s%s",
			err.code == ERR_DENIED
				? "let this user use the socket: `stats socket PATH mode 660 group GROUP level admin` in HAProxy's "
				  "`global`, and reload it; or run as a user of that group"
				: "start HAProxy (systemctl start haproxy), or correct `socket` of this [lb] to the path of its `stats "
				  "socket`",
			"");
		return false;
	}
	const char *line = strstr(answer.p, "Version: ");
	if (line)
		(void)snprintf(version, sizeof version, "%.*s", (int)strcspn(line + 9, "\n"), line + 9);
	finding_ok(to, "socket", "HAProxy %s answers at %s", version, conf->socket);
	if (haproxy_ask(&lb->peer, &answer, &err, "show cli level") < 0) {
		finding_failed(to, "rights", &err, "run this again; if it stays, restart HAProxy");
	} else if (haproxy_says(&answer, "admin")) {
		finding_ok(to, "rights", "the socket has level admin");
	} else {
		(void)snprintf(found, sizeof found, "the socket has level %.*s: no server can be added through it",
		               (int)strcspn(answer.p, "\r\n"), answer.p);
		finding_bad(to, FINDING_FAIL, "rights", found,
		            "add `level admin` to the line `stats socket %s` of HAProxy's `global` "
		            "and reload it",
		            conf->socket);
	}
	buf_release(&answer);
	return true;
}

static void check_master(const struct lb *lb, const struct findings *to)
{
	struct err err;

	if (haproxy_has_master(lb, &err) == 0)
		finding_ok(to, "master", "the master answers at %s", lb->peer.conf->master);
	else
		finding_failed(to, "master", &err,
		               "start HAProxy with its master socket (`haproxy -W -S %s`; Debian: EXTRAOPTS in "
		               "/etc/default/haproxy), let this "
		               "user use it, or correct `master` of this [lb]",
		               lb->peer.conf->master);
}

static void check_file(struct lb *lb, const struct haproxy_config *c, bool answers, const struct findings *to)
{
	const unsigned long uid = (unsigned long)geteuid();
	char found[FINDING_TEXT];
	struct err err = {0};

	if (haproxy_config_check(c, &err) == 0)
		finding_ok(to, "configuration", "haproxy -c takes %s", c->file);
	else
		finding_failed(
			to, "configuration", &err,
			"mend that in %s (`haproxy -c -f %s` shows it): until then it would not start again, and nothing is saved",
			c->file, c->file);
	if (haproxy_config_try(c, &err) == 0)
		finding_ok(to, "writing", "%s can be replaced", c->file);
	else
		finding_failed(
			to, "writing", &err,
			"give this user (uid %lu) the file and its folder, where the new one is made before it takes the old "
			"one's place: "
			"chown %lu both, or run as %lu",
			uid, uid, (unsigned long)c->st.st_uid);
	if (haproxy_config_pending(c)) {
		(void)snprintf(found, sizeof found, "a run was cut short: HAProxy may not have loaded what is in %s",
		               lb->peer.conf->config);
		finding_bad(to, FINDING_WARN, "reload", found, LB_SYNC);
	}
	if (answers && haproxy_agrees(lb, c, to, &err) < 0)
		finding_failed(to, "saved servers", &err, "mend the markers `# as-lb ...` in %s", c->file);
}

void haproxy_check(struct lb *lb, const struct findings *to)
{
	const struct conf_lb *conf = lb->peer.conf;
	const bool answers = check_socket(lb, to);
	struct haproxy_config c;
	struct err err;

	if (conf->master)
		check_master(lb, to);
	if (!conf->config) {
		finding_bad(to, FINDING_WARN, "saved servers", "no `config` is set: a restart of HAProxy forgets the servers",
		            "set `config` of this [lb] to HAProxy's configuration file");
		return;
	}
	if (haproxy_config_read(&c, conf->config, &err) == 0)
		check_file(lb, &c, answers, to);
	else
		finding_failed(to, "configuration", &err, "correct `config` of this [lb], or let this user (uid %lu) read %s",
		               (unsigned long)geteuid(), conf->config);
	haproxy_config_close(&c);
}
