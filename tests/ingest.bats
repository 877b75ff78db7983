# Alerts of every source that is known, as the sources document them: what becomes of them, what is the same alert, and
# that nothing is lost that cannot be understood.

load lib

setup() {
	fresh
	P=$TOP/tests/payloads
}

sql() { sqlite3 "$BATS_TEST_TMPDIR/store.db" "$1"; }

# alerts EXPRESSION: over the stored alerts, oldest first, as one line of JSON.
alerts() { sql 'select body from alert where service <> "" order by received_at, rowid' | jq -sc "map($1)"; }

# normalised EXPRESSION OPTION... <DOCUMENT
normalised() {
	local expression=$1
	shift
	as-ingest --normalize "$@" | jq -sc "map($expression)"
}

all='[.source, .key, .service, .action, .metric, .value, .threshold, .severity, .status, .rule, .starts_at, .ends_at]'

# ---- the sources: every member ----

@test "ElastAlert2, an array of 3 matches from the command alerter: 3 alerts, exit 0" {
	run -0 as-ingest --source elastalert --rule web-5xx --action scale_up --service-field docker.service <"$P/elastalert-command.json"
	is "$output" ''
	is "$(alerts "$all")" '[["elastalert","web-5xx:logs-1:M2f","web","scale-up",null,5,null,null,"firing","web-5xx","2026-11-23T23:40:16.197Z",null],["elastalert","web-5xx:logs-1:M2g","web","scale-up",null,6,null,null,"firing","web-5xx","2026-11-23T23:40:17.250Z",null],["elastalert","web-5xx:logs-1:M2h","api","scale-up",null,7,null,null,"firing","web-5xx","2026-11-23T23:40:18.000Z",null]]'
}

@test "ElastAlert2, the single match of the post alerter with its static payload" {
	is "$(normalised "$all" <"$P/elastalert-post.json")" '[["elastalert","web-cpu:logs-1:M2f","web","scale-up",null,5,3,"major","firing","web-cpu","2026-11-23T23:40:16.197Z",null]]'
}

@test "ElastAlert2, a metric match: its value, and the threshold that the rule passes" {
	is "$(normalised "$all" --rule cpu --action up --threshold 0.80 <"$P/elastalert-metric.json")" '[["elastalert","cpu","web","scale-up",null,0.95,0.8,null,"firing","cpu","2026-11-23T23:41:00.000Z",null]]'
}

