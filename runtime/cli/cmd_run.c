#include "base/units.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/run_values.h"
#include "control/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char summary[] =
    "Runs a scenario to its end: progress on stderr, the summary on stdout, reports where asked for.\n"
    "\n"
    "Exit codes: 0 passed · 99 checks or thresholds failed · 111 invalid: this host could not keep the\n"
    "schedule, so the figures can't be trusted · 104 bad configuration or model · 107 script error ·\n"
    "105 interrupted (the first Ctrl-C drains and reports, the second aborts).";

static int parse_data_limit(const char *text, uint64_t *bytes, struct ix_error *err)
{
    struct ix_error why;
    int code = ix_units_bytes(text, bytes, &why);
    if (code < 0)
        return ix_fail(err, code, "--data-limit %s: %s", text, why.text);
    if (*bytes < 1u << 20)
        return ix_fail(err, -EINVAL, "--data-limit %s: it must be 1MiB or more", text);
    return 0;
}

int ix_command_run(int argc, char **argv)
{
    struct ix_run_config config = {0};
    struct ix_option_list settings = {0}, outputs = {0}, allowed_env = {0}, observe = {0};
    uint64_t workers = 1, interval = IX_S;
    const char *seed = NULL, *connect_rate = NULL, *data_limit = NULL;
    bool quiet = false, workers_given = false;
    const struct ix_option options[] = {
        {"--broker", 'b', IX_OPT_TEXT, "WHERE",
         "auto (default: localhost:1883 if it answers, else embedded), embedded, or HOST:PORT[,…]",
         &config.broker, NULL},
        {"--broker-force", 0, IX_OPT_FLAG, NULL,
         "the broker replaces addresses that the scenario sets itself too", &config.broker_force, NULL},
        {"--bind", 0, IX_OPT_TEXT, "ADDR[-ADDR][,…]",
         "source addresses that devices connect from, in turn; auto (default): more than one where a broker "
         "on "
         "loopback gets more connections than an address has ports; none",
         &config.bind, NULL},
        {"--connect-rate", 0, IX_OPT_TEXT, "N/s",
         "connections opened a second by all devices together, reconnecting ones included (default: no "
         "limit)",
         &connect_rate, NULL},
        {"--connect-window", 0, IX_OPT_COUNT, "N",
         "connections under way at the same time, of all devices together: what brokers with short accept "
         "queues take without dropping (default: no limit)",
         &config.connect_window, NULL},
        {"--option", 'e', IX_OPT_LIST, "name=value", "sets an option that the scenario declares (repeatable)",
         &settings, NULL},
        {"--out", 'o', IX_OPT_LIST, "KIND=FILE",
         "writes a report: junit, json, html, csv, ndjson (repeatable)", &outputs, NULL},
        {"--seed", 's', IX_OPT_TEXT, "N",
         "repeats the random choices of an earlier run (default: a new seed)", &seed, NULL},
        {"--workers", 'w', IX_OPT_COUNT, "N", "worker processes to begin with (default: one per core)",
         &workers, &workers_given},
        {"--allow-env", 0, IX_OPT_LIST, "NAME", "lets models use ${env.NAME} (repeatable)", &allowed_env,
         NULL},
        {"--interval", 'i', IX_OPT_TIME, "TIME", "between progress lines and points of reports (default: 1s)",
         &interval, NULL},
        {"--data-dir", 0, IX_OPT_TEXT, "FOLDER",
         "where the run's journal goes, for iotix report (default: $XDG_STATE_HOME/iotix, else "
         "~/.local/state/iotix)",
         &config.data_dir, NULL},
        {"--data-limit", 0, IX_OPT_TEXT, "SIZE",
         "what the journals of all runs may take there: the oldest make room; one run may have a quarter "
         "(default: 1GiB)",
         &data_limit, NULL},
        {"--observe", 0, IX_OPT_LIST, "FILTER",
         "accounts for every message to these topics with an observer of its own: delivered, lost, doubled, "
         "reordered (repeatable; '#': all; as t:observe)",
         &observe, NULL},
        {"--observers", 0, IX_OPT_COUNT, "N",
         "observer processes; more than one share the subscription (default: 1)", &config.observers, NULL},
        {"--late-after", 0, IX_OPT_TIME, "TIME",
         "with --observe: later than this after they were due, messages count as late", &config.late_after_ns,
         NULL},
        {"--quiet", 'q', IX_OPT_FLAG, NULL, "no progress", &quiet, NULL},
    };
    const struct ix_command_line line = {.usage = "iotix run FILE.lua [options]",
                                         .summary = summary,
                                         .options = options,
                                         .option_count = IX_ARRAY_LEN(options),
                                         .min_arguments = 1,
                                         .max_arguments = 1};
    const char **arguments = ix_calloc((size_t)argc + 1, sizeof *arguments);
    size_t count;
    int status;
    struct ix_error err;
    struct ix_progress progress;
    json_t *values = NULL;
    if (!ix_command_begin(&line, argc, argv, arguments, &count, &status))
        goto end;
    values = ix_values_settings(&settings, &err);
    if (values && (ix_values_seed(seed, &config.seed, &err) < 0 ||
                   ix_values_rate(connect_rate, &config.connect_rate, &err) < 0 ||
                   ix_values_workers(workers, &err) < 0))
        ;
    else if (values && data_limit && parse_data_limit(data_limit, &config.data_limit, &err) < 0)
        ;
    else if (values &&
             (config.observers > 64 || (!observe.count && (config.observers || config.late_after_ns))))
        ix_fail(&err, -EINVAL,
                config.observers > 64 ? "--observers must be 1 to 64"
                                      : "--observers and --late-after want --observe FILTER");
    else if (values && interval < 100 * IX_MS)
        ix_fail(&err, -EINVAL, "--interval must be 100ms or more");
    else if (values)
        err.code = 0;
    if (err.code) {
        fprintf(stderr, "iotix run: %s\n", err.text);
        status = IX_EXIT_CONFIGURATION;
        goto end;
    }
    config.path = arguments[0];
    config.seed_given = seed != NULL;
    config.workers = workers_given ? (uint32_t)workers : 0;
    config.options = values;
    config.allowed_env = allowed_env.items;
    config.allowed_env_count = allowed_env.count;
    config.outputs = outputs.items;
    config.output_count = outputs.count;
    config.observe = observe.items;
    config.observe_count = observe.count;
    config.interval_ns = interval;
    config.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    if (!quiet) {
        ix_progress_init(&progress);
        config.progress = ix_progress_show;
        config.finished = ix_progress_finish;
        config.context = &progress;
    }
    status = ix_run(&config);
end:
    json_decref(values);
    free(arguments);
    return status;
}
