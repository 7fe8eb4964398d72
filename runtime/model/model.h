/* A device model: validated, compiled JSON; read-only afterwards and shared by all devices of a process.
 *
 * JSON as in models/README.md. The compiler is driven by one table of fields (model/fields.h), from which
 * models/device-model.schema.json and the suggestions for unknown keys come as well. */
#ifndef IX_MODEL_MODEL_H
#define IX_MODEL_MODEL_H

#include "model/expression.h"
#include "model/faults.h"
#include "model/template.h"

enum ix_model_kind { IX_KIND_SENSOR, IX_KIND_GATEWAY, IX_KIND_ACTUATOR, IX_KIND_CUSTOM };
enum ix_protocol_kind { IX_PROTOCOL_MQTT, IX_PROTOCOL_COAP, IX_PROTOCOL_HTTP };
extern const char *const ix_protocol_names[];

enum ix_generator_kind {
    IX_GEN_RANDOM,
    IX_GEN_SEQUENCE,
    IX_GEN_CONSTANT,
    IX_GEN_REPLAY,
    IX_GEN_CUSTOM,
    IX_GEN_STAMP,
    IX_GEN_COUNT
};
extern const char *const ix_generator_names[IX_GEN_COUNT];

enum ix_distribution { IX_DIST_UNIFORM, IX_DIST_NORMAL, IX_DIST_EXPONENTIAL };

/* A generator's settings with all defaults filled in. */
struct ix_generator_spec {
    enum ix_generator_kind kind;
    enum ix_type type; /* of the attribute */
    int decimals;      /* digits behind the point; -1: as written */
    double min, max;   /* random, sequence */
    enum ix_distribution distribution;
    double mean, stddev; /* normal */
    double rate;         /* exponential */
    double probability;  /* random boolean: share of true */
    double start, step;  /* sequence */
    bool wrap;
    int precision;  /* as given for the attribute; -1: not given */
    json_t *value;  /* constant: any JSON value; owned */
    char *text;     /* constant: its JSON text as written; owned */
    json_t *values; /* random string: list to choose from; owned */
    json_t *json;   /* the settings as written, for changes; owned */
    char *bytes;    /* constant binary, decoded; owned */
    size_t bytes_len;
    char *file;         /* replay, constant binary: as written; owned */
    char *column;       /* replay: name in the header or key in JSON objects; NULL: first column */
    bool loop;          /* replay: start again at the end (default true); else hold the last value */
    size_t frame_bytes; /* replay binary: bytes of one frame; 0: whole file */
    size_t size;        /* stamp: bytes of each payload */
    char *handler;      /* custom: plain name */
    json_t *config;     /* custom: object or NULL; owned */
};

enum ix_phase { IX_PHASE_ZERO, IX_PHASE_FIXED, IX_PHASE_RANDOM };

/* One stream of telemetry; its place in the model is its stream number. */
struct ix_attribute {
    char *name;
    char *unit; /* NULL if not given */
    enum ix_type type;
    uint64_t interval_ns;
    enum ix_phase phase;
    uint64_t phase_ns;         /* IX_PHASE_FIXED */
    uint64_t total;            /* values of all devices of a group together; 0: no end */
    struct ix_template *topic; /* NULL: the connection's */
    struct ix_generator_spec generator;
    char *json_key;  /* "\"name\":" ready to be written */
    char *json_unit; /* ",\"unit\":\"celsius\"" or "" */
};

enum ix_backoff { IX_BACKOFF_NONE, IX_BACKOFF_FIXED, IX_BACKOFF_EXPONENTIAL };
enum ix_jitter { IX_JITTER_NONE, IX_JITTER_FULL, IX_JITTER_DECORRELATED };

