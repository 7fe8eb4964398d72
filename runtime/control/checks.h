/* Checks: what the scenario asserts with t:check. Same name and tags are one check with many outcomes. */
#ifndef IX_CONTROL_CHECKS_H
#define IX_CONTROL_CHECKS_H

#include "base/error.h"

struct ix_check {
    char *name;
    char *tags;
    uint64_t passes;
    uint64_t fails;
    uint64_t first_fail_ns; /* since the run's start; of the first failure */
    char *reason;           /* what the scenario said about it; NULL: nothing */
};

struct ix_checks {
    struct ix_check *items; /* in order of first use */
    size_t count;
};

void ix_checks_init(struct ix_checks *checks);
void ix_checks_deinit(struct ix_checks *checks);
/* `reason` says why it failed, NULL if the scenario doesn't. At most 10,000 different ones; -ENOSPC past that. */
int ix_checks_add(struct ix_checks *checks, const char *name, const char *tags, bool passed,
                  const char *reason, uint64_t at_ns, struct ix_error *err);

#endif
