/* models/README.md names every field with type, unit, default and meaning, in the words of the compiler's
 * table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "model/fields.h"
#include "model_helpers.h"

static const struct ix_table *const tables[] = {
    &ix_table_model,     &ix_table_connection,   &ix_table_tls,       &ix_table_will,
    &ix_table_reconnect, &ix_table_attribute,    &ix_table_generator, &ix_table_command,
    &ix_table_parameter, &ix_table_response,     &ix_table_behavior,  &ix_table_trigger,
    &ix_table_action,    &ix_table_state,        &ix_table_after,     &ix_table_when,
    &ix_table_child,     &ix_table_subscription,
};

static void put_type(struct ix_buf *out, const struct ix_field *f)
{
    static const struct {
        unsigned bit;
        const char *text;
    } kinds[] = {{IX_A_TEXT, "string"},     {IX_A_INTEGER, "integer"}, {IX_A_NUMBER, "number"},
                 {IX_A_BOOLEAN, "boolean"}, {IX_A_FALSE, "`false`"},   {IX_A_OBJECT, "object"},
                 {IX_A_ARRAY, "array"},     {IX_A_ANY, "any"}};
    size_t start = out->len;

    for (size_t i = 0; i < IX_ARRAY_LEN(kinds); i++) {
        if ((f->accept & kinds[i].bit) && !(kinds[i].bit == IX_A_TEXT && f->words))
            ix_buf_printf(out, "%s%s", out->len > start ? ", " : "", kinds[i].text);
    }
    for (size_t i = 0; f->words && f->words[i]; i++)
        ix_buf_printf(out, "%s`%s`", out->len > start ? ", " : "", f->words[i]);
    if (f->unit)
        ix_buf_printf(out, " (%s)", f->unit);
}

/* Which variants a field belongs to: generator types, protocols, ... */
static void put_variants(struct ix_buf *out, const struct ix_table *table, const struct ix_field *f)
{
    const char *separator = "";

    for (size_t i = 0; table->variants[i]; i++) {
        if (f->applies & (1u << i)) {
            ix_buf_printf(out, "%s%s", separator, table->variants[i]);
            separator = ", ";
        }
    }
    ix_buf_str(out, f->applies ? " | " : "all | ");
}

static char *row_of(const struct ix_table *table, const struct ix_field *f)
{
    struct ix_buf row;
    bool required = f->required != 0;

    ix_buf_init(&row, 4096);
    ix_buf_printf(&row, "| `%s`%s%s%s | ", f->name, f->alias ? ", `" : "", f->alias ? f->alias : "",
                  f->alias ? "`" : "");
    if (table->variants)
        put_variants(&row, table, f);
    put_type(&row, f);
    if (f->fallback)
        ix_buf_printf(&row, " | `%s` | %s |", f->fallback, f->doc);
    else
        ix_buf_printf(&row, " | %s | %s |", required ? "required" : "", f->doc);
    char *text = ix_strdup(ix_buf_cstr(&row));
    ix_buf_deinit(&row);
    return text;
}

static void every_field_is_documented(void **state)
{
    char *readme;
    size_t len, missing = 0;

    (void)state;
    assert_int_equal(ix_file_read("models/README.md", 1 << 20, &readme, &len, NULL), 0);
    for (size_t t = 0; t < IX_ARRAY_LEN(tables); t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            char *row = row_of(tables[t], &tables[t]->fields[i]);

            if (!strstr(readme, row)) {
                print_error("%s: %s\n", tables[t]->name, row);
                missing++;
            }
            free(row);
        }
    }
    free(readme);
    if (missing)
        fail_msg("models/README.md lacks the %zu rows above", missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_field_is_documented)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
