/* A request on its way through its operation: decoded, checked, and not yet answered. */
#ifndef IX_API_CALL_H
#define IX_API_CALL_H

#include "api/exchange.h"
#include "model/fields.h"

#include <jansson.h>

#define IX_CALL_SEGMENTS  12  /* of a path */
#define IX_CALL_VARIABLES 4   /* {…} of a template */
#define IX_CALL_DEPTH     64  /* of a JSON body */
#define IX_CALL_ID_MAX    256 /* bytes of a decoded segment */

struct ix_operation;

struct ix_call {
    struct ix_exchange *exchange;
    const struct ix_operation *operation;
    void *context;                            /* the router's */
    const char *variables[IX_CALL_VARIABLES]; /* of the path, decoded: UTF-8 without control characters */
    json_t *query;                            /* object with values of their types; never NULL */
    json_t *body;     /* object; NULL without a body, or if the operation takes it as text */
    const char *text; /* the body as sent */
    size_t text_len;
};

/* A path taken apart, each segment decoded. "/" has none; one "/" at the end is ignored. */
struct ix_path {
    char *segments[IX_CALL_SEGMENTS];
    size_t count;
    char *query; /* behind the "?", NULL if there is none */
    char *room;  /* owned: what the others point into */
};

/* `target` as in the request line, also with "http://host" in front. -EINVAL: bad escapes, NUL and other control
 * characters, no UTF-8; -ENOENT: more or longer segments than any path of ours has. */
int ix_path_parse(struct ix_path *path, const char *target, struct ix_error *err);
void ix_path_deinit(struct ix_path *path);

/* The query as an object; integers, numbers and booleans as the table's fields want them. Faults have the value's
 * name as path. `table` NULL: nothing may be there. */
json_t *ix_query_parse(const char *query, const struct ix_table *table, struct ix_faults *faults);

/* A JSON object, at most IX_CALL_DEPTH deep, without NUL and repeated keys; NULL: `faults` says why. */
json_t *ix_body_parse(const char *text, size_t len, struct ix_faults *faults);
/* Checks it against the table. Members that are null count as absent and are removed. `open`: what the table does
 * not know is left to the handler. */
void ix_body_check(json_t *body, const struct ix_table *table, bool open, struct ix_faults *faults);

/* The part of a list that a checked query asks for, by page and pageSize or by offset and limit; untouched where it
 * says nothing. False: it mixes the two ways. */
bool ix_call_window(const json_t *query, uint64_t *offset, uint64_t *limit);

/* Members of a checked object; the fallback if absent. */
const char *ix_call_text(const json_t *object, const char *name);
int64_t ix_call_integer(const json_t *object, const char *name, int64_t fallback);
double ix_call_number(const json_t *object, const char *name, double fallback);
bool ix_call_boolean(const json_t *object, const char *name);

#endif
