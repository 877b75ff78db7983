# What as-sample measures without a load balancer: containers, Prometheus, programs, files.
# shellcheck disable=SC2016,SC2154 # $service is as-sample's; run makes stderr

load lib

setup_file() { rig_up docker tls prometheus=2; }
teardown_file() { rig_down; }

setup() {
	fresh
	cd "$BATS_TEST_TMPDIR" || return
	umask 022
	mkdir programs files
	conf
}
teardown() {
	local pid
	for pid in ${PIDS:-}; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	wipe
}

# conf [LINE ...]: these folders, and what else there is in [metrics]
conf() { printf '%s\n' '[metrics]' "programs = $PWD/programs" "files = $PWD/files" "$@" >"$AUTOSCALE_CONF"; }

# program NAME: its lines are on standard input
program() { (echo '#!/bin/sh' && cat) >"programs/$1" && chmod 755 "programs/$1"; }

# asks NAME ...: a record whose policy, a label's, has these targets. row NAME ...: a row's of the store.
asks() { record label "$@"; }
row() { record db:web@1 "$@"; }
record() {
	jq -nc --arg from "$1" --arg service "${SERVICE:-web}" '{v: 1, id: "1", now: "2026-11-24T19:00:00Z", service: $service,
		policy: {target: ($ARGS.positional | map({(.): 1}) | add), from: {target: $from}}}' --args "${@:2}"
}

# values: what was measured, one a line, in the order of the names
values() { as-sample | jq -c '.metrics[] | if .ok then .value else .message end'; }

# none WORDS: there is one measurement, it has no value, and its message has these words
none() {
	is "$(jq -c '.metrics | map([.value, .ok])' <<<"$output")" '[[null,false]]'
	has "$(jq -r '.metrics[0].message' <<<"$output")" "$1"
}

# no_values N: there are so many measurements, and none of them has a value
no_values() { is "$(jq -c '[(.metrics | length), (.metrics | map([.value, .ok]) | unique)]' <<<"$output")" "[$1,[[null,false]]]"; }

no_process() { ! pgrep -f "$1"; }

# ---- programs ----

@test "exec: a program's number is the service's total" {
	program jobs <<<'echo 12.5'
	asks exec:jobs | as-sample >out
	is "$(jq -c '.metrics[] | del(.at)' out)" '{"name":"exec:jobs","value":12.5,"unit":"","per":"service","source":"exec:jobs","ok":true}'
	is "$(jq -r '.metrics[0].at | fromdateiso8601? // sub("\\.[0-9]+Z"; "Z") | if type == "string" then fromdateiso8601 else . end | (now - .) < 60' out)" true
}

@test "exec: replica: before the name makes it an average, and so does per in what is printed, over the name" {
	program n <<<'echo 3'
	program each <<<"echo '{\"value\": 2, \"per\": \"replica\", \"unit\": \"jobs\", \"at\": \"2026-11-24T18:59:00Z\"}'"
	program all <<<"echo '{\"value\": 1, \"per\": \"service\", \"at\": 1795546740.25}'"
	run -0 jq -c '.metrics[] | [.name, .value, .per, .unit, .at]' <(asks replica:exec:n exec:each replica:exec:all | as-sample)
	has "${lines[0]}" '["exec:each",2,"replica","jobs","2026-11-24T18:59:00.000Z"]'
	has "${lines[1]}" '["replica:exec:all",1,"service","","2026-11-24T18:59:00.250Z"]'
	has "${lines[2]}" '["replica:exec:n",3,"replica","",'
}

@test "exec: numbers are exact to the millionth, however they are written" {
	program say <<<'cat "$AUTOSCALE_SERVICE" 2>/dev/null; echo "$1"'
	run -0 values < <(asks 'exec:say .5' 'exec:say 0.1234567' 'exec:say 1.5e3' 'exec:say 99999999999999')
	is "$output" '0.5
0.123457
1500
"'"$PWD/programs/say"' prints: 99999999999999, which is too large"'
	run -0 as-sample < <(asks 'exec:say 922337203685.477581')
	has "$output" '"value":922337203685.477581,' # jq would round it
}

