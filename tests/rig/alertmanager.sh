# shellcheck shell=bash
# Prometheus, which looks every second at the rig's HAProxy (name that before) and at the rules in
# AS_RIG_ALERTMANAGER_RULES (read again by POST $AS_RIG_PROMETHEUS_URL/-/reload), and Alertmanager, which
# delivers to http://$AS_RIG_ALERTMANAGER_TO/ with the bearer token in AS_RIG_ALERTMANAGER_TOKEN (a
# file): listen there. Exports AS_RIG_ALERTMANAGER_URL and _PID too.

alertmanager_up() {
	local server=$1 port to prometheus target
	rig_install "$server" alertmanager prometheus
	rig_install "$server" alertmanager prometheus-alertmanager
	rig_port port
	rig_port to
	rig_port prometheus
	target=$(sed -n "s,^export AS_RIG_HAPROXY_URL='http://\(.*\)',\1,p" "$RIG/env")
	[ -n "$target" ] || rig_fail "$server" 64 'name haproxy before it'
	(umask 077 && head -c 24 /dev/urandom | base64 >"$RIG/$server.token")
	cat >"$RIG/$server.yml" <<-END
		route:
		  receiver: autoscale
		  group_by: [service]
		  group_wait: 0s
		  group_interval: 1s
		  repeat_interval: 1h
		receivers:
		  - name: autoscale
		    webhook_configs:
		      - url: http://127.0.0.1:$to/
		        http_config:
		          authorization:
		            credentials_file: $RIG/$server.token
	END
	cat >"$RIG/prometheus.yml" <<-END
		global:
		  scrape_interval: 1s
		  evaluation_interval: 1s
		rule_files: ['$RIG/$server-rules.yml']
		scrape_configs:
		  - job_name: haproxy
		    static_configs: [{targets: ['$target']}]
		alerting:
		  alertmanagers:
		    - static_configs: [{targets: ['127.0.0.1:$port']}]
	END
	: >"$RIG/$server-rules.yml"
	rig_spawn prometheus TERM prometheus --config.file="$RIG/prometheus.yml" --web.listen-address="127.0.0.1:$prometheus" \
		--web.enable-lifecycle --rules.alert.resend-delay=1s --storage.tsdb.path="$RIG/prometheus" --log.level=warn
	rig_wait prometheus 30 rig_answers -f "http://127.0.0.1:$prometheus/-/ready"
	rig_spawn "$server" TERM prometheus-alertmanager --config.file="$RIG/$server.yml" --storage.path="$RIG/$server" \
		--web.listen-address="127.0.0.1:$port" --cluster.listen-address= --log.level=debug
	rig_wait "$server" 30 rig_answers -f "http://127.0.0.1:$port/-/ready"
	rig_export AS_RIG_PROMETHEUS_URL "http://127.0.0.1:$prometheus"
	rig_export "AS_RIG_${server^^}_URL" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_TO" "127.0.0.1:$to"
	rig_export "AS_RIG_${server^^}_TOKEN" "$RIG/$server.token"
	rig_export "AS_RIG_${server^^}_RULES" "$RIG/$server-rules.yml"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
