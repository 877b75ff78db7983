# The manuals tell what the programs do: options, exit statuses, fields, keys; and every example of section 1 and of
# autoscale(7) runs as it stands, on a real engine and a real load balancer.

load lib

setup_file() { rig_up docker haproxy; }
teardown_file() { rig_down; }

setup() {
	cd "$TOP" || return
	fresh
	case $BATS_TEST_DESCRIPTION in
	*examples*)
		echo "config = $AS_RIG_HAPROXY_CFG" >>"$AUTOSCALE_CONF"
		web 3
		;;
	esac
}

teardown() {
	case $BATS_TEST_DESCRIPTION in *examples*) wipe && no_servers ;; esac
}

# ---- helpers ----

commands() { (cd cmd && ls -d as-*); }

# fail WORDS...: the test fails and says why.
fail() {
	printf '%s\n' "$@"
	return 1
}

# same WHAT EXPECTED ACTUAL: two lists, one item a line.
same() {
	[ -n "$2" ] || fail "$1: nothing found to compare with"
	[ "$2" = "$3" ] || fail "$1:" "$(diff <(echo "$2") <(echo "$3"))"
}

# section NAME: of the manual on standard input, its source lines.
section() { awk -v want="$1" '/^\.Sh / { on = substr($0, 5) == want; next } on'; }

# plain: mdoc's escapes on standard input become what the reader sees.
plain() { sed 's/\\&//g; s/\\e/\\/g; s/\\(aq/'\''/g'; }

# help_options COMMAND: "-c --config file" a line; a dash where there is no letter or no argument.
help_options() {
	"$1" --help | sed -E 's/\[=([A-Z]+)\]/ \1/' | sed -nE 's/^  (-.|  ),? +(--[a-z-]+)( [A-Z]+)?  .*/\1 \2\3/p' | sed 's/^  /-/' |
		awk '{ print $1, $2, (NF > 2 ? tolower($3) : "-") }' | sort
}

# man_options COMMAND: the same from the manual's list of options.
man_options() {
	section DESCRIPTION <"man/$1.1" | sed 's/ Ns Oo = Ns Ar \([a-z]*\) Oc$/ Ar \1/' | sed -nE 's/^\.It (Fl (.) , )?Fl -([a-z-]+)( Ar ([a-z]+))?$/-\2 --\3 \5/p' |
		awk '{ print $1, $2, (NF > 2 ? $3 : "-") }' | sort
}

# run_examples PAGE: each block of its EXAMPLES, exactly as a reader would copy it.
run_examples() {
	local block=0 line text='' inside='' status
	while IFS= read -r line; do
		case $line in
		.Bd*) inside=1 text= ;;
		.Ed)
			inside=
			block=$((block + 1))
			status=0
			ln -sfn "$TOP/pipelines" "$BATS_TEST_TMPDIR/pipelines"
			(cd "$BATS_TEST_TMPDIR" && timeout 120 bash -o pipefail -c "$text" </dev/null) || status=$?
			[ $status = 0 ] || [[ $text == *'|| true'$'\n' ]] || fail "$1, example $block: status $status" "$text"
			;;
		*) [ -z "$inside" ] || text+=$line$'\n' ;;
		esac
	done < <(section EXAMPLES <"man/$1" | plain)
	[ "$block" -gt 0 ] || fail "$1 has no example"
}

# decided ACTION [MEMBERS]: a record whose alert asks for it, with its plan.
decided() {
	echo "{\"service\":\"web\",\"action\":\"$1\"${2:-}}" | as-ingest --normalize |
		jq -c '{v:1, id, now:.received_at, alert:., service}' | as-inspect | as-resolve-policy | as-decide
}

# ---- form ----

@test "every command has a manual with the sections of one" {
	for c in $(commands); do
		[ -f "man/$c.1" ] || fail "no man/$c.1"
		same "$c: sections" "$(printf '%s\n' NAME SYNOPSIS DESCRIPTION 'EXIT STATUS' EXAMPLES 'SEE ALSO')" \
			"$(sed -n 's/^\.Sh //p' "man/$c.1" | grep -vx -e ENVIRONMENT -e FILES -e CAVEATS)"
		same "$c: what it is" "$("$c" --help | sed -n 2p)" "$(sed -n 's/^\.Nd //p' "man/$c.1")"
	done
}

