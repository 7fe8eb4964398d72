#include "control/result.h"

#include <stdlib.h>
#include <string.h>

const char *const ix_validity_names[] = {"valid", "degraded", "invalid"};

void ix_result_init(struct ix_result *result)
{
    memset(result, 0, sizeof(*result));
    result->limits = ix_default_limits;
    result->outcome = "passed";
    ix_snapshot_init(&result->final);
    ix_series_init(&result->series, 0);
    ix_checks_init(&result->checks);
}

void ix_result_deinit(struct ix_result *result)
{
    free(result->scenario);
    free(result->path);
    free(result->description);
    free(result->run_id);
    free(result->broker);
    json_decref(result->options);
    json_decref(result->tags);
    json_decref(result->settings);
    json_decref(result->command);
    json_decref(result->replay);
    json_decref(result->threshold_table);
    json_decref(result->host);
    free(result->version);
    free(result->early);
    json_decref(result->delivery);
    json_decref(result->delivery_look);
    json_decref(result->clocks);
    for (size_t i = 0; i < result->model_count; i++)
        free(result->models[i].id);
    free(result->models);
    ix_snapshot_deinit(&result->final);
    ix_series_deinit(&result->series);
    ix_checks_deinit(&result->checks);
    ix_thresholds_free(result->thresholds);
    free(result->dropouts);
    free(result->advice);
    free(result->error);
    free(result->validity_reasons);
    ix_result_init(result);
}

const char *ix_result_version(const struct ix_result *result)
{
    return result->version ? result->version : IX_VERSION;
}
