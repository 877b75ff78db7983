# shellcheck shell=bash
# Prometheus with what a rule records every second: rig_jobs{service="web"} 7, {service="api"} 2 and {service="nan"} NaN.
# Exports AS_RIG_PROMETHEUS_URL. Where `tls` was started before, one behind it, prometheus2, speaks TLS and wants a login:
# AS_RIG_PROMETHEUS2_URL, whose certificate $RIG/certs/ok/ca.pem signed, AS_RIG_PROMETHEUS2_USER and _PASSWORD.

prometheus_up() {
	local server=$1 port scheme=http password='' web=() login=()
	rig_install "$server" prometheus prometheus
	rig_port port
	cat >"$RIG/$server.yml" <<-END
		global: { evaluation_interval: 1s }
		rule_files: ['$RIG/$server-rules.yml']
	END
	cat >"$RIG/$server-rules.yml" <<-'END'
		groups:
		  - name: rig
		    rules:
		      - { record: rig_jobs, expr: vector(7), labels: { service: web } }
		      - { record: rig_jobs, expr: vector(2), labels: { service: api } }
		      - { record: rig_jobs, expr: vector(0) / 0, labels: { service: nan } }
	END
	if [ "$server" != prometheus ] && [ -d "$RIG/certs" ]; then
		scheme=https password='s:e/c@r%t'
		tls_server "$server" IP:127.0.0.1 >>"$RIG/$server.log" 2>&1 || rig_fail "$server" 1 'cannot make its certificate'
		(umask 077 && cat >"$RIG/$server-web.yml") <<-END
			tls_server_config: { cert_file: $RIG/certs/$server.pem, key_file: $RIG/certs/$server.key }
			basic_auth_users: { autoscale: '$(password=$password perl -e 'print crypt($ENV{password}, q($2b$04$) . "rigrigrigrigrigrigrigu")')' }
		END
		web=(--web.config.file="$RIG/$server-web.yml")
		login=(--cacert "$RIG/certs/ok/ca.pem" -u "autoscale:$password")
		rig_export "AS_RIG_${server^^}_USER" autoscale
		rig_export "AS_RIG_${server^^}_PASSWORD" "$password"
	fi
	rig_spawn "$server" TERM prometheus --config.file="$RIG/$server.yml" --web.listen-address="127.0.0.1:$port" \
		--storage.tsdb.path="$RIG/$server" --log.level=warn "${web[@]}"
	rig_wait "$server" 30 prometheus_knows "$scheme://127.0.0.1:$port" "${login[@]}"
	rig_export "AS_RIG_${server^^}_URL" "$scheme://127.0.0.1:$port"
}

prometheus_knows() {
	curl -s -f --max-time 2 "${@:2}" "$1/api/v1/query?query=rig_jobs%7Bservice=%22nan%22%7D" | grep -q '"nan"'
}
