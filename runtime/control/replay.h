/* Repeating an earlier run: what it was told, from its JSON report or its journal, and what is different now. */
#ifndef IX_CONTROL_REPLAY_H
#define IX_CONTROL_REPLAY_H

#include "control/result.h"

/* The run object of a JSON report (control/result.schema.json) with "iotix" (version) beside its fields; `name` is a
 * JSON report, or whatever ix_run_find knows. NULL on error. */
json_t *ix_replay_load(const char *data_dir, const char *name, struct ix_error *err);

/* Notes in result->replay, and logs, what is not as it was: version, scenario, settings, host. The result has its own
 * already. */
void ix_replay_compare(struct ix_result *result, const json_t *earlier);
/* The same for a model of the run; one that was not there says nothing. */
void ix_replay_compare_model(struct ix_result *result, const json_t *earlier, const char *id, uint64_t hash);

#endif
