/* A plan as text and as JSON (plan.schema.json). */
#include "control/plan_internal.h"

#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LABEL 24

/* ---- text ---- */

static const char *count_text(char *out, size_t size, uint64_t n)
{
    struct ix_buf text;
    ix_buf_init(&text, 64);
    if (n == UINT64_MAX)
        ix_buf_str(&text, "no limit");
    else
        ix_units_put_count(&text, n);
    snprintf(out, size, "%s", ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return out;
}

static const char *bytes_text(char *out, size_t size, uint64_t n)
{
    struct ix_buf text;
    ix_buf_init(&text, 64);
    if (n == UINT64_MAX)
        ix_buf_str(&text, "unknown");
    else
        ix_units_put_bytes(&text, n);
    snprintf(out, size, "%s", ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return out;
}

static void put_count(struct ix_buf *out, const char *label, uint64_t needed, uint64_t there,
                      const char *note)
{
    char a[40], b[40];
    ix_buf_printf(out, "  %-*s %12s %14s   %s\n", LABEL, label, count_text(a, sizeof a, needed),
                  count_text(b, sizeof b, there), note);
}

static void put_rate(struct ix_buf *out, const char *label, double peak, double average, bool bytes)
{
    char a[40], b[40];
    const char *(*text)(char *, size_t, uint64_t) = bytes ? bytes_text : count_text;
    ix_buf_printf(out, "  %-*s %12s   %s on average\n", LABEL, label,
                  text(a, sizeof a, (uint64_t)(peak + 0.5)), text(b, sizeof b, (uint64_t)(average + 0.5)));
}

static void put_duration(struct ix_buf *out, double seconds)
{
    ix_units_put_duration(out, (uint64_t)(fmax(seconds, 0) * 1e9));
}

static void put_recommended(struct ix_buf *out, const struct plan_group *g)
{
    ix_buf_printf(out, "%s", g->strategy);
    if (g->batch_size)
        ix_buf_printf(out, ", batchSize %u", g->batch_size);
    if (g->delay_ms)
        ix_buf_printf(out, ", delayMs %u: ", g->delay_ms);
    if (g->delay_ms)
        put_duration(out, g->seconds);
    if (g->count > 100000)
        ix_buf_str(out, ", spread over several hosts");
}

static void put_launches(struct ix_buf *out, const struct ix_plan *plan)
{
    char n[40];
    ix_buf_str(out, "\nLAUNCH\n");
    for (size_t i = 0; i < plan->group_count; i++) {
        const struct plan_group *g = &plan->groups[i];
        bool any = false;
        ix_buf_printf(out, "  %s: %s devices of %s\n", g->id, count_text(n, sizeof n, g->count), g->model);
        for (const struct plan_launch *l = plan->launches; l; l = l->next) {
            if (strcmp(l->group, g->id) != 0)
                continue;
            any = true;
            char *settings = l->settings && json_object_size(l->settings)
                                 ? json_dumps(l->settings, JSON_SORT_KEYS | JSON_REAL_PRECISION(6))
                                 : NULL;
            ix_buf_printf(out, "    %-20s %s%s%s", "the scenario's:", l->strategy, settings ? " " : "",
                          settings ? settings : "");
            if (l->t > 0) {
                ix_buf_str(out, ", after ");
                put_duration(out, l->t);
            }
            ix_buf_str(out, "\n");
            free(settings);
        }
        if (!any)
            ix_buf_str(out, "    never started\n");
        if (any && g->connected_after >= 0) {
            ix_buf_printf(out, "    %-20s within ", "all connected:");
            put_duration(out, g->connected_after);
            ix_buf_str(out, "\n");
        }
        ix_buf_printf(out, "    %-20s ", "for this size:");
        put_recommended(out, g);
        ix_buf_str(out, "\n");
    }
}

static void put_needs(struct ix_buf *out, const struct ix_plan *plan)
{
    const struct ix_limits_of_host *h = &plan->host;
    const struct ix_demand *d = &plan->demand;
    uint64_t left = h->all_files == UINT64_MAX         ? h->all_files
                    : h->all_files > h->all_files_open ? h->all_files - h->all_files_open
                                                       : 0;
    char note[400], a[40], b[40];
    ix_buf_printf(out, "\nNEEDS%*s %12s %14s\n", LABEL - 3, "", "needed", "there is");
    put_count(out, "devices", d->devices, UINT64_MAX, "");
    snprintf(note, sizeof note, "processes, on %u core%s%s", h->cores, h->cores == 1 ? "" : "s",
             plan->observers ? ", and one that observes" : "");
    put_count(out, "workers", plan->workers, 1024, note);
    put_count(out, "descriptors, worker", plan->files_worker, h->files, "of the fullest one; ulimit -Hn");
    put_count(out, "descriptors, controller", plan->files_controller, h->files, "");
    put_count(out, "descriptors of the host", plan->files_all, left,
              d->broker_end ? "both ends of connections are here; fs.file-max" : "fs.file-max");
    if (d->port_connections) {
        snprintf(note, sizeof note, "to %s:%u from each of %llu address%s; half of it stays fast", d->broker,
                 d->broker_port, (unsigned long long)d->sources, d->sources == 1 ? "" : "es");
        put_count(out, "ports of an address", d->port_connections, h->ports, note);
    }
    snprintf(note, sizeof note, "iotix %s, kernel %s, ", bytes_text(a, sizeof a, d->memory_iotix),
             bytes_text(b, sizeof b, d->memory_kernel));
    size_t used = strlen(note);
    snprintf(note + used, sizeof note - used, "broker %s", bytes_text(a, sizeof a, d->memory_broker));
    ix_buf_printf(out, "  %-*s %12s %14s   %s\n", LABEL, "memory",
                  bytes_text(a, sizeof a, d->memory_iotix + d->memory_kernel + d->memory_broker),
                  bytes_text(b, sizeof b, h->memory), note);
    snprintf(note, sizeof note, plan->cpu_publishing < 0.005 ? "< 0.01" : "%.2f", plan->cpu_publishing);
    ix_buf_printf(out, "  %-*s %12s %14u   while publishing%s\n", LABEL, "cores, roughly", note, h->cores,
                  d->broker_end ? ", brokers included" : "");
    ix_buf_printf(out, "\nRATES%*s %12s\n", LABEL - 3, "", "peak second");
    put_rate(out, "connects/s", plan->connects_peak, plan->connects_average, false);
    put_rate(out, "messages/s", plan->messages_peak, plan->messages_average, false);
    put_rate(out, "payload/s", plan->bytes_peak, plan->bytes_average, true);
    char n[40];
    ix_buf_printf(out, "  %-*s %12s   %s of payload, in ", LABEL, "messages in all",
                  count_text(n, sizeof n, plan->messages), bytes_text(a, sizeof a, plan->bytes));
    put_duration(out, plan->seconds);
    ix_buf_str(out, "\n");
}

static void put_shortages(struct ix_buf *out, const struct ix_plan *plan)
{
    if (plan->shortage_count)
        ix_buf_str(out, "\nSHORTAGES\n");
    for (size_t i = 0; i < plan->shortage_count; i++) {
        const struct ix_shortage *s = &plan->shortages[i];
        ix_buf_printf(out, "  %s %s\n      → %s\n", s->hard ? "✗" : "!", s->text, s->cure);
    }
}

static size_t hard_ones(const struct ix_plan *plan)
{
    size_t n = 0;
    while (n < plan->shortage_count && plan->shortages[n].hard)
        n++;
    return n;
}

static const char *outcome(const struct ix_plan *plan)
{
    if (plan->failed)
        return plan->failed == IX_EXIT_SCRIPT ? "SCRIPT ERROR" : "BAD CONFIGURATION";
    return hard_ones(plan) ? "DOES NOT FIT" : "FITS";
}

static void put_head(const struct ix_run *run, const struct ix_plan *plan, struct ix_buf *out)
{
    size_t hard = hard_ones(plan);
    ix_buf_printf(out, "%s  %s: ", outcome(plan), run->result.scenario);
    if (plan->failed)
        ix_buf_str(out, "the run would end like this");
    else if (hard)
        ix_buf_printf(out, "%zu shortage%s", hard, hard == 1 ? "" : "s");
    else if (plan->shortage_count)
        ix_buf_printf(out, "%zu warning%s", plan->shortage_count, plan->shortage_count == 1 ? "" : "s");
    else
        ix_buf_str(out, "this host has what the run needs");
    ix_buf_str(out, "\n");
    if (!plan->complete && plan->seconds <= 0) {
        ix_buf_printf(out, "  %s\n", plan->stopped ? plan->stopped : "Interrupted before it began");
    } else if (!plan->complete) {
        ix_buf_str(out, "  Followed for ");
        put_duration(out, plan->seconds);
        ix_buf_printf(out, " of its time, not to its end: %s. The figures are those of this part.\n",
                      plan->stopped ? plan->stopped : "it was interrupted");
    }
}

void ix_plan_print_text(const struct ix_run *run, const struct ix_plan *plan, struct ix_buf *out)
{
    put_head(run, plan, out);
    put_shortages(out, plan);
    if (plan->group_count || !plan->failed) { /* else nothing came of it */
        put_needs(out, plan);
        put_launches(out, plan);
    }
    if (plan->note_count)
        ix_buf_str(out, "\nNOTES\n");
    for (size_t i = 0; i < plan->note_count; i++)
        ix_buf_printf(out, "  %s\n", plan->notes[i]);
    ix_buf_printf(out, "\nPLAN\n  %-*s %s\n", LABEL, "scenario", run->result.path);
    ix_buf_printf(out, "  %-*s %s\n", LABEL, "broker", run->result.broker ? run->result.broker : "none");
    ix_buf_printf(out, "\n%s\n", outcome(plan));
}

/* ---- JSON ---- */

static json_t *count_json(uint64_t n)
{
    return n == UINT64_MAX ? json_null() : json_integer((json_int_t)n);
}

static json_t *seconds_json(double seconds)
{
    return seconds < 0 ? json_null() : json_real(seconds);
}

static json_t *groups_json(const struct ix_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->group_count; i++) {
        const struct plan_group *g = &plan->groups[i];
        json_t *launches = json_array(), *settings = json_object();
        for (const struct plan_launch *l = plan->launches; l; l = l->next)
            if (strcmp(l->group, g->id) == 0)
                json_array_append_new(launches, json_pack("{s:f, s:s, s:O}", "t", l->t, "strategy",
                                                          l->strategy, "settings", l->settings));
        if (g->batch_size)
            json_object_set_new(settings, "batchSize", json_integer(g->batch_size));
        if (g->delay_ms)
            json_object_set_new(settings, "delayMs", json_integer(g->delay_ms));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:{s:s, s:o, s:f}}", "group",
                                              g->id, "model", g->model, "count", count_json(g->count),
                                              "followed", !g->assumed, "connectedAfterSeconds",
                                              seconds_json(g->connected_after), "launches", launches,
                                              "recommended", "strategy", g->strategy, "settings", settings,
                                              "seconds", g->seconds));
    }
    return list;
}

