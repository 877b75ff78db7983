# What as-sample measures at the four load balancers, the same words for all, and what it says where one of them cannot
# tell. The balancers are real; a container is a loopback address (tests/unit/http_load.c), so that no engine is needed.
# What it measures without a load balancer: own-metrics.bats.
# shellcheck disable=SC2030,SC2031,SC2034,SC2094,SC2154 # tests are subshells; LOAD_OF is load_off's; run makes stderr

load lib
load balancers

setup_file() {
	# shellcheck disable=SC2086
	rig_up $BALANCERS
	export APPS=$AS_RIG/apps
	local b
	for b in $BALANCERS; do apps_up "$APPS" "$b"; done
}
teardown_file() {
	apps_down "$APPS"
	rig_down
}
setup() {
	fresh
	local b
	for b in $BALANCERS; do section "$b"; done >"$AUTOSCALE_CONF"
	export DOCKER_HOST=unix://$BATS_TEST_TMPDIR/no-engine.sock
	case " $BALANCERS a " in *" ${BATS_TEST_DESCRIPTION%%[: ]*} "*) ;; *) skip 'not among AS_BALANCERS' ;; esac
}
teardown() {
	# shellcheck disable=SC2086
	kill ${LOAD_PID:-} ${PIDS:-} 2>/dev/null || true
	# HAProxy waits for the answer also when the client has gone.
	case ${HELD:-} in *haproxy*) for s in $(servers); do haproxy_say "shutdown sessions server web/$s" >/dev/null; done ;; esac
}

# section BALANCER: its part of a configuration, with all that can be measured
section() {
	lb_section "$1"
	[ "$1" != nginx ] || echo "log = $AS_RIG_NGINX_LOG"
}

# asking TARGET-JSON: the record on standard input, with that target in its policy
asking() { jq -c --argjson t "$1" '.policy.target = $t'; }

# measured NAME [PER]: the value of one reading in $output, or its message in quotes
measured() {
	jq -c --arg n "$1" --arg per "${2:-}" '.metrics[] | select(.name == $n and (.per == $per or ($per == "" and .per != "container")))
		| if .ok then .value else .message end' <<<"$output"
}
within() { jq -en "$2 <= $1 and $1 <= $3" >/dev/null || { echo "# $1 is not in $2 to $3" >&2; return 1; }; }

# hold BALANCER N: so many requests that are at work until the end of the test
hold() {
	local i
	HELD="${HELD:-} $1"
	for ((i = 0; i < $2; i++)); do
		curl -s -o /dev/null --max-time 120 "http://127.0.0.1:$(front "$1")/wait/100000" 3>&- &
		PIDS="${PIDS:-} $!"
	done
	eventually 10 held "$1" "$2"
}
held() { [ "$(told_by "$1")" = "$2" ]; }

# told_by BALANCER: how many requests it says that it has in hand. Traefik counts none: the kernel does.
told_by() { told_by_"$1"; }
told_by_haproxy() { haproxy_say 'show stat' | awk -F, '$1 == "web" && $2 == "BACKEND" { print $5 }'; }
told_by_nginx() { curl -s "$AS_RIG_NGINX_URL/as-status" | sed -n 's/.*Writing: \([0-9]*\).*/\1/p' | awk '{ print $1 - 1 }'; }
told_by_envoy() { curl -s "$AS_RIG_ENVOY_ADMIN/stats?filter=^cluster.web.upstream_rq_active$" | awk '{ print $2 }'; }
told_by_traefik() { awk -v at=":$(printf %04X "$(app_port traefik)")$" '$3 ~ at && $4 == "01"' /proc/net/tcp | wc -l; }

# relay BALANCER: the configuration is that of this one, with a relay before what is asked, which logs what passes
relay() {
	local real at=TCP-LISTEN:0,bind=127.0.0.1,fork log=$BATS_TEST_TMPDIR/relay.log
	real=TCP:$(section "$1" | sed -n 's,^admin = http://,,p')
	[ "$1" != haproxy ] || real=UNIX-CONNECT:$AS_RIG_HAPROXY_SOCKET at=UNIX-LISTEN:$BATS_TEST_TMPDIR/relay.sock,fork
	socat -d -d -v "$at" "$real" 2>"$log" 3>&- &
	PIDS="${PIDS:-} $!"
	eventually 5 grep -q 'listening on' "$log"
	at=http://$(sed -n 's/.*listening on AF=2 //p' "$log")
	[ "$1" != haproxy ] || at=$BATS_TEST_TMPDIR/relay.sock
	section "$1" | sed -E "s,^(socket|admin) = .*,\\1 = $at," >"$AUTOSCALE_CONF"
}
# asked BALANCER: how often it was
asked() {
	case $1 in
	haproxy) grep -c '^show stat' "$BATS_TEST_TMPDIR/relay.log" ;;
	nginx) grep -c '^GET /as-status' "$BATS_TEST_TMPDIR/relay.log" ;;
	traefik) grep -c '^GET /metrics' "$BATS_TEST_TMPDIR/relay.log" ;;
	envoy) grep -c '^GET /clusters' "$BATS_TEST_TMPDIR/relay.log" ;;
	esac
}

