# The report of a real run, in a real browser: services behind HAProxy with real load, what failed, and hostile text.
# And the same trail as numbers for Prometheus.

load lib
load balancers
load track
BALANCERS=haproxy

setup_file() {
	"$TOP/tests/deps.sh" browser prometheus >&2
	rig_up docker haproxy
	export DAY=$BATS_FILE_TMPDIR
	{
		set +eET
		trap - ERR DEBUG EXIT
		(set -e; the_run) >"$DAY/out" 2>&1
		echo $? >"$DAY/status"
		set -eET
	} 3>&-
	all_quit
	wipe
}
teardown_file() { rig_down; }

own() { export AUTOSCALE_STORE=sqlite:$DAY/store.db AUTOSCALE_CONF=$DAY/as.conf AS_LOCK=$DAY/lock; }
setup() {
	own
	is "$(cat "$DAY/status")" 0 "$(tail -n 40 "$DAY/out")"
}

# Two services. `haproxy` follows its connections, up to a limit that a policy sets; `shop` has alerts, one that nobody
# understands, and a copy whose name a stranger has.
the_run() {
	local id
	own
	lb_section haproxy >"$AUTOSCALE_CONF"
	tracked haproxy '{}'
	container shop '{"autoscale.service": "shop", "autoscale.max": "3", "autoscale.cooldown-down": "0"}'
	as-policy set haproxy target='lb.connections=4' window-down=2s max=4
	as-policy set fleet service='*' min=1
	pass dawn
	clients haproxy first 12 /wait/1000
	eventually 30 in_flight 12
	pass_until morning 1
	asked_for scale-up ',"value":164,"threshold":100'
	clients haproxy second 8 /wait/1000
	eventually 30 in_flight 20
	pass_until noon 1
	for _ in 1 2 3 4; do pass afternoon; done
	id=$(container shop-2 '{}')
	! asked_for scale-up ',"value":131.5,"threshold":100' || return
	api DELETE "/containers/$id?force=1"
	! asked_for 'explode<script>alert(1)</script>' '' || return
	quit haproxy first
	eventually 30 in_flight 8
	pass_until evening 1
	quit haproxy second
	asked_for scale-down ',"value":12,"threshold":20' || [ $? = 1 ] # the one that nobody understands is back
	pass night
	as-audit --export >"$DAY/export"
	as-policy list >"$DAY/policies"
	as-report <"$DAY/export" >"$DAY/report.html"
}
# asked_for ACTION MORE: one pass over an alert of the shop's that says so
asked_for() {
	echo "{\"service\":\"shop\",\"action\":\"$1\",\"metric\":\"shop.queue\"$2}" | as-ingest
	"$TOP/pipelines/autoscale" >/dev/null
}
