#include "control/run_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/units.h"
#include "control/judge.h"
#include "loop/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCENARIO_MAX (16u << 20)
#define DRAIN_NS     (2 * IX_S)
#define STOP_NS      (5 * IX_S)
/* `timeout`, service managers and terminals may send one request to a process and to its group: that is one. */
#define ONE_REQUEST_NS (300 * IX_MS)

/* ---- answers to the scenario ---- */

static void deliver(void *context)
{
    struct completion *c = context;
    if (c->run->script)
        ix_script_complete(c->run->script, c->ticket, c->code, c->result, c->message);
    else
        json_decref(c->result);
    free(c->message);
    free(c);
}

void ix_run_complete(struct ix_run *run, uint64_t ticket, int code, json_t *result, const char *message)
{
    struct completion *c = ix_calloc(1, sizeof *c);
    *c = (struct completion){run, ticket, code, result, ix_strdup(message)};
    ix_loop_defer(&run->loop, deliver, c);
}

static void on_fleet_done(void *context, uint64_t ticket, bool is_record, int code, json_t *result,
                          const char *message)
{
    /* A record that workers refuse names a wrong file, limit or setting, unless Lua itself failed. */
    if (is_record && code < 0 && code != IX_SCRIPT_ERROR)
        code = IX_HOST_CONFIGURATION;
    else if (code == IX_HOST_CONFIGURATION)
        code = -EBADMSG;
    if (ticket)
        ix_run_complete(context, ticket, code, result, message);
    else
        json_decref(result);
}

static void on_fleet_failed(void *context, int code, const char *message)
{
    ix_run_fail(context, code == IX_SCRIPT_ERROR ? IX_EXIT_SCRIPT : IX_EXIT_CONFIGURATION, message);
}

/* ---- the end ---- */

static void keep_error(struct ix_run *run, enum ix_exit code, const char *message)
{
    /* 104 before 107; of the same kind the first. */
    if (run->preset && (run->preset == IX_EXIT_CONFIGURATION || code != IX_EXIT_CONFIGURATION))
        return;
    run->preset = code;
    free(run->result.error);
    run->result.error = ix_strdup(message);
}

static enum ix_exit script_exit(int code)
{
    return code == IX_SCRIPT_CONFIGURATION ? IX_EXIT_CONFIGURATION : IX_EXIT_SCRIPT;
}

void ix_run_fail(struct ix_run *run, enum ix_exit code, const char *message)
{
    keep_error(run, code, message);
    if (run->phase == RUN_RUNNING)
        ix_script_cancel(run->script, "the run was ended by an error");
    else if (run->phase == RUN_STARTING)
        ix_loop_stop(&run->loop);
}

static void on_stopped(void *context)
{
    struct ix_run *run = context;
    run->phase = RUN_DONE;
    ix_loop_stop(&run->loop);
}

/* Everything acknowledged that ever will be: the last figures, then the workers may go. */
static void on_settled(void *context)
{
    struct ix_run *run = context;
    ix_run_ticks_finish(run);
    run->phase = RUN_STOPPING;
    ix_workers_stop(run->workers, STOP_NS, on_stopped, run);
}

static void on_drained(void *context)
{
    ix_run_ledger_settle(context, on_settled);
}

static void drain(struct ix_run *run)
{
    run->phase = RUN_DRAINING;
    ix_run_ticks_end(run);
    ix_fleet_drain(run->fleet, DRAIN_NS, on_drained, run);
}

static void on_script_done(void *context, int code, const char *message)
{
    struct ix_run *run = context;
    if (code < 0 && code != -ECANCELED && code != IX_SCRIPT_FAILED)
        keep_error(run, script_exit(code), message);
    drain(run);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    struct ix_run *run = handle->data;
    uint64_t now = ix_loop_update(&run->loop);
    if (run->interrupted && now - run->interrupted_ns < ONE_REQUEST_NS)
        return;
    run->interrupted_ns = now;
    if (run->interrupted || run->phase == RUN_STARTING) {
        fputs("\niotix: aborted\n", stderr); /* workers and embedded broker die with us */
        _exit(IX_EXIT_INTERRUPTED);
    }
    run->interrupted = true;
    run->result.interrupted = true;
    fputs("\niotix: stopping; once more aborts\n", stderr);
    if (run->phase == RUN_RUNNING)
        ix_script_cancel(run->script, "interrupted");
}

static void begin(struct ix_run *run)
{
    struct ix_error err;
    run->phase = RUN_RUNNING;
    ix_run_ticks_begin(run);
    if (ix_script_run(run->script, on_script_done, run, &err) < 0) {
        keep_error(run, IX_EXIT_SCRIPT, err.text);
        drain(run);
    }
}

/* What the command line asks for comes before the scenario. */
static void on_broker(struct ix_run *run)
{
    ix_run_observe_first(run, begin);
}

/* ---- the beginning ---- */

uint32_t ix_run_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

