#include "model/segments.h"

#include "base/suggest.h"
#include "base/text.h"
#include "model/json_scan.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const own_names[] = {"deviceId", "modelId", "groupId", "index", "timestamp"};
static const enum ix_segment_kind own_kinds[] = {IX_S_DEVICE_ID, IX_S_MODEL_ID, IX_S_GROUP_ID, IX_S_INDEX,
                                                 IX_S_TIMESTAMP};

#define NAME_MAX_LEN 128
#define LOOKED_MAX   256 /* members of metadata that a message may suggest */
#define TEXT_MAX     (1u << 20)
#define SHIFT_DIGITS 15

struct parser {
    struct ix_segments *segments;
    const struct ix_template_names *names;
    struct ix_faults *faults;
    const char *path;
    struct ix_buf literal;
    bool failed;
};

static void push(struct parser *p, enum ix_segment_kind kind, size_t place)
{
    struct ix_segments *s = p->segments;
    struct ix_segment segment = {.kind = kind, .place = place};

    if (kind == IX_S_TEXT) {
        segment.text = ix_strndup(ix_buf_cstr(&p->literal), p->literal.len);
        segment.len = p->literal.len;
        ix_buf_clear(&p->literal);
    } else if (p->literal.len > 0) {
        push(p, IX_S_TEXT, 0);
    }
    s->items = ix_realloc(s->items, (s->count + 1) * sizeof(s->items[0]));
    s->items[s->count++] = segment;
}

/* metadata.a.b: members of members. */
static const json_t *find_metadata(const json_t *json, const char *name)
{
    char key[NAME_MAX_LEN + 1];

    while (json) {
        const char *dot = strchr(name, '.');
        const json_t *whole = json_object_get(json, name);

        if (whole || !dot)
            return whole;
        snprintf(key, sizeof(key), "%.*s", (int)(dot - name), name);
        json = json_object_get(json, key);
        name = dot + 1;
    }
    return NULL;
}

static void put_metadata(struct ix_buf *out, const json_t *value)
{
    if (json_is_string(value))
        ix_buf_put(out, json_string_value(value), json_string_length(value));
    else
        ix_json_put(out, value, NULL);
}

static bool index_of(const char *const *names, size_t count, const char *name, size_t *place)
{
    for (size_t i = 0; names && i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            *place = i;
            return true;
        }
    }
    return false;
}

static void take_environment(struct parser *p, const char *name)
{
    size_t place;
    const char *value;

    if (!index_of(p->names->allowed_env, p->names->allowed_env_count, name, &place)) {
        ix_faults_add(p->faults, p->path,
                      "the environment variable %s may not be read; allow it with --allow-env %s", name,
                      name);
        p->failed = true;
        return;
    }
    value = getenv(name);
    if (!value) {
        ix_faults_add(p->faults, p->path, "the environment variable %s is not set", name);
        p->failed = true;
        return;
    }
    ix_buf_str(&p->literal, value);
}

/* "index+100": numbering that begins elsewhere. */
static bool shifted_index(const char *name, size_t *shift)
{
    const char *digits = name + strlen("index+");

    if (strncmp(name, "index+", strlen("index+")) != 0 || !digits[0] ||
        digits[strspn(digits, "0123456789")] || strlen(digits) > SHIFT_DIGITS)
        return false;
    *shift = (size_t)strtoull(digits, NULL, 10);
    return true;
}

/* True if `name` is known here; pushes it, or appends what it stands for. */
static bool take(struct parser *p, const char *name, bool whole)
{
    size_t place;

    if (index_of(own_names, IX_ARRAY_LEN(own_names), name, &place)) {
        push(p, own_kinds[place], 0);
        return true;
    }
    if (shifted_index(name, &place)) {
        push(p, IX_S_INDEX, place);
        return true;
    }
    if (index_of(p->names->extra, p->names->extra_count, name, &place)) {
        push(p, IX_S_EXTRA, place);
        return true;
    }
    if (index_of(p->names->attributes, p->names->attribute_count, name, &place)) {
        push(p, IX_S_VALUE, place);
        return true;
    }
    if (strncmp(name, "env.", 4) == 0) {
        take_environment(p, name + 4);
        return true;
    }
    if (strncmp(name, "metadata.", 9) == 0) {
        const json_t *value = find_metadata(p->names->metadata, name + 9);

        if (!value)
            return false;
        if (whole)
            p->segments->only_metadata = value;
        put_metadata(&p->literal, value);
        return true;
    }
    return false;
}

