# A real run, exported, and decided again: as it was, and as other policies would have had it.

load lib

setup_file() {
	rig_up docker
	DAY=$BATS_FILE_TMPDIR
	{
		set +eET
		trap - ERR DEBUG EXIT
		(set -e; run_the_day) >"$DAY/out" 2>&1
		echo $? >"$DAY/status"
		set -eET
	} 3>&-
	wipe
}
teardown_file() { rig_down; }

setup() {
	DAY=$BATS_FILE_TMPDIR
	export AUTOSCALE_STORE=sqlite:$DAY/store.db AUTOSCALE_CONF=$DAY/as.conf AS_LOCK=$DAY/lock
	is "$(cat "$DAY/status")" 0 "$(tail -n 20 "$DAY/out")"
}

# What passes leave in the trail: a storm, scaling both ways, repairs, a crash loop, a line that follows, an alert that
# nobody understands, one that the engine could not do, and a service that follows its target.
run_the_day() {
	export AUTOSCALE_STORE=sqlite:$DAY/store.db AUTOSCALE_CONF=$DAY/as.conf AS_LOCK=$DAY/lock
	: >"$AUTOSCALE_CONF"
	container web '{"autoscale.service":"web","autoscale.max":"4","autoscale.cooldown-down":"0"}'
	container api '{"autoscale.service":"api","autoscale.max":"3","autoscale.step-up":"50%","autoscale.available":"start"}'
	container feed '{"autoscale.service":"feed","autoscale.max":"6","autoscale.window-down":"1s","autoscale.cooldown-down":"0"}'
	as-policy set feed target="file:$DAY/load=10"
	"$TOP/pipelines/reconcile" web api
	storm_and_steps
	repairs
	followed
	failed
	for load in 12 45 45 30 3; do echo "$load" >"$DAY/load" && "$TOP/pipelines/track" feed; done
	rm "$DAY/load" && "$TOP/pipelines/track" feed
	as-audit --export >"$DAY/day"
	as-policy list >"$DAY/policies"
}

storm_and_steps() {
	for i in $(seq 12); do echo "{\"service\":\"web\",\"action\":\"scale-up\",\"key\":\"s$i\"}"; done | as-ingest
	echo '{"service":"api","action":"scale-up"}' | as-ingest
	"$TOP/pipelines/autoscale"
	alert up && "$TOP/pipelines/autoscale"
	alert down && alert down '{"key": "second"}' && "$TOP/pipelines/autoscale"
	alert up && "$TOP/pipelines/autoscale"
}

down() { [ "$(api GET "/containers/$1/json" | jq .State.Running)" = false ]; }
repairs() {
	for _ in 1 2 3; do
		for c in web-1 api; do api POST "/containers/$c/kill?signal=KILL" && eventually 10 down "$c"; done
		"$TOP/pipelines/reconcile" web api
	done
	api DELETE '/containers/web-1?force=1'
	"$TOP/pipelines/reconcile" web
	as-policy set web max=3 && "$TOP/pipelines/reconcile" web
}

# A line that follows: its memory lasts from batch to batch, so that a name is not given twice within minutes.
followed() {
	local pid
	"$TOP/pipelines/autoscale" --follow >"$DAY/followed" &
	pid=$!
	alert down && eventually 20 followed_by 1
	alert up && eventually 20 followed_by 2
	alert down && eventually 20 followed_by 3
	kill_tree "$pid"
	wait "$pid" || true
}
followed_by() { [ "$(wc -l <"$DAY/followed")" -ge "$1" ]; }
kill_tree() {
	local c
	for c in $(pgrep -P "$1"); do kill_tree "$c"; done
	kill "$1" 2>/dev/null || true
}

failed() {
	local id
	alert explode && ! "$TOP/pipelines/autoscale" || return
	id=$(container api-2 '{}')
	echo '{"service":"api","action":"set","count":3}' | as-ingest
	! "$TOP/pipelines/autoscale" || return
	api DELETE "/containers/$id?force=1"
}

