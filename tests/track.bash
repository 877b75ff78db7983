# What track.bats uses: services that follow a target behind the real load balancers, their load, and passes of
# pipelines/track that are kept. A service has the name of its load balancer ("haproxy" is behind [lb "haproxy"]). Each
# replica is a tests/unit/http_load.c that is at work on one request at a time, for $WORK ms; requests for /wait/MS are
# held beside that. The load is clients that ask again as soon as they are answered, so that as many requests are open
# all the time; of K clients each waits K * WORK / N ms for an answer of N replicas, whatever else the machine does.
# shellcheck shell=bash

WORK=100

# tracked SERVICE LABELS-JSON: its one container, that may become eight; serves when this returns.
tracked() {
	local labels extra
	labels=$(jq -nc --arg s "$1" --argjson more "$2" '{
		"autoscale.service": $s, "autoscale.lb": $s, "autoscale.lb.backend": "web", "autoscale.lb.port": "80",
		"autoscale.max": "8", "autoscale.window-down": "6s", "autoscale.cooldown-down": "0", "autoscale.drain": "10s",
		"autoscale.grace": "2s"} + $more')
	# The program is this machine's, and so are the libraries that it is linked with.
	extra=$(jq -nc --arg dir "${LOAD%/*}" --arg work "$WORK" '{Entrypoint: ["/app/http_load", "work", "80", $work], Cmd: [],
		HostConfig: {Binds: [($dir + ":/app:ro"), "/usr/lib:/usr/lib:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro"]}}')
	container "$1" "$labels" "$extra" >/dev/null || return 1
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(ip_of "$1")/"
}
ip_of() { api GET "/containers/$1/json" | jq -r '.NetworkSettings.Networks[].IPAddress' | head -n 1; }
entry() { api GET "/containers/$1/json" | jq -r '"as-" + .Id[0:12]'; }
# asked NAME N: that container had so many requests
asked() { [ "$(curl -s --max-time 5 "http://$(ip_of "$1")/hits")" -ge "$2" ]; }
# replicas SERVICE: the names of its containers that run
replicas() { names | tr ' ' '\n' | grep -E "^$1(-[0-9]+)?\$" | xargs; }

# ---- load ----

# clients SERVICE NAME COUNT PATH: from now until quit SERVICE NAME
clients() {
	local keep=close # nginx closes kept connections when it is reloaded, some in the face of a client
	[ "$1" != haproxy ] || keep=keep
	"$LOAD" clients "$(front "$1")" "$keep" "$3" 0 "$4" >"$DAY/load.$1.$2" 3>&- &
	echo $! >"$DAY/pid.$1.$2"
}
# quit SERVICE NAME: when each of them has its answer
quit() {
	local pid
	pid=$(cat "$DAY/pid.$1.$2")
	rm "$DAY/pid.$1.$2"
	kill "$pid"
	wait "$pid" || true
}
all_quit() {
	local f
	for f in "$DAY"/pid.*; do
		[ ! -f "$f" ] || kill "$(cat "$f")" 2>/dev/null || true
		rm -f "$f"
	done
}
# tally_of SERVICE answered|failed: of all its clients
tally_of() { cat "$DAY/load.$1".* | jq -s "map(.$2) | add"; }
# in_flight N: so many requests are open at HAProxy
in_flight() { [ "$(haproxy_say 'show stat' | awk -F, '$1 == "web" && $2 == "BACKEND" { print $5 }')" = "$1" ]; }

# ---- passes ----

# pass PHASE: one pass over all services; its records are kept as those of that phase
pass() { "$TOP/pipelines/track" >>"$DAY/$1.pass" 2>>"$DAY/$1.said" || { tail -n 20 "$DAY/$1.said" && return 1; }; }
# said PHASE SERVICE [FILTER]: of its records in that phase, one a line; without a filter what was done
did='select(.plan.op != "none") | "\(.plan.op) \(.plan.from) -> \(.plan.to)"'
said() { jq -r --arg s "$2" "select(.service == \$s) | ${3:-$did}" "$DAY/$1.pass"; }
# pass_until PHASE N: passes until N services did something in it; 30 at most
pass_until() {
	local i
	for ((i = 0; i < 30; i++)); do
		pass "$1"
		[ "$(jq -r 'select(.plan.op != "none") | .service' "$DAY/$1.pass" | sort -u | wc -l)" -lt "$2" ] || return 0
	done
	echo "# $1: not all of them did something in 30 passes"
	jq -r '[.now, .service, .plan.reason] | join(" ")' "$DAY/$1.pass"
	return 1
}
# window_of PHASE SERVICE: "over" when it did something in that phase later than its window_down after the last pass of
# the afternoon
window_of() {
	local last
	last=$(said afternoon "$2" .now | tail -n 1)
	said "$1" "$2" 'select(.plan.op != "none") | [.now, .policy.window_down] | @tsv' | jq -Rr --arg last "$last" '
		def ms: (.[0:19] + "Z" | fromdate) * 1000 + (.[20:23] | tonumber);
		split("\t") | if (.[0] | ms) - ($last | ms) > (.[1] | tonumber) * 1000 then "over" else "\($last) \(.[0])" end'
}
