/* The JSON schema (draft 2020-12) of models, written from the tables that the compiler checks with. */
#include "model/fields.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

#define SCHEMA_URL "https://json-schema.org/draft/2020-12/schema"

static const struct {
    const char *name;
    const struct ix_table *table;
} definitions[] = {
    {"connection", &ix_table_connection},
    {"tls", &ix_table_tls},
    {"will", &ix_table_will},
    {"queue", &ix_table_queue},
    {"reconnect", &ix_table_reconnect},
    {"subscription", &ix_table_subscription},
    {"attribute", &ix_table_attribute},
    {"generator", &ix_table_generator},
    {"generatorChange", &ix_table_generator_change},
    {"command", &ix_table_command},
    {"parameter", &ix_table_parameter},
    {"response", &ix_table_response},
    {"child", &ix_table_child},
    {"behavior", &ix_table_behavior},
    {"trigger", &ix_table_trigger},
    {"action", &ix_table_action},
    {"state", &ix_table_state},
    {"after", &ix_table_after},
    {"when", &ix_table_when},
};

static json_t *reference(const struct ix_table *table)
{
    for (size_t i = 0; i < IX_ARRAY_LEN(definitions); i++) {
        if (definitions[i].table == table)
            return json_pack("{s:s++}", "$ref", "#/$defs/", definitions[i].name, "");
    }
    return json_pack("{s:s}", "$ref", "#");
}

