# Engines on other hosts: how they are reached, what refuses us and why, and what happens when one of several is cut off.

load lib

# One rig for all: three engines that speak TLS, a login over ssh to the first of them, and Podman.
setup_file() { rig_up tls docker docker2 docker3 sshd podman; }
teardown_file() { rig_down; }

setup() {
	fresh
	PIDS=() CUT=()
	export HOME=$BATS_TEST_TMPDIR DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
	unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
}

teardown() {
	local pid server
	for pid in "${PIDS[@]}"; do kill "$pid"; done
	for server in "${CUT[@]}"; do "$TOP/tests/rig/link" "$server" up; done
	for API_SOCKET in "${DOCKER_HOST#unix://}" "${AS_RIG_DOCKER2_HOST#unix://}" "${AS_RIG_DOCKER3_HOST#unix://}" \
		"${AS_RIG_PODMAN_HOST#unix://}"; do
		wipe
	done
}

# on 1|2|3|podman COMMAND...: with API_SOCKET of that engine.
on() {
	local host=DOCKER_HOST
	case $1 in [23]) host=AS_RIG_DOCKER$1_HOST ;; podman) host=AS_RIG_PODMAN_HOST ;; esac
	local -x API_SOCKET=${!host#unix://}
	shift
	"$@"
}

# decide ACTION [COUNT]: what an alert makes of the record of as-inspect on standard input.
decide() { jq -c --arg a "$1" --argjson n "${2:-0}" '.alert = {action: $a, count: $n}' | as-resolve-policy | as-decide; }

# plan ACTION [COUNT]: what is to be done about web.
plan() { as-inspect web | decide "$@"; }

service() { container web '{"autoscale.service":"web","autoscale.max":"9","autoscale.cooldown-down":"0","autoscale.grace":"0s"}' >/dev/null; }

# tls KIND COMMAND...: with the first engine over TLS, as a client of that kind.
tls() {
	DOCKER_HOST=${URL:-$AS_RIG_DOCKER_TLS_URL} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$AS_RIG_CERTS/$1 "${@:2}"
}

# A client of KIND is refused: one line with WORDS, status 77, and not to be tried again.
refused() {
	run -77 --separate-stderr tls "$1" as-inspect --all
	is "$(wc -l <<<"$stderr")" 1
	has "$stderr" "$2"
	run -1 --separate-stderr tls "$1" as-inspect web
	is "$(jq -c '[.error.code, .error.retry]' <<<"$output")" '["denied",false]'
}

# ---- TLS ----

@test "over TLS, with certificates on both sides, a service is copied and its copy removed" {
	service
	run -0 tls ok bash -c "$(declare -f plan decide); plan scale-up | as-clone"
	is "$(names)" 'web web-1'
	run -0 tls ok bash -c "$(declare -f plan decide); plan set 1 | as-remove"
	is "$(names)" web
}

@test "any value of DOCKER_TLS_VERIFY turns TLS on, even 0, and none leaves it off" {
	service
	DOCKER_HOST=$AS_RIG_DOCKER_TLS_URL DOCKER_TLS_VERIFY=0 DOCKER_CERT_PATH=$AS_RIG_CERTS/ok run -0 as-inspect web
	DOCKER_HOST=$AS_RIG_DOCKER_TLS_URL DOCKER_CERT_PATH=$AS_RIG_CERTS/ok run -77 as-inspect --all
	has "$output" 'speaks TLS on this port (give cert_path, or DOCKER_TLS_VERIFY and DOCKER_CERT_PATH)'
}

@test "a client certificate that expired: its file and the day" {
	refused expired "certs/expired/cert.pem expired on $(date -u -d "$(openssl x509 -noout -enddate -in "$AS_RIG_CERTS/expired/cert.pem" | cut -d = -f 2)" +%F)"
}

@test "a client certificate that is not valid yet" { refused notyet 'certs/notyet/cert.pem is not valid before'; }

@test "a client certificate of another authority: which" {
	refused foreign 'certs/foreign/cert.pem was signed by "rig other", which is not in ca.pem'
}

@test "a certificate for servers in place of a client's" { refused serverauth 'certs/serverauth/cert.pem is not for clients'; }

@test "no client certificate where one is asked for" {
	refused none 'it wants one, and there is none (put cert.pem and key.pem beside'
}

@test "a server of another authority" { refused otherca 'is ca.pem the authority that signed it?'; }

