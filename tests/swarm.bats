# Services of a swarm: seen, scaled and refused through one of its managers. Two nodes, and an engine of no swarm.

load lib

setup_file() {
	local token
	rig_up docker=3 haproxy
	api POST /swarm/init "{\"ListenAddr\":\"$AS_RIG_DOCKER_ADDR:2377\",\"AdvertiseAddr\":\"$AS_RIG_DOCKER_ADDR\"}" >/dev/null
	token=$(api GET /swarm | jq -r .JoinTokens.Worker)
	API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} api POST /swarm/join \
		"{\"ListenAddr\":\"$AS_RIG_DOCKER2_ADDR:2377\",\"AdvertiseAddr\":\"$AS_RIG_DOCKER2_ADDR\",\"RemoteAddrs\":[\"$AS_RIG_DOCKER_ADDR:2377\"],\"JoinToken\":\"$token\"}" >/dev/null
	eventually 20 two_nodes
}
teardown_file() { rig_down; }
setup() {
	fresh
	conf
}
teardown() {
	local id
	for id in $(api GET /services | jq -r '.[].ID'); do api DELETE "/services/$id" >/dev/null; done
	eventually 30 no_containers
}

two_nodes() { [ "$(api GET /nodes | jq -c '[.[] | .Status.State]')" = '["ready","ready"]' ]; }

