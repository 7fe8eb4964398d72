/* Text with placeholders: topics, client ids, payloads.
 *
 * Both spellings are read: ${deviceId} and {deviceId}. Known names: deviceId modelId groupId index
 * index+N (counts from N) timestamp metadata.NAME env.NAME, the telemetry attributes where a scope offers
 * values, and the extra names of the place where the template stands (e.g. command parameters). metadata and
 * env are resolved when compiled. An unknown name inside ${...} is a fault with a suggestion; inside plain
 * braces it stays literal text. "$${" stands for the characters "${". Where names meet, the own names above
 * win, then extra names, then attributes. */
#ifndef IX_MODEL_TEMPLATE_H
#define IX_MODEL_TEMPLATE_H

#include "model/faults.h"
#include "model/value.h"

#include <jansson.h>

struct ix_template;

/* What a template may refer to when compiled. */
struct ix_template_names {
    const json_t *metadata;        /* object or NULL */
    const char *const *attributes; /* names in stream order; NULL: values are not allowed here */
    size_t attribute_count;
    const char *const *extra; /* further names */
    size_t extra_count;
    const char *const *allowed_env; /* names allowed by --allow-env */
    size_t allowed_env_count;
};

/* What it is filled from when rendered. */
struct ix_template_scope {
    const char *device_id;
    size_t device_id_len;
    const char *model_id;
    const char *group_id;
    uint64_t index;
    int64_t wall_ns; /* for ${timestamp} */
    /* The last value of attribute `place`, or of extra name `place`; false while there is none (null). */
    bool (*value)(void *context, size_t place, struct ix_value *out);
    bool (*extra)(void *context, size_t place, struct ix_value *out);
    void *context;
};

/* NULL after adding faults at `path`. */
struct ix_template *ix_template_compile(const char *text, const struct ix_template_names *names,
                                        struct ix_faults *faults, const char *path);
void ix_template_free(struct ix_template *t);
/* A template of plain characters, whatever they are (secrets). */
struct ix_template *ix_template_literal_new(const char *text);

/* Appends the text; placeholders without a value render as "null". */
void ix_template_render(const struct ix_template *t, const struct ix_template_scope *scope,
                        struct ix_buf *out);

/* True if the text depends on the device (deviceId or index occur). */
bool ix_template_is_per_device(const struct ix_template *t);
/* True if the last value of a telemetry attribute occurs. */
bool ix_template_uses_values(const struct ix_template *t);
/* The literal text if the template has no placeholder at all, else NULL. */
const char *ix_template_literal(const struct ix_template *t);
/* Bytes of the literal parts together; *found: one of them has a character of `forbidden`. */
size_t ix_template_literal_len(const struct ix_template *t, const char *forbidden, bool *found);

/* A JSON value with templates in its strings. A string that is exactly one placeholder takes the type of
 * its value: {"value": "${cpuUsage}"} gives {"value": 93.2}. Object keys are literal and keep their order. */
struct ix_json_template;
struct ix_json_template *ix_json_template_compile(const json_t *json, const struct ix_template_names *names,
                                                  struct ix_faults *faults, const char *path);
void ix_json_template_free(struct ix_json_template *t);
bool ix_json_template_uses_values(const struct ix_json_template *t);
void ix_json_template_render(const struct ix_json_template *t, const struct ix_template_scope *scope,
                             struct ix_buf *out);

/* Ids of models, groups and devices are plain: letters, digits, ".", "_" and "-". */
#define IX_ID_MAX        63  /* bytes of a model's or group's id */
#define IX_DEVICE_ID_MAX 160 /* bytes of a device's id */
bool ix_id_is_plain(const char *text, size_t len);

/* Device ids of a group: "temp-sensor-{index}", default "{groupId}-{index}". The index occurs exactly once,
 * so that an id leads back to its index without a map. */
struct ix_id_pattern {
    char *prefix;
    char *suffix;
    size_t prefix_len;
    size_t suffix_len;
};
int ix_id_pattern_compile(struct ix_id_pattern *pattern, const char *text, const char *group_id,
                          struct ix_error *err);
void ix_id_pattern_deinit(struct ix_id_pattern *pattern);
void ix_id_pattern_render(const struct ix_id_pattern *pattern, uint64_t index, struct ix_buf *out);
/* false if `id` is not of this pattern (leading zeros and overflow included). */
bool ix_id_pattern_invert(const struct ix_id_pattern *pattern, const char *id, size_t len, uint64_t *index);
/* True if some id could belong to both (then the second group is refused). */
bool ix_id_pattern_collides(const struct ix_id_pattern *a, const struct ix_id_pattern *b);

#endif
