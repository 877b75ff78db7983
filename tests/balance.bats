# as-lb-update beyond one record: many at a time, addresses, moved and stale entries, the last server, --sync, what
# as-watch tells, kill -9 at any moment. With a real engine and real load balancers.

load lib
load balancers

setup_file() {
	rig_up tls docker haproxy traefik nginx envoy
	export APPS=$AS_RIG/apps
	apps_up "$APPS" nginx
}
teardown_file() {
	apps_down "$APPS"
	rig_down
}
setup() {
	fresh
	PIDS=()
}

teardown() {
	local pid network
	for pid in "${PIDS[@]}"; do end_tree "$pid"; done
	wipe
	for network in back front; do api DELETE "/networks/$network" >/dev/null; done
	no_servers
	find "$AS_RIG_TRAEFIK_DIR" -name '*as-*' -delete
	as-lb-update --sync </dev/null >/dev/null 2>&1 || true
}

# ---- helpers ----

# end_tree PID: the process and all it started, by their ids
end_tree() {
	local c
	for c in $(pgrep -P "$1"); do end_tree "$c"; done
	kill "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

labels='{"autoscale.service":"web","autoscale.lb":"edge","autoscale.lb.port":"80","autoscale.drain":"5s"}'

# joined NAME [MORE-LABELS-JSON [EXTRA-CREATE-JSON]]: a container of service web that serves when this returns
joined() {
	container "$1" "$(jq -nc "$labels + ${2:-{\}}")" "${3:-{\}}" >/dev/null || return 1
	[ -n "$(ip_of "$1")" ] || return 0
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(ip_of "$1")/"
}
ip_of() { api GET "/containers/$1/json" | jq -r '[.NetworkSettings.Networks[].IPAddress | select(. != "")][0] // ""'; }
entry() { api GET "/containers/$1/json" | jq -r '"as-" + .Id[0:12]'; }

# places: what HAProxy has, "NAME ADDRESS:PORT" a line
places() { haproxy_say 'show servers state web' | awk 'NR > 2 && NF { print $4, $5 ":" $19 }' | LC_ALL=C sort; }
look() { as-inspect "${@:-web}" | as-resolve-policy; }
update() { look | as-lb-update; }
did() { jq -c "[.lb[] | ${1:-[.do, .ok, .message]}]"; }
took() { echo $((($(date +%s%N) - $1) / 1000000)); }
# dead_end ID NAME: a step that brought up a container at whose port nobody listens
dead_end() {
	jq -nc --arg id "$(printf '%012x%052d' "$1" 0)" --arg name "$2" \
		'{stage: "as-clone", do: "ready", ok: true, container: {id: $id, name: $name, host: "local", state: "running", ready: true, addresses: {bridge: "127.0.0.1"}, ports: []}}'
}

# ---- many at a time ----

@test "records of one service are worked on at the same time, and leave in their order" {
	for i in $(seq 12); do
		jq -nc --argjson i "$i" --argjson step "$(dead_end "$i" "c$i")" '{v: 1, id: "r\($i)", now: "2026-01-01T00:00:00Z", service: "web",
			policy: {lb: "edge", lb_port: 9, ready_timeout: (if $i % 3 == 0 then 0.3 else 1.5 end)}, steps: [$step]}'
	done >"$BATS_TEST_TMPDIR/in"
	from=$(date +%s%N)
	run -1 --separate-stderr as-lb-update <"$BATS_TEST_TMPDIR/in"
	took=$(took "$from")
	is "$(jq -r .id <<<"$output" | tr '\n' ' ')" "$(seq -f 'r%g' 12 | tr '\n' ' ')"
	is "$(jq -r .error.code <<<"$output" | sort | uniq -c | tr -s ' ')" ' 12 unavailable'
	[ "$took" -lt 6000 ] || { echo "# $took ms, one after the other is 13200" >&2; false; }
	is "$(servers)" ''
}

# fifty FILTER: as many records, each with a container that an earlier stage brought up; . is the record, $i its number
fifty() {
	local port
	port=$(app_port nginx)
	for i in $(seq 50); do
		jq -nc --argjson i "$i" --argjson port "$port" '{v: 1, id: "r\($i)", now: "2026-01-01T00:00:00.\(100 + $i)Z", service: "web",
			policy: {lb: "nginx", lb_backend: "web", lb_port: $port}, steps: [{stage: "as-clone", do: "ready", ok: true, container: {
				id: ((("\($i)" | (12 - length) * "0" + .) + 52 * "0")), name: "c\($i)", host: "local", state: "running", ready: true,
				addresses: {bridge: "127.0.0.\(10 + $i)"}, ports: []}}]} | '"$1"
	done
}
# reloads: how often nginx was told to load its files, by the number that it serves
reloads() { curl -s "$AS_RIG_NGINX_URL/as-gen"; }

