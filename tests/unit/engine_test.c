/* The engine room against a real engine: DOCKER_HOST names one with the images webapp:1, img:1 and img:2 (tests/rig/up
 * docker). Copies are asked for in tests/copies.bats. */
#include "base/clock.h"
#include "base/http.h"
#include "base/limits.h"
#include "engine/engine.h"
#include "tests/unit/tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define SOURCE "as-test-source"
#define READY_MS 15000
#define NET1 "10.91.0" /* of network n1, a /24 */

static const struct engine_driver *const docker = &engine_docker;
static struct engine *engine;
static struct conf_host host = {.name = "h1"};
static char folder[] = "/tmp/as-engine-test-XXXXXX";

/* ---- the shell, for what only a person does ---- */

static pid_t start(const char *script)
{
	const pid_t pid = fork();

	if (pid == 0) {
		const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)dup2(open("errors", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), 2);
		(void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void show_errors(const char *script)
{
	char line[300];
	FILE *f = fopen("errors", "re");

	printf("# sh: %s\n", script);
	while (f && fgets(line, sizeof line, f))
		printf("#   %s", line);
	if (f)
		(void)fclose(f);
}

/* Runs in the test's own folder. */
static bool sh(const char *script)
{
	int status = -1;
	const pid_t pid = start(script);

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool must(const char *script)
{
	const bool good = sh(script);

	if (!good)
		show_errors(script);
	return good;
}

static void write_json(const char *file, const json_t *value)
{
	if (json_dump_file(value ? value : json_null(), file, JSON_ENCODE_ANY) < 0)
		printf("# cannot write %s\n", file);
}

/* True when jq says true of the documents $s0 and $c0. */
static bool jq(const json_t *s, const json_t *c, const char *expression)
{
	static const char defs[] = "$s[0] as $s0 | $c[0] as $c0 | ";
	struct buf script = BUF_INIT(1u << 20);
	FILE *f;

	write_json("s.json", s);
	write_json("c.json", c);
	buf_printf(&script, "%s%s", defs, expression);
	f = fopen("check.jq", "we");
	if (!f || !script.p || fputs(script.p, f) < 0)
		printf("# cannot write check.jq\n");
	if (f)
		(void)fclose(f);
	buf_release(&script);
	return must("jq -n -e --slurpfile s s.json --slurpfile c c.json -f check.jq");
}

/* ---- small steps ---- */

static json_t *look(const char *id)
{
	struct err err = {0};
	json_t *doc = NULL;

	if (docker->inspect(engine, id, &doc, &err) < 0)
		printf("# inspect %s: %s\n", id, err.message);
	return doc;
}

static bool is_gone(const char *id)
{
	struct err err = {0};
	json_t *doc = NULL;
	const bool gone = docker->inspect(engine, id, &doc, &err) < 0 && err.code == ERR_NOT_FOUND;

	json_decref(doc);
	return gone;
}

static void take_away(const char *id)
{
	struct err err = {0};
	bool already;

	if (docker->remove(engine, id, true, &already, &err) < 0)
		printf("# remove %s: %s\n", id, err.message);
}

static bool make(const char *name, const char *request, char id[65], struct err *err)
{
	json_t *doc = json_loads(request, 0, NULL);
	const bool made = docker->create(engine, name, doc, id, err) == 0;

	json_decref(doc);
	return made;
}

/* Until ready or failed, or the time is over. */
static bool wait_ready(const char *id, const char *rule, struct ready_target *t)
{
	const int64_t deadline = clock_monotonic_ms() + READY_MS;

	do {
		json_t *doc = look(id);
		*t = (struct ready_target){.inspect = doc, .rule = rule};
		ready_check(NULL, t, 1, 1000);
		json_decref(doc);
		t->inspect = NULL;
		if (!t->ready && !t->failed)
			clock_sleep_ms(20);
	} while (!t->ready && !t->failed && clock_monotonic_ms() < deadline);
	return t->ready;
}

/* ---- the calls ---- */

static void test_life(void)
{
	char id[65] = "", none[65] = "", part[17];
	struct err err = {0};
	json_t *doc = NULL, *list = NULL;
	bool already;
	struct ready_target t;

	OK(docker->ping(engine, &err) == 0, "an engine is found and its version agreed: %s", err.message);
	OK(make("as-test-life", "{\"Image\":\"webapp:1\",\"Labels\":{\"as.test\":\"a b\\\"&=/\"}}", id, &err) &&
	       strlen(id) == 64,
	   "a container is created: %s", err.message);
	OK(docker->start(engine, id, &already, &err) == 0 && !already, "it is started");
	OK(docker->start(engine, id, &already, &err) == 0 && already, "a second start finds it running");
	OK(docker->inspect(engine, id, &doc, &err) == 0 && json_is_object(doc), "it is seen by its id");
	json_decref(doc);
	OK(docker->inspect(engine, "as-test-life", &doc, &err) == 0, "and by its name");
	json_decref(doc);
	(void)snprintf(part, sizeof part, "%.12s", id);
	OK(docker->inspect(engine, part, &doc, &err) == 0, "and by its short id");
	json_decref(doc);
	(void)snprintf(part, sizeof part, "%.8s", id);
	OK(docker->inspect(engine, part, &doc, &err) < 0 && err.code == ERR_NOT_FOUND,
	   "but not by another beginning of its id: %s", err.message);
	OK(docker->stop(engine, part, 0, &already, &err) == 0 && already && !is_gone(id),
	   "a stop of a name that begins its id does not touch it");
	OK(docker->remove(engine, part, true, &already, &err) == 0 && already && !is_gone(id), "nor does a removal");
	OK(docker->start(engine, part, &already, &err) < 0 && err.code == ERR_NOT_FOUND, "nor can it be started so");

	OK(docker->list(engine, "as.test", &list, &err) == 0 && json_array_size(list) == 1, "it is listed by its label");
	json_decref(list);
	OK(docker->list(engine, "as.test=a b\"&=/", &list, &err) == 0 && json_array_size(list) == 1,
	   "and by the label's value, whatever bytes it has");
	json_decref(list);
	OK(docker->list(engine, "as.test=a", &list, &err) == 0 && json_array_size(list) == 0, "but not by a part of it");
	json_decref(list);
	OK(docker->list(engine, NULL, &list, &err) == 0 && json_array_size(list) >= 1, "all are listed without one");
	json_decref(list);

	OK(wait_ready(id, "", &t), "it gets ready: %s", t.why);
	OK(!make("as-test-life", "{\"Image\":\"webapp:1\"}", none, &err) && err.code == ERR_CONFLICT && !err.retry,
	   "its name can be had once");
	IS_STR(err.message, "host h1: 409 name \"as-test-life\" is in use", "and the message says who has it");
	OK(docker->stop(engine, id, 900, &already, &err) == 0 && !already, "it is stopped");
	OK(docker->stop(engine, id, 900, &already, &err) == 0 && already, "a second stop finds it stopped");
	OK(docker->remove(engine, id, false, &already, &err) == 0 && !already, "it is removed");
	OK(docker->remove(engine, id, false, &already, &err) == 0 && already, "a second removal finds it gone");
	OK(docker->stop(engine, id, 0, &already, &err) == 0 && already, "a stop too");
	OK(docker->start(engine, id, &already, &err) < 0 && err.code == ERR_NOT_FOUND, "a start does not: %s", err.message);
	OK(docker->inspect(engine, "as-test-life", &doc, &err) < 0 && err.code == ERR_NOT_FOUND, "and its name is free: %s",
	   err.message);
}

static void test_refusals(void)
{
	char id[65] = "", image[80] = "";
	struct err err = {0};
	bool already;
	json_t *config = NULL;

	OK(!make("as-test-bad", "{\"Image\":\"no-such:1\"}", id, &err) && err.code == ERR_NOT_FOUND && !err.retry &&
	       strstr(err.message, "404 no image no-such:1"),
	   "an image that is not there: %s", err.message);
	OK(!make("as-test-bad", "{\"Image\":\"webapp:1\",\"HostConfig\":{\"Memory\":1}}", id, &err) &&
	       err.code == ERR_REMOTE && !err.retry,
	   "a request that the engine does not like: %s", err.message);
	OK(!make("no good", "{\"Image\":\"webapp:1\"}", id, &err) && err.code == ERR_REMOTE,
	   "a name that it does not like: %s", err.message);
	OK(make("as-test-net", "{\"Image\":\"webapp:1\",\"HostConfig\":{\"NetworkMode\":\"as-none\"}}", id, &err) &&
	       docker->start(engine, id, &already, &err) < 0 && err.code == ERR_REMOTE,
	   "a network that is not there is no missing container: %s", err.message);
	take_away(id);

	OK(docker->image_id(engine, "img:1", image, &err) == 0 && strncmp(image, "sha256:", 7) == 0, "an image has an id");
	OK(docker->image_id(engine, "img:none", image, &err) < 0 && err.code == ERR_NOT_FOUND, "unless it is not there: %s",
	   err.message);
	OK(docker->image_config(engine, "img:1", &config, &err) == 0 &&
	       json_array_size(json_object_get(config, "Entrypoint")) == 2,
	   "and a configuration");
	json_decref(config);
}

/* Two networks, twice: what is done already is success. */
/* A load balancer in a container is told by a signal, and tested by its own program. */
static void test_signal_and_exec(void)
{
	const char *const speak[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
	const char *const quiet[] = {"true", NULL}, *const none[] = {"no-such-program", NULL};
	const char *const much[] = {"sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i + 1)); done", NULL};
	struct buf out = BUF_INIT(1u << 20);
	struct err err = {0};
	char id[65] = "";
	bool already;
	int status = 0;

	if (!OK(make("as-test-exec",
	             "{\"Image\":\"webapp:1\",\"Entrypoint\":[\"sh\",\"-c\",\"trap 'echo >/tmp/hup' HUP; while :; do sleep "
	             "1 & "
	             "wait; done\"]}",
	             id, &err) &&
	            docker->start(engine, id, &already, &err) == 0,
	        "a container to be told something: %s", err.message))
		return;
	OK(docker->exec(engine, "as-test-exec", speak, &out, &status, &err) == 0 && status == 3,
	   "a program is run in it and ends with %d: %s", status, err.message);
	OK(out.p && strstr(out.p, "out\n") && strstr(out.p, "err\n") && out.n == 8,
	   "what it says on both outputs is heard");
	buf_reset(&out);
	OK(docker->exec(engine, id, quiet, &out, &status, &err) == 0 && status == 0 && out.n == 0, "one that says nothing");
	OK(docker->exec(engine, id, much, &out, &status, &err) == 0 && status == 0 && out.n == 33000,
	   "one that says much: %zu bytes", out.n);
	OK(docker->exec(engine, id, none, &out, &status, &err) < 0 || status == 126 || status == 127,
	   "one that is not there fails: %d", status);
	const char *const heard[] = {"ls", "/tmp/hup", NULL};
	OK(docker->exec(engine, id, heard, &out, &status, &err) == 0 && status != 0, "no signal has come yet");
	OK(docker->signal(engine, "as-test-exec", "HUP", &err) == 0, "a signal is sent: %s", err.message);
	for (int i = 0; i < 200 && status; i++) {
		(void)docker->exec(engine, id, heard, &out, &status, &err);
		clock_sleep_ms(status ? 20 : 0);
	}
	OK(status == 0, "and arrives");
	(void)docker->stop(engine, id, 0, &already, &err);
	OK(docker->signal(engine, id, "HUP", &err) < 0 && err.code == ERR_CONFLICT, "one that is stopped hears none: %s",
	   err.message);
	OK(docker->exec(engine, id, quiet, &out, &status, &err) < 0 && err.code == ERR_CONFLICT, "nor runs anything: %s",
	   err.message);
	take_away(id);
	OK(docker->signal(engine, id, "HUP", &err) < 0 && err.code == ERR_NOT_FOUND, "nor one that is gone: %s",
	   err.message);
	buf_release(&out);
}

static void test_networks(void)
{
	char id[65] = "";
	struct err err = {0};
	json_t *endpoint = json_pack("{s:[s]}", "Aliases", "m2"), *doc;
	bool already;

	if (!OK(make("as-test-nets", "{\"Image\":\"webapp:1\",\"HostConfig\":{\"NetworkMode\":\"n1\"}}", id, &err),
	        "a container in one network: %s", err.message))
		return;
	OK(docker->connect(engine, "n2", id, endpoint, &err) == 0, "joins a second before its start: %s", err.message);
	OK(docker->start(engine, id, &already, &err) == 0, "starts");
	OK(docker->connect(engine, "n2", id, endpoint, &err) == 0, "joins it again, and is in it already: %s", err.message);
	doc = look(id);
	OK(jq(doc, NULL,
	      "$s0.NetworkSettings.Networks | keys == [\"n1\",\"n2\"] and (.n2.Aliases | index(\"m2\") != null)"),
	   "it is in both, by the alias that it was given");
	json_decref(doc);
	OK(docker->connect(engine, "as-none", id, endpoint, &err) < 0 && err.code == ERR_NOT_FOUND,
	   "cannot join one that is not there: %s", err.message);
	err = (struct err){0};
	OK(docker->disconnect(engine, "n2", id, &err) == 0, "leaves it: %s", err.message);
	OK(docker->disconnect(engine, "n2", id, &err) == 0, "leaves it again, and is out already: %s", err.message);
	take_away(id);
	json_decref(endpoint);
}

/* ---- peers that are not well ---- */

static struct engine *open_url(const char *url, const char *certs, struct err *err)
{
	static struct conf_host hosts[64]; /* each lives as long as its engine */
	static size_t n;
	struct conf_host *h = &hosts[n++ % 64];

	free(h->url);
	free(h->cert_path);
	h->name = "x";
	h->url = strdup(url);
	h->cert_path = certs ? strdup(certs) : NULL;
	*err = (struct err){0};
	return docker->open(h, NULL, err);
}

/* AS_TEST_SHOW=1 shows the messages of those that are as they should be, too. */
static void expect(const char *url, const char *certs, enum err_code code, const char *words, const char *name)
{
	struct err err;
	struct engine *e = open_url(url, certs, &err);

	if (e)
		(void)docker->ping(e, &err);
	const bool good = err.code == code && strstr(err.message, words) && err.retry == (code == ERR_UNAVAILABLE);
	if (!OK(good, "%s", name) || getenv("AS_TEST_SHOW"))
		printf("# %s: %s%s\n", err_name(err.code), err.message, err.retry ? " (retry)" : "");
	docker->close(e);
}

/* Another user, who may not connect to the socket. */
static void expect_denied(const char *url)
{
	int status = 0;
	(void)fflush(NULL);
	const pid_t pid = fork();

	if (pid == 0) {
		struct err err = {0};
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		struct engine *e = open_url(url, NULL, &err);
		_exit(e && docker->ping(e, &err) < 0 && err.code == ERR_DENIED && !err.retry ? 0 : 1);
	}
	(void)waitpid(pid, &status, 0);
	OK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a socket that we may not use is denied, not unavailable");
}

/* A port on which nobody answers; *fd to be closed. */
static int silent_port(int *fd, int backlog)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&a, n) < 0 || listen(*fd, backlog) < 0 ||
	    getsockname(*fd, (struct sockaddr *)&a, &n) < 0)
		return -1;
	return ntohs(a.sin_port);
}

/* Takes every place in the queue of a port that accepts nothing, until the process ends. */
static void fill(int port)
{
	const struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};

	for (int i = 0; i < 16; i++)
		(void)connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), (const struct sockaddr *)&a,
		              sizeof a);
}

