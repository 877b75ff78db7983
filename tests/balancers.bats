#!/usr/bin/env bats
# What a user may expect of as-lb-update at each of the four balancers, the same words for all: no request is lost when
# containers come and go, what is not healthy gets no traffic, and a second run finds everything done. The balancers are
# real; a container is a loopback address (tests/unit/http_load.c), so that no engine is needed. Clients POST.
# AS_MOMENTS=100: that many random moments of kill -9 at each balancer. AS_BALANCERS='nginx envoy': only these.

load lib
load balancers

setup_file() {
	# shellcheck disable=SC2086
	rig_up $BALANCERS
	export APPS=$AS_RIG/apps
	local b
	for b in $BALANCERS; do apps_up "$APPS" "$b"; done
}
teardown_file() {
	apps_down "$APPS"
	rig_down
}
setup() {
	fresh
	local b
	for b in $BALANCERS; do lb_section "$b"; done >"$AUTOSCALE_CONF"
	export DOCKER_HOST=unix://$BATS_TEST_TMPDIR/no-engine.sock
	# The name of a test begins with its balancer's.
	case " $BALANCERS a " in *" ${BATS_TEST_DESCRIPTION%%[: ]*} "*) ;; *) skip 'not among AS_BALANCERS' ;; esac
}

teardown() {
	# shellcheck disable=SC2086
	kill ${LOAD_PID:-} ${PIDS:-} 2>/dev/null || true
}

# at_once CASE BALANCER: the case at all balancers at the same time, once, for those whose time is mostly waiting; says
# how it went at this one.
at_once() {
	local dir=$BATS_FILE_TMPDIR/$1 b pids=()
	if [ ! -d "$dir" ]; then
		mkdir "$dir"
		for b in $BALANCERS; do
			{
				set +eET
				trap - ERR DEBUG EXIT
				(set -e; trap teardown EXIT; "$1" "$b") >"$dir/$b.out" 2>&1
				echo $? >"$dir/$b.status"
			} 3>&- &
			pids+=($!)
		done
		wait "${pids[@]}" || true
	fi
	cat "$dir/$2.out"
	return "$(cat "$dir/$2.status")"
}

# none_failed BALANCER: of the load. An nginx that is reloaded closes kept connections, some in the face of a client.
none_failed() {
	case $1:${2:-} in
	nginx:keep) [ "$(tally '.failed * 200 <= .answered')" = true ] && return ;;
	*) [ "$(tally .failed)" = 0 ] && return ;;
	esac
	echo "# requests failed: $TALLY" >&2
	return 1
}
# took WHAT MS FROM TO
took() { is "$(($2 >= $3 && $2 <= $4))" 1 "$1 took $2 ms, not $3 to $4"; }

# ---- no request is lost ----

limit() { case $1 in haproxy) echo 300 ;; nginx) echo 250 ;; traefik) echo 1000 ;; envoy) echo 100 ;; esac; }

# The best of three, and a run that has nothing to do comes on top twice, for the machine may be busy.
joins_under_load() {
	local n idle from=() best=99999 enough=50
	[ "$1" != nginx ] || enough=500 # more than a second: a reload soon after another waits until then
	only "$1" 2
	idle=$(ms)
	only "$1" 2
	idle=$(($(ms) - idle))
	load_on "$1" "$2"
	eventually 10 more_hits "$1" 2 $(($(hits "$1" 2) + enough))
	for n in 3 4 5; do
		from[n]=$(ms)
		rec "$1" $(seq 2 "$n") | update >/dev/null
		eventually 10 more_hits "$1" "$n" $(($(hits "$1" "$n") + 10))
	done
	load_off
	none_failed "$1" "$2"
	for n in 3 4 5; do
		from[n]=$(($(tally ".by[\"$n\"].first") - from[n]))
		[ "${from[n]}" -ge "$best" ] || best=${from[n]}
	done
	took 'the first answer' "$best" 0 $(($(limit "$1") + 2 * idle))
}
@test "haproxy: servers join under load, with kept connections: no request fails" { joins_under_load haproxy keep; }
@test "haproxy: servers join under load, with new connections: no request fails" { joins_under_load haproxy close; }
@test "nginx: servers join under load, with kept connections: no request fails" { joins_under_load nginx keep; }
@test "nginx: servers join under load, with new connections: no request fails" { joins_under_load nginx close; }
@test "traefik: servers join under load, with kept connections: no request fails" { joins_under_load traefik keep; }
@test "traefik: servers join under load, with new connections: no request fails" { joins_under_load traefik close; }
@test "envoy: servers join under load, with kept connections: no request fails" { joins_under_load envoy keep; }
@test "envoy: servers join under load, with new connections: no request fails" { joins_under_load envoy close; }

