#include "control/delivery.h"

#include <stdlib.h>
#include <string.h>

/* Some slots together. */
struct line {
    uint64_t never_sent, sent, delivered, lost, cut, in_flight, in_doubt, duplicated, reordered, late, stale;
    uint64_t missing; /* while the account is open: of what is in flight */
};

struct part { /* of one group and QoS */
    uint16_t group;
    uint8_t qos;
    struct line line;
};

struct device {
    uint16_t group;
    uint32_t index;
    struct line line;
};

struct closing {
    const struct ix_ledger *ledger;
    const struct ix_delivery_facts *facts;
    struct line all;
    struct part *parts; /* IX_LEDGER_GROUPS × 3 */
    struct device *devices;
    size_t device_count, device_room;
    bool open;
};

static void add(struct line *into, const struct line *from)
{
    into->never_sent += from->never_sent;
    into->sent += from->sent;
    into->delivered += from->delivered;
    into->lost += from->lost;
    into->cut += from->cut;
    into->in_flight += from->in_flight;
    into->in_doubt += from->in_doubt;
    into->duplicated += from->duplicated;
    into->reordered += from->reordered;
    into->late += from->late;
    into->stale += from->stale;
    into->missing += from->missing;
}

static struct line line_of(const struct closing *c, uint32_t slot)
{
    const struct ix_ledger_entry *entry = &c->ledger->entries[slot];
    struct ix_ledger_account a = ix_ledger_account_of(c->ledger, slot);
    struct line line = {.never_sent = a.never_sent,
                        .sent = a.sent,
                        .delivered = a.delivered,
                        .in_doubt = a.in_doubt,
                        .duplicated = a.duplicated,
                        .reordered = a.reordered,
                        .late = a.late,
                        .stale = a.stale};
    if (line.delivered > line.sent)
        line.delivered = line.sent; /* an observer died while it counted */
    line.lost = line.sent - line.delivered;
    if (c->open) {
        uint64_t missing = ix_ledger_missing(entry);
        line.in_flight = line.lost;
        line.missing = missing < line.lost ? missing : line.lost;
    }
    uint64_t above = line.sent > entry->high ? line.sent - entry->high : 0;
    /* A later message of the stream overtakes none that is on its way, unless observers share what the broker keeps for
     * them. */
    if (!c->open && c->facts->away && c->facts->observers > 1 && c->ledger->slots[slot].qos > 0)
        line.in_flight = line.lost;
    else if (!c->open && !c->facts->settled)
        line.in_flight = above < line.lost ? above : line.lost;
    line.lost -= line.in_flight;
    /* The last ones of a connection that broke may be those that are in flight. */
    uint32_t broke = c->ledger->slots[slot].cut;
    uint64_t last = broke > entry->high ? broke - entry->high : 0;
    last = last < line.in_flight ? last : line.in_flight;
    uint64_t cut = a.cut > last ? a.cut - last : 0;
    line.cut = cut < line.lost ? cut : line.lost;
    if (c->facts->observers > 1)
        line.reordered = 0;
    return line;
}

/* What is on its way is no fault. */
static bool has_a_fault(const struct closing *c, const struct line *l)
{
    return l->lost || (c->open ? l->missing : l->in_flight) || l->in_doubt || l->duplicated || l->reordered ||
           l->late || l->stale;
}

static void keep_device(struct closing *c, const struct ix_ledger_slot *slot, const struct line *line)
{
    struct device *last = c->device_count ? &c->devices[c->device_count - 1] : NULL;
    if (last && last->group == slot->group && last->index == slot->index) {
        add(&last->line, line); /* a device's streams are mostly neighbours */
        return;
    }
    if (c->device_count == c->device_room) {
        c->device_room = c->device_room ? c->device_room * 2 : 64;
        c->devices = ix_realloc(c->devices, c->device_room * sizeof(*c->devices));
    }
    c->devices[c->device_count++] = (struct device){slot->group, slot->index, *line};
}

static void read_slots(struct closing *c)
{
    uint32_t used = ix_ledger_used(c->ledger);
    for (uint32_t i = 0; i < used; i++) {
        const struct ix_ledger_slot *slot = &c->ledger->slots[i];
        if (!slot->group || slot->group > IX_LEDGER_GROUPS || slot->qos > 2)
            continue;
        struct line line = line_of(c, i);
        struct part *part = &c->parts[(slot->group - 1) * 3 + slot->qos];
        part->group = slot->group;
        part->qos = slot->qos;
        add(&part->line, &line);
        add(&c->all, &line);
        if (has_a_fault(c, &line))
            keep_device(c, slot, &line);
    }
}

/* ---- the worst devices ---- */

static int by_device(const void *a, const void *b)
{
    const struct device *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return x->index == y->index ? 0 : x->index < y->index ? -1 : 1;
}

