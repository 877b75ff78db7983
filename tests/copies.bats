# A copy is what the operator would have started. Each case: `docker run ARGS` makes the source, as-clone the copy, and
# both inspect documents say what is equal and what is not. The sources of the cases marked `given` are made and copied
# together before the first test, for starting a container is most of the time.

load lib

declare -A GIVEN AFTER

# given CASE ARGS...: the source is made by `docker run -d --name sCASE ARGS`, the copy is called cCASE. @X stands for a
# variable of setup_file.
given() { GIVEN[$1]=$(printf '%q ' run -d --name "s$1" "${@:2}"); }
# created CASE ARGS...: the same by `docker create`
created() { GIVEN[$1]=$(printf '%q ' create --name "s$1" "${@:2}"); }
# after CASE COMMANDS: what is done to the source, $S, before it is copied
after() { AFTER[$1]=$2; }

# ---- making them ----

setup_file() {
	rig_up docker podman
	net=${AS_RIG_DOCKER_ADDR%.255.2}
	export N1=$net.201 N2=$net.202 B1=$BATS_FILE_TMPDIR/b1 AUTOSCALE_CONF=$BATS_FILE_TMPDIR/as.conf
	export ROWS=$BATS_FILE_TMPDIR
	printf '[limits]\nprivileged = allow\n' >"$AUTOSCALE_CONF"
	mkdir "$B1"
	ID1=$(docker network create --subnet "$N1.0/24" n1 | cut -c 1-12)
	export ID1
	docker network create --subnet "$N2.0/24" n2 >/dev/null
	docker volume create v1 >/dev/null
	local tag
	for tag in mva mvb mvc mvd mve; do docker tag img:1 $tag:1; done
	docker run -d --name peer --network n1 webapp:1 >/dev/null
	docker run -d --name lpeer webapp:1 >/dev/null
	docker run -d --name hpeer --network host webapp:1 >/dev/null
	local case
	for case in "${!GIVEN[@]}"; do
		[ "$(jobs -pr | wc -l)" -lt 4 ] || wait -n
		make_case "$case" &
	done
	wait
	[ ! -s "$ROWS/failed" ] || { cat "$ROWS/failed" >&2; return 1; }
}

# The source and its copy: CASE.s, CASE.c the inspect documents, CASE.r the record, CASE.e what was said, CASE.x the status
make_case() {
	local S=s$1 at=$ROWS/$1 status=0
	# shellcheck disable=SC2086
	eval "docker ${GIVEN[$1]//@/$}" >/dev/null 2>"$at.e" && eval "${AFTER[$1]:-true}" >/dev/null 2>>"$at.e" ||
		{ echo "case $1: $(cat "$at.e")" >>"$ROWS/failed"; return; }
	clone_of "$S" "c$1" >"$at.r" 2>"$at.e" || status=$?
	echo "$status" >"$at.x"
	api GET "/containers/$S/json" >"$at.s"
	api GET "/containers/c$1/json" >"$at.c"
}

# plan_for SOURCE NAME [OP]: the record of one more copy
plan_for() {
	jq -nc --arg like "$(api GET "/containers/$1/json" | jq -r .Id)" --arg name "$2" --arg op "${3:-op-$2}" '{v: 1, id: $op,
		now: "2026-11-24T12:00:00.000Z", service: "shop", observed: {template: {host: "local"}, containers: []},
		policy: {ready_timeout: 60}, intent: {op_id: $op, state: "new"},
		plan: {op: "scale-up", create: [{name: $name, host: "local", like: $like, index: 1}]}}'
}

# In the network namespace of the engine, where what listens in the host's network is found too.
clone_of() { plan_for "$@" | nsenter --net="/run/netns/$AS_RIG_NETNS" "$AS_BIN/as-clone"; }

teardown_file() { rig_down; }
setup() { AT=$BATS_TEST_TMPDIR; }

# Containers, volumes and operations of a test of its own begin with "t".
teardown() {
	local id
	for id in $(api GET '/containers/json?all=1' | jq -r '.[] | select(.Names[0] | test("^/t")) | .Id'); do
		api DELETE "/containers/$id?force=1&v=1" >/dev/null
	done
	case $BATS_TEST_DESCRIPTION in Podman*) podman podman_wipe ;; esac
}

podman_wipe() {
	docker ps -aq | xargs -r docker rm -fv
	docker volume ls -q | xargs -r docker volume rm
	docker network ls -q --filter name=p1 | xargs -r docker network rm
} >/dev/null

# ---- looking at them ----

# $s source, $c copy, $r record. G: the copy is what the source is, but for host name and our own labels.
DEFS='
def clean: .Config.Hostname = null
	| .Config.Labels |= with_entries(select(.key | test("^autoscale[.](copy-of|index|op)$") | not));
def same($but): [$s, $c] | map(clean | delpaths($but) | [.Config, .HostConfig, .Image]) | .[0] == .[1];
def apart: $c.State.Running and $c.Id != $s.Id and $c.Name != $s.Name;
def own_name: $c.Config.Hostname == $c.Id[0:12];
def G: same([]) and apart;
def but($paths): same($paths) and apart;
def aliases($n): $c.NetworkSettings.Networks[$n].Aliases | sort;
def networks: $c.NetworkSettings.Networks | keys;
def port: .NetworkSettings.Ports["80/tcp"][0].HostPort;
def mounts: .Mounts | sort_by(.Destination);
def step($do): $r.steps | map(select(.do == $do))[0];
def notes($part): step("create").notes // [] | map(select(contains($part))) | length;
'

