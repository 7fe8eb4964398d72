/* A model of one attribute, and the faults that a document must have. */
#ifndef IX_TESTS_MODEL_FAULTS_H
#define IX_TESTS_MODEL_FAULTS_H

#include "check.h"
#include "model_helpers.h"

#define HEAD "\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\""
#define X    "\"telemetry\":[{\"name\":\"x\",\"type\":\"number\",\"generator\":{\"type\":\"random\"}}]"

/* The faults of a document contain every expected line, and as many errors as told. */
static inline void check_faults(const char *text, size_t errors, const char *const *expected)
{
    struct ix_faults faults;

    ix_faults_init(&faults);
    struct ix_model *model = ix_model_parse(text, strlen(text), NULL, &faults);
    char *list = fault_text(&faults);
    for (size_t i = 0; expected[i]; i++) {
        if (!strstr(list, expected[i]))
            fail_msg("expected \"%s\" for %s in:\n%s", expected[i], text, list);
    }
    if (faults.errors != errors)
        fail_msg("expected %zu errors for %s in:\n%s", errors, text, list);
    assert_int_equal(model == NULL, errors > 0);
    ix_model_free(model);
    free(list);
    ix_faults_deinit(&faults);
}

#define FAULTS(text, errors, ...) check_faults(text, errors, (const char *const[]){__VA_ARGS__, NULL})

#endif
