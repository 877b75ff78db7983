#!/usr/bin/env bats
# What as-lb-update does with HAProxy's own configuration: new applications get a backend and a route by one reload, and
# a balance rule that takes no server at run time uses spare ones. The rest of HAProxy: balancers.bats,
# unit/lb_test.c, unit/haproxy_test.c.

load lib
load balancers

setup_file() {
	rig_up haproxy
	export APPS=$AS_RIG/apps
	apps_up "$APPS" haproxy
}
teardown_file() {
	apps_down "$APPS"
	rig_down
}
setup() {
	fresh
	lb_section haproxy >"$AUTOSCALE_CONF"
	export DOCKER_HOST=unix://$BATS_TEST_TMPDIR/no-engine.sock
}

# app NAME CONTAINER: the record of an application NAME at NAME.example, whose one replica this container is
app() {
	rec haproxy "$2" | jq -c --arg n "$1" '.service = $n | .policy.lb_backend = $n | .policy.lb_rule = "Host(`\($n).example`)"'
}
status_of() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 -H "Host: $1" "$AS_RIG_HAPROXY_URL/x"; }
reloads() { printf 'show proc\n' | socat -t 5 - "UNIX-CONNECT:$AS_RIG_HAPROXY_MASTER" | awk '$2 == "master" { print $3 }'; }
did() { jq -c "[.lb[] | $1]" <<<"$output"; }

@test "a new application becomes reachable by its rule, and its route goes with its last container" {
	is "$(status_of shop.example)" 503
	run -0 update < <(app shop 7)
	is "$(did '[.do, .ok, .message]')" '[["ensure",true,""],["attach",true,""]]'
	is "$(status_of shop.example)" 200
	is "$(status_of other.example)" 503
	run -0 update < <(app shop 7)
	is "$(did '[.do, .ok, .message]')" '[["ensure",true,"already"],["attach",true,"already"]]'
	app shop 7 | removing 7 >"$BATS_TEST_TMPDIR/plan"
	run -0 update --force --drain <"$BATS_TEST_TMPDIR/plan"
	run -0 update --force <"$BATS_TEST_TMPDIR/plan"
	is "$(did '[.do, .ok]')" '[["detach",true],["forget",true]]'
	is "$(status_of shop.example)" 503
	is "$(grep -c shop "$AS_RIG_HAPROXY_CFG")" 0 'lines about it'
}

@test "30 new applications in one pipe cost two reloads at most, and each is reachable" {
	local n before good=0
	before=$(reloads)
	for n in $(seq 30 59); do app "a$n" "$n"; done >"$BATS_TEST_TMPDIR/apps"
	run -0 update <"$BATS_TEST_TMPDIR/apps"
	is "$(wc -l <<<"$output")" 30
	is "$(jq -c 'select(.error or any(.lb[]; .ok | not))' <<<"$output")" ''
	is "$(($(reloads) - before <= 2))" 1 "$(($(reloads) - before)) reloads"
	for n in $(seq 30 59); do [ "$(status_of "a$n.example")" != 200 ] || good=$((good + 1)); done
	is "$good" 30 'applications that answer'
	whole haproxy
}

@test "without a master socket a rule is the record's error, which says what to set, and nothing is written" {
	local before
	sed -i /^master/d "$AUTOSCALE_CONF"
	before=$(cksum <"$AS_RIG_HAPROXY_CFG")
	# shellcheck disable=SC2016 # a rule has backquotes
	run -1 --separate-stderr update < <(app book 8)
	has "$(jq -r .error.message <<<"$output")" 'set `master` in [lb "haproxy"]'
	is "$(cksum <"$AS_RIG_HAPROXY_CFG")" "$before"
}

@test "where the balance rule takes no server at run time, containers get spare ones, as many as there are" {
	slots() { rec haproxy "$@" | jq -c '.service = "slots" | .policy.lb_backend = "slots"'; }
	run -0 update < <(slots 4 5 6)
	is "$(did '[.do, .ok]')" '[["attach",true],["attach",true],["attach",true]]'
	is "$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 "$AS_RIG_HAPROXY_URL/slots/x")" 200
	run -1 --separate-stderr update < <(slots 4 5 6 9)
	has "$(jq -r .error.message <<<"$output")" 'all 3 slots are taken'
	run -0 update < <(slots 4 5 6 | removing 5)
	is "$(did '[.do, .ok]' | grep -o '"detach",true')" '"detach",true'
	run -0 update < <(slots 4 6 9)
	is "$(did '.ok')" '[true,true,true]'
}
