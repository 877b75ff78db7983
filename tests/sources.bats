# From the real senders of alerts to a container that serves, with no hand in between. The configurations are those of
# examples/, with the addresses of the rig and the patience of a test.

load lib

setup_file() { rig_up haproxy alertmanager elastalert docker; }
teardown_file() { rig_down; }
setup() { fresh; }
teardown() {
	local p
	for p in ${PIDS:-}; do kill_tree "$p"; done
	for p in ${PIDS:-}; do wait "$p" 2>/dev/null || true; done
	wipe
	no_servers
}

sql() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "$1"; }

# kill_tree PID: the process and all it started, by their ids
kill_tree() {
	local c
	for c in $(pgrep -P "$1"); do kill_tree "$c"; done
	kill "$1" 2>/dev/null || true
}

# background COMMAND...: until the end of the test; its errors in NAME.log
background() {
	"$@" >"$BATS_TEST_TMPDIR/${1##*/}.out" 2>"$BATS_TEST_TMPDIR/${1##*/}.log" 3>&- &
	PIDS="${PIDS:-} $!"
}

# who COUNT: so many different containers answer behind the load balancer
who() { [ "$(for _ in $(seq 20); do curl -s --max-time 5 "$AS_RIG_HAPROXY_URL/cgi-bin/id"; echo; done | grep . | sort -u | wc -l)" = "$1" ]; }

stored() { [ "$(sql 'select count(*) from alert')" -ge "$1" ]; }

# alertmanager_delivers: to the rig's address, as the example says
alertmanager_delivers() {
	sed "s,127.0.0.1:9197,$AS_RIG_ALERTMANAGER_TO,; s,/etc/autoscale/listen.token,$AS_RIG_ALERTMANAGER_TOKEN,; s/group_interval: 30s/group_interval: 1s/" \
		"$TOP/examples/alertmanager.yml" >"$AS_RIG/alertmanager.yml"
	curl -sSf -X POST "$AS_RIG_ALERTMANAGER_URL/-/reload"
}

# rules FILE: what Prometheus goes by from now on
rules() {
	cat "$1" >"$AS_RIG_ALERTMANAGER_RULES"
	curl -sSf -X POST "$AS_RIG_PROMETHEUS_URL/-/reload"
}

@test "load at HAProxy, a rule of Prometheus, Alertmanager, as-listen: a copy serves, and the history names the alert" {
	web
	"$TOP/pipelines/reconcile" >/dev/null
	is "$(servers_up)" 1
	rules <(sed 's/100/3/; s/for: 30s/for: 1s/' "$TOP/examples/prometheus-rules.yml")
	alertmanager_delivers
	background as-listen -v --listen "$AS_RIG_ALERTMANAGER_TO" --token-file "$AS_RIG_ALERTMANAGER_TOKEN"
	background "$TOP/pipelines/autoscale" --follow
	background hey -z 60s -c 8 "$AS_RIG_HAPROXY_URL/cgi-bin/slow?1"
	eventually 45 who 2
	is "$(names)" 'web web-1'
	is "$(servers_up)" 2
	eventually 10 grep -q '"outcome":"done"' "$BATS_TEST_TMPDIR/autoscale.out"
	id=$(sql "select alert_id from alert where status = 'firing'")
	is "$(as-audit --history | jq -c '[.service, .action, .from, .to, .outcome, .alert_id]')" "[\"web\",\"scale-up\",1,2,\"done\",\"$id\"]"
	is "$(as-audit --export | jq -c 'select(.plan.op == "scale-up") | .alert | [.source, .rule, .service, .value > 3, .threshold]' | sort -u)" \
		'["alertmanager","Busy","web",true,3]'
	kill_tree "${PIDS##* }"
	resolved() { sql 'select status from alert' | grep -q resolved; }
	eventually 20 resolved
	is "$(names)" 'web web-1' 'that the load is over does nothing by itself'
	is "$(as-audit --history | wc -l)" 1
	run -1 grep -qF "$(cat "$AS_RIG_ALERTMANAGER_TOKEN")" "$BATS_TEST_TMPDIR/as-listen.log"
}

