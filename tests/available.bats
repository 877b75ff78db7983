# Service availability on two real engines: a host that is cut off, what somebody wanted gone, crash loops.

load lib

setup_file() { rig_up docker docker2; }
teardown_file() { rig_down; }

# Host h1 is the first engine, h2 the second by way of a link that can be taken away.
setup() {
	fresh
	export H2=$BATS_TEST_TMPDIR/h2.sock
	ln -s "${AS_RIG_DOCKER2_HOST#unix://}" "$H2"
	printf '[host "h1"]\nurl = %s\n[host "h2"]\nurl = unix://%s\n' "$DOCKER_HOST" "$H2" >"$AUTOSCALE_CONF"
}
teardown() {
	wipe
	on2 wipe
}

# on2 COMMAND...: the helpers of lib.bash on the second engine.
on2() { API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} "$@"; }

labels='{"autoscale.service":"web","autoscale.max":"4"}'

# look: what is seen of web, as COUNTS and NAME@HOST:STATE
look() { as-inspect web | jq -r '.observed | "\(.running) \(.unknown) \(.missing) " + ([.containers[] | "\(.name)@\(.host):\(.state)"] | sort | join(" "))'; }

decided() { as-inspect "$@" web | as-resolve-policy | as-decide; }

brief() { jq -r '.plan | "\(.op) \(.from) \(.to) " + ([(.start + .create)[].name] | join(","))'; }

# forget the seconds that passed: SECONDS ago everything in the history happened
ago() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "UPDATE autoscale_history SET finished_at = finished_at - $1 * 1000"; }

@test "a host is cut off: its replicas are unknown and count, and nothing is done about them" {
	container web "$labels" >/dev/null
	on2 container web-1 '{"autoscale.service":"web","autoscale.copy-of":"x","autoscale.op":"y","autoscale.index":"1"}' >/dev/null
	on2 container other "$labels" >/dev/null
	is "$(as-inspect --remember web | jq -c '.observed | [.running, .unknown, [.hosts[].ok]]')" '[3,0,[true,true]]'
	rm "$H2"
	is "$(look 2>/dev/null)" '1 2 0 other@h2:unknown web-1@h2:unknown web@h1:running'
	is "$(as-inspect web 2>/dev/null | jq -c '[.observed.hosts[] | [.ok, .known]], [.observed.containers[] | select(.name == "web-1") | .copy, .index, .ready, .last_state]' | tr '\n' ' ')" \
		'[[true,null],[false,true]] [true,1,false,"running"] '
	is "$(decided 2>/dev/null | brief)" 'none 3 3 '
	as-policy set web min=4
	api DELETE '/containers/web?force=1' >/dev/null
	container web-9 "$labels" >/dev/null
	is "$(decided 2>/dev/null | brief)" 'recreate 3 4 web' 'what was deleted on the host that answers is made again, that of the other is not'
	ln -s "${AS_RIG_DOCKER2_HOST#unix://}" "$H2"
	is "$(look)" '3 0 1 other@h2:running web-1@h2:running web-9@h1:running'
}

@test "a host that answers again without them: they are missing then" {
	container web "$labels" >/dev/null
	on2 container other "$labels" >/dev/null
	as-inspect --remember web >/dev/null
	rm "$H2"
	on2 wipe
	is "$(look 2>/dev/null)" '1 1 0 other@h2:unknown web@h1:running'
	ln -s "${AS_RIG_DOCKER2_HOST#unix://}" "$H2"
	is "$(look)" '1 0 1 web@h1:running'
	is "$(decided | brief)" 'recreate 1 2 other'
	rm "$H2"
	is "$(look 2>/dev/null)" '1 0 0 web@h1:running'
}

