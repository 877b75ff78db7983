# shellcheck shell=bash
# nginx with an upstream web that has no server yet (502). Exports AS_RIG_NGINX_URL, AS_RIG_NGINX_DIR (its
# prefix: as-*.conf in it is included), AS_RIG_NGINX_CONF, AS_RIG_NGINX_LOG and AS_RIG_NGINX_PID (the master's).
# `nginx -p DIR/ -e stderr -c CONF -t` tests the configuration.

nginx_up() {
	local server=$1 port dir=$RIG/$1
	rig_install "$server" nginx nginx
	rig_port port
	mkdir -p "$dir/tmp"
	cat >"$dir/nginx.conf" <<-END
		daemon off;
		user $(id -un) $(id -gn);
		worker_processes 1;
		pid $dir/nginx.pid;
		events {}
		http {
		    log_format as '\$msec \$upstream_addr \$upstream_response_time \$status';
		    access_log off;
		    client_body_temp_path $dir/tmp/body;
		    proxy_temp_path $dir/tmp/proxy;
		    fastcgi_temp_path $dir/tmp/fastcgi;
		    uwsgi_temp_path $dir/tmp/uwsgi;
		    scgi_temp_path $dir/tmp/scgi;
		    include $dir/as-*.conf;
		    server {
		        listen 127.0.0.1:$port default_server;
		        location = /as-gen { return 200 "\$as_gen\n"; }
		        location = /as-status { stub_status; }
		        location / {
		            access_log $dir/access.log as;
		            proxy_pass http://web;
		            proxy_http_version 1.1;
		            proxy_set_header Connection "";
		            proxy_connect_timeout 1s;
		        }
		    }
		}
	END
	cat >"$dir/as-web.conf" <<-'END'
		upstream web { zone web 64k; keepalive 16;
		  server 127.0.0.1:9 down;
		} map "" $as_gen { default 0; }
	END
	rig_spawn "$server" TERM nginx -p "$dir/" -e stderr -c "$dir/nginx.conf"
	rig_wait "$server" 20 rig_answers "http://127.0.0.1:$port/as-gen"
	rig_export "AS_RIG_${server^^}_URL" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_DIR" "$dir"
	rig_export "AS_RIG_${server^^}_CONF" "$dir/nginx.conf"
	rig_export "AS_RIG_${server^^}_LOG" "$dir/access.log"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
