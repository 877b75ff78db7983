# shellcheck shell=bash
# What up, down and leaks share; sourced, prints nothing by itself.
#
# A rig is a directory. All names outside it (network namespace, links, cgroups) carry an id that
# is computed from its path, so that what is left can be found and removed when the directory is gone.
#   DIR/rig      marks the directory as ours; only such a directory is ever removed
#   DIR/servers  what was started, one a line, written before the start
#   DIR/pids     PID START SIGNAL SERVER: each process with its start time (proc(5), stat, field 22)
#   DIR/env      the export lines; `. DIR/env` joins a rig from another shell
#   DIR/SERVER.log
# A server's file NAME.sh has NAME_up SERVER, and if there is more to it than processes and files below
# DIR: NAME_stop, called before the processes are stopped, NAME_down, called after, and NAME_leaks.
# SERVER is NAME with a number behind it from the second one on.

RIG_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RIG_TOP=$(cd "$RIG_HERE/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin

# rig_use DIR: make DIR (absolute) the rig that the functions below work on.
rig_use() {
	RIG=$1
	local crc
	crc=$(printf '%s' "$RIG" | cksum)
	# shellcheck disable=SC2034
	RIG_ID=$(printf '%06x' $((${crc%% *} & 0xffffff)))
}

rig_say() { printf 'rig: %s\n' "$*" >&2; }

# rig_fail SERVER STATUS MESSAGE: say why, show the end of the server's log, stop all, let eval fail.
rig_fail() {
	trap - EXIT INT TERM
	rig_say "$1: $3"
	[ ! -s "$RIG/$1.log" ] || tail -n 20 "$RIG/$1.log" >&2
	rig_down
	echo false >&3
	exit "$2"
}

# rig_need SERVER COMMAND...: refuse to start without these commands.
rig_need() {
	local server=$1 c
	shift
	for c; do
		command -v "$c" >/dev/null || rig_fail "$server" 69 "$c is not here; run tests/deps.sh test"
	done
}

# rig_install SERVER SET COMMAND: install SET of tests/deps.sh unless COMMAND is there.
rig_install() {
	command -v "$3" >/dev/null || "$RIG_TOP/tests/deps.sh" "$2" >&2 || rig_fail "$1" 69 "cannot install $2"
}

# rig_venv SERVER PACKAGE...: set RIG_VENV to a Python environment that holds them; kept for the next time.
# Not compiled: that takes longer than the download, for files of which most are never read.
rig_venv() {
	local holds=${*:2}
	RIG_VENV=$RIG_TOP/build/rig-cache/${1%%[0-9]*}
	mkdir -p "$RIG_TOP/build/rig-cache"
	(
		flock 9
		[ "$(cat "$RIG_VENV/.holds" 2>/dev/null)" != "$holds" ] || exit 0
		python3 -c 'import ensurepip, venv' 2>/dev/null || "$RIG_TOP/tests/deps.sh" venv || exit
		rm -rf "$RIG_VENV"
		python3 -m venv "$RIG_VENV" && "$RIG_VENV/bin/pip" install -q --no-compile "${@:2}" && echo "$holds" >"$RIG_VENV/.holds"
	) 9>"$RIG_VENV.lock" >>"$RIG/$1.log" 2>&1 || rig_fail "$1" 69 "cannot install $holds"
}

# rig_export NAME VALUE
rig_export() { printf "export %s='%s'\n" "$1" "${2//\'/\'\\\'\'}" >>"$RIG/env"; }

# rig_port VARIABLE: a loopback port below the ephemeral range that nobody uses and no other call got.
RIG_PORTS=
rig_port() {
	local try
	while try=$((${AS_RIG_PORT_FROM:-20000} + RANDOM % ${AS_RIG_PORTS:-12000})); do
		case $RIG_PORTS in *" $try "*) continue ;; esac
		grep -qi "$(printf ':%04X ' "$try")" /proc/net/tcp /proc/net/tcp6 2>/dev/null || break
	done
	RIG_PORTS="$RIG_PORTS $try "
	printf -v "$1" %s "$try"
}

