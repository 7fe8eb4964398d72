/* The `connection` of a model. */
#include "model/compile.h"

#include "base/file.h"
#include "base/units.h"
#include "model/endpoint.h"

#include <stdlib.h>

#define TOPIC_MAX  65535
#define SECRET_MAX 65535

const char *const ix_protocol_names[] = {"mqtt", "coap", "http"};

struct ix_template *ix_compile_template(struct ix_compiler *c, const struct ix_object *o, const char *name,
                                        const struct ix_template_names *names)
{
    const char *text = ix_object_text(o, name);
    const char *fallback = ix_table_find(o->table, name)->fallback;
    struct ix_template *t;
    char *path, *quoted = NULL;

    if (!text && ix_object_has(o, name))
        return NULL; /* reported already */
    if (!text && !fallback)
        return NULL;
    if (!text)
        text = quoted = ix_strndup(fallback + 1, strlen(fallback) - 2);
    path = ix_object_path(o, name);
    t = ix_template_compile(text, names, c->check.faults, path);
    free(path);
    free(quoted);
    return t;
}

struct ix_template *ix_compile_topic(struct ix_compiler *c, const struct ix_object *o, const char *name,
                                     const struct ix_template_names *names)
{
    struct ix_template *t = ix_compile_template(c, o, name, names);
    bool wildcard;

    if (!t)
        return NULL;
    if (ix_template_literal_len(t, "+#", &wildcard) > TOPIC_MAX)
        ix_object_fault(o, name, "is longer than %d bytes", TOPIC_MAX);
    else if (wildcard && c->model->connection.protocol == IX_PROTOCOL_MQTT)
        ix_object_fault(o, name, "must not contain the wildcards + and #");
    return t;
}

static void set_text(char **out, const char *text)
{
    if (text)
        *out = ix_strdup(text);
}

static void compile_address(const struct ix_object *o, struct ix_connection_spec *spec)
{
    static const char *const fields[] = {"broker", "server", "baseUrl"};
    const char *name = fields[spec->protocol];
    const char *text = ix_object_text(o, name);
    struct ix_endpoint endpoint;
    struct ix_error err;

    if (!text)
        return;
    if (ix_endpoint_parse(text, spec->protocol, &endpoint, &err) < 0) {
        ix_object_fault(o, name, "%s", err.text);
        return;
    }
    if (spec->protocol == IX_PROTOCOL_HTTP && !endpoint.has_scheme) {
        ix_object_fault(o, name, "must start with http:// or https://");
        return;
    }
    spec->host = ix_strdup(endpoint.host);
    if (endpoint.port && spec->port && endpoint.port != spec->port &&
        strchr(strstr(text, "://") ? strstr(text, "://") + 3 : text, ':'))
        ix_object_fault(o, "port", "contradicts the port of %s \"%s\"", name, text);
    if (spec->port == 0)
        spec->port = endpoint.port;
    if (endpoint.has_scheme && !endpoint.tls && spec->tls)
        ix_object_fault(o, "tls", "contradicts the scheme of %s \"%s\"", name, text);
    spec->tls = spec->tls || endpoint.tls;
}

/* A file that TLS needs. A model that came from nowhere names those of the data folders only. */
static void set_tls_file(struct ix_compiler *c, const struct ix_object *tls, const char *name, char **out)
{
    const char *text = ix_object_text(tls, name);
    struct ix_error err;

    if (text && c->options->foreign && ix_model_data_file(c->model, text, out, &err) < 0)
        ix_object_fault(tls, name, "%s", err.text);
    else if (text && !c->options->foreign)
        set_text(out, text);
}

static void compile_tls(struct ix_compiler *c, const struct ix_object *o, struct ix_connection_spec *spec)
{
    const json_t *json = ix_object_get(o, "tls");
    struct ix_object tls;

    spec->tls = json_is_true(json) || json_is_object(json);
    if (!json_is_object(json))
        return;
    tls = ix_object_check(o->check, &ix_table_tls, json, "connection.tls", 0);
    set_tls_file(c, &tls, "ca", &spec->ca_file);
    set_tls_file(c, &tls, "cert", &spec->cert_file);
    set_tls_file(c, &tls, "key", &spec->key_file);
    spec->insecure = ix_object_boolean(&tls, "insecure");
    if (!ix_object_text(&tls, "cert") != !ix_object_text(&tls, "key"))
        ix_object_fault(&tls, ix_object_text(&tls, "cert") ? "key" : "cert",
                        "is missing: cert and key belong together");
}