/* When a device that lost its connection, or was refused, tries again. */
struct ix_reconnect_policy {
    enum ix_backoff backoff; /* default exponential */
    enum ix_jitter jitter;   /* default full */
    uint64_t delay_ns;       /* first delay, default 1 s */
    uint64_t max_delay_ns;   /* default 30 s */
    double base;             /* default 2 */
    uint32_t attempts;       /* per outage; 0 = for ever (default) */
    bool on_refused;         /* also after a refusal by the broker (default false: status error) */
};

struct ix_will {
    bool set;
    struct ix_template *topic;
    struct ix_json_template *payload; /* an object, or: */
    struct ix_template *text;         /* a string */
    int qos;
    bool retain;
};

/* A topic filter that each device subscribes to when it connects. */
struct ix_subscribe_spec {
    struct ix_template *filter;
    int qos;
};

/* What becomes of telemetry beyond max_inflight. */
enum ix_queue_policy { IX_QUEUE_NONE, IX_QUEUE_DROP_NEWEST, IX_QUEUE_DROP_OLDEST, IX_QUEUE_BLOCK };

struct ix_connection_spec {
    enum ix_protocol_kind protocol;
    char *host;    /* NULL: the run's broker; from `broker`, a host name, address or URL */
    uint16_t port; /* 0: the run's, or the protocol's default */
    bool tls;
    char *ca_file; /* NULL: the system's */
    char *cert_file;
    char *key_file;
    bool insecure;                 /* no check of the server's certificate */
    int mqtt_version;              /* 4 = 3.1.1 (default), 5 */
    struct ix_template *client_id; /* default "${deviceId}" */
    struct ix_template *topic;    /* default "devices/${deviceId}/telemetry"; CoAP: of resource_path, HTTP: of
                                     http_path, so that where telemetry goes is `topic` in every protocol */
    struct ix_template *username; /* NULL: none */
    struct ix_template *password;
    int qos;                     /* default 1 */
    bool retain;                 /* default false */
    int keep_alive_s;            /* default 60; 0 none, else >= 5 */
    bool clean_session;          /* default true */
    uint32_t session_expiry_s;   /* MQTT 5, default 0 */
    uint64_t connect_timeout_ns; /* default 10 s */
    unsigned max_inflight;       /* default 20 */
    uint16_t receive_maximum;    /* MQTT 5, not of models: unacknowledged messages that we take; 0: 20 */
    enum ix_queue_policy queue;
    unsigned queue_size;    /* messages of a device that may wait; 0: without a limit (IX_QUEUE_BLOCK) */
    bool catch_up;          /* what is late through iotix itself is sent all the same */
    uint64_t late_after_ns; /* and is late from this delay on; default 5 s */
    bool combined;          /* "payload": "combined" */
    struct ix_subscribe_spec *subscriptions;
    size_t subscription_count;
    struct ix_will will;
    struct ix_reconnect_policy reconnect;
    char *resource_path; /* CoAP */
    bool confirmable;
    char *base_url; /* HTTP */
    char *http_path;
    char *http_method;
    json_t *headers;
};

struct ix_parameter {
    char *name;
    enum ix_type type;
    bool required;
};

/* Places of the extra names of a command's response behind its parameters. */
enum {
    IX_EXTRA_COMMAND,
    IX_EXTRA_STATUS,
    IX_EXTRA_ERROR,
    IX_EXTRA_CORRELATION_ID, /* of the command's payload, declared or not */
    IX_EXTRA_COUNT
};

struct ix_command {
    char *name;
    struct ix_template *topic;
    struct ix_parameter *parameters;
    size_t parameter_count;
    struct ix_template *response_topic; /* NULL: no answer */
    /* NULL: {"command":...,"status":"ok"|"error","error":...}. Extra names (both of response and topic):
     * place i is parameter i, then IX_EXTRA_... counted from parameter_count. */
    struct ix_json_template *response;
};

enum ix_trigger { IX_ON_CONDITION, IX_ON_INTERVAL, IX_ON_CONNECT, IX_ON_COMMAND };

