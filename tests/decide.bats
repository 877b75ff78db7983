# Deciding, as records in and plans out.

load lib
load records

setup() { fresh; }

@test "scale-up by a number, a percentage, and bands by the breach" {
	is "$(plan .)" 'scale-up 1 2'
	is "$(plan '.policy.step_up = "3"')" 'scale-up 1 4'
	is "$(plan "$(copies 3) | .policy.step_up = \"50%\" | .policy.max = 20")" 'scale-up 4 6'
	is "$(plan '.policy.step_up = "50%"')" 'scale-up 1 2' 'a percentage moves at least one'
	bands='.policy.step_up = "0..20:1;20..50:2;50..:100%" | .policy.max = 20 | .alert.threshold = 100'
	is "$(plan "$bands | .alert.value = 119.9")" 'scale-up 1 2'
	is "$(plan "$bands | .alert.value = 120")" 'scale-up 1 3'
	is "$(plan "$bands | .alert.value = 150 | $(copies 3)")" 'scale-up 4 8'
}

@test "the plan is complete: names with the lowest free index, the host, what to copy" {
	run -0 as-decide < <(rec "$(copies 3) | del(.observed.containers[] | select(.name == \"web-2\")) | .policy.step_up = \"2\"")
	is "$(jq -c .plan.create <<<"$output")" '[{"name":"web-2","host":"local","like":"o1","index":2},{"name":"web-4","host":"local","like":"o1","index":4}]'
}

@test "the reason is a sentence with its sources, and every step is in the trace" {
	run -0 as-decide < <(rec '.policy.step_up = "9"')
	is "$(jq -r .plan.reason <<<"$output")" '1 -> 5: alert asks scale-up by step 9 (db:web@4); capped by max 5 (label)'
	is "$(jq -c '[.plan.trace[].step]' <<<"$output")" '["count","step","clamp"]'
	is "$(jq -r '[.plan.trace[] | (.in|type) + (.out|type) + (.why|type)] | unique[]' <<<"$output")" 'numbernumberstring'
}

@test "max is never passed, min never undercut, whatever the step" {
	is "$(plan "$(copies 3) | .policy.step_up = \"3\"")" 'scale-up 4 5'
	is "$(plan "$(copies 4)")" 'none 5 5'
	is "$(plan "$(copies 3) | .alert.action = \"scale-down\" | .policy.step_down = \"9\" | .policy.min = 2")" 'scale-down 4 2'
}

@test "without a max nothing scales up, and the plan says so" {
	run -0 as-decide < <(rec 'del(.policy.max)')
	is "$(jq -r '.plan.op' <<<"$output")" none
	has "$(jq -r .plan.reason <<<"$output")" 'no max is set'
}

@test "scale-down removes the newest copy, never an original, never a protected one" {
	down='.alert.action = "scale-down"'
	is "$(rec "$(copies 3) | $down" | as-decide | jq -c .plan.remove)" '[{"id":"c3","name":"web-3","host":"local"}]'
	is "$(rec "$(copies 3) | $down | .policy.victim = \"oldest\"" | as-decide | jq -r .plan.remove[].name)" web-1
	is "$(rec "$(copies 3) | $down | .observed.containers[3].labels = {\"autoscale.protect\": \"true\"}" | as-decide | jq -r .plan.remove[].name)" web-2
	is "$(plan "$down | .policy.min = 0")" 'none 1 1' 'the only one is an original'
}

@test "the least busy copy goes first when as-sample counted connections" {
	run -0 as-decide < <(rec "$(copies 3) | .alert.action = \"scale-down\" | .metrics = [{name: \"lb.connections\", per: \"container\", id: \"c1\", value: 7, ok: true}, {name: \"lb.connections\", per: \"container\", id: \"c2\", value: 2, ok: true}, {name: \"lb.connections\", per: \"container\", id: \"c3\", value: 9, ok: true}]")
	is "$(jq -r .plan.remove[].name <<<"$output")" web-2
}