@test "containers of one name on two hosts are two; one that moved to another host is there" {
	container web "$labels" >/dev/null
	on2 container web "$labels" >/dev/null
	as-inspect --remember web >/dev/null
	api DELETE '/containers/web?force=1' >/dev/null
	is "$(decided | jq -r '.plan | "\(.op) \(.create[0].name) \(.create[0].host)"')" 'recreate web h1'
	on2 container moved "$labels" >/dev/null
	as-inspect --remember web >/dev/null
	on2 api DELETE '/containers/moved?force=1' >/dev/null
	container moved "$labels" >/dev/null
	is "$(as-inspect web | jq -c '[.observed.remembered[] | select(.name == "moved") | .missing]')" '[false]'
}

@test "looking again at what did not change writes nothing" {
	container web "$labels" >/dev/null
	as-inspect web >/dev/null
	was=$(sqlite3 "$BATS_TEST_TMPDIR/store.db" .dump) # every writer leaves its time in it
	as-inspect web >/dev/null
	is "$(sqlite3 "$BATS_TEST_TMPDIR/store.db" .dump)" "$was"
	container web-x "$labels" >/dev/null
	as-inspect web >/dev/null
	[ "$(sqlite3 "$BATS_TEST_TMPDIR/store.db" .dump)" != "$was" ]
}

@test "a store that cannot be written: as-inspect says so with -v, once, and goes on" {
	container web "$labels" >/dev/null
	as-policy list >/dev/null
	sqlite3 "$BATS_TEST_TMPDIR/store.db" "CREATE TRIGGER full BEFORE INSERT ON container BEGIN SELECT RAISE(FAIL, 'the disk is full'); END"
	run -0 --separate-stderr as-inspect -v web web
	is "$(jq -c .observed.running <<<"$output" | tr '\n' ' ')" '1 1 '
	is "$(grep -c 'disk is full' <<<"$stderr")" 1
	run -0 --separate-stderr as-inspect web
	is "$stderr" ''
}

@test "an original that we removed on purpose is not made again; deleted by somebody else it is" {
	container web "$labels" >/dev/null
	container web-x '{"autoscale.service":"web"}' >/dev/null
	as-inspect --remember web | as-resolve-policy | jq -c '.plan = {op: "scale-down", from: 2, to: 1, create: [], start: [], remove: [.observed.containers[] | select(.name == "web-x") | {id, name, host}]}' |
		as-audit --intent >"$BATS_TEST_TMPDIR/promised"
	is "$(as-inspect web | jq -c '[.observed.remembered[].missing]')" '[false,false]'
	run -0 as-remove --force web-x <"$BATS_TEST_TMPDIR/promised"
	is "$(names)" web
	is "$(as-inspect web | jq -c '[.observed.missing, (.observed.remembered[] | select(.name == "web-x") | .missing, (.removed | type))]')" '[0,false,"string"]' 'also before the operation is told as done'
	as-audit <<<"$output" >/dev/null
	is "$(decided | brief)" 'none 1 1 '
	api DELETE '/containers/web?force=1' >/dev/null
	is "$(decided | brief)" 'recreate 0 1 web'
	# one that the operator starts anew under the name is an original like any other
	container web-x '{"autoscale.service":"web"}' >/dev/null
	as-inspect --remember web >/dev/null
	api DELETE '/containers/web-x?force=1' >/dev/null
	is "$(decided | brief)" 'recreate 0 2 web,web-x'
}

