/* Conventions: what labels and variables of other tools become, row by row, and what does not become anything. */
#include "policy/policy.h"

#include "tap.h"

#include "base/banned.h"

#define V(vars) "{'labels':{},'variables':{" vars "},'ports':[{'port':8080,'protocol':'tcp'}]}"
#define L(labels) "{'labels':{" labels "},'variables':{},'ports':[{'port':8080,'protocol':'tcp'}]}"
#define R1 "'traefik.http.routers.a.rule':"
#define S1 "'traefik.http.services.s.loadbalancer.server.port':"

enum { NOTHING, VH, TR, DF, DC, EH, CA };

struct row {
	const char *name, *container;
	int of;                            /* the only one that is switched on; -1: dockercloud, which it does not follow */
	const char *rule, *port, *network; /* NULL: no such field */
	int warnings;
};

static const struct row rows[] = {
	/* nginx-proxy */
	{"a name", V("'VIRTUAL_HOST':'A.example'"), VH, "Host(`a.example`)", NULL, NULL, 0},
	{"names", V("'VIRTUAL_HOST':'b.example, a.example,'"), VH, "Host(`a.example`) || Host(`b.example`)", NULL, NULL, 0},
	{"any name below", V("'VIRTUAL_HOST':'*.a.example'"), VH, "Host(`*.a.example`)", NULL, NULL, 0},
	{"a pattern is left out", V("'VIRTUAL_HOST':'~^www\\\\.a$,b.example'"), VH, "Host(`b.example`)", NULL, NULL, 1},
	{"a wildcard at the end is", V("'VIRTUAL_HOST':'www.a.*'"), VH, NULL, NULL, NULL, 1},
	{"a port", V("'VIRTUAL_HOST':'a','VIRTUAL_PORT':'3000'"), VH, "Host(`a`)", "3000", NULL, 0},
	{"a port that is none", V("'VIRTUAL_HOST':'a','VIRTUAL_PORT':'30 00'"), VH, "Host(`a`)", NULL, NULL, 1},
	{"no port, and nothing exposed", "{'labels':{},'variables':{'VIRTUAL_HOST':'a'},'ports':[]}", VH, "Host(`a`)", "80",
     NULL, 0},
	{"no port, and several exposed",
     "{'variables':{'VIRTUAL_HOST':'a'},'ports':[{'port':8080,'protocol':'tcp'},{'port':443,'protocol':'tcp'}]}", VH,
     "Host(`a`)", "80", NULL, 0},
	{"no port, and one exposed, published twice",
     "{'variables':{'VIRTUAL_HOST':'a'},'ports':[{'port':53,'protocol':'udp'},{'port':8080,'protocol':'tcp'},{'port':"
     "8080,"
     "'protocol':'tcp'}]}",
     VH, "Host(`a`)", NULL, NULL, 0},
	{"a path", V("'VIRTUAL_HOST':'a','VIRTUAL_PATH':'/x/'"), VH, "Host(`a`) && PathPrefix(`/x`)", NULL, NULL, 0},
	{"a path alone says nothing", V("'VIRTUAL_HOST':'','VIRTUAL_PATH':'/x/'"), NOTHING, NULL, NULL, NULL, 0},
	{"a path that is a pattern: no rule without it", V("'VIRTUAL_HOST':'a','VIRTUAL_PATH':'~^/x'"), VH, NULL, NULL,
     NULL, 1},
	{"another protocol", V("'VIRTUAL_HOST':'a','VIRTUAL_PROTO':'fastcgi'"), VH, NULL, NULL, NULL, 1},
	{"plain HTTP", V("'VIRTUAL_HOST':'a','VIRTUAL_PROTO':'http'"), VH, "Host(`a`)", NULL, NULL, 0},
	{"several ports in YAML", V("'VIRTUAL_HOST':'a','VIRTUAL_HOST_MULTIPORTS':'b: {}'"), VH, NULL, NULL, NULL, 1},

	/* Traefik */
	{"a router's rule", L(R1 "'Host(`a.example`)'"), TR, "Host(`a.example`)", NULL, NULL, 0},
	{"and its service's port", L(R1 "'Host(`a`)'," S1 "'3000'"), TR, "Host(`a`)", "3000", NULL, 0},
	{"a service without router", L(S1 "'3000'"), TR, NULL, "3000", NULL, 0},
	{"its network", L(R1 "'Host(`a`)','traefik.docker.network':'front'"), TR, "Host(`a`)", NULL, "front", 0},
	{"labels in another case", L("'Traefik.HTTP.Services.s.LoadBalancer.Server.Port':'81'," R1 "'Host(`a`)'"), TR,
     "Host(`a`)", "81", NULL, 0},
	{"two routers", L(R1 "'Host(`a`)','traefik.http.routers.b.rule':'Host(`b`) && PathPrefix(`/x`)'"), TR,
     "Host(`a`) || Host(`b`) && PathPrefix(`/x`)", NULL, NULL, 0},
	{"a rule with more than names and paths", L(R1 "'Host(`a`) && Method(`GET`)'"), TR, NULL, NULL, NULL, 1},
	{"one such of two", L(R1 "'HostRegexp(`.*`)','traefik.http.routers.b.rule':'Host(`b`)'"), TR, "Host(`b`)", NULL,
     NULL, 1},
	{"switched off", L(R1 "'Host(`a`)','traefik.enable':'false'"), NOTHING, NULL, NULL, NULL, 0},
	{"switched on alone", L("'traefik.enable':'true'"), TR, NULL, NULL, NULL, 0},
	{"routers of two services: one port only",
     L(R1
       "'Host(`a`)','traefik.http.routers.a.service':'s'," S1
       "'81','traefik.http.routers.b.rule':'Host(`b`)','traefik.http.routers.b.service':'t','traefik.http.services.t."
       "loadbalancer.server.port':'82'"),
     TR, "Host(`a`)", "81", NULL, 1},
	{"a router to a service that is elsewhere", L(R1 "'Host(`a`)','traefik.http.routers.a.service':'api@internal'"), TR,
     NULL, NULL, NULL, 1},
	{"a router to its own service by its whole name",
     L(R1 "'Host(`a`)','traefik.http.routers.a.service':'s@docker'," S1 "'81'"), TR, "Host(`a`)", "81", NULL, 0},
	{"two services and a router that names none",
     L(R1 "'Host(`a`)'," S1 "'81','traefik.http.services.t.loadbalancer.server.port':'82'"), TR, NULL, NULL, NULL, 1},
	{"TLS to the container",
     L(R1 "'Host(`a`)'," S1 "'443','traefik.http.services.s.loadbalancer.server.scheme':'https'"), TR, NULL, NULL, NULL,
     1},

	/* Docker Flow Proxy */
	{"paths and a port", L("'com.df.notify':'true','com.df.servicePath':'/api,/v2','com.df.port':'8081'"), DF,
     "PathPrefix(`/api`) || PathPrefix(`/v2`)", "8081", NULL, 0},
	{"a domain", L("'com.df.notify':'true','com.df.serviceDomain':'a.example','com.df.servicePath':'/api'"), DF,
     "Host(`a.example`) && PathPrefix(`/api`)", NULL, NULL, 0},
	{"numbered",
     L("'com.df.notify':'true','com.df.servicePath.1':'/a','com.df.port.1':'81','com.df.servicePath.2':'/b','com."
       "df.port.2':'81'"),
     DF, "PathPrefix(`/a`) || PathPrefix(`/b`)", "81", NULL, 0},
	{"numbered, with two ports",
     L("'com.df.notify':'true','com.df.servicePath.1':'/a','com.df.port.1':'81','com.df."
       "servicePath.2':'/b','com.df.port.2':'82'"),
     DF, "PathPrefix(`/a`)", "81", NULL, 1},
	{"TCP", L("'com.df.notify':'true','com.df.reqMode':'tcp','com.df.port':'81'"), DF, NULL, NULL, NULL, 1},
	{"no notify, no part", L("'com.df.port':'81'"), NOTHING, NULL, NULL, NULL, 0},
	{"notify=false", L("'com.df.notify':'false','com.df.port':'81'"), NOTHING, NULL, NULL, NULL, 0},

	/* dockercloud/haproxy */
	{"a name", V("'VIRTUAL_HOST':'a.example'"), DC, "Host(`a.example`)", "8080", NULL, 0},
	{"everything at once", V("'VIRTUAL_HOST':'https://a.example:443/x/*, http://*.b:80'"), DC,
     "Host(`*.b`) || Host(`a.example`) && PathPrefix(`/x`)", "8080", NULL, 0},
	{"a path of any name", V("'VIRTUAL_HOST':'*/x/'"), DC, "PathPrefix(`/x`)", "8080", NULL, 0},
	{"any name", V("'VIRTUAL_HOST':'*'"), DC, "PathPrefix(`/`)", "8080", NULL, 0},
	{"another port of the balancer", V("'VIRTUAL_HOST':'a:81'"), DC, NULL, NULL, NULL, 1},
	{"TCP", V("'VIRTUAL_HOST':'tcp://a:80'"), DC, NULL, NULL, NULL, 1},
	{"a path with a star in it", V("'VIRTUAL_HOST':'a/*.php'"), DC, NULL, NULL, NULL, 1},
	{"a port", V("'VIRTUAL_HOST':'a','SERVICE_PORTS':'3000'"), DC, "Host(`a`)", "3000", NULL, 0},
	{"of several the first", V("'VIRTUAL_HOST':'a','SERVICE_PORTS':'3000, 3001'"), DC, "Host(`a`)", "3000", NULL, 1},
	{"but for those that are excluded", V("'VIRTUAL_HOST':'a','SERVICE_PORTS':'3000,3001','EXCLUDE_PORTS':'3000'"), DC,
     "Host(`a`)", "3001", NULL, 0},
	{"of those exposed too",
     "{'variables':{'VIRTUAL_HOST':'a','EXCLUDE_PORTS':'22'},'ports':[{'port':22,'protocol':'tcp'},{'port':90,'"
     "protocol':"
     "'tcp'}]}",
     DC, "Host(`a`)", "90", NULL, 0},
	{"switched off", "{'labels':{'com.docker.dockercloud.haproxy.deactivate':'true'},'variables':{'VIRTUAL_HOST':'a'}}",
     -1, NULL, NULL, NULL, 0},

	/* EasyHAProxy */
	{"a host and a port", L("'easyhaproxy.http.host':'a.example','easyhaproxy.http.localport':'3000'"), EH,
     "Host(`a.example`)", "3000", NULL, 0},
	{"no port is 80", L("'easyhaproxy.http.host':'a,b'"), EH, "Host(`a`) || Host(`b`)", "80", NULL, 0},
	{"two definitions", L("'easyhaproxy.x.host':'a','easyhaproxy.y.host':'b','easyhaproxy.y.port':'443'"), EH,
     "Host(`a`) || Host(`b`)", "80", NULL, 0},
	{"another port of the balancer", L("'easyhaproxy.x.host':'a','easyhaproxy.x.port':'3306'"), EH, NULL, NULL, NULL,
     1},
	{"TCP", L("'easyhaproxy.x.host':'a','easyhaproxy.x.mode':'tcp'"), EH, NULL, NULL, NULL, 1},

	/* caddy-docker-proxy */
	{"a name and a port", L("'caddy':'a.example','caddy.reverse_proxy':'{{upstreams 3000}}'"), CA, "Host(`a.example`)",
     "3000", NULL, 0},
	{"no port is 80", L("'caddy':'http://a, https://b','caddy.reverse_proxy':'{{ upstreams }}'"), CA,
     "Host(`a`) || Host(`b`)", "80", NULL, 0},
	{"a scheme", L("'caddy':'a','caddy.reverse_proxy':'{{upstreams http 81}}'"), CA, "Host(`a`)", "81", NULL, 0},
	{"another scheme", L("'caddy':'a','caddy.reverse_proxy':'{{upstreams https 443}}'"), CA, NULL, NULL, NULL, 1},
	{"a path before it", L("'caddy':'a','caddy.reverse_proxy':'/x/* {{upstreams 81}}'"), CA,
     "Host(`a`) && PathPrefix(`/x`)", "81", NULL, 0},
	{"numbered, and a network",
     L("'caddy_0':'a','caddy_0.reverse_proxy':'{{upstreams 81}}','caddy_1':'b','caddy_1.reverse_"
       "proxy':'{{upstreams 81}}','caddy_ingress_network':'front'"),
     CA, "Host(`a`) || Host(`b`)", "81", "front", 0},
	{"something else than a proxy", L("'caddy':'a','caddy.respond':'hello'"), CA, NULL, NULL, NULL, 0},
	{"a proxy to elsewhere", L("'caddy':'a','caddy.reverse_proxy':'db:5432'"), CA, NULL, NULL, NULL, 1},
	{"a template of another kind", L("'caddy':'a','caddy.reverse_proxy':'{{upstreams 80}} {{exec}}'"), CA, NULL, NULL,
     NULL, 1},
	{"a snippet", L("'caddy':'(snip)','caddy.reverse_proxy':'{{upstreams 80}}'"), CA, NULL, "80", NULL, 1},

	/* What a tenant may try. */
	{"a command in a name", V("'VIRTUAL_HOST':'web; disable server web/s1'"), VH, NULL, NULL, NULL, 1},
	{"a line break in a name", V("'VIRTUAL_HOST':'a\\nb.example'"), VH, NULL, NULL, NULL, 1},
	{"a way upwards", V("'VIRTUAL_HOST':'../a'"), VH, NULL, NULL, NULL, 1},
	{"a backtick", V("'VIRTUAL_HOST':'a`) || PathPrefix(`/'"), VH, NULL, NULL, NULL, 1},
	{"a brace in a path", V("'VIRTUAL_HOST':'a','VIRTUAL_PATH':'/;}server{'"), VH, NULL, NULL, NULL, 1},
	{"a command in a URL", V("'VIRTUAL_HOST':'http://a; disable server b'"), DC, NULL, NULL, NULL, 1},
	{"upwards in a URL's path", V("'VIRTUAL_HOST':'a/x/../../y'"), DC, NULL, NULL, NULL, 1},
	{"a command in a rule", L(R1 "'Host(`a`); disable server web/s1'"), TR, NULL, NULL, NULL, 1},
	{"a line break in a port", L(R1 "'Host(`a`)'," S1 "'80\\n81'"), TR, "Host(`a`)", NULL, NULL, 1},
	{"a value that is no text", L("'easyhaproxy.x.host':7"), EH, NULL, NULL, NULL, 1},
	{"upwards in caddy's path", L("'caddy':'a','caddy.reverse_proxy':'/../* {{upstreams 81}}'"), CA, NULL, "81", NULL,
     1},
};

