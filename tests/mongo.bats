# The alert queue in MongoDB, through the built commands. The server is SecantusDB, which speaks its protocol
# (rig/mongo.sh); what every store does is in queue.bash.

load lib
load queue

setup_file() { rig_up mongo mongotls; }
teardown_file() { rig_down; }

setup() {
	fresh
	db=t$BATS_TEST_NUMBER
	export AUTOSCALE_ALERTS=mongodb://127.0.0.1:$AS_RIG_MONGO_PORT/$db
}

# again: starts the server that was ended, on its port and with its data
again() { (. "$TOP/tests/rig/lib.sh" && . "$TOP/tests/rig/mongo.sh" && rig_use "$AS_RIG" && mongo_again mongo); }

server() { cat "$AS_RIG/mongo.pid"; }
gone() { ! kill -0 "$1" 2>/dev/null; }

teardown() {
	! gone "$(server)" || again
	kill -CONT "$(server)"
	queue_clean
}

# mongo PYTHON: with `db`, the test's database, and `admin`
mongo() {
	"$AS_RIG_MONGO_PYTHON" -c "import os, pymongo, sys
client = pymongo.MongoClient('mongodb://127.0.0.1:$AS_RIG_MONGO_PORT/')
db, admin = client['$db'], client.admin
$1
sys.stdout.flush()
os._exit(0)"
}

# fail_next TIMES COMMAND: the server closes the connection instead of carrying out the command, as often as that
fail_next() {
	mongo "admin.command({'configureFailPoint': 'failCommand', 'mode': {'times': $1},
		'data': {'failCommands': ['$2'], 'closeConnection': True, 'appName': 'autoscale'}})" >/dev/null
}

# lose_next TIMES COMMAND: the command is carried out, its answer lost
lose_next() {
	"$QUEUE_FAULTS/cut.py" "$AS_RIG_MONGO_PORT" "$2" "$1" "$BATS_TEST_TMPDIR/port" 3>&- &
	proxy=$!
	eventually 5 test -s "$BATS_TEST_TMPDIR/port"
	direct=$AUTOSCALE_ALERTS
	AUTOSCALE_ALERTS=mongodb://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")/$db
}

# took MOST COMMAND...: sets ms, and status of the command
took() {
	local most=$1 start=${EPOCHREALTIME/./}
	shift
	"$@" && status=0 || status=$?
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	[ "$ms" -le "$most" ] || is "$ms ms" "at most $most"
}

@test "the queue does on MongoDB what it does on every store" {
	AS_TEST_ALERTS=mongodb://127.0.0.1:$AS_RIG_MONGO_PORT/NAME run "${AS_BUILD:-$TOP/build}/unit/alerts_cases_test"
	[ "$status" -eq 0 ] || { grep -A3 '^not ok\|^Bail' <<<"$output" >&2; return 1; }
}

@test "an alert is stored once and each delivery is counted" { queue_redelivery; }

@test "label names with dots and dollars, and the bytes of numbers, come back as they went in" { queue_names; }

@test "--limit 10 of 25 gives the 10 oldest" { queue_limit; }

@test "done, none, a failure, a lost race: each alert goes where its outcome says" { queue_outcomes; }

@test "after five attempts an alert is a dead letter, until it is requeued" { queue_attempts; }

@test "what cannot be understood is one dead letter" { queue_dead_letter; }

@test "prune takes what is done, and dead letters when they are asked for" { queue_prune; }

@test "a killed holder's alert is taken again when its lease of 2 s ran out" { queue_killed_holder; }

@test "a holder that slept through its lease changes nothing, says so once, and exits 0" { queue_stopped_holder; }

@test "a host whose clock is an hour ahead takes nobody's lease" { queue_clock; }

# AS_STORM=1: the storms at full size
if [ -n "${AS_STORM:-}" ]; then storm=2000 killed=2000 kills=30; else storm=240 killed=120 kills=3; fi

@test "8 processes get each alert once" { LIMIT=25 WITHIN=300 queue_storm $storm 0; }

@test "8 processes, one killed with -9 each second: no alert is lost and none is claimed twice" {
	WITHIN=300 queue_storm $killed $kills
}

@test "an update whose connection is closed once, or twice, is carried out once" {
	for times in 1 2; do
		alerts $times $times
		fail_next $times update
		as-fetch-alerts >"$BATS_TEST_TMPDIR/out"
		is "$(jq -c '[.id, .claim.attempt]' "$BATS_TEST_TMPDIR/out")" "[\"a$times\",1]"
		fail_next $times update
		run -0 --separate-stderr as-ack-alerts < <(settle 'done' <"$BATS_TEST_TMPDIR/out")
		is "$stderr" ''
	done
	is "$(look | tr '\n' ' ')" 'a1|done|1|1|done a2|done|1|1|done '
}

