/* The configuration, autoscale.conf(5). Read once by a command, then read only. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_switch { CONF_UNSET, CONF_NO, CONF_YES };

#define HOST_WEIGHT 100 /* of a host that says none */

struct conf_host {
	char *name;          /* "local" when none is configured */
	char *url;           /* unix:///run/docker.sock, tcp://10.0.0.5:2376, ssh://...; NULL: the context's */
	char *cert_path;     /* folder with ca.pem, cert.pem, key.pem; NULL: no TLS */
	char *context;       /* a docker context; "": the one that the docker command would use */
	char *docker_config; /* the folder of that command's own files; NULL: there is none */
	char *engine, *zone, *cloud, *address;
	long weight;                     /* how many copies it takes beside the others; 0: none */
	enum conf_switch image_transfer; /* before that of struct conf */
};

struct conf_lb {
	char *name;
	char *driver; /* haproxy, nginx, traefik, envoy */
	char *socket, *config, *admin, *master;
	char *folder;      /* that it reads its servers from */
	char *pid, *log;   /* files of nginx */
	char *frontend;    /* where rules are added: each driver has its own idea of one */
	char *container;   /* that it runs in; NULL: none */
	char *host;        /* the [host] of that container; NULL: the only one */
	char *conventions; /* words, comma separated: labels of other tools that make a container join it */
};

#define CONF_PROGRAMS "/etc/autoscale/metrics"
#define CONF_FILES "/run/autoscale/metrics"

/* What as-sample measures with. */
struct conf_metrics {
	char *prometheus;                            /* its URL, NULL: there is none; may hold a password */
	char *prometheus_token_file, *prometheus_ca; /* NULL: none; the system's authorities */
	char *programs, *files;                      /* folders; never NULL after conf_load */
	int64_t program_ms;                          /* how long one may take */
};

enum conf_labels { CONF_LABELS_TRUST, CONF_LABELS_NARROW, CONF_LABELS_IGNORE };

struct conf {
	char *file;           /* the file that was read, or NULL: defaults */
	char *store, *alerts; /* URLs; never NULL after conf_load */
	char *mapping;        /* a file with sources of alerts, autoscale-mapping(5); NULL: none */
	struct conf_host *hosts;
	size_t nhosts; /* at least 1 */
	struct conf_lb *lbs;
	size_t nlbs;
	long max_replicas, per_host; /* default 100, 50 */
	bool privileged;             /* copying a privileged container is allowed */
	enum conf_labels labels;
	struct conf_metrics metrics;
	bool compose_down;               /* what `docker compose down` took away is not made again */
	enum conf_switch image_transfer; /* images may be copied from host to host */
};

/* Reads FILE, or when it is NULL: $AUTOSCALE_CONF, else ~/.config/autoscale/autoscale.conf over
 * /etc/autoscale/autoscale.conf as far as they exist. Then the environment: AUTOSCALE_STORE, AUTOSCALE_ALERTS,
 * DOCKER_CONFIG, and when no host is configured DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, DOCKER_CONTEXT.
 * A file that holds a URL with a password is for its owner alone to read: ERR_CONFIG when others may.
 * ERR_CONFIG: "FILE:LINE: unknown key "stoer" in [store] (did you mean "store"?)". */
int conf_load(struct conf *conf, const char *file, struct err *err);
void conf_release(struct conf *conf);
const struct conf_host *conf_host(const struct conf *conf, const char *name); /* NULL: no such host */
const struct conf_lb *conf_lb(const struct conf *conf, const char *name);
/* Which conventions (base/convention.h) make a container join it. */
unsigned conf_conventions(const struct conf_lb *lb);
/* Those of all together; none where labels are ignored. */
unsigned conf_all_conventions(const struct conf *conf);

/* The same INI form in another file's text: fn is called for each key, in order, and again with the same name for a
 * line that goes on with its value. CONFIG: "FILE:LINE: why" of the first key that fn refuses. */
typedef int (*conf_key_fn)(void *ctx, const char *section, const char *key, const char *value, struct err *err);
int conf_text(const char *text, const char *file, conf_key_fn fn, void *ctx, struct err *err);
/* The one of n words that looks most like `word`, for "did you mean". */
const char *conf_nearest(const char *word, const char *const *known, size_t n);

#endif
