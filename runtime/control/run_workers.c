/* What the workers of a run do and say, and whom it concerns: the observers, the delivery ledger, or the fleet. */
#include "control/run_internal.h"

#include "base/log.h"

#include <stdlib.h>

static bool is_observer(const struct ix_run *run, uint32_t worker)
{
    return run->has_observer && worker == run->observer;
}

static void on_worker_ready(void *context, uint32_t worker)
{
    struct ix_run *run = context;
    ix_run_ledger_worker_ready(run, worker);
    if (is_observer(run, worker))
        ix_run_observer_ready(run);
    else if (!ix_run_ledger_is_observer(run, worker))
        ix_fleet_worker_ready(run->fleet, worker);
}

static void on_worker_lost(void *context, uint32_t worker, const char *reason)
{
    struct ix_run *run = context;
    char *data = ix_asprintf("{\"worker\":%u}", worker);
    char *name = ix_asprintf("worker %u %s", worker, reason);
    ix_series_event(&run->result.series, ix_loop_update(&run->loop), name, data);
    free(name);
    free(data);
    ix_run_ledger_worker_lost(run, worker);
    if (!is_observer(run, worker) && !ix_run_ledger_is_observer(run, worker))
        ix_fleet_worker_lost(run->fleet, worker);
}

static void on_worker_fatal(void *context, uint32_t worker, int code, const char *message)
{
    (void)worker;
    /* One that dies again and again says nothing about the backend. */
    ix_run_fail(context, code == -ECHILD ? IX_EXIT_INVALID : IX_EXIT_CONFIGURATION, message);
}

static void on_device_failure(struct ix_run *run, struct ix_reader *in)
{
    char *group = ix_read_str(in);
    uint64_t index = ix_read_u64(in);
    char *message = ix_read_str(in);
    char *id = ix_fleet_device_id(run->fleet, group, index);
    char *text = ix_asprintf("device \"%s\" of group \"%s\": %s", id, group, message);
    if (run->on_error_run)
        ix_run_fail(run, IX_EXIT_SCRIPT, text);
    else
        ix_log(IX_LOG_ERROR, "%s", text);
    free(text);
    free(id);
    free(group);
    free(message);
}

static void on_worker_frame(void *context, uint32_t worker, uint8_t type, struct ix_reader *in)
{
    struct ix_run *run = context;
    if (is_observer(run, worker) && ix_run_observer_frame(run, type, in))
        return;
    if (ix_run_ledger_frame(run, worker, type, in))
        return;
    if (type == IX_UP_FAILURE) {
        on_device_failure(run, in);
    } else if (type == IX_UP_LATE_FAILURE) {
        char *group = ix_read_str(in), *message = ix_read_str(in);
        ix_run_fail(run, IX_EXIT_SCRIPT, message);
        free(group);
        free(message);
    } else if (type == IX_UP_EVENT) {
        char *name = ix_read_str(in), *json = ix_read_str(in);
        ix_series_event(&run->result.series, ix_loop_update(&run->loop), name, json[0] ? json : NULL);
        free(name);
        free(json);
    } else {
        ix_fleet_frame(run->fleet, worker, type, in);
    }
}

const struct ix_workers_events ix_run_worker_events = {on_worker_ready, on_worker_frame, on_worker_lost,
                                                       on_worker_fatal};
