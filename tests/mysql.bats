# The stores in MySQL and MariaDB. The servers are MariaDB: one with TLS, and one without.

load lib

setup_file() { MARIADB2_ARGS=--skip-ssl rig_up mariadb mariadb2; }
teardown_file() { rig_down; }

# Each test finds an empty database of its own, on either server.
setup() {
	fresh
	sql "DROP DATABASE IF EXISTS as_test; CREATE DATABASE as_test"
	export AUTOSCALE_STORE=mysql://as@localhost/as_test?socket=$AS_RIG_MARIADB_SOCKET
	TCP=127.0.0.1:$AS_RIG_MARIADB_PORT/as_test
}

teardown() { ! mountpoint -q "$AS_RIG/mariadb2/as_full" || umount -l "$AS_RIG/mariadb2/as_full"; }

# sql TEXT [DATABASE]: the rows, columns parted by |, as the administrator sees them; sql2 on the second server
sql() { mariadb --no-defaults -u root -S "$AS_RIG_MARIADB_SOCKET" -N -B -e "$1" "${2:-}" | tr '\t' '|'; }
sql2() { mariadb --no-defaults -u root -S "$AS_RIG_MARIADB2_SOCKET" -N -B -e "$1" "${2:-}" | tr '\t' '|'; }
second() {
	sql2 "DROP DATABASE IF EXISTS as_test; CREATE DATABASE as_test"
	export AUTOSCALE_STORE=mysql://as@localhost/as_test?socket=$AS_RIG_MARIADB2_SOCKET
}

# again SERVER: starts it once more
again() { (. "$TOP/tests/rig/lib.sh" && . "$TOP/tests/rig/mariadb.sh" && rig_use "$AS_RIG" && mariadb_again "$1"); }

# units PROGRAM: an untidy result of a unit test is shown
units() { "${AS_BUILD:-$TOP/build}/unit/$1" >"$BATS_TEST_TMPDIR/tap" || { grep -A3 '^not ok\|^Bail' "$BATS_TEST_TMPDIR/tap" >&2; return 1; }; }

# plan GENERATION: a record that decided to add a copy
plan() { echo '{"v":1,"id":"w","now":"2026-11-24T12:00:00Z","service":"web","history":{"generation":'"$1"'},"plan":{"op":"scale-up","from":1,"to":2,"create":[],"start":[],"remove":[],"reason":"why","trace":[]}}'; }

# within MS COMMAND...: it takes no longer
within() {
	local limit=$1 start=${EPOCHREALTIME/./} took status=0
	shift
	"$@" || status=$?
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	[ "$took" -le "$limit" ] || { echo "# took $took ms, not $limit"; return 1; }
	return $status
}

# --- the commands on it ---

@test "an alert is stored once, claimed once, given back, and a dead letter in the end" {
	for _ in 1 2 3; do alert up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'; done
	is "$(sql 'select count(*), max(seen) from alert' as_test)" '1|3'
	for i in 1 2 3 4 5; do
		is "$(as-fetch-alerts | tee "$BATS_TEST_TMPDIR/r" | jq -c '[.service, .claim.attempt]')" "[\"web\",$i]"
		is "$(as-fetch-alerts)" ''
		jq -c '.audit = {outcome: "failed"} | .error = {stage: "as-clone", code: "unavailable", message: "engine is down", retry: true}' "$BATS_TEST_TMPDIR/r" | as-ack-alerts >/dev/null
		sql 'update alert set due = 1 where due is not null' as_test
	done
	is "$(as-fetch-alerts --dead | jq -c '[.attempts, .error]')" '[5,"engine is down"]'
}

@test "as-policy check makes no tables, and compares with the policies where there are some" {
	run -0 as-policy check <<<'{"name":"web","max":3}'
	is "$output" ''
	is "$(sql 'show tables' as_test)" ''
	as-policy set all service='*' priority=9 max=4
	run -1 as-policy check <<<'{"name":"web","max":3}'
	is "$output" '-:1: web: it never wins: all that it sets is set by policy all'
}

