/* Edges of our own, in the form of decide_rows.h. Those that name another autoscaler are its bugs. */
#ifndef TESTS_UNIT_DECIDE_ROWS_EDGES_H
#define TESTS_UNIT_DECIDE_ROWS_EDGES_H

#include "decide_rows.h"

#define Q(more) "[{'name':'q','per':'service'," more "}]"
#define AGED(time, value) Q("'value':" value ",'ok':true," AT(time))
#define TWO_TARGETS "'target':{'a':1,'q':1}"
#define GRANTED "'last_out':'2026-11-24T11:59:30.000Z'"
#define FIRST "'window':[{" AT("12:00:00") ",'want':3,'first':true}]"

static const struct row edges[] = {
	/* what is missing is not zero, and takes nothing away */
	{"a value below 0 is none", .n = 3, .policy = T("1"), .metrics = TOTAL("-5"), .to = 3},
	{"nor does it let another one scale in", .n = 3, .policy = TWO_TARGETS,
     .metrics = "[" M("a", "-1", "service") "," M("q", "1", "service") "]", .to = 3},
	{"a value of 300 s ago is good", .n = 3, .policy = T("1") ",'stale_after':300", .metrics = AGED("11:55:00", "1"),
     .to = 1},
	{"one of 301 s ago is not", .n = 3, .policy = T("1") ",'stale_after':300", .metrics = AGED("11:54:59", "1"),
     .to = 3},
	{"nor does it scale out", .n = 3, .policy = T("1"), .metrics = AGED("11:54:59", "9"), .to = 3},
	{"a text is no number", .n = 3, .policy = T("1"), .metrics = Q("'value':'1','ok':true"), .to = 3},
	{"null is none", .n = 3, .policy = T("1"), .metrics = Q("'value':null,'ok':true"), .to = 3},
	{"one that does not fit is none", .n = 3, .policy = T("1"), .metrics = TOTAL("1e30"), .to = 3},
	{"one that does not say it is good is not", .n = 3, .policy = T("1"), .metrics = Q("'value':1"), .to = 3},
	{"one whose time is no time is not", .n = 3, .policy = T("1"), .metrics = Q("'value':1,'ok':true,'at':'noon'"),
     .to = 3},
	{"one that is not said what it is of is not", .n = 3, .policy = T("1"),
     .metrics = "[{'name':'q','value':1,'ok':true}]", .to = 3},
	{"an error page is no 0", .n = 3, .policy = T("1"), .metrics = "[" BAD("q") "]", .to = 3},
	{"a target that is 0 holds", .n = 3, .policy = T("0"), .metrics = TOTAL("1"), .to = 3},
	{"one good balancer of two is not enough to scale in", .n = 3, .policy = T("1"),
     .metrics = "[" M("q", "1", "service") "," BAD("q") "]", .to = 3},
	{"a metric that was not asked for moves nothing", .n = 3, .policy = T("1"),
     .metrics = "[" M("q", "3", "service") "," M("z", "99", "service") "]", .to = 3},
	{"what only the victim needs is no measurement", .n = 3, .policy = T("1"),
     .metrics = "[{'name':'q','value':9,'per':'service','ok':true,'use':'victim'}]", .to = 3},
	{"a record that was not measured has no targets", .n = 3, .policy = T("1"), .to = 3},
	{"on_missing: a number raises", .n = 3, .policy = T("1") ",'on_missing':6", .metrics = "[]", .to = 6},
	{"and never lowers", .n = 8, .policy = T("1") ",'on_missing':6", .metrics = "[]", .to = 8},
	{"if-higher raises", .n = 3, .policy = T("1") ",'on_missing':'6 if-higher'", .metrics = "[]", .to = 6},
	{"if-lower lowers: it is said in words", .n = 6, .policy = T("1") ",'on_missing':'3 if-lower'", .metrics = "[]",
     .to = 3},
	{"another word holds", .n = 3, .policy = T("1") ",'on_missing':'6 perhaps'", .metrics = "[]", .to = 3},
	{"a missing metric is no reason to stay below min", .n = 3, .policy = T("1") ",'min':4", .metrics = "[]", .to = 4},

	/* values */
	{"of two balancers the larger counts", .n = 3, .policy = T("1"),
     .metrics = "[" M("q", "9", "service") "," M("q", "3", "service") "]", .to = 9},
	{"a fraction: ceil(2 * 0.3 / 0.25)", .n = 2, .policy = T("0.25"), .metrics = EACH("0.3"), .to = 3},
	{"without a tolerance a millionth counts", .n = 3, .policy = T("20") ",'tolerance':0", .metrics = EACH("20.000001"),
     .to = 4},
	{"in all: 33 of 30 holds", .n = 3, .policy = T("10"), .metrics = TOTAL("33"), .to = 3},
	{"in all: a millionth more does not", .n = 3, .policy = T("10"), .metrics = TOTAL("33.000001"), .to = 4},
	{"nothing runs and nothing is asked", .n = 0, .policy = T("10"), .metrics = TOTAL("0"), .to = 0},
	{"the largest load there is goes to max", .n = 3, .policy = T("0.000001"), .metrics = EACH("9000000000000"),
     .to = 1000},
	{"what uses a little less keeps its count: ceil(2.64)", .n = 3, .policy = T("100"), .metrics = EACH("88"), .to = 3},
	{"containers that all are silent hold", .n = 3, .policy = T("1"),
     .metrics = "[{'name':'q','per':'container','id':'c0','value':null,'ok':false}]", .to = 3},
	{"a container that is not ready has no say", .n = 2, .unready = 1, .policy = T("10"),
     .metrics = "[" OF("0", "10") "," OF("1", "90") "]", .to = 2},
	{"one for the service goes before those of containers", .n = 2, .policy = T("10"),
     .metrics = "[" OF("0", "90") "," M("q", "20", "service") "]", .to = 2},

	/* limits */
	{"without a max nothing scales up", .n = 2, .policy = T("1") ",'max':null", .metrics = TOTAL("9"), .to = 2},
	{"without a max it still scales in", .n = 3, .policy = T("1") ",'max':null", .metrics = TOTAL("1"), .to = 1},
	{"an original stays, whatever is measured", .n = 1, .policy = T("1"), .metrics = TOTAL("0"), .to = 1},
	{"orbiter: 2 - 2 is min, not 0", .n = 2, .policy = "'min':1,'step_down':'2'", .alert = ALERT("scale-down", ""),
     .to = 1},
	{"openfaas: 20% of 1 is not 0", .n = 1, .policy = "'step_up':'20%'", .alert = ALERT("scale-up", ""), .to = 2},
	{"swarm-autoscaler: to begin is no reason to go to min", .n = 5, .policy = "'min':1", .to = 5},
	{"nor is it under load", .n = 5, .policy = "'min':1," T("1"), .metrics = TOTAL("5"), .to = 5},
	{"docker-swarm-autoscaler: without a min it does not walk to 0", .n = 2, .policy = "'min':null,'step_down':'2'",
     .alert = ALERT("scale-down", ""), .to = 1},
	{"and without a max it asks for nothing", .n = 2, .policy = "'max':null", .alert = ALERT("scale-up", ""), .to = 2},
	{"KEDA: an error with 0 to fall back to is not 0", .n = 3, .policy = T("1") ",'on_missing':0",
     .metrics = "[" BAD("q") "]", .to = 3},
	{"nomad-parametric: the mean of one value is that value", .n = 1, .policy = T("10"),
     .metrics = "[" OF("0", "10") "]", .to = 1},
	{"Nomad: a rehearsal stays within min and max", .n = 5, .policy = "'max':6,'dry_run':true,'step_up':'9'",
     .alert = ALERT("scale-up", ""), .to = 6},
	{"docker-scaler: a step of -3 is none", .n = 3, .policy = "'step_down':'-3'", .alert = ALERT("scale-down", ""),
     .to = 3},
	{"paused for in: not in", .n = 3, .policy = T("1") ",'paused':'down'", .metrics = TOTAL("1"), .to = 3},
	{"but out", .n = 3, .policy = T("1") ",'paused':'down'", .metrics = TOTAL("9"), .to = 9},
	{"paused for out: not out", .n = 3, .policy = T("1") ",'paused':'up'", .metrics = TOTAL("9"), .to = 3},
	{"but to min", .n = 3, .policy = T("1") ",'paused':'up','min':4", .metrics = TOTAL("9"), .to = 4},
	{"paused for all: nothing", .n = 3, .policy = T("1") ",'paused':'all','min':4", .metrics = TOTAL("9"), .to = 3},

	{"no policy asks for more than 10000", .n = 3, .policy = "'min':1000000000000,'max':5", .to = 5},

	/* an alert is one more opinion */
	{"an alert that asks for more needs no metric", .n = 3, .policy = T("1"), .alert = ALERT("scale-up", ""),
     .metrics = "[]", .to = 4},
	{"one that asks for fewer does", .n = 3, .policy = T("1"), .alert = ALERT("scale-down", ""), .metrics = "[]",
     .to = 3},
	{"a count that is set is not below what is measured", .n = 3, .policy = T("1"), .alert = ALERT("set", ",'count':2"),
     .metrics = TOTAL("5"), .to = 5},
	{"an alert that is too old does nothing", .n = 3,
     .alert = "{'action':'scale-up','received_at':'2026-11-24T11:54:59.000Z'}", .to = 3},

	/* foresight */
	{"within the tolerance: 3 * 58 / 2 <= 88", .n = 3, .policy = T("80"),
     .alert = ALERT("scale-down", ",'metric':'q','value':58"), .to = 2},
	{"past it: 3 * 59 / 2 > 88", .n = 3, .policy = T("80"), .alert = ALERT("scale-down", ",'metric':'q','value':59"),
     .to = 3},
	{"as far as it bears: ceil(10 * 60 / 80)", .n = 10, .policy = T("80") ",'tolerance':0,'step_down':'5'",
     .alert = ALERT("scale-down", ",'metric':'q','value':60"), .to = 8},

	/* windows */
	{"one before the window does not count", .n = 3, .policy = T("1") ",'window_down':60", .metrics = TOTAL("1"),
     .history = "'window':[" WANTED("11:58:59", "3") "]", .to = 1},
	{"one at its very start does", .n = 3, .policy = T("1") ",'window_down':60", .metrics = TOTAL("1"),
     .history = "'window':[" WANTED("11:59:00", "3") "]", .to = 3},
	{"a service that is seen for the first time does not scale in", .n = 3, .policy = T("1") ",'window_down':60",
     .metrics = TOTAL("1"), .history = FIRST, .to = 3},
	{"but out", .n = 3, .policy = T("1") ",'window_down':60", .metrics = TOTAL("9"), .history = FIRST, .to = 9},
	{"windows hold no alert", .n = 3, .policy = "'window_down':60", .alert = ALERT("scale-down", ""), .history = FIRST,
     .to = 2},

	/* rates and cooldowns */
	{"a rate holds an alert too", .n = 3, .policy = "'rate_up':'2/60s','step_up':'5'", .alert = ALERT("scale-up", ""),
     .to = 5},
	{"a move at the very start of the period is over", .n = 5, .policy = T("1") ",'rate_up':'2/60s'",
     .metrics = TOTAL("99"), .history = "'moves':[" MOVED("11:59:00", "3", "5") "]", .to = 7},
	{"a rate of 100% down lets all go but an original", .n = 3, .policy = T("1") ",'rate_down':'100%/60s'",
     .metrics = TOTAL("0"), .to = 1},
	{"a rate that does not parse is none", .n = 3, .policy = T("1") ",'rate_up':'often'", .metrics = TOTAL("9"),
     .to = 9},
	{"what was granted is not known: hold", .n = 3, .policy = T("1") ",'cooldown_up':60", .metrics = TOTAL("9"),
     .history = GRANTED, .to = 3},
	{"out while in cools down", .n = 3, .policy = T("1") ",'cooldown_up':60,'cooldown_down':60", .metrics = TOTAL("9"),
     .history = "'last_in':'2026-11-24T11:59:30.000Z'", .to = 9},
	{"in while in cools down: not", .n = 3, .policy = T("1") ",'cooldown_down':60", .metrics = TOTAL("1"),
     .history = "'last_in':'2026-11-24T11:59:30.000Z'", .to = 3},
	{"in as soon as it is over", .n = 3, .policy = T("1") ",'cooldown_down':30", .metrics = TOTAL("1"),
     .history = "'last_in':'2026-11-24T11:59:30.000Z'", .to = 1},
	{"above max is repaired in a cooldown", .n = 9, .policy = "'max':5,'cooldown_down':60",
     .history = "'last_in':'2026-11-24T11:59:30.000Z'", .to = 5},

	/* where the count comes from */
	{"rows of the store: 5 of them, 6 wanted", .n = 3, .policy = T("1") ",'count_from':'db'", .metrics = TOTAL("6"),
     .history = "'counted':5", .to = 6, .op = "scale-up"},
	{"without them what runs", .n = 3, .policy = T("1") ",'count_from':'db'", .metrics = TOTAL("6"), .to = 6},
	{"the alert's count", .n = 3, .policy = "'count_from':'alert'", .alert = ALERT("scale-up", ",'count':5"), .to = 6,
     .op = "scale-up"},
	{"a count that is to be set is not how many there are", .n = 3, .policy = "'count_from':'alert'",
     .alert = ALERT("set", ",'count':5"), .to = 5},
	{"a swarm's own count", .n = 3, .policy = T("1"), .metrics = TOTAL("6"),
     .more = ",'template':{'id':'s','name':'web','engine':'swarm','replicas':4}", .to = 6},
};

#endif
