#include "control/brokers.h"

#include "base/log.h"
#include "control/option_names.h"
#include "protocol/probe.h"
#include "protocol/source.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBE_MS 1000

static int add_target(struct ix_brokers *brokers, const char *text, struct ix_error *err)
{
    if (brokers->target_count == IX_TARGETS_MAX)
        return ix_fail(err, -E2BIG, "%s names more than %d brokers", ix_option_names->broker, IX_TARGETS_MAX);
    struct ix_target *target = &brokers->targets[brokers->target_count];
    bool tls;
    int code = ix_target_parse(text, target, &tls, err);
    bool is_read = code == 0;
    if (is_read)
        code = ix_target_resolve(target, tls, err);
    if (code < 0 && is_read && brokers->config.is_patient) {
        ix_log(IX_LOG_WARN, "%s; devices that go there are in error until it can", err->text);
        code = 0;
    }
    if (code == 0) {
        brokers->target_count++;
        brokers->tls = brokers->tls || tls;
    }
    return code;
}

static int add_list(struct ix_brokers *brokers, const char *list, struct ix_error *err)
{
    char *copy = ix_strdup(list), *rest = copy, *one;
    int code = 0;
    while (code == 0 && (one = strsep(&rest, ",")))
        if (one[0])
            code = add_target(brokers, one, err);
    if (code == 0 && brokers->target_count == 0)
        code = ix_fail(err, -EINVAL, "%s is empty; give `auto`, `embedded` or HOST:PORT",
                       ix_option_names->broker);
    free(copy);
    return code;
}

static void describe(struct ix_brokers *brokers, const char *kind)
{
    struct ix_buf text;
    ix_buf_init(&text, 8192);
    ix_buf_str(&text, kind);
    for (size_t i = 0; i < brokers->target_count && i < 4; i++)
        ix_buf_printf(&text, "%s%s:%u", i ? ", " : "", brokers->targets[i].server_name,
                      brokers->targets[i].port);
    if (brokers->target_count > 4)
        ix_buf_printf(&text, " and %zu more", brokers->target_count - 4);
    free(brokers->text);
    brokers->text = ix_strdup(ix_buf_cstr(&text));
    ix_buf_deinit(&text);
}

static void on_embedded_ready(void *context, const struct ix_error *failure)
{
    struct ix_brokers *brokers = context;
    if (!failure) {
        struct ix_target *target = &brokers->targets[0];
        snprintf(target->address, sizeof target->address, "127.0.0.1");
        snprintf(target->server_name, sizeof target->server_name, "127.0.0.1");
        target->port = ix_broker_port(brokers->embedded);
        brokers->target_count = 1;
        describe(brokers, "embedded mosquitto on ");
    }
    brokers->config.ready(brokers->config.context, failure);
}

static void on_embedded_ended(void *context, const struct ix_error *reason)
{
    struct ix_brokers *brokers = context;
    if (brokers->config.ended)
        brokers->config.ended(brokers->config.context, reason);
}

/* Whether something listens on a TCP port of this host, from the kernel's tables. */
static bool listens(uint16_t port)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    bool found = false;
    char line[512];
    for (size_t i = 0; i < IX_ARRAY_LEN(tables); i++) {
        FILE *f = fopen(tables[i], "re");
        while (f && !found && fgets(line, sizeof line, f)) {
            unsigned local, state;
            found = sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local, &state) == 2 &&
                    local == port && state == 10; /* TCP_LISTEN */
        }
        if (f)
            fclose(f);
    }
    return found;
}

/* What is on the usual port. Something that is no broker is said to be in the way. */
static enum ix_probe look_at(const struct ix_brokers *brokers, uint16_t port)
{
    char what[160];
    if (brokers->config.dry)
        return listens(port) ? IX_PROBE_MQTT : IX_PROBE_NOTHING;
    enum ix_probe found = ix_mqtt_probe("127.0.0.1", port, PROBE_MS, what, sizeof what);
    if (found == IX_PROBE_OTHER)
        ix_log(IX_LOG_WARN,
               "what listens on port %u of this host does not answer as an MQTT broker: it %s. An embedded "
               "broker on a "
               "free port takes its place; --broker HOST:PORT names another",
               port, what);
    return found;
}

static int name_embedded(struct ix_brokers *brokers)
{
    struct ix_target *target = &brokers->targets[0];
    snprintf(target->address, sizeof target->address, "127.0.0.1");
    snprintf(target->server_name, sizeof target->server_name, "127.0.0.1");
    target->port = IX_MQTT_PORT;
    brokers->target_count = 1;
    brokers->text = ix_strdup("embedded mosquitto");
    brokers->is_embedded = true;
    brokers->config.ready(brokers->config.context, NULL);
    return 0;
}