@test "the trail: an intent is resumed, done once, told in history, and the chain is verified" {
	plan 0 | as-audit --intent >"$BATS_TEST_TMPDIR/r"
	is "$(plan 0 | as-audit --intent | jq -r .intent.state)" resumed
	as-audit <"$BATS_TEST_TMPDIR/r" >/dev/null
	as-audit <"$BATS_TEST_TMPDIR/r" >/dev/null
	is "$(as-audit --history | jq -c '[.service, .action, .outcome, .generation]')" '["web","scale-up","done",1]'
	is "$(plan 0 | as-audit --intent | jq -r .intent.state)" deferred
	is "$(as-audit --verify | jq -c .)" '{"rows":2,"ok":true}'
	sql "update audit set body = replace(body, 'why', 'because') where seq = 2" as_test
	run -1 as-audit --verify
	has "$output" 'service web: row 2 was changed'
}

@test "policies with versions, and upkeep that leaves the chain whole" {
	as-policy set web max=5
	as-policy set web max=6
	is "$(as-policy get web | jq -c '[.version, .max]')" '[2,6]'
	run -1 as-policy set web --expect 1 max=7
	is "$(as-policy history web | jq -c '[.version, .max]' | tr '\n' ' ')" '[1,5] [2,6] '
	for g in 0 1 2; do plan $g | as-audit --intent | as-audit >/dev/null; done
	as-store status >"$BATS_TEST_TMPDIR/status"
	is "$(jq -c 'select(.store) | [.policies, .operations, .history, .audit]' "$BATS_TEST_TMPDIR/status")" '[1,3,3,6]'
	run -0 as-store prune --older-than 0s
	is "$(sql 'select count(*) from autoscale_history' as_test)" 0
	is "$(as-audit --verify | jq -c .ok)" true
}

@test "six first openers at once make the tables once; six first writers of one service all are told" {
	pids=
	for i in 1 2 3 4 5 6; do (as-policy set "p$i" max=2 && as-audit <<<"{\"v\":1,\"id\":\"w$i\",\"now\":\"2026-11-24T12:00:00Z\",\"service\":\"web\",\"plan\":{\"op\":\"none\",\"reason\":\"r$i\"}}") >/dev/null 3>&- & pids="$pids $!"; done
	for pid in $pids; do wait "$pid"; done
	is "$(sql 'select count(*) from schema_version' as_test)" 4
	is "$(sql 'select count(*) from autoscale_policy' as_test)" 6
	is "$(as-audit --verify | jq -c .)" '{"rows":6,"ok":true}'
}

# --- units ---

@test "the queue does on MariaDB what it does on every store" {
	AS_TEST_ALERTS=mysql://as@localhost/asNAME?socket=$AS_RIG_MARIADB_SOCKET units alerts_cases_test
}

@test "the store does on MariaDB what it does on every store" {
	AS_TEST_STORE=mysql://as@localhost/asNAME?socket=$AS_RIG_MARIADB_SOCKET units store_test
}

@test "what was seen of containers is kept on MariaDB as on every store" {
	AS_TEST_STORE=mysql://as@localhost/asNAME?socket=$AS_RIG_MARIADB_SOCKET units seen_test
}

@test "the trail does on MariaDB what it does on every store" {
	AS_TEST_STORE=mysql://as@localhost/asNAME?socket=$AS_RIG_MARIADB_SOCKET units trail_test
}

@test "eight processes claim each alert once, also when they are killed (AS_STORM=40000 for the full count)" {
	AS_TEST_ALERTS=mysql://as@localhost/asNAME?socket=$AS_RIG_MARIADB_SOCKET units alerts_test
}

@test "results of any size, lost connections, deadlocks, a server that hangs: what a server alone can show" {
	AS_TEST_STORE="mysql://as@127.0.0.1:$AS_RIG_MARIADB_PORT/asNAME?tls=required&ca=$AS_RIG_MARIADB_CA" AS_TEST_SERVER=$AS_RIG_MARIADB_PID units mysql_test
}

# --- who it is, and who may listen ---

