# as-doctor at real servers: what is wrong is found, and what it says to do mends it. Each test does what the line below
# the failure says, and the next run is content.

load lib
load balancers

setup_file() {
	rig_up tls docker haproxy nginx traefik envoy mariadb mongo prometheus
	export MARIADB_ROOT="mariadb --no-defaults -u root -S $AS_RIG_MARIADB_SOCKET"
	container web '{"autoscale.service":"web","autoscale.lb":"haproxy,nginx,traefik,envoy","autoscale.lb.port":"80"}' >/dev/null
}
teardown_file() { wipe && rig_down; }

setup() {
	fresh
	PIDS=() STOPPED=() MOUNTS=() UNDO=()
	: >"$AUTOSCALE_CONF"
	chmod 600 "$AUTOSCALE_CONF"
}

teardown() {
	local pid dir undo
	for pid in "${STOPPED[@]}"; do kill -CONT "$pid"; done
	for pid in "${PIDS[@]}"; do kill "$pid"; done
	for dir in "${MOUNTS[@]}"; do umount "$dir"; done
	for undo in "${UNDO[@]}"; do eval "$undo"; done
}

conf() { cat >>"$AUTOSCALE_CONF"; }

# one SUBJECT CHECK: "LEVEL: FOUND -> MEND" of that check, one a line; the doctor's status in $STATUS
one() {
	STATUS=0
	as-doctor --json >"$BATS_TEST_TMPDIR/out" || STATUS=$?
	jq -r --arg s "$1" --arg c "$2" 'select(.subject == $s and .check == $c) | "\(.level): \(.found)\(if .mend then " -> " + .mend else "" end)"' \
		"$BATS_TEST_TMPDIR/out" >"$BATS_TEST_TMPDIR/one"
	ONE=$(cat "$BATS_TEST_TMPDIR/one")
}

# bad SUBJECT CHECK FOUND MEND: this is wrong, and those words are said
bad() {
	one "$1" "$2"
	is "$STATUS" 1
	has "$ONE" 'fail: '
	has "${ONE%% -> *}" "$3"
	has "${ONE#* -> }" "$4"
}

# warned SUBJECT CHECK FOUND MEND: the same for what is no failure yet
warned() {
	one "$1" "$2"
	is "$STATUS" 0
	has "$ONE" 'warn: '
	has "${ONE%% -> *}" "$3"
	has "${ONE#* -> }" "$4"
}

# well: nothing to say
well() {
	run as-doctor -q
	is "$output" ''
	is "$status" 0
}

sync_balancers() { as-inspect --all | as-resolve-policy | as-lb-update --sync >/dev/null; }

# balancers BALANCER...: a configuration with them, and the container attached
balancers() {
	local b
	for b; do
		lb_section "$b" | conf
		echo | conf
	done
}

# ---- all of it ----

@test "all is well: hosts, stores, balancers, metrics; a line each, status 0, and nothing with -q" {
	conf <<-END
		[store]
		store = $AS_RIG_MARIADB_URL
		alerts = $AS_RIG_MONGO_URL
		[host "local"]
		url = $DOCKER_HOST
		[host "secure"]
		url = $AS_RIG_DOCKER_TLS_URL
		cert_path = $AS_RIG_CERTS/ok
		[metrics]
		prometheus = $AS_RIG_PROMETHEUS_URL
	END
	balancers haproxy nginx traefik envoy
	unset AUTOSCALE_STORE
	as-store migrate >/dev/null
	sync_balancers
	run -0 as-doctor
	[[ $output != *FAIL* && $output != *warn* ]]
	for part in 'host local: engine: Docker 20.10' 'host secure: client certificate: ' 'host secure: server certificate: ' \
		'host secure: clock: ' 'store: schema: version' 'store: writing: rows can be written' 'store: clock: ' \
		'alerts: opening: mongodb://' 'alerts: writing: ' 'lb haproxy: rights: the socket has level admin' \
		'lb haproxy: saved servers: what' 'lb nginx: configuration: nginx -t takes it' 'lb nginx: in use: nginx uses' \
		'lb traefik: in use: Traefik uses our files' 'lb envoy: in use: Envoy uses the files' 'lb envoy: clock: ' \
		'prometheus: query: a query is answered' 'time zones: database: ' 'drivers: mongodb: is there' 'program: libraries: libcurl'; do
		has "$output" "ok    $part"
	done
	well
}

