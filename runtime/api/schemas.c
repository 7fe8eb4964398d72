#include "api/schemas.h"

#include <stdlib.h>
#include <string.h>

#define PROPERTIES(list) .properties = list, .property_count = IX_ARRAY_LEN(list)
#define WORDS(...)       ((const char *const[]){__VA_ARGS__, NULL})

static const struct ix_property fault[] = {
    {"path", "string",
     "Where: the JSON path in the body, or the name of the query's value; \"\" is all of it.", false},
    {"message", "string", "What is wrong, and what would be right.", false},
};

static const struct ix_property problem[] = {
    {"title", "string", "The status in words.", false},
    {"status", "integer", "The HTTP status.", false},
    {"detail", "string", "What happened, to what, and what to do.", false},
    {"errors", "Fault[]", "Each fault of the input.", true},
};

static const struct ix_property ready[] = {
    {"status", "string", "\"ready\"", false},
};

const struct ix_schema ix_common_schemas[] = {
    {"Fault", "One fault of the input.", PROPERTIES(fault), NULL},
    {"Problem", "What went wrong (RFC 9457).", PROPERTIES(problem), NULL},
    {"Ready", "The service answers requests.", PROPERTIES(ready), NULL},
    {NULL, NULL, NULL, 0, NULL},
};

static const struct ix_property health[] = {
    {"status", "string", "\"healthy\"", false},
    {"version", "string", "Version of iotix.", false},
    {"uptimeSeconds", "number", "Seconds since the service began.", false},
    {"deviceCount", "integer", "Devices.", false},
    {"runningDeviceCount", "integer", "Devices that run.", false},
};

static const struct ix_property model[] = {
    {"id", "string", "Identity of the model.", false},
    {"name", "string", "Name for people.", false},
    {"type", "string", "Kind of device.", false},
    {"protocol", "string", "Protocol that its devices speak.", false},
    {"warnings", "Fault[]", "What was ignored when the model was sent.", true},
};

static const struct ix_property validity[] = {
    {"valid", "boolean", "true; faults are answered with 400.", false},
    {"warnings", "Fault[]", "What would be ignored.", false},
};

static const struct ix_property device[] = {
    {"id", "string", "Identity of the device.", false},
    {"modelId", "string", "Its model.", false},
    {"groupId", "string?", "Its group; null for single devices.", false},
    {"status", "DeviceStatus", "What it is doing.", false},
    {"connectionState", "ConnectionState", "Its connection.", false},
    {"createdAt", "time", "When it was created.", false},
    {"startedAt", "time?", "When it was started last.", false},
    {"lastTelemetryAt", "time?", "When it sent telemetry last.", false},
    {"errorMessage", "string?", "Why it is in error, or was refused last.", false},
};

static const struct ix_property device_page[] = {
    {"items", "Device[]", "The page.", false},
    {"total", "integer", "Devices that the filter lets through.", false},
    {"page", "integer", "Which page this is, from 1 on.", false},
    {"pageSize", "integer", "Devices of a full page.", false},
    {"hasMore", "boolean", "Whether another page follows.", false},
    {"offset", "integer", "Place of the first one among all, from 0 on.", false},
    {"limit", "integer", "The same as pageSize.", false},
};

static const struct ix_property device_metrics[] = {
    {"deviceId", "string", "The device.", false},
    {"messagesSent", "integer", "Messages that it sent.", false},
    {"messagesReceived", "integer", "Messages that it received.", false},
    {"bytesSent", "integer", "Payload bytes that it sent.", false},
    {"bytesReceived", "integer", "Payload bytes that it received.", false},
    {"connectionCount", "integer", "Connections that were accepted.", false},
    {"errorCount", "integer", "Errors: refusals, losses, failed scripts.", false},
    {"lastTelemetry", "object", "Its last values by attribute.", false},
};

static const struct ix_property accepted[] = {
    {"deviceId", "string", "The device.", false},
    {"command", "string", "The command.", false},
    {"status", "string", "\"accepted\"", false},
};

static const struct ix_property operation[] = {
    {"operation", "string", "start, stop or dropout.", false},
    {"strategy", "string?", "By which strategy.", true},
    {"done", "integer", "Devices that are through.", false},
    {"total", "integer", "Devices in all.", false},
    {"status", "string", "running, done or cancelled.", false},
    {"estimatedDurationMs", "integer", "How long it takes by its strategy, in ms.", false},
    {"startedAt", "time", "When it began.", false},
};