struct ix_behavior {
    char *name;
    char *handler;  /* Lua file; NULL: JSON trigger and actions */
    json_t *config; /* handler's; owned */
    bool is_states; /* a state machine: `json` describes it, Lua runs it */
    enum ix_trigger trigger;
    struct ix_expression *condition; /* IX_ON_CONDITION */
    bool level;                      /* fires at each sample while it holds, not only when it becomes true */
    uint64_t cooldown_ns;
    uint64_t interval_ns; /* IX_ON_INTERVAL */
    size_t command;       /* IX_ON_COMMAND: place in model->commands */
    json_t *json;         /* the whole behaviour as written, validated; owned */
};

struct ix_model {
    char *id, *name, *description, *version;
    enum ix_model_kind kind;
    struct ix_connection_spec connection;
    struct ix_attribute *attributes; /* a stream each; place = stream number */
    size_t attribute_count;
    struct ix_command *commands;
    size_t command_count;
    struct ix_behavior *behaviors;
    size_t behavior_count;
    json_t *children;  /* gateway: [{"model": id or object, "count": n}], validated; owned */
    json_t *metadata;  /* object or NULL; owned */
    char *folder;      /* where its files are looked up; NULL: none (REST, inline) */
    bool needs_values; /* conditions, behaviours or ${attribute} templates: last values are kept */
    uint64_t hash;     /* of its canonical text */
};

struct ix_model_options {
    const char *folder; /* of the file it came from, for dataFile and handlers; NULL: none */
    const char *const *allowed_env;
    size_t allowed_env_count;
    bool lenient; /* unknown keys are warnings (REST) */
    bool foreign; /* came from nowhere (REST): names files of the data folders only */
};

/* The JSON of a model's text, not checked; texts may hold NUL. Moves `text` past a byte order mark. */
json_t *ix_model_read(const char **text, size_t *len, json_error_t *error);

/* Compiles a parsed document. NULL if `faults` got an error; warnings may come with a model. */
struct ix_model *ix_model_compile(const json_t *json, const struct ix_model_options *options,
                                  struct ix_faults *faults);
/* Parses first: malformed JSON is a fault with line and column; duplicate keys too. */
struct ix_model *ix_model_parse(const char *text, size_t len, const struct ix_model_options *options,
                                struct ix_faults *faults);
void ix_model_free(struct ix_model *model);

/* Scalars of `type` in `value`s of a command: true if the JSON value fits. */
bool ix_type_accepts(enum ix_type type, const json_t *value);

/* `out` = a copy of `from` with the generator's settings in `changes` (an object as in
 * telemetry[].generator, or any other JSON value: then a constant) applied; for device:set. */
int ix_generator_spec_patch(struct ix_generator_spec *out, const struct ix_generator_spec *from,
                            const json_t *changes, struct ix_error *err);
void ix_generator_spec_deinit(struct ix_generator_spec *spec);

/* The JSON schema (draft 2020-12) of models, from the same table; the caller frees the text. */
char *ix_model_schema(void);

/* The folder of models that are part of the binary, and how to get at their files: `find` is given
 * "models/NAME" and returns the contents, which stay. */
#define IX_MODEL_EMBEDDED "embedded:"
void ix_model_set_embedded(const char *(*find)(const char *name, size_t *len));
/* Contents of an embedded file by its name in models/, NULL if there is none. */
const char *ix_model_embedded(const char *name, size_t *len);

/* Names the file for a generator's `dataFile`: inside the model's folder, then in the folders of
 * IOTIX_DATA_PATH (default /data; several are separated by ":"). A leading "/" counts from these folders,
 * too, so that "/data/x.csv" is found as data/x.csv beside the model. Embedded files are named
 * "embedded:NAME". The caller frees *path. -ENOENT, and -EPERM for what lies outside; the message says where
 * it was looked for. */
int ix_model_data_file(const struct ix_model *model, const char *name, char **path, struct ix_error *err);

#endif
