/* Which broker a run talks to. Defaults < model < scenario < command line: `--broker` replaces what the
 * scenario has not set itself, `--broker-force` that as well. */
#include "control/run_internal.h"

#include "base/log.h"
#include "protocol/target.h"

#include <stdio.h>
#include <stdlib.h>

static int add_target(struct ix_run *run, const char *text, struct ix_error *err)
{
    if (run->target_count == IX_TARGETS_MAX)
        return ix_fail(err, -E2BIG, "--broker names more than %d brokers", IX_TARGETS_MAX);
    struct ix_target *target = &run->targets[run->target_count];
    bool tls;
    int code = ix_target_parse(text, target, &tls, err);
    if (code == 0)
        code = ix_target_resolve(target, tls, err);
    if (code == 0) {
        run->target_count++;
        run->broker_tls = run->broker_tls || tls;
    }
    return code;
}

static int add_list(struct ix_run *run, const char *list, struct ix_error *err)
{
    char *copy = ix_strdup(list), *rest = copy, *one;
    int code = 0;
    while (code == 0 && (one = strsep(&rest, ",")))
        if (one[0])
            code = add_target(run, one, err);
    if (code == 0 && run->target_count == 0)
        code = ix_fail(err, -EINVAL, "--broker is empty; give `auto`, `embedded` or HOST:PORT");
    free(copy);
    return code;
}

static void show(struct ix_run *run, const char *kind)
{
    struct ix_buf text;
    ix_buf_init(&text, 8192);
    ix_buf_str(&text, kind);
    for (size_t i = 0; i < run->target_count && i < 4; i++)
        ix_buf_printf(&text, "%s%s:%u", i ? ", " : "", run->targets[i].server_name, run->targets[i].port);
    if (run->target_count > 4)
        ix_buf_printf(&text, " and %zu more", run->target_count - 4);
    free(run->result.broker);
    run->result.broker = ix_strdup(ix_buf_cstr(&text));
    ix_buf_deinit(&text);
}

static void on_embedded_ready(void *context, const struct ix_error *failure)
{
    struct ix_run *run = context;
    if (failure) {
        ix_run_fail(run, IX_EXIT_CONFIGURATION, failure->text);
        return;
    }
    struct ix_target *target = &run->targets[0];
    snprintf(target->address, sizeof target->address, "127.0.0.1");
    snprintf(target->server_name, sizeof target->server_name, "127.0.0.1");
    target->port = ix_broker_port(run->embedded);
    run->target_count = 1;
    show(run, "embedded mosquitto on ");
    run->broker_ready(run);
}

static void on_embedded_ended(void *context, const struct ix_error *reason)
{
    struct ix_run *run = context;
    ix_series_event(&run->result.series, ix_loop_update(&run->loop), "embedded broker ended", NULL);
    if (run->phase == RUN_RUNNING)
        ix_run_fail(run, IX_EXIT_INVALID, reason->text);
    else
        ix_log(IX_LOG_ERROR, "%s", reason->text);
}

static int start_embedded(struct ix_run *run, struct ix_error *err)
{
    struct ix_broker_config config = {.ready = on_embedded_ready, .ended = on_embedded_ended, .context = run};
    return ix_broker_start(&run->loop, &config, &run->embedded, err);
}

int ix_run_broker_start(struct ix_run *run, void (*ready)(struct ix_run *run), struct ix_error *err)
{
    const char *wish = run->config.broker;
    const char *host = getenv("MQTT_BROKER_HOST"), *port = getenv("MQTT_BROKER_PORT");
    char from_env[320];
    run->broker_ready = ready;
    run->broker_is_explicit = wish && strcmp(wish, "auto") != 0;
    if ((!wish || strcmp(wish, "auto") == 0) && ((host && host[0]) || (port && port[0]))) {
        snprintf(from_env, sizeof from_env, "%s:%s", host && host[0] ? host : "localhost",
                 port && port[0] ? port : "1883");
        wish = from_env;
    }
    if (wish && strcmp(wish, "embedded") == 0)
        return start_embedded(run, err);
    int code = 0;
    if (!wish || strcmp(wish, "auto") == 0) {
        if (!ix_broker_probe("127.0.0.1", IX_MQTT_PORT, 300))
            return start_embedded(run, err);
        code = add_target(run, "127.0.0.1:1883", err);
    } else {
        code = add_list(run, wish, err);
    }
    if (code == 0) {
        show(run, "");
        ready(run);
    }
    return code;
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

bool ix_run_broker_is_shared(const struct ix_run *run, const struct ix_model *model,
                             const char *scenario_broker)
{
    bool from_scenario = scenario_broker && !run->config.broker_force;
    bool from_model = model->connection.host && !scenario_broker && !run->broker_is_explicit;
    return !from_scenario && !from_model;
}

int ix_run_broker_targets(struct ix_run *run, const struct ix_model *model, const char *scenario_broker,
                          struct ix_target **targets, size_t *count, struct ix_error *err)
{
    const struct ix_connection_spec *c = &model->connection;
    if (!ix_run_broker_is_shared(run, model, scenario_broker))
        return own_target(c->host, c->port, c->tls, targets, count, err);
    *targets = ix_calloc(run->target_count, sizeof **targets);
    memcpy(*targets, run->targets, run->target_count * sizeof **targets);
    *count = run->target_count;
    return 0;
}
