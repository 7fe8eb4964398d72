#include "control/workers_local.h"

#include "loop/frame.h"
#include "protocol/dry.h"

#include <stdlib.h>

struct ix_local {
    struct ix_loop *loop;
    struct ix_worker_local *worker; /* NULL: an observer, or freed */
    bool observes;
    bool dead;
    unsigned pending; /* frames on their way */
    void (*up)(void *context, uint8_t type, const void *payload, size_t len);
    void *context;
};

struct frame {
    struct ix_local *local;
    uint8_t type;
    size_t len;
    char payload[];
};

struct ix_local *ix_local_new(struct ix_loop *loop, enum ix_worker_role role, struct ix_segment *segment,
                              int ledger_fd,
                              void (*up)(void *context, uint8_t type, const void *payload, size_t len),
                              void *context)
{
    struct ix_local *local = ix_calloc(1, sizeof *local);
    *local =
        (struct ix_local){.loop = loop, .observes = role == IX_WORKER_OBSERVER, .up = up, .context = context};
    const struct ix_worker_local_config config = {.loop = loop,
                                                  .segment = segment,
                                                  .ledger_fd = ledger_fd,
                                                  .find_protocol = ix_dry_find,
                                                  .up = up,
                                                  .context = context};
    if (!local->observes)
        local->worker = ix_worker_local_new(&config);
    return local;
}

/* ---- observers ---- */

static void on_message(void *context, uint64_t id, const struct ix_message *m)
{
    struct ix_local *local = context;
    struct ix_buf out;
    ix_buf_init(&out, IX_FRAME_MAX);
    ix_pack_u64(&out, id);
    ix_pack_u64(&out, ix_clock_now(&local->loop->clock));
    ix_pack_u8(&out, (uint8_t)m->qos);
    ix_pack_u8(&out, 0);
    ix_pack_u8(&out, 0);
    ix_pack_str(&out, m->topic);
    ix_pack_bytes(&out, m->payload, m->len);
    if (!local->dead && !out.overflow)
        local->up(local->context, IX_UP_MESSAGE, out.data, out.len);
    ix_buf_deinit(&out);
}

static void greet(struct ix_local *local, struct ix_reader *in)
{
    struct ix_hello hello;
    struct ix_error err;
    if (ix_hello_unpack(&hello, in, &err) < 0)
        return;
    struct ix_buf out;
    ix_buf_init(&out, 64);
    ix_pack_u64(&out, ix_wire_build());
    ix_pack_u64(&out, hello.run);
    ix_pack_u32(&out, hello.worker);
    ix_pack_u32(&out, hello.epoch);
    local->up(local->context, IX_UP_HELLO, out.data, out.len);
    ix_buf_deinit(&out);
    ix_hello_deinit(&hello);
}

static void confirm(struct ix_local *local, uint64_t ticket)
{
    struct ix_buf out;
    ix_buf_init(&out, 64);
    ix_pack_u64(&out, ticket);
    ix_pack_u32(&out, 0);
    ix_pack_str(&out, "");
    ix_pack_bytes(&out, "", 0);
    local->up(local->context, IX_UP_RESULT, out.data, out.len);
    ix_buf_deinit(&out);
}

static void subscribe(struct ix_local *local, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in), id = ix_read_u64(in);
    char *topic = ix_read_str(in);
    ix_dry_subscribe(id, topic, on_message, local);
    free(topic);
    confirm(local, ticket);
}

/* Nothing is delivered, so that there is nothing to account for. */
static void account(struct ix_local *local, struct ix_reader *in)
{
    struct ix_account a;
    if (ix_account_unpack(&a, in))
        confirm(local, a.ticket);
    ix_account_deinit(&a);
}

static void observe(struct ix_local *local, uint8_t type, struct ix_reader *in)
{
    if (type == IX_DOWN_HELLO)
        greet(local, in);
    else if (type == IX_DOWN_SUBSCRIBE)
        subscribe(local, in);
    else if (type == IX_DOWN_ACCOUNT)
        account(local, in);
    else if (type == IX_DOWN_UNSUBSCRIBE)
        ix_dry_unsubscribe(ix_read_u64(in));
}

/* ---- frames ---- */

static void deliver(void *context)
{
    struct frame *f = context;
    struct ix_local *local = f->local;
    struct ix_reader in = ix_reader_of(f->payload, f->len);
    local->pending--;
    if (!local->dead && local->observes)
        observe(local, f->type, &in);
    else if (!local->dead)
        ix_worker_local_frame(local->worker, f->type, f->payload, f->len);
    if (local->dead && !local->pending)
        free(local);
    free(f);
}

void ix_local_send(struct ix_local *local, uint8_t type, const void *payload, size_t len)
{
    struct frame *f = ix_malloc(sizeof *f + len);
    *f = (struct frame){local, type, len};
    if (len)
        memcpy(f->payload, payload, len);
    local->pending++;
    ix_loop_defer(local->loop, deliver, f);
}

void ix_local_free(struct ix_local *local)
{
    if (local->worker)
        ix_worker_local_free(local->worker);
    local->worker = NULL;
    local->dead = true;
    if (!local->pending)
        free(local);
}
