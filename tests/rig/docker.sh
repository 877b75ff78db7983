# shellcheck shell=bash
# A Docker engine of its own: dockerd in a network, pid, mount and host name namespace, so that it touches
# neither the host's firewall nor another engine, and dies whole when its first process does.
# Exports DOCKER_HOST, AS_RIG_NETNS, AS_RIG_DOCKER_ADDR (published ports answer there), AS_RIG_DOCKER_PID
# and AS_RIG_IMAGE; from the second one on AS_RIG_DOCKER2_HOST, _NETNS, _ADDR, _PID. Where `tls` was started
# before, it listens with TLS too and asks for a certificate: AS_RIG_DOCKER_TLS_URL, AS_RIG_DOCKER2_TLS_URL.
# Containers answer the host at their own addresses. Engines reach the host and each other (a swarm of the engines
# at their _ADDR works), and nothing else: what is on the internet is unreachable at once. tests/rig/link cuts one
# off. Each is named as its server; images: see tests/image.
# Makes outside DIR: a namespace, a pair of links, between which and its like the host forwards, one route,
# cgroups, all named by the rig's id.
# iproute2 leaves its empty folder /run/netns mounted, as it does for any namespace.

docker_up() {
	local server=$1 n=${1#docker} sock=$RIG/$1.sock tag ns link net pid place
	local -a direct=() tls=()
	tag=$RIG_ID${n:+-$n}
	ns=asrig-$tag link=as-$tag

	[ "$(id -u)" = 0 ] || rig_fail "$server" 77 'a Docker engine needs root'
	rig_need "$server" dockerd ip iptables nsenter unshare curl jq busybox
	docker_net "$server" "$ns" "$link" || rig_fail "$server" 1 'cannot make its network'
	net=$RIG_NET
	# Newer engines drop what comes for a container's own address from outside unless told otherwise.
	! dockerd --help | grep -q allow-direct-routing || direct=(--allow-direct-routing)

	if [ -d "$RIG/certs" ]; then
		tls_server "$server" "IP:$net.255.2" >>"$RIG/$server.log" 2>&1 || rig_fail "$server" 1 'cannot make its certificate'
		# On every address, of which the certificate names one.
		tls=(-H tcp://0.0.0.0:2376 --tlsverify --tlscacert "$RIG/certs/ok/ca.pem" --tlscert "$RIG/certs/$server.pem"
			--tlskey "$RIG/certs/$server.key")
	fi

	# Fixed places that an engine reads and writes, hidden from it below by empty ones of its own.
	for place in /etc/docker /opt/containerd; do
		[ -d $place ] || { mkdir $place && echo $place >>"$RIG/made"; }
	done
	# The namespaces of other rigs are let go, or our copy of their mounts would keep them alive.
	# sh stays as the first process: it reaps orphans, which dockerd does not.
	# shellcheck disable=SC2016
	rig_spawn "$server" KILL nsenter --net="/run/netns/$ns" \
		unshare --mount --propagation private --uts --pid --fork --kill-child sh -c '
			umount -l /run/netns
			case $0 in /run/*) ;; *) mount -t tmpfs tmpfs /run ;; esac
			mount -t tmpfs tmpfs /etc/docker
			mount -t tmpfs tmpfs /opt/containerd
			mount -t proc proc /proc
			echo "$1" >/proc/sys/kernel/hostname
			shift
			"$@" & wait' "$RIG" "$server" \
		dockerd -H "unix://$sock" --data-root "$RIG/$server" --exec-root "$RIG/$server.x" \
		--pidfile "$RIG/$server.pid" --storage-driver "$(docker_storage)" \
		--bip "$net.0.1/24" --default-address-pool "base=$net.0.0/16,size=24" \
		--cgroup-parent "/asrig-$tag" --exec-opt native.cgroupdriver=cgroupfs --log-level warn \
		--insecure-registry 10.128.0.0/10 "${direct[@]}" "${tls[@]}"
	"$RIG_TOP/tests/image/build" >"$RIG/$server.tar" || rig_fail "$server" 1 'cannot build the images'
	rig_wait "$server" 60 rig_answers --unix-socket "$sock" http://docker/_ping

	nsenter --net="/run/netns/$ns" iptables -I DOCKER-USER -i "$link-c" -j ACCEPT ||
		rig_fail "$server" 1 'cannot open its firewall'
	# A load that fails answers 200 too, so look.
	curl -s --unix-socket "$sock" -X POST -H 'Content-Type: application/x-tar' \
		-T "$RIG/$server.tar" http://docker/images/load >>"$RIG/$server.log"
	rig_answers -f --unix-socket "$sock" http://docker/images/img:2/json ||
		rig_fail "$server" 1 'cannot load the images'
	rm "$RIG/$server.tar"

	for pid in $(rig_left); do
		rig_stat "$pid"
		[ "$RIG_SESSION" = "$RIG_PID" ] && [ "$(cat "/proc/$pid/comm")" = dockerd ] && break
	done
	if [ "$server" = docker ]; then
		rig_export DOCKER_HOST "unix://$sock"
		rig_export AS_RIG_NETNS "$ns"
		rig_export AS_RIG_IMAGE webapp:1
	else
		rig_export "AS_RIG_${server^^}_HOST" "unix://$sock"
		rig_export "AS_RIG_${server^^}_NETNS" "$ns"
	fi
	rig_export "AS_RIG_${server^^}_ADDR" "$net.255.2"
	rig_export "AS_RIG_${server^^}_PID" "$pid"
	[ ${#tls[@]} = 0 ] || rig_export "AS_RIG_${server^^}_TLS_URL" "tcp://$net.255.2:2376"
}

# docker_net SERVER NS LINK: sets RIG_NET to 10.N, whose /16 belongs to this engine. The containers
# get 10.N.0.0 and up; the pair of links between host and namespace is 10.N.255.1 and .2. N is
# taken by adding the route, which fails if another rig was faster.
docker_net() {
	local i
	ip netns add "$2" && ip -n "$2" link set lo up &&
		ip link add "$3-h" type veth peer name "$3-c" netns "$2" &&
		ip link set "$3-h" up && ip -n "$2" link set "$3-c" up || return
	for ((i = 0; i < 64; i++)); do
		RIG_NET=10.$((128 + (0x$RIG_ID + i) % 64))
		[ -z "$(ip -4 route show root "$RIG_NET.0.0/16")" ] || continue
		ip addr add "$RIG_NET.255.1/30" dev "$3-h" || return
		ip route add "$RIG_NET.0.0/16" via "$RIG_NET.255.2" 2>/dev/null && break
		ip addr del "$RIG_NET.255.1/30" dev "$3-h"
	done
	[ "$i" -lt 64 ] && ip -n "$2" addr add "$RIG_NET.255.2/30" dev "$3-c" &&
		ip -n "$2" route add 10.128.0.0/10 via "$RIG_NET.255.1" &&
		echo 1 >"/proc/sys/net/ipv4/conf/$3-h/forwarding"
}

# docker_storage: overlay2 if DIR's file system carries it, else vfs.
docker_storage() {
	mkdir "$RIG/try" "$RIG/try/l" "$RIG/try/u" "$RIG/try/w" "$RIG/try/m"
	unshare --mount mount -t overlay -o "lowerdir=$RIG/try/l,upperdir=$RIG/try/u,workdir=$RIG/try/w" \
		overlay "$RIG/try/m" 2>/dev/null && echo overlay2 || echo vfs
	rm -rf "$RIG/try"
}

docker_cgroups() { find /sys/fs/cgroup -depth -type d -path "*/asrig-$RIG_ID*" 2>/dev/null; }

docker_netns() { ip netns list 2>/dev/null | awk -v ns="asrig-$RIG_ID" 'index($1, ns) == 1 { print $1 }'; }
docker_links() { ip -o link 2>/dev/null | sed -n "s/^[0-9]*: \(as-${RIG_ID}[^:@]*\).*/\1/p"; }

# docker_sweep: links and cgroups can go only a moment after the last process is gone; 1 until then.
docker_sweep() {
	docker_links | xargs -r -n 1 ip link del 2>/dev/null
	docker_cgroups | xargs -r rmdir 2>/dev/null
	[ -z "$(docker_links)$(docker_cgroups)" ]
}

# docker_stop: under cgroup v1 the processes of a paused container cannot even be killed.
docker_stop() {
	find /sys/fs/cgroup -path "*/asrig-$RIG_ID*/freezer.state" 2>/dev/null | while read -r state; do
		echo THAWED >"$state"
	done
}

docker_down() {
	local x pid
	for x in $(docker_netns); do
		# No process is here any more unless DIR/pids was lost.
		for pid in $(ip netns pids "$x"); do
			kill -s KILL "$pid"
		done
		ip netns del "$x"
	done
	if [ -f "$RIG/made" ]; then
		xargs rmdir --ignore-fail-on-non-empty <"$RIG/made"
	fi
	if ! rig_until 5 docker_sweep; then
		rig_say "links or cgroups of $RIG_ID are still in use"
		return 1
	fi
}

docker_leaks() {
	docker_netns | sed 's/^/netns /'
	docker_links | sed 's/^/link /'
	ip route 2>/dev/null | grep " as-$RIG_ID" | sed 's/^/route /'
	iptables-save 2>/dev/null | grep "as-$RIG_ID" | sed 's/^/rule /'
	docker_cgroups | sed 's/^/cgroup /'
}
