# The image of a copy on another host: there already, pulled, or copied from the source's host.

load lib

# Two services run on host a: `web` of an image that only its host has, `reg` of one that the registry has too.
setup_file() {
	rig_up docker docker2 registry || return
	export SECOND=${AS_RIG_DOCKER2_HOST#unix://} APP REG REG_NAME=$AS_RIG_REGISTRY/as/reg:1
	APP=$(image_of_its_own app:1) || return
	REG=$(image_of_its_own "$REG_NAME") || return
	push "$REG_NAME"
	IMAGE=app:1 container web '{"autoscale.service":"web","autoscale.max":"9"}' >/dev/null
	IMAGE=$REG_NAME container reg '{"autoscale.service":"reg","autoscale.max":"9"}' >/dev/null
	export AUTOSCALE_CONF=$BATS_FILE_TMPDIR/as.conf AUTOSCALE_STORE=sqlite:$BATS_FILE_TMPDIR/store.db
	hosts
	as-inspect web reg | jq -c '.alert = {action: "scale-up"}' | as-resolve-policy | as-decide >"$BATS_FILE_TMPDIR/plans"
}

teardown_file() { rig_down; }

setup() {
	fresh
	hosts
	export DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
	CANARY=canary-7d1f
	mkdir "$DOCKER_CONFIG"
}

teardown() {
	API_SOCKET=$SECOND wipe
	b DELETE "/images/$APP?force=1" >/dev/null
	b DELETE "/images/$REG?force=1" >/dev/null
}

# b METHOD PATH [JSON]: the second engine.
b() { API_SOCKET=$SECOND api "$@"; }

# hosts [LIMIT] [KEY-OF-B]: the configuration, two hosts.
hosts() {
	printf '[limits]\n%s\n[host "a"]\nurl = %s\n[host "b"]\nurl = %s\n%s\n' "${1-}" "$DOCKER_HOST" "$AS_RIG_DOCKER2_HOST" "${2-}" >"$AUTOSCALE_CONF"
}

# image_of_its_own NAME:TAG: made on the first host, with a layer that no other image has; prints its id.
image_of_its_own() {
	local id
	id=$(api POST /containers/create '{"Image":"webapp:1"}' | jq -er .Id) || return
	head -c 3000000 /dev/urandom >"$BATS_FILE_TMPDIR/own"
	tar -C "$BATS_FILE_TMPDIR" -cf - own |
		curl -sS --unix-socket "$API_SOCKET" -T - "http://localhost/containers/$id/archive?path=/" || return
	api POST "/commit?container=$id&repo=${1%:*}&tag=${1##*:}" | jq -er .Id
	api DELETE "/containers/$id?force=1"
}

push() {
	local auth
	auth=$(jq -nc '{username: env.AS_RIG_REGISTRY_USER, password: env.AS_RIG_REGISTRY_PASSWORD}' | base64 -w 0 | tr +/ -_)
	curl -sS --unix-socket "$API_SOCKET" -X POST -H "X-Registry-Auth: $auth" "http://localhost/images/${1%:*}/push?tag=${1##*:}" |
		jq -se 'map(has("error")) | any | not' >/dev/null
}

# login [PASSWORD]: what `docker login` leaves behind.
login() {
	jq -n --arg auth "$(printf %s "$AS_RIG_REGISTRY_USER:${1-$AS_RIG_REGISTRY_PASSWORD}" | base64 -w 0)" \
		'{auths: {(env.AS_RIG_REGISTRY): {auth: $auth}}}' >"$DOCKER_CONFIG/config.json"
}

# helper NAME LINE...: a credential helper of that name, in PATH; a shell script of these lines.
helper() {
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '%s\n' '#!/bin/sh' "${@:2}" >"$BATS_TEST_TMPDIR/bin/docker-credential-$1"
	chmod +x "$BATS_TEST_TMPDIR/bin/docker-credential-$1"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

# plan SERVICE [N]: a record that wants N copies of it on host b.
plan() {
	jq -c --arg s "$1" --argjson n "${2:-1}" 'select(.service == $s) |
		.plan.create = [range(1; $n + 1) as $i | .plan.create[0] + {name: "\($s)-\($i)", host: "b", index: $i}]' "$BATS_FILE_TMPDIR/plans"
}

names_b() { API_SOCKET=$SECOND names; }

# steps: of the record on standard input.
steps() { jq -c '[.steps[] | [.do, .name, .host, .ok, .message]]'; }

absent() { is "$(b GET "/images/$1/json" | jq -r .Id)" null; }

# elsewhere SERVICE LABELS EXTRA: runs it on the first host, and writes the plan of a copy on the second.
elsewhere() {
	IMAGE=${IMAGE:-webapp:1} container "$1" "{\"autoscale.service\":\"$1\",\"autoscale.max\":\"9\",$2}" "$3" >/dev/null
	as-inspect "$1" | jq -c '.alert = {action: "scale-up"}' | as-resolve-policy | as-decide |
		jq -c '.plan.create[0] += {host: "b"}' >"$BATS_TEST_TMPDIR/plan"
}

# on_b COMMAND...: with the files that the second host sees.
on_b() { nsenter -t "$AS_RIG_DOCKER2_PID" -m "$@"; }

# ---- from host to host ----

@test "the host lacks the image: the error says what to do, and nothing is made" {
	run -1 --separate-stderr as-clone < <(plan web 2)
	has "$stderr" 'host b: image app:1 is not there: docker pull or load it there, or image_transfer = yes'
	is "$(jq -c '[.error.code, (.steps | map([.do, .ok]))]' <<<"$output")" '["not-found",[["image",false],["create",false],["create",false]]]'
	is "$(names_b)" ''
	absent app:1
}

@test "image_transfer = yes: the copy runs from the same layers, and the image has its name there" {
	hosts 'image_transfer = yes'
	run -0 as-clone < <(plan web)
	is "$(steps <<<"$output")" '[["image","app:1","b",true,"transferred"],["create","web-1","b",true,""],["ready","web-1","b",true,""]]'
	is "$(b GET /containers/web-1/json | jq -c '[.State.Running, .Config.Image, .Image]')" "[true,\"app:1\",\"$APP\"]"
	is "$(b GET /images/app:1/json | jq -c .RootFS.Layers)" "$(api GET /images/app:1/json | jq -c .RootFS.Layers)"
}

@test "four copies at once bring the image once, and the next run finds it there" {
	local since
	hosts 'image_transfer = yes'
	since=$(date +%s.%N)
	run -0 as-clone < <(plan web 4)
	is "$(jq '[.steps[] | select(.do == "image")] | length' <<<"$output")" 1
	is "$(names_b)" 'web-1 web-2 web-3 web-4'
	is "$(b GET "/events?since=$since&until=$(date +%s.%N)&filters=%7B%22type%22%3A%5B%22image%22%5D%7D" | jq -r .Action | sort | tr '\n' ' ')" 'load tag '
	run -0 as-clone < <(plan web 4)
	is "$(jq '[.steps[] | select(.do == "image")] | length' <<<"$output")" 0
}

@test "two services at once that need the same image bring it once" {
	hosts 'image_transfer = yes'
	plan web >"$BATS_TEST_TMPDIR/plan"
	jq -c '.id = "other@1" | .service = "other" | .plan.create[0].name = "other-1"' "$BATS_TEST_TMPDIR/plan" >>"$BATS_TEST_TMPDIR/plan"
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r '.steps[] | select(.do == "image") | .message' <<<"$output")" transferred
	is "$(names_b)" 'other-1 web-1'
}

@test "image_transfer of a host goes before that of [limits]" {
	hosts 'image_transfer = yes' 'image_transfer = no'
	run -1 as-clone < <(plan web)
	absent app:1
	hosts 'image_transfer = no' 'image_transfer = yes'
	run -0 as-clone < <(plan web)
	is "$(names_b)" web-1
}

@test "an image whose name means another one by now is copied without the name" {
	hosts 'image_transfer = yes'
	api POST '/images/webapp:1/tag?repo=app&tag=1' >/dev/null
	run as-clone < <(plan web)
	api POST "/images/$APP/tag?repo=app&tag=1" >/dev/null
	is "$status" 0
	is "$(b GET /containers/web-1/json | jq -c '[.Config.Image, .Image] | unique')" "[\"$APP\"]"
	absent app:1
}

@test "a name that another image has on the host stays with that" {
	local was
	hosts 'image_transfer = yes'
	b POST '/images/webapp:1/tag?repo=app&tag=1' >/dev/null
	was=$(b GET /images/app:1/json | jq -r .Id)
	run -0 as-clone < <(plan web)
	is "$(b GET /containers/web-1/json | jq -r .Config.Image)" "$APP"
	is "$(b GET /images/app:1/json | jq -r .Id)" "$was"
	b DELETE /images/app:1 >/dev/null
}

@test "the source's host is down: an error, and nothing is made" {
	hosts 'image_transfer = yes'
	sed -i "s,^url = $DOCKER_HOST,url = unix:///nonexistent.sock," "$AUTOSCALE_CONF"
	run -1 --separate-stderr as-clone < <(plan web)
	is "$(jq -r .error.code <<<"$output")" unavailable
	has "$stderr" /nonexistent.sock
	is "$(names_b)" ''
}

@test "no room on the host: the error says so, and nothing is made" {
	hosts 'image_transfer = yes'
	nsenter -t "$AS_RIG_DOCKER2_PID" -m mount -t tmpfs -o size=1m tmpfs "$AS_RIG/docker2/tmp"
	run --separate-stderr as-clone < <(plan web)
	nsenter -t "$AS_RIG_DOCKER2_PID" -m umount "$AS_RIG/docker2/tmp"
	is "$status" 1
	has "$stderr" 'image app:1 cannot be copied from host a: host b: no room on its disk: make some (docker system prune)'
	is "$(names_b)" ''
	absent app:1
}

@test "no room for the image on its way: the error names TMPDIR, and nothing is made" {
	hosts 'image_transfer = yes'
	mkdir "$BATS_TEST_TMPDIR/small"
	run -1 --separate-stderr unshare -m sh -c 'mount -t tmpfs -o size=1m tmpfs "$0" && TMPDIR=$0 exec as-clone' "$BATS_TEST_TMPDIR/small" < <(plan web)
	has "$stderr" 'No space left on device (TMPDIR names the folder)'
	is "$(names_b)" ''
}

@test "kill -9 while the image is read, kill -9 while it is loaded, then again: the copy runs, and no file is left" {
	local at
	hosts 'image_transfer = yes'
	plan web >"$BATS_TEST_TMPDIR/plan"
	mkdir "$BATS_TEST_TMPDIR/tmp"
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	for at in write:signal=KILL:when=100 read:signal=KILL:when=80; do # in the midst of some 300 and 60 for its file
		run -137 strace -f -qq -o /dev/null -e trace="${at%%:*}" -e inject="$at" as-clone <"$BATS_TEST_TMPDIR/plan"
		is "$(ls -A "$TMPDIR")" ''
		is "$(names_b)" ''
	done
	absent app:1
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(names_b)" web-1
	is "$(ls -A "$TMPDIR")" ''
}

# ---- from a registry ----

@test "an image with a digest is pulled with the login of config.json, and gets its name" {
	login
	run -0 as-clone < <(plan reg 2)
	is "$(steps <<<"$output" | jq -c '.[0]')" "[\"image\",\"$REG_NAME\",\"b\",true,\"pulled\"]"
	is "$(names_b)" 'reg-1 reg-2'
	is "$(b GET /containers/reg-1/json | jq -c '[.Config.Image, .Image]')" "[\"$REG_NAME\",\"$REG\"]"
}

@test "a wrong password: the error says to log in, and holds no password" {
	login "$CANARY"
	run -1 --separate-stderr as-clone -v < <(plan reg)
	is "$(jq -r .error.code <<<"$output")" denied
	has "$stderr" "registry $AS_RIG_REGISTRY refuses: docker login $AS_RIG_REGISTRY as the user who runs this"
	is "$(grep -c -e "$CANARY" -e "$(printf %s "as:$CANARY" | base64)" <<<"$output$stderr")" 0
	is "$(names_b)" ''
}

@test "a pull that fails is made up for by image_transfer = yes" {
	login wrong
	hosts 'image_transfer = yes'
	run -0 as-clone < <(plan reg)
	is "$(steps <<<"$output" | jq -c '.[0]')" "[\"image\",\"$REG_NAME\",\"b\",true,\"transferred\"]"
}

@test "a credential helper is asked, once, for the registry that it is named for" {
	helper rig "read -r at; echo \"\$1 \$at\" >>'$BATS_TEST_TMPDIR/asked'" "cat '$BATS_TEST_TMPDIR/answer'"
	jq -n '{Username: env.AS_RIG_REGISTRY_USER, Secret: env.AS_RIG_REGISTRY_PASSWORD}' >"$BATS_TEST_TMPDIR/answer"
	jq -n '{credHelpers: {(env.AS_RIG_REGISTRY): "rig"}, credsStore: "none"}' >"$DOCKER_CONFIG/config.json"
	run -0 as-clone < <(plan reg 2)
	is "$(cat "$BATS_TEST_TMPDIR/asked")" "get $AS_RIG_REGISTRY"
	is "$(steps <<<"$output" | jq -r '.[0][4]')" pulled
}

@test "a credential helper that fails is told by name, without its words" {
	helper broken "echo $CANARY" 'exit 1'
	echo '{"credsStore": "broken"}' >"$DOCKER_CONFIG/config.json"
	run -1 --separate-stderr as-clone -v < <(plan reg)
	has "$stderr" 'the credential helper docker-credential-broken failed'
	is "$(grep -c "$CANARY" <<<"$output$stderr")" 0
	echo '{"credsStore": "nowhere"}' >"$DOCKER_CONFIG/config.json"
	run -1 --separate-stderr as-clone < <(plan reg)
	has "$stderr" 'docker-credential-nowhere is not found in PATH'
}

@test "while an image is pulled the password is in no command line, no environment, no output, no record" {
	local pid registry
	registry=$(awk '$4 == "registry" { print $1 }' "$AS_RIG/pids")
	login "$CANARY"
	plan reg >"$BATS_TEST_TMPDIR/plan"
	{ echo "$CANARY"; printf %s "as:$CANARY" | base64; } >"$BATS_TEST_TMPDIR/secrets"
	kill -STOP "$registry"
	as-clone -v <"$BATS_TEST_TMPDIR/plan" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/said" &
	pid=$!
	eventually 5 grep -q 'with its login' "$BATS_TEST_TMPDIR/said" || true
	run cat /proc/[0-9]*/cmdline /proc/$pid/environ
	kill -CONT "$registry"
	is "$(tr '\0' '\n' <<<"$output" | grep -cFf "$BATS_TEST_TMPDIR/secrets")" 0
	! wait $pid
	is "$(cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/said" | grep -cFf "$BATS_TEST_TMPDIR/secrets")" 0
	is "$(jq -r .error.code "$BATS_TEST_TMPDIR/out")" denied
}

