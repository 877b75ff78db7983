# What as-sample measures without a load balancer: containers, Prometheus, programs, files.
# shellcheck disable=SC2016,SC2154 # $service is as-sample's; run makes stderr

load lib

setup_file() { rig_up docker; }
teardown_file() { rig_down; }

setup() {
	fresh
	cd "$BATS_TEST_TMPDIR" || return
	umask 022
	mkdir programs files
	conf
}
teardown() { wipe; }

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
values() { as-sample "$@" | jq -c '.metrics[] | if .ok then .value else .message end'; }

# none WORDS: there is one measurement, it has no value, and its message has these words
none() {
	is "$(jq -c '.metrics | map([.value, .ok])' <<<"$output")" '[[null,false]]'
	has "$(jq -r '.metrics[0].message' <<<"$output")" "$1"
}

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
	local n=0 text
	program say <<<'cat '"$PWD"'/text'
	for text in '' 'twelve' '1 2' $'1\n2' NaN Infinity 0x10 +5 1. '"5"' '[5]' '{"valu":5}' '{"value":"5"}' '{"value":null}' \
		'{"value":1,"value":2}' '{"value":1}{' '{"value":1,"per":"container"}' '{"value":1,"at":"noon"}' '{"value":1,"unit":7}' \
		'{"value":1e99}' $'\xff'; do
		n=$((n + 1))
		printf '%s' "$text" >text
		run -0 --separate-stderr as-sample < <(asks exec:say)
		none "$PWD/programs/say prints: "
		is "$stderr" ''
	done
	is "$n" 21
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

@test "exec: output without end is cut off, on standard output and on standard error" {
	program yes <<<'exec yes'
	program loud <<<'exec yes >&2'
	run -0 values < <(asks exec:yes exec:loud)
	is "${lines[0]}" '"'"$PWD/programs/loud"' prints more than 1048576 bytes of errors: it was ended"'
	is "${lines[1]}" '"'"$PWD/programs/yes"' prints more than 65536 bytes: it was ended"'
}

@test "exec: a label runs nothing that is not in the folder, and gives no path and no option to what is" {
	local name n=0
	program ok <<<'echo 1'
	mkdir programs/more && cp programs/ok programs/more/ok
	for name in 'exec:/bin/true' 'exec:../programs/ok' 'exec:more/ok' 'exec:.' 'exec:..' 'exec:' 'exec: ' 'exec:none' 'exec:more' \
		'exec:ok;id' 'exec:ok --out=x' 'exec:ok /etc/passwd' 'exec:ok ..' 'exec:$(id)'; do
		n=$((n + 1))
		run -0 as-sample < <(asks "$name")
		is "$(jq -c '.metrics | map([.value, .ok])' <<<"$output")" '[[null,false]]' "$name"
	done
	is "$n" 14
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
	local name n=0
	echo 1 >secret
	echo 1 >files/in
	mkdir files/sub
	ln -s "$PWD/secret" files/link
	ln -s "$PWD" files/away
	for name in ../secret sub/../../secret link away/secret "$PWD/secret" /etc/passwd . .. ./in sub//in '' sub none in/; do
		n=$((n + 1))
		run -0 as-sample < <(asks "file:$name")
		is "$(jq -c '.metrics | map([.value, .ok])' <<<"$output")" '[[null,false]]' "$name"
	done
	is "$n" 14
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
