#include "generator/generator.h"

#include "generator/classes.h"

static const struct ix_generator_class *classes[IX_GEN_COUNT] = {
    [IX_GEN_RANDOM] = &ix_generator_random,     [IX_GEN_SEQUENCE] = &ix_generator_sequence,
    [IX_GEN_CONSTANT] = &ix_generator_constant, [IX_GEN_REPLAY] = &ix_generator_replay,
    [IX_GEN_STAMP] = &ix_generator_stamp,
};

void ix_generator_register(enum ix_generator_kind kind, const struct ix_generator_class *class)
{
    IX_REQUIRE((unsigned)kind < IX_GEN_COUNT);
    classes[kind] = class;
}

int ix_generator_open(struct ix_generator *g, const struct ix_generator_spec *spec,
                      const struct ix_model *model, struct ix_error *err)
{
    int rc;

    *g = (struct ix_generator){.class = classes[spec->kind], .spec = spec};
    if (!g->class)
        return ix_fail(err, -ENOTSUP, "generator \"%s\": nothing here runs generators of type %s",
                       spec->handler ? spec->handler : "", ix_generator_names[spec->kind]);
    rc = g->class->open(g, model, err);
    if (rc < 0)
        *g = (struct ix_generator){0};
    return rc;
}

void ix_generator_close(struct ix_generator *g)
{
    if (g->class)
        g->class->close(g);
    *g = (struct ix_generator){0};
}
