# What a crash leaves: the whole line killed at each point, then one more pass, on a real engine and a real HAProxy.
# AS_KILLS: how many alerts up, and as many down, at each point of the crash table (1), and how often each acting
# command dies (2).

load lib

setup_file() { rig_up docker haproxy mariadb mongo; }
teardown_file() { rig_down; }
setup() { fresh; }

# crashed OPTIONS...: the whole table; every pass really died
crashed() {
	run -0 "$TOP/tests/faults/crash-table" --count "${AS_KILLS:-1}" "$@"
	is "$(tail -n 2 <<<"$output" | head -n 1)" "# $((16 * ${AS_KILLS:-1})) passes of $((16 * ${AS_KILLS:-1})) died by kill -9"
}

@test "kill -9 after each row of the crash table, on SQLite: every alert acted once, and the trail says so" { crashed; }

@test "the same with the alerts in MongoDB and the rest in MariaDB" {
	crashed --store "$AS_RIG_MARIADB_URL" --alerts "$AS_RIG_MONGO_URL"
}

# killed COMMAND: at random moments of ten copies made, removed or started
killed() {
	run -0 "$TOP/tests/faults/kill-acting" --kills "${AS_KILLS:-2}" "$1"
	has "$output" "# $1: died ${AS_KILLS:-2} times in "
}

@test "kill -9 of as-clone at random moments of ten copies, then one more pass: eleven containers, each once" { killed as-clone; }
@test "kill -9 of as-remove at random moments of ten removals, then one more pass: the original alone" { killed as-remove; }
@test "kill -9 of as-lb-update at random moments of ten entries, then one more pass: entries are containers" { killed as-lb-update; }
@test "kill -9 of as-start at random moments of eleven starts, then one more pass: eleven run" { killed as-start; }
