/* A load balancer that itself runs in a container gets its signals, and its own programs run, through the engine of its
 * host. Only then an engine is asked. */
#include "cmd/front/means.h"

#include "base/banned.h"

static struct engine_host *host_of(struct engine_hosts *hosts, const struct conf_lb *conf, struct err *err)
{
	const char *name = conf->host;

	if (!conf->container) {
		(void)err_set(err, ERR_CONFIG, "[lb \"%s\"] names no `container` that it runs in", conf->name);
		return NULL;
	}
	if (!name && hosts->conf->nhosts > 1) {
		(void)err_set(err, ERR_CONFIG, "[lb \"%s\"] needs `host`: the [host] whose container %s is", conf->name,
		              conf->container);
		return NULL;
	}
	struct engine_host *h = engine_hosts_get(hosts, name ? name : hosts->conf->hosts[0].name, err);
	if (!h)
		(void)err_prefix(err, "lb %s", conf->name);
	return h;
}

static int send_signal(void *ctx, const struct conf_lb *conf, const char *signal, struct err *err)
{
	struct engine_host *h = host_of(ctx, conf, err);

	if (!h)
		return -1;
	if (h->driver->signal(h->engine, conf->container, signal, err) < 0)
		return err_prefix(err, "lb %s", conf->name);
	return 0;
}

static int run_program(void *ctx, const struct conf_lb *conf, const char *const *argv, struct buf *out, int *status,
                       struct err *err)
{
	struct engine_host *h = host_of(ctx, conf, err);

	if (!h)
		return -1;
	if (h->driver->exec(h->engine, conf->container, argv, out, status, err) < 0)
		return err_prefix(err, "lb %s", conf->name);
	return 0;
}

void front_means(struct lb_means *means, struct engine_hosts *hosts)
{
	*means = (struct lb_means){.tasks = hosts->tasks, .signal = send_signal, .exec = run_program, .ctx = hosts};
}