# The bytes of each record's plan, and not what jq makes of them.
plans() { grep -oP '"plan":\{"op".*?"trace":\[.*?\]\}(?=,")' "$1"; }

# steps SERVICE FILE: its decisions, and how many there are then
steps() { jq -r --arg s "$1" 'select(.service == $s and .simulation) | "\(.plan.op) \(.plan.from) \(.plan.to) = \(.simulation.count)"' "$2"; }

@test "a replay with the same policies gives the same plans, byte for byte" {
	as-decide --simulate <"$DAY/day" >"$BATS_TEST_TMPDIR/again"
	is "$(plans "$DAY/day" | wc -l)" "$(wc -l <"$DAY/day")"
	diff <(plans "$DAY/day") <(plans "$BATS_TEST_TMPDIR/again")
	is "$(jq -c '.simulation.diverged' "$BATS_TEST_TMPDIR/again" | sort -u)" false
	is "$(jq -c 'select(.simulation.count != .simulation.recorded)' "$BATS_TEST_TMPDIR/again")" ''
}

@test "the day's own policies from a file give the same plans, byte for byte" {
	as-resolve-policy --policies "$DAY/policies" <"$DAY/day" | as-decide --simulate >"$BATS_TEST_TMPDIR/again"
	diff <(plans "$DAY/day") <(plans "$BATS_TEST_TMPDIR/again")
}

@test "a steeper step: the storm goes to max, and the rest of the day starts from there" {
	jq -c '.policy.step_up = "3"' "$DAY/day" | as-decide --simulate >"$BATS_TEST_TMPDIR/other"
	is "$(steps web "$BATS_TEST_TMPDIR/other" | head -n 17 | uniq -c | awk '{ $1 = $1 } 1' | tr '\n' ';')" \
		'1 none 1 1 = 1;1 scale-up 1 4 = 4;12 none 4 4 = 4;1 scale-down 4 3 = 3;1 none 3 3 = 3;1 scale-up 3 4 = 4;'
}

@test "a record in which a later stage failed is decided by the new policies too" {
	jq -nc '{name: "more", service: "api", priority: 9, fields: {min: 2}}' >"$BATS_TEST_TMPDIR/more"
	as-resolve-policy --policies "$BATS_TEST_TMPDIR/more" <"$DAY/day" | as-decide --simulate >"$BATS_TEST_TMPDIR/other"
	is "$(jq -c 'select(.error.stage == "as-clone") | [.policy.min, .policy.from.min]' "$BATS_TEST_TMPDIR/other")" '[2,"db:more@0"]'
}

@test "replay says how two answers differ, and that the same policies do not" {
	run -0 "$TOP/pipelines/replay" recorded now
	is "${lines[-1]}" 'every decision is the same'
	jq -c 'if .name == "feed" then .target |= map_values(20) else . end' "$DAY/policies" >"$BATS_TEST_TMPDIR/half"
	run -0 "$TOP/pipelines/replay" --json --service feed recorded "$BATS_TEST_TMPDIR/half"
	is "$(jq -c 'select(.service == "feed") | [.old.highest, .new.highest, .old.out, .new.out]' <<<"$output")" '[5,3,2,1]'
	run -64 "$TOP/pipelines/replay" recorded
}

@test "--explain prints the steps as a table, and control characters escaped" {
	jq -c 'select(.service == "api" and .plan.op == "scale-up") | .policy.from.step_up = "la\u001bbel"' "$DAY/day" | head -n 1 |
		as-decide --explain 2>"$BATS_TEST_TMPDIR/table" >/dev/null
	is "$(sed 1d "$BATS_TEST_TMPDIR/table" | head -n 3)" '  step   in  out  why
  count   1    1  running containers
  step    1    2  step_up 50% (la\x1bbel)'
}