# then_is CASE EXPRESSION: jq says true of the case's documents, which are shown when it does not
then_is() {
	local at=$ROWS/$1
	jq -ne --slurpfile s "$at.s" --slurpfile c "$at.c" --slurpfile r "$at.r" \
		'$s[0] as $s | $c[0] as $c | $r[0] as $r | '"$DEFS$2" >/dev/null && return
	echo "# case $1: not so: $2" >&2
	cat "$at.e" >&2
	diff <(jq -S '{Config, HostConfig, Image, State: .State.Status, Networks: .NetworkSettings.Networks}' "$at.s") \
		<(jq -S '{Config, HostConfig, Image, State: .State.Status, Networks: .NetworkSettings.Networks, message}' "$at.c") >&2
	return 1
}

# copied CASE [EXPRESSION]: G, a host name of its own, reported as made and ready, and what is said beyond
copied() {
	is "$(cat "$ROWS/$1.x")" 0 "case $1: $(cat "$ROWS/$1.e")"
	then_is "$1" 'G and own_name'
	reported "$1"
	then_is "$1" "${2:-true}"
}

# made CASE EXPRESSION: it is made, but not G
made() {
	is "$(cat "$ROWS/$1.x")" 0 "case $1: $(cat "$ROWS/$1.e")"
	reported "$1"
	then_is "$1" "$2"
}

reported() { then_is "$1" '[$r.steps[] | [.do, .name, .ok]] == [["create", "c'"$1"'", true], ["ready", "c'"$1"'", true]] and ($r | has("error") | not)'; }

# refused CASE CODE WORDS: as-clone says no, and nothing of a copy is left
refused() {
	is "$(cat "$ROWS/$1.x")" 1
	is "$(jq -r .error.code "$ROWS/$1.r")" "$2"
	has "$(cat "$ROWS/$1.e")" "$3"
	is "$(jq -r .message "$ROWS/$1.c")" "No such container: c$1"
}

# ---- configuration of the process ----

given 1 webapp:1
@test "1: a plain container has a copy with an address of its own" {
	copied 1 '$c.NetworkSettings.Networks.bridge.IPAddress != $s.NetworkSettings.Networks.bridge.IPAddress'
}

given 2 --hostname h1 --domainname d.x webapp:1
@test "2: a host name that was chosen is copied" {
	made 2 'G and $c.Config.Hostname == "h1" and $c.Config.Domainname == "d.x"'
}

given 3 -e A=mine -e D=4 -e 'S=a b' -e E= img:1
@test "3: variables are copied in order, the empty one too" {
	copied 3 '$c.Config.Env == $s.Config.Env and ($c.Config.Env | sort) == ["A=mine", "B=img", "D=4", "E=", "PATH=/bin", "S=a b"]'
}

given 4 -e A --entrypoint '' img:1 sleep 100
@test "4: an entry point that was taken away stays away, and so does a variable" {
	copied 4 '$c.Path == "sleep" and $c.Config.Entrypoint == null and $c.Config.Env[0] == "A"'
}

given 5 --entrypoint /bin/sh img:1 -c 'sleep 1000'
@test "5: another entry point is copied with its command" {
	copied 5 '$c.Config.Entrypoint == ["/bin/sh"] and $c.Config.Cmd == ["-c", "sleep 1000"]'
}

given 6 img:1 'exec sleep 1000'
@test "6: another command is copied" { copied 6 '$c.Config.Cmd == ["exec sleep 1000"]'; }

given 7 -u 1000:1000 -w /tmp --stop-signal SIGINT --stop-timeout 3 img:1 'sleep 1000'
@test "7: user, folder, stop signal and time are copied" {
	copied 7 '$c.Config | [.User, .WorkingDir, .StopSignal, .StopTimeout] == ["1000:1000", "/tmp", "SIGINT", 3]'
}

given 8 --label own=1 --label img.k=over img:1
@test "8: labels are copied, those of the image and those over them; a copy has three of ours" {
	copied 8 '($c | clean).Config.Labels == {"img.k": "over", own: "1", shared: "img"}'
	then_is 8 '$c.Config.Labels | [.["autoscale.copy-of"], .["autoscale.index"], .["autoscale.op"]] == [$s.Id, "1", "op-c8"]'
}

given 9 --health-cmd true --health-interval 3s --health-retries 5 webapp:1
@test "9: success is reported when the health check says healthy" {
	copied 9 '$c.State.Health.Status == "healthy" and ($c.State.Health.Log | length) > 0 and step("ready").container.health == "healthy"'
}

given 10 --no-healthcheck img:1
@test "10: a health check that was switched off stays off" {
	copied 10 '$c.Config.Healthcheck.Test == ["NONE"] and $c.State.Health == null'
}

given 11a -e Z=1 mva:1
given 11b -e Z=1 mvb:1
after 11a 'docker tag img:2 mva:1'
after 11b 'docker rmi -f mvb:1'
@test "11: a tag that moved or went away: the copy is made from the source's image, by its id" {
	for case in 11a 11b; do
		made $case 'but([["Config", "Image"]]) and $c.Image == $s.Image and $c.Config.Image == $s.Image and notes("means another image now, or none") == 1'
	done
}

