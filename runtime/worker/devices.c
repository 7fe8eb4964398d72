/* The role with devices: an engine (device/engine.h), the Lua state that its hooks and requests from scripts need, and
 * what the controller's frames ask of them. */
#include "worker/internal.h"

#include <stdlib.h>
#include <string.h>

#define RESULT_MAX (16u << 20)

/* "A,B" → names that ${env.…} may use. */
static void split_allowed_env(struct ix_worker *w)
{
    char *rest = w->hello.allowed_env, *name;
    while ((name = strsep(&rest, ",")) && w->env_count < IX_WORKER_ENV_MAX)
        if (name[0])
            w->env_names[w->env_count++] = name;
}

static int load_scenario(struct ix_worker *w, struct ix_error *err)
{
    const struct ix_hello *hello = &w->hello;
    int code = ix_script_load_scenario(w->script, hello->scenario_path, hello->scenario,
                                       strlen(hello->scenario), err);
    json_t *options = code < 0 ? NULL : json_loads(hello->options, 0, NULL);
    if (options)
        code = ix_script_set_options(w->script, options, err);
    json_decref(options);
    return code;
}

static int start(struct ix_worker *w, struct ix_error *err)
{
    split_allowed_env(w);
    struct ix_script_config script = {
        .role = IX_ROLE_WORKER,
        .loop = w->loop,
        .seed = w->hello.seed,
        .no_jit = w->hello.no_jit,
        .segment = w->segment,
        .run_start_ns = w->hello.run_start_ns,
        .allowed_env = (const char *const *)w->env_names,
        .allowed_env_count = w->env_count,
        .device_error = ix_worker_tell_device_error,
        .event = ix_worker_tell_event,
        .context = w,
    };
    int code = ix_script_new(&script, &w->script, err);
    if (code == 0 && w->hello.scenario_path[0])
        code = load_scenario(w, err);
    if (code < 0)
        return code;
    struct ix_engine_config engine = {
        .loop = w->loop,
        .segment = w->segment,
        .seed = w->hello.seed,
        .allowed_env = (const char *const *)w->env_names,
        .allowed_env_count = w->env_count,
        .hooks = ix_script_hooks(w->script),
        .find_protocol = w->local ? w->local->find_protocol : NULL,
        .record_failed = ix_worker_tell_record_failed,
        .context = w,
    };
    w->engine = ix_engine_new(&engine);
    return 0;
}

/* ---- what devices are to do ---- */

static int record(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    struct ix_record r;
    int code = ix_record_unpack(&r, in, err);
    if (code < 0)
        return code;
    struct ix_error why = {0};
    code = ix_engine_apply(w->engine, &r, &why);
    ix_pack_u64(&w->out, r.sequence);
    ix_pack_u32(&w->out, (uint32_t)-code);
    ix_pack_str(&w->out, code < 0 ? why.text : "");
    ix_worker_send(w, IX_UP_ACK);
    ix_record_deinit(&r);
    return 0;
}

static int pace(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    double interval = ix_read_f64(in), offset = ix_read_f64(in);
    ix_engine_set_pace(w->engine, interval, offset, ix_read_u32(in));
    return 0;
}

static int observe(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    uint64_t ticket = ix_read_u64(in);
    uint8_t way = ix_read_u8(in);
    char *field = ix_read_str(in);
    size_t count;
    char **topics = ix_texts_unpack(in, &count);
    int code = ix_worker_need_ledger(w, err);
    struct ix_error why = {0};
    if (code == 0) {
        int refused = ix_engine_observe(w->engine,
                                        &(struct ix_observation){.ledger = w->ledger,
                                                                 .way = way,
                                                                 .field = field,
                                                                 .filters = (const char *const *)topics,
                                                                 .filter_count = count},
                                        &why);
        ix_worker_send_result(w, ticket, refused, why.text, "", 0);
    }
    ix_texts_free(topics, count);
    free(field);
    return code;
}

static void on_drained(void *context)
{
    struct ix_worker *w = context;
    ix_worker_take_stock(w, ix_loop_update(w->loop));
    ix_worker_send(w, IX_UP_DRAINED);
}

static int drain(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    ix_engine_drain(w->engine, ix_read_u64(in), on_drained, w);
    return 0;
}

/* ---- questions and calls, each answered by a result ---- */