@test "TLS that is asked for, a server that has none: exit 69, and no query was sent" {
	second
	sql2 "SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = 1"
	AUTOSCALE_STORE=mysql://as@127.0.0.1:$AS_RIG_MARIADB2_PORT/as_test?tls=required run -69 as-policy list
	has "$output" 'mysql://as@127.0.0.1'
	has "$output" 'speaks no TLS'
	AUTOSCALE_STORE=mysql://as@0x7f000001:$AS_RIG_MARIADB2_PORT/as_test run -69 as-policy list
	has "$output" 'speaks no TLS'
	is "$(sql2 "select count(*) from mysql.general_log where command_type in ('Query', 'Prepare', 'Execute') and user_host not like 'root%'")" 0
	AUTOSCALE_STORE=mysql://as@0x7f000001:$AS_RIG_MARIADB2_PORT/as_test?tls=off run -0 as-policy list
	is "$(sql2 "select count(*) > 0 from mysql.general_log where command_type = 'Query' and user_host not like 'root%'")" 1 'the log would have shown it'
	sql2 "SET GLOBAL general_log = 0"
	AUTOSCALE_ALERTS=mysql://as@127.0.0.1:$AS_RIG_MARIADB2_PORT/as_test?tls=required run -69 as-ingest <<<'{"service":"web","action":"up"}'
}

@test "for any host but this machine TLS is required and checked; here, where it is asked for" {
	sql "CREATE USER IF NOT EXISTS as_tls@'127.0.0.1' REQUIRE SSL; GRANT ALL ON as_test.* TO as_tls@'127.0.0.1'"
	url=mysql://as_tls@0x7f000001:$AS_RIG_MARIADB_PORT/as_test
	AUTOSCALE_STORE=$url?ca=$AS_RIG_MARIADB_CA run -0 as-policy list
	AUTOSCALE_STORE=$url SSL_CERT_FILE=$AS_RIG_MARIADB_CA run -0 as-policy list
	AUTOSCALE_STORE=$url run -77 as-policy list
	has "$output" 'look at ca='
	AUTOSCALE_STORE=$url?tls=off run -77 as-policy list
	has "$output" 'Access denied'
	AUTOSCALE_STORE=mysql://as_tls@$TCP run -77 as-policy list
	AUTOSCALE_STORE="mysql://as_tls@$TCP?tls=required&ca=$AS_RIG_MARIADB_CA" run -0 as-policy list
	AUTOSCALE_STORE="mysql://as_tls@$TCP?tls=required" run -77 as-policy list
}

@test "a certificate for another name is refused" {
	url=mysql://as@0x7f.1:$AS_RIG_MARIADB_PORT/as_test
	AUTOSCALE_STORE=$url?tls=off run -0 as-policy list
	AUTOSCALE_STORE=$url?ca=$AS_RIG_MARIADB_CA run -77 as-policy list
	has "$output" 'look at ca='
}

@test "a client certificate is shown where the server asks for one" {
	dir=$BATS_TEST_TMPDIR
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=as -keyout "$dir/key.pem" -out "$dir/csr" 2>/dev/null
	openssl x509 -req -in "$dir/csr" -CA "$AS_RIG_MARIADB_CA" -CAkey "${AS_RIG_MARIADB_CA%.pem}.key" -CAcreateserial -days 2 -out "$dir/cert.pem" 2>/dev/null
	sql "CREATE USER IF NOT EXISTS as_cert@'127.0.0.1' REQUIRE X509; GRANT ALL ON as_test.* TO as_cert@'127.0.0.1'"
	AUTOSCALE_STORE="mysql://as_cert@$TCP?tls=required&ca=$AS_RIG_MARIADB_CA" run -77 as-policy list
	AUTOSCALE_STORE="mysql://as_cert@$TCP?tls=required&ca=$AS_RIG_MARIADB_CA&cert=$dir/cert.pem&key=$dir/key.pem" run -0 as-policy list
}

