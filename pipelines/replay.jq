# replay.jq: what `replay` counts of the decisions, and how it prints them.

def seconds: (.[:19] + "Z" | fromdate) + ("0" + .[19:-1] | tonumber);

# Is one replica's share of a load past what it may be?
def over($count; $tolerance): .value != null and
	(if .per == "service" then .value / ([$count, 1] | max) else .value end) > .target * (1 + $tolerance);

# Of a record: the decision, how many there are from then on, and whether the load was past the target.
def decision($which): . as $r | {service, now, op: .plan.op, from: .plan.from, to: .plan.to, reason: .plan.reason,
	count: (.simulation | if . == null then null elif $which == "recorded" then .recorded else .count end),
	over: ([.simulation.load // [] | .[] | over($r.plan.from; $r.policy.tolerance // 0.1)] | any)};

# Of one service's decisions: each holds until the next.
def sums: map(. + {ms: (.now | seconds * 1000 | round)}) | . as $d | [range(length - 1) as $i | $d[$i] + {for: ($d[$i + 1].ms - $d[$i].ms)}]
	as $spans | {
	out: (map(select(.op == "scale-up" and .count > .from)) | length),
	in: (map(select(.op == "scale-down" and .count < .from)) | length),
	repairs: (map(select(.op == "start" or .op == "recreate")) | length),
	replica_seconds: ($spans | (map(.count * .for) | add // 0) / 1000),
	seconds_over_target: ($spans | (map(select(.over) | .for) | add // 0) / 1000),
	highest: (map(.count) | max)};

def all: {out: (map(.out) | add), in: (map(.in) | add), repairs: (map(.repairs) | add),
	replica_seconds: (map(.replica_seconds) | add), seconds_over_target: (map(.seconds_over_target) | add),
	highest: (map(.highest) | max)};

# The first pair of decisions that are not the same.
def parting: first(.[] | select((.[0] | [.op, .from, .to]) != (.[1] | [.op, .from, .to]))
	| {now: .[0].now, service: .[0].service, old: .[0].reason, new: .[1].reason}) // null;

def compared($a; $b): [[$a, $b] | transpose[] | select(.[0].count != null and .[1].count != null)] as $pairs
	| [$pairs | group_by(.[0].service)[]
		| {service: .[0][0].service, old: (map(.[0]) | sums), new: (map(.[1]) | sums), differ: parting}]
	| .[], (select(length > 0) | {service: null, old: (map(.old) | all), new: (map(.new) | all), differ: ($pairs | parting)});

# ---- the table ----

def hours: . / 36 | round / 100 | tostring;
def two: tostring | if length < 2 then "0" + . else . end;
def clock: round | "\(. / 3600 | floor):\(. / 60 % 60 | two):\(. % 60 | two)";
def left($n): . + " " * ($n - length);
def right($n): " " * ([$n - length, 0] | max) + .;
def safe: gsub("[\u0000-\u001f\u007f-\u009f]"; "?");

def row($what; get): [$what, (.old | get), (.new | get)];
def rows: [row("actions out"; .out | tostring), row("actions in"; .in | tostring), row("repairs"; .repairs | tostring),
	row("replica-hours"; .replica_seconds | hours), row("time over target"; .seconds_over_target | clock),
	row("highest count"; .highest | tostring)];

def table($old; $new): ([$old, $new, "123:45:67" | length] | max + 2) as $wide
	| ([.[] | .service // "all" | length] + [7] | max + 2) as $name
	| ("service" | left($name)) + (" " * 16) + ($old | right($wide)) + ($new | right($wide)),
	(.[] | (.service // "all") as $service | rows | to_entries[]
		| (if .key == 0 then $service else "" end | left($name)) + (.value[0] | left(16)) + (.value[1] | right($wide))
			+ (.value[2] | right($wide))),
	(.[-1].differ | if . == null then "every decision is the same"
		else "first difference: \(.now) \(.service)", "  \($old): \(.old)", "  \($new): \(.new)" end);

def report($form; $old; $new; $a; $b): [compared($a; $b)]
	| if $form == "json" then .[] | tojson
	  elif length == 0 then "nothing was recorded"
	  else table($old | split("/")[-1]; $new | split("/")[-1]) | safe end;
