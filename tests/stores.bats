# Alerts in, once; claimed, once; settled by outcome. Policies with versions. The trail that shows who changed it.

load lib

setup() { fresh; }

sql() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "$1"; }

# recorded OUTCOME [ERROR]: what as-fetch-alerts gives, as if the stages in between had run
recorded() { jq -c --arg o "$1" --arg e "${2:-}" '.audit = {outcome: $o} | if $e != "" then .error = {stage: "as-clone", code: "conflict", message: $e, retry: false} else . end'; }

@test "the store is made at first use, for nobody else to read" {
	run -0 as-policy list
	is "$(stat -c %a "$BATS_TEST_TMPDIR/store.db")" 600
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/new/deep/s.db
	run -0 as-policy list
	is "$(stat -c %a "$BATS_TEST_TMPDIR/new/deep")" 700
}

@test "with no configuration at all the store is under XDG_STATE_HOME" {
	unset AUTOSCALE_STORE AUTOSCALE_CONF
	HOME=$BATS_TEST_TMPDIR XDG_STATE_HOME=$BATS_TEST_TMPDIR/state run -0 as-policy list
	[ -f "$BATS_TEST_TMPDIR/state/autoscale/autoscale.db" ]
}

@test "an alert is stored once however often it is delivered" {
	for _ in 1 2 3 4 5; do alert up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'; done
	is "$(sql 'select count(*), max(seen) from alert')" '1|5'
}

@test "a new episode of the same key is a new alert" {
	alert up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'
	alert up '{"key": "k", "starts_at": "2026-11-24T11:00:00Z"}'
	is "$(sql 'select count(*) from alert')" 2
}

@test "a condition that persists is a new alert after --rearm, a redelivery before it is not" {
	alert up '{"key": "k", "starts_at": "2026-11-24T10:00:00Z"}'
	jq -nc '{service: "web", action: "up", key: "k", starts_at: "2026-11-24T10:00:00Z"}' >"$BATS_TEST_TMPDIR/a"
	as-ingest --rearm 1h <"$BATS_TEST_TMPDIR/a"
	is "$(sql 'select count(*) from alert')" 1
	sleep 0.06
	as-ingest --rearm 50ms <"$BATS_TEST_TMPDIR/a"
	is "$(sql 'select count(*) from alert')" 2
}

@test "an alert without key, id and start time is its own at every delivery" {
	for _ in 1 2 3; do alert up; done
	is "$(sql 'select count(*) from alert')" 3
}

@test "spellings of an action are understood at ingest; an unknown one is kept for the decision to refuse" {
	for a in up scaleup scale_up ScaleUp scale-up SCALE-UP; do jq -nc --arg a "$a" '{service: "web", action: $a}'; done |
		as-ingest --normalize >"$BATS_TEST_TMPDIR/out"
	is "$(jq -r .action "$BATS_TEST_TMPDIR/out" | sort -u)" scale-up
	run -0 as-ingest --normalize <<<'{"service":"web","action":"explode"}'
	is "$(jq -r .action <<<"$output")" explode
}

@test "ElastAlert2: one line with an array of matches" {
	printf '%s\n' '[{"@timestamp":"2026-11-23T23:40:16.197Z","status":503,"docker":{"service":"web"},"_id":"M2f","_index":"logs-1","num_hits":5,"num_matches":1},{"@timestamp":"2026-11-23T23:40:17Z","docker":{"service":"api"},"_id":"M2g","_index":"logs-1","num_hits":6,"num_matches":2}]' >"$BATS_TEST_TMPDIR/in"
	for _ in 1 2 3; do run -0 as-ingest --rule web-cpu --action scale-up --service-field docker.service --rearm 0 <"$BATS_TEST_TMPDIR/in"; done
	is "$(sql "select count(*), min(seen) from alert")" '2|3'
	run -0 as-ingest --normalize --rule web-cpu --action up <"$BATS_TEST_TMPDIR/in"
	is "$(jq -sc 'map([.source, .service, .action, .value, .starts_at])' <<<"$output")" '[["elastalert","web","scale-up",5,"2026-11-23T23:40:16.197Z"],["elastalert","api","scale-up",6,"2026-11-23T23:40:17.000Z"]]'
}

