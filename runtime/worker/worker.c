#include "worker/worker.h"

#include "base/units.h"
#include "loop/child.h"
#include "worker/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define QUEUE_LIMIT     (32u << 20)
#define HOUSEKEEPING_NS IX_S

/* ---- upkeep ---- */

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
static void count_drops(struct ix_worker *w)
{
    uint64_t frames = w->pipe ? ix_frame_dropped(w->pipe) : 0, lines = ix_log_dropped();
    w->segment->frames_dropped += frames - w->frames_dropped;
    w->segment->log_dropped += lines - w->log_dropped;
    w->frames_dropped = frames;
    w->log_dropped = lines;
}

void ix_worker_take_stock(struct ix_worker *w, uint64_t now_ns)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    w->segment->cpu_ns = ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * IX_S +
                         ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * IX_US;
    w->segment->busy_ns = ix_loop_busy_ns(w->loop);
    w->segment->alive_ns = now_ns;
    w->segment->lua_bytes = w->script ? ix_script_memory(w->script) : 0;
    w->segment->wait_ns = waited_for_cpu();
    count_drops(w);
}

static void housekeeping(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_worker *w = (struct ix_worker *)((char *)entry - offsetof(struct ix_worker, housekeeping));
    ix_worker_take_stock(w, now_ns);
    w->failures = 0;
    ix_log_flush(now_ns);
    ix_wheel_add(w->loop->wheel, &w->housekeeping, now_ns + HOUSEKEEPING_NS);
}

int ix_worker_need_ledger(struct ix_worker *w, struct ix_error *err)
{
    if (!w->ledger)
        w->ledger = ix_ledger_map(w->local ? w->local->ledger_fd : IX_WORKER_LEDGER_FD, true, err);
    return w->ledger ? 0 : err->code;
}

/* ---- what it is told ---- */

static void say_hello(struct ix_worker *w)
{
    ix_pack_u64(&w->out, ix_wire_build());
    ix_pack_u64(&w->out, w->hello.run);
    ix_pack_u32(&w->out, w->hello.worker);
    ix_pack_u32(&w->out, w->hello.epoch);
    ix_pack_u32(&w->out, (uint32_t)getpid());
    ix_pack_u64(&w->out, ix_raise_descriptor_limit());
    ix_worker_send(w, IX_UP_HELLO);
}

static int on_hello(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
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
        ix_log_set_sink(ix_worker_tell_log, w);
        ix_log_set_pair_sink(ix_worker_tell_repeat, w);
    }
    const struct ix_worker_duties *duties =
        w->hello.role == IX_WORKER_OBSERVER ? &ix_worker_observer_duties : &ix_worker_device_duties;
    code = duties->start(w, err);
    if (code < 0)
        return code;
    w->duties = duties;
    say_hello(w);
    ix_wheel_add(w->loop->wheel, &w->housekeeping, ix_loop_update(w->loop));
    return 0;
}

static int dispatch(struct ix_worker *w, uint8_t type, struct ix_reader *in, struct ix_error *err)
{
    if (type == IX_DOWN_HELLO)
        return on_hello(w, in, err);
    if (type == IX_DOWN_EXIT) {
        ix_loop_stop(w->loop);
        return 0;
    }
    for (size_t i = 0; w->duties && i < w->duties->request_count; i++)
        if (w->duties->requests[i].type == type)
            return w->duties->requests[i].handle(w, in, err);
    return ix_fail(err, -EPROTO, "unexpected frame %u from the controller", type);
}

static void on_frame(void *context, uint8_t type, const void *payload, size_t len)
{
    struct ix_worker *w = context;
    struct ix_reader in = ix_reader_of(payload, len);
    struct ix_error err = {0};
    ix_loop_update(w->loop);
    if (dispatch(w, type, &in, &err) < 0)
        ix_worker_send_fatal(w, &err);
}

static void on_pipe_closed(void *context, int code)
{
    (void)code; /* the controller is gone: nothing is left to do */
    ix_loop_stop(((struct ix_worker *)context)->loop);
}

static void release(struct ix_worker *w)
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
    struct ix_worker w = {.loop = &loop};
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
    struct ix_worker w;
};

struct ix_worker_local *ix_worker_local_new(const struct ix_worker_local_config *config)
{
    struct ix_worker_local *local = ix_calloc(1, sizeof *local);
    local->config = *config;
    struct ix_worker *w = &local->w;
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
