# What is found for many records at once, with policies of a file, and of what was wanted before.

load lib

setup() { fresh; }

sql() { sqlite3 -cmd '.timeout 10000' "$BATS_TEST_TMPDIR/store.db" "$1"; }

# rec SERVICE RUNNING NOW [FILTER]: a record as it comes to this stage
rec() { jq -nc --arg s "$1" --argjson n "$2" --arg now "$3" "{v: 1, id: \"x\", now: \$now, service: \$s, observed: {running: \$n, template: {labels: {}, variables: {}}}} | ${4:-.}"; }

# wanted NOW WANT: what a decision on metrics wanted goes into the trail, with what as-resolve-policy knew then
wanted() { rec web 3 "$1" | as-resolve-policy | jq -c --argjson w "$2" '.plan = {op: "none", from: 3, to: 3, want: $w, reason: "r"}' | as-audit "${@:3}" >/dev/null; }

@test "a service seen for the first time has its count of now in the window, and the next look finds it noted" {
	as-policy set web target='lb.connections=100' window-down=300
	is "$(rec web 3 2026-11-24T12:00:00.000Z | as-resolve-policy | jq -c .history.window)" '[{"at":"2026-11-24T12:00:00.000Z","want":3,"first":true}]'
	wanted 2026-11-24T12:00:00.000Z 1
	wanted 2026-11-24T12:00:00.000Z 1
	is "$(rec web 3 2026-11-24T12:01:00.000Z | as-resolve-policy | jq -c .history.window)" '[{"at":"2026-11-24T11:59:59.999Z","want":3},{"at":"2026-11-24T12:00:00.000Z","want":1}]'
	is "$(rec web 3 2026-11-24T12:05:00.000Z | as-resolve-policy | jq -c .history.window)" '[{"at":"2026-11-24T12:00:00.000Z","want":1}]'
	is "$(rec web 2 2026-11-24T12:05:00.001Z | as-resolve-policy | jq -c .history.window)" '[{"at":"2026-11-24T12:05:00.001Z","want":2,"first":true}]'
}

@test "without a target nothing is in the window; -n notes nothing, a policy with dry_run does" {
	is "$(rec web 3 2026-11-24T12:00:00.000Z | as-resolve-policy | jq -c .history.window)" '[]'
	as-policy set web target='lb.connections=100' dry-run=true
	wanted 2026-11-24T12:00:00.000Z 1 -n
	is "$(rec web 3 2026-11-24T12:00:01.000Z | as-resolve-policy | jq -c '.history.window[].first')" true
	wanted 2026-11-24T12:00:00.000Z 1
	is "$(sql 'select want from recommendation order by noted_at' | tr '\n' ' ')" '3 1 '
}

@test "containers are counted by the store where the policy says so, and only there" {
	as-policy set web count-from=db
	sql "insert into container (service, host, id, name, state, copy_of, copy_index, seen_at) values ('web', 'a', '1', 'web', 'running', '', -1, 0), ('web', 'b', '2', 'web-1', 'running', '', 1, 0), ('web', 'b', '3', 'web-2', 'exited', '', 2, 0)"
	is "$(as-resolve-policy web api | jq -c '[.service, .history.counted]' | tr '\n' ' ')" '["web",2] ["api",null] '
}

@test "policies of a file give the bytes that the store gives, and no store is opened" {
	as-policy set fleet service='w*' max=9 step=3 cooldown=5 type=scale-up priority=2
	as-policy set web max=5 target='lb.connections=100;lb.response_time=0.25' rate-up='4/60s'
	as-policy set web max=6
	as-policy set off service=web max=1 enabled=false
	as-policy list >"$BATS_TEST_TMPDIR/lines"
	jq -s . "$BATS_TEST_TMPDIR/lines" >"$BATS_TEST_TMPDIR/array"
	{
		rec web 3 2026-11-24T12:00:00.000Z '.observed.template.labels = {"autoscale.max": "many", "autoscale.min": "2"}'
		rec ww 1 2026-11-24T12:00:00.000Z
		rec api 1 2026-11-24T12:00:00.000Z
	} >"$BATS_TEST_TMPDIR/in"
	as-resolve-policy <"$BATS_TEST_TMPDIR/in" | grep -oP '"policy":.*(?=,"history")' >"$BATS_TEST_TMPDIR/want"
	is "$(wc -l <"$BATS_TEST_TMPDIR/want")" 3
	export AUTOSCALE_STORE=sqlite:/proc/none/store.db
	for f in lines array; do
		as-resolve-policy --policies "$BATS_TEST_TMPDIR/$f" <"$BATS_TEST_TMPDIR/in" | grep -oP '"policy":.*(?=,"history")' | diff "$BATS_TEST_TMPDIR/want" - >&2
	done
	is "$(rec web 3 2026-11-24T12:00:00.000Z '.history = {"moves": [1.0], "x": 1e2}' | sed 's/"moves":\[1[.0]*\]/"moves":[1.0]/' | as-resolve-policy --policies "$BATS_TEST_TMPDIR/lines" | grep -o '"moves":\[1.0\]')" '"moves":[1.0]'
}

@test "a policy of a file that does not parse is named by line before any record is read" {
	printf '%s\n' '{"name":"a","max":5}' '{"name":"b","max":"many"}' >"$BATS_TEST_TMPDIR/f"
	run -65 as-resolve-policy --policies "$BATS_TEST_TMPDIR/f" web
	has "$output" 'f:2: max wants a number'
	printf '%s\n' '' '{"name":"b","service":7}' >"$BATS_TEST_TMPDIR/f"
	run -65 as-resolve-policy --policies "$BATS_TEST_TMPDIR/f" web
	has "$output" 'f:2: '
}

@test "six hundred records leave in the order in which they came, each with its own policy" {
	as-policy set even service='*[02468]' max=2
	as-policy set odd service='*[13579]' max=3
	for i in $(seq 600); do echo "{\"v\":1,\"id\":\"$i\",\"service\":\"s$((i % 300))\"}"; done >"$BATS_TEST_TMPDIR/in"
	is "$(as-resolve-policy <"$BATS_TEST_TMPDIR/in" | jq -c 'select(.policy.max != 2 + (.id | tonumber) % 2)' | wc -l)" 0
	is "$(as-resolve-policy <"$BATS_TEST_TMPDIR/in" | jq -r .id | tr '\n' ' ')" "$(seq 600 | tr '\n' ' ')"
}

@test "a record is answered while the input stays open, and the next one by the policies of then" {
	mkfifo "$BATS_TEST_TMPDIR/p"
	as-resolve-policy <"$BATS_TEST_TMPDIR/p" >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	exec 8>"$BATS_TEST_TMPDIR/p"
	rec web 1 2026-11-24T12:00:00.000Z >&8
	eventually 20 answered 1
	as-policy set web max=7
	rec web 1 2026-11-24T12:00:00.000Z >&8
	eventually 20 answered 2
	exec 8>&-
	wait "$pid"
	is "$(jq -c .policy.max "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" 'null 7 '
}
answered() { [ "$(wc -l <"$BATS_TEST_TMPDIR/out")" -eq "$1" ]; }