@test "--json: an object a check, with what mends what is wrong" {
	printf '[host "away"]\nurl = tcp://127.0.0.1:9\n' | conf
	run -1 as-doctor --json
	is "$(jq -s 'map(select(.level == "fail")) | length' <<<"$output")" 1
	is "$(jq -c 'select(.level == "fail") | [.subject, .check, (.mend | length > 20)]' <<<"$output")" '["host away","engine",true]'
	is "$(jq -c 'select(.level == "ok" and .mend != null)' <<<"$output")" ''
}

@test "a configuration that cannot be read: 78, with its line" {
	printf '[store]\nstore = x\n[lb "a"]\nscoket = /x\n' | conf
	run -78 as-doctor
	has "$output" 'as.conf:4: unknown key "scoket" in [lb "a"] (did you mean "socket"?)'
}

@test "what servers and files say reaches no terminal as control codes" {
	printf '[host "x"]\nurl = tcp://\033[31mred\n' | conf
	run -1 as-doctor
	has "$output" 'FAIL  host x: engine: '
	[[ $output != *$'\033'* ]]
	run -1 as-doctor --json
	jq -e . <<<"$output" >/dev/null
	[[ $output != *$'\033'* ]]
}

# ---- hosts ----

# signed DAYS USAGE OUT: a certificate by the rig's authority, for 127.0.0.1, as OUT/cert.pem and OUT/key.pem
signed() {
	mkdir -p "$3"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=doctor -keyout "$3/key.pem" -out "$3/csr" 2>/dev/null
	openssl x509 -req -in "$3/csr" -CA "$AS_RIG_CERTS/ca.pem" -CAkey "$AS_RIG_CERTS/ca.key" -days "$1" \
		-set_serial $RANDOM -extfile <(printf 'extendedKeyUsage=%s\nsubjectAltName=IP:127.0.0.1\n' "$2") -out "$3/cert.pem" 2>/dev/null
	cp "$AS_RIG_CERTS/ok/ca.pem" "$3/ca.pem"
}

# secure [URL]: a host whose certificates are in $CERTS
secure() {
	CERTS=$BATS_TEST_TMPDIR/certs
	mkdir -p "$CERTS"
	printf '[host "edge"]\nurl = %s\ncert_path = %s\n' "${1:-$AS_RIG_DOCKER_TLS_URL}" "$CERTS" | conf
}

@test "a client certificate of another authority, and an engine of another: the right files mend it" {
	secure
	cp "$AS_RIG_CERTS/foreign/"* "$CERTS"
	bad 'host edge' engine 'was signed by "rig other"' 'cert.pem and key.pem by the one that it trusts'
	cp "$AS_RIG_CERTS/otherca/"* "$CERTS"
	bad 'host edge' engine 'certificate of https://' 'ca.pem of the authority that made the engine'
	cp "$AS_RIG_CERTS/ok/"* "$CERTS"
	well
}

@test "a client certificate that ends in three days is a warning, an expired one a failure; a new one mends both" {
	secure
	signed 3 clientAuth "$CERTS"
	warned 'host edge' 'client certificate' 'cert.pem expires on' 'have a new one made by the authority that the engine trusts'
	cp "$AS_RIG_CERTS/expired/"* "$CERTS"
	bad 'host edge' 'client certificate' 'cert.pem expired on' 'have a new one made'
	bad 'host edge' engine 'expired on' 'cert_path'
	signed 90 clientAuth "$CERTS"
	well
}

