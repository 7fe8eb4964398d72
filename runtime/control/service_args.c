/* What requests bring, checked: every fault names its field. */
#include "control/service_internal.h"

#include "base/suggest.h"

static const char *text_in(const json_t *body, const char *key)
{
    return json_string_value(json_object_get(body, key));
}

int ix_service_check_text(const json_t *body, const char *key, size_t max, bool required,
                          struct ix_failure *failure)
{
    const json_t *value = json_object_get(body, key);
    const char *text = json_string_value(value);
    if (!value || json_is_null(value))
        return required ? ix_service_fail(failure, IX_FAILURE_INVALID, key, "%s is missing", key) : 0;
    if (!text || !text[0] || strlen(text) > max || !ix_id_is_plain(text, strlen(text)))
        return ix_service_fail(failure, IX_FAILURE_INVALID, key,
                               "%s must be a text of 1 to %zu letters, digits, \".\", \"_\" and \"-\"", key,
                               max);
    return 0;
}

static int check_connection(struct ix_service *service, const json_t *body, const char *model,
                            struct ix_failure *failure)
{
    json_t *connection = json_object_get(body, "overrideConnection");
    const struct model_entry *entry = ix_service_find_model(service, model);
    if (!connection || json_is_null(connection))
        return 0;
    if (!json_is_object(connection))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "overrideConnection",
                               "overrideConnection must be an object: fields of the model's connection");
    /* Whoever overrides did not write the model: the files beside it are not at their disposal. */
    const json_t *tls = json_object_get(connection, "tls");
    const char *ref = text_in(connection, "passwordRef");
    bool names_files = json_object_get(tls, "ca") || json_object_get(tls, "cert") ||
                       json_object_get(tls, "key") || (ref && strncmp(ref, "file:", 5) == 0);
    if (names_files && entry->folder)
        return ix_service_fail(failure, IX_FAILURE_INVALID, "overrideConnection",
                               "overrideConnection can't name files: give them in the model");
    return ix_service_check_overrides(service, entry, connection, failure);
}

int ix_service_check_model(struct ix_service *service, const json_t *body, struct ix_failure *failure)
{
    if (!json_is_object(body))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "", "the body must be an object");
    if (!json_object_get(body, "modelId"))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "modelId",
                               "modelId is missing: the id of a model");
    const char *model = text_in(body, "modelId");
    if (!model || !ix_service_find_model(service, model))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "modelId", "there is no model \"%.64s\"",
                               model ? model : "");
    return check_connection(service, body, model, failure);
}

int ix_service_check_fields(const json_t *body, const char *const *known, size_t count,
                            struct ix_failure *failure)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < count && !found; i++)
            found = strcmp(known[i], key) == 0;
        char suggestion[256];
        if (found)
            continue;
        ix_suggest_put(suggestion, sizeof suggestion, key, known, count);
        return ix_service_fail(failure, IX_FAILURE_INVALID, key, "\"%.64s\" is not known here%s", key,
                               suggestion);
    }
    return 0;
}

int ix_service_check_number(const json_t *body, const char *key, double max, double fallback, double *number,
                            struct ix_failure *failure)
{
    const json_t *value = json_object_get(body, key);
    *number = fallback;
    if (!value || json_is_null(value))
        return 0;
    *number = json_number_value(value);
    if (!json_is_number(value) || !(*number >= 0 && *number <= max))
        return ix_service_fail(failure, IX_FAILURE_INVALID, key, "%s must be a number from 0 to %.15g", key,
                               max);
    return 0;
}
