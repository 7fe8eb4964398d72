/* Values of options that several commands share. */
#ifndef IX_CLI_RUN_VALUES_H
#define IX_CLI_RUN_VALUES_H

#include "cli/options.h"

#include <jansson.h>

#define IX_WORKERS_OPTION_MAX 512

/* "name=value" of -e into {name: "value"}; NULL with a message. */
json_t *ix_values_settings(const struct ix_option_list *list, struct ix_error *err);
/* "5000/s", "300/m", "5k": connections a second. NULL text: 0, which is no limit. */
int ix_values_rate(const char *text, double *rate, struct ix_error *err);
/* A whole number below 2^64, decimal or 0x…; NULL text: nothing is stored. */
int ix_values_seed(const char *text, uint64_t *seed, struct ix_error *err);
/* "1GiB", at least 1 MiB; NULL text: nothing is stored. */
int ix_values_data_limit(const char *text, uint64_t *bytes, struct ix_error *err);
/* --observers and --late-after beside --observe. */
int ix_values_observe(const struct ix_option_list *filters, uint64_t observers, uint64_t late_after_ns,
                      struct ix_error *err);
int ix_values_workers(uint64_t workers, struct ix_error *err);

#endif
