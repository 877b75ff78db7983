# What the bats files share: where the commands are, a store and a configuration per test, the rig, small assertions.
# shellcheck shell=bash

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export AS_BIN=${AS_BIN:-$TOP/build/bin}
PATH=$AS_BIN:$PATH
bats_require_minimum_version 1.5.0

# A store, a configuration and a lock of this test's own. With a rig that has HAProxy: a load balancer "edge".
fresh() {
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/store.db AUTOSCALE_CONF=$BATS_TEST_TMPDIR/as.conf
	export AS_LOCK=$BATS_TEST_TMPDIR/lock
	unset AUTOSCALE_ALERTS XDG_STATE_HOME
	: >"$AUTOSCALE_CONF"
	[ -z "${AS_RIG_HAPROXY_SOCKET:-}" ] || cat >"$AUTOSCALE_CONF" <<-EOF
		[lb "edge"]
		driver = haproxy
		socket = $AS_RIG_HAPROXY_SOCKET
	EOF
}

# rig_up SERVER...: for setup_file. rig_down: for teardown_file; fails when anything is left behind.
rig_up() {
	local out
	out=$("$TOP/tests/rig/up" "$@") || { echo "the rig did not start" >&2; return 1; }
	eval "$out"
	export API_SOCKET=${DOCKER_HOST#unix://}
}

rig_down() {
	"$TOP/tests/rig/down" "$AS_RIG" && "$TOP/tests/rig/leaks" "$AS_RIG"
}

# api METHOD PATH [JSON]: the engine itself, not our own client.
api() {
	curl -sS --max-time 30 --unix-socket "$API_SOCKET" -X "$1" "http://localhost$2" ${3:+-H 'Content-Type: application/json' -d "$3"}
}

# container NAME LABELS-JSON [EXTRA-CREATE-JSON]: made and started through the engine's API; prints its id.
container() {
	local id body
	body=$(jq -nc --arg image "${IMAGE:-$AS_RIG_IMAGE}" --argjson labels "$2" --argjson extra "${3:-{\}}" \
		'{Image: $image, Labels: $labels} + $extra')
	id=$(api POST "/containers/create?name=$1" "$body" | jq -er .Id) || return 1
	api POST "/containers/$id/start" >/dev/null || return 1
	echo "$id"
}

# The usual service: one container `web` that may grow to MAX behind "edge". It serves when this returns: a pass would
# rightly leave out what is not ready yet.
web() {
	container web "{\"autoscale.service\":\"web\",\"autoscale.max\":\"${1:-4}\",\"autoscale.lb\":\"edge\",\"autoscale.lb.port\":\"80\",\"autoscale.cooldown-down\":\"0\",\"autoscale.drain\":\"5s\",\"autoscale.grace\":\"2s\"}" "${2:-{\}}" >/dev/null
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(api GET /containers/web/json | jq -r '.NetworkSettings.Networks[].IPAddress' | head -n 1)/"
}

names() { api GET '/containers/json?all=1' | jq -r '.[].Names[0][1:]' | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//'; }

running() { api GET '/containers/json' | jq length; }

wipe() {
	local id
	for id in $(api GET '/containers/json?all=1' | jq -r '.[].Id'); do api DELETE "/containers/$id?force=1&v=1" >/dev/null; done
}

# haproxy LINE: one line to its Runtime API, the answer on standard output.
haproxy_say() { printf '%s\n' "$1" | socat -t 5 - "UNIX-CONNECT:$AS_RIG_HAPROXY_SOCKET"; }

servers() { haproxy_say 'show servers state web' | awk 'NR > 2 && NF { print $4 }' | LC_ALL=C sort; }

servers_up() { haproxy_say 'show stat' | awk -F, '$1 == "web" && $2 ~ /^as-/ && $18 ~ /^UP/' | wc -l; }

no_servers() {
	local s
	for s in $(servers); do
		haproxy_say "set server web/$s state maint" >/dev/null
		haproxy_say "shutdown sessions server web/$s" >/dev/null
		haproxy_say "del server web/$s" >/dev/null
	done
}

# alert ACTION [MORE-JSON]: one alert for service web, in our own form, ingested.
alert() {
	jq -nc --arg a "$1" --argjson more "${2:-{\}}" '{service: "web", action: $a} + $more' | as-ingest
}

# hold_store: another program holds this test's SQLite store, and does what is written to descriptor 7. Its pid is added
# to PIDS.
hold_store() {
	mkfifo "$BATS_TEST_TMPDIR/hold"
	sqlite3 "$BATS_TEST_TMPDIR/store.db" <"$BATS_TEST_TMPDIR/hold" 3>&- &
	PIDS="${PIDS:-} $!"
	exec 7>"$BATS_TEST_TMPDIR/hold"
	echo 'begin immediate;' >&7
	eventually 5 store_held
}
store_held() { ! sqlite3 "$BATS_TEST_TMPDIR/store.db" 'begin immediate' 2>/dev/null; }

# is GOT WANT [WHAT]
is() {
	[ "$1" = "$2" ] && return 0
	printf '# %s\n#  got: %s\n# want: %s\n' "${3:-}" "$1" "$2" >&2
	return 1
}

# has TEXT PART
has() {
	case $1 in *"$2"*) return 0 ;; esac
	printf '# not in it: %s\n# %s\n' "$2" "$1" >&2
	return 1
}

# eventually SECONDS COMMAND...: until it succeeds.
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || { echo "# never: $*" >&2; return 1; }
		sleep 0.05
	done
}
