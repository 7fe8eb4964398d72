/* iotix bench: command lines in the words of MQTT bench tools become options of the scenarios lua/bench. */
#include "base/buf.h"
#include "base/file.h"
#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/bench_options.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/run_values.h"
#include "control/option_names.h"
#include "control/run.h"
#include "script/embedded.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_ENV "IOTIX_BENCH_PASSWORD"
#define MESSAGE_MAX  (16u << 20)
#define ADDRESS_MAX  8192

/* ---- what was given → options of the scenario ---- */

static void set_text(json_t *o, const char *name, const char *text)
{
    if (text)
        json_object_set_new(o, name, json_string(text));
}

static void set_count(json_t *o, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_object_set_new(o, name, json_string(text));
}

static void set_bool(json_t *o, const char *name, bool value)
{
    json_object_set_new(o, name, json_string(value ? "true" : "false"));
}

/* As models call it. */
static int put_version(const char *text, json_t *o, struct ix_error *err)
{
    if (!text)
        return 0;
    bool is_v4 = strcmp(text, "4") == 0 || strcmp(text, "3.1.1") == 0 || strcmp(text, "4.0") == 0;
    if (!is_v4 && strcmp(text, "5") != 0 && strcmp(text, "5.0") != 0)
        return ix_fail(err, -EINVAL, "-V %s: there are 4 (which is 3.1.1) and 5", text);
    set_text(o, "version", is_v4 ? "3.1.1" : "5");
    return 0;
}

static int put_qos(const char *text, json_t *o, struct ix_error *err)
{
    if (text && (text[0] < '0' || text[0] > '2' || text[1]))
        return ix_fail(err, -EINVAL, "-q %s: it must be 0, 1 or 2", text);
    set_text(o, "qos", text);
    return 0;
}

/* "200", "1k", "4KiB" */
static int read_size(struct ix_bench_wish *w, struct ix_error *err)
{
    struct ix_error why;
    if (!w->size_text || ix_units_count(w->size_text, &w->size, &why) == 0)
        return 0;
    int code = ix_units_bytes(w->size_text, &w->size, &why);
    return code < 0 ? ix_fail(err, code, "-s %s: %s", w->size_text, why.text) : 0;
}

static int put_file(struct ix_bench_wish *w, const char *path, json_t *o, struct ix_error *err)
{
    char real[PATH_MAX], copy[PATH_MAX];
    if (!realpath(path, real))
        return ix_fail(err, -errno, "-m @%s: %s", path, strerror(errno));
    memcpy(copy, real, sizeof copy);
    w->file = ix_strdup(basename(copy));
    w->folder = ix_file_dirname(real);
    if (access(real, R_OK) != 0)
        return ix_fail(err, -errno, "-m @%s: %s", path, strerror(errno));
    set_text(o, "file", w->file);
    return 0;
}