ALL='{"lb.connections":10,"lb.queue":5,"lb.request_rate":3,"lb.error_rate":1,"lb.response_time":0.2,"replica:lb.connections":2}'

# ---- the values ----

# Eight clients that wait 100 ms for each answer get 80 a second at the very most, and some more at the edges.
under_load() {
	only "$1" 1 2
	"$LOAD" clients "$(front "$1")" keep 8 10 /wait/100 >"$BATS_TEST_TMPDIR/load.$1" 3>&- &
	LOAD_PID=$! LOAD_OF=$1
	eventually 10 more_hits "$1" 2 $(($(hits "$1" 2) + 8))
	run --separate-stderr as-sample < <(rec "$1" 1 2 | asking "$ALL")
	load_off
	echo "# $output"
	is "$(tally .failed)" 0
	within "$(measured lb.request_rate)" 4 97
	within "$(measured lb.response_time)" 0.095 1
	is "$(measured lb.error_rate)" 0
	is "$(jq -c '.metrics | map(select(.name == "lb.response_time") | [.per, .unit, .source, .ok])' <<<"$output")" "[[\"replica\",\"s\",\"lb:$1\",true]]"
	is "$(jq -c '.metrics | map(select(.name == "lb.request_rate") | [.per, .unit, .source, .ok])' <<<"$output")" "[[\"service\",\"1/s\",\"lb:$1\",true]]"
}

# All that is answered is an error: the two rates differ by what is at work at the edges.
errors() {
	only "$1" 1
	"$LOAD" clients "$(front "$1")" keep 8 30 /status/503 >"$BATS_TEST_TMPDIR/load.$1" 3>&- &
	LOAD_PID=$! LOAD_OF=$1
	eventually 10 more_hits "$1" 1 $(($(hits "$1" 1) + 8))
	run --separate-stderr as-sample < <(rec "$1" 1 | asking "$ALL")
	load_off
	echo "# $output"
	is "$(tally .answered)" 0
	within "$(measured lb.error_rate)" 4 300
	within "$(measured lb.error_rate)" "$(measured lb.request_rate) - 8" "$(measured lb.request_rate) + 8"
}

# Requests that wait for an application that hangs are load, and nothing is known of their time.
in_hand() {
	only "$1" 1 2
	hold "$1" 4
	run --separate-stderr as-sample < <(rec "$1" 1 2 | asking "$ALL")
	echo "# $output"
	is "$(told_by "$1")" 4
	is "$(measured lb.connections)" 4
	is "$(measured replica:lb.connections)" 2
	is "$(measured lb.request_rate)" 0
	is "$(measured lb.response_time)" "\"lb $1: no request was answered, but 4 wait\""
	case $1 in
	nginx) is "$(measured lb.connections container | sort -u)" '"lb nginx does not tell its connections"' ;;
	*) is "$(measured lb.connections container | tr '\n' ' ')" '2 2 ' ;;
	esac
	case $1 in
	nginx) is "$(measured lb.queue)" '"lb nginx: lb.queue is not known: nginx has no queue"' ;;
	traefik) is "$(measured lb.queue)" '"lb traefik: lb.queue is not known: Traefik has no queue"' ;;
	*) is "$(measured lb.queue)" 0 ;;
	esac
}

# Nobody asks: that is measured, too.
idle() {
	only "$1" 1 2
	eventually 10 held "$1" 0
	run --separate-stderr as-sample < <(rec "$1" 1 2 | asking "$ALL")
	is "$(for m in lb.connections lb.request_rate lb.error_rate lb.response_time replica:lb.connections; do measured "$m"; done | tr '\n' ' ')" '0 0 0 0 0 '
}

# ---- one question ----

