# Webhooks in over HTTP: answered 200 when they are on the disk, by whoever may, as much as is allowed.

load lib

setup() { fresh; }
teardown() {
	if [ -n "${RIG:-}" ]; then kill -CONT "$AS_RIG_MARIADB_PID"; fi
	stop_all
	if [ -n "${RIG:-}" ]; then rig_down; fi
}

sql() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "$1"; }
alerts_stored() { sql 'select count(*) from alert'; }

# listen [OPTION...]: as-listen in the background on a port of its own: sets URL and LISTENER.
listen() {
	LOG=$BATS_TEST_TMPDIR/log.$((++LISTENERS))
	as-listen --listen 127.0.0.1:0 "$@" >"$BATS_TEST_TMPDIR/out" 2>"$LOG" 3>&- &
	LISTENER=$!
	LISTENING="${LISTENING:-} $LISTENER"
	listening
}

listening() {
	eventually 10 grep -q ' listening on ' "$LOG" || { cat "$LOG" >&2; return 1; }
	URL=$(sed -n 's/^as-listen: listening on //p' "$LOG")
}

# stop_all: every as-listen that still runs must stop as asked, with nothing of it lost; the helpers of the test too
stop_all() {
	local p bad=0 status
	for p in ${LISTENING:-}; do
		kill -TERM "$p" 2>/dev/null || continue
		status=0
		wait "$p" || status=$?
		[ "$status" = 143 ] || { echo "# as-listen ended with $status"; cat "$BATS_TEST_TMPDIR"/log*; bad=1; } >&2
	done
	for p in ${PIDS:-}; do kill -TERM "$p" 2>/dev/null && wait "$p" 2>/dev/null; done
	LISTENING='' PIDS=''
	return $bad
}