/* A copy of text with " for '. */
static const char *json(const char *text)
{
	static char out[8][4096];
	static int at;
	char *p = out[at = (at + 1) % 8];

	(void)snprintf(p, sizeof out[0], "%s", text);
	for (char *q = p; *q; q++)
		if (*q == '\'')
			*q = '"';
	return p;
}

static struct jv view(const char *text) { return (struct jv){text, strlen(text)}; }

/* policy.FIELD as text; "" where it is not. */
static const char *field(const struct buf *policy, const char *name)
{
	static char out[3][1024];
	static int at;
	char *p = out[at = (at + 1) % 3];

	*p = '\0';
	(void)policy_text(jv_path(view(policy->p), name), p, sizeof out[0]);
	return p;
}

/* The whole policy of one container. label: of autoscale.lb, or NULL. */
static bool resolve(const char *container, const char *label, const struct policy_switched *lbs, size_t nlbs,
                    struct buf *out)
{
	const struct policy_limits limits = {.max_replicas = 100};
	struct policy_source sources[2 + CONVENTIONS + 1];
	struct policy_conventions c;
	struct err err = {0};
	size_t n = 0;

	buf_reset(out);
	if (label)
		sources[n++] = (struct policy_source){.kind = POLICY_LABELS, .from = "label", .object = view(label)};
	const bool read = policy_conventions_read(&c, view(container), policy_says(sources, n, "lb"), lbs, nlbs, &err) == 0;
	memcpy(&sources[n], c.v, c.n * sizeof *c.v);
	const bool good = read && policy_resolve(sources, n + c.n, &limits, out, &err) == 0;
	policy_conventions_release(&c);
	return good;
}

