/* The delivery ledger of a run: what was sent with a sequence, and what of it observers saw arrive.
 *
 * One sparse memfd for all processes of a run. Each stream of a device that is observed has a *slot*, which its
 * publisher writes (how many messages it has sent: their sequences are 0, 1, 2 …), and an *entry* of the same
 * number, which observers write (which of these sequences arrived). Neither grows with messages: 32 bytes for
 * the publisher and 64 for the observers per stream, and what nobody touched costs nothing. Slots are never
 * used for another stream, so that the accounts of stopped devices, deleted groups and dead workers stay.
 *
 * A publisher that dies between sending and counting leaves one sequence in doubt. Its slot is closed then, and
 * its device goes on in a new one: whether the last message of the old slot arrived can still be told. */
#ifndef IX_METRICS_LEDGER_H
#define IX_METRICS_LEDGER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define IX_LEDGER_MAGIC    0x3152454744454c49ull
#define IX_LEDGER_SLOTS    (1u << 23) /* streams of a run */
#define IX_LEDGER_CHUNK    1024       /* slots that a publisher takes at once */
#define IX_LEDGER_GROUPS   512
#define IX_LEDGER_WINDOW   256 /* sequences below the highest one of which it is known whether they arrived */
#define IX_LEDGER_CHILDREN UINT16_MAX /* stream of a gateway's children */

struct ix_ledger_slot {
    uint16_t group;     /* 1 + place in the ledger's groups; 0: unused */
    uint16_t stream;    /* 1 + stream of telemetry, IX_LEDGER_CHILDREN, or 0: publishes of scripts, answers */
    uint32_t index;     /* of the device in its group */
    uint32_t more;      /* 1 + the device's next slot outside of its block; 0: none */
    uint8_t qos;        /* of its messages */
    uint8_t doubt;      /* sequence `sent` may have been sent: its publisher died meanwhile */
    uint8_t connection; /* which of its device's connections its messages go by, mod 256: see ix_ledger_cut */
    uint8_t unacked;    /* by QoS 1 and 2: unacknowledged when connections broke; UINT8_MAX: that, or more */
    uint64_t sent;      /* sequences that were handed to the protocol: 0 … sent − 1 */
    uint32_t never_sent; /* messages that came due and were not sent */
    uint32_t cut;        /* sequences below it went by connections that broke */
};
_Static_assert(sizeof(struct ix_ledger_slot) == 32, "what README says of memory");

struct ix_ledger_entry {
    uint32_t lock;      /* 1 + the worker that is changing it; 0: nobody */
    uint32_t high;      /* 1 + the highest sequence that arrived; 0: none did */
    uint32_t delivered; /* sequences that arrived at least once */
    uint32_t duplicated;
    uint32_t reordered; /* first arrivals after a higher sequence */
    uint32_t late;      /* first arrivals after more than the limit */
    uint32_t stale;     /* below the window: a duplicate, or late; not known which */
    uint8_t connection; /* of the highest one */
    uint8_t broken[3];  /* sequences that did not come before one of another connection; little-endian */
    uint64_t window[IX_LEDGER_WINDOW / 64]; /* bit s mod 256: sequence s arrived */
};
_Static_assert(sizeof(struct ix_ledger_entry) == 64, "what README says of memory");

struct ix_ledger {
    uint64_t magic;
    uint32_t run;                      /* tag of the run, part of every mark */
    uint32_t chunks;                   /* taken by publishers */
    char groups[IX_LEDGER_GROUPS][64]; /* ids, written by the controller before their devices exist */
    struct ix_ledger_slot slots[IX_LEDGER_SLOTS];
    struct ix_ledger_entry entries[IX_LEDGER_SLOTS];
};

/* Creates the memfd (close-on-exec); returns the descriptor. */
int ix_ledger_create(uint32_t run, struct ix_error *err);
/* Maps a descriptor; NULL on error. */
struct ix_ledger *ix_ledger_map(int fd, bool writable, struct ix_error *err);
void ix_ledger_unmap(struct ix_ledger *ledger);

/* 1 + the place of a group's id; 0: it has none. `add`: takes a free one (controller only). */
uint16_t ix_ledger_group(struct ix_ledger *ledger, const char *id, bool add);
/* Slots that may be in use: all below it. */
static inline uint32_t ix_ledger_used(const struct ix_ledger *ledger)
{
    uint32_t chunks = __atomic_load_n(&ledger->chunks, __ATOMIC_ACQUIRE);
    uint32_t most = IX_LEDGER_SLOTS / IX_LEDGER_CHUNK;
    return (chunks < most ? chunks : most) * IX_LEDGER_CHUNK;
}

/* Hands out the slots of one publisher. */
struct ix_ledger_taker {
    uint32_t next, end;
};
/* `count` neighbouring slots, zero but for what the caller writes; false: the ledger is full. */
bool ix_ledger_take(struct ix_ledger *ledger, struct ix_ledger_taker *taker, uint32_t count, uint32_t *first);

enum ix_arrival {
    IX_ARRIVED,           /* the first of its sequence, after all lower ones that have arrived */
    IX_ARRIVED_REORDERED, /* the first, but a higher one came before */
    IX_ARRIVED_AGAIN,
    IX_ARRIVED_STALE, /* so late that it is not known any more whether it is the first */
};
/* Takes note of one arrival, which went by that connection of its device. */
enum ix_arrival ix_ledger_arrive(struct ix_ledger_entry *entry, uint32_t sequence, uint8_t connection);

/* The connection by which the slot's messages went broke, or was cut, with so many of its device's messages
 * unacknowledged: what did not arrive of them may have been lost with it. */
static inline void ix_ledger_cut(struct ix_ledger_slot *slot, uint32_t unacked)
{
    if (slot->cut == (uint32_t)slot->sent || (slot->qos && !unacked))
        return; /* nothing went by it, or the broker had all of it */
    uint32_t sum = slot->unacked + unacked;
    slot->unacked = sum < UINT8_MAX ? (uint8_t)sum : UINT8_MAX;
    slot->cut = (uint32_t)slot->sent;
    slot->connection++;
}

/* Sequences below the highest that arrived that did not arrive themselves. */
static inline uint64_t ix_ledger_missing(const struct ix_ledger_entry *entry)
{
    return entry->high - entry->delivered;
}

/* What became of the messages of one slot. */
struct ix_ledger_account {
    uint64_t sent, delivered, in_doubt; /* sent: those in doubt that arrived are in it */
    uint64_t duplicated, reordered, late, stale, never_sent;
    uint64_t
        cut; /* of those that were sent and did not arrive, how many went by a connection that broke before any
                     later one arrived: the last ones of a connection */
};
struct ix_ledger_account ix_ledger_account_of(const struct ix_ledger *ledger, uint32_t slot);

#endif
