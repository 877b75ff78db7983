#!/usr/bin/env bats
# What other autoscalers of containers got wrong, as their sources and their issues tell: each is a test of its own, by
# the built commands. The same cases as far as they are about a number are rows of tests/unit/decide_rows_edges.h too.

load lib
load records

setup_file() { rig_up docker; }
teardown_file() { rig_down; }
setup() { fresh; }
teardown() { wipe; }

down='.alert.action = "scale-down"'
reason() { rec "$1" | as-decide 2>/dev/null | jq -r .plan.reason; }
# tracks TARGET VALUE [MORE]: no alert, a metric "q" of each replica
tracks() { echo "del(.alert) | .policy.target = {q: $1} | .policy.max = 20 | .metrics = [{name: \"q\", value: $2, per: \"replica\", ok: true}] | ${3:-.}"; }
# silent MESSAGE: that metric has no value
silent() { echo ".metrics[0] |= (.value = null | .ok = false | .message = \"$1\")"; }
# resolved LABELS-JSON: as-resolve-policy's answer for a container with these labels
resolved() { jq -nc --argjson l "$1" '{v: 1, id: "x", now: "2026-11-24T12:00:00.000Z", service: "web", observed: {running: 1, template: {labels: $l, variables: {}}}}' | as-resolve-policy; }

# ---- gianarb/orbiter ----

@test "orbiter: a notification that is no JSON does not scale down" {
	run -65 --separate-stderr as-ingest <<<'{"service": "web", "direction": "down"'
	is "$(as-fetch-alerts)" ''
	run -65 --separate-stderr as-decide <<<'{"service": "web", "direction": "down"'
	is "$output" ''
}

@test "orbiter: a direction other than up is not down" {
	for word in sideways UPP 'up down' true null '""' dow; do
		f=".alert.action = $(jq -n --arg w "$word" '$w | fromjson? // .')"
		is "$(plan "$f")" 'none 1 1' "$word"
		is "$(plan "$(copies 3) | $f")" 'none 4 4' "$word"
	done
}

@test "orbiter: a label that says false does not switch on" {
	is "$(resolved '{"autoscale.dry-run":"false","autoscale.paused":"no"}' | jq -c '.policy | [.dry_run, .paused, .warnings]')" '[false,"no",[]]'
	is "$(resolved '{"autoscale.dry-run":"flase"}' | jq -c '.policy | [.dry_run, (.warnings | length)]')" '[false,1]'
	is "$(rec "$(copies 1) | $down | .observed.containers[1].labels = {\"autoscale.protect\": \"false\"}" | as-decide | jq -r .plan.remove[].name)" web-1
}

@test "orbiter: two replicas and a step of two down is min, not 0" {
	is "$(plan "$(copies 1) | $down | .policy.step_down = \"2\"")" 'scale-down 2 1'
	is "$(plan "$(copies 2) | $down | .policy.step_down = \"2\" | .policy.min = 2")" 'scale-down 3 2'
}

@test "orbiter: a rolling update, whose old tasks still run, does not inflate the count" {
	tasks='.observed.template = {id: "s", host: "local", name: "web", engine: "swarm", replicas: 3, labels: {}} | .observed.containers = [range(6) | {id: "t\(.)", name: "web.\(.)", host: "local", state: "running", copy: false, ready: (. < 3)}]'
	is "$(plan "$tasks | .policy.max = 9")" 'scale-up 3 4'
}

@test "orbiter: a service that is gone is told, and nothing is claimed to be done" {
	run -0 --separate-stderr bash -o pipefail -c 'as-inspect gone | jq -c ".alert = {action: \"scale-up\"}" | as-resolve-policy | as-decide | as-clone'
	is "$(jq -r '.plan.op' <<<"$output")" none
	has "$(jq -r '.plan.reason' <<<"$output")" 'no container of this service'
	is "$(jq -c '.steps // []' <<<"$output")" '[]'
}

@test "orbiter: a deploy starts no cooldown" {
	is "$(plan '.policy.cooldown_up = 60 | .observed.containers[0] |= (.created = "2026-11-24T11:59:59.000Z" | .started = .created) | .history.last_out = "2026-11-24T11:58:00.000Z"')" 'scale-up 1 2'
}

# ---- docker-scaler ----

@test "docker-scaler: a label that is no number is a warning that names it, not a silent default" {
	run -0 resolved '{"autoscale.max":"many","autoscale.step":"two"}'
	is "$(jq -c '.policy.max' <<<"$output")" null
	has "$(jq -r '.policy.warnings[]' <<<"$output")" 'max (label): "many"'
	has "$(jq -r '.policy.warnings[]' <<<"$output")" 'step (label): "two"'
}

@test "docker-scaler: min above max does not let either win unsaid" {
	as-policy set web min=2 max=6
	run -1 --separate-stderr resolved '{"autoscale.min":"9"}'
	has "$(jq -r .error.message <<<"$output")" 'min 9 (label) is larger than max 6 (db:web@1)'
	is "$(as-decide 2>/dev/null <<<"$output" | jq -c .plan)" null
	has "$(reason '.policy.min = 9')" 'min 9'
	run -65 as-policy set web min=9 max=3
}

