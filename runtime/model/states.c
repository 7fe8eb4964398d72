/* State machines: {"initial": S, "states": {S: {"after": ..., "when": [...], "telemetry": {...}, "enter":
 * [...]}}} */
#include "model/compile.h"

#include "base/suggest.h"

#include <stdlib.h>

struct machine {
    struct ix_compiler *c;
    const char **names;
    bool *reached;
    size_t count;
};

/* Marks the state as reached, or adds a fault. */
static void check_target(struct machine *m, const struct ix_object *o, const char *field)
{
    const char *to = ix_object_text(o, field);
    char hint[512];

    if (!to)
        return;
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->names[i], to) == 0) {
            m->reached[i] = true;
            return;
        }
    }
    ix_suggest_put(hint, sizeof(hint), to, m->names, m->count);
    ix_object_fault(o, field, "there is no state \"%.80s\"%s", to, hint);
}

static void check_state(struct machine *m, const json_t *json, const char *path)
{
    struct ix_compiler *c = m->c;
    struct ix_object o = ix_object_check(&c->check, &ix_table_state, json, path, 0);
    struct ix_template_names names = ix_compile_names(c);
    const json_t *after = ix_object_get(&o, "after"), *when = ix_object_get(&o, "when");
    char *inner;

    names.attributes = c->names;
    names.attribute_count = c->name_count;
    if (after) {
        struct ix_object a;

        inner = ix_object_path(&o, "after");
        a = ix_object_check(&c->check, &ix_table_after, after, inner, 0);
        check_target(m, &a, "to");
        free(inner);
    }
    for (size_t i = 0; i < json_array_size(when); i++) {
        struct ix_object w;

        inner = ix_asprintf("%s.when[%zu]", path, i);
        w = ix_object_check(&c->check, &ix_table_when, json_array_get(when, i), inner, 0);
        ix_expression_free(ix_compile_condition(c, &w));
        check_target(m, &w, "to");
        free(inner);
    }
    ix_check_changes(c, ix_object_get(&o, "telemetry"), path);
    inner = ix_object_path(&o, "enter");
    ix_check_actions(c, ix_object_get(&o, "enter"), inner, &names);
    free(inner);
}

void ix_check_states(struct ix_compiler *c, const struct ix_object *behavior)
{
    const json_t *states = ix_object_get(behavior, "states");
    struct machine m = {.c = c, .count = json_object_size(states)};
    const char *key;
    json_t *value;
    size_t i = 0;

    if (!states)
        return;
    if (m.count == 0) {
        ix_object_fault(behavior, "states", "must have at least one state");
        return;
    }
    m.names = ix_calloc(m.count, sizeof(m.names[0]));
    m.reached = ix_calloc(m.count, sizeof(m.reached[0]));
    json_object_foreach((json_t *)states, key, value)
    {
        m.names[i++] = key;
    }
    if (ix_object_has(behavior, "initial"))
        check_target(&m, behavior, "initial");
    else
        m.reached[0] = true;
    json_object_foreach((json_t *)states, key, value)
    {
        char *path = ix_asprintf("%s.states.%s", behavior->path, key);

        check_state(&m, value, path);
        free(path);
    }
    for (i = 0; i < m.count; i++) {
        char *path = ix_asprintf("%s.states.%s", behavior->path, m.names[i]);

        if (!m.reached[i])
            ix_faults_warn(c->check.faults, path, "no state leads here");
        free(path);
    }
    free(m.names);
    free(m.reached);
}
