/* A JSON template is a list of pieces in the order of the text: finished JSON, a placeholder as a JSON value,
 * or a placeholder inside a string. Rendering walks the list once and allocates nothing of its own. */
#include "model/template.h"

#include "base/text.h"
#include "model/json_scan.h"
#include "model/segments.h"

#include <stdlib.h>

#define JSON_MAX (16u << 20)

struct piece {
    struct ix_segment segment; /* IX_S_TEXT: finished JSON text */
    bool inside_string;
};

struct ix_json_template {
    struct piece *pieces;
    size_t count;
};

struct builder {
    struct ix_json_template *t;
    const struct ix_template_names *names;
    struct ix_faults *faults;
    struct ix_buf literal;
    bool failed;
};

static void push(struct builder *b, struct piece piece)
{
    b->t->pieces = ix_realloc(b->t->pieces, (b->t->count + 1) * sizeof(b->t->pieces[0]));
    b->t->pieces[b->t->count++] = piece;
}

static void flush_literal(struct builder *b)
{
    if (b->literal.len == 0)
        return;
    push(b, (struct piece){.segment = {.kind = IX_S_TEXT,
                                       .text = ix_strndup(b->literal.data, b->literal.len),
                                       .len = b->literal.len}});
    ix_buf_clear(&b->literal);
}

/* The characters of a JSON string without its quotes. */
static void put_escaped(struct ix_buf *out, const char *text, size_t len)
{
    size_t start = out->len;

    ix_text_json_string(out, text, len);
    if (out->overflow || out->len < start + 2)
        return;
    memmove(out->data + start, out->data + start + 1, out->len - start - 2);
    out->len -= 2;
    out->data[out->len] = '\0';
}

static void add_string(struct builder *b, const char *text, const char *path)
{
    struct ix_segments segments;

    if (ix_segments_parse(&segments, text, b->names, b->faults, path) < 0) {
        b->failed = true;
        return;
    }
    if (segments.only_metadata) {
        ix_json_put(&b->literal, segments.only_metadata, NULL);
    } else if (segments.count == 1 && segments.items[0].kind != IX_S_TEXT) {
        flush_literal(b);
        push(b, (struct piece){.segment = segments.items[0]});
    } else {
        ix_buf_char(&b->literal, '"');
        for (size_t i = 0; i < segments.count; i++) {
            if (segments.items[i].kind == IX_S_TEXT) {
                put_escaped(&b->literal, segments.items[i].text, segments.items[i].len);
            } else {
                flush_literal(b);
                push(b, (struct piece){.segment = segments.items[i], .inside_string = true});
            }
        }
        ix_buf_char(&b->literal, '"');
    }
    ix_segments_deinit(&segments);
}

static void add(struct builder *b, const json_t *json, const char *path);

static void add_object(struct builder *b, const json_t *json, const char *path)
{
    const char *key;
    json_t *value;
    bool first = true;

    ix_buf_char(&b->literal, '{');
    json_object_foreach((json_t *)json, key, value)
    {
        char *inner = ix_asprintf("%s.%s", path, key);

        if (!first)
            ix_buf_char(&b->literal, ',');
        first = false;
        ix_text_json_string(&b->literal, key, strlen(key));
        ix_buf_char(&b->literal, ':');
        add(b, value, inner);
        free(inner);
    }
    ix_buf_char(&b->literal, '}');
}

static void add_array(struct builder *b, const json_t *json, const char *path)
{
    ix_buf_char(&b->literal, '[');
    for (size_t i = 0; i < json_array_size(json); i++) {
        char *inner = ix_asprintf("%s[%zu]", path, i);

        if (i > 0)
            ix_buf_char(&b->literal, ',');
        add(b, json_array_get(json, i), inner);
        free(inner);
    }
    ix_buf_char(&b->literal, ']');
}

static void add(struct builder *b, const json_t *json, const char *path)
{
    if (json_is_object(json))
        add_object(b, json, path);
    else if (json_is_array(json))
        add_array(b, json, path);
    else if (json_is_string(json))
        add_string(b, json_string_value(json), path);
    else
        ix_json_put(&b->literal, json, NULL);
}

struct ix_json_template *ix_json_template_compile(const json_t *json, const struct ix_template_names *names,
                                                  struct ix_faults *faults, const char *path)
{
    struct builder b = {.t = ix_calloc(1, sizeof(*b.t)), .names = names, .faults = faults};

    ix_buf_init(&b.literal, JSON_MAX);
    add(&b, json, path);
    if (b.literal.overflow) {
        ix_faults_add(faults, path, "the JSON text is longer than %u bytes", JSON_MAX);
        b.failed = true;
    }
    flush_literal(&b);
    ix_buf_deinit(&b.literal);
    if (!b.failed)
        return b.t;
    ix_json_template_free(b.t);
    return NULL;
}

void ix_json_template_free(struct ix_json_template *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->pieces[i].segment.text);
    free(t->pieces);
    free(t);
}

bool ix_json_template_uses_values(const struct ix_json_template *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->pieces[i].segment.kind == IX_S_VALUE)
            return true;
    }
    return false;
}

void ix_json_template_render(const struct ix_json_template *t, const struct ix_template_scope *scope,
                             struct ix_buf *out)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct piece *piece = &t->pieces[i];
        char room[32];
        struct ix_value value;

        if (piece->segment.kind == IX_S_TEXT) {
            ix_buf_put(out, piece->segment.text, piece->segment.len);
            continue;
        }
        value = ix_segment_value(&piece->segment, scope, room);
        if (!piece->inside_string)
            ix_value_put_json(out, &value);
        else if (value.kind == IX_V_STRING || value.kind == IX_V_JSON)
            put_escaped(out, value.text.data, value.text.len);
        else
            ix_value_put_text(out, &value);
    }
}