@test "a registry that is silent: --timeout ends the run, and nothing is made" {
	local registry
	registry=$(awk '$4 == "registry" { print $1 }' "$AS_RIG/pids")
	login
	kill -STOP "$registry"
	run as-clone --timeout 1s < <(plan reg)
	kill -CONT "$registry"
	is "$status" 75
	is "$(names_b)" ''
}

@test "the registry cannot be reached: the error names it, and nothing is made" {
	login
	ip netns exec "$AS_RIG_DOCKER2_NETNS" ip route add unreachable "${AS_RIG_REGISTRY%:*}"
	run --separate-stderr as-clone < <(plan reg)
	ip netns exec "$AS_RIG_DOCKER2_NETNS" ip route del unreachable "${AS_RIG_REGISTRY%:*}"
	is "$status" 1
	has "$stderr" "host b cannot reach registry $AS_RIG_REGISTRY: is it up?"
	is "$(jq -c '[.error.code, .error.retry]' <<<"$output")" '["unavailable",true]'
	is "$(names_b)" ''
}

@test "what the registry gives was damaged: a failure although the engine answers 200, and nothing is made" {
	local layer blob
	login
	layer=$(find "$AS_RIG/registry/data" -path '*/as/reg/_layers/*' -name link -printf '%T@ %p\n' | sort -n | cut -d ' ' -f 2 | xargs cat | sed 's/sha256:/\n/g' | grep . | while read -r d; do
		[ "$(stat -c %s "$AS_RIG/registry/data/docker/registry/v2/blobs/sha256/${d:0:2}/$d/data")" -lt 2900000 ] || echo "$d"
	done)
	blob=$AS_RIG/registry/data/docker/registry/v2/blobs/sha256/${layer:0:2}/$layer/data
	cp "$blob" "$BATS_TEST_TMPDIR/blob"
	printf damaged | dd of="$blob" bs=1 seek=2000000 conv=notrunc status=none
	run --separate-stderr as-clone < <(plan reg)
	cp "$BATS_TEST_TMPDIR/blob" "$blob"
	is "$status" 1
	has "$stderr" "registry $AS_RIG_REGISTRY gives something else: push the image again"
	is "$(names_b)" ''
	absent "$REG"
}

