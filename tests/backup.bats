# pipelines/backup: copies of a store that is being written, proved, and brought back.

load lib

setup_file() { rig_up mariadb; }
teardown_file() { rig_down; }
setup() {
	fresh
	AT=$BATS_TEST_TMPDIR
	backup=$TOP/pipelines/backup
}
teardown() {
	local p
	for p in ${PIDS:-}; do kill "$p"; done
	sql 'DROP DATABASE IF EXISTS as_b; DROP DATABASE IF EXISTS as_b_check; DROP DATABASE IF EXISTS as_new; DROP DATABASE IF EXISTS as_spare'
}

sql() { mariadb --no-defaults -u root -S "$AS_RIG_MARIADB_SOCKET" -N -B -e "$1" "${2:-}" | tr '\t' '|'; }

# plan N: a record that decided to add a copy
plan() { echo '{"v":1,"id":"w'"$1"'","now":"2026-11-24T12:00:00Z","service":"web","history":{"generation":'"$1"'},"plan":{"op":"scale-up","from":1,"to":2,"create":[],"start":[],"remove":[],"reason":"why","trace":[]}}'; }

# something: a policy, an alert, an operation
something() {
	as-policy set web max=5 >/dev/null
	alert scale-up
	plan "${1:-0}" | as-audit --intent | as-audit >/dev/null
}

held() { as-store status | jq -cs '[.[0].policies, .[0].history, .[0].audit, .[1].waiting]'; }

@test "a copy is a store: for its owner alone, it verifies, and the line says what it holds" {
	something
	run -0 --separate-stderr "$backup" "$AT/copies"
	is "$stderr" ''
	is "$(jq -c '[.store, .schema > 0, .policies, .history, .audit, .alerts.waiting]' <<<"$output")" "[\"$AUTOSCALE_STORE\",true,1,1,$(as-store status | jq .audit//empty),1]"
	file=$(jq -r .backup <<<"$output")
	is "$(stat -c '%a %s' "$file")" "600 $(jq .bytes <<<"$output")"
	is "$(ls "$AT/copies")" "${file##*/}" 'nothing else is left there'
	AUTOSCALE_STORE=sqlite:$file run -0 as-audit --verify
}

@test "copies that are made while others write are whole, each of one moment" {
	something
	(exec >/dev/null 3>&- && for ((i = 1; i < 500; i++)); do plan "$i" | as-audit --intent | as-audit; done) &
	PIDS=$!
	for _ in 1 2 3 4 5; do
		before=$(as-store status | jq '.audit // empty')
		run -0 "$backup" "$AT/copies"
		[ "$(jq .audit <<<"$output")" -ge "$before" ]
		[ "$(jq .audit <<<"$output")" -le "$(as-store status | jq '.audit // empty')" ]
	done
	kill -0 "$PIDS" # it wrote all the time
}

@test "a trail that was changed is no backup: 1, the file is not kept" {
	something
	sqlite3 "$AT/store.db" "update audit set body = replace(body, 'why', 'because')"
	run -1 "$backup" "$AT/copies"
	has "$output" 'no whole store'
	is "$(ls "$AT/copies")" ''
}

@test "--keep leaves the newest, and lets others' files be" {
	something
	mkdir "$AT/copies"
	echo mine >"$AT/copies/autoscale-notes.db"
	for _ in 1 2 3 4; do last=$("$backup" --keep 2 "$AT/copies" | jq -r .backup); done
	is "$(ls "$AT/copies" | wc -l)" 3
	[ -f "$last" ] && [ -f "$AT/copies/autoscale-notes.db" ]
	run -64 "$backup" --keep 0 "$AT/copies"
	run -64 "$backup"
}

@test "a restore brings all of it back, and what was there stays beside it" {
	something
	was=$(held)
	file=$("$backup" "$AT/copies" | jq -r .backup)
	something 1
	as-policy set other max=2
	[ "$(held)" != "$was" ]
	run -0 --separate-stderr "$backup" --restore "$file"
	is "$(jq -c '[.restored, .policies]' <<<"$output")" "[\"$file\",1]"
	is "$(held)" "$was"
	old=${stderr##* is }
	is "$(sqlite3 "$old" 'select count(*) from autoscale_policy')" 2
	something 1 # and it goes on from there
	run -0 as-audit --verify
}

@test "a restore into a store that somebody has open is refused, and so is what is no store" {
	something
	file=$("$backup" "$AT/copies" | jq -r .backup)
	mkfifo "$AT/hold"
	sqlite3 "$AT/store.db" <"$AT/hold" >"$AT/held" 3>&- &
	PIDS=$!
	exec 7>"$AT/hold"
	echo 'select count(*) from audit;' >&7 # and then it only stays
	eventually 5 test -s "$AT/held"
	run -75 "$backup" --restore "$file"
	has "$output" 'in use'
	exec 7>&-
	echo 'this is no database, and it is long enough to be looked at' >"$AT/no.db"
	run -1 "$backup" --restore "$AT/no.db"
	is "$(held)" "$(AUTOSCALE_STORE=sqlite:$file held)"
}

@test "MariaDB: a dump that is proved in a database of its own, and loaded into an empty one" {
	sql 'CREATE DATABASE as_b; CREATE DATABASE as_new'
	export AUTOSCALE_STORE=mysql://as@localhost/as_b?socket=$AS_RIG_MARIADB_SOCKET
	something
	was=$(held)
	run -0 --separate-stderr "$backup" "$AT/copies"
	is "$stderr" ''
	is "$(jq -c '[.policies, .history, .alerts.waiting]' <<<"$output")" '[1,1,1]'
	file=$(jq -r .backup <<<"$output")
	is "$(sql 'show databases' | grep -c '^as_b')" 1 'what it was proved in is gone'
	run -78 "$backup" --restore "$file"
	has "$output" 'holds something'
	export AUTOSCALE_STORE=mysql://as@localhost/as_new?socket=$AS_RIG_MARIADB_SOCKET
	run -0 "$backup" --restore "$file"
	is "$(held)" "$was"
	run -0 as-audit --verify
}

@test "MariaDB while others write, over TLS, with a password from a file, proved in the database that AS_CHECK names" {
	sql "CREATE DATABASE as_b; CREATE DATABASE as_spare; CREATE OR REPLACE USER saver@'127.0.0.1' IDENTIFIED BY 'a\"b c%';
		GRANT ALL ON as_b.* TO saver@'127.0.0.1'; GRANT ALL ON as_spare.* TO saver@'127.0.0.1'"
	(umask 077 && echo 'a"b c%' >"$AT/pass")
	export AUTOSCALE_STORE="mysql://saver@127.0.0.1:$AS_RIG_MARIADB_PORT/as_b?tls=required&ca=$AS_RIG_MARIADB_CA&password-file=$AT/pass"
	something
	(exec >/dev/null 3>&- && for ((i = 1; i < 500; i++)); do plan "$i" | as-audit --intent | as-audit; done) &
	PIDS=$!
	run -77 "$backup" "$AT/copies"
	has "$output" AS_CHECK
	AS_CHECK=as_spare run -0 "$backup" "$AT/copies"
	kill -0 "$PIDS"
	is "$(sql 'show tables' as_spare)" ''
	is "$(ls "$AT/copies" | wc -l)" 1
	run ! grep -rF 'a"b c' "$AT/copies"
}