@test "Alertmanager: a group of firing and resolved alerts, over several lines with --whole" {
	cat >"$BATS_TEST_TMPDIR/in" <<-'EOF'
		{"version":"4","status":"firing","receiver":"as","groupKey":"g","alerts":[
		 {"status":"firing","labels":{"alertname":"HighConn","service":"web","action":"up"},"annotations":{"value":"164.5","threshold":"100"},"startsAt":"2026-11-24T10:00:00.5Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"abc"},
		 {"status":"resolved","labels":{"alertname":"HighConn","service":"api"},"annotations":{},"startsAt":"2026-11-24T09:00:00Z","endsAt":"2026-11-24T09:30:00Z","fingerprint":"def"}]}
	EOF
	run -0 as-ingest --whole --normalize <"$BATS_TEST_TMPDIR/in"
	is "$(jq -sc 'map([.source, .key, .service, .action, .status, .value, .ends_at, .rule])' <<<"$output")" '[["alertmanager","abc","web","scale-up","firing",164.5,null,"HighConn"],["alertmanager","def","api",null,"resolved",null,"2026-11-24T09:30:00.000Z","HighConn"]]'
}

@test "bad alerts are named by line and the good ones stored, exit 65" {
	printf '%s\n' '{"service":"web","action":"up"}' 'garbage' '{"action":"up"}' '{"service":"web","starts_at":"yesterday"}' '{"service":"web","status":"odd"}' '[1]' '{"service":"api","action":"up"}' >"$BATS_TEST_TMPDIR/in"
	run -65 as-ingest <"$BATS_TEST_TMPDIR/in"
	is "$(sed -n 's/^as-ingest: line \([0-9]*\): .*/\1/p' <<<"$output" | tr '\n' ' ')" '2 3 4 5 6 '
	has "$output" 'give --service NAME'
	is "$(sql 'select group_concat(service) from (select service from alert where due is not null order by service)')" 'api,web'
}

@test "an alert without a service does not take the others of its group with it" {
	run -65 --separate-stderr as-ingest --normalize <<<'{"version":"4","alerts":[{"status":"firing","labels":{"service":"a"}},{"status":"firing","labels":{}},{"status":"firing","labels":{"service":"b"}}]}'
	is "$(jq -r .service <<<"$output" | tr '\n' ' ')" 'a b '
	has "$stderr" 'alert 2 of the list: the alert names no service'
}

@test "a sender that uses an id again for another episode loses nothing" {
	printf '%s\n' '{"id":"x","service":"web","action":"up"}' '{"id":"x","service":"web","action":"up","starts_at":"2026-11-24T10:00:00Z"}' '{"id":"y","service":"web","action":"up"}' | as-ingest
	is "$(sql "select count(*), count(distinct alert_id), sum(alert_id = 'x') from alert")" '3|3|1'
	is "$(as-fetch-alerts | jq -c '.id == .alert.id' | sort -u)" true
}

@test "-n: fetch shows what is due and claims nothing, ingest and policy store nothing" {
	alert up '{"id": "a1"}'
	is "$(as-fetch-alerts -n | jq -c '[.id, .service, has("claim")]')" '["a1","web",false]'
	is "$(as-fetch-alerts | jq -c '[.id, .claim.attempt]')" '["a1",1]'
	run -0 as-fetch-alerts -n
	is "$output" '' 'what is claimed is not due'
	as-ingest -n <<<'{"id":"a2","service":"web"}' >/dev/null
	as-policy -n set web max=5
	is "$(sql 'select count(*) from alert') $(sql 'select count(*) from autoscale_policy')" '1 0'
}

@test "numbers of an alert keep their bytes" {
	run -0 as-ingest --normalize <<<'{"service":"web","value":1.0,"threshold":18446744073709551616}'
	has "$output" '"value":1.0,"threshold":18446744073709551616'
}

@test "a store that is away: exit 75, 69, 77 or 78, quickly, and it is named" {
	export AUTOSCALE_STORE=sqlite:/proc/nowhere/s.db
	run as-ingest <<<'{"service":"web","action":"up"}'
	case $status in 69 | 75 | 77 | 78) ;; *) is "$status" 'one of 69 75 77 78' ;; esac
	has "$output" /proc/nowhere
}

