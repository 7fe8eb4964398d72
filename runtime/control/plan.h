/* A run thought through: the scenario's task runs against devices whose connections exist only in the books
 * (protocol/dry.h), in virtual time, by the same engine, records and placement as in earnest. What it would need is then
 * held against what this host and the brokers allow. Nothing connects, nothing is started.
 *
 * What depends on answers from outside is assumed to go well: connections are accepted, messages acknowledged, HTTP
 * requests answered 200 with an empty body; an observer sees what the devices publish. */
#ifndef IX_CONTROL_PLAN_H
#define IX_CONTROL_PLAN_H

#include "control/run.h"

struct ix_plan_options {
    bool json;            /* on stdout; else text */
    uint64_t until_ns;    /* follows the scenario to this instant of its own time at most */
    uint64_t patience_ns; /* … and for so long of ours */
};

/* Prints what the run of `config` needs, what there is, each shortage with its cure, and the launch strategy that suits
 * the size. 0: it fits; IX_EXIT_CONFIGURATION: it does not, or can't run at all; IX_EXIT_SCRIPT: the scenario ends with
 * an error, unless it asked the world outside before (HTTP, t:subscribe), of which a plan knows nothing; other codes as
 * of ix_run. */
int ix_plan_run(const struct ix_run_config *config, const struct ix_plan_options *options);

#endif
