# The report of a real run, in a real browser: services behind HAProxy with real load, what failed, and hostile text.
# And the same trail as numbers for Prometheus.

load lib
load balancers
load track
BALANCERS=haproxy

setup_file() {
	"$TOP/tests/deps.sh" browser prometheus >&2
	rig_up docker haproxy
	export DAY=$BATS_FILE_TMPDIR
	{
		set +eET
		trap - ERR DEBUG EXIT
		(set -e; the_run) >"$DAY/out" 2>&1
		echo $? >"$DAY/status"
		set -eET
	} 3>&-
	all_quit
	wipe
}
teardown_file() { rig_down; }

own() { export AUTOSCALE_STORE=sqlite:$DAY/store.db AUTOSCALE_CONF=$DAY/as.conf AS_LOCK=$DAY/lock; }
setup() {
	own
	is "$(cat "$DAY/status")" 0 "$(tail -n 40 "$DAY/out")"
}

# Two services. `haproxy` follows its connections and would take more than its max; `shop` has alerts, one that nobody
# understands, and a copy whose name a stranger has.
the_run() {
	local id
	own
	lb_section haproxy >"$AUTOSCALE_CONF"
	tracked haproxy '{"autoscale.max": "4", "autoscale.window-down": "2s"}'
	container shop '{"autoscale.service": "shop", "autoscale.max": "3", "autoscale.cooldown-down": "0"}'
	as-policy set haproxy target='lb.connections=4'
	as-policy set fleet service='*' min=1
	pass dawn
	clients haproxy first 12 /wait/1000
	eventually 30 in_flight 12
	pass_until morning 1
	asked_for scale-up ',"value":164,"threshold":100'
	clients haproxy second 8 /wait/1000
	eventually 30 in_flight 20
	pass_until noon 1
	for _ in 1 2 3 4; do pass afternoon; done
	asked_for scale-up ',"value":131.5,"threshold":100'
	quit haproxy first
	eventually 30 in_flight 8
	pass_until evening 1
	asked_for scale-down ',"value":12,"threshold":20'
	quit haproxy second
	id=$(container shop-2 '{}')
	! asked_for scale-up ',"value":140,"threshold":100' || return
	api DELETE "/containers/$id?force=1"
	! asked_for 'explode<script>alert(1)</script>' '' || return
	pass night
	as-audit --export >"$DAY/export"
	as-policy list >"$DAY/policies"
	as-report --title 'A real run' <"$DAY/export" >"$DAY/report.html"
	"$TOP/tests/page.py" "$DAY/report.html" >"$DAY/page"
	"$TOP/tests/browser.py" "$DAY/report.html" "$DAY" >"$DAY/looks"
}
# asked_for ACTION MORE: one pass over an alert of the shop's that says so
asked_for() {
	echo "{\"service\":\"shop\",\"action\":\"$1\",\"metric\":\"shop.queue\"$2}" | as-ingest
	"$TOP/pipelines/autoscale" >/dev/null
}

# says FILTER: of the page of the run
says() { jq -c "$1" "$DAY/page"; }
# looks FILTER: of the page in the browser; one line where all four windows agree
looks() { jq -c "$1" "$DAY/looks" | sort -u; }
# page FILTER: of what as-report makes of standard input
page() {
	as-report >"$BATS_TEST_TMPDIR/page.html" || return
	"$TOP/tests/page.py" "$BATS_TEST_TMPDIR/page.html" | jq -c "$1"
}
# record SERVICE SECONDS OP FROM TO [MORE-JSON]: one of that second of a day
record() {
	jq -nc --arg s "$1" --argjson t "$2" --arg op "$3" --argjson from "$4" --argjson to "$5" --argjson more "${6:-{\}}" '
		{v: 1, id: "r", now: (1764547200 + $t | strftime("%FT%T.000Z")), service: $s, policy: {min: 1, max: 4, from: {min: "default", max: "label"}},
		 plan: {op: $op, from: $from, to: $to, create: [], start: [], remove: [], reason: "\($from) -> \($to)"},
		 audit: {outcome: (if $op == "none" then "none" else "done" end)}} * $more'
}

# ---- what it says ----

@test "the numbers of a real run are those of pipelines/replay" {
	want=$("$TOP/pipelines/replay" --json recorded "$DAY/policies" | jq -c 'select(.service) | [.service, .old.out, .old.in, .old.repairs,
		.old.replica_seconds, .old.seconds_over_target]')
	is "$(says '.services[] | [.service, .out, .in, .repairs, .replica_seconds, .seconds_over_target]')" "$want"
	[ "$(says '.services[0] | .seconds_over_target > 0 and .seconds_at_max > 0 and .out == 2 and .in == 1')" = true ]
}

