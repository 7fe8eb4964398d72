/* Ticks of 1 ms. What is due within eight seconds lies in a ring, a list for each tick. Of later ticks, the bits above
 * the ring's are read as digits of six bits: an entry lies on the level of the highest digit in which its tick differs
 * from the wheel's position, in the slot of that digit; so the lowest occupied slot of the lowest occupied level begins
 * earliest. When the position enters such a slot, its entries move to lower levels or into the ring (at most six times
 * in all). The digits hold every 64-bit number of ns, so no deadline is too far.
 *
 * The ring is wide because to move an entry is to fetch it: the entries of a large fleet are not in the cache, and
 * what is due within eight seconds is touched only when it is added and when it fires. */
#include "loop/wheel.h"

#include "base/error.h"

#include <stdlib.h>

#define TICK_NS    1000000ull
#define RING_BITS  13
#define DIGIT_BITS 6
#define WORD_BITS  64
#define RING       (1u << RING_BITS)
#define SLOTS      (1u << DIGIT_BITS)
#define LEVELS     6 /* 13 + 6 · 6 bits: 2^64 ns are less than 2^45 ticks */
#define HEADS      (RING + LEVELS * SLOTS)
#define LAST_TICK  (UINT64_MAX / TICK_NS)

/* The beginning of an entry, as which it is used: eight thousand whole ones would be felt. */
struct head {
    struct ix_wheel_entry *next;
    struct ix_wheel_entry *prev;
};
_Static_assert(offsetof(struct ix_wheel_entry, next) == offsetof(struct head, next) &&
                   offsetof(struct ix_wheel_entry, prev) == offsetof(struct head, prev),
               "a head is the beginning of an entry");

struct ix_wheel {
    uint64_t position; /* tick; no entry is due before it */
    size_t count;
    bool running;
    uint8_t levels;                  /* bit L: level L has an occupied slot */
    uint64_t slots[LEVELS];          /* bit S: slot S is occupied */
    uint64_t ring[RING / WORD_BITS]; /* the same of the ring */
    /* Heads of circular lists: those of the ring, then 64 for each level. What was never used is zero. */
    struct head heads[HEADS];
    struct ix_wheel_entry firing; /* what is left of the slot being fired */
    struct ix_wheel_entry late;   /* overdue entries added meanwhile: they wait for the next run */
};

static void list_init(struct ix_wheel_entry *head)
{
    head->next = head->prev = head;
}

static bool list_is_empty(const struct ix_wheel_entry *head)
{
    return head->next == head;
}

static void list_append(struct ix_wheel_entry *head, struct ix_wheel_entry *entry)
{
    entry->next = head;
    entry->prev = head->prev;
    head->prev->next = entry;
    head->prev = entry;
}

/* Moves the whole list of `from` behind that of `head`. */
static void list_splice(struct ix_wheel_entry *head, struct ix_wheel_entry *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}

static void list_prepend(struct ix_wheel_entry *head, struct ix_wheel_entry *entry)
{
    list_append(head->next, entry);
}

/* The highest digit in which two ticks differ; they do, above the ring's bits. */
static unsigned level_between(uint64_t a, uint64_t b)
{
    return ((unsigned)(63 - __builtin_clzll(a ^ b)) - RING_BITS) / DIGIT_BITS;
}

/* Where a level's digit begins. */
static unsigned shift_of(unsigned level)
{
    return RING_BITS + level * DIGIT_BITS;
}

static unsigned digit(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> shift_of(level)) & (SLOTS - 1);
}

static struct ix_wheel_entry *head_at(struct ix_wheel *wheel, unsigned index)
{
    return (struct ix_wheel_entry *)(void *)&wheel->heads[index];
}

static bool is_in_ring(const struct ix_wheel *wheel, uint64_t tick)
{
    return wheel->ring[tick % RING / WORD_BITS] >> tick % WORD_BITS & 1;
}

/* The head of a list in the ring, or in a slot, to which something is added. */
static struct ix_wheel_entry *occupy_ring(struct ix_wheel *wheel, uint64_t tick)
{
    struct ix_wheel_entry *head = head_at(wheel, tick % RING);
    if (!is_in_ring(wheel, tick)) {
        list_init(head);
        wheel->ring[tick % RING / WORD_BITS] |= 1ull << tick % WORD_BITS;
    }
    return head;
}