given follow -e Z=1 -e A=mine --label own=1 -w /tmp -v /anon mvc:1
after follow 'docker tag img:2 mvc:1'
given follow2 --label autoscale.image=follow -e Z=1 -e A=mine --label own=1 -w /tmp -v /anon mvd:1
after follow2 'docker tag img:2 mvd:1'
given follow3 --label autoscale.image=follow mve:1 'exec sleep 1000'
after follow3 'docker tag img:2 mve:1'
given follow4 --label autoscale.image=follow --entrypoint '' img:1 httpd -f -p 80 -h /www
@test "a tag that moved is followed when the label says so: what the old image gave is the new one's now" {
	made follow '$c.Image == $s.Image'
	made follow2 '$c.Image != $s.Image and $c.Config.Image == "mvd:1" and notes("the copy follows it") == 1'
	then_is follow2 '($c | clean).Config | (.Env | sort) == ["A=mine", "C=img2", "PATH=/bin", "Z=1"]'
	then_is follow2 '($c | clean).Config | .Labels == {"autoscale.image": "follow", "img.k": "v2", own: "1", shared: "img"}'
	then_is follow2 '$c.Config | .Cmd == ["exec httpd -f -p 8080 -h /www"] and .Entrypoint == ["/bin/sh", "-c"] and .WorkingDir == "/tmp"'
	then_is follow2 '$c.Config | (.Volumes | keys) == ["/anon", "/other"] and (.ExposedPorts | keys) == ["8080/tcp"]'
	made follow3 '$c.Config.Cmd == ["exec sleep 1000"] and $c.Image != $s.Image'
	copied follow4 '$c.Config.Entrypoint == null'
}

# ---- limits and rights ----

given 12 --memory 64m --memory-swap 128m --memory-reservation 32m --memory-swappiness 10 --oom-kill-disable webapp:1
@test "12: memory limits are copied" { copied 12 '$c.HostConfig | [.Memory, .MemorySwap, .MemoryReservation] == [67108864, 134217728, 33554432]'; }

given 13 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 50 webapp:1
@test "13: limits of processors and processes are copied" {
	copied 13 '$c.HostConfig | [.NanoCpus, .CpuShares, .CpusetCpus, .PidsLimit] == [500000000, 512, "0", 50]'
}

given 14 --ulimit nofile=1024:2048 --ulimit core=0 --sysctl net.core.somaxconn=512 --shm-size 32m webapp:1
@test "14: ulimits, sysctls and shared memory are copied" {
	copied 14 '($c.HostConfig.Ulimits | length) == 2 and $c.HostConfig.Sysctls == {"net.core.somaxconn": "512"} and $c.HostConfig.ShmSize == 33554432'
}

given 15 --cap-add NET_ADMIN --cap-drop CHOWN --security-opt seccomp=unconfined --security-opt no-new-privileges webapp:1
@test "15: capabilities and security options are copied" {
	copied 15 '($c.HostConfig.CapAdd | length) == 1 and ($c.HostConfig.CapDrop | length) == 1 and ($c.HostConfig.SecurityOpt | length) == 2'
}

given 16 --security-opt systempaths=unconfined webapp:1
@test "16: unmasked system paths stay unmasked" { copied 16 '$c.HostConfig | .MaskedPaths == [] and .ReadonlyPaths == []'; }

given 17 --device /dev/null:/dev/xn:r --device-cgroup-rule 'c 1:3 r' --group-add 33 --oom-score-adj 100 webapp:1
@test "17: devices, groups and the out-of-memory score are copied" {
	copied 17 '$c.HostConfig | .Devices[0].PathInContainer == "/dev/xn" and .GroupAdd == ["33"] and .OomScoreAdj == 100'
}

given 18 --log-opt max-size=1m --log-opt tag=x --init --ipc shareable --uts host --pid container:peer webapp:1
@test "18: log options, init and namespaces are copied" {
	copied 18 ' $c.HostConfig.Init and $c.HostConfig.LogConfig.Config == {"max-size": "1m", tag: "x"}'
}

given 19a --restart on-failure:3 webapp:1
given 19b --rm webapp:1
given 19c -t -i --health-cmd true --health-interval 1s webapp:1 sh
given 19d --expose 9000 webapp:1
@test "19: restart policy, removal at the end, terminal and exposed ports are copied" {
	copied 19a '$c.HostConfig.RestartPolicy == {Name: "on-failure", MaximumRetryCount: 3}'
	copied 19b '$c.HostConfig.AutoRemove'
	copied 19c '$c.Config.Tty and $c.Config.OpenStdin'
	copied 19d '$c.Config.ExposedPorts | keys == ["80/tcp", "9000/tcp"]'
}

# ---- files ----

given 20 --read-only --tmpfs /www:size=64k --mount type=tmpfs,dst=/t,tmpfs-size=1048576,tmpfs-mode=1770 webapp:1
@test "20: a read-only root and file systems in memory are copied" {
	copied 20 '$c.HostConfig.ReadonlyRootfs and $c.HostConfig.Tmpfs == {"/www": "size=64k"} and ($c.HostConfig.Mounts | length) == 1'
}

given 21 --dns 1.1.1.1 --dns-search x.y --dns-option ndots:1 --add-host a:1.2.3.4 --add-host g:host-gateway webapp:1
@test "21: name service is copied, the host's gateway by its symbol" {
	copied 21 '$c.HostConfig.ExtraHosts == ["a:1.2.3.4", "g:host-gateway"] and $c.HostConfig.Dns == ["1.1.1.1"]'
}

given 22 -v v1:/v:ro,nocopy -v @B1:/b:ro webapp:1
@test "22: a named volume and a host path are shared" {
	copied 22 '($s | mounts) == ($c | mounts) and ($c.Mounts | map(.RW)) == [false, false] and notes("is shared") == 0'
}

given 22w -v v1:/v -v @B1:/b webapp:1
@test "what a copy and its source both write to is said in the record" {
	copied 22w 'notes("volume v1 is shared") == 1 and notes("/b1 is shared") == 1'
}

given 23 --mount type=volume,src=v1,dst=/v,volume-nocopy --mount type=bind,src=@B1,dst=/b,ro webapp:1
@test "23: so are those of --mount" { copied 23 '($s | mounts) == ($c | mounts) and $c.HostConfig.Binds == null'; }

given 24 -v /anon img:1
@test "24: each copy has anonymous volumes of its own" {
	copied 24 '($c | mounts | map(.Destination)) == ["/anon", "/data"] and ([$s, $c] | map(.Mounts[].Name) | unique | length) == 4'
}