@test "Alertmanager hears 503 while the store is away and delivers again: stored once" {
	rules /dev/null
	alertmanager_delivers
	background as-listen -v --listen "$AS_RIG_ALERTMANAGER_TO" --token-file "$AS_RIG_ALERTMANAGER_TOKEN"
	eventually 10 grep -q 'listening on' "$BATS_TEST_TMPDIR/as-listen.log"
	sql 'alter table alert rename to elsewhere'
	curl -sSf -H 'Content-Type: application/json' "$AS_RIG_ALERTMANAGER_URL/api/v2/alerts" \
		-d '[{"labels": {"alertname": "Full", "service": "db", "action": "scale-up"}}]'
	eventually 10 grep -q ' POST /alertmanager 503' "$BATS_TEST_TMPDIR/as-listen.log"
	sql 'alter table elsewhere rename to alert'
	delivered() { [ "$(sql "select count(*) from alert where service = 'db'")" = 1 ]; }
	eventually 30 delivered
	is "$(sql "select count(*), max(seen) from alert where service = 'db'")" '1|1'
}

@test "ElastAlert2: what as-ingest could not store comes again within two rounds, is stored once, and a copy serves" {
	web
	"$TOP/pipelines/reconcile" >/dev/null
	printf '[store]\nstore = %s\n' "$AUTOSCALE_STORE" >"$BATS_TEST_TMPDIR/ingest.conf"
	hold_store

	sed "s/num_events: 50/num_events: 5/; s/10s/500ms/; s,\"as-ingest\",\"$AS_BIN/as-ingest\"\, \"-c\"\, \"$BATS_TEST_TMPDIR/ingest.conf\"," \
		"$TOP/examples/elastalert-rule.yaml" >"$AS_RIG_ELASTALERT_RULES/web-5xx.yaml"
	for i in 1 2 3 4 5; do
		jq -nc --arg i "$i" '{"@timestamp": (now | todate), status: 503, request: $i, docker: {service: "web"}}' |
			curl -sSf -o /dev/null -H 'Content-Type: application/json' -d @- "$AS_RIG_ELASTALERT_SEARCH/logs-1/_doc"
	done
	eventually 20 grep -q 'Non-zero exit code while running command' "$AS_RIG_ELASTALERT_LOG"
	is "$(sql 'select count(*) from alert')" 0
	rounds() { grep -c 'Sleeping for' "$AS_RIG_ELASTALERT_LOG"; }
	before=$(rounds)
	echo 'rollback;' >&7
	exec 7>&-
	eventually 20 stored 1
	[ $(($(rounds) - before)) -le 2 ]
	after=$(rounds)
	more() { [ "$(rounds)" -ge $((after + 3)) ]; }
	eventually 20 more
	is "$(sql 'select count(*), max(seen), min(service) from alert')" '1|1|web' 'and not again'

	run -0 "$TOP/pipelines/autoscale"
	is "$(names)" 'web web-1'
	eventually 10 who 2
	is "$(as-audit --history | jq -c '[.service, .action, .to, .outcome, .alert_id]')" \
		"[\"web\",\"scale-up\",2,\"done\",\"$(sql 'select alert_id from alert')\"]"
	is "$(as-audit --export | jq -c 'select(.plan.op == "scale-up") | .alert | [.source, .rule]' | sort -u)" '["elastalert","web-5xx"]'
}

@test "what the README shows of the senders' configurations stands so in the examples" {
	sed -n '/^```yaml$/,/^```$/p' "$TOP/README.md" | grep -v '^```' >"$BATS_TEST_TMPDIR/shown"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/shown")" -ge 8 ]
	is "$(grep -vFxf <(cat "$TOP"/examples/*.y*ml) "$BATS_TEST_TMPDIR/shown")" ''
}
