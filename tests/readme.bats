# The README's commands run as they stand, one after the other; the crontab's too; installation puts all in place.

load lib

setup_file() { rig_up docker haproxy; }
teardown_file() { rig_down; }
setup() { fresh; }
teardown() { wipe; no_servers; }

# Ids, addresses and times are others each time; the same id is the same again.
steady() { sed -E 's/\b[0-9a-f]{64}\b/ID/g; s/\b[0-9a-f]{12}\b/ID/g; s/\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b/TIME/g'; }

@test "the five minutes of the README: each command as it stands, and it prints what stands there" {
	# shellcheck source=rig/lib.sh
	. "$TOP/tests/rig/lib.sh"
	rig_use "$AS_RIG"
	rig_port PORT
	mkdir "$BATS_TEST_TMPDIR/top" && cd "$BATS_TEST_TMPDIR/top"
	ln -s "$TOP"/{examples,pipelines,tests} . && mkdir build && ln -s "$AS_BIN" build/bin
	awk '/^```console$/ { on = 1; next } /^```$/ { on = 0 } on' "$TOP/README.md" | sed "s/8099/$PORT/g" >"$BATS_TEST_TMPDIR/shown"
	[ "$(grep -c '^\$ ' "$BATS_TEST_TMPDIR/shown")" -ge 15 ]
	sed -n 's/^\$ \(.*\)/cat <<"END"\n$ \1\nEND\n\1/p' "$BATS_TEST_TMPDIR/shown" |
		sed 's/^haproxy .*/& 3>\&-; until curl -s -o \/dev\/null "localhost:'"$PORT"'"; do sleep 0.05; done/' >"$BATS_TEST_TMPDIR/script"
	unset AUTOSCALE_CONF AUTOSCALE_STORE
	bash "$BATS_TEST_TMPDIR/script" >"$BATS_TEST_TMPDIR/did" 2>&1
	diff <(steady <"$BATS_TEST_TMPDIR/shown") <(steady <"$BATS_TEST_TMPDIR/did")
	is "$(names)" ''
	! rig_answers "http://127.0.0.1:$PORT/"
}

@test "make demo runs and leaves nothing" {
	run -0 timeout 200 "$TOP/tests/demo" 3>&-
	echo "$output"
	has "$output" 'Everything is cleaned up'
	is "$(names)" ''
}

@test "the tour of the README runs line by line and does what it says" {
	web
	cd "$TOP"
	sed -n '/^```sh tour$/,/^```$/p' README.md | sed '1d;$d' | grep -v '^#' >"$BATS_TEST_TMPDIR/tour"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/tour")" -ge 10 ]
	n=0
	while read -r line; do
		n=$((n + 1))
		run -0 --separate-stderr bash -o pipefail -c "$line"
		is "$stderr" '' "$line"
		printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/out.$n"
	done <"$BATS_TEST_TMPDIR/tour"
	is "$(names)" 'web web-1'
	is "$(servers_up)" 2
	grep -q '1 -> 2: alert asks scale-up by step 1 (default)' "$BATS_TEST_TMPDIR"/out.*
	grep -q 'web-1 running ready=true' "$BATS_TEST_TMPDIR"/out.*
	grep -q '"ok":true' "$BATS_TEST_TMPDIR"/out.*
}

@test "the reference part of the README is what the manuals say: make readme writes it" {
	sed -n '/^<!-- from here on/,/^<!-- until here/p' "$TOP/README.md" | sed '1d;$d' >"$BATS_TEST_TMPDIR/is"
	diff "$BATS_TEST_TMPDIR/is" <("$TOP/man/reference")
	is "$(grep -c '^| `as-' "$BATS_TEST_TMPDIR/is")" "$(ls -d "$TOP"/cmd/as-* | wc -l)"
	is "$(grep -c '^| `autoscale\.' "$BATS_TEST_TMPDIR/is")" \
		"$(grep -cE '^	\{"[a-z_]+", "autoscale\.' "$TOP/common/policy/fields.c")"
}

@test "the crontab's commands are there, with the options it uses" {
	prefix=$BATS_TEST_TMPDIR/p
	make -s -C "$TOP" install PREFIX="$prefix" B="${AS_BUILD:-build}" >/dev/null
	sed -n 's,^[*0-9/ ]*  *\("\$PIPELINES/.*\|as-audit.*\) 2>&1 >/dev/null.*,\1,p' "$TOP/cron/crontab.example" >"$BATS_TEST_TMPDIR/jobs"
	is "$(wc -l <"$BATS_TEST_TMPDIR/jobs")" 3
	while read -r job; do
		BACKUPS=$BATS_TEST_TMPDIR/b PIPELINES=$prefix/libexec/autoscale/pipelines PATH=$prefix/bin:$PATH AS_BIN='' run -0 bash -c "$job"
	done <"$BATS_TEST_TMPDIR/jobs"
}

@test "install and uninstall leave exactly what they should" {
	make -s -C "$TOP" install DESTDIR="$BATS_TEST_TMPDIR/d" PREFIX=/usr B="${AS_BUILD:-build}" >/dev/null
	is "$(ls "$BATS_TEST_TMPDIR/d/usr/bin" | wc -l)" "$(ls "$AS_BIN" | wc -l)"
	for c in "$AS_BIN"/as-*; do
		[ -f "$BATS_TEST_TMPDIR/d/usr/share/man/man1/${c##*/}.1" ]
		[ -f "$BATS_TEST_TMPDIR/d/usr/share/bash-completion/completions/${c##*/}" ]
	done
	[ -x "$BATS_TEST_TMPDIR/d/usr/libexec/autoscale/pipelines/autoscale" ]
	make -s -C "$TOP" uninstall DESTDIR="$BATS_TEST_TMPDIR/d" PREFIX=/usr B="${AS_BUILD:-build}" >/dev/null
	is "$(cd "$BATS_TEST_TMPDIR/d" && find . -type f)" ./etc/autoscale/autoscale.conf 'only the configuration is the operator'"'"'s'
}

@test "a command links only what its line in the Makefile says" {
	is "$(ldd "$AS_BIN/as-decide" | grep -cE 'curl|sqlite|jansson|crypto')" 0
	is "$(ldd "$AS_BIN/as-report" | grep -cE 'curl|sqlite|jansson|crypto')" 0
	is "$(ldd "$AS_BIN/as-lb-update" | grep -cE 'sqlite')" 0
	is "$(ldd "$AS_BIN/as-audit" | grep -cE 'curl|jansson')" 0
	is "$(ldd "$AS_BIN/as-clone" | grep -c sqlite)" 0
}
