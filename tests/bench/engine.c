/* What one telemetry message costs inside a worker, without network and kernel: the device engine in virtual
 * time over a protocol that swallows messages. Three engines take turns, so that what disturbs the machine
 * disturbs all of them:
 *
 *   plain    no Lua anywhere: the table of hooks is empty
 *   present  as a worker runs it: a Lua state exists, the model uses none of it
 *   lua      the same values from a generator written in Lua (generators/uniform.lua)
 *
 *   engine DEVICES ROUNDS
 *
 * Prints one line of JSON: for each engine the ns of CPU time for each message, round by round. */
#include "device/engine.h"
#include "base/error.h"
#include "script/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define S           1000000000ull
#define ROUND_NS    (5 * S) /* virtual */
#define INTERVAL_MS "100"

#define MODEL(generator)                                                                           \
    "{\"id\":\"bench\",\"name\":\"Bench\",\"type\":\"sensor\",\"protocol\":\"mqtt\","              \
    "\"connection\":{\"qos\":0,\"topicPattern\":\"devices/${deviceId}/telemetry\"},"               \
    "\"telemetry\":[{\"name\":\"temperature\",\"type\":\"number\",\"unit\":\"celsius\",\"phase\":" \
    "\"random\",\"precision\":3,\"intervalMs\":" INTERVAL_MS ",\"generator\":{" generator "}}]}"
#define NATIVE MODEL("\"type\":\"random\",\"min\":10,\"max\":99")
#define CUSTOM MODEL("\"type\":\"custom\",\"handler\":\"uniform\",\"config\":{\"min\":10,\"max\":99}")

/* ---- a protocol that accepts everything ---- */

struct ix_transport {
    const struct ix_link_events *events;
};

struct ix_link {
    struct ix_wheel_entry connect;
    struct ix_transport *transport;
    void *owner;
};

static uint64_t swallowed;

static int sink_open(struct ix_loop *loop, const struct ix_connection_spec *spec,
                     const struct ix_target *target, const struct ix_link_events *events,
                     struct ix_transport **transport, struct ix_error *err)
{
    (void)loop, (void)spec, (void)target, (void)err;
    *transport = ix_calloc(1, sizeof(**transport));
    (*transport)->events = events;
    return 0;
}

static void sink_release(struct ix_transport *transport)
{
    free(transport);
}

static struct ix_wheel *connecting_in;

static void sink_accept(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_link *link = (struct ix_link *)entry;
    (void)now_ns;
    link->transport->events->connected(link->owner, false);
}

static int sink_connect(struct ix_transport *transport, const struct ix_identity *identity, void *owner,
                        struct ix_link **out, struct ix_error *err)
{
    (void)identity, (void)err;
    struct ix_link *link = ix_calloc(1, sizeof(*link));
    link->connect.fire = sink_accept;
    link->transport = transport;
    link->owner = owner;
    ix_wheel_add(connecting_in, &link->connect, 0);
    *out = link;
    return 0;
}

static int sink_publish(struct ix_link *link, const struct ix_message *message, uint16_t *token)
{
    (void)link, (void)message, (void)token;
    swallowed++;
    return IX_PUBLISHED;
}

static void sink_close(struct ix_link *link, enum ix_way way)
{
    (void)way;
    ix_wheel_cancel(connecting_in, &link->connect);
    free(link);
}

static const struct ix_protocol sink = {.name = "sink",
                                        .open = sink_open,
                                        .release = sink_release,
                                        .connect = sink_connect,
                                        .publish = sink_publish,
                                        .close = sink_close};

static const struct ix_protocol *find_sink(enum ix_protocol_kind kind, struct ix_error *err)
{
    (void)kind, (void)err;
    return &sink;
}

/* ---- all devices start at once ---- */

static int at_once(void *context, const uint64_t *places, size_t count, double *seconds, struct ix_error *err)
{
    (void)context, (void)places, (void)err;
    memset(seconds, 0, count * sizeof(*seconds));
    return 0;
}

static void close_nothing(void *context)
{
    (void)context;
}

static int open_at_once(void *context, const struct ix_strategy_spec *spec, uint64_t count, uint64_t key,
                        struct ix_schedule *schedule, struct ix_error *err)
{
    (void)context, (void)spec, (void)count, (void)key, (void)err;
    *schedule = (struct ix_schedule){.at_places = at_once, .close = close_nothing};
    return 0;
}

