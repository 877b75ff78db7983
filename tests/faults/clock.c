/* Preloaded, moves a program's wall clock by CLOCK_AHEAD seconds: a host whose clock is wrong. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *t)
{
	const int rc = (int)syscall(SYS_clock_gettime, id, t);
	const char *ahead = getenv("CLOCK_AHEAD");

	if (rc == 0 && id == CLOCK_REALTIME && ahead)
		t->tv_sec += strtol(ahead, NULL, 10);
	return rc;
}