# leaves_under_load BALANCER keep|close CONTAINER: which is not there any more after that
leaves_under_load() {
	local drained
	only "$1" 2 "$3"
	load_on "$1" "$2"
	eventually 10 more_hits "$1" "$3" $(($(hits "$1" "$3") + 30))
	rec "$1" 2 "$3" | removing "$3" >"$BATS_TEST_TMPDIR/plan.$1"
	update --drain <"$BATS_TEST_TMPDIR/plan.$1" >/dev/null
	drained=$(ms)
	eventually 10 more_hits "$1" 2 $(($(hits "$1" 2) + 50))
	curl -s --max-time 5 "http://127.0.0.$3:$(app_port "$1")/gone" || true
	update <"$BATS_TEST_TMPDIR/plan.$1" >/dev/null
	eventually 10 more_hits "$1" 2 $(($(hits "$1" 2) + 50))
	load_off
	none_failed "$1" "$2"
	is "$(entries "$1")" 2
	is "$(tally ".by[\"$3\"].last <= $drained")" true 'a request came after the drain'
}
@test "haproxy: a server is drained, removed and detached under load, with kept connections" { leaves_under_load haproxy keep 61; }
@test "haproxy: a server is drained, removed and detached under load, with new connections" { leaves_under_load haproxy close 62; }
@test "nginx: a server is drained, removed and detached under load, with kept connections" { leaves_under_load nginx keep 61; }
@test "nginx: a server is drained, removed and detached under load, with new connections" { leaves_under_load nginx close 62; }
@test "traefik: a server is drained, removed and detached under load, with kept connections" { leaves_under_load traefik keep 61; }
@test "traefik: a server is drained, removed and detached under load, with new connections" { leaves_under_load traefik close 62; }
@test "envoy: a server is drained, removed and detached under load, with kept connections" { leaves_under_load envoy keep 61; }
@test "envoy: a server is drained, removed and detached under load, with new connections" { leaves_under_load envoy close 62; }

rounds_under_load() {
	local i
	only "$1" 2
	load_on "$1" keep
	eventually 10 more_hits "$1" 2 $(($(hits "$1" 2) + 50))
	for i in 1 2 3; do
		rec "$1" 2 3 | update >/dev/null
		rec "$1" 2 3 | removing 3 | update --drain >/dev/null
		rec "$1" 2 3 | removing 3 | update >/dev/null
	done
	load_off
	none_failed "$1" keep
	is "$(entries "$1")" 2
}
@test "haproxy: a server comes and goes three times under load: no request fails" { rounds_under_load haproxy; }
@test "nginx: a server comes and goes three times under load: next to no request fails" { rounds_under_load nginx; }
@test "traefik: a server comes and goes three times under load: no request fails" { rounds_under_load traefik; }
@test "envoy: a server comes and goes three times under load: no request fails" { rounds_under_load envoy; }

# ---- requests that take long ----

# slow BALANCER MS SERVER: requests of so long, one after the other until the server has one in flight (each worker of an
# nginx has its own turn, so no fixed number is sure to reach both servers); their statuses go to slow.BALANCER
slow() {
	local wanted=$(($(hits "$1" "$3") + 1)) i
	: >"$BATS_TEST_TMPDIR/slow.$1"
	SLOW=()
	for ((i = 0; i < 40; i++)); do
		curl -s -o /dev/null --max-time 20 -w '%{http_code}\n' -d x "http://127.0.0.1:$(front "$1")/wait/$2" >>"$BATS_TEST_TMPDIR/slow.$1" &
		SLOW+=($!)
		sleep 0.1
		if more_hits "$1" "$3" "$wanted"; then return 0; fi
	done
	echo "of ${#SLOW[@]} requests none reached server $3 of $1" >&2
	return 1
}
statuses() { LC_ALL=C sort "$BATS_TEST_TMPDIR/slow.$1" | uniq -c | awk '{ printf "%s%s x %s", sep, $1, $2; sep = ", " } END { print "" }'; }