@test "passwords: from the URL, a file, or the client's own; a wrong one is 77; none is in a message or an argument" {
	sql "CREATE OR REPLACE USER as_pw@'127.0.0.1' IDENTIFIED BY 'can@ry:1'; GRANT ALL ON as_test.* TO as_pw@'127.0.0.1'"
	AUTOSCALE_STORE=mysql://as_pw:can%40ry%3A1@$TCP run -0 as-policy list
	AUTOSCALE_STORE=mysql://as_pw:can@ryy:1@$TCP run -77 as-policy list
	has "$output" 'mysql://as_pw:***@127.0.0.1'
	run -1 grep -e ry -e can <<<"$output"
	printf 'can@ry:1\n' >"$BATS_TEST_TMPDIR/pw"
	chmod 600 "$BATS_TEST_TMPDIR/pw"
	AUTOSCALE_STORE=mysql://as_pw@$TCP?password-file=$BATS_TEST_TMPDIR/pw run -0 as-policy list
	printf '[client]\nhost=127.0.0.1\nport=%s\n[as-tools]\nuser=as_pw\npassword="can@ry:1"\ninit-command=DROP TABLE alert\n' "$AS_RIG_MARIADB_PORT" >"$BATS_TEST_TMPDIR/my.cnf"
	chmod 600 "$BATS_TEST_TMPDIR/my.cnf"
	export AUTOSCALE_STORE="mysql:///as_test?defaults-file=$BATS_TEST_TMPDIR/my.cnf&group=as-tools"
	run -0 as-policy list
	is "$(sql 'select count(*) from alert' as_test)" 0 'what else stands there is not for us'
	chmod 644 "$BATS_TEST_TMPDIR/my.cnf"
	run -77 as-policy list
	has "$output" 'chmod 600'
	run -1 grep canary <<<"$output"
	AUTOSCALE_STORE=mysql://as_pw:can%40ry%3A1@$TCP as-fetch-alerts --follow >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	eventually 5 bash -c "[ \"\$($(declare -f sql); AS_RIG_MARIADB_SOCKET=$AS_RIG_MARIADB_SOCKET sql \"select count(*) > 0 from information_schema.processlist where user = 'as_pw'\")\" = 1 ]"
	is "$(tr '\0' ' ' <"/proc/$pid/cmdline")" 'as-fetch-alerts --follow '
	kill "$pid"
	wait "$pid" || true
}

@test "a configuration file that holds a password is for its owner alone to read" {
	sql "CREATE OR REPLACE USER as_pw@'127.0.0.1' IDENTIFIED BY 'canary'; GRANT ALL ON as_test.* TO as_pw@'127.0.0.1'"
	unset AUTOSCALE_STORE
	printf '[store]\nstore = mysql://as_pw:canary@%s\n' "$TCP" >"$AUTOSCALE_CONF"
	for mode in 640 604 644; do
		chmod $mode "$AUTOSCALE_CONF"
		run -78 as-policy list
		has "$output" "$AUTOSCALE_CONF:2: "
		has "$output" 'chmod 600'
		run -1 grep canary <<<"$output"
	done
	chmod 600 "$AUTOSCALE_CONF"
	run -0 as-policy list
	printf '[store]\nstore = mysql://as_pw@%s\n' "$TCP" >"$AUTOSCALE_CONF"
	chmod 644 "$AUTOSCALE_CONF"
	run -77 as-policy list
	has "$output" 'Access denied'
}

@test "what the URL asks for is known, or refused before a server is asked" {
	AUTOSCALE_STORE=mysql://as:canary@$TCP?tls=off\&sslmode=x run -78 as-policy list
	has "$output" '"sslmode"; known are tls, ca, cert, key, socket, group, defaults-file, password-file'
	AUTOSCALE_STORE=mysql://as:canary@$TCP?tls=maybe run -78 as-policy list
	has "$output" 'tls is "required" or "off"'
	AUTOSCALE_STORE=mysql://as:canary@127.0.0.1:$AS_RIG_MARIADB_PORT run -78 as-policy list
	has "$output" 'name a database'
	AUTOSCALE_STORE=mysql://as:canary@a,b/as run -78 as-policy list
	has "$output" 'one host'
	run -1 grep canary <<<"$output"
	AUTOSCALE_STORE=mysql://as@${TCP}_nosuch run -78 as-policy list
	has "$output" 'CREATE DATABASE'
	AUTOSCALE_STORE=mysql://as@${TCP%/*}/other run -77 as-policy list
	has "$output" GRANT
}

# --- servers in trouble ---

@test "no server: 69 at once; a sender is told to come again; one that hangs is given up soon" {
	AUTOSCALE_STORE=mysql://as@127.0.0.1:1/as run -69 within 1000 as-policy list
	has "$output" 'mysql://as@127.0.0.1:1/as: '
	AUTOSCALE_STORE=mysql://as@127.0.0.1:1/as run -75 within 3000 as-ingest <<<'{"service":"web","action":"up"}'
	as-policy list
	kill -STOP "$AS_RIG_MARIADB_PID"
	run within 2500 as-policy list
	status1=$status output1=$output
	run within 3000 as-ingest <<<'{"service":"web","action":"up"}'
	kill -CONT "$AS_RIG_MARIADB_PID"
	is "$status1" 69
	has "$output1" 'does not answer'
	is "$status" 75
	is "$(sql 'select count(*) from alert' as_test)" 0
}