@test "docker compose down is undone, or respected when the operator says so" {
	local project='{"autoscale.service":"web","autoscale.max":"4","com.docker.compose.project":"shop"}'
	container shop-web-1 "$project" >/dev/null
	container shop-db-1 '{"com.docker.compose.project":"shop"}' >/dev/null
	container web-1 '{"autoscale.service":"web","autoscale.copy-of":"x","autoscale.op":"y"}' >/dev/null
	as-inspect --remember web >/dev/null
	api DELETE '/containers/shop-web-1?force=1' >/dev/null
	printf '[limits]\ncompose_down = respect\n' >>"$AUTOSCALE_CONF"
	run -0 decided
	has "$(jq -r '.plan.op + " " + .plan.reason' <<<"$output")" 'none shop-web-1 is gone, perhaps with all of its compose project'
	is "$(jq -r '.plan.retry_at == .observed.remembered[0].settles_at' <<<"$output")" true
	sqlite3 "$BATS_TEST_TMPDIR/store.db" 'UPDATE container_spec SET missing_at = missing_at - 30000'
	is "$(decided | brief)" 'recreate 1 2 shop-web-1' 'after half a minute a part of the project is there: it was not taken down'
	api DELETE '/containers/shop-db-1?force=1' >/dev/null
	sed -i 's/= respect/= recreate/' "$AUTOSCALE_CONF"
	is "$(decided | brief)" 'recreate 1 2 shop-web-1' 'by default it comes back'
	sed -i 's/= recreate/= respect/' "$AUTOSCALE_CONF"
	is "$(decided | brief)" 'none 1 1 '
	is "$(as-inspect web | jq -c '[.observed.missing, .observed.remembered[0].removed]')" '[0,"compose down"]'
	container shop-db-1 '{"com.docker.compose.project":"shop"}' >/dev/null
	is "$(decided | brief)" 'none 1 1 ' 'nor when another part of the project comes back'
}

@test "a crash loop is started at once, then waits longer each time, and says why it ended" {
	container web "$labels" '{"Cmd":["sh","-c","exit 3"]}' >/dev/null
	as-policy set web ready_timeout=1
	pass() { decided | as-audit --intent | as-start 2>/dev/null | as-audit; }
	stopped() { [ "$(api GET /containers/web/json | jq -r .State.Status)" = exited ]; }
	eventually 5 stopped
	is "$(pass | jq -c '[.plan.op, .audit.outcome]')" '["start","failed"]'
	eventually 5 stopped
	run -0 --separate-stderr decided
	is "$(jq -r '.plan.op, (.plan.reason | gsub("in [0-9]+ s"; "in N s"))' <<<"$output" | tr '\n' ' ')" \
		'none web was started 1 time in N s, exit code 3; next try in N s '
	is "$(jq -c '(.plan.retry_at | type), .history.repairs[0].op, .history.repairs[0].names' <<<"$output" | tr '\n' ' ')" '"string" "start" ["web"] '
	ago 11
	is "$(pass | jq -c .plan.op)" '"start"'
	eventually 5 stopped
	ago 15
	has "$(decided | jq -r '.plan.op + " " + .plan.reason')" 'none crash loop: web was started 2 times'
}

@test "copies that never get ready are not made again and again" {
	container web "$labels" >/dev/null
	as-policy set web min=2 ready=tcp:9 ready_timeout=1
	pass() { decided | as-audit --intent | as-clone 2>/dev/null | as-audit; }
	is "$(pass | jq -c '[.plan.op, .audit.outcome]')" '["scale-up","partial"]'
	is "$(names)" web
	has "$(decided | jq -r '.plan.op + " " + .plan.reason')" 'none web-1 was made in vain 1 time'
	ago 11
	is "$(pass | jq -c .plan.op)" '"scale-up"'
	ago 15
	has "$(decided | jq -r '.plan.op + " " + .plan.reason')" 'none crash loop: web-1 was made in vain 2 times'
}

@test "what the engine restarts by the container's own policy is left to it, counts, and is told" {
	container web "$labels" '{"Cmd":["sh","-c","exit 3"],"HostConfig":{"RestartPolicy":{"Name":"always"}}}' >/dev/null
	restarting() { api GET /containers/web/json | jq -e '.RestartCount >= 4 and .State.Status == "restarting"' >/dev/null; } # then for over a second
	eventually 10 restarting
	run -0 decided
	is "$(jq -r '.plan | "\(.op) \(.from)"' <<<"$output")" 'none 1'
	has "$(jq -r .plan.reason <<<"$output")" '1 restarted by the engine (web '
	has "$(jq -r .plan.reason <<<"$output")" 'times, exit code 3)'
}
