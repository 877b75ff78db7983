# shellcheck shell=bash
# A Docker registry with one user, for the engines that were started before it. Exports AS_RIG_REGISTRY (HOST:PORT,
# as in an image's name; the engines take it for an insecure one), AS_RIG_REGISTRY_USER, AS_RIG_REGISTRY_PASSWORD.
# It holds webapp:1 as as/webapp:1.

# registry_auth: the header that an engine takes credentials in
registry_auth() {
	jq -nc --arg at "$1" '{username: "as", password: "p@ss:w%rd", serveraddress: $at}' | base64 -w 0 | tr +/ -_
}

registry_up() {
	local server=$1 dir=$RIG/$1 port at sock=$RIG/docker.sock net
	rig_install "$server" registry docker-registry
	rig_need "$server" docker-registry jq perl
	[ -S "$sock" ] || rig_fail "$server" 64 'a registry is for an engine: start docker before it'
	net=$(sed -n "s/^export AS_RIG_DOCKER_ADDR='\(.*\)\.2'/\1/p" "$RIG/env")
	rig_port port
	at=$net.1:$port
	mkdir "$dir"
	# It takes bcrypt only. The salt is no secret here.
	# shellcheck disable=SC2016
	perl -e 'print "as:", crypt("p\@ss:w%rd", q($2y$04$abcdefghijklmnopqrstuu)), "\n"' >"$dir/htpasswd"
	cat >"$dir/config.yml" <<-EOF
		version: 0.1
		log: {level: warn}
		storage: {filesystem: {rootdirectory: $dir/data}, delete: {enabled: true}}
		http: {addr: "$at"}
		auth: {htpasswd: {realm: rig, path: $dir/htpasswd}}
	EOF
	rig_spawn "$server" TERM docker-registry serve "$dir/config.yml"
	rig_wait "$server" 20 rig_answers "http://$at/v2/"
	{
		curl -sS --unix-socket "$sock" -X POST "http://docker/images/webapp:1/tag?repo=$at/as/webapp&tag=1"
		curl -sS --unix-socket "$sock" -X POST -H "X-Registry-Auth: $(registry_auth "$at")" \
			"http://docker/images/$at/as/webapp/push?tag=1"
		curl -sS --unix-socket "$sock" -X DELETE "http://docker/images/$at/as/webapp:1"
	} >>"$RIG/$server.log" 2>&1
	# A push that fails answers 200 too, so look.
	curl -s -u 'as:p@ss:w%rd' "http://$at/v2/as/webapp/tags/list" | jq -e '.tags == ["1"]' >>"$RIG/$server.log" ||
		rig_fail "$server" 1 'does not hold its image'
	rig_export "AS_RIG_${server^^}" "$at"
	rig_export "AS_RIG_${server^^}_USER" as
	rig_export "AS_RIG_${server^^}_PASSWORD" 'p@ss:w%rd'
}
