# shellcheck shell=bash
# SecantusDB, which speaks MongoDB's protocol (beta, GPL-2.0: run as a process, never linked); a
# mongod does not come by a package registry. No test here ran against MongoDB Inc.'s server.
# Failpoints are on. Exports AS_RIG_MONGO_URL, AS_RIG_MONGO_PORT, AS_RIG_MONGO_PID and AS_RIG_MONGO_PYTHON, a
# Python with pymongo, to look into a store behind the programs' back. The file mongo.pid has the process after mongo_again.

MONGO_PACKAGE=secantusdb==0.7.0b3

# mongo_again SERVER: start it where it was, with what it holds
mongo_again() {
	rig_spawn "$1" KILL bash "$RIG/$1.start"
	rig_wait "$1" 60 rig_listens "$(cat "$RIG/$1.port")"
	echo "$RIG_PID" >"$RIG/$1.pid"
}

mongo_up() {
	local server=$1 port
	rig_venv "$server" "$MONGO_PACKAGE"
	rig_port port
	mkdir "$RIG/$server"
	echo "$port" >"$RIG/$server.port"
	# Its data go with it, and after a TERM it takes 2 s.
	echo "exec '$RIG_VENV/bin/secantusd-py' --host 127.0.0.1 --port $port --storage-path '$RIG/$server' --enable-test-commands" \
		>"$RIG/$server.start"
	mongo_again "$server"
	rig_export "AS_RIG_${server^^}_URL" "mongodb://127.0.0.1:$port/as"
	rig_export "AS_RIG_${server^^}_PORT" "$port"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
	rig_export "AS_RIG_${server^^}_PYTHON" "$RIG_VENV/bin/python"
}
