# What the commands do with an alert queue, whatever store it is in: one function a case, for a bats file to call on an
# empty store that AUTOSCALE_ALERTS names. After lib.bash.
# shellcheck shell=bash disable=SC2016,SC2154 # a label's name; bats sets output and stderr

QUEUE_FAULTS=$TOP/tests/faults

# For teardown: what a failed case left running.
queue_clean() {
	local pid
	for pid in $(jobs -p); do
		{ kill -KILL -- "-$pid" || kill "$pid"; wait "$pid"; } 2>/dev/null || true
	done
}

look() { "$QUEUE_FAULTS/look" "$AUTOSCALE_ALERTS"; }
due_now() { "$QUEUE_FAULTS/due" "$AUTOSCALE_ALERTS"; }
look_is() { [ "$(look | tr '\n' ' ')" = "$1 " ]; }

# settle OUTCOME [ERROR]: records as if the stages in between had run. By text, so that no byte of an alert changes.
settle() {
	local more=",\"audit\":{\"outcome\":\"$1\"}"
	[ $# -eq 1 ] || more+=",\"error\":{\"stage\":\"as-clone\",\"code\":\"conflict\",\"message\":\"$2\",\"retry\":false}"
	sed -u "s|}\$|$more}|"
}

# alerts FIRST LAST [SERVICE]: with the ids aFIRST to aLAST
alerts() {
	local i
	for i in $(seq "$1" "$2"); do echo "{\"service\":\"${3:-web}\",\"action\":\"up\",\"id\":\"a$i\"}"; done | as-ingest
}

queue_redelivery() {
	local i
	for i in 1 2 3 4 5; do alert up '{"id": "a1", "key": "k", "starts_at": "2026-11-24T10:00:00Z"}'; done
	is "$(look)" 'a1|new|0|5|'
	is "$(as-fetch-alerts | jq -r .id)" a1
	alert up '{"id": "a1", "key": "k", "starts_at": "2026-11-24T10:00:00Z"}'
	is "$(look)" 'a1|claimed|1|6|'
	alert up '{"id": "a2", "key": "k", "starts_at": "2026-11-24T11:00:00Z"}'
	is "$(look | cut -d'|' -f 1-4 | tr '\n' ' ')" 'a1|claimed|1|6 a2|new|0|1 '
}

queue_names() {
	as-ingest <<<'{"service":"web","id":"a1","labels":{"a.b":"c","$set":"d","x":"\u0000y"},"value":1.0,"threshold":18446744073709551616}'
	as-fetch-alerts >"$BATS_TEST_TMPDIR/out"
	has "$(cat "$BATS_TEST_TMPDIR/out")" '"labels":{"a.b":"c","$set":"d","x":"\u0000y"}'
	has "$(cat "$BATS_TEST_TMPDIR/out")" '"value":1.0,"threshold":18446744073709551616'
}

queue_limit() {
	alerts 1 25
	is "$(as-fetch-alerts --limit 10 | jq -r .id | tr '\n' ' ')" "$(printf 'a%d ' $(seq 1 10))" 'the oldest first'
	is "$(as-fetch-alerts --limit 100 | wc -l)" 15
	run -0 as-fetch-alerts
	is "$output" ''
}

queue_attempts() {
	local i
	alerts 1 2
	for i in 1 2 3 4 5; do
		as-fetch-alerts >"$BATS_TEST_TMPDIR/out"
		is "$(jq -c '[.id, .claim.attempt]' "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" "[\"a1\",$i] [\"a2\",$i] "
		# a1 fails each time, the holder of a2 dies each time
		head -n 1 "$BATS_TEST_TMPDIR/out" | settle failed 'engine is down' | as-ack-alerts >/dev/null
		due_now
	done
	is "$(as-fetch-alerts --dead | jq -c '[.id, .attempts, .error]')" '["a1",5,"engine is down"]'
	run -0 as-fetch-alerts
	is "$output" '' 'neither is in a claim'
	is "$(as-fetch-alerts --dead | jq -c '[.id, .attempts, .error]' | tr '\n' ' ')" \
		'["a1",5,"engine is down"] ["a2",5,"lease ran out 5 times"] '
	run -1 as-fetch-alerts --requeue nosuch
	run -0 as-fetch-alerts --requeue a1
	is "$(as-fetch-alerts | jq -c '[.id, .claim.attempt]')" '["a1",1]'
}

queue_dead_letter() {
	run -65 as-ingest <<<'garbage {'
	run -65 as-ingest <<<'garbage {'
	is "$(as-fetch-alerts --dead | wc -l)" 1 'the same bytes are one dead letter'
	run -1 as-fetch-alerts --requeue "$(as-fetch-alerts --dead | jq -r .id)"
	has "$output" 'never a whole alert'
	run -0 as-fetch-alerts
	is "$output" ''
}

queue_outcomes() {
	alerts 1 4
	as-fetch-alerts >"$BATS_TEST_TMPDIR/f"
	{
		sed -n 1p "$BATS_TEST_TMPDIR/f" | settle 'done'
		sed -n 2p "$BATS_TEST_TMPDIR/f" | settle none
		sed -n 3p "$BATS_TEST_TMPDIR/f" | settle failed 'name web-3 is in use'
		sed -n 4p "$BATS_TEST_TMPDIR/f" | settle deferred
	} | as-ack-alerts >"$BATS_TEST_TMPDIR/acked"
	is "$(wc -l <"$BATS_TEST_TMPDIR/acked")" 4
	look_is 'a1|done|1|1|done a2|done|1|1|none a3|new|1|1|name web-3 is in use a4|new|0|1|deferred'
	is "$(as-fetch-alerts | jq -r '"\(.id) \(.claim.attempt)"')" 'a4 1'
}

queue_prune() {
	alerts 1 4
	run -65 as-ingest <<<'garbage {'
	as-fetch-alerts --limit 3 | head -n 2 | settle 'done' | as-ack-alerts >/dev/null
	is "$(as-store status | jq -c 'select(.alerts) | [.waiting, .claimed, .done, .dead, .age < 60]')" '[1,1,2,1,true]'
	is "$(as-store prune --older-than 1h | jq -c 'select(.alerts) | [.done, .dead]')" '[0,0]'
	is "$(as-store prune -n --older-than 0 --dead | jq -c 'select(.alerts) | [.done, .dead, .dry]')" '[2,1,true]'
	is "$(as-store prune --older-than 0 | jq -c 'select(.alerts) | [.done, .dead]')" '[2,0]'
	is "$(as-store prune --older-than 0 --dead | jq -c 'select(.alerts) | [.done, .dead]')" '[0,1]'
	look_is 'a3|claimed|1|1| a4|new|0|1|'
}

# The holder of a lease of 2 s is killed: its alert is taken again by whoever waits, 2.0 to 2.5 s after.
queue_killed_holder() {
	local holder first second
	alerts 1 1
	setsid bash -c 'as-fetch-alerts --lease 2s | (cat; exec sleep 60)' >"$BATS_TEST_TMPDIR/first" 3>&- &
	holder=$!
	eventually 3 grep -q a1 "$BATS_TEST_TMPDIR/first"
	kill -KILL -- -$holder
	as-fetch-alerts --follow >"$BATS_TEST_TMPDIR/second" 3>&- &
	eventually 5 grep -q a1 "$BATS_TEST_TMPDIR/second"
	kill $!
	first=$(jq '.now | sub("\\.(?<f>[0-9]+)Z"; "Z") | fromdate * 1000' "$BATS_TEST_TMPDIR/first")
	first=$((first + 10#$(jq -r '.now[20:23]' "$BATS_TEST_TMPDIR/first")))
	second=$(jq '.now | sub("\\.(?<f>[0-9]+)Z"; "Z") | fromdate * 1000' "$BATS_TEST_TMPDIR/second")
	second=$((second + 10#$(jq -r '.now[20:23]' "$BATS_TEST_TMPDIR/second")))
	if [ $((second - first)) -lt 2000 ] || [ $((second - first)) -gt 2500 ]; then is $((second - first)) '2000 to 2500 ms'; fi
	is "$(jq .claim.attempt "$BATS_TEST_TMPDIR/second")" 2
}

# A holder is stopped for longer than its lease; what it says afterwards changes nothing.
queue_stopped_holder() {
	alerts 1 1
	as-fetch-alerts --lease 500ms | settle 'done' >"$BATS_TEST_TMPDIR/slow"
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	as-ack-alerts <"$BATS_TEST_TMPDIR/pipe" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	local ack=$!
	exec 9>"$BATS_TEST_TMPDIR/pipe"
	kill -STOP $ack
	cat "$BATS_TEST_TMPDIR/slow" >&9
	exec 9>&-
	as-fetch-alerts --follow >"$BATS_TEST_TMPDIR/second" 3>&- &
	local second=$!
	eventually 5 grep -q a1 "$BATS_TEST_TMPDIR/second"
	kill -CONT $ack
	wait $ack
	kill $second
	is "$(grep -c . "$BATS_TEST_TMPDIR/err")" 1
	has "$(cat "$BATS_TEST_TMPDIR/err")" 'lease was lost'
	is "$(look)" 'a1|claimed|2|1|'
	settle 'done' <"$BATS_TEST_TMPDIR/second" | as-ack-alerts >/dev/null
	is "$(look)" 'a1|done|2|1|done'
}

# preload NAME COMMAND...: with faults/NAME.c in front of the C library
preload() {
	local name=$1
	shift
	[ -f "$BATS_FILE_TMPDIR/$name.so" ] || "${CC:-cc}" -shared -fPIC -o "$BATS_FILE_TMPDIR/$name.so" "$QUEUE_FAULTS/$name.c"
	LD_PRELOAD=$BATS_FILE_TMPDIR/$name.so ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 "$@"
}

# shifted COMMAND...: on a host whose clock is an hour ahead
shifted() { CLOCK_AHEAD=3600 preload clock "$@"; }

queue_clock() {
	local real
	alerts 1 2
	is "$(as-fetch-alerts --limit 1 | jq -r .id)" a1
	real=$(date +%s)
	is "$(shifted as-ingest --normalize <<<'{"service":"web"}' | jq ".received_at | .[0:19] + \"Z\" | fromdate - $real >= 3500")" true 'the clock is wrong'
	shifted as-fetch-alerts >"$BATS_TEST_TMPDIR/out"
	is "$(jq -c "[.id, .claim.attempt, (.now | .[0:19] + \"Z\" | fromdate - $real | . < 60)]" "$BATS_TEST_TMPDIR/out")" \
		'["a2",1,true]' 'only what nobody holds, at the server'"'"'s time'
}

# queue_worker NUMBER: claims, settles and acknowledges until it is told to stop
queue_worker() {
	while [ ! -e "$BATS_TEST_TMPDIR/stop" ]; do
		as-fetch-alerts --limit "${LIMIT:-10}" --lease "$LEASE" | tee -a "$BATS_TEST_TMPDIR/got.$1" | settle 'done' | as-ack-alerts >/dev/null
	done
}

all_done() { [ "$(look | grep -c '|done|')" = "$1" ]; }

# queue_storm ALERTS KILLS: 8 processes; with KILLS above 0 one of them is killed each second, as often as that.
queue_storm() {
	local n=$1 kills=$2 i pids=() victim
	# short where a killed one's alerts are waited for; long where nothing but a slow machine could let it run out
	LEASE=60s
	[ "$kills" -eq 0 ] || LEASE=3s
	export LEASE
	alerts 1 "$n"
	export BATS_TEST_TMPDIR
	export -f queue_worker settle
	for i in 0 1 2 3 4 5 6 7; do
		setsid bash -c "queue_worker $i" 3>&- &
		pids[i]=$!
	done
	for ((i = 0; i < kills; i++)); do
		sleep 1 # the pace of the killer, not a wait
		victim=$((RANDOM % 8))
		kill -KILL -- "-${pids[victim]}"
		setsid bash -c "queue_worker $victim" 3>&- &
		pids[victim]=$!
	done
	eventually "${WITHIN:-60}" all_done "$n"
	: >"$BATS_TEST_TMPDIR/stop"
	wait "${pids[@]}" || true
	is "$(look | grep -c '|done|')" "$n"
	# a line that a kill cut short is none
	cat "$BATS_TEST_TMPDIR"/got.* | jq -R 'fromjson? | [.id, .claim.attempt]' -c | sort >"$BATS_TEST_TMPDIR/claims"
	is "$(uniq -d "$BATS_TEST_TMPDIR/claims")" '' 'no claim was given twice'
	is "$(cut -d, -f1 "$BATS_TEST_TMPDIR/claims" | sort -u | wc -l)" "$n" 'none was lost'
	[ "$kills" -gt 0 ] || is "$(wc -l <"$BATS_TEST_TMPDIR/claims")" "$n" 'each was claimed once'
}