@test "docker-scaler: a negative step does not turn down into up, nor up into down" {
	is "$(plan "$(copies 2) | $down | .policy.step_down = \"-3\"")" 'none 3 3'
	is "$(plan "$(copies 2) | .policy.step_up = \"-3\"")" 'none 3 3'
	is "$(resolved '{"autoscale.step":"-3"}' | jq -c '[.policy.step_up, .policy.step_down, (.policy.warnings | length > 0)]')" '["1","1",true]'
	run -65 as-policy set web step-down=-3
}

@test "docker-scaler: a notification that Alertmanager repeats is one alert and one action" {
	for _ in 1 2 3; do alert scale-up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'; done
	is "$(as-fetch-alerts | grep -c .)" 1
}

# ---- docker-swarm-autoscaler and swarm-autoscaler ----

@test "docker-swarm-autoscaler: without a maximum it asks for nothing, not for null" {
	run -0 as-decide < <(rec 'del(.policy.max)')
	is "$(jq -c '.plan | [.op, .from, .to]' <<<"$output")" '["none",1,1]'
	has "$(jq -r .plan.reason <<<"$output")" 'no max is set'
}

@test "docker-swarm-autoscaler: without a minimum it does not walk to 0" {
	run -0 as-decide < <(rec "$(copies 1) | $down | del(.policy.min)"
		rec "$down | del(.policy.min) | .service = \"api\"")
	is "$(jq -r '.plan | "\(.op) \(.to)"' <<<"$output" | tr '\n' ';')" 'scale-down 1;none 1;'
}

@test "swarm-autoscaler: every period is in seconds, or says its unit" {
	is "$(resolved '{"autoscale.cooldown-down":"2m","autoscale.window-down":"90","autoscale.drain":"500ms","autoscale.stale-after":"1h"}' |
		jq -c '.policy | [.cooldown_down, .window_down, .drain, .stale_after]')" '[120,90,0.5,3600]'
	is "$(plan "$(copies 1) | $down | .policy.cooldown_down = 120 | .history.last_in = \"2026-11-24T11:58:00.001Z\" | .alert.received_at = .now")" 'none 2 2'
	is "$(plan "$(copies 1) | $down | .policy.cooldown_down = 120 | .history.last_in = \"2026-11-24T11:58:00.000Z\" | .alert.received_at = .now")" 'scale-down 2 1'
}

@test "swarm-autoscaler: a restart changes nothing: no service is forced to its minimum" {
	first='.history = {generation: 0, last_out: null, last_in: null, window: [{at: "2026-11-24T12:00:00.000Z", want: 5, first: true}], pending: null}'
	is "$(plan "$(copies 4) | del(.alert) | $first")" 'none 5 5'
	is "$(plan "$(copies 4) | $(tracks 10 1) | .policy.window_down = 300 | $first")" 'none 5 5'
}

# ---- nomad-parametric-autoscaler ----

@test "nomad-parametric: the mean of 10 is 10, of 1 2 3 is 2" {
	one='.metrics = [{name: "q", value: 10, per: "container", id: "o1", ok: true}]'
	is "$(plan "$(tracks 10 0 "$one")")" 'none 1 1'
	three='.metrics = [["o1", 1], ["c1", 2], ["c2", 3] | {name: "q", value: .[1], per: "container", id: .[0], ok: true}]'
	is "$(plan "$(copies 2) | $(tracks 2 0 "$three")")" 'none 3 3'
}

@test "nomad-parametric: the cooldown of scaling in does not hold what scales out" {
	is "$(plan '.policy.cooldown_down = 600 | .history.last_in = "2026-11-24T11:59:50.000Z"')" 'scale-up 1 2'
}

@test "nomad-parametric: a page of HTML where a number was asked for is no value, and moves nothing" {
	printf '<html>0 cores</html>\n' >"$BATS_TEST_TMPDIR/page"
	printf '[metrics]\nfiles = %s\n' "$BATS_TEST_TMPDIR" >>"$AUTOSCALE_CONF"
	rec "$(copies 2) | del(.alert) | .policy.target = {\"file:page\": 10}" | as-sample >"$BATS_TEST_TMPDIR/sampled"
	is "$(jq -c '.metrics[] | [.name, .value, .ok]' "$BATS_TEST_TMPDIR/sampled")" '["file:page",null,false]'
	is "$(as-decide <"$BATS_TEST_TMPDIR/sampled" | jq -r '.plan | "\(.op) \(.to)"')" 'none 3'
}

# ---- OpenFaaS ----

@test "openfaas: a step of 20% of 1 moves 1, up from 1 and down from 2" {
	is "$(plan '.policy.step_up = "20%"')" 'scale-up 1 2'
	is "$(plan "$(copies 1) | $down | .policy.step_down = \"20%\"")" 'scale-down 2 1'
}

