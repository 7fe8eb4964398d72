#include "worker/worker.h"

#include "base/log.h"
#include "base/units.h"
#include "loop/child.h"
#include "loop/frame.h"
#include "script/script.h"
#include "worker/accountant.h"
#include "worker/observer.h"
#include "worker/wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define QUEUE_LIMIT     (32u << 20)
#define HOUSEKEEPING_NS IX_S
#define FAILURES_PER_S  20
#define ALLOWED_ENV_MAX 64
#define RESULT_MAX      (16u << 20)

struct worker {
    struct ix_loop *loop;
    uint64_t frames_dropped, log_dropped;       /* of this process, as the segment has them */
    struct ix_pipe *pipe;                       /* NULL: inside of another process, … */
    const struct ix_worker_local_config *local; /* … and this is how it is used */
    struct ix_segment *segment;
    struct ix_hello hello;
    bool greeted;
    struct ix_script *script;
    struct ix_engine *engine;
    struct ix_observer *observer;
    struct ix_ledger *ledger; /* NULL: nothing is observed */
    struct ix_accountant *accountant;
    struct ix_wheel_entry housekeeping;
    struct ix_buf out; /* frames are built here */
    unsigned failures; /* reported in this second */
    char *env_names[ALLOWED_ENV_MAX];
    size_t env_count;
    int status;
};

static void send_buffer(struct worker *w, uint8_t type, const struct ix_buf *out)
{
    if (out->overflow)
        return;
    if (w->pipe)
        ix_frame_send(w->pipe, type, out->data, out->len);
    else if (w->local)
        w->local->up(w->local->context, type, out->data, out->len);
}

static void send_frame(struct worker *w, uint8_t type)
{
    send_buffer(w, type, &w->out);
    ix_buf_clear(&w->out);
}

static void send_result(struct worker *w, uint64_t ticket, int code, const char *message, const void *data,
                        size_t len)
{
    ix_pack_u64(&w->out, ticket);
    ix_pack_u32(&w->out, (uint32_t)-code);
    ix_pack_str(&w->out, message);
    ix_pack_bytes(&w->out, data, len);
    send_frame(w, IX_UP_RESULT);
}

/* The worker can't do its work: the controller hears why, and the process ends. */
static void fatal(struct worker *w, const struct ix_error *err)
{
    ix_pack_u32(&w->out, (uint32_t)-err->code);
    ix_pack_str(&w->out, err->text);
    send_frame(w, IX_UP_FATAL);
    if (w->pipe)
        ix_frame_flush(w->pipe, 1000);
    w->status = 1;
    if (!w->local)
        ix_loop_stop(w->loop);
}

static void log_sink(void *context, enum ix_log_level level, const char *line)
{
    struct worker *w = context;
    struct ix_buf out; /* a log line may come while another frame is being built */
    ix_buf_init(&out, 64 << 10);
    ix_pack_u8(&out, (uint8_t)level);
    ix_pack_str(&out, line);
    send_buffer(w, IX_UP_LOG, &out);
    ix_buf_deinit(&out);
}

static void pair_sink(void *context, enum ix_log_level level, const char *group, const char *reason,
                      uint64_t times)
{
    struct worker *w = context;
    struct ix_buf out;
    ix_buf_init(&out, 64 << 10);
    ix_pack_u8(&out, (uint8_t)level);
    ix_pack_str(&out, group);
    ix_pack_str(&out, reason);
    ix_pack_u64(&out, times);
    send_buffer(w, IX_UP_REPEAT, &out);
    ix_buf_deinit(&out);
}

static bool on_device_error(void *context, const char *group, uint64_t index, const char *message)
{
    struct worker *w = context;
    if (w->failures++ < FAILURES_PER_S) {
        struct ix_buf out;
        ix_buf_init(&out, 1 << 20);
        ix_pack_str(&out, group);
        ix_pack_u64(&out, index);
        ix_pack_str(&out, message);
        send_buffer(w, IX_UP_FAILURE, &out);
        ix_buf_deinit(&out);
    }
    return false; /* the device stops; whether the run does is the controller's decision */
}

static void on_record_failed(void *context, const char *group, const struct ix_error *err)
{
    struct ix_buf out;
    ix_buf_init(&out, 64 << 10);
    ix_pack_str(&out, group);
    ix_pack_str(&out, err->text);
    send_buffer(context, IX_UP_LATE_FAILURE, &out);
    ix_buf_deinit(&out);
}

