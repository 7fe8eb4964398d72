/* Shared by the tests of models, templates and generators. Include after cmocka.h. */
#ifndef MODEL_HELPERS_H
#define MODEL_HELPERS_H

#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

/* All faults as "path: message" lines; warnings begin with "warning ". */
static inline char *fault_text(const struct ix_faults *faults)
{
    struct ix_buf text;

    ix_buf_init(&text, 1 << 20);
    ix_buf_str(&text, "");
    for (size_t i = 0; i < faults->count; i++)
        ix_buf_printf(&text, "%s%s: %s\n", faults->items[i].warning ? "warning " : "", faults->items[i].path,
                      faults->items[i].message);
    char *copy = ix_strdup(ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return copy;
}

/* A model that must compile; warnings are allowed. */
static inline struct ix_model *must_compile(const char *text, const struct ix_model_options *options)
{
    struct ix_faults faults;

    ix_faults_init(&faults);
    struct ix_model *model = ix_model_parse(text, strlen(text), options, &faults);
    if (!model) {
        char *list = fault_text(&faults);
        print_error("%s\n", list);
        free(list);
    }
    ix_faults_deinit(&faults);
    assert_non_null(model);
    return model;
}

/* A sensor with one attribute x. */
static inline char *sensor(const char *type, const char *generator)
{
    return ix_asprintf("{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"telemetry\":"
                       "[{\"name\":\"x\",\"type\":\"%s\",\"generator\":%s}]}",
                       type, generator);
}

#endif
