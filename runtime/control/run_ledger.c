/* The delivery ledger of a run: observers of its own, publishers that mark what they send, and its closing. */
#include "control/clocks_view.h"
#include "control/delivery.h"
#include "control/option_names.h"
#include "control/run_internal.h"
#include "protocol/topic.h"

#include "base/units.h"

#include <stdlib.h>

#define POLL_NS       (20 * IX_MS)
#define COMPLETE_NS   (100 * IX_MS) /* nothing came in this time, and nothing is missing */
#define LOOK_EVERY_NS (900 * IX_MS) /* the journal's ticks are not exact */
#define SETTLE_MIN_NS (10 * IX_S)   /* the end of waiting while still something arrives */
#define SILENT_NS     (2 * IX_S)    /* a broker that does not answer for so long is named */
#define RENEW_NS      (12 * IX_S)   /* for the brokers' own figures, which mosquitto renews every 10 s */

enum ledger_phase {
    LEDGER_OBSERVERS,  /* they subscribe */
    LEDGER_PUBLISHERS, /* they are told to mark what they send */
    LEDGER_OPEN,
};

struct ix_run_ledger {
    struct ix_run *run;
    enum ledger_phase phase;
    uint64_t ticket; /* of the scenario's call; 0: it has its answer */
    void (*opened)(struct ix_run *run, int code, const char *message); /* instead of a ticket */
    void (*then)(struct ix_run *run); /* what waits for it, if the command line asked for it */
    uint32_t observers[IX_OBSERVERS_MAX];
    size_t observer_count;
    bool subscribed[IX_OBSERVERS_MAX];
    uint8_t owing[IX_WORKERS_MAX / 8]; /* device workers that were told and have not answered */
    struct ix_observe spec;            /* owned copies */
    /* closing */
    struct ix_wheel_entry poll;
    uint64_t arrivals, closing_ns, quiet_since_ns, give_up_ns, renew_ns;
    bool settled;
    void (*closed)(void *context);
    uint64_t looked_ns;
};

/* ---- frames ---- */

static void send_account(struct ix_run_ledger *l, size_t place)
{
    struct ix_run *run = l->run;
    bool shared = l->observer_count > 1;
    char **topics = ix_calloc(l->spec.topic_count, sizeof *topics);
    for (size_t i = 0; i < l->spec.topic_count; i++)
        topics[i] = shared ? ix_asprintf("$share/iotix-%08x/%s", (unsigned)run->id, l->spec.topics[i])
                           : ix_strdup(l->spec.topics[i]);
    struct ix_account account = {.ticket = l->subscribed[place] ? 0 : place + 1,
                                 .id = UINT32_MAX,
                                 .qos = (uint8_t)l->spec.qos,
                                 .is_shared = shared,
                                 .late_ns = l->spec.late_ns,
                                 .field = l->spec.field,
                                 .username = l->spec.username,
                                 .password = l->spec.password,
                                 .tls = ix_run_observer_tls(run),
                                 .topics = topics,
                                 .topic_count = l->spec.topic_count,
                                 .targets = run->brokers.targets,
                                 .target_count = run->brokers.target_count};
    struct ix_buf out;
    ix_buf_init(&out, 16 << 20);
    ix_account_pack(&account, &out);
    ix_workers_send(run->workers, l->observers[place], IX_DOWN_ACCOUNT, &out);
    ix_buf_deinit(&out);
    ix_texts_free(topics, l->spec.topic_count);
}

static void send_observe(struct ix_run_ledger *l, uint32_t worker)
{
    struct ix_buf out;
    ix_buf_init(&out, 16 << 20);
    ix_pack_u64(&out, IX_LEDGER_TICKET);
    ix_pack_u8(&out, (uint8_t)l->spec.way);
    ix_pack_str(&out, l->spec.field);
    ix_texts_pack((const char *const *)l->spec.topics, l->spec.topic_count, &out);
    if (ix_workers_send(l->run->workers, worker, IX_DOWN_OBSERVE, &out) == 0)
        l->owing[worker / 8] |= (uint8_t)(1u << worker % 8);
    ix_buf_deinit(&out);
}

/* ---- opening ---- */