@test "a connection that is closed again and again is a failure; the alert comes back, nothing is doubled" {
	alerts 1 1
	fail_next 3 update
	run -69 --separate-stderr as-fetch-alerts
	is "$output" ''
	has "$stderr" 'no answer from MongoDB'
	is "$(look)" 'a1|new|0|1|'
	is "$(as-fetch-alerts | jq -r .id)" a1
}

@test "a claim that was carried out and whose answer was lost is found by its token" {
	alerts 1 3
	lose_next 2 update
	is "$(as-fetch-alerts --limit 2 | jq -c '[.id, .claim.attempt]' | tr '\n' ' ')" '["a1",1] ["a2",1] '
	AUTOSCALE_ALERTS=$direct
	look_is 'a1|claimed|1|1| a2|claimed|1|1| a3|new|0|1|'
}

@test "an end that was carried out and whose answer was lost is no lost lease" {
	alerts 1 3
	as-fetch-alerts >"$BATS_TEST_TMPDIR/f"
	lose_next 2 update
	{
		sed -n 1p "$BATS_TEST_TMPDIR/f" | settle 'done'
		sed -n 2p "$BATS_TEST_TMPDIR/f" | settle failed 'host is down'
		sed -n 3p "$BATS_TEST_TMPDIR/f" | settle 'done'
	} >"$BATS_TEST_TMPDIR/r"
	run -0 --separate-stderr as-ack-alerts <"$BATS_TEST_TMPDIR/r"
	is "$stderr" ''
	AUTOSCALE_ALERTS=$direct
	look_is 'a1|done|1|1|done a2|new|1|1|host is down a3|done|1|1|done'
}

@test "an alert that was stored and whose answer was lost is stored once and counted once" {
	lose_next 1 insert
	run -0 --separate-stderr as-ingest -v <<<'{"service":"web","action":"up","id":"a1","key":"k","starts_at":"2026-11-24T10:00:00Z"}'
	has "$stderr" '1 stored, 0 known'
	kill "$proxy"
	AUTOSCALE_ALERTS=$direct
	rm "$BATS_TEST_TMPDIR/port"
	lose_next 1 update
	run -0 as-ingest <<<'{"service":"web","action":"up","id":"a1","key":"k","starts_at":"2026-11-24T10:00:00Z"}'
	AUTOSCALE_ALERTS=$direct
	is "$(look)" 'a1|new|0|2|'
}

@test "what the client library says is not mixed into the records" {
	alerts 1 3
	preload chatter as-fetch-alerts >"$BATS_TEST_TMPDIR/out"
	is "$(jq -r .id "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" 'a1 a2 a3 '
}

@test "a server that is away is told at once: exit 75 for ingest, 69 for fetch" {
	export AUTOSCALE_ALERTS=mongodb://127.0.0.1:1/$db
	took 2000 as-ingest <<<'{"service":"web","action":"up"}'
	is "$status" 75
	took 2000 as-fetch-alerts
	is "$status" 69
}

@test "a server that is silent is given up after 2 s at connect" {
	as-fetch-alerts
	kill -STOP "$(server)"
	took 2500 as-fetch-alerts
	is "$status" 69
}

@test "a server that falls silent later is given up after 5 s, and the alert can be delivered again" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	as-ingest <"$BATS_TEST_TMPDIR/pipe" 3>&- &
	local ingest=$!
	exec 9>"$BATS_TEST_TMPDIR/pipe"
	echo '{"service":"web","action":"up","id":"a1"}' >&9
	eventually 5 look_is 'a1|new|0|1|'
	kill -STOP "$(server)"
	echo '{"service":"web","action":"up","id":"a2"}' >&9
	took 5500 wait $ingest
	is "$status" 75
	exec 9>&-
	kill -CONT "$(server)"
	alerts 2 2
	is "$(look | cut -d'|' -f1,2 | tr '\n' ' ')" 'a1|new a2|new '
}

@test "--follow lives through a server that falls silent and comes back" {
	as-fetch-alerts --follow >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	local follow=$!
	alerts 1 1
	eventually 5 grep -q a1 "$BATS_TEST_TMPDIR/out"
	kill -STOP "$(server)"
	eventually 10 grep -q 'trying again' "$BATS_TEST_TMPDIR/err"
	kill -CONT "$(server)"
	alerts 2 2
	eventually 10 grep -q '"id":"a2"' "$BATS_TEST_TMPDIR/out" # a token may hold a2 too
	kill $follow
	wait $follow || true
	is "$(jq -r .id "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" 'a1 a2 '
}

some_done() { [ "$(look | grep -c '|done|')" -gt 10 ]; }

