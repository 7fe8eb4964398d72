/* Times of publishing by protocol and QoS. */
#include "control/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ix_tags_qos(const char *tags, char **rest)
{
    const char *at = tags;
    int qos = -1;
    *rest = NULL;
    while (*at) {
        size_t len = strcspn(at, ",");
        if (len == 5 && strncmp(at, "qos:", 4) == 0 && at[4] >= '0' && at[4] <= '2') {
            qos = at[4] - '0';
            size_t before = (size_t)(at - tags), behind = strlen(at + len);
            const char *left = at + len;
            if (behind) { /* its comma goes with it */
                left++;
            } else if (before) {
                before--;
            }
            *rest = ix_asprintf("%.*s%s", (int)before, tags, left);
            return qos;
        }
        at += len + (at[len] == ',');
    }
    return qos;
}

static const struct ix_qos_totals *find(const struct ix_snapshot *snapshot, const char *group, int qos)
{
    for (size_t i = 0; i < snapshot->by_qos_count; i++)
        if (snapshot->by_qos[i].qos == qos && strcmp(snapshot->by_qos[i].group, group) == 0)
            return &snapshot->by_qos[i];
    return NULL;
}

/* What a group's messages of one QoS took (-1: not known which); false if it has none of it. */
static bool of_group(const struct ix_snapshot *snapshot, const struct ix_totals *group, int qos,
                     const struct ix_histogram **response, const struct ix_histogram **service)
{
    const struct ix_qos_totals *part = group->other_qos ? find(snapshot, group->group, qos) : NULL;
    if (group->other_qos && !part)
        return false;
    if (!group->other_qos && (int)group->qos - 1 != qos)
        return false;
    *response = part ? &part->response : &group->trends[IX_T_RESPONSE];
    *service = part ? &part->service : &group->trends[IX_T_SERVICE];
    return true;
}

void ix_snapshot_qos_trend(const struct ix_snapshot *snapshot, bool service, const char *protocol,
                           const char *tags, struct ix_histogram *trend, size_t *series)
{
    const struct ix_histogram *response_of, *service_of;
    char *rest = NULL;
    int qos = ix_tags_qos(tags, &rest);
    for (size_t i = 0; i < snapshot->group_count; i++) {
        const struct ix_totals *group = &snapshot->groups[i];
        if ((*protocol && strcmp(protocol, group->protocol) != 0) ||
            !ix_tags_match(rest ? rest : tags, group->group, group->tags) ||
            !of_group(snapshot, group, qos, &response_of, &service_of))
            continue;
        ++*series;
        ix_histogram_merge(trend, service ? service_of : response_of);
    }
    free(rest);
}

static struct ix_latency_row *row_of(struct ix_latency_row *rows, size_t *count, const char *protocol,
                                     int qos)
{
    for (size_t i = 0; i < *count; i++)
        if (rows[i].qos == qos && strcmp(rows[i].protocol, protocol) == 0)
            return &rows[i];
    if (*count == IX_LATENCY_ROWS)
        return NULL;
    struct ix_latency_row *row = &rows[(*count)++];
    snprintf(row->protocol, sizeof(row->protocol), "%s", protocol);
    row->qos = qos;
    ix_histogram_init(&row->response);
    ix_histogram_init(&row->service);
    return row;
}

static int in_order(const void *a, const void *b)
{
    const struct ix_latency_row *x = a, *y = b;
    int protocol = strcmp(x->protocol, y->protocol);
    return protocol ? protocol : x->qos - y->qos;
}

size_t ix_snapshot_latency(const struct ix_snapshot *snapshot, struct ix_latency_row **rows)
{
    size_t count = 0;
    *rows = ix_calloc(IX_LATENCY_ROWS, sizeof(**rows));
    for (size_t i = 0; i < snapshot->group_count; i++)
        for (int qos = -1; qos <= 2; qos++) {
            const struct ix_histogram *response, *service;
            const struct ix_totals *group = &snapshot->groups[i];
            if (!of_group(snapshot, group, qos, &response, &service) || !response->count)
                continue;
            struct ix_latency_row *row = row_of(*rows, &count, group->protocol, qos);
            if (!row)
                continue;
            ix_histogram_merge(&row->response, response);
            ix_histogram_merge(&row->service, service);
        }
    if (count)
        qsort(*rows, count, sizeof(**rows), in_order);
    return count;
}
