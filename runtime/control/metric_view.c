/* The names of metrics, and their values in a snapshot. */
#include "control/snapshot.h"

#include <stdlib.h>
#include <string.h>

const char *const ix_metric_kind_names[] = {"none", "counter", "gauge", "rate", "trend"};

static const char *const counter_docs[IX_C_COUNT] = {
    [IX_C_SCHEDULED] = "telemetry ticks that came due, and publishes asked for by scripts",
    [IX_C_LOST_WORKER] = "of the lost messages those that were unacknowledged when their worker died",
    [IX_C_SENT] = "messages handed to the protocol",
    [IX_C_ACKED] = "messages acknowledged (QoS 0: taken by the kernel, 1: PUBACK, 2: PUBCOMP)",
    [IX_C_LOST] = "messages unacknowledged when their connection ended, or refused by the broker",
    [IX_C_NEVER_SENT_OFFLINE] = "messages that came due while their device was not connected",
    [IX_C_NEVER_SENT_BACKPRESSURE] = "messages that came due beyond maxInflight and the queue's room",
    [IX_C_NEVER_SENT_ERROR] = "messages whose generator or encoder failed",
    [IX_C_NEVER_SENT_LATE] =
        "messages that came due while iotix itself was stopped, behind or restarting: its own fault",
    [IX_C_BYTES_SENT] = "payload bytes of sent messages",
    [IX_C_RECEIVED] = "messages that devices received",
    [IX_C_BYTES_RECEIVED] = "payload bytes of received messages",
    [IX_C_SUBSCRIBED] = "subscriptions of devices that the broker accepted",
    [IX_C_SUBSCRIBE_FAILED] = "subscriptions of devices that the broker refused",
    [IX_C_CONNECT_ATTEMPTS] = "connection attempts begun",
    [IX_C_CONNECTED] = "connections accepted, ever",
    [IX_C_REFUSED] = "connection attempts answered with a refusal",
    [IX_C_CONNECT_FAILED] = "connection attempts without an answer: unreachable, timed out, TLS",
    [IX_C_CONNECTION_LOST] = "connections that ended without our wish",
    [IX_C_DROPPED] = "connections ended by a dropout",
    [IX_C_RECONNECTED] = "connections accepted again after a loss or dropout",
    [IX_C_COMMANDS] = "commands that devices received",
    [IX_C_COMMANDS_INVALID] = "commands that were not understood",
    [IX_C_COMMANDS_ANSWERED] = "commands that were answered",
    [IX_C_BEHAVIORS_FIRED] = "behaviours that fired",
    [IX_C_SCRIPT_ERRORS] = "errors in scripts of devices",
    [IX_C_D_SENT] = "messages sent with a sequence, for observers to account for",
    [IX_C_D_UNWATCHED] = "messages to observed topics that could not carry a sequence",
    [IX_C_D_DELIVERED] = "of those sent, the ones that an observer saw",
    [IX_C_D_DUPLICATED] = "arrivals at an observer after a message's first",
    [IX_C_D_REORDERED] = "messages that arrived after a later one of their stream",
    [IX_C_D_LATE] = "messages that arrived later than lateAfter after they were due",
    [IX_C_D_STALE] = "arrivals so far behind their stream that it is not known whether they were the first",
    [IX_C_D_MISSING] = "messages that have not arrived although a later one of their stream has",
    [IX_C_D_CORRUPT] = "arrivals that are not as they were sent",
    [IX_C_D_UNKNOWN] = "arrivals of another run, or with a sequence that was never sent",
    [IX_C_D_FOREIGN] = "arrivals without a sequence",
    [IX_C_D_RETAINED] = "retained copies that came because an observer subscribed; no deliveries",
    [IX_C_D_LOST] = "messages sent and not delivered; known when the run has settled, 0 before",
    [IX_C_D_LOST_CONNECTION] =
        "messages lost that were the last of a connection of their device that broke or was cut",
    [IX_C_D_IN_FLIGHT] = "messages sent, not delivered, and not known to be lost",
    [IX_C_D_IN_DOUBT] = "messages that a worker was sending when it died, if nobody saw them",
};

