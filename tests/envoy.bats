#!/usr/bin/env bats
# Envoy as the load balancer of applications that join by labels; and its driver on a real Envoy, verb by verb
# (tests/unit/envoy_test.c). What is the same at all load balancers: balancers.bats.
# shellcheck disable=SC2016 # rules have backticks

load lib

setup_file() { rig_up docker envoy; }
teardown_file() { rig_down; }
setup() {
	fresh
	printf '[lb "edge"]\ndriver = envoy\nfolder = %s\nadmin = %s\n' "$AS_RIG_ENVOY_DIR" "$AS_RIG_ENVOY_ADMIN" >"$AUTOSCALE_CONF"
}
teardown() { wipe; }

shop() {
	container "$1" '{"autoscale.service":"shop","autoscale.lb":"edge","autoscale.lb.port":"80","autoscale.lb.rule":"Host(`shop.example`)"}' >/dev/null || return 1
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(api GET "/containers/$1/json" | jq -r '.NetworkSettings.Networks[].IPAddress')/"
}
answer() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 -H "Host: $1" "$AS_RIG_ENVOY_URL/"; }
did() { jq -c '[.lb[] | [.do, .ok, .message]]'; }

@test "the driver does what it promises, and says what stands against it" {
	run "${AS_BUILD:-$TOP/build}/unit/envoy_test"
	grep -A3 '^not ok' <<<"$output" >&2 || true
	is "$status" 0
	has "$output" 'applications come and go: no request to another fails'
}

@test "an application with two labels is reached through Envoy with no edit by hand, and vanishes with its container" {
	shop shop
	is "$(answer shop.example)" 503 "nobody's yet: the operator's web has no servers"
	run -0 as-lb-update < <(as-inspect shop | as-resolve-policy)
	is "$(did <<<"$output")" '[["ensure",true,""],["attach",true,""]]'
	is "$(answer shop.example)" 200
	run -0 as-lb-update < <(as-inspect shop | as-resolve-policy)
	is "$(did <<<"$output")" '[["ensure",true,"already"],["attach",true,"already"]]'
	api DELETE '/containers/shop?force=1' >/dev/null
	run -0 as-lb-update --sync </dev/null
	[ ! -e "$AS_RIG_ENVOY_DIR/shop.json" ]
	is "$(curl -s "$AS_RIG_ENVOY_ADMIN/clusters" | grep -c '^shop::')" 0
	is "$(answer shop.example)" 503
}

# shop_record [CONTAINERS-JSON]
shop_record() {
	jq -nc --arg now "$(date -u +%FT%T.%3NZ)" --argjson containers "${1:-[]}" '{v: 1, id: "t", now: $now, service: "shop",
		observed: {hosts: [{name: "local", ok: true, message: ""}], containers: $containers},
		policy: {lb: "edge", lb_backend: "shop", lb_rule: "Host(`shop.example`)", drain: 5, ready_timeout: 5},
		plan: {op: "none", create: [], start: [], remove: []}}'
}

@test "kill -9 while an application comes or goes, then one run: it is wholly there, or wholly gone" {
	shop shop
	shop_record "$(as-inspect shop | jq -c .observed.containers)" >"$BATS_TEST_TMPDIR/on"
	shop_record >"$BATS_TEST_TMPDIR/off"
	local -x DOCKER_HOST=unix:///nonexistent.sock # what the records say is all there is
	died=0 limit=60
	for ((i = 0; died < ${AS_MOMENTS:-20} && i < 20 * ${AS_MOMENTS:-20}; i++)); do
		if ((i % 2)); then to=off; else to=on; fi
		# A run that was over is a reason to come earlier.
		if timeout -s KILL "$(printf '0.%03d' $((1 + RANDOM % limit)))" as-lb-update <"$BATS_TEST_TMPDIR/$to" >/dev/null 2>&1; then
			limit=$((limit > 10 ? limit - 2 : 10))
		else
			died=$((died + 1)) limit=$((limit + 2))
		fi
		as-lb-update <"$BATS_TEST_TMPDIR/$to" >"$BATS_TEST_TMPDIR/said" || { cat "$BATS_TEST_TMPDIR/said"; false; }
		case $to in
		on) is "$(answer shop.example)" 200 ;;
		off)
			is "$(answer shop.example)" 503
			is "$(grep -l shop "$AS_RIG_ENVOY_DIR"/*.json)" ''
			;;
		esac
	done
	[ "$died" -ge "${AS_MOMENTS:-20}" ]
	as-lb-update <"$BATS_TEST_TMPDIR/off" >/dev/null
}

@test "Envoy is started again: it has the same servers and routes, from the same files" {
	shop shop
	as-inspect shop | as-resolve-policy | as-lb-update >/dev/null
	binary=$(readlink -f "/proc/$AS_RIG_ENVOY_PID/exe")
	is "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$AS_RIG_ENVOY_ADMIN/quitquitquit")" 200
	eventually 5 ended "$AS_RIG_ENVOY_PID"
	"$binary" -c "$AS_RIG_ENVOY_CONF" --disable-hot-restart --concurrency 1 --log-level warn >"$BATS_TEST_TMPDIR/envoy.log" 2>&1 3>&- &
	pid=$!
	eventually 10 curl -sf -o /dev/null "$AS_RIG_ENVOY_ADMIN/ready"
	eventually 10 serves
	run -0 as-lb-update < <(as-inspect shop | as-resolve-policy)
	is "$(did <<<"$output")" '[["ensure",true,"already"],["attach",true,"already"]]'
	api DELETE '/containers/shop?force=1' >/dev/null
	run -0 as-lb-update --sync </dev/null
	kill "$pid"
	wait "$pid" || true
}
ended() { [ ! -d "/proc/$1" ]; }
serves() { [ "$(answer shop.example)" = 200 ]; }