drain_waits() {
	local from
	only "$1" 2 3
	slow "$1" 2000 3
	from=$(ms)
	rec "$1" 2 3 | removing 3 | update --drain >/dev/null
	took drain $(($(ms) - from)) 500 7000
	wait "${SLOW[@]}"
	is "$(statuses "$1")" "${#SLOW[@]} x 200"
}
@test "haproxy: a request in flight ends well when its server is drained, and drain waits for it" { at_once drain_waits haproxy; }
@test "nginx: a request in flight ends well when its server is drained, and drain waits for it" { at_once drain_waits nginx; }
@test "traefik: a request in flight ends well when its server is drained, and drain waits for it" { at_once drain_waits traefik; }
@test "envoy: a request in flight ends well when its server is drained, and drain waits for it" { at_once drain_waits envoy; }

detach_does_not_wait_for_ever() {
	local from said
	only "$1" 2 3
	slow "$1" 5000 3
	PIDS=${SLOW[*]}
	from=$(ms)
	rec "$1" 2 3 | removing 3 | jq -c '.policy.drain = 1' | update >"$BATS_TEST_TMPDIR/cut.$1"
	took detach $(($(ms) - from)) 1000 4500
	said=$(jq -r '.lb[] | select(.do == "detach" and .ok) | .message' "$BATS_TEST_TMPDIR/cut.$1")
	if [ "$1" = nginx ]; then has "$said" 'nginx cuts no single connection'; else is "$said" forced; fi
	is "$(entries "$1")" 2
	kill "${SLOW[@]}" 2>/dev/null || true
	[ "$1" != haproxy ] || is "$(sort -u "$BATS_TEST_TMPDIR/slow.$1")" 502
}
@test "haproxy: a request of 5 s is cut when the drain's limit of 1 s is over" { at_once detach_does_not_wait_for_ever haproxy; }
@test "nginx: a request of 5 s does not hold up who detaches for longer than the drain's limit of 1 s" { at_once detach_does_not_wait_for_ever nginx; }
@test "traefik: a request of 5 s is cut when the drain's limit of 1 s is over" { at_once detach_does_not_wait_for_ever traefik; }
@test "envoy: a request of 5 s is cut when the drain's limit of 1 s is over" { at_once detach_does_not_wait_for_ever envoy; }

# ---- the health gate ----

closed_port_stays_out() {
	local from
	only "$1" 2
	load_on "$1" close
	from=$(ms)
	! rec "$1" 2 "3:$(closed_port "$1")" | jq -c '.policy.ready_timeout = 1' | update >"$BATS_TEST_TMPDIR/closed.$1" 2>/dev/null
	took 'the gate' $(($(ms) - from)) 900 3000
	is "$(jq -c '[.error.code, (.lb[] | select(.do == "attach" and (.ok | not)) | .server)]' "$BATS_TEST_TMPDIR/closed.$1")" '["unavailable","as-000000000003"]'
	is "$(entries "$1")" 2
	eventually 10 more_hits "$1" 2 $(($(hits "$1" 2) + 50))
	load_off
	none_failed "$1"
}
@test "haproxy: a container whose port is closed stays out, says so in time, and costs no request" { at_once closed_port_stays_out haproxy; }
@test "nginx: a container whose port is closed stays out, says so in time, and costs no request" { at_once closed_port_stays_out nginx; }
@test "traefik: a container whose port is closed stays out, says so in time, and costs no request" { at_once closed_port_stays_out traefik; }
@test "envoy: a container whose port is closed stays out, says so in time, and costs no request" { at_once closed_port_stays_out envoy; }