@test "a replay is shown with its own numbers, which are those of pipelines/replay, and beside it how it was" {
	jq -c 'if .name == "haproxy" then .target |= map_values(8) else . end' "$DAY/policies" >"$BATS_TEST_TMPDIR/more"
	want=$("$TOP/pipelines/replay" --json recorded "$BATS_TEST_TMPDIR/more" | jq -c 'select(.service) | [.service, .new.out, .new.in, .new.repairs,
		.new.replica_seconds, .new.seconds_over_target]')
	as-resolve-policy --policies "$BATS_TEST_TMPDIR/more" <"$DAY/export" | as-decide --simulate >"$BATS_TEST_TMPDIR/replay"
	is "$(page '.services[] | [.service, .out, .in, .repairs, .replica_seconds, .seconds_over_target]' <"$BATS_TEST_TMPDIR/replay")" "$want"
	[ "$want" != "$(says '.services[] | [.service, .out, .in, .repairs, .replica_seconds, .seconds_over_target]')" ]
	is "$(page '.sections | map_values(.drawings[0] | has("recorded"))' <"$BATS_TEST_TMPDIR/replay")" '{"haproxy":true,"shop":false}'
	has "$(page '.notes' <"$BATS_TEST_TMPDIR/replay")" 'This is a replay'
}

@test "the same policies replayed: the same page but for what it says of itself" {
	as-resolve-policy --policies "$DAY/policies" <"$DAY/export" | as-decide --simulate >"$BATS_TEST_TMPDIR/replay"
	is "$(page '[.services, .sections]' <"$BATS_TEST_TMPDIR/replay")" "$(says '[.services, .sections]')"
}

@test "every action of a real run is there with its time, outcome, reason and policy versions" {
	jq -c 'select(.plan.op != "none") | {at: .now, decision: "\(.plan.op) \(.plan.from) → \(.plan.to)", outcome: .audit.outcome, reason: .plan.reason,
		policy: ([.policy.from[] | select(startswith("db:"))] | unique | join(", "))}' "$DAY/export" | sort >"$BATS_TEST_TMPDIR/want"
	is "$(wc -l <"$BATS_TEST_TMPDIR/want")" 7
	says '.sections[].decisions[] | select(.decision != "none") | {at, decision, outcome, reason,
		policy: (.policy | split(", ") | sort | join(", "))}' | sort | diff "$BATS_TEST_TMPDIR/want" -
}

@test "what failed is told, with the stage and its words" {
	is "$(says '.sections.shop.failures[0].what')" \
		'"as-clone conflict: host local: 409 name \"shop-2\" is in use by a container that is not of this operation (not ours)\nas-clone create shop-2"'
	has "$(says '.sections.shop.failures[1].what')" 'as-decide refused: the alert asks for the unknown action'
	is "$(says '[.services[].failures]')" '[0,2]'
}

@test "steps and load balancer entries that are not ok are failures, without an error too" {
	record web 0 scale-up 1 2 '{"steps": [{"stage": "as-clone", "do": "create", "name": "web-1", "ok": true, "message": ""},
		{"stage": "as-clone", "do": "ready", "name": "web-1", "ok": false, "message": "not ready in 60 s"}],
		"lb": [{"lb": "edge", "do": "attach", "server": "as-0123", "ok": false, "message": "no answer"}]}' >"$BATS_TEST_TMPDIR/in"
	is "$(page '.sections.web.failures[].what' <"$BATS_TEST_TMPDIR/in")" \
		'"as-clone ready web-1: not ready in 60 s\nas-lb-update attach as-0123 edge: no answer"'
}

@test "each count holds until the next decision, whatever the order of the records" {
	{ record web 100 scale-up 1 4; record web 0 none 1 1; record web 400 none 2 2; record web 300 scale-down 4 2; } >"$BATS_TEST_TMPDIR/in"
	is "$(page '.services[] | [.replica_seconds, .seconds_at_max, .hours, .replicas]' <"$BATS_TEST_TMPDIR/in")" '[1100,200,"0.31","2 (1 to 4)"]'
	is "$(page '.sections.web.drawings[0].count' <"$BATS_TEST_TMPDIR/in")" '"M0 300h0H1000V0H3000V200H4000"'
}

