# The record loop, through the purest stage there is: what goes in comes out, byte for byte, plus one member.

load lib

setup() {
	fresh
	GOOD='{"v":1,"id":"a","now":"2026-11-24T00:00:00Z","service":"web","observed":{"containers":[]},"policy":{"min":0}}'
}

@test "every byte of the other members is kept: numbers, order, white space, escapes" {
	line='{ "zz" : 1.0, "v":1 , "id":"a","big":9223372036854775808123,"e":1E400,"now":"2026-11-24T00:00:00Z","service":"web","observed":{"containers":[]},"policy":{"min":0},"u":"\u00e4\/","a":{"x":1,"x":2}  }'
	run -0 as-decide <<<"$line"
	has "$output" "$(printf '%s' "$line" | sed 's/}$//')"
	is "$(printf '%s' "$output" | sed 's/,"plan":{.*}}$/}/')" "$line"
}

@test "a member that is there already is replaced where it stands" {
	run -0 as-decide <<<'{"plan":"old","v":1,"id":"a","now":"2026-11-24T00:00:00Z","service":"web","observed":{"containers":[]},"policy":{"min":0},"last":1}'
	has "$output" '{"plan":{"op":"none"'
	has "$output" ',"last":1}'
}

@test "bad lines are named by number, the good ones go through, exit 65" {
	printf '%s\n' "$GOOD" 'garbage' "$GOOD" '{"a":1' '[1]' '"x"' 'null' '{"a":1,"a":2}' '{"b":1}{"b":2}' "$GOOD" >"$BATS_TEST_TMPDIR/in"
	run -65 --separate-stderr as-decide <"$BATS_TEST_TMPDIR/in"
	is "$(printf '%s\n' "$output" | wc -l)" 3
	is "$(printf '%s\n' "$stderr" | sed -n 's/^as-decide: line \([0-9]*\): .*/\1/p' | tr '\n' ' ')" '2 4 5 6 7 8 9 '
}

@test "blank lines, CRLF and a last line without newline are no mistakes" {
	run -0 as-decide < <(printf '\n  \n%s\r\n\n%s' "$GOOD" "$GOOD")
	is "${#lines[@]}" 2
}

@test "a line of 64 MiB is skipped without being kept, the next one goes through" {
	{ printf '{"x":"'; head -c 67108864 /dev/zero | tr '\0' x; printf '"}\n%s\n' "$GOOD"; } >"$BATS_TEST_TMPDIR/in"
	run -65 --separate-stderr as-decide <"$BATS_TEST_TMPDIR/in"
	has "$stderr" 'line 1: a line of more than 1048576 bytes: skipped'
	has "$output" '"plan":'
	is "$(printf '%s\n' "$output" | wc -l)" 1
}

@test "memory stays at a few MiB on a line of 64 MiB" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	as-decide <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>/dev/null 3>&- &
	pid=$!
	exec 5>"$BATS_TEST_TMPDIR/in"
	{ printf '{"x":"'; head -c 67108864 /dev/zero | tr '\0' x; printf '"}\n%s\n' "$GOOD"; } >&5
	eventually 20 grep -q plan "$BATS_TEST_TMPDIR/out"
	peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status")
	exec 5>&-
	wait "$pid" || true
	echo "# peak ${peak} KiB" >&2
	[ "$peak" -lt "$([ -n "${SANITIZE:-}" ] && echo 50000 || echo 4096)" ] # a sanitizer needs its own share
}