static void answer(struct ix_run_ledger *l, int code, const char *message)
{
    if (code < 0 && code != IX_HOST_CONFIGURATION)
        code = -EBADMSG;
    if (l->opened)
        l->opened(l->run, code, message);
    else if (l->ticket)
        ix_run_complete(l->run, l->ticket, code, code < 0 ? NULL : json_object(), message);
    l->ticket = 0;
    l->opened = NULL;
}

static void open_if_complete(struct ix_run_ledger *l)
{
    for (size_t i = 0; l->phase == LEDGER_PUBLISHERS && i < sizeof l->owing; i++)
        if (l->owing[i])
            return;
    if (l->phase != LEDGER_PUBLISHERS)
        return;
    l->phase = LEDGER_OPEN;
    answer(l, 0, "");
}

static void tell_publishers(struct ix_run_ledger *l)
{
    for (size_t i = 0; i < l->observer_count; i++)
        if (!l->subscribed[i])
            return;
    l->phase = LEDGER_PUBLISHERS;
    for (uint32_t i = 0; i < ix_workers_count(l->run->workers); i++)
        if (ix_workers_role(l->run->workers, i) == IX_WORKER_DEVICES)
            send_observe(l, i);
    open_if_complete(l);
}

static int check(struct ix_run *run, const struct ix_observe *spec, struct ix_error *err)
{
    if (run->ledger)
        return ix_fail(
            err, -EALREADY,
            "the run is observed already; give all topics in one call: topics = { \"a/#\", \"b/#\" }");
    if (run->brokers.target_count == 0)
        return ix_fail(err, -EDESTADDRREQ, "no broker to observe: the run has none of its own; use %s",
                       ix_option_names->broker);
    for (size_t i = 0; i < spec->topic_count; i++) {
        if (!ix_topic_is_filter(spec->topics[i]))
            return ix_fail(err, -EBADMSG,
                           "\"%s\" is no topic filter: + stands for a whole level, # for the rest "
                           "and ends it",
                           spec->topics[i]);
        for (size_t k = 0; k < i; k++)
            if (ix_topic_overlap(spec->topics[i], spec->topics[k]))
                return ix_fail(err, -EBADMSG,
                               "\"%s\" and \"%s\" overlap: what both match would arrive twice; leave one out",
                               spec->topics[k], spec->topics[i]);
    }
    return 0;
}

