/* Validation of one JSON object against its table of fields. */
#include "model/fields.h"

#include "base/suggest.h"
#include "base/text.h"
#include "model/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct ix_field *find_in(const struct ix_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct ix_field *f = &table->fields[i];

        if (strcmp(f->name, name) == 0 || (f->alias && strcmp(f->alias, name) == 0))
            return f;
    }
    return NULL;
}

const struct ix_field *ix_table_find(const struct ix_table *table, const char *name)
{
    const struct ix_field *f = find_in(table, name);

    return f || !table->also ? f : find_in(table->also, name);
}

bool ix_table_borrows(const struct ix_table *table, const struct ix_field *field)
{
    return table->also && field >= table->also->fields && field < table->also->fields + table->also->count;
}

static bool applies(const struct ix_object *o, const struct ix_field *f)
{
    unsigned bits = ix_table_borrows(o->table, f) ? o->table->also_applies : f->applies;

    return bits == 0 || (bits & o->variant) != 0;
}

static char *member_path(const struct ix_object *o, const char *key)
{
    return o->path[0] ? ix_asprintf("%s.%s", o->path, key) : ix_strdup(key);
}

static const char *json_kind(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

static void put_expected(const struct ix_field *f, char *out, size_t size)
{
    static const struct {
        unsigned bit;
        const char *text;
    } kinds[] = {{IX_A_TEXT, "a string"},         {IX_A_INTEGER, "an integer"}, {IX_A_NUMBER, "a number"},
                 {IX_A_BOOLEAN, "true or false"}, {IX_A_FALSE, "false"},        {IX_A_OBJECT, "an object"},
                 {IX_A_ARRAY, "an array"}};
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < IX_ARRAY_LEN(kinds); i++) {
        if (f->accept & kinds[i].bit)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " or " : "", kinds[i].text);
    }
}

static bool is_integer(const json_t *json)
{
    double value = json_real_value(json);

    return json_is_integer(json) || (json_is_real(json) && value == floor(value) && fabs(value) < 0x1p63);
}

static bool accepts(const struct ix_field *f, const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return f->accept & (IX_A_OBJECT | IX_A_ANY);
    case JSON_ARRAY:
        return f->accept & (IX_A_ARRAY | IX_A_ANY);
    case JSON_STRING:
        return f->accept & (IX_A_TEXT | IX_A_ANY);
    case JSON_INTEGER:
    case JSON_REAL:
        return f->accept & (IX_A_NUMBER | IX_A_ANY) || (f->accept & IX_A_INTEGER && is_integer(json));
    case JSON_NULL:
        return f->accept & IX_A_ANY;
    case JSON_FALSE:
        return f->accept & (IX_A_BOOLEAN | IX_A_FALSE | IX_A_ANY);
    default:
        return f->accept & (IX_A_BOOLEAN | IX_A_ANY);
    }
}

static bool check_number(struct ix_check *check, const struct ix_field *f, const json_t *json,
                         const char *path)
{
    double value = json_number_value(json);
    struct ix_buf text;

    if (f->accept & IX_A_ANY || (f->min == 0 && f->max == 0) || (value >= f->min && value <= f->max) ||
        (f->zero && value == 0))
        return true;
    ix_buf_init(&text, 256);
    ix_text_double(&text, f->min);
    if (isfinite(f->max)) {
        ix_buf_str(&text, " to ");
        ix_text_double(&text, f->max);
    } else {
        ix_buf_str(&text, " or more");
    }
    ix_faults_add(check->faults, path, "must be %s%s%s%s", f->zero ? "0 or " : "", ix_buf_cstr(&text),
                  f->unit ? " " : "", f->unit ? f->unit : "");
    ix_buf_deinit(&text);
    return false;
}

static bool check_words(struct ix_check *check, const struct ix_field *f, const char *text, const char *path)
{
    char hint[512];
    size_t count = 0;

    for (; f->words[count]; count++) {
        if (strcmp(f->words[count], text) == 0)
            return true;
    }
    ix_suggest_put(hint, sizeof(hint), text, f->words, count);
    ix_faults_add(check->faults, path, "\"%.80s\" is not a known value%s", text, hint);
    return false;
}

