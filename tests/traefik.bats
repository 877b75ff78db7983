#!/usr/bin/env bats
# Traefik whose docker provider finds the containers by itself, by their traefik.* labels: nothing is written, and only
# looked whether they are there. What Traefik does with our files: tests/unit/traefik_test.c, balancers.bats.
# shellcheck disable=SC2016 # rules have backticks

load lib

setup_file() { rig_up docker traefik; }
teardown_file() { rig_down; }

setup() {
	fresh
	printf '[lb "edge"]\ndriver = traefik\nadmin = %s\n' "$AS_RIG_TRAEFIK_API" >"$AUTOSCALE_CONF"
	OUT=$BATS_TEST_TMPDIR/out
}
teardown() { wipe; }

# shop NAME [LABELS-JSON]: a replica of shop; its id goes to $ID, its address to $ADDRESS
shop() {
	ID=$(container "$1" "$(jq -nc --argjson more "${2:-{\}}" '{"autoscale.service": "shop", "autoscale.lb": "edge",
		"autoscale.lb.port": "80", "traefik.enable": "true", "traefik.http.routers.shop.rule": "Host(`shop.example`)",
		"traefik.http.services.shop.loadbalancer.server.port": "80"} + $more')")
	ADDRESS=$(api GET "/containers/$ID/json" | jq -r '.NetworkSettings.Networks[].IPAddress')
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$ADDRESS/"
}
answer() { [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 -H 'Host: shop.example' "$AS_RIG_TRAEFIK_URL/")" = "$1" ]; }
pass() { as-inspect shop | as-resolve-policy >"$OUT.in" && as-lb-update <"$OUT.in" >"$OUT"; }

@test "a container that Traefik's docker provider finds is attached when Traefik lists it" {
	shop shop-1
	pass || { jq -c .error "$OUT" >&2; false; }
	is "$(jq -c '[.lb[] | select(.do == "attach") | [.ok, .address]]' "$OUT")" "[[true,\"$ADDRESS:80\"]]"
	answer 200
	pass
	has "$(jq -r '.lb[] | select(.do == "attach") | .message' "$OUT")" already
}

@test "a container without the labels that Traefik needs is not attached, and the message says what to look at" {
	shop shop-1 '{"traefik.enable":"false"}'
	run -0 pass_quickly
	is "$(jq -r .error.code "$OUT")" unavailable
	has "$(jq -r .error.message "$OUT")" 'does the container have its traefik.* labels'
}
pass_quickly() {
	as-inspect shop | as-resolve-policy | jq -c '.policy.ready_timeout = 1' >"$OUT.in"
	! as-lb-update <"$OUT.in" >"$OUT" 2>/dev/null
}

@test "this way cannot drain: the record says so, and Traefik takes the container out when it stops" {
	shop shop-1
	first=$ADDRESS
	shop shop-2
	pass
	jq -c --arg id "$ID" '.plan = {op: "scale-down", create: [], start: [], remove: [{id: $id, name: "shop-2", host: "local"}]}' \
		"$OUT.in" | as-lb-update --drain >"$OUT"
	is "$(jq -c '[.lb[] | select(.do == "drain") | .ok]' "$OUT")" '[true]'
	has "$(jq -r '.lb[] | select(.do == "drain") | .message' "$OUT")" 'cannot drain'
	api POST "/containers/$ID/stop?t=1" >/dev/null
	eventually 10 only_server "$first"
	pass
	is "$(jq -r .error "$OUT")" null
	answer 200
}
only_server() {
	[ "$(curl -s "$AS_RIG_TRAEFIK_API/api/http/services/shop@docker" | jq -c '[.loadBalancer.servers[].url]')" = "[\"http://$1:80\"]" ]
}
