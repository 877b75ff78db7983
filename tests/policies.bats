# `as-policy check`, and what the fields of a policy take: schedules with the zone database, targets, counts.
# shellcheck disable=SC2016 # jq has dollars

load lib

setup_file() { rig_up docker; }
teardown_file() { rig_down; }

setup() {
	fresh
	cd "$BATS_TEST_TMPDIR"
}
teardown() { wipe; }

# finds STATUS < LINES: checks p.json, which must give these lines on standard error and nothing else.
finds() {
	local want
	want=$(cat)
	run "-$1" --separate-stderr as-policy check p.json
	is "$stderr" "$want" 'what is found'
	is "$output" '' 'standard output'
}

# ---- clean ----

@test "check: policies without a mistake give status 0 and no word, from files, standard input, an array, over lines" {
	cat >p.json <<-'END'
		[{"name": "web", "service": "web", "min": 2, "max": 10,
		  "schedule": "mon-fri 08:00-18:00 Europe/Berlin min=4 max=20; sat,sun 10:00-12:00 UTC max=3"},
		 {"name": "api", "target": {"lb.connections": 100}, "max": 5, "window_down": 60}]
		{"name": "shop", "target":
		  "prometheus:sum(jobs{queue=\"mail;x\"})=20;replica:lb.queue=1.5", "max": 5, "on_missing": "3 if-higher"}
	END
	finds 0 <<<''
	run -0 as-policy check <p.json
	is "$output" ''
	run -0 as-policy -v check p.json
	is "$output" 'as-policy: 3 policies are good'
}

@test "check: makes no store, and asks none that is not there" {
	echo '{"name":"web","max":3}' >p.json
	finds 0 <<<''
	[ ! -e store.db ]
	export AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/no/such/folder/store.db
	finds 0 <<<''
	[ ! -e no ]
	: >empty.db
	AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/empty.db finds 0 <<<''
	[ ! -s empty.db ]
}

@test "check: a store that cannot be read is said, and changes no status" {
	echo '{"name":"web","max":3}' >p.json
	mkdir folder
	AUTOSCALE_STORE=sqlite:$BATS_TEST_TMPDIR/folder finds 0 <<<"as-policy: not compared with the store: $BATS_TEST_TMPDIR/folder is not a file: name a file for the store"
}

# ---- what would not load: 65 ----

@test "check: every value that would not load is named with the line it stands in" {
	cat >p.json <<-'END'
		[
		  {
		    "name": "a", "service": "web",
		    "min": 5,
		    "max": 3,
		    "colour": "red",
		    "fields": {
		      "grace": "soon"
		    }
		  },
		  {"name": "b", "type": "what"},
		  {"min": 1},
		  7
		]
	END
	finds 65 <<-'END'
		p.json:5: a: min 5 is larger than max 3
		p.json:6: a: unknown field "colour": as-policy(1) lists them
		p.json:8: a: grace wants a duration such as 30s, 5m or 1.5, not "soon"
		p.json:11: b: type is scale-up, scale-down, service-availability, load-balancer or track, not "what"
		p.json:12: policy 3: a policy needs a `name` of 1 to 63 bytes
		p.json:13: policy 4: a policy is a JSON object
	END
	run -65 as-policy load <p.json
}

@test "check: bands with a gap, an overlap, an end, one that is empty and one that is never reached, by their bounds" {
	cat >p.json <<-'END'
		{"name": "gap", "step": "0..20:1;30..:2"}
		{"name": "overlap", "step_up": "0..20:1;10..:2"}
		{"name": "ends", "step_down": "0..20:1;20..50:2"}
		{"name": "empty", "step": "0..20:1;20..20:2;20..:3"}
		{"name": "unreachable", "step": "0..20:1;20..:2;50..:3"}
	END
	wants='wants 2, 50% or bands such as 0..20:1;20..:25%, not'
	finds 65 <<-END
		p.json:1: gap: step $wants "0..20:1;30..:2": the bands 0..20 and 30.. leave a gap
		p.json:2: overlap: step_up $wants "0..20:1;10..:2": the bands 0..20 and 10.. overlap
		p.json:3: ends: step_down $wants "0..20:1;20..50:2": above the last band, 20..50, there is none: it has to be open
		p.json:4: empty: step $wants "0..20:1;20..20:2;20..:3": the band 20..20 is empty
		p.json:5: unreachable: step $wants "0..20:1;20..:2;50..:3": the band 50.. is never reached: 20.. before it has no end
	END
}

