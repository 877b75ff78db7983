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
	is "$(jq -c '[.v, .service, .plan.op, .audit.outcome, .audit.event, .audit.seq, .audit.history_id, (.audit.hash | length)]' <<<"$output" | tr '\n' ' ')" \
		'[1,"web","scale-up","done","done",2,1,64] [1,"web","scale-up","failed","failed",4,2,64] '
	is "$(jq -r '.audit.actor, .audit.op_id, .intent.op_id' <<<"$output" | sed -E 's/-[0-9a-f]{12}$/-N/' | sort | uniq -c | tr -s ' \n' ' ')" \
		" 2 as-audit@$(hostname) 4 web-N "
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
	run -64 as-audit --export --history
	run -64 as-audit --service web
	has "$output" 'go with --history, --export or --trail'
}

@test "the trail's rows: promise and outcome, each with its hash and what it is of" {
	operation web 0
	run -0 as-audit --trail
	is "$(jq -c '[.service, .seq, .event, .record.plan.op // .record.op, (.hash | length)]' <<<"$output" | tr '\n' ' ')" \
		'["web",1,"intent","scale-up",64] ["web",2,"done","scale-up",64] '
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
		'{"history":4,"operations":4,"audit":6,"specifications":0,"containers":0,"recommendations":0,"dry":true} {"done":1,"dead":0,"dry":true} '
	is "$(as-store --older-than 0 prune | jq -c 'del(.store, .alerts)' | tr '\n' ' ')" \
		'{"history":4,"operations":4,"audit":6,"specifications":0,"containers":0,"recommendations":0} {"done":1,"dead":0} '
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
	is "$(as-audit --trail | jq -r .event | tr '\n' ' ')" 'intent prune '
	as-audit --verify >/dev/null
	is "$(as-store -n --dead --older-than 1h prune | jq -c 'select(.alerts) | .dead')" 0
	is "$(as-store --dead --older-than 0 prune | jq -c 'select(.alerts) | .dead')" 1
	is "$(as-fetch-alerts --dead | wc -l)" 0
}

# The crash between the end of the operation and the end of the alert, then a pruning, then the next pass.
@test "what was done for an alert that nobody finished outlives a pruning: it is not done twice" {
	local rec
	alert up '{"id": "a1"}'
	as-fetch-alerts --lease 1ms >/dev/null
	rec=$(jq -nc '{v: 1, id: "a1", now: "2026-11-24T12:00:00Z", service: "web", alert: {action: "scale-up"}, plan: {op: "scale-up", from: 1, to: 2, create: [], reason: "r"}}')
	as-audit --intent <<<"$rec" | as-audit >/dev/null
	is "$(as-store -n --older-than 0 prune | jq -c 'select(.store) | [.history, .operations]')" '[0,0]'
	is "$(as-store --older-than 0 prune | jq -c 'select(.store) | [.history, .operations]')" '[0,0]'
	is "$(as-audit --intent <<<"$rec" | jq -r .intent.state)" finished
	eventually 3 bash -c 'as-fetch-alerts | jq -ec ".audit = {outcome: \"done\"}" | as-ack-alerts | grep -q .'
	is "$(as-store --older-than 0 prune | jq -c '[.history, .operations, .done]' | tr '\n' ' ')" '[1,1,null] [null,null,1] '
}

# decisions N [SERVICE]: N that came to nothing
decisions() { seq "$1" | jq -c --arg s "${2:-web}" '{v: 1, id: "x\(.)", now: "2026-11-24T12:00:00Z", service: $s, plan: {op: "none", from: 1, to: 1, create: [], start: [], remove: [], reason: "r\(.)", trace: []}}' | as-audit >/dev/null; }

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

