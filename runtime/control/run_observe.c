/* Subscriptions of the scenario: one observer worker, started with the first. */
#include "control/option_names.h"
#include "control/run_internal.h"

#include <stdlib.h>

static int start_observer(struct ix_run *run, struct ix_error *err)
{
    if (run->has_observer)
        return 0;
    int code = ix_workers_start(run->workers, IX_WORKER_OBSERVER, &run->observer, err);
    run->has_observer = code == 0;
    return code;
}

struct ix_wire_tls ix_run_observer_tls(const struct ix_run *run)
{
    struct ix_wire_tls tls = run->config.observe_tls;
    tls.is_on = tls.is_on || run->brokers.tls;
    return tls;
}

int ix_run_subscribe(struct ix_run *run, const char *topic, int qos, uint64_t limit, const char *username,
                     const char *password, uint64_t ticket, struct ix_error *err)
{
    if (run->brokers.target_count == 0)
        return ix_fail(err, -EDESTADDRREQ, "no broker to subscribe at: the run has none of its own; use %s",
                       ix_option_names->broker);
    int code = start_observer(run, err);
    if (code < 0)
        return code;
    struct subscription *s = ix_calloc(1, sizeof *s);
    s->id = ++run->last_subscription;
    s->ticket = ticket;
    s->next = run->subscriptions;
    run->subscriptions = s;
    ix_buf_init(&s->request, 16 << 20);
    ix_pack_u64(&s->request, ticket);
    ix_pack_u64(&s->request, s->id);
    ix_pack_str(&s->request, topic);
    ix_pack_u8(&s->request, (uint8_t)qos);
    ix_pack_str(&s->request, username);
    ix_pack_str(&s->request, password);
    struct ix_wire_tls tls = ix_run_observer_tls(run);
    ix_wire_tls_pack(&tls, &s->request);
    ix_pack_u32(&s->request, (uint32_t)run->brokers.target_count);
    for (size_t i = 0; i < run->brokers.target_count; i++)
        ix_target_pack(&run->brokers.targets[i], &s->request);
    ix_script_subscription_open(run->script, s->id, limit);
    ix_workers_send(run->workers, run->observer, IX_DOWN_SUBSCRIBE, &s->request);
    return 0;
}

void ix_run_observer_ready(struct ix_run *run)
{
    for (struct subscription *s = run->subscriptions; s; s = s->next)
        ix_workers_send(run->workers, run->observer, IX_DOWN_SUBSCRIBE, &s->request);
}

struct subscription *ix_run_subscription(struct ix_run *run, uint64_t id)
{
    struct subscription *s = run->subscriptions;
    while (s && s->id != id)
        s = s->next;
    return s;
}

static void free_subscription(struct subscription *s)
{
    ix_buf_deinit(&s->request);
    free(s);
}

void ix_run_unsubscribe(struct ix_run *run, uint64_t id)
{
    for (struct subscription **at = &run->subscriptions; *at; at = &(*at)->next) {
        struct subscription *s = *at;
        if (s->id != id)
            continue;
        struct ix_buf out;
        ix_buf_init(&out, 64);
        ix_pack_u64(&out, id);
        ix_workers_send(run->workers, run->observer, IX_DOWN_UNSUBSCRIBE, &out);
        ix_buf_deinit(&out);
        *at = s->next;
        free_subscription(s);
        return;
    }
}

static void on_message(struct ix_run *run, struct ix_reader *in)
{
    uint64_t id = ix_read_u64(in), at_ns = ix_read_u64(in);
    struct ix_message message = {.qos = ix_read_u8(in)};
    message.retain = ix_read_u8(in);
    message.duplicate = ix_read_u8(in);
    char *topic = ix_read_str(in);
    message.topic = topic;
    message.payload = ix_read_bytes(in, &message.len);
    struct subscription *s = ix_run_subscription(run, id);
    if (s && !in->bad) {
        s->received++;
        if (!ix_script_message(run->script, id, &message, at_ns))
            s->dropped++;
    }
    free(topic);
}

static void on_ready(struct ix_run *run, struct ix_reader *in)
{
    uint64_t ticket = ix_read_u64(in);
    int code = -(int)ix_read_u32(in);
    char *message = ix_read_str(in);
    for (struct subscription *s = run->subscriptions; s; s = s->next) {
        if (s->ticket != ticket || !ticket)
            continue;
        s->ticket = 0;
        uint64_t id = s->id;
        ix_run_complete(run, ticket, code, code ? NULL : json_pack("{s:I}", "id", (json_int_t)id), message);
        if (code < 0) {
            ix_script_subscription_close(run->script, id);
            ix_run_unsubscribe(run, id);
        }
        break;
    }
    free(message);
}

bool ix_run_observer_frame(struct ix_run *run, uint8_t type, struct ix_reader *in)
{
    if (type == IX_UP_MESSAGE)
        on_message(run, in);
    else if (type == IX_UP_RESULT)
        on_ready(run, in);
    else
        return false;
    return true;
}

void ix_run_observers_free(struct ix_run *run)
{
    while (run->subscriptions) {
        struct subscription *next = run->subscriptions->next;
        free_subscription(run->subscriptions);
        run->subscriptions = next;
    }
}
