/* Groups and devices as JSON. */
#include "control/service_internal.h"

#include "base/text.h"

json_t *ix_service_time(int64_t wall_ms)
{
    char text[IX_ISO8601_LEN + 1];
    if (wall_ms == 0)
        return json_null();
    ix_text_iso8601(text, wall_ms * 1000000);
    text[IX_ISO8601_LEN] = '\0';
    return json_string(text);
}

json_t *ix_service_view_operation(struct ix_service *service, struct service_group *g)
{
    static const char *const kinds[] = {"", "start", "stop", "dropout"};
    const struct operation *o = &g->operation;
    ix_service_operation_update(service, g);
    if (o->kind == OPERATION_NONE)
        return json_null();
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:o}", "operation", kinds[o->kind], "strategy",
                     o->strategy, "done", (json_int_t)o->done, "total", (json_int_t)o->total, "status",
                     o->is_cancelled ? "cancelled"
                     : o->is_over    ? "done"
                                     : "running",
                     "estimatedDurationMs", (json_int_t)(o->duration_ns / 1000000), "startedAt",
                     ix_service_time(o->started_ms));
}

json_t *ix_service_view_group(struct ix_service *service, struct service_group *g)
{
    static const char *const states[] = {"created", "started", "stopped"};
    struct ix_totals now;
    ix_service_group_counts(service, g, &now);
    json_t *counts = json_object();
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        json_object_set_new(counts, ix_status_names[s], json_integer(now.by_status[s]));
    json_int_t started =
        now.by_status[IX_D_STARTING] + now.by_status[IX_D_RUNNING] + now.by_status[IX_D_DROPPED];
    json_t *view = json_pack(
        "{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:s, s:o, s:I, s:o}", "groupId", g->id, "modelId", g->model,
        "idPattern", g->pattern_text, "createdAt", ix_service_time(g->created_ms), "deviceCount",
        (json_int_t)now.count, "devicesCreated", (json_int_t)now.count, "devicesStarted", started,
        "devicesStopped", (json_int_t)now.by_status[IX_D_STOPPED], "status", states[g->state], "byStatus",
        counts, "connected", (json_int_t)now.connected, "operation", ix_service_view_operation(service, g));
    if (g->launch)
        json_object_set(view, "launch", g->launch);
    if (g->trouble)
        json_object_set_new(view, "errorMessage", json_string(g->trouble));
    return view;
}

uint64_t ix_service_group_count(const struct ix_service *service)
{
    return service->group_count;
}

json_t *ix_service_group(struct ix_service *service, const char *id, struct ix_failure *failure)
{
    struct service_group *g = ix_service_need_group(service, id, failure);
    return g ? ix_service_view_group(service, g) : NULL;
}

/* The instant of a worker's monotonic clock as wall time. */
static json_t *instant(const struct ix_service *service, uint64_t at_ns)
{
    return at_ns ? ix_service_time(ix_clock_wall(&service->loop->clock, at_ns) / 1000000) : json_null();
}

static json_t *error_of(const struct ix_device_row *row, const struct ix_segment *segment, const char *group)
{
    const struct ix_group_metrics *m = row && row->reason ? ix_segment_find_group(segment, group) : NULL;
    char text[sizeof m->reasons[0].text];
    if (!m || row->reason > IX_SEGMENT_REASONS || row->link == IX_L_CONNECTED)
        return json_null();
    memcpy(text, m->reasons[row->reason - 1].text, sizeof text);
    text[sizeof text - 1] = '\0';
    json_t *json = json_string(text);
    return json ? json : json_null();
}

json_t *ix_service_view_device(struct ix_service *service, const struct device_ref *ref)
{
    const struct service_group *g = ref->group;
    const struct ix_segment *segment = NULL;
    const struct ix_device_row *row =
        g->at_work ? ix_fleet_row(service->fleet, g->id, ref->index, &segment) : NULL;
    enum ix_device_status status = row && row->status < IX_D_STATUS_COUNT
                                       ? (enum ix_device_status)row->status
                                       : ix_service_rest_status(g, ref->index);
    const char *link = ix_link_names[row && row->link < IX_L_COUNT ? row->link : IX_L_DISCONNECTED];
    bool joined = ref->index >= g->names_base && ref->index - g->names_base < g->name_count;
    json_t *error =
        g->trouble && status == IX_D_ERROR ? json_string(g->trouble) : error_of(row, segment, g->id);
    int64_t created = joined ? g->created[ref->index - g->names_base] : g->created_ms;
    struct ix_buf id;
    ix_buf_init(&id, 4096);
    ix_service_put_id(g, ref->index, &id);
    json_t *view =
        json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:I}", "id", ix_buf_cstr(&id), "modelId",
                  g->model, "groupId", g->hidden ? json_null() : json_string(g->id), "status",
                  ix_status_names[status], "connectionState", link, "createdAt", ix_service_time(created),
                  "startedAt", instant(service, row ? row->started_ns : 0), "lastTelemetryAt",
                  instant(service, row && row->sent ? row->cursor_ns : 0), "errorMessage", error, "index",
                  (json_int_t)ref->index);
    ix_buf_deinit(&id);
    return view;
}
