# shellcheck shell=bash
# SecantusDB, which speaks MongoDB's protocol (beta, GPL-2.0: run as a process, never linked); a
# mongod does not come by a package registry. No test here ran against MongoDB Inc.'s server.
# Failpoints are on. Exports AS_RIG_MONGO_URL, AS_RIG_MONGO_PORT, AS_RIG_MONGO_PID and AS_RIG_MONGO_PYTHON, a
# Python with pymongo, to look into a store behind the programs' back.

MONGO_PACKAGE=secantusdb==0.7.0b3

mongo_up() {
	local server=$1 port
	rig_venv "$server" "$MONGO_PACKAGE"
	rig_port port
	mkdir "$RIG/$server"
	# Its data go with it, and after a TERM it takes 2 s.
	rig_spawn "$server" KILL "$RIG_VENV/bin/secantusd-py" --host 127.0.0.1 --port "$port" \
		--storage-path "$RIG/$server" --enable-test-commands
	rig_wait "$server" 60 rig_listens "$port"
	rig_export "AS_RIG_${server^^}_URL" "mongodb://127.0.0.1:$port/as"
	rig_export "AS_RIG_${server^^}_PORT" "$port"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
	rig_export "AS_RIG_${server^^}_PYTHON" "$RIG_VENV/bin/python"
}
