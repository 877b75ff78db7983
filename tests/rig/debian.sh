# shellcheck shell=bash
# A Debian 12 of its own, booted: systemd is its first process, in namespaces and a cgroup of its own. The engine that was
# started before it is its local engine, /run/docker.sock, and it is in that engine's network, so that nothing else
# answers. What its apt-get needs is fetched from here: debian_fetch of tests/package.bats.
# Exports AS_RIG_DEBIAN, its root directory, and AS_RIG_DEBIAN_PID, systemd's process: tests/rig/inside enters it.
# The bare system is made once by debootstrap, of this machine's own sources of packages, and kept in build/rig-cache.
# systemd needs a cgroup of version 2, with or without controllers.

debian_up() {
	local server=$1 root=$RIG/$1 base=$RIG_TOP/build/rig-cache/debian-12.tar unified
	[ "$(id -u)" = 0 ] || rig_fail "$server" 77 'a booted system needs root'
	[ -S "$RIG/docker.sock" ] || rig_fail "$server" 64 'start a docker before it'
	unified=$(findmnt -rnt cgroup2 -o TARGET | head -n 1)
	[ -n "$unified" ] || rig_fail "$server" 69 'no cgroup of version 2 is mounted here'
	mkdir -p "$RIG_TOP/build/rig-cache/debs"
	(
		flock 9
		[ -s "$base" ] || debian_make "$root" "$base"
	) 9>"$base.lock" >>"$RIG/$server.log" 2>&1 || rig_fail "$server" 1 'cannot be made by debootstrap'
	if ! mkdir -p "$root" || ! tar -C "$root" -xf "$base"; then rig_fail "$server" 1 'cannot be unpacked'; fi
	debian_apt "$root"
	mkdir "$unified/asrig-$RIG_ID-$server"
	# shellcheck disable=SC2016
	rig_spawn "$server" KILL nsenter --net="/run/netns/asrig-$RIG_ID" sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - \
		"$unified/asrig-$RIG_ID-$server" \
		unshare --mount --propagation private --pid --uts --ipc --cgroup --fork --kill-child sh -ec '
			mount --bind "$1" "$1"
			cd "$1"
			mount -t proc proc proc
			mount -t sysfs -o ro sysfs sys
			mount -t cgroup2 cgroup2 sys/fs/cgroup
			mount -t tmpfs -o mode=755 tmpfs run
			mount -t tmpfs -o mode=755 tmpfs dev
			mkdir dev/pts dev/shm
			mount -t tmpfs tmpfs dev/shm
			mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
			ln -s pts/ptmx dev/ptmx
			ln -s /proc/self/fd dev/fd
			for d in null zero full random urandom tty; do
				touch dev/$d
				mount --bind /dev/$d dev/$d
			done
			touch run/docker.sock
			mount --bind "$2" run/docker.sock
			exec env -i container=rig PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd
		' - "$root" "$RIG/docker.sock"
	rig_export AS_RIG_DEBIAN "$root"
	rig_wait "$server" 60 debian_booted
	rig_export AS_RIG_DEBIAN_PID "$(debian_pid)"
}

# The child of unshare is systemd, once it has become it.
debian_pid() { pgrep -P "$RIG_PID" -x systemd; }
debian_booted() { AS_RIG_DEBIAN_PID=$(debian_pid) "$RIG_HERE/inside" systemctl is-system-running; }

# debian_make ROOT FILE: the bare system as an archive.
debian_make() {
	local mirror
	command -v debootstrap || "$RIG_TOP/tests/deps.sh" debian || return
	# shellcheck disable=SC2016 # apt replaces them
	mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
	debootstrap --variant=minbase --include=init,ca-certificates,dbus --cache-dir="$RIG_TOP/build/rig-cache/debs" \
		bookworm "$1" ${mirror:+"$mirror"} && tar -C "$1" -cf "$2.new" . && rm -rf "$1" && mv "$2.new" "$2"
}

# debian_apt ROOT: it fetches packages as this machine does.
debian_apt() {
	apt-config dump Acquire >"$1/etc/apt/apt.conf.d/99fetch"
	cp -a /etc/apt/auth.conf* /etc/apt/trusted.gpg.d "$1/etc/apt" 2>/dev/null
	rm -f "$1"/etc/apt/sources.list.d/*
	: >"$1/etc/apt/sources.list"
	# shellcheck disable=SC2016
	apt-get indextargets --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' | grep ' bookworm' | sort -u >"$1/etc/apt/sources.list"
	cp -L /etc/resolv.conf "$1/etc/resolv.conf"
	cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
}
