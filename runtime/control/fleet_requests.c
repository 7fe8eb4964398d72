/* What waits for answers of workers: acknowledged records, selections of dropouts, calls into devices. */
#include "control/fleet_internal.h"

#include "base/random.h"
#include "base/units.h"

#include <stdlib.h>

#define REQUEST_MAX (64u << 20)

struct request *ix_fleet_request(struct ix_fleet *fleet, enum request_kind kind, uint64_t key,
                                 uint64_t ticket)
{
    struct request *r = ix_calloc(1, sizeof *r);
    r->kind = kind;
    r->key = key;
    r->ticket = ticket;
    r->next = fleet->requests;
    fleet->requests = r;
    return r;
}

void ix_fleet_request_free(struct request *r)
{
    json_decref(r->result);
    ix_bitmap_deinit(&r->eligible);
    ix_buf_deinit(&r->payload);
    free(r->message);
    free(r);
}

void ix_fleet_request_expect(struct request *r, uint32_t worker)
{
    if (!bit_get(r->waiting, worker)) {
        bit_set(r->waiting, worker);
        r->waiting_count++;
    }
}

/* A spec that a worker refused is remembered: what is asked of the group afterwards fails for that reason. */
static void note_broken_spec(struct ix_fleet *fleet, const struct request *r)
{
    for (struct group *g = fleet->groups; g; g = g->next)
        if (g->spec.sequence == r->key && !g->broken)
            g->broken = ix_strdup(r->message);
}

static const char *reason_of(const struct ix_fleet *fleet, const struct request *r)
{
    for (const struct group *g = fleet->groups; g; g = g->next)
        for (const struct stored *s = g->records; s && g->broken; s = s->next)
            if (s->sequence == r->key)
                return g->broken;
    return r->message ? r->message : "";
}

void ix_fleet_request_settle(struct ix_fleet *fleet, struct request *r)
{
    if (r->waiting_count)
        return;
    struct request **at = &fleet->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (r->is_answered) {
        if (r->code < 0 && fleet->config.failed)
            fleet->config.failed(fleet->config.context, r->code, reason_of(fleet, r));
    } else if (r->kind == REQUEST_ELIGIBLE && r->code == 0) {
        ix_fleet_dropout_chosen(fleet, r);
    } else if (r->ticket) {
        if (r->kind == REQUEST_ELIGIBLE && r->dropout)
            ix_fleet_dropout_forget(fleet, r->dropout);
        if (r->kind == REQUEST_EACH && r->code == 0)
            r->result =
                json_pack("{s:I, s:I}", "devices", (json_int_t)r->devices, "errors", (json_int_t)r->errors);
        fleet->config.done(fleet->config.context, r->ticket, r->kind == REQUEST_RECORD, r->code,
                           r->code ? NULL : json_incref(r->result), r->code ? reason_of(fleet, r) : "");
    } else if (r->code < 0) {
        note_broken_spec(fleet, r);
    }
    ix_fleet_request_free(r);
}

void ix_fleet_request_answer(struct ix_fleet *fleet, struct request *r, uint32_t worker, int code,
                             const char *message)
{
    if (!bit_get(r->waiting, worker))
        return;
    bit_clear(r->waiting, worker);
    r->waiting_count--;
    if (code < 0 && !r->code) {
        r->code = code;
        r->message = ix_strdup(message);
    }
    if (r->first_answers && r->waiting_count && !r->is_answered && r->ticket) {
        r->is_answered = true;
        fleet->config.done(fleet->config.context, r->ticket, true, r->code,
                           r->code ? NULL : json_incref(r->result), r->code ? reason_of(fleet, r) : "");
        r->code = 0; /* told; only what another worker says is news */
    }
    ix_fleet_request_settle(fleet, r);
}

/* Records are sent again to the successor, which then acknowledges them; other requests would wait for ever.
 */
void ix_fleet_worker_lost(struct ix_fleet *fleet, uint32_t worker)
{
    struct request *next;
    for (struct request *r = fleet->requests; r; r = next) {
        next = r->next;
        if (r->kind == REQUEST_RECORD || !bit_get(r->waiting, worker))
            continue;
        int code = r->kind == REQUEST_ELIGIBLE ? 0 : -ECONNRESET;
        ix_fleet_request_answer(
            fleet, r, worker, code,
            "its worker ended before it answered; a function that doesn't return is killed "
            "like this");
        next = fleet->requests; /* settling may have changed the list */
    }
    if (bit_get(fleet->draining, worker)) {
        bit_clear(fleet->draining, worker);
        if (--fleet->draining_count == 0 && fleet->drained)
            ix_wheel_add(fleet->config.loop->wheel, &fleet->drain_timeout, 0);
    }
}

