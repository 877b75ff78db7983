# shellcheck shell=bash
# The server of mongo.sh with TLS and users. Exports AS_RIG_MONGOTLS_PORT, AS_RIG_MONGOTLS_CA, AS_RIG_MONGOTLS_OTHER_CA,
# which signed nothing, and AS_RIG_MONGOTLS_PASSWORD, a file with the password of the user `as` of the database `as`.

# mongotls_ca DIR NAME: DIR/NAME.pem and its key
mongotls_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$2" \
		-keyout "$1/$2.key" -out "$1/$2.pem"
}

mongotls_certificates() {
	mongotls_ca "$1" ca && mongotls_ca "$1" other &&
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
			-keyout "$1/server.key" -out "$1/server.csr" &&
		openssl x509 -req -in "$1/server.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial -days 2 \
			-extfile <(echo subjectAltName=DNS:localhost,IP:127.0.0.1) -out "$1/server.pem"
}

mongotls_is_down() { ! rig_alive "$RIG_PID"; }

mongotls_up() {
	local server=$1 port dir=$RIG/$1
	# shellcheck source=mongo.sh
	. "$RIG_HERE/mongo.sh"
	rig_need "$server" openssl
	: >"$RIG/mongo.log"
	rig_venv mongo "$MONGO_PACKAGE"
	rig_port port
	mkdir "$dir"
	mongotls_certificates "$dir" >>"$RIG/$server.log" 2>&1 || rig_fail "$server" 1 'cannot make certificates'
	(umask 077 && echo 'p@ss:w%rd/?' >"$dir/password")
	# Users are made while nobody needs to be one.
	rig_spawn "$server" KILL "$RIG_VENV/bin/secantusd-py" --host 127.0.0.1 --port "$port" --storage-path "$dir/data"
	rig_wait "$server" 60 rig_listens "$port"
	"$RIG_VENV/bin/python" - "$port" "$dir/password" >>"$RIG/$server.log" 2>&1 <<-'END' || rig_fail "$server" 1 'cannot make a user'
		import pymongo, sys
		pymongo.MongoClient("127.0.0.1", int(sys.argv[1])).get_database("as").command(
		    "createUser", "as", pwd=open(sys.argv[2]).read().strip(), roles=[{"role": "readWrite", "db": "as"}])
	END
	kill "$RIG_PID"
	rig_until 20 mongotls_is_down || rig_fail "$server" 1 'does not end'
	rig_spawn "$server" KILL "$RIG_VENV/bin/secantusd-py" --host 127.0.0.1 --port "$port" --storage-path "$dir/data" \
		--auth --tls-cert-file "$dir/server.pem" --tls-key-file "$dir/server.key"
	rig_wait "$server" 60 rig_listens "$port"
	rig_export "AS_RIG_${server^^}_PORT" "$port"
	rig_export "AS_RIG_${server^^}_CA" "$dir/ca.pem"
	rig_export "AS_RIG_${server^^}_OTHER_CA" "$dir/other.pem"
	rig_export "AS_RIG_${server^^}_PASSWORD" "$dir/password"
}
