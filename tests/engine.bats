# The commands that look at and change a real engine, alone and in the line.

load lib

setup_file() { rig_up docker haproxy; }
teardown_file() { rig_down; }
setup() { fresh; }
teardown() { wipe; no_servers; }

# planned FILTER: inspect, resolve, decide for web with an alert of this kind
planned() { as-inspect web | jq -c '.alert = {action: "'"$1"'", count: '"${2:-0}"'}' | as-resolve-policy | as-decide; }

@test "inspect shows the service, alone: as-inspect web | jq .observed" {
	web
	run -0 as-inspect web
	is "$(jq -c '.observed | [.count_from, .running, .ready, .starting, .stopped, .missing, .draining]' <<<"$output")" '["labels",1,1,0,0,0,0]'
	is "$(jq -c '.observed.hosts' <<<"$output")" '[{"name":"local","ok":true,"message":""}]'
	is "$(jq -c '.observed.containers[0] | [.name, .host, .state, .copy, .ready, .health, (.addresses.bridge | test("^10\\.")), .labels["autoscale.max"]]' <<<"$output")" '["web","local","running",false,true,null,true,"4"]'
	is "$(jq -c '.observed.containers[0] | keys - ["variables"]' <<<"$output")" '["addresses","copy","copy_of","created","exit_code","health","host","id","image","index","labels","name","network_mode","oom_killed","op","ports","ready","restarts","started","state"]'
}

@test "with no configuration file at all the plan of a labelled container comes out" {
	web
	unset AUTOSCALE_CONF AUTOSCALE_STORE
	export HOME=$BATS_TEST_TMPDIR XDG_STATE_HOME=$BATS_TEST_TMPDIR
	run -0 bash -o pipefail -c 'as-inspect web | as-resolve-policy | as-decide | jq -c .plan'
	is "$(jq -c '[.op, .from, .to, .reason]' <<<"$output")" '["none",1,1,"1 running, within min 1 and max 4"]'
}

@test "the environment leaves as names; values only with --full; ours as variables" {
	container web '{"autoscale.service":"web"}' '{"Env":["SECRET=canary","AUTOSCALE_MAX=3"]}' >/dev/null
	run -0 as-inspect web
	is "$(grep -c canary <<<"$output")" 0
	is "$(jq -c '[.observed.template.variables, (.observed.template.env | contains(["SECRET"]))]' <<<"$output")" '[{"AUTOSCALE_MAX":"3"},true]'
	run -0 as-inspect --full web
	has "$(jq -c .observed.template.create.Env <<<"$output")" SECRET=canary
}

@test "a service joins by a variable, by its compose service, or by a plain service label" {
	container ca '{}' '{"Env":["AUTOSCALE_SERVICE=by-variable","AUTOSCALE_MAX=3"]}' >/dev/null
	container cb '{"com.docker.compose.service":"by-compose","autoscale.max":"2"}' >/dev/null
	container cc '{"service":"by-label"}' >/dev/null
	container cd '{}' >/dev/null
	is "$(as-inspect by-variable by-compose by-label | jq -c '[.service, .observed.running]' | tr '\n' ' ')" '["by-variable",1] ["by-compose",1] ["by-label",1] '
	is "$(as-inspect --all | jq -r .service | sort | tr '\n' ' ')" 'by-compose by-variable ' 'who did not ask is left alone'
	as-policy set x service=by-label max=2
	is "$(as-inspect --all | jq -r .service | sort | tr '\n' ' ')" 'by-compose by-label by-variable '
}

@test "an unknown service is no error: nothing runs" {
	run -0 as-inspect nosuch
	is "$(jq -c '.observed | [.running, .containers, has("template")]' <<<"$output")" '[0,[],false]'
}

@test "the engine is down: error in the record, exit 1, and what to do" {
	DOCKER_HOST=unix:///nonexistent.sock run -1 --separate-stderr as-inspect web
	is "$(jq -c '[.error.stage, .error.code, .error.retry]' <<<"$output")" '["as-inspect","unavailable",true]'
	has "$stderr" /nonexistent.sock
}

