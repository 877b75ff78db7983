# shellcheck shell=bash
# ElastAlert2 of PyPI (2.19.0 is the last for Python 3.11; 25 s to install, 280 MB, kept in
# build/rig-cache), on as much of the Elasticsearch API as it needs (elasticsearch.py). It looks every
# second. Exports AS_RIG_ELASTALERT_SEARCH (POST documents to $AS_RIG_ELASTALERT_SEARCH/INDEX/_doc),
# _RULES (a folder, read at each round), _LOG and _PID.

elastalert_up() {
	local server=$1 port
	rig_venv "$server" elastalert2==2.19.0 pytz # which it forgot to ask for
	rig_port port
	mkdir "$RIG/$server-rules"
	cat >"$RIG/$server.yml" <<-END
		rules_folder: $RIG/$server-rules
		run_every: {seconds: 1}
		buffer_time: {minutes: 5}
		es_host: 127.0.0.1
		es_port: $port
		writeback_index: elastalert_status
		alert_time_limit: {days: 2}
	END
	rig_spawn "$server-search" TERM "$RIG_VENV/bin/python" "$RIG_HERE/elasticsearch.py" "$port"
	rig_wait "$server-search" 30 rig_answers "http://127.0.0.1:$port/"
	rig_spawn "$server" TERM "$RIG_VENV/bin/python" -m elastalert.elastalert --config "$RIG/$server.yml" --verbose
	rig_wait "$server" 60 grep -q 'Sleeping for' "$RIG/$server.log"
	rig_export "AS_RIG_${server^^}_SEARCH" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_RULES" "$RIG/$server-rules"
	rig_export "AS_RIG_${server^^}_LOG" "$RIG/$server.log"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
