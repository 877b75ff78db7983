# The stores in MySQL and MariaDB. The server is MariaDB.

load lib

setup_file() { rig_up mariadb; }
teardown_file() { rig_down; }

# Each test finds an empty database of its own.
setup() {
	fresh
	sql "DROP DATABASE IF EXISTS as_test; CREATE DATABASE as_test"
	export AUTOSCALE_STORE=mysql://as@localhost/as_test?socket=$AS_RIG_MARIADB_SOCKET
}

# sql TEXT: the rows, columns parted by |, as the administrator sees them
sql() { mariadb --no-defaults -u root -S "$AS_RIG_MARIADB_SOCKET" -N -B -e "$1" "${2:-}" | tr '\t' '|'; }

@test "alerts and policies are kept in MariaDB, and the tables are made at first use" {
	alert up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'
	alert up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'
	is "$(sql 'select count(*), max(seen) from alert' as_test)" '1|2'
	is "$(as-fetch-alerts | jq -c '[.service, .claim.attempt]')" '["web",1]'
	as-policy set web max=5
	is "$(as-policy get web | jq -c '[.version, .max]')" '[1,5]'
}