static void on_event(void *context, const char *name, const char *json)
{
    struct worker *w = context;
    struct ix_buf out;
    ix_buf_init(&out, 1 << 20);
    ix_pack_str(&out, name);
    ix_pack_str(&out, json);
    send_buffer(w, IX_UP_EVENT, &out);
    ix_buf_deinit(&out);
}

static void on_observed(void *context, uint64_t id, const struct ix_message *m, uint64_t at_ns)
{
    struct worker *w = context;
    ix_pack_u64(&w->out, id);
    ix_pack_u64(&w->out, at_ns);
    ix_pack_u8(&w->out, (uint8_t)m->qos);
    ix_pack_u8(&w->out, m->retain);
    ix_pack_u8(&w->out, m->duplicate);
    ix_pack_str(&w->out, m->topic);
    ix_pack_bytes(&w->out, m->payload, m->len);
    bool lost =
        w->out.overflow || (w->pipe && ix_frame_send(w->pipe, IX_UP_MESSAGE, w->out.data, w->out.len) < 0);
    w->segment->dropped += lost;
    if (!w->pipe && !lost)
        send_frame(w, IX_UP_MESSAGE);
    ix_buf_clear(&w->out);
}

static void on_arrived(void *context, const struct ix_message *message, uint64_t at_ns)
{
    ix_accountant_message(((struct worker *)context)->accountant, message, at_ns);
}

static void on_subscription_ready(void *context, uint64_t ticket, int code, const char *message)
{
    send_result(context, ticket, code, message, "", 0);
}

/* The second number: ns that it could have run and another process ran. */
static uint64_t waited_for_cpu(void)
{
    unsigned long long ran, waited = 0;
    FILE *file = fopen("/proc/self/schedstat", "re");
    if (file && fscanf(file, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    if (file)
        fclose(file);
    return waited;
}

/* Of this process, added to what its predecessors had. */
static void count_drops(struct worker *w)
{
    uint64_t frames = w->pipe ? ix_frame_dropped(w->pipe) : 0, lines = ix_log_dropped();
    w->segment->frames_dropped += frames - w->frames_dropped;
    w->segment->log_dropped += lines - w->log_dropped;
    w->frames_dropped = frames;
    w->log_dropped = lines;
}

static void housekeeping(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct worker *w = (struct worker *)((char *)entry - offsetof(struct worker, housekeeping));
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    w->segment->cpu_ns = ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * IX_S +
                         ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * IX_US;
    w->segment->busy_ns = ix_loop_busy_ns(w->loop);
    w->segment->alive_ns = now_ns;
    w->segment->lua_bytes = w->script ? ix_script_memory(w->script) : 0;
    w->segment->wait_ns = waited_for_cpu();
    count_drops(w);
    w->failures = 0;
    ix_log_flush(now_ns);
    ix_wheel_add(w->loop->wheel, &w->housekeeping, now_ns + HOUSEKEEPING_NS);
}

/* "A,B" → names that ${env.…} may use. */
static void split_allowed_env(struct worker *w)
{
    char *rest = w->hello.allowed_env, *name;
    while ((name = strsep(&rest, ",")) && w->env_count < ALLOWED_ENV_MAX)
        if (name[0])
            w->env_names[w->env_count++] = name;
}

static int start_devices(struct worker *w, struct ix_error *err)
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
        .device_error = on_device_error,
        .event = on_event,
        .context = w,
    };
    int code = ix_script_new(&script, &w->script, err);
    if (code < 0)
        return code;
    if (w->hello.scenario_path[0]) {
        code = ix_script_load_scenario(w->script, w->hello.scenario_path, w->hello.scenario,
                                       strlen(w->hello.scenario), err);
        if (code < 0)
            return code;
        json_t *options = json_loads(w->hello.options, 0, NULL);
        if (options)
            code = ix_script_set_options(w->script, options, err);
        json_decref(options);
        if (code < 0)
            return code;
    }
    struct ix_engine_config engine = {
        .loop = w->loop,
        .segment = w->segment,
        .seed = w->hello.seed,
        .allowed_env = (const char *const *)w->env_names,
        .allowed_env_count = w->env_count,
        .hooks = ix_script_hooks(w->script),
        .find_protocol = w->local ? w->local->find_protocol : NULL,
        .record_failed = on_record_failed,
        .context = w,
    };
    w->engine = ix_engine_new(&engine);
    return 0;
}

static void say_hello(struct worker *w)
{
    ix_pack_u64(&w->out, ix_wire_build());
    ix_pack_u64(&w->out, w->hello.run);
    ix_pack_u32(&w->out, w->hello.worker);
    ix_pack_u32(&w->out, w->hello.epoch);
    ix_pack_u32(&w->out, (uint32_t)getpid());
    ix_pack_u64(&w->out, ix_raise_descriptor_limit());
    send_frame(w, IX_UP_HELLO);
}

