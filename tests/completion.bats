# At TAB: in bash and zsh at a terminal of their own, in fish by its own `complete -C`; with what `make install` installs.

load lib

setup_file() {
	"$TOP/tests/deps.sh" shells >&2
	rig_up docker
	make -s -C "$TOP" install DESTDIR="$BATS_FILE_TMPDIR" PREFIX=/usr B="${AS_BUILD:-build}" >/dev/null
	container web-7 '{"autoscale.service":"web"}' >/dev/null
	container other '{"com.docker.compose.service":"wheel"}' >/dev/null
}
teardown_file() {
	wipe
	rig_down
}

setup() {
	fresh
	cat >"$AUTOSCALE_CONF" <<-EOF
		[lb "edge"]
		driver = haproxy
		socket = /run/none.sock
		[lb "inner"]
		driver = haproxy
		socket = /run/none.sock
	EOF
}
teardown() {
	local p
	for p in ${PIDS:-}; do kill "$p"; done
}

# tab SHELL LINE: the line after TAB, between < and >; of fish, what it would offer, on one line
tab() {
	local share=$BATS_FILE_TMPDIR/usr/share
	case $1 in
	fish)
		HOME=$BATS_TEST_TMPDIR fish --no-config -c "set -p fish_complete_path $share/fish/vendor_completions.d; complete -C '$2'" |
			cut -f1 | tr '\n' ' ' | sed 's/ $//'
		;;
	*) timeout 20 "$TOP/tests/complete" "$1" "$share" "$2" | sed -n '/^<.*>$/p' ;;
	esac
}

# completes SHELL LINE WORD: the word at the end of the line becomes this one
completes() {
	if [ "$1" = fish ]; then
		is "$(tab fish "$2")" "$3" "fish: $2"
	else
		is "$(tab "$1" "$2")" "<${2% *} $3$([[ $3 == *= ]] || echo ' ')>" "$1: $2"
	fi
}

each_shell() { for s in bash zsh fish; do completes "$s" "$@"; done; }

@test "a service, from the engine" {
	each_shell 'as-inspect we' web
	each_shell 'as-watch -v whe' wheel
	is "$(as-inspect --completion words '' | sort | tr '\n' ' ')" 'web wheel '
	[ ! -e "$BATS_TEST_TMPDIR/store.db" ] # nobody asked for a store
}

@test "a service, from the policies and the remembered originals, while no engine answers" {
	as-inspect --remember web >/dev/null
	as-policy set shop max=2
	as-policy load <<<'{"name":"all","service":"sh*","max":3}'
	export DOCKER_HOST=unix:///nowhere
	each_shell 'as-inspect we' web
	each_shell 'as-audit --history --service sh' shop
	each_shell 'as-policy list sh' shop
}

@test "a container, to be removed by force" {
	each_shell 'as-remove --force oth' other
}

@test "a policy, and a verb" {
	as-policy set shop service='*' max=2
	each_shell 'as-policy hi' history
	each_shell 'as-policy get sh' shop
	each_shell 'as-store pr' prune
}

@test "a field of a policy, and the load balancers of the configuration as its value" {
	each_shell 'as-policy set web lb_por' lb_port=
	each_shell 'as-policy set web max=3 lb=i' lb=inner
	each_shell 'as-policy set web cooldown-u' cooldown-up=
	conf=$BATS_TEST_TMPDIR/other.conf
	printf '[lb "west"]\ndriver = haproxy\nsocket = /x\n' >"$conf"
	each_shell "as-policy -c $conf set web lb=w" lb=west
}

@test "an option, its argument in the same word, an action, a file" {
	each_shell 'as-decide --simu' --simulate
	each_shell 'as-ingest --action att' attach
	echo >"$BATS_TEST_TMPDIR/policies.json"
	each_shell "as-resolve-policy --policies $BATS_TEST_TMPDIR/pol" "$BATS_TEST_TMPDIR/policies.json"
	each_shell "as-policy check $BATS_TEST_TMPDIR/pol" "$BATS_TEST_TMPDIR/policies.json"
	each_shell 'as-audit --service=we' --service=web
}

@test "hosts and load balancers are told by every command, from the configuration" {
	printf '[host "edge-1"]\nurl = tcp://10.0.0.5:2376\ncert_path = /x\n' >>"$AUTOSCALE_CONF"
	is "$(as-decide --completion hosts '' edge)" edge-1
	is "$(as-store --completion lbs --lb= '' | cut -f1 | tr '\n' ' ')" '--lb=edge --lb=inner '
	printf '[host "x"]\nurl = unix:///x\n[host "$(x)"]\nurl = unix:///y\n' >"$AUTOSCALE_CONF"
	is "$(as-decide --completion hosts '' '' | cut -f1)" x
}

@test "nothing where nothing may stand, and behind -- no option" {
	is "$(as-decide --completion words '')" ''
	is "$(as-inspect --completion words -- --)" ''
	is "$(as-audit --completion words --since '')" ''
}

@test "an engine that is silent: an answer within a second, nothing said, what the store knows is offered" {
	as-policy set web max=2
	socat "UNIX-LISTEN:$BATS_TEST_TMPDIR/silent.sock,fork" EXEC:'sleep 60' 3>&- &
	PIDS=$!
	eventually 5 test -S "$BATS_TEST_TMPDIR/silent.sock"
	export DOCKER_HOST=unix://$BATS_TEST_TMPDIR/silent.sock
	began=$(date +%s%3N)
	run --separate-stderr as-inspect --completion words w
	[ $(($(date +%s%3N) - began)) -lt 1500 ]
	is "$status|$output|$stderr" '0|web|'
}

@test "a broken configuration, a damaged store: nothing is said" {
	printf '[stoer]\na = b\n' >"$AUTOSCALE_CONF"
	run --separate-stderr as-inspect --completion words ''
	is "$status|$output|$stderr" '0||'
	: >"$AUTOSCALE_CONF"
	echo 'this is no database, and it is long enough to be looked at as one' >"$BATS_TEST_TMPDIR/store.db"
	run --separate-stderr as-policy --completion words get ''
	is "$status|$output|$stderr" '0||'
}

@test "a name that a shell would read something into is not offered" {
	jq -nc '{name: "x$(touch /tmp/here)", service: "web", max: 2}, {name: "x y", service: "web", min: 1}, {name: "xz", service: "web", min: 1}' |
		as-policy load
	is "$(as-policy --completion words get x | cut -f1)" xz
	each_shell 'as-policy get x' xz
}