@test "kill -9 between the slices of a long chain: it can be verified, and what was to go goes" {
	decisions 2500
	cp "$BATS_TEST_TMPDIR/store.db" "$BATS_TEST_TMPDIR/full"
	for n in 1 2 4; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		cp "$BATS_TEST_TMPDIR/full" "$BATS_TEST_TMPDIR/store.db"
		ASAN_OPTIONS=detect_leaks=0 run strace -f -o /dev/null -e trace=fdatasync -e inject=fdatasync:signal=KILL:when="$n" "$AS_BIN/as-store" --older-than 0 prune
		is "$status" 137 "sync $n"
		run -0 as-audit --verify
		as-store --older-than 0 prune >/dev/null
		run -0 as-audit --verify
		is "$(as-audit --trail | jq -r .event | sort | uniq -c | tr -s ' \n' ' ')" ' 1 none 3 prune ' "sync $n"
	done
}

@test "a pruning leaves by SIGTERM after the transaction in hand, and says what is gone" {
	decisions 2500
	ASAN_OPTIONS=detect_leaks=0 run strace -f -o /dev/null -e trace=fdatasync -e inject=fdatasync:signal=TERM:when=1 "$AS_BIN/as-store" --older-than 0 prune
	is "$status" 143
	is "$(jq -c 'select(.store) | .audit' <<<"$output")" 1000
	is "$(as-audit --verify)" '{"rows":1501,"ok":true}'
}

@test "after a pruning too, verify names service and row of what was changed, is missing, or went by another hand" {
	local n
	for n in 0 1 2; do operation web $n; done
	as-store --older-than 0 prune >/dev/null
	operation web 3
	is "$(as-audit --trail | jq -c .seq | tr '\n' ' ')" '6 7 8 9 '
	cp "$BATS_TEST_TMPDIR/store.db" "$BATS_TEST_TMPDIR/good"
	while IFS='|' read -r change says; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		cp "$BATS_TEST_TMPDIR/good" "$BATS_TEST_TMPDIR/store.db"
		run -0 as-audit --verify
		sql "$change"
		run -1 as-audit --verify
		has "$output" "audit of service web: $says"
	done <<-'END'
		UPDATE audit SET body = replace(body, '"r"', '"R"') WHERE seq = 9|row 9 was changed
		UPDATE audit SET event = 'failed' WHERE seq = 6|row 6 was changed
		DELETE FROM audit WHERE seq = 6|row 6 is missing
		DELETE FROM audit WHERE seq = 7|row 7 is missing
		DELETE FROM audit WHERE seq = 9|row 9 is missing
		DELETE FROM audit|row 6 is missing
		DELETE FROM audit_start|row 1 is missing
		UPDATE audit_start SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7); DELETE FROM audit WHERE seq <= 7|row 1 is missing
	END
}

@test "generations of a service have no gap, whatever became of each, also of those decided at once" {
	local n pids=''
	operation web 0
	operation web 1 failed
	for n in 1 2 3 4 5 6; do
		(for _ in 1 2 3; do operation web -1; operation api -1 failed; done) 3>&- &
		pids+=" $!"
	done
	for n in $pids; do wait "$n"; done
	is "$(sql "SELECT DISTINCT MAX(generation) = COUNT(*) AND MIN(generation) = 1 FROM operation GROUP BY service")" 1
	is "$(sql "SELECT s.service FROM service_state s WHERE generation <> (SELECT MAX(generation) FROM operation o WHERE o.service = s.service)")" ''
	is "$(sql "SELECT COUNT(*) FROM operation WHERE state = 'planned'")" 0
	is "$(sql "SELECT COUNT(*) FROM operation")" "$(as-audit --history | wc -l)" 'each has its row of the history'
	run -0 as-audit --verify
}

@test "status tells what the stores hold, and hides passwords" {
	operation web 0
	alert up
	as-policy set web max=3
	run -0 as-store status
	is "$(sed -n 1p <<<"$output" | jq -c 'del(.store)')" '{"driver":"sqlite","schema":4,"schema_known":4,"policies":1,"services":1,"operations":1,"open_operations":0,"history":1,"audit":2,"specifications":0}'
	is "$(sed -n 2p <<<"$output" | jq -c '[.driver, .waiting, .claimed, .done, .dead, (.oldest | type), .age < 60]')" '["sqlite",1,0,0,0,"string",true]'
	sql 'UPDATE alert SET received_at = received_at - 3600000'
	is "$(as-store status | jq -c 'select(.alerts) | .age / 60 | floor')" 60
	AUTOSCALE_STORE='mysql://as:canary@db:99999/as' run -78 as-store status
	is "$(grep -c canary <<<"$output")" 0
	run -64 as-store
	run -64 as-store prune
	has "$output" 'prune wants --older-than'
	run -64 as-store -n migrate
}

