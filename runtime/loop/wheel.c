/* Ticks of 1 ms are read as digits: the lowest of twelve bits, six more of six bits. An entry lies on the level of
 * the highest digit in which its tick differs from the wheel's position, in the slot of that digit; so the lowest
 * occupied slot of the lowest occupied level is the earliest, and all entries of one tick are always in one list. When
 * the position enters a slot of a higher level, the entries of that slot move to lower levels (at most six times in
 * all). The digits hold every 64-bit number of ns, so no deadline is too far.
 *
 * The lowest digit is wide because to move an entry is to fetch it: the entries of a large fleet are not in the cache,
 * and what is due within four seconds is touched only when it is added and when it fires. */
#include "loop/wheel.h"

#include "base/error.h"

#include <stdlib.h>

#define TICK_NS    1000000ull
#define FIRST_BITS 12 /* of the lowest digit */
#define DIGIT_BITS 6
#define FIRST      (1u << FIRST_BITS)
#define SLOTS      (1u << DIGIT_BITS)
#define LEVELS     7
#define HEADS      (FIRST + (LEVELS - 1) * SLOTS)
#define LAST_TICK  (UINT64_MAX / TICK_NS)
_Static_assert(FIRST_BITS == 2 * DIGIT_BITS, "the lowest level's occupancy is a word of words");

/* The beginning of an entry, as which it is used: four thousand whole ones would be felt. */
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
    uint8_t levels;         /* bit L: level L has an occupied slot */
    uint64_t slots[LEVELS]; /* bit S: slot S is occupied; level 0: one of the slots first[S] */
    uint64_t first[SLOTS];  /* level 0, 64 slots each */
    /* Heads of circular lists: those of level 0, then 64 for each level. What was never used is zero. */
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

/* The highest digit in which two ticks differ. */
static unsigned level_between(uint64_t a, uint64_t b)
{
    if ((a ^ b) < FIRST)
        return 0;
    return 1 + ((unsigned)(63 - __builtin_clzll(a ^ b)) - FIRST_BITS) / DIGIT_BITS;
}

/* Where a level's digit begins. */
static unsigned shift_of(unsigned level)
{
    return level == 0 ? 0 : FIRST_BITS + (level - 1) * DIGIT_BITS;
}

static unsigned digit(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> shift_of(level)) & (level == 0 ? FIRST - 1 : SLOTS - 1);
}

static struct ix_wheel_entry *head_of(struct ix_wheel *wheel, unsigned level, unsigned slot)
{
    struct head *head = &wheel->heads[level == 0 ? slot : FIRST + (level - 1) * SLOTS + slot];
    return (struct ix_wheel_entry *)(void *)head;
}

static bool is_occupied(const struct ix_wheel *wheel, unsigned level, unsigned slot)
{
    uint64_t bits = level == 0 ? wheel->first[slot / SLOTS] : wheel->slots[level];
    return bits >> slot % SLOTS & 1;
}

static struct ix_wheel_entry *occupy(struct ix_wheel *wheel, unsigned level, unsigned slot)
{
    struct ix_wheel_entry *head = head_of(wheel, level, slot);
    if (is_occupied(wheel, level, slot))
        return head;
    list_init(head);
    if (level == 0) {
        wheel->first[slot / SLOTS] |= 1ull << slot % SLOTS;
        slot /= SLOTS;
    }
    wheel->slots[level] |= 1ull << slot;
    wheel->levels |= (uint8_t)(1u << level);
    return head;
}