# rig_stat PID: set RIG_STATE, RIG_SESSION and RIG_START from /proc; 1 if there is no such process.
rig_stat() {
	local line
	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	# After "PID (COMM) " field 3 comes first; COMM may hold blanks and brackets.
	read -r -a line <<<"${line##*) }"
	RIG_STATE=${line[0]} RIG_SESSION=${line[3]} RIG_START=${line[19]}
}

rig_alive() { rig_stat "$1" && [ "$RIG_STATE" != Z ]; }

# rig_spawn SERVER SIGNAL COMMAND...: start in its own session, without inherited files; sets RIG_PID.
# SIGNAL is what down sends first. The new process notes itself, so an interrupted up knows it.
rig_spawn() {
	local server=$1 signal=$2
	shift 2
	(
		for fd in /proc/self/fd/*; do
			fd=${fd##*/}
			[ "$fd" -le 2 ] || eval "exec $fd>&-"
		done
		rig_stat "$BASHPID" && echo "$BASHPID $RIG_START $signal $server" >>"$RIG/pids" && exec setsid "$@"
	) </dev/null >>"$RIG/$server.log" 2>&1 &
	RIG_PID=$!
	disown "$RIG_PID"
}

# rig_wait SERVER SECONDS COMMAND...: until COMMAND succeeds; fails if time is up or RIG_PID died.
rig_wait() {
	local server=$1 end=$((SECONDS + $2)) limit=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		rig_alive "$RIG_PID" || rig_fail "$server" 1 'died at its start'
		[ "$SECONDS" -lt "$end" ] || rig_fail "$server" 1 "not ready after $limit s"
		sleep 0.03
	done
}

# rig_until SECONDS COMMAND...: until COMMAND succeeds; 1 if time is up.
rig_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.03
	done
}

# rig_answers URL [CURL ARGUMENT...]: some HTTP answer comes, of whatever status.
rig_answers() { curl -s -o /dev/null --max-time 2 "$@"; }

# rig_listens PORT: something accepts connections there.
rig_listens() { (: <"/dev/tcp/127.0.0.1/$1"); }

# rig_left: the processes of the rig that live, one pid a line. A process belongs to it by the session
# that rig_spawn made. The kernel does not give a pid out again while a session carries it, so
# only a leader with another start time means that the number went to a stranger.
rig_left() {
	[ -f "$RIG/pids" ] || return 0
	local -A ours=()
	local pid start
	while read -r pid start _; do
		rig_stat "$pid" && [ "$RIG_START" != "$start" ] || ours[$pid]=1
	done <"$RIG/pids"
	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		rig_stat "$pid" || continue
		[ -z "${ours[$RIG_SESSION]-}" ] || [ "$RIG_STATE" = Z ] || echo "$pid"
	done
}

rig_none_left() { [ -z "$(rig_left)" ]; }

# rig_stop: each leader gets its signal; what has lost its leader is killed at once, what lives 5 s
# later too. Status 1 if something survives.
rig_stop() {
	[ -f "$RIG/pids" ] || return 0
	local pid start signal
	for pid in $(rig_left); do
		! rig_stat "$pid" || rig_alive "$RIG_SESSION" || kill -s KILL "$pid" 2>/dev/null
	done
	while read -r pid start signal _; do
		if rig_stat "$pid" && [ "$RIG_START" = "$start" ]; then
			kill -s "$signal" "$pid"
			# A stopped process does not see a TERM.
			kill -s CONT "$pid"
		fi
	done <"$RIG/pids" 2>/dev/null
	rig_until 5 rig_none_left && return
	for pid in $(rig_left); do
		kill -s KILL "$pid" 2>/dev/null
	done
	rig_until 5 rig_none_left
}

# rig_each SUFFIX: call NAME_SUFFIX of every server that has one.
rig_each() {
	local file
	for file in "$RIG_HERE"/*.sh; do
		file=${file##*/}
		[ "$file" != lib.sh ] || continue
		# shellcheck source=/dev/null
		. "$RIG_HERE/$file"
		! declare -F "${file%.sh}_$1" >/dev/null || "${file%.sh}_$1"
	done
}

# rig_down: stop and remove everything; whatever is gone already is no error.
rig_down() {
	local status=0
	rig_each stop
	rig_stop || status=1
	rig_each down || status=1
	[ ! -f "$RIG/rig" ] || rm -rf --one-file-system "$RIG" || status=1
	return $status
}