static bool is_field(const struct buf *policy, const char *name, const char *want)
{
	return strcmp(field(policy, name), want ? want : "") == 0;
}

static void each(void)
{
	struct buf out = BUF_INIT(65536);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct row *r = &rows[i];
		/* One that takes no part is tried with all that do not clash. */
		const bool joins = r->of > NOTHING;
		const int of = r->of < 0 ? CONVENTION_DOCKERCLOUD : r->of - 1;
		const struct policy_switched lb = {"edge", r->of == NOTHING ? 0x37 : 1u << of};
		const bool good = resolve(json(r->container), NULL, &lb, 1, &out) &&
		                  is_field(&out, "lb", joins ? "edge" : NULL) && is_field(&out, "lb_rule", r->rule) &&
		                  is_field(&out, "lb_port", r->port) && is_field(&out, "lb_network", r->network) &&
		                  (int)jv_count(jv_get(view(out.p), "warnings")) == r->warnings;
		if (!OK(good, "%s: %s", r->of == NOTHING ? "none" : convention_names[of], r->name))
			printf("# %s\n", out.p);
	}
	buf_release(&out);
}

static void precedence(void)
{
	const char *both =
		json("{'labels':{'traefik.http.routers.a.rule':'Host(`t`)','easyhaproxy.x.host':'e'},'variables':{"
	         "'VIRTUAL_HOST':'v'},'ports':[{'port':8080,'protocol':'tcp'}]}");
	const char *named = json("{'autoscale.lb':'inner','autoscale.lb.port':'99'}");
	const struct policy_switched none[] = {{"edge", 0}};
	const struct policy_switched two[] = {
		{"a", 1u << CONVENTION_EASYHAPROXY}, {"b", 0}, {"c", 1u << CONVENTION_TRAEFIK}};
	const struct policy_switched cloud[] = {{"edge", 1u << CONVENTION_DOCKERCLOUD}};
	struct buf out = BUF_INIT(65536);

	OK(resolve(both, NULL, none, 1, &out) && is_field(&out, "lb", NULL) && is_field(&out, "lb_rule", NULL),
	   "with nothing switched on, another tool's labels mean nothing");
	OK(resolve(both, named, none, 1, &out) && is_field(&out, "lb", "inner") && is_field(&out, "lb_rule", "Host(`v`)"),
	   "a service that names a balancer has VIRTUAL_HOST read without more");
	OK(is_field(&out, "from.lb_rule", "convention:virtual_host") &&
	       jv_count(jv_path(view(out.p), "shadowed.lb_rule")) == 1,
	   "its policy says so, and that traefik's was there; EasyHAProxy's was not read");
	OK(is_field(&out, "lb_port", "99") && is_field(&out, "from.lb_port", "label"), "our own label goes before");
	OK(resolve(both, NULL, two, 3, &out) && is_field(&out, "lb", "a,c") &&
	       is_field(&out, "from.lb", "convention:traefik,easyhaproxy"),
	   "a container joins each balancer that switched on what it follows");
	OK(is_field(&out, "lb_rule", "Host(`t`)"), "and VIRTUAL_HOST, by which it did not, is not read");
	OK(resolve(json("{'variables':{'VIRTUAL_HOST':'http://v:80'}}"), named, cloud, 1, &out) &&
	       is_field(&out, "lb_rule", "Host(`v`)") && is_field(&out, "from.lb_rule", "convention:dockercloud"),
	   "with dockercloud switched on, VIRTUAL_HOST is read its way only");
	OK(jv_count(jv_get(view(out.p), "warnings")) == 0, "and nobody complains of it");
	OK(resolve(json("{'labels':{'traefik.enable':'false'," R1 "'Host(`t`)'}}"), named, none, 1, &out) &&
	       is_field(&out, "lb_rule", NULL),
	   "traefik.enable=false holds there too");
	buf_release(&out);
}

