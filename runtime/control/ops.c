/* What scenarios (and services) can ask, by name: see script/host.h for the list. */
#include "control/ops.h"

#include "base/suggest.h"

struct operation {
    const char *name;
    const char *keys; /* allowed arguments, separated by spaces */
    ix_operation *run;
};

static const struct operation operations[] = {
    {"group.create", "group model count id connection tags", ix_op_group_create},
    {"group.launch", "group strategy settings function", ix_op_group_launch},
    {"group.stop", "group drainMs", ix_op_group_stop},
    {"group.dropout",
     "group strategy settings function count percentage select mode reconnect reconnectDelayMs",
     ix_op_group_dropout},
    {"dropout.status", "id", ix_op_dropout_status},
    {"dropout.cancel", "id", ix_op_dropout_cancel},
    {"group.counts", "group reasons", ix_op_group_counts},
    {"group.set", "group attribute changes index", ix_op_group_set},
    {"group.each", "group function first count", ix_op_group_each},
    {"device.start", "group index", ix_op_device_start},
    {"device.stop", "group index", ix_op_device_stop},
    {"device.status", "group index", ix_op_device_status},
    {"device.do", "group index function", ix_op_device_do},
    {"device.command", "group index name parameters", ix_op_device_command},
    {"metric.get", "name tags", ix_op_metric_get},
    {"metric.add", "kind name tags value", ix_op_metric_add},
    {"check.add", "name passed tags reason", ix_op_check_add},
    {"event.add", "name data", ix_op_event_add},
    {"subscribe.open", "topic qos limit username password", ix_op_subscribe_open},
    {"subscribe.stats", "id", ix_op_subscribe_stats},
    {"subscribe.close", "id", ix_op_subscribe_close},
    {"observe.open", "topics qos observers lateAfterMs settleMs carry field username password",
     ix_op_observe_open},
    {"http.request", "method url headers body timeoutMs", ix_op_http_request},
};

static bool is_word_of(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

int ix_run_call(void *context, const char *operation, const json_t *arguments, uint64_t ticket,
                json_t **result, struct ix_error *err)
{
    struct ix_run *run = context;
    const char *names[IX_ARRAY_LEN(operations)];
    for (size_t i = 0; i < IX_ARRAY_LEN(operations); i++) {
        const struct operation *op = &operations[i];
        names[i] = op->name;
        if (strcmp(op->name, operation) != 0)
            continue;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)arguments, key, value)
        {
            if (!is_word_of(op->keys, key))
                return ix_fail(err, -EBADMSG, "%s has no argument \"%s\"; known: %s", operation, key,
                               op->keys);
        }
        return op->run(run, arguments, ticket, result, err);
    }
    char suggestion[512];
    ix_suggest_put(suggestion, sizeof suggestion, operation, names, IX_ARRAY_LEN(operations));
    return ix_fail(err, -EBADMSG, "there is no operation \"%s\"%s", operation, suggestion);
}
