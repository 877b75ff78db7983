# A real run, exported, and decided again: as it was, and as other policies would have had it.

load lib

setup_file() {
	rig_up docker
	export BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	fresh
	real_run || return
	as-audit --export >"$BATS_FILE_TMPDIR/day"
	wipe
}
teardown_file() { rig_down; }

# wiped NAME-SIGNAL: the container's process ends by itself
stop_it() { api POST "/containers/$1/kill?signal=KILL" >/dev/null; }

# What passes of autoscale and reconcile leave in the trail: a storm, scaling both ways, repairs, a crash loop, a line
# that follows, an alert that nobody understands, and one that the engine could not do.
real_run() {
	container web '{"autoscale.service":"web","autoscale.max":"4","autoscale.cooldown-down":"0"}' >/dev/null
	container api '{"autoscale.service":"api","autoscale.max":"3","autoscale.step-up":"50%","autoscale.available":"start"}' >/dev/null
	"$TOP/pipelines/reconcile"
	for i in $(seq 12); do echo "{\"service\":\"web\",\"action\":\"scale-up\",\"key\":\"s$i\"}"; done | as-ingest
	jq -nc '{service: "api", action: "scale-up"}' | as-ingest
	"$TOP/pipelines/autoscale"
	alert up && "$TOP/pipelines/autoscale"
	alert down && alert down '{"key": "second"}' && "$TOP/pipelines/autoscale"
	alert up && alert down && "$TOP/pipelines/autoscale"
	for _ in 1 2 3; do
		stop_it web-1 && "$TOP/pipelines/reconcile"
		stop_it api && "$TOP/pipelines/reconcile" api
	done
	api DELETE '/containers/web-1?force=1' >/dev/null
	"$TOP/pipelines/reconcile"
	as-policy set web min=2 max=3 && "$TOP/pipelines/reconcile"
	alert explode && ! "$TOP/pipelines/autoscale"
	followed
	id=$(container api-2 '{}')
	jq -nc '{service: "api", action: "set", count: 3}' | as-ingest
	! "$TOP/pipelines/autoscale"
	api DELETE "/containers/$id?force=1" >/dev/null
} >/dev/null 2>&1

# A line that follows: its memory lasts from batch to batch, so that a name is not given twice within minutes.
followed() {
	local pid
	"$TOP/pipelines/autoscale" --follow >"$BATS_FILE_TMPDIR/followed" 3>&- &
	pid=$!
	alert down && eventually 20 outcomes 1
	alert up && eventually 20 outcomes 2
	alert down && eventually 20 outcomes 3
	kill_tree "$pid"
	wait "$pid" || true
}
outcomes() { [ "$(wc -l <"$BATS_FILE_TMPDIR/followed")" -ge "$1" ]; }
kill_tree() {
	local c
	for c in $(pgrep -P "$1"); do kill_tree "$c"; done
	kill "$1" 2>/dev/null || true
}

setup() { DAY=$BATS_FILE_TMPDIR/day; }

@test "a replay with the same policies gives the same plans, byte for byte" {
	as-decide --simulate <"$DAY" >"$BATS_TEST_TMPDIR/again"
	diff <(plans <"$DAY") <(plans <"$BATS_TEST_TMPDIR/again")
	is "$(jq -r '.simulation.diverged' "$BATS_TEST_TMPDIR/again" | sort -u)" false
}

# The bytes of each record's plan, and not what jq makes of them.
plans() { grep -oP '"plan":\{.*?"trace":\[.*?\]\}'; }