static void vacate(struct ix_wheel *wheel, unsigned level, unsigned slot)
{
    if (level == 0) {
        uint64_t *bits = &wheel->first[slot / SLOTS];
        *bits &= ~(1ull << slot % SLOTS);
        if (*bits != 0)
            return;
        slot /= SLOTS;
    }
    wheel->slots[level] &= ~(1ull << slot);
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

static void place(struct ix_wheel *wheel, struct ix_wheel_entry *entry)
{
    uint64_t tick = tick_of(wheel, entry->due_ns);
    unsigned level = level_between(tick, wheel->position);
    list_append(occupy(wheel, level, digit(tick, level)), entry);
}

/* The tick at which the earliest occupied slot begins; false if there is none. */
static bool earliest(const struct ix_wheel *wheel, uint64_t *tick)
{
    if (!wheel->levels)
        return false;
    unsigned level = (unsigned)__builtin_ctz(wheel->levels);
    unsigned slot = (unsigned)__builtin_ctzll(wheel->slots[level]), bits = DIGIT_BITS;
    if (level == 0) {
        slot = slot * SLOTS + (unsigned)__builtin_ctzll(wheel->first[slot]);
        bits = FIRST_BITS;
    }
    unsigned shift = shift_of(level);
    *tick = (wheel->position >> shift >> bits << bits | slot) << shift;
    return true;
}

/* Moves the position forwards; the caller knows that nothing is due before `tick`. */
static void move_to(struct ix_wheel *wheel, uint64_t tick)
{
    if (tick <= wheel->position)
        return;
    unsigned level = level_between(tick, wheel->position);
    unsigned slot = digit(tick, level);
    wheel->position = tick;
    if (level == 0 || !is_occupied(wheel, level, slot))
        return;
    struct ix_wheel_entry entered;
    list_init(&entered);
    list_splice(&entered, head_of(wheel, level, slot));
    vacate(wheel, level, slot);
    for (struct ix_wheel_entry *entry = entered.next, *next; entry != &entered; entry = next) {
        next = entry->next;
        place(wheel, entry);
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
        place(wheel, entry);
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
    if (prev == next && prev != &wheel->firing && prev != &wheel->late) {
        unsigned index = (unsigned)((struct head *)(void *)prev - wheel->heads);
        if (index < FIRST)
            vacate(wheel, 0, index);
        else
            vacate(wheel, 1 + (index - FIRST) / SLOTS, (index - FIRST) % SLOTS);
    }
}

/* Fires what is in the slot of the position, at most `limit` entries; what is left stays there. */
static size_t fire_slot(struct ix_wheel *wheel, uint64_t now_ns, size_t limit)
{
    unsigned slot = digit(wheel->position, 0);
    list_splice(&wheel->firing, head_of(wheel, 0, slot));
    vacate(wheel, 0, slot);
    size_t fired = 0;
    while (fired < limit && !list_is_empty(&wheel->firing)) {
        struct ix_wheel_entry *entry = wheel->firing.next;
        ix_wheel_cancel(wheel, entry);
        fired++;
        entry->fire(entry, now_ns);
    }
    if (!list_is_empty(&wheel->firing))
        list_splice(occupy(wheel, 0, slot), &wheel->firing);
    return fired;
}

const struct ix_wheel_entry *ix_wheel_upcoming(const struct ix_wheel *wheel)
{
    return list_is_empty(&wheel->firing) ? NULL : wheel->firing.next;
}

size_t ix_wheel_run(struct ix_wheel *wheel, uint64_t now_ns, size_t limit)
{
    IX_REQUIRE(!wheel->running);
    uint64_t now = now_ns / TICK_NS, tick;
    size_t fired = 0;
    wheel->running = true;
    while (fired < limit) {
        if (!earliest(wheel, &tick) || tick > now) {
            move_to(wheel, now);
            break;
        }
        move_to(wheel, tick);
        if (is_occupied(wheel, 0, digit(tick, 0)))
            fired += fire_slot(wheel, now_ns, limit - fired);
    }
    wheel->running = false;
    if (!list_is_empty(&wheel->late))
        list_splice(occupy(wheel, 0, digit(wheel->position, 0)), &wheel->late);
    return fired;
}

uint64_t ix_wheel_next(const struct ix_wheel *wheel)
{
    uint64_t tick;
    return earliest(wheel, &tick) ? tick * TICK_NS : UINT64_MAX;
}

size_t ix_wheel_count(const struct ix_wheel *wheel)
{
    return wheel->count;
}