static json_t *needs_json(const struct ix_plan *plan)
{
    const struct ix_demand *d = &plan->demand;
    json_t *o = json_object();
    json_object_set_new(o, "devices", count_json(d->devices));
    json_object_set_new(o, "connectedAtOnce", count_json(d->clients));
    json_object_set_new(o, "workers", count_json(plan->workers));
    json_object_set_new(o, "observers", count_json(plan->observers));
    json_object_set_new(o, "descriptors",
                        json_pack("{s:o, s:o, s:o}", "worker", count_json(plan->files_worker), "controller",
                                  count_json(plan->files_controller), "host", count_json(plan->files_all)));
    json_object_set_new(o, "ports",
                        json_pack("{s:o, s:o, s:s, s:i}", "perAddress", count_json(d->port_connections),
                                  "addresses", count_json(d->sources), "broker", d->broker, "brokerPort",
                                  d->broker_port));
    json_object_set_new(o, "memoryBytes",
                        json_pack("{s:o, s:o, s:o, s:o}", "total",
                                  count_json(d->memory_iotix + d->memory_kernel + d->memory_broker), "iotix",
                                  count_json(d->memory_iotix), "kernel", count_json(d->memory_kernel),
                                  "broker", count_json(d->memory_broker)));
    json_object_set_new(
        o, "connectsPerSecond",
        json_pack("{s:f, s:f}", "peak", plan->connects_peak, "average", plan->connects_average));
    json_object_set_new(
        o, "messagesPerSecond",
        json_pack("{s:f, s:f}", "peak", plan->messages_peak, "average", plan->messages_average));
    json_object_set_new(o, "bytesPerSecond",
                        json_pack("{s:f, s:f}", "peak", plan->bytes_peak, "average", plan->bytes_average));
    json_object_set_new(o, "messages", count_json(plan->messages));
    json_object_set_new(o, "bytes", count_json(plan->bytes));
    json_object_set_new(o, "dropped", count_json(plan->dropped));
    json_object_set_new(o, "cores", json_real(plan->cpu_publishing));
    return o;
}