@test "a server that has no connection left: 75, try again" {
	second
	as-policy list
	sql2 'SET GLOBAL max_connections = 10'
	pids=
	refused() { # one more that stays, until there is no room
		mariadb --no-defaults -u as -S "$AS_RIG_MARIADB2_SOCKET" -e 'DO SLEEP(20)' as 2>/dev/null 3>&- &
		pids="$pids $!"
		as-policy list >"$BATS_TEST_TMPDIR/out" 2>&1
		[ $? -eq 75 ]
	}
	eventually 10 refused
	kill $pids 2>/dev/null || true
	wait $pids || true
	eventually 5 mariadb --no-defaults -u root -S "$AS_RIG_MARIADB2_SOCKET" -e 'SET GLOBAL max_connections = 151'
	has "$(cat "$BATS_TEST_TMPDIR/out")" 'raise max_connections'
	eventually 5 as-policy list
}

@test "a server that is read-only: 69, said as such, and nothing is half done" {
	second
	alert up
	sql2 'SET GLOBAL read_only = 1'
	run as-policy set web max=5
	status1=$status output1=$output
	run as-fetch-alerts
	sql2 'SET GLOBAL read_only = 0'
	is "$status1" 69
	has "$output1" 'the server is read-only: name the one that takes writes'
	is "$status" 69
	is "$(sql2 'select state, attempts from alert' as_test)" 'new|0'
	is "$(as-fetch-alerts | jq .claim.attempt)" 1
}

@test "a server whose disk is full: the sender is told to come again; what was stored is whole, and it goes on once there is room" {
	sql2 'CREATE DATABASE as_full'
	mount -t tmpfs -o size=8m tmpfs "$AS_RIG/mariadb2/as_full" || skip 'needs the right to mount'
	export AUTOSCALE_STORE=mysql://as@localhost/as_full?socket=$AS_RIG_MARIADB2_SOCKET
	for i in 1 2 3; do alert up "{\"id\": \"a$i\"}"; done
	jq -nc 'range(4000) | {service: "web", action: "up", labels: {pad: ("x" * 1500)}}' >"$BATS_TEST_TMPDIR/in"
	run -75 as-ingest <"$BATS_TEST_TMPDIR/in"
	has "$output" 'mysql://as@localhost/as_full'
	has "$output" "no room on the server's disk: free space there"
	is "$(sql2 "select count(*) >= 3 and min(state) = 'new' and max(state) = 'new' and sum(length(body) > 20) = count(*) from alert" as_full)" 1
	mount -o remount,size=64m "$AS_RIG/mariadb2/as_full"
	as-ingest <"$BATS_TEST_TMPDIR/in"
	is "$(sql2 'select count(*) >= 4003 from alert' as_full)" 1
	is "$(as-fetch-alerts --limit 3 | wc -l)" 3
}

@test "a store of a newer program: 78, and it is left as it is" {
	as-policy set web max=5
	sql "insert into schema_version values (99, '099-later', 'x', 1)" as_test
	run -78 as-policy set web max=6
	has "$output" 'upgrade the program'
	is "$(sql 'select version, fields from autoscale_policy' as_test)" '1|{"max":5}'
	is "$(sql 'select max(version) from schema_version' as_test)" 99
}

# as_001: the store as the first program left it
as_001() {
	sql 'DROP TABLE autoscale_policy_version; DROP TABLE audit_start; ALTER TABLE alert DROP COLUMN raw, DROP COLUMN raw_sha256;
		ALTER TABLE container DROP COLUMN copy_index; ALTER TABLE container_spec DROP COLUMN removal, DROP COLUMN missing_at; DELETE FROM schema_version WHERE version > 1' as_test
}