given 25 --volumes-from peer webapp:1
@test "25: volumes of another container are shared with it" { copied 25 '$c.HostConfig.VolumesFrom == ["peer"]'; }

# ---- networks ----

given 26 --network n1 --network-alias web webapp:1
@test "26: a network is copied with its alias, and not with the source's id" {
	copied 26 'aliases("n1") == (["web", $c.Id[0:12]] | sort) and (aliases("n1") | index($s.Id[0:12])) == null'
}

given 27 --network n1 webapp:1
after 27 'docker network connect --alias m2 n2 "$S"'
@test "27: so is a second one" {
	copied 27 'networks == ["n1", "n2"] and aliases("n2") == (["m2", $c.Id[0:12]] | sort)'
}

given 28 --network @ID1 --network-alias w webapp:1
@test "28: a network that was given by its id is one, and called by its name" {
	made 28 'but([["HostConfig", "NetworkMode"]]) and networks == ["n1"] and $c.HostConfig.NetworkMode == "n1" and (aliases("n1") | index("w")) != null'
}

given 29 webapp:1
after 29 'docker network connect n1 "$S" && docker network disconnect bridge "$S"'
@test "29: a copy starts in the network that the source has now" {
	made 29 'but([["HostConfig", "NetworkMode"]]) and networks == ["n1"] and $c.HostConfig.NetworkMode == "n1"'
}

given 30 --network n1 webapp:1
after 30 'docker network disconnect n1 "$S"'
@test "30: a copy of a container in no network any more is in none" { copied 30 '$c.NetworkSettings.Networks == {}'; }

given 31 --network n1 --ip @N1.50 webapp:1
given 31k --network n1 --ip @N1.51 --label autoscale.address=keep webapp:1
@test "31: a fixed address is left out; kept, the engine refuses it and nothing is left" {
	copied 31 '$c.NetworkSettings.Networks.n1 | .IPAMConfig == null and (.IPAddress | length) > 0 and .IPAddress != $s.NetworkSettings.Networks.n1.IPAddress'
	then_is 31 'notes("fixed address") == 1'
	refused 31k remote '403 Address already in use'
}

created 32 webapp:1
after 32 'docker rm "$S"; api POST "/v1.41/containers/create?name=$S" "{\"Image\":\"webapp:1\",\"MacAddress\":\"02:42:ac:11:99:99\",\"HostConfig\":{\"NetworkMode\":\"n1\"}}"; docker start "$S"'
created 32k webapp:1
after 32k 'docker rm "$S"; api POST "/v1.41/containers/create?name=$S" "{\"Image\":\"webapp:1\",\"MacAddress\":\"02:42:ac:11:99:98\",\"Labels\":{\"autoscale.address\":\"keep\"},\"HostConfig\":{\"NetworkMode\":\"n2\"}}"'
@test "32: a MAC address that was chosen is left out, or kept when the label says so" {
	made 32 '$s.Config.MacAddress == "02:42:ac:11:99:99" and ($c.Config | has("MacAddress") | not) and $c.State.Running and $c.NetworkSettings.Networks.n1.MacAddress != "02:42:ac:11:99:99"'
	then_is 32 'notes("02:42:ac:11:99:99 is not copied") == 1'
	made 32k '$c.NetworkSettings.Networks.n2.MacAddress == "02:42:ac:11:99:98"'
}

given 33 --network container:peer webapp:1 sleep 1000
@test "33: another container's network is shared with the copy too" {
	made 33 'but([["Config", "ExposedPorts"]]) and $c.HostConfig.NetworkMode == $s.HostConfig.NetworkMode and $c.Config.Hostname == $s.Config.Hostname and $c.NetworkSettings.Networks == {}'
}

given 34 --network host webapp:1 sleep 1000
@test "34: the host's network is the copy's too" { made 34 'G and $c.Config.Hostname == $s.Config.Hostname'; }

given 35a --link lpeer:db webapp:1
given 35b --network n1 --link peer:db webapp:1
@test "35: links are copied, under the copy's name" {
	made 35a 'but([["HostConfig", "Links"]]) and $c.HostConfig.Links == ["/lpeer:/c35a/db"]'
	copied 35b '$c.NetworkSettings.Networks.n1.Links == ["peer:db"]'
}

# ---- ports ----

given 36a -p 80 webapp:1
given 36b -P webapp:1
given 36c -p 28100-28110:80 webapp:1
@test "36: a port that the engine picks is another one for the copy, in the range if there is one" {
	copied 36a '($c | port) != ($s | port) and ($c | port | tonumber) > 0'
	copied 36b '($c | port) != ($s | port) and ($c | port | tonumber) > 0'
	copied 36c '($c | port) != ($s | port) and ($c | port | tonumber) >= 28100 and ($c | port | tonumber) <= 28110'
}

given 37a -p 28080:80 webapp:1
given 37b -p 28081:80 --label autoscale.ports=auto webapp:1
given 37c -p 28082:80 --label autoscale.ports=none webapp:1
given 37d -p 28083:80 --label autoscale.ports=same webapp:1
given 37e -p 28084:80 -e AUTOSCALE_PORTS=none webapp:1
@test "37: a fixed host port is refused, or another one is taken, or none, as the label says" {
	refused 37a refused 'its host port 28080 can be had once'
	is "$(jq -c '.steps | map([.do, .ok])' "$ROWS/37a.r")" '[["create",false]]'
	made 37b 'but([["HostConfig", "PortBindings"]]) and $c.HostConfig.PortBindings["80/tcp"][0].HostPort == "" and ($c | port | tonumber) > 0 and notes("the engine picks one") == 1'
	made 37c 'but([["HostConfig", "PortBindings"]]) and $c.HostConfig.PortBindings == {} and notes("does not publish it") == 1'
	made 37e '$c.HostConfig.PortBindings == {}'
}

