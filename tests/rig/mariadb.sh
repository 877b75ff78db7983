# shellcheck shell=bash
# MariaDB on a unix socket only, with an empty database `as` and its user `as` without a password.
# Exports AS_RIG_MARIADB_SOCKET, AS_RIG_MARIADB_URL and AS_RIG_MARIADB_PID.

mariadb_up() {
	local server=$1 sock=$RIG/$1.sock
	rig_install "$server" mariadb mariadbd
	mariadb-install-db --no-defaults --datadir="$RIG/$server" --user="$(id -un)" \
		--auth-root-authentication-method=normal --skip-test-db >>"$RIG/$server.log" 2>&1 ||
		rig_fail "$server" 1 'cannot make its tables'
	cat >"$RIG/$server.sql" <<-'END'
		CREATE DATABASE IF NOT EXISTS `as`;
		CREATE USER IF NOT EXISTS `as`@localhost;
		GRANT ALL ON `as`.* TO `as`@localhost;
	END
	rig_spawn "$server" TERM mariadbd --no-defaults --datadir="$RIG/$server" --user="$(id -un)" \
		--socket="$sock" --pid-file="$RIG/$server.pid" --skip-networking --init-file="$RIG/$server.sql" \
		--innodb-buffer-pool-size=16M
	rig_wait "$server" 60 mariadb --no-defaults -u as -S "$sock" -e 'SELECT 1' as
	rig_export "AS_RIG_${server^^}_SOCKET" "$sock"
	rig_export "AS_RIG_${server^^}_URL" "mysql://as@localhost/as?socket=$sock"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