@test "check: schedules with equal ends, an unknown zone, a zone outside of the database, nothing to say" {
	cat >p.json <<-'END'
		{"name": "equal", "schedule": "daily 08:00-08:00 UTC min=3"}
		{"name": "zone", "schedule": "daily 08:00-09:00 UTC min=3; daily 08:00-09:00 Europe/Atlantis min=3"}
		{"name": "outside", "schedule": "daily 08:00-09:00 ../../../etc/localtime min=3"}
		{"name": "nothing", "schedule": "daily 08:00-09:00 UTC"}
	END
	wants='schedule wants a schedule such as mon-fri 08:00-18:00 Europe/Berlin min=4 max=20, not'
	finds 65 <<-END
		p.json:1: equal: $wants "daily 08:00-08:00 UTC min=3": entry 1: start and end are equal: a whole day is 00:00-24:00
		p.json:2: zone: $wants "daily 08:00-09:00 UTC min=3; daily 08:00-09:00 Europe/Atlantis min=3": entry 2: the zone database has no "Europe/Atlantis"
		p.json:3: outside: $wants "daily 08:00-09:00 ../../../etc/localtime min=3": entry 1: the zone database has no "../../../etc/localtime"
		p.json:4: nothing: $wants "daily 08:00-09:00 UTC": entry 1: it has neither min=N nor max=N
	END
}

@test "check: what is no JSON is named by its line; what stands before it is looked at" {
	printf '%s\n' '{"name": "a", "min": 9, "max": 3}' '{"name": "b",' '  "max": 3,' '}' >p.json
	run -65 as-policy check p.json
	is "${lines[0]}" 'p.json:1: a: min 9 is larger than max 3'
	has "${lines[1]}" 'p.json:4: policy 2: '
	is "${#lines[@]}" 2
	printf '%s\n' '{"name": "a", "max": 3,' '"max": 4}' >p.json
	run -65 as-policy check p.json
	has "$output" 'p.json:2: policy 1: '
	printf '%s\n' '{"name": "a", "max": 3' >p.json
	run -65 as-policy check p.json
	has "$output" ': policy 1: '
}

@test "check: a file that is not there is said, and the others are looked at" {
	echo '{"name":"a","min":5,"max":3}' >p.json
	run -65 as-policy check nowhere p.json
	is "$output" 'as-policy: cannot read nowhere: No such file or directory
p.json:1: a: min 5 is larger than max 3'
	echo '{"name":"a","max":3}' >p.json
	run -65 as-policy check nowhere p.json
}

@test "check: a text from a file cannot reach the terminal as control codes" {
	printf '{"name":"a\\u001b[2J","min":5,"max":3}' >p.json
	finds 65 <<<'p.json:1: a?[2J: min 5 is larger than max 3'
}

# ---- what loads and is hardly meant: 1 ----

@test "check: entries of a schedule that overlap, that cross the policy's limits, or begin outside of their own" {
	cat >p.json <<-'END'
		{"name": "overlap", "min": 1, "max": 9, "schedule":
		  "mon-fri 08:00-18:00 Europe/Berlin min=2; fri 16:59-20:00 UTC max=3; sat 10:00-11:00 UTC max=4"}
		{"name": "cross", "min": 2, "max": 4,
		  "schedule": "daily 08:00-09:00 UTC min=6; daily 10:00-11:00 UTC max=1; daily 12:00-13:00 UTC max=8 initial=9"}
	END
	finds 1 <<-'END'
		p.json:2: overlap: schedule: entries 1 and 2 overlap: 1 comes first and wins
		p.json:4: cross: schedule: entry 1 raises max 4 to its min 6
		p.json:4: cross: schedule: entry 2 lowers min 2 to its max 1
		p.json:4: cross: schedule: initial 9 of entry 3 is outside its limits
	END
	run -0 as-policy load <p.json
}

@test "check: a band that no value reaches, and one that makes no difference between min and max" {
	cat >p.json <<-'END'
		{"name": "a", "max": 9, "target": {"lb.connections": 100}, "step_down": "0..50:1;50..100:2;100..:3"}
		{"name": "b", "min": 2, "max": 4, "step_up": "0..20:1;20..50:2;50..:3"}
	END
	finds 1 <<-'END'
		p.json:1: a: step_down: the band 100.. is never reached: no value is that far below the target 100
		p.json:2: b: step_up: the band 50.. makes no difference: 20..50 already moves from min 2 to max 4
	END
}

@test "check: a target without max, unless another policy of the service or the schedule has one" {
	cat >p.json <<-'END'
		{"name": "a",
		  "target": {"lb.connections": 100}}
		{"name": "b", "target": {"lb.connections": 100}}
		{"name": "bs", "service": "b*", "max": 4}
		{"name": "c", "target": {"lb.connections": 100}, "schedule": "daily 08:00-18:00 UTC max=4"}
	END
	finds 1 <<<'p.json:2: a: target without max: nothing scales up'
}