@test "a server certificate for another name" {
	URL=tcp://${AS_RIG_DOCKER_ADDR%.255.2}.0.1:2376 refused ok 'use a name or an address in it as url'
}

# front ADDRESS...: a front of the first engine at a port of 127.0.0.1, as socat(1) describes it; sets PORT.
front() {
	socat "$1" "UNIX-CONNECT:$API_SOCKET" 3>&- &
	PIDS+=($!)
	PORT=
	listening() { PORT=$(ss -Hltnp | sed -n "s/.* 127.0.0.1:\([0-9]*\) .*pid=$1,.*/\1/p") && [ -n "$PORT" ]; }
	eventually 5 listening $!
}

@test "a server certificate that expired" {
	c=$AS_RIG_CERTS
	front "OPENSSL-LISTEN:0,bind=127.0.0.1,fork,cert=$c/old-server.pem,key=$c/old-server.key,cafile=$c/ok/ca.pem"
	URL=tcp://127.0.0.1:$PORT refused ok 'certificate has expired (have it made anew, or set'
}

@test "TLS on a port that does not speak it" {
	front TCP-LISTEN:0,bind=127.0.0.1,fork
	URL=tcp://127.0.0.1:$PORT refused ok 'it speaks no TLS on this port'
}

@test "files of certificates that are not there" {
	mkdir "$BATS_TEST_TMPDIR/certs"
	DOCKER_HOST=$AS_RIG_DOCKER_TLS_URL DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$BATS_TEST_TMPDIR/certs run -77 as-inspect --all
	has "$output" "certs/ca.pem: No such file or directory (look at cert_path: it needs ca.pem, cert.pem and key.pem)"
}

# ---- docker contexts ----

# What `docker context create` makes of the first engine: `tls`, and `skips`, which looks at no certificate.
contexts() {
	local c=$AS_RIG_CERTS/ok to=host=$AS_RIG_DOCKER_TLS_URL
	env -u DOCKER_HOST docker context create tls --docker "$to,ca=$c/ca.pem,cert=$c/cert.pem,key=$c/key.pem" >/dev/null
	env -u DOCKER_HOST docker context create skips --docker "$to,skip-tls-verify=true" >/dev/null
	env -u DOCKER_HOST docker context create second --docker "host=$AS_RIG_DOCKER2_HOST" >/dev/null
}

running_there() { as-inspect web | jq .observed.running; }

@test "a host is a docker context, with its certificates" {
	contexts
	service
	printf '[host "edge"]\ncontext = tls\n' >"$AUTOSCALE_CONF"
	run -0 as-inspect web
	is "$(jq -c '[.observed.running, .observed.hosts[0].name]' <<<"$output")" '[1,"edge"]'
}

@test "DOCKER_HOST goes before DOCKER_CONTEXT, that before the context in use, that before the local socket" {
	contexts
	service
	env -u DOCKER_HOST docker context use second >/dev/null
	is "$(running_there)" 1 DOCKER_HOST
	is "$(DOCKER_CONTEXT=second running_there)" 1 'DOCKER_HOST and DOCKER_CONTEXT'
	unset DOCKER_HOST
	is "$(running_there)" 0 'in use'
	is "$(DOCKER_CONTEXT=tls running_there)" 1 DOCKER_CONTEXT
	DOCKER_CONTEXT=default run -69 as-inspect --all
	has "$output" /var/run/docker.sock
}

@test "a docker context that is not there, or looks at no certificate, is refused" {
	contexts
	unset DOCKER_HOST
	DOCKER_CONTEXT=nosuch run -78 as-inspect --all
	has "$output" "there is no docker context \"nosuch\" in $DOCKER_CONFIG"
	DOCKER_CONTEXT=skips run -78 as-inspect --all
	has "$output" 'docker context "skips" does not look at the server'
}

@test "a host with both a url and a context is refused" {
	printf '[host "edge"]\nurl = unix:///x\ncontext = tls\n' >"$AUTOSCALE_CONF"
	run -78 as-inspect --all
	has "$output" 'both a url and a context'
}

# ---- ssh ----

# In front of PATH: an ssh that notes each start in $BATS_TEST_TMPDIR/logins, then the rig's with its key.
ssh_here() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho "$*" >>%s/logins\nexec %s/ssh "$@"\n' "$BATS_TEST_TMPDIR" "$AS_RIG_SSHD_PATH" >"$BATS_TEST_TMPDIR/bin/ssh"
	chmod +x "$BATS_TEST_TMPDIR/bin/ssh"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