@test "a line of exactly 1 MiB is a record, one byte more is not" {
	pad=$((1048576 - ${#GOOD} - 7))
	x=$(head -c "$pad" /dev/zero | tr '\0' x)
	printf '{"p":"%s",%s\n' "$x" "${GOOD#\{}" >"$BATS_TEST_TMPDIR/in"
	is "$(head -n 1 "$BATS_TEST_TMPDIR/in" | wc -c)" 1048577
	# it is a record, but has no room for a plan
	run -1 --separate-stderr as-decide <"$BATS_TEST_TMPDIR/in"
	has "$stderr" 'line 1: the record grew over 1048576 bytes'
	printf '{"p":"%sx",%s\n' "$x" "${GOOD#\{}" >"$BATS_TEST_TMPDIR/in"
	run -65 --separate-stderr as-decide <"$BATS_TEST_TMPDIR/in"
	has "$stderr" 'line 1: a line of more than'
}

@test "a newer record version gets the error record-version and goes on" {
	run -65 --separate-stderr as-decide <<<'{"v":2,"id":"a","now":"2026-11-24T00:00:00Z","service":"web"}'
	is "$(jq -r .error.code <<<"$output")" record-version
	is "$(jq -r .v <<<"$output")" 2
	has "$stderr" 'line 1: record version 2'
}

@test "a missing member is named, and which stage supplies it" {
	run -65 --separate-stderr as-decide <<<'{"v":1,"id":"a","now":"2026-11-24T00:00:00Z","service":"web"}'
	is "$(jq -r .error.code <<<"$output")" missing
	has "$stderr" 'put as-inspect before this stage'
}

@test "a record that carries an error passes a stage untouched" {
	line='{"v":1,"id":"a","error":{"stage":"as-inspect","code":"unavailable","message":"m","retry":true}}'
	run -0 as-decide <<<"$line"
	is "$output" "$line"
}

@test "a record leaves while the input stays open" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	as-decide <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	exec 5>"$BATS_TEST_TMPDIR/in"
	printf '%s\n' "$GOOD" >&5
	eventually 5 grep -q plan "$BATS_TEST_TMPDIR/out"
	kill -0 "$pid"
	exec 5>&-
	wait "$pid"
}

@test "output that cannot be written ends with 74" {
	run -74 bash -c "as-decide >/dev/full <<<'$GOOD'"
	has "$output" 'cannot write standard output'
	run -74 bash -c "as-decide >&- <<<'$GOOD'"
	has "$output" 'standard output is closed'
	run -74 bash -c "as-decide --help >/dev/full"
}

@test "a reader that leaves ends a filter quietly" {
	run -0 bash -c "for i in \$(seq 2000); do echo '$GOOD'; done | as-decide | head -n 1 | jq -r .plan.op"
	is "$output" none
}

@test "usage: an unknown option is named, exit 64; at a terminal without input it says how to be used" {
	run -64 as-decide --nosuch
	has "$output" 'unknown'
	has "$output" '--nosuch'
	run -64 as-fetch-alerts --limit many
	has "$output" '--limit wants a number'
	run -64 as-fetch-alerts surplus
	run -64 script -qec "$AS_BIN/as-decide" /dev/null
	has "$output" 'usage: as-decide'
}

@test "every command has --help and --version, and exits 0 with them" {
	for c in "$AS_BIN"/as-*; do
		run -0 "$c" --help
		has "$output" "usage: ${c##*/}"
		run -0 "$c" --version
		has "$output" "${c##*/} "
	done
}

@test "a misspelled configuration key is named with file, line and the nearest known one" {
	printf '[store]\nstoer = sqlite:/x\n' >"$AUTOSCALE_CONF"
	run -78 as-policy list
	has "$output" "$AUTOSCALE_CONF:2: unknown key \"stoer\" in [store] (did you mean \"store\"?)"
	printf '[lb "edge"]\ndriver = haproxy\n\n[lbs "x"]\na = b\n' >"$AUTOSCALE_CONF"
	run -78 as-policy list
	has "$output" ':5: unknown section [lbs] (did you mean [lb]?)'
	run -78 as-policy -c /nonexistent list
	has "$output" 'cannot read /nonexistent'
}

@test "--timeout bounds the whole run" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	exec 5<>"$BATS_TEST_TMPDIR/in"
	run -75 as-decide --timeout 200ms <"$BATS_TEST_TMPDIR/in"
	has "$output" 'time limit'
	exec 5>&-
}
