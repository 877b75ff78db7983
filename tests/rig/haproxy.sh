# shellcheck shell=bash
# HAProxy in master-worker mode with empty backends web, api (paths below /api), static (a balance
# rule that takes no dynamic servers) bare (without markers) and slots
# (static-rr with three spare servers, paths below /slots). Exports AS_RIG_HAPROXY_SOCKET (Runtime API), _MASTER (master
# socket), _CFG, _URL (answers 503 until a server joins) and _PID (the master's).

haproxy_up() {
	local server=$1 port
	rig_need "$server" haproxy curl
	rig_port port
	cat >"$RIG/$server.cfg" <<-END
		global
		    stats socket $RIG/$server.sock mode 600 level admin expose-fd listeners
		defaults
		    mode http
		    option redispatch
		    retries 3
		    timeout connect 1s
		    timeout client 30s
		    timeout server 30s
		frontend fe
		    bind 127.0.0.1:$port
		    maxconn 4000
		    http-request use-service prometheus-exporter if { path /metrics }
		    use_backend api if { path_beg /api }
		    use_backend slots if { path_beg /slots }
		    default_backend web
		backend web
		    balance roundrobin
		    option httpchk GET /
		    # as-lb begin web
		    # as-lb end web
		backend api
		    balance roundrobin
		    option httpchk GET /
		    # as-lb begin api
		    # as-lb end api
		backend static
		    balance static-rr
		    # as-lb begin static
		    # as-lb end static
		backend slots
		    balance static-rr
		    server-template slot 1-3 127.0.0.1:9 check inter 200ms rise 1 fall 3 disabled
		    # as-lb begin slots
		    # as-lb end slots
		backend bare
		    balance random
	END
	rig_spawn "$server" TERM haproxy -W -S "$RIG/$server-master.sock,mode,600" -f "$RIG/$server.cfg"
	rig_wait "$server" 20 rig_answers "http://127.0.0.1:$port/"
	rig_export "AS_RIG_${server^^}_SOCKET" "$RIG/$server.sock"
	rig_export "AS_RIG_${server^^}_MASTER" "$RIG/$server-master.sock"
	rig_export "AS_RIG_${server^^}_CFG" "$RIG/$server.cfg"
	rig_export "AS_RIG_${server^^}_URL" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