static struct ix_wheel_entry *occupy_slot(struct ix_wheel *wheel, unsigned level, unsigned slot)
{
    struct ix_wheel_entry *head = head_at(wheel, RING + level * SLOTS + slot);
    if (!(wheel->slots[level] >> slot & 1)) {
        list_init(head);
        wheel->slots[level] |= 1ull << slot;
        wheel->levels |= (uint8_t)(1u << level);
    }
    return head;
}

/* The list of a head is empty. */
static void vacate(struct ix_wheel *wheel, unsigned index)
{
    if (index < RING) {
        wheel->ring[index / WORD_BITS] &= ~(1ull << index % WORD_BITS);
        return;
    }
    unsigned level = (index - RING) / SLOTS;
    wheel->slots[level] &= ~(1ull << (index - RING) % SLOTS);
    if (wheel->slots[level] == 0)
        wheel->levels &= (uint8_t) ~(1u << level);
}

/* The deadline, rounded up to ticks; overdue ones count as due now. */
static uint64_t tick_of(const struct ix_wheel *wheel, uint64_t due_ns)
{
    uint64_t tick = due_ns / TICK_NS + (due_ns % TICK_NS != 0);
    if (tick > LAST_TICK)
        tick = LAST_TICK;
    return tick < wheel->position ? wheel->position : tick;
}

static struct ix_wheel_entry *occupy(struct ix_wheel *wheel, uint64_t tick)
{
    if (tick - wheel->position < RING)
        return occupy_ring(wheel, tick);
    unsigned level = level_between(tick, wheel->position);
    return occupy_slot(wheel, level, digit(tick, level));
}

/* The first tick with a list in the ring; UINT64_MAX if there is none. */
static uint64_t earliest_in_ring(const struct ix_wheel *wheel)
{
    unsigned start = wheel->position % RING, word = start / WORD_BITS;
    uint64_t bits = wheel->ring[word] >> start % WORD_BITS << start % WORD_BITS;
    for (unsigned n = 0; n <= RING / WORD_BITS; n++) { /* the first word twice: its end, and its beginning */
        if (bits)
            return wheel->position + (word * WORD_BITS + (unsigned)__builtin_ctzll(bits) - start) % RING;
        word = (word + 1) % (RING / WORD_BITS);
        bits = wheel->ring[word];
    }
    return UINT64_MAX;
}

/* The tick at which the earliest occupied slot begins; UINT64_MAX if there is none. */
static uint64_t earliest_slot(const struct ix_wheel *wheel)
{
    if (!wheel->levels)
        return UINT64_MAX;
    unsigned level = (unsigned)__builtin_ctz(wheel->levels), shift = shift_of(level);
    unsigned slot = (unsigned)__builtin_ctzll(wheel->slots[level]);
    return (wheel->position >> shift >> DIGIT_BITS << DIGIT_BITS | slot) << shift;
}

/* The tick at which the next run has something to do; UINT64_MAX if there is none. */
static uint64_t earliest(const struct ix_wheel *wheel)
{
    uint64_t in_ring = earliest_in_ring(wheel), slot = earliest_slot(wheel);
    return in_ring < slot ? in_ring : slot;
}

/* Moves the position forwards; the caller knows that nothing is due before `tick`. What is in the ring already was added
 * later than what comes from a slot: that goes in front of it. */
static void move_to(struct ix_wheel *wheel, uint64_t tick)
{
    if (tick <= wheel->position)
        return;
    uint64_t before = wheel->position;
    wheel->position = tick;
    if (tick >> RING_BITS == before >> RING_BITS)
        return;
    unsigned level = level_between(tick, before), slot = digit(tick, level);
    if (!(wheel->slots[level] >> slot & 1))
        return;
    struct ix_wheel_entry entered;
    list_init(&entered);
    list_splice(&entered, head_at(wheel, RING + level * SLOTS + slot));
    vacate(wheel, RING + level * SLOTS + slot);
    for (struct ix_wheel_entry *entry = entered.prev, *next; entry != &entered; entry = next) {
        next = entry->prev;
        list_prepend(occupy(wheel, tick_of(wheel, entry->due_ns)), entry);
    }
}