static json_t *host_json(const struct ix_limits_of_host *h)
{
    json_t *o = json_object();
    json_object_set_new(o, "cores", json_integer(h->cores));
    json_object_set_new(o, "descriptorsPerProcess", count_json(h->files));
    json_object_set_new(o, "descriptors", count_json(h->all_files));
    json_object_set_new(o, "descriptorsOpen", count_json(h->all_files_open));
    json_object_set_new(o, "processes", count_json(h->processes));
    json_object_set_new(o, "portsPerAddress", json_integer(h->ports));
    json_object_set_new(o, "memoryBytes", count_json(h->memory));
    return o;
}

json_t *ix_plan_json(const struct ix_run *run, const struct ix_plan *plan)
{
    json_t *shortages = json_array(), *notes = json_array();
    for (size_t i = 0; i < plan->shortage_count; i++) {
        const struct ix_shortage *s = &plan->shortages[i];
        json_array_append_new(shortages, json_pack("{s:s, s:b, s:s, s:s}", "kind", ix_shortage_names[s->kind],
                                                   "hard", s->hard, "text", s->text, "cure", s->cure));
    }
    for (size_t i = 0; i < plan->note_count; i++)
        json_array_append_new(notes, json_string(plan->notes[i]));
    json_t *o = json_object();
    json_object_set_new(o, "version", json_string(IX_VERSION));
    json_object_set_new(o, "scenario", json_string(run->result.scenario));
    json_object_set_new(o, "path", json_string(run->result.path));
    json_object_set_new(o, "broker", run->result.broker ? json_string(run->result.broker) : json_null());
    json_object_set(o, "options", run->result.options);
    json_object_set_new(o, "fits", json_boolean(!plan->failed && hard_ones(plan) == 0));
    json_object_set_new(o, "followed",
                        json_pack("{s:f, s:b, s:s?}", "seconds", plan->seconds, "complete", plan->complete,
                                  "reason", plan->complete ? NULL : plan->stopped));
    json_object_set_new(o, "needs", needs_json(plan));
    json_object_set_new(o, "host", host_json(&plan->host));
    json_object_set_new(o, "shortages", shortages);
    json_object_set_new(o, "groups", groups_json(plan));
    json_object_set_new(o, "notes", notes);
    return o;
}