# 200 services with rates are two looks, and without rates one.
asked_once() {
	local now
	only "$1" 1
	relay "$1"
	now=$(date -u +%FT%T.%3NZ)
	rec "$1" 1 | asking "$ALL" | jq -c --arg now "$now" 'range(200) as $i | .service = "s\($i)" | .now = $now' >"$BATS_TEST_TMPDIR/in"
	as-sample --over 200ms <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	is "$(jq -s 'map(.metrics[] | select(.name == "lb.request_rate" and .ok)) | length' "$BATS_TEST_TMPDIR/out")" 200
	is "$(asked "$1")" 2
	: >"$BATS_TEST_TMPDIR/relay.log"
	as-sample --connections <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	is "$(jq -s 'map(.metrics[0].use) | unique | length, .[0]' "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" '1 "victim" '
	case $1 in nginx) ;; *) is "$(asked "$1")" 1 ;; esac
}

# ---- what cannot be read ----

no_value_of() { jq -c '.metrics | map([.value, .ok]) | unique' <<<"$output"; }

gone() {
	section "$1" | sed -E "s,^(socket|admin) = .*,\\1 = http://127.0.0.1:$(closed_port "$1"),; s,^socket = .*,socket = $BATS_TEST_TMPDIR/nobody.sock," >"$AUTOSCALE_CONF"
	run --separate-stderr as-sample < <(rec "$1" 1 | asking "$ALL")
	is "$status" 0
	is "$(no_value_of)" '[[null,false]]'
	has "$(measured lb.connections)" "lb $1: "
	is "$(jq '.metrics | length' <<<"$output")" 7
	is "$(jq .error <<<"$output")" null
}

@test "haproxy: the rate and the time of responses are those of the load" { under_load haproxy; }
@test "nginx: the rate and the time of responses are those of the load" { under_load nginx; }
@test "traefik: the rate and the time of responses are those of the load" { under_load traefik; }
@test "envoy: the rate and the time of responses are those of the load" { under_load envoy; }

@test "haproxy: answers with 503 are its error rate" { errors haproxy; }
@test "nginx: answers with 503 are its error rate" { errors nginx; }
@test "traefik: answers with 503 are its error rate" { errors traefik; }
@test "envoy: answers with 503 are its error rate" { errors envoy; }

@test "haproxy: connections are as many as the balancer says, and a hanging application has no response time" { in_hand haproxy; }
@test "nginx: connections are as many as the balancer says, and a hanging application has no response time" { in_hand nginx; }
@test "traefik: connections are as many as the balancer says, and a hanging application has no response time" { in_hand traefik; }
@test "envoy: connections are as many as the balancer says, and a hanging application has no response time" { in_hand envoy; }

@test "haproxy: with no requests, zero is what was measured" { idle haproxy; }
@test "nginx: with no requests, zero is what was measured" { idle nginx; }
@test "traefik: with no requests, zero is what was measured" { idle traefik; }
@test "envoy: with no requests, zero is what was measured" { idle envoy; }

@test "haproxy: two hundred services are measured by two looks" { asked_once haproxy; }
@test "nginx: two hundred services are measured by two looks" { asked_once nginx; }
@test "traefik: two hundred services are measured by two looks" { asked_once traefik; }
@test "envoy: two hundred services are measured by two looks" { asked_once envoy; }

@test "haproxy: a balancer that is not there gives no values, and the record goes on" { gone haproxy; }
@test "nginx: a balancer that is not there gives no values, and the record goes on" { gone nginx; }
@test "traefik: a balancer that is not there gives no values, and the record goes on" { gone traefik; }
@test "envoy: a balancer that is not there gives no values, and the record goes on" { gone envoy; }

# ---- what one of them, or several together, do ----

# Four clients that ask again at once, at a server that works on one: three wait.
@test "haproxy: what waits for a server with maxconn is its queue" {
	only haproxy 9 # maxconn stays with it
	haproxy_say 'set maxconn server web/as-000000000009 1' >/dev/null
	"$LOAD" clients "$(front haproxy)" keep 4 0 /wait/200 >"$BATS_TEST_TMPDIR/load.haproxy" 3>&- &
	LOAD_PID=$!
	eventually 20 queued 3 4 1
	kill "$LOAD_PID"
	eventually 10 held haproxy 0 # or they are in the way of the next test's
}
# queued QUEUE CONNECTIONS OF-THE-SERVER
queued() {
	output=$(rec haproxy 9 | asking '{"lb.queue":5,"lb.connections":5}' | as-sample)
	echo "# $output"
	[ "$(measured lb.queue) $(measured lb.connections) $(measured lb.connections container)" = "$*" ]
}

