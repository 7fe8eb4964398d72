/* The OpenAPI 3.1 document of a service, out of the table that routes its requests. */
#ifndef IX_API_OPENAPI_H
#define IX_API_OPENAPI_H

#include "api/router.h"
#include "api/schemas.h"

struct ix_openapi_config {
    const char *title, *description;
    const struct ix_operation *operations;
    size_t operation_count;
    const struct ix_schema *const *schemas; /* lists, each ended by a schema without name */
    size_t schema_list_count;
};

/* The document; the caller frees the text. */
char *ix_openapi_text(const struct ix_openapi_config *config, size_t *len);
/* The same as JSON: a new reference. */
json_t *ix_openapi_json(const struct ix_openapi_config *config);

#endif
