# Pipelines that go on by themselves: --every SECONDS, what one pass after the other does, and how it ends.

load lib

setup() {
	fresh
	OUT=$BATS_TEST_TMPDIR/out ERR=$BATS_TEST_TMPDIR/err PIDS=
	: >"$OUT"
}
teardown() { for p in $PIDS; do kill -9 "$p" 2>/dev/null || true; done; }

# pipeline BODY: a pipeline of these lines, as those of the project begin
pipeline() {
	printf '#!/usr/bin/env bash\n. %q\nevery "$@"\n%s\n' "$TOP/pipelines/line.sh" "$1" >"$BATS_TEST_TMPDIR/p"
	chmod +x "$BATS_TEST_TMPDIR/p"
}
# started ARG...: the pipeline in the background; its pid in P
started() {
	# a shell without job control ignores SIGINT for what it starts in the background
	PATH=${SLEPT:+$SLEPT:}$PATH env --default-signal=INT "$BATS_TEST_TMPDIR/p" "$@" >"$OUT" 2>"$ERR" 3>&- 8>&- &
	P=$!
	PIDS="$PIDS $P"
}
# ends SIGNAL STATUS: the pipeline, for that signal, with this status
ends() {
	local status=0
	kill -s "$1" "$P"
	wait "$P" || status=$?
	is "$status" "$2" "status after SIG$1"
}
lines() { [ "$(wc -l <"$OUT")" -ge "$1" ]; }
# slept: pipelines do not sleep, but note for how long
slept() {
	SLEPT=$BATS_TEST_TMPDIR/bin
	mkdir -p "$SLEPT"
	printf '#!/bin/sh\necho "$1" >>%q\n' "$BATS_TEST_TMPDIR/slept" >"$SLEPT/sleep"
	chmod +x "$SLEPT/sleep"
}

@test "without --every a pipeline is one pass, with all of its arguments" {
	pipeline 'echo "pass $*"'
	run -0 "$BATS_TEST_TMPDIR/p" a 'b c' -n
	is "$output" 'pass a b c -n'
}

@test "--every makes pass after pass with the other arguments, wherever it stands" {
	pipeline 'printf "<%s>" "$@"; echo'
	started --every 1 a 'b c' -n
	eventually 10 lines 2
	is "$(sort -u "$OUT")" '<a><b c><-n>'
	ends TERM 0
	started a 'b c' --every=1 -n -- --every
	eventually 10 lines 1
	is "$(sort -u "$OUT")" '<a><b c><-n><--><--every>'
	ends TERM 0
}

@test "a number of seconds that is none is a wrong use" {
	pipeline 'echo pass'
	for n in 0 -1 x 1.5 '' 100000 '1;id'; do
		run -64 "$BATS_TEST_TMPDIR/p" --every "$n"
		has "$output" "wants a number of seconds from 1 to 99999, not \"$n\""
		run -64 "$BATS_TEST_TMPDIR/p" "--every=$n"
	done
	run -64 "$BATS_TEST_TMPDIR/p" a --every
}

@test "each wait is the number times 0.9 to 1.1, and not always the same" {
	pipeline 'jittered 1000 && exit'
	for _ in $(seq 60); do "$BATS_TEST_TMPDIR/p"; done >"$OUT"
	is "$(awk '$1 < 900 || $1 > 1100' "$OUT")" ''
	[ "$(sort -u "$OUT" | wc -l)" -gt 10 ]
	is "$(awk '$1 < 1000 { low = 1 } $1 > 1000 { high = 1 } END { print low, high }' "$OUT")" '1 1'
}

@test "the first pass comes at once, and no pass overlaps the next" {
	slept
	pipeline "one_pass_at_a_time; echo begin; exec 3>&-; read -rt 0.2 <> <(:); echo end"
	started --every 7
	eventually 20 lines 8
	ends TERM 0
	is "$(paste -d ' ' - - <"$OUT" | sort -u)" 'begin end'
	is "$(sort -un "$BATS_TEST_TMPDIR/slept" | awk '$1 < 6.3 || $1 > 7.7')" ''
}

@test "a pass that failed is told, and the next one comes after the usual wait" {
	slept
	pipeline 'echo pass; exit 1'
	started --every 10
	eventually 10 lines 5
	ends TERM 1
	has "$(cat "$ERR")" 'p: a pass ended with status 1'
	is "$(awk '$1 < 9 || $1 > 11' "$BATS_TEST_TMPDIR/slept")" ''
}

@test "while a service is unavailable the waits double up to ten times, until a pass is through" {
	slept
	pipeline 'echo pass; n=$(wc -l <'"$OUT"'); [ "$n" -ne 7 ] || exit 0; exit 69'
	started --every 100
	eventually 20 lines 9
	ends TERM 69
	is "$(head -n 8 "$BATS_TEST_TMPDIR/slept" | awk '{ printf "%s ", $1 < 111 ? 1 : $1 < 221 ? 2 : $1 < 441 ? 4 : $1 < 881 ? 8 : $1 < 1101 ? 10 : $1 }')" \
		'2 4 8 10 10 10 1 2 '
}

@test "a wrong use ends it at once" {
	pipeline 'echo pass; exit 64'
	run -64 "$BATS_TEST_TMPDIR/p" --every 1000
	has "$output" 'a pass ended with status 64'
}

@test "SIGTERM and SIGINT end it after the pass in hand" {
	for signal in TERM INT; do
		mkfifo "$BATS_TEST_TMPDIR/go"
		pipeline "echo begin; read -r _ <$BATS_TEST_TMPDIR/go; echo end; exit 1"
		started --every 1000
		eventually 10 lines 1
		kill -s "$signal" "$P"
		echo >"$BATS_TEST_TMPDIR/go"
		wait "$P" && status=0 || status=$?
		is "$status" 1
		is "$(tr '\n' ' ' <"$OUT")" 'begin end '
		rm "$BATS_TEST_TMPDIR/go"
	done
}

@test "a signal between two passes ends it without the wait, and quietly" {
	pipeline 'echo pass'
	started --every 9999
	eventually 10 lines 1
	eventually 10 pgrep -P "$P" -x sleep
	ends TERM 0
	is "$(cat "$OUT" "$ERR")" pass
}

@test "a pass waits for its turn while another one is under way" {
	exec 8>"$AS_LOCK"
	flock 8
	pipeline 'one_pass_at_a_time; echo pass'
	run -75 "$BATS_TEST_TMPDIR/p"
	AS_WAIT=0.1 run -75 "$BATS_TEST_TMPDIR/p" 8>&-
	started --every 60
	eventually 10 flock_waits
	exec 8>&-
	eventually 10 lines 1
	ends TERM 0
	is "$(cat "$ERR")" ''
}
flock_waits() { pgrep -x flock -P "$(pgrep -P "$P" | head -n 1)" >/dev/null; }
