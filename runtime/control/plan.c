#include "control/plan.h"

#include "base/log.h"
#include "base/units.h"
#include "control/plan_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIGNALS_NS (50 * IX_MS)
#define STEPS      64   /* of virtual time between two looks at the real one */
#define PATIENT_NS IX_S /* of ours, after which somebody who looks on is told how far it is */

void ix_plan_note(struct ix_plan *plan, const char *format, ...)
{
    char text[600];
    va_list args;
    if (plan->note_count == IX_PLAN_NOTES_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t i = 0; i < plan->note_count; i++)
        if (strcmp(plan->notes[i], text) == 0)
            return;
    plan->notes[plan->note_count++] = ix_strdup(text);
}

/* ---- what is seen on the way ---- */

/* A scenario's own lines tell of a run that did not happen; errors and warnings of iotix itself are worth a note. */
static void note_line(void *context, enum ix_log_level level, const char *line)
{
    if (level == IX_LOG_ERROR)
        ix_plan_note(context, "%s", line);
}

void ix_plan_begin(struct ix_run *run)
{
    struct ix_loop *loop = &run->loop;
    ix_loop_set_virtual(loop, ix_clock_wall(&loop->clock, ix_clock_now(&loop->clock)));
    ix_loop_run_virtual(loop, IX_S); /* instant 0 has a meaning of its own here and there */
    ix_log_set_sink(note_line, run->config.plan);
}

void ix_plan_note_launch(struct ix_run *run, const char *group, const struct ix_strategy_spec *strategy)
{
    struct ix_plan *plan = run->config.plan;
    struct plan_launch *l = ix_calloc(1, sizeof *l);
    l->group = ix_strdup(group);
    l->strategy = ix_strdup(strategy->name);
    l->settings = json_loads(strategy->settings, 0, NULL);
    l->t = (double)(ix_loop_update(&run->loop) - run->start_ns) / 1e9;
    *plan->launches_end = l;
    plan->launches_end = &l->next;
}

void ix_plan_note_http(struct ix_run *run, const char *method, const char *url)
{
    struct ix_plan *plan = run->config.plan;
    if (plan->http_requests++ == 0)
        ix_plan_note(
            plan,
            "%s %s and other HTTP requests are not made: each is taken as answered 200, with an empty body",
            method, url);
}

void ix_plan_note_tick(struct ix_run *run, const struct ix_point *point)
{
    struct ix_plan *plan = run->config.plan;
    const struct ix_snapshot *now = &run->now;
    uint64_t bytes = now->all.counters[IX_C_BYTES_SENT];
    double seconds = point->seconds > 0 ? point->seconds : 1;
    plan->peak_messages = fmax(plan->peak_messages, (double)point->sent / seconds);
    plan->peak_bytes = fmax(plan->peak_bytes, (double)(bytes - plan->bytes_before) / seconds);
    plan->bytes_before = bytes;
    if (now->all.connected > 0 && (uint64_t)now->all.connected > plan->peak_connected)
        plan->peak_connected = (uint64_t)now->all.connected;
    if (now->group_count > plan->connected_count) {
        plan->connected_after =
            ix_realloc(plan->connected_after, now->group_count * sizeof *plan->connected_after);
        while (plan->connected_count < now->group_count)
            plan->connected_after[plan->connected_count++] = NAN;
    }
    for (size_t i = 0; i < now->group_count; i++)
        if (isnan(plan->connected_after[i]) && now->groups[i].connected >= (int64_t)now->groups[i].count)
            plan->connected_after[i] = point->t;
}

void ix_plan_note_abort(struct ix_run *run, size_t place)
{
    size_t count;
    const struct ix_threshold *t = &ix_thresholds_list(run->result.thresholds, &count)[place];
    ix_plan_note(run->config.plan,
                 "threshold %s \"%s\" asks to abort, and fails %.0f s after the beginning (%s): the run ends "
                 "there, and so does the plan",
                 t->metric, t->text, run->result.seconds, t->reason);
}

/* ---- following ---- */

static void stop(struct ix_plan *plan, const char *format, ...) IX_PRINTF(2, 3);

static void stop(struct ix_plan *plan, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    free(plan->stopped);
    plan->stopped = ix_strdup(text);
}

