/* observed.template: what a person, a policy or a `docker run` needs to know of a container, and no secret. */
#include "engine/doc.h"
#include "engine/engine.h"

#include <string.h>

#include "base/banned.h"

#define CPU_PERIOD_DEFAULT 100000 /* microseconds, cgroups' cpu.cfs_period_us */
#define NANO INT64_C(1000000000)

/* A number of CPUs; --cpus and the older --cpu-quota say the same. */
static void write_cpu(struct buf *out, const json_t *host)
{
	int64_t nano = doc_int(host, "NanoCpus"), quota = doc_int(host, "CpuQuota"), period = doc_int(host, "CpuPeriod");
	int digits = 9;

	if (period <= 0)
		period = CPU_PERIOD_DEFAULT;
	if (nano <= 0 && quota > 0 && quota <= INT64_MAX / NANO)
		nano = quota * NANO / period;
	buf_json_key(out, "cpu");
	if (nano <= 0) {
		buf_puts(out, "null");
		return;
	}
	buf_json_int(out, nano / NANO);
	int64_t fraction = nano % NANO;
	if (!fraction)
		return;
	for (; fraction % 10 == 0; fraction /= 10)
		digits--;
	buf_printf(out, ".%0*lld", digits, (long long)fraction);
}

static void write_memory(struct buf *out, const json_t *host)
{
	const int64_t bytes = doc_int(host, "Memory");

	if (bytes > 0)
		buf_json_member_int(out, "memory", bytes);
	else
		buf_json_member_str(out, "memory", NULL);
}

static void write_volume(struct buf *out, const char *type, const char *source, const char *destination,
                         const char *mode, bool rw)
{
	buf_json_comma(out);
	buf_putc(out, '{');
	buf_json_member_str(out, "type", type);
	buf_json_member_str(out, "source", source && *source ? source : NULL);
	buf_json_member_str(out, "destination", destination);
	buf_json_member_str(out, "mode", mode ? mode : "");
	buf_json_member_bool(out, "rw", rw);
	buf_putc(out, '}');
}

/* A volume's source is its name, a bind's the path; what --tmpfs asked for stands elsewhere. */
static void write_volumes(struct buf *out, const json_t *inspect)
{
	const json_t *mounts = doc_get(inspect, "Mounts");
	json_t *tmpfs = doc_get(inspect, "HostConfig.Tmpfs"), *options;
	const char *path;

	buf_json_key(out, "volumes");
	buf_putc(out, '[');
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		const json_t *m = json_array_get(mounts, i);
		const char *name = doc_str(m, "Name");
		write_volume(out, doc_str(m, "Type"), name ? name : doc_str(m, "Source"), doc_str(m, "Destination"),
		             doc_str(m, "Mode"), doc_true(m, "RW"));
	}
	json_object_foreach(tmpfs, path, options)
		write_volume(out, "tmpfs", NULL, path, json_string_value(options), true);
	buf_putc(out, ']');
}

static void write_networks(struct buf *out, const json_t *inspect)
{
	json_t *networks = doc_get(inspect, "NetworkSettings.Networks"), *endpoint;
	const char *name;

	buf_json_key(out, "networks");
	buf_putc(out, '[');
	json_object_foreach(networks, name, endpoint) {
		if (doc_listed_twice(networks, name))
			continue;
		buf_json_comma(out);
		buf_json_str(out, name);
	}
	buf_putc(out, ']');
}

/* As `docker run --restart` takes it: "no", "always", "on-failure:3". */
static void write_restart(struct buf *out, const json_t *host)
{
	struct buf text = BUF_INIT(256);
	const char *name = doc_str(host, "RestartPolicy.Name");
	const int64_t times = doc_int(host, "RestartPolicy.MaximumRetryCount");

	buf_puts(&text, name && *name ? name : "no");
	if (times > 0)
		buf_printf(&text, ":%lld", (long long)times);
	buf_json_member_str(out, "restart", text.p);
	buf_release(&text);
}

static void write_env_names(struct buf *out, const json_t *inspect)
{
	const json_t *env = doc_get(inspect, "Config.Env");

	buf_json_key(out, "env");
	buf_putc(out, '[');
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *v = json_string_value(json_array_get(env, i));
		if (!v)
			continue;
		buf_json_comma(out);
		buf_json_strn(out, v, strcspn(v, "="));
	}
	buf_putc(out, ']');
}

static void write_value(struct buf *out, const char *name, const json_t *value)
{
	buf_json_key(out, name);
	doc_write(out, value);
}

void template_json(struct buf *out, const json_t *inspect, const char *host, const json_t *create)
{
	const json_t *host_config = doc_get(inspect, "HostConfig");

	buf_putc(out, '{');
	buf_json_member_str(out, "id", doc_str(inspect, "Id"));
	buf_json_member_str(out, "host", host);
	buf_json_member_str(out, "name", doc_name(inspect));
	if (json_is_object(doc_get(inspect, "Service"))) {
		buf_json_member_str(out, "engine", "swarm");
		write_value(out, "replicas", doc_get(inspect, "Service.Replicas"));
	}
	buf_json_member_str(out, "image", doc_str(inspect, "Config.Image"));
	buf_json_member_str(out, "image_id", doc_str(inspect, "Image"));
	write_cpu(out, host_config);
	write_memory(out, host_config);
	write_volumes(out, inspect);
	doc_write_labels(out, inspect);
	doc_write_variables(out, inspect);
	doc_write_ports(out, inspect);
	write_networks(out, inspect);
	buf_json_member_str(out, "network_mode", doc_str(host_config, "NetworkMode"));
	write_restart(out, host_config);
	write_value(out, "healthcheck", doc_get(inspect, "Config.Healthcheck"));
	write_env_names(out, inspect);
	write_value(out, "command", doc_get(inspect, "Config.Cmd"));
	write_value(out, "entrypoint", doc_get(inspect, "Config.Entrypoint"));
	if (create)
		write_value(out, "create", create);
	buf_putc(out, '}');
}

int template_rank(bool ready, bool copy) { return 2 * ready + !copy; }
