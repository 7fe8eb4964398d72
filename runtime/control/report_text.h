/* Texts of users inside reports: never trusted, always valid in the format. */
#ifndef IX_CONTROL_REPORT_TEXT_H
#define IX_CONTROL_REPORT_TEXT_H

#include "base/buf.h"

#include <jansson.h>

/* For XML and HTML, in text and in quoted attributes. Bytes that are not UTF-8 and characters that XML 1.0
 * forbids become U+FFFD. NULL is "". */
void ix_report_escape(struct ix_buf *out, const char *text);

/* A JSON string; bytes that are not UTF-8 become U+FFFD. NULL is null. */
json_t *ix_report_string(const char *text);
/* NaN and infinities are null. */
json_t *ix_report_number(double value);
/* "key:value,key:value" as an object. */
json_t *ix_report_tags(const char *tags);

#endif