static int on_hello(struct worker *w, struct ix_reader *in, struct ix_error *err)
{
    if (w->greeted)
        return ix_fail(err, -EPROTO, "the controller said HELLO twice");
    int code = ix_hello_unpack(&w->hello, in, err);
    if (code < 0)
        return code;
    w->greeted = true;
    if (w->hello.build != ix_wire_build())
        return ix_fail(
            err, -EPROTO,
            "the iotix binary was replaced while it ran: its workers no longer match; start again");
    if (!w->local)
        w->segment = ix_segment_map(IX_WORKER_SEGMENT_FD, true, err);
    if (!w->segment)
        return err->code;
    w->segment->worker = w->hello.worker;
    w->segment->epoch = w->hello.epoch;
    w->segment->build = w->hello.build;
    if (!w->local) {
        w->loop->turn_counter = &w->segment->turns;
        w->loop->clock.wall_offset_ns = w->hello.wall_offset_ns;
        ix_log_set_level(w->hello.log_level);
        ix_log_set_sink(log_sink, w);
        ix_log_set_pair_sink(pair_sink, w);
    }
    if (w->hello.role == IX_WORKER_OBSERVER) {
        static const struct ix_observer_events events = {on_subscription_ready, on_observed, on_arrived};
        w->segment->is_observer = 1;
        w->segment->away = 0; /* a predecessor's clients went with it */
        w->observer = ix_observer_new(w->loop, w->hello.run, w->segment, &events, w);
    } else {
        code = start_devices(w, err);
        if (code < 0)
            return code;
    }
    say_hello(w);
    ix_wheel_add(w->loop->wheel, &w->housekeeping, ix_loop_update(w->loop));
    return 0;
}

static int on_record(struct worker *w, struct ix_reader *in, struct ix_error *err)
{
    struct ix_record record;
    int code = ix_record_unpack(&record, in, err);
    if (code < 0)
        return code;
    struct ix_error why = {0};
    code = ix_engine_apply(w->engine, &record, &why);
    ix_pack_u64(&w->out, record.sequence);
    ix_pack_u32(&w->out, (uint32_t)-code);
    ix_pack_str(&w->out, code < 0 ? why.text : "");
    send_frame(w, IX_UP_ACK);
    ix_record_deinit(&record);
    return 0;
}

static void on_each(struct worker *w, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in), visited = 0, errors = 0;
    char *group = ix_read_str(in);
    size_t len;
    const char *function = ix_read_bytes(in, &len);
    uint64_t first = ix_read_u64(in), count = ix_read_u64(in);
    struct ix_error err = {0};
    int code =
        ix_script_each(w->script, w->engine, group, function, len, first, count, &visited, &errors, &err);
    struct ix_buf result;
    ix_buf_init(&result, 64);
    ix_pack_u64(&result, visited);
    ix_pack_u64(&result, errors);
    send_result(w, ticket, code, err.text, result.data, result.len);
    ix_buf_deinit(&result);
    free(group);
}

static void on_device(struct worker *w, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    uint64_t index = ix_read_u64(in);
    size_t len;
    const char *function = ix_read_bytes(in, &len);
    struct ix_error err = {0};
    struct ix_buf result;
    ix_buf_init(&result, RESULT_MAX);
    struct ix_device *d = ix_device_find(w->engine, group, index);
    int code = d ? ix_script_device_call(w->script, d, function, len, &result, &err)
                 : ix_fail(&err, -ENOENT, "device %llu of group \"%s\" was never started",
                           (unsigned long long)index, group);
    send_result(w, ticket, code, err.text, result.data, result.len);
    ix_buf_deinit(&result);
    free(group);
}

static void on_command(struct worker *w, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    uint64_t index = ix_read_u64(in);
    char *name = ix_read_str(in), *json = ix_read_str(in);
    struct ix_error err = {0};
    struct ix_device *d = ix_device_find(w->engine, group, index);
    int code = d ? ix_engine_command(w->engine, d, name, json, strlen(json), &err)
                 : ix_fail(&err, -ENOENT, "device %llu of group \"%s\" was never started",
                           (unsigned long long)index, group);
    send_result(w, ticket, code, err.text, "", 0);
    free(group);
    free(name);
    free(json);
}

static void on_values(struct worker *w, struct ix_reader *in)
{
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
    send_result(w, ticket, 0, "", result.data, result.len);
    ix_buf_deinit(&result);
    free(group);
}