@test "haproxy: of the copies the idle one goes, whichever is newer" {
	only haproxy 3
	hold haproxy 2
	only haproxy 1 2 3
	rec haproxy 1 2 3 | jq -c '.now as $now | .alert = {id: "a", source: "test", key: "k", service: "web", action: "scale-down", status: "firing", starts_at: $now, received_at: $now}
		| .observed += {running: 3, ready: 3, starting: 0, stopped: 0, missing: 0, draining: 0} | del(.plan)
		| .policy += {type: "scale-down", min: 1, max: 5, step_down: "1", cooldown_down: 0, victim: "idle", from: {}}
		| .history = {generation: 0, last_out: null, last_in: null, window: [], pending: null}
		| .observed.containers |= [to_entries[] | .value + {copy: (.key > 0), copy_of: (if .key > 0 then "web-1" else null end), index: .key, created: "2026-11-24T0\(.key):00:00.000Z"}]' >"$BATS_TEST_TMPDIR/in"
	is "$(as-decide <"$BATS_TEST_TMPDIR/in" | jq -r '.plan.remove[].name')" web-3 'with nothing known the newer one'
	is "$(as-sample --connections <"$BATS_TEST_TMPDIR/in" | as-decide | jq -r '.plan.remove[].name')" web-2
}

@test "haproxy: a stream that goes on is measured by one further look a pass" {
	local i
	only haproxy 1
	relay haproxy
	mkfifo "$BATS_TEST_TMPDIR/in"
	as-sample --over 200ms <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 3>&- &
	PIDS="${PIDS:-} $!"
	exec 8>"$BATS_TEST_TMPDIR/in"
	for i in 1 2 3; do
		rec haproxy 1 | asking "$ALL" >&8
		eventually 10 lines_are "$BATS_TEST_TMPDIR/out" "$i"
		is "$(asked haproxy)" $((i + 1))
		eventually 5 is_later "$(($(ms) + 300))" # the next pass: what comes at once shares the look
	done
	exec 8>&-
	is "$(jq -s 'map(.metrics[] | select(.ok | not)) | length' "$BATS_TEST_TMPDIR/out")" 0
}
lines_are() { [ "$(wc -l <"$1")" = "$2" ]; }
is_later() { [ "$(ms)" -gt "$1" ]; }

@test "haproxy: a service at two balancers has the sum of both" {
	only haproxy 1
	only envoy 1
	hold haproxy 2
	hold envoy 1
	run --separate-stderr as-sample < <(rec haproxy 1 | jq -c '.policy.lb = "haproxy,envoy"' | asking "$ALL")
	echo "# $output"
	is "$(measured lb.connections)" 3
	is "$(measured lb.connections container)" 3
	is "$(measured replica:lb.connections)" 3
	is "$(jq -r '.metrics[0].source' <<<"$output")" lb:haproxy,envoy
}

@test "haproxy: a service at two balancers has no values when one of them cannot be read" {
	only haproxy 1
	{ section haproxy; section envoy | sed "s,^admin = .*,admin = http://127.0.0.1:$(closed_port envoy),"; } >"$AUTOSCALE_CONF"
	run --separate-stderr as-sample < <(rec haproxy 1 | jq -c '.policy.lb = "haproxy,envoy"' | asking "$ALL")
	is "$(no_value_of)" '[[null,false]]'
	has "$(measured lb.connections)" 'lb envoy: '
	is "$(measured lb.connections container)" '"lb envoy could not be read"'
}

@test "nginx: without its log the rates are not known, and the message says what to configure" {
	only nginx 1
	lb_section nginx >"$AUTOSCALE_CONF"
	run --separate-stderr as-sample < <(rec nginx 1 | asking "$ALL")
	is "$(measured lb.connections)" 0
	for m in lb.request_rate lb.error_rate lb.response_time; do
		is "$(measured "$m")" "\"lb nginx: $m is not known: nginx counts answers in its access log only: configure its \`log\`, as in autoscale.conf(5)\""
	done
}

@test "nginx: of several backends nobody's connections are known" {
	only nginx 1
	printf 'upstream other {\n  server 127.0.0.1:9 down;\n}\n' >"$AS_RIG_NGINX_DIR/as-other.conf"
	run --separate-stderr as-sample < <(rec nginx 1 | asking "$ALL")
	rm "$AS_RIG_NGINX_DIR/as-other.conf"
	has "$(measured lb.connections)" 'lb nginx: lb.connections is not known: nginx counts requests in hand only as a whole'
	is "$(measured lb.request_rate)" 0
}

