#!/usr/bin/env bats
# Services that follow a target, on a real engine behind the four real load balancers: what is above its target grows,
# what is below it shrinks when the window is over, what is constant stays. HAProxy's follows its connections, the
# others' their response time. All four live through one day, of which the first tests tell: dawn (no load), morning (it
# comes), noon (more of it at HAProxy), afternoon (twenty passes in which nothing changes), evening (most of it goes).

load lib
load balancers
load track

setup_file() {
	rig_up docker haproxy nginx traefik envoy
	export DAY=$BATS_FILE_TMPDIR/day
	mkdir "$DAY"
}
teardown_file() {
	all_quit
	rig_down
}
setup() {
	own
	export AUTOSCALE_STORE=sqlite:$DAY/store.db AS_LOCK=$DAY/lock
	[ -f "$DAY/status" ] || live
}

# own: a store and a configuration of this test's own
own() {
	local b
	fresh
	for b in $BALANCERS; do
		lb_section "$b"
		[ "$b" != nginx ] || echo "log = $AS_RIG_NGINX_LOG"
	done >"$AUTOSCALE_CONF"
}

# live: the day, once
live() {
	{
		set +eET
		trap - ERR DEBUG EXIT
		(set -e; day) >"$DAY/out" 2>&1
		echo $? >"$DAY/status"
		set -eET
	} 3>&-
	all_quit
}
# the_day: it went well, as far as that is not a test's business
the_day() { is "$(cat "$DAY/status")" 0 "$(tail -n 40 "$DAY/out")"; }

OTHERS='nginx traefik envoy'
day() {
	local b i
	tracked haproxy '{}'
	as-policy set haproxy target='lb.connections=4' >/dev/null
	# 25 clients wait 2.5 s for one replica and 0.83 s for three, two clients 0.2 s for one and 0.1 s for three.
	for b in $OTHERS; do
		tracked "$b" '{"autoscale.target": "lb.response_time=1", "autoscale.tolerance": "0.3", "autoscale.window-up": "4s"}'
	done
	pass dawn
	clients haproxy first 12 /wait/1000
	for b in $OTHERS; do
		clients "$b" few 2 /x
		clients "$b" many 23 /x
	done
	for b in $OTHERS; do eventually 30 asked "$b" 50; done # all that are answered from now on have waited their turn
	eventually 30 in_flight 12
	pass_until morning 4
	clients haproxy second 8 /wait/1000
	eventually 30 in_flight 20
	pass_until noon 1
	for ((i = 0; i < 20; i++)); do pass afternoon; done
	for b in haproxy $OTHERS; do replicas "$b" >"$DAY/replicas.$b"; done
	quit haproxy first
	for b in $OTHERS; do quit "$b" many; done
	eventually 30 in_flight 8
	pass_until evening 4
	quit haproxy second
	for b in $OTHERS; do quit "$b" few; done
	as-audit --export >"$DAY/export"
	as-policy list >"$DAY/policies"
}

no_request_failed() {
	the_day
	is "$(tally_of "$1" failed)" 0 "$(cat "$DAY/load.$1".*)"
	[ "$(tally_of "$1" answered)" -ge 100 ]
}

# held_by_window SERVICE: it got smaller when the window since the last pass of the afternoon was over, and said before
# that it waits for that
held_by_window() {
	is "$(window_of evening "$1")" over
	has "$(said evening "$1" 'select(.plan.op == "none").plan.reason')" 'window_down of 6 s'
}

# ---- connections, at HAProxy ----

@test "haproxy: without load one container is enough, and it joins" {
	the_day
	is "$(said dawn haproxy '.plan | "\(.op) \(.from) -> \(.to)"')" 'none 1 -> 1'
	is "$(said dawn haproxy '.lb[] | "\(.do) \(.ok)"')" 'attach true'
}

@test "haproxy: connections above the target are more replicas, as many as the formula says" {
	the_day
	is "$(said morning haproxy)" 'scale-up 1 -> 3' '12 connections, 4 for each'
	is "$(said noon haproxy)" 'scale-up 3 -> 5' '20 connections, 4 for each'
	has "$(said noon haproxy 'select(.plan.op != "none").plan.reason')" '3 -> 5: lb.connections'
}

@test "haproxy: twenty passes at constant load do nothing" {
	the_day
	is "$(said afternoon haproxy .plan.op | sort | uniq -c | xargs)" '20 none'
	is "$(cat "$DAY/replicas.haproxy")" 'haproxy haproxy-1 haproxy-2 haproxy-3 haproxy-4'
}

@test "haproxy: connections below the target are fewer replicas when the window is over, as few as the formula says" {
	the_day
	is "$(said evening haproxy)" 'scale-down 5 -> 2' '8 connections, 4 for each'
	held_by_window haproxy
}

@test "haproxy: no request failed all day" { no_request_failed haproxy; }

