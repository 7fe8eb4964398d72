#include "cli/progress.h"

#include "base/log.h"
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void erase(struct ix_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

/* Log lines come on lines of their own, above the redrawn one. */
static void log_above(void *context, enum ix_log_level level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    erase(context);
    fprintf(stderr, "%s: %s\n", names[level], line);
}

void ix_progress_init(struct ix_progress *p)
{
    p->terminal = isatty(STDERR_FILENO);
    p->drawn = false;
    if (p->terminal)
        ix_log_set_sink(log_above, p);
}

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

static void put_state(struct ix_buf *out, const char *name, int64_t count)
{
    if (count > 0) {
        ix_buf_str(out, " · ");
        ix_units_put_count(out, (uint64_t)count);
        ix_buf_printf(out, " %s", name);
    }
}

static void put_rate(struct ix_buf *out, uint64_t count, double seconds, const char *unit)
{
    ix_buf_str(out, " · ");
    ix_units_put_count(out, (uint64_t)((double)count / (seconds > 0 ? seconds : 1) + 0.5));
    ix_buf_printf(out, " %s", unit);
}

static void describe(const struct ix_result *result, const struct ix_snapshot *now,
                     const struct ix_point *point, struct ix_buf *out)
{
    unsigned seconds = (unsigned)result->seconds;
    ix_buf_printf(out, "%02u:%02u  ", seconds / 60, seconds % 60);
    ix_units_put_count(out, (uint64_t)(now->all.connected > 0 ? now->all.connected : 0));
    ix_buf_str(out, " of ");
    ix_units_put_count(out, now->all.count);
    ix_buf_str(out, " connected");
    put_state(out, "starting", now->all.by_status[IX_D_STARTING]);
    put_state(out, "dropped", now->all.by_status[IX_D_DROPPED]);
    put_state(out, "in error", now->all.by_status[IX_D_ERROR]);
    if (point->sent || !now->all.counters[IX_C_RECEIVED])
        put_rate(out, point->sent, point->seconds, "msg/s");
    if (now->all.counters[IX_C_RECEIVED])
        put_rate(out, point->received, point->seconds, "received/s");
    if (!isnan(point->latency_p99))
        ix_buf_printf(out, " · latency p99 %.*f ms", point->latency_p99 < 10 ? 1 : 0, point->latency_p99);
    if (point->never_sent)
        put_state(out, "never sent", (int64_t)point->never_sent);
    if (result->worker_restarts)
        put_state(out, "worker restarts", (int64_t)result->worker_restarts);
}

/* Cuts UTF-8 text to `width` columns (all our signs are one column wide). */
static size_t cut(const char *text, size_t len, int width)
{
    size_t i = 0;
    for (int columns = 0; i < len; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && columns++ == width)
            break;
    return i;
}

void ix_progress_show(void *context, const struct ix_result *result, const struct ix_snapshot *snapshot,
                      const struct ix_point *point)
{
    struct ix_progress *p = context;
    struct ix_buf line;
    ix_buf_init(&line, 4096);
    describe(result, snapshot, point, &line);
    if (p->terminal) {
        erase(p);
        fwrite(line.data, 1, cut(line.data, line.len, terminal_width() - 1), stderr);
        p->drawn = true;
    } else {
        fprintf(stderr, "%s\n", ix_buf_cstr(&line));
    }
    fflush(stderr);
    ix_buf_deinit(&line);
}

void ix_progress_finish(void *context)
{
    struct ix_progress *p = context;
    erase(p);
    if (p->terminal)
        ix_log_set_sink(NULL, NULL);
}