@test "exec: what is not one number is no value: nothing, words, two numbers, NaN, an object without value or with two" {
	local asked=() text
	program say <<<"cat $PWD/text.\$1"
	for text in '' 'twelve' '1 2' $'1\n2' NaN Infinity 0x10 +5 1. '"5"' '[5]' '{"valu":5}' '{"value":"5"}' '{"value":null}' \
		'{"value":1,"value":2}' '{"value":1}{' '{"value":1,"per":"container"}' '{"value":1,"at":"noon"}' '{"value":1,"unit":7}' \
		'{"value":1e99}' $'\xff'; do
		printf '%s' "$text" >"text.${#asked[@]}"
		asked+=("exec:say ${#asked[@]}")
	done
	run -0 --separate-stderr as-sample < <(asks "${asked[@]}")
	is "$stderr" ''
	no_values 21
	is "$(jq --arg words "$PWD/programs/say prints: " '.metrics | map(select(.message | startswith($words))) | length' <<<"$output")" 21
}

@test "exec: a status other than 0 is no value, and the last line of standard error says why" {
	program db <<-'END'
		echo 5
		echo 'some trace' >&2
		echo 'cannot log in to db-1' >&2
		exit 3
	END
	run -0 --separate-stderr as-sample < <(asks exec:db)
	none 'ended with status 3: cannot log in to db-1'
	is "$stderr" ''
	run -0 --separate-stderr as-sample -v < <(asks exec:db)
	has "$stderr" "web, $PWD/programs/db: some trace"
	program db <<<'kill -9 $$'
	run -0 as-sample < <(asks exec:db)
	none 'was ended by signal 9'
}

@test "exec: a program gets the service's name, the time, PATH, its arguments and the record, and nothing else" {
	program show <<-'END'
		env | grep -v -e ^PWD= -e ^_= | cut -d= -f1 | LC_ALL=C sort | tr '\n' ' ' >&2
		echo "$AUTOSCALE_SERVICE $AUTOSCALE_NOW $# $1 $2 $(pwd) $(jq -r .policy.from.target) $(ls /proc/self/fd | wc -l)" >&2
		exit 1
	END
	SECRET=x run -0 --separate-stderr as-sample -v < <(asks 'exec:show a  $service')
	has "$stderr" 'AUTOSCALE_NOW AUTOSCALE_SERVICE PATH web 2026-11-24T19:00:00.000Z 2 a web / label 4'
}

@test "exec: one that sleeps is killed in time with all that it started, and holds up nobody" {
	conf 'program_timeout = 300ms'
	program slow <<-'END'
		sleep 4321 &
		sleep 4322
	END
	program quick <<<'sleep 4323 & echo 1'
	began=$(date +%s%N)
	run -0 values < <(asks exec:slow exec:quick; SERVICE=api asks exec:slow)
	is "$(sort <<<"$output")" "$(printf '%s\n' '"'"$PWD/programs/slow"' took longer than 0.300 s: it was ended"' \
		'"'"$PWD/programs/slow"' took longer than 0.300 s: it was ended"' 1 | sort)"
	[ $((($(date +%s%N) - began) / 1000000)) -lt 20000 ]
	eventually 10 no_process '^sleep 432[123]$'
}

@test "exec: when as-sample itself is ended, so is the program, with all that it started" {
	program slow <<<'sleep 4324 & sleep 4325'
	run -75 as-sample --timeout 300ms < <(asks exec:slow)
	eventually 10 no_process '^sleep 432[45]$'
	as-sample < <(asks exec:slow) >out 3>&- &
	pid=$!
	eventually 10 pgrep -f '^sleep 4325$' >/dev/null
	kill -KILL "$pid"
	wait "$pid" || true
	eventually 10 no_process '^sleep 432[45]$'
}