static const struct ix_property group[] = {
    {"groupId", "string", "Identity of the group.", false},
    {"modelId", "string", "Model of its devices.", false},
    {"idPattern", "string", "How ids come from the index.", false},
    {"createdAt", "time", "When it was created.", false},
    {"deviceCount", "integer", "Devices of the group.", false},
    {"devicesCreated", "integer", "Devices that were created.", false},
    {"devicesStarted", "integer",
     "In the answer to a start: devices that it launches; else those started now.", false},
    {"devicesStopped", "integer", "Devices that are stopped.", false},
    {"status", "GroupStatus", "What was asked of the group last.", false},
    {"byStatus", "integer{}", "Devices by status.", false},
    {"connected", "integer", "Devices with a connection.", false},
    {"operation", "Operation?", "The last start, stop or dropout.", false},
    {"launch", "any", "Strategy and settings of the last start.", true},
    {"errorMessage", "string",
     "Why nothing of it can run now, though it is to; it is tried again until it works.", true},
    {"advice", "string[]", "In the answer to a start: limits that devices run into, and what to do.", true},
};

static const struct ix_property dropout[] = {
    {"groupId", "string", "The group.", false},
    {"devicesAffected", "integer", "Devices that will drop: exactly so many.", false},
    {"dropoutStrategy", "string", "The strategy.", false},
    {"status", "string", "\"dropout_initiated\"", false},
    {"estimatedDurationMs", "number", "Until the last one has dropped.", false},
    {"dropoutId", "any", "Names this dropout.", true},
};

static const struct ix_property rates[] = {
    {"messagesSent", "number", "Messages sent a second.", false},
    {"messagesReceived", "number", "Messages received a second.", false},
    {"bytesSent", "number", "Payload bytes sent a second.", false},
    {"connects", "number", "Connections accepted a second.", false},
    {"errors", "number", "Refusals, failures and losses a second.", false},
};

static const struct ix_property times[] = {
    {"p50", "number?", "Median.", false},
    {"p95", "number?", "95 % took no longer.", false},
    {"p99", "number?", "99 % took no longer.", false},
    {"max", "number?", "The longest.", false},
};

static const struct ix_property stats[] = {
    {"deviceCount", "integer", "Devices.", false},
    {"runningDeviceCount", "integer", "Devices that run.", false},
    {"groupCount", "integer", "Groups.", false},
    {"modelCount", "integer", "Models.", false},
    {"uptimeSeconds", "number", "Seconds since the service began.", false},
    {"messagesSent", "integer", "Messages sent since then.", false},
    {"messagesReceived", "integer", "Messages received since then.", false},
    {"bytesSent", "integer", "Payload bytes sent since then.", false},
    {"bytesReceived", "integer", "Payload bytes received since then.", true},
    {"byStatus", "integer{}", "Devices by status.", false},
    {"connected", "integer", "Devices with a connection.", false},
    {"rates", "Rates", "Per second, over the last one.", false},
    {"latencyMs", "Times?", "From the due instant to the acknowledgement, in ms, of the last 5 s.", false},
    {"latenessMs", "Times?", "From the due instant to the send, in ms, of the last 5 s: our own delay.",
     false},
    {"workers", "any", "Worker processes.", false},
    {"workerRestarts", "integer", "Workers that died and were replaced.", true},
    {"loopBusy", "number", "0 to 1: the busiest worker's loop.", false},
    {"memoryBytes", "integer", "Resident memory of all processes.", false},
    {"advice", "string[]",
     "What devices run into, limits of this host or of the broker, and what to do about it, while it holds.",
     false},
    {"broker", "string", "The broker that devices without one of their own use.", true},
};

static const struct ix_property history[] = {
    {"timeMs", "integer[]", "Instants in ms since the epoch, oldest first.", false},
    {"series", "number?[]{}",
     "By name: running starting stopping dropped error stopped created connected (devices), messagesSent "
     "messagesReceived bytesSent connects errors (per second), latencyP50 latencyP95 latencyP99 latenessP50 "
     "latenessP99 latenessMax (ms), loopBusy (0 to 1). Of a group: the statuses and connected.",
     false},
};

static const struct ix_property setting[] = {
    {"name", "string", "The setting.", false},
    {"type", "string", "number, integer, string, boolean, duration or list.", false},
    {"default", "any", "Its default.", true},
    {"min", "number", "Least value.", true},
    {"max", "number", "Greatest value.", true},
    {"required", "boolean", "Whether it must be given.", true},
    {"description", "string", "What it does.", true},
};

static const struct ix_property strategy[] = {
    {"name", "string", "The strategy.", false},
    {"description", "string", "When devices start or drop by it.", true},
    {"settings", "Setting[]", "What it takes.", false},
};

static const struct ix_property strategies[] = {
    {"launch", "Strategy[]", "For starting a group.", false},
    {"dropout", "Strategy[]", "For a dropout.", false},
};

