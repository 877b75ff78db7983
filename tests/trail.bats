# The trail: who decided what and why, who changed a policy, and that nobody changed the story, also after a pruning.

load lib

setup() { fresh; }

sql() { sqlite3 -cmd '.timeout 10000' "$BATS_TEST_TMPDIR/store.db" "$1"; }

# operation SERVICE GENERATION [OUTCOME]: an operation planned on this generation, and its end, done or failed
operation() {
	jq -nc --arg s "$1" --argjson g "$2" '{v: 1, id: "x", now: "2026-11-24T12:00:00Z", service: $s, history: {generation: $g},
		plan: {op: "scale-up", from: 1, to: 2, create: [], start: [], remove: [], reason: "r", trace: []}}' | as-audit --intent |
		jq -c --arg o "${3:-done}" 'if $o == "failed" then .error = {stage: "as-clone", code: "conflict", message: "no", retry: false} else . end' |
		as-audit >/dev/null
}

@test "export gives records that can be decided again, each with its place in the trail" {
	operation web 0
	operation web 1 failed
	run -0 as-audit --export
	is "$(jq -c '[.v, .service, .plan.op, .audit.outcome, .audit.seq, (.audit.history_id | type), (.audit.hash | length)]' <<<"$output" | tr '\n' ' ')" \
		'[1,"web","scale-up","done",2,"number",64] [1,"web","scale-up","failed",4,"number",64] '
	is "$(as-audit --export | as-decide 2>/dev/null | jq -r '.plan | type' | sort -u)" object
}

@test "export keeps what a decision reads, and neither addresses nor the values of an environment" {
	rec='{"v":1,"id":"x","now":"2026-11-24T12:00:00Z","service":"web","observed":{"running":1,"hosts":[{"name":"local","ok":true,"message":""}],"containers":[{"id":"c1","name":"web","host":"local","state":"running","ready":true,"labels":{"autoscale.max":"3","secret":"canary"},"addresses":{"bridge":"10.0.0.9"}}],"template":{"id":"c1","labels":{"autoscale.max":"3"},"variables":{},"create":{"Env":["A=canary"]},"env":["A"]}},"metrics":[{"name":"lb.connections","value":1.0,"ok":true}],"plan":{"op":"none","from":1,"to":1,"create":[],"start":[],"remove":[],"reason":"r","trace":[]}}'
	as-audit <<<"$rec" >/dev/null
	run -0 as-audit --export
	is "$(grep -cE 'canary|10\.0\.0\.9' <<<"$output")" 0
	has "$output" '"metrics":[{"name":"lb.connections","value":1.0,"ok":true}]'
	is "$(jq -c '.observed | [.running, .containers[0].labels, .template.labels]' <<<"$output")" '[1,{"autoscale.max":"3"},{"autoscale.max":"3"}]'
	is "$(as-audit --export | as-resolve-policy | as-decide | jq -c '[.plan.op, .policy.max]')" '["none",3]'
}

@test "what is printed is selected by service, time and outcome" {
	operation web 0
	operation api 0 failed
	operation web 1
	is "$(as-audit --export --service web | wc -l) $(as-audit --history --service api | wc -l)" '2 1'
	is "$(as-audit --export --outcome failed | jq -r .service)" api
	is "$(as-audit --history --outcome done,partial | wc -l)" 2
	is "$(as-audit --trail --outcome intent | wc -l)" 3
	is "$(as-audit --export --since 1h | wc -l) $(as-audit --export --until 1h | wc -l)" '3 0'
	sql 'UPDATE audit SET logged_at = 1000000000000 WHERE service = '"'api'"
	is "$(as-audit --export --until 2001-09-09T02:00:00Z | jq -r .service)" api
	is "$(as-audit --export --since 2001-09-09T01:46:40.001Z | wc -l)" 2
	run -64 as-audit --export --since yesterday
	has "$output" 'wants a time such as'
	run -64 as-audit --export --outcome odd
	has "$output" 'unknown word "odd"'
}

