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