@test "a key that others may use: chmod mends it" {
	secure
	signed 90 clientAuth "$CERTS"
	chmod 644 "$CERTS/key.pem"
	bad 'host edge' 'client key' 'others may use the key' 'chmod 600'
	bash -c "$(sed 's/.* -> //' <<<"$ONE")"
	well
}

# front CERT-FOLDER: the engine behind a port of 127.0.0.1 that has that certificate; sets PORT
front_tls() {
	socat "OPENSSL-LISTEN:${PORT:-0},bind=127.0.0.1,reuseaddr,fork,cert=$1/cert.pem,key=$1/key.pem,cafile=$1/ca.pem" \
		"UNIX-CONNECT:$API_SOCKET" 3>&- &
	PIDS+=($!)
	listening() { PORT=$(ss -Hltnp | sed -n "s/.* 127.0.0.1:\([0-9]*\) .*pid=$1,.*/\1/p") && [ -n "$PORT" ]; }
	eventually 5 listening $!
}

@test "a server certificate that ends soon is a warning; made anew it is none" {
	signed 5 serverAuth "$BATS_TEST_TMPDIR/short"
	signed 90 serverAuth "$BATS_TEST_TMPDIR/long"
	front_tls "$BATS_TEST_TMPDIR/short"
	secure "tcp://127.0.0.1:$PORT"
	signed 90 clientAuth "$CERTS"
	warned 'host edge' 'server certificate' 'expires on' "have the engine's certificate (its --tlscert) made anew"
	kill "${PIDS[0]}"
	wait "${PIDS[0]}" || true
	PIDS=()
	front_tls "$BATS_TEST_TMPDIR/long"
	well
}

@test "a host that is stopped, and one that is silent: both are named in time, the others are told of" {
	# What takes connections for it and says nothing: the same program, stopped.
	socat TCP-LISTEN:0,bind=127.0.0.1,fork "UNIX-CONNECT:$API_SOCKET" 3>&- &
	PIDS+=($!) STOPPED+=($!)
	listening() { PORT=$(ss -Hltnp | sed -n "s/.* 127.0.0.1:\([0-9]*\) .*pid=$1,.*/\1/p") && [ -n "$PORT" ]; }
	eventually 5 listening $!
	kill -STOP "${PIDS[0]}"
	printf '[host "gone"]\nurl = tcp://127.0.0.1:9\n[host "mute"]\nurl = tcp://127.0.0.1:%s\n[host "good"]\nurl = %s\n' \
		"$PORT" "$DOCKER_HOST" | conf
	began=$SECONDS
	bad 'host gone' engine 'cannot connect to http://127.0.0.1:9: Connection refused' 'start the engine on that machine'
	[ $((SECONDS - began)) -le 14 ]
	is "$(jq -r 'select(.level == "fail") | .subject' "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" 'host gone host mute '
	is "$(jq -r 'select(.subject == "host good" and .check == "engine") | .level' "$BATS_TEST_TMPDIR/out")" ok
	kill -CONT "${PIDS[0]}"
	sed -i "s/:9$/:$PORT/" "$AUTOSCALE_CONF" # "or correct `url`"
	well
}

@test "a swarm's host that is no manager: as one it is well" {
	printf '[host "s"]\nurl = %s\nengine = swarm\n' "$DOCKER_HOST" | conf
	bad 'host s' engine 'is no swarm manager' 'make this one a manager'
	UNDO+=('api POST "/swarm/leave?force=1"')
	api POST /swarm/init "{\"ListenAddr\":\"$AS_RIG_DOCKER_ADDR:2377\",\"AdvertiseAddr\":\"$AS_RIG_DOCKER_ADDR:2377\"}" >/dev/null
	well
}

