/* as-doctor: tries all that the configuration names. Each subject is tried in a process of its own (ward.c), so that
 * one that is silent, or a library that waits without a limit, holds up nobody; what a process found comes over a pipe.
 */
#ifndef CMD_AS_DOCTOR_DOCTOR_H
#define CMD_AS_DOCTOR_DOCTOR_H

#include "base/finding.h"
#include "cmd/front/front.h"

#define SUBJECT_NAME 96

struct doctor {
	struct front f;
	bool json, quiet;
	size_t ok, warned, failed;
};

/* What is tried: `check` is run in the process, with the number of the host or load balancer. */
struct subject {
	char name[SUBJECT_NAME]; /* "host edge-1" */
	void (*check)(const struct doctor *d, size_t i, const struct findings *to);
	size_t i;
};

/* ward.c: tries all of them, and hands over what each found, subject after subject in their order. */
typedef int (*told_fn)(void *ctx, const struct subject *s, const struct finding *f, struct err *err);
int try_all(const struct doctor *d, const struct subject *subjects, size_t n, told_fn told, void *ctx, struct err *err);

/* machine.c: what is on this machine. */
void check_program(const struct doctor *d, size_t i, const struct findings *to);
void check_modules(const struct doctor *d, size_t i, const struct findings *to);
void check_zones(const struct doctor *d, size_t i, const struct findings *to);
void check_configuration(const struct doctor *d, size_t i, const struct findings *to);

void check_host(const struct doctor *d, size_t i, const struct findings *to);     /* host.c */
void check_store(const struct doctor *d, size_t i, const struct findings *to);    /* store.c */
void check_alerts(const struct doctor *d, size_t i, const struct findings *to);   /* store.c */
void check_balancer(const struct doctor *d, size_t i, const struct findings *to); /* balancer.c */

/* metrics.c: what as-sample measures with. */
void check_prometheus(const struct doctor *d, size_t i, const struct findings *to);
void check_programs(const struct doctor *d, size_t i, const struct findings *to);
void check_files(const struct doctor *d, size_t i, const struct findings *to);

/* The text of that `Date` as a clock, if it is one. */
void check_date(const struct findings *to, const char *date, const char *mend);
#define SET_CLOCKS "set both clocks by the network: `timedatectl set-ntp true` on both machines"

#endif