static void compile_reconnect(const struct ix_object *o, struct ix_reconnect_policy *policy)
{
    const json_t *json = ix_object_get(o, "reconnect");
    struct ix_object r = ix_object_check(o->check, &ix_table_reconnect, json_is_object(json) ? json : NULL,
                                         "connection.reconnect", 0);
    int64_t delay = ix_object_integer(&r, "delayMs"), longest = ix_object_integer(&r, "maxDelayMs");

    policy->backoff = json_is_false(json) ? IX_BACKOFF_NONE : (enum ix_backoff)ix_object_word(&r, "backoff");
    policy->jitter = (enum ix_jitter)ix_object_word(&r, "jitter");
    if (longest < delay && ix_object_has(&r, "maxDelayMs"))
        ix_object_fault(&r, "maxDelayMs", "is shorter than delayMs (%lld ms)", (long long)delay);
    policy->delay_ns = (uint64_t)delay * IX_MS;
    policy->max_delay_ns = (uint64_t)(longest < delay ? delay : longest) * IX_MS;
    policy->base = ix_object_number(&r, "base");
    policy->attempts = (uint32_t)ix_object_integer(&r, "attempts");
    policy->on_refused = ix_object_boolean(&r, "onRefused");
}

static void compile_queue(const struct ix_object *o, struct ix_connection_spec *spec)
{
    const json_t *json = ix_object_get(o, "queue");
    if (!json)
        return;
    struct ix_object q = ix_object_check(o->check, &ix_table_queue, json, "connection.queue", 0);
    int policy = ix_object_word(&q, "policy");
    spec->queue = policy < 0 ? IX_QUEUE_NONE : (enum ix_queue_policy)(IX_QUEUE_DROP_NEWEST + policy);
    spec->queue_size = spec->queue == IX_QUEUE_BLOCK ? 0 : (unsigned)ix_object_integer(&q, "size");
    if (spec->queue == IX_QUEUE_BLOCK && ix_object_has(&q, "size"))
        ix_object_fault(&q, "size", "has no meaning with \"block\", which drops nothing");
}

static void compile_will(struct ix_compiler *c, const struct ix_object *o, struct ix_will *will)
{
    struct ix_template_names names = ix_compile_names(c);
    const json_t *json = ix_object_get(o, "will"), *payload;
    struct ix_object w;

    if (!json)
        return;
    w = ix_object_check(o->check, &ix_table_will, json, "connection.will", 0);
    will->set = true;
    will->topic = ix_compile_topic(c, &w, "topic", &names);
    will->qos = (int)ix_object_integer(&w, "qos");
    will->retain = ix_object_boolean(&w, "retain");
    payload = ix_object_get(&w, "payload");
    if (!payload || json_is_string(payload))
        will->text = ix_compile_template(c, &w, "payload", &names);
    else
        will->payload = ix_json_template_compile(payload, &names, c->check.faults, "connection.will.payload");
}

static bool env_allowed(const struct ix_compiler *c, const char *name)
{
    for (size_t i = 0; i < c->options->allowed_env_count; i++) {
        if (strcmp(c->options->allowed_env[i], name) == 0)
            return true;
    }
    return false;
}

static struct ix_template *password_from_file(struct ix_compiler *c, const struct ix_object *o,
                                              const char *name)
{
    struct ix_template *secret;
    struct ix_error err;
    char *path, *text;
    size_t len;

    if (!c->options->folder || strcmp(c->options->folder, IX_MODEL_EMBEDDED) == 0) {
        ix_object_fault(o, "passwordRef",
                        "this model has no folder in which the file could be; use env:NAME");
        return NULL;
    }
    if (ix_file_resolve(c->options->folder, name, &path, &err) < 0) {
        ix_object_fault(o, "passwordRef", "%s", err.text);
        return NULL;
    }
    if (ix_file_read(path, SECRET_MAX, &text, &len, &err) < 0) {
        ix_object_fault(o, "passwordRef", "%s", err.text);
        free(path);
        return NULL;
    }
    free(path);
    text[strcspn(text, "\r\n")] = '\0'; /* editors end a file with a line feed */
    secret = ix_template_literal_new(text);
    free(text);
    return secret;
}

