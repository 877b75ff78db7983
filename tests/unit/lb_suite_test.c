/* The cases of lb_suite.h. Without operands: over the driver of lb_memory.c. With operands: over balancers that run,
 *
 *     lb_suite_test CONFIGURATION NAME PORT BACKEND
 *
 * of which [lb "NAME"] in that file says how to reach it, and PORT leads to BACKEND, which has no servers. */
#include "tests/unit/lb_memory.h"
#include "tests/unit/lb_suite.h"

#include "base/banned.h"

static int over_memory(void)
{
	const struct conf_lb table = {.name = (char[]){"table"}, .driver = (char[]){"memory"}, .frontend = (char[]){"web"}};
	const struct lb_suite s = {.driver = &lb_memory, .conf = &table, .backend = "web", .one_process = true};

	lb_suite_run(&s);
	return DONE();
}

int main(int argc, char **argv)
{
	struct conf conf;
	struct err err = {0};

	app_init();
	if (argc == 1)
		return over_memory();
	if (argc != 5)
		return 64;
	if (conf_load(&conf, argv[1], &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return 1;
	}
	const struct lb_suite s = {
		.conf = conf_lb(&conf, argv[2]), .front = (unsigned)strtoul(argv[3], NULL, 10), .backend = argv[4]};
	struct lb_suite whole = s;
	if (!s.conf || !(whole.driver = lb_driver(s.conf, &err))) {
		printf("Bail out! [lb \"%s\"]: %s\n", argv[2], err.message);
		return 1;
	}
	lb_suite_run(&whole);
	conf_release(&conf);
	return DONE();
}
