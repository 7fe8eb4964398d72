/* The table of the HTML report that says what observers saw of the messages. */
#include "control/clocks_view.h"
#include "control/report_html.h"

#include "base/units.h"
#include "control/report_text.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *title;
} columns[] = {{"neverSent", "never sent"},
               {"sent", "sent"},
               {"delivered", "delivered"},
               {"lost", "lost"},
               {"inFlight", "in flight"},
               {"inDoubt", "in doubt"},
               {"duplicated", "duplicated"},
               {"reordered", "reordered"},
               {"late", "late"},
               {"stale", "too old to tell"}};

static void put_cells(struct ix_buf *out, const json_t *line)
{
    for (size_t i = 0; i < IX_ARRAY_LEN(columns); i++) {
        json_int_t value = json_integer_value(json_object_get(line, columns[i].name));
        ix_buf_str(out, "<td class=\"n\">");
        ix_units_put_count(out, value > 0 ? (uint64_t)value : 0);
        ix_buf_str(out, "</td>");
    }
    ix_buf_str(out, "</tr>");
}

static void put_name(struct ix_buf *out, const char *name, const char *more)
{
    ix_buf_str(out, "<tr><td class=\"name\">");
    ix_report_escape(out, name);
    ix_buf_str(out, " <span class=\"muted\">");
    ix_report_escape(out, more);
    ix_buf_str(out, "</span></td>");
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static void put_beside(struct ix_buf *out, const json_t *total)
{
    static const struct {
        const char *name, *text;
    } beside[] = {{"lostWithConnection", "of the lost ones with a connection that broke"},
                  {"corrupt", "corrupt"},
                  {"unknown", "of another run, or never sent"},
                  {"foreign", "without a sequence"},
                  {"retained", "retained copies"},
                  {"unwatched", "sent without a sequence"}};
    ix_buf_str(out, "<p class=\"muted\">beside it:");
    for (size_t i = 0; i < IX_ARRAY_LEN(beside); i++) {
        json_int_t value = json_integer_value(json_object_get(total, beside[i].name));
        ix_buf_str(out, i ? ", " : " ");
        ix_units_put_count(out, value > 0 ? (uint64_t)value : 0);
        ix_buf_printf(out, " %s", beside[i].text);
    }
    ix_buf_str(out, "</p>");
}

/* Why messages may still come. */
static void put_unsettled(struct ix_buf *out, const json_t *observers)
{
    const char *silent = json_string_value(json_object_get(observers, "silentBroker"));
    if (!silent) {
        ix_buf_str(out,
                   "<p>Messages still arrived, or an observer was away, when the account was closed.</p>");
        return;
    }
    ix_buf_str(out, "<p>In flight: broker <code>");
    ix_report_escape(out, silent);
    ix_buf_printf(out,
                  "</code> had not answered for %.3g s when the account was closed; what it still has may "
                  "come or be lost.</p>",
                  json_number_value(json_object_get(observers, "silentSeconds")));
}

/* What the account can't say, and why. */
static void put_notes(struct ix_buf *out, const json_t *delivery)
{
    const json_t *observers = json_object_get(delivery, "observers"),
                 *total = json_object_get(delivery, "total");
    ix_buf_str(out, "<p class=\"muted\">observed: ");
    for (size_t i = 0; i < json_array_size(json_object_get(observers, "topics")); i++) {
        ix_buf_str(out, i ? ", <code>" : "<code>");
        ix_report_escape(out, json_string_value(json_array_get(json_object_get(observers, "topics"), i)));
        ix_buf_str(out, "</code>");
    }
    ix_buf_printf(out, " with QoS %d", (int)json_integer_value(json_object_get(observers, "qos")));
    if (json_is_false(json_object_get(observers, "orderJudged")))
        ix_buf_str(out, "; the order was not judged, since several observers shared the subscription");
    ix_buf_str(out, "</p>");
    if (json_is_false(json_object_get(delivery, "closed"))) {
        ix_buf_str(out,
                   "<p>The account was not closed: what is in flight may be lost (a later message of the "
                   "same stream has overtaken ");
        ix_units_put_count(out, (uint64_t)json_integer_value(json_object_get(total, "missing")));
        ix_buf_str(out, " of it).</p>");
    } else if (json_is_false(json_object_get(observers, "settled"))) {
        put_unsettled(out, observers);
    }
    if (!json_integer_value(json_object_get(total, "sent")) &&
        !json_integer_value(json_object_get(total, "unwatched")))
        ix_buf_str(out, "<p>Nothing that was sent went to these topics: is the filter right?</p>");
}

static void put_clocks(struct ix_buf *out, const json_t *clocks)
{
    size_t i;
    const json_t *clock;
    if (!json_array_size(clocks))
        return;
    ix_buf_str(out, "<section><h2>Clocks of other hosts</h2><div class=\"card\">");
    json_array_foreach(clocks, i, clock)
    {
        ix_buf_str(out, "<p>");
        ix_clock_put_text(out, clock);
        ix_buf_str(out, "</p>");
    }
    ix_buf_str(out, "</div></section>\n");
}

void ix_html_delivery(const struct ix_result *result, struct ix_buf *out)
{
    const json_t *delivery = result->delivery, *line;
    put_clocks(out, result->clocks);
    if (!delivery)
        return;
    ix_buf_str(out, "<section><h2>Delivery</h2><div class=\"card\"><table><thead><tr><th>of</th>");
    for (size_t i = 0; i < IX_ARRAY_LEN(columns); i++)
        ix_buf_printf(out, "<th class=\"n\">%s</th>", columns[i].title);
    ix_buf_str(out, "</tr></thead><tbody>");
    put_name(out, "all", "");
    put_cells(out, json_object_get(delivery, "total"));
    size_t i;
    json_array_foreach(json_object_get(delivery, "parts"), i, line)
    {
        char qos[16];
        const json_t *value = json_object_get(line, "qos");
        snprintf(qos, sizeof(qos), json_is_integer(value) ? "QoS %d" : "mixed QoS",
                 (int)json_integer_value(value));
        put_name(out, text_of(line, "group"), qos);
        put_cells(out, line);
    }
    json_array_foreach(json_object_get(json_object_get(delivery, "devices"), "worst"), i, line)
    {
        put_name(out, text_of(line, "id"), "device");
        put_cells(out, line);
    }
    ix_buf_str(out, "</tbody></table>");
    put_beside(out, json_object_get(delivery, "total"));
    put_notes(out, delivery);
    ix_buf_str(out, "</div></section>\n");
}
