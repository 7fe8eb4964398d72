/* iotix serve: the services, until a signal ends them. */
#include "api/device_api.h"
#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/notify.h"
#include "cli/run_values.h"
#include "control/data_dir.h"
#include "control/result.h"
#include "control/service.h"
#include "protocol/target.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE_PORT  8080
#define REQUESTS_MS  1000       /* for requests under way, when it ends */
#define DRAIN_NS     (2 * IX_S) /* for devices to disconnect politely */
#define FOLDERS_MAX  64
#define IMAGE_FOLDER "/app/device-models"

static const char summary[] =
    "Serves the device engine until SIGTERM or Ctrl-C: REST API, Prometheus metrics, event stream and the "
    "live page.\n"
    "\n"
    "Models over REST, groups, devices and what they do are kept in the data folder: after a restart what "
    "ran runs\n"
    "again. SIGHUP reads the folders of models anew. Whoever may reach the port may do everything, so it "
    "listens on\n"
    "this host only; authentication is not part of this version yet.\n"
    "\n"
    "Environment: DEVICE_MODEL_PATH (folders, joined with \":\"), MQTT_BROKER_HOST, MQTT_BROKER_PORT, "
    "LOG_LEVEL,\n"
    "IOTIX_DATA_PATH, IOTIX_LUA_PATH, IOTIX_ALLOWED_HOSTS (names, joined with \",\").";

struct serving {
    struct ix_loop loop;
    struct ix_service *service;
    struct ix_device_api *api;
    uv_signal_t sigint, sigterm, sighup;
    bool signals_open;
    bool json_log;
    bool ending;
    const char *data_dir; /* NULL: ephemeral */
    int status;
};

/* ---- the log ---- */

static void write_log(void *context, enum ix_log_level level, const char *line)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
    struct serving *s = context;
    char time[IX_ISO8601_LEN + 1];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    ix_text_iso8601(time, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    time[IX_ISO8601_LEN] = '\0';
    if (s->json_log) {
        json_t *message = json_string(line);
        json_t *object = json_pack("{s:s, s:s, s:o}", "time", time, "level", names[level], "message",
                                   message ? message : json_string("(not UTF-8)"));
        char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
        fprintf(stderr, "%s\n", text);
        free(text);
        json_decref(object);
    } else {
        fprintf(stderr, "%s %-5s %s\n", time, names[level], line);
    }
    if (s->service)
        ix_service_note_log(s->service, level, line);
}

/* ---- the end ---- */

static void on_service_stopped(void *context)
{
    ix_loop_stop(&((struct serving *)context)->loop);
}

static void on_api_stopped(void *context)
{
    struct serving *s = context;
    ix_service_stop(s->service, DRAIN_NS, on_service_stopped, s);
}

static void on_end(uv_signal_t *handle, int number)
{
    struct serving *s = handle->data;
    if (s->ending) {
        fputs("\niotix: aborted\n", stderr); /* workers and embedded broker die with us */
        _exit(IX_EXIT_INTERRUPTED);
    }
    s->ending = true;
    ix_notify("STOPPING=1");
    ix_log(IX_LOG_INFO, "%s: stopping; once more aborts", number == SIGINT ? "interrupted" : "SIGTERM");
    if (s->api)
        ix_device_api_stop(s->api, REQUESTS_MS, on_api_stopped, s);
    else
        on_api_stopped(s);
}

static void on_reload(uv_signal_t *handle, int number)
{
    (void)number;
    struct serving *s = handle->data;
    ix_log(IX_LOG_INFO, "SIGHUP: models are read again");
    ix_service_reload(s->service);
}

static void open_signals(struct serving *s)
{
    static const struct {
        int number;
        uv_signal_cb callback;
    } wanted[] = {{SIGINT, on_end}, {SIGTERM, on_end}, {SIGHUP, on_reload}};
    uv_signal_t *handles[] = {&s->sigint, &s->sigterm, &s->sighup};
    for (size_t i = 0; i < IX_ARRAY_LEN(wanted); i++) {
        uv_signal_init(&s->loop.uv, handles[i]);
        handles[i]->data = s;
        uv_signal_start(handles[i], wanted[i].callback, wanted[i].number);
    }
    s->signals_open = true;
}

/* ---- the beginning ---- */

