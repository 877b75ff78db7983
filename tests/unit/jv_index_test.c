/* What is found through an index is what is found by reading, on documents of every shape and with room for few or many
 * values. */
#include "base/jv.h"

#include "random_record.h"
#include "tap.h"

#include <stdlib.h>

#include "base/banned.h"

#define NODES 4096

static struct jv_node nodes[NODES];
static struct writer writer;
static size_t indexed; /* values that had a node */

static bool same(struct jv a, struct jv b) { return a.p == b.p && a.n == b.n; }

/* The document by bytes and the same value through the index, member by member and name by name. */
static bool agree(struct jv plain, struct jv fast)
{
	struct jv_cursor a = jv_each(plain), b = jv_each(fast);
	struct jv_member m = {0}, n = {0};
	char name[64];

	indexed += fast.node != NULL;
	if (!same(plain, fast) || plain.node)
		return false;
	for (;;) {
		const bool more = jv_next(&a, &m);
		if (jv_next(&b, &n) != more)
			return false;
		if (!more)
			return true;
		if (!same(m.name, n.name) || m.escaped != n.escaped || !agree(m.value, n.value))
			return false;
		if (jv_is_object(plain) && jv_str((struct jv){m.name.p - 1, m.name.n + 2}, name, sizeof name) &&
		    !same(jv_get(plain, name), jv_get(fast, name)))
			return false;
	}
}

/* With room for `max` values. */
static bool both(const char *text, size_t n, uint32_t max)
{
	struct jv_index index = {.v = nodes, .max = max};
	struct jv_member m[32], k[32];
	struct jv plain = {0}, fast = {0};
	struct err err = {0}, other = {0};
	size_t count = 0, also = 0;
	const int bad = jv_scan(text, n, &plain, m, 32, &count, &err);

	if (jv_scan_indexed(text, n, &fast, k, 32, &also, &index, &other) != bad)
		return false;
	if (bad)
		return strcmp(err.message, other.message) == 0;
	bool good = count == also && agree(plain, fast) && !jv_here(jv_get(fast, "no such name"));
	for (size_t i = 0; i < count && jv_is_object(plain); i++)
		good = good && same(m[i].name, k[i].name) && m[i].escaped == k[i].escaped && agree(m[i].value, k[i].value);
	return good;
}

static bool all_sizes(const char *text, size_t n)
{
	bool good = true;

	for (uint32_t max = 0; max <= 40; max++)
		good = both(text, n, max) && good;
	return both(text, n, NODES) && good;
}

static void shapes(void)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		" [ ] ",
		"7",
		"\"a\"",
		"{\"a\":1}",
		" { \"a\" : 1 , \"b\" : [ 1 , 2 , { \"c\" : [ ] } ] , \"d\" : { } } ",
		"{\"a\":{\"a\":{\"a\":{\"a\":[[[[1],2],3],4]}}},\"b\":\"x\"}",
		"{\"\":1,\"a\\\"b\":2,\"\\u0061c\":3,\"ac\\\\\":4,\"\xc3\xa9\":5}",
		"{\"x\":{\"\\u0061\":1,\"a\":2,\"a\":3,\"b\":{\"\\u0061\":4}}}",
		"[[],{},[{}],\"\",null,true,false,-0.5e+3,\"a\\nb\"]",
		"{\"a\":1,\"a\":2}",
		"{\"a\":[1,2}",
		"{\"a\"}",
		"{\"a\":\"x",
		"[1,2",
		"{\"long\":\"0123456789abcdef0123456789abcdef\",\"0123456789abcdef0\":1}",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		OK(all_sizes(texts[i], strlen(texts[i])), "the same with and without an index: %s", texts[i]);
}

static void records(void)
{
	bool good = true;

	indexed = 0;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		random_record(&writer, seed, seed);
		good = both(writer.text, writer.n, (uint32_t)(seed % 300)) && both(writer.text, writer.n, NODES) && good;
		good = both(writer.text, writer.n / 2, NODES) && good; /* cut off */
	}
	OK(good, "the same for 2000 random records, with room for all of their values, for some and for none");
	OK(indexed > 100000, "and most of these values were in the index");
}

/* A line of nothing but brackets needs no more memory than any other. */
static void overflow(void)
{
	const size_t n = 3 * 200000;
	char *text = malloc(n + 2);

	text[0] = '[';
	for (size_t i = 0; i < n; i += 3)
		memcpy(text + 1 + i, "{},", 3);
	text[n] = ']';
	OK(both(text, n + 1, NODES), "200,000 values where there is room for %d", NODES);
	free(text);
}

int main(void)
{
	shapes();
	records();
	overflow();
	return DONE();
}
