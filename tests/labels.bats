# How an application joins a load balancer: by our labels, by variables, by the labels and variables of other tools.
# shellcheck disable=SC2016 # rules have backticks

load lib

setup_file() { rig_up docker haproxy nginx envoy; }
teardown_file() { rig_down; }

setup() {
	fresh
	OUT=$BATS_TEST_TMPDIR/out PIDS=()
}

teardown() {
	local pid
	for pid in "${PIDS[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	wipe
	no_servers
}

# on WORDS: these conventions make a container join "edge"
on() { echo "conventions = $1" >>"$AUTOSCALE_CONF"; }

# seen NAME [LABELS-JSON] [VARIABLE ...]: a container that need not serve
seen() { container "$1" "${2:-{\}}" "$(jq -nc '{HostConfig: {NetworkMode: "none"}, Env: $ARGS.positional}' --args "${@:3}")" >/dev/null; }

# policies FILTER: of everything that joined
policies() { as-inspect --all | as-resolve-policy | jq -c "$1"; }

# ---- our own ----

@test "every field of a load balancer can be given as a label, and as a variable, which a label goes before" {
	seen aa '{"autoscale.service":"a","autoscale.lb":"edge,inner","autoscale.lb.backend":"b-1","autoscale.lb.port":"8081","autoscale.lb.rule":"Host(`A.example`)","autoscale.lb.weight":"50","autoscale.lb.network":"front"}' \
		AUTOSCALE_LB_PORT=9999
	seen bb '{}' AUTOSCALE_SERVICE=b AUTOSCALE_LB=edge AUTOSCALE_LB_BACKEND=b-2 AUTOSCALE_LB_PORT=8082 \
		'AUTOSCALE_LB_RULE=PathPrefix(`/b`)' AUTOSCALE_LB_WEIGHT=0 AUTOSCALE_LB_NETWORK=back
	run -0 policies '.policy | [.lb, .lb_backend, .lb_port, .lb_rule, .lb_weight, .lb_network], ([.from | .lb, .lb_backend, .lb_port, .lb_rule, .lb_weight, .lb_network] | unique), .warnings'
	is "$(sort <<<"$output")" "$(sort <<-'END'
		["edge,inner","b-1",8081,"Host(`a.example`)",50,"front"]
		["label"]
		[]
		["edge","b-2",8082,"PathPrefix(`/b`)",0,"back"]
		["variable"]
		[]
	END
	)"
}

@test "two labels make an application known: a balancer and a rule; its name is the container's" {
	seen shop '{"autoscale.lb":"edge","autoscale.lb.rule":"Host(`shop.example`)"}'
	is "$(policies '[.service, .policy.lb, .policy.lb_rule, .observed.running]')" '["shop","edge","Host(`shop.example`)",1]'
}

@test "what a tenant writes into a field to reach a configuration is a warning, and no value" {
	local field label n=0 labels='{}' vars=()
	local tries=('web; disable server web/s1' $'web\nset server web/s1 state maint' '../../etc/passwd' 'a`b' '80 weight 0')
	for field in lb lb.backend lb.port lb.rule lb.weight lb.network; do
		label=${tries[n++ % 5]}
		labels=$(jq -c --arg k "autoscale.$field" --arg v "$label" '.[$k] = $v' <<<"$labels")
		vars+=("AUTOSCALE_$(tr 'a-z.' 'A-Z_' <<<"$field")=${tries[n % 5]}")
	done
	seen aa "$(jq -c '."autoscale.service" = "a"' <<<"$labels")" "${vars[@]}"
	run -0 policies '.policy | [.lb, .lb_backend, .lb_port, .lb_rule, .lb_weight, .lb_network], (.warnings | length)'
	is "$output" $'[null,null,null,null,100,null]\n12'
	# And no load balancer hears of it.
	run -0 bash -c 'as-inspect --all | as-resolve-policy | as-decide | as-lb-update | jq -c .lb'
	is "$output" null
}

# ---- configuration ----

@test "a word that is no convention is named with file, line and the nearest one" {
	on 'virtual_host, trafik'
	run -78 as-inspect --all
	is "$output" "as-inspect: $AUTOSCALE_CONF:4: conventions knows no \"trafik\" (did you mean \"traefik\"?)"
}