@test "the registry does not have it any more: the error says to push it, and nothing is made" {
	local digest
	login
	digest=$(api GET "/images/$REG/json" | jq -r '.RepoDigests[0] | split("@")[1]')
	curl -sf -u "$AS_RIG_REGISTRY_USER:$AS_RIG_REGISTRY_PASSWORD" -X DELETE "http://$AS_RIG_REGISTRY/v2/as/reg/manifests/$digest"
	run -1 --separate-stderr as-clone < <(plan reg)
	has "$stderr" "registry $AS_RIG_REGISTRY does not have it: push it there"
	is "$(jq -r .error.code <<<"$output")" not-found
	is "$(names_b)" ''
	push "$REG_NAME"
}

@test "container and image are gone: the image is pulled by its name, and the container comes back" {
	local name=$AS_RIG_REGISTRY/as/gone:1 id
	login
	id=$(image_of_its_own "$name")
	push "$name"
	IMAGE=$name container gone '{"autoscale.service":"gone"}' >/dev/null
	as-inspect --remember gone >/dev/null
	api DELETE '/containers/gone?force=1'
	api DELETE "/images/$id?force=1" >/dev/null
	run -0 bash -o pipefail -c 'as-inspect gone | as-resolve-policy | as-decide | as-clone'
	is "$(steps <<<"$output")" "[[\"image\",\"$name\",\"a\",true,\"pulled\"],[\"create\",\"gone\",\"a\",true,\"\"],[\"ready\",\"gone\",\"a\",true,\"\"]]"
	is "$(api GET /containers/gone/json | jq -r .Image)" "$id"
	api DELETE '/containers/gone?force=1'
	api DELETE "/images/$id?force=1" >/dev/null
}

