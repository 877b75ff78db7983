# shellcheck shell=bash
# An SSH server on loopback that lets root in by a key; what is run there finds the engine that was started before
# it (sshd2: docker2). For `docker system dial-stdio` there is the docker command there.
# Exports AS_RIG_SSHD_URL (ssh://root@127.0.0.1:PORT), AS_RIG_SSHD_PATH, a folder to put in front of PATH, whose
# ssh uses the files of AS_RIG_SSHD_DIR: config, key, known_hosts, other_key (which lets nobody in). ssh looks for its
# files in the home folder of the user database, wherever HOME points, so it is told.

sshd_up() {
	local server=$1 n=${1#sshd} dir=$RIG/$1.d port host
	[ "$(id -u)" = 0 ] || rig_fail "$server" 77 'an SSH server for root needs root'
	rig_install "$server" sshd sshd
	rig_need "$server" sshd ssh ssh-keygen docker
	rig_port port
	host=$(sed -n "s/^export ${n:+AS_RIG_}DOCKER${n:+${n}_}\(HOST\|_HOST\)='\(.*\)'/\2/p" "$RIG/env")
	mkdir -p "$dir/bin"
	for key in host_key key other_key; do
		ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/$key"
	done
	cat >"$dir/sshd_config" <<-EOF
		ListenAddress 127.0.0.1
		Port $port
		HostKey $dir/host_key
		PidFile $dir/pid
		AuthorizedKeysFile $dir/key.pub
		StrictModes no
		UsePAM no
		PermitRootLogin prohibit-password
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		UseDNS no
		SetEnv DOCKER_HOST=$host PATH=$PATH
	EOF
	cat >"$dir/config" <<-EOF
		Host *
		IdentityFile $dir/key
		IdentitiesOnly yes
		IdentityAgent none
		UserKnownHostsFile $dir/known_hosts
		GlobalKnownHostsFile none
		StrictHostKeyChecking yes
		BatchMode yes
	EOF
	echo "[127.0.0.1]:$port $(cat "$dir/host_key.pub")" >"$dir/known_hosts"
	printf '#!/bin/sh\nexec %s -F %s "$@"\n' "$(command -v ssh)" "\${AS_RIG_SSH_CONFIG:-$dir/config}" >"$dir/bin/ssh"
	chmod 755 "$dir/bin/ssh"
	# It drops its rights in /run/sshd, which a system that never started one has not; it gets a /run of its own.
	# shellcheck disable=SC2016
	rig_spawn "$server" TERM unshare --mount --propagation private sh -c '
		umount -l /run/netns
		case $0 in /run/*) ;; *) mount -t tmpfs tmpfs /run ;; esac
		mkdir -p /run/sshd && exec "$@"' "$RIG" "$(command -v sshd)" -D -e -f "$dir/sshd_config"
	rig_wait "$server" 10 rig_listens "$port"
	rig_export "AS_RIG_${server^^}_URL" "ssh://root@127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_PATH" "$dir/bin"
	rig_export "AS_RIG_${server^^}_DIR" "$dir"
}
