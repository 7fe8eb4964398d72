#include "metrics/segment.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const ix_counter_names[IX_C_COUNT] = {
    [IX_C_SCHEDULED] = "messages.scheduled",
    [IX_C_SENT] = "messages.sent",
    [IX_C_ACKED] = "messages.acked",
    [IX_C_LOST] = "messages.lost",
    [IX_C_LOST_WORKER] = "messages.lost.worker",
    [IX_C_NEVER_SENT_OFFLINE] = "messages.neverSent.offline",
    [IX_C_NEVER_SENT_BACKPRESSURE] = "messages.neverSent.backpressure",
    [IX_C_NEVER_SENT_ERROR] = "messages.neverSent.error",
    [IX_C_NEVER_SENT_LATE] = "messages.neverSent.late",
    [IX_C_BYTES_SENT] = "bytes.sent",
    [IX_C_RECEIVED] = "messages.received",
    [IX_C_BYTES_RECEIVED] = "bytes.received",
    [IX_C_SUBSCRIBED] = "subscribe.accepted",
    [IX_C_SUBSCRIBE_FAILED] = "subscribe.refused",
    [IX_C_CONNECT_ATTEMPTS] = "connect.attempts",
    [IX_C_CONNECTED] = "connect.accepted",
    [IX_C_REFUSED] = "connect.refused",
    [IX_C_CONNECT_FAILED] = "connect.failed",
    [IX_C_CONNECTION_LOST] = "connection.lost",
    [IX_C_DROPPED] = "connection.dropped",
    [IX_C_RECONNECTED] = "connection.reconnected",
    [IX_C_COMMANDS] = "commands.received",
    [IX_C_COMMANDS_INVALID] = "commands.invalid",
    [IX_C_COMMANDS_ANSWERED] = "commands.answered",
    [IX_C_BEHAVIORS_FIRED] = "behaviors.fired",
    [IX_C_SCRIPT_ERRORS] = "script.errors",
    [IX_C_D_SENT] = "delivery.sent",
    [IX_C_D_UNWATCHED] = "delivery.unwatched",
    [IX_C_D_DELIVERED] = "delivery.delivered",
    [IX_C_D_DUPLICATED] = "delivery.duplicated",
    [IX_C_D_REORDERED] = "delivery.reordered",
    [IX_C_D_LATE] = "delivery.late",
    [IX_C_D_STALE] = "delivery.stale",
    [IX_C_D_MISSING] = "delivery.missing",
    [IX_C_D_CORRUPT] = "delivery.corrupt",
    [IX_C_D_UNKNOWN] = "delivery.unknown",
    [IX_C_D_FOREIGN] = "delivery.foreign",
    [IX_C_D_RETAINED] = "delivery.retained",
    [IX_C_D_LOST] = "delivery.lost",
    [IX_C_D_LOST_CONNECTION] = "delivery.lost.connection",
    [IX_C_D_IN_FLIGHT] = "delivery.inFlight",
    [IX_C_D_IN_DOUBT] = "delivery.inDoubt",
};

const char *const ix_trend_names[IX_T_COUNT] = {
    [IX_T_CONNECT] = "connect.time",     [IX_T_RESPONSE] = "publish.latency",
    [IX_T_SERVICE] = "publish.service",  [IX_T_LATENESS] = "publish.lateness",
    [IX_T_OUTAGE] = "connection.outage", [IX_T_SCHEDULE] = "schedule.lateness",
    [IX_T_RECEIVE] = "receive.latency",  [IX_T_DELIVERY] = "delivery.latency",
    [IX_T_TRANSIT] = "delivery.transit",
};

const char *const ix_status_names[IX_D_STATUS_COUNT] = {
    [IX_D_CREATED] = "created",   [IX_D_STARTING] = "starting", [IX_D_RUNNING] = "running",
    [IX_D_STOPPING] = "stopping", [IX_D_STOPPED] = "stopped",   [IX_D_DROPPED] = "dropped",
    [IX_D_ERROR] = "error",
};