over_ssh() { DOCKER_HOST=${URL:-$AS_RIG_SSHD_URL} "$@"; }

# ssh_config NAME VALUE: the rig's configuration with another value.
ssh_config() {
	sed "s|^$1 .*|$1 $2|" "$AS_RIG_SSHD_DIR/config" >"$BATS_TEST_TMPDIR/config"
	export AS_RIG_SSH_CONFIG=$BATS_TEST_TMPDIR/config
}

no_ssh_left() { ! pgrep -f "ssh.*-p ${AS_RIG_SSHD_URL##*:} .*dial-stdio" >/dev/null; }

@test "over ssh a service is inspected with one login for all requests" {
	ssh_here
	service
	for i in 1 2; do container "web-x$i" '{"autoscale.service":"web"}' >/dev/null; done
	run -0 over_ssh as-inspect web
	is "$(jq .observed.running <<<"$output")" 3
	is "$(cat "$BATS_TEST_TMPDIR/logins")" "-o ConnectTimeout=5 -o BatchMode=yes -T -l root -p ${AS_RIG_SSHD_URL##*:} -- 127.0.0.1 docker system dial-stdio"
	eventually 5 no_ssh_left
}

@test "over ssh a service is copied and its copy removed" {
	ssh_here
	service
	run -0 over_ssh bash -c "$(declare -f plan decide); plan scale-up | as-clone"
	is "$(names)" 'web web-1'
	run -0 over_ssh bash -c "$(declare -f plan decide); plan set 1 | as-remove"
	is "$(names)" web
	eventually 5 no_ssh_left
}

@test "over ssh twelve copies removed at once take nine logins at most: a server refuses when many come at a time" {
	ssh_here
	container web '{"autoscale.service":"web","autoscale.max":"13","autoscale.cooldown-down":"0"}' >/dev/null
	plan set 13 | as-clone --jobs 16 >/dev/null
	plan set 1 >"$BATS_TEST_TMPDIR/plan"
	run -0 over_ssh as-remove --jobs 16 <"$BATS_TEST_TMPDIR/plan"
	is "$(names)" web
	logins=$(wc -l <"$BATS_TEST_TMPDIR/logins")
	[ "$logins" -gt 1 ] && [ "$logins" -le 9 ]
}

@test "over ssh events come as they happen, and the login goes with the command" {
	ssh_here
	DOCKER_HOST=$AS_RIG_SSHD_URL as-watch >"$BATS_TEST_TMPDIR/events" 3>&- &
	watch=$!
	logged_in() { [ -s "$BATS_TEST_TMPDIR/logins" ]; }
	eventually 10 logged_in
	seen() { service 2>/dev/null; on 1 wipe; grep -q '"action":"recreate"' "$BATS_TEST_TMPDIR/events"; }
	eventually 20 seen
	kill "$watch"
	eventually 5 no_ssh_left
}

@test "a docker context over ssh, and a socket named in the url" {
	ssh_here
	on 2 service
	env -u DOCKER_HOST docker context create far --docker "host=$AS_RIG_SSHD_URL" >/dev/null
	printf '[host "far"]\ncontext = far\n[host "farther"]\nurl = %s\n' "$AS_RIG_SSHD_URL${AS_RIG_DOCKER2_HOST#unix://}" >"$AUTOSCALE_CONF"
	run -0 as-inspect web
	is "$(jq -c '[(.observed.hosts[] | .ok), .observed.containers[0].host]' <<<"$output")" '[true,true,"farther"]'
}

@test "a key that is not let in: ssh's reason, status 77" {
	ssh_here
	ssh_config IdentityFile "$AS_RIG_SSHD_DIR/other_key"
	run -77 over_ssh as-inspect --all
	has "$output" 'ssh failed: root@127.0.0.1: Permission denied (publickey). (does it work by hand'
}

@test "a host key that nobody has looked at: ssh's reason, status 77, no question" {
	ssh_here
	ssh_config UserKnownHostsFile /dev/null
	run -77 over_ssh as-inspect --all
	has "$output" 'ssh failed: Host key verification failed.'
}

@test "ssh to a port that nobody has is unavailable, and may be tried again" {
	ssh_here
	URL=ssh://root@127.0.0.1:1 run -1 --separate-stderr over_ssh as-inspect web
	is "$(jq -c '[.error.code, .error.retry]' <<<"$output")" '["unavailable",true]'
	has "$stderr" 'port 1: Connection refused'
}

