/* Finding device models by id, by path or in place, and applying connection overrides to them. */
#ifndef IX_CONTROL_MODELS_H
#define IX_CONTROL_MODELS_H

#include "model/model.h"

struct ix_models_config {
    const char *scenario_folder; /* looked at first, with its `models` and `../models`; NULL: none */
    const char *const *allowed_env;
    size_t allowed_env_count;
    bool lenient; /* unknown keys are warnings (REST) */
    /* Where a gateway's children are found by id; NULL: where ids are found. With it, nothing is looked for among
     * files, and paths are refused. The text is borrowed. */
    const char *(*find_child)(void *context, const char *id, size_t *len);
    void *context;
};

struct ix_found_model {
    char *id;
    char *text;   /* JSON, overrides applied */
    char *folder; /* of its file; "embedded:" for shipped ones; NULL for models given in place */
    struct ix_model *model;
};

/* `reference`: a string (path if it has a '/' or ends in .json, else an id) or a whole model object.
 * `connection`: overrides merged into the model's connection, or NULL. Places for ids: DEVICE_MODEL_PATH,
 * the scenario's folder, ./models, /app/device-models, the installed share/iotix/models, the binary. */
int ix_models_find(const struct ix_models_config *config, const json_t *reference, const json_t *connection,
                   struct ix_found_model *found, struct ix_error *err);
/* A model whose text is at hand. `folder`: of its files; NULL: none, as for those that come over REST, which then may
 * name files in the data folders only. `shown` names it in messages. Errors are in `faults`, too, and warnings. */
int ix_models_compile(const struct ix_models_config *config, const char *text, size_t len, const char *folder,
                      const char *shown, const json_t *connection, struct ix_faults *faults,
                      struct ix_found_model *found, struct ix_error *err);
void ix_found_model_deinit(struct ix_found_model *found);

#endif
