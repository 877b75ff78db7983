# shellcheck shell=bash
# line.sh: what the pipelines share. Sourced, not run.

# The commands beside a checkout's pipelines come first, then those installed with them, then PATH.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for dir in "${AS_BIN:-}" "$here/../build/bin" "$here/../../../bin"; do
	[ -x "$dir/as-decide" ] && PATH=$dir:$PATH && break
done

# What the top of the script says is its help.
case ${1:-} in -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 0 ;; esac

# One pass at a time for each store: a kernel lock, which no kill -9 leaves behind. AS_LOCK names another file; AS_LOCK=
# turns it off (then the operations' own keys still keep every action single). What runs for
# long beside passes has a lock of its own: `pass=NAME one_pass_at_a_time`. AS_WAIT is how many seconds a pass waits for
# its turn, none by default; with --every, as long as it waits for the next one.
one_pass_at_a_time() {
	local store dir lock
	store=$(printf '%s' "${AUTOSCALE_CONF:-}:${AUTOSCALE_STORE:-}:${XDG_STATE_HOME:-}" | cksum | cut -d' ' -f1)
	dir=${XDG_RUNTIME_DIR:-/run/lock}
	lock=${AS_LOCK-${dir}/autoscale-$(id -u)-$store.lock}
	[ -n "$lock" ] || return 0
	lock=$lock${pass:+.$pass}
	exec 9>"$lock" || exit 75
	flock -w "${AS_WAIT:-0}" 9 || {
		echo "$(basename "$0"): another pass is under way ($lock)" >&2
		exit 75
	}
}

# The worst of the stages' statuses, the whole script's own: what ends a pass comes before "some records carry an
# error". 141 is a filter whose reader left: the reader says why.
worst() {
	local s worst=0
	for s; do
		[ "$s" -ne 141 ] && [ "$s" -gt "$worst" ] && worst=$s
	done
	exit "$worst"
}

# `every "$@"`: with --every SECONDS among the arguments, the script again and again with the others, one pass after the
# other, until SIGTERM or SIGINT; the pass in hand is finished. The status is the last pass's. Without it, nothing.
every() {
	local args=() seconds='' status times=1 over='' sleeper=''

	if [ -n "${AS_EVERY:-}" ]; then # a pass of the loop below: a signal to all of its processes is for the commands
		trap : TERM INT
		return
	fi
	while [ $# -gt 0 ]; do
		case $1 in
		--every) seconds=${2-} && shift ;;
		--every=*) seconds=${1#*=} ;;
		--) break ;;
		*) args+=("$1") && shift && continue ;;
		esac
		[[ $seconds =~ ^[1-9][0-9]{0,4}$ ]] || usage "--every wants a number of seconds from 1 to 99999, not \"$seconds\""
		shift $(($# > 0))
	done
	[ -n "$seconds" ] || return 0
	trap 'over=yes; [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null' TERM INT
	while :; do
		status=0
		AS_EVERY=yes AS_WAIT=${AS_WAIT-$seconds} "$0" ${args[@]+"${args[@]}"} "$@" || status=$?
		[ "$status" -eq 0 ] || echo "$(basename "$0"): a pass ended with status $status" >&2
		[ -z "$over" ] && [ "$status" -ne 64 ] || exit "$status"
		times=$(next_wait "$status" "$times")
		sleep "$(jittered $((seconds * times)))" &
		sleeper=$!
		[ -z "$over" ] || kill "$sleeper" 2>/dev/null
		wait "$sleeper"
		sleeper=
		[ -z "$over" ] || exit "$status"
	done
}

usage() {
	echo "$(basename "$0"): $1" >&2
	exit 64
}

# After how many times the usual wait the next pass comes. What is down, or refuses, is asked less and less often.
next_wait() {
	case $1 in
	69 | 75 | 77 | 78) echo $(($2 < 5 ? $2 * 2 : 10)) ;;
	*) echo 1 ;;
	esac
}

# SECONDS times 0.9 to 1.1, so that many of them do not ask at the same moment for ever.
jittered() {
	local ms=$(($1 * (900 + RANDOM % 201)))
	printf '%d.%03d\n' $((ms / 1000)) $((ms % 1000))
}
