# Service availability: as-watch on real engines, alone and at the head of its line. Each case says how long it took from
# the event to an answer through the load balancer.

load lib

setup_file() { rig_up docker docker2 haproxy; }
teardown_file() { rig_down; }

setup() {
	fresh
	OUT=$BATS_TEST_TMPDIR/out ERR=$BATS_TEST_TMPDIR/err
	: >"$OUT"
	PIDS=()
}

teardown() {
	local pid
	kill -CONT "$AS_RIG_DOCKER_PID" "$AS_RIG_DOCKER2_PID"
	for pid in "${PIDS[@]}"; do end_tree "$pid"; done
	API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} wipe
	wipe
	no_servers
}

# ---- helpers ----

# end_tree PID: the process and all it started, by their ids
end_tree() {
	local c
	for c in $(pgrep -P "$1"); do end_tree "$c"; done
	kill "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# watch [OPTION ...]: as-watch into OUT until the test ends; it follows the engine when this returns
watch() {
	as-watch "$@" >>"$OUT" 2>>"$ERR" 3>&- &
	PIDS+=($!)
	eventually 10 follows "$!"
}
# follows PID: it has asked for events. The engine counts who listens.
follows() { [ "$(api GET /info | jq .NEventsListener)" -ge 1 ]; }

# available [OPTION ...]: the pipeline into OUT
available() {
	"$TOP/pipelines/availability" "$@" >>"$OUT" 2>>"$ERR" 3>&- &
	PIDS+=($!)
	eventually 10 follows
}

records() { jq -c "${1:-[.service, .alert.action, .alert.container.name]}" "$OUT"; }
count() { jq -c "select($1)" "$OUT" | wc -l; }
told() { [ "$(count "$1")" -ge 1 ]; }
ids_once() { is "$(jq -r .id "$OUT" | sort | uniq -d)" '' 'the same event told twice'; }

answers() { [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 0.1 "$AS_RIG_HAPROXY_URL/")" = 200 ]; }

# serves_again CASE FILTER: how long from the event of the record that FILTER finds until the service answers again
serves_again() {
	local now since
	eventually 10 answers
	now=$(date +%s%3N)
	eventually 10 told "$2"
	since=$(jq -r "select($2) | .alert.starts_at" "$OUT" | head -n 1)
	echo "# $1: $((now - $(date -d "$since" +%s%3N))) ms" >&3
}

# served: web is up behind the load balancer, and remembered
served() {
	web
	"$TOP/pipelines/reconcile" >/dev/null
	eventually 10 answers
	available
}

# proxied: the engine behind a proxy that can be cut; sets PROXY
proxied() {
	printf '[host "local"]\nurl = unix://%s\n' "$BATS_TEST_TMPDIR/engine.sock" >>"$AUTOSCALE_CONF"
	proxy
}
proxy() {
	socat "UNIX-LISTEN:$BATS_TEST_TMPDIR/engine.sock,fork,unlink-early" "UNIX-CONNECT:$API_SOCKET" 2>/dev/null 3>&- &
	PROXY=$!
	PIDS+=("$PROXY")
	eventually 5 test -S "$BATS_TEST_TMPDIR/engine.sock"
}
cut() {
	end_tree "$PROXY"
	rm -f "$BATS_TEST_TMPDIR/engine.sock"
	eventually 5 grep -q 'lost; trying again' "$ERR"
}

# flap CONTAINER: ten times stopped and started
flap() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		api POST "/containers/$1/stop?t=0" >/dev/null
		api POST "/containers/$1/start" >/dev/null
	done
}

two_hosts() { printf '[host "one"]\nurl = %s\n[host "two"]\nurl = %s\n' "$DOCKER_HOST" "$AS_RIG_DOCKER2_HOST" >>"$AUTOSCALE_CONF"; }
on_two() { API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} "$@"; }