@test "over ssh, without Docker's client there: install it" {
	ssh_here
	sed -i 's,^exec.*,for a; do shift; [ "$a" != docker ] || a=no-docker; set -- "$@" "$a"; done\n&,' "$BATS_TEST_TMPDIR/bin/ssh"
	run -1 --separate-stderr over_ssh as-inspect web
	is "$(jq -c '[.error.code, .error.retry]' <<<"$output")" '["remote",false]'
	has "$stderr" 'no docker command there: '
	has "$stderr" "install Docker's client there"
}

@test "over ssh, without an engine there: unavailable, and what docker said" {
	ssh_here
	URL=$AS_RIG_SSHD_URL/nowhere.sock run -69 over_ssh as-inspect --all
	has "$output" 'dial unix /nowhere.sock: connect: no such file or directory (is the engine running there?)'
}

@test "no ssh on this machine: install it" {
	URL=$AS_RIG_SSHD_URL run -78 over_ssh env PATH=/nowhere "$AS_BIN/as-inspect" --all
	has "$output" 'ssh cannot be run: No such file or directory (install it'
}

# ---- versions ----

# version VERSION: the first engine says that it is of that version.
version() {
	"$TOP/tests/faults/api_version.py" "$API_SOCKET" "$1" "$BATS_TEST_TMPDIR/front.sock" "$BATS_TEST_TMPDIR/requests" 3>&- &
	PIDS+=($!)
	eventually 10 test -S "$BATS_TEST_TMPDIR/front.sock"
	export DOCKER_HOST=unix://$BATS_TEST_TMPDIR/front.sock
}

@test "to an engine of API 1.24 everything is said in 1.24, and works" {
	service
	version 1.24
	run -0 bash -c "$(declare -f plan decide); plan scale-up | as-clone"
	is "$(names)" 'web web-1'
	run -0 bash -c "$(declare -f plan decide); plan set 1 | as-remove"
	is "$(names)" web
	is "$(grep -v '^GET /_ping ' "$BATS_TEST_TMPDIR/requests" | cut -d / -f 2 | sort -u)" v1.24
}

@test "an engine older than API 1.24 is refused: update it" {
	version 1.23
	run -1 as-inspect --all
	has "$output" 'the engine speaks API 1.23, 1.24 or newer is needed: update the engine'
}

@test "to a newer engine the newest known version is spoken; its own words when that is none of its" {
	version 1.99
	run -1 as-inspect --all
	has "$output" '400 client version 1.47 is too new. Maximum supported API version is 1.41'
	is "$(sort -u "$BATS_TEST_TMPDIR/requests" | tail -n 1 | cut -d / -f 2)" v1.47
}

# ---- Podman ----

podman() { DOCKER_HOST=$AS_RIG_PODMAN_HOST "$@"; }

@test "Podman: a service is inspected" {
	on podman service
	run -0 podman as-inspect web
	is "$(jq -c '.observed | [.running, .ready, .containers[0].image, (.containers[0].addresses | keys)]' <<<"$output")" '[1,1,"localhost/webapp:1",["podman"]]'
}

@test "Podman: copies are made, each once; the second run says already" {
	on podman service
	podman plan set 3 >"$BATS_TEST_TMPDIR/plan"
	run -0 podman as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(on podman names)" 'web web-1 web-2'
	is "$(on podman api GET /containers/web-1/json | jq -c '[.State.Running, .Config.Cmd, .Config.Labels["autoscale.index"]]')" '[true,["serve"],"1"]'
	run -0 podman as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -c '[.steps[] | select(.do == "create") | .message]' <<<"$output")" '["already","already"]'
	is "$(on podman names)" 'web web-1 web-2'
}