static char **copy_texts(char **texts, size_t count)
{
    char **copy = ix_calloc(count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = ix_strdup(texts[i]);
    return copy;
}

static void on_poll(struct ix_wheel_entry *entry, uint64_t now_ns);

int ix_run_observe(struct ix_run *run, const struct ix_observe *spec, uint64_t ticket,
                   void (*opened)(struct ix_run *run, int code, const char *message), struct ix_error *err)
{
    if (run->ledger && run->config.observe_count) { /* the command line asked for it, in its own way */
        ix_run_complete(run, ticket, 0, json_object(), "");
        return 0;
    }
    int code = check(run, spec, err);
    if (code < 0)
        return code;
    struct ix_run_ledger *l = ix_calloc(1, sizeof *l);
    run->ledger = l;
    l->run = run;
    l->ticket = ticket;
    l->opened = opened;
    l->poll.fire = on_poll;
    l->spec = *spec;
    l->spec.topics = copy_texts(spec->topics, spec->topic_count);
    l->spec.field = ix_strdup(spec->field);
    l->spec.username = ix_strdup(spec->username);
    l->spec.password = ix_strdup(spec->password);
    while (code == 0 && l->observer_count < spec->observers) {
        code = ix_workers_start(run->workers, IX_WORKER_OBSERVER, &l->observers[l->observer_count], err);
        l->observer_count += code == 0;
    }
    return code;
}

static void on_first(struct ix_run *run, int code, const char *message)
{
    if (code < 0)
        ix_run_fail(run, IX_EXIT_CONFIGURATION, message);
    else
        run->ledger->then(run);
}

void ix_run_observe_first(struct ix_run *run, void (*then)(struct ix_run *run))
{
    const struct ix_run_config *config = &run->config;
    struct ix_observe spec = {.topics = (char **)config->observe,
                              .topic_count = config->observe_count,
                              .qos = 1,
                              .observers = config->observers ? config->observers : 1,
                              .late_ns = config->late_after_ns,
                              .settle_ns = IX_SETTLE_NS,
                              .field = IX_MARK_FIELD,
                              .username = (char *)(config->observe_username ? config->observe_username : ""),
                              .password = (char *)(config->observe_password ? config->observe_password : "")};
    struct ix_error err;
    if (config->observe_count == 0)
        then(run);
    else if (ix_run_observe(run, &spec, 0, on_first, &err) < 0)
        ix_run_fail(run, IX_EXIT_CONFIGURATION, err.text);
    else
        run->ledger->then = then;
}

/* ---- what workers report ---- */

static bool find_observer(const struct ix_run *run, uint32_t worker, size_t *place)
{
    for (*place = 0; run->ledger && *place < run->ledger->observer_count; ++*place)
        if (run->ledger->observers[*place] == worker)
            return true;
    return false;
}

bool ix_run_ledger_is_observer(const struct ix_run *run, uint32_t worker)
{
    size_t place;
    return find_observer(run, worker, &place);
}

void ix_run_ledger_worker_ready(struct ix_run *run, uint32_t worker)
{
    struct ix_run_ledger *l = run->ledger;
    size_t place;
    if (!l)
        return;
    if (find_observer(run, worker, &place))
        send_account(l, place);
    else if (l->phase != LEDGER_OBSERVERS && ix_workers_role(run->workers, worker) == IX_WORKER_DEVICES)
        send_observe(l, worker);
}

void ix_run_ledger_worker_lost(struct ix_run *run, uint32_t worker)
{
    if (run->ledger) /* its successor is told again */
        run->ledger->owing[worker / 8] &= (uint8_t) ~(1u << worker % 8);
}

static void on_observer_answer(struct ix_run_ledger *l, size_t place, int code, const char *message)
{
    if (l->phase != LEDGER_OBSERVERS)
        return;
    if (code < 0) {
        answer(l, code, message);
        return;
    }
    l->subscribed[place] = true;
    tell_publishers(l);
}

bool ix_run_ledger_frame(struct ix_run *run, uint32_t worker, uint8_t type, struct ix_reader *in)
{
    struct ix_run_ledger *l = run->ledger;
    struct ix_reader peek = *in;
    if (!l || type != IX_UP_RESULT)
        return false;
    uint64_t ticket = ix_read_u64(&peek);
    int code = -(int)ix_read_u32(&peek);
    size_t place;
    bool observes = find_observer(run, worker, &place);
    if (!observes && ticket != IX_LEDGER_TICKET)
        return false;
    char *message = ix_read_str(&peek);
    if (observes) {
        if (ticket)
            on_observer_answer(l, place, code, message);
    } else {
        l->owing[worker / 8] &= (uint8_t) ~(1u << worker % 8);
        if (code < 0)
            answer(l, IX_HOST_CONFIGURATION, message);
        else
            open_if_complete(l);
    }
    free(message);
    return true;
}

/* ---- closing ---- */

struct sums {
    uint64_t sent, delivered, arrivals, overruns, torn, held_ns, held_most_ns, away_ns, restarts, away;
    uint64_t answered_ns; /* by all brokers to all observers */
    uint32_t silent;      /* 1 + the place of the broker that has not answered for longest */
    uint64_t dropped, renewed_ns;
    bool counts; /* the brokers say what they drop, or some of them do */
};

/* What an observer heard of its brokers. Several observers hear the same figures. */
static void add_brokers(struct sums *s, const struct ix_segment *segment)
{
    uint64_t answered = __atomic_load_n(&segment->answered_ns, __ATOMIC_ACQUIRE);
    if (answered < s->answered_ns) {
        s->answered_ns = answered;
        s->silent = segment->silent;
    }
    s->dropped = segment->broker_dropped > s->dropped ? segment->broker_dropped : s->dropped;
    s->counts = s->counts || segment->counting;
    if (segment->counting && segment->renewed_ns < s->renewed_ns)
        s->renewed_ns = segment->renewed_ns;
}

/* Of all workers; without histograms. */
static struct sums sum_up(const struct ix_run *run)
{
    struct sums s = {.answered_ns = UINT64_MAX, .renewed_ns = UINT64_MAX};
    for (uint32_t i = 0; i < ix_workers_count(run->workers); i++) {
        const struct ix_segment *segment = ix_workers_segment(run->workers, i);
        for (size_t g = 0; g < IX_SEGMENT_GROUPS && segment->groups[g].group[0]; g++) {
            const uint64_t *c = segment->groups[g].counters;
            s.sent += c[IX_C_D_SENT];
            s.delivered += c[IX_C_D_DELIVERED];
            s.arrivals += c[IX_C_D_DELIVERED] + c[IX_C_D_DUPLICATED] + c[IX_C_D_STALE];
        }
        if (!segment->accounts)
            continue;
        add_brokers(&s, segment);
        s.arrivals += segment->ungrouped[IX_C_D_CORRUPT];
        s.overruns += segment->overruns;
        s.torn += segment->torn;
        s.held_ns = segment->held_ns > s.held_ns ? segment->held_ns : s.held_ns;
        s.held_most_ns = segment->held_most_ns > s.held_most_ns ? segment->held_most_ns : s.held_most_ns;
        s.away_ns += segment->away_ns;
        s.away += segment->away;
        s.restarts += segment->epoch ? segment->epoch - 1 : 0;
    }
    return s;
}

/* What has not arrived is not on its way any more: it was quiet, and every broker answered a question of that time. */
static bool is_settled(struct ix_run_ledger *l, const struct sums *s, uint64_t now_ns)
{
    uint64_t quiet = now_ns - l->quiet_since_ns;
    if (s->away)
        return false;
    if (s->delivered >= s->sent && ix_workers_restarts(l->run->workers) == 0)
        return quiet >= COMPLETE_NS;
    return quiet >= l->spec.settle_ns && s->answered_ns >= l->quiet_since_ns + l->spec.settle_ns / 2;
}

/* Something is missing: the brokers' own figures must be those of the end to say why. */
static bool waits_for_figures(struct ix_run_ledger *l, const struct sums *s, uint64_t now_ns)
{
    if (!l->settled || !s->counts || s->delivered >= s->sent || s->renewed_ns >= l->quiet_since_ns)
        return false;
    if (!l->renew_ns)
        l->renew_ns = now_ns + RENEW_NS;
    return now_ns < l->renew_ns && !ix_delivery_is_explained(ix_workers_ledger(l->run->workers));
}

static void on_poll(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_run_ledger *l = (struct ix_run_ledger *)((char *)entry - offsetof(struct ix_run_ledger, poll));
    struct sums s = sum_up(l->run);
    if (s.arrivals != l->arrivals) {
        l->arrivals = s.arrivals;
        l->quiet_since_ns = now_ns;
    }
    l->settled = is_settled(l, &s, now_ns);
    if ((!l->settled && now_ns < l->give_up_ns) || waits_for_figures(l, &s, now_ns)) {
        ix_wheel_add(l->run->loop.wheel, &l->poll, now_ns + POLL_NS);
        return;
    }
    l->closed(l->run);
}

void ix_run_ledger_settle(struct ix_run *run, void (*closed)(void *context))
{
    struct ix_run_ledger *l = run->ledger;
    if (!l || l->phase == LEDGER_OBSERVERS) {
        closed(run);
        return;
    }
    uint64_t now = ix_loop_update(&run->loop), most = 5 * l->spec.settle_ns;
    l->closed = closed;
    l->closing_ns = l->quiet_since_ns = now;
    l->give_up_ns = now + (most > SETTLE_MIN_NS ? most : SETTLE_MIN_NS);
    ix_wheel_add(run->loop.wheel, &l->poll, now + POLL_NS);
}

static char *name_device(void *context, const char *group, uint64_t index)
{
    return ix_fleet_device_id(((struct ix_run *)context)->fleet, group, index);
}

/* A figure of those that were published with that QoS. */
static uint64_t part_of(const json_t *delivery, int qos, const char *name)
{
    json_int_t sum = 0;
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(delivery, "parts"), i, part)
    {
        if (json_integer_value(json_object_get(part, "qos")) == qos)
            sum += json_integer_value(json_object_get(part, name));
    }
    return (uint64_t)sum;
}