static int load_scenario(struct ix_run *run, struct ix_error *err)
{
    struct ix_script_config script = {
        .role = IX_ROLE_CONTROLLER,
        .loop = &run->loop,
        .seed = run->result.seed,
        .host = &run->host,
        .run_start_ns = run->start_ns,
    };
    int code = 0;
    if (run->config.text) {
        run->text = ix_strdup(run->config.text);
        run->text_len = strlen(run->text);
    } else {
        code = ix_file_read(run->config.path, SCENARIO_MAX, &run->text, &run->text_len, err);
    }
    if (code == 0)
        code = ix_script_new(&script, &run->script, err);
    if (code < 0)
        return code;
    code = ix_script_load_scenario(run->script, run->config.path, run->text, run->text_len, err);
    if (code < 0)
        keep_error(run, script_exit(code), err->text);
    return code;
}

static char *text_in(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? ix_strdup(text) : NULL;
}

/* Defaults, then the scenario's, then those of the command line. */
static int set_limits(struct ix_run *run, const json_t *table, struct ix_error *err)
{
    run->limits = table ? json_deep_copy(table) : NULL;
    int code = table ? ix_judge_set_limits(&run->result.limits, table, err) : 0;
    if (code < 0) {
        ix_error_prefix(err, "%s: limits", run->config.path);
        return code;
    }
    return ix_judge_set_words(&run->result.limits, run->config.limits, run->config.limit_count, err);
}

/* Name, options, thresholds and limits of the scenario into the result. */
static int describe(struct ix_run *run, struct ix_error *err)
{
    int code = ix_script_set_options(run->script, run->config.options, err);
    json_t *about = code == 0 ? ix_script_describe(run->script, err) : NULL;
    if (!about)
        return code < 0 ? code : err->code;
    struct ix_result *result = &run->result;
    result->scenario = text_in(about, "name");
    result->description = text_in(about, "description");
    result->options = json_deep_copy(json_object_get(about, "options"));
    result->tags = json_deep_copy(json_object_get(about, "tags"));
    const char *on_error = json_string_value(json_object_get(about, "onError"));
    run->on_error_run = on_error && strcmp(on_error, "run") == 0;
    const json_t *thresholds = json_object_get(about, "thresholds");
    result->threshold_table = thresholds ? json_deep_copy(thresholds) : NULL;
    if (thresholds)
        code = ix_thresholds_parse(thresholds, &result->thresholds, err);
    if (code == 0 && thresholds)
        code = ix_thresholds_check_metrics(result->thresholds, json_object_get(about, "metrics"), err);
    if (code == 0 && run->config.plan)
        ix_thresholds_hold_aborts(result->thresholds);
    if (code == 0)
        code = set_limits(run, json_object_get(about, "limits"), err);
    json_decref(about);
    return code;
}

static void start_pool(struct ix_run *run)
{
    run->hello = (struct ix_hello){
        .run = run->id,
        .seed = run->result.seed,
        .run_start_ns = run->start_ns,
        .wall_offset_ns = run->loop.clock.wall_offset_ns,
        .scenario_path = (char *)run->config.path,
        .scenario = run->text,
        .options = run->result.options ? json_dumps(run->result.options, JSON_COMPACT) : ix_strdup("{}"),
        .allowed_env = ix_texts_join(run->config.allowed_env, run->config.allowed_env_count),
    };
    run->workers = ix_workers_new(&run->loop, &run->hello, &ix_run_worker_events, run);
    if (run->config.plan)
        ix_workers_stay_local(run->workers);
    struct ix_fleet_config fleet = {
        .loop = &run->loop,
        .workers = run->workers,
        .base_workers = run->config.workers ? run->config.workers : ix_run_cores(),
        .connect_rate = run->config.connect_rate,
        .connect_window = run->config.connect_window,
        .dry = run->config.plan != NULL,
        .seed = run->result.seed,
        .done = on_fleet_done,
        .failed = on_fleet_failed,
        .context = run,
    };
    run->fleet = ix_fleet_new(&fleet);
}

static int check_outputs(const struct ix_run *run, struct ix_error *err)
{
    const struct ix_report_format *format;
    const char *file;
    int code = 0;
    for (size_t i = 0; i < run->config.output_count && code == 0; i++) {
        code = ix_report_parse(run->config.outputs[i], &format, &file, err);
        if (code == 0 && strcmp(file, "-") != 0 && (code = ix_file_check_writable(file, err)) < 0)
            ix_error_prefix(err, "--out %s", run->config.outputs[i]);
    }
    return code;
}

static void open_signals(struct ix_run *run)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error of that file */
    uv_signal_init(&run->loop.uv, &run->sigint);
    uv_signal_init(&run->loop.uv, &run->sigterm);
    run->sigint.data = run->sigterm.data = run;
    uv_signal_start(&run->sigint, on_signal, SIGINT);
    uv_signal_start(&run->sigterm, on_signal, SIGTERM);
}

