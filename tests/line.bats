# The whole line on a real engine and a real HAProxy: the main job, storms, crashes, load.

load lib

setup_file() { rig_up docker haproxy; }
teardown_file() { rig_down; }
setup() { fresh; }
teardown() { wipe; no_servers; }

pass() { "$TOP/pipelines/autoscale" "$@"; }
reconcile() { "$TOP/pipelines/reconcile" "$@"; }
history() { as-audit --history | jq -c "${1:-[.action, .from, .to, .outcome]}"; }
alerts_in() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "select count(*) from alert where state = '$1'"; }
# kill_tree PID: the process and all it started, by their ids
kill_tree() {
	local c
	for c in $(pgrep -P "$1"); do kill_tree "$c"; done
	kill "$1" 2>/dev/null || true
}
# the alert's lease and backoff are over
due_now() { sqlite3 "$BATS_TEST_TMPDIR/store.db" 'update alert set due = 1 where due is not null'; }

@test "the main job: an alert, a copy, in the load balancer, serving, drained, gone, all in the history" {
	web
	reconcile >/dev/null
	is "$(servers_up)" 1
	alert up
	run -0 pass
	is "$(names)" 'web web-1'
	is "$(servers_up)" 2
	for _ in $(seq 20); do curl -s "$AS_RIG_HAPROXY_URL/cgi-bin/id"; echo; done | sort -u >"$BATS_TEST_TMPDIR/who"
	is "$(grep -c . "$BATS_TEST_TMPDIR/who")" 2 'both answer'
	alert down
	run -0 pass
	is "$(names)" web
	is "$(servers_up)" 1
	is "$(history | tr '\n' ' ')" '["scale-up",1,2,"done"] ["scale-down",2,1,"done"] '
	is "$(alerts_in 'done')" 2
	run -0 as-audit --verify
}

@test "three hundred alerts for one service: one scaling action, 300 acknowledged" {
	web
	for i in $(seq 300); do echo "{\"service\":\"web\",\"action\":\"scale-up\",\"key\":\"k$i\"}"; done | as-ingest
	run -0 pass
	is "$(names)" 'web web-1'
	is "$(history | tr '\n' ' ')" '["scale-up",1,2,"done"] '
	is "$(alerts_in 'done')" 300
	is "$(as-audit --export | jq -r '.plan.reason' | grep -c 'covered by')" 299
}

@test "an alert that comes after the action acts again; cooldown holds it back" {
	web
	alert up; pass >/dev/null
	alert up; pass >/dev/null
	is "$(names)" 'web web-1 web-2'
	as-policy set web cooldown-up=60
	alert up; pass >/dev/null
	is "$(names)" 'web web-1 web-2'
	alert up '{"count": 9}'; as-policy set web cooldown-up=0; pass >/dev/null
	alert up; pass >/dev/null
	is "$(names)" 'web web-1 web-2 web-3' 'never past max'
}

@test "a pass with nothing to do prints nothing and exits 0" {
	run -0 pass
	is "$output" ''
}

@test "two passes at once: the second exits 75 at once" {
	exec 8>"$AS_LOCK"
	flock 8
	run -75 pass
	has "$output" 'another pass is under way'
	exec 8>&-
}

@test "reconcile repairs what is stopped, below min, above max, and missing in the load balancer, without an alert" {
	web
	as-policy set web min=2
	reconcile >/dev/null
	is "$(names)" 'web web-1'
	is "$(servers_up)" 2
	api POST /containers/web-1/stop?t=1 >/dev/null
	reconcile >/dev/null
	is "$(running)" 2
	no_servers
	reconcile >/dev/null
	is "$(servers_up)" 2
	as-policy set web min=4
	reconcile >/dev/null
	is "$(running) $(servers_up)" '4 4'
	run -0 reconcile
	is "$(jq -r .plan.op <<<"$output")" none 'nothing left to repair'
}

@test "the engine is down: the alert goes back with the reason, nothing is lost, the next pass acts" {
	web
	alert up
	DOCKER_HOST=unix:///nonexistent.sock run -1 pass
	is "$(alerts_in new)" 1
	has "$(sqlite3 "$BATS_TEST_TMPDIR/store.db" 'select result from alert')" /nonexistent.sock
	due_now
	run -0 pass
	is "$(names)" 'web web-1'
	is "$(alerts_in 'done')" 1
}

@test "the load balancer's socket is missing: the copy stays, the alert goes back, the next pass attaches it" {
	web
	alert up
	sed -i 's,^socket.*,socket = /nonexistent.sock,' "$AUTOSCALE_CONF"
	run -1 pass
	is "$(names)" 'web web-1'
	is "$(alerts_in new)" 1
	fresh
	due_now
	run -0 pass
	is "$(names)" 'web web-1'
	is "$(servers_up)" 2
	is "$(history | tr '\n' ' ')" '["scale-up",1,2,"done"] ' 'one history row for one intent'
}

@test "the name is taken by a stranger: the alert goes back with the reason, later it acts" {
	web
	id=$(container web-1 '{}')
	alert up
	run -1 pass
	has "$(sqlite3 "$BATS_TEST_TMPDIR/store.db" 'select result from alert')" '409 name "web-1" is in use'
	api DELETE "/containers/$id?force=1" >/dev/null
	due_now
	run -0 pass
	is "$(names)" 'web web-1'
	is "$(history | tr '\n' ' ')" '["scale-up",1,2,"failed"] ["scale-up",1,2,"done"] '
}