static const char *const trend_docs[IX_T_COUNT] = {
    [IX_T_CONNECT] = "time from the connect call to accepted",
    [IX_T_RESPONSE] = "time from the due instant to the acknowledgement",
    [IX_T_SERVICE] = "time from the send to the acknowledgement",
    [IX_T_LATENESS] = "time from the due instant to the send: the generator's own delay",
    [IX_T_OUTAGE] = "time from a loss or drop to accepted again",
    [IX_T_RECEIVE] =
        "time from the send to the arrival at a device, for payloads that say when they were sent",
    [IX_T_SCHEDULE] = "time from the instant of a start or drop to its doing",
    [IX_T_DELIVERY] = "time from the due instant to the arrival at an observer",
    [IX_T_TRANSIT] = "time from the send to the arrival at an observer",
};

static const char *const status_docs[IX_D_STATUS_COUNT] = {
    [IX_D_CREATED] = "devices not started yet",   [IX_D_STARTING] = "devices that are being started",
    [IX_D_RUNNING] = "devices that run",          [IX_D_STOPPING] = "devices that are being stopped",
    [IX_D_STOPPED] = "devices that were stopped", [IX_D_DROPPED] = "devices held down by a dropout",
    [IX_D_ERROR] = "devices stopped by an error",
};

enum derived {
    DEVICES,
    CONNECTED,
    IN_FLIGHT,
    WAITING,
    IN_DOUBT,
    NEVER_SENT,
    RESTARTS,
    CONNECT_SUCCESS,
    MESSAGES_SUCCESS,
    DELIVERY_SUCCESS,
    CHECKS,
    DERIVED_COUNT
};

static const struct ix_metric_doc derived_docs[DERIVED_COUNT] = {
    [DEVICES] = {"devices.count", IX_METRIC_GAUGE, "devices of the run's groups"},
    [CONNECTED] = {"devices.connected", IX_METRIC_GAUGE, "devices with an accepted connection"},
    [IN_FLIGHT] = {"messages.inFlight", IX_METRIC_GAUGE, "messages sent and not yet acknowledged or lost"},
    [WAITING] = {"messages.waiting", IX_METRIC_GAUGE,
                 "messages that came due and wait for room, by the connection's queue"},
    [IN_DOUBT] =
        {"messages.inDoubt", IX_METRIC_GAUGE,
         "messages of which is not known whether they were sent: at most one for each killed worker"},
    [NEVER_SENT] = {"messages.neverSent", IX_METRIC_COUNTER,
                    "messages never sent, for whatever reason: offline, backpressure, error, late"},
    [RESTARTS] = {"workers.restarts", IX_METRIC_COUNTER, "worker processes that had to be started anew"},
    [CONNECT_SUCCESS] = {"connect.success", IX_METRIC_RATE,
                         "share of decided connection attempts that were accepted"},
    [MESSAGES_SUCCESS] = {"messages.success", IX_METRIC_RATE,
                          "share of decided messages (acknowledged or lost) that were acknowledged"},
    [DELIVERY_SUCCESS] = {"delivery.success", IX_METRIC_RATE,
                          "share of the messages sent with a sequence that an observer saw"},
    [CHECKS] = {"checks", IX_METRIC_RATE,
                "share of checks that passed; checks{name:…} takes one of them (name goes last)"},
};

#define KNOWN (IX_C_COUNT + IX_T_COUNT + IX_D_STATUS_COUNT + DERIVED_COUNT)

/* Places in the list of all: counters, trends, statuses, derived ones. */
enum { FIRST_TREND = IX_C_COUNT, FIRST_STATUS = FIRST_TREND + IX_T_COUNT };
enum { FIRST_DERIVED = FIRST_STATUS + IX_D_STATUS_COUNT };

static struct ix_metric_doc docs[KNOWN];
static const char *names[KNOWN];
static char status_metrics[IX_D_STATUS_COUNT][32];

static bool is_gauge(size_t counter)
{
    return counter == IX_C_D_MISSING || counter == IX_C_D_IN_FLIGHT;
}