static void test_http(void)
{
	char base[64];
	struct buf reply = BUF_INIT(1000);
	struct err err = {0};
	int fd;
	long status = 0;
	const int port = silent_port(&fd, 4);

	(void)snprintf(base, sizeof base, "http://127.0.0.1:%d", port);
	struct http_target target = {.base = base, .name = "peer", .call_ms = 300};
	struct http *h = http_new(&target, &err);
	const int64_t began = clock_monotonic_ms();
	OK(h && http_call(h, "GET", "/", NULL, 0, NULL, 0, &reply, &status, &err) < 0 && err.code == ERR_UNAVAILABLE &&
	       err.retry && strstr(err.message, "no complete answer to GET /"),
	   "a peer that says nothing is unavailable: %s", err.message);
	OK(clock_monotonic_ms() - began < 1300, "within the limit");
	http_free(h);
	fill(port);
	target.connect_ms = 200;
	target.call_ms = 0;
	h = http_new(&target, &err);
	OK(h && http_call(h, "GET", "/", NULL, 0, NULL, 0, &reply, &status, &err) < 0 && err.code == ERR_UNAVAILABLE &&
	       err.retry && strstr(err.message, "cannot connect to http://127.0.0.1:"),
	   "a peer that does not accept is unavailable: %s", err.message);
	http_free(h);

	target = (struct http_target){
		.unix_path = host.url + strlen("unix://"), .base = "http://localhost", .name = "peer", .header = "api-version"};
	h = http_new(&target, &err);
	OK(h && http_call(h, "GET", "/_ping", NULL, 0, NULL, 0, &reply, &status, &err) == 0 && status == 200 &&
	       *http_header(h),
	   "an answer's header is kept");
	OK(h && http_call(h, "GET", "/info", NULL, 0, NULL, 0, &reply, &status, &err) < 0 && err.code == ERR_LIMIT,
	   "an answer larger than the buffer is an error: %s", err.message);
	OK(h && http_call(h, "GET", "/_ping", NULL, 0, NULL, 0, &reply, &status, &err) == 0 && status == 200,
	   "and the next call works again");
	OK(h && http_call(h, "GET", "/events", NULL, 0, NULL, 200, &reply, &status, &err) < 0 &&
	       err.code == ERR_UNAVAILABLE && strstr(err.message, "no complete answer to GET /events"),
	   "a stream that does not end is cut: %s", err.message);
	OK(h && http_call(h, "GET", "//%2e%2e/_ping", NULL, 0, NULL, 0, &reply, &status, &err) == 0 && status != 200,
	   "a redirect is not followed");
	http_free(h);
	buf_release(&reply);
	(void)close(fd);
}

