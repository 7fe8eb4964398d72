/* What a scenario can ask of the controller: named operations with JSON arguments and results, the same ones
 * that the REST services use. control/ implements them; Lua reaches them by `core.call` (lua/iotix).
 *
 * Durations are milliseconds; packed functions (script/function.h) are base64 texts; "?" marks what may be
 * missing; "later" marks answers that come when workers have given theirs. */
/* clang-format off
 *
 *  operation        arguments → result
 *
 *  group.create     group? model(id, path or object) count id? connection{}? tags{}? → group count model
 *  group.launch     group strategy settings{} function? → later: devices (that this call launches)
 *  group.stop       group drainMs? → later: devices
 *  group.dropout    group strategy settings{} function? count? percentage? select? mode? reconnect?
 *                   reconnectDelayMs? → later: id eligible chosen
 *  dropout.status   id → eligible chosen dropped alreadyGone back ended cancelled done
 *                   backMs{p50 p90 p99 p100}
 *  dropout.cancel   id → later: {}
 *  group.counts     group? reasons? → count created starting running stopping stopped dropped error connected
 *                   scheduled sent acked received subscribed reasons[{text count}]?
 *  group.set        group attribute changes index? → later: {}
 *  group.each       group function first? count? → later: devices errors
 *  device.start     group index → later: {} · device.stop the same
 *  device.status    group index → status
 *  device.do        group index function → later: the function's result (device:publish, :value …)
 *  device.command   group index name parameters{} → later: {}
 *  metric.get       name tags{}? → kind count value min max avg med p90 p95 p99 rate
 *  metric.add       kind name tags? value? → {} (without value: only declared)
 *  check.add        name passed tags{}? → {}
 *  event.add        name data? → {}
 *  subscribe.open   topic qos? limit? username? password? → later: id
 *  observe.open     topics[] qos? observers? lateAfterMs? settleMs? carry? field? username? password? → later: {}
 *  subscribe.stats  id → received dropped · subscribe.close id → {}
 *  http.request     method url headers{}? body? timeoutMs? → later: status headers{} body latencyMs
 *
 * clang-format on */
#ifndef IX_SCRIPT_HOST_H
#define IX_SCRIPT_HOST_H

#include "base/error.h"

#include <jansson.h>

#define IX_HOST_LATER 1

/* The code of an operation that failed because a model, an address or a limit of this host is wrong, and not
 * the call: the run then ends as badly configured, unless the scenario handles it. */
#define IX_HOST_CONFIGURATION (-EINVAL)

struct ix_host {
    void *context;
    /* 0 and *result (a new reference), or IX_HOST_LATER: ix_script_complete(ticket) follows exactly once,
     * never inside this call; or < 0 with a message. Unknown argument names are errors. */
    int (*call)(void *context, const char *operation, const json_t *arguments, uint64_t ticket,
                json_t **result, struct ix_error *err);
};

#endif
