/* A hierarchical timing wheel with slots of 1 ms: O(1) add, move and cancel, intrusive entries, no
 * allocation per entry, absolute deadlines.
 *
 * The wheel does not drive itself: the loop sleeps until the earliest occupied slot; virtual time
 * calls ix_wheel_run directly. */
#ifndef IX_LOOP_WHEEL_H
#define IX_LOOP_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ix_wheel;
struct ix_wheel_entry;

/* Called once when now ≥ due; the entry is already out of the wheel and may be added again or freed. */
typedef void ix_wheel_fire(struct ix_wheel_entry *entry, uint64_t now_ns);

struct ix_wheel_entry { /* zero-initialised means: not in a wheel; fill `fire` once */
    struct ix_wheel_entry *next;
    struct ix_wheel_entry *prev; /* NULL when not in a wheel */
    uint64_t due_ns;
    ix_wheel_fire *fire;
};

/* `now_ns` is where the wheel starts. */
struct ix_wheel *ix_wheel_new(uint64_t now_ns);
/* Entries that are still in the wheel are not touched. */
void ix_wheel_free(struct ix_wheel *wheel);

/* Adds or moves an entry. A deadline in the past fires at the next run (the next, too, when added by an entry
 * that fires). Deadlines are kept exactly; an entry
 * fires in the first run at or after them (rounded up to the wheel's millisecond). */
void ix_wheel_add(struct ix_wheel *wheel, struct ix_wheel_entry *entry, uint64_t due_ns);
void ix_wheel_cancel(struct ix_wheel *wheel, struct ix_wheel_entry *entry);
static inline bool ix_wheel_has(const struct ix_wheel_entry *entry)
{
    return entry->prev != NULL;
}

/* Fires due entries, earliest slot first and in order of adding within a slot, at most `limit` of them.
 * Returns how many; if it equals `limit`, more may be due. */
size_t ix_wheel_run(struct ix_wheel *wheel, uint64_t now_ns, size_t limit);

/* While an entry fires: the one that fires next, NULL if it is the slot's last. A hint, for fetching into the
 * cache what that one will need. */
const struct ix_wheel_entry *ix_wheel_upcoming(const struct ix_wheel *wheel);

/* The instant at which the next run has something to do (a due slot or a cascade), UINT64_MAX if empty. */
uint64_t ix_wheel_next(const struct ix_wheel *wheel);
size_t ix_wheel_count(const struct ix_wheel *wheel);

#endif
