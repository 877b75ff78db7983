# as-status: what a person sees of services, their last action and what may come next; with two engines and HAProxy.

load lib

setup_file() { rig_up tls docker docker2 haproxy; }
teardown_file() { rig_down; }

setup() {
	fresh
	export LC_ALL=C.UTF-8 TERM=xterm
	unset COLUMNS NO_COLOR
	PIDS=() CUT=
}

teardown() {
	local pid
	for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
	[ -z "$CUT" ] || "$TOP/tests/rig/link" docker2 up
	wipe
	API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} wipe
	no_servers
}

# line SERVICE: its row of $output, each run of spaces one space.
line() { grep -E "^$1 " <<<"$output" | tr -s ' ' | sed 's/ $//'; }

# field SERVICE FILTER: of its object.
field() { as-status --json "$1" | jq -c "$2"; }

# pass ACTION: an alert and a pass of the whole line.
pass() { alert "$1" && "$TOP/pipelines/autoscale" >/dev/null; }

# balanced: web as it is when nothing is wrong.
balanced() { web "$@" && "$TOP/pipelines/reconcile" >/dev/null; }

# two_hosts: here, and a second engine as the host "two".
two_hosts() {
	cat >>"$AUTOSCALE_CONF" <<-EOF
		[host "one"]
		url = $DOCKER_HOST
		[host "two"]
		url = $AS_RIG_DOCKER2_TLS_URL
		cert_path = $AS_RIG_CERTS/ok
	EOF
}

# none PATTERN: of what is on standard input; bytes.
none() { ! LC_ALL=C grep -qa "$1" || return 1; }

frames() { [ "$(grep -c '^SERVICE' "$1")" -ge "$2" ]; }

@test "where nothing has joined, it says how to, and makes no store" {
	run -0 as-status
	is "$(head -n 1 <<<"$output" | tr -s ' ')" 'SERVICE RUN READY MIN MAX TREND LAST NEXT LB HOSTS WHY'
	has "$output" 'the label autoscale.service'
	[ ! -e "$BATS_TEST_TMPDIR/store.db" ]
	run -0 as-status --json
	is "$output" ''
}

@test "after a scale-up the line shows it, with when and why" {
	balanced
	run -0 as-status
	is "$(line web | cut -d' ' -f1-9)" 'web 1 1 1 4 = - up 1/1'
	pass scale-up
	run -0 as-status
	is "$(line web | sed -E 's/ [0-9]+s / N /')" \
		'web 2 2 1 4 +1 up 1>2 N up, down 2/2 local 1 -> 2: alert asks scale-up by step 1 (default)'
	pass scale-down
	is "$(field web '[.running, .trend.moved, .last.action, .last.outcome, .last.from, .last.to]')" \
		'[1,0,"scale-down","done",2,1]'
}

@test "what is left of a cooldown" {
	container web '{"autoscale.service":"web","autoscale.max":"4","autoscale.cooldown-up":"95s","autoscale.cooldown-down":"1h"}' >/dev/null
	pass scale-up
	run -0 as-status
	[[ $(line web) =~ 'up 9'[0-5]'s, down '(59|60)m ]] || is "$(line web)" 'up 95s, down 59m'
	is "$(field web '.next | [.out > 80 and .out <= 95, .in > 3580 and .in <= 3600]')" '[true,true]'
}

@test "what the limits do not allow does not come next; what is outside of them does, at once" {
	container web '{"autoscale.service":"web","autoscale.max":"1"}' >/dev/null
	container api '{"autoscale.service":"api"}' >/dev/null
	container low '{"autoscale.service":"low","autoscale.min":"2","autoscale.max":"3"}' >/dev/null
	run -0 as-status
	is "$(line web | cut -d' ' -f2-8)" '1 1 1 1 = - -'
	is "$(line api | cut -d' ' -f2-8)" '1 1 1 - = - -'
	is "$(line low | cut -d' ' -f2-8)" '1 1 2 3 = - up'
	is "$(field api '[.min, .max, .next.out, .next.in]')" '[1,null,null,null]'
}

@test "a pause, and the limits of a schedule" {
	container web '{"autoscale.service":"web","autoscale.max":"3"}' >/dev/null
	as-policy set hold service=web paused=up >/dev/null
	run -0 as-status
	is "$(line web | cut -d' ' -f8-9)" 'up paused'
	as-policy set hold service=web 'schedule=daily 00:00-23:59 UTC min=1 max=9; daily 23:59-00:00 UTC min=1 max=9' >/dev/null
	is "$(field web .max)" 9
}