@test "fifty records of one service are one or two reloads of nginx, and of fifty services with a route each four at most" {
	lb_section nginx >>"$AUTOSCALE_CONF"
	fifty . >"$BATS_TEST_TMPDIR/one"
	fifty '.service = "s\($i)" | .policy += {lb_backend: "s\($i)", lb_rule: "Host(`s\($i).example`)"}' >"$BATS_TEST_TMPDIR/many"
	before=$(reloads)
	run -0 as-lb-update <"$BATS_TEST_TMPDIR/one"
	is "$(jq -r .id <<<"$output" | xargs)" "$(seq -f 'r%g' 50 | xargs)"
	is "$(entries nginx)" "$(seq 50 | xargs)"
	first=$(($(reloads) - before))
	run -0 as-lb-update <"$BATS_TEST_TMPDIR/many"
	is "$(jq -r '.lb[] | [.do, .ok] | join(" ")' <<<"$output" | sort | uniq -c | xargs)" '50 attach true 50 ensure true'
	second=$(($(reloads) - before - first))
	echo "# fifty records: $first reload, with routes $second" >&3
	[ "$first" -le 2 ] && [ "$second" -le 4 ]
	is "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: s33.example' "$AS_RIG_NGINX_URL/hits")" 200
}

@test "what one record drains, it drains at the same time" {
	for c in web web-1 web-2 web-3; do joined "$c"; done
	update >/dev/null
	is "$(servers_up)" 4
	for c in 1 2 3 4; do curl -s -o /dev/null "$AS_RIG_HAPROXY_URL/cgi-bin/slow?2" 3>&- & done
	eventually 5 busy 4
	look | jq -c '.plan = {op: "scale-down", remove: [.observed.containers[] | select(.name != "web") | {name, id, host}]}' >"$BATS_TEST_TMPDIR/in"
	from=$(date +%s%N)
	run -0 as-lb-update --drain <"$BATS_TEST_TMPDIR/in"
	took=$(took "$from")
	is "$(did '[.do, .ok]' <<<"$output")" '[["drain",true],["drain",true],["drain",true]]'
	[ "$took" -lt 4000 ] || { echo "# $took ms, one after the other is 6000" >&2; false; }
	is "$(jq -r '.lb[].server' <<<"$output")" "$(jq -r '.plan.remove[].id | "as-" + .[0:12]' "$BATS_TEST_TMPDIR/in")" 'in the order of the plan'
	wait
}
busy() { [ "$(haproxy_say 'show stat' | awk -F, '$1 == "web" && $2 ~ /^as-/ && $5 > 0' | wc -l)" = "$1" ]; }

@test "a record that looked earlier takes nothing out and attaches nothing that a later one saw otherwise" {
	joined web
	look >"$BATS_TEST_TMPDIR/early" # web alone
	joined web-1
	api DELETE '/containers/web?force=1' >/dev/null
	look >"$BATS_TEST_TMPDIR/late" # web-1 alone
	run -0 as-lb-update < <(cat "$BATS_TEST_TMPDIR/late" "$BATS_TEST_TMPDIR/early")
	is "$(jq -c '[.lb[]? | [.do, .server, .message]]' <<<"$output" | tr '\n' ' ')" "[[\"attach\",\"$(entry web-1)\",\"\"]] [] "
	is "$(servers)" "$(entry web-1)"
}

@test "what a record has not seen yet, but runs, stays attached" {
	joined web
	look >"$BATS_TEST_TMPDIR/early"
	joined web-1
	update >/dev/null
	run -0 as-lb-update <"$BATS_TEST_TMPDIR/early"
	is "$(servers_up)" 2
}

@test "another weight in the policy is the entry's next weight" {
	joined web
	update >/dev/null
	run -0 as-lb-update < <(look | jq -c '.policy.lb_weight = 7')
	is "$(did <<<"$output")" '[["attach",true,""]]'
	is "$(haproxy_say 'show servers state web' | awk 'NR > 2 && NF { print $8 }')" 7
}

# ---- the last server ----

# removal NAME...: a record whose plan removes these
removal() { look | jq -c --args '.plan = {op: "scale-down", remove: [.observed.containers[] | select(.name as $n | $ARGS.positional | index($n)) | {name, id, host}]}' "$@"; }