/* ---- engines ---- */

struct bench {
    const char *name;
    const char *model;
    bool has_lua;
    struct ix_loop loop;
    struct ix_script *script;
    struct ix_segment *segment;
    struct ix_engine *engine;
};

static void must(int code, const struct ix_error *err)
{
    if (code >= 0)
        return;
    fprintf(stderr, "engine: %s\n", err->text);
    exit(1);
}

static void apply(struct bench *b, struct ix_record *record, uint64_t sequence)
{
    struct ix_error err = {0};
    record->sequence = sequence;
    record->group = (char *)"bench";
    record->subkey = (char *)"";
    must(ix_engine_apply(b->engine, record, &err), &err);
}

static void start(struct bench *b, const char *folder, uint64_t devices)
{
    struct ix_error err = {0};
    must(ix_loop_init(&b->loop, &err), &err);
    ix_loop_set_virtual(&b->loop, 1700000000ll * (int64_t)S);
    int fd = ix_segment_create(0, &err);
    must(fd, &err);
    b->segment = ix_segment_map(fd, true, &err);
    must(b->segment ? 0 : -1, &err);
    close(fd);
    struct ix_engine_config config = {.loop = &b->loop, .segment = b->segment, .find_protocol = find_sink};
    if (b->has_lua) {
        struct ix_script_config script = {.role = IX_ROLE_WORKER, .loop = &b->loop, .segment = b->segment};
        must(ix_script_new(&script, &b->script, &err), &err);
        config.hooks = ix_script_hooks(b->script);
    }
    config.hooks.schedule_open = open_at_once;
    b->engine = ix_engine_new(&config);
    connecting_in = b->loop.wheel;
    struct ix_target target = {"127.0.0.1", "localhost", 1883};
    struct ix_record spec = {.kind = IX_RECORD_SPEC,
                             .spec = {.id_pattern = (char *)"bench-{index}",
                                      .count = devices,
                                      .model = (char *)b->model,
                                      .model_folder = (char *)folder,
                                      .targets = &target,
                                      .target_count = 1}};
    memset(spec.spec.shards, 0xff, sizeof(spec.spec.shards));
    apply(b, &spec, 1);
    struct ix_record launch = {.kind = IX_RECORD_LAUNCH, .launch.strategy.name = (char *)"linear"};
    apply(b, &launch, 2);
    ix_loop_run_virtual(&b->loop, S);
}

static void end(struct bench *b)
{
    connecting_in = b->loop.wheel;
    ix_engine_free(b->engine);
    ix_script_free(b->script);
    ix_segment_unmap(b->segment);
    ix_loop_deinit(&b->loop);
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double run_round(struct bench *b)
{
    uint64_t before = swallowed;
    double begun = cpu_ns();
    ix_loop_run_virtual(&b->loop, b->loop.clock.virtual_ns + ROUND_NS);
    double used = cpu_ns() - begun;
    if (swallowed == before) {
        fprintf(stderr, "engine: no message came\n");
        exit(1);
    }
    return used / (double)(swallowed - before);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: engine FOLDER DEVICES ROUNDS\n");
        return 2;
    }
    uint64_t devices = strtoull(argv[2], NULL, 10);
    size_t rounds = strtoul(argv[3], NULL, 10);
    struct bench benches[] = {
        {.name = "plain", .model = NATIVE},
        {.name = "present", .model = NATIVE, .has_lua = true},
        {.name = "lua", .model = CUSTOM, .has_lua = true},
    };
    enum { COUNT = sizeof(benches) / sizeof(benches[0]) };
    double *taken = calloc(rounds * COUNT + 1, sizeof(*taken));
    for (size_t i = 0; i < COUNT; i++) {
        start(&benches[i], argv[1], devices);
        run_round(&benches[i]); /* caches and the JIT warm up */
    }
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT; i++)
            taken[round * COUNT + i] = run_round(&benches[i]);
    for (size_t i = 0; i < COUNT; i++) {
        printf("%s\"%s\": [", i ? ", " : "{", benches[i].name);
        for (size_t round = 0; round < rounds; round++)
            printf("%s%.1f", round ? ", " : "", taken[round * COUNT + i]);
        printf("]");
        end(&benches[i]);
    }
    printf("}\n");
    free(taken);
    return 0;
}
