# The same thirty cases on each kind of store give the same bytes, ids and times masked.

load lib

setup_file() {
	rig_up mariadb mongo
	export SQLITE_OUT=$BATS_FILE_TMPDIR/sqlite
	mkdir "$BATS_FILE_TMPDIR/s"
	AUTOSCALE_CONF=/dev/null AUTOSCALE_STORE=sqlite:$BATS_FILE_TMPDIR/store.db "$TOP/tests/store-cases" "$BATS_FILE_TMPDIR/s" >"$SQLITE_OUT"
}
teardown_file() { rig_down; }
setup() { fresh; }

@test "on SQLite the thirty cases run" {
	is "$(grep -c '^{"case"' "$SQLITE_OUT")" 30
	is "$(grep '"case":4,' "$SQLITE_OUT")" '{"case":4,"name":"claimed: bytes of numbers kept","status":0}'
}

@test "MariaDB for both gives the same bytes" {
	AUTOSCALE_STORE=$AS_RIG_MARIADB_URL "$TOP/tests/store-cases" "$BATS_TEST_TMPDIR" | diff "$SQLITE_OUT" - >&2
}

@test "MariaDB and a MongoDB server for the alerts give the same bytes" {
	mariadb --no-defaults -u root -S "$AS_RIG_MARIADB_SOCKET" -e "DROP DATABASE \`as\`; CREATE DATABASE \`as\`"
	AUTOSCALE_STORE=$AS_RIG_MARIADB_URL AUTOSCALE_ALERTS=$AS_RIG_MONGO_URL "$TOP/tests/store-cases" "$BATS_TEST_TMPDIR" | diff "$SQLITE_OUT" - >&2
}
