/* Dropouts as the controller knows them: who is chosen, what is told to workers, how far they are, and what
 * remains of them when they are over. */
#include "control/fleet_internal.h"

#include "base/random.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUEST_MAX (64u << 20)

static void free_dropout(struct dropout *d)
{
    ix_record_deinit(&d->record);
    free(d->strategy);
    free(d->over.buckets);
    free(d);
}

void ix_fleet_dropouts_free(struct ix_fleet *fleet)
{
    while (fleet->dropouts) {
        struct dropout *d = fleet->dropouts;
        fleet->dropouts = d->next;
        free_dropout(d);
    }
}

void ix_fleet_dropouts_forget(struct ix_fleet *fleet, const struct group *g)
{
    struct dropout **at = &fleet->dropouts;
    while (*at) {
        struct dropout *d = *at;
        if (d->group != g) {
            at = &d->next;
            continue;
        }
        for (struct request *r = fleet->requests; r; r = r->next)
            if (r->dropout == d) { /* its selection is not carried out any more */
                r->dropout = NULL;
                if (r->code == 0)
                    r->message = ix_strdup("the group was removed meanwhile");
                r->code = r->code ? r->code : -ECANCELED;
            }
        *at = d->next;
        free_dropout(d);
    }
}

void ix_fleet_dropout_forget(struct ix_fleet *fleet, struct dropout *d)
{
    struct dropout **at = &fleet->dropouts;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    free_dropout(d);
}

static struct dropout *find(const struct ix_fleet *fleet, uint64_t id)
{
    struct dropout *d = fleet->dropouts;
    while (d && d->facts.id != id)
        d = d->next;
    return d;
}

/* ---- progress ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The sum over workers. */
static void sum_up(const struct ix_fleet *fleet, uint64_t id, struct ix_dropout_metrics *sum)
{
    memset(sum, 0, sizeof *sum);
    ix_histogram_init(&sum->back_time);
    sum->id = id;
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++) {
        const struct ix_dropout_metrics *m =
            fleet->segments[i] ? ix_segment_find_dropout(fleet->segments[i], id) : NULL;
        if (!m)
            continue;
        sum->chosen += m->chosen;
        sum->dropped += m->dropped;
        sum->already_gone += m->already_gone;
        sum->back += m->back;
        sum->ended += m->ended;
        sum->cancelled += m->cancelled;
        ix_histogram_merge(&sum->back_time, &m->back_time);
    }
}

/* Workers may have given its place to another; then what was kept holds. All figures only rise. */
static void add_kept(const struct dropout *d, struct ix_dropout_metrics *sum)
{
    const struct dropout_end *over = &d->over;
    struct ix_histogram *h = &sum->back_time;
    sum->chosen = larger(sum->chosen, over->chosen);
    sum->dropped = larger(sum->dropped, over->dropped);
    sum->already_gone = larger(sum->already_gone, over->already_gone);
    sum->back = larger(sum->back, over->back);
    sum->ended = larger(sum->ended, over->ended);
    sum->cancelled = larger(sum->cancelled, over->cancelled);
    if (h->count >= over->count)
        return;
    ix_histogram_init(h);
    h->count = over->count;
    h->sum = over->sum;
    h->min = over->min;
    h->max = over->max;
    memcpy(&h->buckets[over->first], over->buckets, over->bucket_count * sizeof *over->buckets);
}

static void progress_of(const struct ix_fleet *fleet, const struct dropout *d, struct ix_dropout_metrics *sum)
{
    sum_up(fleet, d->facts.id, sum);
    if (d->facts.is_over)
        add_kept(d, sum);
}

static bool is_complete(const struct dropout *d, const struct ix_dropout_metrics *m)
{
    return m->dropped + m->already_gone + m->cancelled >= d->facts.chosen &&
           (!d->record.dropout.reconnect || m->back + m->ended >= m->dropped);
}

static void keep(struct dropout *d, const struct ix_dropout_metrics *m)
{
    const struct ix_histogram *h = &m->back_time;
    size_t first = 0, end = IX_HISTOGRAM_BUCKETS;
    while (first < end && !h->buckets[first])
        first++;
    while (end > first && !h->buckets[end - 1])
        end--;
    d->over = (struct dropout_end){.chosen = m->chosen,
                                   .dropped = m->dropped,
                                   .already_gone = m->already_gone,
                                   .back = m->back,
                                   .ended = m->ended,
                                   .cancelled = m->cancelled,
                                   .count = h->count,
                                   .sum = h->sum,
                                   .min = h->min,
                                   .max = h->max,
                                   .first = first,
                                   .bucket_count = end - first};
    d->over.buckets = ix_calloc(end - first + 1, sizeof *d->over.buckets);
    memcpy(d->over.buckets, &h->buckets[first], (end - first) * sizeof *d->over.buckets);
}

/* Nobody needs the record of a dropout that is over: its devices' rows say where they are. Before a new one is
 * told to workers, because they may give it the place of an old one. */
static void put_away_the_complete(struct ix_fleet *fleet)
{
    for (struct dropout *d = fleet->dropouts; d; d = d->next) {
        struct ix_dropout_metrics m;
        if (!d->live || d->facts.is_over)
            continue;
        sum_up(fleet, d->facts.id, &m);
        if (!is_complete(d, &m))
            continue;
        keep(d, &m);
        d->facts.is_over = true;
        ix_fleet_forget_record(d->group, IX_RECORD_DROPOUT, d->record.subkey);
        ix_record_deinit(&d->record);
        d->record = (struct ix_record){.kind = IX_RECORD_DROPOUT};
    }
}

