# A store of each schema there ever was, with what its program wrote into it, is brought forward: nothing is lost, the
# trail still holds, and work goes on. payloads/stores/schema-N.sql are rows that programs of schema N made; whoever adds
# a schema adds the rows of the one before.

load lib

setup() { fresh; }

newest() { find "$TOP/common/store/schema" -name '*.sql' | wc -l; }

# old_store N: this test's store as a program of schema N left it.
old_store() {
	local n
	{
		echo 'begin;'
		for ((n = 1; n <= $1; n++)); do cat "$TOP"/common/store/schema/00"$n"-*.sql; done
		sed 's/^INSERT/REPLACE/' "$TOP/tests/payloads/stores/schema-$1.sql"
		echo 'commit;'
	} | sqlite3 -bail "$BATS_TEST_TMPDIR/store.db"
	chmod 600 "$BATS_TEST_TMPDIR/store.db"
}

rows() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "select count(*) from $1"; }

@test "there are rows of every schema" {
	is "$(ls "$TOP/tests/payloads/stores" | xargs)" "$(seq -f 'schema-%g.sql' "$(newest)" | xargs)"
}

@test "as-store migrate brings a store of every schema forward, once, and says so" {
	for ((v = 1; v <= $(newest); v++)); do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		old_store $v
		alerts=$(rows alert)
		is "$(as-store migrate | head -n 1 | jq -c '[.from, .to]')" "[$v,$(newest)]"
		is "$(as-store migrate | head -n 1 | jq -c '[.from, .to]')" "[$(newest),$(newest)]"
		is "$(as-store status | head -n 1 | jq -c '[.schema, .schema_known, .policies, .services, .open_operations, .history, .audit]')" \
			"[$(newest),$(newest),2,2,1,2,5]" "schema $v"
		is "$(rows alert)" "$alerts" "schema $v"
	done
}

@test "the trail of every schema still holds, and an edited row of it is still found" {
	for ((v = 1; v <= $(newest); v++)); do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		old_store $v
		is "$(as-audit --verify | jq -c '[.rows, .ok]')" '[5,true]' "schema $v"
		is "$(as-audit --history | jq -r '[.service, .outcome] | join(" ")' | sort | xargs)" 'web done web failed' "schema $v"
		sqlite3 "$BATS_TEST_TMPDIR/store.db" "update audit set actor = 'nobody' where service = 'web' and seq = 2"
		run -1 as-audit --verify
		has "$output" 'service web: row 2 was changed'
	done
}

@test "what waited is taken: alerts are claimed, policies count, promises are resumed" {
	for ((v = 1; v <= $(newest); v++)); do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		old_store $v
		is "$(as-fetch-alerts | jq -r .service | sort | xargs)" 'api web' "schema $v"
		is "$(as-policy list | jq -r '[.name, .version] | join(" ")' | sort | xargs)" 'fleet 1 web 2' "schema $v"
		as-policy set web max=6 step=2
		is "$(as-policy get web | jq -c '[.max, .version] // [.fields.max, .version]')" '[6,3]' "schema $v"
		is "$(jq -nc '{v: 1, id: "n", now: "2026-12-01T12:00:00Z", service: "api", history: {generation: 1}, plan: {op: "scale-up", from: 1,
			to: 2, create: [], start: [], remove: [], reason: "r", trace: []}}' | as-audit --intent | jq -r .intent.state)" resumed "schema $v"
	done
}

@test "--version says which versions of records and schema a program makes" {
	for c in "$AS_BIN"/as-*; do
		is "$("$c" --version)" "${c##*/} $(sed -n 's/^VERSION = //p' "$TOP/Makefile") (record $(sed -n 's/^#define RECORD_VERSION //p' \
			"$TOP/common/base/record.h"), schema $(newest))"
	done
	has "$(cat "$TOP/CHANGELOG.md")" "## $(sed -n 's/^VERSION = //p' "$TOP/Makefile") (record 1, schema $(newest))"
	is "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$TOP/debian/changelog")" "$(sed -n 's/^VERSION = //p' "$TOP/Makefile")"
}