static void unknown_name(struct parser *p, const char *name)
{
    const struct ix_template_names *names = p->names;
    size_t metadata = names->metadata ? json_object_size(names->metadata) : 0;
    size_t count = 0;

    p->failed = true;
    if (p->faults->count >= IX_FAULTS_MAX) { /* nobody reads it */
        p->faults->errors++;
        return;
    }
    const char **known =
        ix_calloc(IX_ARRAY_LEN(own_names) + names->extra_count + names->attribute_count + metadata + 1,
                  sizeof(known[0]));
    char **full = ix_calloc(metadata + 1, sizeof(full[0]));
    size_t full_count = 0;
    char hint[512];
    const char *key;
    json_t *value;

    for (size_t i = 0; i < IX_ARRAY_LEN(own_names); i++)
        known[count++] = own_names[i];
    for (size_t i = 0; i < names->extra_count; i++)
        known[count++] = names->extra[i];
    for (size_t i = 0; names->attributes && i < names->attribute_count; i++)
        known[count++] = names->attributes[i];
    if (metadata > 0) {
        json_object_foreach((json_t *)names->metadata, key, value)
        {
            if (full_count == LOOKED_MAX)
                break;
            full[full_count] = ix_asprintf("metadata.%s", key);
            known[count++] = full[full_count++];
        }
    }
    ix_suggest_put(hint, sizeof(hint), name, known, count);
    ix_faults_add(p->faults, p->path, "unknown placeholder ${%s}%s", name, hint);
    for (size_t i = 0; i < full_count; i++)
        free(full[i]);
    free(full);
    free(known);
}

/* A placeholder at `at` ("${" or "{"): returns what follows it, or NULL if these are plain characters. */
static const char *placeholder(struct parser *p, const char *start, const char *at)
{
    bool dollar = *at == '$';
    const char *name = at + (dollar ? 2 : 1);
    const char *end = strchr(name, '}');
    char copy[NAME_MAX_LEN + 1];

    if (dollar && !end) {
        ix_faults_add(p->faults, p->path, "the placeholder \"%.40s\" has no closing brace", at);
        p->failed = true;
        return at + strlen(at);
    }
    if (!end || end == name || end - name > NAME_MAX_LEN) {
        if (!dollar)
            return NULL;
        ix_faults_add(p->faults, p->path, "a placeholder needs a name of 1 to %d bytes: ${deviceId}",
                      NAME_MAX_LEN);
        p->failed = true;
        return end + 1;
    }
    snprintf(copy, sizeof(copy), "%.*s", (int)(end - name), name);
    if (take(p, copy, at == start && end[1] == '\0'))
        return end + 1;
    if (!dollar)
        return NULL;
    unknown_name(p, copy);
    return end + 1;
}

int ix_segments_parse(struct ix_segments *segments, const char *text, const struct ix_template_names *names,
                      struct ix_faults *faults, const char *path)
{
    static const struct ix_template_names none;
    struct parser p = {.segments = segments, .names = names ? names : &none, .faults = faults, .path = path};
    const char *at = text;

    *segments = (struct ix_segments){0};
    ix_buf_init(&p.literal, TEXT_MAX);
    while (*at) {
        const char *next = NULL;

        if (at[0] == '$' && at[1] == '$' && at[2] == '{') { /* "$${" stands for "${" */
            ix_buf_put(&p.literal, "${", 2);
            at += 3;
            continue;
        }
        if (*at == '{' || (at[0] == '$' && at[1] == '{'))
            next = placeholder(&p, text, at);
        if (next) {
            at = next;
        } else {
            ix_buf_char(&p.literal, *at++);
        }
    }
    if (p.literal.overflow) {
        ix_faults_add(faults, path, "the text is longer than %u bytes", TEXT_MAX);
        p.failed = true;
    }
    if (p.literal.len > 0)
        push(&p, IX_S_TEXT, 0);
    ix_buf_deinit(&p.literal);
    if (!p.failed)
        return 0;
    ix_segments_deinit(segments);
    return -EINVAL;
}

void ix_segments_deinit(struct ix_segments *segments)
{
    for (size_t i = 0; i < segments->count; i++)
        free(segments->items[i].text);
    free(segments->items);
    *segments = (struct ix_segments){0};
}

static struct ix_value text_value(const char *text, size_t len)
{
    return (struct ix_value){.kind = text ? IX_V_STRING : IX_V_NONE, .text = {text, len}};
}

struct ix_value ix_segment_value(const struct ix_segment *segment, const struct ix_template_scope *scope,
                                 char room[static 32])
{
    struct ix_value value = {.kind = IX_V_NONE};

    switch (segment->kind) {
    case IX_S_TEXT:
        return text_value(segment->text, segment->len);
    case IX_S_DEVICE_ID:
        return text_value(scope->device_id, scope->device_id_len);
    case IX_S_MODEL_ID:
        return text_value(scope->model_id, scope->model_id ? strlen(scope->model_id) : 0);
    case IX_S_GROUP_ID:
        return text_value(scope->group_id, scope->group_id ? strlen(scope->group_id) : 0);
    case IX_S_INDEX:
        return (struct ix_value){.kind = IX_V_INTEGER, .integer = (int64_t)(scope->index + segment->place)};
    case IX_S_TIMESTAMP:
        ix_text_iso8601(room, scope->wall_ns);
        return text_value(room, IX_ISO8601_LEN);
    case IX_S_VALUE:
        if (!scope->value || !scope->value(scope->context, segment->place, &value))
            value.kind = IX_V_NONE;
        return value;
    case IX_S_EXTRA:
        if (!scope->extra || !scope->extra(scope->context, segment->place, &value))
            value.kind = IX_V_NONE;
        return value;
    }
    return value;
}