late_port_joins() {
	local from late port
	only "$1" 2
	load_on "$1" close
	"$LOAD" serve 1500 >"$BATS_TEST_TMPDIR/late.$1" &
	late=$! PIDS=$!
	eventually 5 test -s "$BATS_TEST_TMPDIR/late.$1"
	port=$(cat "$BATS_TEST_TMPDIR/late.$1")
	from=$(ms)
	rec "$1" 2 "3:$port" | update >/dev/null
	took attach $(($(ms) - from)) 1000 5000
	eventually 10 curl -sf -o /dev/null "http://127.0.0.3:$port/hits"
	eventually 10 late_answers "$port"
	load_off
	none_failed "$1"
	only "$1" 2
	kill "$late"
}
late_answers() { [ "$(curl -s "http://127.0.0.3:$1/hits")" -ge 10 ]; }
@test "haproxy: a container that opens its port late joins then, and costs no request" { at_once late_port_joins haproxy; }
@test "nginx: a container that opens its port late joins then, and costs no request" { at_once late_port_joins nginx; }
@test "traefik: a container that opens its port late joins then, and costs no request" { at_once late_port_joins traefik; }
@test "envoy: a container that opens its port late joins then, and costs no request" { at_once late_port_joins envoy; }

# ---- the list is what it should be ----

said() { jq -c '[.lb[]? | [.do, .server[-1:], .message]] | sort'; }

twice_changes_nothing() {
	only "$1"
	is "$(rec "$1" 2 3 | update | said)" '[["attach","2",""],["attach","3",""]]'
	is "$(rec "$1" 2 3 | update | said)" '[["attach","2","already"],["attach","3","already"]]'
	is "$(rec "$1" 2 3 | removing 3 | update | jq -c '[.lb[] | select(.do == "detach") | .message]')" '[""]'
	is "$(rec "$1" 2 3 | removing 3 | update | jq -c '[.lb[] | select(.do == "detach") | .message]')" '["already"]'
	is "$(entries "$1")" 2
}
@test "haproxy: attaching twice, detaching twice: the second says already, and succeeds" { at_once twice_changes_nothing haproxy; }
@test "nginx: attaching twice, detaching twice: the second says already, and succeeds" { at_once twice_changes_nothing nginx; }
@test "traefik: attaching twice, detaching twice: the second says already, and succeeds" { at_once twice_changes_nothing traefik; }
@test "envoy: attaching twice, detaching twice: the second says already, and succeeds" { at_once twice_changes_nothing envoy; }

# answered_by BALANCER CONTAINER COMMAND-COUNT: 20 requests, all of which this one gets
all_go_to() {
	local before i
	before=$(hits "$1" "$2")
	for i in $(seq 20); do curl -s -d x "http://127.0.0.1:$(front "$1")/x"; done >"$BATS_TEST_TMPDIR/all.$1"
	is "$(sort "$BATS_TEST_TMPDIR/all.$1" | uniq -c | xargs)" "20 $2" "who answered 20 requests at $1"
	is $(($(hits "$1" "$2") - before)) 20
}

stranger_gets_nothing() {
	only "$1" 2 3
	is "$(rec "$1" 3 | update | jq -c '[.lb[] | select(.do == "detach") | [.server, .ok]]')" '[["as-000000000002",true]]'
	is "$(entries "$1")" 3
	all_go_to "$1" 3
}
@test "haproxy: a container is gone and a stranger has its address: the stranger gets no request" { at_once stranger_gets_nothing haproxy; }
@test "nginx: a container is gone and a stranger has its address: the stranger gets no request" { at_once stranger_gets_nothing nginx; }
@test "traefik: a container is gone and a stranger has its address: the stranger gets no request" { at_once stranger_gets_nothing traefik; }
@test "envoy: a container is gone and a stranger has its address: the stranger gets no request" { at_once stranger_gets_nothing envoy; }

moved_is_followed() {
	only "$1" 2
	is "$(rec "$1" 2@9 | update | jq -c '[.lb[] | [.do, .ok, .address]]')" "[[\"attach\",true,\"127.0.0.9:$(app_port "$1")\"]]"
	is "$(entries "$1")" 2
	all_go_to "$1" 9
}
@test "haproxy: a container is restarted with another address: only that gets requests" { at_once moved_is_followed haproxy; }
@test "nginx: a container is restarted with another address: only that gets requests" { at_once moved_is_followed nginx; }
@test "traefik: a container is restarted with another address: only that gets requests" { at_once moved_is_followed traefik; }
@test "envoy: a container is restarted with another address: only that gets requests" { at_once moved_is_followed envoy; }

fifty_at_once() {
	local n before
	n=$(seq 11 60)
	only "$1"
	before=$(reloads "$1")
	# shellcheck disable=SC2086
	rec "$1" $n | update >"$BATS_TEST_TMPDIR/fifty.$1"
	is "$(jq '[.lb[] | select(.do == "attach" and .ok)] | length' "$BATS_TEST_TMPDIR/fifty.$1")" 50
	is "$(entries "$1")" "$(xargs <<<"$n")"
	took 'reloads, which' $(($(reloads "$1") - before)) 0 2
	only "$1" 2
}
@test "haproxy: fifty containers join together" { at_once fifty_at_once haproxy; }
@test "nginx: fifty containers join together, with two reloads at most" { at_once fifty_at_once nginx; }
@test "traefik: fifty containers join together" { at_once fifty_at_once traefik; }
@test "envoy: fifty containers join together" { at_once fifty_at_once envoy; }

reloads() { if [ "$1" = nginx ]; then curl -s "$AS_RIG_NGINX_URL/as-gen"; else echo 0; fi; }

# Each writer saw the half that is its own, and a host that did not answer: so it takes nothing out.
blind() { jq -c '.observed.hosts[0].ok = false'; }
two_writers() {
	local a b pid
	a=$(seq 11 30) b=$(seq 31 50)
	only "$1"
	# shellcheck disable=SC2086
	rec "$1" $a | blind >"$BATS_TEST_TMPDIR/a.$1"
	# shellcheck disable=SC2086
	rec "$1" $b | blind >"$BATS_TEST_TMPDIR/b.$1"
	update <"$BATS_TEST_TMPDIR/a.$1" >/dev/null &
	pid=$!
	update <"$BATS_TEST_TMPDIR/b.$1" >/dev/null
	wait "$pid"
	is "$(entries "$1")" "$(xargs <<<"$a $b")"
	whole "$1"
	only "$1" 2
}
@test "haproxy: two runs attach twenty each at the same time: forty are there, no file is torn" { at_once two_writers haproxy; }
@test "nginx: two runs attach twenty each at the same time: forty are there, no file is torn" { at_once two_writers nginx; }
@test "traefik: two runs attach twenty each at the same time: forty are there, no file is torn" { at_once two_writers traefik; }
@test "envoy: two runs attach twenty each at the same time: forty are there, no file is torn" { at_once two_writers envoy; }

@test "a container on two networks, and nobody says which: refused, both are named, nothing is attached" {
	local b=${BALANCERS%% *}
	only "$b"
	run -1 --separate-stderr update < <(rec "$b" 2 | jq -c '.observed.containers[0].addresses.back = "127.0.0.9"')
	has "$(jq -r .error.message <<<"$output")" front
	has "$(jq -r .error.message <<<"$output")" back
	is "$(entries "$b")" ''
	run -0 update < <(rec "$b" 2 | jq -c '.observed.containers[0].addresses.back = "127.0.0.9" | .policy.lb_network = "back"')
	is "$(jq -r '.lb[0].address' <<<"$output")" "127.0.0.9:$(app_port "$b")"
}

# ---- a run that is killed ----

# From {2, 3} to {2, 4, 5} and back, killed at a moment of the time that it took when nobody killed it last.
killed_at_random_moments() {
	local i limit moment from to died=0 moments=${AS_MOMENTS:-25} dir=$BATS_TEST_TMPDIR/killed.$1
	mkdir "$dir"
	rec "$1" 2 3 >"$dir/2 3"
	rec "$1" 2 4 5 >"$dir/2 4 5"
	only "$1" 2 3
	limit=300
	for ((i = 0; died < moments && i < 20 * moments; i++)); do
		if ((i % 2)); then to='2 3'; else to='2 4 5'; fi
		moment=$((1 + (RANDOM * 32768 + RANDOM) % limit))
		from=$(ms)
		if timeout -s KILL "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))" as-lb-update <"$dir/$to" >/dev/null 2>&1; then
			limit=$(($(ms) - from))
		else
			died=$((died + 1))
		fi
		is "$(curl -s -o /dev/null --max-time 5 -w '%{http_code}' -d x "http://127.0.0.1:$(front "$1")/x")" 200 "killed after $moment ms"
		update <"$dir/$to" >"$dir/said" || { cat "$dir/said"; return 1; }
		is "$(entries "$1")" "$to" "killed after $moment ms"
		whole "$1"
	done
	echo "# $1: died $died times in $i rounds"
	[ "$died" -ge "$moments" ]
}
@test "haproxy: kill -9 at random moments, then one run: the list is right, no file is torn, it serves" { at_once killed_at_random_moments haproxy; }
@test "nginx: kill -9 at random moments, then one run: the list is right, no file is torn, it serves" { at_once killed_at_random_moments nginx; }
@test "traefik: kill -9 at random moments, then one run: the list is right, no file is torn, it serves" { at_once killed_at_random_moments traefik; }
@test "envoy: kill -9 at random moments, then one run: the list is right, no file is torn, it serves" { at_once killed_at_random_moments envoy; }

# ---- a balancer that says nothing ----

silent_is_given_up() {
	local at from peer
	only "$1" 2
	at=tcp
	[ "$1" != haproxy ] || at=$BATS_TEST_TMPDIR/silent.sock
	"$LOAD" silent "$at" >"$BATS_TEST_TMPDIR/silent.$1" &
	peer=$! PIDS=$!
	eventually 5 test -s "$BATS_TEST_TMPDIR/silent.$1"
	[ "$at" != tcp ] || at=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/silent.$1")
	lb_section "$1" | sed -E "s,^(socket|admin) = .*,\\1 = $at," >"$BATS_TEST_TMPDIR/silent.conf.$1"
	from=$(ms)
	! rec "$1" 2 3 | AUTOSCALE_CONF=$BATS_TEST_TMPDIR/silent.conf.$1 update >"$BATS_TEST_TMPDIR/given-up.$1" 2>/dev/null
	took 'giving up' $(($(ms) - from)) 1000 23000
	is "$(jq -r .error.code "$BATS_TEST_TMPDIR/given-up.$1")" unavailable
	kill "$peer"
	wait "$peer"
	took 'connections, which' "$(tail -n 1 "$BATS_TEST_TMPDIR/silent.$1")" 1 3
	is "$(entries "$1")" 2
	whole "$1"
}
@test "haproxy: a silent socket is given up in time, and the list stays" { at_once silent_is_given_up haproxy; }
@test "nginx: a silent address is given up in time, and the list stays" { at_once silent_is_given_up nginx; }
@test "traefik: a silent address is given up in time, and the list stays" { at_once silent_is_given_up traefik; }
@test "envoy: a silent address is given up in time, and the list stays" { at_once silent_is_given_up envoy; }

# ---- a driver is a driver ----

suite() { "${AS_BUILD:-$TOP/build}/unit/lb_suite_test" "$AUTOSCALE_CONF" "$1" "$(front "$1")" web >"$BATS_TEST_TMPDIR/suite.$1"; }
driver_suite() {
	only "$1"
	suite "$1" || { grep -v '^ok' "$BATS_TEST_TMPDIR/suite.$1"; return 1; }
	grep -c '^ok' "$BATS_TEST_TMPDIR/suite.$1"
}
@test "haproxy: the driver keeps what lb.h promises" { at_once driver_suite haproxy; }
@test "nginx: the driver keeps what lb.h promises" { at_once driver_suite nginx; }
@test "traefik: the driver keeps what lb.h promises" { at_once driver_suite traefik; }
@test "envoy: the driver keeps what lb.h promises" { at_once driver_suite envoy; }