@test "decisions to do nothing that differ in numbers only are one line, and an action never is" {
	{ for i in 0 15 30; do record web $i none 2 2 "{\"plan\": {\"reason\": \"load 1.$i, held\"}}"; done
		record web 45 scale-up 2 3; record web 60 scale-up 3 4; record web 75 none 4 4; } >"$BATS_TEST_TMPDIR/in"
	is "$(page '.sections.web.decisions[] | [.decision, .reason]' <"$BATS_TEST_TMPDIR/in" | tr '\n' ' ')" \
		'["none","load 1.30, held"] ["scale-up 2 → 3","2 -> 3"] ["scale-up 3 → 4","3 -> 4"] ["none","4 -> 4"] '
	has "$(page '.sections.web.decisions[0].time' <"$BATS_TEST_TMPDIR/in")" '3 times'
}

# ---- how it looks ----

@test "title, language, one heading; every table has a caption and every header its scope; drawings are named, links lead somewhere" {
	is "$(looks '[.title, .lang, .h1, .captions, .bare_th, .unnamed, .dead_links]')" '["A real run","en",1,0,0,0,0]'
	is "$(looks '[.tables, .drawings]')" '[4,4]'
	is "$(wc -l <"$DAY/looks")" 4
}

@test "it is well formed, nested as HTML wants it, and refers to nothing outside" {
	says .h1
	is "$(grep -ciE '<script|<link|<iframe|<object|<img|javascript:' "$DAY/report.html")" 0
}

@test "the browser asks for nothing else, runs nothing and complains of nothing" {
	is "$(looks '[.said, .scripts, .handlers]')" '[[],0,0]'
}

@test "text and lines are readable on their ground, light and dark" {
	is "$(jq -c 'select(.contrast.ratio < 4.5 or .line_contrast.ratio < 4.5 or .smallest < 12) | [.width, .scheme, .contrast, .line_contrast, .smallest]' "$DAY/looks")" ''
	is "$(looks .scheme | tr '\n' ' ')" '"dark" "light" '
}

@test "nothing is wider than a window of 400 pixels, and no labels of an axis touch" {
	is "$(jq -c 'select(.overflow > 0 or .outside != [] or .label_gap < 4) | [.width, .overflow, .outside, .label_gap]' "$DAY/looks")" ''
	is "$(looks .width | tr '\n' ' ')" '1400 400 '
}

@test "light and dark differ, and it is printed" {
	! cmp -s "$DAY/1400-light.png" "$DAY/1400-dark.png" || return
	is "$(head -c 5 "$DAY/page.pdf")" %PDF-
	[ "$(grep -ac '/Type */Page\b' "$DAY/page.pdf")" -ge 1 ]
}

# ---- what comes in ----

@test "hostile text is shown and does nothing: markup, quotes, control codes, turned writing" {
	evil='</td></table><script>alert(1)</script><img src=x onerror=alert(2)>" onload="x'\'' &amp; ]]> <!-- \u0000 '
	jq -nc --arg e "$evil" '($e + "\u001b[31m\u0007\u0085\u202e\u2066\u200b\u2028\ufeff\uffff\n\r\t" + "אבג") as $e
		| {v: 1, id: $e, now: "2026-01-01T00:00:00Z", service: ("</h2><script>alert(3)</script>\u202e\"" + "x" * 24),
		 alert: {id: $e, metric: $e, value: 9, threshold: 5}, metrics: [{name: $e, value: 3, per: "service", ok: true}],
		 policy: {min: 1, max: 3, target: {($e): 2}, from: {min: ("db:" + $e), max: $e}},
		 plan: {op: $e[:15], from: 1, to: 1, reason: ($e * 20)}, audit: {outcome: $e[:15]},
		 steps: [{stage: $e, do: $e, name: $e, ok: false, message: $e}], lb: [{do: $e, server: $e, lb: $e, ok: false, message: $e}],
		 error: {stage: $e, code: $e, message: $e}}' >"$BATS_TEST_TMPDIR/in"
	as-report --title "$(printf '<b>\xff\xc0\xbc\xed\xa0\x80 \x1b"')" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/page.html"
	"$TOP/tests/page.py" "$BATS_TEST_TMPDIR/page.html" >"$BATS_TEST_TMPDIR/said"
	is "$(LC_ALL=C grep -caP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xc2[\x80-\x9f]' "$BATS_TEST_TMPDIR/page.html")" 0
	is "$(iconv -f utf-8 -t utf-8 "$BATS_TEST_TMPDIR/page.html" | wc -c)" "$(wc -c <"$BATS_TEST_TMPDIR/page.html")"
	has "$(jq -r '.sections[].decisions[0].reason' "$BATS_TEST_TMPDIR/said")" '<script>alert(1)</script>'
	has "$(jq -r '.sections[].decisions[0].reason' "$BATS_TEST_TMPDIR/said")" '\x1b[31m\x07\x85\u202e\u2066\u200b\u2028\ufeff\uffff\n\x0d\x09אבג'
	mkdir "$BATS_TEST_TMPDIR/shots"
	"$TOP/tests/browser.py" "$BATS_TEST_TMPDIR/page.html" "$BATS_TEST_TMPDIR/shots" >"$BATS_TEST_TMPDIR/hostile"
	is "$(jq -c '[.said, .scripts, .handlers, .overflow, .outside]' "$BATS_TEST_TMPDIR/hostile" | sort -u)" '[[],0,0,0,[]]'
}

