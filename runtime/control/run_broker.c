/* The brokers of a run (control/brokers.h): what it means to it when they are ready, or end. */
#include "control/run_internal.h"

#include "base/log.h"

#include <stdlib.h>

static void on_ready(void *context, const struct ix_error *failure)
{
    struct ix_run *run = context;
    if (failure) {
        ix_run_fail(run, IX_EXIT_CONFIGURATION, failure->text);
        return;
    }
    free(run->result.broker);
    run->result.broker = ix_strdup(run->brokers.text);
    run->broker_ready(run);
}

static void on_ended(void *context, const struct ix_error *reason)
{
    struct ix_run *run = context;
    ix_series_event(&run->result.series, ix_loop_update(&run->loop), "embedded broker ended", NULL);
    if (run->phase == RUN_RUNNING)
        ix_run_fail(run, IX_EXIT_INVALID, reason->text);
    else
        ix_log(IX_LOG_ERROR, "%s", reason->text);
}

int ix_run_broker_start(struct ix_run *run, void (*ready)(struct ix_run *run), struct ix_error *err)
{
    struct ix_brokers_config config = {
        .loop = &run->loop,
        .wish = run->config.broker,
        .force = run->config.broker_force,
        .dry = run->config.plan != NULL,
        .ready = on_ready,
        .ended = on_ended,
        .context = run,
    };
    run->broker_ready = ready;
    return ix_brokers_start(&run->brokers, &config, err);
}