const char *const ix_link_names[IX_L_COUNT] = {
    [IX_L_DISCONNECTED] = "disconnected",
    [IX_L_CONNECTING] = "connecting",
    [IX_L_CONNECTED] = "connected",
    [IX_L_RECONNECTING] = "reconnecting",
};

int ix_segment_create(uint32_t worker, struct ix_error *err)
{
    char name[32];
    snprintf(name, sizeof(name), "iotix-worker-%u", worker);
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return ix_fail(err, -errno, "can't create shared memory for worker %u: %s", worker, strerror(errno));
    /* A size that nobody can change: reading a mapped page never faults. */
    const uint64_t magic = IX_SEGMENT_MAGIC;
    if (ftruncate(fd, sizeof(struct ix_segment)) < 0 ||
        pwrite(fd, &magic, sizeof(magic), offsetof(struct ix_segment, magic)) != sizeof(magic) ||
        pwrite(fd, &worker, sizeof(worker), offsetof(struct ix_segment, worker)) != sizeof(worker) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int code = errno;
        close(fd);
        return ix_fail(err, -code, "can't prepare the shared memory of worker %u: %s", worker,
                       strerror(code));
    }
    return fd;
}

struct ix_segment *ix_segment_map(int fd, bool writable, struct ix_error *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0) {
        ix_fail(err, -errno, "can't inspect shared memory (descriptor %d): %s", fd, strerror(errno));
        return NULL;
    }
    if ((uint64_t)info.st_size != sizeof(struct ix_segment)) {
        ix_fail(err, -EPROTO, "the shared memory has %lld bytes instead of %zu: it is of another build",
                (long long)info.st_size, sizeof(struct ix_segment));
        return NULL;
    }
    int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    struct ix_segment *segment = mmap(NULL, sizeof(*segment), access, MAP_SHARED, fd, 0);
    if (segment == MAP_FAILED) {
        ix_fail(err, -errno, "can't map shared memory: %s", strerror(errno));
        return NULL;
    }
    if (segment->magic != IX_SEGMENT_MAGIC) {
        ix_fail(err, -EPROTO, "the shared memory is not that of a worker");
        munmap(segment, sizeof(*segment));
        return NULL;
    }
    return segment;
}

void ix_segment_unmap(struct ix_segment *segment)
{
    if (segment)
        munmap(segment, sizeof(*segment));
}

/* Puts a text where another process looks for it: its first byte, which says "in use", last. */
static void publish(char *to, const char *text, size_t len)
{
    memcpy(to + 1, text + 1, len - 1);
    to[len] = '\0';
    __atomic_store_n(to, text[0], __ATOMIC_RELEASE);
}

const struct ix_group_metrics *ix_segment_find_group(const struct ix_segment *segment, const char *group)
{
    if (!*group)
        return NULL;
    for (size_t i = 0; i < IX_SEGMENT_GROUPS && segment->groups[i].group[0]; i++)
        if (strcmp(segment->groups[i].group, group) == 0)
            return &segment->groups[i];
    return NULL;
}

struct ix_group_metrics *ix_segment_group(struct ix_segment *segment, const char *group)
{
    struct ix_group_metrics *found = (struct ix_group_metrics *)ix_segment_find_group(segment, group);
    size_t len = strlen(group);
    if (found || len == 0 || len >= sizeof(found->group))
        return found;
    for (size_t i = 0; i < IX_SEGMENT_GROUPS; i++) {
        struct ix_group_metrics *metrics = &segment->groups[i];
        if (metrics->group[0] && !ix_segment_is_vacant(metrics))
            continue;
        for (size_t trend = 0; trend < IX_T_COUNT; trend++)
            metrics->trends[trend].min = UINT64_MAX; /* the rest is zero: the page is new */
        publish(metrics->group, group, len);
        return metrics;
    }
    return NULL;
}

