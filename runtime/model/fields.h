/* The one table of fields that device models may have: it drives validation, suggestions for unknown keys,
 * defaults, and the JSON schema. */
#ifndef IX_MODEL_FIELDS_H
#define IX_MODEL_FIELDS_H

#include "model/faults.h"

#include <jansson.h>

/* What a field accepts: bits, since some take several kinds ("tls": true or an object). */
enum {
    IX_A_TEXT = 1,
    IX_A_INTEGER = 2,
    IX_A_NUMBER = 4,
    IX_A_BOOLEAN = 8,
    IX_A_OBJECT = 16,
    IX_A_ARRAY = 32,
    IX_A_ANY = 64,   /* any JSON value */
    IX_A_FALSE = 128 /* the literal false only */
};

/* What a text must look like. */
enum ix_form {
    IX_FORM_TEXT,  /* anything, not empty */
    IX_FORM_EMPTY, /* anything, also empty */
    IX_FORM_ID,    /* letters, digits, ".", "_", "-"; 1..64 */
    IX_FORM_PLAIN, /* handler names: letters, digits, "_", "-"; 1..64 */
};

struct ix_table;

struct ix_field {
    const char *name;
    const char *alias; /* another spelling, or NULL */
    unsigned accept;
    enum ix_form form;
    double min, max;              /* numbers; both 0: any */
    bool zero;                    /* 0 is allowed below min */
    const char *const *words;     /* allowed texts, NULL-terminated */
    const char *numbers;          /* allowed integers as schema text: "4, 5" */
    const char *fallback;         /* default as JSON text; NULL: none */
    const char *unit;             /* NULL: none */
    const char *doc;              /* one sentence */
    unsigned applies;             /* bits of the table's variants; 0: all */
    unsigned required;            /* bits of the variants that need it */
    const struct ix_table *table; /* members of an object, or of an array's objects */
    const struct ix_table *map;   /* an object with free keys whose members are such objects */
    unsigned elements;            /* what an array without table holds: accept bits */
};

enum ix_choice {
    IX_CHOOSE_NONE,
    IX_CHOOSE_TYPE,    /* the member "type" names the variant */
    IX_CHOOSE_MEMBER,  /* a member of the variant's name is present; else the last variant */
    IX_CHOOSE_OUTSIDE, /* the caller knows (connection: the model's protocol) */
};

struct ix_table {
    const char *name; /* as in "unknown field of a trigger" */
    const char *doc;
    enum ix_choice choice;
    const char *const *variants; /* NULL-terminated */
    const struct ix_field *fields;
    size_t count;
    const struct ix_table *also; /* fields of this table are known, too ... */
    unsigned also_applies;       /* ... in these variants */
    bool partial;                /* nothing is required: settings laid over others */
};

#define IX_ALL (~0u)

extern const struct ix_table ix_table_model, ix_table_connection, ix_table_tls, ix_table_will,
    ix_table_reconnect, ix_table_attribute, ix_table_generator, ix_table_generator_change, ix_table_command,
    ix_table_parameter, ix_table_response, ix_table_child, ix_table_behavior, ix_table_trigger,
    ix_table_action, ix_table_state, ix_table_after, ix_table_when, ix_table_subscription, ix_table_queue;

/* Bits of variants. */
enum { IX_V_MQTT = 1, IX_V_COAP = 2, IX_V_HTTP = 4 };

/* The field of that name or alias in a table (its `also` included), or NULL. */
const struct ix_field *ix_table_find(const struct ix_table *table, const char *name);
/* True if the field is of the `also` table. */
bool ix_table_borrows(const struct ix_table *table, const struct ix_field *field);

/* The JSON schema (draft 2020-12) of a field, and of an object; parts of a model are "#/$defs/NAME" in it, the model
 * itself is "#". */
json_t *ix_field_schema(const struct ix_field *field);
json_t *ix_table_schema(const struct ix_table *table);

/* Where a fault goes and how strict to be. */
struct ix_check {
    struct ix_faults *faults;
    bool lenient; /* unknown keys are warnings */
};

/* An object of a document, seen through its table. */
struct ix_object {
    const struct ix_table *table;
    const json_t *json; /* NULL: absent, all defaults */
    const char *path;
    unsigned variant; /* bit; IX_ALL while unknown */
    struct ix_check *check;
};

/* Checks an object against its table, members that are objects and arrays not included: unknown and
 * inapplicable keys, missing ones, types, ranges, words. `outside` is the variant's bit for tables with
 * IX_CHOOSE_OUTSIDE. `json` may be NULL (all defaults) but if it is no object, a fault is added and it counts
 * as empty. */
struct ix_object ix_object_check(struct ix_check *check, const struct ix_table *table, const json_t *json,
                                 const char *path, unsigned outside);

/* Members by canonical name, which must exist in the table. Invalid members (already reported) read as
 * absent; absent ones as the default. */
const json_t *ix_object_get(const struct ix_object *o, const char *name); /* NULL if absent */
bool ix_object_has(const struct ix_object *o, const char *name);          /* also if invalid */
double ix_object_number(const struct ix_object *o, const char *name);
int64_t ix_object_integer(const struct ix_object *o, const char *name);
bool ix_object_boolean(const struct ix_object *o, const char *name);
const char *ix_object_text(const struct ix_object *o, const char *name); /* NULL if absent; no default */
int ix_object_word(const struct ix_object *o, const char *name); /* place in words; -1 without default */
/* Path of a member, as written (alias kept); the caller frees it. */
char *ix_object_path(const struct ix_object *o, const char *name);

void ix_object_fault(const struct ix_object *o, const char *name, const char *format, ...) IX_PRINTF(3, 4);
void ix_object_warn(const struct ix_object *o, const char *name, const char *format, ...) IX_PRINTF(3, 4);

#endif
