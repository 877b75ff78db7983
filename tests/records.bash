# Records as they come to as-decide, for the suites that decide without an engine.
# shellcheck shell=bash

# rec [JQ-FILTER]: a record of service web: one running original, max 5, an alert that asks scale-up.
rec() {
	jq -nc '{v: 1, id: "a1", now: "2026-11-24T12:00:00.000Z", service: "web",
		alert: {id: "a1", service: "web", action: "scale-up", status: "firing", received_at: "2026-11-24T11:59:59.000Z"},
		observed: {hosts: [{name: "local", ok: true}], containers: [{id: "o1", name: "web", host: "local", state: "running",
			ready: true, copy: false, created: "2026-11-24T10:00:00.000Z"}], template: {id: "o1", host: "local"}, remembered: []},
		policy: {min: 1, max: 5, step_up: "1", step_down: "1", cooldown_up: 0, cooldown_down: 60, stale_after: 300,
			from: {max: "label", step_up: "db:web@4"}},
		history: {generation: 3, last_out: null, last_in: null, window: [], pending: null}} | '"${1:-.}"
}

# copies N: the filter that adds N running copies web-1 .. web-N, the later the newer
copies() {
	echo '.observed.containers += [range(1; '"$(($1 + 1))"') | {id: "c\(.)", name: "web-\(.)", host: "local", state: "running", ready: true, copy: true, index: ., created: "2026-11-24T11:0\(.):00.000Z"}]'
}

# plan FILTER: the plan as OP FROM TO
plan() { rec "$1" | as-decide | jq -r '.plan | "\(.op) \(.from) \(.to)"'; }