@test "clone makes the planned copies, ready, each once; the second run says already" {
	web
	planned scale-up >"$BATS_TEST_TMPDIR/plan"
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -c '.steps | map([.stage, .do, .name, .ok])' <<<"$output")" '[["as-clone","create","web-1",true],["as-clone","ready","web-1",true]]'
	is "$(names)" 'web web-1'
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r '.steps[0].message' <<<"$output")" already
	is "$(names)" 'web web-1'
	is "$(api GET /containers/web-1/json | jq -r '.Config.Labels["autoscale.index"]')" 1
	is "$(api GET /containers/web-1/json | jq -r '.Config.Labels["autoscale.copy-of"]')" "$(api GET /containers/web/json | jq -r .Id)"
}

@test "a copy equals its original in labels, environment, cpu, memory, volumes, network, command" {
	api POST /networks/create '{"Name":"n1"}' >/dev/null
	api POST /volumes/create '{"Name":"v1"}' >/dev/null
	IMAGE=img:1 container web '{"autoscale.service":"web","autoscale.max":"3","own":"1","img.k":"over"}' '{"Env":["A=mine","D=4","S=a b","E="],"Cmd":["exec sleep 1000"],"User":"1000:1000","WorkingDir":"/tmp","StopTimeout":3,
		"HostConfig":{"Memory":67108864,"MemorySwap":134217728,"NanoCpus":500000000,"Binds":["v1:/v:ro"],"NetworkMode":"n1","PidsLimit":50,"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"Ulimits":[{"Name":"nofile","Soft":1024,"Hard":2048}]},
		"NetworkingConfig":{"EndpointsConfig":{"n1":{"Aliases":["alias"]}}}}' >/dev/null
	planned scale-up | as-clone >/dev/null
	api GET /containers/web/json >"$BATS_TEST_TMPDIR/s"
	api GET /containers/web-1/json >"$BATS_TEST_TMPDIR/c"
	f='.Config | del(.Hostname) | .Labels |= with_entries(select(.key | test("^autoscale\\.(copy-of|index|op)$") | not))'
	is "$(jq -S "$f" "$BATS_TEST_TMPDIR/c")" "$(jq -S "$f" "$BATS_TEST_TMPDIR/s")" Config
	is "$(jq -S .HostConfig "$BATS_TEST_TMPDIR/c")" "$(jq -S .HostConfig "$BATS_TEST_TMPDIR/s")" HostConfig
	is "$(jq -r .Image "$BATS_TEST_TMPDIR/c")" "$(jq -r .Image "$BATS_TEST_TMPDIR/s")"
	is "$(jq -c '[.Mounts[] | select(.Name == "v1") | .Destination, .RW]' "$BATS_TEST_TMPDIR/c")" '["/v",false]'
	is "$(jq -c '.NetworkSettings.Networks | keys' "$BATS_TEST_TMPDIR/c")" '["n1"]'
	is "$(jq -c --arg own "$(jq -r '.Id[0:12]' "$BATS_TEST_TMPDIR/c")" '.NetworkSettings.Networks.n1.Aliases - [$own]' "$BATS_TEST_TMPDIR/c")" '["alias"]'
	is "$(jq -r '.Config.Hostname == .Id[0:12]' "$BATS_TEST_TMPDIR/c")" true
	wipe
	api DELETE /networks/n1; api DELETE /volumes/v1
}

@test "the name belongs to a stranger: refused with 409, the stranger untouched, the alert's reason kept" {
	web
	planned scale-up >"$BATS_TEST_TMPDIR/plan"
	id=$(container web-1 '{"mine":"1"}')
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" conflict
	has "$stderr" '409 name "web-1" is in use'
	is "$(api GET "/containers/$id/json" | jq -r .State.Status)" running
}

@test "what cannot be copied faithfully is refused with the reason and nothing is made" {
	container web '{"autoscale.service":"web","autoscale.max":"3"}' '{"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"28080"}]}}}' >/dev/null
	run -1 --separate-stderr bash -c "$(declare -f planned); planned scale-up | as-clone"
	is "$(jq -r .error.code <<<"$output")" refused
	has "$stderr" 28080
	is "$(names)" web
}

@test "a privileged container is copied only when the operator allows it" {
	container web '{"autoscale.service":"web","autoscale.max":"3"}' '{"HostConfig":{"CapAdd":["NET_ADMIN"]}}' >/dev/null
	planned scale-up >"$BATS_TEST_TMPDIR/plan"
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" refused
	printf '[limits]\nprivileged = allow\n' >>"$AUTOSCALE_CONF"
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(names)" 'web web-1'
}