/* Messages that were not delivered while the observers had difficulties of their own, and those of which they can't
 * say more. What an observer has half received by QoS 2 when its connection breaks is gone with it; by QoS 0 brokers
 * keep nothing for one that is away. */
static uint64_t overrun_of(const json_t *delivery, const struct sums *s, int qos)
{
    uint64_t sum = ix_delivery_count(delivery, "stale");
    uint64_t lost = ix_delivery_count(delivery, "lost");
    uint64_t unexplained = lost - ix_delivery_count(delivery, "lostWithConnection");
    if (s->overruns || s->restarts || (s->away_ns && qos == 0))
        return sum + lost;
    sum += s->torn ? part_of(delivery, 2, "lost") : 0;
    if (s->away_ns)
        sum += part_of(delivery, 0, "lost") - part_of(delivery, 0, "lostWithConnection");
    uint64_t dropped = s->dropped < unexplained ? s->dropped : unexplained;
    return sum > dropped ? sum : dropped;
}

static struct ix_delivery_facts facts_of(const struct ix_run_ledger *l, const struct sums *s)
{
    return (struct ix_delivery_facts){.topics = (const char *const *)l->spec.topics,
                                      .topic_count = l->spec.topic_count,
                                      .qos = l->spec.qos,
                                      .late_ns = l->spec.late_ns,
                                      .observers = l->observer_count,
                                      .observer_restarts = s->restarts,
                                      .overruns = s->overruns,
                                      .away_ns = s->away_ns,
                                      .settled = l->settled,
                                      .away = s->away > 0,
                                      .counts = s->counts,
                                      .dropped = s->dropped};
}