@test "a store of the first schema is brought up to date with all that is in it; a newer one is refused" {
	local sum
	as-store status >/dev/null
	sum=$(sql 'SELECT checksum FROM schema_version WHERE version = 1')
	rm -f "$BATS_TEST_TMPDIR"/store.db*
	sqlite3 "$BATS_TEST_TMPDIR/store.db" <"$TOP/common/store/schema/001-first.sql"
	chmod 600 "$BATS_TEST_TMPDIR/store.db"
	sql "INSERT INTO schema_version VALUES (1, '001-first', '$sum', 1);
		INSERT INTO autoscale_policy VALUES ('web', 'web', 0, '', '{\"max\":3}', 0, 1, 1, 1);
		INSERT INTO service_state VALUES ('web', 1, NULL, NULL, 0, '', 1);
		INSERT INTO operation VALUES ('op-1', 'web', 1, '', NULL, 'scale-up', 'planned', '{\"op\":\"scale-up\"}', 'a', 1, NULL, 1, NULL)"
	is "$(as-store migrate | jq -c '[.from, .to]' | tr '\n' ' ')" '[1,4] [4,4] ' 'the second is the same file'
	is "$(as-policy history web | jq -c '[.version, .max]')" '[1,3]' 'the policies of before are its first versions'
	as-policy set web max=4
	is "$(as-policy history web | jq -c .version | tr '\n' ' ')" '1 2 '
	is "$(jq -nc '{v: 1, id: "x", service: "web", plan: {op: "scale-up"}}' | as-audit --intent | tee "$BATS_TEST_TMPDIR/r" | jq -c '[.intent.state, .intent.policies]')" '["resumed",null]'
	as-audit <"$BATS_TEST_TMPDIR/r" >/dev/null
	is "$(as-audit --history | jq -c .policies)" '[]' 'nobody knows any more'
	sql "INSERT INTO schema_version VALUES (9, '009-later', 'x', 1)"
	for c in 'as-store migrate' 'as-store status' 'as-store --older-than 0 prune' 'as-audit --verify' 'as-policy list'; do
		run -78 $c
		has "$output" 'upgrade the program'
	done
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
	is "$(LOGNAME='' SUDO_USER='' as-policy set web max=6 && as-policy history web | tail -n 1 | jq -r .actor)" "as-policy@$(hostname):$(id -un)"
	as-policy set web@2 max=7
	is "$(as-policy get web@2 | jq -c '[.name, .max]')" '["web@2",7]' 'a name is a name'
	as-policy rm web@2
	as-policy set web max=5
	is "$(as-resolve-policy web | jq -r .policy.from.max)" 'db:web@6'
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
	run -1 as-policy -n load < <(jq -c '.max = 7' "$BATS_TEST_TMPDIR/list")
	run -1 as-policy rm api --expect 1
	run -1 as-policy -n rm api --expect 1
	run -0 as-policy -n rm api --expect 2
	run -0 as-policy rm api --expect 2
	run -1 as-policy load <"$BATS_TEST_TMPDIR/list"
	has "$output" 'policy "api" is no longer there'
	run -64 as-policy load --expect 1 <"$BATS_TEST_TMPDIR/list"
	rm -f "$BATS_TEST_TMPDIR"/store.db*
	as-policy load <"$BATS_TEST_TMPDIR/list"
	is "$(as-policy list | wc -l)" 2 'a list can be loaded into an empty store'
}