static void test_peers(void)
{
	char url[64];
	int fd;
	const int port = silent_port(&fd, 4);

	expect("unix:///nowhere/docker.sock", NULL, ERR_UNAVAILABLE, "cannot connect to /nowhere/docker.sock: No such file",
	       "a socket that is not there");
	(void)close(fd);
	(void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
	expect(url, NULL, ERR_UNAVAILABLE, "Connection refused", "a port that nobody has");
	expect("ssh://me:p@h", NULL, ERR_CONFIG, "use ssh://USER@HOST", "a password in the url of ssh");
	expect("ssh://-oProxyCommand=x", NULL, ERR_CONFIG, "use ssh://USER@HOST", "an option in the place of a host");
	expect("ssh://h/$(x)", NULL, ERR_CONFIG, "use ssh://USER@HOST", "a path that a shell would read otherwise");
	expect("ssh://h:0", NULL, ERR_CONFIG, "use ssh://USER@HOST", "a port of ssh that is none");
	expect("https://h:2376", NULL, ERR_CONFIG, "use tcp://HOST:PORT", "https, as the docker command refuses it");
	expect("tcp://h:99999", NULL, ERR_CONFIG, "a port from 1 to 65535", "a port that is none");
	expect("tcp://:1", NULL, ERR_CONFIG, "use tcp://HOST:PORT", "no host");
	expect("tcp://u:p@h:1", NULL, ERR_CONFIG, "use tcp://HOST:PORT", "a password in the url");
	expect("tcp://h/x", NULL, ERR_CONFIG, "a path is not supported", "a path");
	expect("docker.sock", NULL, ERR_CONFIG, "use unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST", "no scheme");
	if (geteuid() == 0)
		expect_denied(host.url);
}

/* A TLS front before the same engine: `verify=1` makes it ask for a client's certificate, as dockerd --tlsverify. */
static void test_tls(void)
{
	static const char certificates[] =
		"set -e; mk() { openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1/$2.pem"
		" -out r.csr -subj /CN=$3; openssl x509 -req -in r.csr -CA $4/ca.pem -CAkey $4/ca-key.pem -CAcreateserial"
		" -out $1/$5.pem -days ${6:-1} -extfile ext -extensions $7; };"
		"printf "
		"'[s]\\nsubjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n[c]\\nextendedKeyUsage=clientAuth\\n' >ext;"
		"for d in good foreign wrongca; do mkdir $d; done; for d in good foreign; do openssl req -x509 -newkey ec"
		" -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $d/ca-key.pem -out $d/ca.pem -subj /CN=$d -days 1; done;"
		"mk good server-key 127.0.0.1 good server 1 s; mk good key client good cert 1 c;"
		"mk foreign key client foreign cert 1 c; cp good/cert.pem good/key.pem wrongca; cp foreign/ca.pem wrongca;"
		"cp good/ca.pem foreign/ca.pem; mkdir usage; cp good/ca.pem usage; cp good/server.pem usage/cert.pem;"
		"cp good/server-key.pem usage/key.pem; mkdir empty";
	char script[400], url[64], path[80];
	int fd;
	const int port = silent_port(&fd, 4);
	struct err err;

	if (!sh("command -v socat && command -v openssl")) {
		OK(true, "TLS # SKIP socat or openssl is not here");
		return;
	}
	if (!OK(must(certificates), "certificates are made"))
		return;
	(void)close(fd);
	(void)snprintf(
		script, sizeof script,
		"exec socat OPENSSL-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork,cert=good/server.pem,key=good/server-key.pem,"
		"cafile=good/ca.pem,verify=1 UNIX-CONNECT:%s",
		port, host.url + strlen("unix://"));
	const pid_t front = start(script);
	(void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
	(void)snprintf(script, sizeof script,
	               "for i in $(seq 100); do bash -c '</dev/tcp/127.0.0.1/%d' && exit; sleep 0.02; done; false", port);
	OK(must(script), "a TLS front listens");

	(void)snprintf(path, sizeof path, "%s/good", folder);
	struct engine *e = open_url(url, path, &err);
	OK(e && docker->ping(e, &err) == 0, "with our certificate the engine answers over TLS: %s", err.message);
	docker->close(e);
	(void)snprintf(path, sizeof path, "%s/foreign", folder);
	expect(url, path, ERR_DENIED, "tls: certificate refused",
	       "a foreign client certificate is refused, and never tried again");
	(void)snprintf(path, sizeof path, "%s/wrongca", folder);
	expect(url, path, ERR_DENIED, "the certificate of https://127.0.0.1", "a server of another authority is refused");
	(void)snprintf(path, sizeof path, "%s/usage", folder);
	expect(url, path, ERR_DENIED, "tls: certificate refused", "a server's certificate is no client's");
	(void)snprintf(path, sizeof path, "%s/empty", folder);
	expect(url, path, ERR_DENIED, "look at cert_path", "certificate files that are not there");
	(void)snprintf(path, sizeof path, "%s/good", folder);
	(void)snprintf(url, sizeof url, "tcp://localhost:%d", port);
	expect(url, path, ERR_DENIED, "the certificate of https://localhost", "a server of another name is refused");
	(void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", port);
	e = open_url(url, NULL, &err);
	OK(e && docker->ping(e, &err) < 0, "without TLS a TLS port does not answer: %s", err.message);
	docker->close(e);
	(void)kill(front, SIGTERM);
	(void)waitpid(front, NULL, 0);

	(void)snprintf(script, sizeof script, "exec socat TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork UNIX-CONNECT:%s",
	               port, host.url + strlen("unix://"));
	const pid_t plain = start(script);
	(void)snprintf(script, sizeof script,
	               "for i in $(seq 100); do bash -c '</dev/tcp/127.0.0.1/%d' && exit; sleep 0.02; done; false", port);
	OK(must(script), "a plain front listens");
	expect(url, path, ERR_DENIED, "no TLS with https://127.0.0.1", "a plain port does not answer over TLS");
	e = open_url(url, NULL, &err);
	OK(e && docker->ping(e, &err) == 0, "and answers without: %s", err.message);
	docker->close(e);
	(void)kill(plain, SIGTERM);
	(void)waitpid(plain, NULL, 0);
}

/* ---- readiness ---- */

static void ready_is(const json_t *doc, const char *rule, const char *address, bool ready, bool failed, const char *why)
{
	struct ready_target t = {.inspect = doc, .rule = rule, .host_address = address};

	ready_check(NULL, &t, 1, 2000);
	OK(t.ready == ready && t.failed == failed && strstr(t.why, why), "ready by \"%s\"%s%s: %s %s%s", rule,
	   address ? " at " : "", address ? address : "",
	   ready    ? "yes"
	   : failed ? "never"
	            : "not yet",
	   t.ready ? "" : "because ", t.why);
}

/* More containers than sockets are opened at once, as if each had the host's network. */
static void test_many(void)
{
	struct ready_target many[300];
	char rule[16];
	int fd;
	const int port = silent_port(&fd, 1024);
	json_t *doc = json_loads("{\"State\":{\"Status\":\"running\"},\"HostConfig\":{\"NetworkMode\":\"host\"}}", 0, NULL);
	size_t n = 0, silent = 0;

	(void)snprintf(rule, sizeof rule, "tcp:%d", port);
	for (size_t i = 0; i < 300; i++)
		many[i] = (struct ready_target){.inspect = doc, .rule = i % 3 ? rule : "tcp:1"};
	ready_check(NULL, many, 300, 3000);
	for (size_t i = 0; i < 300; i++)
		n += many[i].ready;
	IS(n, 200, "of 300 asked at once the 200 that answer are ready");

	(void)snprintf(rule, sizeof rule, "http:%d/", port);
	for (size_t i = 0; i < 300; i++)
		many[i].rule = rule;
	const int64_t began = clock_monotonic_ms();
	ready_check(NULL, many, 300, 300);
	const int64_t took = clock_monotonic_ms() - began;
	for (size_t i = 0; i < 300; i++)
		silent += !many[i].ready && !many[i].failed && strstr(many[i].why, "does not answer");
	IS(silent, 300, "300 that accept and say nothing are not ready");
	OK(took >= 300 && took < 1000, "within the time for all of them together (%lld of 300 ms)", (long long)took);
	json_decref(doc);
	(void)close(fd);
}

static void test_ready(void)
{
	struct ready_target t;
	const char *address = getenv("AS_RIG_DOCKER_ADDR");
	struct err err = {0};
	bool already;
	json_t *doc;

	if (!OK(must("docker run -d --name as-test-ready -p 80 webapp:1 && docker run -d --name as-test-health img:1 &&"
	             "docker run --name as-test-exit webapp:1 sh -c 'exit 3'; docker create --name as-test-never webapp:1"),
	        "containers to look at"))
		return;
	OK(wait_ready("as-test-ready", "", &t), "a port that is open is ready: %s", t.why);
	doc = look("as-test-ready");
	ready_is(doc, "tcp:80", NULL, true, false, "");
	ready_is(doc, "tcp:81", NULL, false, false, "Connection refused");
	ready_is(doc, "http:80/", NULL, true, false, "");
	ready_is(doc, "http:80/none", NULL, false, false, "answers 404");
	ready_is(doc, "http:80", NULL, true, false, "");
	ready_is(doc, "health", NULL, false, true, "no health check");
	ready_is(doc, "tcp:0", NULL, false, true, "use health, tcp:PORT or http:PORT/PATH");
	ready_is(doc, "http:80/a b", NULL, false, true, "use health");
	ready_is(doc, "yes", NULL, false, true, "use health");
	if (address)
		ready_is(doc, "tcp:80", address, true, false, "");
	t = (struct ready_target){.inspect = doc, .network = "n1"};
	ready_check(NULL, &t, 1, 100);
	OK(!t.ready && strstr(t.why, "no address in network n1"), "in a network that it is not in: %s", t.why);
	json_decref(doc);

	OK(wait_ready("as-test-health", "", &t), "a health check that succeeds is ready: %s", t.why);
	doc = look("as-test-exit");
	ready_is(doc, "", NULL, false, true, "exit status 3");
	json_decref(doc);
	doc = look("as-test-never");
	ready_is(doc, "", NULL, false, false, "it is created");
	json_decref(doc);
	OK(must("docker pause as-test-ready"), "paused");
	doc = look("as-test-ready");
	ready_is(doc, "", NULL, false, false, "it is paused");
	json_decref(doc);
	OK(docker->stop(engine, "as-test-ready", 1000, &already, &err) == 0, "a paused container is stopped too: %s",
	   err.message);
	take_away("as-test-ready");
	take_away("as-test-health");
	take_away("as-test-exit");
	take_away("as-test-never");
}

/* ---- how a container is shown ---- */

#define RUN "docker run -d --name " SOURCE " "

static void test_views(void)
{
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	json_t *source, *container, *template;

	if (!OK(must(RUN "-e SECRET=hunter2 -e AUTOSCALE_MAX=4 --cpus 0.25 --memory 64m -v v1:/v:ro --network n1 -p 80"
	                 " --restart on-failure:2 img:1"),
	        "views: a source"))
		return;
	source = look(SOURCE);
	container_json(&b, source, "h1", true);
	OK(!strstr(b.p, "hunter2"), "views: a container shows no secret");
	container = json_loads(b.p, JSON_REJECT_DUPLICATES, NULL);
	buf_reset(&b);
	template_json(&b, source, "h1", NULL);
	OK(!strstr(b.p, "hunter2"), "views: nor does a template");
	template = json_loads(b.p, JSON_REJECT_DUPLICATES, NULL);
	OK(jq(container, template,
	      "$s0.state == \"running\" and ($s0.created | test(\"^20..-..-..T..:..:..[.]...Z$\")) and $s0.ready"
	      " and ($s0.addresses | keys == [\"n1\"]) and $s0.copy == false and $s0.variables == {AUTOSCALE_MAX: \"4\"}"
	      " and ($s0.ports | map(select(.port == 80 and .published > 0)) | length) >= 1"
	      " and $c0.cpu == 0.25 and $c0.memory == 67108864 and $c0.networks == [\"n1\"] and $c0.network_mode == \"n1\""
	      " and $c0.restart == \"on-failure:2\" and ($c0.env | sort) == [\"A\", \"AUTOSCALE_MAX\", \"B\", \"PATH\", "
	      "\"SECRET\"]"
	      " and ($c0.volumes | map(select(.source == \"v1\" and .rw == false and .destination == \"/v\")) | length) == "
	      "1"
	      " and ($c0.healthcheck.Test == [\"CMD\", \"true\"]) and $c0.entrypoint == [\"/bin/sh\", \"-c\"] and ($c0 | "
	      "has(\"create\") | not)"),
	   "views: what is shown is what docker run was told");
	json_decref(source);
	json_decref(container);
	json_decref(template);
	take_away(SOURCE);
	buf_release(&b);
}

static void test_volumes(void)
{
	struct err err = {0};
	bool there = false;

	OK(docker->volume_exists(engine, "v1", &there, &err) == 0 && there, "a volume is there: %s", err.message);
	OK(docker->volume_exists(engine, "as-none", &there, &err) == 0 && !there, "one is not: %s", err.message);
}

/* ---- before and after ---- */

#define COUNT "{ docker ps -aq; docker volume ls -q; docker network ls -q; docker images -q; } | sort >"

static bool prepare(void)
{
	return must("docker network create --subnet " NET1 ".0/24 n1 && docker network create --subnet 10.92.0.0/24 n2 &&"
	            "docker volume create v1");
}

static void clean_up(void) { (void)sh("docker volume rm v1; docker network rm n1 n2"); }

int main(void)
{
	struct err err = {0};

	host.url = getenv("DOCKER_HOST");
	if (!host.url || strncmp(host.url, "unix://", 7) != 0) {
		printf("1..0 # SKIP DOCKER_HOST does not name a socket (tests/rig/up docker)\n");
		return 0;
	}
	if (!mkdtemp(folder) || chdir(folder) < 0)
		return 1;
	engine = docker->open(&host, NULL, &err);
	test_life();
	test_refusals();
	test_signal_and_exec();
	test_http();
	test_peers();
	test_tls();
	test_many();
	if (!sh("command -v docker && command -v jq")) {
		OK(true, "networks and volumes # SKIP the docker command or jq is not here");
	} else if (OK(must(COUNT "before") && prepare(), "networks and containers to work with")) {
		test_networks();
		test_ready();
		test_views();
		test_volumes();
		clean_up();
		OK(must(COUNT "after && diff before after >&2"), "nothing is left behind");
	}
	docker->close(engine);
	if (chdir("/") == 0) {
		char script[80];
		(void)snprintf(script, sizeof script, "rm -rf %s", folder);
		(void)sh(script);
	}
	return DONE();
}