@test "Podman: limits, published ports, networks and the environment are copied as they are" {
	on podman api POST /networks/create '{"Name":"n1"}' >/dev/null
	on podman container web '{"autoscale.service":"web","autoscale.max":"3","autoscale.ports":"auto","own":"1"}' '{"Env":["A=mine","E=","TERM=dumb"],
		"HostConfig":{"NanoCpus":500000000,"Memory":67108864,"NetworkMode":"n1","PidsLimit":50,"Ulimits":[{"Name":"nofile","Soft":1024,"Hard":2048},{"Name":"nproc","Soft":500,"Hard":600}],"PortBindings":{"80/tcp":[{"HostPort":""}]}},
		"ExposedPorts":{"80/tcp":{}},"NetworkingConfig":{"EndpointsConfig":{"n1":{"Aliases":["alias"]}}}}' >/dev/null
	on podman api GET /containers/web/json >"$BATS_TEST_TMPDIR/s"
	run -0 --separate-stderr podman bash -c "$(declare -f plan decide); plan scale-up | as-clone"
	on podman api GET /containers/web-1/json >"$BATS_TEST_TMPDIR/c"
	f='[.Config.Env[] | select(startswith("HOSTNAME=") | not)] | sort'
	is "$(jq -c "$f" "$BATS_TEST_TMPDIR/c")" "$(jq -c "$f" "$BATS_TEST_TMPDIR/s")" Env
	f='.HostConfig | del(.PortBindings)'
	is "$(jq -S "$f" "$BATS_TEST_TMPDIR/c")" "$(jq -S "$f" "$BATS_TEST_TMPDIR/s")" HostConfig
	is "$(jq -c '.NetworkSettings.Networks | map_values(.Aliases | contains(["alias"]))' "$BATS_TEST_TMPDIR/c")" '{"n1":true}'
	is "$(jq -c '.HostConfig.PortBindings["80/tcp"] | length' "$BATS_TEST_TMPDIR/c")" 1
	is "$(jq -c '.Config.Labels.own' "$BATS_TEST_TMPDIR/c")" '"1"'
	on podman wipe
	on podman api DELETE /networks/n1 >/dev/null
}

@test "Podman: a stopped container is started, a copy removed, and what is gone is done" {
	on podman service
	podman plan set 2 | podman as-clone >/dev/null
	on podman api POST /containers/web-1/stop?t=0 >/dev/null
	podman plan start | podman as-start >"$BATS_TEST_TMPDIR/out"
	is "$(on podman api GET /containers/web-1/json | jq .State.Running)" true
	podman plan set 1 >"$BATS_TEST_TMPDIR/plan"
	run -0 podman as-remove <"$BATS_TEST_TMPDIR/plan"
	is "$(on podman names)" web
	run -0 podman as-remove <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r '.steps[0].message' <<<"$output")" already
}

@test "Podman: a stranger's name is a conflict, and the stranger stays" {
	on podman service
	podman plan scale-up >"$BATS_TEST_TMPDIR/plan"
	on podman container web-1 '{"mine":"1"}' >/dev/null
	run -1 --separate-stderr podman as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" conflict
	is "$(on podman api GET /containers/web-1/json | jq -c '[.State.Running, .Config.Labels.mine]')" '[true,"1"]'
}

# ---- three hosts, and one cut off ----

three_hosts() {
	local n
	for n in '' 2 3; do
		local url=AS_RIG_DOCKER${n}_TLS_URL address=AS_RIG_DOCKER${n}_ADDR
		printf '[host "h%s"]\nurl = %s\ncert_path = %s\naddress = %s\n' "${n:-1}" "${!url}" "$AS_RIG_CERTS/ok" "${!address}"
	done >"$AUTOSCALE_CONF"
	service
}

# spread N: so many replicas on three hosts, looked at once.
spread() {
	three_hosts
	plan set "$1" | as-clone >"$BATS_TEST_TMPDIR/out"
	as-inspect web >/dev/null
}

counts() { echo "$(on 1 running) $(on 2 running) $(on 3 running)"; }

cut_off() { CUT+=("$1") && "$TOP/tests/rig/link" "$1" down; }

# within MS COMMAND...: and it takes no longer.
within() {
	local limit=$1 from=${EPOCHREALTIME/./} status=0
	shift
	"$@" || status=$?
	local took=$(((${EPOCHREALTIME/./} - from) / 1000))
	[ $took -le "$limit" ] || { echo "# took $took ms, more than $limit: $*" >&2; return 99; }
	return $status
}

@test "1 -> 9 on three hosts spreads 3/3/3" {
	spread 9
	is "$(jq -c '[.steps[] | .ok] | unique' <"$BATS_TEST_TMPDIR/out")" '[true]'
	is "$(counts)" '3 3 3'
}

@test "a host is cut off: the look at all ends in the time of one connection, and names the host" {
	spread 3
	cut_off docker3
	run -0 --separate-stderr within 5000 as-inspect web
	is "$(jq -c '.observed | [.running, [.hosts[].ok]]' <<<"$output")" '[2,[true,true,false]]'
	has "$stderr" "host h3: cannot connect to https://$AS_RIG_DOCKER3_ADDR:2376"
}