static void show(const struct ix_run *run)
{
    struct ix_buf text;
    ix_buf_init(&text, 200);
    ix_units_put_duration(&text, (run->loop.now_ns - run->start_ns) / IX_S * IX_S);
    fprintf(stderr, "\r\033[Kfollowed %s of its time; Ctrl-C: the plan so far", ix_buf_cstr(&text));
    ix_buf_deinit(&text);
}

void ix_plan_follow(struct ix_run *run)
{
    struct ix_plan *plan = run->config.plan;
    struct ix_loop *loop = &run->loop;
    uint64_t until = run->start_ns + plan->options.until_ns, began = uv_hrtime(), looked = began;
    bool is_seen = isatty(STDERR_FILENO), shown = false;
    for (int steps = 0; run->phase != RUN_DONE && (run->phase != RUN_STARTING || !run->preset); steps++) {
        if (!ix_loop_step_virtual(loop, until)) {
            struct ix_buf text;
            ix_buf_init(&text, 100);
            ix_units_put_duration(&text, plan->options.until_ns);
            stop(plan, "it goes on beyond %s of its time", ix_buf_cstr(&text));
            ix_buf_deinit(&text);
            break;
        }
        uint64_t now = steps % STEPS ? looked : uv_hrtime();
        if (now - looked < SIGNALS_NS)
            continue;
        looked = now;
        uv_run(&loop->uv, UV_RUN_NOWAIT); /* a Ctrl-C */
        if (is_seen && now - began > PATIENT_NS && !run->interrupted) {
            show(run);
            shown = true;
        }
        if (now - began > plan->options.patience_ns) {
            stop(plan, "following it took more than %.0f s", (double)plan->options.patience_ns / 1e9);
            break;
        }
    }
    if (shown)
        fputs("\r\033[K", stderr);
    plan->complete = run->phase == RUN_DONE && !run->result.error;
    if (run->phase == RUN_RUNNING || run->phase == RUN_DRAINING) {
        ix_run_measure(run);
        ix_snapshot_copy(&run->result.final, &run->now);
        run->result.seconds = (double)(ix_loop_update(loop) - run->start_ns) / 1e9;
    }
}

static void print_json(const struct ix_run *run, const struct ix_plan *plan)
{
    json_t *o = ix_plan_json(run, plan);
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

enum ix_exit ix_plan_conclude(struct ix_run *run)
{
    struct ix_plan *plan = run->config.plan;
    if (run->result.error)
        stop(plan, "%.*s", (int)strcspn(run->result.error, "\n"), run->result.error);
    ix_plan_sum_up(run, plan);
    bool fits = plan->shortage_count == 0 || !plan->shortages[0].hard;
    bool asked_outside = plan->http_requests || run->has_observer;
    if (run->preset == IX_EXIT_CONFIGURATION || (run->preset == IX_EXIT_SCRIPT && fits && !asked_outside))
        plan->failed = run->preset;
    if (plan->options.json) {
        print_json(run, plan);
    } else {
        struct ix_buf out;
        ix_buf_init(&out, 1 << 20);
        ix_plan_print_text(run, plan, &out);
        fputs(ix_buf_cstr(&out), stdout);
        ix_buf_deinit(&out);
    }
    if (run->interrupted)
        return IX_EXIT_INTERRUPTED;
    if (plan->failed)
        return plan->failed;
    return fits ? IX_EXIT_PASSED : IX_EXIT_CONFIGURATION;
}

static void deinit(struct ix_plan *plan)
{
    while (plan->launches) {
        struct plan_launch *l = plan->launches;
        plan->launches = l->next;
        free(l->group);
        free(l->strategy);
        json_decref(l->settings);
        free(l);
    }
    for (size_t i = 0; i < plan->note_count; i++)
        free(plan->notes[i]);
    ix_shortages_free(plan->shortages, plan->shortage_count);
    free(plan->connected_after);
    free(plan->stopped);
    free(plan->groups);
}

int ix_plan_run(const struct ix_run_config *config, const struct ix_plan_options *options)
{
    struct ix_plan plan = {.options = *options};
    struct ix_run_config dry = *config;
    plan.launches_end = &plan.launches;
    dry.plan = &plan;
    dry.interval_ns = IX_S;
    int status = ix_run(&dry);
    ix_log_set_sink(NULL, NULL);
    deinit(&plan);
    return status;
}