@test "exec: output without end is cut off, on standard output and on standard error" {
	program yes <<<'exec yes'
	program loud <<<'exec yes >&2'
	run -0 values < <(asks exec:yes exec:loud)
	is "${lines[0]}" '"'"$PWD/programs/loud"' prints more than 1048576 bytes of errors: it was ended"'
	is "${lines[1]}" '"'"$PWD/programs/yes"' prints more than 65536 bytes: it was ended"'
}

@test "exec: a label runs nothing that is not in the folder, and gives no path and no option to what is" {
	program ok <<<'echo 1'
	mkdir programs/more && cp programs/ok programs/more/ok
	run -0 as-sample < <(asks 'exec:/bin/true' 'exec:../programs/ok' 'exec:more/ok' 'exec:.' 'exec:..' 'exec:' 'exec: ' 'exec:none' \
		'exec:more' 'exec:ok;id' 'exec:ok --out=x' 'exec:ok /etc/passwd' 'exec:ok ..' 'exec:$(id)')
	no_values 14
	run -0 as-sample < <(asks 'exec:/bin/true')
	none "only a policy in the store may name the path /bin/true: a label names a program in $PWD/programs"
	run -0 values < <(row "exec:$PWD/programs/more/ok --any /path")
	is "$output" 1
}

@test "exec: what others may write is not run, nor what is not executable" {
	program open <<<'echo 1'
	program plain <<<'echo 1'
	chmod o+w programs/open
	chmod a-x programs/plain
	run -0 values < <(asks exec:open exec:plain)
	has "${lines[0]}" "$PWD/programs/open is not run, for others may write it"
	has "${lines[1]}" "cannot run $PWD/programs/plain: Permission denied"
	chmod 755 programs/open
	chmod g+w programs
	run -0 as-sample < <(asks exec:open)
	none "nothing in $PWD/programs is run, for others may write there"
}

@test "exec: a program runs once for each service, with its own name" {
	program who <<-END
		echo "\$AUTOSCALE_SERVICE" >>$PWD/ran
		wc -c <<X
		\$AUTOSCALE_SERVICE
		X
	END
	run -0 jq -c '[.service, .metrics[0].value]' <(for s in a bb ccc; do SERVICE=$s asks exec:who; done | as-sample)
	is "$(sort <<<"$output")" '["a",2]
["bb",3]
["ccc",4]'
	is "$(sort ran | tr '\n' ' ')" 'a bb ccc '
}

# ---- files ----

@test "file: a file's number is the service's total, as old as the file, or as it says" {
	mkdir files/queue
	echo 7 >files/queue/web
	echo '{"value": 8, "at": "2026-11-24T18:00:00Z"}' >files/said
	touch -d 2026-11-24T17:00:00.5Z files/queue/web
	run -0 jq -c '.metrics[]' <(asks 'file:queue/$service' replica:file:said | as-sample)
	is "$output" '{"name":"file:queue/$service","value":7,"unit":"","per":"service","source":"file:queue/web","at":"2026-11-24T17:00:00.500Z","ok":true}
{"name":"replica:file:said","value":8,"unit":"","per":"replica","source":"file:said","at":"2026-11-24T18:00:00.000Z","ok":true}'
}

@test "file: no path leads a label out of the folder, by .., by a link or from the root; a row may name any" {
	local name asked=()
	echo 1 >secret
	echo 1 >files/in
	mkdir files/sub
	ln -s "$PWD/secret" files/link
	ln -s "$PWD" files/away
	for name in ../secret sub/../../secret link away/secret "$PWD/secret" /etc/passwd . .. ./in sub//in '' sub none in/; do
		asked+=("file:$name")
	done
	run -0 as-sample < <(asks "${asked[@]}")
	no_values 14
	run -0 values < <(row "file:$PWD/secret")
	is "$output" 1
	run -0 as-sample < <(row file:/etc/passwd)
	none '/etc/passwd holds: neither one number nor {"value":NUMBER}'
}