@test "check: a metric that nothing measures" {
	echo '{"name": "a", "max": 3, "target": {"lb.conections": 100, "exec:": 1, "file:/run/load": 3, "docker.cpu": 1}}' >p.json
	finds 1 <<-'END'
		p.json:1: a: target: nothing measures "exec:": as-sample(1) has the names
		p.json:1: a: target: nothing measures "lb.conections": as-sample(1) has the names
	END
}

@test "check: a cooldown or a window that its type never uses" {
	cat >p.json <<-'END'
		{"name": "a", "type": "scale-up", "cooldown_down": 3, "cooldown_up": 4, "window": 5}
		{"name": "b", "type": "service-availability", "cooldown": 3}
		{"name": "c", "type": "track", "cooldown": 3, "window": 5}
	END
	finds 1 <<-'END'
		p.json:1: a: cooldown_down: a policy of type scale-up never uses it
		p.json:1: a: window: a policy of type scale-up never uses it
		p.json:2: b: cooldown: a policy of type service-availability never uses it
	END
}

@test "check: a policy that never wins, two of one name, limits of two that cross, members of a wrong type" {
	cat >p.json <<-'END'
		{"name": "low", "service": "web", "max": 3, "cooldown": 5}
		{"name": "high", "service": "web", "max": 9, "min": 4, "priority": 2}
		{"name": "highest", "service": "w*", "priority": 3, "cooldown_up": 1, "cooldown_down": 2}
		{"name": "low2", "service": "web", "cooldown_down": 3, "grace": 5}
		{"name": "min", "service": "api", "min": 4}
		{"name": "max", "service": "api",
		  "max": 3}
		{"name": "twice", "max": 1}
		{"name": "twice", "max": 2, "priority": "1"}
		{"name": "off", "service": "web", "max": 1, "enabled": false}
		{"name": "none", "service": "x"}
	END
	finds 1 <<-'END'
		p.json:1: low: it never wins: all that it sets is set by policy high and policy highest
		p.json:7: max: min 4 (policy min) is larger than max 3 (policy max): correct one of them
		p.json:9: twice: this name stands at p.json:8 too: the last one is kept
		p.json:9: twice: priority is not a whole number: it counts as 0
		p.json:11: none: it has no fields: it makes no difference
	END
}

@test "check: a number above the operator's max_replicas" {
	printf '[limits]\nmax_replicas = 10\n' >>"$AUTOSCALE_CONF"
	echo '{"name": "a", "max": 11, "schedule": "daily 08:00-18:00 UTC max=12"}' >p.json
	finds 1 <<-'END'
		p.json:1: a: max 11 is above the operator's max_replicas 10, which holds
		p.json:1: a: schedule: entry 1 is above the operator's max_replicas 10, which holds
	END
}

@test "check: the policies of the store take part, as far as no file replaces them, and nothing is said about them" {
	as-policy load <<<'{"name":"old","service":"*","priority":9,"max":4} {"name":"web","service":"web","max":2}'
	echo '{"name": "web", "service": "web", "max": 3}' >p.json
	finds 1 <<<'p.json:1: web: it never wins: all that it sets is set by policy old'
	is "$(as-policy list | jq -c '[.name, .max, .version]' | tr '\n' ' ')" '["old",4,1] ["web",2,1] '
}

@test "check: a label or variable of a remembered service that overrides a field, with service, label and policy" {
	container web '{"autoscale.service":"web","autoscale.max":"4","autoscale.cooldown":"5s"}' \
		'{"Env":["AUTOSCALE_GRACE=3"],"HostConfig":{"NetworkMode":"none"}}' >/dev/null
	container web2 '{"autoscale.service":"web","autoscale.max":"4"}' '{"HostConfig":{"NetworkMode":"none"}}' >/dev/null
	as-inspect --remember web >/dev/null
	cat >p.json <<-'END'
		{"name": "all", "service": "w*", "min": 2,
		  "max": 6,
		  "cooldown": 9, "grace": 4}
		{"name": "other", "service": "api", "max": 6}
		{"name": "target", "service": "web", "target": {"lb.connections": 100}}
	END
	finds 1 <<-'END'
		p.json:2: all: max: label autoscale.max of service web overrides it
		p.json:3: all: cooldown: label autoscale.cooldown of service web overrides it
		p.json:3: all: grace: variable AUTOSCALE_GRACE of service web overrides it
	END
	echo '{"name": "web", "max": 3}' >p.json
	printf '[limits]\nlabels = narrow\n' >>"$AUTOSCALE_CONF"
	finds 0 <<<''
	sed -i 's/narrow/ignore/' "$AUTOSCALE_CONF"
	echo '{"name": "web", "max": 9}' >p.json
	finds 0 <<<''
}

# ---- schedules at work ----