# ended STATUS: the listener has, with it
ended() {
	local status=0
	wait "$LISTENER" || status=$?
	is "$status" "$1"
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

@test "an option of the source that is missing or wrong is 422 with the reason; with a mended URL the same is taken" {
	listen
	match='[{"@timestamp":"2026-11-23T23:40:16.197Z","metric_cpu.pct_avg":0.95,"metric_agg_value":0.95,"docker":{"service":"web"},"num_hits":2,"num_matches":1}]'
	run -0 ask /elastalert -d "$match"
	has "$output" 422
	has "$output" --rule
	is "$(status '/elastalert?rule=cpu&threshold=high' -d "$match") $(status '/elastalert?rule=cpu&service-field=%5B' -d "$match")" '422 422'
	is "$(as-fetch-alerts -n)" ''
	is "$(status '/elastalert?rule=cpu&threshold=0.8' -d "$match")" 200
	is "$(as-fetch-alerts | jq -c '.alert | [.rule, .value, .threshold]')" '["cpu",0.95,0.8]'
}

@test "a subscription of SNS stores nothing, is 200, and is told to a person" {
	listen
	is "$(ask /cloudwatch -d '{"Type":"SubscriptionConfirmation","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:1:t","Token":"t","SubscribeURL":"http://127.0.0.1:9/","Message":"m","Timestamp":"2026-11-24T10:00:00Z"}')" \
		'200 {"stored":0,"seen":0,"dead":0,"message":"nothing to act on"}'
	grep -q 'nothing is fetched by itself' "$LOG"
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

@test "-n ends with 74 when nobody takes what it prints" {
	LOG=$BATS_TEST_TMPDIR/log
	as-listen -n --listen 127.0.0.1:0 >/dev/full 2>"$LOG" 3>&- &
	LISTENER=$!
	listening
	is "$(status / -d '{"service":"web"}')" 503
	ended 74
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
	ended 143
	is "$(alerts_stored)" 1
}

@test "a signal while nothing is in flight ends it at once, idle connections or not" {
	listen
	exec 7<>"/dev/tcp/127.0.0.1/${URL##*:}"
	printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n' >&7
	read -r line <&7
	has "$line" '200 OK'
	kill -INT "$LISTENER"
	since=$SECONDS
	ended 130
	[ $((SECONDS - since)) -le 2 ]
	exec 7>&-
}

# ---- durability ----

# killed_at SYSCALL: as-listen, killed with -9 at the first SYSCALL after it listens, in the hands of one delivery
killed_at() {
	listen
	strace -qq -f -p "$LISTENER" -e trace="$1" -e inject="$1":signal=KILL:when=1 -o /dev/null 3>&- &
	PIDS="${PIDS:-} $!"
	tracer=$!
	traced() { [ "$(awk '/^TracerPid/ { print $2 }' "/proc/$LISTENER/status")" = "$tracer" ]; }
	eventually 10 traced
	run ! curl -sS --max-time 10 "$URL/" -d "$2"
	wait "$tracer" || true
	ended 137
}

@test "killed with -9 in the middle of a delivery, and delivered again: stored once" {
	want=0
	for at in recvfrom pwrite64 fdatasync sendmsg; do
		want=$((want + 1))
		alert="{\"service\":\"web\",\"action\":\"up\",\"key\":\"$at\"}"
		killed_at "$at" "$alert"
		if [ "$at" = sendmsg ]; then
			is "$(alerts_stored)" "$want" 'it was on the disk before the answer was sent'
		fi
		listen
		is "$at $(status / -d "$alert")" "$at 200"
		is "$at $(alerts_stored)" "$at $want"
		stop_all
	done
	is "$(sql "select max(seen) from alert where body like '%sendmsg%'")" 2
}

@test "fifty senders at once, twenty alerts each: every one stored once" {
	listen
	sender() {
		local i
		for i in $(seq 20); do
			printf 'next\nurl=%s/\ndata={"service":"web","action":"up","key":"%s-%s"}\noutput=/dev/null\nwrite-out=%%{http_code}\\n\n' "$URL" "$1" "$i"
		done | sed 1d | curl -sS -K -
	}
	for s in $(seq 50); do sender "$s" >"$BATS_TEST_TMPDIR/s.$s" 3>&- & senders="${senders:-} $!"; done
	wait $senders
	is "$(cat "$BATS_TEST_TMPDIR"/s.* | sort | uniq -c | tr -s ' ')" ' 1000 200'
	is "$(sql 'select count(*), count(distinct dedup), max(seen) from alert')" '1000|1000|1'
	is "$(metric listen_stored_total)" 1000
}

@test "the store held by another program: 503 with Retry-After, then 200, and nobody else waits for it" {
	listen
	is "$(status / -d '{"service":"web","key":"a"}')" 200
	hold_store
	curl -sSi --max-time 30 "$URL/" -d '{"service":"web","key":"b"}' >"$BATS_TEST_TMPDIR/first" 3>&- &
	first=$!
	since=$SECONDS
	wait "$first"
	[ $((SECONDS - since)) -le 13 ]
	has "$(head -n 1 "$BATS_TEST_TMPDIR/first")" 503
	grep -q '^Retry-After: 5' "$BATS_TEST_TMPDIR/first"
	has "$(tail -n 1 "$BATS_TEST_TMPDIR/first")" 'nothing is stored: deliver it again'
	since=$SECONDS
	is "$(status / -d '{"service":"web","key":"b"}') $(status /healthz)" '503 503' 'at once, not after ten seconds more'
	[ $((SECONDS - since)) -le 1 ]
	echo 'rollback;' >&7
	exec 7>&-
	back() { [ "$(status / -d '{"service":"web","key":"b"}')" = 200 ]; }
	eventually 5 back
	is "$(status /healthz)" 200
	is "$(sql 'select count(*), max(seen) from alert')" '2|1'
	grep -q 'the alert store is away' "$LOG"
	grep -q 'the alert store is back' "$LOG"
}

@test "a store that may not be written: it starts, says so, and answers 503 until it may" {
	[ "$(id -u)" = 0 ] || skip 'needs root, to give up what lets root write anywhere'
	mkdir -m 555 "$BATS_TEST_TMPDIR/closed"
	export AUTOSCALE_ALERTS=sqlite:$BATS_TEST_TMPDIR/closed/a.db
	LOG=$BATS_TEST_TMPDIR/log
	setpriv --bounding-set=-dac_override,-dac_read_search "$AS_BIN/as-listen" --listen 127.0.0.1:0 2>"$LOG" 3>&- &
	LISTENING=$!
	listening
	is "$(status / -d '{"service":"web"}') $(status /healthz)" '503 503'
	is "$(metric store_up)" 0
	chmod 755 "$BATS_TEST_TMPDIR/closed"
	back() { [ "$(status / -d '{"service":"web","key":"a"}')" = 200 ]; }
	eventually 5 back
	is "$(status /healthz) $(metric store_up)" '200 1'
	is "$(sqlite3 "$BATS_TEST_TMPDIR/closed/a.db" 'select count(*) from alert')" 1
}

@test "a store's server that hangs: 503 in time, then 200 on a new connection; nobody is cut for it" {
	rig_up mariadb
	RIG=mariadb
	export AUTOSCALE_ALERTS=$AS_RIG_MARIADB_URL
	listen --max-time 2s
	is "$(status / -d '{"service":"web","key":"a"}')" 200
	kill -STOP "$AS_RIG_MARIADB_PID"
	since=$SECONDS
	is "$(status / -d '{"service":"web","key":"b"}') $(status / -d '{"service":"web","key":"b"}')" '503 503'
	[ $((SECONDS - since)) -le 8 ]
	kill -CONT "$AS_RIG_MARIADB_PID"
	back() { [ "$(status / -d '{"service":"web","key":"b"}')" = 200 ]; }
	eventually 5 back
	is "$(metric 'alerts{state="new"}')" 2
}

@test "a schema that is newer, or a file that is no database: exit 78 before it listens" {
	echo 'no database at all, just text that is long enough' >"$BATS_TEST_TMPDIR/store.db"
	run -78 as-listen --listen 127.0.0.1:0
	has "$output" "$BATS_TEST_TMPDIR/store.db"
	rm "$BATS_TEST_TMPDIR/store.db"
	as-policy list
	sql 'update schema_version set version = version + 1000'
	run -78 as-listen --listen 127.0.0.1:0
}

# ---- who may ----

# sign TIMESTAMP BODY [KEY]: curl's arguments for a signed request, in SIGNED
sign() {
	local mac
	mac=$(printf '%s.%s' "$1" "$2" | openssl dgst -sha256 -hmac "${3:-key-of-the-test}" -r)
	SIGNED=(-H "X-Autoscale-Timestamp: $1" -H "X-Autoscale-Signature: sha256=${mac%% *}" --data-binary "$2")
}

@test "bearer tokens: any line of the file will do; others get 401 and no reason" {
	secret token $'# of the first sender\nfirst-token-0123456789\n\nsecond-token-0123456789'
	listen --token-file "$BATS_TEST_TMPDIR/token"
	alert='{"service":"web","action":"up","key":"k"}'
	bearer() { status "${2:-/}" -H "Authorization: $1" -d "$alert"; }
	is "$(bearer 'Bearer first-token-0123456789') $(bearer 'bearer second-token-0123456789')" '200 200'
	basic() { printf 'Basic %s' "$(printf '%s' "$1" | base64 -w 0)"; }
	is "$(bearer "$(basic sns:first-token-0123456789)") $(bearer "$(basic :second-token-0123456789)")" '200 200' 'for senders that can only log in'
	for wrong in "$(basic first-token-0123456789)" "$(basic sns:first-token-012345678)" "$(basic first-token-0123456789:)" \
		'Bearer first-token-012345678' 'Bearer first-token-01234567890' 'Bearer' 'Bearer ' 'Basic first-token-0123456789' \
		'first-token-0123456789' 'Bearer # of the first sender' 'Bearer FIRST-TOKEN-0123456789'; do
		is "$wrong $(bearer "$wrong")" "$wrong 401"
	done
	is "$(ask / -d "$alert")" '401 {"message":"not authorised"}'
	is "$(ask / -d "$alert" -H 'Authorization: Bearer x')" '401 {"message":"not authorised"}'
	has "$(curl -sSi "$URL/" -d x)" 'WWW-Authenticate: Bearer'
	is "$(sql 'select count(*), max(seen) from alert')" '1|4'
	is "$(status /healthz) $(status /metrics) $(status /metrics -H 'Authorization: Bearer first-token-0123456789')" '200 401 200'
	run -1 grep -q token-0123456789 "$LOG"
}

@test "a hangup signal reads the tokens again; a file that is wrong leaves them as they were" {
	secret token old-token-0123456789
	listen -v --token-file "$BATS_TEST_TMPDIR/token"
	with() { status / -H "Authorization: Bearer $1" -d '{"service":"web"}'; }
	secret token new-token-0123456789
	is "$(with new-token-0123456789) $(with old-token-0123456789)" '401 200'
	kill -HUP "$LISTENER"
	eventually 5 grep -q 'the secrets are read again' "$LOG"
	is "$(with new-token-0123456789) $(with old-token-0123456789)" '200 401'
	chmod 644 "$BATS_TEST_TMPDIR/token"
	kill -HUP "$LISTENER"
	eventually 5 grep -q 'the secrets stay as they were' "$LOG"
	is "$(with new-token-0123456789)" 200
}

@test "signed requests: a wrong key, an old or coming time, an altered byte and a second use are 401" {
	secret key $'another-key\nkey-of-the-test'
	listen --hmac-file "$BATS_TEST_TMPDIR/key"
	alert='{"service":"web","action":"up"}'
	now=$(date +%s)
	sign "$now" "$alert"
	is "$(status / "${SIGNED[@]}")" 200
	is "$(ask / "${SIGNED[@]}")" '401 {"message":"not authorised"}' 'the same again'
	is "$(status / -H "X-Autoscale-Timestamp: $now" -H "$(sed 's/=\(.*\)/=\U\1/' <<<"${SIGNED[3]}")" -d "$alert")" 401 'in other letters'
	sign "$now" "$alert" another-key
	is "$(status / "${SIGNED[@]}")" 200 'by the other key of the file'
	sign "$now" "$alert" wrong-key
	is "$(status / "${SIGNED[@]}")" 401
	for off in -310 310 -3600; do
		sign $((now + off)) "$alert"
		is "$off $(status / "${SIGNED[@]}")" "$off 401"
	done
	sign $((now - 280)) "$alert"
	is "$(status / "${SIGNED[@]}")" 200
	sign "$now" "$alert "
	is "$(status / "${SIGNED[@]:0:4}" -d "$alert")" 401 'one byte less'
	is "$(status / -H "X-Autoscale-Timestamp: $((now - 1))" "${SIGNED[@]:2}")" 401 'another time than what was signed'
	for wrong in '' "x$now" "-$now" "$now.0" 99999999999999999999999; do
		sign "$wrong" "$alert"
		is "$wrong $(status / "${SIGNED[@]}")" "$wrong 401"
	done
	for wrong in '' sha256= sha256=00 "sha1=$(printf '0%.0s' {1..64})" "sha256=$(printf 'g%.0s' {1..64})" "sha256=$(printf '0%.0s' {1..64})"; do
		is "$wrong $(status / -H "X-Autoscale-Timestamp: $now" -H "X-Autoscale-Signature: $wrong" -d "$alert")" "$wrong 401"
	done
	is "$(status / -d "$alert") $(status / -H "X-Autoscale-Timestamp: $now" -d "$alert")" '401 401'
	is "$(alerts_stored)" 3
}

@test "a signed request that was told to come again may come with the same signature" {
	secret key key-of-the-test
	mkdir "$BATS_TEST_TMPDIR/closed"
	export AUTOSCALE_ALERTS=sqlite:$BATS_TEST_TMPDIR/closed/a.db
	listen --hmac-file "$BATS_TEST_TMPDIR/key"
	sqlite3 "$BATS_TEST_TMPDIR/closed/a.db" 'alter table alert rename to elsewhere'
	sign "$(date +%s)" '{"service":"web"}'
	is "$(status / "${SIGNED[@]}")" 503
	sqlite3 "$BATS_TEST_TMPDIR/closed/a.db" 'alter table elsewhere rename to alert'
	back() { [ "$(status / "${SIGNED[@]}")" = 200 ]; }
	eventually 5 back
	is "$(status / "${SIGNED[@]}")" 401
}

@test "with both files either credential will do; metrics are for this machine where nobody can show a token" {
	secret token some-token-0123456789
	secret key key-of-the-test
	listen --token-file "$BATS_TEST_TMPDIR/token" --hmac-file "$BATS_TEST_TMPDIR/key"
	is "$(status / -H 'Authorization: Bearer some-token-0123456789' -d '{"service":"web"}')" 200
	sign "$(date +%s)" '{"service":"web"}'
	is "$(status / "${SIGNED[@]}") $(status / -d '{"service":"web"}')" '200 401'
	listen --hmac-file "$BATS_TEST_TMPDIR/key"
	is "$(status /metrics)" 200
}

@test "files with secrets that others may read are 77; missing, empty and endless ones 78" {
	secret token some-token-0123456789
	chmod 640 "$BATS_TEST_TMPDIR/token"
	run -77 as-listen --listen 127.0.0.1:0 --token-file "$BATS_TEST_TMPDIR/token"
	has "$output" 'chmod 600'
	run -77 as-listen --listen 127.0.0.1:0 --hmac-file "$BATS_TEST_TMPDIR/token"
	run -78 as-listen --listen 127.0.0.1:0 --token-file "$BATS_TEST_TMPDIR/nowhere"
	rm "$BATS_TEST_TMPDIR/token"
	secret token '# nothing'
	run -78 as-listen --listen 127.0.0.1:0 --token-file "$BATS_TEST_TMPDIR/token"
	run -78 as-listen --listen 127.0.0.1:0 --hmac-file /dev/zero
	run -78 as-listen --listen 127.0.0.1:0 --token-file "$BATS_TEST_TMPDIR"
}

@test "an address that others reach is refused without credentials and without TLS" {
	secret token some-token-0123456789
	run -78 as-listen --listen 0.0.0.0:0
	has "$output" '--token-file'
	run -78 as-listen --listen '[::]:0' --no-tls
	run -78 as-listen --listen 0.0.0.0:0 --token-file "$BATS_TEST_TMPDIR/token"
	has "$output" '--no-tls'
	listen --listen 0.0.0.0:0 --token-file "$BATS_TEST_TMPDIR/token" --no-tls
	is "$(status / -d '{}')" 401
}

@test "an address in use is 69, one that is no address 64" {
	listen
	run -69 as-listen --listen "${URL#http://}"
	has "$output" 'is in use'
	for a in nowhere 127.0.0.1 127.0.0.1: :9197 '::1:9197' '[::1]' '[::1]:' example.com:80 127.0.0.1:99999 127.0.0.1:x; do
		run -64 as-listen --listen "$a"
	done
	run -64 as-listen --tls-cert x
	run -64 as-listen --max-body 0
	run -64 as-listen operand
}

@test "IPv6 and localhost" {
	listen --listen localhost:0
	has "$URL" http://127.0.0.1:
	[ -e /proc/net/if_inet6 ] || skip 'no IPv6 here'
	listen --listen '[::1]:0'
	has "$URL" 'http://[::1]:'
	is "$(status / -d '{"service":"web"}')" 200
}

# ---- TLS ----

# certificate NAME: NAME.crt and NAME.key, for localhost, signed by itself
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
		-addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$BATS_TEST_TMPDIR/$1.key" -out "$BATS_TEST_TMPDIR/$1.crt" 2>/dev/null
	chmod 600 "$BATS_TEST_TMPDIR/$1.key"
}

@test "TLS 1.2 and 1.3 are served, older and plain are not; a wrong certificate is seen by the sender" {
	certificate ours
	certificate other
	listen --tls-cert "$BATS_TEST_TMPDIR/ours.crt" --tls-key "$BATS_TEST_TMPDIR/ours.key"
	has "$URL" https://127.0.0.1:
	tls() { status / --cacert "$BATS_TEST_TMPDIR/${1:-ours}.crt" -d '{"service":"web"}' "${@:2}"; }
	is "$(tls) $(tls ours --tls-max 1.2) $(tls ours --tlsv1.3)" '200 200 200'
	run -35 tls ours --ciphers DEFAULT@SECLEVEL=0 --tlsv1.0 --tls-max 1.1
	run -60 tls other
	run ! curl -sS --max-time 5 "http${URL#https}/" -d '{"service":"web"}'
	is "$(alerts_stored)" 3
	is "$(tls)" 200 'it serves on'
}

@test "a key that others may read is 77; one that belongs to another certificate, or no key at all, 78" {
	certificate ours
	certificate other
	run -78 as-listen --listen 127.0.0.1:0 --tls-cert "$BATS_TEST_TMPDIR/ours.crt" --tls-key "$BATS_TEST_TMPDIR/other.key"
	secret nonsense 'no key'
	run -78 as-listen --listen 127.0.0.1:0 --tls-cert "$BATS_TEST_TMPDIR/ours.crt" --tls-key "$BATS_TEST_TMPDIR/nonsense"
	chmod 644 "$BATS_TEST_TMPDIR/ours.key"
	run -77 as-listen --listen 127.0.0.1:0 --tls-cert "$BATS_TEST_TMPDIR/ours.crt" --tls-key "$BATS_TEST_TMPDIR/ours.key"
}

# ---- how much ----

# at_once N [CURL ARGUMENT...]: N deliveries on one connection, a status a line
at_once() { curl -sS -o /dev/null -w '%{http_code}\n' -d '{"service":"web"}' "${@:2}" "$URL/?rule=[1-$1]"; }

@test "a client that asks more often than --rate is told to come later; after a second it may again" {
	listen --rate 5
	at_once 8 >"$BATS_TEST_TMPDIR/answers"
	is "$(sort "$BATS_TEST_TMPDIR/answers" | uniq -c | tr -s ' ' | tr '\n' ';')" ' 5 200; 3 429;'
	grep -q '^Retry-After: 1' <(curl -sSi "$URL/" -d '{"service":"web"}')
	again() { [ "$(status / -d '{"service":"web"}')" = 200 ]; }
	eventually 3 again
	is "$(alerts_stored)" 6
}

@test "--rate-all counts deliveries of senders who may deliver, and nobody else" {
	secret token some-token-0123456789
	listen --rate 0 --rate-all 3 --token-file "$BATS_TEST_TMPDIR/token"
	at_once 10 >"$BATS_TEST_TMPDIR/answers"
	is "$(sort "$BATS_TEST_TMPDIR/answers" | uniq -c | tr -s ' ')" ' 10 401'
	at_once 5 -H 'Authorization: Bearer some-token-0123456789' >"$BATS_TEST_TMPDIR/answers"
	is "$(sort "$BATS_TEST_TMPDIR/answers" | uniq -c | tr -s ' ' | tr '\n' ';')" ' 3 200; 2 429;'
}

@test "slow senders are cut after --max-time, in the head as in the body, however steadily they drip" {
	listen --max-time 1s
	drip() { # ends when the other side has closed
		exec 8<>"/dev/tcp/127.0.0.1/${URL##*:}"
		printf '%s' "$1" >&8
		while printf 'x' >&8; do sleep 0.1; done 2>/dev/null
		exec 8>&-
	}
	for start in $'POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ' $'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n' ''; do
		(trap '' PIPE; drip "$start") 3>&- & drips="${drips:-} $!"
	done
	since=$SECONDS
	wait $drips
	[ $((SECONDS - since)) -le 4 ]
	none_open() { [ "$(metric listen_connections)" = 1 ]; }
	eventually 5 none_open
	is "$(metric listen_cut_total)" 1 'the one whose head was there'
	is "$(status / -d '{"service":"web"}')" 200
}

@test "headers of more than 32 KiB are refused" {
	listen
	head -c 40000 /dev/zero | tr '\0' x | sed 's/^/X-Long: /' >"$BATS_TEST_TMPDIR/header"
	is "$(status / -H @"$BATS_TEST_TMPDIR/header" -d '{"service":"web"}')" 431
	is "$(alerts_stored)" 0
}

@test "no more than --max-connections at once, half of them of one client; who waits is served when others end" {
	listen --max-connections 4 --max-time 2s
	hold() { # ADDRESS: a connection that says nothing
		socat -u "TCP:${URL#http://},bind=$1" - 3>&- &
		PIDS="${PIDS:-} $!"
	}
	hold 127.0.0.2
	hold 127.0.0.2
	open() { [ "$(metric listen_connections)" = "$1" ]; }
	eventually 5 open 3
	run ! status / --interface 127.0.0.2 -d '{"service":"web"}'
	is "$(status / -d '{"service":"web"}')" 200 'another client'
	hold 127.0.0.3
	hold 127.0.0.3
	is "$(status / -d '{"service":"web"}')" 200 'after it has waited'
	is "$(alerts_stored)" 2
}

@test "twenty thousand requests of every kind do not make it grow" {
	secret token some-token-0123456789
	listen --rate 0 --rate-all 0 --token-file "$BATS_TEST_TMPDIR/token"
	round() {
		hey -n "$1" -c 20 -m POST -H 'Authorization: Bearer some-token-0123456789' -d '{"service":"web","key":"k"}' "$URL/"
		hey -n "$1" -c 20 -m POST -H 'Authorization: Bearer some-token-0123456789' -d 'nonsense' "$URL/"
		hey -n "$1" -c 20 -m POST -d '{"service":"web"}' "$URL/"
		hey -n "$1" -c 20 "$URL/healthz"
	}
	size() { awk '/^RssAnon/ { print $2 }' "/proc/$LISTENER/status"; }
	round 500 >/dev/null
	before=$(size)
	round 5000 >"$BATS_TEST_TMPDIR/hey"
	after=$(size)
	is "$(grep -E '^ *\[[0-9]+\]' "$BATS_TEST_TMPDIR/hey" | tr -s ' \t' ' ' | tr '\n' ';')" \
		' [200] 5000 responses; [200] 5000 responses; [401] 5000 responses; [200] 5000 responses;'
	is "$(sql 'select count(*), sum(seen) from alert')" '2|11000'
	case $AS_BIN in *sanitize*) return ;; esac # keeps what was freed
	# One lost piece of memory a request, of the smallest size that there is, would be 640 kB.
	[ $((after - before)) -le 600 ] || is "grew from $before kB to $after kB" 'by 600 kB at most'
}