@test "container and image are gone, and the name means another image now: refused, and nothing is made" {
	local name=$AS_RIG_REGISTRY/as/moved:1 id
	login
	id=$(image_of_its_own "$name")
	IMAGE=$name container moved '{"autoscale.service":"moved"}' >/dev/null
	as-inspect --remember moved >/dev/null
	api DELETE '/containers/moved?force=1'
	api DELETE "/images/$id?force=1" >/dev/null
	id=$(image_of_its_own "$name")
	push "$name"
	api DELETE "/images/$id?force=1" >/dev/null
	run -1 --separate-stderr bash -c 'as-inspect moved | as-resolve-policy | as-decide | as-clone'
	has "$stderr" "host a: what came as image $name is not the image sha256:"
	is "$(names)" 'reg web'
	api DELETE "/images/$id?force=1" >/dev/null
}

# ---- what else another host may lack ----

@test "a network that the host does not have by that name: refused before anything is made" {
	api POST /networks/create '{"Name":"n1"}' >/dev/null
	api POST /networks/create '{"Name":"n2"}' >/dev/null
	elsewhere net '"own":"1"' '{"HostConfig":{"NetworkMode":"n1"}}'
	api POST /networks/n2/connect '{"Container":"net"}'
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" refused
	has "$stderr" 'host b: network n1 is not there: docker network create it there'
	b POST /networks/create '{"Name":"n1"}' >/dev/null
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	has "$stderr" 'host b: network n2 is not there'
	is "$(names_b)" ''
	b POST /networks/create '{"Name":"n2"}' >/dev/null
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(b GET /containers/net-1/json | jq -c '.NetworkSettings.Networks | keys')" '["n1","n2"]'
	API_SOCKET=$SECOND wipe
	api DELETE '/containers/net?force=1'
	for n in n1 n2; do
		api DELETE /networks/$n
		b DELETE /networks/$n
	done
}