@test "openfaas: one notification with a firing and a resolved alert moves the firing one alone" {
	jq -nc '{version: "4", status: "firing", receiver: "as", groupKey: "g", alerts: [
		{status: "firing", labels: {alertname: "a", service: "web", action: "scale-up"}, startsAt: "2026-11-24T10:00:00Z", fingerprint: "1"},
		{status: "resolved", labels: {alertname: "a", service: "api", action: "scale-up"}, startsAt: "2026-11-24T09:00:00Z", endsAt: "2026-11-24T10:00:00Z", fingerprint: "2"}]}' | as-ingest
	as-fetch-alerts | jq -c "$(rec . | jq -c '{observed, policy, history}') + {v, id, service, now: .alert.received_at, alert}" | as-decide >"$BATS_TEST_TMPDIR/out"
	is "$(jq -r 'select(.service == "web").plan.op' "$BATS_TEST_TMPDIR/out")" scale-up
	is "$(jq -r 'select(.service == "api").plan.op // "none"' "$BATS_TEST_TMPDIR/out" | sort -u | grep -vx none || true)" ''
}

@test "openfaas: a status that is not firing is not min" {
	for status in resolved pending ok min; do is "$(plan "$(copies 3) | .alert.status = \"$status\"" | cut -d' ' -f1)" none "$status"; done
}

# ---- KEDA ----

@test "keda: a limit acts on it, not one later: a sample as old as stale_after is used, an older one is not" {
	old() { plan "$(copies 2) | $(tracks 10 1) | .policy.stale_after = 300 | .metrics[0].at = \"$1\""; }
	is "$(old 2026-11-24T11:55:00.000Z)" 'scale-down 3 1'
	is "$(old 2026-11-24T11:54:59.999Z)" 'none 3 3'
}

@test "keda: an error with a fallback of 0 does not go to 0" {
	is "$(plan "$(copies 2) | $(tracks 10 0 "$(silent 'status 500')") | .policy.min = 0 | .policy.on_missing = 0")" 'none 3 3'
	is "$(plan "$(copies 2) | $(tracks 10 0 "$(silent 'status 500')") | .policy.min = 0")" 'none 3 3'
}

@test "keda: an action whose time is not known does not skip the cooldown" {
	is "$(plan "$(copies 2) | $down | .history.last_out = \"yesterday\"")" 'none 3 3'
}

@test "keda: a negative value is none" {
	is "$(plan "$(copies 2) | $(tracks 10 -5)")" 'none 3 3'
	has "$(reason "$(copies 2) | $(tracks 10 -5)")" 'negative'
}

@test "keda: a pause decides nothing but the pause: the target's want is there, and its end resumes" {
	busy="$(copies 1) | $(tracks 10 30)"
	is "$(plan "$busy | .policy.paused = \"all\"")" 'none 2 2'
	is "$(rec "$busy | .policy.paused = \"all\"" | as-decide | jq .plan.want)" 6
	is "$(plan "$busy | .policy.paused = \"all until 2026-11-24T12:00:00Z\"")" 'scale-up 2 6'
}

# ---- Kubernetes' HPA, Nomad ----

@test "hpa: one of two metrics is away: the one that is left does not scale in" {
	two="$(copies 4) | $(tracks 10 3) | .policy.target.r = 10 | .metrics += [{name: \"r\", value: null, per: \"service\", ok: false, message: \"no answer\"}]"
	is "$(plan "$two")" 'none 5 5'
	is "$(plan "$two | .metrics[0].value = 20")" 'scale-up 5 10'
}

@test "hpa: floating point makes none of 63 a 64, none of 50 a 56" {
	n() { echo "$(copies $(($1 - 1))) | $(tracks "$2" "$3") | .policy.max = 1000"; }
	is "$(plan "$(n 27 3 7)")" 'scale-up 27 63'
	is "$(plan "$(n 50 100 110)")" 'none 50 50'
}

@test "hpa: replicas that are not ready under load do not turn overload into scaling in" {
	is "$(plan "$(copies 2) | (.observed.containers[1:][] | .ready) = false | $(tracks 4400 8600)")" 'scale-up 3 6'
}

@test "nomad: a rehearsal stays within min and max, and does nothing" {
	container web '{"autoscale.service":"web","autoscale.max":"3","autoscale.step":"9","autoscale.dry-run":"true"}' >/dev/null
	run -0 bash -o pipefail -c 'as-inspect web | jq -c ".alert = {action: \"scale-up\"}" | as-resolve-policy | as-decide | as-clone'
	is "$(jq -c '.plan | [.op, .from, .to]' <<<"$output")" '["scale-up",1,3]'
	is "$(names)" web
}

@test "nomad: nothing runs and nothing is measured: an alert finds the way back up" {
	stopped='.observed.containers[0].state = "exited" | .policy.min = 0'
	is "$(plan "$stopped | .alert.action = \"start\"" | cut -d' ' -f1)" start
	is "$(plan "$stopped" | cut -d' ' -f1,3)" 'scale-up 1'
}

@test "nomad: a policy that is evaluated twice acts once" {
	{ rec .; rec .; } | as-decide >"$BATS_TEST_TMPDIR/out"
	is "$(jq -r .plan.op "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" 'scale-up none '
}