@test "the last server that takes traffic is not drained, and its container stays; --force drains it" {
	joined web
	joined web-1 '{"autoscale.copy-of":"x","autoscale.op":"y"}'
	update >/dev/null
	removal web web-1 >"$BATS_TEST_TMPDIR/in"
	run -1 --separate-stderr bash -o pipefail -c 'as-lb-update --drain | as-remove' <"$BATS_TEST_TMPDIR/in"
	is "$(jq -r .error.code <<<"$output")" refused
	has "$stderr" "is the last server that takes traffic: it stays (--force takes it out)"
	is "$(names) $(servers_up)" 'web web-1 2' 'nothing of it is done'
	# one of two may go
	removal web-1 >"$BATS_TEST_TMPDIR/one"
	run -0 as-lb-update --drain <"$BATS_TEST_TMPDIR/one"
	is "$(servers_up)" 1
	run -1 --separate-stderr as-lb-update --drain < <(removal web)
	has "$stderr" "$(entry web) is the last server"
	run -0 as-lb-update --drain --force < <(removal web)
	is "$(servers_up)" 0
}

@test "an operator's own server counts: beside it the last of ours may go" {
	joined web
	update >/dev/null
	haproxy_say 'add server web/static 127.0.0.1:9; enable health web/static; set server web/static state ready' >/dev/null
	run -0 as-lb-update --drain < <(removal web)
	is "$(did '[.do, .ok]' <<<"$output")" '[["drain",true]]'
	haproxy_say 'set server web/static state maint; del server web/static' >/dev/null
}

@test "what takes the place of the last server is attached before that is drained" {
	joined web
	update >/dev/null
	removal web >"$BATS_TEST_TMPDIR/in"
	joined web-1
	jq -c --argjson new "$(look | jq -c '.observed.containers[] | select(.name == "web-1")')" \
		'.steps = [{stage: "as-clone", do: "ready", ok: true, container: $new}]' "$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/replace"
	run -0 as-lb-update --drain <"$BATS_TEST_TMPDIR/replace"
	is "$(did '[.do, .server, .ok]' <<<"$output")" "[[\"drain\",\"$(entry web)\",true],[\"attach\",\"$(entry web-1)\",true]]"
	is "$(servers_up)" 1
}

@test "the last server whose container is gone is taken out without more ado" {
	joined web
	update >/dev/null
	look >"$BATS_TEST_TMPDIR/policy"
	api DELETE '/containers/web?force=1' >/dev/null
	run -0 as-lb-update < <(as-inspect web | jq -c '.policy = {lb: "edge"}')
	is "$(did <<<"$output")" '[["detach",true,""]]'
	is "$(servers)" ''
}

# ---- addresses ----

@test "a container on two networks: refused naming both, until lb_network names one" {
	for n in back front; do api POST /networks/create "{\"Name\":\"$n\"}" >/dev/null; done
	joined web '{}' '{"HostConfig":{"NetworkMode":"back"}}'
	api POST /networks/front/connect '{"Container":"web"}' >/dev/null
	run -1 --separate-stderr as-lb-update < <(look)
	is "$(jq -r .error.code <<<"$output")" refused
	has "$stderr" 'web: it is on 2 networks: name one with autoscale.lb.network: back, front'
	run -0 as-lb-update < <(look | jq -c '.policy.lb_network = "front"')
	is "$(places)" "$(entry web) $(api GET /containers/web/json | jq -r .NetworkSettings.Networks.front.IPAddress):80"
	run -1 --separate-stderr as-lb-update < <(look | jq -c '.policy.lb_network = "side"')
	has "$stderr" 'it is not on network side'
}

# placed FILTER: the address that a record, changed by FILTER, would be attached at
placed() { jq -c ".observed.containers[0].ready = true | $1" "$BATS_TEST_TMPDIR/rec" | as-lb-update -n | jq -r '.lb[0].address'; }

@test "host network: the machine itself, or the address that the host was given; no network: an error" {
	joined web
	look >"$BATS_TEST_TMPDIR/rec"
	is "$(placed '.observed.containers[0] |= (.network_mode = "host" | .addresses = {})')" 127.0.0.1:80
	printf '[host "local"]\nurl = %s\naddress = 192.0.2.7\n' "$DOCKER_HOST" >>"$AUTOSCALE_CONF"
	is "$(placed '.observed.containers[0] |= (.network_mode = "host" | .addresses = {})')" 192.0.2.7:80
	is "$(placed .)" "$(ip_of web):80" 'the container has one of its own'
	run -1 --separate-stderr as-lb-update -n < <(jq -c '.observed.containers[0] |= (.network_mode = "none" | .addresses = {})' "$BATS_TEST_TMPDIR/rec")
	has "$stderr" 'web: it has no address in any network'
	container plain "$labels" '{"HostConfig":{"NetworkMode":"host"}}' >/dev/null
	is "$(look | jq -r '.observed.containers[] | select(.name == "plain") | .network_mode')" host
}

@test "an IPv6 address is bracketed" {
	joined web
	look >"$BATS_TEST_TMPDIR/rec"
	is "$(placed '.observed.containers[0].addresses = {front: "FD00:0::5"}')" '[fd00::5]:80'
}