static struct request *find_request(struct ix_fleet *fleet, bool is_record, uint64_t key)
{
    for (struct request *r = fleet->requests; r; r = r->next)
        if ((r->kind == REQUEST_RECORD) == is_record && r->key == key)
            return r;
    return NULL;
}

int ix_fleet_ask_worker(struct ix_fleet *fleet, struct request *r, uint32_t worker, uint8_t type,
                        const struct ix_buf *payload)
{
    struct ix_workers *workers = fleet->config.workers;
    int code = ix_workers_send(workers, worker, type, payload);
    if (code == -ENOTCONN && ix_workers_is_new(workers, worker)) {
        if (!r->payload.len) {
            ix_buf_init(&r->payload, REQUEST_MAX);
            ix_buf_put(&r->payload, payload->data, payload->len);
        }
        r->type = type;
        bit_set(r->held, worker);
        code = 0;
    }
    if (code == 0)
        ix_fleet_request_expect(r, worker);
    return code;
}

void ix_fleet_ask(struct ix_fleet *fleet, const struct group *g, struct request *r, uint8_t type,
                  const struct ix_buf *payload)
{
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        if (bit_get(g->on, i) &&
            (r->kind != REQUEST_ELIGIBLE || ix_workers_is_ready(fleet->config.workers, i)))
            ix_fleet_ask_worker(fleet, r, i, type, payload);
}

static struct group *need_group(const struct ix_fleet *fleet, const char *id, struct ix_error *err)
{
    struct group *g = ix_fleet_find(fleet, id);
    if (!g)
        ix_fail(err, -ENOENT, "there is no group \"%s\"", id);
    return g;
}

/* ---- calls into devices ---- */

int ix_fleet_each(struct ix_fleet *fleet, const char *group, const char *function, size_t len, uint64_t first,
                  uint64_t count, uint64_t ticket, struct ix_error *err)
{
    struct group *g = need_group(fleet, group, err);
    if (!g)
        return err->code;
    struct request *r = ix_fleet_request(fleet, REQUEST_EACH, ++fleet->last_ticket, ticket);
    struct ix_buf out;
    ix_buf_init(&out, REQUEST_MAX);
    ix_pack_u64(&out, r->key);
    ix_pack_str(&out, g->id);
    ix_pack_bytes(&out, function, len);
    ix_pack_u64(&out, first);
    ix_pack_u64(&out, count);
    ix_fleet_ask(fleet, g, r, IX_DOWN_EACH, &out);
    ix_buf_deinit(&out);
    ix_fleet_request_settle(fleet, r);
    return 0;
}

/* The worker of one device; < 0 with a message if it has none that answers. */
static int home_of(struct ix_fleet *fleet, const struct group *g, uint64_t index, struct ix_error *err)
{
    if (index >= g->count)
        return ix_fail(err, -ENOENT, "group \"%s\" has devices 0 to %llu, not %llu", g->id,
                       (unsigned long long)g->count - 1, (unsigned long long)index);
    uint16_t worker = g->place[ix_shard_of(g->key, index)];
    if (worker == UNPLACED)
        return ix_fail(err, -ENOTCONN, "group \"%s\" was never started", g->id);
    if (!ix_workers_is_ready(fleet->config.workers, worker) &&
        !ix_workers_is_new(fleet->config.workers, worker))
        return ix_fail(err, -EAGAIN, "the worker of device %llu of group \"%s\" is starting",
                       (unsigned long long)index, g->id);
    return worker;
}

/* Begins the payload of a request to one device: ticket, group, index. NULL with a message if it has no worker
 * that answers. */
static struct request *begin_device(struct ix_fleet *fleet, const char *group, uint64_t index,
                                    uint64_t ticket, struct ix_buf *out, int *home, struct ix_error *err)
{
    const struct group *g = need_group(fleet, group, err);
    if (!g)
        return NULL;
    *home = home_of(fleet, g, index, err);
    if (*home < 0)
        return NULL;
    struct request *r = ix_fleet_request(fleet, REQUEST_DEVICE, ++fleet->last_ticket, ticket);
    ix_buf_init(out, REQUEST_MAX);
    ix_pack_u64(out, r->key);
    ix_pack_str(out, g->id);
    ix_pack_u64(out, index);
    return r;
}

static void send_device(struct ix_fleet *fleet, struct request *r, uint8_t type, struct ix_buf *out, int home)
{
    r->code = ix_fleet_ask_worker(fleet, r, (uint32_t)home, type, out);
    if (r->code < 0)
        r->message = ix_strdup("its worker takes no more requests at the moment");
    ix_buf_deinit(out);
    ix_fleet_request_settle(fleet, r);
}

int ix_fleet_device(struct ix_fleet *fleet, const char *group, uint64_t index, const char *function,
                    size_t len, uint64_t ticket, struct ix_error *err)
{
    struct ix_buf out;
    int home;
    struct request *r = begin_device(fleet, group, index, ticket, &out, &home, err);
    if (!r)
        return err->code;
    ix_pack_bytes(&out, function, len);
    send_device(fleet, r, IX_DOWN_DEVICE, &out, home);
    return 0;
}