@test "a corrupt store is named and never made anew" {
	head -c 4096 /dev/urandom >"$BATS_TEST_TMPDIR/store.db"
	before=$(sha256sum <"$BATS_TEST_TMPDIR/store.db")
	run -78 as-policy list
	has "$output" "$BATS_TEST_TMPDIR/store.db"
	is "$(sha256sum <"$BATS_TEST_TMPDIR/store.db")" "$before"
}

@test "fetch claims oldest first, at most --limit, each alert once" {
	for i in 1 2 3 4 5; do alert up "{\"id\": \"a$i\"}"; done
	is "$(as-fetch-alerts --limit 2 | jq -r .id | tr '\n' ' ')" 'a1 a2 '
	is "$(as-fetch-alerts --limit 9 | jq -r .id | tr '\n' ' ')" 'a3 a4 a5 '
	run -0 as-fetch-alerts
	is "$output" ''
}

@test "a fetched record is complete: version, id, one time for the batch, the alert, the claim, the service" {
	alert up '{"id": "a1", "value": 5}'; alert up '{"id": "a2"}'
	as-fetch-alerts >"$BATS_TEST_TMPDIR/out"
	is "$(head -n 1 "$BATS_TEST_TMPDIR/out" | jq -c 'keys_unsorted')" '["v","id","now","alert","claim","service"]'
	is "$(jq -r .now "$BATS_TEST_TMPDIR/out" | sort -u | wc -l)" 1
	is "$(head -n 1 "$BATS_TEST_TMPDIR/out" | jq -c '[.claim.attempt, .alert.value, .service, (.claim.token | length > 10)]')" '[1,5,"web",true]'
}

@test "a lease that runs out gives the alert back, and the attempt is counted" {
	alert up '{"id": "a1"}'
	as-fetch-alerts --lease 100ms >/dev/null
	run -0 as-fetch-alerts
	is "$output" ''
	sleep 0.12
	is "$(as-fetch-alerts --lease 100ms | jq .claim.attempt)" 2
}

@test "ack: done and none finish, a failure goes back with its reason, a lost race goes back at once" {
	for i in 1 2 3 4; do alert up "{\"id\": \"a$i\"}"; done
	as-fetch-alerts >"$BATS_TEST_TMPDIR/f"
	sed -n 1p "$BATS_TEST_TMPDIR/f" | recorded 'done' | as-ack-alerts >/dev/null
	sed -n 2p "$BATS_TEST_TMPDIR/f" | recorded none | as-ack-alerts >/dev/null
	sed -n 3p "$BATS_TEST_TMPDIR/f" | recorded failed 'name "web-3" is in use' | as-ack-alerts >/dev/null
	sed -n 4p "$BATS_TEST_TMPDIR/f" | recorded deferred | as-ack-alerts >/dev/null
	is "$(sql "select alert_id, state, due is null from alert order by 1" | tr '\n' ' ')" 'a1|done|1 a2|done|1 a3|new|0 a4|new|0 '
	has "$(sql "select result from alert where alert_id = 'a3'")" 'name "web-3" is in use'
	is "$(as-fetch-alerts | jq -r '"\(.id) \(.claim.attempt)"')" 'a4 1'
}

@test "ack passes records through as they are, also without a claim" {
	run -0 as-ack-alerts <<<'{"v":1,"id":"x","zz":1.0}'
	is "$output" '{"v":1,"id":"x","zz":1.0}'
}

@test "a finish under a lost lease changes nothing, says so, and exits 0" {
	alert up '{"id": "a1"}'
	as-fetch-alerts --lease 10ms >"$BATS_TEST_TMPDIR/slow"
	sleep 0.05
	as-fetch-alerts >/dev/null
	run -0 --separate-stderr as-ack-alerts < <(recorded 'done' <"$BATS_TEST_TMPDIR/slow")
	has "$stderr" 'lease was lost'
	is "$(sql 'select state, attempts from alert')" 'claimed|2'
}