static int put_message(struct ix_bench_wish *w, json_t *o, struct ix_error *err)
{
    if (!w->message)
        return 0;
    if (w->message[0] == '@')
        return put_file(w, w->message + 1, o, err);
    if (!w->message[0])
        return ix_fail(err, -EINVAL, "-m is empty");
    struct ix_buf text;
    ix_buf_init(&text, MESSAGE_MAX);
    ix_text_base64(&text, w->message, strlen(w->message));
    set_text(o, "message", ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return 0;
}

static int put_topics(const struct ix_bench_wish *w, enum ix_bench_kind kind, json_t *o, struct ix_error *err)
{
    struct ix_buf text;
    if (kind == IX_BENCH_CONN || (w->model && w->topics.count == 0))
        return 0;
    if (w->topics.count == 0)
        return ix_fail(err, -EINVAL, "-t is missing: %s",
                       kind == IX_BENCH_PUB ? "the topic to publish to" : "what to subscribe to");
    if (kind == IX_BENCH_PUB && w->topics.count > 1)
        return ix_fail(err, -EINVAL, "-t is given twice: clients publish to one topic each (%%i varies it)");
    ix_buf_init(&text, 1 << 20);
    for (size_t i = 0; i < w->topics.count; i++) {
        if (!w->topics.items[i][0] || strchr(w->topics.items[i], '\n')) {
            ix_buf_deinit(&text);
            return ix_fail(err, -EINVAL, "-t: a topic is one line, and not empty");
        }
        ix_buf_printf(&text, "%s%s", i ? "\n" : "", w->topics.items[i]);
    }
    set_text(o, "topic", ix_buf_cstr(&text));
    ix_buf_deinit(&text);
    return 0;
}

static int check(const struct ix_bench_wish *w, struct ix_error *err)
{
    if (w->count < 1)
        return ix_fail(err, -EINVAL, "-c: at least one client is needed");
    if (w->every < 1)
        return ix_fail(err, -EINVAL, "-I 0: the shortest interval is 1 ms; more clients (-c) publish more");
    if (w->size < 1 || w->size > MESSAGE_MAX)
        return ix_fail(err, -EINVAL, "-s: a payload has 1 byte to 16 MiB");
    if (w->host && w->host[strspn(w->host, ", ")] == '\0')
        return ix_fail(err, -EINVAL, "-h \"%s\" names no broker: HOST, HOST:PORT, auto or embedded", w->host);
    if (w->rate && w->interval_given)
        return ix_fail(err, -EINVAL, "-i and -R both say how fast clients connect: give one of them");
    if (w->model && (w->message || w->size_given || w->every_given || w->limit))
        return ix_fail(err, -EINVAL,
                       "--model says itself what is published and how often: leave out -s, -m, -I and -L");
    if (w->message && w->size_given)
        return ix_fail(err, -EINVAL, "-m and -s both say what is published: give one of them");
    if (w->password && !w->user)
        return ix_fail(err, -EINVAL, "-P without -u: MQTT takes no password without a user name");
    if (w->expiry && (!w->version || w->version[0] != '5'))
        return ix_fail(err, -EINVAL, "-x needs -V 5");
    if (w->workers_given && (w->workers < 1 || w->workers > 512))
        return ix_fail(err, -EINVAL, "--workers %llu: it must be 1 to 512", (unsigned long long)w->workers);
    if (w->progress < 100 * IX_MS)
        return ix_fail(err, -EINVAL, "--progress must be 100ms or more");
    return 0;
}

#define MARKED_SIZE 63 /* from which on a payload has room for its sequence */

/* What is observed must be able to carry a sequence, and observers must get in. */
static int check_observe(const struct ix_bench_wish *w, struct ix_error *err)
{
    int code = ix_values_observe(&w->observe, w->observers, w->late_after, err);
    if (code < 0 || w->observe.count == 0)
        return code;
    bool is_v5 = w->version && w->version[0] == '5';
    if (!w->model && !w->message && w->size < MARKED_SIZE && !is_v5)
        return ix_fail(err, -EINVAL,
                       "--observe: a payload of %llu bytes has no room for the sequence that observers look "
                       "for: use -s %d or more, or -V 5, where it travels beside the payload",
                       (unsigned long long)w->size, MARKED_SIZE);
    if (w->user && strchr(w->user, '%'))
        return ix_fail(err, -EINVAL,
                       "--observe with -u %s: observers are no client and have no number; use a user name "
                       "without %%",
                       w->user);
    return 0;
}

static void put_connection(const struct ix_bench_wish *w, json_t *o)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "iotix-%06x-", (unsigned)getpid() & 0xffffff);
    set_count(o, "start", w->start);
    set_text(o, "prefix", w->prefix ? w->prefix : prefix);
    if (w->keepalive_given)
        set_count(o, "keepalive", w->keepalive);
    set_bool(o, "clean", w->clean);
    set_count(o, "expiry", w->expiry);
    set_bool(o, "tls", w->tls);
    set_bool(o, "insecure", w->insecure);
    set_text(o, "ca", w->ca);
    set_text(o, "cert", w->cert);
    set_text(o, "key", w->key);
    set_text(o, "username", w->user);
    set_bool(o, "password", w->password != NULL);
}