static void announce(struct serving *s)
{
    json_t *stats = ix_service_stats(s->service);
    printf("device engine: http://%s (%lld models, %lld groups, broker %s, %s%s)\n",
           ix_device_api_address(s->api), (long long)json_integer_value(json_object_get(stats, "modelCount")),
           (long long)json_integer_value(json_object_get(stats, "groupCount")), ix_service_broker(s->service),
           s->data_dir ? "data in " : "nothing is kept", s->data_dir ? s->data_dir : "");
    fflush(stdout);
    json_decref(stats);
    ix_notify("READY=1");
}

static void on_ready(void *context, const struct ix_error *failure)
{
    struct serving *s = context;
    if (failure) {
        fprintf(stderr, "iotix serve: %s\n", failure->text);
        s->status = IX_EXIT_CONFIGURATION;
        ix_loop_stop(&s->loop);
    } else if (s->api) {
        announce(s);
    }
}

static int serve(struct serving *s, struct ix_service_config *service, struct ix_device_api_config *api,
                 struct ix_error *err)
{
    int code = ix_loop_init(&s->loop, err);
    if (code < 0)
        return code;
    service->loop = api->loop = &s->loop;
    service->context = s;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write, not our end */
    open_signals(s);
    code = ix_service_new(service, on_ready, &s->service, err);
    if (code == 0) {
        api->service = s->service;
        code = ix_device_api_start(api, &s->api, err);
    }
    if (code == 0 && ix_service_is_ready(s->service))
        announce(s);
    if (code == 0)
        ix_loop_run(&s->loop);
    return code;
}

static void end(struct serving *s)
{
    ix_device_api_free(s->api);
    struct ix_service *service = s->service;
    s->service = NULL; /* the log tells it nothing any more */
    bool looks_up = ix_service_free(service);
    ix_log_flush(UINT64_MAX);
    ix_log_set_sink(NULL, NULL);
    if (looks_up) { /* a name server that does not answer holds up nobody */
        fflush(NULL);
        _exit(s->status);
    }
    if (!s->signals_open)
        return;
    uv_close((uv_handle_t *)&s->sigint, NULL);
    uv_close((uv_handle_t *)&s->sigterm, NULL);
    uv_close((uv_handle_t *)&s->sighup, NULL);
    ix_loop_deinit(&s->loop);
}

/* ---- what it may be told ---- */

static int check_services(const char *const *names, size_t count, struct ix_error *err)
{
    static const char *const known[] = {"device", "test", "management"};
    for (size_t i = 0; i < count; i++) {
        char suggestion[128];
        if (strcmp(names[i], "device") == 0)
            continue;
        if (strcmp(names[i], "test") == 0 || strcmp(names[i], "management") == 0)
            return ix_fail(err, -ENOTSUP,
                           "the %s service is not part of this version yet; `iotix serve device` is",
                           names[i]);
        ix_suggest_put(suggestion, sizeof suggestion, names[i], known, IX_ARRAY_LEN(known));
        return ix_fail(err, -EINVAL, "there is no service \"%s\"%s", names[i], suggestion);
    }
    return 0;
}

static int check_host(const char *host, struct ix_error *err)
{
    const char *dev = getenv("IOTIX_DEV");
    if (ix_host_is_loopback(host))
        return 0;
    if (dev && strcmp(dev, "1") == 0) {
        ix_log_always(IX_LOG_WARN, "IOTIX_DEV=1: everybody who reaches this address may do everything");
        return 0;
    }
    return ix_fail(
        err, -EPERM,
        "--host %s: whoever reached that address could do everything, because authentication is not part of "
        "this version yet. Use 127.0.0.1 (the default), with an SSH tunnel or a reverse proxy that "
        "authenticates in front of it",
        host);
}

/* Takes `list` apart, in place, as far as there is room for FOLDERS_MAX items. */
static void add_parts(char *list, const char *separator, const char **items, size_t *count)
{
    for (char *rest = list, *one; (one = strsep(&rest, separator));)
        if (one[0] && *count < FOLDERS_MAX)
            items[(*count)++] = one;
}

