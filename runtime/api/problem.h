/* What went wrong, as application/problem+json (RFC 9457): title, status, detail (a sentence), and for invalid
 * input errors [{path, message}], where path is the JSON path in the body or the name of the query's value. */
#ifndef IX_API_PROBLEM_H
#define IX_API_PROBLEM_H

#include "api/exchange.h"
#include "model/faults.h"

#include <jansson.h>

#define IX_PROBLEM_TYPE "application/problem+json"
#define IX_RETRY_AFTER  "5" /* s, with every 503 and 429 */

/* "Not Found"; "Error" for numbers that we never use. */
const char *ix_status_title(int status);

/* The document; `errors` (an array, or NULL) is borrowed. The caller frees the text. */
char *ix_problem_text(int status, const char *detail, const json_t *errors, size_t *len);

/* Answers with one. `errors` is taken over; NULL: none. */
void ix_problem_answer(struct ix_exchange *x, int status, json_t *errors, const char *format, ...)
    IX_PRINTF(4, 5);

/* Answers 400 with one error at `path`. */
void ix_problem_field(struct ix_exchange *x, const char *path, const char *format, ...) IX_PRINTF(3, 4);

/* [{path, message}] of the errors, or of the warnings, among `faults`. */
json_t *ix_problem_errors(const struct ix_faults *faults, bool warnings);

#endif