# One that says nothing costs 10 s once, however many services it has, and none of the others.
@test "a balancer that is silent holds up its own services only, all of them as long as one" {
	local from at
	only haproxy 1
	"$LOAD" silent "$BATS_TEST_TMPDIR/silent.sock" tcp tcp tcp >"$BATS_TEST_TMPDIR/silent" 3>&- &
	PIDS="${PIDS:-} $!"
	eventually 5 test -s "$BATS_TEST_TMPDIR/silent"
	read -r at _ <"$BATS_TEST_TMPDIR/silent"
	[ "$at" != "$BATS_TEST_TMPDIR/silent.sock" ] || at=$(cut -d ' ' -f 2 "$BATS_TEST_TMPDIR/silent")
	{
		lb_section haproxy good
		section haproxy | sed "s,^socket = .*,socket = $BATS_TEST_TMPDIR/silent.sock,"
		for b in nginx traefik envoy; do section "$b" | sed "s,^admin = .*,admin = http://127.0.0.1:$at,"; done
	} >"$AUTOSCALE_CONF"
	from=$(ms)
	{
		for b in $BALANCERS; do rec "$b" 1 | jq -c --arg b "$b" 'range(100) as $i | .service = "\($b)-\($i)"'; done
		rec haproxy 1 | jq -c '.policy.lb = "good"'
	} | asking "$ALL" >"$BATS_TEST_TMPDIR/in"
	{ tail -n 1 "$BATS_TEST_TMPDIR/in" && head -n -1 "$BATS_TEST_TMPDIR/in"; } | as-sample >"$BATS_TEST_TMPDIR/out"
	within $(($(ms) - from)) 1000 60000
	is "$(head -n 1 "$BATS_TEST_TMPDIR/out" | jq -c '[.policy.lb, (.metrics | map(.ok) | unique)]')" '["good",[true]]'
	is "$(tail -n +2 "$BATS_TEST_TMPDIR/out" | jq -sc '[length, (map(.metrics[]) | map([.value, .ok]) | unique)]')" '[400,[[null,false]]]'
	is "$(tail -n 1 "$BATS_TEST_TMPDIR/out" | jq '.metrics | map(.message | test("did not answer|timed out")) | any')" true
}

# ---- without a balancer ----

@test "a service that joins no balancer passes byte for byte" {
	printf '%s\n' '{"v": 1, "service":"web" ,"now":"2026-11-24T10:00:00.000Z","policy":{"min":1},"n":1.0}' \
		'{"v":1,"service":"web","observed":{"containers":[]},"metrics":[{"name":"x"}]}' \
		'{"v":1,"service":"web","error":{"stage":"as-inspect","code":"unavailable","message":"m"},"policy":{"lb":"haproxy"}}' >"$BATS_TEST_TMPDIR/in"
	as-sample <"$BATS_TEST_TMPDIR/in" | sort | diff <(sort "$BATS_TEST_TMPDIR/in") - >&2
	as-sample --connections <"$BATS_TEST_TMPDIR/in" | sort | diff <(sort "$BATS_TEST_TMPDIR/in") - >&2
}

@test "a service that joins no balancer, but asks for its connections, is told to join one" {
	run --separate-stderr as-sample < <(rec haproxy | jq -c 'del(.policy.lb)' | asking '{"lb.connections":1}')
	is "$(measured lb.connections)" '"service web joins no load balancer: say which with autoscale.lb, or in its policy"'
	run --separate-stderr as-sample < <(rec haproxy | jq -c '.policy.lb = "nosuch"' | asking '{"lb.connections":1}')
	is "$(measured lb.connections)" '"load balancer \"nosuch\" is not configured: add a [lb \"nosuch\"] section"'
	run --separate-stderr as-sample < <(rec haproxy | jq -c '.policy.lb_backend = "nosuch"' | asking '{"lb.connections":1}')
	is "$(measured lb.connections)" '"lb haproxy: No such backend: nosuch (autoscale.lb.backend names another one)"'
}

@test "a metric that no balancer has is named, and readings are in the order of their names" {
	only haproxy 1
	run --separate-stderr as-sample < <(rec haproxy 1 | asking '{"lb.queue":1,"lb.speed":1,"lb.connections":1}')
	is "$(jq -c '.metrics | map([.name, .per, .ok])' <<<"$output")" '[["lb.connections","service",true],["lb.connections","container",true],["lb.queue","service",true],["lb.speed","service",false]]'
	has "$(measured lb.speed)" 'nothing measures \"lb.speed\"'
}