int ix_fleet_values(struct ix_fleet *fleet, const char *group, uint64_t index, uint64_t ticket,
                    struct ix_error *err)
{
    struct ix_buf out;
    int home;
    struct request *r = begin_device(fleet, group, index, ticket, &out, &home, err);
    if (!r)
        return err->code;
    send_device(fleet, r, IX_DOWN_VALUES, &out, home);
    return 0;
}

int ix_fleet_command(struct ix_fleet *fleet, const char *group, uint64_t index, const char *name,
                     const char *json, uint64_t ticket, struct ix_error *err)
{
    struct ix_buf out;
    int home;
    struct request *r = begin_device(fleet, group, index, ticket, &out, &home, err);
    if (!r)
        return err->code;
    ix_pack_str(&out, name);
    ix_pack_str(&out, json);
    send_device(fleet, r, IX_DOWN_COMMAND, &out, home);
    return 0;
}

/* ---- answers ---- */

static void on_result(struct ix_fleet *fleet, uint32_t worker, struct ix_reader *in)
{
    uint64_t key = ix_read_u64(in);
    int code = -(int)ix_read_u32(in);
    char *message = ix_read_str(in);
    size_t len;
    const void *data = ix_read_bytes(in, &len);
    struct request *r = find_request(fleet, false, key);
    if (r && code == 0) {
        struct ix_reader result = ix_reader_of(data, len);
        struct ix_error err = {0};
        if (r->kind == REQUEST_EACH) {
            r->devices += ix_read_u64(&result);
            r->errors += ix_read_u64(&result);
        } else if (r->kind == REQUEST_ELIGIBLE) {
            struct ix_bitmap part;
            code = ix_bitmap_unpack(&part, &result, &err);
            if (code == 0) {
                ix_bitmap_merge(&r->eligible, &part);
                ix_bitmap_deinit(&part);
            }
        } else if (r->kind == REQUEST_DEVICE) {
            r->result = len ? json_loadb(data, len, JSON_DECODE_ANY, NULL) : json_object();
            if (!r->result)
                r->result = json_null();
        }
        ix_fleet_request_answer(fleet, r, worker, code, err.text);
    } else if (r) {
        ix_fleet_request_answer(fleet, r, worker, code, message);
    }
    free(message);
}

static void all_drained(struct ix_fleet *fleet)
{
    void (*drained)(void *) = fleet->drained;
    fleet->drained = NULL;
    ix_wheel_cancel(fleet->config.loop->wheel, &fleet->drain_timeout);
    if (drained)
        drained(fleet->drained_context);
}

bool ix_fleet_frame(struct ix_fleet *fleet, uint32_t worker, uint8_t type, struct ix_reader *in)
{
    if (type == IX_UP_ACK) {
        uint64_t sequence = ix_read_u64(in);
        int code = -(int)ix_read_u32(in);
        char *message = ix_read_str(in);
        struct request *r = find_request(fleet, true, sequence);
        ix_fleet_removal_applied(fleet, worker, sequence);
        if (r)
            ix_fleet_request_answer(fleet, r, worker, code, message);
        free(message);
        return true;
    }
    if (type == IX_UP_RESULT) {
        on_result(fleet, worker, in);
        return true;
    }
    if (type == IX_UP_DRAINED) {
        if (bit_get(fleet->draining, worker)) {
            bit_clear(fleet->draining, worker);
            if (--fleet->draining_count == 0)
                all_drained(fleet);
        }
        return true;
    }
    return false;
}

static void on_drain_timeout(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    all_drained((struct ix_fleet *)((char *)entry - offsetof(struct ix_fleet, drain_timeout)));
}

void ix_fleet_drain(struct ix_fleet *fleet, uint64_t drain_ns, void (*drained)(void *context), void *context)
{
    struct ix_buf out;
    ix_buf_init(&out, 64);
    ix_pack_u64(&out, drain_ns);
    fleet->drained = drained;
    fleet->drained_context = context;
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++) {
        if (ix_workers_role(fleet->config.workers, i) != IX_WORKER_DEVICES || bit_get(fleet->draining, i) ||
            ix_workers_send(fleet->config.workers, i, IX_DOWN_DRAIN, &out) < 0)
            continue;
        bit_set(fleet->draining, i);
        fleet->draining_count++;
    }
    ix_buf_deinit(&out);
    fleet->drain_timeout.fire = on_drain_timeout;
    uint64_t now = ix_loop_update(fleet->config.loop);
    ix_wheel_add(fleet->config.loop->wheel, &fleet->drain_timeout,
                 fleet->draining_count ? now + drain_ns + 5 * IX_S : now);
}
