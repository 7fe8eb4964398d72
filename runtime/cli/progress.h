/* Progress of a run on stderr: one redrawn line on a terminal, one plain line per interval otherwise. */
#ifndef IX_CLI_PROGRESS_H
#define IX_CLI_PROGRESS_H

#include "control/run.h"

struct ix_progress {
    bool terminal;
    bool drawn; /* a line stands there that the next one replaces */
};

void ix_progress_init(struct ix_progress *progress);
/* For struct ix_run_config. */
void ix_progress_show(void *context, const struct ix_result *result, const struct ix_snapshot *snapshot,
                      const struct ix_point *point);
void ix_progress_finish(void *context);

#endif