static void on_eligible(struct worker *w, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in);
    char *group = ix_read_str(in);
    size_t len;
    const char *function = ix_read_bytes(in, &len);
    uint64_t bits = ix_read_u64(in);
    struct ix_error err = {0};
    struct ix_bitmap map;
    struct ix_buf result;
    ix_bitmap_init(&map, bits);
    ix_buf_init(&result, RESULT_MAX);
    int code = len ? ix_script_eligible(w->script, w->engine, group, function, len, &map, &err)
                   : ix_engine_eligible(w->engine, group, NULL, NULL, &map, &err);
    ix_bitmap_pack(&map, &result);
    send_result(w, ticket, code, err.text, result.data, result.len);
    ix_buf_deinit(&result);
    ix_bitmap_deinit(&map);
    free(group);
}

#define TARGETS_MAX 4096

static void on_subscribe(struct worker *w, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in), id = ix_read_u64(in);
    char *topic = ix_read_str(in);
    int qos = ix_read_u8(in);
    char *username = ix_read_str(in), *password = ix_read_str(in);
    size_t count = ix_read_u32(in);
    if (in->bad || count > TARGETS_MAX)
        count = 0;
    struct ix_target *targets = ix_calloc(count ? count : 1, sizeof *targets);
    for (size_t i = 0; i < count; i++)
        ix_target_unpack(&targets[i], in);
    ix_observer_subscribe(w->observer, &(struct ix_observer_subscription){
                                           .ticket = ticket,
                                           .id = id,
                                           .topics = (const char *const *)&topic,
                                           .topic_count = 1,
                                           .qos = qos,
                                           .username = username,
                                           .password = password,
                                           .targets = targets,
                                           .target_count = count,
                                       });
    free(targets);
    free(topic);
    free(username);
    free(password);
}

static int need_ledger(struct worker *w, struct ix_error *err)
{
    if (!w->ledger)
        w->ledger = ix_ledger_map(w->local ? w->local->ledger_fd : IX_WORKER_LEDGER_FD, true, err);
    return w->ledger ? 0 : err->code;
}

static int on_account(struct worker *w, struct ix_reader *in, struct ix_error *err)
{
    struct ix_account a;
    int code = ix_account_unpack(&a, in) ? need_ledger(w, err) : ix_fail(err, -EPROTO, "ACCOUNT is cut off");
    if (code == 0 && !w->accountant)
        w->accountant = ix_accountant_new(&(struct ix_accounting){.ledger = w->ledger,
                                                                  .segment = w->segment,
                                                                  .field = a.field,
                                                                  .late_ns = a.late_ns,
                                                                  .is_shared = a.is_shared});
    w->segment->accounts = code == 0;
    if (code == 0)
        ix_observer_subscribe(w->observer, &(struct ix_observer_subscription){
                                               .ticket = a.ticket,
                                               .id = a.id,
                                               .topics = (const char *const *)a.topics,
                                               .topic_count = a.topic_count,
                                               .qos = a.qos,
                                               .is_ledger = true,
                                               .username = a.username,
                                               .password = a.password,
                                               .targets = a.targets,
                                               .target_count = a.target_count,
                                           });
    ix_account_deinit(&a);
    return code;
}

static int on_observe(struct worker *w, struct ix_reader *in, struct ix_error *err)
{
    uint64_t ticket = ix_read_u64(in);
    uint8_t way = ix_read_u8(in);
    char *field = ix_read_str(in);
    size_t count;
    char **topics = ix_texts_unpack(in, &count);
    int code = need_ledger(w, err);
    struct ix_error why = {0};
    if (code == 0) {
        int refused = ix_engine_observe(w->engine,
                                        &(struct ix_observation){.ledger = w->ledger,
                                                                 .way = way,
                                                                 .field = field,
                                                                 .filters = (const char *const *)topics,
                                                                 .filter_count = count},
                                        &why);
        send_result(w, ticket, refused, why.text, "", 0);
    }
    ix_texts_free(topics, count);
    free(field);
    return code;
}

static void on_pace(struct worker *w, struct ix_reader *in)
{
    double interval = ix_read_f64(in), offset = ix_read_f64(in);
    ix_engine_set_pace(w->engine, interval, offset, ix_read_u32(in));
}

static void on_drained(void *context)
{
    struct worker *w = context;
    housekeeping(&w->housekeeping, ix_loop_update(w->loop));
    send_frame(w, IX_UP_DRAINED);
}