/* A folder that was named and is not there is a mistake, and not an empty one. */
static int check_folders(const char *const *folders, size_t count, struct ix_error *err)
{
    struct stat info;
    for (size_t i = 0; i < count; i++) {
        if (stat(folders[i], &info) < 0)
            return ix_fail(err, -errno, "the folder of models %s can't be read: %s", folders[i],
                           strerror(errno));
        if (!S_ISDIR(info.st_mode))
            return ix_fail(err, -ENOTDIR,
                           "%s is no folder: --models and DEVICE_MODEL_PATH name folders of models",
                           folders[i]);
    }
    return 0;
}

/* What the environment asks for and this version can't do yet is said, not swallowed. */
static void warn_of_outputs(void)
{
    static const char *const names[][2] = {{"KAFKA_BOOTSTRAP_SERVERS", "Kafka"},
                                           {"INFLUXDB_URL", "InfluxDB"}};
    for (size_t i = 0; i < IX_ARRAY_LEN(names); i++) {
        const char *value = getenv(names[i][0]);
        if (value && value[0])
            ix_log(IX_LOG_WARN,
                   "%s is set, but nothing is sent: output to %s is not part of this version yet",
                   names[i][0], names[i][1]);
    }
}

/* ---- what it was told: words and environment ---- */

struct wish {
    struct ix_service_config service;
    struct ix_device_api_config api;
    struct ix_option_list models, allowed_env, hosts;
    const char *data_dir, *log_level, *log_format;
    uint64_t port, workers, rate;
    bool ephemeral;
    const char *folders[FOLDERS_MAX]; /* of models; in the words, … */
    size_t folder_count;
    char *folder_text, *host_text; /* … or in here: the environment's lists, taken apart */
    char *dir;                     /* NULL: nothing is kept */
};

#define INTO(field) IX_OPTION_INTO(struct wish, field)
static const struct ix_option options[] = {
    {"--host", 0, IX_OPT_TEXT, "ADDR", "address to listen on (default: 127.0.0.1)", INTO(api.host)},
    {"--port", 'p', IX_OPT_COUNT, "N", "port of the device engine, 0 for a free one (default: 8080)",
     INTO(port)},
    {"--data-dir", 'd', IX_OPT_TEXT, "DIR",
     "where everything is kept (default: $XDG_STATE_HOME/iotix, else ~/.local/state/iotix)", INTO(data_dir)},
    {"--ephemeral", 0, IX_OPT_FLAG, NULL, "keeps nothing", INTO(ephemeral)},
    {"--models", 'm', IX_OPT_LIST, "DIR",
     "folder of device models, watched for changes (repeatable; default: DEVICE_MODEL_PATH, "
     "else " IMAGE_FOLDER " if there is one); the shipped models are there as well",
     INTO(models)},
    {"--broker", 'b', IX_OPT_TEXT, "WHERE",
     "auto (default: localhost:1883 if a broker answers there, else an embedded one on that port), embedded "
     "(on a free "
     "port), or HOST:PORT[,…]; replaces what models name",
     INTO(service.broker)},
    {"--bind", 0, IX_OPT_TEXT, "ADDR[-ADDR][,…]",
     "source addresses that devices connect from, as for `iotix run`", INTO(service.bind)},
    {"--connect-rate", 0, IX_OPT_COUNT, "N",
     "connections opened a second by all devices together (default: no limit)", INTO(rate)},
    {"--workers", 'w', IX_OPT_COUNT, "N", "worker processes to begin with (default: one per core)",
     INTO(workers)},
    {"--allow-env", 0, IX_OPT_LIST, "NAME", "lets models use ${env.NAME} (repeatable)", INTO(allowed_env)},
    {"--allow-host", 0, IX_OPT_LIST, "NAME",
     "a name by which clients may call this service, beside localhost and addresses (repeatable)",
     INTO(hosts)},
    {"--log-level", 0, IX_OPT_TEXT, "LEVEL", "ERROR, WARN, INFO or DEBUG (default: LOG_LEVEL, else INFO)",
     INTO(log_level)},
    {"--log-format", 0, IX_OPT_TEXT, "FORMAT", "text (default) or json, one line each on stderr",
     INTO(log_format)},
};
#undef INTO

static bool read_words(struct wish *w, int argc, char **argv, int *status, struct ix_error *err)
{
    const struct ix_command_line line = {.usage = "iotix serve [device] [options]",
                                         .summary = summary,
                                         .options = options,
                                         .option_count = IX_ARRAY_LEN(options),
                                         .into = w,
                                         .max_arguments = 3};
    const char **arguments = ix_calloc((size_t)argc + 1, sizeof *arguments);
    size_t count;
    bool goes_on = ix_command_begin(&line, argc, argv, arguments, &count, status);
    if (goes_on)
        check_services(arguments, count, err);
    free(arguments);
    return goes_on;
}

