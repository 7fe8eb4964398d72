#include "model/fields.h"

#define TABLE(id, ...)                      \
    const struct ix_table ix_table_##id = { \
        .fields = id##_fields, .count = IX_ARRAY_LEN(id##_fields), __VA_ARGS__}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define YEAR_MS    31622400000.0
#define BIG        1e15

/* Variants of the generator table, in the order of enum ix_generator_kind. */
enum { RANDOM = 1, SEQUENCE = 2, CONSTANT = 4, REPLAY = 8, CUSTOM = 16, STAMP = 32 };

static const struct ix_field generator_fields[] = {
    {"type", .accept = IX_A_TEXT,
     .words = WORDS("random", "sequence", "constant", "replay", "custom", "stamp"), .required = IX_ALL,
     .doc = "How values come about."},
    {"min", .accept = IX_A_NUMBER, .min = -BIG, .max = BIG, .fallback = "0", .applies = RANDOM | SEQUENCE,
     .doc = "Lowest value."},
    {"max", .accept = IX_A_NUMBER, .min = -BIG, .max = BIG, .fallback = "100", .applies = RANDOM | SEQUENCE,
     .doc = "Highest value."},
    {"distribution", .accept = IX_A_TEXT, .words = WORDS("uniform", "normal", "exponential"),
     .fallback = "\"uniform\"", .applies = RANDOM,
     .doc = "Shape of the distribution; values outside min to max are clamped."},
    {"mean", .accept = IX_A_NUMBER, .min = -BIG, .max = BIG, .applies = RANDOM,
     .doc = "Mean of the normal distribution; default: the middle of min and max."},
    {"stddev", .accept = IX_A_NUMBER, .min = 0, .max = BIG, .applies = RANDOM,
     .doc = "Standard deviation of the normal distribution; default: a sixth of max - min."},
    {"rate", .accept = IX_A_NUMBER, .min = 1e-15, .max = BIG, .applies = RANDOM,
     .doc = "Rate of the exponential distribution, which starts at min; default: 5 / (max - min)."},
    {"probability", .accept = IX_A_NUMBER, .min = 0, .max = 1, .fallback = "0.5", .applies = RANDOM,
     .doc = "Share of true among the values of a boolean attribute."},
    {"values", .accept = IX_A_ARRAY, .elements = IX_A_TEXT, .applies = RANDOM,
     .doc = "Texts of a string attribute, from which one is chosen with equal chance."},
    {"start", .accept = IX_A_NUMBER, .min = -BIG, .max = BIG, .applies = SEQUENCE,
     .doc = "First value; default: min, or max if step is negative."},
    {"step", .accept = IX_A_NUMBER, .min = -BIG, .max = BIG, .fallback = "1", .applies = SEQUENCE,
     .doc = "Added at each tick, not 0; negative steps descend."},
    {"wrap", .accept = IX_A_BOOLEAN, .fallback = "false", .applies = SEQUENCE,
     .doc = "Past the bound start again at the other one; false holds the bound."},
    {"value", .accept = IX_A_ANY, .applies = CONSTANT,
     .doc = "The value, published as written; for a binary attribute its bytes in base64."},
    {"dataFile", "file", .accept = IX_A_TEXT, .applies = REPLAY | CONSTANT, .required = REPLAY,
     .doc =
         "File with the values: CSV with a header line, a JSON array, or JSON lines; raw bytes for a binary "
         "attribute."},
    {"column", .accept = IX_A_TEXT, .applies = REPLAY,
     .doc = "Column of the CSV file, or key of the JSON objects; default: the first column."},
    {"loop", "loopReplay", .accept = IX_A_BOOLEAN, .fallback = "true", .applies = REPLAY,
     .doc = "Start again after the last value; false holds it."},
    {"frameBytes", .accept = IX_A_INTEGER, .min = 1, .max = 268435455, .unit = "bytes", .applies = REPLAY,
     .doc = "Length of one frame of a binary file; default: the whole file at each tick."},
    {"handler", .accept = IX_A_TEXT, .form = IX_FORM_PLAIN, .applies = CUSTOM, .required = CUSTOM,
     .doc = "Name of a Lua generator: generators/NAME.lua."},
    {"config", "params", .accept = IX_A_OBJECT, .applies = CUSTOM, .doc = "Settings for the Lua generator."},
    {"size", .accept = IX_A_INTEGER, .min = 1, .max = 16777216, .unit = "bytes", .fallback = "256",
     .applies = STAMP,
     .doc = "Length of each payload; from 24 bytes on it says when it was sent, for receive.latency."},
};
#define GENERATORS WORDS("random", "sequence", "constant", "replay", "custom", "stamp")
TABLE(generator, .name = "generator", .doc = "Source of an attribute's values", .choice = IX_CHOOSE_TYPE,
      .variants = GENERATORS);