static void on_frame(void *context, uint8_t type, const void *payload, size_t len)
{
    struct worker *w = context;
    struct ix_reader in = ix_reader_of(payload, len);
    struct ix_error err = {0};
    int code = 0;
    bool devices = w->engine != NULL, observes = w->observer != NULL;
    ix_loop_update(w->loop);
    if (type == IX_DOWN_HELLO)
        code = on_hello(w, &in, &err);
    else if (type == IX_DOWN_EXIT)
        ix_loop_stop(w->loop);
    else if (type == IX_DOWN_RECORD && devices)
        code = on_record(w, &in, &err);
    else if (type == IX_DOWN_EACH && devices)
        on_each(w, &in);
    else if (type == IX_DOWN_DEVICE && devices)
        on_device(w, &in);
    else if (type == IX_DOWN_COMMAND && devices)
        on_command(w, &in);
    else if (type == IX_DOWN_VALUES && devices)
        on_values(w, &in);
    else if (type == IX_DOWN_ELIGIBLE && devices)
        on_eligible(w, &in);
    else if (type == IX_DOWN_PACE && devices)
        on_pace(w, &in);
    else if (type == IX_DOWN_DRAIN && devices)
        ix_engine_drain(w->engine, ix_read_u64(&in), on_drained, w);
    else if (type == IX_DOWN_OBSERVE && devices)
        code = on_observe(w, &in, &err);
    else if (type == IX_DOWN_ACCOUNT && observes)
        code = on_account(w, &in, &err);
    else if (type == IX_DOWN_SUBSCRIBE && observes)
        on_subscribe(w, &in);
    else if (type == IX_DOWN_UNSUBSCRIBE && observes)
        ix_observer_unsubscribe(w->observer, ix_read_u64(&in));
    else
        code = ix_fail(&err, -EPROTO, "unexpected frame %u from the controller", type);
    if (code < 0)
        fatal(w, &err);
}

static void on_pipe_closed(void *context, int code)
{
    (void)code; /* the controller is gone: nothing is left to do */
    ix_loop_stop(((struct worker *)context)->loop);
}

static void release(struct worker *w)
{
    ix_wheel_cancel(w->loop->wheel, &w->housekeeping);
    ix_engine_free(w->engine);
    ix_observer_free(w->observer);
    ix_accountant_free(w->accountant);
    ix_ledger_unmap(w->ledger);
    ix_script_free(w->script);
    ix_hello_deinit(&w->hello);
    ix_buf_deinit(&w->out);
}

int ix_worker_main(int argc, char **argv)
{
    /* Ctrl-C reaches the whole terminal group, and so do the signals of `timeout` and of CI systems; it is the
     * controller that drains and stops us. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (argc != 3)
        return 2;
    ix_child_die_with_parent((int)strtol(argv[2], NULL, 10));
    ix_raise_descriptor_limit();

    struct ix_loop loop;
    struct worker w = {.loop = &loop};
    struct ix_error err;
    static const struct ix_pipe_events events = {on_frame, on_pipe_closed};
    ix_buf_init(&w.out, IX_FRAME_MAX);
    w.housekeeping.fire = housekeeping;
    if (ix_loop_init(&loop, &err) < 0 ||
        ix_pipe_open(&loop, IX_WORKER_PIPE_FD, QUEUE_LIMIT, &events, &w, &w.pipe, &err) < 0) {
        fprintf(stderr, "iotix worker: %s\n", err.text);
        return 1;
    }
    ix_loop_run(&loop);

    ix_log_set_sink(NULL, NULL);
    ix_log_set_pair_sink(NULL, NULL);
    release(&w);
    ix_pipe_free(w.pipe);
    loop.turn_counter = &loop.own_turns;
    ix_loop_deinit(&loop);
    ix_segment_unmap(w.segment);
    return w.status;
}

/* ---- inside of another process ---- */

struct ix_worker_local {
    struct ix_worker_local_config config;
    struct worker w;
};

struct ix_worker_local *ix_worker_local_new(const struct ix_worker_local_config *config)
{
    struct ix_worker_local *local = ix_calloc(1, sizeof *local);
    local->config = *config;
    struct worker *w = &local->w;
    w->loop = config->loop;
    w->segment = config->segment;
    w->local = &local->config;
    ix_buf_init(&w->out, IX_FRAME_MAX);
    w->housekeeping.fire = housekeeping;
    return local;
}

void ix_worker_local_frame(struct ix_worker_local *local, uint8_t type, const void *payload, size_t len)
{
    if (local->w.script)
        ix_script_hooks(
            local->w.script); /* several states may be here: generators in Lua come from this one */
    if (type != IX_DOWN_EXIT)
        on_frame(&local->w, type, payload, len);
}

void ix_worker_local_free(struct ix_worker_local *local)
{
    release(&local->w);
    free(local);
}