@test "cooldown holds, from the end of the last action, and says how much is left" {
	run -0 as-decide < <(rec '.policy.cooldown_up = 60 | .history.last_out = "2026-11-24T11:59:30.000Z"')
	is "$(jq -r '.plan.op' <<<"$output")" none
	has "$(jq -r .plan.reason <<<"$output")" '30.000 s left'
	is "$(plan '.policy.cooldown_up = 60 | .history.last_out = "2026-11-24T11:58:59.000Z"')" 'scale-up 1 2'
	is "$(plan "$(copies 2) | .alert.action = \"scale-down\" | .history.last_out = \"2026-11-24T11:59:50.000Z\"")" 'none 3 3' 'in during an out-cooldown'
	is "$(plan '.policy.cooldown_up = 60 | .history.last_in = "2026-11-24T11:59:50.000Z"')" 'scale-up 1 2' 'out during an in-cooldown'
}

@test "a count outside min and max is repaired at once, cooldown or not" {
	is "$(plan '.policy.min = 3 | .policy.cooldown_up = 600 | .history.last_out = "2026-11-24T11:59:58.500Z"')" 'scale-up 1 3'
	is "$(plan "del(.alert) | $(copies 4) | .policy.max = 3")" 'scale-down 5 3'
	is "$(plan 'del(.alert) | .policy.min = 2')" 'scale-up 1 2'
	is "$(plan 'del(.alert)')" 'none 1 1'
}

@test "a stale alert does not act" {
	run -0 as-decide < <(rec '.alert.received_at = "2026-11-24T11:54:59.000Z"')
	is "$(jq -r '.plan.op' <<<"$output")" none
	has "$(jq -r .plan.reason <<<"$output")" 'stale: 301 s old, limit 300 s'
	is "$(plan '.alert.received_at = "2026-11-24T11:55:00.000Z"')" 'scale-up 1 2'
}

@test "a resolved alert does not act" {
	run -0 as-decide < <(rec '.alert.status = "resolved"')
	is "$(jq -r '.plan.op' <<<"$output")" none
	has "$(jq -r .plan.reason <<<"$output")" 'resolved'
}

@test "an unknown action, or none, is an error and never a scale-down" {
	for f in '.alert.action = "explode"' 'del(.alert.action)' '.alert.action = ""' '.alert.action = 7'; do
		run -1 --separate-stderr as-decide < <(rec "$f")
		is "$(jq -r '.plan.op + " " + .error.code' <<<"$output")" 'none refused' "$f"
	done
}

@test "set goes to the alert's count, within the limits" {
	is "$(plan '.alert.action = "set" | .alert.count = 4')" 'scale-up 1 4'
	is "$(plan '.alert.action = "set" | .alert.count = 40')" 'scale-up 1 5'
	is "$(plan "$(copies 4) | .alert.action = \"set\" | .alert.count = 2")" 'scale-down 5 2'
	run -1 --separate-stderr as-decide < <(rec '.alert.action = "set"')
	has "$stderr" 'needs `count`'
}

@test "a storm of 1000 alerts for one service makes one action; the rest is covered by it" {
	rec . | jq -c '. as $r | range(1; 1001) | . as $i | $r | .id = "a\($i)" | .alert.id = .id' | as-decide >"$BATS_TEST_TMPDIR/out"
	is "$(jq -r .plan.op "$BATS_TEST_TMPDIR/out" | sort | uniq -c | awk '{print $1, $2}' | tr '\n' ' ')" '999 none 1 scale-up '
	has "$(tail -n 1 "$BATS_TEST_TMPDIR/out" | jq -r .plan.reason)" 'covered by a1'
}

@test "an alert sent before the last action is covered by it; a later one acts" {
	run -0 as-decide < <(rec '.history.last_out = "2026-11-24T11:59:59.500Z"')
	has "$(jq -r .plan.reason <<<"$output")" 'covered by the action that ended'
	is "$(plan '.history.last_out = "2026-11-24T11:59:58.500Z"')" 'scale-up 1 2'
}