static const struct ix_property point[] = {
    {"tMs", "number", "Milliseconds after the beginning.", false},
    {"count", "number", "Devices started, or dropped, by then.", false},
};

static const struct ix_property preview[] = {
    {"durationMs", "number", "Until the last device.", false},
    {"points", "Point[]", "The curve, at most 200 points.", false},
};

const struct ix_schema ix_device_schemas[] = {
    {"Health", "How the service is.", PROPERTIES(health), NULL},
    {"ModelAnswer", "A device model as it was sent; see Model for every field.", PROPERTIES(model), NULL},
    {"Validity", "A model without faults.", PROPERTIES(validity), NULL},
    {"DeviceStatus", "What a device is doing.", NULL, 0,
     WORDS("created", "starting", "running", "stopping", "stopped", "dropped", "error")},
    {"ConnectionState", "The state of a device's connection.", NULL, 0,
     WORDS("disconnected", "connecting", "connected", "reconnecting")},
    {"GroupStatus", "What was asked of a group last.", NULL, 0, WORDS("created", "started", "stopped")},
    {"Device", "A device.", PROPERTIES(device), NULL},
    {"DevicePage", "A part of a list of devices.", PROPERTIES(device_page), NULL},
    {"DeviceMetrics", "What a device did.", PROPERTIES(device_metrics), NULL},
    {"CommandAccepted", "The command is on its way to the device.", PROPERTIES(accepted), NULL},
    {"Operation", "A start, stop or dropout of a group.", PROPERTIES(operation), NULL},
    {"Group", "A group of devices of one model.", PROPERTIES(group), NULL},
    {"Dropout", "A dropout that has begun.", PROPERTIES(dropout), NULL},
    {"Rates", "Per second.", PROPERTIES(rates), NULL},
    {"Times", "Percentiles.", PROPERTIES(times), NULL},
    {"Stats", "Figures of the whole service.", PROPERTIES(stats), NULL},
    {"History", "The last minutes of the figures.", PROPERTIES(history), NULL},
    {"Setting", "A setting of a strategy.", PROPERTIES(setting), NULL},
    {"Strategy", "When devices start or drop.", PROPERTIES(strategy), NULL},
    {"Strategies", "All strategies.", PROPERTIES(strategies), NULL},
    {"Point", "A point of a curve.", PROPERTIES(point), NULL},
    {"Preview", "What a strategy would do.", PROPERTIES(preview), NULL},
    {NULL, NULL, NULL, 0, NULL},
};

static json_t *base_type(const char *name)
{
    if (strcmp(name, "time") == 0)
        return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    if (strcmp(name, "any") == 0)
        return json_object();
    if (name[0] >= 'A' && name[0] <= 'Z')
        return json_pack("{s:s++}", "$ref", "#/components/schemas/", name, "");
    return json_pack("{s:s}", "type", name);
}

json_t *ix_schema_of_type(const char *type)
{
    size_t len = strlen(type);
    char *inner = NULL;
    json_t *schema;
    if (len > 1 && type[len - 1] == '?') {
        inner = ix_strndup(type, len - 1);
        schema = json_pack("{s:[o, {s:s}]}", "anyOf", ix_schema_of_type(inner), "type", "null");
    } else if (len > 2 && strcmp(type + len - 2, "[]") == 0) {
        inner = ix_strndup(type, len - 2);
        schema = json_pack("{s:s, s:o}", "type", "array", "items", ix_schema_of_type(inner));
    } else if (len > 2 && strcmp(type + len - 2, "{}") == 0) {
        inner = ix_strndup(type, len - 2);
        schema = json_pack("{s:s, s:o}", "type", "object", "additionalProperties", ix_schema_of_type(inner));
    } else {
        schema = base_type(type);
    }
    free(inner);
    return schema;
}

json_t *ix_schema_json(const struct ix_schema *schema)
{
    json_t *json =
        json_pack("{s:s, s:s}", "type", schema->words ? "string" : "object", "description", schema->doc);
    if (schema->words) {
        json_t *words = json_array();
        for (size_t i = 0; schema->words[i]; i++)
            json_array_append_new(words, json_string(schema->words[i]));
        json_object_set_new(json, "enum", words);
        return json;
    }
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < schema->property_count; i++) {
        const struct ix_property *p = &schema->properties[i];
        json_t *type = ix_schema_of_type(p->type);
        json_object_set_new(type, "description", json_string(p->doc));
        json_object_set_new(properties, p->name, type);
        if (!p->optional)
            json_array_append_new(required, json_string(p->name));
    }
    json_object_set_new(json, "properties", properties);
    json_object_set_new(json, "required", required);
    return json;
}
