/* Between the files of the model compiler. */
#ifndef IX_MODEL_COMPILE_H
#define IX_MODEL_COMPILE_H

#include "model/fields.h"
#include "model/json_scan.h"
#include "model/model.h"

struct ix_compiler {
    struct ix_check check;
    const struct ix_model_options *options;
    const struct ix_json_source *source; /* NULL: the document came as a tree */
    struct ix_model *model;
    const char **names; /* of attributes, by stream */
    json_t *seen;       /* those that were compiled already */
    size_t name_count;
    int depth; /* of inline children */
};

/* The names that templates may use outside of behaviours. */
struct ix_template_names ix_compile_names(const struct ix_compiler *c);

/* Compiles the template `name` of an object, or its default; NULL if absent or faulty. */
struct ix_template *ix_compile_template(struct ix_compiler *c, const struct ix_object *o, const char *name,
                                        const struct ix_template_names *names);
/* The same for something to publish to: no wildcards, at most 65,535 bytes. */
struct ix_template *ix_compile_topic(struct ix_compiler *c, const struct ix_object *o, const char *name,
                                     const struct ix_template_names *names);

void ix_compile_connection(struct ix_compiler *c, const json_t *json);
void ix_connection_deinit(struct ix_connection_spec *spec);

void ix_compile_telemetry(struct ix_compiler *c, const json_t *json);
void ix_attribute_deinit(struct ix_attribute *attribute);

void ix_compile_commands(struct ix_compiler *c, const json_t *json);
void ix_command_deinit(struct ix_command *command);

void ix_compile_behaviors(struct ix_compiler *c, const json_t *json);
void ix_behavior_deinit(struct ix_behavior *behavior);

/* Checks the members of a state machine. */
void ix_check_states(struct ix_compiler *c, const struct ix_object *behavior);
/* Checks one condition of a behaviour; NULL after a fault at the object's member "condition". */
struct ix_expression *ix_compile_condition(struct ix_compiler *c, const struct ix_object *o);
/* Checks an object of generator changes by attribute, the member "telemetry" of what is at `path`. */
void ix_check_changes(struct ix_compiler *c, const json_t *json, const char *path);
/* Checks an array of actions. */
void ix_check_actions(struct ix_compiler *c, const json_t *json, const char *path,
                      const struct ix_template_names *names);

/* Fills a spec from a generator's object. `precision` -1: not given. The spec must be released even after
 * faults. */
void ix_generator_spec_compile(struct ix_generator_spec *spec, const struct ix_object *o, enum ix_type type,
                               int precision, const struct ix_json_source *source);

/* "path[i]"; the caller frees it. */
char *ix_compile_item_path(const char *path, size_t i);

/* Adds a fault if the name is among those seen, and adds it to them (an object; NULL is no name). */
void ix_compile_unique(struct ix_compiler *c, const char *path, const char *name, const char *what,
                       json_t *seen);

#endif