/* The names live in metrics/; joined with their docs at first use. */
static void fill_docs(void)
{
    if (docs[0].name)
        return;
    for (size_t i = 0; i < IX_C_COUNT; i++)
        docs[i] = (struct ix_metric_doc){ix_counter_names[i],
                                         is_gauge(i) ? IX_METRIC_GAUGE : IX_METRIC_COUNTER, counter_docs[i]};
    for (size_t i = 0; i < IX_T_COUNT; i++)
        docs[FIRST_TREND + i] = (struct ix_metric_doc){ix_trend_names[i], IX_METRIC_TREND, trend_docs[i]};
    for (size_t i = 0; i < IX_D_STATUS_COUNT; i++) {
        size_t room = sizeof(status_metrics[i]) - sizeof("devices.");
        memcpy(status_metrics[i], "devices.", sizeof("devices."));
        strncat(status_metrics[i], ix_status_names[i], room);
        docs[FIRST_STATUS + i] = (struct ix_metric_doc){status_metrics[i], IX_METRIC_GAUGE, status_docs[i]};
    }
    memcpy(docs + FIRST_DERIVED, derived_docs, sizeof(derived_docs));
    for (size_t i = 0; i < KNOWN; i++)
        names[i] = docs[i].name;
}

const struct ix_metric_doc *ix_metric_docs(size_t *count)
{
    fill_docs();
    *count = KNOWN;
    return docs;
}

const char *const *ix_metric_names(size_t *count)
{
    fill_docs();
    *count = KNOWN;
    return names;
}

static const char *const protocols[] = {"mqtt", "coap", "http"};

/* Place of a built-in metric, or KNOWN. *protocol: the one in front, "" if none. */
static size_t find_known(const char *name, const char **protocol)
{
    fill_docs();
    *protocol = "";
    for (size_t p = 0; p < IX_ARRAY_LEN(protocols); p++) {
        size_t len = strlen(protocols[p]);
        if (strncmp(name, protocols[p], len) == 0 && name[len] == '.') {
            *protocol = protocols[p];
            name += len + 1;
            break;
        }
    }
    size_t i = 0;
    while (i < KNOWN && strcmp(docs[i].name, name) != 0)
        i++;
    /* These belong to the run, not to devices of a protocol. */
    if (**protocol && (i == FIRST_DERIVED + CHECKS || i == FIRST_DERIVED + RESTARTS))
        return KNOWN;
    return i;
}

const struct ix_metric_doc *ix_metric_find(const char *name)
{
    const char *protocol;
    size_t place = find_known(name, &protocol);
    return place < KNOWN ? &docs[place] : NULL;
}

/* One "key:value" of a list; *rest behind it. */
static size_t next_tag(const char *list, const char **rest)
{
    size_t len = strcspn(list, ",");
    *rest = list[len] ? list + len + 1 : list + len;
    return len;
}

bool ix_tags_match(const char *filter, const char *group, const char *tags)
{
    while (*filter) {
        const char *rest, *other;
        size_t len = next_tag(filter, &rest);
        bool found = len > 6 && strncmp(filter, "group:", 6) == 0 && strlen(group) == len - 6 &&
                     strncmp(filter + 6, group, len - 6) == 0;
        for (const char *tag = tags; *tag && !found; tag = other)
            found = next_tag(tag, &other) == len && strncmp(tag, filter, len) == 0;
        if (!found)
            return false;
        filter = rest;
    }
    return true;
}

static void add_derived(struct ix_metric_view *view, enum derived which, const struct ix_totals *totals)
{
    const uint64_t *c = totals->counters;
    switch (which) {
    case DEVICES:
        view->value += (double)totals->count;
        break;
    case CONNECTED:
        view->value += (double)totals->connected;
        break;
    case IN_FLIGHT:
        view->value += (double)ix_totals_in_flight(totals);
        break;
    case WAITING:
        view->value += (double)totals->waiting;
        break;
    case IN_DOUBT:
        view->value += (double)ix_totals_in_doubt(totals);
        break;
    case NEVER_SENT:
        view->value += (double)ix_never_sent(c);
        break;
    case CONNECT_SUCCESS:
        view->value += (double)c[IX_C_CONNECTED];
        view->count += c[IX_C_CONNECTED] + c[IX_C_REFUSED] + c[IX_C_CONNECT_FAILED];
        break;
    case DELIVERY_SUCCESS:
        view->value += (double)c[IX_C_D_DELIVERED];
        view->count += c[IX_C_D_SENT];
        break;
    case MESSAGES_SUCCESS:
        view->value += (double)c[IX_C_ACKED];
        view->count += c[IX_C_ACKED] + c[IX_C_LOST];
        break;
    default:
        break;
    }
}

