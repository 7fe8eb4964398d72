#include "worker/accountant.h"

#include "metrics/mark.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ix_accountant {
    struct ix_accounting accounting;
    char key[IX_MARK_FIELD_MAX + 8]; /* "name":" */
    size_t key_len;
    struct ix_group_metrics *groups[IX_LEDGER_GROUPS]; /* of the segment, by place in the ledger */
};

/* A predecessor may have died inside an entry: what it was about to note is lost or noted, the lock goes. */
static void break_locks(const struct ix_accounting *a)
{
    uint32_t own = a->segment->worker + 1, used = ix_ledger_used(a->ledger);
    for (uint32_t i = 0; i < used; i++)
        if (__atomic_load_n(&a->ledger->entries[i].lock, __ATOMIC_RELAXED) == own)
            __atomic_store_n(&a->ledger->entries[i].lock, 0, __ATOMIC_RELEASE);
}

struct ix_accountant *ix_accountant_new(const struct ix_accounting *accounting)
{
    struct ix_accountant *a = ix_calloc(1, sizeof *a);
    a->accounting = *accounting;
    a->key_len = (size_t)snprintf(a->key, sizeof a->key, "\"%.*s\":\"", IX_MARK_FIELD_MAX, accounting->field);
    if (accounting->is_shared)
        break_locks(accounting);
    return a;
}

void ix_accountant_free(struct ix_accountant *accountant)
{
    free(accountant);
}

static void lock(struct ix_accountant *a, struct ix_ledger_entry *entry)
{
    uint32_t nobody = 0;
    while (!__atomic_compare_exchange_n(&entry->lock, &nobody, a->accounting.segment->worker + 1, true,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        nobody = 0;
        sched_yield(); /* whoever has it needs the processor, or is being restarted */
    }
}

static struct ix_group_metrics *metrics_of(struct ix_accountant *a, uint16_t group)
{
    struct ix_group_metrics **metrics = &a->groups[group - 1];
    if (!*metrics)
        *metrics = ix_segment_group(a->accounting.segment, a->accounting.ledger->groups[group - 1]);
    return *metrics;
}

static void note_times(struct ix_accountant *a, struct ix_ledger_entry *entry,
                       struct ix_group_metrics *metrics, const struct ix_mark *mark, uint64_t now_ns)
{
    uint64_t sent = mark->sent_us * 1000, due = sent - (uint64_t)mark->late_us * 1000;
    uint64_t latency = now_ns > due ? now_ns - due : 0;
    ix_histogram_add(&metrics->trends[IX_T_DELIVERY], latency);
    ix_histogram_add(&metrics->trends[IX_T_TRANSIT], now_ns > sent ? now_ns - sent : 0);
    if (!a->accounting.late_ns || latency <= a->accounting.late_ns)
        return;
    entry->late++;
    metrics->counters[IX_C_D_LATE]++;
}

static void account(struct ix_accountant *a, struct ix_ledger_entry *entry, struct ix_group_metrics *metrics,
                    const struct ix_mark *mark, bool repeated, uint64_t now_ns)
{
    uint64_t missing = ix_ledger_missing(entry);
    uint32_t duplicated = entry->duplicated;
    switch (ix_ledger_arrive(entry, mark->sequence, mark->connection)) {
    case IX_ARRIVED_REORDERED:
        metrics->counters[IX_C_D_REORDERED] += !a->accounting.is_shared;
        metrics->counters[IX_C_D_DELIVERED]++;
        note_times(a, entry, metrics, mark, now_ns);
        break;
    case IX_ARRIVED:
        metrics->counters[IX_C_D_DELIVERED]++;
        note_times(a, entry, metrics, mark, now_ns);
        break;
    case IX_ARRIVED_AGAIN:
        if (repeated)
            entry->duplicated = duplicated;
        else
            metrics->counters[IX_C_D_DUPLICATED]++;
        break;
    case IX_ARRIVED_STALE:
        metrics->counters[IX_C_D_STALE]++;
        break;
    }
    metrics->counters[IX_C_D_MISSING] += ix_ledger_missing(entry) - missing;
}

/* The slot of a mark of this run; 0: no such message was ever sent. A message may arrive before its publisher has
 * counted it. */
static uint16_t group_of(const struct ix_ledger *ledger, const struct ix_mark *mark)
{
    if (mark->run != ledger->run || mark->slot >= ix_ledger_used(ledger))
        return 0;
    const struct ix_ledger_slot *slot = &ledger->slots[mark->slot];
    uint16_t group = __atomic_load_n(&slot->group, __ATOMIC_ACQUIRE);
    uint64_t sent = __atomic_load_n(&slot->sent, __ATOMIC_ACQUIRE);
    return mark->sequence <= sent && group <= IX_LEDGER_GROUPS ? group : 0;
}

void ix_accountant_message(struct ix_accountant *a, const struct ix_message *message, uint64_t now_ns)
{
    struct ix_ledger *ledger = a->accounting.ledger;
    uint64_t *ungrouped = a->accounting.segment->ungrouped;
    struct ix_mark mark;
    if (message->retain) {
        ungrouped[IX_C_D_RETAINED]++;
        return;
    }
    enum ix_mark_state state =
        ix_mark_read(message->payload, message->len, message->mark, a->key, a->key_len, ledger->run, &mark);
    if (state != IX_MARK_GOOD) {
        ungrouped[state == IX_MARK_CORRUPT ? IX_C_D_CORRUPT : IX_C_D_FOREIGN]++;
        return;
    }
    uint16_t group = group_of(ledger, &mark);
    struct ix_group_metrics *metrics = group ? metrics_of(a, group) : NULL;
    if (!metrics) {
        ungrouped[IX_C_D_UNKNOWN]++;
        return;
    }
    struct ix_ledger_entry *entry = &ledger->entries[mark.slot];
    if (a->accounting.is_shared)
        lock(a, entry);
    account(a, entry, metrics, &mark, ledger->slots[mark.slot].qos == 2 && message->duplicate, now_ns);
    if (a->accounting.is_shared)
        __atomic_store_n(&entry->lock, 0, __ATOMIC_RELEASE);
}