# remote [ADDRESS]: the same engine, as another machine
remote() {
	printf '[host "far"]\nurl = %s\ncert_path = %s\n%s\n' "$AS_RIG_DOCKER_TLS_URL" "$AS_RIG_CERTS/ok" "${1:+address = $1}" >>"$AUTOSCALE_CONF"
}

@test "a remote engine: the published port at the host's address" {
	joined web '{}' '{"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":""}]}}}'
	port=$(api GET /containers/web/json | jq -r '.NetworkSettings.Ports["80/tcp"][0].HostPort')
	remote "$AS_RIG_DOCKER_ADDR"
	run -0 as-lb-update < <(look)
	is "$(places)" "$(entry web) $AS_RIG_DOCKER_ADDR:$port"
	is "$(curl -s "$AS_RIG_HAPROXY_URL/")" ok
}

@test "a remote engine without an address, a port that is not published, one on 127.0.0.1 alone: each says what is missing" {
	joined web '{}' '{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":""}]}}}'
	remote
	run -1 --separate-stderr as-lb-update < <(look)
	has "$stderr" 'give [host "far"] its `address`, by which it is reached'
	fresh
	remote 192.0.2.1
	run -1 --separate-stderr as-lb-update < <(look | jq -c '.observed.containers[0] |= (.ready = true) | .observed.containers[0].ports = [{port: 80, protocol: "tcp", published: null, ip: null}]')
	has "$stderr" 'port 80 is not published, and host far is another machine'
	run -1 --separate-stderr as-lb-update < <(look | jq -c '.observed.containers[0] |= (.ready = true) | .observed.containers[0].ports = [{port: 80, protocol: "tcp", published: 8080, ip: "127.0.0.1"}]')
	has "$stderr" 'port 80 is published on 127.0.0.1 of host far alone'
	look >"$BATS_TEST_TMPDIR/rec"
	is "$(placed '.policy.lb_network = "bridge"')" "$(ip_of web):80" 'a network that the load balancer shares'
	is "$(placed '.observed.containers[0] |= (.network_mode = "host" | .addresses = {})')" 192.0.2.1:80
}

# ---- a load balancer in a container ----