@test "a copy that the host cannot have is refused before its image is brought" {
	hosts 'image_transfer = yes'
	IMAGE=app:1 elsewhere vol '"own":"1"' '{"HostConfig":{"Binds":["v1:/v"]}}'
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	has "$stderr" 'v1 is on its host only'
	is "$(jq -c '[.steps[].do]' <<<"$output")" '["create"]'
	absent app:1
	api DELETE '/containers/vol?force=1'
	api DELETE /volumes/v1
}

@test "a path that is said to be on every host and is not there: refused, and no directory is made" {
	local place=$BATS_TEST_TMPDIR/place
	mkdir -p "$place/b1"
	on_b mount -t tmpfs tmpfs "$place"
	elsewhere bind '"autoscale.portable":"path"' "{\"HostConfig\":{\"Binds\":[\"$place/b1:/b:ro\"]}}"
	run --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(names_b) $(on_b ls "$place")" ' '
	on_b mkdir "$place/b1"
	is "$status $(jq -r .error.code <<<"$output")" '1 refused'
	has "$stderr" "host b: 400"
	has "$stderr" "bind source path does not exist: $place/b1"
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(names_b)" bind-1
	is "$(b GET /containers/bind-1/json | jq -c '[.Mounts[0].Source, .Mounts[0].RW]')" "[\"$place/b1\",false]"
	API_SOCKET=$SECOND wipe
	api DELETE '/containers/bind?force=1'
	on_b umount "$place"
}

