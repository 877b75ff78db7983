# Memory does not grow with what the store holds. AS_ROWS: how many rows (50000); a million is the promise.

load lib

setup() { fresh; }

sql() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "$1"; }

# peak COMMAND...: the most memory it had, in KiB; its output is dropped
peak() { command time -f %M -o "$BATS_TEST_TMPDIR/peak" "$@" >/dev/null && cat "$BATS_TEST_TMPDIR/peak"; }

# alerts N STATE: puts N alerts of this state into the store, behind the programs' back
alerts() {
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO alert (alert_id, dedup, rearm, service, source, status, state, received_at, due, attempts, seen, body)
		SELECT '$2-' || i, '$2-' || i, 0, 'web', 'test', 'firing', '$2', 1000 + i, CASE '$2' WHEN 'new' THEN 1000 + i END, 0, 1,
			'{\"id\":\"$2-' || i || '\",\"service\":\"web\",\"action\":\"scale-up\",\"labels\":{\"pad\":\"' || hex(zeroblob(150)) || '\"}}' FROM n"
}

# flat SMALL LARGE: 2 MiB over what it takes with few rows, for the database's page cache
flat() { [ "$2" -lt $(($1 + ${PAGES:-2048})) ] || { echo "# $1 KiB with few rows, $2 KiB with many" >&2; return 1; }; }

@test "a claim, a list of dead letters and a look take no more memory over many stored alerts" {
	as-fetch-alerts >/dev/null # makes the store
	alerts 300 new
	alerts 300 dead
	alerts 300 'done'
	claim=$(peak as-fetch-alerts --limit 100) dead=$(peak as-fetch-alerts --dead) look=$(peak as-fetch-alerts -n)
	rm -f "$BATS_TEST_TMPDIR"/store.db*
	as-fetch-alerts >/dev/null
	for state in new dead 'done'; do alerts "${AS_ROWS:-50000}" "$state"; done
	# the page cache of the store is 16 MiB at most, and is filled by many rows only
	PAGES=18432 flat "$claim" "$(peak as-fetch-alerts --limit 100)"
	PAGES=18432 flat "$dead" "$(peak as-fetch-alerts --dead)"
	PAGES=18432 flat "$look" "$(peak as-fetch-alerts -n)"
	is "$(as-fetch-alerts --dead | wc -l)" "${AS_ROWS:-50000}"
}