void ix_run_ledger_look(struct ix_run *run, uint64_t now_ns)
{
    struct ix_run_ledger *l = run->ledger;
    if (!l || l->phase == LEDGER_OBSERVERS || now_ns - l->looked_ns < LOOK_EVERY_NS)
        return;
    struct sums s = sum_up(run);
    struct ix_delivery_facts facts = facts_of(l, &s);
    l->looked_ns = now_ns;
    json_decref(run->result.delivery_look);
    run->result.delivery_look = ix_delivery_look(ix_workers_ledger(run->workers), &facts, name_device, run);
}

void ix_run_ledger_close(struct ix_run *run)
{
    struct ix_run_ledger *l = run->ledger;
    uint64_t dropped = 0;
    for (uint32_t i = 0; i < ix_workers_count(run->workers); i++)
        dropped += ix_workers_segment(run->workers, i)->dropped;
    run->result.observer_overrun = dropped;
    json_decref(run->result.clocks);
    run->result.clocks = ix_clocks_of(run->workers);
    if (!l || l->phase == LEDGER_OBSERVERS)
        return;
    struct sums s = sum_up(run);
    struct ix_delivery_facts facts = facts_of(l, &s);
    char silent[300];
    uint64_t since = s.answered_ns ? s.answered_ns : l->closing_ns, now = ix_loop_update(&run->loop);
    if (!l->settled && !s.away && now - since >= SILENT_NS && s.silent &&
        s.silent <= run->brokers.target_count) {
        const struct ix_target *target = &run->brokers.targets[s.silent - 1];
        snprintf(silent, sizeof silent, "%s:%u", target->server_name, target->port);
        facts.silent = silent;
        facts.silent_ns = now - since;
    }
    json_decref(run->result.delivery);
    run->result.delivery =
        ix_delivery_close(ix_workers_ledger(run->workers), &facts, name_device, run, &run->now);
    run->result.observer_overrun += overrun_of(run->result.delivery, &s, l->spec.qos);
    run->result.observer_held_ns = s.held_ns;
    run->result.observer_held_most_ns = s.held_most_ns;
}

void ix_run_ledger_free(struct ix_run *run)
{
    struct ix_run_ledger *l = run->ledger;
    if (!l)
        return;
    ix_wheel_cancel(run->loop.wheel, &l->poll);
    ix_texts_free(l->spec.topics, l->spec.topic_count);
    free(l->spec.field);
    free(l->spec.username);
    free(l->spec.password);
    free(l);
    run->ledger = NULL;
}