@test "the server is killed and started again in the midst of claims: all are done in the end" {
	local i pids=() pid
	alerts 1 80
	export BATS_TEST_TMPDIR LEASE=1s LIMIT=4
	export -f queue_worker settle
	as-fetch-alerts --follow --service other 2>"$BATS_TEST_TMPDIR/follow.err" >"$BATS_TEST_TMPDIR/follow" 3>&- &
	for i in 0 1 2; do
		setsid bash -c "queue_worker $i" 2>>"$BATS_TEST_TMPDIR/err" 3>&- &
		pids[i]=$!
	done
	eventually 10 some_done
	pid=$(server)
	kill -KILL "$pid"
	eventually 5 gone "$pid"
	eventually 5 grep -q 'no answer' "$BATS_TEST_TMPDIR/err"
	again
	eventually 30 all_done 80
	: >"$BATS_TEST_TMPDIR/stop"
	wait "${pids[@]}" || true
	is "$(look | grep -c '|done|')" 80
	grep -q 'trying again' "$BATS_TEST_TMPDIR/follow.err"
	alerts 81 81 other
	eventually 10 grep -q '"id":"a81"' "$BATS_TEST_TMPDIR/follow"
}

@test "any host but this machine needs TLS; it is not asked for in clear text" {
	export AUTOSCALE_ALERTS=mongodb://0.0.0.0:$AS_RIG_MONGO_PORT/$db
	run -69 as-fetch-alerts
	has "$output" TLS
	AUTOSCALE_ALERTS+='?tls=off' run -0 as-fetch-alerts
}

@test "an address that cannot be used is refused by name, without its password" {
	while read -r part said; do
		AUTOSCALE_ALERTS=$part run -78 as-fetch-alerts
		has "$output" "$said"
		case $output in *hunter2*) is "$output" 'no password' ;; esac
	done <<-EOF
		mongodb+srv://as:hunter2@cluster/db name the hosts instead
		mongodb://as:hunter2@db/x?retryWrites=maybe unknown option "retryWrites"; known are tls, ca
		mongodb://as:hunter2@db/x?tls=maybe tls is required or off
		mongodb://as:hunter2@db/x?authMechanism=GUESS authMechanism is SCRAM-SHA-256
		mongodb://as:hunter2@db/x?tls=off&ca=/ca.pem mean nothing with tls=off
		mongodb://as:hunter2@db/x?tls=off&authMechanism=PLAIN it needs tls=required
		mongodb://as@db/x a user but no password
		mongodb://as:hunter2@db/a.b database's name
		mongodb://as:hunter2@db/x?ca=/nowhere/ca.pem cannot read /nowhere/ca.pem
		mongodb://as:hunter2@d%20b/x a host is a name
	EOF
}

# secure OPTIONS [HOST]: the address of the server with TLS and users
secure() { AUTOSCALE_ALERTS="mongodb://as@${2:-127.0.0.1}:$AS_RIG_MONGOTLS_PORT/as?authMechanism=SCRAM-SHA-256&$1"; }

@test "with TLS and a user: the password comes from a file, and an alert goes in and out" {
	secure "ca=$AS_RIG_MONGOTLS_CA&password-file=$AS_RIG_MONGOTLS_PASSWORD"
	alerts 1 1
	as-fetch-alerts | settle 'done' | as-ack-alerts >/dev/null
	# in the address the same password has its escapes, or only the ones it cannot do without
	for password in p%40ss%3Aw%25rd%2F%3F p@ss:w%25rd%2F%3F; do
		AUTOSCALE_ALERTS="mongodb://as:$password@localhost:$AS_RIG_MONGOTLS_PORT/as?ca=$AS_RIG_MONGOTLS_CA" run -0 as-fetch-alerts
		is "$output" ''
	done
}

@test "a wrong password is exit 77, and is shown nowhere" {
	AUTOSCALE_ALERTS="mongodb://as:hunter2@127.0.0.1:$AS_RIG_MONGOTLS_PORT/as?ca=$AS_RIG_MONGOTLS_CA" run -77 as-fetch-alerts
	has "$output" 'mongodb://as:***@127.0.0.1'
	case $output in *hunter2*) is "$output" 'no password' ;; esac
	cp "$AS_RIG_MONGOTLS_PASSWORD" "$BATS_TEST_TMPDIR/password"
	chmod 644 "$BATS_TEST_TMPDIR/password"
	secure "ca=$AS_RIG_MONGOTLS_CA&password-file=$BATS_TEST_TMPDIR/password"
	run -77 as-fetch-alerts
	has "$output" 'chmod 600'
	AUTOSCALE_ALERTS="mongodb://127.0.0.1:$AS_RIG_MONGOTLS_PORT/as?ca=$AS_RIG_MONGOTLS_CA" run -77 as-fetch-alerts
}

@test "a certificate that our CA did not sign, or of another host, is not talked to" {
	secure "ca=$AS_RIG_MONGOTLS_OTHER_CA&password-file=$AS_RIG_MONGOTLS_PASSWORD"
	run -69 as-fetch-alerts
	has "$output" TLS
	secure "password-file=$AS_RIG_MONGOTLS_PASSWORD&tls=required"
	run -69 as-fetch-alerts
	secure "ca=$AS_RIG_MONGOTLS_CA&password-file=$AS_RIG_MONGOTLS_PASSWORD" 0.0.0.0
	run -69 as-fetch-alerts
	secure "tls=off&password-file=$AS_RIG_MONGOTLS_PASSWORD"
	run -69 as-fetch-alerts
}
