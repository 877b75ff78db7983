/* One table of decisions: what a record says, and to how many containers it leads. decide_rows_test.c asks decide(),
 * and prints the same rows as records for as-decide. JSON is written with ' for ". The labels that begin with a number
 * are worked examples of other autoscalers, by their row in the project's notes on them; "ours" are this one's edges.
 *
 * Every expected number follows from the formula in the comment or in the label. */
#ifndef TESTS_UNIT_DECIDE_ROWS_H
#define TESTS_UNIT_DECIDE_ROWS_H

#include <stdbool.h>
#include <stddef.h>

struct row {
	const char *label;
	int n;               /* running containers, all of them ready, the first of them an original */
	int unready;         /* so many of the last ones are not ready yet */
	const char *policy;  /* members in place of the usual ones; NULL: none */
	const char *metrics; /* NULL: the record has none */
	const char *alert;
	const char *history; /* members; NULL: none */
	const char *now;     /* NULL: noon */
	const char *more;    /* further members of observed */
	bool goes_on;        /* in the stream of the row before, for the same service */
	int to;
	const char *op; /* NULL: as `to` and n say */
};

/* Metrics: one of the service in all, of each replica, of a container by its number (0 is the original). */
#define M(name, value, per) "{'name':'" name "','value':" value ",'per':'" per "','ok':true}"
#define TOTAL(value) "[" M("q", value, "service") "]"
#define EACH(value) "[" M("q", value, "replica") "]"
#define OF(i, value) "{'name':'q','value':" value ",'per':'container','id':'c" i "','ok':true}"
#define BAD(name) "{'name':'" name "','value':null,'per':'service','ok':false,'message':'no answer'}"
#define T(target) "'target':{'q':" target "}"
#define ALERT(action, more) "{'action':'" action "','status':'firing','received_at':'2026-11-24T12:00:00.000Z'" more "}"
#define BREACH(value, threshold) ",'value':" value ",'threshold':" threshold
#define AT(time) "'at':'2026-11-24T" time ".000Z'"
#define WANTED(time, want) "{" AT(time) ",'want':" want "}"
#define MOVED(time, from, to) "{" AT(time) ",'from':" from ",'to':" to "}"
#define PEER_BANDS "'step_up':'10..20:10%;20..:30%','step_down':'10..20:10%;20..:30%'"
#define WARM_BANDS "'step_up':'0..10:10%;10..:30%'"
#define AFTER_TWO "'last_out':'2026-11-24T11:59:30.000Z','moves':[" MOVED("11:59:30", "5", "7") "]"