@test "an nginx that runs in a container is tested and told through the engine of its host" {
	dir=$BATS_TEST_TMPDIR/nginx
	mkdir "$dir"
	cat >"$dir/nginx.conf" <<-END
		user root root; worker_processes 1; pid /tmp/nginx.pid; events {}
		http {
		    access_log off;
		    $(for t in client_body proxy fastcgi uwsgi scgi; do echo "${t}_temp_path /tmp/$t;"; done)
		    include $dir/as-*.conf;
		    server { listen 8081; location = /as-gen { return 200 "\$as_gen\n"; } }
		    server { listen 80; location / { proxy_pass http://web; } }
		}
	END
	printf 'upstream web { zone web 64k; server 127.0.0.1:9 down; }\nmap "" $as_gen { default 0; }\n' >"$dir/as-web.conf"
	container lb '{}' "$(jq -nc --arg dir "$dir" '{Entrypoint: ["/usr/sbin/nginx", "-e", "stderr", "-c", ($dir + "/nginx.conf"), "-g", "daemon off;"], Cmd: [],
		Env: ["PATH=/usr/sbin:/usr/bin:/bin"],
		HostConfig: {Binds: ["/usr/sbin:/usr/sbin:ro", "/usr/lib:/usr/lib:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro", "/etc:/etc:ro", ($dir + ":" + $dir)]}}')"
	at=$(ip_of lb)
	api GET "/containers/lb/logs?stderr=1" >&2
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$at:8081/as-gen"
	printf '[lb "inside"]\ndriver = nginx\nfolder = %s\nconfig = %s/nginx.conf\nadmin = http://%s:8081\ncontainer = lb\n' "$dir" "$dir" "$at" >>"$AUTOSCALE_CONF"
	joined web '{"autoscale.lb":"inside"}'
	run -0 as-lb-update < <(look)
	is "$(did <<<"$output")" '[["attach",true,""]]'
	is "$(curl -s "http://$at/cgi-bin/id")" "$(api GET /containers/web/json | jq -r .Config.Hostname)"
	# what nginx would not take is not left behind
	echo 'nonsense;' >"$dir/as-other.conf"
	joined web-1 '{"autoscale.lb":"inside"}'
	run -1 --separate-stderr as-lb-update < <(look)
	has "$stderr" nonsense
	rm "$dir/as-other.conf"
	# with several hosts it must be said which
	printf '[host "a"]\nurl = %s\n[host "b"]\nurl = %s\n' "$DOCKER_HOST" "$DOCKER_HOST" >>"$AUTOSCALE_CONF"
	run -1 --separate-stderr as-lb-update < <(look)
	has "$stderr" '[lb "inside"] needs `host`'
}

# ---- moved and stale ----

@test "a container that came back at another address is moved, and whoever has its old one is attached there" {
	joined web
	joined web-1
	update >/dev/null
	old=$(ip_of web)
	api POST '/containers/web/stop?t=0' >/dev/null
	joined web-2
	is "$(ip_of web-2)" "$old" 'the address is used again at once'
	api POST /containers/web/start >/dev/null
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(ip_of web)/"
	run -0 as-lb-update < <(look)
	is "$(places)" "$(for c in web web-1 web-2; do echo "$(entry $c) $(ip_of $c):80"; done | LC_ALL=C sort)"
	is "$(did '[.do, .ok]' <<<"$output")" '[["detach",true],["attach",true],["attach",true],["attach",true]]'
	is "$(for _ in $(seq 30); do curl -s "$AS_RIG_HAPROXY_URL/cgi-bin/id"; echo; done | sort -u | grep -c .)" 3
}

@test "an entry whose address a stranger got is taken out before that one is attached" {
	joined web
	update >/dev/null
	gone=$(entry web) old=$(ip_of web)
	api DELETE '/containers/web?force=1' >/dev/null
	joined web-1
	is "$(ip_of web-1)" "$old"
	run -0 as-lb-update < <(look)
	is "$(did '[.do, .server, .ok]' <<<"$output")" "[[\"detach\",\"$gone\",true],[\"attach\",\"$(entry web-1)\",true]]"
	is "$(places)" "$(entry web-1) $old:80"
}

@test "a container that only moved is moved: its entry says from where" {
	joined web
	update >/dev/null
	old=$(ip_of web)
	api POST '/containers/web/stop?t=0' >/dev/null
	container other '{}' >/dev/null
	api POST /containers/web/start >/dev/null
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(ip_of web)/"
	run -0 as-lb-update < <(look)
	is "$(did <<<"$output")" "[[\"attach\",true,\"moved from $old:80\"]]"
	is "$(places)" "$(entry web) $(ip_of web):80"
}

# ---- --sync ----

sync() { "$TOP/pipelines/lb-sync" "$@"; }

# traefik [NAME]: a second load balancer
traefik() {
	printf '[lb "%s"]\ndriver = traefik\nfolder = %s\nadmin = %s\n' "${1:-side}" "$AS_RIG_TRAEFIK_DIR" "$AS_RIG_TRAEFIK_API" >>"$AUTOSCALE_CONF"
}
traefik_has() { grep -ohE 'as-[0-9a-f]{12}"' "$AS_RIG_TRAEFIK_DIR/as-$1.yml" 2>/dev/null | tr -d '"' | LC_ALL=C sort -u; }

@test "--sync: what runs is attached, what is gone goes although no record knows of it; again changes nothing" {
	joined web
	joined web-1
	haproxy_say 'add server api/as-00000000dead 127.0.0.1:9 check' >/dev/null
	haproxy_say 'add server web/as-00000000beef 127.0.0.1:9 check' >/dev/null
	haproxy_say 'add server api/static 127.0.0.1:9' >/dev/null
	run -0 --separate-stderr sync
	is "$(servers | tr '\n' ' ')" "$(for c in web web-1; do entry $c; done | LC_ALL=C sort | tr '\n' ' ')"
	is "$(haproxy_say 'show servers state api' | awk 'NR > 2 && NF { print $4 }')" static 'the operator has one of its own there'
	is "$stderr" ''
	run -0 --separate-stderr sync -v
	is "$(jq -r '.lb[].message' <<<"$output" | sort | uniq -c | xargs)" '2 already'
	is "$stderr" ''
	haproxy_say 'del server api/static' >/dev/null
}

@test "--sync takes the entries of the last container that was deleted, with nothing on standard input at all" {
	joined web
	update >/dev/null
	gone=$(entry web)
	api DELETE '/containers/web?force=1' >/dev/null
	run -0 --separate-stderr as-lb-update --sync -v </dev/null
	has "$stderr" "edge web: - $gone "
	has "$stderr" '(its container is gone)'
	is "$(servers)" ''
}

@test "--sync leaves an entry whose container runs although no record names it" {
	joined web
	update >/dev/null
	run -0 as-lb-update --sync </dev/null
	is "$(servers)" "$(entry web)"
}

@test "--sync -n changes nothing, and says on standard error what it would" {
	joined web
	joined web-1
	update >/dev/null
	kept=$(places) old=$(ip_of web-1) gone=$(entry web)
	api DELETE '/containers/web?force=1' >/dev/null
	api POST '/containers/web-1/stop?t=0' >/dev/null
	joined web-2
	container other '{}' >/dev/null
	api POST /containers/web-1/start >/dev/null
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(ip_of web-1)/"
	[ "$(ip_of web-1)" != "$old" ]
	run -0 --separate-stderr sync -n
	is "$(places)" "$kept"
	is "$(jq -r '[.lb[].dry] | unique[]' <<<"$output")" true
	is "$(LC_ALL=C sort <<<"$stderr")" "$(LC_ALL=C sort <<-EOF
		edge web: + $(entry web-2) $(ip_of web-2):80 (web-2)
		edge web: - $gone $(sed -n "s/^$gone //p" <<<"$kept") (its container is gone)
		edge web: ~ $(entry web-1) $old:80 -> $(ip_of web-1):80
	EOF
	)"
	run -0 sync
	is "$(places)" "$(for c in web-1 web-2; do echo "$(entry $c) $(ip_of $c):80"; done | LC_ALL=C sort)"
}