@test "a probe of a path that a killed run left goes, and the copy runs" {
	elsewhere bind '"autoscale.portable":"path"' "{\"HostConfig\":{\"Binds\":[\"$BATS_TEST_TMPDIR:/b:ro\"]}}"
	b POST '/containers/create?name=bind-1.probe' '{"Image":"webapp:1","Labels":{"autoscale.probe":""}}' >/dev/null
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(names_b)" bind-1
	API_SOCKET=$SECOND wipe
	api DELETE '/containers/bind?force=1'
}

@test "a volume that is said to be on every host and is not there: refused, and no empty one is made" {
	elsewhere vol '"autoscale.portable":"volume"' '{"HostConfig":{"Binds":["v1:/v"]}}'
	run -1 --separate-stderr as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(jq -r .error.code <<<"$output")" refused
	has "$stderr" 'host b: volume v1 is not there: docker volume create it there'
	is "$(b GET /volumes/v1 | jq -r '.Name')" null
	b POST /volumes/create '{"Name":"v1"}' >/dev/null
	run -0 as-clone <"$BATS_TEST_TMPDIR/plan"
	is "$(names_b)" vol-1
	API_SOCKET=$SECOND wipe
	api DELETE '/containers/vol?force=1'
	api DELETE /volumes/v1
	b DELETE /volumes/v1
}