@test "verify names service and row of what was changed or is missing" {
	for i in 0 1 2; do operation web $i; done
	operation api 0
	run -0 as-audit --verify
	is "$output" '{"rows":8,"ok":true}'
	cp "$BATS_TEST_TMPDIR/store.db" "$BATS_TEST_TMPDIR/good"
	sql "UPDATE audit SET body = replace(body, '\"r\"', '\"R\"') WHERE service = 'web' AND seq = 3"
	run -1 as-audit --verify
	has "$output" 'audit of service web: row 3 was changed'
	cp "$BATS_TEST_TMPDIR/good" "$BATS_TEST_TMPDIR/store.db"
	sql "DELETE FROM audit WHERE service = 'web' AND seq = 4"
	run -1 as-audit --verify
	has "$output" 'audit of service web: row 4 is missing'
	cp "$BATS_TEST_TMPDIR/good" "$BATS_TEST_TMPDIR/store.db"
	sql "DELETE FROM audit WHERE service = 'api' AND seq = 2"
	run -1 as-audit --verify
	has "$output" 'audit of service api: row 2 is missing'
}

@test "prune takes what is old and settled, and the trail can still be verified" {
	for i in 0 1 2; do operation web $i; done
	operation api 0
	alert up '{"id": "waits"}'
	alert up '{"id": "over"}'
	sql "UPDATE alert SET state = 'done', due = NULL WHERE alert_id = 'over'"
	is "$(as-store --older-than 1h prune | jq -c 'del(.store, .alerts) | add' | tr '\n' ' ')" '0 0 ' 'nothing is that old'
	is "$(as-store -n --older-than 0 prune | jq -c 'del(.store, .alerts)' | tr '\n' ' ')" \
		'{"history":4,"operations":4,"audit":6,"specifications":0,"containers":0,"recommendations":0,"dry":true} {"done":1,"dry":true} '
	is "$(as-store --older-than 0 prune | jq -c 'del(.store, .alerts)' | tr '\n' ' ')" \
		'{"history":4,"operations":4,"audit":6,"specifications":0,"containers":0,"recommendations":0} {"done":1} '
	is "$(as-audit --verify)" '{"rows":4,"ok":true}'
	is "$(as-audit --trail | jq -r '"\(.service):\(.seq):\(.event)"' | sort | tr '\n' ' ')" 'api:2:done api:3:prune web:6:done web:7:prune '
	is "$(as-fetch-alerts | jq -r .id)" waits
	operation web 3
	is "$(as-audit --history | jq -c '[.generation, .outcome]')" '[4,"done"]' 'generations go on'
	run -0 as-audit --verify
	sql "DELETE FROM audit WHERE service = 'web' AND seq = 6"
	run -1 as-audit --verify
	has "$output" 'audit of service web: row 6 is missing'
}

@test "what is planned and what is a dead letter outlives a pruning" {
	operation web 0
	jq -nc '{v: 1, id: "x", now: "2026-11-24T12:00:00Z", service: "web", history: {generation: 1}, plan: {op: "scale-up", from: 1, to: 2, create: [{name: "web-1"}], start: [], remove: [], reason: "r", trace: []}}' |
		as-audit --intent >/dev/null
	as-ingest <<<'garbage' 2>/dev/null || true
	as-store --older-than 0 prune >/dev/null
	is "$(as-resolve-policy web | jq -c '[.history.generation, .history.pending.plan.create[0].name]')" '[2,"web-1"]'
	is "$(as-fetch-alerts --dead | wc -l)" 1
	as-audit --verify >/dev/null
}

@test "kill -9 of a pruning, at any of its writes: the trail can be verified, and the next run ends it" {
	for i in 0 1 2; do operation web $i; operation api $i; done
	cp "$BATS_TEST_TMPDIR/store.db" "$BATS_TEST_TMPDIR/full"
	for n in 1 3 5 8 12 16; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		cp "$BATS_TEST_TMPDIR/full" "$BATS_TEST_TMPDIR/store.db"
		ASAN_OPTIONS=detect_leaks=0 run strace -f -o /dev/null -e trace=pwrite64,fdatasync -e inject=pwrite64,fdatasync:signal=KILL:when="$n" "$AS_BIN/as-store" --older-than 0 prune
		is "$status" 137 "call $n"
		run -0 as-audit --verify
		as-store --older-than 0 prune >/dev/null
		run -0 as-audit --verify
		is "$(sql 'select count(*) from autoscale_history')" 0 "call $n"
	done
}