@test "a host is cut off: what runs there is neither made anew nor taken as a reason to scale in" {
	spread 3
	cut_off docker3
	seen=$(as-inspect web 2>/dev/null)
	is "$(decide set 3 <<<"$seen" | jq -c '[.plan.op, .plan.from, .plan.create, .plan.remove]')" '["none",3,[],[]]'
	is "$(decide scale-down <<<"$seen" | jq -c '[.plan.op, .plan.create, .plan.remove]')" '["none",[],[]]'
	is "$(decide reconcile <<<"$seen" | jq -c '[.plan.op, .plan.create, .plan.remove]')" '["none",[],[]]'
	is "$(counts)" '1 1 1'
}

@test "a host is cut off: on the others everything goes on" {
	spread 3
	cut_off docker3
	on 2 api DELETE '/containers/web-1?force=1' >/dev/null
	run -0 --separate-stderr bash -c "$(declare -f plan decide); plan set 3 | as-clone"
	is "$(jq -c '[.steps[] | select(.do == "create") | .name, .host, .ok]' <<<"$output")" '["web-1","h2",true]'
	is "$(counts)" '1 1 1'
}

@test "a host is cut off: a whole pass ends in time, acts on the others, and its alert is done" {
	spread 3
	cut_off docker3
	alert set '{"count":6}'
	run -0 --separate-stderr within 8000 "$TOP/pipelines/autoscale"
	is "$(jq -c '[.plan.op, .plan.from, .plan.to, .audit.outcome, (.error == null)]' <<<"$output")" '["scale-up",3,6,"done",true]'
	is "$(jq -c '[.plan.create[].host] | unique' <<<"$output")" '["h1","h2"]'
	is "$(($(on 1 running) + $(on 2 running))) $(on 3 running)" '5 1'
	is "$(sqlite3 "$BATS_TEST_TMPDIR/store.db" 'select state from alert')" done
}

@test "a host is cut off between the plan and the copies: the others get theirs, in time; once it is back, all are there" {
	three_hosts
	plan set 6 >"$BATS_TEST_TMPDIR/plan"
	cut_off docker3
	run -1 --separate-stderr within 5000 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -c '[.steps[] | select(.do == "create" and (.ok | not)) | .host]' <<<"$output")" '["h3","h3"]'
	has "$stderr" 'host h3: cannot connect to'
	is "$(counts)" '2 2 0'
	"$TOP/tests/rig/link" docker3 up
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(counts)" '2 2 2'
}

@test "one of three hosts refuses our certificate: the others are taken care of, and the reason is told" {
	spread 3
	sed -i '/h3/,/cert_path/s|certs/ok|certs/expired|' "$AUTOSCALE_CONF"
	run -0 --separate-stderr as-inspect web
	is "$(jq -c '.observed | [.running, [.hosts[].ok]]' <<<"$output")" '[2,[true,true,false]]'
	has "$stderr" 'certs/expired/cert.pem expired on'
}

@test "no host answers: nothing is known, and nothing is concluded" {
	three_hosts
	for server in docker docker2 docker3; do cut_off $server; done
	run -1 --separate-stderr within 5000 as-inspect web
	is "$(jq -c '[.error.code, .error.retry, has("observed")]' <<<"$output")" '["unavailable",true,false]'
}

@test "Podman: a container that was killed, started and deleted is told of, as by any engine" {
	on podman service
	DOCKER_HOST=$AS_RIG_PODMAN_HOST as-watch --resync 0 --settle 0 --state "$BATS_TEST_TMPDIR/state" >"$BATS_TEST_TMPDIR/out" 3>&- &
	PIDS+=($!)
	eventually 10 test -e "$BATS_TEST_TMPDIR/state"
	on podman api POST /containers/web/kill >/dev/null
	eventually 10 grep -q '"action":"start"' "$BATS_TEST_TMPDIR/out"
	on podman api POST /containers/web/start >/dev/null
	eventually 10 grep -q '"action":"attach"' "$BATS_TEST_TMPDIR/out"
	on podman api DELETE '/containers/web?force=1' >/dev/null
	eventually 10 grep -q '"action":"recreate"' "$BATS_TEST_TMPDIR/out"
	is "$(jq -c '[.alert.action, .alert.value]' "$BATS_TEST_TMPDIR/out" | sed -n '1,2p' | tr '\n' ' ')" '["start",137] ["attach",null] '
}
