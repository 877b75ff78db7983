# A MongoDB-wire server whose update of one document is not atomic (FerretDB 1.24 on SQLite): claims are given out twice, and
# still each alert acts once, by the unique keys of the state store.

load lib
load queue

setup_file() {
	local out status=0
	out=$("$TOP/tests/rig/up" ferretdb) || status=$?
	# 69: neither a Go nor its module can be had here. CI has to have them.
	if [ "$status" -eq 69 ] && [ -z "${CI:-}" ]; then
		export NO_FERRETDB='FerretDB cannot be built here: no Go 1.24, or no way to its module'
	else
		eval "$out"
		return "$status"
	fi
}
teardown_file() { [ -n "${NO_FERRETDB:-}" ] || rig_down; }

setup() {
	[ -z "${NO_FERRETDB:-}" ] || skip "$NO_FERRETDB"
	fresh
	export AUTOSCALE_ALERTS=$AS_RIG_FERRETDB_URL
}

teardown() { queue_clean; }

# plan: as if decided: one new copy, for the first generation of the service
plan() {
	jq -c --unbuffered '. + {history: {generation: 0}, plan: {op: "scale-up", from: 1, to: 2, start: [], remove: [], trace: [], reason: "r",
		create: [{name: "\(.service)-1", host: "local", like: "x", index: 1}]}}'
}

worker() {
	while [ ! -e "$BATS_TEST_TMPDIR/stop" ]; do
		as-fetch-alerts --limit 10 | tee -a "$BATS_TEST_TMPDIR/got.$1" | plan | as-audit --intent | as-audit | as-ack-alerts >/dev/null || true
	done 2>>"$BATS_TEST_TMPDIR/err.$1"
}

# all_at_once FROM: 8 processes and 200 alerts
all_at_once() {
	local i pids=()
	for i in $(seq "$1" $(($1 + 199))); do echo "{\"service\":\"web$i\",\"action\":\"up\",\"id\":\"a$i\"}"; done | as-ingest
	rm -f "$BATS_TEST_TMPDIR/stop"
	for i in 0 1 2 3 4 5 6 7; do
		worker $i 3>&- &
		pids[i]=$!
	done
	eventually 120 all_done $(($1 + 199))
	: >"$BATS_TEST_TMPDIR/stop"
	wait "${pids[@]}"
}

sql() { sqlite3 -cmd '.timeout 10000' "$BATS_TEST_TMPDIR/store.db" "$1"; }

@test "8 processes and 200 alerts: some are claimed twice, each is one operation and one row of the history" {
	local n=0 claims=0
	as-policy list # the state store is made
	# Almost always at once; a round in which nobody was given what another had would prove nothing.
	until [ "$claims" -gt "$n" ] || [ "$n" -eq 600 ]; do
		all_at_once $((n + 1))
		n=$((n + 200))
		claims=$(cat "$BATS_TEST_TMPDIR"/got.* | wc -l)
	done
	echo "# $claims claims of $n alerts" >&3
	[ "$claims" -gt "$n" ]
	is "$(sql 'select count(*), count(distinct alert_id), sum(state = "done") from operation')" "$n|$n|$n"
	is "$(sql 'select count(*), count(distinct op_id), count(distinct service) from autoscale_history')" "$n|$n|$n"
	run -0 as-audit --verify
	is "$(cat "$BATS_TEST_TMPDIR"/got.* | jq -r .id | sort -u | wc -l)" "$n"
}