@test "a clock that is an hour off is a failure, five seconds are a warning" {
	printf '[host "edge"]\nurl = %s\n' "$DOCKER_HOST" | conf
	as-doctor() { faketime -f "$SHIFT" "$AS_BIN/as-doctor" "$@"; }
	SHIFT=+1h
	bad 'host edge' clock "the engine's clock is 3" 'timedatectl set-ntp true'
	SHIFT=-5s
	warned 'host edge' clock 'ahead of this machine' 'timedatectl set-ntp true'
	unset -f as-doctor
	well
}

# ---- stores ----

@test "a schema that is too old is a warning, and as-store migrate mends it" {
	as-store migrate >/dev/null
	db=$BATS_TEST_TMPDIR/store.db
	sums=$(sqlite3 "$db" '.mode insert schema_version' 'SELECT * FROM schema_version WHERE version <= 3')
	rm "$db"*
	cat "$TOP"/common/store/schema/00[123]-*.sql | sqlite3 "$db"
	sqlite3 "$db" "$sums"
	chmod 600 "$db"
	warned store schema "version 3 is older than this program's" 'as-store migrate'
	is "$(sqlite3 "$db" 'SELECT MAX(version) FROM schema_version')" 3 'looking changes nothing'
	as-store migrate >/dev/null
	well
}

@test "a schema that is too new is a failure; another store mends it" {
	as-store migrate >/dev/null
	sqlite3 "$BATS_TEST_TMPDIR/store.db" "INSERT INTO schema_version VALUES (99, 'later', '', 0)"
	bad store schema 'version 99 is newer than this program' 'or name another store'
	AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/other.db well
}

# mounted DIR [OPTIONS]: a file system of its own there
mounted() {
	mkdir -p "$1"
	mount -t tmpfs -o "size=${2:-400m}" doctor "$1"
	MOUNTS+=("$1")
}

@test "a store on a file system that is read-only: mounted for writing again it is well" {
	mounted "$BATS_TEST_TMPDIR/disk"
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/disk/as/store.db
	as-store migrate >/dev/null
	mount -o remount,ro "$BATS_TEST_TMPDIR/disk"
	bad store opening 'Read-only file system' 'mounted read-only'
	mount -o remount,rw "$BATS_TEST_TMPDIR/disk"
	well
}

@test "no room where the store lives: more room mends it" {
	mounted "$BATS_TEST_TMPDIR/disk" 8m
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/disk/store.db
	bad store room 'MiB are free' 'free space on the file system of'
	mount -o remount,size=400m "$BATS_TEST_TMPDIR/disk"
	well
}

@test "a store that others may read: chmod mends it; nothing is made where there is none" {
	well
	[ ! -e "$BATS_TEST_TMPDIR/store.db" ]
	as-store migrate >/dev/null
	chmod 644 "$BATS_TEST_TMPDIR/store.db"
	warned store mode 'others may read' 'chmod 600'
	bash -c "$(sed 's/.* -> //' <<<"$ONE")"
	well
}