const struct ix_table ix_table_generator_change = {
    .name = "generator change",
    .doc = "Generator settings laid over the attribute's own; a value alone makes it constant",
    .choice = IX_CHOOSE_TYPE,
    .variants = GENERATORS,
    .partial = true,
    .fields = generator_fields,
    .count = IX_ARRAY_LEN(generator_fields),
};

static const struct ix_field tls_fields[] = {
    {"ca", .accept = IX_A_TEXT, .doc = "PEM file of the authorities to trust; default: the system's."},
    {"cert", .accept = IX_A_TEXT, .doc = "PEM file of the client's certificate."},
    {"key", .accept = IX_A_TEXT, .doc = "PEM file of the client's private key."},
    {"insecure", .accept = IX_A_BOOLEAN, .fallback = "false",
     .doc = "Accept any certificate; for tests with self-signed ones."},
};
TABLE(tls, .name = "tls", .doc = "Encryption of the connection");

static const struct ix_field will_fields[] = {
    {"topic", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Topic of the last will; a template."},
    {"payload", .accept = IX_A_ANY, .fallback = "\"\"",
     .doc = "Text or JSON that the broker publishes when the device vanishes; a template."},
    {"qos", .accept = IX_A_INTEGER, .min = 0, .max = 2, .fallback = "0",
     .doc = "Quality of service of the will."},
    {"retain", .accept = IX_A_BOOLEAN, .fallback = "false", .doc = "Whether the broker retains the will."},
};
TABLE(will, .name = "will", .doc = "The MQTT last will");

static const struct ix_field reconnect_fields[] = {
    {"backoff", .accept = IX_A_TEXT, .words = WORDS("none", "fixed", "exponential"),
     .fallback = "\"exponential\"",
     .doc =
         "How the delay grows: none stays disconnected, fixed repeats delayMs, exponential multiplies it."},
    {"jitter", .accept = IX_A_TEXT, .words = WORDS("none", "full", "decorrelated"), .fallback = "\"full\"",
     .doc =
         "Randomness of the delay: full draws from 0 to the delay, decorrelated from delayMs to three times "
         "the last delay."},
    {"delayMs", .accept = IX_A_INTEGER, .min = 0, .max = YEAR_MS, .unit = "ms", .fallback = "1000",
     .doc = "First delay."},
    {"maxDelayMs", .accept = IX_A_INTEGER, .min = 0, .max = YEAR_MS, .unit = "ms", .fallback = "30000",
     .doc = "Longest delay."},
    {"base", .accept = IX_A_NUMBER, .min = 1, .max = 1000, .fallback = "2",
     .doc = "Factor from one exponential delay to the next."},
    {"attempts", .accept = IX_A_INTEGER, .min = 0, .max = 4294967295.0, .fallback = "0",
     .doc = "Attempts in one outage; 0: for ever."},
    {"onRefused", .accept = IX_A_BOOLEAN, .fallback = "false",
     .doc = "Try again after a refusal by the broker, too; false: the device is in error."},
};
TABLE(reconnect, .name = "reconnect", .doc = "What a device does after losing its connection");

static const struct ix_field queue_fields[] = {
    {"policy", .accept = IX_A_TEXT, .words = WORDS("drop-newest", "drop-oldest", "block"), .required = IX_ALL,
     .doc = "When the queue is full: what comes due is dropped (drop-newest), what waits longest is dropped "
            "(drop-oldest), or nothing is (block: it has no size, and needs no memory)."},
    {"size", .accept = IX_A_INTEGER, .min = 1, .max = 65000, .unit = "messages", .fallback = "1000",
     .doc = "Messages that may wait in one device."},
};
TABLE(queue, .name = "queue", .doc = "Where messages wait for room");

static const struct ix_field subscription_fields[] = {
    {"topic", .accept = IX_A_TEXT, .required = IX_ALL,
     .doc = "Topic filter, wildcards and $share/GROUP/ allowed; a template."},
    {"qos", .accept = IX_A_INTEGER, .min = 0, .max = 2,
     .doc = "Quality of service asked for; default: the connection's."},
};
TABLE(subscription, .name = "subscription", .doc = "Something that devices listen to");

static const struct ix_field connection_fields[] = {
    {"broker", .accept = IX_A_TEXT, .applies = IX_V_MQTT,
     .doc = "Host, host:port or URL (mqtt:// tcp:// mqtts:// ssl://); default: the broker of the run."},
    {"server", .accept = IX_A_TEXT, .applies = IX_V_COAP,
     .doc = "Host, host:port or URL (coap:// coaps://); default: the server of the run."},
    {"baseUrl", .accept = IX_A_TEXT, .applies = IX_V_HTTP,
     .doc = "Start of the URL: http://host:port or https://host:port; default: the server of the run."},
    {"port", .accept = IX_A_INTEGER, .min = 1, .max = 65535, .applies = IX_V_MQTT | IX_V_COAP,
     .doc = "Port; default: that of the protocol."},
    {"tls", .accept = IX_A_BOOLEAN | IX_A_OBJECT, .fallback = "false", .table = &ix_table_tls,
     .doc = "Encrypt: true, or an object with files."},
    {"clientIdPattern", .accept = IX_A_TEXT, .fallback = "\"${deviceId}\"", .applies = IX_V_MQTT,
     .doc = "MQTT client id; a template with the device's id or index."},
    {"topicPattern", .accept = IX_A_TEXT, .fallback = "\"devices/${deviceId}/telemetry\"",
     .applies = IX_V_MQTT, .doc = "Topic of telemetry; a template."},
    {"qos", .accept = IX_A_INTEGER, .min = 0, .max = 2, .fallback = "1", .applies = IX_V_MQTT,
     .doc = "Quality of service: 0 at most once, 1 at least once, 2 exactly once."},
    {"retain", .accept = IX_A_BOOLEAN, .fallback = "false", .applies = IX_V_MQTT,
     .doc = "Whether the broker keeps the last telemetry message."},
    {"keepAlive", .accept = IX_A_INTEGER, .min = 5, .max = 65535, .zero = true, .unit = "s", .fallback = "60",
     .applies = IX_V_MQTT, .doc = "MQTT keep-alive; 0 switches it off."},
    {"cleanSession", .accept = IX_A_BOOLEAN, .fallback = "true", .applies = IX_V_MQTT,
     .doc = "Start without the session of an earlier connection."},
    {"sessionExpirySec", .accept = IX_A_INTEGER, .min = 0, .max = 4294967295.0, .unit = "s", .fallback = "0",
     .applies = IX_V_MQTT, .doc = "How long the broker keeps the session after a disconnect (MQTT 5)."},
    {"protocolVersion", .accept = IX_A_TEXT | IX_A_INTEGER, .words = WORDS("3.1.1", "5"), .numbers = "4, 5",
     .min = 4, .max = 5, .fallback = "\"3.1.1\"", .applies = IX_V_MQTT, .doc = "MQTT version."},
    {"username", .accept = IX_A_TEXT, .applies = IX_V_MQTT, .doc = "User name; a template."},
    {"password", .accept = IX_A_TEXT, .applies = IX_V_MQTT,
     .doc = "Password; a template. Prefer passwordRef: models are shown in the clear."},
    {"passwordRef", .accept = IX_A_TEXT, .applies = IX_V_MQTT,
     .doc = "Where the password is: env:NAME (allowed by --allow-env) or file:NAME beside the model."},
    {"will", .accept = IX_A_OBJECT, .table = &ix_table_will, .applies = IX_V_MQTT,
     .doc = "Last will, which the broker publishes when the device vanishes."},
    {"subscribe", .accept = IX_A_ARRAY, .table = &ix_table_subscription, .applies = IX_V_MQTT,
     .doc = "What devices subscribe to on connecting, beside their commands; messages are counted."},
    {"resourcePath", .accept = IX_A_TEXT, .fallback = "\"telemetry/${deviceId}\"", .applies = IX_V_COAP,
     .doc = "Path of the resource that receives telemetry; a template."},
    {"confirmable", .accept = IX_A_BOOLEAN, .fallback = "true", .applies = IX_V_COAP,
     .doc = "Send confirmable messages, which the server acknowledges."},
    {"path", .accept = IX_A_TEXT, .fallback = "\"/telemetry/${deviceId}\"", .applies = IX_V_HTTP,
     .doc = "Path behind baseUrl; a template."},
    {"method", .accept = IX_A_TEXT, .words = WORDS("POST", "PUT", "PATCH"), .fallback = "\"POST\"",
     .applies = IX_V_HTTP, .doc = "Method of the requests."},
    {"headers", .accept = IX_A_OBJECT, .applies = IX_V_HTTP,
     .doc = "Further request headers; values are templates."},
    {"payload", .accept = IX_A_TEXT, .words = WORDS("single", "combined"), .fallback = "\"single\"",
     .doc = "One message per attribute, or one for all attributes that are due at the same instant."},
    {"connectTimeoutMs", .accept = IX_A_INTEGER, .min = 1, .max = YEAR_MS, .unit = "ms", .fallback = "10000",
     .doc = "How long a connection may take to be accepted."},
    {"maxInflight", .accept = IX_A_INTEGER, .min = 1, .max = 65535, .fallback = "20",
     .doc =
         "Unacknowledged messages of one device; telemetry beyond waits in the queue, if there is one, or is "
         "counted as never sent."},
    {"queue", .accept = IX_A_OBJECT, .table = &ix_table_queue,
     .doc = "Telemetry that finds no room (maxInflight, or a server that does not read) waits here, and is "
            "sent later "
            "with its own timestamp; default: no queue."},
    {"onLate", .accept = IX_A_TEXT, .words = WORDS("skip", "catch-up"), .fallback = "\"skip\"",
     .doc =
         "Telemetry that is late by more than lateAfterMs through iotix itself (it was stopped, or the host "
         "is "
         "overloaded): skip never sends it, catch-up sends it at ten times the device's own pace at most."},
    {"lateAfterMs", .accept = IX_A_INTEGER, .min = 1, .max = YEAR_MS, .unit = "ms", .fallback = "5000",
     .doc = "From which delay on onLate decides; what is less late is sent at once."},
    {"reconnect", .accept = IX_A_FALSE | IX_A_OBJECT, .table = &ix_table_reconnect,
     .doc = "How a device tries again after a loss; false: not at all."},
};
TABLE(connection, .name = "connection", .doc = "How devices reach the backend", .choice = IX_CHOOSE_OUTSIDE,
      .variants = WORDS("mqtt", "coap", "http"));

#define TYPES WORDS("number", "integer", "boolean", "string", "binary")

static const struct ix_field attribute_fields[] = {
    {"name", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Name of the value in payloads and conditions."},
    {"type", .accept = IX_A_TEXT, .words = TYPES, .required = IX_ALL, .doc = "Type of the value."},
    {"unit", .accept = IX_A_TEXT, .doc = "Unit, published with the value."},
    {"generator", .accept = IX_A_OBJECT, .table = &ix_table_generator, .required = IX_ALL,
     .doc = "Source of the values."},
    {"intervalMs", .accept = IX_A_INTEGER, .min = 1, .max = YEAR_MS, .unit = "ms", .fallback = "1000",
     .doc = "Time from one value to the next."},
    {"phase", .accept = IX_A_TEXT | IX_A_INTEGER, .words = WORDS("random"), .min = 0, .max = YEAR_MS,
     .unit = "ms", .fallback = "0",
     .doc = "Delay of the first value, or \"random\": spread over one interval."},
    {"topic", .accept = IX_A_TEXT,
     .doc = "Topic (CoAP: resource, HTTP: path) of this attribute; a template; default: the connection's."},
    {"total", .accept = IX_A_INTEGER, .min = 1, .max = BIG,
     .doc = "Values of all devices of a group together, shared out evenly; then the stream ends; default: "
            "no end."},
    {"precision", .accept = IX_A_INTEGER, .min = 0, .max = 15, .unit = "digits",
     .doc = "Digits behind the decimal point; default: as many as the generator's settings suggest."},
};
TABLE(attribute, .name = "telemetry attribute", .doc = "One stream of values");

static const struct ix_field parameter_fields[] = {
    {"name", .accept = IX_A_TEXT, .required = IX_ALL,
     .doc = "Key of the parameter in the command's payload."},
    {"type", .accept = IX_A_TEXT, .words = TYPES, .fallback = "\"string\"",
     .doc = "Type of the parameter; binary: base64."},
    {"required", .accept = IX_A_BOOLEAN, .fallback = "false",
     .doc = "Whether the command is invalid without it."},
    {"description", .accept = IX_A_TEXT, .form = IX_FORM_EMPTY, .doc = "For readers."},
};
TABLE(parameter, .name = "parameter", .doc = "A parameter of a command");

static const struct ix_field response_fields[] = {
    {"topic", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Topic of the answer; a template."},
    {"template", "payload", .accept = IX_A_ANY,
     .doc =
         "Payload of the answer; a template with parameters, attributes, ${command}, ${status}, ${error} and "
         "${correlationId}."},
};
TABLE(response, .name = "response", .doc = "The answer to a command");

static const struct ix_field command_fields[] = {
    {"name", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Name of the command."},
    {"topic", .accept = IX_A_TEXT, .required = IX_ALL,
     .doc = "Topic that the device subscribes to; a template."},
    {"parameters", .accept = IX_A_ARRAY, .table = &ix_table_parameter,
     .doc = "Members of the command's payload."},
    {"response", .accept = IX_A_OBJECT, .table = &ix_table_response,
     .doc = "Answer of the device; default: none."},
    {"description", .accept = IX_A_TEXT, .form = IX_FORM_EMPTY, .doc = "For readers."},
};
TABLE(command, .name = "command", .doc = "Something the backend may ask of a device");

static const struct ix_field child_fields[] = {
    {"model", .accept = IX_A_TEXT | IX_A_OBJECT, .form = IX_FORM_ID, .required = IX_ALL,
     .doc = "Id of a model, or a model."},
    {"count", .accept = IX_A_INTEGER, .min = 1, .max = 1e6, .fallback = "1",
     .doc = "Devices behind each gateway."},
    {"idPattern", .accept = IX_A_TEXT, .fallback = "\"{deviceId}-{index}\"",
     .doc = "Ids of the children: {deviceId} is the gateway's, {index} counts from 0."},
};
TABLE(child, .name = "child", .doc = "Devices behind a gateway");

enum { CONDITION = 1, INTERVAL = 2, CONNECT = 4, COMMAND = 8 };
static const struct ix_field trigger_fields[] = {
    {"type", .accept = IX_A_TEXT, .words = WORDS("condition", "interval", "connect", "command"),
     .required = IX_ALL, .doc = "What sets the behaviour off."},
    {"condition", .accept = IX_A_TEXT, .applies = CONDITION, .required = CONDITION,
     .doc = "Expression over the last published values: \"heartRate > 120\"."},
    {"mode", .accept = IX_A_TEXT, .words = WORDS("edge", "level"), .fallback = "\"edge\"",
     .applies = CONDITION,
     .doc = "edge: when the condition becomes true; level: at each value while it is true."},
    {"cooldownMs", .accept = IX_A_INTEGER, .min = 0, .max = YEAR_MS, .unit = "ms", .fallback = "0",
     .doc = "Least time from one firing to the next."},
    {"intervalMs", .accept = IX_A_INTEGER, .min = 1, .max = YEAR_MS, .unit = "ms", .applies = INTERVAL,
     .required = INTERVAL, .doc = "Time from one firing to the next."},
    {"command", .accept = IX_A_TEXT, .applies = COMMAND, .required = COMMAND,
     .doc = "Name of a command of the model."},
};
TABLE(trigger, .name = "trigger", .doc = "When a behaviour acts", .choice = IX_CHOOSE_TYPE,
      .variants = WORDS("condition", "interval", "connect", "command"));

enum { PUBLISH = 1, SET = 2, DISCONNECT = 4, EVENT = 8, LOG = 16 };
static const struct ix_field action_fields[] = {
    {"type", .accept = IX_A_TEXT, .words = WORDS("publish", "set", "disconnect", "event", "log"),
     .required = IX_ALL, .doc = "What to do."},
    {"topic", .accept = IX_A_TEXT, .applies = PUBLISH, .required = PUBLISH, .doc = "Topic; a template."},
    {"payload", .accept = IX_A_ANY, .applies = PUBLISH, .fallback = "\"\"",
     .doc = "Text or JSON; a template: \"${cpuUsage}\" alone takes the value's own type."},
    {"qos", .accept = IX_A_INTEGER, .min = 0, .max = 2, .applies = PUBLISH,
     .doc = "Quality of service; default: the connection's."},
    {"retain", .accept = IX_A_BOOLEAN, .fallback = "false", .applies = PUBLISH,
     .doc = "Whether the broker keeps the message."},
    {"attribute", .accept = IX_A_TEXT, .applies = SET, .required = SET,
     .doc = "Attribute whose generator changes for this device."},
    {"mode", .accept = IX_A_TEXT, .words = WORDS("abort", "close", "silent"), .fallback = "\"abort\"",
     .applies = DISCONNECT,
     .doc = "abort: reset, so that the will is published; close: politely; silent: stop talking."},
    {"reconnectDelayMs", .accept = IX_A_INTEGER, .min = 0, .max = YEAR_MS, .unit = "ms",
     .applies = DISCONNECT, .doc = "When to come back; default: by the connection's reconnect policy."},
    {"name", .accept = IX_A_TEXT, .applies = EVENT, .required = EVENT, .doc = "Name of the event."},
    {"data", .accept = IX_A_ANY, .applies = EVENT, .doc = "Data of the event; a template."},
    {"message", .accept = IX_A_TEXT, .applies = LOG, .required = LOG, .doc = "Line for the log; a template."},
    {"level", .accept = IX_A_TEXT, .words = WORDS("error", "warn", "info", "debug"), .fallback = "\"info\"",
     .applies = LOG, .doc = "Level of the line."},
};
TABLE(action, .name = "action", .doc = "What a behaviour does", .choice = IX_CHOOSE_TYPE,
      .variants = WORDS("publish", "set", "disconnect", "event", "log"), .also = &ix_table_generator_change,
      .also_applies = SET);

static const struct ix_field after_fields[] = {
    {"ms", .accept = IX_A_INTEGER, .min = 1, .max = YEAR_MS, .unit = "ms", .required = IX_ALL,
     .doc = "Time in this state."},
    {"to", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Next state."},
};
TABLE(after, .name = "after", .doc = "A change of state after some time");

static const struct ix_field when_fields[] = {
    {"condition", .accept = IX_A_TEXT, .required = IX_ALL,
     .doc = "Expression over the last published values."},
    {"to", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Next state."},
};
TABLE(when, .name = "when", .doc = "A change of state when a condition becomes true");

static const struct ix_field state_fields[] = {
    {"after", .accept = IX_A_OBJECT, .table = &ix_table_after, .doc = "Change of state after some time."},
    {"when", .accept = IX_A_ARRAY, .table = &ix_table_when,
     .doc = "Changes of state on conditions; the first that holds."},
    {"telemetry", .accept = IX_A_OBJECT, .map = &ix_table_generator_change,
     .doc = "Generator settings per attribute while in this state."},
    {"enter", .accept = IX_A_ARRAY, .table = &ix_table_action, .doc = "What to do on entering the state."},
};
TABLE(state, .name = "state", .doc = "A state of a state machine");

enum { HANDLER = 1, STATES = 2, TRIGGER = 4 };
static const struct ix_field behavior_fields[] = {
    {"name", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Name of the behaviour."},
    {"description", .accept = IX_A_TEXT, .form = IX_FORM_EMPTY, .doc = "For readers."},
    {"handler", .accept = IX_A_TEXT, .form = IX_FORM_PLAIN, .applies = HANDLER, .required = HANDLER,
     .doc = "Name of a Lua behaviour: behaviors/NAME.lua."},
    {"config", "params", .accept = IX_A_OBJECT, .applies = HANDLER, .doc = "Settings for the Lua behaviour."},
    {"states", .accept = IX_A_OBJECT, .applies = STATES, .required = STATES, .map = &ix_table_state,
     .doc = "States by name: a state machine."},
    {"initial", .accept = IX_A_TEXT, .applies = STATES, .doc = "State after start; default: the first one."},
    {"trigger", .accept = IX_A_OBJECT, .table = &ix_table_trigger, .applies = TRIGGER, .required = TRIGGER,
     .doc = "When the behaviour acts."},
    {"action", .accept = IX_A_OBJECT, .table = &ix_table_action, .applies = TRIGGER, .doc = "What it does."},
    {"actions", .accept = IX_A_ARRAY, .table = &ix_table_action, .applies = TRIGGER,
     .doc = "What it does, in this order."},
};
TABLE(behavior, .name = "behavior", .doc = "How a device reacts", .choice = IX_CHOOSE_MEMBER,
      .variants = WORDS("handler", "states", "trigger"));

static const struct ix_field model_fields[] = {
    {"$schema", .accept = IX_A_TEXT, .form = IX_FORM_EMPTY,
     .doc = "Address of the JSON schema, for editors."},
    {"id", .accept = IX_A_TEXT, .form = IX_FORM_ID, .required = IX_ALL, .doc = "Identity of the model."},
    {"name", .accept = IX_A_TEXT, .required = IX_ALL, .doc = "Name for people."},
    {"description", .accept = IX_A_TEXT, .form = IX_FORM_EMPTY, .doc = "What the device is."},
    {"version", .accept = IX_A_TEXT, .doc = "Version of the model, as in semantic versioning."},
    {"type", .accept = IX_A_TEXT, .words = WORDS("sensor", "gateway", "actuator", "custom"),
     .required = IX_ALL, .doc = "Kind of device."},
    {"protocol", .accept = IX_A_TEXT, .words = WORDS("mqtt", "coap", "http"), .required = IX_ALL,
     .doc = "Protocol that the device speaks."},
    {"connection", .accept = IX_A_OBJECT, .table = &ix_table_connection,
     .doc = "How devices reach the backend."},
    {"telemetry", .accept = IX_A_ARRAY, .table = &ix_table_attribute,
     .doc = "Values that the device publishes."},
    {"commands", .accept = IX_A_ARRAY, .table = &ix_table_command,
     .doc = "Commands that the device understands."},
    {"behaviors", .accept = IX_A_ARRAY, .table = &ix_table_behavior, .doc = "How the device reacts."},
    {"children", .accept = IX_A_ARRAY, .table = &ix_table_child, .doc = "Devices behind a gateway."},
    {"metadata", .accept = IX_A_OBJECT, .doc = "Free facts about the device: ${metadata.NAME} in templates."},
};
TABLE(model, .name = "model", .doc = "An iotix device model");
