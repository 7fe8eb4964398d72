#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINES_PER_WINDOW 10
#define WINDOW_NS        1000000000ull
#define LINE_MAX_LEN     4096
#define PAIRS            64
#define MAX_PAUSE        32

/* One (group, reason) that was logged not long ago; level is that of its latest occurrence. */
struct pair {
    bool used;
    enum ix_log_level level;
    char group[64];
    char reason[192];
    uint64_t pending; /* occurrences not yet written */
    unsigned pause;   /* windows between its lines: 1, 2, 4 … MAX_PAUSE while it goes on */
    unsigned waited;  /* windows since the last one */
    unsigned calm;    /* windows without an occurrence */
};

static struct {
    enum ix_log_level level;
    ix_log_sink *sink;
    void *context;
    bool limited;   /* from the first flush on: a process that never flushes has no bursts to fear */
    unsigned lines; /* written in this window */
    uint64_t swallowed, swallowed_ever;
    uint64_t window_ns;
    struct pair pairs[PAIRS];
    ix_log_pair_sink *pair_sink;
    void *pair_context;
    uint64_t unlisted; /* occurrences of pairs that found no place */
} state = {.level = IX_LOG_INFO};

int ix_log_parse_level(const char *name, enum ix_log_level *level)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "warning"};
    for (size_t i = 0; i < IX_ARRAY_LEN(names); i++)
        if (strcasecmp(name, names[i]) == 0) {
            *level = i == 4 ? IX_LOG_WARN : (enum ix_log_level)i;
            return 0;
        }
    return -EINVAL;
}

void ix_log_set_level(enum ix_log_level level)
{
    state.level = level;
}

enum ix_log_level ix_log_get_level(void)
{
    return state.level;
}

void ix_log_set_sink(ix_log_sink *sink, void *context)
{
    state.sink = sink;
    state.context = context;
}

void ix_log_set_pair_sink(ix_log_pair_sink *sink, void *context)
{
    state.pair_sink = sink;
    state.pair_context = context;
}

static void write_line(enum ix_log_level level, char *line)
{
    static const char *const prefixes[] = {"error: ", "warning: ", "", "debug: "};
    /* Texts from brokers and files must not steer the terminal. */
    for (char *at = line; *at; at++)
        if (((unsigned char)*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            *at = '?';
    if (state.sink)
        state.sink(state.context, level, line);
    else
        fprintf(stderr, "%s%s\n", prefixes[level], line);
}

/* True if one more line may be written in this window; errors always may. */
static bool admit(enum ix_log_level level)
{
    if (level != IX_LOG_ERROR && state.limited && state.lines >= LINES_PER_WINDOW)
        return false;
    state.lines++;
    return true;
}

void ix_log(enum ix_log_level level, const char *format, ...)
{
    if (level > state.level)
        return;
    if (!admit(level)) {
        state.swallowed++;
        state.swallowed_ever++;
        return;
    }
    char line[LINE_MAX_LEN];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len >= (int)sizeof(line))
        memcpy(line + sizeof(line) - 4, "...", 4);
    write_line(level, line);
}

void ix_log_always(enum ix_log_level level, const char *text)
{
    if (level > state.level)
        return;
    char *line = ix_strdup(text);
    write_line(level, line);
    free(line);
}

/* That of the pair, or a place for it: a free one, else that of the pair that is calm for longest. NULL: none is. */
static struct pair *find_pair(const char *group, const char *reason)
{
    struct pair *unused = NULL, *calmest = NULL;
    for (size_t i = 0; i < PAIRS; i++) {
        struct pair *pair = &state.pairs[i];
        if (!pair->used)
            unused = unused ? unused : pair;
        else if (strncmp(pair->group, group, sizeof(pair->group) - 1) == 0 &&
                 strncmp(pair->reason, reason, sizeof(pair->reason) - 1) == 0)
            return pair;
        else if (pair->pending == 0 && pair->calm > (calmest ? calmest->calm : 0))
            calmest = pair;
    }
    unused = unused ? unused : calmest;
    if (unused) {
        *unused = (struct pair){0};
        unused->pause = 1;
        snprintf(unused->group, sizeof(unused->group), "%s", group);
        snprintf(unused->reason, sizeof(unused->reason), "%s", reason);
    }
    return unused;
}

/* "group: reason", and how often if more than once. */
static void write_pair(const struct pair *pair, uint64_t times)
{
    if (state.pair_sink) {
        state.pair_sink(state.pair_context, pair->level, pair->group, pair->reason, times);
        return;
    }
    char line[512];
    int len = snprintf(line, sizeof(line), "%s: %s", pair->group, pair->reason);
    if (times > 1)
        snprintf(line + len, sizeof(line) - (size_t)len, " (\xc3\x97%llu)", (unsigned long long)times);
    write_line(pair->level, line);
}

void ix_log_repeat_times(enum ix_log_level level, const char *group, const char *reason, uint64_t times)
{
    if (level > state.level)
        return;
    struct pair *pair = find_pair(group, reason);
    if (!pair) {
        state.unlisted += times;
        return;
    }
    pair->level = level;
    pair->calm = 0;
    if (!pair->used && (state.pair_sink || admit(level)))
        write_pair(pair, times);
    else
        pair->pending += times;
    pair->used = true;
}

void ix_log_repeat(enum ix_log_level level, const char *group, const char *reason)
{
    ix_log_repeat_times(level, group, reason, 1);
}

uint64_t ix_log_dropped(void)
{
    return state.swallowed_ever;
}

static void write_count(uint64_t *count, const char *what)
{
    if (*count == 0)
        return;
    char line[128];
    snprintf(line, sizeof(line), "%llu %s", (unsigned long long)*count, what);
    *count = 0;
    write_line(IX_LOG_WARN, line);
}

static void flush_pair(struct pair *pair, bool last)
{
    pair->waited++;
    if (pair->pending == 0) {
        pair->used = ++pair->calm < MAX_PAUSE;
    } else if (last || state.pair_sink || (pair->waited >= pair->pause && admit(pair->level))) {
        write_pair(pair, pair->pending);
        pair->pending = 0;
        pair->waited = 0;
        pair->pause = pair->pause < MAX_PAUSE ? 2 * pair->pause : MAX_PAUSE;
    }
}

void ix_log_flush(uint64_t now_ns)
{
    bool first = !state.limited;
    state.limited = true;
    if (!first && now_ns - state.window_ns < WINDOW_NS && now_ns != UINT64_MAX)
        return;
    state.window_ns = now_ns;
    state.lines = 0;
    for (size_t i = 0; i < PAIRS; i++) {
        struct pair *pair = &state.pairs[i];
        if (pair->used)
            flush_pair(pair, now_ns == UINT64_MAX);
    }
    write_count(&state.unlisted, "more messages of other groups or reasons");
    write_count(&state.swallowed, "more log lines left out (at most 10 a second are written)");
}
