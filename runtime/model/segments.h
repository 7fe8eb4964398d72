/* The pieces of a text with placeholders; shared by text templates and JSON templates. */
#ifndef IX_MODEL_SEGMENTS_H
#define IX_MODEL_SEGMENTS_H

#include "model/template.h"

enum ix_segment_kind {
    IX_S_TEXT, /* literal */
    IX_S_DEVICE_ID,
    IX_S_MODEL_ID,
    IX_S_GROUP_ID,
    IX_S_INDEX, /* `place` is added to it */
    IX_S_TIMESTAMP,
    IX_S_VALUE, /* telemetry attribute `place` */
    IX_S_EXTRA, /* extra name `place` */
};

struct ix_segment {
    enum ix_segment_kind kind;
    size_t place;
    char *text; /* IX_S_TEXT: characters, NUL-terminated; owned */
    size_t len;
};

struct ix_segments {
    struct ix_segment *items;
    size_t count;
    /* The whole text is one ${metadata.x}: its value, borrowed from the names. */
    const json_t *only_metadata;
};

/* Literal neighbours are joined. -EINVAL after adding faults at `path`. */
int ix_segments_parse(struct ix_segments *segments, const char *text, const struct ix_template_names *names,
                      struct ix_faults *faults, const char *path);
void ix_segments_deinit(struct ix_segments *segments);

/* The value of a placeholder (not of IX_S_TEXT); IX_V_NONE while there is none. `room` holds a timestamp. */
struct ix_value ix_segment_value(const struct ix_segment *segment, const struct ix_template_scope *scope,
                                 char room[static 32]);

#endif