@test "a second alert later in the stream sees the first plan: its count and its names" {
	{ rec .; rec '.id = "a2" | .now = "2026-11-24T12:00:05.000Z" | .alert.received_at = "2026-11-24T12:00:04.000Z"'; } |
		as-decide >"$BATS_TEST_TMPDIR/out"
	is "$(jq -r '.plan | "\(.op) \(.from) \(.to) \(.create[0].name)"' "$BATS_TEST_TMPDIR/out" | tr '\n' ';')" 'scale-up 1 2 web-1;scale-up 2 3 web-2;'
}

@test "an unfinished operation is resumed with its own names before anything new is decided" {
	pending='.history.pending = {op_id: "web-x", generation: 4, alert_id: "old", plan: {op: "scale-up", from: 1, to: 2, create: [{name: "web-7", host: "local", like: "o1", index: 7}], start: [], remove: [], reason: "r", trace: []}}'
	is "$(rec "$pending" | as-decide | jq -r .plan.create[].name)" web-7
	is "$(rec "$pending | del(.alert)" | as-decide | jq -r .plan.create[].name)" web-7
	# the second of the stream waits for it and is decided anew
	{ rec "$pending"; rec "$pending | .now = \"2026-11-24T12:00:02.000Z\" | .alert.received_at = \"2026-11-24T12:00:01.000Z\""; } | as-decide >"$BATS_TEST_TMPDIR/out"
	is "$(tail -n 1 "$BATS_TEST_TMPDIR/out" | jq -r '"\(.plan.op) \(.plan.defer)"')" 'none true'
}

@test "paused holds; one way; until its time" {
	is "$(plan '.policy.paused = "all"')" 'none 1 1'
	is "$(plan '.policy.paused = "up"')" 'none 1 1'
	is "$(plan '.policy.paused = "all" | .policy.min = 3')" 'none 1 1' 'not even for min'
	is "$(plan '.policy.paused = "all" | .alert.action = "start" | .observed.containers[0].state = "exited"')" 'none 0 0'
	is "$(plan '.policy.paused = "down"')" 'scale-up 1 2'
	is "$(plan '.policy.paused = "up until 2026-11-24T12:00:01Z"')" 'none 1 1'
	is "$(plan '.policy.paused = "up until 2026-11-24T12:00:00Z"')" 'scale-up 1 2'
}

@test "no alert: what is stopped is started, unless the policy says no" {
	stopped='del(.alert) | .observed.containers += [{id: "c1", name: "web-1", host: "local", state: "exited", copy: true}]'
	is "$(rec "$stopped" | as-decide | jq -c '[.plan.op, .plan.start]')" '["start",[{"id":"c1","name":"web-1","host":"local"}]]'
	is "$(plan "$stopped | .policy.available = \"none\"")" 'none 1 1'
	is "$(plan "$stopped | .policy.max = 1")" 'none 1 1' 'not past max'
}

@test "a host that does not answer: nothing is removed, nothing recreated" {
	blind='.observed.hosts += [{name: "h2", ok: false, message: "down"}]'
	is "$(plan "$(copies 3) | .alert.action = \"scale-down\" | $blind")" 'none 4 4'
	is "$(plan "$(copies 4) | del(.alert) | .policy.max = 2 | $blind")" 'none 5 5'
	is "$(plan "del(.alert) | .policy.min = 3 | $blind")" 'none 1 1'
	is "$(plan "$blind")" 'scale-up 1 2' 'an alert still scales out on the hosts that answer'
}

@test "containers last seen on a host that does not answer count, and their names are taken" {
	far='.observed.hosts += [{name: "h2", ok: false, known: true}] | .observed.containers += [{id: "f", name: "web-1", host: "h2", state: "unknown", last_state: "running", copy: true, ready: false}]'
	is "$(plan "$far | del(.alert) | .policy.min = 2")" 'none 2 2'
	is "$(rec "$far" | as-decide | jq -r '.plan.create[].name')" web-2
	is "$(plan "$far | .alert.action = \"scale-down\"")" 'none 2 2'
}