static int start_embedded(struct ix_brokers *brokers, uint16_t port, struct ix_error *err)
{
    if (brokers->config.dry)
        return name_embedded(brokers);
    brokers->is_embedded = true;
    struct ix_broker_config config = {
        .port = port, .ready = on_embedded_ready, .ended = on_embedded_ended, .context = brokers};
    return ix_broker_start(brokers->config.loop, &config, &brokers->embedded, err);
}

int ix_brokers_restart(struct ix_brokers *brokers, struct ix_error *err)
{
    ix_broker_stop(brokers->embedded);
    brokers->embedded = NULL;
    return start_embedded(brokers, brokers->targets[0].port, err);
}

int ix_brokers_start(struct ix_brokers *brokers, const struct ix_brokers_config *config, struct ix_error *err)
{
    const char *wish = config->wish;
    const char *host = getenv("MQTT_BROKER_HOST"), *port = getenv("MQTT_BROKER_PORT");
    char from_env[320];
    *brokers = (struct ix_brokers){.config = *config};
    brokers->is_explicit = wish && strcmp(wish, "auto") != 0;
    if ((!wish || strcmp(wish, "auto") == 0) && ((host && host[0]) || (port && port[0]))) {
        snprintf(from_env, sizeof from_env, "%s:%s", host && host[0] ? host : "localhost",
                 port && port[0] ? port : "1883");
        wish = from_env;
    }
    if (wish && strcmp(wish, "embedded") == 0)
        return start_embedded(brokers, config->embedded_port, err);
    int code = 0;
    if (!wish || strcmp(wish, "auto") == 0) {
        enum ix_probe found = look_at(brokers, IX_MQTT_PORT);
        if (found != IX_PROBE_MQTT)
            return start_embedded(brokers, found == IX_PROBE_OTHER ? 0 : config->embedded_port, err);
        code = add_target(brokers, "127.0.0.1:1883", err);
    } else {
        code = add_list(brokers, wish, err);
    }
    if (code == 0) {
        describe(brokers, "");
        config->ready(config->context, NULL);
    }
    return code;
}

void ix_brokers_deinit(struct ix_brokers *brokers)
{
    ix_broker_stop(brokers->embedded);
    brokers->embedded = NULL;
    free(brokers->text);
    brokers->text = NULL;
}

/* One broker of its own, written as host, host:port or URL. */
static int own_target(const char *text, uint16_t port, bool tls, struct ix_target **targets, size_t *count,
                      struct ix_error *err)
{
    struct ix_target *target = ix_calloc(1, sizeof *target);
    int code = ix_target_parse(text, target, NULL, err);
    if (code == 0) {
        if (!target->port)
            target->port = port;
        code = ix_target_resolve(target, tls, err);
    }
    if (code < 0) {
        free(target);
        return code;
    }
    *targets = target;
    *count = 1;
    return 0;
}

int ix_brokers_look_up(const struct ix_model *model, struct ix_target **targets, size_t *count,
                       struct ix_error *err)
{
    const struct ix_connection_spec *c = &model->connection;
    return own_target(c->host, c->port, c->tls, targets, count, err);
}

bool ix_brokers_is_shared(const struct ix_brokers *brokers, const struct ix_model *model, const char *own)
{
    bool from_scenario = own && !brokers->config.force;
    bool from_model = model->connection.host && !own && !brokers->is_explicit;
    return !from_scenario && !from_model;
}

int ix_brokers_targets(const struct ix_brokers *brokers, const struct ix_model *model, const char *own,
                       struct ix_target **targets, size_t *count, struct ix_error *err)
{
    if (!ix_brokers_is_shared(brokers, model, own))
        return ix_brokers_look_up(model, targets, count, err);
    *targets = ix_calloc(brokers->target_count, sizeof **targets);
    memcpy(*targets, brokers->targets, brokers->target_count * sizeof **targets);
    *count = brokers->target_count;
    return 0;
}

bool ix_brokers_are_known(const struct ix_brokers *brokers)
{
    for (size_t i = 0; i < brokers->target_count; i++)
        if (!brokers->targets[i].address[0])
            return false;
    return true;
}

int ix_brokers_look_up_shared(struct ix_target *targets, size_t count, bool tls, struct ix_error *err)
{
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++)
        if (!targets[i].address[0])
            code = ix_target_resolve(&targets[i], tls, err);
    return code;
}

bool ix_broker_is_here(const struct ix_target *target)
{
    return ix_source_is_loopback(target->address) || strcmp(target->address, "::1") == 0;
}