@test "a service that is slow to get ready holds up no other: as-clone works on several records at a time" {
	container slow '{"autoscale.service":"slow","autoscale.max":"2","autoscale.ready":"tcp:81","autoscale.ready-timeout":"3s"}' >/dev/null
	web
	for s in slow web; do
		as-inspect "$s" | jq -c '.alert = {action: "scale-up"}' | as-resolve-policy | as-decide
	done >"$BATS_TEST_TMPDIR/plans"
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plans"
	is "$(jq -r .service <<<"$output" | tr '\n' ' ')" 'web slow '
	is "$(jq -c 'select(.service == "web") | [.steps[].do], .error' <<<"$output" | tr '\n' ' ')" '["create","ready"] null '
	is "$(names)" 'slow web web-1'
}

@test "two records of one service keep their order in as-clone, also if the second has nothing to do" {
	web
	planned scale-up | jq -c '(.n = 1), (.n = 2 | .plan.create = [])' >"$BATS_TEST_TMPDIR/plans"
	run -0 as-clone <"$BATS_TEST_TMPDIR/plans"
	is "$(jq -c '[.n, (.steps // [] | length)]' <<<"$output" | tr '\n' ' ')" '[1,2] [2,0] '
}

@test "a copy that never gets ready is taken away again, and the record says why" {
	container web '{"autoscale.service":"web","autoscale.max":"3","autoscale.ready":"tcp:81","autoscale.ready-timeout":"300ms"}' >/dev/null
	planned scale-up >"$BATS_TEST_TMPDIR/plan"
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	has "$stderr" 'did not get ready and was removed'
	is "$(names)" web
}

@test "the container to copy is gone: error in the record, nothing made" {
	web
	planned scale-up >"$BATS_TEST_TMPDIR/plan"
	wipe
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" not-found
	is "$(names)" ''
}

@test "-n marks every step dry and changes nothing" {
	web
	run -0 bash -o pipefail -c "$(declare -f planned); planned scale-up | as-clone -n | as-lb-update -n"
	is "$(jq -c '[.steps[].dry, .lb[].dry] | unique' <<<"$output")" '[true]'
	is "$(names)" web
	is "$(servers)" ''
}

@test "a policy with dry_run decides and acts not" {
	web
	as-policy set web dry-run=true
	run -0 bash -o pipefail -c "$(declare -f planned); planned scale-up | as-audit --intent | as-clone | as-lb-update | as-audit"
	is "$(jq -r .audit.outcome <<<"$output")" dry-run
	is "$(names)" web
}

@test "start starts what is stopped; twice is already" {
	web
	api POST /containers/web/stop?t=1 >/dev/null
	as-inspect web | as-resolve-policy | as-decide >"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .plan.op "$BATS_TEST_TMPDIR/plan")" start
	run -0 as-start <"$BATS_TEST_TMPDIR/plan"
	is "$(api GET /containers/web/json | jq -r .State.Status)" running
	run -0 as-start <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .steps[0].message <<<"$output")" already
}

@test "remove takes the copy, twice is already, and an original is refused" {
	web
	planned scale-up | as-clone >/dev/null
	planned scale-down >"$BATS_TEST_TMPDIR/plan"
	run -0 as-remove <"$BATS_TEST_TMPDIR/plan"
	is "$(names)" web
	run -0 as-remove <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .steps[0].message <<<"$output")" already
	jq -c --arg id "$(api GET /containers/web/json | jq -r .Id)" '.plan.remove[0] = {id: $id, name: "web", host: "local"}' "$BATS_TEST_TMPDIR/plan" >"$BATS_TEST_TMPDIR/bad"
	run -1 --separate-stderr as-remove <"$BATS_TEST_TMPDIR/bad"
	is "$(jq -r .error.code <<<"$output")" refused
	is "$(names)" web
	run -0 as-remove --force web <"$BATS_TEST_TMPDIR/bad"
	is "$(names)" ''
}

@test "remove refuses a protected copy, whatever the plan says, unless forced" {
	web
	planned scale-up | as-clone >/dev/null
	id=$(container web-9 '{"autoscale.service":"web","autoscale.copy-of":"x","autoscale.op":"op-1","autoscale.protect":"true"}')
	planned scale-down | jq -c --arg id "$id" '.plan.remove = [{id: $id, name: "web-9", host: "local"}]' >"$BATS_TEST_TMPDIR/plan"
	run -1 --separate-stderr as-remove <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" refused
	has "$(jq -r .error.message <<<"$output")" 'autoscale.protect'
	is "$(names)" 'web web-1 web-9'
	run -0 as-remove --force web-9 <"$BATS_TEST_TMPDIR/plan"
	is "$(names)" 'web web-1'
}