@test "the same port on the same host: the engine refuses it at the start, and nothing is left" {
	refused 37d remote 'port is already allocated'
}

given 38 --memory 64m webapp:1
after 38 'docker update --memory 100m --memory-swap 200m --cpus 0.7 "$S"'
@test "38: what docker update changed is copied" { copied 38 '$c.HostConfig.Memory == 104857600 and $c.HostConfig.NanoCpus == 700000000'; }

given 39a --network n1 --network-alias q webapp:1
after 39a 'docker pause "$S"'
given 39b --network n1 --network-alias q webapp:1
after 39b 'docker kill "$S"'
created 39c --network n1 --network-alias q webapp:1
@test "39: a paused, a stopped and a never started source have a copy that runs, with their alias" {
	for case in 39a 39b 39c; do copied $case 'aliases("n1") == (["q", $c.Id[0:12]] | sort)'; done
}

created 40 --gpus all -v /anon webapp:1
@test "40: without a driver for its GPUs the engine's 500 is reported, and no container is left" {
	refused 40 remote '500 could not select device driver'
	is "$(jq -r '.steps[0].ok' "$ROWS/40.r")" false
}


@test "none of those that were refused left a volume" {
	used=$(api GET '/containers/json?all=1' | jq -r '.[].Mounts[] | select(.Type == "volume").Name' | sort -u)
	is "$(api GET /volumes | jq -r '.Volumes[].Name' | sort -u)" "$used"
}

# ---- rights are asked for ----

@test "capabilities, devices and the host's network need the operator's leave, and nothing is made without" {
	fresh
	for case in 15 17 34; do
		run -1 --separate-stderr clone_of s$case tcopy
		is "$(jq -r .error.code <<<"$output")" refused
		has "$stderr" 'privileged = allow'
	done
	docker create --name t1 -v //var/run/../run/:/r webapp:1 >/dev/null
	run -1 --separate-stderr clone_of t1 tcopy
	has "$stderr" "the engine's socket (/var/run)"
	is "$(names | tr ' ' '\n' | grep '^t' | tr '\n' ' ')" 't1 '
}

# ---- what is gone ----

# remembered ARGS...: the source t1 with files in its volumes, remembered by as-inspect
remembered() {
	fresh
	docker run -d --name t1 --label autoscale.service=shop --label autoscale.ports=auto -p 28181:80 --network n1 \
		--ip "$N1.77" -v /anon -v v1:/v --mount type=volume,dst=/m "$@" img:1 >/dev/null
	docker network connect n2 t1
	for folder in anon data m; do docker exec t1 touch /$folder/kept; done
	as-inspect --remember shop >/dev/null
	api GET /containers/t1/json >"$AT/s"
}

again() { as-inspect shop | as-resolve-policy | as-decide | as-clone; }

# what a recreation must give back
identity() {
	api GET /containers/t1/json | jq -S '.Config.Labels |= del(.["autoscale.op"]) | [.Name, .Image, .Config.Env, .Config.Cmd,
		.Config.Labels, .HostConfig.PortBindings, .NetworkSettings.Ports["80/tcp"][0].HostPort,
		(.NetworkSettings.Networks | keys), .NetworkSettings.Networks.n1.IPAMConfig, .NetworkSettings.Networks.n1.IPAddress,
		(.Mounts | map(.Destination) | sort)]'
}

lost() { jq -r '.steps[] | select(.do == "create") | .notes[]? | select(startswith("data_lost: ")) | .[11:] | split(" ")[0]' <<<"$output" | sort | tr '\n' ' '; }

kept() { for folder in anon data m; do docker exec t1 ls /$folder; done | grep -c '^kept$'; }

drop_volumes() { jq -r '.Mounts[].Name | select(. != "v1")' "$AT"/[sc] | sort -u | xargs docker volume rm -f >/dev/null; }

@test "41, 43: deleted, it comes back with name, address, port, networks and files; a copy of it has volumes of its own" {
	remembered
	was=$(identity)
	docker rm -f t1 >/dev/null
	run -0 again
	is "$(jq -r .plan.op <<<"$output")" recreate
	is "$(identity)" "$was"
	is "$(kept)" 3
	is "$(lost)" ''
	is "$(api GET /containers/t1/json | jq -c '[.Mounts[].Name] | sort')" "$(jq -c '[.Mounts[].Name] | sort' "$AT/s")"
	clone_of t1 t1-1 >/dev/null
	api GET /containers/t1-1/json >"$AT/c"
	is "$(jq -sr 'map(.Mounts | map(select(.Name != "v1").Name)) | flatten | unique | length' "$AT/s" "$AT/c")" 6
	is "$(jq -c '[.Mounts[].Destination] | sort' "$AT/c")" '["/anon","/data","/m","/v"]'
	docker rm -f t1 t1-1 >/dev/null
	drop_volumes
}

@test "42: deleted with its volumes, it comes back with fresh ones, and the record lists what is lost" {
	remembered
	was=$(identity)
	docker rm -fv t1 >/dev/null
	docker volume rm "$(jq -r '.Mounts[] | select(.Destination == "/m").Name' "$AT/s")" >/dev/null 2>&1 || true
	run -0 again
	is "$(identity)" "$was"
	is "$(kept)" 0
	is "$(lost)" '/anon /data /m '
	api GET /containers/t1/json >"$AT/c"
	is "$(jq -sr 'map(.Mounts | map(select(.Name != "v1").Name)) | flatten | unique | length' "$AT/s" "$AT/c")" 6
	docker rm -fv t1 >/dev/null
	is "$(docker volume ls -q | grep -cFf <(jq -r '.Mounts[].Name | select(. != "v1")' "$AT/c"))" 0 'the fresh ones go with it'
}