static int by_fault(const void *a, const void *b)
{
    const struct device *x = a, *y = b;
    uint64_t lost[] = {x->line.lost + x->line.in_flight + x->line.in_doubt,
                       y->line.lost + y->line.in_flight + y->line.in_doubt};
    if (x->line.missing != y->line.missing)
        return x->line.missing > y->line.missing ? -1 : 1;
    uint64_t beside[] = {x->line.duplicated + x->line.reordered + x->line.late + x->line.stale,
                         y->line.duplicated + y->line.reordered + y->line.late + y->line.stale};
    if (lost[0] != lost[1])
        return lost[0] > lost[1] ? -1 : 1;
    if (beside[0] != beside[1])
        return beside[0] > beside[1] ? -1 : 1;
    return by_device(a, b);
}

/* One item for each device, the worst first. */
static void rank_devices(struct closing *c)
{
    if (!c->device_count)
        return;
    qsort(c->devices, c->device_count, sizeof(*c->devices), by_device);
    size_t kept = 0;
    for (size_t i = 1; i < c->device_count; i++) {
        if (by_device(&c->devices[kept], &c->devices[i]) == 0)
            add(&c->devices[kept].line, &c->devices[i].line);
        else
            c->devices[++kept] = c->devices[i];
    }
    c->device_count = kept + 1;
    qsort(c->devices, c->device_count, sizeof(*c->devices), by_fault);
}

/* ---- as JSON ---- */

static void put_line(json_t *object, const struct line *l)
{
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {{"neverSent", l->never_sent},
                   {"sent", l->sent},
                   {"delivered", l->delivered},
                   {"lost", l->lost},
                   {"lostWithConnection", l->cut},
                   {"inFlight", l->in_flight},
                   {"inDoubt", l->in_doubt},
                   {"duplicated", l->duplicated},
                   {"reordered", l->reordered},
                   {"late", l->late},
                   {"stale", l->stale}};
    for (size_t i = 0; i < IX_ARRAY_LEN(figures); i++)
        json_object_set_new(object, figures[i].name, json_integer((json_int_t)figures[i].value));
}

static json_t *open_line(json_t *object, const struct line *l)
{
    put_line(object, l);
    json_object_set_new(object, "missing", json_integer((json_int_t)l->missing));
    return object;
}

static json_t *parts_of(const struct closing *c)
{
    json_t *parts = json_array();
    for (size_t i = 0; i < IX_LEDGER_GROUPS * 3; i++) {
        const struct part *part = &c->parts[i];
        if (!part->group)
            continue;
        json_t *object =
            json_pack("{s:s, s:i}", "group", c->ledger->groups[part->group - 1], "qos", part->qos);
        put_line(object, &part->line);
        json_array_append_new(parts, object);
    }
    return parts;
}

static json_t *devices_of(struct closing *c, ix_delivery_name *name, void *context)
{
    rank_devices(c);
    json_t *worst = json_array();
    size_t most = c->open ? IX_DELIVERY_WORST_OPEN : IX_DELIVERY_WORST;
    for (size_t i = 0; i < c->device_count && i < most; i++) {
        const struct device *d = &c->devices[i];
        const char *group = c->ledger->groups[d->group - 1];
        char *id = name(context, group, d->index);
        json_t *object =
            json_pack("{s:s, s:s, s:I}", "id", id, "group", group, "index", (json_int_t)d->index);
        if (c->open)
            open_line(object, &d->line);
        else
            put_line(object, &d->line);
        json_array_append_new(worst, object);
        free(id);
    }
    return json_pack("{s:I, s:o}", "affected", (json_int_t)c->device_count, "worst", worst);
}

static json_t *observers_of(const struct ix_delivery_facts *facts)
{
    json_t *topics = json_array();
    for (size_t i = 0; i < facts->topic_count; i++)
        json_array_append_new(topics, json_string(facts->topics[i]));
    return json_pack("{s:o, s:i, s:I, s:o, s:b, s:b, s:I, s:I, s:f, s:o, s:s?, s:f}", "topics", topics, "qos",
                     facts->qos, "count", (json_int_t)facts->observers, "lateAfterMs",
                     facts->late_ns ? json_real((double)facts->late_ns / 1e6) : json_null(), "orderJudged",
                     facts->observers == 1, "settled", facts->settled, "restarts",
                     (json_int_t)facts->observer_restarts, "overruns", (json_int_t)facts->overruns,
                     "awaySeconds", (double)facts->away_ns / 1e9, "brokerDropped",
                     facts->counts ? json_integer((json_int_t)facts->dropped) : json_null(), "silentBroker",
                     facts->silent, "silentSeconds", (double)facts->silent_ns / 1e9);
}

/* ---- into the totals ---- */

static void put_counters(uint64_t *counters, const struct line *l)
{
    counters[IX_C_D_SENT] = l->sent;
    counters[IX_C_D_DELIVERED] = l->delivered;
    counters[IX_C_D_DUPLICATED] = l->duplicated;
    counters[IX_C_D_REORDERED] = l->reordered;
    counters[IX_C_D_LATE] = l->late;
    counters[IX_C_D_STALE] = l->stale;
    counters[IX_C_D_LOST] = l->lost;
    counters[IX_C_D_LOST_CONNECTION] = l->cut;
    counters[IX_C_D_IN_FLIGHT] = l->in_flight;
    counters[IX_C_D_IN_DOUBT] = l->in_doubt;
}

