# Webhooks in over HTTP: answered 200 when they are on the disk, by whoever may, as much as is allowed.

load lib

setup() { fresh; }
teardown() { stop_all KILL; }

sql() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "$1"; }
alerts_stored() { sql 'select count(*) from alert'; }

# listen [OPTION...]: as-listen in the background on a port of its own: sets URL and LISTENER.
listen() {
	LOG=$BATS_TEST_TMPDIR/log.$((++LISTENERS))
	as-listen --listen 127.0.0.1:0 "$@" >"$BATS_TEST_TMPDIR/out" 2>"$LOG" 3>&- &
	LISTENER=$!
	PIDS="${PIDS:-} $LISTENER"
	listening
}

listening() {
	eventually 10 grep -q ' listening on ' "$LOG" || { cat "$LOG" >&2; return 1; }
	URL=$(sed -n 's/^as-listen: listening on //p' "$LOG")
}

# stop_all SIGNAL: every as-listen of this test, and what else it put into PIDS
stop_all() {
	local p
	for p in ${PIDS:-}; do kill -s "$1" "$p" 2>/dev/null || true; done
	for p in ${PIDS:-}; do wait "$p" 2>/dev/null || true; done
	PIDS=
}

# ask PATH [CURL ARGUMENT...]: the status and the body
ask() {
	local path=$1
	shift
	curl -sS --max-time 30 -w '%{stderr}%{http_code} ' "$@" "$URL$path" 2>&1 >"$BATS_TEST_TMPDIR/body" && cat "$BATS_TEST_TMPDIR/body"
}

# status PATH [CURL ARGUMENT...]
status() {
	local path=$1
	shift
	curl -sS --max-time 30 -o /dev/null -w '%{http_code}' "$@" "$URL$path"
}

# metric NAME[{LABELS}]
metric() { curl -sS "$URL/metrics" | awk -v name="autoscale_$1" '$1 == name { print $2 }'; }

# secret NAME TEXT: a file that nobody else may read
secret() { (umask 077 && printf '%s\n' "$2" >"$BATS_TEST_TMPDIR/$1"); }

# ---- what is asked and answered ----

@test "an alert is stored before it is answered, and counted when it comes again" {
	listen
	is "$(ask / -d '{"service":"web","action":"up","key":"k"}')" '200 {"stored":1,"seen":0,"dead":0,"message":"stored"}'
	is "$(sql 'select service, state from alert')" 'web|new'
	is "$(ask / -d '{"service":"web","action":"up","key":"k"}')" '200 {"stored":0,"seen":1,"dead":0,"message":"known already"}'
	is "$(sql 'select count(*), max(seen) from alert')" '1|2'
	is "$(as-fetch-alerts | jq -r .alert.action)" scale-up
}

@test "a group of Alertmanager: each of its alerts, with the parameters where they name nothing" {
	listen
	group='{"version":"4","status":"firing","groupKey":"g","alerts":[
	  {"status":"firing","labels":{"alertname":"Busy","service":"web"},"startsAt":"2026-11-24T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"a"},
	  {"status":"firing","labels":{"alertname":"Busy"},"startsAt":"2026-11-24T10:00:00Z","fingerprint":"b"}]}'
	is "$(ask '/alertmanager?service=api&action=scale-up' -d "$group")" '200 {"stored":2,"seen":0,"dead":0,"message":"stored"}'
	is "$(as-fetch-alerts | jq -c '[.service, .alert.action, .alert.source, .alert.rule]' | sort | tr '\n' ' ')" \
		'["api","scale-up","alertmanager","Busy"] ["web","scale-up","alertmanager","Busy"] '
}

@test "what cannot be understood is kept as a dead letter and answered 200, with the reason; the rest of it is stored" {
	listen
	is "$(ask / -d 'gar"bage')" '200 {"stored":0,"seen":0,"dead":1,"message":"not understood: not a JSON record: no value where one should be (byte 1): kept as a dead letter"}'
	run -0 ask / -d '{"version":"4","alerts":[{"status":"firing","labels":{"service":"a"}},{"status":"firing","labels":{}}]}'
	has "$output" '200 {"stored":1,"seen":0,"dead":1,"message":"not understood: alert 2 of the list: the alert names no service'
	run -0 ask / -d '{"truncated":'
	run -0 ask / -d ''
	head -c 300 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/noise")" 200
	is "$(as-fetch-alerts --dead | wc -l)" 5
	is "$(sql "select count(*) from alert where state = 'new'")" 1
}

@test "other paths are 404, other methods 405 with those that are allowed" {
	listen
	is "$(status /no/such -d '{}') $(status /UPPER -d '{}') $(status "/$(printf 'x%.0s' {1..40})" -d '{}')" '404 404 404'
	for m in GET PUT DELETE PATCH OPTIONS; do
		is "$m $(status / -X $m)" "$m 405"
	done
	has "$(curl -sSi "$URL/")" 'Allow: POST'
	is "$(status /healthz -d x) $(status /metrics -X DELETE)" '405 405'
	has "$(curl -sSi "$URL/metrics" -d x)" 'Allow: GET, HEAD'
	is "$(status /healthz -I)" 200
}