@test "42: so does one that was removed at its end" {
	remembered --rm --stop-timeout 1
	was=$(identity)
	docker kill t1 >/dev/null
	gone() { ! docker inspect t1 >/dev/null 2>&1; }
	eventually 10 gone
	run -0 again
	is "$(identity)" "$was"
	is "$(lost)" '/anon /data /m '
	docker rm -fv t1 >/dev/null
}

@test "a named volume that is gone too is named as lost" {
	fresh
	docker run -d --name t1 --label autoscale.service=shop -v tv:/v webapp:1 >/dev/null
	as-inspect --remember shop >/dev/null
	docker rm -f t1 >/dev/null
	docker volume rm tv >/dev/null
	run -0 again
	is "$(lost)" '/v '
	docker rm -f t1 >/dev/null
	docker volume rm tv >/dev/null
}

@test "a container whose network another one gave is made again when that one was made again under its name" {
	fresh
	docker run -d --name tpeer --network n1 webapp:1 >/dev/null
	docker run -d --name t1 --label autoscale.service=shop --network container:tpeer webapp:1 sleep 1000 >/dev/null
	as-inspect --remember shop >/dev/null
	docker rm -f t1 tpeer >/dev/null
	run -1 --separate-stderr again
	is "$(jq -r .error.code <<<"$output")" refused
	has "$stderr" 'the container whose NetworkMode it shares, tpeer, is gone'
	docker run -d --name tpeer --network n1 webapp:1 >/dev/null
	run -0 again
	is "$(api GET /containers/t1/json | jq -r .HostConfig.NetworkMode)" "container:$(docker inspect -f '{{.Id}}' tpeer)"
}

# ---- what must not be made ----

@test "the container whose network or processes are shared does not run: refused before anything is made" {
	docker run -d --name tpeer webapp:1 >/dev/null
	docker run -d --name t1 --network container:tpeer webapp:1 sleep 1000 >/dev/null
	docker run -d --name t2 --pid container:tpeer webapp:1 sleep 1000 >/dev/null
	docker kill tpeer >/dev/null
	plan_for t1 tcopy >"$AT/plan"
	plan_for t2 tcopy >>"$AT/plan"
	run -1 --separate-stderr strace -f -e trace=sendto -s 100 -o "$AT/log" as-clone <"$AT/plan"
	is "$(jq -r .error.code <<<"$output" | sort | uniq -c | tr -s ' ')" ' 2 refused'
	has "$stderr" 'does not run: start it first'
	is "$(grep -c 'POST' "$AT/log")" 0
}

@test "a link that leads to a container that is gone is refused, as the engine would say nothing" {
	docker run -d --name tpeer --network n1 webapp:1 >/dev/null
	docker run -d --name t1 --network n1 --link tpeer:db webapp:1 >/dev/null
	docker run -d --name t2 --network n2 webapp:1 >/dev/null
	docker network connect --link tpeer:db n1 t2
	docker rm -f tpeer >/dev/null
	for source in t1 t2; do
		run -1 --separate-stderr clone_of $source tcopy
		is "$(jq -r .error.code <<<"$output")" refused
		has "$stderr" 'its link tpeer:db leads to a container that is gone'
	done
}

@test "volumes of a container that is gone: the engine's 400 is reported, and nothing is left" {
	docker run -d --name tpeer -v /anon webapp:1 >/dev/null
	docker run -d --name t1 --volumes-from tpeer webapp:1 >/dev/null
	docker rm -f tpeer >/dev/null
	run -1 --separate-stderr clone_of t1 tcopy
	has "$stderr" 'No such container: tpeer'
	is "$(names | tr ' ' '\n' | grep '^t' | tr '\n' ' ')" 't1 '
}

@test "a setting that the engine's API does not know is refused by its name, and nothing is left" {
	docker create --name t1 --label autoscale.service=shop -v /anon webapp:1 >/dev/null
	fresh
	as-inspect --remember shop >/dev/null
	docker rm -fv t1 >/dev/null
	as-inspect shop | as-resolve-policy | as-decide >"$AT/plan"
	for change in '.HostConfig.Annotations = {"a.b": "c"}' '.HostConfig.Mounts = [{Type: "bind", Source: "/tmp", Target: "/t", BindOptions: {Propagation: "rslave", ReadOnlyForceRecursive: true}}]' '.Newer = 7'; do
		jq -c ".observed.remembered[0].template.create |= ($change)" "$AT/plan" >"$AT/changed"
		run -1 --separate-stderr as-clone <"$AT/changed"
		is "$(jq -r .error.code <<<"$output")" refused
		has "$stderr" 'it cannot be made faithfully: the engine there does not know or does not do '
		is "$(docker ps -aq --filter name=t1 | wc -l)" 0
	done
	has "$stderr" 'does not do Newer'
	run -0 as-clone <"$AT/plan"
}

# ---- crashes, strangers, removal ----