@test "--sync: a balancer that a service left loses its entries, drained" {
	traefik
	joined web '{"autoscale.lb":"edge,side"}'
	run -0 sync
	is "$(servers) $(traefik_has web)" "$(entry web) $(entry web)"
	# the container cannot change its label: a policy would
	run -0 --separate-stderr bash -o pipefail -c 'as-inspect --all | as-resolve-policy | jq -c ".policy.lb = \"side\"" | as-lb-update --sync -v'
	has "$stderr" '(its service does not name this backend)'
	is "$(servers)" ''
	is "$(traefik_has web)" "$(entry web)"
}

@test "--sync with a host that cannot be asked takes out nothing that no record claims, warns, and exits 69" {
	joined web
	update >/dev/null
	haproxy_say 'add server web/as-00000000beef 127.0.0.1:9 check' >/dev/null
	printf '[host "local"]\nurl = %s\n[host "far"]\nurl = unix:///nonexistent.sock\n' "$DOCKER_HOST" >>"$AUTOSCALE_CONF"
	run -69 --separate-stderr sync
	has "$stderr" 'nothing that no record claims is taken out'
	is "$(servers | wc -l)" 2
	fresh
	run -0 sync
	is "$(servers)" "$(entry web)"
}

@test "--sync with a balancer that does not answer: the others are made right, and it exits 69" {
	printf '[lb "dead"]\ndriver = haproxy\nsocket = /nonexistent.sock\n' >>"$AUTOSCALE_CONF"
	joined web
	run -69 --separate-stderr sync
	has "$stderr" '/nonexistent.sock'
	is "$(servers)" "$(entry web)"
}

@test "--sync: two at a time, with containers coming and going, end with the entries of what runs" {
	for c in web web-1; do joined "$c"; done
	export AS_LOCK=
	for _ in 1 2 3 4; do sync >/dev/null 2>>"$BATS_TEST_TMPDIR/said" 3>&- & done
	joined web-2
	api DELETE '/containers/web?force=1' >/dev/null
	for _ in 1 2 3 4; do sync >/dev/null 2>>"$BATS_TEST_TMPDIR/said" 3>&- & done
	wait
	run -0 sync
	is "$(places)" "$(for c in web-1 web-2; do echo "$(entry $c) $(ip_of $c):80"; done | LC_ALL=C sort)"
}

@test "lb-sync: one at a time, beside other pipelines" {
	exec 8>"$AS_LOCK.lb-sync"
	flock 8
	run -75 sync
	has "$output" 'another pass is under way'
	exec 8>&-
	exec 8>"$AS_LOCK"
	flock 8
	run -0 sync
	exec 8>&-
}

@test "--sync respects a plan, a dry-run policy, and a record that carries an error" {
	for c in web web-1; do joined "$c"; done
	update >/dev/null
	run -0 as-lb-update --sync < <(removal web-1)
	is "$(servers)" "$(entry web)"
	run -0 as-lb-update --sync < <(look | jq -c '.policy.dry_run = true')
	is "$(servers)" "$(entry web)"
	run -0 as-lb-update --sync < <(look | jq -c '.error = {stage: "x", code: "refused", message: "no", retry: false}')
	is "$(servers)" "$(entry web)"
}

# ---- routes ----

routed() { curl -s -o /dev/null -w '%{http_code}' --max-time 2 -H "Host: $1" "$AS_RIG_TRAEFIK_URL/"; }
answers() { [ "$(routed "$1")" = "$2" ]; }