@test "virtual_host and dockercloud cannot both be switched on, not even by two load balancers" {
	on virtual_host
	printf '[lb "inner"]\nconventions = dockercloud\n' >>"$AUTOSCALE_CONF"
	run -78 as-resolve-policy web
	has "$output" "$AUTOSCALE_CONF:6: conventions: virtual_host and dockercloud read VIRTUAL_HOST in different ways"
}

# block KIND N: the N-th of the configurations below `.Ss KIND` in autoscale.conf(5), with folders of this test's own
block() {
	sed -n "/^\.Ss $1\$/,/^\.S[sh] [^${1:0:1}]/p" "$TOP/man/autoscale.conf.5" |
		awk -v n="$2" '/^\.Bd/ { k++; on = 1; next } /^\.Ed/ { on = 0 } k == n && on' |
		sed -e 's/\\e/\\/g' -e "s,/etc/[a-z]*/,$BATS_TEST_TMPDIR/,g" -e "s,/var/log/nginx/,$BATS_TEST_TMPDIR/,g" -e "s,/run/,$BATS_TEST_TMPDIR/,g"
}

@test "the configurations in autoscale.conf(5) are ones that HAProxy, nginx and Envoy take, and the toolkit too" {
	cd "$BATS_TEST_TMPDIR"
	mkdir -p autoscale haproxy
	block HAProxy 2 >h.cfg
	run -0 haproxy -c -f h.cfg
	block nginx 2 | sed 's/listen \(127.0.0.1:\)\?80.*/listen unix:n.sock;/' >n.conf
	block nginx 3 >autoscale/as-web.conf
	run -0 nginx -t -q -p "$BATS_TEST_TMPDIR/" -e stderr -c n.conf
	block Envoy 2 >e.yml
	block Envoy 3 | sed -n 2p >autoscale/as-clusters.json
	block Envoy 3 | sed -n '5,$p' >autoscale/as-routes.json
	echo 'static_resources:' >c.yml
	block Envoy 4 | sed 's/^/  /' >>c.yml
	block Envoy 5 | jq -c . >autoscale/web.json
	for f in e.yml c.yml; do
		grep -q ^node $f || echo 'node: { id: edge, cluster: edge }' >>$f
		run -0 "$TOP"/build/rig-cache/envoy/lib/python3*/site-packages/envoy/_bin/envoy --mode validate --log-level error -c $f
	done
	for lb in HAProxy nginx Traefik Envoy; do block $lb 1 | sed "s/edge/$lb/"; done >as.conf
	is "$(grep -c '^driver' as.conf)" 4
	run -0 as-resolve-policy -c as.conf </dev/null
}

# ---- conventions ----

@test "with nothing switched on, another tool's labels make no container join" {
	seen aa '{"traefik.enable":"true"}' VIRTUAL_HOST=a.example
	is "$(as-inspect --all | wc -l)" 0
}

@test "a container without any label of ours joins by a convention, under its own name" {
	on 'virtual_host, traefik'
	seen app '{}' VIRTUAL_HOST=a.example,b.example VIRTUAL_PORT=3000
	seen shop_1 '{"com.docker.compose.service":"shop","traefik.http.routers.s.rule":"Host(`s.example`) && PathPrefix(`/x`)"}'
	seen off '{"traefik.enable":"false","traefik.http.routers.s.rule":"Host(`off.example`)"}'
	seen other '{"some":"label"}' OTHER=1
	run -0 policies '[.service, .policy.lb, .policy.lb_rule, .policy.lb_port, .policy.from.lb_rule, .policy.from.lb]'
	is "$(sort <<<"$output")" "$(sort <<-'END'
		["app","edge","Host(`a.example`) || Host(`b.example`)",3000,"convention:virtual_host","convention:virtual_host"]
		["shop","edge","Host(`s.example`) && PathPrefix(`/x`)",null,"convention:traefik","convention:traefik"]
	END
	)"
}

@test "a service that names a balancer itself has VIRTUAL_HOST, traefik.* and com.df.* read without more" {
	seen aa '{"autoscale.service":"a","autoscale.lb":"edge","autoscale.lb.port":"81"}' VIRTUAL_HOST=a.example VIRTUAL_PORT=82
	seen bb '{"autoscale.service":"b","autoscale.lb":"edge","com.df.notify":"true","com.df.servicePath":"/b","com.df.port":"83"}'
	seen cc '{"autoscale.service":"c","autoscale.lb":"edge","easyhaproxy.x.host":"c.example"}'
	run -0 policies '[.service, .policy.lb_rule, .policy.lb_port, .policy.from.lb_port, .policy.shadowed.lb_port]'
	is "$(sort <<<"$output")" "$(sort <<-'END'
		["a","Host(`a.example`)",81,"label",[{"from":"convention:virtual_host","value":82}]]
		["b","PathPrefix(`/b`)",83,"convention:df",null]
		["c",null,null,null,null]
	END
	)"
}

