#!/bin/sh
# Installs what the project needs and this machine lacks, with apt-get; starts no service.
#
# usage: tests/deps.sh [build] [test] [demo] [docker] [mariadb] [nginx] [alertmanager] [prometheus] [venv] [sshd] [podman] [registry] [browser] [shells] [package] [debian]     (none: build test)
# build compiles; demo is build and what the demo runs, where an engine that answers will do instead
# of our own; test is all that the tests use. The others are single servers that the rig asks for.
# Prints one or two lines: what will be installed, and why. Details go to build/deps.log.
# Exits 69 where there is no apt-get and something is missing, 77 where root is needed.

set -u
PATH=$PATH:/usr/sbin:/sbin
top=$(cd "$(dirname "$0")/.." && pwd)
log=$top/build/deps.log

build='gcc make pkg-config libjansson-dev libcurl4-openssl-dev libsqlite3-dev libinih-dev libssl-dev libmicrohttpd-dev jq'
demo="$build haproxy busybox-static iptables iproute2 wrk curl socat"
test="$demo docker.io docker-compose bats time mandoc shellcheck cppcheck sqlite3 strace hey libmongoc-dev libmariadb-dev
	mariadb-server openssl faketime tzdata"
package='build-essential dpkg-dev debhelper libmongoc-dev libmariadb-dev lintian'

engine_answers() { timeout 5 docker version >/dev/null 2>&1; }

# there PACKAGE: by the package manager, or by what it brings, for it may come from elsewhere.
there() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" != installed ] || return 0
	case $1 in
	libjansson-dev) pkg-config --exists jansson ;;
	libcurl4-openssl-dev) pkg-config --exists libcurl ;;
	libsqlite3-dev) pkg-config --exists sqlite3 ;;
	libinih-dev) pkg-config --exists inih ;;
	libmariadb-dev) pkg-config --exists libmariadb || pkg-config --exists mariadb || pkg-config --exists mysqlclient ;;
	libmongoc-dev) pkg-config --exists libmongoc-1.0 || pkg-config --exists mongoc2 ;;
	libssl-dev) pkg-config --exists libcrypto ;;
	libmicrohttpd-dev) pkg-config --exists libmicrohttpd ;;
	busybox-static) [ -x "$(command -v busybox)" ] && ! ldd "$(command -v busybox)" ;;
	docker.io) command -v dockerd ;;
	iproute2) command -v ip ;;
	mariadb-server) command -v mariadbd ;;
	openssh-server) command -v sshd ;;
	openssh-client) command -v ssh ;;
	dpkg-dev) command -v dpkg-buildpackage ;;
	debhelper) command -v dh ;;
	tzdata) [ -f /usr/share/zoneinfo/Europe/Berlin ] ;;
	fonts-dejavu-core) [ -f /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] ;;
	bash-completion) [ -f /usr/share/bash-completion/bash_completion ] ;;
	python3-venv) python3 -c 'import ensurepip, venv' ;;
	*) command -v "$1" ;;
	esac >/dev/null 2>&1
}

[ $# -gt 0 ] || set -- build test
want=
for set; do
	case $set in
	build) want="$want $build" ;;
	demo)
		want="$want $demo"
		engine_answers || want="$want docker.io"
		;;
	test) want="$want $test" ;;
	docker) want="$want docker.io" ;;
	mariadb) want="$want mariadb-server openssl" ;;
	nginx) want="$want nginx" ;;
	alertmanager) want="$want prometheus prometheus-alertmanager" ;;
	prometheus) want="$want prometheus" ;;
	venv) want="$want python3-venv" ;;
	sshd) want="$want openssh-server openssh-client" ;;
	podman) want="$want podman netavark aardvark-dns" ;;
	registry) want="$want docker-registry" ;;
	browser) want="$want chromium fonts-dejavu-core python3" ;;
	shells) want="$want bash-completion zsh fish" ;;
	package) want="$want $package" ;;
	debian) want="$want debootstrap" ;;
	*)
		echo "usage: tests/deps.sh [build] [test] [demo] [docker] [mariadb] [nginx] [alertmanager] [prometheus] [venv] [sshd] [podman] [registry] [browser] [shells] [package] [debian]" >&2
		exit 64
		;;
	esac
done

# One at a time: two test files that run together may both lack something.
mkdir -p "$top/build"
if command -v flock >/dev/null; then
	exec 9>"$top/build/deps.lock"
	flock 9
fi
missing=
for package in $want; do
	case " $missing " in *" $package "*) continue ;; esac
	there "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	echo "deps: nothing is missing for $*"
	exit 0
fi
echo "deps: missing for $*:$missing"

if ! command -v apt-get >/dev/null; then
	echo 'deps: no apt-get here; install these (Debian names) and run this again' >&2
	exit 69
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo=sudo
	if ! command -v sudo >/dev/null; then
		echo "deps: run as root: apt-get update && apt-get install -y --no-install-recommends$missing" >&2
		exit 77
	fi
fi
echo "deps: installing them with ${sudo:+sudo }apt-get; no service is started; log in $log"

# Debian asks this file before it starts a service (policy-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$sudo rm -f $policy' EXIT
	trap 'exit 1' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null && $sudo chmod 755 $policy
fi

# shellcheck disable=SC2086
if ! { $sudo apt-get -o DPkg::Lock::Timeout=300 update && $sudo env DEBIAN_FRONTEND=noninteractive \
	apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 5 "$log" >&2
	echo "deps: apt-get failed, see $log" >&2
	exit 1
fi