struct ix_wheel *ix_wheel_new(uint64_t now_ns)
{
    struct ix_wheel *wheel = ix_calloc(1, sizeof(*wheel));
    wheel->position = now_ns / TICK_NS;
    list_init(&wheel->firing);
    list_init(&wheel->late);
    return wheel;
}

void ix_wheel_free(struct ix_wheel *wheel)
{
    free(wheel);
}

void ix_wheel_add(struct ix_wheel *wheel, struct ix_wheel_entry *entry, uint64_t due_ns)
{
    ix_wheel_cancel(wheel, entry);
    entry->due_ns = due_ns;
    wheel->count++;
    if (wheel->running && tick_of(wheel, due_ns) == wheel->position)
        list_append(&wheel->late, entry);
    else
        list_append(occupy(wheel, tick_of(wheel, due_ns)), entry);
}

void ix_wheel_cancel(struct ix_wheel *wheel, struct ix_wheel_entry *entry)
{
    if (!entry->prev)
        return;
    struct ix_wheel_entry *prev = entry->prev, *next = entry->next;
    prev->next = next;
    next->prev = prev;
    entry->next = entry->prev = NULL;
    wheel->count--;
    /* Neighbours that are one and the same are the list's head, and the list is empty now. */
    if (prev == next && prev != &wheel->firing && prev != &wheel->late)
        vacate(wheel, (unsigned)((struct head *)(void *)prev - wheel->heads));
}

/* Fires what is due at the position, at most `limit` entries; what is left stays there. */
static size_t fire_list(struct ix_wheel *wheel, uint64_t now_ns, size_t limit)
{
    unsigned index = wheel->position % RING;
    list_splice(&wheel->firing, head_at(wheel, index));
    vacate(wheel, index);
    size_t fired = 0;
    while (fired < limit && !list_is_empty(&wheel->firing)) {
        struct ix_wheel_entry *entry = wheel->firing.next;
        ix_wheel_cancel(wheel, entry);
        fired++;
        entry->fire(entry, now_ns);
    }
    if (!list_is_empty(&wheel->firing))
        list_splice(occupy_ring(wheel, wheel->position), &wheel->firing);
    return fired;
}

const struct ix_wheel_entry *ix_wheel_upcoming(const struct ix_wheel *wheel)
{
    return list_is_empty(&wheel->firing) ? NULL : wheel->firing.next;
}

/* What fires first in the next run comes into the cache while the loop sleeps. */
static void fetch_next(struct ix_wheel *wheel)
{
    uint64_t tick = earliest_in_ring(wheel);
    if (tick == UINT64_MAX)
        return;
    const struct ix_wheel_entry *entry = head_at(wheel, tick % RING)->next;
    __builtin_prefetch(entry, 1);
    __builtin_prefetch((const char *)entry + 64, 1); /* an entry is the beginning of something */
}

size_t ix_wheel_run(struct ix_wheel *wheel, uint64_t now_ns, size_t limit)
{
    IX_REQUIRE(!wheel->running);
    uint64_t now = now_ns / TICK_NS;
    size_t fired = 0;
    wheel->running = true;
    while (fired < limit) {
        uint64_t tick = earliest(wheel);
        if (tick > now) {
            move_to(wheel, now);
            break;
        }
        move_to(wheel, tick);
        if (is_in_ring(wheel, wheel->position))
            fired += fire_list(wheel, now_ns, limit - fired);
    }
    wheel->running = false;
    if (!list_is_empty(&wheel->late))
        list_splice(occupy_ring(wheel, wheel->position), &wheel->late);
    fetch_next(wheel);
    return fired;
}

uint64_t ix_wheel_next(const struct ix_wheel *wheel)
{
    uint64_t tick = earliest(wheel);
    return tick == UINT64_MAX ? UINT64_MAX : tick * TICK_NS;
}

size_t ix_wheel_count(const struct ix_wheel *wheel)
{
    return wheel->count;
}