# run_in CONTAINER COMMAND...: docker exec -d
run_in() {
	local id
	id=$(api POST "/containers/$1/exec" "$(jq -nc '{Cmd: $ARGS.positional}' --args "${@:2}")" | jq -r .Id)
	api POST "/exec/$id/start" '{"Detach":true}' >/dev/null
}

# service NAME [EXTRA-CREATE-JSON]: without a network it starts in half the time
service() { container "$1" "{\"autoscale.service\":\"$1\"}" "$(jq -c '.HostConfig.NetworkMode = "none"' <<<"${2:-{\}}")" >/dev/null; }

# ---- the line: from event to serving ----

@test "docker stop: started again" {
	served
	api POST '/containers/web/stop?t=1' >/dev/null
	serves_again stop '.alert.action == "start"'
	is "$(names) $(running) $(servers_up)" 'web 1 1'
}

@test "docker kill: started again, and the record says with which exit code it died" {
	served
	api POST /containers/web/kill >/dev/null
	serves_again kill '.alert.action == "start" and .alert.value == 137'
	is "$(names) $(running) $(servers_up)" 'web 1 1'
}

@test "docker rm -f: made again with its labels, name and network, and in the load balancer again" {
	served
	f='[.Name, (.Config.Labels | del(.["autoscale.op"])), .Config.Cmd, .Image, (.NetworkSettings.Networks | keys)]'
	was=$(api GET /containers/web/json | jq -cS "$f")
	api DELETE '/containers/web?force=1' >/dev/null
	serves_again 'rm -f' '.plan.op == "recreate"'
	is "$(api GET /containers/web/json | jq -cS "$f")" "$was"
	eventually 10 told '.plan.op == "recreate" and .audit.outcome == "done"'
	is "$(names) $(running)" 'web 1'
	is "$(servers)" "as-$(api GET /containers/web/json | jq -r '.Id[0:12]')"
	is "$(count '.plan.op == "recreate" and .intent.state == "new"')" 1
}

@test "killed for want of memory: started again, and the record says so" {
	web 4 '{"Cmd":["sh","-c","httpd -f -p 80 -h /www & until rm /tmp/eat 2>/dev/null; do sleep 0.05; done; x=aaaaaaaa; while :; do x=$x$x; done"],"HostConfig":{"Memory":16777216,"MemorySwap":16777216}}'
	"$TOP/pipelines/reconcile" >/dev/null
	eventually 10 answers
	available
	run_in web touch /tmp/eat
	eventually 10 told '.alert.action == "start"'
	serves_again 'out of memory' '.alert.action == "start" and .alert.labels.oom == "true"'
	is "$(jq -r 'select(.plan.op == "start") | .plan.reason' "$OUT" | head -n 1)" '0 -> 1: 1 stopped, out of memory (exit code 137)'
	is "$(names) $(running)" 'web 1'
}

@test "unhealthy, where the policy says replace: another copy first, then it goes" {
	web 4 '{"Healthcheck":{"Test":["CMD-SHELL","! ls /tmp/ill"],"Interval":200000000,"Timeout":1000000000,"Retries":2}}'
	as-policy set web min=2 available=start,recreate,replace
	two_serve() { "$TOP/pipelines/reconcile" >/dev/null; [ "$(names) $(servers_up)" = 'web web-1 2' ]; }
	eventually 15 two_serve
	available
	run_in web-1 touch /tmp/ill
	replaced() { [ "$(names) $(servers_up)" = 'web web-2 2' ]; }
	eventually 15 replaced
	serves_again 'unhealthy, until another one served' '.alert.action == "recreate" and .plan.op == "recreate"'
}

@test "two containers stopped and one deleted at once: all are back" {
	for n in wa wb wc; do container "$n" '{"autoscale.service":"web","autoscale.max":"5"}' >/dev/null; done
	available
	for n in wa wb; do api POST "/containers/$n/kill" >/dev/null; done
	api DELETE '/containers/wc?force=1' >/dev/null
	all_back() { [ "$(names) $(running)" = 'wa wb wc 3' ]; }
	eventually 15 all_back
}