@test "Alertmanager version 4: every member, numbers from annotations, label names with dots" {
	is "$(normalised "$all + [.count, .min, .max, .labels[\"team.name\"]]" <"$P/alertmanager.json")" '[["alertmanager","abc68e096d69780e","web","scale-up","cpu",92.5,80,"critical","firing","HighCPU","2026-11-24T10:00:00.500Z",null,4,2,9,"shop"],["alertmanager","0c68e096d69780ab","api","scale-up",null,null,null,null,"firing","HighCPU","2026-11-24T10:00:30.000Z",null,null,null,null,null]]'
}

@test "Grafana: the value from values, and from valueString where there is none" {
	is "$(normalised "$all" <"$P/grafana.json")" '[["grafana","c6eadffa33fcdf37","web",null,null,44.23943737541908,40,"warning","firing","High memory usage","2026-11-24T07:51:03.157Z",null],["grafana","bc97ff14869b13e3","api",null,null,-0.5,null,null,"resolved","High CPU usage","2026-11-24T09:00:00.000Z","2026-11-24T09:30:00.000Z"]]'
}

@test "CloudWatch over SNS: the alarm inside the message, dimensions as labels" {
	is "$(normalised "$all + [.labels]" --action up <"$P/cloudwatch.json")" '[["cloudwatch","22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324","web","scale-up","CPUUtilization",null,80,null,"firing","busy","2026-11-24T10:00:12.345Z",null,{"ClusterName":"shop","ServiceName":"web"}]]'
}

@test "CloudWatch with raw delivery: the same alarm without its envelope" {
	jq -r .Message "$P/cloudwatch.json" >"$BATS_TEST_TMPDIR/raw"
	is "$(normalised '[.source, .key, .service, .threshold]' <"$BATS_TEST_TMPDIR/raw")" '[["cloudwatch","arn:aws:cloudwatch:eu-west-1:123456789012:alarm:busy","web",80]]'
}

@test "CloudWatch: an alarm that lacks data is dropped, exit 0, nothing stored" {
	jq -c '.Message |= (fromjson | .NewStateValue = "INSUFFICIENT_DATA" | tojson)' "$P/cloudwatch.json" >"$BATS_TEST_TMPDIR/in"
	run -0 --separate-stderr as-ingest -v <"$BATS_TEST_TMPDIR/in"
	has "$stderr" '1 dropped'
	run as-fetch-alerts --dead
	is "$output" ''
	is "$(as-fetch-alerts)" ''
}

@test "a message of SNS that is no alarm becomes a dead letter" {
	run -65 as-ingest --service web --action up <<<'{"Type":"Notification","MessageId":"m","TopicArn":"t","Message":"backup is done"}'
	is "$(as-fetch-alerts --dead | jq -r .error)" 'not an alert of cloudwatch: it has no status'
}

@test "Kapacitor: service, metric and labels of the series, its last value, times in nanoseconds" {
	is "$(normalised "$all + [.labels]" --action up <"$P/kapacitor.json")" '[["kapacitor","cpu:web:CRITICAL","web","scale-up","cpu",93.5,null,"critical","firing","cpu:web","2026-11-24T10:00:05.123Z",null,{"host":"h1","service":"web"}]]'
	jq -c '.level = "OK" | .previousLevel = "CRITICAL"' "$P/kapacitor.json" >"$BATS_TEST_TMPDIR/ok"
	is "$(normalised '[.status, .severity, .starts_at, .ends_at]' <"$BATS_TEST_TMPDIR/ok")" '[["resolved","ok","2026-11-24T10:00:00.123Z","2026-11-24T10:00:05.123Z"]]'
	jq -c '.level = "INFO"' "$P/kapacitor.json" >"$BATS_TEST_TMPDIR/info"
	is "$(normalised '[.status, .severity]' <"$BATS_TEST_TMPDIR/info")" '[["firing","info"]]'
}

@test "Docker events: die and oom start, destroy and unhealthy recreate, anything else is dropped" {
	is "$(normalised "$all + [.container, .labels.name]" <"$P/docker-die.json")" '[["docker","3f2ab1c9d0e4:die:1795477640123456789","web","start",null,137,null,null,"firing",null,"2026-11-23T23:47:20.123Z",null,{"id":"3f2ab1c9d0e4","name":"shop-web-1","image":"shop/web:3"},"shop-web-1"]]'
	for a in die oom destroy 'health_status: unhealthy' 'health_status: healthy' start 'exec_create: sh' attach; do
		jq -c --arg a "$a" '.Action = $a' "$P/docker-die.json"
	done >"$BATS_TEST_TMPDIR/events"
	echo '{"Type":"network","Action":"destroy","Actor":{"ID":"n","Attributes":{"name":"web"}},"scope":"local","time":1,"timeNano":1}' >>"$BATS_TEST_TMPDIR/events"
	is "$(normalised .action <"$BATS_TEST_TMPDIR/events")" '["start","start","recreate","recreate"]'
	run -0 as-ingest -v <"$BATS_TEST_TMPDIR/events"
	is "$(grep -c '1 dropped' <<<"$output") $(sql 'select count(*) from alert')" '5 4'
}

@test "Docker events: the service is the label of ours before those in use elsewhere" {
	for labels in '"autoscale.service":"a","service":"b"' '"service":"b","com.docker.compose.service":"c"' '"com.docker.swarm.service.name":"d"'; do
		jq -c ".Actor.Attributes = {$labels}" "$P/docker-die.json"
	done >"$BATS_TEST_TMPDIR/events"
	is "$(normalised .service <"$BATS_TEST_TMPDIR/events")" '["a","b","d"]'
}

@test "our own form: every member as it is" {
	own='"id":"i","source":"cron","key":"k","service":"web","action":"set","count":3,"min":1,"max":9,"metric":"m","value":1.50,"threshold":1e1,"severity":"s","status":"firing","rule":"r","labels":{"a.b":"c"},"container":{"id":"x"},"starts_at"'
	run -0 as-ingest --normalize <<<"{$own:\"2026-11-24T12:00:00+02:00\"}"
	is "${output%,\"received_at\"*}" "{$own:\"2026-11-24T10:00:00.000Z\",\"ends_at\":null"
}

@test "numbers keep their bytes from every source" {
	for f in alertmanager grafana cloudwatch kapacitor elastalert-metric; do
		as-ingest --normalize --rule r --threshold 0.80 <"$P/$f.json"
	done | grep -oE '"(value|threshold)":[^,]*' >"$BATS_TEST_TMPDIR/out"
	is "$(tr '\n' ' ' <"$BATS_TEST_TMPDIR/out")" '"value":92.50 "threshold":80 "threshold":0.80 "value":44.23943737541908 "threshold":40 "value":-0.5 "threshold":0.80 "threshold":80.0 "value":93.50 "threshold":0.80 "value":0.95 "threshold":0.80 '
}

# ---- the same alert ----

@test "a redelivery, 5 times: 1 alert, seen 5, from every source" {
	for f in "$P"/*.json; do
		for _ in 1 2 3 4 5; do as-ingest --rule r --service web <"$f" 2>/dev/null; done
	done
	is "$(sql 'select distinct seen from alert')" 5
	is "$(sql 'select source, count(*) from alert group by 1 order by 1' | tr '\n' ' ')" 'alertmanager|2 cloudwatch|1 docker|1 elastalert|5 grafana|2 kapacitor|1 '
}

@test "a metric match of ElastAlert2 without --rule: exit 64 and nothing stored, not even what stood before it" {
	cat "$P/alertmanager.json" "$P/elastalert-metric.json" >"$BATS_TEST_TMPDIR/in"
	run -64 as-ingest --source elastalert --action up <"$P/elastalert-metric.json"
	has "$output" 'give --rule NAME'
	run -64 as-ingest --action up <"$BATS_TEST_TMPDIR/in"
	jq -c '[.[0], (.[0] | ._id = "x")]' "$P/elastalert-metric.json" >"$BATS_TEST_TMPDIR/mixed"
	run -64 as-ingest --action up <"$BATS_TEST_TMPDIR/mixed"
	is "$(as-fetch-alerts | wc -l) $(as-fetch-alerts --dead | wc -l)" '0 0'
}

@test "metric matches of one rule and time are told apart by their text" {
	jq -c '[.[0], (.[0] | .docker.service = "api")]' "$P/elastalert-metric.json" >"$BATS_TEST_TMPDIR/in"
	for _ in 1 2; do as-ingest --rule cpu --action up <"$BATS_TEST_TMPDIR/in"; done
	is "$(sql 'select service, seen from alert order by 1' | tr '\n' ' ')" 'api|2 web|2 '
}

@test "Alertmanager: 2 firing, then 2 resolved: 2 alerts, both done as resolved while nobody had them" {
	as-ingest <"$P/alertmanager.json"
	jq -c '.status = "resolved" | .alerts[] |= (.status = "resolved" | .endsAt = "2026-11-24T10:05:00Z")' "$P/alertmanager.json" >"$BATS_TEST_TMPDIR/over"
	for _ in 1 2; do run -0 as-ingest <"$BATS_TEST_TMPDIR/over"; done
	is "$(sql 'select state, result, seen, status, count(*) from alert group by 1, 2, 3, 4')" 'done|resolved|3|firing|2'
	is "$(as-fetch-alerts)" ''
}

@test "an alert that is over when somebody has the firing one, or is done with it, is an alert of its own" {
	as-ingest <"$P/alertmanager.json"
	as-fetch-alerts --limit 1 >"$BATS_TEST_TMPDIR/claimed"
	jq -c '.alerts[] |= (.status = "resolved" | .endsAt = "2026-11-24T10:05:00Z")' "$P/alertmanager.json" >"$BATS_TEST_TMPDIR/over"
	as-ingest <"$BATS_TEST_TMPDIR/over"
	is "$(sql 'select state, status, count(*) from alert group by 1, 2 order by 1, 2' | tr '\n' ' ')" 'claimed|firing|1 done|firing|1 new|resolved|1 '
	jq -c '.audit = {outcome: "done"}' "$BATS_TEST_TMPDIR/claimed" | as-ack-alerts >/dev/null
	as-ingest <"$BATS_TEST_TMPDIR/over"
	is "$(sql "select status, seen from alert where state = 'new'")" 'resolved|2'
}

@test "what is resolved in one episode leaves the next one alone" {
	jq -c '.alerts |= [.[0] | .startsAt = "2026-11-24T11:00:00Z"]' "$P/alertmanager.json" | as-ingest
	jq -c '.alerts |= [.[0] | .status = "resolved" | .endsAt = "2026-11-24T10:05:00Z"]' "$P/alertmanager.json" | as-ingest
	is "$(sql 'select state, status from alert order by 2' | tr '\n' ' ')" 'new|firing new|resolved '
}

@test "Kapacitor and our own form: what is over ends what waits" {
	jq -c '.level = "CRITICAL" | .previousLevel = "OK" | .duration = 0 | .time = "2026-11-24T10:00:00.123456789Z"' "$P/kapacitor.json" | as-ingest
	jq -c '.level = "OK" | .previousLevel = "CRITICAL"' "$P/kapacitor.json" | as-ingest
	printf '%s\n' '{"service":"api","key":"k","starts_at":"2026-11-24T10:00:00Z"}' '{"service":"api","key":"k","starts_at":"2026-11-24T10:00:00Z","status":"resolved"}' | as-ingest
	is "$(sql 'select service, state, result from alert order by 1' | tr '\n' ' ')" 'api|done|resolved web|done|resolved '
}

@test "endsAt in the year 1 is no time: ends_at is null" {
	is "$(normalised .ends_at <"$P/alertmanager.json")" '[null,null]'
}

@test "the same fingerprint with a new startsAt is a second alert" {
	as-ingest <"$P/alertmanager.json"
	jq -c '.alerts[0].startsAt = "2026-11-24T11:00:00Z"' "$P/alertmanager.json" | as-ingest
	is "$(sql 'select source, seen from alert order by seen' | tr '\n' ' ')" 'alertmanager|1 alertmanager|1 alertmanager|2 '
}

@test "a resolved alert that is said again after --rearm is no new one, a firing one is" {
	jq -c '.alerts |= [.[0], (.[1] | .status = "resolved" | .endsAt = "2026-11-24T10:05:00Z")]' "$P/alertmanager.json" >"$BATS_TEST_TMPDIR/in"
	as-ingest --rearm 1ms <"$BATS_TEST_TMPDIR/in"
	sleep 0.01
	as-ingest --rearm 1ms <"$BATS_TEST_TMPDIR/in"
	is "$(sql 'select status, count(*), max(seen) from alert group by 1 order by 1' | tr '\n' ' ')" 'firing|2|1 resolved|1|2 '
}

# ---- what cannot be understood ----

@test "truncated JSON: 1 dead letter, 0 alerts, exit 65; again the same one" {
	for _ in 1 2; do run -65 as-ingest < <(head -c 500 "$P/alertmanager.json"); done
	has "$output" 'kept as a dead letter'
	is "$(sql 'select state, count(*), max(seen) from alert')" 'dead|1|2'
	is "$(as-fetch-alerts)" ''
	is "$(as-fetch-alerts --dead | jq -r .raw)" "$(head -c 500 "$P/alertmanager.json")"
	is "$(as-fetch-alerts --dead | jq -r .raw_sha256)" "$(head -c 500 "$P/alertmanager.json" | sha256sum | cut -d' ' -f1)"
}

@test "NaN and Infinity outside of strings become null, a label named a.b stays" {
	run -0 as-ingest <<<'{"service":"web","action":"up","value":NaN,"threshold":-Infinity,"labels":{"a.b":"NaN","c":Infinity}}'
	is "$(alerts '[.value, .threshold, .labels]')" '[[null,null,{"a.b":"NaN","c":null}]]'
	python='[{"@timestamp":"2026-11-23T23:41:00Z","metric_agg_value":NaN,"docker":{"service":"web"},"num_hits":2,"num_matches":1}]'
	is "$(normalised '[.value]' --rule r <<<"$python")" '[[2]]' 'the next path that has a number'
}

@test "an alert keeps its own part of the notification up to 64 KiB, and the hash of any" {
	as-ingest <"$P/alertmanager.json"
	is "$(sql 'select raw from alert order by rowid' | jq -c .fingerprint | tr '\n' ' ')" '"abc68e096d69780e" "0c68e096d69780ab" '
	is "$(sql 'select raw_sha256 from alert order by rowid limit 1')" "$(sql 'select raw from alert order by rowid limit 1' | head -c -1 | sha256sum | cut -d' ' -f1)"
	pad=$(head -c 71680 /dev/zero | tr '\0' x)
	run -0 as-ingest <<<"{\"service\":\"big\",\"action\":\"up\",\"labels\":{\"pad\":\"$pad\"}}"
	is "$(sql "select raw is null, length(raw_sha256), length(body) > 71680 from alert where service = 'big'")" '1|64|1'
	as-ingest <"$P/cloudwatch.json"
	is "$(sql "select raw from alert where source = 'cloudwatch'")" "$(cat "$P/cloudwatch.json")"
}

@test "bytes that are not UTF-8: a dead letter with the hash of the bytes, and a text that can be stored" {
	printf '{"service":"w\xff\xc3eb","x":"\0"}\n{"service":"api","action":"up"}\n' >"$BATS_TEST_TMPDIR/in"
	run -65 as-ingest <"$BATS_TEST_TMPDIR/in"
	is "$(as-fetch-alerts | jq -r .service)" api
	is "$(as-fetch-alerts --dead | jq -r .raw)" $'{"service":"w\ufffd\ufffdeb","x":"\ufffd"}'
	is "$(as-fetch-alerts --dead | jq -r .raw_sha256)" "$(head -n 1 "$BATS_TEST_TMPDIR/in" | head -c -1 | sha256sum | cut -d' ' -f1)"
}

@test "a line of more than 1 MiB is not held: a dead letter with its hash alone, and the rest goes on" {
	{
		echo '{"service":"a","action":"up"}'
		head -c 3000000 /dev/zero | tr '\0' '['
		printf '\n%s\n' '{"service":"b","action":"up"}'
		head -c 1100000 /dev/zero | tr '\0' '{'
	} >"$BATS_TEST_TMPDIR/in"
	run -65 as-ingest <"$BATS_TEST_TMPDIR/in"
	has "$output" 'line 2: a document of more than 1 MiB: kept as a dead letter'
	has "$output" 'line 4: a document of more than 1 MiB: kept as a dead letter'
	is "$(as-fetch-alerts | jq -r .service | tr '\n' ' ')" 'a b '
	is "$(as-fetch-alerts --dead | jq -c '[has("raw"), .raw_sha256]' | sort)" "$(for n in 2 4; do echo "[false,\"$(sed -n ${n}p "$BATS_TEST_TMPDIR/in" | tr -d '\n' | sha256sum | cut -d' ' -f1)\"]"; done | sort)"
	run -65 as-ingest --whole < <(head -c 3000000 /dev/zero | tr '\0' '[')
	is "$(sql "select seen from alert where raw_sha256 = '$(head -c 3000000 /dev/zero | tr '\0' '[' | sha256sum | cut -d' ' -f1)'")" 2
}

@test "a dead letter that named no service is mended by giving it one" {
	run -65 as-ingest <<<'{"action":"up","value":3}'
	run -65 as-ingest <<<'not JSON at all'
	as-fetch-alerts --dead | jq -r 'select(.raw).raw' >"$BATS_TEST_TMPDIR/raw"
	run -65 as-ingest --service web <"$BATS_TEST_TMPDIR/raw"
	is "$(as-fetch-alerts | jq -c '[.service, .alert.value]')" '["web",3]'
	is "$(as-fetch-alerts --dead | wc -l)" 2
}

# ---- the outside ----

@test "a subscription of SNS: a warning, exit 0, nothing stored, and no connection of any kind" {
	run -0 bash -c 'ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=socket,connect,execve -o "$1" as-ingest <"$2"' - "$BATS_TEST_TMPDIR/trace" "$P/sns-confirmation.json"
	has "$output" 'nothing is fetched by itself'
	has "$output" 'arn:aws:sns:eu-west-1:123456789012:scale http://127.0.0.1:9/?Action=ConfirmSubscription'
	is "$(grep -c 'socket(\|connect(' "$BATS_TEST_TMPDIR/trace") $(grep -c 'execve(' "$BATS_TEST_TMPDIR/trace")" '0 1'
	[ ! -e "$BATS_TEST_TMPDIR/store.db" ] || is "$(sql 'select count(*) from alert')" 0
}

@test "the store is down: exit 75 in less than 3 s" {
	[ -e "$AS_BIN/../lib/autoscale/mongodb.so" ] || skip 'no driver for a store that can be down'
	export AUTOSCALE_ALERTS=mongodb://127.0.0.1:1/as
	start=$EPOCHREALTIME
	run -75 as-ingest <"$P/alertmanager.json"
	is "$(jq -n "$EPOCHREALTIME - $start < 3")" true
}

@test "a store that may not be written is 77, one of a newer schema 78, and neither is changed" {
	[ "$(id -u)" = 0 ] || skip 'needs root, to mount'
	mkdir "$BATS_TEST_TMPDIR/ro"
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/ro/s.db
	as-ingest <"$P/alertmanager.json"
	before=$(cat "$BATS_TEST_TMPDIR/ro"/* | sha256sum)
	run -77 unshare -m bash -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && as-ingest <"$2"' - "$BATS_TEST_TMPDIR/ro" "$P/kapacitor.json"
	is "$(cat "$BATS_TEST_TMPDIR/ro"/* | sha256sum)" "$before"
	sqlite3 "$BATS_TEST_TMPDIR/ro/s.db" "update schema_version set version = 99 where version = (select max(version) from schema_version)"
	run -78 as-ingest <"$P/kapacitor.json"
	is "$(sqlite3 "$BATS_TEST_TMPDIR/ro/s.db" 'select count(*) from alert')" 2
}

@test "standard output of as-fetch-alerts closed early: nothing that was claimed is lost" {
	for i in $(seq 3000); do echo "{\"id\":\"a$i\",\"service\":\"web\",\"action\":\"up\"}"; done | as-ingest
	run bash -c 'as-fetch-alerts --lease 300ms --limit 3000 | head -n 1 >"$1"; exit "${PIPESTATUS[0]}"' - "$BATS_TEST_TMPDIR/first"
	is "$status" 74
	is "$(jq -r .id "$BATS_TEST_TMPDIR/first" | wc -l)" 1
	again() {
		as-fetch-alerts --limit 3000 >>"$BATS_TEST_TMPDIR/rest"
		[ "$(jq -r .id "$BATS_TEST_TMPDIR/rest" | wc -l)" = 3000 ]
	}
	eventually 5 again
	is "$(jq -r .id "$BATS_TEST_TMPDIR/rest" | sort -u | wc -l)" 3000
}

# ---- options and mappings ----

# manual_block N: of the examples of autoscale-mapping(5)
manual_block() { awk '/^\.Sh / { on = $2 == "EXAMPLES" } /^\.Bd/ { n++; inside = 1; next } /^\.Ed/ { inside = 0 } on && inside && n == want' want="$1" "$TOP/man/autoscale-mapping.5"; }

@test "the mapping that autoscale-mapping(5) shows reads the notification that it shows" {
	manual_block 1 >"$BATS_TEST_TMPDIR/in"
	manual_block 2 >"$BATS_TEST_TMPDIR/m.ini"
	run -0 as-ingest --whole --mapping "$BATS_TEST_TMPDIR/m.ini" <"$BATS_TEST_TMPDIR/in"
	is "$(alerts "$all + [.labels]")" '[["checker","web:queue","web","scale-up","depth",640,null,null,"firing","queue","2026-11-23T23:47:15.632Z",null,{"team":"shop","app":"web"}]]'
	sed 's/"state":2/"state":0/' "$BATS_TEST_TMPDIR/in" | as-ingest --whole --mapping "$BATS_TEST_TMPDIR/m.ini"
	is "$(sql 'select state, result from alert')" 'done|resolved'
}

@test "a mapping is named in the configuration, and the option comes before it" {
	printf '[conf]\nwhen = x\nservice = "from-conf"\n' >"$BATS_TEST_TMPDIR/conf.ini"
	printf '[option]\nwhen = x\nservice = "from-option"\n' >"$BATS_TEST_TMPDIR/option.ini"
	printf '[ingest]\nmapping = %s\n' "$BATS_TEST_TMPDIR/conf.ini" >"$AUTOSCALE_CONF"
	is "$(normalised '[.source, .service]' <<<'{"x":1}')" '[["conf","from-conf"]]'
	is "$(normalised '[.source, .service]' --mapping "$BATS_TEST_TMPDIR/option.ini" <<<'{"x":1}')" '[["option","from-option"]]'
}

@test "a bad mapping is named with its line, exit 78, and nothing is read" {
	printf '[mine]\nwhen = x\n\nservcie = y\n' >"$BATS_TEST_TMPDIR/m.ini"
	run -78 as-ingest --mapping "$BATS_TEST_TMPDIR/m.ini" <<<'{"service":"web"}'
	is "$output" "as-ingest: $BATS_TEST_TMPDIR/m.ini:4: unknown key \"servcie\" (did you mean \"service\"?)"
	run -78 as-ingest --mapping "$BATS_TEST_TMPDIR/nosuch.ini" <<<'{"service":"web"}'
	has "$output" "$BATS_TEST_TMPDIR/nosuch.ini: No such file"
	[ ! -e "$BATS_TEST_TMPDIR/store.db" ]
}

@test "--source forces a source; --service-field takes any path; what is no path or number is a wrong use" {
	is "$(normalised '[.source, .service, .value]' --source alertmanager <<<'{"labels":{"service":"web"},"annotations":{"value":"2"}}')" '[["alertmanager","web",2]]'
	is "$(normalised '[.source, .service]' --source elsewhere <<<'{"service":"web","source":"x"}')" '[["elsewhere","web"]]'
	is "$(normalised .service --service-field 'labels["team.name"]' <"$P/alertmanager.json" 2>/dev/null)" '["shop"]'
	run -64 as-ingest --service-field 'labels[' <<<'{}'
	run -64 as-ingest --threshold high <<<'{}'
	run -64 as-ingest --source 'a b' <<<'{}'
	run -64 as-ingest --source "$(printf '%064d' 0)" <<<'{}'
}

@test "as-listen knows the same sources and the mapping of the configuration, and warns of a subscription" {
	printf '[conf]\nwhen = x\nservice = "from-conf"\n' >"$BATS_TEST_TMPDIR/conf.ini"
	printf '[ingest]\nmapping = %s\n' "$BATS_TEST_TMPDIR/conf.ini" >"$AUTOSCALE_CONF"
	as-listen --listen 127.0.0.1:0 2>"$BATS_TEST_TMPDIR/log" 3>&- &
	listener=$!
	eventually 10 grep -q ' listening on ' "$BATS_TEST_TMPDIR/log"
	url=$(sed -n 's/^as-listen: listening on //p' "$BATS_TEST_TMPDIR/log")
	got=$(for d in '{"x":1}' "@$P/kapacitor.json" "@$P/sns-confirmation.json"; do curl -sS --max-time 10 -d "$d" "$url/" | jq -c .stored; done)
	kill "$listener"
	wait "$listener" || true
	is "$(tr '\n' ' ' <<<"$got")" '1 1 0 '
	is "$(sql 'select source, service from alert order by 1' | tr '\n' ' ')" 'conf|from-conf kapacitor|web '
	has "$(cat "$BATS_TEST_TMPDIR/log")" 'nothing is fetched by itself'
	sed -i s/when/wehn/ "$BATS_TEST_TMPDIR/conf.ini"
	run -78 as-listen --listen 127.0.0.1:0
	has "$output" 'conf.ini:2: unknown key "wehn"'
}

@test "examples: the command of the ElastAlert2 rule stores its matches" {
	mapfile -t command < <(sed -n 's/^command: //p' "$TOP/examples/elastalert-rule.yaml" | jq -r '.[]' | sed 's/%(docker.service)s/web/')
	run -0 "${command[@]}" <"$P/elastalert-command.json"
	is "$(alerts '[.source, .rule, .action, .service]' | jq -c unique)" '[["elastalert","web-5xx","scale-up","api"],["elastalert","web-5xx","scale-up","web"]]'
}

@test "examples: what Prometheus and Alertmanager would send by them asks for the action" {
	! command -v promtool || promtool check rules "$TOP/examples/prometheus-rules.yml"
	! command -v amtool || amtool check-config "$TOP/examples/alertmanager.yml"
	labels=$(sed -n 's/.*labels: {service: [^,]*, \(.*\)}/\1/p' "$TOP/examples/prometheus-rules.yml" | sed -E 's/([a-z]+): ([a-z-]+)/"\1": "\2"/g')
	while read -r l; do
		jq -nc --argjson l "{$l}" '{version: "4", alerts: [{status: "firing", labels: ($l + {service: "web"}), annotations: {value: "120.5", threshold: "100"}, startsAt: "2026-11-24T10:00:00Z", fingerprint: $l.action}]}'
	done <<<"$labels" >"$BATS_TEST_TMPDIR/in"
	is "$(normalised '[.action, .metric, .value, .threshold]' <"$BATS_TEST_TMPDIR/in")" '[["scale-up","sessions",120.5,100],["scale-down","sessions",120.5,100]]'
}