static struct ix_template *compile_password(struct ix_compiler *c, const struct ix_object *o)
{
    struct ix_template_names names = ix_compile_names(c);
    const char *ref = ix_object_text(o, "passwordRef"), *value;

    if (!ref)
        return ix_compile_template(c, o, "password", &names);
    if (ix_object_has(o, "password"))
        ix_object_fault(o, "passwordRef", "cannot be given together with password");
    if (strncmp(ref, "file:", 5) == 0 && ref[5])
        return password_from_file(c, o, ref + 5);
    if (strncmp(ref, "env:", 4) != 0 || !ref[4]) {
        ix_object_fault(o, "passwordRef", "must be env:NAME or file:NAME");
        return NULL;
    }
    if (!env_allowed(c, ref + 4)) {
        ix_object_fault(o, "passwordRef",
                        "the environment variable %s may not be read; allow it with "
                        "--allow-env %s",
                        ref + 4, ref + 4);
        return NULL;
    }
    value = getenv(ref + 4);
    if (!value)
        ix_object_fault(o, "passwordRef", "the environment variable %s is not set", ref + 4);
    return value ? ix_template_literal_new(value) : NULL;
}

static void compile_subscriptions(struct ix_compiler *c, const struct ix_object *o,
                                  struct ix_connection_spec *spec)
{
    struct ix_template_names names = ix_compile_names(c);
    const json_t *json = ix_object_get(o, "subscribe");
    bool found;

    spec->subscriptions = ix_calloc(json_array_size(json) + 1, sizeof(spec->subscriptions[0]));
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct ix_subscribe_spec *s = &spec->subscriptions[spec->subscription_count++];
        char *path = ix_compile_item_path("connection.subscribe", i);
        struct ix_object one =
            ix_object_check(&c->check, &ix_table_subscription, json_array_get(json, i), path, 0);

        s->filter = ix_compile_template(c, &one, "topic", &names);
        s->qos = ix_object_has(&one, "qos") ? (int)ix_object_integer(&one, "qos") : spec->qos;
        if (s->filter && ix_template_literal_len(s->filter, "", &found) > TOPIC_MAX)
            ix_object_fault(&one, "topic", "is longer than %d bytes", TOPIC_MAX);
        free(path);
    }
}

static void compile_mqtt(struct ix_compiler *c, const struct ix_object *o, struct ix_connection_spec *spec)
{
    struct ix_template_names names = ix_compile_names(c);
    const json_t *version = ix_object_get(o, "protocolVersion");

    spec->mqtt_version = json_is_integer(version)                    ? (int)json_integer_value(version)
                         : ix_object_word(o, "protocolVersion") == 1 ? 5
                                                                     : 4;
    spec->client_id = ix_compile_template(c, o, "clientIdPattern", &names);
    if (spec->client_id && !ix_template_is_per_device(spec->client_id))
        ix_object_fault(o, "clientIdPattern",
                        "must contain ${deviceId} or ${index}: a broker keeps one connection per client id");
    spec->topic = ix_compile_topic(c, o, "topicPattern", &names);
    spec->username = ix_compile_template(c, o, "username", &names);
    spec->password = compile_password(c, o);
    if (spec->password && !ix_object_has(o, "username") && spec->mqtt_version < 5)
        ix_object_fault(o, "username", "is missing: MQTT 3.1.1 allows a password only with a user name");
    spec->qos = (int)ix_object_integer(o, "qos");
    spec->retain = ix_object_boolean(o, "retain");
    spec->keep_alive_s = (int)ix_object_integer(o, "keepAlive");
    spec->clean_session = ix_object_boolean(o, "cleanSession");
    spec->session_expiry_s = (uint32_t)ix_object_integer(o, "sessionExpirySec");
    if (spec->session_expiry_s > 0 && spec->mqtt_version < 5)
        ix_object_fault(o, "sessionExpirySec", "needs \"protocolVersion\": \"5\"");
    compile_subscriptions(c, o, spec);
    compile_will(c, o, &spec->will);
}