@test "lines that are no records are told, and the page has the others" {
	{ echo nonsense; record web 0 none 1 1; printf '{"v":1,"now":"2026-01-01T00:00:00Z","service":"\xff"}\n'; echo '{"service":"\ud800"}'
		echo '{"v":2,"service":"web","now":"2026-01-01T00:00:00Z"}'; echo '{"service":"web"}'; record web 9 none 1 1; } >"$BATS_TEST_TMPDIR/in"
	run -65 --separate-stderr as-report <"$BATS_TEST_TMPDIR/in"
	is "$(grep -o 'line [0-9]' <<<"$stderr" | tr '\n' ' ')" 'line 1 line 3 line 4 line 5 line 6 '
	printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/page.html"
	has "$("$TOP/tests/page.py" "$BATS_TEST_TMPDIR/page.html" | jq -c .header)" '2 decisions on 1 service'
}

@test "nothing in is a page that says so; a record without a plan is left out, and told" {
	is "$(page '[.header, .services]' </dev/null)" '[["0 decisions on 0 services."],[]]'
	has "$(echo '{"v":1,"service":"web","now":"2026-01-01T00:00:00Z","observed":{}}' | page .notes)" '1 record has no plan'
	is "$(echo '{"v":1,"service":"web","now":"2026-01-01T00:00:00Z","error":{"stage":"as-inspect","code":"unavailable","message":"down"}}' |
		page '.sections.web.failures[].what')" '"as-inspect unavailable: down"'
}

@test "a clock that was wrong by centuries makes no large page" {
	{ record web 0 none 1 1; record web 9 none 1 1 '{"now": "0001-01-01T00:00:00Z"}'; record web 9 none 1 1 '{"now": "9999-12-31T23:59:59Z"}'; } |
		as-report >"$BATS_TEST_TMPDIR/page.html"
	[ "$(wc -c <"$BATS_TEST_TMPDIR/page.html")" -lt 20000 ]
	"$TOP/tests/page.py" "$BATS_TEST_TMPDIR/page.html" >/dev/null
}

@test "a page that could not be written is told" { run -74 bash -c 'as-report </dev/null >/dev/full'; }

@test "a hundred thousand records: within seconds and 40 MB, no peak is lost, what is cut is told" {
	record web 0 none 2 2 '{"metrics": [{"name": "m", "value": 20, "per": "service", "ok": true}], "policy": {"target": {"m": 10}, "max": 100}}' >"$BATS_TEST_TMPDIR/one"
	# of a second each; one action in fifty, and in the middle, for one second, a peak and a hole
	awk '{ split($0, p, "\"now\":\"[^\"]*\""); now = 1764547200
		for (i = 0; i < 100000; i++) { line = $0
			sub(/"now":"[^"]*"/, "\"now\":\"" strftime("%Y-%m-%dT%H:%M:%S.000Z", now + i, 1) "\"", line)
			if (i % 50 == 0) { sub(/"op":"none"/, "\"op\":\"recreate\"", line); sub(/"outcome":"none"/, "\"outcome\":\"done\"", line) }
			if (i == 51234) { sub(/"to":2/, "\"to\":90", line); sub(/"op":"none"/, "\"op\":\"scale-up\"", line)
				sub(/"outcome":"none"/, "\"outcome\":\"done\"", line); sub(/"value":20/, "\"value\":1900", line) }
			print line } }' "$BATS_TEST_TMPDIR/one" >"$BATS_TEST_TMPDIR/in"
	command time -f '%M %e' -o "$BATS_TEST_TMPDIR/took" as-report <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/page.html"
	read -r kib seconds <"$BATS_TEST_TMPDIR/took"
	[ "$kib" -lt $((40000 * (1 + 9 * (0${SANITIZE:+1})))) ] || { echo "# $kib KiB"; return 1; }
	[ "${seconds%.*}" -lt 60 ]
	[ "$(wc -c <"$BATS_TEST_TMPDIR/page.html")" -lt 1000000 ]
	"$TOP/tests/page.py" "$BATS_TEST_TMPDIR/page.html" >"$BATS_TEST_TMPDIR/said"
	is "$(jq -c '.services[] | [.replicas, .out, .repairs, .replica_seconds]' "$BATS_TEST_TMPDIR/said")" '["2 (2 to 90)",1,2000,200086]'
	has "$(jq -c '.sections.web.drawings[0].label' "$BATS_TEST_TMPDIR/said")" 'highest 90'
	# 90 of 100 is 360 units above the lower edge, 1900 of 2000 is 380
	has "$(jq -c '.sections.web.drawings[0].count' "$BATS_TEST_TMPDIR/said")" 'V40H'
	has "$(jq -c '.sections.web.drawings[1].curve' "$BATS_TEST_TMPDIR/said")" ' 20L'
	is "$(jq -c '.sections.web.decisions | length <= 1000' "$BATS_TEST_TMPDIR/said")" true
	has "$(jq -c .notes "$BATS_TEST_TMPDIR/said")" 'The tables are cut'
}

