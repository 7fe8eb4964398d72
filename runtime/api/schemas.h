/* What answers look like: named objects of typed properties, for the OpenAPI document.
 *
 * A type is "string integer number boolean time object any" or the name of a schema; behind it "[]" (an array of it)
 * or "{}" (an object with free names whose values it is), and "?" where null is possible: "Device[]", "time?". */
#ifndef IX_API_SCHEMAS_H
#define IX_API_SCHEMAS_H

#include "base/error.h"

#include <jansson.h>

struct ix_property {
    const char *name;
    const char *type;
    const char *doc;
    bool optional; /* may be missing */
};

struct ix_schema {
    const char *name; /* "Device"; NULL ends a list */
    const char *doc;
    const struct ix_property *properties; /* NULL for a list of words */
    size_t property_count;
    const char *const *words; /* of an enumeration; NULL-terminated */
};

/* The schemas of the device engine. */
extern const struct ix_schema ix_device_schemas[];
/* Those of every service: Problem, Ready. */
extern const struct ix_schema ix_common_schemas[];

/* JSON Schema of a type; names become references into #/components/schemas. */
json_t *ix_schema_of_type(const char *type);
/* … and of an object. */
json_t *ix_schema_json(const struct ix_schema *schema);

#endif