@test "a container that joined by variables alone has its row, and its limits" {
	container web '{}' '{"Env": ["AUTOSCALE_SERVICE=shop", "AUTOSCALE_MAX=5"]}' >/dev/null
	container other '{}' >/dev/null
	container half '{"autoscale.service":"half"}' '{"Env": ["AUTOSCALE_MAX=6"]}' >/dev/null
	run -0 as-status
	is "$(line shop | cut -d' ' -f2-5)" '1 1 1 5'
	is "$(line half | cut -d' ' -f2-5)" '1 1 1 6'
	is "$(grep -c . <<<"$output")" 3
}

@test "a load balancer that disagrees: who gets no traffic, and what is left of who is gone" {
	balanced
	pass scale-up
	is "$(field web '.lb[0] | [.agrees, .entries, .up, .ready]')" '[true,2,2,2]'
	copy=$(api GET /containers/web-1/json | jq -r '.Id[0:12]')
	haproxy_say "set server web/as-$copy state drain" >/dev/null
	run -0 as-status
	has "$(line web)" ' 1/2 ! '
	has "$output" '! lb edge: no traffic to web-1 (drain)'
	haproxy_say "set server web/as-$copy state maint" >/dev/null
	haproxy_say "del server web/as-$copy" >/dev/null
	run -0 as-status
	has "$output" '! lb edge: no traffic to web-1'
	is "$(field web '.lb[0] | [.agrees, .missing[0].container, .missing[0].state]')" '[false,"web-1",null]'
	"$TOP/pipelines/lb-sync" >/dev/null
	is "$(field web '.lb[0].agrees')" true
	api DELETE '/containers/web-1?force=1' >/dev/null
	run -0 as-status
	has "$(line web)" '/1 ! '
	has "$output" "not ready, or gone: as-$copy"
}

@test "an entry that the operator made for a replica is one" {
	web
	ip=$(api GET /containers/web/json | jq -r '.NetworkSettings.Networks[].IPAddress')
	haproxy_say "add server web/mine $ip:80" >/dev/null
	haproxy_say 'enable server web/mine' >/dev/null
	run -0 as-status
	has "$(line web)" ' 1/1 local'
	haproxy_say 'set server web/mine addr 127.0.0.9' >/dev/null
	run -0 as-status
	has "$output" '! lb edge: no traffic to web'
}

@test "a load balancer that does not answer, and one that is not configured: said, and the rest stays" {
	balanced
	sed -i 's,^socket = .*,socket = /nowhere/haproxy.sock,' "$AUTOSCALE_CONF"
	container api '{"autoscale.service":"api","autoscale.lb":"inner"}' >/dev/null
	run -1 as-status
	is "$(line web | cut -d' ' -f1-9)" 'web 1 1 1 4 = - up ?'
	has "$output" '/nowhere/haproxy.sock'
	has "$output" '! load balancer "inner" is not configured: add a [lb "inner"] section'
	run -1 --separate-stderr as-status --json web
	is "$(jq -c '.lb[0].agrees' <<<"$output")" null
	has "$stderr" '/nowhere/haproxy.sock'
}

@test "a host that is cut off: what it had is remembered, and the rest stays" {
	two_hosts
	container web '{"autoscale.service":"web","autoscale.max":"4"}' >/dev/null
	API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} container web-1 '{"autoscale.service":"web","autoscale.copy-of":"x","autoscale.max":"4"}' >/dev/null
	as-inspect web >/dev/null
	run -0 as-status
	has "$(line web)" 'web 2 2 1 4'
	has "$(line web)" ' one:1 two:1'
	CUT=yes
	"$TOP/tests/rig/link" docker2 down
	run -1 as-status
	has "$(line web)" 'web 1+1? 1 1 4'
	has "$(line web)" ' one:1 two:1?'
	has "$output" '! host two:'
	run -1 --separate-stderr as-status --json
	is "$(jq -c '[.running, .unknown, (.hosts[] | [.name, .ok, .running, .unknown])]' <<<"$output")" \
		'[1,1,["one",true,1,0],["two",false,null,1]]'
	has "$stderr" 'as-status: host two:'
}

@test "no host answers: what is remembered is told; where nothing is, 69" {
	container web '{"autoscale.service":"web"}' >/dev/null
	as-inspect web >/dev/null
	DOCKER_HOST=unix:///nowhere/docker.sock run -1 as-status
	has "$(line web)" 'web 0+1? 0'
	AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/none.db DOCKER_HOST=unix:///nowhere/docker.sock run -69 as-status
	has "$output" /nowhere/docker.sock
}

