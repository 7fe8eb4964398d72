#include "model/template.h"

#include "model/segments.h"

#include <stdlib.h>

struct ix_template {
    struct ix_segments segments;
};

struct ix_template *ix_template_compile(const char *text, const struct ix_template_names *names,
                                        struct ix_faults *faults, const char *path)
{
    struct ix_template *t = ix_calloc(1, sizeof(*t));

    if (ix_segments_parse(&t->segments, text, names, faults, path) == 0)
        return t;
    free(t);
    return NULL;
}

struct ix_template *ix_template_literal_new(const char *text)
{
    struct ix_template *t = ix_calloc(1, sizeof(*t));

    if (text[0]) {
        t->segments.items = ix_calloc(1, sizeof(t->segments.items[0]));
        t->segments.items[0] =
            (struct ix_segment){.kind = IX_S_TEXT, .text = ix_strdup(text), .len = strlen(text)};
        t->segments.count = 1;
    }
    return t;
}

void ix_template_free(struct ix_template *t)
{
    if (!t)
        return;
    ix_segments_deinit(&t->segments);
    free(t);
}

void ix_template_render(const struct ix_template *t, const struct ix_template_scope *scope,
                        struct ix_buf *out)
{
    for (size_t i = 0; i < t->segments.count; i++) {
        const struct ix_segment *segment = &t->segments.items[i];

        if (segment->kind == IX_S_TEXT) {
            ix_buf_put(out, segment->text, segment->len);
        } else {
            char room[32];
            struct ix_value value = ix_segment_value(segment, scope, room);

            ix_value_put_text(out, &value);
        }
    }
}

bool ix_template_is_per_device(const struct ix_template *t)
{
    for (size_t i = 0; i < t->segments.count; i++) {
        if (t->segments.items[i].kind == IX_S_DEVICE_ID || t->segments.items[i].kind == IX_S_INDEX)
            return true;
    }
    return false;
}

bool ix_template_uses_values(const struct ix_template *t)
{
    for (size_t i = 0; i < t->segments.count; i++) {
        if (t->segments.items[i].kind == IX_S_VALUE)
            return true;
    }
    return false;
}

const char *ix_template_literal(const struct ix_template *t)
{
    if (t->segments.count == 0)
        return "";
    return t->segments.count == 1 && t->segments.items[0].kind == IX_S_TEXT ? t->segments.items[0].text
                                                                            : NULL;
}

size_t ix_template_literal_len(const struct ix_template *t, const char *forbidden, bool *found)
{
    size_t len = 0;

    *found = false;
    for (size_t i = 0; i < t->segments.count; i++) {
        const struct ix_segment *segment = &t->segments.items[i];

        len += segment->len;
        if (segment->text && strpbrk(segment->text, forbidden))
            *found = true;
    }
    return len;
}