@test "a copy that a pass removes is not brought back" {
	served
	alert up
	"$TOP/pipelines/autoscale" >/dev/null
	is "$(names)" 'web web-1'
	gone=$(api GET /containers/web-1/json | jq -r .Id)
	alert down
	"$TOP/pipelines/autoscale" >/dev/null
	is "$(names)" web
	eventually 10 told ".alert.action == \"recreate\" and .alert.container.id == \"$gone\""
	is "$(names)" web
	is "$(count '.plan.op == "recreate" or .plan.op == "scale-up" and .intent.state == "new"')" 0
}

@test "an original that was removed on purpose is not brought back" {
	served
	as-inspect web | as-resolve-policy | jq -c '.plan = {op: "scale-down", from: 1, to: 0, create: [], start: [], reason: "asked for", trace: [],
		remove: [.observed.containers[0] | {id, name, host}]}' | as-audit --intent | as-remove --force web | as-audit >/dev/null
	is "$(names)" ''
	eventually 10 told '.alert.action == "recreate" and .audit'
	is "$(names)" ''
	is "$(as-watch --once)" '' 'it is not missed either'
}

@test "a crash loop: started once, then it waits and says why; once it is mended it is started by itself" {
	tar -C "$BATS_TEST_TMPDIR" -cf "$BATS_TEST_TMPDIR/mend.tar" --transform 's,.*,tmp/mended,' as.conf
	web 4 '{"Cmd":["sh","-c","ls /tmp/mended || ! rm /tmp/second 2>/dev/null && touch /tmp/second && exec httpd -f -p 80 -h /www; exit 3"]}'
	"$TOP/pipelines/reconcile" >/dev/null
	available
	api POST /containers/web/kill >/dev/null
	eventually 10 told '.plan.op == "none" and (.plan.reason | test("web was started 1 time in [0-9]+ s, exit code 3; next try in [0-9]+ s"))'
	is "$(count '.plan.op == "start"')" 1
	curl -sS --unix-socket "$API_SOCKET" -X PUT -H 'Content-Type: application/x-tar' -T "$BATS_TEST_TMPDIR/mend.tar" 'http://localhost/containers/web/archive?path=/'
	eventually 30 answers
	serves_again 'crash loop, with its waits' '.alert.action == "start"'
	is "$(count '.plan.op == "start"')" 2
}

@test "one availability at a time; passes of the others run beside it" {
	web
	available
	run -75 "$TOP/pipelines/availability"
	has "$output" 'another pass is under way'
	run -0 "$TOP/pipelines/reconcile"
}

# ---- as-watch alone ----

@test "at its start it tells of each service that is not well: stopped, unhealthy, missing; of the others nothing" {
	service fine
	service halted
	service ill '{"Healthcheck":{"Test":["CMD","false"],"Interval":50000000,"Timeout":1000000000,"Retries":1}}'
	service lost
	as-inspect --remember lost >/dev/null
	api POST '/containers/halted/stop?t=1' >/dev/null
	api DELETE '/containers/lost?force=1' >/dev/null
	is_ill() { [ "$(api GET /containers/ill/json | jq -r .State.Health.Status)" = unhealthy ]; }
	eventually 10 is_ill
	run -0 as-watch --once
	is "$(jq -c '[.service, .alert.action, .alert.container.name]' <<<"$output" | sort | tr '\n' ' ')" '["halted","reconcile","halted"] ["ill","reconcile","ill"] ["lost","reconcile","lost"] '
	run -0 as-watch --once fine lost
	is "$(jq -r .service <<<"$output")" lost
}

@test "a service that did not join is left alone, unless it is named or a policy names it" {
	container db '{"com.docker.compose.service":"db"}' >/dev/null
	container va '{}' '{"Env":["AUTOSCALE_SERVICE=va"]}' >/dev/null
	container stranger '{}' >/dev/null
	watch --resync 0
	for n in db stranger va; do api POST "/containers/$n/kill" >/dev/null; done
	eventually 10 told '.service == "va"'
	is "$(records .service)" '"va"'
	is "$(as-watch --once | jq -r .service)" va
	is "$(as-watch --once db | jq -r .service)" db
	as-policy set data service='d*' max=2
	is "$(as-watch --once | jq -r .service | sort | tr '\n' ' ')" 'db va '
}

