#!/usr/bin/env bats
# nginx: what its own driver does (tests/unit/nginx_test.c, with a real one), and an nginx that runs in a container, which
# gets its signal and its test through the engine. What all balancers do: balancers.bats.

load lib

setup_file() {
	rig_up docker nginx
	nginx_image | curl -sS --max-time 60 --unix-socket "$API_SOCKET" -X POST -H 'Content-Type: application/x-tar' \
		-T - http://localhost/images/load >/dev/null
}
teardown_file() { rig_down; }
setup() { fresh; }
teardown() { wipe; }

# nginx_image: this machine's nginx and the libraries it needs as an image nginx:here, on standard output.
nginx_image() (
	set -e
	dir=$BATS_FILE_TMPDIR/image
	mkdir -p "$dir"/root/{bin,run,usr/sbin,etc,tmp,var/log/nginx,var/lib/nginx} "$dir/out"
	PATH=$PATH:/usr/sbin
	cp "$(command -v nginx)" "$dir/root/usr/sbin/nginx"
	cp "$(command -v busybox)" "$dir/root/bin/busybox"
	for name in sh head true; do ln -s busybox "$dir/root/bin/$name"; done
	ldd "$(command -v nginx)" | grep -o '/[^ ]*' | while read -r lib; do
		mkdir -p "$dir/root${lib%/*}"
		cp -L "$lib" "$dir/root$lib"
	done
	printf 'root:x:0:0::/:/bin/sh\n' >"$dir/root/etc/passwd"
	printf 'root:x:0:\n' >"$dir/root/etc/group"
	tar -C "$dir/root" --owner=0 --group=0 --numeric-owner -cf "$dir/out/layer.tar" .
	layer=$(sha256sum <"$dir/out/layer.tar")
	case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
	jq -n --arg layer "sha256:${layer%% *}" --arg arch "$arch" '{architecture: $arch, os: "linux",
		config: {Env: ["PATH=/usr/sbin:/bin"]}, rootfs: {type: "layers", diff_ids: [$layer]}}' >"$dir/out/here.json"
	echo '[{"Config": "here.json", "RepoTags": ["nginx:here"], "Layers": ["layer.tar"]}]' >"$dir/out/manifest.json"
	tar -C "$dir/out" -cf - .
	rm -rf "$dir"
)

@test "the driver's own cases, at a real nginx" {
	run "${AS_BUILD:-$TOP/build}/unit/nginx_test"
	grep -Ev '^ok' <<<"$output" | sed 's/^/# /' || true
	is "$status" 0
	[ "$(grep -c '^ok' <<<"$output")" -ge 70 ]
}

# inside: nginx in a container `front`, whose folder is $DIR; its address goes to $FRONT.
inside() {
	DIR=$BATS_TEST_TMPDIR/front
	mkdir "$DIR"
	cat >"$DIR/nginx.conf" <<-END
		user root;
		worker_processes 1;
		events {}
		http {
		    access_log off;
		    include $DIR/as-*.conf;
		    server {
		        listen 8081;
		        location = /as-gen { return 200 "\$as_gen\n"; }
		        location = /as-status { stub_status; }
		    }
		}
	END
	echo 'map "" $as_gen { default 0; }' >"$DIR/as-_gen.conf"
	IMAGE=nginx:here container front '{}' "{\"HostConfig\":{\"Binds\":[\"$DIR:$DIR\"]},
		\"Cmd\":[\"nginx\",\"-e\",\"stderr\",\"-c\",\"$DIR/nginx.conf\",\"-g\",\"daemon off;\"]}" >/dev/null
	FRONT=$(api GET /containers/front/json | jq -r '.NetworkSettings.Networks[].IPAddress')
	eventually 10 curl -sf -o /dev/null --max-time 2 "http://$FRONT:8081/as-gen"
	cat >"$AUTOSCALE_CONF" <<-END
		[lb "edge"]
		driver = nginx
		folder = $DIR
		config = $DIR/nginx.conf
		admin = http://$FRONT:8081
		container = front
	END
}
# app NAME: a replica of shop that joins by its labels; its id goes to $ID.
app() {
	ID=$(container "$1" '{"autoscale.service":"shop","autoscale.lb":"edge","autoscale.lb.port":"80",
		"autoscale.lb.rule":"Host(`shop.example`)","autoscale.drain":"5s"}')
	eventually 10 curl -s -o /dev/null --max-time 2 "http://$(api GET "/containers/$ID/json" | jq -r '.NetworkSettings.Networks[].IPAddress')/"
}
answers() { [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 -H "Host: $1" "http://$FRONT/")" = "$2" ]; }

@test "an nginx in a container is tested and told to reload through the engine; a rule makes a service reachable" {
	inside
	app shop-1
	first=$ID
	app shop-2
	as-inspect shop | as-resolve-policy >"$BATS_TEST_TMPDIR/in"
	as-lb-update <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" || { jq -c .error "$BATS_TEST_TMPDIR/out" >&2; false; }
	is "$(jq -c '[.lb[] | select(.do == "attach") | .ok]' "$BATS_TEST_TMPDIR/out")" '[true,true]'
	answers shop.example 200
	answers other.example 404
	jq -c --arg id "$first" '.plan = {op: "scale-down", create: [], start: [], remove: [{id: $id, name: "shop-1", host: "local"}]}' \
		"$BATS_TEST_TMPDIR/in" | as-lb-update --drain >"$BATS_TEST_TMPDIR/out"
	is "$(jq -c '[.lb[] | select(.do == "drain") | [.ok, .message]]' "$BATS_TEST_TMPDIR/out")" '[[true,""]]'
	answers shop.example 200
	# Its configuration is broken by somebody else: nothing is changed.
	echo 'broken' >"$DIR/as-zz.conf"
	sum=$(sha256sum "$DIR/as-shop.conf")
	as-lb-update <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>/dev/null && false
	has "$(jq -r .error.message "$BATS_TEST_TMPDIR/out")" as-zz.conf
	is "$(sha256sum "$DIR/as-shop.conf")" "$sum"
}