# calls WHICH: of each POST of the traced run, the number of the WHICH ("recvfrom": its reply; "sendto": the next request)
calls() {
	awk -v which="$1" '/sendto\(/ { sent++; if (posted && which == "sendto") print sent; posted = /"POST / }
		/recvfrom\(/ { got++; if (posted && which == "recvfrom") print got }' "$AT/log"
}

@test "44: kill -9 of as-clone before or after each reply, then one more run: one copy, running, in all its networks" {
	local call n runs=0
	docker network create --subnet "${N1%.*}.203.0/24" n3 >/dev/null
	docker run -d --name t1 --network n1 webapp:1 >/dev/null
	docker network connect n2 t1
	docker network connect n3 t1
	plan_for t1 tcopy op-44 >"$AT/plan"
	ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=sendto,recvfrom -s 40 -o "$AT/log" as-clone <"$AT/plan" >/dev/null
	is "$(grep -c '"POST ' "$AT/log")" 4 'create, two networks, start'
	for call in recvfrom sendto; do
		for n in $(calls $call); do
			docker rm -f tcopy >/dev/null
			ASAN_OPTIONS=detect_leaks=0 run strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when="$n" as-clone <"$AT/plan"
			is "$status" 137 "$call $n"
			run -0 as-clone <"$AT/plan"
			is "$(api GET '/containers/json?filters=%7B%22label%22%3A%5B%22autoscale.op%3Dop-44%22%5D%7D' | jq -r '.[].Names[]')" /tcopy "$call $n"
			is "$(api GET /containers/tcopy/json | jq -c '[.State.Running, (.NetworkSettings.Networks | keys)]')" '[true,["n1","n2","n3"]]' "$call $n"
			runs=$((runs + 1))
		done
	done
	is "$runs" 8
	run -0 as-clone <"$AT/plan"
	is "$(jq -c '[.steps[] | [.do, .ok, .message]]' <<<"$output")" '[["create",true,"already"],["ready",true,""]]'
	docker rm -f t1 tcopy >/dev/null
	docker network rm n3 >/dev/null
}

@test "45: the copy's name belongs to a stranger: conflict, and the stranger is untouched" {
	docker run -d --name t1 --label mine=1 webapp:1 >/dev/null
	was=$(api GET /containers/t1/json)
	run -1 --separate-stderr clone_of s1 t1
	is "$(jq -r .error.code <<<"$output")" conflict
	has "$stderr" '409 name "t1" is in use'
	is "$(api GET /containers/t1/json)" "$was"
}

# taken NAME ID: as-remove with a plan to remove that one
taken() {
	jq -nc --arg name "$1" --arg id "$2" '{v: 1, id: "r", now: "2026-11-24T12:00:00.000Z", service: "shop", policy: {grace: 1},
		plan: {op: "scale-down", remove: [{id: $id, name: $name, host: "local"}]}}' | as-remove
}

@test "46: removing is done once: again, stopped before or gone by itself are no errors; the source is refused" {
	docker run -d --name t1 -v /anon -v v1:/v webapp:1 >/dev/null
	docker run -d --name t2 --rm webapp:1 >/dev/null
	for n in 1 2 3; do clone_of t1 tcopy$n >/dev/null; done
	clone_of t2 tcopy4 >/dev/null
	one=$(docker inspect -f '{{.Id}}' tcopy1) two=$(docker inspect -f '{{.Id}}' tcopy2) rm=$(docker inspect -f '{{.Id}}' tcopy4)
	volume=$(api GET "/containers/$one/json" | jq -r '.Mounts[] | select(.Destination == "/anon").Name')
	run -0 taken tcopy1 "$one"
	is "$(jq -c '.steps | map([.do, .ok, .message])' <<<"$output")" '[["remove",true,""]]'
	is "$(api GET "/volumes/$volume" | jq -r .message)" "get $volume: no such volume"
	is "$(api GET /volumes/v1 | jq -r .Name)" v1
	run -0 taken tcopy1 "$one"
	is "$(jq -c '.steps | map([.do, .ok, .message])' <<<"$output")" '[["remove",true,"already"]]'
	docker kill tcopy2 >/dev/null
	run -0 taken tcopy2 "$two"
	run -0 taken tcopy4 "$rm"
	run -1 --separate-stderr taken t1 "$(docker inspect -f '{{.Id}}' t1)"
	is "$(jq -r .error.code <<<"$output")" refused
	is "$(names | tr ' ' '\n' | grep '^t' | tr '\n' ' ')" 't1 t2 tcopy3 '
}

@test "as-clone(1) names every field of the copy rule, and every label that chooses" {
	rules=$(sed -n '/^} rules\[\] = {/,/^};/p' "$TOP/common/engine/copy.c" | sed -n 's/^\t{"[A-Za-z]*", "\([A-Za-z]*\)", rule_.*/\1/p')
	is "$(wc -l <<<"$rules")" "$(sed -n '/^} rules\[\] = {/,/^};/p' "$TOP/common/engine/copy.c" | grep -c '^	{')" 'each row is understood'
	for word in $rules $(cat "$TOP"/common/engine/copy*.c | grep -o '"autoscale\.\(ports\|image\|compose\|address\|portable\)"' | tr -d '"' | sort -u); do
		grep -q "^\.\(It \)\?Va .*\b$word\b" "$TOP/man/as-clone.1" || { echo "not in as-clone(1): $word"; return 1; }
	done
}

# ---- compose ----

# compose LABELS-JSON COMMAND...: docker-compose with one service "shop"
compose() {
	jq -n --argjson labels "$1" '{version: "3", services: {shop: {image: "webapp:1", labels: $labels, stop_grace_period: "1s"}}}' >"$AT/compose.json"
	docker-compose --no-ansi -p tc -f "$AT/compose.json" "${@:2}" 3>&-
}

@test "47: copies of a compose service are not compose's: up lets them be, down leaves them and their network" {
	compose '{}' up -d
	clone_of tc_shop_1 tcopy >"$AT/r"
	is "$(jq -c '[.steps[0].notes[] | select(contains("com.docker.compose"))] | length' "$AT/r")" 1
	is "$(api GET /containers/tcopy/json | jq -c '.Config.Labels | with_entries(select(.key | startswith("com.docker."))), .["autoscale.service"]' | tr '\n' ' ')" '{} "shop" '
	compose '{}' up -d
	compose '{"changed":"1"}' up -d --remove-orphans
	is "$(names | tr ' ' '\n' | grep '^t' | tr '\n' ' ')" 'tc_shop_1 tcopy '
	is "$(docker inspect -f '{{.State.Running}}' tcopy)" true
	run compose '{}' down
	has "$output" 'has active endpoints'
	is "$(names | tr ' ' '\n' | grep '^t' | tr '\n' ' ')" 'tcopy '
	docker rm -f tcopy >/dev/null
	run -0 compose '{}' down
	is "$(docker network ls -q --filter name=tc_default | wc -l)" 0
}