# planned NOW RUNNING POLICY [HISTORY]: the reconciling plan's count and reason.
planned() {
	jq -nc --arg now "$1" --argjson n "$2" --argjson policy "$3" --argjson history "${4:-{\}}" '{v: 1, id: "x", now: $now, service: "web",
		observed: {hosts: [{name: "h", ok: true}], template: {name: "web", host: "h"}, containers: [range($n) |
			{id: "\(.)", name: "web-\(.)", host: "h", state: "running", ready: true, index: ., copy: (. > 0)}]},
		policy: $policy, history: $history}' | as-decide | jq -r '.plan | "\(.from) -> \(.to) \(.reason)"'
}

@test "a schedule's min holds from its start to its end, by the clocks of its zone, and the reason says so" {
	policy='{"min":1,"max":9,"schedule":"mon-fri 08:00-18:00 Europe/Berlin min=3","from":{"schedule":"label","min":"default"}}'
	has "$(planned 2026-11-24T06:59:59.999Z 1 "$policy")" '1 -> 1 '
	run -0 planned 2026-11-24T07:00:00Z 1 "$policy"
	has "$output" '1 -> 3 '
	has "$output" 'min 3 (schedule (label))'
	has "$(planned 2026-11-24T16:59:59.999Z 1 "$policy")" '1 -> 3 '
	has "$(planned 2026-11-24T17:00:00Z 1 "$policy")" '1 -> 1 '
	has "$(planned 2026-07-14T06:00:00Z 1 "$policy")" '1 -> 3 '
}

@test "a schedule begins with its initial count once, within its limits" {
	policy='{"min":1,"max":9,"schedule":"daily 08:00-18:00 UTC min=10 max=100 initial=50"}'
	has "$(planned 2026-11-24T09:00:00Z 3 "$policy")" '3 -> 50 '
	has "$(planned 2026-11-24T09:00:00Z 120 "$policy")" '120 -> 100 '
	has "$(planned 2026-11-24T07:59:59Z 3 "$policy")" '3 -> 3 '
	before='{"last_out":"2026-11-24T07:59:59.999Z","last_in":null}' after='{"last_out":null,"last_in":"2026-11-24T08:00:00Z"}'
	has "$(planned 2026-11-24T12:00:00Z 12 "$policy" "$before")" '12 -> 50 '
	has "$(planned 2026-11-24T12:00:00Z 12 "$policy" "$after")" '12 -> 12 '
	has "$(planned 2026-11-25T08:00:00Z 12 "$policy" "$after")" '12 -> 50 ' # the next day is another time
}

@test "a schedule that names one limit leaves the other, and where they cross its own wins" {
	policy='{"min":2,"max":4,"schedule":"daily 08:00-12:00 UTC min=6; daily 12:00-18:00 UTC max=1","from":{"schedule":"db:web@3","min":"label","max":"label"}}'
	run -0 planned 2026-11-24T09:00:00Z 3 "$policy"
	has "$output" '3 -> 6 '
	has "$output" '(schedule (db:web@3))'
	has "$(planned 2026-11-24T09:00:00Z 9 "$policy")" '9 -> 6 '
	run -0 planned 2026-11-24T13:00:00Z 3 "$policy"
	has "$output" '3 -> 1 '
	has "$output" 'max 1 (schedule (db:web@3))'
	has "$(planned 2026-11-24T19:00:00Z 9 "$policy")" '9 -> 4 '
	run -0 planned 2026-11-24T09:00:00Z 3 "${policy/08:00/8}"
	has "$output" '3 -> 3 '
}

@test "a label's schedule goes not above the operator's max_replicas; one of an unknown zone gives way, with a warning" {
	printf '[limits]\nmax_replicas = 6\n' >>"$AUTOSCALE_CONF"
	container web '{"autoscale.service":"web","autoscale.schedule":"daily 00:00-24:00 UTC min=8 max=50"}' '{"HostConfig":{"NetworkMode":"none"}}' >/dev/null
	run -0 bash -c 'as-inspect web | as-resolve-policy | as-decide'
	is "$(jq -c '[.policy.schedule, .plan.from, .plan.to]' <<<"$output")" '["daily 00:00-24:00 UTC min=6 max=6",1,6]'
	wipe
	container web '{"autoscale.service":"web","autoscale.schedule":"daily 00:00-24:00 Europe/Atlantis min=8"}' '{"HostConfig":{"NetworkMode":"none"}}' >/dev/null
	as-policy set web schedule='daily 00:00-24:00 UTC min=2'
	run -0 bash -c 'as-inspect web | as-resolve-policy'
	is "$(jq -c '[.policy.schedule, .policy.from.schedule]' <<<"$output")" '["daily 00:00-24:00 UTC min=2","db:web@1"]'
	has "$(jq -r '.policy.warnings[0]' <<<"$output")" 'entry 1: the zone database has no "Europe/Atlantis"'
}
