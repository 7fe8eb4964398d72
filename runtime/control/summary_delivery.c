/* The section of the summary that says what observers saw of the messages. */
#include "control/delivery.h"
#include "control/summary_page.h"

#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_SHOWN   20
#define DEVICES_SHOWN 10

static uint64_t figure(const json_t *line, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(line, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* "2 lost, 1 duplicated": what is not as it should be; those of the columns only if asked for. */
static bool put_faults(struct ix_buf *out, const json_t *line, bool all)
{
    static const struct {
        const char *name, *text;
        bool column;
    } faults[] = {{"lost", "lost", true},
                  {"lostWithConnection", "of the lost ones with a connection that broke", false},
                  {"inFlight", "in flight", true},
                  {"missing", "overtaken by a later one", false},
                  {"inDoubt", "in doubt", false},
                  {"duplicated", "duplicated", false},
                  {"reordered", "reordered", false},
                  {"late", "late", false},
                  {"stale", "too old to tell", false},
                  {"corrupt", "corrupt", false},
                  {"unknown", "unknown", false},
                  {"foreign", "without a sequence", false},
                  {"retained", "retained", false}};
    bool any = false;
    for (size_t i = 0; i < IX_ARRAY_LEN(faults); i++) {
        uint64_t count = figure(line, faults[i].name);
        if (!count || (faults[i].column && !all))
            continue;
        ix_buf_str(out, any ? ", " : "");
        ix_units_put_count(out, count);
        ix_buf_printf(out, " %s", faults[i].text);
        any = true;
    }
    return any;
}

static void put_row(struct ix_page *page, const char *name, const json_t *line)
{
    static const char *const columns[] = {"sent", "delivered", "lost", "inFlight"};
    ix_buf_str(page->out, "  ");
    size_t start = page->out->len;
    ix_page_user_text(page->out, name);
    ix_page_pad_or_break(page->out, start, 19);
    for (size_t i = 0; i < IX_ARRAY_LEN(columns); i++)
        ix_page_count_right(page->out, figure(line, columns[i]), 12);
    ix_buf_char(page->out, '\n');
    struct ix_buf beside;
    ix_buf_init(&beside, 4096);
    if (put_faults(&beside, line, false))
        ix_page_wrapped(page->out, ix_buf_cstr(&beside), 6);
    ix_buf_deinit(&beside);
}

static void put_parts(struct ix_page *page, const json_t *parts)
{
    size_t count = json_array_size(parts);
    for (size_t i = 0; i < count && i < PARTS_SHOWN && count > 1; i++) {
        const json_t *part = json_array_get(parts, i);
        const json_t *qos = json_object_get(part, "qos");
        const char *group = json_string_value(json_object_get(part, "group"));
        char *name = json_is_integer(qos) ? ix_asprintf("%s, QoS %d", group, (int)json_integer_value(qos))
                                          : ix_asprintf("%s, mixed QoS", group);
        put_row(page, name, part);
        free(name);
    }
    if (count > PARTS_SHOWN) {
        ix_buf_str(page->out, "  \xe2\x80\xa6 and ");
        ix_units_put_count(page->out, count - PARTS_SHOWN);
        ix_buf_str(page->out, " more\n");
    }
}

static void put_devices(struct ix_page *page, const json_t *devices)
{
    struct ix_buf *out = page->out;
    const json_t *worst = json_object_get(devices, "worst");
    uint64_t affected = figure(devices, "affected");
    for (size_t i = 0; i < json_array_size(worst) && i < DEVICES_SHOWN; i++) {
        const json_t *device = json_array_get(worst, i);
        ix_page_label(page, i ? "" : "worst devices");
        size_t start = out->len;
        ix_page_user_text(out, json_string_value(json_object_get(device, "id")));
        ix_page_pad(out, start, 24);
        ix_buf_char(out, ' ');
        put_faults(out, device, true);
        ix_buf_printf(out, ", of %llu sent\n", (unsigned long long)figure(device, "sent"));
    }
    if (affected > DEVICES_SHOWN) {
        ix_page_label(page, "");
        ix_buf_str(out, "\xe2\x80\xa6 and ");
        ix_units_put_count(out, affected - DEVICES_SHOWN);
        ix_buf_str(out, " more\n");
    }
}

static void put_topics(struct ix_buf *out, const json_t *topics)
{
    for (size_t i = 0; i < json_array_size(topics); i++) {
        ix_buf_str(out, i ? ", " : "");
        ix_page_user_text(out, json_string_value(json_array_get(topics, i)));
    }
}

/* Why messages may still come. */
static void put_unsettled(struct ix_buf *out, const json_t *observers)
{
    const char *silent = json_string_value(json_object_get(observers, "silentBroker"));
    if (!json_is_false(json_object_get(observers, "settled")))
        return;
    if (!silent) {
        ix_page_wrapped(out, "messages still arrived, or an observer was away, when the account was closed",
                        4);
        return;
    }
    char *text =
        ix_asprintf("in flight: broker %s had not answered for %.3g s when the account was closed; what it "
                    "still has may come or be lost",
                    silent, json_number_value(json_object_get(observers, "silentSeconds")));
    ix_page_wrapped(out, text, 4);
    free(text);
}

static void put_observers(struct ix_page *page, const json_t *delivery)
{
    const json_t *observers = json_object_get(delivery, "observers");
    struct ix_buf *out = page->out;
    uint64_t restarts = figure(observers, "restarts"), overruns = figure(observers, "overruns");
    double away = json_number_value(json_object_get(observers, "awaySeconds"));
    ix_page_label(page, "observed");
    put_topics(out, json_object_get(observers, "topics"));
    ix_buf_str(out, " by ");
    ix_page_count_of(out, figure(observers, "count"), "observer", "observers");
    ix_buf_printf(out, ", QoS %llu\n", (unsigned long long)figure(observers, "qos"));
    if (json_is_false(json_object_get(observers, "orderJudged")))
        ix_page_wrapped(out, "the order was not judged: several observers shared the subscription", 4);
    if (!json_is_false(json_object_get(delivery, "closed")))
        put_unsettled(out, observers);
    const json_t *total = json_object_get(delivery, "total");
    if (!figure(total, "sent") && !figure(total, "unwatched"))
        ix_page_wrapped(out, "nothing that was sent went to these topics: is the filter right?", 4);
    if (!restarts && !overruns && away <= 0)
        return;
    ix_page_label(page, "observers");
    ix_buf_printf(out, "away for %.3g s, %llu restarts, overrun for %llu s\n", away,
                  (unsigned long long)restarts, (unsigned long long)overruns);
}

static void put_heading(struct ix_page *page)
{
    ix_page_heading(page, "DELIVERY");
    ix_buf_printf(page->out, "%25s%12s%12s%12s\n", "sent", "delivered", "lost", "in flight");
}

void ix_page_delivery(struct ix_page *page, const struct ix_result *result)
{
    const json_t *delivery = result->delivery, *total = json_object_get(delivery, "total");
    if (!delivery)
        return;
    put_heading(page);
    put_row(page, "all", total);
    put_parts(page, json_object_get(delivery, "parts"));
    uint64_t unwatched = figure(total, "unwatched");
    if (unwatched) {
        ix_page_label(page, "not watched");
        ix_units_put_count(page->out, unwatched);
        ix_buf_str(page->out, ": neither JSON objects nor MQTT 5\n");
    }
    put_devices(page, json_object_get(delivery, "devices"));
    put_observers(page, delivery);
    if (json_is_false(json_object_get(delivery, "closed")))
        ix_page_wrapped(page->out, "the account was not closed: what is in flight may be lost", 4);
}