@test "status tells what the stores hold, and hides passwords" {
	operation web 0
	alert up
	as-policy set web max=3
	run -0 as-store status
	is "$(sed -n 1p <<<"$output" | jq -c 'del(.store)')" '{"schema":2,"policies":1,"services":1,"operations":1,"open_operations":0,"history":1,"audit":2,"specifications":0}'
	is "$(sed -n 2p <<<"$output" | jq -c '[.waiting, .claimed, .done, .dead, (.oldest | type)]')" '[1,0,0,0,"string"]'
	AUTOSCALE_STORE='mysql://as:canary@db:99999/as' run -78 as-store status
	is "$(grep -c canary <<<"$output")" 0
	run -64 as-store
	run -64 as-store prune
	has "$output" 'prune wants --older-than'
}

@test "a store of an older schema is brought up to date with all that is in it; a newer one is refused" {
	as-policy set web max=3
	# what version 1 had: without the tables and columns of version 2
	sql "DROP TABLE autoscale_policy_version; DROP TABLE audit_start; ALTER TABLE alert DROP COLUMN raw; ALTER TABLE alert DROP COLUMN raw_sha256;
		DELETE FROM schema_version WHERE version = 2"
	is "$(as-store migrate | head -n 1 | jq -c '[.from, .to]')" '[1,2]'
	is "$(as-policy history web | jq -c '[.version, .max]')" '[1,3]' 'the policies of before are its first versions'
	as-policy set web max=4
	is "$(as-policy history web | jq -c .version | tr '\n' ' ')" '1 2 '
	sql "INSERT INTO schema_version VALUES (9, '009-later', 'x', 1)"
	run -78 as-store migrate
	has "$output" 'upgrade the program'
}

@test "policies: every version is kept with when and by whom, and numbers go on after a removal" {
	as-policy set web max=3
	LOGNAME=ann SUDO_USER='' as-policy set web max=4
	as-policy rm web
	as-policy set web max=5
	is "$(as-policy history web | jq -c '[.version, .max, .removed // false]' | tr '\n' ' ')" '[1,3,false] [2,4,false] [3,4,true] [4,5,false] '
	has "$(as-policy history web | sed -n 2p | jq -r .actor)" ':ann'
	is "$(as-policy get web@2 | jq -c .max) $(as-policy get web | jq -c '[.version, .max]')" '4 [4,5]'
	run -1 as-policy get web@9
	has "$output" 'no version 9'
	run -1 as-policy history nosuch
	is "$(as-resolve-policy web | jq -r .policy.from.max)" 'db:web@4'
}

@test "policies: rm and load heed the version they were read at" {
	as-policy set web max=3
	as-policy set api max=3
	as-policy list >"$BATS_TEST_TMPDIR/list"
	as-policy load <"$BATS_TEST_TMPDIR/list"
	is "$(as-policy list | jq -c .version | sort -u)" 1 'the same again is no change'
	as-policy set api max=9
	run -1 as-policy load < <(jq -c '.max = 7' "$BATS_TEST_TMPDIR/list")
	has "$output" 'policy "api" is at version 2, not 1'
	is "$(as-policy get web | jq .max)" 3 'all or none'
	run -1 as-policy rm api --expect 1
	run -0 as-policy rm api --expect 2
	rm -f "$BATS_TEST_TMPDIR"/store.db*
	as-policy load <"$BATS_TEST_TMPDIR/list"
	is "$(as-policy list | wc -l)" 2 'a list can be loaded into an empty store'
}

@test "a policy that changes between plan and effect: the planned one runs, and the trail says which version it was" {
	as-policy set web max=3
	jq -nc '{v: 1, id: "x", now: "2026-11-24T12:00:00Z", service: "web", observed: {running: 1}}' | as-resolve-policy |
		jq -c '.plan = {op: "scale-up", from: 1, to: 2, create: [], start: [], remove: [], reason: "r", trace: []}' | as-audit --intent >"$BATS_TEST_TMPDIR/promised"
	as-policy set web max=9
	as-audit <"$BATS_TEST_TMPDIR/promised" >/dev/null
	is "$(as-audit --export | jq -c '[.policy.max, .policy.from.max, .plan.to, .audit.outcome]')" '[3,"db:web@1",2,"done"]'
}
