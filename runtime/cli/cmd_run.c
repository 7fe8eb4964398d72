/* iotix run: a scenario to its end; also the repetition of an earlier run (--replay-of). */
#include "base/units.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/run_values.h"
#include "control/data_dir.h"
#include "control/judge.h"
#include "control/replay.h"
#include "control/run.h"
#include "script/embedded.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BENCH "lua/bench/" /* the scenarios of iotix bench */

static const char summary[] =
    "Runs a scenario to its end: progress on stderr, the summary on stdout, reports where asked for.\n"
    "\n"
    "Exit codes: 0 passed · 99 checks or thresholds failed · 111 invalid: this host could not keep the\n"
    "schedule, so the figures can't be trusted · 104 bad configuration or model · 107 script error ·\n"
    "105 interrupted (the first Ctrl-C drains and reports, the second aborts).";

/* What the command line said. */

struct given {
    struct ix_run_config config;
    struct ix_option_list settings, outputs, allowed_env, limits, observe, record;
    uint64_t workers, interval;
    const char *seed, *connect_rate, *data_limit, *replay_of;
    bool quiet, workers_given;
    json_t *values, *command, *replay;
    const char **arguments;
    size_t argument_count;
    char **words; /* of the run that is repeated, and ours */
};

#define INTO(field) IX_OPTION_INTO(struct given, field)
static const struct ix_option options[] = {
    {"--broker", 'b', IX_OPT_TEXT, "WHERE",
     "auto (default: localhost:1883 if it answers, else embedded), embedded, or HOST:PORT[,…]",
     INTO(config.broker)},
    {"--broker-force", 0, IX_OPT_FLAG, NULL,
     "the broker replaces addresses that the scenario sets itself too", INTO(config.broker_force)},
    {"--bind", 0, IX_OPT_TEXT, "ADDR[-ADDR][,…]",
     "source addresses that devices connect from, in turn; auto (default): more than one where a broker on "
     "loopback gets more connections than an address has ports; none",
     INTO(config.bind)},
    {"--connect-rate", 0, IX_OPT_TEXT, "N/s",
     "connections opened a second by all devices together, reconnecting ones included (default: no limit)",
     INTO(connect_rate)},
    {"--connect-window", 0, IX_OPT_COUNT, "N",
     "connections under way at the same time, of all devices together: what brokers with short accept queues "
     "take without dropping (default: no limit)",
     INTO(config.connect_window)},
    {"--option", 'e', IX_OPT_LIST, "name=value", "sets an option that the scenario declares (repeatable)",
     INTO(settings)},
    {"--out", 'o', IX_OPT_LIST, "KIND=FILE", "writes a report: junit, json, html, csv, ndjson (repeatable)",
     INTO(outputs)},
    {"--seed", 's', IX_OPT_TEXT, "N", "repeats the random choices of an earlier run (default: a new seed)",
     INTO(seed)},
    {"--workers", 'w', IX_OPT_COUNT, "N", "worker processes to begin with (default: one per core)",
     IX_OPTION_INTO_ASKED(struct given, workers, workers_given)},
    {"--allow-env", 0, IX_OPT_LIST, "NAME", "lets models use ${env.NAME} (repeatable)", INTO(allowed_env)},
    {"--interval", 'i', IX_OPT_TIME, "TIME", "between progress lines and points of reports (default: 1s)",
     INTO(interval)},
    {"--data-dir", 0, IX_OPT_TEXT, "FOLDER",
     "where the run's journal goes, for iotix report (default: $XDG_STATE_HOME/iotix, else "
     "~/.local/state/iotix)",
     INTO(config.data_dir)},
    {"--data-limit", 0, IX_OPT_TEXT, "SIZE",
     "what the journals of all runs may take there: the oldest make room; one run may have a quarter "
     "(default: 1GiB)",
     INTO(data_limit)},
    {"--observe", 0, IX_OPT_LIST, "FILTER",
     "accounts for every message to these topics with an observer of its own: delivered, lost, doubled, "
     "reordered (repeatable; '#': all; as t:observe)",
     INTO(observe)},
    {"--observers", 0, IX_OPT_COUNT, "N",
     "observer processes; more than one share the subscription (default: 1)", INTO(config.observers)},
    {"--late-after", 0, IX_OPT_TIME, "TIME",
     "with --observe: later than this after they were due, messages count as late",
     INTO(config.late_after_ns)},
    {"--limit", 0, IX_OPT_LIST, "NAME=VALUE",
     "a limit of the judgement on the generator itself, or off; wins over `limits` of the scenario: "
     "lateness.degraded (50ms), lateness.invalid (1s), busy.degraded (90%), wait.degraded (50%), busy.for "
     "(5s), steal.degraded (10%), restarts.degraded (0), dropped.degraded (0), ownFault.invalid (0.1%), "
     "overrun.invalid (0) (repeatable)",
     INTO(limits)},
    {"--replay-of", 0, IX_OPT_TEXT, "RESULT",
     "repeats an earlier run, by its JSON report or as iotix report names it: same scenario, seed and "
     "options, but for what is given here; says what is not the same",
     INTO(replay_of)},
    {"--quiet", 'q', IX_OPT_FLAG, NULL, "no progress", INTO(quiet)},
};
#undef INTO