@test "kept, compose's labels make the copy compose's own: the next up removes it" {
	compose '{"autoscale.compose":"keep"}' up -d
	clone_of tc_shop_1 tcopy >"$AT/r"
	has "$(jq -r '.steps[0].notes[]' "$AT/r")" 'the next docker compose up removes the copy'
	is "$(api GET /containers/tcopy/json | jq -r '.Config.Labels["com.docker.compose.project"]')" tc
	compose '{"autoscale.compose":"keep"}' up -d
	is "$(names | tr ' ' '\n' | grep '^t' | tr '\n' ' ')" 'tc_shop_1 '
	compose '{}' down
}

# ---- Podman ----

# Its answers to the same API; health checks need systemd there, so no source here has one.
podman() { DOCKER_HOST=$AS_RIG_PODMAN_HOST API_SOCKET=${AS_RIG_PODMAN_HOST#unix://} AS_RIG_NETNS=$AS_RIG_PODMAN_NETNS "$@"; }

@test "Podman: a copy is what the source is; what it says otherwise than it is told is mended" {
	podman docker network create p1 >/dev/null
	podman docker run -d --name t1 --network p1 --network-alias web --cpus 0.5 --memory 64m --memory-swap 128m -e A=1 \
		--cap-drop CHOWN --read-only --tmpfs /t:size=64k --restart on-failure:3 webapp:1 >/dev/null
	podman api GET /containers/t1/json >"$AT/s"
	is "$(jq -c '[.HostConfig.CpuQuota, .HostConfig.NetworkMode, .HostConfig.Runtime, (.Config.Env | index("container=podman") != null)]' "$AT/s")" '[50000,"bridge","oci",true]' 'what is mended is there'
	run -0 podman clone_of t1 tcopy
	podman api GET /containers/tcopy/json >"$AT/c"
	f='.Config.Hostname = null | .Config.Env |= (map(select(startswith("HOSTNAME=") | not)) | sort) | .Config.Labels |= with_entries(select(.key | startswith("autoscale.") | not))
		| [.Config, .HostConfig, .Image, .State.Running, (.NetworkSettings.Networks | map_values(.Aliases - [$own]))]'
	is "$(jq -S --arg own "$(jq -r '.Id[0:12]' "$AT/c")" "$f" "$AT/c")" "$(jq -S --arg own "$(jq -r '.Id[0:12]' "$AT/s")" "$f" "$AT/s")"
	is "$(jq -c '.NetworkSettings.Networks.p1.Aliases - [.Id[0:12]]' "$AT/c")" '["web"]'
}

@test "Podman: volumes are fresh in a copy, come back with what was deleted, and are named when they are lost" {
	fresh
	podman docker run -d --name t1 --no-healthcheck --label autoscale.service=shop -v /anon -v tv:/v img:1 >/dev/null
	podman clone_of t1 tcopy >/dev/null
	is "$({ podman api GET /containers/t1/json; podman api GET /containers/tcopy/json; } | jq -r '.Mounts[].Name' | sort | uniq -c | awk '{ print $1 }' | sort | tr '\n' ' ')" '1 1 1 1 2 '
	podman docker exec t1 touch /anon/kept
	podman as-inspect --remember shop >/dev/null
	podman docker rm -f t1 tcopy >/dev/null
	run -0 podman again
	is "$(lost)" ''
	is "$(podman docker exec t1 ls /anon)" kept
	podman docker rm -fv t1 >/dev/null
	run -0 podman again
	is "$(lost)" '/anon /data '
	is "$(podman docker exec t1 ls /anon)" ''
}

@test "Podman: a port that it picked reads as a fixed one, so the label must say what copies get" {
	podman docker run -d --name t1 -p 80 webapp:1 >/dev/null
	podman docker run -d --name t2 -p 80 --label autoscale.ports=auto webapp:1 >/dev/null
	run -1 --separate-stderr podman clone_of t1 tcopy
	has "$stderr" 'can be had once'
	run -0 podman clone_of t2 tcopy
	is "$({ podman api GET /containers/t2/json; podman api GET /containers/tcopy/json; } | jq -r '.NetworkSettings.Ports["80/tcp"][0].HostPort' | sort -u | grep -c '^[0-9]')" 2
}

@test "Podman: docker.cpu and docker.memory are measured, and not of what has stopped" {
	fresh
	podman docker run -d --name t1 --network none --label autoscale.service=shop webapp:1 >/dev/null
	podman docker run -d --name t2 --network none --label autoscale.service=shop webapp:1 >/dev/null
	podman as-inspect shop | jq -c '.policy = {target: {"docker.cpu": 50, "docker.memory": 1}}' >"$AT/seen"
	podman docker stop -t 0 t2 >/dev/null
	podman as-sample --over 100ms <"$AT/seen" >"$AT/out"
	gone=$(podman api GET /containers/t2/json | jq -r .Id)
	is "$(jq -c '.metrics | map([.name, .ok, .value > 1000]) | sort' "$AT/out")" '[["docker.cpu",false,false],["docker.cpu",true,false],["docker.memory",false,false],["docker.memory",true,true]]'
	is "$(jq -r '.metrics | map(select(.ok == false).message) | unique[]' "$AT/out")" "host local: container ${gone::12} does not run"
}
