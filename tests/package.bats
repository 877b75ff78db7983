# The package in a bare Debian 12 that runs: systemd is its first process, the rig's engine is its own. What it has, apt
# brought there. The tests go on from each other, as an operator does.

load lib

setup_file() {
	"$TOP/tests/deps.sh" build package
	DEB=$("$TOP/debian/package") || return
	export DEB
	rig_up docker debian
	export ROOT=$AS_RIG_DEBIAN
	# What apt needs comes over the network of this machine, for the one inside has only its engine.
	groupadd --root "$ROOT" --system docker
	chgrp "$(awk -F: '$1 == "docker" { print $3 }' "$ROOT/etc/group")" "$API_SOCKET"
	cp "$DEB" "$ROOT/root/autoscale.deb"
	cp -n "$TOP"/build/rig-cache/debs/*.deb "$ROOT/var/cache/apt/archives/"
	outside apt-get update >&2
	outside apt-get install -y --no-install-recommends --download-only /root/autoscale.deb >&2
	find "$ROOT/var/cache/apt/archives" -name '*.deb' -exec cp -n {} "$TOP/build/rig-cache/debs" \;
	ours >"$BATS_FILE_TMPDIR/before"
}
teardown_file() { wipe; rig_down; }

# inside COMMAND...: in the running system. outside: its programs and files, this machine's network.
inside() { "$TOP/tests/rig/inside" "$@"; }
outside() { chroot "$ROOT" env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# ours: every file with our name in it, but for the package manager's own notes.
ours() {
	find "$ROOT/etc" "$ROOT/usr" "$ROOT/lib/" "$ROOT/var" -xdev \( -name '*autoscale*' -o -name 'as-*' \) \
		-not -path '*/apt/*' -not -path '*/var/lib/dpkg/*' -printf '%P\n' | LC_ALL=C sort
}

unit() { inside systemctl show --value --property "$2" "$1"; }
said() { inside journalctl --no-pager --output cat --unit "$1"; }
mode() { inside stat -c '%a %U:%G' "$1"; }
counts() { [ "$(names)" = "$1" ]; }
pass_over() { [ "$(unit autoscale.service ActiveState)" = inactive ]; }
running_again() { [ "$(running)" = 3 ]; }

@test "apt installs it, with its user, its configuration, its store and its timers" {
	inside apt-get install -y --no-install-recommends /root/autoscale.deb
	is "$(inside dpkg-query -W -f '${db:Status-Status}' autoscale)" installed
	is "$(inside id -nG autoscale)" 'autoscale docker'
	is "$(inside getent passwd autoscale | cut -d: -f6,7)" /var/lib/autoscale:/usr/sbin/nologin
	[ "$(inside id -u autoscale)" -lt 1000 ]
	is "$(mode /etc/autoscale/autoscale.conf)" '640 root:autoscale'
	is "$(mode /var/lib/autoscale)" '750 autoscale:autoscale'
	is "$(mode /var/lib/autoscale/autoscale.db)" '600 autoscale:autoscale'
	is "$(inside systemctl is-enabled autoscale.timer autoscale-upkeep.timer | xargs)" 'enabled enabled'
	is "$(inside systemctl is-active autoscale.timer autoscale-upkeep.timer | xargs)" 'active active'
	is "$(inside systemctl is-enabled as-listen.service || true)" disabled
	is "$(inside systemd-analyze --man=no verify autoscale.timer autoscale-upkeep.timer autoscale@pass.service as-listen.service 2>&1)" ''
}

@test "five lines of configuration and a label: the timer scales it" {
	cat >>"$ROOT/etc/autoscale/autoscale.conf" <<-EOF
		[host "here"]
		url = unix:///run/docker.sock
		zone = a
		[limits]
		max_replicas = 4
	EOF
	container web '{"autoscale.service":"web","autoscale.min":"2","autoscale.max":"9"}' >/dev/null
	eventually 90 counts 'web web-1'
	eventually 30 pass_over
	is "$(unit autoscale.service Result)" success "$(said autoscale.service)"
	is "$(inside as-audit --history | jq -r '[.service, .from, .to, .outcome] | join(" ")')" 'web 1 2 done'
	is "$(inside as-audit --verify | jq -c .ok)" true
	is "$(mode /var/lib/autoscale/autoscale.db)" '600 autoscale:autoscale' 'root looked at it'
}

@test "as-listen takes an alert as the same user, and a pass acts on it" {
	inside install -o autoscale -m 600 /dev/stdin /etc/autoscale/listen.token <<<sesame
	inside systemctl start as-listen.service
	eventually 10 ip netns exec "$AS_RIG_NETNS" curl -s -o /dev/null http://127.0.0.1:9197/
	is "$(ip netns exec "$AS_RIG_NETNS" curl -sS -o /dev/null -w '%{http_code}' -d '{"service":"web","action":"scale-up"}' \
		-H 'Authorization: Bearer wrong' http://127.0.0.1:9197/)" 401
	is "$(ip netns exec "$AS_RIG_NETNS" curl -sS -o /dev/null -w '%{http_code}' -d '{"service":"web","action":"scale-up"}' \
		-H 'Authorization: Bearer sesame' http://127.0.0.1:9197/)" 200
	inside systemctl start autoscale.service
	is "$(names)" 'web web-1 web-2'
	inside systemctl stop as-listen.service
	is "$(unit as-listen.service Result)" success
}

@test "a pipeline that goes on by itself repairs, and ends when it is told to" {
	inside systemctl stop autoscale.timer
	echo 'ARGS=--every 1' >"$ROOT/etc/autoscale/pass.args"
	inside systemctl start autoscale@pass.service
	api POST '/containers/web-1/stop?t=0'
	eventually 30 running_again
	inside systemctl stop autoscale@pass.service
	is "$(unit autoscale@pass.service Result)" success "$(said autoscale@pass.service)"
	rm "$ROOT/etc/autoscale/pass.args"
}

@test "the units can write nothing else, and gain nothing" {
	for u in autoscale.service as-listen.service autoscale-upkeep.service autoscale@pass.service; do
		inside systemd-analyze --no-pager security --offline=true --threshold=12 "/lib/systemd/system/${u/@pass/@}" >/dev/null
	done
	inside systemctl start autoscale-upkeep.service
	is "$(unit autoscale-upkeep.service Result)" success
}

@test "a store on a server whose library is not there says what to install" {
	run -78 inside env AUTOSCALE_STORE=mysql://as@127.0.0.1/as as-store status
	has "$output" 'libmariadb3'
}

@test "installed again, it keeps the configuration and what the operator took away" {
	inside deluser -q autoscale docker
	inside apt-get install -y --reinstall --no-install-recommends /root/autoscale.deb
	is "$(inside id -nG autoscale)" autoscale
	grep -q 'max_replicas = 4' "$ROOT/etc/autoscale/autoscale.conf"
	is "$(mode /etc/autoscale/autoscale.conf)" '640 root:autoscale'
	is "$(inside as-audit --verify | jq -c .ok)" true
}

@test "removed, it leaves configuration and store; purged, nothing but its user" {
	inside apt-get remove -y autoscale
	is "$(inside sh -c 'systemctl is-active autoscale.timer' || true)" inactive
	[ -s "$ROOT/var/lib/autoscale/autoscale.db" ]
	grep -q 'max_replicas = 4' "$ROOT/etc/autoscale/autoscale.conf"
	rm "$ROOT/etc/autoscale/listen.token"
	inside apt-get purge -y autoscale
	is "$(ours | diff "$BATS_FILE_TMPDIR/before" -)" ''
	is "$(inside systemctl list-unit-files --no-legend 'autoscale*' 'as-*')" ''
}