static json_t *number(double value)
{
    return value == floor(value) && fabs(value) < 0x1p53 ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *words_of(const struct ix_field *f)
{
    json_t *list = json_array();

    for (size_t i = 0; f->words[i]; i++)
        json_array_append_new(list, json_string(f->words[i]));
    return list;
}

static json_t *text_schema(const struct ix_field *f)
{
    json_t *schema = json_pack("{s:s}", "type", "string");

    if (f->words)
        json_object_set_new(schema, "enum", words_of(f));
    else if (f->form == IX_FORM_ID)
        json_object_set_new(schema, "pattern", json_string("^[A-Za-z0-9._-]{1,63}$"));
    else if (f->form == IX_FORM_PLAIN)
        json_object_set_new(schema, "pattern", json_string("^[A-Za-z0-9_-]{1,63}$"));
    else if (f->form == IX_FORM_TEXT)
        json_object_set_new(schema, "minLength", json_integer(1));
    return schema;
}

static json_t *number_schema(const struct ix_field *f, bool integer)
{
    json_t *schema = json_pack("{s:s}", "type", integer ? "integer" : "number");

    if (f->min == 0 && f->max == 0)
        return schema;
    json_object_set_new(schema, "minimum", number(f->min));
    json_object_set_new(schema, "maximum", number(f->max));
    if (!f->zero)
        return schema;
    return json_pack("{s:[{s:i}, o]}", "anyOf", "const", 0, schema);
}

static json_t *object_schema(const struct ix_field *f)
{
    if (f->table)
        return reference(f->table);
    if (f->map)
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", reference(f->map));
    return json_pack("{s:s}", "type", "object");
}

static json_t *array_schema(const struct ix_field *f)
{
    return json_pack("{s:s, s:o}", "type", "array", "items",
                     f->table ? reference(f->table) : json_pack("{s:s}", "type", "string"));
}

/* What a field accepts; several kinds become anyOf. */
static json_t *kinds_schema(const struct ix_field *f)
{
    json_t *kinds, *only;

    if (f->accept & IX_A_ANY)
        return json_object();
    kinds = json_array();
    if (f->accept & IX_A_TEXT)
        json_array_append_new(kinds, text_schema(f));
    if (f->accept & (IX_A_INTEGER | IX_A_NUMBER))
        json_array_append_new(kinds, number_schema(f, !(f->accept & IX_A_NUMBER)));
    if (f->accept & IX_A_BOOLEAN)
        json_array_append_new(kinds, json_pack("{s:s}", "type", "boolean"));
    if (f->accept & IX_A_FALSE)
        json_array_append_new(kinds, json_pack("{s:b}", "const", 0));
    if (f->accept & IX_A_OBJECT)
        json_array_append_new(kinds, object_schema(f));
    if (f->accept & IX_A_ARRAY)
        json_array_append_new(kinds, array_schema(f));
    if (json_array_size(kinds) > 1)
        return json_pack("{s:o}", "anyOf", kinds);
    only = json_incref(json_array_get(kinds, 0));
    json_decref(kinds);
    return only;
}

json_t *ix_field_schema(const struct ix_field *f)
{
    json_t *schema = kinds_schema(f);

    if (f->unit)
        json_object_set_new(schema, "description", json_sprintf("%s Unit: %s.", f->doc, f->unit));
    else
        json_object_set_new(schema, "description", json_string(f->doc));
    if (f->fallback)
        json_object_set_new(schema, "default", json_loads(f->fallback, JSON_DECODE_ANY, NULL));
    return schema;
}

static void add_field(json_t *properties, const struct ix_field *f)
{
    if (!json_object_get(properties, f->name))
        json_object_set_new(properties, f->name, ix_field_schema(f));
    if (f->alias)
        json_object_set_new(properties, f->alias, ix_field_schema(f));
}

/* "is present", in either spelling. */
static json_t *presence(const struct ix_field *f)
{
    if (!f->alias)
        return json_pack("{s:[s]}", "required", f->name);
    return json_pack("{s:[{s:[s]}, {s:[s]}]}", "anyOf", "required", f->name, "required", f->alias);
}

static void forbid(json_t *properties, const struct ix_field *f)
{
    json_object_set_new(properties, f->name, json_false());
    if (f->alias)
        json_object_set_new(properties, f->alias, json_false());
}

/* What holds for one variant: fields it needs, and fields it must not have. */
static json_t *variant_schema(const struct ix_table *table, unsigned bit)
{
    json_t *properties = json_object(), *needs = json_array(), *schema = json_object();

    for (size_t i = 0; i < table->count; i++) {
        const struct ix_field *f = &table->fields[i];

        if (f->applies && !(f->applies & bit))
            forbid(properties, f);
        else if (!table->partial && f->required != IX_ALL && (f->required & bit))
            json_array_append_new(needs, presence(f));
    }
    for (size_t i = 0; table->also && !(table->also_applies & bit) && i < table->also->count; i++) {
        if (!json_object_get(properties, table->also->fields[i].name) &&
            strcmp(table->also->fields[i].name, "type") != 0)
            forbid(properties, &table->also->fields[i]);
    }
    if (json_object_size(properties) > 0)
        json_object_set(schema, "properties", properties);
    if (json_array_size(needs) > 0)
        json_object_set(schema, "allOf", needs);
    json_decref(properties);
    json_decref(needs);
    return schema;
}

/* The condition under which variant i is meant. */
static json_t *variant_test(const struct ix_table *table, size_t i)
{
    json_t *earlier;

    if (table->choice == IX_CHOOSE_TYPE)
        return json_pack("{s:{s:{s:s}}, s:[s]}", "properties", "type", "const", table->variants[i],
                         "required", "type");
    earlier = json_array();
    for (size_t k = 0; k < i; k++)
        json_array_append_new(earlier, json_pack("{s:{s:[s]}}", "not", "required", table->variants[k]));
    if (table->variants[i + 1])
        json_array_append_new(earlier, json_pack("{s:[s]}", "required", table->variants[i]));
    return json_pack("{s:o}", "allOf", earlier);
}

static void add_variants(json_t *schema, const struct ix_table *table)
{
    json_t *all = json_array();

    for (size_t i = 0; table->variants && table->variants[i]; i++)
        json_array_append_new(all, json_pack("{s:o, s:o}", "if", variant_test(table, i), "then",
                                             variant_schema(table, 1u << i)));
    json_object_set_new(schema, "allOf", all);
}

json_t *ix_table_schema(const struct ix_table *table)
{
    json_t *properties = json_object(), *required = json_array();
    json_t *schema = json_pack("{s:s, s:s}", "description", table->doc, "type", "object");

    for (size_t i = 0; i < table->count; i++) {
        add_field(properties, &table->fields[i]);
        if (table->fields[i].required == IX_ALL && !table->partial)
            json_array_append_new(required, json_string(table->fields[i].name));
    }
    for (size_t i = 0; table->also && i < table->also->count; i++)
        add_field(properties, &table->also->fields[i]);
    json_object_set_new(schema, "properties", properties);
    json_object_set_new(schema, "additionalProperties", json_false());
    if (json_array_size(required) > 0)
        json_object_set(schema, "required", required);
    json_decref(required);
    if (table->choice == IX_CHOOSE_TYPE || table->choice == IX_CHOOSE_MEMBER)
        add_variants(schema, table);
    return schema;
}

/* Which fields a connection has depends on the model's protocol. */
static json_t *connection_rules(void)
{
    const struct ix_table *table = &ix_table_connection;
    json_t *all = json_array();

    for (size_t i = 0; table->variants[i]; i++)
        json_array_append_new(all, json_pack("{s:{s:{s:{s:s}}}, s:{s:{s:o}}}", "if", "properties", "protocol",
                                             "const", table->variants[i], "then", "properties", "connection",
                                             variant_schema(table, 1u << i)));
    return all;
}

char *ix_model_schema(void)
{
    json_t *schema = json_pack("{s:s, s:s}", "$schema", SCHEMA_URL, "title", "iotix device model");
    json_t *root = ix_table_schema(&ix_table_model), *defs = json_object();
    char *text, *ended;

    json_object_update(schema, root);
    json_decref(root);
    json_object_set_new(schema, "allOf", connection_rules());
    for (size_t i = 0; i < IX_ARRAY_LEN(definitions); i++)
        json_object_set_new(defs, definitions[i].name, ix_table_schema(definitions[i].table));
    json_object_set_new(schema, "$defs", defs);
    text = json_dumps(schema, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(schema);
    ended = ix_asprintf("%s\n", text ? text : "");
    free(text);
    return ended;
}