static void words(void)
{
	static const struct {
		const char *words;
		unsigned set;
		const char *bad;
	} v[] = {
		{"traefik", 1u << CONVENTION_TRAEFIK, NULL},
		{" traefik , df", 1u << CONVENTION_TRAEFIK | 1u << CONVENTION_DF, NULL},
		{"virtual_host,traefik,df,easyhaproxy,caddy", 0x37, NULL},
		{"traefik df", 0, "traefik df"},
		{"trafik", 0, "trafik"},
		{"traefik,", 0, ""},
		{"", 0, ""},
		{"Traefik", 0, "Traefik"},
	};
	unsigned set;
	char bad[32];

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		const bool good = convention_set(v[i].words, &set, bad, sizeof bad);
		OK(good == !v[i].bad && (good ? set == v[i].set : strcmp(bad, v[i].bad) == 0), "conventions = %s", v[i].words);
	}
	OK(convention_has(true, "VIRTUAL_PORT") && convention_has(false, "com.df.port.3") &&
	       convention_has(false, "caddy_12"),
	   "labels and variables of conventions are known");
	OK(!convention_has(true, "PASSWORD") && !convention_has(false, "VIRTUAL_HOST") &&
	       !convention_has(false, "caddy_ingress") && !convention_has(false, "com.df.port.x") &&
	       !convention_has(false, "traefik.http.middlewares.a.basicauth.users") &&
	       !convention_has(false, "traefik.http.routers.a.b.rule") && !convention_has(true, "VIRTUAL_HOST2"),
	   "others are not");
}

int main(void)
{
	each();
	precedence();
	words();
	return DONE();
}