/* What nobody gave is not an option: reports say of options that they come from the command line. */
static void drop_defaults(json_t *options)
{
    static const struct {
        const char *name, *text;
    } defaults[] = {
        {"start", "0"},        {"clean", "true"},   {"expiry", "0"},       {"tls", "false"},
        {"insecure", "false"}, {"rate", "0"},       {"password", "false"}, {"count", "200"},
        {"interval", "10"},    {"limit", "0"},      {"inflight", "0"},     {"duration", "0.000000000"},
        {"every", "1000"},     {"retain", "false"}, {"size", "256"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(defaults); i++) {
        const char *text = json_string_value(json_object_get(options, defaults[i].name));
        if (text && strcmp(text, defaults[i].text) == 0)
            json_object_del(options, defaults[i].name);
    }
}

static json_t *scenario_options(struct ix_bench_wish *w, enum ix_bench_kind kind, struct ix_error *err)
{
    json_t *o = json_object();
    put_connection(w, o);
    set_count(o, "count", w->count);
    set_count(o, "interval", w->interval);
    set_count(o, "rate", w->rate);
    set_count(o, "limit", w->limit);
    set_count(o, "inflight", w->inflight);
    char seconds[32];
    snprintf(seconds, sizeof seconds, "%.9f", (double)w->duration / 1e9);
    set_text(o, "duration", seconds);
    if (kind == IX_BENCH_PUB) {
        set_count(o, "every", w->every);
        set_bool(o, "retain", w->retain);
        set_text(o, "model", w->model);
    }
    int code = read_size(w, err);
    code = code < 0 ? code : ix_values_seed(w->seed, &w->seed_value, err);
    code = code < 0 ? code : ix_values_data_limit(w->data_limit, &w->data_limit_bytes, err);
    code = code < 0 ? code : check(w, err);
    code = code < 0 ? code : check_observe(w, err);
    code = code < 0 ? code : put_version(w->version, o, err);
    code = code < 0 ? code : put_qos(w->qos, o, err);
    code = code < 0 ? code : put_message(w, o, err);
    code = code < 0 ? code : put_topics(w, kind, o, err);
    if (code == 0 && kind == IX_BENCH_PUB)
        set_count(o, "size", w->size);
    drop_defaults(o);
    if (code == 0)
        return o;
    json_decref(o);
    return NULL;
}

/* -h and -p as `run` wants its --broker; "" if neither is given. */
static void put_broker(const struct ix_bench_wish *w, struct ix_buf *out)
{
    if (!w->host && !w->port)
        return;
    const char *port = w->port ? w->port : w->tls ? "8883" : "1883";
    char *copy = ix_strdup(w->host ? w->host : "localhost"), *rest = copy, *one;
    while ((one = strsep(&rest, ","))) {
        const char *colon = strchr(one, ':');
        bool is_ipv6 = colon && one[0] != '[' && strchr(colon + 1, ':') && !strstr(one, "://");
        bool whole = strstr(one, "://") || strcmp(one, "embedded") == 0 || strcmp(one, "auto") == 0 ||
                     (colon && !is_ipv6 && one[0] != '[') || strstr(one, "]:");
        if (!one[0])
            continue;
        ix_buf_str(out, out->len ? "," : "");
        if (whole)
            ix_buf_str(out, one);
        else
            ix_buf_printf(out, "%s%s%s:%s", is_ipv6 ? "[" : "", one, is_ipv6 ? "]" : "", port);
    }
    free(copy);
}

static int run_scenario(const char *path, struct ix_bench_wish *w, const json_t *options)
{
    static const char *const allowed[] = {PASSWORD_ENV};
    struct ix_progress progress;
    struct ix_buf broker;
    ix_buf_init(&broker, ADDRESS_MAX);
    put_broker(w, &broker);
    if (w->password)
        setenv(PASSWORD_ENV, w->password, 1);
    struct ix_run_config config = {
        .path = path,
        .text = ix_embedded_find(path)->data,
        .folder = w->folder ? w->folder : ".",
        .broker = broker.len ? ix_buf_cstr(&broker) : NULL,
        .bind = w->ifaddr,
        .seed_given = w->seed != NULL,
        .seed = w->seed_value,
        .workers = w->workers_given ? (uint32_t)w->workers : 0,
        .options = options,
        .allowed_env = allowed,
        .allowed_env_count = w->password ? 1 : 0,
        .outputs = w->outputs.items,
        .output_count = w->outputs.count,
        .interval_ns = w->progress,
        .observe = w->observe.items,
        .observe_count = w->observe.count,
        .observers = w->observers,
        .late_after_ns = w->late_after,
        .observe_username = w->user,
        .observe_password = w->password,
        .observe_tls = {w->tls, w->insecure, (char *)w->ca, (char *)w->cert, (char *)w->key},
        .data_dir = w->data_dir,
        .data_limit = w->data_limit_bytes,
        .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
    };
    if (!w->quiet) {
        ix_progress_init(&progress);
        config.progress = ix_progress_show;
        config.finished = ix_progress_finish;
        config.context = &progress;
    }
    ix_option_names = &ix_option_names_bench;
    int status = ix_run(&config);
    ix_buf_deinit(&broker);
    return status;
}

static int run(const char *name, struct ix_bench_wish *w, enum ix_bench_kind kind)
{
    struct ix_error err;
    char *path = ix_asprintf("lua/bench/%s.lua", name);
    json_t *options = scenario_options(w, kind, &err);
    int status = IX_EXIT_CONFIGURATION;
    if (options)
        status = run_scenario(path, w, options);
    else
        fprintf(stderr, "iotix bench %s: %s\n", name, err.text);
    json_decref(options);
    free(path);
    return status;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    enum ix_bench_kind kind;
    const char *summary;
} benches[] = {
    {"conn", IX_BENCH_CONN, "Clients that connect and stay: how fast, and whether the broker holds them."},
    {"pub", IX_BENCH_PUB,
     "Clients that publish, each one message every -I ms. Payloads begin with a sequence number and the\n"
     "instant of sending, so that `iotix bench sub` measures how long they took. One more client a broker\n"
     "answers questions of other hosts about the clock (topic iotix/clock/…)."},
    {"sub", IX_BENCH_SUB,
     "Clients that subscribe: messages per second, and the latency of what `iotix bench pub` published\n"
     "(metric receive.latency). From another host as well: how far its clock is from ours is measured\n"
     "through the broker, and said with its error."},
};

static const char more[] =
    "\n\nThe summary and the exit codes are those of `iotix run`: 0 passed · 99 a client was not accepted "
    "or\n"
    "a message was not sent · 111 this host could not keep the schedule · 104 bad configuration ·\n"
    "105 interrupted (Ctrl-C).\n"
    "\n"
    "Understood as well: --hostname, --mqtt-version, --message-interval (-im), --payload-size, --no-clean,\n"
    "--session-expiry-interval, --ca, --cert, --key, --conn-rate.";

/* Only who publishes knows what was sent. */
static bool asks_to_observe(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--observe") == 0 || strncmp(argv[i], "--observe=", 10) == 0)
            return true;
    return false;
}

static int bench(size_t place, int argc, char **argv)
{
    if (benches[place].kind != IX_BENCH_PUB && asks_to_observe(argc, argv)) {
        fprintf(
            stderr,
            "iotix bench %s: --observe is an option of bench pub: what became of messages can only be told "
            "against what was sent\n",
            benches[place].name);
        return IX_EXIT_CONFIGURATION;
    }
    struct ix_bench_wish w = {.count = 200, .interval = 10, .every = 1000, .size = 256, .clean = true};
    struct ix_option options[IX_BENCH_OPTIONS_MAX];
    char *usage = ix_asprintf("iotix bench %s%s [options]", benches[place].name,
                              benches[place].kind == IX_BENCH_CONN ? "" : " -t TOPIC");
    char *summary = ix_asprintf("%s%s", benches[place].summary, more);
    char *name = ix_asprintf("bench %s", benches[place].name);
    char **words = ix_calloc((size_t)argc + 1, sizeof *words);
    const char **arguments = ix_calloc((size_t)argc + 1, sizeof *arguments);
    words[0] = name; /* for messages */
    for (int i = 1; i < argc; i++)
        words[i] = ix_bench_our_name(argv[i]);
    w.progress = IX_S;
    const struct ix_command_line line = {.usage = usage,
                                         .summary = summary,
                                         .options = options,
                                         .option_count = ix_bench_options(benches[place].kind, options),
                                         .into = &w};
    size_t count;
    int status;
    if (ix_command_begin(&line, argc, words, arguments, &count, &status))
        status = run(benches[place].name, &w, benches[place].kind);
    free(w.folder);
    free(w.file);
    for (int i = 1; i < argc; i++)
        free(words[i]);
    free(arguments);
    free(words);
    free(name);
    free(summary);
    free(usage);
    return status;
}

int ix_command_bench(int argc, char **argv)
{
    const char *names[IX_ARRAY_LEN(benches)];
    for (size_t i = 0; i < IX_ARRAY_LEN(benches); i++) {
        names[i] = benches[i].name;
        if (argc > 1 && strcmp(argv[1], names[i]) == 0)
            return bench(i, argc - 1, argv + 1);
    }
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    char suggestion[128] = "";
    if (argc > 1 && !help) {
        ix_suggest_put(suggestion, sizeof suggestion, argv[1], names, IX_ARRAY_LEN(names));
        fprintf(stderr, "iotix bench: unknown command \"%s\"%s\n", argv[1], suggestion);
    }
    fprintf(help ? stdout : stderr,
            "usage: iotix bench conn [options]            clients that connect and stay\n"
            "       iotix bench pub -t TOPIC [options]    clients that publish\n"
            "       iotix bench sub -t TOPIC [options]    clients that subscribe, count and measure latency\n"
            "\nOne-line load in the words of MQTT bench tools; each has --help. For example:\n"
            "  iotix bench sub -h broker -c 10 -t 'bench/#' --duration 1m\n"
            "  iotix bench pub -h broker -c 1000 -R 200 -t bench/%%i -s 128 -q 1 -I 500 --duration 1m\n");
    return help ? 0 : IX_EXIT_CONFIGURATION;
}