# ---- response time, at the others ----

above_the_target() {
	the_day
	is "$(said morning "$1")" 'scale-up 1 -> 3' '2.5 s, and 1 s is the target'
	is "$(said noon "$1")" ''
}
@test "nginx: a response time above the target is more replicas, until it is within the tolerance" { above_the_target nginx; }
@test "traefik: a response time above the target is more replicas, until it is within the tolerance" { above_the_target traefik; }
@test "envoy: a response time above the target is more replicas, until it is within the tolerance" { above_the_target envoy; }

nothing_changes() {
	the_day
	is "$(said afternoon "$1" .plan.op | sort | uniq -c | xargs)" '20 none'
	is "$(cat "$DAY/replicas.$1")" "$1 $1-1 $1-2"
}
@test "nginx: twenty passes at constant load do nothing" { nothing_changes nginx; }
@test "traefik: twenty passes at constant load do nothing" { nothing_changes traefik; }
@test "envoy: twenty passes at constant load do nothing" { nothing_changes envoy; }

below_the_target() {
	the_day
	is "$(said evening "$1")" 'scale-down 3 -> 1' '0.1 s, and 1 s is the target'
	held_by_window "$1"
}
@test "nginx: a response time below the target is fewer replicas when the window is over" { below_the_target nginx; }
@test "traefik: a response time below the target is fewer replicas when the window is over" { below_the_target traefik; }
@test "envoy: a response time below the target is fewer replicas when the window is over" { below_the_target envoy; }

@test "nginx: no request failed all day" { no_request_failed nginx; }
@test "traefik: no request failed all day" { no_request_failed traefik; }
@test "envoy: no request failed all day" { no_request_failed envoy; }

# ---- the day once more ----

@test "replay: the exported day, decided again with the same policies, gives the same plans byte for byte" {
	the_day
	is "$(grep -c . "$DAY/export")" "$(cat "$DAY"/*.pass | wc -l)"
	as-resolve-policy --policies "$DAY/policies" <"$DAY/export" | as-decide --simulate >"$BATS_TEST_TMPDIR/again"
	is "$(grep -c . "$BATS_TEST_TMPDIR/again")" "$(grep -c . "$DAY/export")"
	jq -c '[.id, .plan]' "$DAY/export" >"$BATS_TEST_TMPDIR/plans"
	jq -c '[.id, .plan]' "$BATS_TEST_TMPDIR/again" >"$BATS_TEST_TMPDIR/plans.again"
	diff "$BATS_TEST_TMPDIR/plans" "$BATS_TEST_TMPDIR/plans.again"
}

# ---- another day ----

# alone WINDOW: nothing but one container of service haproxy, which joined; one connection for each
alone() {
	wipe
	no_servers
	own
	tracked haproxy "{\"autoscale.target\": \"lb.connections=1\", \"autoscale.window-down\": \"$1\"}"
	mkdir -p "$DAY/alone"
	DAY=$(mktemp -d "$DAY/alone/XXXXXX")
	pass first
}

@test "who is idle goes, by HAProxy's own counts, and not who came last" {
	alone 1s
	clients haproxy some 3 /wait/500
	eventually 30 in_flight 3
	pass_until up 1
	is "$(replicas haproxy)" 'haproxy haproxy-1 haproxy-2'
	# two requests that last, at haproxy-2
	for c in haproxy haproxy-1; do haproxy_say "set server web/$(entry "$c") state drain" >/dev/null; done
	for n in 1 2; do
		curl -s -d x --max-time 28 -o /dev/null "$AS_RIG_HAPROXY_URL/wait/28000" 3>&- &
		echo $! >"$DAY/pid.curl.$n"
	done
	eventually 30 in_flight 5
	for c in haproxy haproxy-1; do haproxy_say "set server web/$(entry "$c") state ready" >/dev/null; done
	quit haproxy some
	eventually 30 in_flight 2
	pass_until down 1
	is "$(said down haproxy)" 'scale-down 3 -> 2'
	is "$(replicas haproxy)" 'haproxy haproxy-2'
	all_quit
}

@test "a load balancer that does not answer is no reason to remove anything, and the plan says so" {
	alone 0s
	clients haproxy some 3 /wait/500
	eventually 30 in_flight 3
	pass_until up 1
	quit haproxy some
	sed -i 's,^socket.*,socket = /nonexistent.sock,' "$AUTOSCALE_CONF"
	run -1 --separate-stderr "$TOP/pipelines/track"
	is "$(jq -r '"\(.plan.op) \(.plan.from) -> \(.plan.to)"' <<<"$output")" 'none 3 -> 3'
	has "$(jq -r .plan.reason <<<"$output")" 'lb.connections'
	is "$(replicas haproxy)" 'haproxy haproxy-1 haproxy-2'
	own
	pass_until down 1
	is "$(said down haproxy)" 'scale-down 3 -> 1'
}