@test "many services: all are in the table, those with failures and actions have charts" {
	for i in $(seq 300); do echo "s$i"; done | jq -Rc '. as $s | {v: 1, now: "2026-01-01T00:00:00Z", service: $s,
		policy: {min: 1}, plan: {op: "none", from: 1, to: 1, reason: "x"}, audit: {outcome: "none"}}' >"$BATS_TEST_TMPDIR/in"
	record zzz 0 scale-up 1 2 >>"$BATS_TEST_TMPDIR/in"
	is "$(page '[(.services | length), (.sections | length), (.sections | has("zzz"))]' <"$BATS_TEST_TMPDIR/in")" '[301,200,true]'
}

# ---- numbers for Prometheus ----

@test "the trail as numbers: promtool takes them" {
	as-audit --export --format prometheus >"$BATS_TEST_TMPDIR/autoscale.prom"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/autoscale.prom"
	is "$output" ''
}

@test "the trail as numbers: they are those of the history and the trail" {
	as-audit --export --format prometheus >"$BATS_TEST_TMPDIR/autoscale.prom"
	is "$(grep '^autoscale_actions_total' "$BATS_TEST_TMPDIR/autoscale.prom")" "$(as-audit --history | jq -sr 'group_by(.service, .action, .outcome)[]
		| "autoscale_actions_total{service=\"\(.[0].service)\",op=\"\(.[0].action)\",outcome=\"\(.[0].outcome)\"} \(length)"')"
	is "$(grep '^autoscale_decisions_total' "$BATS_TEST_TMPDIR/autoscale.prom")" "$(jq -sr 'group_by(.service, .audit.outcome)[]
		| "autoscale_decisions_total{service=\"\(.[0].service)\",outcome=\"\(.[0].audit.outcome)\"} \(length)"' "$DAY/export")"
	is "$(grep -E '^autoscale_(replicas|failures)' "$BATS_TEST_TMPDIR/autoscale.prom")" 'autoscale_replicas{service="haproxy"} 2
autoscale_replicas{service="shop"} 2
autoscale_replicas_min{service="haproxy"} 1
autoscale_replicas_min{service="shop"} 1
autoscale_replicas_max{service="haproxy"} 4
autoscale_replicas_max{service="shop"} 3
autoscale_failures_total{service="shop",stage="as-clone",code="conflict"} 1
autoscale_failures_total{service="shop",stage="as-decide",code="refused"} 1'
	last=$(as-audit --history --service shop | tail -n 1 | jq -r '.at | (.[:19] + "Z" | fromdate | tostring) + .[19:23]')
	has "$(cat "$BATS_TEST_TMPDIR/autoscale.prom")" "autoscale_last_action_timestamp_seconds{service=\"shop\"} $last"
	is "$(as-audit --export --format prometheus --service shop | grep -c haproxy)" 0
}

@test "the trail as numbers: text from outside stays in its label" {
	fresh
	record 'a"b\c' 0 none 1 1 '{"error": {"stage": "x\ny{}\"", "code": "\u001b", "message": "m"}}' | as-audit >/dev/null || [ $? = 1 ]
	run -0 as-audit --export --format prometheus
	has "$output" 'autoscale_failures_total{service="a\"b\\c",stage="x\ny{}\"",code="?"} 1'
	is "$(promtool check metrics <<<"$output" 2>&1)" ''
}

@test "the trail as numbers: wrong use is told" {
	run -64 as-audit --format prometheus
	run -64 as-audit --export --format xml
	has "$output" 'records and prometheus'
	run -64 as-audit --export --format prometheus --since 1h
}