@test "every manual lints clean" {
	run mandoc -T lint -W warning man/*.[157]
	[ "$status" = 0 ] && [ -z "$output" ] || fail "$output"
}

@test "every manual that a manual refers to is there" {
	for page in $(sed -nE 's/^\.(It )?Xr (as-[a-z-]+|autoscale[a-z.-]*) ([157]).*/\2.\3/p' man/*.[157] | sort -u); do
		[ -f "man/$page" ] || fail "no man/$page"
	done
}

@test "autoscale(7) lists every command with what it is" {
	same commands "$(for c in $(commands); do echo "$c $("$c" --help | sed -n 2p)"; done | sort)" \
		"$(awk '/^\.It Xr as-/ { name = $3; getline; print name, $0 }' man/autoscale.7 | sort)"
}

@test "autoscale(7) lists every pipeline, make install has it, and --help tells what it does and takes" {
	same pipelines "$(cd pipelines && find . -type f -perm -1 -printf '%f\n' | sort)" \
		"$(sed -n '/^\.Ss Pipelines/,/^\.El/s/^\.It \(Nm\|Cm\) \([a-z-]*\).*/\2/p' man/autoscale.7 | sort)"
	for p in $(cd pipelines && find . -type f -perm -1 -printf '%f\n'); do
		grep -q "^PIPES .*pipelines/$p\b" Makefile || fail "make install has no $p"
		run -0 "pipelines/$p" --help
		[[ $output == "$p: "*"usage: $p"* ]] || fail "$p --help:" "$output"
	done
}

# ---- options ----

@test "a manual lists exactly the options of --help, with the same letters and arguments" {
	for c in $(commands); do
		same "$c: options" "$(help_options "$c")" "$(man_options "$c")"
	done
}

# synopsis COMMAND: the options that its SYNOPSIS names, long ones with --, letters with -
synopsis() {
	section SYNOPSIS <"man/$1.1" | sed 's/^\.Op /./' | grep -E '^\.Fl ' | tr ' |' '\n\n' | awk '
		/^-[a-z]/ { print "-" $0 }
		/^[a-z]+$/ && last ~ /^\.?Fl$/ { for (i = 1; i <= length($0); i++) print "-" substr($0, i, 1) }
		{ if ($0 != "") last = $0 }' | sort -u
}

@test "a SYNOPSIS names every option, by its letter or its name, and no other" {
	for c in $(commands); do
		named=$(synopsis "$c")
		while read -r letter long _; do
			grep -qxF -e "$letter" -e "$long" <<<"$named" || fail "$c: $long is not in its SYNOPSIS"
		done < <(help_options "$c")
		for option in $named; do
			help_options "$c" | awk '{ print $1; print $2 }' | grep -qxF -e "$option" || fail "$c: SYNOPSIS has $option"
		done
	done
}