static bool check_text(struct ix_check *check, const struct ix_field *f, const json_t *json, const char *path)
{
    const char *text = json_string_value(json);
    size_t len = json_string_length(json);

    if (f->accept & IX_A_ANY)
        return true;
    if (strlen(text) != len) {
        ix_faults_add(check->faults, path, "must not contain a NUL character");
        return false;
    }
    if (f->words)
        return check_words(check, f, text, path);
    if (len == 0 && f->form != IX_FORM_EMPTY) {
        ix_faults_add(check->faults, path, "must not be empty");
        return false;
    }
    if (f->form != IX_FORM_ID && f->form != IX_FORM_PLAIN)
        return true;
    if (len > IX_ID_MAX || !ix_id_is_plain(text, len) || (f->form == IX_FORM_PLAIN && strchr(text, '.'))) {
        ix_faults_add(check->faults, path,
                      "\"%.80s\" must consist of 1 to %d letters, digits%s \"_\" and \"-\"", text, IX_ID_MAX,
                      f->form == IX_FORM_ID ? ", \".\"," : ",");
        return false;
    }
    return true;
}

/* Whether a member is of the right kind and within its range; adds a fault if not. */
static bool check_value(struct ix_check *check, const struct ix_field *f, const json_t *json,
                        const char *path)
{
    char expected[128];

    if (!accepts(f, json)) {
        put_expected(f, expected, sizeof(expected));
        if (json_is_number(json) && f->accept & IX_A_INTEGER)
            ix_faults_add(check->faults, path, "must be a whole number");
        else
            ix_faults_add(check->faults, path, "must be %s, not %s", expected, json_kind(json));
        return false;
    }
    if (json_is_number(json))
        return check_number(check, f, json, path);
    if (json_is_string(json))
        return check_text(check, f, json, path);
    return true;
}

static void put_variants(const struct ix_table *table, unsigned bits, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; table->variants[i] && len < size; i++) {
        if (bits & (1u << i))
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "", table->variants[i]);
    }
}

static const char *variant_name(const struct ix_object *o)
{
    for (size_t i = 0; o->table->variants[i]; i++) {
        if (o->variant == 1u << i)
            return o->table->variants[i];
    }
    return "";
}

static void unknown_key(const struct ix_object *o, const char *key, const char *path)
{
    const struct ix_table *also = o->table->also;
    const char *known[128];
    char hint[512];
    size_t count = 0;

    for (size_t i = 0; i < o->table->count; i++) {
        if (applies(o, &o->table->fields[i]))
            known[count++] = o->table->fields[i].name;
    }
    for (size_t i = 0; also && i < also->count; i++) {
        if (applies(o, &also->fields[i]))
            known[count++] = also->fields[i].name;
    }
    hint[0] = '\0';
    if (o->check->faults->count < IX_FAULTS_MAX) /* else nobody reads it */
        ix_suggest_put(hint, sizeof(hint), key, known, count);
    if (o->check->lenient)
        ix_faults_warn(o->check->faults, path, "unknown field is ignored%s", hint);
    else
        ix_faults_add(o->check->faults, path, "unknown field%s", hint);
}

static void wrong_place(const struct ix_object *o, const struct ix_field *f, const char *path)
{
    unsigned bits = ix_table_borrows(o->table, f) ? o->table->also_applies : f->applies;
    char list[128];

    put_variants(o->table, bits, list, sizeof(list));
    if (o->check->lenient)
        ix_faults_warn(o->check->faults, path, "does not apply to \"%s\" (only to %s) and is ignored",
                       variant_name(o), list);
    else
        ix_faults_add(o->check->faults, path, "does not apply to \"%s\", only to %s", variant_name(o), list);
}

static void check_members(const struct ix_object *o)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)o->json, key, value)
    {
        const struct ix_field *f = ix_table_find(o->table, key);
        char *path = member_path(o, key);

        if (!f)
            unknown_key(o, key, path);
        else if (!applies(o, f))
            wrong_place(o, f, path);
        else if (check_value(o->check, f, value, path) && f->alias && strcmp(key, f->alias) == 0 &&
                 json_object_get(o->json, f->name))
            ix_faults_add(o->check->faults, path, "is another spelling of %s, which is given, too", f->name);
        free(path);
    }
}

static void check_required(const struct ix_object *o)
{
    if (o->table->partial)
        return;
    for (size_t i = 0; i < o->table->count; i++) {
        const struct ix_field *f = &o->table->fields[i];
        char *path;

        if (!(f->required & o->variant) || (o->variant == IX_ALL && f->required != IX_ALL))
            continue;
        if (ix_object_has(o, f->name))
            continue;
        path = member_path(o, f->name);
        ix_faults_add(o->check->faults, path, "is missing: %s", f->doc);
        free(path);
    }
}

