/* iotix plan: what a run needs against what this host allows. */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/run_values.h"
#include "control/plan.h"

#include <stdio.h>
#include <stdlib.h>

static const char summary[] =
    "Thinks a scenario through without connecting anything: what the run will need (workers, descriptors,\n"
    "ports, memory, connects/s, messages/s, bytes/s) against what this host and the brokers allow, each\n"
    "shortage with the command that lifts it, and the launch strategy that suits the size.\n"
    "\n"
    "The scenario's task is followed in virtual time; connections are taken as accepted, messages as\n"
    "acknowledged. Give the options that `iotix run` will get.\n"
    "\n"
    "Exit codes: 0 it fits · 104 it does not, or can't run at all · 107 script error · 105 interrupted.";

struct wish {
    struct ix_run_config config;
    struct ix_plan_options plan;
    struct ix_option_list settings, allowed_env, observe;
    uint64_t workers;
    const char *seed, *connect_rate;
    bool workers_given;
};

#define INTO(field) IX_OPTION_INTO(struct wish, field)
static const struct ix_option options[] = {
    {"--broker", 'b', IX_OPT_TEXT, "WHERE",
     "auto (default: localhost:1883 if something listens there, else embedded), embedded, or HOST:PORT[,…]",
     INTO(config.broker)},
    {"--broker-force", 0, IX_OPT_FLAG, NULL,
     "the broker replaces addresses that the scenario sets itself too", INTO(config.broker_force)},
    {"--bind", 0, IX_OPT_TEXT, "ADDR[-ADDR][,…]", "source addresses of devices; auto (default) or none",
     INTO(config.bind)},
    {"--connect-rate", 0, IX_OPT_TEXT, "N/s", "connections opened a second (default: no limit)",
     INTO(connect_rate)},
    {"--connect-window", 0, IX_OPT_COUNT, "N",
     "connections under way at the same time, of all devices together: what brokers with short accept queues "
     "take without dropping (default: no limit)",
     INTO(config.connect_window)},
    {"--option", 'e', IX_OPT_LIST, "name=value", "sets an option that the scenario declares (repeatable)",
     INTO(settings)},
    {"--observe", 0, IX_OPT_LIST, "FILTER", "topics that the delivery ledger observes (repeatable)",
     INTO(observe)},
    {"--observers", 0, IX_OPT_COUNT, "N", "observer processes (default: 1)", INTO(config.observers)},
    {"--seed", 's', IX_OPT_TEXT, "N", "the run's seed (default: a new one)", INTO(seed)},
    {"--workers", 'w', IX_OPT_COUNT, "N", "worker processes to begin with (default: one per core)",
     IX_OPTION_INTO_ASKED(struct wish, workers, workers_given)},
    {"--allow-env", 0, IX_OPT_LIST, "NAME", "lets models use ${env.NAME} (repeatable)", INTO(allowed_env)},
    {"--until", 0, IX_OPT_TIME, "TIME", "follows the scenario to this instant of its time (default: 24h)",
     INTO(plan.until_ns)},
    {"--patience", 0, IX_OPT_TIME, "TIME", "how long following may take (default: 20s)",
     INTO(plan.patience_ns)},
    {"--json", 0, IX_OPT_FLAG, NULL, "JSON instead of text", INTO(plan.json)},
};
#undef INTO

static int check(struct wish *w, struct ix_error *err)
{
    int code = ix_values_seed(w->seed, &w->config.seed, err);
    if (code == 0)
        code = ix_values_rate(w->connect_rate, &w->config.connect_rate, err);
    if (code == 0)
        code = ix_values_workers(w->workers, err);
    if (code == 0 && (w->plan.until_ns < IX_S || w->plan.patience_ns < IX_S))
        code = ix_fail(err, -EINVAL, "--until and --patience must be 1s or more");
    if (code == 0)
        code = ix_values_observe(&w->observe, w->config.observers, 0, err);
    return code;
}

static int plan(struct wish *w, const char *path)
{
    struct ix_error err;
    json_t *values = ix_values_settings(&w->settings, &err);
    if (!values || check(w, &err) < 0) {
        fprintf(stderr, "iotix plan: %s\n", err.text);
        json_decref(values);
        return IX_EXIT_CONFIGURATION;
    }
    w->config.path = path;
    w->config.seed_given = w->seed != NULL;
    w->config.workers = w->workers_given ? (uint32_t)w->workers : 0;
    w->config.options = values;
    w->config.observe = w->observe.items;
    w->config.observe_count = w->observe.count;
    w->config.allowed_env = w->allowed_env.items;
    w->config.allowed_env_count = w->allowed_env.count;
    int status = ix_plan_run(&w->config, &w->plan);
    json_decref(values);
    return status;
}

int ix_command_plan(int argc, char **argv)
{
    struct wish w = {.workers = 1, .plan = {.until_ns = 24 * 3600 * IX_S, .patience_ns = 20 * IX_S}};
    const struct ix_command_line line = {.usage = "iotix plan FILE.lua [options]",
                                         .summary = summary,
                                         .options = options,
                                         .option_count = IX_ARRAY_LEN(options),
                                         .into = &w,
                                         .min_arguments = 1,
                                         .max_arguments = 1};
    const char **arguments = ix_calloc((size_t)argc + 1, sizeof *arguments);
    size_t count;
    int status;
    if (ix_command_begin(&line, argc, argv, arguments, &count, &status))
        status = plan(&w, arguments[0]);
    free(arguments);
    return status;
}