@test "policies: load is all or nothing, and nobody waits for what it reads" {
	local pid
	printf '%s\n' '{"name":"a","max":1}' '{"name":"b","max":2}' '{"name":"c","max":"many"}' >"$BATS_TEST_TMPDIR/bad"
	run -65 as-policy load <"$BATS_TEST_TMPDIR/bad"
	is "$(as-policy list)" ''
	run -65 as-policy load < <(head -n 2 "$BATS_TEST_TMPDIR/bad"; echo '{"name":')
	is "$(as-policy list)" ''
	run -1 as-policy load < <(head -n 2 "$BATS_TEST_TMPDIR/bad"; echo '{"name":"a","max":3,"version":7}')
	is "$(as-policy list)" ''
	is "$(as-policy history a 2>&1)" 'as-policy: no policy is or was named a'
	run -0 as-policy -n load < <(head -n 2 "$BATS_TEST_TMPDIR/bad")
	is "$(as-policy list)" ''
	mkfifo "$BATS_TEST_TMPDIR/slow"
	as-policy load <"$BATS_TEST_TMPDIR/slow" 3>&- &
	pid=$!
	exec 9>"$BATS_TEST_TMPDIR/slow"
	head -n 2 "$BATS_TEST_TMPDIR/bad" >&9
	timeout 5 as-policy set other max=1 9>&-
	exec 9>&-
	wait $pid
	is "$(as-policy list | jq -r .name | tr '\n' ' ')" 'a b other '
}

@test "policies: of two that make or change one at once, the second is told" {
	as-policy set web max=1
	for n in 1 2 3 4 5 6; do
		(as-policy set web "max=$((n + 1))" && echo "$n" >>"$BATS_TEST_TMPDIR/won") 2>>"$BATS_TEST_TMPDIR/told" 3>&- &
		pids="${pids:-} $!"
	done
	for n in $pids; do wait "$n" || true; done
	is "$(wc -l <"$BATS_TEST_TMPDIR/won")" "$(($(as-policy get web | jq .version) - 1))" 'each that won is a version'
	is "$(($(wc -l <"$BATS_TEST_TMPDIR/won") + $(grep -c 'read it again' "$BATS_TEST_TMPDIR/told")))" 6
}

# planned: a record that the policies of the store decided
planned() {
	jq -nc '{v: 1, id: "x", now: "2026-11-24T12:00:00Z", service: "web", observed: {running: 1}}' | as-resolve-policy |
		jq -c '.plan = {op: "scale-up", from: 1, to: 2, create: [{name: "web-1"}], start: [], remove: [], reason: "r", trace: []}'
}

@test "a policy that changes between plan and effect: the planned one runs, and the trail says which version it was" {
	as-policy set web max=3
	as-policy load <<<'{"name":"all","service":"*","step":"50%"}'
	planned | as-audit --intent >"$BATS_TEST_TMPDIR/promised"
	is "$(jq -c .intent.policies "$BATS_TEST_TMPDIR/promised")" '["web@1","all@1"]'
	as-policy set web max=9
	as-audit <"$BATS_TEST_TMPDIR/promised" >/dev/null
	is "$(as-audit --export | jq -c '[.policy.max, .policy.from.max, .plan.to, .audit.outcome, .intent.policies]')" '[3,"db:web@1",2,"done",["web@1","all@1"]]'
	is "$(as-audit --history | jq -c .policies)" '["web@1","all@1"]'
}

@test "a plan that is taken up after a crash names the versions that decided it, not those of today" {
	as-policy set web max=3
	planned | as-audit --intent >/dev/null
	as-policy set web max=1
	planned | jq -c '.plan.create = []' | as-audit --intent >"$BATS_TEST_TMPDIR/resumed"
	is "$(jq -c '[.intent.state, .plan.create[0].name, .policy.from.max, .intent.policies]' "$BATS_TEST_TMPDIR/resumed")" '["resumed","web-1","db:web@2",["web@1"]]'
	as-audit <"$BATS_TEST_TMPDIR/resumed" >/dev/null
	is "$(as-audit --history | jq -c '[.outcome, .policies]')" '["done",["web@1"]]'
	is "$(as-policy get web@1 | jq .max)" 3 'what it said then'
}