static void add_known(struct ix_metric_view *view, size_t place, const struct ix_totals *totals)
{
    view->series++;
    if (place < FIRST_TREND)
        view->value += (double)totals->counters[place];
    else if (place < FIRST_STATUS) {
        const struct ix_histogram *trend = &totals->trends[place - FIRST_TREND];
        if (trend->count)
            ix_histogram_merge(&view->trend, trend);
        view->count += trend->count;
    } else if (place < FIRST_DERIVED)
        view->value += (double)totals->by_status[place - FIRST_STATUS];
    else
        add_derived(view, (enum derived)(place - FIRST_DERIVED), totals);
}

static bool known_metric(const struct ix_snapshot *snapshot, size_t place, const char *protocol,
                         const char *tags, struct ix_metric_view *view)
{
    view->kind = docs[place].kind;
    if (place == FIRST_DERIVED + CHECKS)
        return false;
    if (place == FIRST_DERIVED + RESTARTS) {
        view->series = 1;
        for (size_t i = 0; i < snapshot->worker_count; i++)
            if (snapshot->workers[i].epoch > 1)
                view->value += snapshot->workers[i].epoch - 1;
        return true;
    }
    char *rest;
    if (ix_tags_qos(tags, &rest) >= 0) {
        free(rest);
        bool service = place == FIRST_TREND + IX_T_SERVICE;
        if (service || place == FIRST_TREND + IX_T_RESPONSE) {
            ix_snapshot_qos_trend(snapshot, service, protocol, tags, &view->trend, &view->series);
            view->count = view->trend.count;
            return true;
        }
    }
    if (!*tags && !*protocol) {
        add_known(view, place, &snapshot->all);
        return true;
    }
    for (size_t i = 0; i < snapshot->group_count; i++) {
        const struct ix_totals *group = &snapshot->groups[i];
        if ((!*protocol || strcmp(protocol, group->protocol) == 0) &&
            ix_tags_match(tags, group->group, group->tags))
            add_known(view, place, group);
    }
    return true;
}

static enum ix_metric_kind kind_of(enum ix_custom_kind kind)
{
    switch (kind) {
    case IX_CUSTOM_COUNTER:
        return IX_METRIC_COUNTER;
    case IX_CUSTOM_GAUGE:
        return IX_METRIC_GAUGE;
    case IX_CUSTOM_RATE:
        return IX_METRIC_RATE;
    case IX_CUSTOM_TREND:
        return IX_METRIC_TREND;
    default:
        return IX_METRIC_NONE;
    }
}

/* A gauge of several series is their sum: "queue length" of all groups. */
static bool custom_metric(const struct ix_snapshot *snapshot, const char *name, const char *tags,
                          struct ix_metric_view *view)
{
    for (size_t i = 0; i < snapshot->custom_count; i++) {
        const struct ix_custom_totals *custom = &snapshot->custom[i];
        if (strcmp(custom->name, name) != 0)
            continue;
        if (view->kind == IX_METRIC_NONE)
            view->kind = kind_of(custom->kind);
        if (view->kind != kind_of(custom->kind) || !ix_tags_match(tags, "", custom->tags))
            continue;
        view->series++;
        view->value += custom->value;
        view->count += custom->count;
        if (custom->trend.count)
            ix_histogram_merge(&view->trend, &custom->trend);
    }
    return view->kind != IX_METRIC_NONE;
}

bool ix_snapshot_metric(const struct ix_snapshot *snapshot, const char *name, const char *tags,
                        struct ix_metric_view *view)
{
    view->kind = IX_METRIC_NONE;
    view->value = 0;
    view->count = 0;
    view->series = 0;
    ix_histogram_init(&view->trend);
    const char *protocol;
    size_t place = find_known(name, &protocol);
    if (place < KNOWN && !snapshot->observed && strncmp(docs[place].name, "delivery.", 9) == 0)
        return false;
    if (place < KNOWN)
        return known_metric(snapshot, place, protocol, tags, view);
    return custom_metric(snapshot, name, tags, view);
}