@test "a deleted original comes back from what was remembered" {
	container web '{"autoscale.service":"web","autoscale.max":"3","own":"x"}' '{"Env":["A=1"]}' >/dev/null
	as-inspect --remember web >/dev/null
	api GET /containers/web/json | jq -S '[.Config.Env, .Config.Labels["own"], .Config.Cmd, .Image]' >"$BATS_TEST_TMPDIR/was"
	wipe
	run -0 bash -o pipefail -c 'as-inspect web | as-resolve-policy | as-decide | as-clone'
	is "$(jq -r .plan.op <<<"$output")" recreate
	is "$(names)" web
	is "$(api GET /containers/web/json | jq -S '[.Config.Env, .Config.Labels["own"], .Config.Cmd, .Image]')" "$(cat "$BATS_TEST_TMPDIR/was")"
}

@test "a deleted original comes back from its own image although the tag means another one now" {
	api POST '/images/img:1/tag?repo=mv&tag=1' >/dev/null
	IMAGE=mv:1 container web '{"autoscale.service":"web"}' >/dev/null
	was=$(api GET /containers/web/json | jq -r .Image)
	as-inspect --remember web >/dev/null
	wipe
	api POST '/images/img:2/tag?repo=mv&tag=1' >/dev/null
	run -0 bash -o pipefail -c 'as-inspect web | as-resolve-policy | as-decide | as-clone'
	is "$(api GET /containers/web/json | jq -r .Image)" "$was"
	wipe
	api DELETE /images/mv:1 >/dev/null
}

@test "two deleted originals come back each as it was, while a sibling lives" {
	for n in wa wb wc; do container "$n" '{"autoscale.service":"web","autoscale.max":"5"}' "{\"Env\":[\"WHO=$n\"]}" >/dev/null; done
	as-inspect --remember web >/dev/null
	for n in wa wb; do api DELETE "/containers/$n?force=1" >/dev/null; done
	run -0 bash -o pipefail -c 'as-inspect web | as-resolve-policy | as-decide | as-clone'
	is "$(names)" 'wa wb wc'
	for n in wa wb; do has "$(api GET "/containers/$n/json" | jq -c .Config.Env)" "WHO=$n"; done
}

@test "lb-update attaches every ready replica, once, and takes out what is gone" {
	web
	as-inspect web | as-resolve-policy | as-decide >"$BATS_TEST_TMPDIR/plan"
	run -0 as-lb-update <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -c '.lb | map([.lb, .driver, .do, .backend, .ok, .message])' <<<"$output")" '[["edge","haproxy","attach","web",true,""]]'
	is "$(servers)" "as-$(api GET /containers/web/json | jq -r '.Id[0:12]')"
	is "$(curl -s -o /dev/null -w '%{http_code}' "$AS_RIG_HAPROXY_URL/")" 200
	run -0 as-lb-update <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r '.lb[0].message' <<<"$output")" already
	wipe
	as-inspect web | jq -c '.policy = {lb: "edge"} | .plan = {op: "none"}' >"$BATS_TEST_TMPDIR/gone"
	run -0 as-lb-update <"$BATS_TEST_TMPDIR/gone"
	is "$(servers)" ''
}

@test "the load balancer is away, unknown, or lacks the backend: error in the record, and what to do" {
	web
	as-inspect web | as-resolve-policy | as-decide >"$BATS_TEST_TMPDIR/plan"
	sed -i 's,^socket.*,socket = /nonexistent.sock,' "$AUTOSCALE_CONF"
	run -1 --separate-stderr as-lb-update <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r '.error.code' <<<"$output")" unavailable
	has "$stderr" /nonexistent.sock
	: >"$AUTOSCALE_CONF"
	run -1 --separate-stderr as-lb-update <"$BATS_TEST_TMPDIR/plan"
	has "$stderr" 'add a [lb "edge"] section'
	fresh
	run -1 --separate-stderr as-lb-update < <(jq -c '.policy.lb_backend = "nosuch"' "$BATS_TEST_TMPDIR/plan")
	has "$stderr" nosuch
}