@test "file: what is no regular file, too long or no number is no value, and nothing hangs" {
	mkfifo files/fifo
	head -c 70000 /dev/zero | tr '\0' ' ' >files/long
	: >files/empty
	echo garbage >files/words
	run -0 values < <(asks file:fifo file:long file:empty file:words)
	is "$output" '"empty holds: nothing, where a number or {\"value\":NUMBER} is wanted"
"fifo is no regular file"
"long: more than 65536 bytes"
"words holds: \"garbage\", which is not one number, as 12, -0.5 or 1e3, nor {\"value\":NUMBER}"'
}

@test "a service whose name would need quoting is not put into a path, a query or an argument" {
	echo 1 >files/x
	SERVICE='../../etc' run -0 as-sample < <(SERVICE='../../etc' asks 'file:$service')
	none 'has other characters than'
}

# ---- Prometheus ----

# proxy: HAProxy before the rig's Prometheus, that lets in who has the token and counts the queries; sets PROXY, its URL.
proxy() {
	local port=$((${AS_RIG_PORT_FROM:-20000} + RANDOM % ${AS_RIG_PORTS:-12000}))
	cat >proxy.cfg <<-END
		global
		  stats socket $PWD/proxy.sock
		defaults
		  mode http
		  timeout connect 2s
		  timeout client 30s
		  timeout server 30s
		frontend www
		  bind 127.0.0.1:$port
		  http-request deny deny_status 401 unless { req.hdr(authorization) -m str "Bearer to-ken" }
		  default_backend prometheus
		backend prometheus
		  server p ${AS_RIG_PROMETHEUS_URL#http://}
	END
	haproxy -db -f proxy.cfg >proxy.log 2>&1 3>&- &
	PIDS="${PIDS:-} $!"
	PROXY=http://127.0.0.1:$port
	eventually 10 curl -s -o /dev/null "$PROXY"
}

# queries: how many the proxy has passed on
queries() { echo 'show stat prometheus 2 -1' | socat -t 5 - UNIX-CONNECT:proxy.sock | awk -F, '$2 == "BACKEND" { print $8 }'; }

@test "prometheus: a query's one sample is the service's total, with the sample's time; a scalar too" {
	conf "prometheus = $AS_RIG_PROMETHEUS_URL"
	run -0 jq -c '.metrics[] | [.name, .value, .per, .source, (.at | sub("\\.[0-9]+Z"; "Z") | fromdateiso8601 | now - . | fabs < 60)]' \
		<(asks 'prometheus:vector(0.1234567)' 'prometheus:scalar(vector(3e2))' 'replica:prometheus:rig_jobs{service="$service"}' | as-sample)
	is "$output" '["prometheus:scalar(vector(3e2))",300,"service","prometheus",true]
["prometheus:vector(0.1234567)",0.123457,"service","prometheus",true]
["replica:prometheus:rig_jobs{service=\"$service\"}",7,"replica","prometheus",true]'
}

@test "prometheus: no sample, several, NaN, an infinity and what is no query are no value, and the message helps" {
	conf "prometheus = $AS_RIG_PROMETHEUS_URL/"
	local ask words
	while IFS='|' read -r ask words; do
		run -0 as-sample < <(asks "prometheus:$ask")
		none "prometheus: $words"
	done <<-'END'
		rig_none|the query gives no sample: is every name in it right?
		rig_jobs|the query gives 3 samples, and one is wanted: sum(...), max(...) or avg(...) makes one of them
		rig_jobs{service="nan"}|the value is NaN, which is no number (a division by zero?)
		vector(1) / 0|the value is +Inf, which is no number (a division by zero?)
		vector(1e30)|the value: 1e+30, which is too large
		rig_jobs[5m]|the query gives a matrix: a vector of one sample, or a scalar, is wanted
		"text"|the query gives a string: a vector of one sample, or a scalar, is wanted
		rig_jobs{|400 invalid parameter "query": 1:
		|400 invalid parameter "query": 1:
	END
}

@test "prometheus: a label asks for any query, with equals signs, and reaches no other server" {
	conf "prometheus = $AS_RIG_PROMETHEUS_URL"
	jq -nc '{v: 1, service: "api", observed: {template: {labels: {"autoscale.target": "prometheus:rig_jobs{service=\"$service\"}=5"}}}}' >record
	is "$(values <record)" 2
}

@test "prometheus: what several services of a pass ask in the same words is asked once, and by each on its own otherwise" {
	proxy
	(umask 077 && echo to-ken >token)
	conf "prometheus = $PROXY" "prometheus_token_file = $PWD/token"
	run -0 jq -c '.metrics[].value' <(for _ in {1..40}; do asks 'prometheus:sum(rig_jobs{service!="nan"})'; done | as-sample)
	is "$(sort <<<"$output" | uniq -c | tr -d ' ')" 409
	is "$(queries)" 1
	run -0 jq -c '[.service, .metrics[].value]' <(for s in web api; do SERVICE=$s asks 'prometheus:rig_jobs{service="$service"}'; done | as-sample)
	is "$(sort <<<"$output" | tr -d '\n')" '["api",2]["web",7]'
	is "$(queries)" 3
}

@test "prometheus: one that is down, that is none, that is not configured, that wants a login: no value, in time" {
	local began
	conf 'prometheus = http://127.0.0.1:1'
	began=$SECONDS
	run -0 as-sample < <(asks 'prometheus:vector(1)')
	none 'prometheus: cannot connect to http://127.0.0.1:1: Connection refused (does it run? is prometheus in [metrics] right?)'
	[ $((SECONDS - began)) -lt 20 ]
	conf "prometheus = $AS_RIG_PROMETHEUS_URL/elsewhere"
	run -0 as-sample < <(asks 'prometheus:vector(1)')
	none 'prometheus: 404 and no JSON: is prometheus in [metrics] the address of its API?'
	conf
	run -0 as-sample < <(asks 'prometheus:vector(1)')
	none 'no Prometheus server is configured'
	proxy
	conf "prometheus = $PROXY"
	run -0 as-sample < <(asks 'prometheus:vector(1)')
	none 'prometheus: 401, the login is refused'
}

@test "prometheus: TLS and a password from a file that its owner alone may read; the password is in no message" {
	local url="https://$AS_RIG_PROMETHEUS2_USER:s%3Ae%2Fc%40r%25t@${AS_RIG_PROMETHEUS2_URL#https://}"
	conf "prometheus = $url" "prometheus_ca = $AS_RIG_CERTS/ok/ca.pem"
	run -78 as-sample </dev/null
	has "$output" 'a password stands here and others may read the file: chmod 600'
	chmod 600 "$AUTOSCALE_CONF"
	run -0 values < <(asks 'prometheus:rig_jobs{service="web"}')
	is "$output" 7
	conf "prometheus = ${url/s%3A/t%3A}" "prometheus_ca = $AS_RIG_CERTS/ok/ca.pem"
	run -0 as-sample -v < <(asks 'prometheus:vector(1)')
	none 'prometheus: 401, the login is refused'
	[[ $output != *r%25t* && $output != *c@r* ]]
	conf "prometheus = $url"
	run -0 as-sample < <(asks 'prometheus:vector(1)')
	none "the certificate of $AS_RIG_PROMETHEUS2_URL is refused"
}

@test "prometheus: a token that others may read is not used, and a url that is none is a configuration error" {
	echo secret >token
	conf "prometheus = $AS_RIG_PROMETHEUS_URL" "prometheus_token_file = $PWD/token"
	run -0 as-sample < <(asks 'prometheus:vector(1)')
	none "others may read the token: chmod 600 $PWD/token"
	for url in 127.0.0.1:9090 ftp://x http:// 'http://x/?a=b'; do
		conf "prometheus = $url"
		run -78 as-sample </dev/null
		has "$output" 'prometheus in [metrics] is http:// or https:// with a host'
	done
}

# ---- containers ----

# busy, idle: containers of service web that need no network
uses() { container "$1" '{"autoscale.service":"web","autoscale.target":"docker.cpu=50;docker.memory=1000000"}' "{\"Cmd\":[\"sh\",\"-c\",\"$2\"],\"HostConfig\":{\"NetworkMode\":\"none\"}}"; }

# value NAME ID: of the measurements in `out`
value() { jq --arg name "$1" --arg id "$2" '.metrics[] | select(.name == $name and .id == $id).value' out; }

holds_memory() { as-inspect web | as-sample --over 100ms >out && [ "$(value docker.memory "$1")" -gt 25000000 ]; }

@test "docker.cpu and docker.memory: one value for each container that runs, and a busy one's are far above an idle one's" {
	local busy idle
	busy=$(uses busy 'x=$(head -c 30000000 /dev/zero | tr \\\\0 x); while :; do :; done')
	idle=$(uses idle 'trap exit TERM; sleep 10000 & wait')
	uses off 'exit 0' >/dev/null
	eventually 30 holds_memory "$busy"
	as-inspect web | as-sample >out
	is "$(jq -c '.metrics[] | [.name, .unit, .per, .source, .ok]' out)" '["docker.cpu","%","container","engine:local",true]
["docker.cpu","%","container","engine:local",true]
["docker.memory","bytes","container","engine:local",true]
["docker.memory","bytes","container","engine:local",true]'
	is "$(jq -r '.metrics[].id' out | sort -u)" "$(printf '%s\n' "$busy" "$idle" | sort)"
	jq -en "$(value docker.cpu "$busy") > 10 and $(value docker.cpu "$busy") < 500 and $(value docker.cpu "$idle") * 5 < $(value docker.cpu "$busy")"
	jq -en "$(value docker.memory "$busy") < 300000000 and $(value docker.memory "$idle") * 5 < $(value docker.memory "$busy") and $(value docker.memory "$idle") > 1000"
}

@test "docker.cpu: a container that stops, or whose host does not answer, has no value, and the others have theirs" {
	local one two
	one=$(uses one 'trap exit TERM; sleep 10000 & wait')
	two=$(uses two 'trap exit TERM; sleep 10000 & wait')
	printf '%s\n' '[host "local"]' "url = $DOCKER_HOST" '[host "far"]' 'url = tcp://127.0.0.1:1' >"$AUTOSCALE_CONF"
	as-inspect web >seen
	api POST "/containers/$two/kill" >/dev/null
	jq -c '.observed.containers += [.observed.containers[0] | .host = "far" | .id = "f" * 64, (.host = "gone" | .id = "e" * 64)]' seen |
		as-sample --over 100ms >out
	is "$(value docker.memory "$two")$(value docker.cpu "$two")" nullnull
	jq -en "$(value docker.memory "$one") > 1000 and $(value docker.cpu "$one") < 100"
	is "$(jq -r '.metrics[] | select(.name == "docker.cpu" and .ok == false).message' out | sort)" \
		"host \"gone\" is not configured: add a [host \"gone\"] section
host far: cannot connect to http://127.0.0.1:1: Connection refused (is the engine running? is its url, or DOCKER_HOST, right?)
host local: container ${two::12} does not run"
}

@test "docker.cpu: hundreds of records at once, each with both metrics, come through" {
	uses one 'trap exit TERM; sleep 10000 & wait' >/dev/null
	as-inspect web >seen
	for _ in {1..150}; do cat seen; done | as-sample --over 100ms >out
	is "$(jq -c '.metrics | map([.name, .ok])' out | sort | uniq -c | tr -s ' ')" ' 150 [["docker.cpu",true],["docker.memory",true]]'
}

@test "docker.cpu: without observed there is nothing to measure, and it says what to put before it" {
	run -0 as-sample < <(asks docker.cpu)
	none 'put as-inspect before as-sample'
}

@test "what nothing measures is told as missing, with what there is" {
	run -0 as-sample < <(asks docker.cup)
	none 'nothing measures "docker.cup": an engine tells docker.cpu and docker.memory'
	run -0 as-sample < <(asks 'cpu')
	none 'nothing measures "cpu": known are lb.connections,'
}