@test "a crash loop: the reason tells how often and why, and the plan when to come again" {
	run -0 as-decide < <(rec 'del(.alert) | .observed.containers += [{id: "c1", name: "web-1", host: "local", state: "exited", copy: true, exit_code: 137, oom_killed: true}]
		| .history.repairs = [{at: "2026-11-24T11:59:50.000Z", op: "start", names: ["web-1"]}, {at: "2026-11-24T11:59:30.000Z", op: "start", names: ["web-1"]}]')
	is "$(jq -r '.plan | "\(.op) \(.retry_at) \(.reason)"' <<<"$output")" \
		'none 2026-11-24T12:00:10.000Z crash loop: web-1 was started 2 times in 30 s, out of memory (exit code 137); next try in 10 s'
}

@test "spread puts copies where the fewest are, pack where the most, never on a silent host" {
	two='.observed.hosts = [{name: "h1", ok: true}, {name: "h2", ok: true}, {name: "h3", ok: false}] | .observed.containers[0].host = "h1" | .observed.template.host = "h1" | .policy.step_up = "3"'
	is "$(rec "$two" | as-decide | jq -r '[.plan.create[].host] | join(" ")')" 'h2 h1 h2'
	is "$(rec "$two | .policy.placement = \"pack\"" | as-decide | jq -r '[.plan.create[].host] | join(" ")')" 'h1 h1 h1'
	is "$(rec "$two | .observed.template.host = \"h2\" | .policy.placement = \"same-host\"" | as-decide | jq -r '[.plan.create[].host] | join(" ")')" 'h2 h2 h2'
}

@test "an unknown service has nothing to copy, and the reason says it" {
	run -0 as-decide < <(rec '.observed.containers = [] | del(.observed.template)')
	is "$(jq -r .plan.op <<<"$output")" none
	has "$(jq -r .plan.reason <<<"$output")" 'no container of this service to copy'
}

@test "the same records give the same bytes" {
	rec "$(copies 3)" >"$BATS_TEST_TMPDIR/in"
	is "$(as-decide <"$BATS_TEST_TMPDIR/in" | sha256sum)" "$(as-decide <"$BATS_TEST_TMPDIR/in" | sha256sum)"
	ASAN_OPTIONS=detect_leaks=0 strace -e trace=socket,connect -o "$BATS_TEST_TMPDIR/trace" as-decide <"$BATS_TEST_TMPDIR/in" >/dev/null
	is "$(grep -c 'socket\|connect' "$BATS_TEST_TMPDIR/trace")" 0 'it opens no connection'
}

@test "every row of the table of decisions, as records" {
	"${AS_BUILD:-$TOP/build}/unit/decide_rows_test" --records >"$BATS_TEST_TMPDIR/in"
	as-decide <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	is "$(wc -l <"$BATS_TEST_TMPDIR/out")" "$(wc -l <"$BATS_TEST_TMPDIR/in")"
	is "$(jq -r 'select(.plan.op != .expect.op or .plan.to != .expect.to) | "\(.expect): \(.plan.reason)"' "$BATS_TEST_TMPDIR/out")" ''
}

@test "a line that is no JSON scales nothing, whatever it seems to say" {
	run -65 --separate-stderr as-decide < <(printf '{"service":"web","action":"down"\n<html>0 cores</html>\n')
	is "$output" ''
}

@test "a metric that is missing is named in the reason, with what its source said" {
	run -0 as-decide < <(rec "$(copies 2) | del(.alert) | .policy.target = {\"lb.connections\": 100} |
		.metrics = [{name: \"lb.connections\", value: null, per: \"service\", source: \"lb:edge\", ok: false, message: \"no answer within 10 s\"}]")
	is "$(jq -r '.plan | "\(.op) \(.want) \(.reason)"' <<<"$output")" \
		'none 3 3 stays: lb.connections is missing (no answer within 10 s), on_missing hold (default)'
}

@test "metrics move the count, and the reason says which, from which target, and what capped it" {
	run -0 as-decide < <(rec "$(copies 2) | del(.alert) | .policy.target = {\"lb.connections\": 100} | .policy.from.target = \"label\" |
		.metrics = [{name: \"lb.connections\", value: 196, per: \"replica\", ok: true}]")
	is "$(jq -r .plan.reason <<<"$output")" '3 -> 5: lb.connections 196 per replica, target 100 (label); capped by max 5 (label)'
	is "$(jq .plan.want <<<"$output")" 6
}