static int check(const struct wish *w, struct ix_error *err)
{
    enum ix_log_level level;
    if (w->log_level && ix_log_parse_level(w->log_level, &level) < 0)
        return ix_fail(err, -EINVAL, "--log-level %s: it can be ERROR, WARN, INFO or DEBUG", w->log_level);
    if (w->log_format && strcmp(w->log_format, "text") != 0 && strcmp(w->log_format, "json") != 0)
        return ix_fail(err, -EINVAL, "--log-format %s: it can be text or json", w->log_format);
    if (w->port > UINT16_MAX)
        return ix_fail(err, -EINVAL, "--port %llu: ports go up to 65535", (unsigned long long)w->port);
    if (w->workers > IX_WORKERS_OPTION_MAX)
        return ix_fail(err, -EINVAL, "--workers %llu: it must be 1 to %d", (unsigned long long)w->workers,
                       IX_WORKERS_OPTION_MAX);
    return check_host(w->api.host, err);
}

/* A list in the environment, to be taken apart. */
static char *env_list(const char *name)
{
    const char *value = getenv(name);
    return ix_strdup(value ? value : "");
}

static int find_folders(struct wish *w, struct ix_error *err)
{
    for (size_t i = 0; i < w->models.count && w->folder_count < FOLDERS_MAX; i++)
        w->folders[w->folder_count++] = w->models.items[i];
    w->folder_text = env_list("DEVICE_MODEL_PATH");
    if (!w->folder_count)
        add_parts(w->folder_text, ":", w->folders, &w->folder_count);
    if (!w->folder_count && access(IMAGE_FOLDER, R_OK) == 0)
        w->folders[w->folder_count++] = IMAGE_FOLDER;
    return check_folders(w->folders, w->folder_count, err);
}

/* From the wish to what service and server take, which borrow from it. */
static void configure(struct wish *w)
{
    w->host_text = env_list("IOTIX_ALLOWED_HOSTS");
    add_parts(w->host_text, ",", w->hosts.items, &w->hosts.count);
    struct ix_service_config *service = &w->service;
    service->embedded_port = service->broker && strcmp(service->broker, "embedded") == 0 ? 0 : IX_MQTT_PORT;
    service->connect_rate = (double)w->rate;
    service->workers = (uint32_t)w->workers;
    service->model_path = w->folders;
    service->model_path_count = w->folder_count;
    service->allowed_env = w->allowed_env.items;
    service->allowed_env_count = w->allowed_env.count;
    service->data_dir = w->dir;
    w->api.port = (uint16_t)w->port;
    w->api.hosts = w->hosts.items;
    w->api.host_count = w->hosts.count;
}

static int serve_as_wished(struct wish *w, struct serving *s, struct ix_error *err)
{
    enum ix_log_level level;
    if (check(w, err) < 0 || (!w->ephemeral && ix_data_dir_open(w->data_dir, &w->dir, err) < 0))
        return err->code;
    if (w->log_level && ix_log_parse_level(w->log_level, &level) == 0)
        ix_log_set_level(level);
    if (find_folders(w, err) < 0)
        return err->code;
    configure(w);
    s->json_log = w->log_format && strcmp(w->log_format, "json") == 0;
    s->data_dir = w->dir;
    ix_log_set_sink(write_log, s);
    warn_of_outputs();
    int code = serve(s, &w->service, &w->api, err);
    end(s);
    return code;
}

int ix_command_serve(int argc, char **argv)
{
    struct wish *w = ix_calloc(1, sizeof *w);
    struct serving s = {0};
    struct ix_error err = {0};
    w->port = DEVICE_PORT;
    if (read_words(w, argc, argv, &s.status, &err) && (err.code < 0 || serve_as_wished(w, &s, &err) < 0)) {
        fprintf(stderr, "iotix serve: %s\n", err.text);
        s.status = IX_EXIT_CONFIGURATION;
    }
    free(w->dir);
    free(w->host_text);
    free(w->folder_text);
    free(w);
    return s.status;
}