# ---- a service manager's socket ----

# manager COMMAND...: as a service manager does, it holds a socket, prints its port, and starts the command on it each time
# that it has ended. A USR1 stops the command; a TERM that and itself.
manager() {
	exec perl -MIO::Socket::INET -MPOSIX -e '
		$| = 1;
		$^F = 9; # what is opened now is passed on
		$socket = IO::Socket::INET->new(Listen => 128, LocalAddr => "127.0.0.1") or die;
		print $socket->sockport, "\n";
		POSIX::dup2(fileno($socket), 3) if fileno($socket) != 3;
		$SIG{USR1} = sub { kill "TERM", $pid };
		$SIG{TERM} = sub { kill "TERM", $pid; waitpid $pid, 0; exit 0 };
		for (;;) {
			unless ($pid = fork) { $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; exec @ARGV }
			waitpid $pid, 0;
			die unless $? >> 8 == 143;
		}' "$@"
}

@test "socket activation: the passed socket is used, and no delivery is refused while as-listen is started again" {
	manager as-listen --listen 127.0.0.1:1 >"$BATS_TEST_TMPDIR/port" 2>"$BATS_TEST_TMPDIR/log" 3>&- &
	manager=$!
	PIDS=$manager
	starts() { [ "$(grep -c 'listening on' "$BATS_TEST_TMPDIR/log")" = "$1" ]; }
	eventually 10 starts 1
	URL=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")
	is "$(sed -n 's/.*: listening on //p' "$BATS_TEST_TMPDIR/log")" "$URL"
	for i in 1 2 3; do
		kill -USR1 "$manager"
		for j in 1 2 3 4 5; do
			status / -d "{\"service\":\"web\",\"key\":\"$i$j\"}"
			echo
		done >>"$BATS_TEST_TMPDIR/answers"
		eventually 10 starts $((i + 1))
	done
	kill -TERM "$manager"
	wait "$manager"
	is "$(sort "$BATS_TEST_TMPDIR/answers" | uniq -c | tr -s ' ')" ' 15 200'
	is "$(alerts_stored)" 15
}

@test "socket activation: variables that are for another process are left alone, wrong ones refused" {
	LISTEN_PID=1 LISTEN_FDS=1 listen
	is "$(status /healthz)" 200
	run -78 bash -c 'LISTEN_PID=$$ LISTEN_FDS=2 exec as-listen'
	run -78 bash -c 'exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec as-listen'
	has "$output" 'no listening socket'
}
