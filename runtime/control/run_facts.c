/* What a run is told and where: its settings with their origin, this machine, and how much of its CPU others had. */
#include "control/run_internal.h"

#include "base/random.h"
#include "base/units.h"
#include "control/judge.h"
#include "control/limits.h"
#include "control/replay.h"
#include "control/report_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

/* ---- settings ---- */

static void set(json_t *settings, const char *name, json_t *value, const char *origin)
{
    json_object_set_new(settings, name, json_pack("{s:o,s:s}", "value", value, "origin", origin));
}

static void set_text(json_t *settings, const char *name, const char *given, const char *otherwise)
{
    set(settings, name, given ? ix_report_string(given) : ix_report_string(otherwise),
        given ? "command line" : "default");
}

static void set_broker(json_t *settings, const struct ix_run_config *config)
{
    const char *host = getenv("MQTT_BROKER_HOST"), *port = getenv("MQTT_BROKER_PORT");
    bool environment = !config->broker && ((host && *host) || (port && *port));
    char *text = environment
                     ? ix_asprintf("%s:%s", host && *host ? host : "localhost", port && *port ? port : "1883")
                     : ix_strdup(config->broker ? config->broker : "auto");
    set(settings, "broker", ix_report_string(text),
        config->broker ? "command line"
        : environment  ? "environment"
                       : "default");
    free(text);
}

static const char *origin_of_limit(const struct ix_run *run, const struct ix_limit_doc *limit)
{
    return ix_judge_is_named(limit, run->config.limits, run->config.limit_count) ? "command line"
           : json_object_get(run->limits, limit->name)                           ? "scenario"
                                                                                 : "default";
}

static void set_limits(json_t *settings, const struct ix_run *run)
{
    const struct ix_limits *limits = &run->result.limits;
    struct ix_buf text;
    ix_buf_init(&text, 256);
    for (const struct ix_limit_doc *limit = ix_limit_docs; limit->name; limit++) {
        char *name = ix_asprintf("limit.%s", limit->name);
        ix_buf_clear(&text);
        ix_judge_put_limit(&text, limits, limit);
        set(settings, name, json_string(ix_buf_cstr(&text)), origin_of_limit(run, limit));
        free(name);
    }
    ix_buf_deinit(&text);
}

static void set_options(json_t *settings, const json_t *options, const json_t *given)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)options, name, value)
    {
        char *key = ix_asprintf("option.%s", name);
        set(settings, key, json_incref(value), json_object_get(given, name) ? "command line" : "scenario");
        free(key);
    }
}

static json_t *settings_of(const struct ix_run *run)
{
    const struct ix_run_config *config = &run->config;
    json_t *settings = json_object();
    char text[64];
    set_broker(settings, config);
    set(settings, "brokerForce", json_boolean(config->broker_force),
        config->broker_force ? "command line" : "default");
    set_text(settings, "bind", config->bind, "auto");
    set(settings, "connectRate", config->connect_rate > 0 ? json_real(config->connect_rate) : json_null(),
        config->connect_rate > 0 ? "command line" : "default");
    snprintf(text, sizeof(text), "%llu", (unsigned long long)run->result.seed);
    set(settings, "seed", json_string(text), config->seed_given ? "command line" : "default");
    set(settings, "workers", json_integer(config->workers ? config->workers : ix_run_cores()),
        config->workers ? "command line" : "default");
    set(settings, "intervalMs", json_real((double)config->interval_ns / 1e6),
        config->interval_ns != IX_S ? "command line" : "default");
    json_t *names = json_array();
    for (size_t i = 0; i < config->allowed_env_count; i++)
        json_array_append_new(names, ix_report_string(config->allowed_env[i]));
    set(settings, "allowEnv", names, config->allowed_env_count ? "command line" : "default");
    json_t *filters = json_array();
    for (size_t i = 0; i < config->observe_count; i++)
        json_array_append_new(filters, ix_report_string(config->observe[i]));
    set(settings, "observe", filters, config->observe_count ? "command line" : "default");
    set_limits(settings, run);
    set_options(settings, run->result.options, config->options);
    return settings;
}

void ix_run_settings_group(struct ix_run *run, const char *group, const struct ix_model *model,
                           const char *scenario_broker, const struct ix_target *targets, size_t count)
{
    if (ix_brokers_is_shared(&run->brokers, model, scenario_broker) || !count)
        return;
    char *name = ix_asprintf("group.%s.broker", group);
    char *value = ix_asprintf("%s:%u", targets[0].address, targets[0].port);
    set(run->result.settings, name, ix_report_string(value), scenario_broker ? "scenario" : "model");
    free(value);
    free(name);
}

/* ---- this machine ---- */

static json_t *host_facts(void)
{
    struct ix_limits_of_host limits;
    struct utsname system;
    struct sysinfo memory;
    ix_limits_read(&limits);
    json_t *host = json_pack("{s:I,s:I,s:I}", "cores", (json_int_t)limits.cores, "descriptors",
                             (json_int_t)limits.files, "ports", (json_int_t)limits.ports);
    if (sysinfo(&memory) == 0)
        json_object_set_new(host, "memoryBytes",
                            json_integer((json_int_t)((uint64_t)memory.totalram * memory.mem_unit)));
    if (uname(&system) == 0) {
        char *kernel = ix_asprintf("%s %s", system.sysname, system.release);
        json_object_set_new(host, "kernel", ix_report_string(kernel));
        json_object_set_new(host, "architecture", ix_report_string(system.machine));
        free(kernel);
    }
    return host;
}

void ix_run_facts(struct ix_run *run)
{
    struct ix_result *result = &run->result;
    json_decref(result->settings);
    json_decref(result->host);
    result->settings = settings_of(run);
    result->host = host_facts();
    result->scenario_hash = ix_hash64(run->text, run->text_len);
    result->command = run->config.command ? json_deep_copy(run->config.command) : NULL;
    if (run->config.replay)
        ix_replay_compare(result, run->config.replay);
    ix_run_steal(run);
}

/* CPU time of the whole machine, and what a hypervisor gave to others of it; ticks since it booted. */
static bool read_cpu(uint64_t *all, uint64_t *stolen)
{
    unsigned long long t[8] = {0};
    FILE *file = fopen("/proc/stat", "re");
    int n = file ? fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                          &t[4], &t[5], &t[6], &t[7])
                 : 0;
    if (file)
        fclose(file);
    *all = 0;
    for (int i = 0; i < 8; i++)
        *all += t[i];
    *stolen = t[7];
    return n == 8;
}

void ix_run_steal(struct ix_run *run)
{
    uint64_t all, stolen;
    if (!read_cpu(&all, &stolen))
        return;
    if (!run->cpu_all) {
        run->cpu_all = all;
        run->cpu_stolen = stolen;
    }
    uint64_t spent = all - run->cpu_all;
    run->result.steal = spent ? (double)(stolen - run->cpu_stolen) / (double)spent : 0;
}
