/* The role of an observer: it has no devices and no scripts, only subscriptions (observer.h); those of the delivery
 * ledger have an accountant. */
#include "worker/internal.h"

#include <stdlib.h>

#define TARGETS_MAX 4096

/* Of scripts: the controller gets the message itself. What there is no room for is counted. */
static void on_message(void *context, uint64_t id, const struct ix_message *m, uint64_t at_ns)
{
    struct ix_worker *w = context;
    ix_pack_u64(&w->out, id);
    ix_pack_u64(&w->out, at_ns);
    ix_pack_u8(&w->out, (uint8_t)m->qos);
    ix_pack_u8(&w->out, m->retain);
    ix_pack_u8(&w->out, m->duplicate);
    ix_pack_str(&w->out, m->topic);
    ix_pack_bytes(&w->out, m->payload, m->len);
    w->segment->dropped += !ix_worker_send(w, IX_UP_MESSAGE);
}

static void on_arrived(void *context, const struct ix_message *message, uint64_t at_ns)
{
    ix_accountant_message(((struct ix_worker *)context)->accountant, message, at_ns);
}

static void on_subscription_ready(void *context, uint64_t ticket, int code, const char *message)
{
    ix_worker_send_result(context, ticket, code, message, "", 0);
}

static int start(struct ix_worker *w, struct ix_error *err)
{
    (void)err;
    static const struct ix_observer_events events = {on_subscription_ready, on_message, on_arrived};
    w->segment->is_observer = 1;
    w->segment->away = 0; /* a predecessor's clients went with it */
    w->observer = ix_observer_new(w->loop, w->hello.run, w->segment, &events, w);
    return 0;
}

static int subscribe(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    uint64_t ticket = ix_read_u64(in), id = ix_read_u64(in);
    char *topic = ix_read_str(in);
    int qos = ix_read_u8(in);
    char *username = ix_read_str(in), *password = ix_read_str(in);
    struct ix_wire_tls tls;
    ix_wire_tls_unpack(&tls, in);
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
                                           .tls = &tls,
                                           .targets = targets,
                                           .target_count = count,
                                       });
    free(targets);
    free(topic);
    free(username);
    free(password);
    ix_wire_tls_deinit(&tls);
    return 0;
}

static int unsubscribe(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    (void)err;
    ix_observer_unsubscribe(w->observer, ix_read_u64(in));
    return 0;
}

static int account(struct ix_worker *w, struct ix_reader *in, struct ix_error *err)
{
    struct ix_account a;
    int code = ix_account_unpack(&a, in) ? ix_worker_need_ledger(w, err)
                                         : ix_fail(err, -EPROTO, "ACCOUNT is cut off");
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
                                               .tls = &a.tls,
                                               .targets = a.targets,
                                               .target_count = a.target_count,
                                           });
    ix_account_deinit(&a);
    return code;
}

static const struct ix_worker_request requests[] = {
    {IX_DOWN_SUBSCRIBE, subscribe},
    {IX_DOWN_UNSUBSCRIBE, unsubscribe},
    {IX_DOWN_ACCOUNT, account},
};

const struct ix_worker_duties ix_worker_observer_duties = {start, requests, IX_ARRAY_LEN(requests)};
