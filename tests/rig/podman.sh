# shellcheck shell=bash
# Podman's service, which speaks Docker's API: podman in a network, pid, mount and host name namespace of its own, made
# as an engine's in docker.sh. Exports AS_RIG_PODMAN_HOST, AS_RIG_PODMAN_NETNS, AS_RIG_PODMAN_ADDR. It holds the images of
# tests/image, which it calls localhost/webapp:1; webapp:1 finds them.

# Its cgroups are named /libpod_parent, always, so it gets a root of its own: first it moves there,
# shellcheck disable=SC2016
PODMAN_ALONE='
	for c in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ -f "$c/cgroup.procs" ] || continue
		mkdir "$c/$1"
		for f in cpuset.cpus cpuset.mems; do
			[ ! -f "$c/$1/$f" ] || cat "$c/$f" >"$c/$1/$f"
		done
		echo $$ >"$c/$1/cgroup.procs"
	done
	shift
	exec "$@"'
# and then it sees nothing else. What it keeps outside of its --root is hidden too.
# shellcheck disable=SC2016
PODMAN_AT_HOME='
	umount -l /run/netns
	case $0 in /run/*) ;; *) mount -t tmpfs tmpfs /run ;; esac
	for c in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ ! -d "$c/$1" ] || mount --bind "$c/$1" "$c"
		# Of version 2 only a leaf may hold processes.
		[ ! -s "$c/cgroup.controllers" ] || { mkdir "$c/init" && echo $$ >"$c/init/cgroup.procs"; }
	done
	mount --bind "$0/$2/etc" /etc/containers
	mount -t tmpfs tmpfs /var/lib/containers
	mount -t tmpfs tmpfs /dev/shm
	mount -t proc proc /proc
	echo "$2" >/proc/sys/kernel/hostname
	shift 2
	"$@" & wait'

podman_up() {
	local server=$1 n=${1#podman} dir=$RIG/$1 sock=$RIG/$1.sock tag ns link net
	# shellcheck source=docker.sh
	. "$RIG_HERE/docker.sh"
	tag=$RIG_ID-p${n:+$n}
	ns=asrig-$tag link=as-$tag

	[ "$(id -u)" = 0 ] || rig_fail "$server" 77 'an engine with a network of its own needs root'
	rig_install "$server" podman podman
	rig_need "$server" podman ip iptables nsenter unshare curl jq busybox
	docker_net "$server" "$ns" "$link" || rig_fail "$server" 1 'cannot make its network'
	net=$RIG_NET
	mkdir -p "$dir/etc"
	cat >"$dir/etc/containers.conf" <<-EOF
		[network]
		network_backend = "netavark"
		default_subnet = "$net.0.0/24"
		network_config_dir = "$dir/networks"
		default_subnet_pools = [{base = "$net.0.0/17", size = 24}]
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
	EOF
	printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$dir/etc/policy.json"
	# It keeps a cache of what it pulled there, wherever its root is.
	[ -d /var/lib/containers ] || { mkdir /var/lib/containers && echo /var/lib/containers >>"$RIG/made"; }
	rig_spawn "$server" KILL sh -c "$PODMAN_ALONE" podman "asrig-$tag" nsenter --net="/run/netns/$ns" \
		unshare --mount --propagation private --uts --cgroup --pid --fork --kill-child sh -c "$PODMAN_AT_HOME" "$RIG" "asrig-$tag" \
		"$server" env CONTAINERS_CONF="$dir/etc/containers.conf" TMPDIR="$dir" \
		podman --root "$dir/root" --runroot "$dir/run" --cgroup-manager cgroupfs \
		--storage-driver "$(docker_storage | sed 's/2$//')" system service --time=0 "unix://$sock"
	"$RIG_TOP/tests/image/build" >"$RIG/$server.tar" || rig_fail "$server" 1 'cannot build the images'
	rig_wait "$server" 60 rig_answers --unix-socket "$sock" http://docker/_ping
	curl -s --unix-socket "$sock" -X POST -H 'Content-Type: application/x-tar' \
		-T "$RIG/$server.tar" http://docker/images/load >>"$RIG/$server.log"
	rig_answers -f --unix-socket "$sock" http://docker/images/img:2/json ||
		rig_fail "$server" 1 'cannot load the images'
	rm "$RIG/$server.tar"
	rig_export "AS_RIG_${server^^}_HOST" "unix://$sock"
	rig_export "AS_RIG_${server^^}_NETNS" "$ns"
	rig_export "AS_RIG_${server^^}_ADDR" "$net.255.2"
}