@test "a store that cannot be read: said, and what only it knows is a question mark" {
	container web '{"autoscale.service":"web","autoscale.max":"4"}' >/dev/null
	echo 'this is no database, but long enough to look like something' >"$BATS_TEST_TMPDIR/store.db"
	run -1 as-status
	is "$(line web | cut -d' ' -f1-8)" 'web 1 1 ? ? ? ? ?'
	has "$output" 'store.db'
	run -1 --separate-stderr as-status --json
	is "$(jq -c '[.running, .min, .store]' <<<"$output")" '[1,null,false]'
}

@test "operands are services; one that nobody knows is said" {
	container web '{"autoscale.service":"web"}' >/dev/null
	container api '{"autoscale.service":"api"}' >/dev/null
	run -1 as-status api nope
	is "$(line api | cut -d' ' -f1-2)" 'api 1'
	is "$(line web)" ''
	has "$output" '! service nope: no container, policy or history has this name'
	run -64 as-status --watch=0 web
	run -64 as-status --watch=soon web
}

@test "stopped and missing containers have a line" {
	container web '{"autoscale.service":"web"}' >/dev/null
	container web2 '{"autoscale.service":"web"}' >/dev/null
	as-inspect --remember web >/dev/null
	api POST '/containers/web/stop?t=0' >/dev/null
	api DELETE '/containers/web2?force=1' >/dev/null
	run -0 as-status
	has "$output" '! 1 stopped, 1 missing'
	is "$(field web '[.running, .stopped, .missing]')" '[0,1,1]'
}

@test "one list of an engine and one look at a balancer, whatever the number of services" {
	for i in $(seq 20); do # they need not run
		api POST "/containers/create?name=s$i" "{\"Image\": \"$AS_RIG_IMAGE\", \"Labels\": {\"autoscale.service\": \"s$i\", \"autoscale.lb\": \"edge\"}}" >/dev/null
	done
	as-inspect --all --remember >/dev/null
	socat -v UNIX-LISTEN:"$BATS_TEST_TMPDIR/engine",fork UNIX-CONNECT:"$API_SOCKET" 2>"$BATS_TEST_TMPDIR/engine.log" 3>&- &
	PIDS+=($!)
	socat -v UNIX-LISTEN:"$BATS_TEST_TMPDIR/lb",fork UNIX-CONNECT:"$AS_RIG_HAPROXY_SOCKET" 2>"$BATS_TEST_TMPDIR/lb.log" 3>&- &
	PIDS+=($!)
	eventually 5 test -S "$BATS_TEST_TMPDIR/engine"
	eventually 5 test -S "$BATS_TEST_TMPDIR/lb"
	sed -i "s,^socket = .*,socket = $BATS_TEST_TMPDIR/lb," "$AUTOSCALE_CONF"
	DOCKER_HOST=unix://$BATS_TEST_TMPDIR/engine run -0 as-status
	is "$(grep -cE '^s[0-9]+ ' <<<"$output")" 20
	is "$(grep -c 'GET /.*/containers/json' "$BATS_TEST_TMPDIR/engine.log")" 1
	is "$(grep -cE 'GET /.*/containers/[0-9a-f]{12}' "$BATS_TEST_TMPDIR/engine.log" || true)" 0
	is "$(grep -c 'show stat' "$BATS_TEST_TMPDIR/lb.log")" 1
}

@test "it fits 80 columns, and fewer, and more; long names are cut at characters" {
	long=a-service-whose-name-takes-more-room-than-any-table-has
	container "$long" "{\"autoscale.service\":\"$long\",\"autoscale.max\":\"4\"}" >/dev/null
	as-policy set 'Größe-über-Alles-日本語-日本語-日本語-日本語' service='*' step-up=2 >/dev/null
	jq -nc --arg s "$long" '{service: $s, action: "scale-up"}' | as-ingest
	"$TOP/pipelines/autoscale" >/dev/null
	for width in 20 30 40 60 79 80 81 100 132 200; do
		COLUMNS=$width run -0 as-status
		[ "$(wc -L <<<"$output")" -le "$width" ] || is "$output" "at most $width columns"
		iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
		has "$output" a-
	done
	COLUMNS=80 run -0 as-status
	has "$output" 'a-service-wh'
	has "$output" '…'
	has "$output" 'up 1>3'
	COLUMNS=300 run -0 as-status
	has "$output" "$long"
	has "$output" 'Größe-über-Alles-日本語'
	run -0 as-status
	has "$output" "$long"
	LC_ALL=C COLUMNS=80 run -0 as-status
	has "$output" '...'
	none '[^ -~]' <<<"$output"
}

