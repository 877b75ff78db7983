# The alert queue in MongoDB, through the built commands. The server is SecantusDB, which speaks its protocol
# (rig/mongo.sh); the same cases hold on any store that AUTOSCALE_ALERTS names.

load lib

setup_file() { rig_up mongo; }
teardown_file() { rig_down; }

setup() {
	fresh
	db=t$BATS_TEST_NUMBER
	export AUTOSCALE_ALERTS=mongodb://127.0.0.1:$AS_RIG_MONGO_PORT/$db
}

# units PROGRAM: an untidy result of a unit test is shown.
units() { "${AS_BUILD:-$TOP/build}/unit/$1" >"$BATS_TEST_TMPDIR/tap" || { grep -A3 '^not ok\|^Bail' "$BATS_TEST_TMPDIR/tap" >&2; return 1; }; }

@test "the queue does on MongoDB what it does on every store" {
	AS_TEST_ALERTS=mongodb://127.0.0.1:$AS_RIG_MONGO_PORT/NAME units alerts_cases_test
}
