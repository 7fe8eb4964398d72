/* Reports: files made from a result. */
#ifndef IX_CONTROL_REPORT_H
#define IX_CONTROL_REPORT_H

#include "control/result.h"

struct ix_report_format {
    const char *name; /* as in --out NAME=FILE */
    const char *doc;
    void (*write)(const struct ix_result *result, struct ix_buf *out);
};
extern const struct ix_report_format ix_report_formats[]; /* junit json html csv ndjson; name NULL ends */

/* What the formats write (README.md beside this file describes them). */
void ix_report_junit(const struct ix_result *result, struct ix_buf *out);
void ix_report_json(const struct ix_result *result, struct ix_buf *out);
void ix_report_ndjson(const struct ix_result *result, struct ix_buf *out);
void ix_report_csv(const struct ix_result *result, struct ix_buf *out);
void ix_report_html(const struct ix_result *result, struct ix_buf *out);

/* "junit=results.xml": -EINVAL with the known formats and a suggestion. *file points into `spec`. */
int ix_report_parse(const char *spec, const struct ix_report_format **format, const char **file,
                    struct ix_error *err);
/* Writes the file whole (temporary file and rename); "-" is stdout. */
int ix_report_write(const struct ix_report_format *format, const struct ix_result *result, const char *file,
                    struct ix_error *err);

#endif