static const struct row rows[] = {
	/* Tracking: ceil(n * m / t) of each replica, ceil(m / t) in all; held when |m - t| <= 0.1 * t (of each). */
	{"1: 3 * 20 / 15", .n = 3, .policy = T("15"), .metrics = EACH("20"), .to = 4},
	{"1: 5 * 12 / 20", .n = 5, .policy = T("20"), .metrics = EACH("12"), .to = 3},
	{"1: 50 * 90 / 75", .n = 50, .policy = T("75"), .metrics = EACH("90"), .to = 60},
	{"2: 3.33% above is within 0.1", .n = 3, .policy = T("20000"), .metrics = EACH("20666"), .to = 3},
	{"2: the edge of the tolerance holds", .n = 10, .policy = T("10"), .metrics = EACH("9"), .to = 10},
	{"3: the upper edge too, exactly", .n = 50, .policy = T("100"), .metrics = EACH("110"), .to = 50},
	{"4: 27 * 7 / 3 is 63, not 64", .n = 27, .policy = T("3"), .metrics = EACH("7"), .to = 63},
	{"5: a queue of 20, 5 each", .n = 3, .policy = T("5"), .metrics = TOTAL("20"), .to = 4},
	{"5: 20 in each of 3", .n = 3, .policy = T("5"), .metrics = EACH("20"), .to = 12},
	{"6: 1500 messages, 10 s / 0.1 s each", .n = 10, .policy = T("100"), .metrics = TOTAL("1500"), .to = 15},
	{"7: none runs, 20 / 10", .n = 0, .policy = T("10"), .metrics = TOTAL("20"), .to = 2},
	{"7: none runs, 1 / 10", .n = 0, .policy = T("10"), .metrics = EACH("1"), .to = 1},
	{"8: 0.0002% above, tolerance 1%", .n = 8, .policy = T("5") ",'tolerance':0.01", .metrics = EACH("5.00001"),
     .to = 8},
	{"8: the same, tolerance 0.0001%", .n = 8, .policy = T("5") ",'tolerance':0.000001", .metrics = EACH("5.00001"),
     .to = 9},
	{"8: ceil(210 / 50) = 5, 2 at a time", .n = 1, .policy = T("50") ",'rate_up':'2/60s'", .metrics = EACH("210"),
     .to = 3},
	{"8: ceil(5 * 10 / 210) = 1, 1 at a time", .n = 5, .policy = T("210") ",'rate_down':'1/60s'", .metrics = EACH("10"),
     .to = 4},

	/* Of containers: where they have too much the silent ones have 0, where too little the target. */
	{"9: ceil((400 + 95 + 2 * 1000) / 1000)", .n = 4, .policy = T("1000"),
     .metrics = "[" OF("0", "400") "," OF("1", "95") "]", .to = 3},
	{"10: (1900 + 0) / 2 is no longer above", .n = 2, .policy = T("1000"), .metrics = "[" OF("0", "1900") "]", .to = 2},
	{"10: ceil((600 + 1000) / 1000)", .n = 2, .policy = T("1000"), .metrics = "[" OF("0", "600") "]", .to = 2},
	{"11: 3 * 8600 / 4400, whoever is ready", .n = 3, .unready = 2, .policy = T("4400"), .metrics = EACH("8600"),
     .to = 6},
	{"12: ceil((500 + 700 + 0) / 300)", .n = 3, .unready = 1, .policy = T("300"),
     .metrics = "[" OF("0", "500") "," OF("1", "700") "," OF("2", "300") "]", .to = 4},

	/* Steps of alerts: a percentage is cut and moves at least its min, or 1. */
	{"13: 10% of 10", .n = 10, .policy = PEER_BANDS, .alert = ALERT("scale-up", BREACH("60", "50")), .to = 11},
	{"13: 30% of 11 is 3", .n = 11, .policy = PEER_BANDS, .alert = ALERT("scale-up", BREACH("70", "50")), .to = 14},
	{"13: 10% of 14 is 1", .n = 14, .policy = PEER_BANDS, .alert = ALERT("scale-down", BREACH("40", "50")), .to = 13},
	{"13: 30% of 13 is 3", .n = 13, .policy = PEER_BANDS, .alert = ALERT("scale-down", BREACH("30", "50")), .to = 10},
	{"14: 25% of 4 is 1, but at least 2", .n = 4, .policy = "'step_up':'25%min2'", .alert = ALERT("scale-up", ""),
     .to = 6},
	{"14: 10% of 3 moves 1", .n = 3, .policy = "'step_up':'10%'", .alert = ALERT("scale-up", ""), .to = 4},
	{"14: and 1 down", .n = 3, .policy = "'step_down':'10%'", .alert = ALERT("scale-down", ""), .to = 2},
	{"14: 3 - 2", .n = 3, .policy = "'step_down':'2'", .alert = ALERT("scale-down", ""), .to = 1},
	{"15: 30% of 3 moves 1 and is not stuck", .n = 3, .policy = "'step_down':'30%'", .alert = ALERT("scale-down", ""),
     .to = 2},

	/* Several: the largest count. Here the one is an alert and the other a target. */
	{"16: 8 - 3, and ceil(6 / 1)", .n = 8, .policy = "'step_down':'3'," T("1"), .alert = ALERT("scale-down", ""),
     .metrics = TOTAL("6"), .to = 6},
	{"16: 10 + 200%, and ceil(13 / 1)", .n = 10, .policy = "'step_up':'200%'," T("1"), .alert = ALERT("scale-up", ""),
     .metrics = TOTAL("13"), .to = 30},
	{"17: with 2, 3 * 60 / 2 = 90 would be above 80", .n = 3, .policy = T("80") ",'tolerance':0",
     .alert = ALERT("scale-down", ",'metric':'q','value':60"), .to = 3},
	{"17: with 2, 3 * 50 / 2 = 75 would not", .n = 3, .policy = T("80") ",'tolerance':0",
     .alert = ALERT("scale-down", ",'metric':'q','value':50"), .to = 2},

	/* Windows: n brought between the least wanted of the one and the most wanted of the other. */
	{"18: in to the most of 4, 5 and 3", .n = 100, .policy = T("1") ",'window_down':180", .metrics = TOTAL("3"),
     .history = "'window':[" WANTED("11:58:00", "4") "," WANTED("11:59:00", "5") "]", .to = 5},
	{"18: out to the least of 4, 5 and 7", .n = 1, .policy = T("1") ",'window_up':300", .metrics = TOTAL("7"),
     .history = "'window':[" WANTED("11:58:00", "4") "," WANTED("11:59:00", "5") "]", .to = 4},
	{"19: 2 is between 1 and 3", .n = 2, .policy = T("1") ",'window_up':300,'window_down':300", .metrics = TOTAL("1"),
     .history = "'window':[" WANTED("11:57:00", "3") "]", .to = 2},
	{"19: the other way round", .n = 2, .policy = T("1") ",'window_up':300,'window_down':300", .metrics = TOTAL("3"),
     .history = "'window':[" WANTED("11:57:00", "1") "]", .to = 2},

	/* Rates: from what there was at the beginning of the period. */
	{"20: 10 + 100 or 10 + 100%, the larger", .n = 10, .policy = T("1") ",'rate_up':'100/60s,100%/60s'",
     .metrics = TOTAL("500"), .to = 110},
	{"20: 1 + 2 or 1 + 50%, the smaller", .n = 1, .policy = T("1") ",'rate_up':'2/60s,50%/60s min'",
     .metrics = TOTAL("500"), .to = 2},
	{"20: 5 - 2 or 5 - 50%, the smaller", .n = 5, .policy = T("1") ",'rate_down':'2/60s,50%/60s min'",
     .metrics = TOTAL("0"), .to = 3},
	{"21: 50 + 10% is 55, not 56", .n = 50, .policy = T("1") ",'rate_up':'10%/60s'", .metrics = TOTAL("500"), .to = 55},
	{"21: 5 - 80% is 1, not 0", .n = 5, .policy = T("1") ",'rate_down':'80%/60s'", .metrics = TOTAL("0"), .to = 1},
	{"22: (100 - 15) + 150", .n = 100, .policy = T("1") ",'rate_up':'150/60s'", .metrics = TOTAL("500"),
     .history = "'moves':[" MOVED("11:59:30", "85", "100") "]", .to = 235},
	{"22: (100 - 15) * 300%", .n = 100, .policy = T("1") ",'rate_up':'200%/60s'", .metrics = TOTAL("500"),
     .history = "'moves':[" MOVED("11:59:30", "85", "100") "]", .to = 255},
	{"22: (100 - 15) + 5 is less than there are", .n = 100, .policy = T("1") ",'rate_up':'5/60s'",
     .metrics = TOTAL("500"), .history = "'moves':[" MOVED("11:59:30", "85", "100") "]", .to = 100},
	{"23: (100 + 12) * 50%", .n = 100, .policy = T("1") ",'rate_down':'50%/60s'", .metrics = TOTAL("0"),
     .history = "'moves':[" MOVED("11:59:30", "112", "100") "]", .to = 56},
	{"23: (6 - 4 + 2) * 400%", .n = 6, .policy = T("1") ",'rate_up':'300%/60s'", .metrics = TOTAL("24"),
     .history = "'moves':[" MOVED("11:59:20", "4", "8") "," MOVED("11:59:40", "8", "6") "]", .to = 16},
	{"24: 80 - 10%, as it is more than 4", .n = 80, .policy = T("1") ",'rate_down':'4/60s,10%/60s'",
     .metrics = TOTAL("10"), .to = 72},
	{"24: a minute later 72 - 10%", .n = 72, .policy = T("1") ",'rate_down':'4/60s,10%/60s'", .metrics = TOTAL("10"),
     .history = "'moves':[" MOVED("11:59:00", "80", "72") "]", .to = 64},

	{"25: 2 + 3, max 3", .n = 2, .policy = "'max':3,'step_up':'3'", .alert = ALERT("scale-up", ""), .to = 3},
	{"25: 3 - 2, min 2", .n = 3, .policy = "'min':2,'step_down':'2'", .alert = ALERT("scale-down", ""), .to = 2},
	{"25: 5 + 2, max 6", .n = 5, .policy = "'min':2,'max':6,'step_up':'2'", .alert = ALERT("scale-up", ""), .to = 6},

	{"26: +2 was granted, +3 is asked: 1 more", .n = 7, .policy = "'cooldown_up':60,'step_up':'3'",
     .alert = ALERT("scale-up", ""), .history = AFTER_TWO, .to = 8},
	{"26: none in", .n = 7, .policy = "'cooldown_up':60,'cooldown_down':60", .alert = ALERT("scale-down", ""),
     .history = AFTER_TWO, .to = 7},

	/* A step is of what is ready: what is warming up was added for this very load. */
	{"27: 10% of 10, of which 1 is on its way", .n = 11, .unready = 1, .policy = WARM_BANDS,
     .alert = ALERT("scale-up", BREACH("62", "60")), .to = 11},
	{"27: then 30% of 10", .n = 11, .unready = 1, .policy = WARM_BANDS, .alert = ALERT("scale-up", BREACH("70", "60")),
     .to = 13},
	{"27: an original that starts was added for no load", .n = 1, .unready = 1, .alert = ALERT("scale-up", ""), .to = 2},

	/* "So many of the last five values are past the bound" is here: every recommendation of window_up wants more.
     * Values every 10 s, the last three of them past the bound: a window of four holds, one of three acts. */
	{"28: one of four recommendations wants no more", .n = 1, .policy = T("10") ",'window_up':30",
     .metrics = TOTAL("20"),
     .history = "'window':[" WANTED("11:59:20", "1") "," WANTED("11:59:30", "1") "," WANTED("11:59:40", "2") "," WANTED(
		 "11:59:50", "2") "]",
     .to = 1},
	{"28: all of three want more", .n = 1, .policy = T("10") ",'window_up':20", .metrics = TOTAL("20"),
     .history = "'window':[" WANTED("11:59:20", "1") "," WANTED("11:59:30", "1") "," WANTED("11:59:40", "2") "," WANTED(
		 "11:59:50", "2") "]",
     .to = 2},

#define TWO_TO_THREE "'schedule':'daily 14:00-15:00 UTC min=3'"
	{"29: a second before", .n = 1, .policy = TWO_TO_THREE, .now = "2026-11-24T13:59:59.000Z", .to = 1},
	{"29: at its start", .n = 1, .policy = TWO_TO_THREE, .now = "2026-11-24T14:00:00.000Z", .to = 3},
	{"29: a second before its end", .n = 1, .policy = TWO_TO_THREE, .now = "2026-11-24T14:59:59.000Z", .to = 3},
	{"29: at its end", .n = 1, .policy = TWO_TO_THREE, .now = "2026-11-24T15:00:00.000Z", .to = 1},
#define BEGINS_WITH_50 "'schedule':'daily 09:00-18:00 UTC min=10 max=100 initial=50'"
	{"30: it begins with 50", .n = 3, .policy = BEGINS_WITH_50, .to = 50},
	{"30: and ends at 100", .n = 120, .policy = BEGINS_WITH_50, .to = 100},
	{"30: once", .n = 20, .policy = BEGINS_WITH_50, .history = "'last_in':'2026-11-24T09:00:00.000Z'", .to = 20},

	{"31: at least 3", .n = 6, .policy = T("1") ",'on_missing':'3 if-higher'", .metrics = "[]", .to = 6},
	{"31: at most 6", .n = 3, .policy = T("1") ",'on_missing':'6 if-lower'", .metrics = "[]", .to = 3},
	{"32: one is not there, the other wants 4", .n = 3, .policy = "'target':{'a':1,'q':1}",
     .metrics = "[" BAD("a") "," M("q", "4", "service") "]", .to = 4},
	{"32: one is not there, the other wants 3", .n = 5, .policy = "'target':{'a':1,'q':1}",
     .metrics = "[" BAD("a") "," M("q", "3", "service") "]", .to = 5},
	{"33: an alert", .n = 2, .alert = ALERT("scale-up", ""), .to = 3},
	{"33: the same once more", .n = 2, .alert = ALERT("scale-up", ""), .goes_on = true, .to = 3, .op = "none"},
	{"33: resolved and firing, the first", .n = 2, .alert = "{'action':'scale-down','status':'resolved'}", .to = 2},
	{"33: the second", .n = 2, .alert = ALERT("scale-up", ""), .goes_on = true, .to = 3},
};

#endif