static void compile_headers(struct ix_compiler *c, const struct ix_object *o, struct ix_connection_spec *spec)
{
    struct ix_template_names names = ix_compile_names(c);
    const json_t *json = ix_object_get(o, "headers");
    const char *key;
    json_t *value;

    if (!json)
        return;
    spec->headers = json_deep_copy(json);
    json_object_foreach(spec->headers, key, value)
    {
        char *path = ix_asprintf("connection.headers.%s", key);
        const char *text = json_string_value(value);

        if (!text)
            ix_faults_add(c->check.faults, path, "must be a string");
        else if (!key[0] || strpbrk(key, " \t\r\n:") || strpbrk(text, "\r\n"))
            ix_faults_add(c->check.faults, path, "is not a header of one line");
        else
            ix_template_free(ix_template_compile(text, &names, c->check.faults, path));
        free(path);
    }
}

/* The text of a field, or its default. */
static char *text_or_default(const struct ix_object *o, const char *name)
{
    const char *text = ix_object_text(o, name);
    const char *fallback = ix_table_find(o->table, name)->fallback;

    return text ? ix_strdup(text) : ix_strndup(fallback + 1, strlen(fallback) - 2);
}

void ix_compile_connection(struct ix_compiler *c, const json_t *json)
{
    struct ix_connection_spec *spec = &c->model->connection;
    struct ix_template_names names = ix_compile_names(c);
    struct ix_object o =
        ix_object_check(&c->check, &ix_table_connection, json, "connection", 1u << spec->protocol);

    compile_tls(c, &o, spec);
    spec->port = (uint16_t)ix_object_integer(&o, "port");
    compile_address(&o, spec);
    compile_reconnect(&o, &spec->reconnect);
    spec->combined = ix_object_word(&o, "payload") == 1;
    spec->connect_timeout_ns = (uint64_t)ix_object_integer(&o, "connectTimeoutMs") * IX_MS;
    spec->max_inflight = (unsigned)ix_object_integer(&o, "maxInflight");
    spec->catch_up = ix_object_word(&o, "onLate") == 1;
    spec->late_after_ns = (uint64_t)ix_object_integer(&o, "lateAfterMs") * IX_MS;
    compile_queue(&o, spec);
    switch (spec->protocol) {
    case IX_PROTOCOL_MQTT:
        compile_mqtt(c, &o, spec);
        break;
    case IX_PROTOCOL_COAP:
        spec->resource_path = text_or_default(&o, "resourcePath");
        spec->topic = ix_compile_topic(c, &o, "resourcePath", &names);
        spec->confirmable = ix_object_boolean(&o, "confirmable");
        break;
    case IX_PROTOCOL_HTTP:
        set_text(&spec->base_url, ix_object_text(&o, "baseUrl"));
        spec->http_path = text_or_default(&o, "path");
        spec->topic = ix_compile_topic(c, &o, "path", &names);
        spec->http_method = text_or_default(&o, "method");
        compile_headers(c, &o, spec);
        break;
    }
}

void ix_connection_deinit(struct ix_connection_spec *spec)
{
    free(spec->host);
    free(spec->ca_file);
    free(spec->cert_file);
    free(spec->key_file);
    ix_template_free(spec->client_id);
    ix_template_free(spec->topic);
    ix_template_free(spec->username);
    ix_template_free(spec->password);
    for (size_t i = 0; i < spec->subscription_count; i++)
        ix_template_free(spec->subscriptions[i].filter);
    free(spec->subscriptions);
    ix_template_free(spec->will.topic);
    ix_json_template_free(spec->will.payload);
    ix_template_free(spec->will.text);
    free(spec->resource_path);
    free(spec->base_url);
    free(spec->http_path);
    free(spec->http_method);
    json_decref(spec->headers);
}