@test "a rule makes the route before the first entry, and it goes with the last container" {
	sed -i '/^\[lb/,$d' "$AUTOSCALE_CONF"
	traefik
	joined shop '{"autoscale.service":"shop","autoscale.lb":"side","autoscale.lb.rule":"Host(`shop.example`)"}'
	run -0 as-lb-update < <(look shop)
	is "$(did '[.do, .ok, .message]' <<<"$output")" '[["ensure",true,""],["attach",true,""]]'
	eventually 5 answers shop.example 200
	run -0 as-lb-update < <(look shop)
	is "$(did '[.do, .ok, .message]' <<<"$output")" '[["ensure",true,"already"],["attach",true,"already"]]'
	look shop >"$BATS_TEST_TMPDIR/policy"
	api POST '/containers/shop/stop?t=0' >/dev/null
	run -0 as-lb-update < <(look shop)
	is "$(did '[.do, .ok]' <<<"$output")" '[["detach",true]]' 'stopped: the route stays'
	[ -f "$AS_RIG_TRAEFIK_DIR/as-shop.yml" ]
	api DELETE '/containers/shop?force=1' >/dev/null
	run -0 as-lb-update < <(as-inspect shop | jq -c --argjson p "$(jq .policy "$BATS_TEST_TMPDIR/policy")" '.policy = $p')
	is "$(did '[.do, .ok]' <<<"$output")" '[["forget",true]]'
	[ ! -f "$AS_RIG_TRAEFIK_DIR/as-shop.yml" ]
	eventually 5 answers shop.example 404
}

@test "--sync takes the route away when no rule says it any more, and the entries stay" {
	sed -i '/^\[lb/,$d' "$AUTOSCALE_CONF"
	traefik
	joined shop '{"autoscale.service":"shop","autoscale.lb":"side","autoscale.lb.rule":"Host(`shop.example`)"}'
	run -0 as-lb-update < <(look shop)
	eventually 5 answers shop.example 200
	run -0 --separate-stderr as-lb-update --sync -v < <(look shop | jq -c 'del(.policy.lb_rule)')
	has "$stderr" 'side shop: - route'
	eventually 5 answers shop.example 404
	grep -q "$(entry shop)" "$AS_RIG_TRAEFIK_DIR/as-shop.yml"
	run -0 --separate-stderr as-lb-update --sync -v < <(look shop | jq -c 'del(.policy.lb_rule)')
	is "$stderr" ''
}

@test "--sync takes the route of a service that is gone, and keeps that of one that is not" {
	sed -i '/^\[lb/,$d' "$AUTOSCALE_CONF"
	traefik
	for c in shop mail; do joined $c "{\"autoscale.service\":\"$c\",\"autoscale.lb\":\"side\",\"autoscale.lb.rule\":\"Host(\`$c.example\`)\"}"; done
	run -0 --separate-stderr sync -v
	has "$stderr" 'side shop: + route Host(`shop.example`)'
	eventually 5 answers mail.example 200
	api DELETE '/containers/shop?force=1' >/dev/null
	run -0 --separate-stderr sync -v
	has "$stderr" 'side shop: - route'
	eventually 5 answers shop.example 404
	is "$(routed mail.example)" 200
}

@test "a rule that nobody understands is the record's error, and nothing is attached" {
	joined web
	run -1 --separate-stderr as-lb-update < <(look | jq -c '.policy.lb_rule = "Nonsense(`x`)"')
	has "$stderr" 'autoscale.lb.rule'
	is "$(servers)" ''
}

# ---- as it happens ----

# following: the line that attaches whatever starts, with its records in OUT
following() {
	OUT=$BATS_TEST_TMPDIR/out
	: >"$OUT"
	bash -c 'as-watch | as-inspect | as-resolve-policy | as-lb-update' >>"$OUT" 2>>"$BATS_TEST_TMPDIR/err" 3>&- &
	PIDS+=($!)
	eventually 10 listened
}
listened() { [ "$(api GET /info | jq .NEventsListener)" -ge 1 ]; }
up() { [ "$(servers_up)" = "$1" ]; }

@test "as-watch | as-inspect | as-resolve-policy | as-lb-update attaches what starts, by labels or by variables" {
	following
	container web "$labels" >/dev/null
	eventually 10 up 1
	container second '{"autoscale.service":"web"}' '{"Env":["AUTOSCALE_LB=edge","AUTOSCALE_LB_PORT=80"]}' >/dev/null
	eventually 10 up 2
	container third '{}' '{"Env":["AUTOSCALE_SERVICE=web","AUTOSCALE_LB=edge","AUTOSCALE_LB_PORT=80"]}' >/dev/null
	eventually 10 up 3
	api POST '/containers/second/stop?t=0' >/dev/null
	eventually 10 up 2
}

@test "when the last container of a service is deleted, its entry and its route go, although nothing names them now" {
	traefik
	following
	container shop '{"autoscale.service":"shop","autoscale.lb":"side","autoscale.lb.port":"80","autoscale.lb.rule":"Host(`shop.example`)"}' >/dev/null
	eventually 10 answers shop.example 200
	is "$(traefik_has shop)" "$(entry shop)"
	api DELETE '/containers/shop?force=1' >/dev/null
	eventually 10 answers shop.example 404
	eventually 10 grep -q '"do":"forget"' "$OUT"
	is "$(jq -c '.lb[]? | select(.do == "detach" or .do == "forget") | [.do, .backend, .ok]' "$OUT" | uniq | xargs)" '[detach,shop,true] [forget,shop,true]'
	[ ! -f "$AS_RIG_TRAEFIK_DIR/as-shop.yml" ]
}