@test "what is not understood of another tool's labels is a warning that names it" {
	on traefik
	seen aa '{"traefik.http.routers.s.rule":"Host(`a.example`) && Method(`GET`)"}'
	run -0 policies '.policy | .lb_rule, .warnings'
	has "$output" 'null'
	has "$output" 'lb_rule (convention:traefik): \"Host(`a.example`) && Method(`GET`)\": rule: at character 22: Host(`NAME`) or PathPrefix(`/PATH`) is wanted here'
}

@test "labels = ignore ignores those of other tools too" {
	on virtual_host
	printf '[limits]\nlabels = ignore\n' >>"$AUTOSCALE_CONF"
	seen aa '{}' VIRTUAL_HOST=a.example
	is "$(as-inspect --all | wc -l)" 0
	is "$(as-inspect aa | as-resolve-policy | jq -c '[.policy.lb, .policy.lb_rule]')" '[null,null]'
}

@test "of a container's environment the record shows the variables of conventions, and nothing else" {
	on dockercloud
	seen aa '{}' VIRTUAL_HOST=http://a.example SERVICE_PORTS=80,81 EXCLUDE_PORTS=80 PASSWORD=canary VIRTUAL_HOST_2=canary MY_PORTS=canary
	run -0 as-inspect --all
	is "$(jq -c '.observed.template.variables, .observed.containers[0].variables' <<<"$output" | sort -u)" \
		'{"VIRTUAL_HOST":"http://a.example","SERVICE_PORTS":"80,81","EXCLUDE_PORTS":"80"}'
	[[ $output != *canary* ]]
	is "$(as-resolve-policy <<<"$output" | jq -c '.policy | [.lb_rule, .lb_port]')" '["Host(`a.example`)",81]'
}

# ---- the line ----

@test "a copy carries another tool's labels, is of the same service, and both serve at the port that these name" {
	on traefik
	container web '{"traefik.http.services.w.loadbalancer.server.port":"3000"}' '{"Entrypoint":["httpd"],"Cmd":["-f","-p","3000","-h","/www"]}' >/dev/null
	eventually 10 ready 1
	as-policy set web max=2 >/dev/null
	alert scale-up
	run -0 "$TOP/pipelines/autoscale"
	is "$(jq -c '[.plan.op, .audit.outcome, .policy.from.lb]' <<<"$output")" '["scale-up","done","convention:traefik"]'
	is "$(names)" 'web web-1'
	is "$(api GET /containers/web-1/json | jq -c '.Config.Labels | [."traefik.http.services.w.loadbalancer.server.port", ."autoscale.service"]')" '["3000","web"]'
	eventually 5 curl -sf -o /dev/null "$AS_RIG_HAPROXY_URL/"
	is "$(servers_up)" 2
	is "$(as-inspect --all | jq -c '[.service, .observed.running, .observed.ready]')" '["web",2,2]'
}
ready() { [ "$(as-inspect --all | jq .observed.ready)" = "$1" ]; }

@test "as-watch tells of a container that joined by a convention" {
	on virtual_host
	as-watch >"$OUT" 3>&- &
	PIDS+=($!)
	eventually 10 follows
	seen app '{}' VIRTUAL_HOST=a.example
	seen other '{}' OTHER=1
	api POST /containers/other/kill >/dev/null
	api POST /containers/app/kill >/dev/null
	eventually 10 told
	is "$(jq -r .service "$OUT" | sort -u)" app
}
follows() { [ "$(api GET /info | jq .NEventsListener)" -ge 1 ]; }
told() { jq -e -s 'any(.alert.action == "start")' "$OUT" >/dev/null; }

@test "a convention that is switched on later is heeded by as-watch, whatever its state says" {
	seen app '{}' VIRTUAL_HOST=a.example
	as-watch --once --state "$BATS_TEST_TMPDIR/state"
	api POST /containers/app/kill >/dev/null
	is "$(as-watch --once --state "$BATS_TEST_TMPDIR/state" | wc -l)" 0
	on virtual_host
	is "$(as-watch --once --state "$BATS_TEST_TMPDIR/state" | jq -r .service)" app
}