static void correct(const struct closing *c, struct ix_snapshot *totals)
{
    put_counters(totals->all.counters, &c->all);
    for (size_t g = 0; g < totals->group_count; g++) {
        struct line line = {0};
        for (size_t i = 0; i < IX_LEDGER_GROUPS * 3; i++)
            if (c->parts[i].group &&
                strcmp(c->ledger->groups[c->parts[i].group - 1], totals->groups[g].group) == 0)
                add(&line, &c->parts[i].line);
        put_counters(totals->groups[g].counters, &line);
    }
}

static void put_beside(json_t *total, const uint64_t *counters)
{
    static const struct {
        const char *name;
        enum ix_counter counter;
    } beside[] = {{"unwatched", IX_C_D_UNWATCHED},
                  {"corrupt", IX_C_D_CORRUPT},
                  {"unknown", IX_C_D_UNKNOWN},
                  {"foreign", IX_C_D_FOREIGN},
                  {"retained", IX_C_D_RETAINED}};
    for (size_t i = 0; i < IX_ARRAY_LEN(beside); i++)
        json_object_set_new(total, beside[i].name, json_integer((json_int_t)counters[beside[i].counter]));
}

json_t *ix_delivery_close(const struct ix_ledger *ledger, const struct ix_delivery_facts *facts,
                          ix_delivery_name *name, void *context, struct ix_snapshot *totals)
{
    struct closing c = {.ledger = ledger, .facts = facts};
    c.parts = ix_calloc(IX_LEDGER_GROUPS * 3, sizeof(*c.parts));
    read_slots(&c);
    correct(&c, totals);
    json_t *object = json_object(), *total = json_object();
    put_line(total, &c.all);
    put_beside(total, totals->all.counters);
    json_object_set_new(object, "closed", json_true());
    json_object_set_new(object, "observers", observers_of(facts));
    json_object_set_new(object, "total", total);
    json_object_set_new(object, "parts", parts_of(&c));
    json_object_set_new(object, "devices", devices_of(&c, name, context));
    free(c.parts);
    free(c.devices);
    return object;
}

/* ---- while it is open ---- */

json_t *ix_delivery_look(const struct ix_ledger *ledger, const struct ix_delivery_facts *facts,
                         ix_delivery_name *name, void *context)
{
    struct closing c = {.ledger = ledger, .facts = facts, .open = true};
    json_t *devices;
    if (ix_ledger_used(ledger) > IX_DELIVERY_LOOK_MAX) {
        devices = json_pack("{s:n, s:[]}", "affected", "worst");
    } else {
        c.parts = ix_calloc(IX_LEDGER_GROUPS * 3, sizeof(*c.parts));
        read_slots(&c);
        devices = devices_of(&c, name, context);
        free(c.parts);
        free(c.devices);
    }
    return json_pack("{s:o, s:o}", "observers", observers_of(facts), "devices", devices);
}

static struct line line_of_counters(const uint64_t *counters)
{
    return (struct line){.never_sent = ix_never_sent(counters),
                         .sent = counters[IX_C_D_SENT],
                         .delivered = counters[IX_C_D_DELIVERED],
                         .in_flight = counters[IX_C_D_IN_FLIGHT],
                         .duplicated = counters[IX_C_D_DUPLICATED],
                         .reordered = counters[IX_C_D_REORDERED],
                         .late = counters[IX_C_D_LATE],
                         .stale = counters[IX_C_D_STALE],
                         .missing = counters[IX_C_D_MISSING] < counters[IX_C_D_IN_FLIGHT]
                                        ? counters[IX_C_D_MISSING]
                                        : counters[IX_C_D_IN_FLIGHT]};
}

json_t *ix_delivery_open(const json_t *look, const struct ix_snapshot *totals)
{
    if (!look || !totals->observed)
        return NULL;
    struct line line = line_of_counters(totals->all.counters);
    json_t *total = open_line(json_object(), &line), *parts = json_array();
    put_beside(total, totals->all.counters);
    for (size_t g = 0; g < totals->group_count; g++) {
        const struct ix_totals *group = &totals->groups[g];
        if (!group->counters[IX_C_D_SENT])
            continue;
        line = line_of_counters(group->counters);
        json_t *part =
            json_pack("{s:s, s:o}", "group", group->group, "qos",
                      group->other_qos || !group->qos ? json_null() : json_integer(group->qos - 1));
        json_array_append_new(parts, open_line(part, &line));
    }
    return json_pack("{s:b, s:O, s:o, s:o, s:O}", "closed", 0, "observers",
                     json_object_get(look, "observers"), "total", total, "parts", parts, "devices",
                     json_object_get(look, "devices"));
}

bool ix_delivery_is_explained(const struct ix_ledger *ledger)
{
    uint32_t used = ix_ledger_used(ledger);
    for (uint32_t i = 0; i < used; i++) {
        struct ix_ledger_account a = ix_ledger_account_of(ledger, i);
        if (a.sent > a.delivered + a.cut)
            return false;
    }
    return true;
}

uint64_t ix_delivery_count(const json_t *delivery, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(json_object_get(delivery, "total"), name));
    return value > 0 ? (uint64_t)value : 0;
}