static void forget_words(struct ix_option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free((char *)list->items[i]);
    list->count = 0;
}

/* Everything from the words, anew. */
static bool read_words(struct given *given, int argc, char **argv, int *status)
{
    const struct ix_command_line line = {.usage = "iotix run FILE.lua [options]",
                                         .summary = summary,
                                         .options = options,
                                         .option_count = IX_ARRAY_LEN(options),
                                         .into = given,
                                         .min_arguments = 0,
                                         .max_arguments = 1,
                                         .record = &given->record};
    given->settings.count = given->outputs.count = given->allowed_env.count = given->limits.count =
        given->observe.count = 0;
    given->interval = IX_S;
    given->workers = 1;
    forget_words(&given->record);
    free(given->arguments);
    given->arguments = ix_calloc((size_t)argc + 1, sizeof *given->arguments);
    if (!ix_command_begin(&line, argc, argv, given->arguments, &given->argument_count, status))
        return false;
    if (given->argument_count || given->replay_of)
        return true;
    fprintf(stderr, "iotix run: something is missing; usage: %s\n", line.usage);
    *status = IX_EXIT_CONFIGURATION;
    return false;
}

/* Options that say where things go, not what is run. */
static bool is_of_this_run_only(const char *word)
{
    static const char *const names[] = {"--out", "--quiet", "--data-dir", "--data-limit", "--replay-of"};
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < IX_ARRAY_LEN(names); i++)
        if (strlen(names[i]) == len && strncmp(word, names[i], len) == 0)
            return true;
    return false;
}

static json_t *command_of(const struct ix_option_list *record)
{
    json_t *command = json_array();
    for (size_t i = 0; i < record->count; i++)
        if (!is_of_this_run_only(record->items[i]))
            json_array_append_new(command, json_string(record->items[i])); /* but for what is no UTF-8 */
    return command;
}

