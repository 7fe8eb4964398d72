/* The frames of a run's journal; what each holds is packed by journal_fields.h and journal_snapshot.h. */
#ifndef IX_CONTROL_JOURNAL_FRAMES_H
#define IX_CONTROL_JOURNAL_FRAMES_H

#include "control/journal_fields.h"
#include "control/journal_file.h"

enum ix_journal_frame {
    IX_J_NAMES = 1, /* numbers of counters, trends, states */
    IX_J_FACTS,     /* fields of the result; a later one replaces what it names */
    IX_J_MODEL,     /* fields of one model; behind the earlier ones */
    IX_J_EVENT,     /* fields of one event; likewise */
    IX_J_CHECK,     /* var place, fields of one check: new, or changed */
    IX_J_DROPOUT,   /* var place, fields of one dropout: new, or what changed */
    IX_J_SNAPSHOT, /* u8 enum ix_journal_tick, bytes: changed figures of the result, difference of the snapshot */
    IX_J_END,      /* fields of the result's end and verdict */
    IX_J_LOOK,     /* JSON: the last look at the open delivery ledger; replaces the earlier one */
};

/* What END holds besides the fields of the result. */
struct ix_journal_verdict {
    uint64_t preset;    /* enum ix_exit of an error that ended the run, or 0 */
    uint64_t exit_code; /* for lists; a report judges anew */
    char *outcome;
    double seconds;
    /* Of a journal that became coarser: what can't be judged anew from it. */
    uint64_t level; /* how often it did; 0: the rest is not there */
    uint64_t validity;
    uint64_t was_slow;
    char *reasons;
    json_t *thresholds; /* [{evaluated, passed, reason}] in their order */
};
void ix_journal_verdict_deinit(struct ix_journal_verdict *verdict);
extern const struct ix_field ix_journal_verdict_fields[];

#endif