@test "what a tenant writes cannot reach the terminal as control codes" {
	evil=$'\e]0;owned\a\e[31m\u009b31m\u202edlrow'
	container web "$(jq -nc --arg e "$evil" '{"autoscale.service": "web", "autoscale.lb": ("edge" + $e), "autoscale.max": $e, "com.example": $e}')" >/dev/null
	as-inspect web | as-resolve-policy |
		jq -c --arg e "$evil" '.plan = {op: "scale-up", from: 1, to: 2, create: [], start: [], remove: [], reason: $e, trace: []}' |
		as-audit --intent | as-audit >/dev/null
	is "$(field web '.last.reason' | jq -r .)" "$evil" 'it is in the history'
	for how in '' --json; do
		run as-status $how
		has "$output" owned
		none $'[\e\a]' <<<"$output"
		none $'\xc2\x9b' <<<"$output"
	done
	run as-status
	none $'\xe2\x80\xad' <<<"$output"
	run script -qec 'stty cols 100 rows 24; as-status' /dev/null
	has "$output" owned
	LC_ALL=C sed $'s/\e\\[[0-9;]*m//g' <<<"$output" | none $'[\e\a]' # but for our own colours
}

@test "colours at a terminal only, and not with NO_COLOR" {
	balanced
	run -0 as-status
	none $'\e' <<<"$output"
	run -0 script -qec 'stty cols 80 rows 24; as-status' /dev/null
	has "$output" $'\e[32m1/1'
	NO_COLOR=1 run -0 script -qec 'stty cols 80 rows 24; as-status' /dev/null
	has "$output" '1/1'
	none $'\e' <<<"$output"
	TERM=dumb run -0 script -qec 'stty cols 80 rows 24; as-status' /dev/null
	none $'\e' <<<"$output"
}

@test "a terminal's own width is kept" {
	balanced
	pass scale-up
	NO_COLOR=1 run -0 script -qec 'stty cols 44 rows 24; as-status' /dev/null
	[ "$(tr -d '\r' <<<"$output" | wc -L)" -le 44 ] || is "$output" 'at most 44 columns'
}

@test "--watch writes over the screen, shows what changes, fits it, and ends on SIGINT" {
	for i in 1 2 3 4 5; do container "s$i" "{\"autoscale.service\":\"s$i\"}" >/dev/null; done
	NO_COLOR=1 script -qfec 'stty cols 60 rows 6; exec env --default-signal=INT as-status --watch=0.2' /dev/null \
		>"$BATS_TEST_TMPDIR/out" 3>&- &
	PIDS+=($!)
	eventually 10 grep -q 's3 ' "$BATS_TEST_TMPDIR/out"
	is "$(grep -c 's5 ' "$BATS_TEST_TMPDIR/out" || true)" 0 'what does not fit'
	api POST '/containers/s1/stop?t=0' >/dev/null
	eventually 10 grep -q '! 1 stopped' "$BATS_TEST_TMPDIR/out"
	[ "$(grep -c $'\e\[H' "$BATS_TEST_TMPDIR/out")" -ge 2 ]
	kill -INT "$(pgrep -P "${PIDS[0]}")"
	wait "${PIDS[0]}" || status=$?
	is "$status" 130
	PIDS=()
}

@test "--watch without a terminal prints one table after the other, with --json objects" {
	container web '{"autoscale.service":"web"}' >/dev/null
	env --default-signal=INT as-status --watch=0.2 web >"$BATS_TEST_TMPDIR/out" 3>&- &
	PIDS+=($!)
	eventually 10 frames "$BATS_TEST_TMPDIR/out" 3
	none $'\e' <"$BATS_TEST_TMPDIR/out"
	kill -INT "${PIDS[0]}"
	wait "${PIDS[0]}" || status=$?
	is "$status" 130
	PIDS=()
	run timeout 5 bash -c 'as-status --watch=0.1 --json | head -n 2 | jq -r .service'
	is "$output" $'web\nweb'
}

@test "a reader that is gone and a full disk" {
	container web '{"autoscale.service":"web"}' >/dev/null
	run -74 bash -c 'as-status >/dev/full'
	has "$output" 'cannot write standard output'
}