@test "after five attempts an alert is a dead letter: listed, in no claim, and back with --requeue" {
	alert up '{"id": "a1"}'
	for _ in 1 2 3 4 5; do
		sql "update alert set due = 1 where due is not null"
		as-fetch-alerts | recorded failed 'engine is down' | as-ack-alerts >/dev/null
	done
	is "$(as-fetch-alerts --dead | jq -c '[.id, .attempts, .error]')" '["a1",5,"engine is down"]'
	sql "update alert set due = 1 where due is not null"
	run -0 as-fetch-alerts
	is "$output" ''
	run -0 as-fetch-alerts --requeue a1
	is "$(as-fetch-alerts | jq -c '[.id, .claim.attempt]')" '["a1",1]'
	run -1 as-fetch-alerts --requeue nosuch
}

@test "--follow hands an alert over within a second of its arrival and ends at SIGTERM" {
	as-fetch-alerts --follow >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	sleep 0.3
	alert up '{"id": "late"}'
	eventually 3 grep -q late "$BATS_TEST_TMPDIR/out"
	kill "$pid"
	wait "$pid" || true
	is "$(kill -0 "$pid" 2>/dev/null; echo $?)" 1
}

@test "six processes that fetch at once get each of 300 alerts exactly once" {
	for i in $(seq 300); do echo "{\"service\":\"web\",\"action\":\"up\",\"id\":\"a$i\"}"; done | as-ingest
	pids=
	for i in 1 2 3 4 5 6; do (for _ in $(seq 30); do as-fetch-alerts --limit 7; done >"$BATS_TEST_TMPDIR/$i") 3>&- & pids="$pids $!"; done
	wait $pids
	is "$(cat "$BATS_TEST_TMPDIR"/[1-6] | jq -r .id | wc -l)" 300
	is "$(cat "$BATS_TEST_TMPDIR"/[1-6] | jq -r .id | sort -u | wc -l)" 300
}

@test "policies: load, set, get, list, rm; the version rises with each change and only then" {
	printf '%s\n' '{"name":"web","service":"web","max":5}' '{"name":"all","service":"*","type":"scale-up","step":"50%","priority":-1}' | as-policy load
	as-policy set web step-up=2 max=6
	as-policy set web max=6
	is "$(as-policy get web | jq -c '[.version, .max, .step_up, .service]')" '[2,6,"2","web"]'
	as-policy set web step-up=
	is "$(as-policy get web | jq -c '[.version, has("step_up")]')" '[3,false]'
	is "$(as-policy list | jq -r .name | tr '\n' ' ')" 'web all '
	is "$(as-policy list other | jq -r .name)" all
	run -0 as-policy rm web
	run -1 as-policy rm web
	run -1 as-policy get web
}

@test "policies: what does not parse is refused by name and nothing of the row is stored" {
	run -65 as-policy set web max=many
	has "$output" 'max wants a number from 0 to 10000'
	run -65 as-policy set web maxx=3
	has "$output" 'unknown field "maxx"'
	run -65 as-policy load <<<'{"name":"x","service":"x","type":"odd"}'
	run -65 as-policy load <<<'{"name":"x","service":"x","min":5,"max":3}'
	run -65 as-policy set web priority=high
	run -65 as-policy set web enabled=maybe
	run -64 as-policy set web name=other
	run -65 as-policy load <<<'{"name":"x",'
	is "$(as-policy list)" ''
}

@test "policies: an expected version that is not there is a conflict" {
	as-policy set web max=5
	run -1 as-policy set web --expect 7 max=6
	has "$output" 7
	run -0 as-policy set web --expect 1 max=6
	is "$(as-policy get web | jq -c '[.version, .max]')" '[2,6]'
}