static int start(struct ix_run *run, struct ix_error *err)
{
    struct ix_result *result = &run->result;
    run->id = ix_random_system();
    run->start_ns = ix_loop_update(&run->loop);
    result->run_id = ix_asprintf("%016llx", (unsigned long long)run->id);
    result->path = ix_strdup(run->config.path);
    result->seed = run->config.seed_given ? run->config.seed : ix_random_system();
    result->started_wall_ns = ix_clock_wall(&run->loop.clock, run->start_ns);
    run->folder = run->config.folder ? ix_strdup(run->config.folder) : ix_file_dirname(run->config.path);
    run->models = (struct ix_models_config){.scenario_folder = run->folder,
                                            .allowed_env = run->config.allowed_env,
                                            .allowed_env_count = run->config.allowed_env_count};
    run->host = (struct ix_host){run, ix_run_call};
    ix_series_init(&result->series, run->start_ns);
    int code = check_outputs(run, err);
    if (code == 0)
        code = ix_source_choice_init(&run->sources, run->config.bind, err);
    if (code == 0)
        code = load_scenario(run, err);
    if (code == 0)
        code = describe(run, err);
    if (code < 0)
        return code;
    ix_run_facts(run);
    start_pool(run);
    return ix_run_broker_start(run, on_broker, err);
}

static int write_reports(struct ix_run *run)
{
    int worst = 0;
    for (size_t i = 0; i < run->config.output_count; i++) {
        const struct ix_report_format *format;
        const char *file;
        struct ix_error err;
        if (ix_report_parse(run->config.outputs[i], &format, &file, &err) < 0 ||
            ix_report_write(format, &run->result, file, &err) < 0) {
            fprintf(stderr, "iotix: %s\n", err.text);
            worst = -EIO;
        }
    }
    return worst;
}

static enum ix_exit conclude(struct ix_run *run)
{
    struct ix_result *result = &run->result;
    if (result->thresholds)
        ix_thresholds_evaluate(result->thresholds, &result->final, &result->checks, run->start_ns, true);
    ix_result_judge(result, run->preset);
    ix_journal_end(run->journal, result, run->preset);
    run->journal = NULL;
    if (run->config.finished)
        run->config.finished(run->config.context);
    struct ix_buf text;
    ix_buf_init(&text, 16 << 20);
    ix_result_summary(result, run->config.colour, &text);
    fputs(ix_buf_cstr(&text), stdout);
    fflush(stdout);
    ix_buf_deinit(&text);
    if (write_reports(run) < 0 && result->exit_code == IX_EXIT_PASSED)
        return IX_EXIT_CONFIGURATION;
    return result->exit_code;
}

static void run_deinit(struct ix_run *run)
{
    ix_wheel_cancel(run->loop.wheel, &run->tick);
    ix_fleet_free(run->fleet);
    ix_workers_free(run->workers);
    ix_http_client_free(run->http);
    ix_script_free(run->script);
    run->script = NULL; /* the loop may still have answers for it */
    ix_brokers_deinit(&run->brokers);
    ix_advice_deinit(&run->advice);
    ix_run_observers_free(run);
    ix_run_ledger_free(run);
    uv_close((uv_handle_t *)&run->sigint, NULL);
    uv_close((uv_handle_t *)&run->sigterm, NULL);
    ix_loop_deinit(&run->loop);
    ix_snapshot_deinit(&run->now);
    ix_snapshot_deinit(&run->before_drain);
    ix_result_deinit(&run->result);
    ix_source_choice_deinit(&run->sources);
    free(run->own_metrics);
    json_decref(run->limits);
    free(run->hello.options);
    free(run->hello.allowed_env);
    free(run->folder);
    free(run->text);
}

int ix_run(const struct ix_run_config *config)
{
    struct ix_run *run = ix_calloc(1, sizeof *run);
    struct ix_error err;
    run->config = *config;
    if (ix_loop_init(&run->loop, &err) < 0) {
        fprintf(stderr, "iotix: %s\n", err.text);
        free(run);
        return IX_EXIT_CONFIGURATION;
    }
    if (config->plan)
        ix_plan_begin(run);
    ix_raise_descriptor_limit();
    ix_result_init(&run->result);
    ix_snapshot_init(&run->now);
    ix_snapshot_init(&run->before_drain);
    open_signals(run);
    int code = start(run, &err);
    if (code == 0 && config->plan)
        ix_plan_follow(run);
    else if (code == 0)
        ix_loop_run(&run->loop);
    else if (!run->preset)
        keep_error(run, IX_EXIT_CONFIGURATION, err.text);
    int exit_code = run->preset;
    if (run->phase == RUN_STARTING)
        fprintf(stderr, "iotix: %s\n", run->result.error); /* nothing was measured */
    else if (config->plan)
        exit_code = ix_plan_conclude(run);
    else
        exit_code = conclude(run);
    run_deinit(run);
    free(run);
    return exit_code;
}
