# shellcheck shell=bash
# MariaDB on a unix socket and, with TLS by a CA of its own, on a loopback port. Databases `as` (empty) and all whose
# names begin so belong to its user `as`, without a password; root at the socket is the administrator. What SERVER_ARGS
# (MARIADB_ARGS, MARIADB2_ARGS: options of mariadbd) says comes last, such as --skip-ssl. A commit is written at once and
# synced each second: it outlives the server's death, not the machine's.
# Exports AS_RIG_MARIADB_SOCKET, _URL, _PORT, _TCP (its URL there), _CA (a file), _PID, and _START: a command that
# starts the server again when it has ended (mariadb_again below does it).

# The CA, and the server's certificate for localhost and 127.0.0.1. 0x7f000001 is the same address to a resolver, by a name
# that nobody takes for this machine: what holds for other hosts can be tried with it.
mariadb_certificates() {
	local dir=$1 ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30'
	# shellcheck disable=SC2086
	openssl req -x509 $ec -subj /CN=rig-ca -keyout "$dir/ca.key" -out "$dir/ca.pem" &&
		openssl req $ec -subj /CN=localhost -keyout "$dir/server.key" -out "$dir/server.csr" &&
		openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
			-extfile <(echo 'subjectAltName=DNS:localhost,DNS:0x7f000001,IP:127.0.0.1') -out "$dir/server.pem"
}

mariadb_answers() { mariadb --no-defaults -u as -S "$1" -e 'SELECT 1' as; }

# mariadb_again SERVER: start it once more; sets RIG_PID.
mariadb_again() {
	rig_spawn "$1" TERM bash "$RIG/$1.start"
	rig_wait "$1" 60 mariadb_answers "$RIG/$1.sock"
}

mariadb_up() {
	local server=$1 sock=$RIG/$1.sock tls=$RIG/$1.tls port args=${1^^}_ARGS
	rig_install "$server" mariadb mariadbd
	rig_need "$server" openssl
	rig_port port
	mkdir "$tls"
	mariadb_certificates "$tls" >>"$RIG/$server.log" 2>&1 &
	local certificates=$!
	mariadb-install-db --no-defaults --datadir="$RIG/$server" --user="$(id -un)" \
		--auth-root-authentication-method=normal --skip-test-db >>"$RIG/$server.log" 2>&1 ||
		rig_fail "$server" 1 'cannot make its tables'
	wait "$certificates" || rig_fail "$server" 1 'cannot make its certificates'
	cat >"$RIG/$server.sql" <<-'END'
		CREATE DATABASE IF NOT EXISTS `as`;
		CREATE USER IF NOT EXISTS `as`@localhost;
		CREATE USER IF NOT EXISTS `as`@`127.0.0.1`;
		GRANT ALL ON `as%`.* TO `as`@localhost;
		GRANT ALL ON `as%`.* TO `as`@`127.0.0.1`;
	END
	cat >"$RIG/$server.start" <<-END
		exec mariadbd --no-defaults --datadir='$RIG/$server' --user='$(id -un)' --socket='$sock' \\
			--pid-file='$RIG/$server.pid' --port=$port --bind-address=127.0.0.1 --skip-name-resolve \\
			--ssl-ca='$tls/ca.pem' --ssl-cert='$tls/server.pem' --ssl-key='$tls/server.key' \\
			--init-file='$RIG/$server.sql' --innodb-buffer-pool-size=32M --innodb-flush-log-at-trx-commit=2 --innodb-flush-method=nosync \\
			--skip-innodb-doublewrite ${!args-}
	END
	mariadb_again "$server"
	rig_export "AS_RIG_${server^^}_SOCKET" "$sock"
	rig_export "AS_RIG_${server^^}_URL" "mysql://as@localhost/as?socket=$sock"
	rig_export "AS_RIG_${server^^}_TCP" "mysql://as@127.0.0.1:$port/as"
	rig_export "AS_RIG_${server^^}_PORT" "$port"
	rig_export "AS_RIG_${server^^}_CA" "$tls/ca.pem"
	rig_export "AS_RIG_${server^^}_START" "$RIG/$server.start"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