@test "a wrong password, one that others may read, and a user that may only read: what is said mends each" {
	pass=$BATS_TEST_TMPDIR/pass
	$MARIADB_ROOT -e "CREATE DATABASE doctor; CREATE USER doctor@localhost IDENTIFIED BY 'right'; GRANT ALL ON doctor.* TO doctor@localhost"
	UNDO+=('$MARIADB_ROOT -e "DROP USER doctor@localhost; DROP DATABASE doctor"')
	export AUTOSCALE_STORE="mysql://doctor@localhost/doctor?socket=$AS_RIG_MARIADB_SOCKET&password-file=$pass"
	(umask 077 && echo right >"$pass")
	as-store migrate >/dev/null
	well
	echo wrong >"$pass"
	bad store opening 'Access denied' 'put the password that the server knows where the address takes it from (password-file='
	[[ $(cat "$BATS_TEST_TMPDIR/out") != *wrong\"* ]]
	echo right >"$pass"
	well
	chmod 644 "$pass"
	bad store opening 'others may read password-file' 'chmod 600'
	chmod 600 "$pass"
	$MARIADB_ROOT -e 'REVOKE ALL ON doctor.* FROM doctor@localhost; GRANT SELECT ON doctor.* TO doctor@localhost'
	bad store writing 'denied' 'GRANT ALL ON DATABASE.* TO USER'
	$MARIADB_ROOT -e 'GRANT ALL ON doctor.* TO doctor@localhost'
	well
}

@test "an alert store that is silent: named in time" {
	export AUTOSCALE_ALERTS=$AS_RIG_MONGO_URL
	pid=$(cat "$AS_RIG/mongo.pid")
	kill -STOP "$pid"
	STOPPED+=("$pid")
	bad alerts opening 'mongodb://' 'start the server, open the way to it'
	kill -CONT "$pid"
	well
}

# ---- load balancers ----

@test "haproxy: a server between the markers that does not run; lb-sync mends it" {
	balancers haproxy nginx traefik envoy
	sync_balancers
	well
	sed -i 's/^\( *\)# as-lb end web$/\1server as-0123456789ab 127.0.0.1:9 check\n&/' "$AS_RIG_HAPROXY_CFG"
	bad 'lb haproxy' 'saved servers' 'as-0123456789ab is in it and does not run' 'run the pipeline lb-sync'
	sync_balancers
	well
	sed -i '/^ *server as-/d' "$AS_RIG_HAPROXY_CFG"
	bad 'lb haproxy' 'saved servers' 'runs and is not in it' 'run the pipeline lb-sync'
	sync_balancers
	well
}

@test "haproxy: servers in a backend without markers are a warning; the lines that are said mend it" {
	cp "$AS_RIG_HAPROXY_CFG" "$BATS_TEST_TMPDIR/haproxy.cfg"
	UNDO+=('cp "$BATS_TEST_TMPDIR/haproxy.cfg" "$AS_RIG_HAPROXY_CFG"' 'haproxy_say "del server bare/as-0123456789ab"')
	printf '[lb "h"]\ndriver = haproxy\nsocket = %s\nconfig = %s\n' "$AS_RIG_HAPROXY_SOCKET" "$AS_RIG_HAPROXY_CFG" | conf
	haproxy_say 'add server bare/as-0123456789ab 127.0.0.1:9'
	warned 'lb h' 'saved servers' 'backend bare has servers of ours' '`# as-lb begin bare`'
	sed -i 's/^backend bare$/&\n    # as-lb begin bare\n    # as-lb end bare/' "$AS_RIG_HAPROXY_CFG"
	bad 'lb h' 'saved servers' 'as-0123456789ab runs and is not in it' 'run the pipeline lb-sync'
}

@test "haproxy: a line that it does not take, and a configuration that cannot be written" {
	dir=$BATS_TEST_TMPDIR/etc
	mounted "$dir"
	cp "$AS_RIG_HAPROXY_CFG" "$dir/haproxy.cfg"
	printf '[lb "h"]\ndriver = haproxy\nsocket = %s\nconfig = %s\n' "$AS_RIG_HAPROXY_SOCKET" "$dir/haproxy.cfg" | conf
	well
	echo '    nonsense here' >>"$dir/haproxy.cfg"
	bad 'lb h' configuration "unknown keyword 'nonsense'" 'mend that in'
	sed -i '$d' "$dir/haproxy.cfg"
	well
	mount -o remount,ro "$dir"
	bad 'lb h' writing 'Read-only file system' 'give this user'
	mount -o remount,rw "$dir"
	well
}

@test "haproxy: a socket without level admin; with it all is well" {
	cfg=$BATS_TEST_TMPDIR/h.cfg sock=$BATS_TEST_TMPDIR/h.sock
	printf '[lb "h"]\ndriver = haproxy\nsocket = %s\nconfig = %s\n' "$sock" "$cfg" | conf
	try() {
		cat >"$cfg" <<-END
			global
			    stats socket $sock mode 600 level $1
			defaults
			    mode http
			    timeout connect 1s
			    timeout client 1s
			    timeout server 1s
			backend web
			    balance roundrobin
		END
		haproxy -db -f "$cfg" 3>&- &
		PIDS=($!)
		eventually 10 socat -u OPEN:/dev/null "UNIX-CONNECT:$sock"
	}
	try operator
	bad 'lb h' rights 'the socket has level operator' "add \`level admin\` to the line \`stats socket $sock\`"
	kill "${PIDS[0]}" && { wait "${PIDS[0]}" || true; }
	bad 'lb h' socket 'is HAProxy running' 'start HAProxy'
	try admin
	well
}

@test "nginx: an include of somebody else's that is broken; mended it is well" {
	balancers nginx
	well
	cp "$AS_RIG_NGINX_CONF" "$BATS_TEST_TMPDIR/nginx.conf"
	UNDO+=('cp "$BATS_TEST_TMPDIR/nginx.conf" "$AS_RIG_NGINX_CONF"')
	echo 'nonsense on;' >"$BATS_TEST_TMPDIR/site.conf"
	sed -i "s|^ *server {|include $BATS_TEST_TMPDIR/site.conf;\n&|" "$AS_RIG_NGINX_CONF"
	bad 'lb nginx' configuration "unknown directive \"nonsense\" in $BATS_TEST_TMPDIR/site.conf:1" 'mend or remove what it names'
	: >"$BATS_TEST_TMPDIR/site.conf"
	well
}

@test "nginx: a file that was changed by hand, and not loaded; lb-sync mends it" {
	balancers haproxy nginx traefik envoy
	sync_balancers
	well
	sed -i 's/server_[a-z]* //; s/keepalive 16/keepalive 17/' "$AS_RIG_NGINX_DIR/as-web.conf"
	bad 'lb nginx' 'in use' 'changed since nginx was last told to load them' 'run the pipeline lb-sync'
	sync_balancers
	well
}

@test "nginx: a folder that is not included; the line that is said mends it" {
	dir=$BATS_TEST_TMPDIR/other
	mkdir "$dir"
	cp "$AS_RIG_NGINX_DIR"/as-*.conf "$dir"
	cp "$AS_RIG_NGINX_CONF" "$BATS_TEST_TMPDIR/nginx.conf"
	sed "s|include $AS_RIG_NGINX_DIR/as-|include $BATS_TEST_TMPDIR/none/as-|" "$AS_RIG_NGINX_CONF" >"$dir/nginx.conf"
	printf '[lb "n"]\ndriver = nginx\nfolder = %s\nconfig = %s\nadmin = %s\npid = %s\n' \
		"$dir" "$dir/nginx.conf" "$AS_RIG_NGINX_URL" "$AS_RIG_NGINX_DIR/nginx.pid" | conf
	bad 'lb n' include 'does not include the folder' "add \`include $dir/as-*.conf;\` within http { }"
	sed -i "s|include $BATS_TEST_TMPDIR/none|include $dir|" "$dir/nginx.conf"
	well
}

@test "traefik: a file that it cannot read freezes its folder; without it, and after lb-sync, all is well" {
	balancers haproxy nginx traefik envoy
	sync_balancers
	well
	echo '{ nonsense' >"$AS_RIG_TRAEFIK_DIR/theirs.yml"
	UNDO+=('rm -f "$AS_RIG_TRAEFIK_DIR/theirs.yml"')
	sed -i 's/"X-As-Lb":"/&x/' "$AS_RIG_TRAEFIK_DIR/as-web.yml"
	bad 'lb traefik' 'in use' 'Traefik does not use its file as it is' "one file in $AS_RIG_TRAEFIK_DIR that it cannot read freezes all of them"
	rm -f "$AS_RIG_TRAEFIK_DIR/theirs.yml"
	sync_balancers
	well
}

@test "envoy: a file that it does not use as it is on disk; lb-sync mends it" {
	balancers haproxy nginx traefik envoy
	sync_balancers
	well
	# Written in place, and not renamed there, it is not looked at.
	sed 's/"version_info":"/&x/' "$AS_RIG_ENVOY_DIR/web.json" >"$BATS_TEST_TMPDIR/web.json"
	cp "$BATS_TEST_TMPDIR/web.json" "$AS_RIG_ENVOY_DIR/web.json"
	bad 'lb envoy' 'in use' 'Envoy uses version' 'run the pipeline lb-sync'
	sync_balancers
	well
}

@test "traefik, envoy, nginx: a folder that cannot be written" {
	for b in traefik envoy nginx; do
		mounted "$BATS_TEST_TMPDIR/$b"
		printf '[lb "%s"]\ndriver = %s\nfolder = %s\n' "$b" "$b" "$BATS_TEST_TMPDIR/$b" | conf
	done
	for b in traefik envoy nginx; do
		mount -o remount,ro "$BATS_TEST_TMPDIR/$b"
		bad "lb $b" writing 'Read-only file system' 'give this user'
		mount -o remount,rw "$BATS_TEST_TMPDIR/$b"
		one "lb $b" writing
		has "$ONE" 'ok: files can be written'
	done
}

# ---- the rest ----

@test "a configuration that others may change: chmod mends it" {
	chmod 666 "$AUTOSCALE_CONF"
	bad configuration file 'others may change' 'chmod go-w'
	chmod go-w "$AUTOSCALE_CONF"
	well
}

@test "no zone database: the right folder mends it" {
	TZDIR=$BATS_TEST_TMPDIR bad 'time zones' database 'has no usable Europe/Berlin' 'install the package tzdata, or set TZDIR'
	well
}

@test "prometheus: a wrong address, a token that others may read, a program that others may change" {
	dir=$BATS_TEST_TMPDIR/programs
	mkdir "$dir"
	printf '#!/bin/sh\necho 1\n' >"$dir/jobs"
	chmod 777 "$dir/jobs"
	echo secret >"$BATS_TEST_TMPDIR/token"
	printf '[metrics]\nprometheus = http://127.0.0.1:9\nprograms = %s\nprometheus_token_file = %s\n' \
		"$dir" "$BATS_TEST_TMPDIR/token" | conf
	bad prometheus token 'others may read the token' 'chmod 600'
	chmod 600 "$BATS_TEST_TMPDIR/token"
	bad prometheus query 'Connection refused' 'correct `prometheus` in [metrics]'
	sed -i "s|http://127.0.0.1:9$|$AS_RIG_PROMETHEUS_URL|" "$AUTOSCALE_CONF"
	bad 'metrics programs' program 'others may write it' 'chmod go-w'
	bash -c "$(sed 's/.* -> //; s/; or .*//' <<<"$ONE")"
	well
}

@test "what only looks leaves nothing that would be in the way of another user" {
	mkdir "$BATS_TEST_TMPDIR/dir"
	cp "$AS_RIG_HAPROXY_CFG" "$BATS_TEST_TMPDIR/dir/haproxy.cfg"
	printf '[lb "h"]\ndriver = haproxy\nsocket = %s\nconfig = %s\n[lb "e"]\ndriver = envoy\nfolder = %s\n' \
		"$AS_RIG_HAPROXY_SOCKET" "$BATS_TEST_TMPDIR/dir/haproxy.cfg" "$BATS_TEST_TMPDIR/dir" | conf
	as-doctor >/dev/null || true
	is "$(ls -A "$BATS_TEST_TMPDIR/dir")" haproxy.cfg
}

@test "its standard output is checked" {
	run -74 bash -c 'as-doctor >/dev/full'
	has "$output" 'cannot write standard output'
}