# What is still there is taken away; a swarm that lost its service makes nothing new.
no_containers() {
	local s left=0
	for s in "$DOCKER_HOST" "$AS_RIG_DOCKER2_HOST"; do
		left=$((left + $(API_SOCKET=${s#unix://} api GET '/containers/json?all=1' | jq length)))
		API_SOCKET=${s#unix://} wipe
	done
	[ "$left" = 0 ]
}

# conf [MORE]: the swarm as host "cluster", and what else there is
conf() { printf '[host "cluster"]\nurl = %s\nengine = swarm\n%s\n' "$DOCKER_HOST" "${1:-}" >"$AUTOSCALE_CONF"; }

# service NAME REPLICAS [EXTRA-SPEC-JSON]: waits until they run unless REPLICAS is of another mode (JSON).
service() {
	local mode=$2
	case $2 in [0-9]*) mode="{\"Replicated\":{\"Replicas\":$2}}" ;; esac
	api POST /services/create "$(jq -nc --arg name "$1" --argjson mode "$mode" --argjson extra "${3:-{\}}" \
		'{Name: $name, Labels: {"autoscale.max": "9", "autoscale.cooldown-down": "0"}, Mode: $mode,
		TaskTemplate: {ContainerSpec: {Image: "webapp:1", StopGracePeriod: 0}, RestartPolicy: {Delay: 0}}} * $extra')" >/dev/null
	case $2 in [0-9]*) [ -n "${3:-}" ] || eventually 30 runs "$1" "$2" ;; esac
}

# runs NAME N: exactly N tasks should run, and do
runs() {
	api GET "/tasks?filters=%7B%22service%22:%5B%22$1%22%5D%7D" |
		jq -e --argjson n "$2" '[.[] | select(.DesiredState == ("running", "ready"))] | length == $n and all(.DesiredState == "running" and .Status.State == "running")' >/dev/null
}

replicas() { api GET "/services/$1" | jq .Spec.Mode.Replicated.Replicas; }

# planned ACTION [COUNT]: inspect, resolve, decide for web with an alert of this kind
planned() { as-inspect web | jq -c '.alert = {action: "'"$1"'", count: '"${2:-0}"'}' | as-resolve-policy | as-decide; }

@test "the tasks of a service are seen on every node, and counted: a manager tells of them all" {
	service web 2
	run -0 as-inspect web
	is "$(jq -c '.observed | [.running, .ready, .stopped, .missing]' <<<"$output")" '[2,2,0,0]'
	is "$(jq -c '[.observed.containers[] | [.name, .host, .state, .ready, .copy, .index]] | sort' <<<"$output")" '[["web.1","cluster","running",true,true,1],["web.2","cluster","running",true,true,2]]'
	is "$(jq '[.observed.containers[].labels["com.docker.swarm.node.id"]] | unique | length' <<<"$output")" 2
	is "$(jq -c '.observed.template | [.engine, .replicas, .name, .image, .labels["autoscale.max"]]' <<<"$output")" '["swarm",2,"web","webapp:1","9"]'
	is "$(jq -r '.observed.template.id' <<<"$output")" "$(api GET /services/web | jq -r .ID)"
	for s in "$DOCKER_HOST" "$AS_RIG_DOCKER2_HOST"; do
		has "$output" "$(API_SOCKET=${s#unix://} api GET /containers/json | jq -r '.[0].Id')"
	done
	run -0 as-inspect --all
	is "$(jq -r .service <<<"$output")" web
}

@test "docker.memory: a manager tells of the containers on its node; those of another, where that is a host too" {
	service web 2
	as-inspect web | jq -c '.policy = {target: {"docker.memory": 1, "docker.cpu": 50}}' >"$BATS_TEST_TMPDIR/seen"
	away=$(API_SOCKET=${AS_RIG_DOCKER2_HOST#unix://} api GET /containers/json | jq -r '.[0].Id')
	run -0 as-sample --over 100ms <"$BATS_TEST_TMPDIR/seen"
	is "$(jq -c '.metrics | map([.name, .ok]) | sort' <<<"$output")" '[["docker.cpu",false],["docker.cpu",true],["docker.memory",false],["docker.memory",true]]'
	is "$(jq -r '.metrics | map(select(.ok == false)) | unique_by(.id)[] | .id, .message' <<<"$output")" \
		"$away"$'\n'"host cluster: container ${away::12} is not on this node: add a [host] for the engine of its own"
	conf "[host \"node-2\"]"$'\n'"url = $AS_RIG_DOCKER2_HOST"
	run -0 as-sample --over 100ms <"$BATS_TEST_TMPDIR/seen"
	is "$(jq -c '.metrics | map([.name, .ok]) | sort' <<<"$output")" '[["docker.cpu",true],["docker.cpu",true],["docker.memory",true],["docker.memory",true]]'
}

@test "alerts scale a service 2 -> 5 -> 2 through the whole line, like any other" {
	service web 2
	alert set '{"count":5}'
	run -0 "$TOP/pipelines/autoscale"
	is "$(jq -c '[.plan.op, .plan.from, .plan.to, .audit.outcome]' <<<"$output")" '["scale-up",2,5,"done"]'
	is "$(jq -c '.steps | map([.stage, .do, .name, .host, .ok, .message])' <<<"$output")" '[["as-clone","scale","web","cluster",true,"2 -> 5"]]'
	runs web 5
	is "$(as-inspect web | jq -c '.observed | [.running, .ready, (.containers | length)]')" '[5,5,5]'
	alert set '{"count":2}'
	run -0 "$TOP/pipelines/autoscale"
	is "$(jq -c '[.plan.op, .plan.from, .plan.to, .audit.outcome]' <<<"$output")" '["scale-down",5,2,"done"]'
	is "$(jq -c '.steps | map([.stage, .do, .name, .host, .ok, .message])' <<<"$output")" '[["as-remove","scale","web","cluster",true,"5 -> 2"]]'
	runs web 2
	is "$(replicas web)" 2
}

@test "the same plan again finds everything done; a dry run changes nothing" {
	service web 2
	planned set 3 >"$BATS_TEST_TMPDIR/up"
	run -0 as-clone -n <"$BATS_TEST_TMPDIR/up"
	is "$(jq -c '.steps | map([.do, .ok, .dry])' <<<"$output")" '[["scale",true,true]]'
	is "$(replicas web)" 2
	as-clone <"$BATS_TEST_TMPDIR/up" >/dev/null
	run -0 as-clone <"$BATS_TEST_TMPDIR/up"
	is "$(jq -c '.steps | map([.do, .message])' <<<"$output")" '[["scale","already"]]'
	planned set 1 >"$BATS_TEST_TMPDIR/down"
	run -0 as-remove -n <"$BATS_TEST_TMPDIR/down"
	is "$(jq -c '.steps | map([.do, .ok, .dry])' <<<"$output")" '[["scale",true,true]]'
	is "$(replicas web)" 3
	as-remove <"$BATS_TEST_TMPDIR/down" >/dev/null
	run -0 as-remove <"$BATS_TEST_TMPDIR/down"
	is "$(jq -c '.steps | map([.do, .message])' <<<"$output")" '[["scale","already"]]'
	is "$(replicas web)" 1
}

@test "a plan that others have gone beyond takes nothing back: more stay more, fewer stay fewer" {
	service web 3
	planned set 4 >"$BATS_TEST_TMPDIR/up"
	planned set 2 >"$BATS_TEST_TMPDIR/down"
	docker service scale -d web=5 >/dev/null
	eventually 30 runs web 5
	run -0 as-clone <"$BATS_TEST_TMPDIR/up"
	is "$(replicas web)" 5
	docker service scale -d web=1 >/dev/null
	eventually 30 runs web 1
	run -0 as-remove <"$BATS_TEST_TMPDIR/down"
	is "$(replicas web)" 1
}

@test "a stage that is killed while it waits: the next pass finishes what was promised" {
	local stage
	service web 2
	planned set 5 | as-audit --intent >"$BATS_TEST_TMPDIR/promised"
	as-clone <"$BATS_TEST_TMPDIR/promised" >/dev/null 3>&- &
	stage=$!
	eventually 10 bash -c '[ "$(docker service inspect web --format "{{.Spec.Mode.Replicated.Replicas}}")" = 5 ]'
	kill -9 "$stage"
	run -0 "$TOP/pipelines/reconcile"
	is "$(jq -c '[.intent.state, .plan.to, .audit.outcome, (.steps | map([.do, .ok]))]' <<<"$output")" '["resumed",5,"done",[["scale",true]]]'
	runs web 5
	is "$(replicas web)" 5
}

# One round of writers against each other; the tries that came too late are added to the file `late`.
round() {
	local i
	for i in 1 2 3 4 5 6; do
		"as-$1" -v <"$BATS_TEST_TMPDIR/$1" >"$BATS_TEST_TMPDIR/out.$i" 2>>"$BATS_TEST_TMPDIR/late" &
		eval "local p$i=\$!"
	done
	for i in 1 2 3 4 5 6; do eval "wait \$p$i" || return 1; done
}

@test "writers that change the service all the time: update out of sequence, tried again, and the number is right" {
	local writer late=0 i
	service web 2
	planned set 5 >"$BATS_TEST_TMPDIR/clone"
	jq -c '.plan |= {op: "scale-down", from: 5, to: 2, create: [], start: [], remove: [.create[0] | {id: .like, name, host}]}' \
		"$BATS_TEST_TMPDIR/clone" >"$BATS_TEST_TMPDIR/remove"
	"$TOP/tests/faults/label_service.py" "$API_SOCKET" web >"$BATS_TEST_TMPDIR/turns" 3>&- &
	writer=$!
	for ((i = 0; i < 10 && !late; i++)); do
		[ "$i" = 0 ] || round remove
		round clone
		late=$(grep -c 'tried .* more' "$BATS_TEST_TMPDIR/late" || true)
	done
	kill "$writer"
	wait "$writer"
	[ "$late" -gt 0 ]
	is "$(replicas web)" 5
	runs web 5
	for i in 1 2 3 4 5 6; do is "$(jq -r '.steps[0].ok' "$BATS_TEST_TMPDIR/out.$i")" true; done
	# and nothing of what the other wrote is lost
	is "$(api GET /services/web | jq -r .Spec.Labels.turn)" "$(cat "$BATS_TEST_TMPDIR/turns")"
}

@test "what is no number of replicas is refused with its mode: global services and jobs" {
	service web '{"Global":{}}'
	eventually 30 runs web 2
	run -1 --separate-stderr as-clone < <(planned set 5)
	has "$stderr" 'service web has the mode Global'
	is "$(jq -r .error.code <<<"$output")" refused
	is "$(as-inspect web | jq -c '.observed | [.running, .template.replicas]')" '[2,null]'
	service once '{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":1}}'
	run -1 --separate-stderr as-clone < <(as-inspect once | jq -c '.alert = {action: "set", count: 2}' | as-resolve-policy | as-decide)
	has "$stderr" 'mode ReplicatedJob'
}

@test "a worker, and an engine of no swarm, is told as what it is" {
	sed -i "s,^url.*,url = $AS_RIG_DOCKER2_HOST," "$AUTOSCALE_CONF"
	run -1 --separate-stderr as-inspect web
	has "$stderr" 'host cluster is no swarm manager: 503'
	has "$stderr" "Worker nodes can't be used"
	sed -i "s,^url.*,url = $AS_RIG_DOCKER3_HOST," "$AUTOSCALE_CONF"
	run -1 --separate-stderr as-inspect web
	has "$stderr" 'host cluster is no swarm manager: 503'
	has "$stderr" 'docker swarm init'
	conf '[host "w"]'$'\n'"url = $AS_RIG_DOCKER2_HOST"$'\n''engine = swarm'
	service web 1
	run -0 --separate-stderr as-inspect web
	is "$(jq -c '.observed | [.running, (.hosts | map(.ok))]' <<<"$output")" '[1,[true,false]]'
	has "$stderr" 'host w is no swarm manager: 503'
}

@test "an image that is nowhere: the reason in the error, and the service as it was" {
	service web 1 '{"TaskTemplate":{"ContainerSpec":{"Image":"nosuch:1"}}}'
	run -1 --separate-stderr as-clone < <(planned set 3)
	has "$stderr" '0 of 3 tasks run'
	has "$stderr" 'No such image: nosuch:1; it is set back to 1'
	is "$(jq -c '[.error.code, .steps[0].ok]' <<<"$output")" '["remote",false]'
	is "$(replicas web)" 1
}

@test "nodes that take no more tasks: the reason in the error, and what runs stays" {
	service web 2 '{"Labels":{"autoscale.ready-timeout":"2s"},"TaskTemplate":{"Placement":{"MaxReplicas":2}}}'
	eventually 30 runs web 2
	run -1 --separate-stderr as-clone < <(planned set 5)
	has "$stderr" '4 of 5 tasks run after 2.'
	has "$stderr" 'no suitable node (max replicas per node limit exceed); it is set back to 4'
	is "$(replicas web)" 4
	eventually 10 runs web 4
}

@test "a command that ends at once is told after its third end, not after the whole time" {
	service web 1 '{"TaskTemplate":{"ContainerSpec":{"Command":["false"]}}}'
	run -1 --separate-stderr as-clone < <(planned set 2)
	has "$stderr" 'non-zero exit (1)'
	is "$(replicas web)" 1
	[ "$(jq '.steps[0].ms' <<<"$output")" -lt 30000 ]
}

@test "a task that waits for a node is a replica: the number counts, not what runs at the moment" {
	service web 3 '{"TaskTemplate":{"Placement":{"MaxReplicas":1}}}'
	eventually 30 bash -c '[ "$(as-inspect web | jq .observed.running)" = 2 ]'
	is "$(planned scale-up | jq -c '.plan | [.op, .from, .to]')" '["scale-up",3,4]'
	is "$(planned scale-down | jq -c '.plan | [.op, .from, .to]')" '["scale-down",3,2]'
	is "$(planned reconcile | jq -c '.plan | [.op, .reason]')" '["none","3 replicas, within min 1 and max 9"]'
}

@test "a service of no replicas is brought to its min; a protected one loses none" {
	service web 0
	run -0 bash -o pipefail -c 'as-inspect --all | as-resolve-policy | as-decide | as-clone'
	is "$(jq -c '[.plan.from, .plan.to, .steps[0].message]' <<<"$output")" '[0,1,"0 -> 1"]'
	runs web 1
	docker service update -d --label-add autoscale.protect=true web >/dev/null
	is "$(planned set 0 | jq -c '.plan | [.op, .to, .remove]')" '["none",1,[]]'
	run -1 --separate-stderr as-remove < <(planned set 0 | jq -c --arg id "$(api GET /services/web | jq -r .ID)" '.plan += {op: "scale-down", to: 0, remove: [{id: $id, name: "web", host: "cluster"}]}')
	has "$stderr" 'protected'
	is "$(replicas web)" 1
}

@test "a node that is a host of its own shows its tasks once, and no copy is put on a swarm" {
	conf '[host "node"]'$'\n'"url = $DOCKER_HOST"
	service web 2
	run -0 as-inspect web
	is "$(jq -c '[.observed.running, (.observed.containers | map(.host) | unique)]' <<<"$output")" '[2,["cluster"]]'
	id=$(api GET /containers/json | jq -r '.[0].Id')
	api POST "/containers/$id/kill" >/dev/null
	# The swarm notices after a while: until then both still seem to run.
	replaced() {
		as-inspect web >"$BATS_TEST_TMPDIR/now" && ! grep -q "$id" "$BATS_TEST_TMPDIR/now" &&
			[ "$(jq .observed.running "$BATS_TEST_TMPDIR/now")" = 2 ]
	}
	eventually 30 replaced
	is "$(api GET "/containers/$id/json" | jq -r .State.Status)" exited
	is "$(jq -c '.observed.stopped' "$BATS_TEST_TMPDIR/now")" 0
	container db '{"autoscale.max":"5","autoscale.service":"db"}' >/dev/null
	run -0 bash -o pipefail -c 'as-inspect db | jq -c ".alert = {action: \"set\", count: 3}" | as-resolve-policy | as-decide | as-clone'
	is "$(jq -c '.steps | map(select(.do == "create") | [.name, .host, .ok]) | sort' <<<"$output")" '[["db-1","node",true],["db-2","node",true]]'
}

@test "a single task is not started by us and needs no watching; values of the environment stay where they are" {
	service web 1 '{"TaskTemplate":{"ContainerSpec":{"Env":["SECRET=canary","AUTOSCALE_MIN=1"]}}}'
	eventually 30 runs web 1
	run -0 as-inspect --full --remember web
	is "$(grep -c canary <<<"$output")" 0
	is "$(jq -c '.observed | [.template.env, .template.variables, .template.create, .remembered]' <<<"$output")" '[["SECRET","AUTOSCALE_MIN"],{"AUTOSCALE_MIN":"1"},null,[]]'
	run -1 --separate-stderr as-start < <(jq -c '.plan = {op: "start", start: [.observed.containers[0] | {id, name, host}]}' <<<"$output")
	has "$stderr" 'a swarm makes, starts and removes the tasks of its services by itself'
	run -78 as-watch
	has "$output" 'an engine of kind swarm has no events to watch'
}

@test "a load balancer gets the tasks at their addresses in a network that it shares" {
	api POST /networks/create '{"Name":"front","Driver":"overlay","Attachable":true}' >/dev/null
	printf '[lb "edge"]\ndriver = haproxy\nsocket = %s\n' "$AS_RIG_HAPROXY_SOCKET" >>"$AUTOSCALE_CONF"
	service web 2 '{"Labels":{"autoscale.lb":"edge","autoscale.lb.port":"80"},"TaskTemplate":{"Networks":[{"Target":"front"}]}}'
	eventually 30 runs web 2
	planned set 1 >"$BATS_TEST_TMPDIR/down"
	is "$(jq -c '.observed.template.networks' "$BATS_TEST_TMPDIR/down")" '["front"]'
	run -0 as-lb-update -n < <(jq -c '.plan = {op: "none"}' "$BATS_TEST_TMPDIR/down")
	is "$(jq -c '[.lb[] | [.do, .address, .ok, .dry]] | sort' <<<"$output")" \
		"$(jq -c '[.observed.containers[] | ["attach", .addresses.front + ":80", true, true]] | sort' "$BATS_TEST_TMPDIR/down")"
	# which of them goes is the swarm's choice, so nothing is drained or attached before the next look
	run -0 bash -o pipefail -c 'as-lb-update --drain | as-remove | as-lb-update' <"$BATS_TEST_TMPDIR/down"
	is "$(jq -c '[.lb, .steps[0].message]' <<<"$output")" '[null,"2 -> 1"]'
	is "$(servers)" ''
}