@test "unhealthy: recreate; healthy again: attach" {
	service web '{"Healthcheck":{"Test":["CMD","ls","/tmp/ok"],"Interval":200000000,"Timeout":1000000000,"Retries":3}}'
	watch --resync 0
	eventually 10 told '.alert.action == "recreate" and (.id | endswith("/unhealthy"))'
	run_in web touch /tmp/ok
	eventually 10 told '.alert.action == "attach" and (.id | endswith("/healthy"))'
	is "$(wc -l <"$OUT")" 2
	ids_once
}

@test "it ends at once with status 0 on TERM, INT and HUP, also while a host does not answer" {
	service web
	for signal in TERM INT HUP; do
		as-watch --heartbeat 1s >"$OUT" 2>"$ERR" 3>&- &
		pid=$!
		PIDS+=("$pid")
		eventually 10 follows
		[ "$signal" != HUP ] || { kill -STOP "$AS_RIG_DOCKER_PID"; eventually 10 grep -q lost "$ERR"; }
		before=$(date +%s%3N)
		kill -s "$signal" "$pid"
		status=0
		wait "$pid" || status=$?
		is "$status" 0 "$signal"
		[ $(($(date +%s%3N) - before)) -lt 1000 ]
		kill -CONT "$AS_RIG_DOCKER_PID"
	done
}

@test "when nobody reads any more it ends with 74" {
	service web
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	as-watch >"$BATS_TEST_TMPDIR/pipe" 2>"$ERR" 3>&- &
	pid=$!
	PIDS+=("$pid")
	exec 8<"$BATS_TEST_TMPDIR/pipe"
	eventually 10 follows
	exec 8<&-
	status=0
	wait "$pid" || status=$?
	is "$status" 74
}

@test "as long as nobody reads, what happens is one record a service" {
	service web
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	as-watch --resync 0 >"$BATS_TEST_TMPDIR/pipe" 2>"$ERR" 3>&- &
	PIDS+=($!)
	exec 8<>"$BATS_TEST_TMPDIR/pipe"
	eventually 10 follows
	head -c 65536 /dev/zero >&8 # full
	for _ in 1 2 3; do api POST '/containers/web/restart?t=0' >/dev/null; done
	timeout 1 cat <&8 >"$BATS_TEST_TMPDIR/read" || true
	exec 8<&-
	is "$(tail -c +65537 "$BATS_TEST_TMPDIR/read" | jq -c '[.alert.action, .alert.labels.events]')" '["attach","6"]'
}

@test "idle it costs no time of the processor" {
	service web
	watch
	eventually 10 idle_second "${PIDS[0]}"
}
# idle_second PID: less than 2 ticks of 10 ms in a second
idle_second() {
	local a b
	a=$(awk '{ print $14 + $15 }' "/proc/$1/stat")
	sleep 1
	b=$(awk '{ print $14 + $15 }' "/proc/$1/stat")
	[ $((b - a)) -lt 2 ]
}

# ---- cuts ----

@test "a cut: what happened meanwhile is told, each event once" {
	proxied
	for n in quick brisk halted gone fine; do service "$n"; done
	watch
	cut
	flap quick &
	flap brisk
	wait $!
	api POST '/containers/halted/stop?t=0' >/dev/null
	api DELETE '/containers/gone?force=1' >/dev/null
	proxy
	eventually 10 told '.service == "halted" and .alert.action == "start"'
	eventually 10 told '.service == "gone" and .alert.action == "recreate"'
	for n in quick brisk; do eventually 10 told ".service == \"$n\" and .alert.labels.events == \"20\" and .alert.action == \"attach\""; done
	is "$(count '.service == "fine"')" 0
	ids_once
	has "$(cat "$ERR")" 'host local: back'
}