@test "resolve: rows by priority, then exact before glob, field by field, with versions" {
	as-policy set fleet service='w*' max=9 step=3 cooldown-down=5
	as-policy set web service=web max=5
	as-policy set boss service='*' step=4 priority=10
	run -0 as-resolve-policy web
	is "$(jq -c '.policy | [.max, .step_up, .cooldown_down, .from.max, .from.step_up, .from.cooldown_down]' <<<"$output")" '[5,"4",5,"db:web@1","db:boss@1","db:fleet@1"]'
	is "$(jq -c '.policy.shadowed.max' <<<"$output")" '[{"from":"db:fleet@1","value":9}]'
}

@test "intent: the promise is stored before anything acts; a crash leaves it, and the next pass resumes it" {
	rec=$(jq -nc '{v:1,id:"w",now:"2026-11-24T12:00:00Z",service:"web",history:{generation:0},plan:{op:"scale-up",from:1,to:2,create:[{name:"web-1",host:"local",like:"x",index:1}],start:[],remove:[],reason:"r",trace:[]}}')
	run -0 as-audit --intent <<<"$rec"
	is "$(jq -r .intent.state <<<"$output")" new
	op=$(jq -r .intent.op_id <<<"$output")
	is "$(as-resolve-policy web | jq -r '.history.pending.op_id, .history.pending.plan.create[0].name' | tr '\n' ' ')" "$op web-1 "
	run -0 as-audit --intent <<<"$(jq -c '.plan.create[0].name = "web-9"' <<<"$rec")"
	is "$(jq -r '[.intent.state, .intent.op_id, .plan.create[0].name] | join(" ")' <<<"$output")" "resumed $op web-1"
	run -0 as-audit <<<"$output"
	is "$(jq -r .audit.outcome <<<"$output")" 'done'
	is "$(as-resolve-policy web | jq -c '[.history.generation, .history.pending, (.history.last_out | type)]')" '[1,null,"string"]'
}

@test "intent: of many passes that decided on the same generation exactly one acts" {
	rec='{"v":1,"id":"w","now":"2026-11-24T12:00:00Z","service":"web","history":{"generation":0},"plan":{"op":"scale-up","from":1,"to":2,"create":[],"start":[],"remove":[],"reason":"r","trace":[]}}'
	pids=
	for i in 1 2 3 4 5 6; do (echo "$rec" | as-audit --intent >"$BATS_TEST_TMPDIR/i$i") 3>&- & pids="$pids $!"; done
	wait $pids
	is "$(cat "$BATS_TEST_TMPDIR"/i? | jq -r .intent.state | grep -c new)" 1
	is "$(sql 'select count(*) from operation')" 1
	jq -c 'select(.intent.state == "new")' "$BATS_TEST_TMPDIR"/i? | as-audit >/dev/null
	run -0 as-audit --intent <<<"$rec"
	is "$(jq -r .intent.state <<<"$output")" deferred 'a decision on an old generation is decided anew'
}

@test "history has one row for an operation however often its end is written" {
	rec='{"v":1,"id":"w","now":"2026-11-24T12:00:00Z","service":"web","history":{"generation":0},"plan":{"op":"scale-up","from":1,"to":2,"create":[],"start":[],"remove":[],"reason":"why","trace":[]}}'
	as-audit --intent <<<"$rec" >"$BATS_TEST_TMPDIR/r"
	a=$(as-audit <"$BATS_TEST_TMPDIR/r" | jq .audit.history_id)
	b=$(as-audit <"$BATS_TEST_TMPDIR/r" | jq .audit.history_id)
	is "$a" "$b"
	is "$(as-audit --history | jq -c '[.service, .action, .from, .to, .outcome, .reason]')" '["web","scale-up",1,2,"done","why"]'
}

@test "the trail holds what was not done as well, and no value of the environment" {
	as-audit <<<'{"v":1,"id":"w","now":"2026-11-24T12:00:00Z","service":"web","observed":{"template":{"create":{"Env":["SECRET=canary"]}}},"plan":{"op":"none","from":1,"to":1,"reason":"stale"}}' >/dev/null
	is "$(as-audit --export | jq -c '[.service, .plan.reason]')" '["web","stale"]'
	run -1 grep -q canary "$BATS_TEST_TMPDIR"/store.db*
}