void ix_group_metrics_other_qos(struct ix_group_metrics *group, int qos, uint64_t response_ns,
                                uint64_t service_ns)
{
    if (qos < 0 || qos > 2)
        return;
    struct ix_qos_trends *trends = &group->others[qos];
    if (!(group->other_qos >> qos & 1))
        trends->response.min = trends->service.min = UINT64_MAX; /* the rest is zero: the page is new */
    group->other_qos |= (uint8_t)(1 << qos);
    ix_histogram_add(&trends->response, response_ns);
    ix_histogram_add(&trends->service, service_ns);
}

/* Length of the longest start of `text` that fits, cut between characters. */
static size_t fitting(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    if (len <= max)
        return len;
    for (len = max; len && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return len;
}

uint8_t ix_group_metrics_reason(struct ix_group_metrics *group, const char *text)
{
    size_t len = fitting(text, sizeof(group->reasons[0].text) - 1);
    if (len == 0) {
        text = "unknown";
        len = strlen(text);
    }
    for (size_t i = 0; i < IX_SEGMENT_REASONS; i++) {
        struct ix_reason *reason = &group->reasons[i];
        if (!reason->text[0] && i < IX_SEGMENT_REASONS - 1)
            publish(reason->text, text, len);
        else if (!reason->text[0])
            publish(reason->text, "other", 5);
        else if (i < IX_SEGMENT_REASONS - 1 && (strncmp(reason->text, text, len) != 0 || reason->text[len]))
            continue;
        reason->count++;
        return (uint8_t)(i + 1);
    }
    return 0;
}

struct ix_custom_metric *ix_segment_custom(struct ix_segment *segment, enum ix_custom_kind kind,
                                           const char *name, const char *tags)
{
    uint32_t used = segment->custom_used;
    for (uint32_t i = 0; i < used; i++) {
        struct ix_custom_metric *metric = &segment->custom[i];
        if (strcmp(metric->name, name) == 0 && strcmp(metric->tags, tags) == 0)
            return metric->kind == (uint32_t)kind ? metric : NULL;
    }
    struct ix_custom_metric *metric = &segment->custom[used];
    if (used == IX_SEGMENT_CUSTOM || strlen(name) >= sizeof(metric->name) ||
        strlen(tags) >= sizeof(metric->tags))
        return NULL;
    memcpy(metric->name, name, strlen(name) + 1);
    memcpy(metric->tags, tags, strlen(tags) + 1);
    metric->kind = kind;
    metric->trend.min = UINT64_MAX;
    __atomic_store_n(&segment->custom_used, used + 1, __ATOMIC_RELEASE);
    return metric;
}

static uint64_t ns_of_ms(double ms)
{
    return ms <= 0 ? 0 : ms >= 1e12 ? 1000000000000000000ull : (uint64_t)(ms * 1e6 + 0.5);
}

void ix_custom_metric_add(struct ix_custom_metric *metric, double value)
{
    if (!isfinite(value))
        return;
    switch ((enum ix_custom_kind)metric->kind) {
    case IX_CUSTOM_COUNTER:
        metric->value += value;
        break;
    case IX_CUSTOM_GAUGE:
        metric->value = value;
        break;
    case IX_CUSTOM_RATE:
        metric->value += value != 0;
        break;
    case IX_CUSTOM_TREND:
        ix_histogram_add(&metric->trend, ns_of_ms(value));
        break;
    case IX_CUSTOM_FREE:
        return;
    }
    metric->count++;
}

static bool is_finished(const struct ix_dropout_metrics *dropout)
{
    return dropout->dropped + dropout->already_gone + dropout->cancelled >= dropout->chosen;
}

const struct ix_dropout_metrics *ix_segment_find_dropout(const struct ix_segment *segment, uint64_t id)
{
    uint32_t used = __atomic_load_n(&segment->dropouts_used, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < used && i < IX_SEGMENT_DROPOUTS; i++)
        if (segment->dropouts[i].id == id)
            return &segment->dropouts[i];
    return NULL;
}

/* Pages that were never written cost nothing, and shall go on to. */
static void clear(struct ix_histogram *h)
{
    if (h->count) {
        size_t first = ix_histogram_index(h->min), last = ix_histogram_index(h->max);
        memset(&h->buckets[first], 0, (last - first + 1) * sizeof(*h->buckets));
    }
    memset(h, 0, offsetof(struct ix_histogram, buckets));
    h->min = UINT64_MAX;
}

/* Times of one QoS into a set that may have another one as its own. */
static void merge_qos(struct ix_group_metrics *into, uint8_t qos, const struct ix_histogram *response,
                      const struct ix_histogram *service)
{
    struct ix_qos_trends *to = &into->others[qos];
    if (into->qos == qos + 1) {
        ix_histogram_merge(&into->trends[IX_T_RESPONSE], response);
        ix_histogram_merge(&into->trends[IX_T_SERVICE], service);
        return;
    }
    if (!(into->other_qos >> qos & 1))
        to->response.min = to->service.min = UINT64_MAX;
    into->other_qos |= (uint8_t)(1 << qos);
    ix_histogram_merge(&to->response, response);
    ix_histogram_merge(&to->service, service);
}

void ix_segment_release_group(struct ix_segment *segment, struct ix_group_metrics *metrics)
{
    struct ix_group_metrics *removed = ix_segment_group(segment, IX_SEGMENT_REMOVED);
    if (!removed || removed == metrics)
        return; /* its place stays taken, its counts stay in the sums */
    for (size_t c = 0; c < IX_C_COUNT; c++)
        removed->counters[c] += metrics->counters[c];
    if (!removed->qos)
        removed->qos = metrics->qos;
    for (uint8_t q = 0; q < IX_ARRAY_LEN(metrics->others); q++) {
        struct ix_qos_trends *from = &metrics->others[q];
        if (!(metrics->other_qos >> q & 1))
            continue;
        merge_qos(removed, q, &from->response, &from->service);
        clear(&from->response);
        clear(&from->service);
    }
    if (metrics->qos && metrics->qos != removed->qos) {
        merge_qos(removed, (uint8_t)(metrics->qos - 1), &metrics->trends[IX_T_RESPONSE],
                  &metrics->trends[IX_T_SERVICE]);
        clear(&metrics->trends[IX_T_RESPONSE]);
        clear(&metrics->trends[IX_T_SERVICE]);
    }
    for (size_t t = 0; t < IX_T_COUNT; t++) {
        if (metrics->trends[t].count)
            ix_histogram_merge(&removed->trends[t], &metrics->trends[t]);
        clear(&metrics->trends[t]);
    }
    metrics->qos = metrics->other_qos = 0;
    for (size_t r = 0; r < IX_SEGMENT_REASONS && metrics->reasons[r].text[0]; r++) {
        uint8_t place = ix_group_metrics_reason(removed, metrics->reasons[r].text);
        removed->reasons[place - 1].count += metrics->reasons[r].count - 1;
    }
    memset(metrics, 0, offsetof(struct ix_group_metrics, trends));
    publish(metrics->group, IX_SEGMENT_VACANT, strlen(IX_SEGMENT_VACANT));
}

struct ix_dropout_metrics *ix_segment_dropout(struct ix_segment *segment, uint64_t id)
{
    struct ix_dropout_metrics *take = NULL;
    for (size_t i = 0; i < segment->dropouts_used; i++) {
        struct ix_dropout_metrics *dropout = &segment->dropouts[i];
        if (dropout->id == id)
            return dropout;
        bool is_better = !take || (take->id && dropout->id < take->id);
        if (is_better && (dropout->id == 0 || is_finished(dropout)))
            take = dropout;
    }
    if (segment->dropouts_used < IX_SEGMENT_DROPOUTS)
        take = &segment->dropouts[segment->dropouts_used];
    if (!take)
        return NULL;
    __atomic_store_n(&take->id, 0, __ATOMIC_RELEASE);
    clear(&take->back_time);
    memset(take, 0, offsetof(struct ix_dropout_metrics, back_time));
    __atomic_store_n(&take->id, id, __ATOMIC_RELEASE);
    if (take == &segment->dropouts[segment->dropouts_used])
        __atomic_store_n(&segment->dropouts_used, segment->dropouts_used + 1, __ATOMIC_RELEASE);
    return take;
}