@test "a store of an older program is brought up to date with its rows, also after a program that died half way" {
	as-policy set web max=5
	alert up '{"id": "a1"}'
	made=$(mariadb-dump --no-defaults -u root -S "$AS_RIG_MARIADB_SOCKET" --no-data --skip-comments as_test | sed 's/ AUTO_INCREMENT=[0-9]*//')
	for half in '' 'ALTER TABLE alert ADD COLUMN raw MEDIUMTEXT NULL' \
		'ALTER TABLE alert ADD COLUMN raw MEDIUMTEXT NULL; ALTER TABLE alert ADD COLUMN raw_sha256 VARCHAR(64) NULL;
		CREATE TABLE audit_start (service VARCHAR(64) NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash VARCHAR(64) NOT NULL, pruned_at BIGINT NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin' 'ALTER TABLE container ADD COLUMN copy_index BIGINT NULL'; do
		as_001
		[ -z "$half" ] || sql "$half" as_test
		is "$(as-policy get web | jq -c '[.version, .max]')" '[1,5]'
		is "$(sql 'select max(version) from schema_version' as_test)" 4
		is "$(sql 'select name, version, fields from autoscale_policy_version' as_test)" 'web|1|{"max":5}'
		is "$(mariadb-dump --no-defaults -u root -S "$AS_RIG_MARIADB_SOCKET" --no-data --skip-comments as_test | sed 's/ AUTO_INCREMENT=[0-9]*//')" "$made"
	done
	is "$(as-fetch-alerts | jq -r .id)" a1
}

@test "the server is killed and started again in the midst of claims: none is half claimed, all are done in the end" {
	jq -nc 'range(150) | {service: "web", action: "up", id: "a\(.)"}' | as-ingest
	cat >"$BATS_TEST_TMPDIR/worker" <<-'END'
		until [ -e "$0.stop" ]; do
			as-fetch-alerts --limit 4 --lease 1s 2>>"$0.err" | jq -c '.audit = {outcome: "done"}' | as-ack-alerts >/dev/null 2>>"$0.err"
		done
	END
	for _ in 1 2 3; do bash "$BATS_TEST_TMPDIR/worker" 3>&- & pids="${pids:-} $!"; done
	eventually 5 bash -c "[ \"\$($(declare -f sql); sql \"select count(*) > 10 from alert where state = 'done'\" as_test)\" = 1 ]"
	kill -9 "$AS_RIG_MARIADB_PID"
	eventually 5 bash -c "! kill -0 $AS_RIG_MARIADB_PID 2>/dev/null"
	again mariadb
	is "$(sql "select count(*) from alert where (state = 'claimed') <> (lease_token is not null) or (state = 'claimed' and (attempts < 1 or due is null))" as_test)" 0
	eventually 20 bash -c "[ \"\$($(declare -f sql); sql \"select count(*) from alert where state = 'done'\" as_test)\" = 150 ]"
	touch "$BATS_TEST_TMPDIR/worker.stop"
	wait $pids
	grep -q 'is the server up' "$BATS_TEST_TMPDIR/worker.err"
}

@test "--follow outlives its server" {
	as-fetch-alerts --follow >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	pid=$!
	alert up '{"id": "before"}'
	eventually 5 grep -q before "$BATS_TEST_TMPDIR/out"
	server=$(cat "$AS_RIG/mariadb.pid")
	kill "$server"
	eventually 10 bash -c "! kill -0 $server 2>/dev/null"
	again mariadb
	alert up '{"id": "after"}'
	eventually 15 grep -q after "$BATS_TEST_TMPDIR/out"
	kill "$pid"
	wait "$pid" || true
}

@test "a host whose clock is an hour off takes no live lease, and what it takes in is due at once" {
	export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
	alert up '{"id": "a1"}'
	is "$(as-fetch-alerts | jq -r .id)" a1
	is "$(faketime -f +1h date +%s | cut -c1-7)" "$(date -d '+1 hour' +%s | cut -c1-7)"
	is "$(faketime -f +1h as-fetch-alerts)" '' 'the lease is the server'"'"'s'
	faketime -f +1h as-ingest <<<'{"service":"web","action":"up","id":"a2"}'
	is "$(as-fetch-alerts | jq -r .id)" a2
	faketime -f -1h as-fetch-alerts --lease 100ms >/dev/null
	is "$(sql 'select count(*) from alert where attempts = 1' as_test)" 2
}
