/* What is asked of running devices: their figures and last values, and commands. */
#include "control/service_internal.h"

#include <stdlib.h>

static bool need_device(struct wait *w, const char *id, struct device_ref *ref)
{
    struct ix_failure failure;
    if (ix_service_find_device(w->service, id, ref)) {
        w->group = ix_strdup(ref->group->id);
        w->index = ref->index;
        return true;
    }
    ix_service_fail(&failure, IX_FAILURE_UNKNOWN, "", "there is no device \"%.160s\"", id);
    ix_service_refuse(w, &failure);
    return false;
}

static void on_values(struct wait *w, int code, json_t *result, const char *message)
{
    (void)message;
    const struct ix_device_row *row = ix_fleet_row(w->service->fleet, w->group, w->index, NULL);
    static const struct ix_device_row none;
    if (!row)
        row = &none;
    if (code < 0 || !json_is_object(result)) {
        json_decref(result);
        result = json_object();
    }
    ix_service_answer(w, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "deviceId",
                                   json_string_value(json_object_get(w->body, "id")), "messagesSent",
                                   (json_int_t)row->sent, "messagesReceived", (json_int_t)row->received,
                                   "bytesSent", (json_int_t)row->bytes_sent, "bytesReceived",
                                   (json_int_t)row->bytes_received, "connectionCount",
                                   (json_int_t)row->connections, "errorCount", (json_int_t)row->errors,
                                   "lastTelemetry", result));
}

void ix_service_device_metrics(struct ix_service *service, const char *id, ix_service_done *done,
                               void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct device_ref ref;
    struct ix_error err;
    if (!w || !need_device(w, id, &ref))
        return;
    w->body = json_pack("{s:s}", "id", id);
    ix_service_expect(w, on_values);
    if (!ref.group->at_work || ix_fleet_values(service->fleet, w->group, w->index, w->ticket, &err) < 0)
        on_values(w, 0, NULL, "");
}

/* ---- commands ---- */

static void on_command(struct wait *w, int code, json_t *result, const char *message)
{
    json_decref(result);
    if (code < 0)
        ix_service_refuse_text(w, ix_service_kind(code), message);
    else
        ix_service_answer(w, json_incref(w->body));
}

static bool has_command(const struct ix_service *service, const struct service_group *g, const char *name)
{
    const struct model_entry *m = ix_service_find_model(service, g->model);
    size_t place;
    json_t *command;
    json_array_foreach(m ? json_object_get(m->json, "commands") : NULL, place, command)
    {
        const char *own = json_string_value(json_object_get(command, "name"));
        if (own && strcmp(own, name) == 0)
            return true;
    }
    return false;
}

static void check_command(struct ix_service *service, const struct wait *w, const struct device_ref *ref,
                          const char *id, const char *command, const json_t *parameters,
                          struct ix_failure *failure)
{
    const struct ix_device_row *row = ix_fleet_row(service->fleet, w->group, w->index, NULL);
    if (!has_command(service, ref->group, command))
        ix_service_fail(failure, IX_FAILURE_UNKNOWN, "",
                        "model \"%s\" of device \"%.160s\" has no command \"%.64s\"", ref->group->model, id,
                        command);
    else if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
        ix_service_fail(failure, IX_FAILURE_INVALID, "",
                        "the body must be an object: the command's parameters");
    else if (!row || row->link != IX_L_CONNECTED)
        ix_service_fail(failure, IX_FAILURE_CONFLICT, "",
                        "device \"%.160s\" is not connected: start it first", id);
}

void ix_service_device_command(struct ix_service *service, const char *id, const char *command,
                               const json_t *parameters, ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    struct device_ref ref;
    struct ix_error err;
    if (!w || !need_device(w, id, &ref))
        return;
    check_command(service, w, &ref, id, command, parameters, &failure);
    if (!failure.kind) {
        char *text = json_is_object(parameters) ? json_dumps(parameters, JSON_COMPACT) : ix_strdup("{}");
        w->body = json_pack("{s:s, s:s, s:s}", "deviceId", id, "command", command, "status", "accepted");
        ix_service_expect(w, on_command);
        if (ix_fleet_command(service->fleet, w->group, w->index, command, text, w->ticket, &err) < 0)
            ix_service_fail(&failure, ix_service_kind(err.code), "", "%s", err.text);
        free(text);
    }
    if (failure.kind)
        ix_service_refuse(w, &failure);
}