@test "a cut in which more happens than the engine remembers: the list tells what the events do not" {
	proxied
	for n in busy halted gone; do service "$n"; done
	watch --resync 0
	cut
	api POST '/containers/halted/stop?t=0' >/dev/null
	api DELETE '/containers/gone?force=1' >/dev/null
	service new
	for _ in $(seq 260); do echo "url = http://localhost/containers/busy/kill?signal=CONT"; done |
		curl -sZ --parallel-max 8 --unix-socket "$API_SOCKET" -X POST -K - >/dev/null
	is "$(api GET "/events?since=1&until=$(date +%s)" | jq -c 'select(.Action == "die" or .Action == "destroy")')" '' 'the engine has forgotten'
	proxy
	eventually 10 told '.service == "halted" and .alert.action == "start"'
	eventually 10 told '.service == "gone" and .alert.action == "recreate"'
	eventually 10 told '.service == "new" and .alert.action == "attach"'
	is "$(count '.service == "busy"')" 0
	ids_once
}

@test "a host that hangs is lost by its heartbeat and back later; nothing is told of its containers meanwhile" {
	two_hosts
	service here
	on_two service there
	watch --heartbeat 500ms
	kill -STOP "$AS_RIG_DOCKER2_PID"
	eventually 10 grep -q 'host two: no answer within 0.5 s: lost' "$ERR"
	api POST '/containers/here/kill' >/dev/null
	eventually 10 told '.service == "here" and .alert.container.host == "one"'
	is "$(count '.alert.container.host == "two"')" 0
	kill -CONT "$AS_RIG_DOCKER2_PID"
	eventually 20 grep -q 'host two: back' "$ERR"
	on_two api POST '/containers/there/kill' >/dev/null
	eventually 10 told '.service == "there" and .alert.container.host == "two" and .alert.action == "start"'
	ids_once
	is "$(grep -c . "$ERR")" 2 'one line each'
}

@test "--state: the next run goes on where this one ended, with no gap and nothing twice" {
	service web
	service other
	watch --state "$BATS_TEST_TMPDIR/state" --resync 0
	api POST /containers/web/kill >/dev/null
	eventually 10 told '.service == "web"'
	end_tree "${PIDS[0]}"
	is "$(stat -c %a "$BATS_TEST_TMPDIR/state")" 600
	api POST /containers/other/kill >/dev/null
	watch --state "$BATS_TEST_TMPDIR/state" --resync 0
	eventually 10 told '.service == "other"'
	end_tree "${PIDS[1]}"
	run -0 as-watch --once --state "$BATS_TEST_TMPDIR/state"
	is "$output" ''
	is "$(records | tr '\n' ' ')" '["web","start","web"] ["other","start","other"] '
	ids_once
	echo nonsense >"$BATS_TEST_TMPDIR/state"
	run -0 --separate-stderr as-watch --once --state "$BATS_TEST_TMPDIR/state"
	has "$stderr" 'beginning anew'
	is "$(jq -r .service <<<"$output" | sort | tr '\n' ' ')" 'other web '
}

@test "kill -9 of as-watch: the next run tells what it had not, and what both tell has the same id" {
	service web
	service other
	watch --state "$BATS_TEST_TMPDIR/state" --resync 0
	api POST /containers/web/kill >/dev/null
	eventually 10 told '.service == "web"'
	kill -9 "${PIDS[0]}"
	wait "${PIDS[0]}" || true
	api POST /containers/other/kill >/dev/null
	watch --state "$BATS_TEST_TMPDIR/state" --resync 0
	eventually 10 told '.service == "other"'
	is "$(jq -r .id "$OUT" | sort -u | wc -l)" 2
}

@test "a service that stays stopped is told of again" {
	service web
	watch --resync 2s
	api POST /containers/web/kill >/dev/null
	eventually 10 told '.alert.action == "reconcile"'
}