@test "verify finds an edited row, a deleted one, and the last one deleted, and names it" {
	for i in 1 2 3 4; do as-audit <<<"{\"v\":1,\"id\":\"w$i\",\"now\":\"2026-11-24T12:00:00Z\",\"service\":\"web\",\"plan\":{\"op\":\"none\",\"reason\":\"r$i\"}}" >/dev/null; done
	run -0 as-audit --verify
	is "$(jq -c . <<<"$output")" '{"rows":4,"ok":true}'
	cp "$BATS_TEST_TMPDIR/store.db" "$BATS_TEST_TMPDIR/whole"
	for s in "update audit set body = replace(body, 'r2', 'r9') where seq = 2" 'delete from audit where seq = 3' 'delete from audit where seq = 4'; do
		rm -f "$BATS_TEST_TMPDIR"/store.db*
		cp "$BATS_TEST_TMPDIR/whole" "$BATS_TEST_TMPDIR/store.db"
		sql "$s"
		run -1 as-audit --verify
		has "$output" web
		has "$output" "${s##* }"
	done
}

@test "-n writes nothing" {
	rec='{"v":1,"id":"w","now":"2026-11-24T12:00:00Z","service":"web","plan":{"op":"scale-up","from":1,"to":2,"create":[],"reason":"r"}}'
	run -0 as-audit -n --intent <<<"$rec"
	run -0 as-audit -n <<<"$rec"
	is "$(jq -r .audit.outcome <<<"$output")" dry-run
	is "$(as-audit --export)" ''
}

@test "--follow keeps what the line works on beyond one lease, and its attempt is not counted again" {
	alert up '{"id": "slow"}'
	as-fetch-alerts --follow --lease 300ms >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	eventually 3 grep -q slow "$BATS_TEST_TMPDIR/out"
	for _ in 1 2 3 4 5 6 7 8; do
		sleep 0.1
		is "$(as-fetch-alerts | wc -l)" 0 'nobody else gets it'
	done
	is "$(sql 'select state, attempts from alert')" 'claimed|1'
	recorded 'done' <"$BATS_TEST_TMPDIR/out" | as-ack-alerts >/dev/null
	is "$(sql 'select state from alert')" 'done'
	kill "$pid"
	wait "$pid" || true
}

@test "--follow that is killed gives its claims back at the end of their lease" {
	alert up '{"id": "a1"}'
	as-fetch-alerts --follow --lease 300ms >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	eventually 3 grep -q a1 "$BATS_TEST_TMPDIR/out"
	kill -9 "$pid"
	wait "$pid" || true
	eventually 3 bash -c '[ -n "$(as-fetch-alerts)" ]'
	is "$(sql 'select state, attempts from alert')" 'claimed|2'
}

@test "--follow ends by itself when the line behind it is dead, also with no alert in sight" {
	run -74 bash -c 'as-fetch-alerts --follow --timeout 5s > >(exec true)'
	has "$output" 'nobody reads'
}

# held SECONDS: another program holds the store's write lock that long; returns when it has it
held() {
	sqlite3 "$BATS_TEST_TMPDIR/store.db" >"$BATS_TEST_TMPDIR/held" <<-EOF 3>&- &
		BEGIN IMMEDIATE;
		SELECT 'has it';
		.system sleep $1
		COMMIT;
	EOF
	holder=$!
	eventually 5 grep -q 'has it' "$BATS_TEST_TMPDIR/held"
}

@test "another writer holds the store: for 8 s it is waited for, after 10 s exit 75 and nothing is stored" {
	as-policy list >/dev/null
	held 8
	run -0 as-ingest <<<'{"service":"web","action":"up","id":"waited"}'
	wait "$holder"
	held 12
	start=$SECONDS
	run -75 as-ingest <<<'{"service":"web","action":"up","id":"gave-up"}'
	has "$output" 'is held by another program'
	[ $((SECONDS - start)) -lt 13 ]
	wait "$holder"
	is "$(sql 'select alert_id from alert')" waited
}
