/* A snapshot as its difference to the one before: some hundred bytes a second for an idle group, a few KiB for a busy
 * one. Counters, trends and states travel by number; the names of the numbers stand once in the journal, so that
 * a reader with other ones finds its way. */
#ifndef IX_CONTROL_JOURNAL_SNAPSHOT_H
#define IX_CONTROL_JOURNAL_SNAPSHOT_H

#include "base/pack.h"
#include "control/snapshot.h"

/* What the numbers of a journal mean here; IX_NAMES_UNKNOWN: nothing. */
#define IX_NAMES_MAX     256
#define IX_NAMES_UNKNOWN 0xffff
struct ix_journal_names {
    uint16_t counters[IX_NAMES_MAX], trends[IX_NAMES_MAX], statuses[IX_NAMES_MAX];
};

/* Counters, trends and states of this program. */
void ix_journal_names_pack(struct ix_buf *out);
bool ix_journal_names_unpack(struct ix_journal_names *names, struct ix_reader *in);

/* Appends what changed since `before` (an initialised snapshot the first time) and makes it the same as `now`. */
void ix_journal_snapshot_pack(const struct ix_snapshot *now, struct ix_snapshot *before, struct ix_buf *out);
/* Applies a difference. false: damaged; the snapshot is then of no use. */
bool ix_journal_snapshot_unpack(struct ix_snapshot *snapshot, const struct ix_journal_names *names,
                                struct ix_reader *in);

#endif