/* The words of the earlier run before ours, so that the last one counts. */
static bool repeat(struct given *given, int argc, char **argv, int *status)
{
    struct ix_error err = {0};
    char *data_dir = NULL;
    if (ix_data_dir_path(given->config.data_dir, &data_dir, &err) == 0)
        given->replay = ix_replay_load(data_dir, given->replay_of, &err);
    free(data_dir);
    const json_t *command = json_object_get(given->replay, "command");
    const char *path = json_string_value(json_object_get(given->replay, "path"));
    const char *seed = json_string_value(json_object_get(given->replay, "seed"));
    const char *version = json_string_value(json_object_get(given->replay, "iotix"));
    if (given->replay && (!seed || (!path && !given->argument_count)))
        ix_fail(&err, -EPROTO, "it names no seed, or no scenario file");
    else if (given->replay && !given->argument_count && strncmp(path, BENCH, strlen(BENCH)) == 0 &&
             ix_embedded_find(path))
        ix_fail(&err, -EPROTO, "it is of iotix bench %.*s: repeat that command line with --seed %s",
                (int)strcspn(path + strlen(BENCH), "."), path + strlen(BENCH), seed);
    else if (given->replay && !given->argument_count && !ix_embedded_find(path) && access(path, R_OK) < 0)
        ix_fail(&err, -ENOENT,
                "its scenario \"%s\" can't be read from here: go to the folder that the run was started in, "
                "or name the file (iotix run FILE --replay-of …)",
                path);
    if (err.code) {
        fprintf(stderr, "iotix run: --replay-of %s: %s\n", given->replay_of, err.text);
        *status = IX_EXIT_CONFIGURATION;
        return false;
    }
    size_t count = json_array_size(command), n = 0, i;
    const json_t *word;
    given->words = ix_calloc(count + (size_t)argc + 4, sizeof *given->words);
    given->words[n++] = ix_strdup(argv[0]);
    json_array_foreach(command, i,
                       word) if (json_is_string(word) && !is_of_this_run_only(json_string_value(word)))
        given->words[n++] = ix_strdup(json_string_value(word));
    given->words[n++] = ix_asprintf("--seed=%s", seed);
    if (!given->argument_count)
        given->words[n++] = ix_strdup(path);
    for (int k = 1; k < argc; k++)
        given->words[n++] = ix_strdup(argv[k]);
    if (read_words(given, (int)n, given->words, status))
        return true;
    if (*status == IX_EXIT_CONFIGURATION)
        fprintf(stderr,
                "iotix run: the options are those of the run that is repeated, and yours behind them; it was "
                "run by "
                "iotix %s, this is " IX_VERSION ". To repeat it without them: iotix run FILE --seed %s\n",
                version ? version : "of an unknown version", seed);
    return false;
}

static int check(struct given *given, struct ix_error *err)
{
    struct ix_run_config *config = &given->config;
    err->code = 0;
    given->values = ix_values_settings(&given->settings, err);
    if (!given->values || ix_values_seed(given->seed, &config->seed, err) < 0 ||
        ix_values_rate(given->connect_rate, &config->connect_rate, err) < 0 ||
        ix_values_workers(given->workers, err) < 0)
        return err->code;
    struct ix_limits judge = ix_default_limits;
    if (ix_judge_set_words(&judge, given->limits.items, given->limits.count, err) < 0)
        return err->code;
    if (ix_values_data_limit(given->data_limit, &config->data_limit, err) < 0 ||
        ix_values_observe(&given->observe, config->observers, config->late_after_ns, err) < 0)
        return err->code;
    if (given->interval < 100 * IX_MS)
        return ix_fail(err, -EINVAL, "--interval must be 100ms or more");
    return 0;
}

static int run(struct given *given)
{
    struct ix_run_config *config = &given->config;
    struct ix_progress progress;
    struct ix_error err;
    if (check(given, &err) < 0) {
        fprintf(stderr, "iotix run: %s\n", err.text);
        return IX_EXIT_CONFIGURATION;
    }
    given->command = command_of(&given->record);
    config->path = given->arguments[0];
    config->seed_given = given->seed != NULL;
    config->workers = given->workers_given ? (uint32_t)given->workers : 0;
    config->options = given->values;
    config->allowed_env = given->allowed_env.items;
    config->allowed_env_count = given->allowed_env.count;
    config->outputs = given->outputs.items;
    config->output_count = given->outputs.count;
    config->observe = given->observe.items;
    config->observe_count = given->observe.count;
    config->interval_ns = given->interval;
    config->limits = given->limits.items;
    config->limit_count = given->limits.count;
    config->command = given->command;
    config->replay = given->replay;
    config->colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    if (!given->quiet) {
        ix_progress_init(&progress);
        config->progress = ix_progress_show;
        config->finished = ix_progress_finish;
        config->context = &progress;
    }
    return ix_run(config);
}

int ix_command_run(int argc, char **argv)
{
    struct given *given = ix_calloc(1, sizeof *given);
    int status;
    if (read_words(given, argc, argv, &status) && (!given->replay_of || repeat(given, argc, argv, &status)))
        status = run(given);
    json_decref(given->values);
    json_decref(given->command);
    json_decref(given->replay);
    forget_words(&given->record);
    for (size_t i = 0; given->words && given->words[i]; i++)
        free(given->words[i]);
    free(given->words);
    free(given->arguments);
    free(given);
    return status;
}
