/* The device engine's operations: what routes requests, checks them, and is printed as OpenAPI. */
#include "api/device_internal.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TABLE(id, ...)                  \
    static const struct ix_table id = { \
        .fields = id##_fields, .count = IX_ARRAY_LEN(id##_fields), .name = #id, __VA_ARGS__}
#define YEAR_MS  31622400000.0
#define STATUSES WORDS("created", "starting", "running", "stopping", "stopped", "dropped", "error")

/* ---- queries ---- */

#define WINDOW(most)                                                                              \
    {"page", .accept = IX_A_INTEGER, .min = 1, .max = 1e9, .doc = "Page, from 1 on."},            \
        {"pageSize", .accept = IX_A_INTEGER, .min = 1, .max = most, .doc = "Entries of a page."}, \
        {"offset", .accept = IX_A_INTEGER, .min = 0, .max = 1e9,                                  \
         .doc = "First entry, from 0 on; instead of page."},                                      \
    {                                                                                             \
        "limit", .accept = IX_A_INTEGER, .min = 1, .max = most,                                   \
                 .doc = "Entries at most; instead of pageSize."                                   \
    }

static const struct ix_field window_fields[] = {WINDOW(1000)};
TABLE(window, .doc = "The part of a list to answer with; all of it if nothing is given.");

static const struct ix_field devices_fields[] = {
    {"status", .accept = IX_A_TEXT, .words = STATUSES, .doc = "Only devices of this status."},
    {"groupId", .accept = IX_A_TEXT, .doc = "Only devices of this group."},
    {"modelId", .accept = IX_A_TEXT, .doc = "Only devices of this model."},
    WINDOW(IX_SERVICE_PAGE_MAX),
};
TABLE(devices, .doc = "Which devices, and which part of the list; the first 100 if nothing is given.");

static const struct ix_field validate_fields[] = {
    {"validate", .accept = IX_A_BOOLEAN, .fallback = "false", .doc = "Only check the model, keep nothing."},
};
TABLE(validate, .doc = "How to take the model.");

static const struct ix_field history_fields[] = {
    {"seconds", .accept = IX_A_INTEGER, .min = 1, .max = IX_SERVICE_HISTORY_S, .fallback = "900",
     .doc = "How far back, in seconds."},
};
TABLE(history, .doc = "How much of the history.");

/* ---- bodies ---- */

static const struct ix_field device_fields[] = {
    {"modelId", .accept = IX_A_TEXT, .form = IX_FORM_ID, .required = IX_ALL, .doc = "Model of the device."},
    {"deviceId", .accept = IX_A_TEXT, .form = IX_FORM_ID, .doc = "Its id; default: one is made."},
    {"groupId", .accept = IX_A_TEXT, .form = IX_FORM_ID, .doc = "Group that it joins; default: none."},
    {"overrideConnection", .accept = IX_A_OBJECT, .doc = "Fields laid over the model's connection."},
};
TABLE(device, .doc = "A device to create.");

static const struct ix_field group_fields[] = {
    {"modelId", .accept = IX_A_TEXT, .form = IX_FORM_ID, .required = IX_ALL, .doc = "Model of the devices."},
    {"count", .accept = IX_A_INTEGER, .min = 1, .max = 1e6, .required = IX_ALL, .doc = "How many devices."},
    {"groupId", .accept = IX_A_TEXT, .form = IX_FORM_ID, .doc = "Id of the group; default: one is made."},
    {"idPattern", .accept = IX_A_TEXT, .fallback = "\"{groupId}-{index}\"",
     .doc = "Ids of the devices: {index} once, counting from 0; {groupId} if wanted."},
    {"overrideConnection", .accept = IX_A_OBJECT, .doc = "Fields laid over the model's connection."},
};
TABLE(group, .doc = "A group to create.");

/* Settings that every built-in strategy takes, needed or not; those of further strategies go to them unseen. */
#define DELAY                                                                     \
    {                                                                             \
        "delayMs", .accept = IX_A_NUMBER, .min = 0, .max = YEAR_MS, .unit = "ms", \
                   .doc = "Delay from one device, or batch, to the next."         \
    }
#define BASE                                                                                 \
    {                                                                                        \
        "exponentBase", .accept = IX_A_NUMBER, .min = 1, .max = 1000,                        \
                        .doc = "Factor from one exponential delay to the next; default 1.5." \
    }
#define LAUNCH                                                                                       \
    {"strategy", .accept = IX_A_TEXT, .fallback = "\"immediate\"",                                   \
     .doc = "immediate, linear, batch, exponential, stages, poisson, or a file of your own."},       \
        DELAY,                                                                                       \
        {"batchSize", .accept = IX_A_INTEGER, .min = 1, .max = 1e9,                                  \
         .doc = "Devices of a batch; default 100."},                                                 \
        {"maxDelayMs",   .accept = IX_A_NUMBER, .min = 0,                                            \
         .max = YEAR_MS, .unit = "ms",          .doc = "Longest exponential delay; default 60000."}, \
        BASE

static const struct ix_field launch_fields[] = {LAUNCH};
TABLE(launch, .doc = "When each device starts: a strategy and its settings.");

static const struct ix_field launch_query_fields[] = {
    {"staggerMs", .accept = IX_A_NUMBER, .min = 0, .max = YEAR_MS, .unit = "ms",
     .doc = "Delay from one device to the next: the strategy linear in short."},
    LAUNCH,
};
TABLE(launch_query, .doc = "The same settings as in the body, which wins.");

static const struct ix_field dropout_fields[] = {
    {"strategy", .accept = IX_A_TEXT, .fallback = "\"linear\"",
     .doc = "immediate, linear, exponential, random, or a file of your own."},
    {"count", .accept = IX_A_INTEGER, .min = 0, .max = 1e9,
     .doc = "How many devices; wins over percentage; more than there are means all."},
    {"percentage", .accept = IX_A_NUMBER, .min = 0, .max = 100, .unit = "%",
     .doc = "How many of the running devices; neither this nor count means all."},
    DELAY,
    {"durationMs", .accept = IX_A_NUMBER, .min = 0, .max = YEAR_MS, .unit = "ms",
     .doc = "Time over which random ones drop; default 60000."},
    BASE,
    {"reconnect", .accept = IX_A_BOOLEAN, .fallback = "false",
     .doc = "Whether they come back by themselves."},
    {"reconnectDelayMs", .accept = IX_A_NUMBER, .min = 0, .max = YEAR_MS, .unit = "ms", .fallback = "0",
     .doc = "From each device's own drop to its return."},
    {"mode", .accept = IX_A_TEXT, .words = WORDS("abort", "close", "silent"), .fallback = "\"abort\"",
     .doc = "abort: reset, so that wills are published; close: politely; silent: stop talking, keep the "
            "connection."},
};
TABLE(dropout, .doc = "Which share of the running devices vanishes, and when.");

static const struct ix_field preview_fields[] = {
    {"kind", .accept = IX_A_TEXT, .words = WORDS("launch", "dropout"), .required = IX_ALL,
     .doc = "Of which kind the strategy is."},
    {"strategy", .accept = IX_A_TEXT, .doc = "The strategy; its settings stand beside it."},
    {"count", .accept = IX_A_INTEGER, .min = 1, .max = 1e9, .required = IX_ALL, .doc = "How many devices."},
};
TABLE(preview, .doc = "A strategy to look at.");

static const struct ix_table parameters = {.name = "parameters", .doc = "The command's parameters by name."};
static const struct ix_table model = {.name = "model", .doc = "A device model."};

/* ---- operations ---- */

#define MODEL_ID    WORDS("Id of the model.")
#define DEVICE_ID   WORDS("Id of the device.")
#define MODEL_BYTES (256u << 10)
#define GROUP_ID    WORDS("Id of the group.")

static const struct ix_operation operations[] = {
    {"GET", "/health", "getHealth", "service", "Whether the service is well",
     .answers = {{200, "Health", "It is."}}, .permission = NULL, .handle = ix_get_health},
    {"GET", "/ready", "getReady", "service", "Whether the service takes requests",
     .answers = {{200, "Ready", "It does."}}, .faults = "503", .permission = NULL, .handle = ix_get_ready},
    {"GET", "/metrics", "getMetrics", "service", "Figures for Prometheus",
     .answers = {{200, NULL, "Prometheus text format.", "text/plain"}}, .permission = "stats:read",
     .handle = ix_get_metrics},
    {"GET", "/openapi.json", "getOpenapi", "service", "This document",
     .answers = {{200, NULL, "OpenAPI 3.1.", "application/json"}, {304, NULL, "You have it already."}},
     .permission = NULL, .handle = ix_get_openapi},
    {"GET", "/api/v1/stats", "getStats", "service", "Figures of the whole service",
     .doc = "Made once a second: asking more often costs nothing and shows nothing new.",
     .answers = {{200, "Stats", "The figures."}}, .permission = "stats:read", .handle = ix_get_stats},
    {"GET", "/api/v1/stats/history", "getStatsHistory", "service", "The last minutes, second by second",
     .doc = "What charts begin with. It is kept in memory, and starts anew with the service.",
     .query = &history, .answers = {{200, "History", "One column per series."}}, .permission = "stats:read",
     .handle = ix_get_history},
    {"GET", "/api/v1/events", "getEvents", "service", "What happens, as it happens",
     .doc = "Server-sent events: stats once a second; state, batched, when devices change; progress of "
            "starts, stops and "
            "dropouts; log; models and groups when a list changed. A comment after 15 s without an event.",
     .answers = {{200, NULL, "A stream that does not end.", "text/event-stream"}}, .faults = "503",
     .permission = "stats:read", .handle = ix_get_events},

    {"GET", "/api/v1/models", "listModels", "models", "All models, by id", .query = &window,
     .answers = {{200, "ModelAnswer[]", "The models; X-Total-Count says how many there are."}},
     .permission = "models:read", .handle = ix_list_models},
    {"POST", "/api/v1/models", "createModel", "models", "Add a model",
     .doc =
         "Unknown fields are ignored and named in warnings. At most 256 KiB; larger models come from files.",
     .query = &validate, .body = &model, .body_text = true, .body_bytes = MODEL_BYTES,
     .answers = {{201, "ModelAnswer", "The model."},
                 {200, "Validity", "With validate=true: it is free of faults."}},
     .faults = "409 503", .permission = "models:write", .handle = ix_create_model},
    {"GET", "/api/v1/models/{id}", "getModel", "models", "One model", .variables = MODEL_ID,
     .answers = {{200, "ModelAnswer", "The model."}}, .faults = "404", .permission = "models:read",
     .handle = ix_get_model},
    {"PUT", "/api/v1/models/{id}", "replaceModel", "models", "Replace a model",
     .doc = "Devices take the new one at their next start.", .variables = MODEL_ID, .body = &model,
     .body_text = true, .body_bytes = MODEL_BYTES, .answers = {{200, "ModelAnswer", "The model."}},
     .faults = "404 409 503", .permission = "models:write", .handle = ix_replace_model},
    {"DELETE", "/api/v1/models/{id}", "deleteModel", "models", "Remove a model", .variables = MODEL_ID,
     .answers = {{204, NULL, "It is gone."}}, .faults = "404 409 503", .permission = "models:delete",
     .handle = ix_delete_model},

    {"GET", "/api/v1/devices", "listDevices", "devices", "Devices, page by page", .query = &devices,
     .answers = {{200, "DevicePage", "The page."}}, .faults = "503", .permission = "devices:read",
     .handle = ix_list_devices},
    {"POST", "/api/v1/devices", "createDevice", "devices", "Create one device", .body = &device,
     .answers = {{201, "Device", "The device."}}, .faults = "409 503", .permission = "devices:write",
     .handle = ix_create_device},
    {"GET", "/api/v1/devices/{id}", "getDevice", "devices", "One device", .variables = DEVICE_ID,
     .answers = {{200, "Device", "The device."}}, .faults = "404", .permission = "devices:read",
     .handle = ix_get_device},
    {"DELETE", "/api/v1/devices/{id}", "deleteDevice", "devices", "Remove a device", .variables = DEVICE_ID,
     .answers = {{204, NULL, "It is gone."}}, .faults = "404 503", .permission = "devices:delete",
     .handle = ix_delete_device},
    {"POST", "/api/v1/devices/{id}/start", "startDevice", "devices", "Start a device",
     .doc = "Answers once it is connected, or with status error and errorMessage, after at most 10 s.",
     .variables = DEVICE_ID, .answers = {{200, "Device", "The device."}}, .faults = "404 409 503",
     .permission = "devices:write", .handle = ix_start_device},
    {"POST", "/api/v1/devices/{id}/stop", "stopDevice", "devices", "Stop a device", .variables = DEVICE_ID,
     .answers = {{200, "Device", "The device."}}, .faults = "404 409 503", .permission = "devices:write",
     .handle = ix_stop_device},
    {"GET", "/api/v1/devices/{id}/metrics", "getDeviceMetrics", "devices",
     "What a device did, and its last values", .variables = DEVICE_ID,
     .answers = {{200, "DeviceMetrics", "The figures."}}, .faults = "404 503", .permission = "devices:read",
     .handle = ix_get_device_metrics},
    {"POST", "/api/v1/devices/{id}/commands/{name}", "sendCommand", "devices",
     "Send a command, as if it came over the protocol",
     .variables = WORDS("Id of the device.", "Name of the command."), .body = &parameters,
     .body_optional = true, .body_open = true, .answers = {{202, "CommandAccepted", "It is on its way."}},
     .faults = "404 409 503", .permission = "devices:command", .handle = ix_send_command},

    {"GET", "/api/v1/groups", "listGroups", "groups", "All groups, in order of creation", .query = &window,
     .answers = {{200, "Group[]", "The groups; X-Total-Count says how many there are."}}, .faults = "503",
     .permission = "groups:read", .handle = ix_list_groups},
    {"POST", "/api/v1/groups", "createGroup", "groups", "Create a group of devices",
     .doc = "10,000 groups at most (503).", .body = &group, .answers = {{201, "Group", "The group."}},
     .faults = "409 503", .permission = "groups:write", .handle = ix_create_group},
    {"GET", "/api/v1/groups/{id}", "getGroup", "groups", "One group, and how far its operation is",
     .variables = GROUP_ID, .answers = {{200, "Group", "The group."}}, .faults = "404",
     .permission = "groups:read", .handle = ix_get_group},
    {"GET", "/api/v1/groups/{id}/history", "getGroupHistory", "groups",
     "A group's states in the last minutes", .variables = GROUP_ID, .query = &history,
     .answers = {{200, "History", "One column per status, and connected."}}, .faults = "404",
     .permission = "groups:read", .handle = ix_get_group_history},
    {"DELETE", "/api/v1/groups/{id}", "deleteGroup", "groups", "Remove a group and its devices",
     .variables = GROUP_ID, .answers = {{204, NULL, "They are gone."}}, .faults = "404 503",
     .permission = "groups:delete", .handle = ix_delete_group},
    {"POST", "/api/v1/groups/{id}/start", "startGroup", "groups", "Start a group's devices by a strategy",
     .doc =
         "Returns at once; the group's operation tells how far it is. Settings of strategies of your own "
         "stand beside the common ones. If its broker's name can't be looked up, its devices are in error, "
         "errorMessage says why, and it is tried again until it works. 511 groups at most are at work at "
         "once "
         "(503); stopped ones make room.",
     .variables = GROUP_ID, .query = &launch_query, .body = &launch, .body_optional = true, .body_open = true,
     .answers = {{200, "Group", "devicesStarted is how many this call launches."}}, .faults = "404 409 503",
     .permission = "groups:write", .handle = ix_start_group},
    {"POST", "/api/v1/groups/{id}/stop", "stopGroup", "groups", "Stop a group's devices",
     .variables = GROUP_ID, .answers = {{200, "Group", "The group."}}, .faults = "404 409 503",
     .permission = "groups:write", .handle = ix_stop_group},
    {"POST", "/api/v1/groups/{id}/dropout", "dropGroup", "groups", "Let devices of a group vanish",
     .doc = "Returns at once. Exactly so many of the running devices drop, each at an instant of its own.",
     .variables = GROUP_ID, .body = &dropout, .body_optional = true, .body_open = true,
     .answers = {{200, "Dropout", "It has begun."}}, .faults = "404 409 503", .permission = "groups:write",
     .handle = ix_drop_group},

    {"GET", "/api/v1/strategies", "listStrategies", "strategies", "Strategies of starts and dropouts",
     .answers = {{200, "Strategies", "Each with its settings."}}, .permission = "groups:read",
     .handle = ix_list_strategies},
    {"POST", "/api/v1/strategies/preview", "previewStrategy", "strategies", "What a strategy would do",
     .body = &preview, .body_open = true, .answers = {{200, "Preview", "Its curve."}},
     .permission = "groups:read", .handle = ix_preview_strategy},
};

const struct ix_operation *ix_device_operations(size_t *count)
{
    *count = IX_ARRAY_LEN(operations);
    return operations;
}