const struct ix_dropout_facts *ix_fleet_dropout_at(struct ix_fleet *fleet, size_t place,
                                                   struct ix_dropout_metrics *progress)
{
    struct dropout *d = fleet->dropouts;
    while (d && place--)
        d = d->next;
    if (d && progress)
        progress_of(fleet, d, progress);
    return d ? &d->facts : NULL;
}

const struct ix_dropout_facts *ix_fleet_dropout_find(struct ix_fleet *fleet, uint64_t id,
                                                     struct ix_dropout_metrics *progress)
{
    struct dropout *d = find(fleet, id);
    if (d && progress)
        progress_of(fleet, d, progress);
    return d ? &d->facts : NULL;
}

/* ---- making one: two steps ---- */

/* Second step: the union of the eligible is known; who falls out is fixed and told to all workers. */
void ix_fleet_dropout_chosen(struct ix_fleet *fleet, struct request *r)
{
    struct dropout *d = r->dropout;
    struct ix_record *record = &d->record;
    uint64_t eligible = ix_bitmap_count(&r->eligible);
    uint64_t chosen = ix_selection_size(d->count, d->percentage, eligible);
    d->facts.eligible = eligible;
    d->facts.chosen = chosen;
    d->facts.start_ns = ix_clock_whole_ms(ix_loop_update(fleet->config.loop) + LEAD_NS);
    record->dropout.start_ns = d->facts.start_ns;
    record->dropout.eligible = r->eligible;
    memset(&r->eligible, 0, sizeof r->eligible); /* now the record's */
    record->dropout.chosen = chosen;
    put_away_the_complete(fleet);
    d->live = true;
    struct request *applied = ix_fleet_publish_record(fleet, d->group, record);
    applied->ticket = r->ticket;
    applied->result = json_pack("{s:I, s:I, s:I}", "id", (json_int_t)d->facts.id, "eligible",
                                (json_int_t)eligible, "chosen", (json_int_t)chosen);
    ix_fleet_request_settle(fleet, applied);
}

static struct ix_strategy_spec copy_strategy(const struct ix_strategy_spec *from)
{
    struct ix_strategy_spec to = *from;
    to.name = from->name ? ix_strdup(from->name) : NULL;
    to.settings = from->settings ? ix_strdup(from->settings) : NULL;
    to.function = NULL;
    if (from->function_len) {
        to.function = ix_malloc(from->function_len);
        memcpy(to.function, from->function, from->function_len);
    }
    return to;
}

int ix_fleet_dropout(struct ix_fleet *fleet, const char *group, const struct ix_dropout_config *config,
                     uint64_t ticket, struct ix_error *err)
{
    struct group *g = ix_fleet_find(fleet, group);
    if (!g)
        return ix_fail(err, -ENOENT, "there is no group \"%s\"", group);
    struct dropout *d = ix_calloc(1, sizeof *d);
    d->group = g;
    d->count = config->count;
    d->percentage = config->percentage;
    d->facts.id = ++fleet->last_dropout;
    d->facts.group = g->id;
    struct ix_record *record = &d->record;
    char subkey[24];
    snprintf(subkey, sizeof subkey, "%llu", (unsigned long long)d->facts.id);
    record->group = ix_strdup(g->id);
    record->subkey = ix_strdup(subkey);
    record->kind = IX_RECORD_DROPOUT;
    record->dropout.id = d->facts.id;
    record->dropout.strategy = copy_strategy(&config->strategy);
    record->dropout.mode = config->mode;
    record->dropout.reconnect = config->reconnect;
    record->dropout.reconnect_delay_ns = config->reconnect_delay_ns;
    record->dropout.seed = ix_random_key(ix_random_key(fleet->config.seed, g->key), d->facts.id);
    d->strategy = ix_strdup(record->dropout.strategy.name);
    d->facts.strategy = d->strategy;
    struct dropout **end = &fleet->dropouts;
    while (*end)
        end = &(*end)->next;
    *end = d;

    struct request *r = ix_fleet_request(fleet, REQUEST_ELIGIBLE, ++fleet->last_ticket, ticket);
    r->dropout = d;
    ix_bitmap_init(&r->eligible, g->count);
    struct ix_buf out;
    ix_buf_init(&out, REQUEST_MAX);
    ix_pack_u64(&out, r->key);
    ix_pack_str(&out, g->id);
    ix_pack_bytes(&out, config->select, config->select_len);
    ix_pack_u64(&out, g->count);
    ix_fleet_ask(fleet, g, r, IX_DOWN_ELIGIBLE, &out);
    ix_buf_deinit(&out);
    ix_fleet_request_settle(fleet, r);
    return 0;
}

int ix_fleet_dropout_cancel(struct ix_fleet *fleet, uint64_t id, uint64_t ticket, struct ix_error *err)
{
    struct dropout *d = find(fleet, id);
    if (!d || !d->live)
        return ix_fail(err, -ENOENT, "there is no dropout %llu", (unsigned long long)id);
    d->record.dropout.cancelled = true;
    d->facts.cancelled = true;
    struct request *r = d->facts.is_over ? ix_fleet_request(fleet, REQUEST_RECORD, 0, 0)
                                         : ix_fleet_publish_record(fleet, d->group, &d->record);
    r->ticket = ticket;
    r->result = json_object();
    ix_fleet_request_settle(fleet, r);
    return 0;
}
