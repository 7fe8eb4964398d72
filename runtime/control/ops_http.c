/* The operation http.request. */
#include "control/ops.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>

#define DEFAULT_TIMEOUT_MS 10000

struct asked {
    struct ix_run *run;
    uint64_t ticket;
};

/* JSON has no bytes: what is not UTF-8 becomes U+FFFD. */
static json_t *text_of(const char *data, size_t len)
{
    json_t *text = json_stringn(data, len);
    if (text)
        return text;
    struct ix_buf quoted;
    ix_buf_init(&quoted, 6 * len + 2);
    ix_text_json_string(&quoted, data, len);
    text = json_loadb(ix_buf_cstr(&quoted), quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ix_buf_deinit(&quoted);
    return text ? text : json_string("");
}

static void on_answer(void *context, const struct ix_http_answer *answer)
{
    struct asked *asked = context;
    json_t *result = NULL;
    if (answer->code == -ECANCELED) { /* the run ends: nobody waits any more */
        free(asked);
        return;
    }
    if (answer->code == 0) {
        result = json_object();
        json_object_set_new(result, "status", json_integer(answer->status));
        json_object_set_new(result, "headers", json_deep_copy(answer->headers));
        json_object_set_new(result, "body", text_of(answer->body, answer->body_len));
        json_object_set_new(result, "latencyMs", json_real(answer->latency_ms));
    }
    ix_run_complete(asked->run, asked->ticket, answer->code, result, answer->message ? answer->message : "");
    free(asked);
}

int ix_op_http_request(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                       struct ix_error *err)
{
    (void)result;
    const char *url, *method = ix_arg_text(args, "method");
    int code = ix_arg_need_text(args, "url", &url, err);
    if (code < 0)
        return code;
    if (run->config.plan) {
        ix_plan_note_http(run, method ? method : "GET", url);
        *result = json_pack("{s:i, s:{}, s:s, s:f}", "status", 200, "headers", "body", "", "latencyMs", 1.0);
        return 0;
    }
    const json_t *headers = json_object_get(args, "headers"), *body = json_object_get(args, "body");
    double timeout_ms = json_number_value(json_object_get(args, "timeoutMs"));
    if (!(timeout_ms > 0 && timeout_ms < 1e9))
        timeout_ms = DEFAULT_TIMEOUT_MS;
    if (!run->http)
        run->http = ix_http_client_new(&run->loop, err);
    if (!run->http)
        return err->code;
    struct asked *asked = ix_calloc(1, sizeof *asked);
    *asked = (struct asked){run, ticket};
    code = ix_http_request(run->http,
                           method ? method
                           : body ? "POST"
                                  : "GET",
                           url, json_is_object(headers) ? headers : NULL, json_string_value(body),
                           json_string_length(body), (uint64_t)ceil(timeout_ms), on_answer, asked, err);
    if (code < 0) {
        free(asked);
        return code;
    }
    return IX_HOST_LATER;
}