# late SECONDS: a container that serves so long after its start
late() { container web "$labels" "{\"Entrypoint\":[\"sh\",\"-c\",\"sleep $1; exec serve\"],\"Cmd\":[]}" >/dev/null; }

@test "a container that starts slowly and has no health check is attached when it is ready, though no event says so" {
	following
	late 2
	eventually 15 up 1
	is "$(jq -c '[.lb[] | [.do, .ok]]' "$OUT")" '[["attach",true]]'
}

@test "a container that never gets ready is reported in time, and never listed" {
	following
	container web "$(jq -c '. + {"autoscale.ready-timeout": "2s"}' <<<"$labels")" '{"Entrypoint":["sleep","60"],"Cmd":[]}' >/dev/null
	eventually 10 grep -q did.not.get.ready "$OUT"
	is "$(jq -c '[.error.code, (.lb[0] | [.do, .ok])]' "$OUT")" '["unavailable",["attach",false]]'
	is "$(servers)" ''
}

@test "two containers that start one shortly after the other are both attached, whichever is ready first" {
	following
	late 2
	container second "$labels" >/dev/null
	eventually 5 up 1
	eventually 15 up 2
}

@test "a container that is deleted while it is waited for is not attached, and the wait ends" {
	container web "$labels" '{"Entrypoint":["sleep","60"],"Cmd":[]}' >/dev/null
	look | jq -c '.alert = {source: "docker", action: "attach"}' >"$BATS_TEST_TMPDIR/in"
	from=$(date +%s%N)
	as-lb-update <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>/dev/null 3>&- &
	api DELETE '/containers/web?force=1' >/dev/null
	wait "$!" || true
	[ "$(took "$from")" -lt 10000 ]
	is "$(did '[.do, .ok]' <"$BATS_TEST_TMPDIR/out")" '[["attach",false]]'
	is "$(servers)" ''
}

# ---- all four ----

FOUR='haproxy nginx traefik envoy'
four() {
	local b
	for b in $FOUR; do lb_section "$b"; done >"$AUTOSCALE_CONF"
	labels=$(jq -c '. + {"autoscale.lb": "haproxy,nginx,traefik,envoy"}' <<<"$labels")
}
# listed BALANCER: the entries that it has itself
listed() { "entries_$1" | grep -oE 'as-[0-9a-f]{12}' | LC_ALL=C sort | xargs; }
# all_list [CONTAINER ...]: each of the four has the entries of these, and no others
all_list() {
	local b want
	want=$(for c; do entry "$c"; done | LC_ALL=C sort | xargs)
	for b in $FOUR; do is "$(listed "$b")" "$want" "$b" || return 1; done
}
serves() {
	local v=AS_RIG_${1^^}_URL
	[ "$(curl -s -o /dev/null --max-time 5 -w '%{http_code}' "${!v}/")" = 200 ]
}

@test "--sync at HAProxy, nginx, Traefik and Envoy at the same time: what runs is there, what is gone is not" {
	four
	for c in web web-1; do joined $c; done
	run -0 --separate-stderr sync
	is "$(jq -r '.lb[] | [.driver, .do, .ok] | join(" ")' <<<"$output" | sort | uniq -c | xargs)" \
		'2 envoy attach true 2 haproxy attach true 2 nginx attach true 2 traefik attach true'
	all_list web web-1
	for b in $FOUR; do eventually 5 serves "$b"; done
	api DELETE '/containers/web?force=1' >/dev/null
	run -0 --separate-stderr as-lb-update --sync -v </dev/null
	is "$(grep -c 'its container is gone' <<<"$stderr")" 4
	all_list web-1
	run -0 --separate-stderr sync -v
	is "$stderr" ''
	api DELETE '/containers/web-1?force=1' >/dev/null
	run -0 sync
	all_list
}

@test "kill -9 of as-lb-update --sync at random moments, then one run: each list is right, and each serves" {
	four
	joined web
	run -0 sync
	for b in $FOUR; do eventually 5 serves "$b"; done
	for i in $(seq "${AS_MOMENTS:-6}"); do
		if ((i % 2)); then joined web-1; else api DELETE '/containers/web-1?force=1' >/dev/null; fi
		look >"$BATS_TEST_TMPDIR/in"
		moment=$((1 + RANDOM % 400))
		timeout -s KILL "$(printf '0.%03d' "$moment")" as-lb-update --sync <"$BATS_TEST_TMPDIR/in" >/dev/null 2>&1 || true
		for b in $FOUR; do serves "$b" || eventually 3 serves "$b"; done
		run -0 sync
		# shellcheck disable=SC2046
		all_list $(names) || { echo "# killed after $moment ms" >&2; false; }
		for b in $FOUR; do whole "$b"; done
	done
}