static unsigned find_variant(const struct ix_table *table, const json_t *json, unsigned outside)
{
    const char *type;
    size_t i;

    switch (table->choice) {
    case IX_CHOOSE_OUTSIDE:
        return outside;
    case IX_CHOOSE_TYPE:
        type = json_string_value(json_object_get(json, "type"));
        for (i = 0; type && table->variants[i]; i++) {
            if (strcmp(table->variants[i], type) == 0)
                return 1u << i;
        }
        return IX_ALL;
    case IX_CHOOSE_MEMBER:
        for (i = 0; table->variants[i + 1]; i++) {
            if (json_object_get(json, table->variants[i]))
                return 1u << i;
        }
        return 1u << i;
    default:
        return IX_ALL;
    }
}

struct ix_object ix_object_check(struct ix_check *check, const struct ix_table *table, const json_t *json,
                                 const char *path, unsigned outside)
{
    struct ix_object o = {table, json, path, IX_ALL, check};

    if (json && !json_is_object(json)) {
        ix_faults_add(check->faults, path, "must be an object, not %s", json_kind(json));
        o.json = NULL;
        return o;
    }
    o.variant = find_variant(table, json, outside);
    check_members(&o);
    check_required(&o);
    return o;
}

static const json_t *raw(const struct ix_object *o, const struct ix_field *f)
{
    const json_t *json = json_object_get(o->json, f->name);

    return json || !f->alias ? json : json_object_get(o->json, f->alias);
}

static const struct ix_field *field(const struct ix_object *o, const char *name)
{
    const struct ix_field *f = ix_table_find(o->table, name);

    IX_REQUIRE(f);
    return f;
}

bool ix_object_has(const struct ix_object *o, const char *name)
{
    return raw(o, field(o, name)) != NULL;
}

const json_t *ix_object_get(const struct ix_object *o, const char *name)
{
    const struct ix_field *f = field(o, name);
    const json_t *json = raw(o, f);
    struct ix_faults ignored;
    struct ix_check check = {.faults = &ignored};
    bool valid;

    if (!json || !applies(o, f))
        return NULL;
    ix_faults_init(&ignored);
    valid = check_value(&check, f, json, "");
    ix_faults_deinit(&ignored);
    return valid ? json : NULL;
}

double ix_object_number(const struct ix_object *o, const char *name)
{
    const json_t *json = ix_object_get(o, name);
    const char *fallback = field(o, name)->fallback;

    if (json_is_number(json))
        return json_number_value(json);
    return fallback ? strtod(fallback, NULL) : 0;
}

int64_t ix_object_integer(const struct ix_object *o, const char *name)
{
    const json_t *json = ix_object_get(o, name);

    return json_is_integer(json) ? (int64_t)json_integer_value(json) : (int64_t)ix_object_number(o, name);
}

bool ix_object_boolean(const struct ix_object *o, const char *name)
{
    const json_t *json = ix_object_get(o, name);
    const char *fallback = field(o, name)->fallback;

    if (json_is_boolean(json))
        return json_is_true(json);
    return fallback && strcmp(fallback, "true") == 0;
}

const char *ix_object_text(const struct ix_object *o, const char *name)
{
    return json_string_value(ix_object_get(o, name));
}

int ix_object_word(const struct ix_object *o, const char *name)
{
    const struct ix_field *f = field(o, name);
    const char *text = ix_object_text(o, name);
    size_t len;

    if (!text && !f->fallback)
        return -1;
    len = text ? strlen(text) : strlen(f->fallback) - 2; /* the default is JSON text: in quotes */
    if (!text)
        text = f->fallback + 1;
    for (int i = 0; f->words[i]; i++) {
        if (strlen(f->words[i]) == len && memcmp(f->words[i], text, len) == 0)
            return i;
    }
    return -1;
}

char *ix_object_path(const struct ix_object *o, const char *name)
{
    const struct ix_field *f = field(o, name);

    if (f->alias && !json_object_get(o->json, f->name) && json_object_get(o->json, f->alias))
        return member_path(o, f->alias);
    return member_path(o, f->name);
}

void ix_object_fault(const struct ix_object *o, const char *name, const char *format, ...)
{
    char *path = ix_object_path(o, name);
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    ix_faults_add(o->check->faults, path, "%s", message);
    free(path);
}

void ix_object_warn(const struct ix_object *o, const char *name, const char *format, ...)
{
    char *path = ix_object_path(o, name);
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    ix_faults_warn(o->check->faults, path, "%s", message);
    free(path);
}
