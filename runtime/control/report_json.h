/* Parts of a result as JSON, shared by the formats json and ndjson. Each is a new reference. */
#ifndef IX_CONTROL_REPORT_JSON_H
#define IX_CONTROL_REPORT_JSON_H

#include "control/report.h"

json_t *ix_json_run(const struct ix_result *result);
json_t *ix_json_verdict(const struct ix_result *result);
json_t *ix_json_check(const struct ix_check *check);
json_t *ix_json_threshold(const struct ix_threshold *threshold);
/* `observed`: with what observers measured. */
json_t *ix_json_totals(const struct ix_totals *totals, bool observed);
json_t *ix_json_latency(const struct ix_snapshot *snapshot);
json_t *ix_json_custom(const struct ix_custom_totals *custom);
json_t *ix_json_dropout(const struct ix_dropout_result *dropout);
json_t *ix_json_point(const struct ix_point *point);
json_t *ix_json_event(const struct ix_event *event);

#endif
