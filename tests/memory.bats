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

# flat SMALL LARGE: little over what it takes with few rows: the page cache of the store is 16 MiB at most, and is filled
# by many rows only. A sanitizer keeps a record beside every page of it.
flat() { [ "$2" -lt $(($1 + 18432 * (1 + ${SANITIZE:+1}+0))) ] || { echo "# $1 KiB with few rows, $2 KiB with many" >&2; return 1; }; }

@test "a claim, a list of dead letters and a look take no more memory over many stored alerts" {
	as-fetch-alerts >/dev/null # makes the store
	alerts 300 new
	alerts 300 dead
	alerts 300 'done'
	claim=$(peak as-fetch-alerts --limit 100) dead=$(peak as-fetch-alerts --dead) look=$(peak as-fetch-alerts -n)
	rm -f "$BATS_TEST_TMPDIR"/store.db*
	as-fetch-alerts >/dev/null
	for state in new dead 'done'; do alerts "${AS_ROWS:-50000}" "$state"; done
	flat "$claim" "$(peak as-fetch-alerts --limit 100)"
	flat "$dead" "$(peak as-fetch-alerts --dead)"
	flat "$look" "$(peak as-fetch-alerts -n)"
	is "$(as-fetch-alerts --dead | wc -l)" "${AS_ROWS:-50000}"
}

# trail N: N operations of the past, each with its row of the audit trail and of the history
trail() {
	sql "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO audit (service, seq, logged_at, actor, event, op_id, body, prev_hash, hash)
		SELECT 'web', i, 1000 + i / 7, 'test', 'done', 'op-' || i, '{\"v\":1,\"id\":\"x' || i || '\",\"service\":\"web\",\"pad\":\"' || hex(zeroblob(150)) || '\"}', 'p', 'h' FROM n;
		INSERT INTO autoscale_history (history_id, op_id, service, generation, alert_id, action, from_replicas, to_replicas, outcome, reason, duration_ms, audit_seq, finished_at)
		SELECT seq, op_id, service, seq, '', 'scale-up', 1, 2, 'done', 'r', 1, seq, logged_at FROM audit"
}

@test "an export of the trail or the history takes no more memory over many rows" {
	as-audit --history >/dev/null # makes the store
	trail 300
	export=$(peak as-audit --export) rows=$(peak as-audit --trail) history=$(peak as-audit --history)
	rm -f "$BATS_TEST_TMPDIR"/store.db*
	as-audit --history >/dev/null
	trail "${AS_ROWS:-50000}"
	flat "$export" "$(peak as-audit --export --outcome 'done')"
	flat "$rows" "$(peak as-audit --trail --service web)"
	flat "$history" "$(peak as-audit --history)"
	is "$(as-audit --export | wc -l)" "${AS_ROWS:-50000}"
	is "$(as-audit --export | tail -n 1 | jq -c .audit.history_id)" "${AS_ROWS:-50000}"
}
