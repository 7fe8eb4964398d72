/* What to do about connections that fail because something has run out: ports, descriptors, memory, the broker's own
 * capacity. Said once while the run lasts, and kept for summary and reports. */
#ifndef IX_CONTROL_ADVICE_H
#define IX_CONTROL_ADVICE_H

#include "control/brokers.h"
#include "control/snapshot.h"

enum ix_advice_kind { IX_ADVICE_PORTS, IX_ADVICE_FILES, IX_ADVICE_MEMORY, IX_ADVICE_BROKER, IX_ADVICE_COUNT };

struct ix_advice {
    bool
        embedded; /* devices without a broker of their own go to one of ours, which has our limit of descriptors */
    unsigned
        forget_after; /* looks in a row at which a thing did not happen again, until it counts as over; 0: never */
    char *lines[IX_ADVICE_COUNT];     /* what holds; NULL: nothing */
    uint64_t before[IX_ADVICE_COUNT]; /* failures of each kind, at the look before */
    unsigned calm[IX_ADVICE_COUNT];   /* looks since it happened */
    uint64_t connected_before;
    unsigned stuck; /* looks in a row at which the broker took in nobody more, but turned away some */
};

/* Looks at the totals of all groups, once an interval; logs what is new as a warning and appends it to *text as a line
 * (NULL at first; the caller frees it). `text` NULL: only `lines` are kept. */
void ix_advice_look(struct ix_advice *advice, const struct ix_totals *all, const struct ix_target *targets,
                    size_t target_count, char **text);
void ix_advice_deinit(struct ix_advice *advice);

#endif
