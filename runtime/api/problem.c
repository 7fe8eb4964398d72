#include "api/problem.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

const char *ix_status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

char *ix_problem_text(int status, const char *detail, const json_t *errors, size_t *len)
{
    struct ix_buf text;
    ix_buf_init(&text, 16u << 20);
    ix_buf_printf(&text, "{\"title\":\"%s\",\"status\":%d,\"detail\":", ix_status_title(status), status);
    ix_text_json_string(&text, detail, strlen(detail));
    if (errors) {
        char *list = json_dumps(errors, JSON_COMPACT);
        ix_buf_str(&text, ",\"errors\":");
        ix_buf_str(&text, list ? list : "[]");
        free(list);
    }
    ix_buf_char(&text, '}');
    *len = text.len;
    return text.data;
}

/* What a client sent may be no UTF-8, which JSON texts must be. */
static json_t *text_of(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    struct ix_buf clean;
    ix_buf_init(&clean, 1u << 20);
    ix_text_json_string(&clean, text, strlen(text));
    json = json_loads(ix_buf_cstr(&clean), JSON_DECODE_ANY, NULL);
    ix_buf_deinit(&clean);
    return json ? json : json_string("?");
}

static void answer(struct ix_exchange *x, int status, const json_t *errors, const char *detail)
{
    size_t len;
    char *text = ix_problem_text(status, detail, errors, &len);
    if (status == 503 || status == 429)
        ix_exchange_set_header(x, "Retry-After", IX_RETRY_AFTER);
    ix_exchange_answer(x, status, IX_PROBLEM_TYPE, text, len);
}

void ix_problem_answer(struct ix_exchange *x, int status, json_t *errors, const char *format, ...)
{
    char detail[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    answer(x, status, errors, detail);
    json_decref(errors);
}

void ix_problem_field(struct ix_exchange *x, const char *path, const char *format, ...)
{
    char message[2048], detail[2560];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    json_t *errors = json_pack("[{s:o, s:o}]", "path", text_of(path), "message", text_of(message));
    snprintf(detail, sizeof(detail), "%s%s%s", path, path[0] ? ": " : "", message);
    answer(x, 400, errors, detail);
    json_decref(errors);
}

json_t *ix_problem_errors(const struct ix_faults *faults, bool warnings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < faults->count; i++)
        if (faults->items[i].warning == warnings)
            json_array_append_new(list, json_pack("{s:o, s:o}", "path", text_of(faults->items[i].path),
                                                  "message", text_of(faults->items[i].message)));
    return list;
}