static struct ix_device *find_device(struct ix_worker *w, const char *group, uint64_t index,
                                     struct ix_error *err)
{
    struct ix_device *d = ix_device_find(w->engine, group, index);
    if (!d)
        ix_fail(err, -ENOENT, "device %llu of group \"%s\" was never started", (unsigned long long)index,
                group);
    return d;
}

static int each(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    uint64_t ticket = ix_read_u64(in), visited = 0, errors = 0;
    char *group = ix_read_str(in);
    size_t len;
    const char *function = ix_read_bytes(in, &len);
    uint64_t first = ix_read_u64(in), count = ix_read_u64(in);
    struct ix_error why = {0};
    int code =
        ix_script_each(w->script, w->engine, group, function, len, first, count, &visited, &errors, &why);
    struct ix_buf result;
    ix_buf_init(&result, 64);
    ix_pack_u64(&result, visited);
    ix_pack_u64(&result, errors);
    ix_worker_send_result(w, ticket, code, why.text, result.data, result.len);
    ix_buf_deinit(&result);
    free(group);
    return 0;
}

static int call_device(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    uint64_t index = ix_read_u64(in);
    size_t len;
    const char *function = ix_read_bytes(in, &len);
    struct ix_error why = {0};
    struct ix_buf result;
    ix_buf_init(&result, RESULT_MAX);
    struct ix_device *d = find_device(w, group, index, &why);
    int code = d ? ix_script_device_call(w->script, d, function, len, &result, &why) : why.code;
    ix_worker_send_result(w, ticket, code, why.text, result.data, result.len);
    ix_buf_deinit(&result);
    free(group);
    return 0;
}

static int command(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    uint64_t index = ix_read_u64(in);
    char *name = ix_read_str(in), *json = ix_read_str(in);
    struct ix_error why = {0};
    struct ix_device *d = find_device(w, group, index, &why);
    int code = d ? ix_engine_command(w->engine, d, name, json, strlen(json), &why) : why.code;
    ix_worker_send_result(w, ticket, code, why.text, "", 0);
    free(group);
    free(name);
    free(json);
    return 0;
}

/* Of a device that was never started there are none. */
static int values(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    struct ix_device *d = ix_device_find(w->engine, group, ix_read_u64(in));
    struct ix_buf result;
    ix_buf_init(&result, RESULT_MAX);
    ix_buf_char(&result, '{');
    for (size_t s = 0; d && s < ix_device_model(d)->attribute_count; s++) {
        struct ix_value value;
        if (!ix_device_value(d, s, &value) || value.kind == IX_V_NONE)
            continue;
        ix_buf_printf(&result, "%s%s", result.len > 1 ? "," : "", ix_device_model(d)->attributes[s].json_key);
        ix_value_put_json(&result, &value);
    }
    ix_buf_char(&result, '}');
    ix_worker_send_result(w, ticket, 0, "", result.data, result.len);
    ix_buf_deinit(&result);
    free(group);
    return 0;
}

static int eligible(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    size_t len;
    const char *function = ix_read_bytes(in, &len);
    uint64_t bits = ix_read_u64(in);
    struct ix_error why = {0};
    struct ix_bitmap map;
    struct ix_buf result;
    ix_bitmap_init(&map, bits);
    ix_buf_init(&result, RESULT_MAX);
    int code = len ? ix_script_eligible(w->script, w->engine, group, function, len, &map, &why)
                   : ix_engine_eligible(w->engine, group, NULL, NULL, &map, &why);
    ix_bitmap_pack(&map, &result);
    ix_worker_send_result(w, ticket, code, why.text, result.data, result.len);
    ix_buf_deinit(&result);
    ix_bitmap_deinit(&map);
    free(group);
    return 0;
}

static const struct ix_worker_request requests[] = {
    {IX_DOWN_RECORD, record},   {IX_DOWN_PACE, pace},     {IX_DOWN_OBSERVE, observe},
    {IX_DOWN_DRAIN, drain},     {IX_DOWN_EACH, each},     {IX_DOWN_DEVICE, call_device},
    {IX_DOWN_COMMAND, command}, {IX_DOWN_VALUES, values}, {IX_DOWN_ELIGIBLE, eligible},
};

const struct ix_worker_duties ix_worker_device_duties = {start, requests, IX_ARRAY_LEN(requests)};
