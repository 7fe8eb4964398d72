/* Reading the arguments of operations, shared by the files ops*.c. */
#ifndef IX_CONTROL_OPS_H
#define IX_CONTROL_OPS_H

#include "control/run_internal.h"

/* An operation: 0 and *result, IX_HOST_LATER, or < 0. */
typedef int ix_operation(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err);

/* NULL if the key is absent or no text. */
const char *ix_arg_text(const json_t *args, const char *key);
int ix_arg_need_text(const json_t *args, const char *key, const char **text, struct ix_error *err);
/* A whole number ≥ 0; `missing` if the key is absent. */
int ix_arg_number(const json_t *args, const char *key, uint64_t missing, uint64_t *out, struct ix_error *err);
/* Milliseconds as ns. */
uint64_t ix_arg_ms(const json_t *args, const char *key, uint64_t missing_ms);
/* A packed function in base64 → bytes that the caller frees; NULL and length 0 if there is none. */
int ix_arg_function(const json_t *args, const char *key, char **data, size_t *len, struct ix_error *err);

ix_operation ix_op_group_create, ix_op_group_launch, ix_op_group_stop, ix_op_group_dropout,
    ix_op_dropout_status, ix_op_dropout_cancel, ix_op_group_counts, ix_op_group_set, ix_op_group_each,
    ix_op_device_start, ix_op_device_stop, ix_op_device_status, ix_op_device_do, ix_op_device_command;
ix_operation ix_op_metric_get, ix_op_metric_add, ix_op_check_add, ix_op_event_add, ix_op_subscribe_open,
    ix_op_subscribe_stats, ix_op_observe_open, ix_op_subscribe_close, ix_op_http_request;

#endif
