# What balancers.bats and bench/balancers share: the four balancers behind one set of words. BALANCER is haproxy, nginx,
# traefik or envoy; its backend is web. Containers are numbers: container 7 is a server of tests/unit/http_load.c at
# 127.0.0.7, its entry as-000000000007.
# shellcheck shell=bash disable=SC2034,SC2119,SC2120

BALANCERS=${AS_BALANCERS:-haproxy nginx traefik envoy}
LOAD=${AS_BUILD:-$TOP/build}/unit/http_load

ms() { date +%s%3N; }
front() { local v=AS_RIG_${1^^}_URL; echo "${!v##*:}"; }

# lb_section BALANCER [NAME]: its part of a configuration
lb_section() {
	printf '[lb "%s"]\ndriver = %s\n' "${2:-$1}" "$1"
	case $1 in
	haproxy) printf '%s\n' "socket = $AS_RIG_HAPROXY_SOCKET" "config = $AS_RIG_HAPROXY_CFG" "master = $AS_RIG_HAPROXY_MASTER" ;;
	nginx)
		printf '%s\n' "folder = $AS_RIG_NGINX_DIR" "config = $AS_RIG_NGINX_CONF" "admin = $AS_RIG_NGINX_URL" \
			"pid = $AS_RIG_NGINX_DIR/nginx.pid" "frontend = 127.0.0.1:$(front nginx)"
		;;
	traefik) printf '%s\n' "folder = $AS_RIG_TRAEFIK_DIR" "admin = $AS_RIG_TRAEFIK_API" ;;
	envoy) printf '%s\n' "folder = $AS_RIG_ENVOY_DIR" "admin = $AS_RIG_ENVOY_ADMIN" ;;
	esac
}

# apps_up DIR BALANCER: its containers, all of them; sets nothing, notes their port, a closed one and the pid in DIR
apps_up() {
	mkdir -p "$1/$2"
	"$LOAD" serve 0 -1 >"$1/$2/ports" 3>&- &
	echo $! >"$1/$2/apps.pid"
	until [ -s "$1/$2/ports" ]; do sleep 0.01; done
}
apps_down() { local pid; for pid in "$1"/*/apps.pid; do kill "$(cat "$pid")"; done; }
app_port() { cut -d ' ' -f 1 "$APPS/$1/ports"; }
closed_port() { cut -d ' ' -f 2 "$APPS/$1/ports"; }
hits() { curl -s --max-time 5 "http://127.0.0.$2:$(app_port "$1")/hits"; }
more_hits() { [ "$(hits "$1" "$2")" -ge "$3" ]; }

# rec BALANCER [CONTAINER ...]: the record of a service whose replicas these are; 7@9 is container 7 at 127.0.0.9,
# 7:4000 at another port.
rec() {
	local b=$1
	shift
	printf '%s\n' "$@" | jq -Rnc --arg lb "$b" --arg now "$(date -u +%FT%T.%3NZ)" --argjson port "$(app_port "$b")" '
		def id: tostring | (12 - length) * "0" + . + 52 * "0";
		{v: 1, id: "test", now: $now, service: "web",
		 observed: {hosts: [{name: "local", ok: true, message: ""}], containers: [inputs | select(. != "")
			| capture("^(?<n>[0-9]+)(@(?<at>[0-9]+))?(:(?<port>[0-9]+))?$")
			| {id: (.n | id), name: "web-\(.n)", host: "local", state: "running", health: "", ready: true,
			   addresses: {front: "127.0.0.\(.at // .n)"},
			   ports: [{port: (.port // $port | tonumber), protocol: "tcp"}], labels: {}}]},
		 policy: {lb: $lb, lb_backend: "web", drain: 5, ready_timeout: 5}, plan: {op: "none", create: [], start: [], remove: []}}'
}
# removing CONTAINER: a record whose plan removes that
removing() {
	jq -c --arg n "$1" '([.observed.containers[] | select(.name == "web-" + $n) | {id, name, host}]) as $gone
		| .plan = {op: "scale-down", create: [], start: [], remove: $gone}'
}

update() { as-lb-update "$@"; }
# only BALANCER [CONTAINER ...]: these and no others are its servers
only() {
	rec "$@" | update >"$BATS_TEST_TMPDIR/only.$1" || { cat "$BATS_TEST_TMPDIR/only.$1" >&2; return 1; }
	is "$(entries "$1")" "$(entries_of "${@:2}")" "$1"
}

# entries BALANCER: what the balancer itself says are the servers of web: their numbers, in order, on one line
entries() { entries_"$1" | sed -n 's/.*as-0*\([0-9][0-9]*\).*/\1/p' | sort -n | tr '\n' ' ' | sed 's/ $//'; }
entries_of() { printf '%s\n' "$@" | sed 's/[@:].*//' | sort -n | tr '\n' ' ' | sed 's/ $//'; }
entries_haproxy() { haproxy_say 'show servers state web' | awk 'NR > 2 && NF { print $4 }'; }
entries_nginx() { grep -E '^ *server ' "$AS_RIG_NGINX_DIR/as-web.conf"; }
entries_traefik() { curl -s --max-time 5 "$AS_RIG_TRAEFIK_API/api/http/services/web@file" | jq -r '.weighted.services[]?.name'; }
entries_envoy() {
	curl -s --max-time 5 "$AS_RIG_ENVOY_ADMIN/clusters?format=json" |
		jq -r '.cluster_statuses[] | select(.name == "web") | .host_statuses[]?.hostname'
}

# whole BALANCER: what it reads its servers from is something that it would take
whole() {
	case $1 in
	haproxy) haproxy -c -q -f "$AS_RIG_HAPROXY_CFG" ;;
	nginx) nginx -p "$AS_RIG_NGINX_DIR/" -e stderr -c "$AS_RIG_NGINX_CONF" -q -t ;;
	traefik) grep -v "^#" "$AS_RIG_TRAEFIK_DIR/as-web.yml" | jq -e .http >/dev/null ;; # its first line is a YAML comment
	envoy) jq -e .resources "$AS_RIG_ENVOY_DIR/web.json" >/dev/null ;;
	esac
}

# load_on BALANCER keep|close: clients that POST until load_off, which puts what they counted into $TALLY
load_on() {
	"$LOAD" clients "$(front "$1")" "$2" >"$BATS_TEST_TMPDIR/load.$1" 3>&- &
	LOAD_PID=$! LOAD_OF=$1
}
load_off() {
	kill "$LOAD_PID"
	wait "$LOAD_PID"
	TALLY=$(cat "$BATS_TEST_TMPDIR/load.$LOAD_OF")
	echo "# $LOAD_OF: $TALLY"
}
tally() { jq -r "$1" <<<"$TALLY"; }