@test "a parameter that is unknown, too long or no plain text is 422, and nothing is stored" {
	listen
	is "$(status '/?servce=web' -d '{"action":"up"}')" 422
	is "$(status '/?service=we%0ab' -d '{"action":"up"}')" 422
	is "$(status "/?service=$(printf 'x%.0s' {1..300})" -d '{"action":"up"}')" 422
	is "$(status '/?service=web' -d '{"action":"up"}')" 200
	is "$(alerts_stored)" 1
}

@test "bodies up to --max-body are taken, longer ones are 413, said or not said before" {
	listen --max-body 1000
	body() { jq -nc --arg s "$(printf 'x%.0s' $(seq "$1"))" '{service: "web", labels: {pad: $s}}' | tr -d '\n'; }
	body 963 >"$BATS_TEST_TMPDIR/fits"
	body 964 >"$BATS_TEST_TMPDIR/over"
	is "$(stat -c %s "$BATS_TEST_TMPDIR/fits" "$BATS_TEST_TMPDIR/over" | tr '\n' ' ')" '1000 1001 '
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/fits")" 200
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/over")" 413
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/fits" -H 'Transfer-Encoding: chunked')" 200
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/over" -H 'Transfer-Encoding: chunked')" 413
	head -c 3000000 /dev/zero >"$BATS_TEST_TMPDIR/large"
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/large")" 413
	is "$(status / --data-binary @"$BATS_TEST_TMPDIR/large" -H Expect:)" 413
	is "$(alerts_stored)" 2
}

@test "/metrics counts requests by status, alerts, bytes, failures and the queue" {
	listen
	ask / -d '{"service":"web","action":"up","key":"k"}' # 41 bytes
	ask / -d '{"service":"web","action":"up","key":"k"}'
	ask / -d 'nonsense'
	ask /no/where -d x
	is "$(metric 'listen_requests_total{status="200"}') $(metric 'listen_requests_total{status="404"}')" '3 1'
	is "$(metric listen_stored_total) $(metric listen_seen_total) $(metric listen_dead_total)" '1 1 1'
	is "$(metric listen_body_bytes_total) $(metric listen_store_errors_total) $(metric store_up)" '91 0 1'
	is "$(metric 'alerts{state="new"}') $(metric 'alerts{state="dead"}') $(metric 'alerts{state="done"}')" '1 1 0'
	is "$(curl -sS "$URL/metrics" | grep -vE '^(#|autoscale_[a-z_]+(\{[a-z]+="[a-z0-9]+"\})? [0-9.]+$)')" ''
}

@test "-n prints the normalised alerts and stores nothing" {
	listen -n
	is "$(ask / -d '{"service":"web","action":"up"}')" '200 {"stored":0,"seen":0,"dead":0,"message":"dry run: nothing is stored"}'
	is "$(status / -d 'nonsense')" 200
	is "$(jq -c '[.service, .action]' "$BATS_TEST_TMPDIR/out")" '["web","scale-up"]'
	[ ! -e "$BATS_TEST_TMPDIR/store.db" ]
}

@test "-v says one line for each request, without its secrets and control characters" {
	secret token canary-token-1234
	listen -v --token-file "$BATS_TEST_TMPDIR/token"
	status '/%1b%5b31m?service=canary-service' -H 'Authorization: Bearer canary-wrong' -d canary-body
	status / -H 'Authorization: Bearer canary-token-1234' -d '{"service":"web"}'
	eventually 5 grep -q ' POST / 200, 17 bytes' "$LOG"
	is "$(grep -c ' POST ' "$LOG")" 2
	run -1 grep -aE "canary|$(printf '\033')" "$LOG"
}

@test "a page in a browser cannot deliver" {
	listen
	is "$(status / -H 'Origin: http://evil.example' -H 'Content-Type: text/plain' -d '{"service":"web"}')" 403
	is "$(alerts_stored)" 0
}

# ---- stopping ----

@test "a signal: no new connections, what is in flight gets its answer, then 128 and the signal" {
	listen
	mkfifo "$BATS_TEST_TMPDIR/body.fifo"
	curl -sS --max-time 20 -T - -X POST "$URL/" <"$BATS_TEST_TMPDIR/body.fifo" >"$BATS_TEST_TMPDIR/answer" 3>&- &
	sender=$!
	exec 7>"$BATS_TEST_TMPDIR/body.fifo"
	printf '{"service":"web",' >&7
	in_flight() { [ "$(metric listen_connections)" = 2 ] && [ "$(metric listen_body_bytes_total)" = 17 ]; }
	eventually 10 in_flight
	kill -TERM "$LISTENER"
	refused() { ! curl -s -o /dev/null --max-time 1 "$URL/healthz"; }
	eventually 5 refused
	printf '"action":"up"}' >&7
	exec 7>&-
	wait "$sender"
	is "$(cat "$BATS_TEST_TMPDIR/answer")" '{"stored":1,"seen":0,"dead":0,"message":"stored"}'
	run -143 wait "$LISTENER"
	is "$(alerts_stored)" 1
}
