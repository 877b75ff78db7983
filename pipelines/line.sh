# shellcheck shell=bash
# line.sh: what the pipelines share. Sourced, not run.

# The commands beside a checkout's pipelines come first, then those installed with them, then PATH.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for dir in "${AS_BIN:-}" "$here/../build/bin" "$here/../../../bin"; do
	[ -x "$dir/as-decide" ] && PATH=$dir:$PATH && break
done

# One pass at a time for each store: a kernel lock, which no kill -9 leaves behind. AS_LOCK names another file; AS_LOCK=
# turns it off (then the operations' own keys still keep every action single). What runs for
# long beside passes has a lock of its own: `pass=NAME one_pass_at_a_time`.
one_pass_at_a_time() {
	local store dir lock
	store=$(printf '%s' "${AUTOSCALE_CONF:-}:${AUTOSCALE_STORE:-}:${XDG_STATE_HOME:-}" | cksum | cut -d' ' -f1)
	dir=${XDG_RUNTIME_DIR:-/run/lock}
	lock=${AS_LOCK-${dir}/autoscale-$(id -u)-$store.lock}
	[ -n "$lock" ] || return 0
	lock=$lock${pass:+.$pass}
	exec 9>"$lock" || exit 75
	flock -n 9 || {
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