@test "an alert with an unknown action becomes a dead letter in the end and never scales anything" {
	web
	alert explode
	for _ in 1 2 3 4 5; do due_now; pass >/dev/null 2>&1 || true; done
	is "$(alerts_in dead)" 1
	is "$(names)" web
}

@test "--follow acts on an alert as it comes" {
	web
	pass --follow >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	alert up
	eventually 10 grep -q '"outcome":"done"' "$BATS_TEST_TMPDIR/out"
	is "$(names)" 'web web-1'
	alert up
	eventually 10 bash -c "[ \$(grep -c '\"outcome\":\"done\"' '$BATS_TEST_TMPDIR/out') = 2 ]"
	is "$(names)" 'web web-1 web-2'
	is "$(alerts_in 'done')" 2
	kill_tree "$pid"
	wait "$pid" || true
}

@test "1 -> 4 -> 1 under load loses no request" {
	web
	as-policy set web step=3
	reconcile >/dev/null
	is "$(servers_up)" 1
	hey -z 12s -c 8 -q 25 -m POST "$AS_RIG_HAPROXY_URL/cgi-bin/id" >"$BATS_TEST_TMPDIR/hey" 3>&- &
	load=$!
	sleep 1
	alert up; pass >/dev/null
	is "$(servers_up)" 4
	sleep 2
	alert down; pass >/dev/null
	is "$(servers_up)" 1
	kill -0 "$load"
	wait "$load"
	cat "$BATS_TEST_TMPDIR/hey" >&2
	is "$(names)" web
	is "$(sed -n 's/^ *\[\([0-9]*\)\].*/\1/p' "$BATS_TEST_TMPDIR/hey")" 200 'every answer is 200'
	is "$(grep -c 'Error distribution' "$BATS_TEST_TMPDIR/hey")" 0
	total=$(sed -n 's/^ *\[200\][^0-9]*\([0-9]*\) responses.*/\1/p' "$BATS_TEST_TMPDIR/hey")
	[ "$total" -ge 1000 ]
}

# ---- kill -9 of each stage, at its first word to the outside, then one more pass ----

# murdered STAGE N CALLS: a pass in which STAGE dies by kill -9 at its N-th system call of these; fails when it lived
murdered() {
	local dir=$BATS_TEST_TMPDIR/bin
	mkdir -p "$dir"
	for c in "$AS_BIN"/as-*; do ln -sf "$c" "$dir/${c##*/}"; done
	rm "$dir/$1"
	cat >"$dir/$1" <<-EOF
		#!/bin/sh
		ASAN_OPTIONS=detect_leaks=0 exec strace -f -o /dev/null -e trace=$3 -e inject=$3:signal=KILL:when=$2 $AS_BIN/$1 "\$@"
	EOF
	chmod +x "$dir/$1"
	AS_BIN=$dir run pass
	is "$status" 137 "$1 was not killed at call $2 of $3"
}

# up_after_murder STAGE CALLS COUNTS...: whatever happened, the next pass ends with the model's state
up_after_murder() {
	local stage=$1 calls=$2 n
	shift 2
	for n; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		web
		reconcile >/dev/null
		alert up
		murdered "$stage" "$n" "$calls"
		due_now
		run -0 pass
		run -0 reconcile
		is "$(names)" 'web web-1' "$stage at call $n"
		is "$(servers_up)" 2 "$stage at call $n"
		is "$(alerts_in 'done')" 1 "$stage at call $n"
		is "$(history | tr '\n' ' ')" '["scale-up",1,2,"done"] ' "$stage at call $n"
		run -0 as-audit --verify
		wipe
		no_servers
	done
}

@test "kill -9 of as-audit --intent, at its writes: no copy twice, no alert lost" { up_after_murder as-audit pwrite64,write 1 4 8 12; }
@test "kill -9 of as-clone, at each word to the engine: no copy twice, no alert lost" { up_after_murder as-clone sendto,write 1 2 3 4 5 6 7; }
@test "kill -9 of as-lb-update, at each word to HAProxy: no entry twice, no alert lost" { up_after_murder as-lb-update sendto,write 1 2 3 4 5; }
@test "kill -9 of as-ack-alerts, at its writes: acted once, no alert lost" { up_after_murder as-ack-alerts pwrite64,write 1 3; }
@test "kill -9 of as-inspect and as-fetch-alerts: nothing done, nothing lost" {
	up_after_murder as-inspect sendto,write 1 3
	up_after_murder as-fetch-alerts write 1
}

@test "kill -9 of as-remove, at each word to the engine: gone once, the entry too, no alert lost" {
	for n in 1 2 3 4; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		web
		alert up; pass >/dev/null
		alert down
		murdered as-remove "$n" sendto,write
		due_now
		run -0 pass
		run -0 reconcile
		is "$(names)" web "call $n"
		is "$(servers)" "as-$(api GET /containers/web/json | jq -r '.Id[0:12]')" "call $n"
		is "$(history | tr '\n' ' ')" '["scale-up",1,2,"done"] ["scale-down",2,1,"done"] ' "call $n"
		is "$(alerts_in 'done')" 2 "call $n"
		wipe
		no_servers
	done
}

@test "kill -9 of as-start, at each word to the engine: started, no alert lost" {
	for n in 1 2 3; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		web
		api POST /containers/web/stop?t=1 >/dev/null
		alert start
		murdered as-start "$n" sendto,write
		due_now
		run -0 pass
		is "$(names) $(running)" 'web 1' "call $n"
		is "$(alerts_in 'done')" 1 "call $n"
		is "$(history '.action' | tr '\n' ' ')" '"start" ' "call $n"
		wipe
		no_servers
	done
}
