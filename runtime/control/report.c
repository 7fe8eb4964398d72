#include "control/report.h"

#include "base/file.h"
#include "base/suggest.h"

#include <stdio.h>
#include <string.h>

#define REPORT_MAX (1u << 30)

const struct ix_report_format ix_report_formats[] = {
    {"junit", "JUnit XML for CI servers: a test case for each check and threshold", ix_report_junit},
    {"json", "everything, with a stable schema", ix_report_json},
    {"html", "one page with tables and plots, without scripts", ix_report_html},
    {"csv", "the run over time, one row for each interval", ix_report_csv},
    {"ndjson", "one JSON object a line: points, events, checks, thresholds, summary", ix_report_ndjson},
    {NULL, NULL, NULL},
};

int ix_report_parse(const char *spec, const struct ix_report_format **format, const char **file,
                    struct ix_error *err)
{
    const char *names[IX_ARRAY_LEN(ix_report_formats)];
    size_t count = 0, len = strcspn(spec, "=");
    for (; ix_report_formats[count].name; count++) {
        names[count] = ix_report_formats[count].name;
        if (strlen(names[count]) != len || strncmp(spec, names[count], len) != 0)
            continue;
        if (spec[len] == '\0' || spec[len + 1] == '\0')
            return ix_fail(err, -EINVAL, "\"%.100s\" names no file; write %s=FILE, or %s=- for stdout", spec,
                           names[count], names[count]);
        *format = &ix_report_formats[count];
        *file = spec + len + 1;
        return 0;
    }
    char near[256], word[64];
    snprintf(word, sizeof(word), "%.*s", (int)(len < sizeof(word) ? len : sizeof(word) - 1), spec);
    ix_suggest_put(near, sizeof(near), word, names, count);
    return ix_fail(err, -EINVAL, "there is no report format \"%s\" (in \"%.100s\")%s", word, spec, near);
}

int ix_report_write(const struct ix_report_format *format, const struct ix_result *result, const char *file,
                    struct ix_error *err)
{
    struct ix_buf out;
    ix_buf_init(&out, REPORT_MAX);
    format->write(result, &out);
    int code = 0;
    if (out.overflow)
        code = ix_fail(err, -EFBIG, "the %s report would be larger than 1 GiB", format->name);
    else if (strcmp(file, "-") == 0) {
        if (fwrite(ix_buf_cstr(&out), 1, out.len, stdout) != out.len || fflush(stdout) != 0)
            code = ix_fail(err, -errno, "can't write the %s report to stdout: %s", format->name,
                           strerror(errno));
    } else {
        code = ix_file_write(file, ix_buf_cstr(&out), out.len, err);
        if (code < 0)
            ix_error_prefix(err, "the %s report", format->name);
    }
    ix_buf_deinit(&out);
    return code;
}
