/* JUnit XML, in the common subset of the schemas of Ant and of Jenkins: one suite; a case for the scenario,
 * for the generator, for each check and for each threshold. */
#include "control/report.h"

#include "base/text.h"
#include "control/judge.h"
#include "control/report_text.h"

#include <string.h>

static void attribute(struct ix_buf *out, const char *name, const char *value)
{
    ix_buf_printf(out, " %s=\"", name);
    ix_report_escape(out, value);
    ix_buf_char(out, '"');
}

static void property(struct ix_buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    ix_buf_str(out, "      <property");
    attribute(out, "name", name);
    attribute(out, "value", value);
    ix_buf_str(out, "/>\n");
}

static void properties(const struct ix_result *result, struct ix_buf *out)
{
    char text[32];
    ix_buf_str(out, "    <properties>\n");
    property(out, "iotix", ix_result_version(result));
    snprintf(text, sizeof(text), "%llu", (unsigned long long)result->seed);
    property(out, "seed", text);
    property(out, "run", result->run_id);
    property(out, "scenario", result->path);
    property(out, "broker", result->broker);
    property(out, "outcome", result->outcome);
    property(out, "validity", ix_validity_names[result->validity]);
    for (size_t i = 0; i < result->model_count; i++)
        property(out, "model", result->models[i].id);
    ix_buf_str(out, "    </properties>\n");
}

/* A case; `element` NULL: it passed, else "failure" or "error" with a message, and text below it. */
static void test_case(const struct ix_result *result, const char *part, const char *name, const char *tags,
                      double seconds, const char *element, const char *type, const char *message,
                      const char *text, struct ix_buf *out)
{
    ix_buf_str(out, "    <testcase classname=\"");
    ix_report_escape(out, result->scenario ? result->scenario : "run");
    ix_buf_printf(out, ".%s\" name=\"", part);
    ix_report_escape(out, name);
    if (*tags) {
        ix_buf_str(out, " {");
        ix_report_escape(out, tags);
        ix_buf_char(out, '}');
    }
    ix_buf_printf(out, "\" time=\"%.3f\"", seconds);
    if (!element) {
        ix_buf_str(out, "/>\n");
        return;
    }
    ix_buf_printf(out, ">\n      <%s", element);
    attribute(out, "type", type);
    attribute(out, "message", message);
    ix_buf_char(out, '>');
    ix_report_escape(out, text);
    ix_buf_printf(out, "</%s>\n    </testcase>\n", element);
}

static void scenario_case(const struct ix_result *result, struct ix_buf *out)
{
    const char *element = result->error || result->interrupted || result->early ? "error" : NULL;
    struct ix_buf message;
    ix_buf_init(&message, 4096);
    if (result->error)
        ix_buf_put(&message, result->error,
                   strcspn(result->error, "\n") < 4000 ? strcspn(result->error, "\n") : 4000);
    else
        ix_buf_printf(&message, "%.4000s", result->early ? result->early : "the run was interrupted");
    test_case(result, "run", "scenario", "", result->seconds, element, result->outcome, ix_buf_cstr(&message),
              result->error ? result->error : result->early, out);
    ix_buf_deinit(&message);
}

static void generator_case(const struct ix_result *result, struct ix_buf *out)
{
    const char *reasons = result->validity_reasons ? result->validity_reasons : "";
    test_case(result, "run", "generator", "", result->seconds,
              result->validity == IX_INVALID ? "failure" : NULL, "invalid",
              "the generator could not keep up: the figures are not those of the broker", reasons, out);
}

static void check_case(const struct ix_result *result, const struct ix_check *check, struct ix_buf *out)
{
    struct ix_buf message, text;
    ix_buf_init(&message, 1 << 20);
    ix_buf_init(&text, 1 << 20);
    if (check->fails) {
        const char *between = check->reason ? ": " : "", *reason = check->reason ? check->reason : "";
        ix_buf_printf(&message, "failed %llu of %llu times", (unsigned long long)check->fails,
                      (unsigned long long)(check->passes + check->fails));
        ix_buf_printf(&text, "%s, first %.3f s after the start of the run%s%s", ix_buf_cstr(&message),
                      (double)check->first_fail_ns / 1e9, between, reason);
        ix_buf_printf(&message, "%s%s", between, reason);
    }
    test_case(result, "checks", check->name, check->tags, 0, check->fails ? "failure" : NULL, "check",
              ix_buf_cstr(&message), ix_buf_cstr(&text), out);
    ix_buf_deinit(&message);
    ix_buf_deinit(&text);
}

static void threshold_case(const struct ix_result *result, const struct ix_threshold *t, struct ix_buf *out)
{
    struct ix_buf name, text;
    ix_buf_init(&name, 1 << 20);
    ix_buf_init(&text, 1 << 20);
    ix_buf_str(&name, t->metric);
    if (*t->tags)
        ix_buf_printf(&name, "{%s}", t->tags);
    ix_buf_printf(&name, " %s", t->text);
    ix_buf_printf(&text, "%s: %s", ix_buf_cstr(&name), t->reason);
    if (t->evaluated && !t->passed && ix_result_is_suspect(result, t->metric))
        ix_buf_str(&text, "; this host's own delays are a part of that: the generator was late itself");
    if (!t->evaluated) /* the run ended before */
        ix_buf_str(&text, "not evaluated");
    bool passed = t->evaluated && t->passed;
    test_case(result, "thresholds", ix_buf_cstr(&name), "", 0, passed ? NULL : "failure", "threshold",
              t->evaluated ? t->reason : "not evaluated", ix_buf_cstr(&text), out);
    ix_buf_deinit(&name);
    ix_buf_deinit(&text);
}

void ix_report_junit(const struct ix_result *result, struct ix_buf *out)
{
    size_t count, failures = result->validity == IX_INVALID,
                  errors = result->error || result->interrupted || result->early;
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &count);
    for (size_t i = 0; i < result->checks.count; i++)
        failures += result->checks.items[i].fails > 0;
    for (size_t i = 0; i < count; i++)
        failures += !(thresholds[i].evaluated && thresholds[i].passed);
    char started[IX_ISO8601_LEN + 1];
    ix_text_iso8601(started, result->started_wall_ns);
    started[19] = '\0'; /* the schemas know neither fractions nor zones; UTC */

    ix_buf_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite");
    attribute(out, "name", result->scenario ? result->scenario : "run");
    ix_buf_printf(out,
                  " package=\"iotix\" id=\"0\" hostname=\"localhost\" timestamp=\"%s\" tests=\"%zu\" "
                  "failures=\"%zu\" errors=\"%zu\" time=\"%.3f\">\n",
                  started, result->checks.count + count + 2, failures, errors, result->seconds);
    properties(result, out);
    scenario_case(result, out);
    generator_case(result, out);
    for (size_t i = 0; i < result->checks.count; i++)
        check_case(result, &result->checks.items[i], out);
    for (size_t i = 0; i < count; i++)
        threshold_case(result, &thresholds[i], out);
    struct ix_buf summary;
    ix_buf_init(&summary, 1 << 20);
    ix_result_summary(result, false, &summary);
    ix_buf_str(out, "    <system-out>");
    ix_report_escape(out, ix_buf_cstr(&summary));
    ix_buf_str(out, "</system-out>\n    <system-err></system-err>\n  </testsuite>\n</testsuites>\n");
    ix_buf_deinit(&summary);
}