@test "autoscale(7) names every variable that the pipelines read" {
	named=$(cat man/autoscale.7 man/autoscale.conf.5 | sed -n 's/^\.It Ev //p' | tr -d ',' | tr ' ' '\n')
	for name in $(cat pipelines/* | grep -oE '\$\{(AS|XDG|AUTOSCALE)_[A-Z_]+' | tr -d '${' | sort -u); do
		[ "$name" = AS_EVERY ] || grep -qxF "$name" <<<"$named" || fail "$name"
	done
}

@test "completion offers exactly the long options of --help, and what their arguments and operands are" {
	for c in $(commands); do
		same "$c" "$(help_options "$c" | cut -d' ' -f2 | sort)" "$("$c" --completion words - | cut -f1 | sort)"
		for option in $(help_options "$c" | awk '$3 == "file" { print $2 }'); do
			same "$c $option" :files "$("$c" --completion words "$option" '')"
		done
	done
}

# ---- exit statuses ----

# What a command can give. One that writes no store and opens none cannot be refused it (77).
statuses() {
	case $1 in
	as-decide | as-report) echo 0 1 64 65 69 74 75 ;;
	as-resolve-policy | as-sample) echo 0 1 64 65 69 74 75 78 ;;
	as-start | as-clone | as-remove) echo 0 1 64 65 69 74 75 78 '>128' ;;
	as-audit | as-ack-alerts | as-lb-update) echo 0 1 64 65 69 74 75 77 78 '>128' ;;
	as-ingest | as-inspect | as-policy) echo 0 1 64 65 69 74 75 77 78 ;;
	as-fetch-alerts | as-status) echo 0 1 64 69 74 75 77 78 ;;
	as-watch) echo 0 64 69 74 75 77 78 ;;
	as-doctor) echo 0 1 64 74 75 78 ;;
	as-store) echo 0 64 69 74 75 77 78 '>128' ;;
	as-listen) echo 64 69 74 75 77 78 '>128' ;;
	*) fail "statuses of $1?" ;;
	esac
}

@test "EXIT STATUS names the statuses that a command can give, and no other" {
	for c in $(commands); do
		same "$c" "$(statuses "$c" | tr ' ' '\n')" "$(section 'EXIT STATUS' <"man/$c.1" | sed -n 's/^\.It //p')"
	done
}

@test "the statuses are given: usage 64, bad input 65, no input 69, no output 74, time over 75, configuration 78" {
	echo '[stoer]' >"$BATS_TEST_TMPDIR/bad.conf"
	echo 'a = b' >>"$BATS_TEST_TMPDIR/bad.conf"
	mkfifo "$BATS_TEST_TMPDIR/never" # opened for both, it never ends
	for c in $(commands); do
		verb=()
		[ "$c" != as-policy ] || verb=(check)
		[ "$c" != as-store ] || verb=(status)
		run -64 "$c" --no-such-option
		run -74 bash -c '"$1" --help >/dev/full' - "$c"
		case $c in as-decide | as-report) ;; *) run -78 "$c" -c "$BATS_TEST_TMPDIR/bad.conf" "${verb[@]}" </dev/null ;; esac
		case $c in # these read no standard input
		as-fetch-alerts) run -75 "$c" --follow --timeout 50ms ;;
		as-watch) run -75 "$c" --timeout 50ms ;;
		as-listen) run -75 "$c" --listen 127.0.0.1:0 --timeout 50ms ;;
		as-status) run -75 "$c" --watch --timeout 300ms ;;
		esac
		case $c in as-fetch-alerts | as-watch | as-listen | as-store | as-doctor | as-status) continue ;; esac
		run -65 bash -c 'echo nonsense | "$@"' - "$c" "${verb[@]}"
		run -75 bash -c 'exec "$@" <>"$0"' "$BATS_TEST_TMPDIR/never" "$c" --timeout 50ms "${verb[@]}"
		[ "$c" = as-policy ] || run -69 bash -c '"$1" </' - "$c"
	done
}

@test "the statuses are given: refused 77 by the commands that open a store" {
	[ "$(id -u)" = 0 ] || skip 'needs root, to make a link of another user'
	ln -s /nowhere "$BATS_TEST_TMPDIR/link"
	chown -h 65534 "$BATS_TEST_TMPDIR/link"
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/link
	run -77 as-ingest <<<'{"service":"web"}'
	run -77 as-fetch-alerts
	run -77 as-watch --once
	run -77 as-audit --verify
	run -77 as-policy list
	run -77 as-store status
}

# ---- section 5 ----

@test "autoscale-policy(5) has every field with its label, variable and default" {
	fields=$(sed -nE 's/^\t\{"([a-z_]+)", "([a-z.-]+)", (NULL|"[a-z]+"), (NULL|"[^"]*"), parse_.*/\1 \2 \4/p' \
		common/policy/fields.c | while read -r name label default; do
		default=${default//\"/}
		[ "$default" != NULL ] || default=no
		echo "$name $label $(tr a-z.- A-Z__ <<<"$label") ${default:-empty}"
	done)
	manual=$(sed -n '/^\.Ss Fields/,/^\.S[hs] [^F]/p' man/autoscale-policy.5 | awk '
		/^\.It Va / { name = $3; getline label; getline variable; getline value
			sub(/^\.Va /, "", label); sub(/ ,$/, "", label)
			sub(/^\.Ev /, "", variable); sub(/ ,$/, "", variable)
			sub(/^default /, "", value); sub(/^no default/, "no", value); sub(/\.$/, "", value)
			print name, label, variable, value }')
	same fields "$fields" "$manual"
}

@test "as-policy(1) lists every field that as-policy takes" {
	families=$(grep -o 'families\[\] = {[^}]*' cmd/as-policy/row.c | grep -o '"[a-z]*"' | tr -d '"')
	fields=$(sed -nE 's/^\t\{"([a-z_]+)", "autoscale\..*/\1/p' common/policy/fields.c)
	same fields "$(sort <<<"$fields"$'\n'"$families")" \
		"$(sed -n '/^The fields are/,/^\.Pp/p' man/as-policy.1 | sed -n 's/^\.Va //p' | tr -d ' ' | tr ',.' '\n\n' | grep . | sort)"
}

@test "autoscale.conf(5) has every section and key of the configuration" {
	keys=$(sed -n '/^static const struct key keys/,/^};/p' common/base/conf.c | tr '\t' ' ' | sed -E \
		-e 's/\{"([a-z]+)", "([a-z_]+)",[^}]*\}/\n\1 \2\n/g' \
		-e 's/HOST\(([a-z_]+)\)/\nhost \1\n/g' -e 's/LB\(([a-z_]+)\)/\nlb \1\n/g' | grep -E '^[a-z]+ [a-z_]+$' | sort)
	manual=$(awk '/^\.Ss \[/ { gsub(/[][]/, "", $2); section = $2; next } /^\.S[hs]/ { section = "" }
		/^\.It Cm / && section { print section, $3 }' man/autoscale.conf.5 | sort)
	same keys "$keys" "$manual"
}

# ---- examples of section 5, and of the README ----

# blocks PAGE [SECTION]: its literal blocks, NUL behind each
blocks() {
	plain <"man/$1" | awk -v want="${2:-}" '/^\.S[hs] / { on = want == "" || substr($0, 5) == want }
		/^\.Ed/ { if (inside) printf "%c", 0; inside = 0 } inside { print } /^\.Bd -literal/ { inside = on }'
}

@test "autoscale-policy(5): its containers join as they say, and its policy is one without mistakes" {
	mapfile -d '' shown < <(blocks autoscale-policy.5 EXAMPLES)
	is "${#shown[@]}" 3
	bash -c "${shown[0]}" && bash -c "${shown[1]}"
	is "$(as-inspect web shop | as-resolve-policy | jq -c '[.service, .policy.max, .policy.lb, .policy.lb_port, .policy.lb_rule]' | tr '\n' ' ')" \
		'["web",3,"edge",80,null] ["shop",null,"edge",null,"Host(`shop.example`)"] '
	run -0 as-policy check <<<"${shown[2]}"
	as-policy load <<<"${shown[2]}"
	is "$(as-inspect web | as-resolve-policy | jq -c '[.policy.min, .policy.max, .policy.from.min]')" '[2,3,"db:webs@1"]'
	wipe
}

@test "autoscale-alert(5): the alert that it shows is read as what it says" {
	mapfile -d '' shown < <(blocks autoscale-alert.5 EXAMPLES)
	as-ingest --whole --normalize <<<"${shown[0]}" >"$BATS_TEST_TMPDIR/alert"
	for member in $(jq -r 'keys[]' <<<"${shown[0]}"); do
		case $member in id | source | key | received_at) continue ;; esac # given by as-ingest
		is "$(jq -c ".$member" "$BATS_TEST_TMPDIR/alert")" "$(jq -c ".$member" <<<"${shown[0]}")" "$member"
	done
	is "$(jq -c 'has("id", "source", "key", "received_at")' "$BATS_TEST_TMPDIR/alert" | sort -u)" true
}

@test "autoscale-record(5): each member of the record that it shows is in a real one, which decides the same" {
	container web '{"autoscale.service":"web","autoscale.max":"3"}' >/dev/null
	alert scale-up
	as-fetch-alerts | as-inspect | as-resolve-policy | as-decide >"$BATS_TEST_TMPDIR/real"
	mapfile -d '' shown < <(blocks autoscale-record.5 EXAMPLES)
	sed -E 's/,\.\.\.//g' <<<"${shown[0]}" >"$BATS_TEST_TMPDIR/shown"
	same members "$(jq -c 'paths' "$BATS_TEST_TMPDIR/shown" | sort)" \
		"$(jq -nc --slurpfile real "$BATS_TEST_TMPDIR/real" 'input | paths as $p | $p | select([$p] - [$real[0] | paths] == [])' "$BATS_TEST_TMPDIR/shown" | sort)"
	for member in .plan.reason .plan.op .plan.from .plan.to '.plan.create[0].name' .observed.running .policy.max .policy.from.max; do
		is "$(jq -c "$member" "$BATS_TEST_TMPDIR/real")" "$(jq -c "$member" "$BATS_TEST_TMPDIR/shown")" "$member"
	done
	wipe
}

# configuration TEXT: as-resolve-policy takes it; with nothing to resolve it opens no store
configuration() {
	printf '%s\n' "$1" >"$BATS_TEST_TMPDIR/shown.conf"
	as-resolve-policy -c "$BATS_TEST_TMPDIR/shown.conf" </dev/null || fail "not taken:" "$1"
}

@test "autoscale.conf(5) and the README: each configuration that they show is taken" {
	n=0
	while IFS= read -r -d '' block; do
		[[ $block == '['[a-z]* ]] || continue
		configuration "$block"
		n=$((n + 1))
	done < <(blocks autoscale.conf.5)
	[ "$n" -ge 6 ] || fail "only $n configurations found"
	awk '/^```ini$/ { on = 1; next } /^```$/ { if (on) printf "%c", 0; on = 0 } on' README.md >"$BATS_TEST_TMPDIR/ini"
	n=0
	while IFS= read -r -d '' block; do
		if [[ $block =~ \][\ ]+\[ ]]; then # two columns
			configuration "$(cut -c -40 <<<"$block")"
			configuration "$(cut -c 41- <<<"$block")"
		else
			configuration "$block"
		fi
		n=$((n + 1))
	done <"$BATS_TEST_TMPDIR/ini"
	[ "$n" -ge 3 ] || fail "only $n configurations in the README"
}

# ---- examples ----

@test "as-inspect(1): the examples run" { run_examples as-inspect.1; }
@test "as-resolve-policy(1): the examples run" { run_examples as-resolve-policy.1; }
@test "as-sample(1): the examples run" { run_examples as-sample.1; }
@test "as-decide(1): the examples run" { run_examples as-decide.1; }

@test "as-ingest(1): the examples run, and store two alerts" {
	run_examples as-ingest.1
	is "$(as-fetch-alerts | wc -l)" 2
}

@test "as-listen(1): the examples run, and store two alerts" {
	run_examples as-listen.1
	is "$(as-fetch-alerts | jq -r .alert.action | tr '\n' ' ')" 'scale-up scale-up '
}

@test "as-start(1): the examples run, and start what was stopped" {
	api POST '/containers/web/stop?t=0'
	run_examples as-start.1
	is "$(running)" 1
}

@test "as-watch(1): the examples run, and tell what is stopped" {
	api POST '/containers/web/stop?t=0'
	run run_examples as-watch.1
	is "$status" 0
	has "$output" 'web on local'
}

@test "as-policy(1): the examples run, and leave three policies" {
	run_examples as-policy.1
	is "$(as-policy list | jq -r .name | tr '\n' ' ')" 'web quiet webs '
}

@test "as-lb-update(1): the examples run, and the container is attached" {
	run_examples as-lb-update.1
	is "$(servers_up)" 1
}

@test "as-fetch-alerts(1): the examples run, with an alert waiting and one dead" {
	alert scale-up
	alert scale-up '{"service": "api"}'
	for _ in 1 2 3 4 5 6; do # five leases run out; the sixth look buries it
		as-fetch-alerts --service api --lease 1ms >/dev/null
		sleep 0.01
	done
	is "$(as-fetch-alerts --dead | jq -r .service)" api
	run_examples as-fetch-alerts.1
	is "$(as-fetch-alerts --dead)" '' 'it was put back'
}

@test "as-clone(1): the examples run, and make one copy" {
	run_examples as-clone.1
	is "$(names)" 'web web-1'
}

@test "as-remove(1): the examples run, and take the copies away" {
	decided set ',"count":3' | as-clone | as-lb-update >/dev/null
	is "$(names)" 'web web-1 web-2'
	run_examples as-remove.1
	is "$(names)" web
}

@test "as-audit(1): the examples run, with something in the history" {
	decided scale-up | as-audit --intent | as-clone | as-audit >/dev/null
	run_examples as-audit.1
	is "$(as-audit --history | wc -l)" 1
}

@test "as-report(1): the examples run, and make three pages" {
	decided scale-up | as-audit --intent | as-clone | as-audit >/dev/null
	run_examples as-report.1
	is "$(grep -l '1 -&gt; 2: alert asks' "$BATS_TEST_TMPDIR"/*.html | wc -l)" 3
}

@test "as-store(1): the examples run, with an alert waiting" {
	alert scale-up
	run_examples as-store.1
	is "$(as-fetch-alerts | wc -l)" 1
}

@test "as-status(1): the examples run, with a container that no balancer has" {
	run run_examples as-status.1
	is "$status" 0
	has "$output" '! lb edge: no traffic to web'
}

@test "as-ack-alerts(1): the examples run, with an alert waiting" {
	alert scale-up
	run_examples as-ack-alerts.1
	is "$(names)" 'web web-1'
}

@test "as-doctor(1): the examples run, and all is well" {
	as-inspect --all | as-resolve-policy | as-lb-update --sync >/dev/null # what the tests before left there
	run_examples as-doctor.1
	run -0 as-doctor -q
	is "$output" ''
}

@test "autoscale(7): the examples run" { run_examples autoscale.7; }
