/* Everything that is wrong with a JSON document, each fault with its place, so that one look mends all. */
#ifndef IX_MODEL_FAULTS_H
#define IX_MODEL_FAULTS_H

#include "base/error.h"

/* A document of nothing but faults must not fill the memory, and nobody reads more. */
#define IX_FAULTS_MAX 200

struct ix_fault {
    char *path; /* "telemetry[2].generator.min"; "" for the document */
    char *message;
    bool warning;
};

struct ix_faults {
    struct ix_fault *items;
    size_t count;
    size_t errors; /* those that are not warnings */
};

void ix_faults_init(struct ix_faults *faults);
void ix_faults_deinit(struct ix_faults *faults);
void ix_faults_add(struct ix_faults *faults, const char *path, const char *format, ...) IX_PRINTF(3, 4);
void ix_faults_warn(struct ix_faults *faults, const char *path, const char *format, ...) IX_PRINTF(3, 4);

/* All errors as one paragraph: "models/x.json: 2 faults\n  telemetry[0].generator.min: ...\n  ...".
 * Returns -EINVAL, or 0 when there is no error. */
int ix_faults_fail(const struct ix_faults *faults, const char *document, struct ix_error *err);

#endif
