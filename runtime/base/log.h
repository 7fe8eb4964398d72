/* The log of a process: lines on stderr, or wherever a sink puts them (a worker sends them to its
 * controller). At most 10 lines a second per process, but errors, and repeated (group, reason) pairs are
 * joined: "sensors: connection refused (×412)". */
#ifndef IX_BASE_LOG_H
#define IX_BASE_LOG_H

#include "base/error.h"

enum ix_log_level { IX_LOG_ERROR, IX_LOG_WARN, IX_LOG_INFO, IX_LOG_DEBUG };

typedef void ix_log_sink(void *context, enum ix_log_level level, const char *line);

/* Level names as in LOG_LEVEL: ERROR, WARN(ING), INFO, DEBUG, any case. -EINVAL if unknown. */
int ix_log_parse_level(const char *name, enum ix_log_level *level);
void ix_log_set_level(enum ix_log_level level);
enum ix_log_level ix_log_get_level(void);
/* NULL restores stderr. */
void ix_log_set_sink(ix_log_sink *sink, void *context);

void ix_log(enum ix_log_level level, const char *format, ...) IX_PRINTF(2, 3);

/* A line that is never left out: what a scenario says itself. */
void ix_log_always(enum ix_log_level level, const char *text);

/* One occurrence of `reason` for `group`. The first is logged at once; further ones of the pair are counted
 * and logged as one line by ix_log_flush, after 1 s, 2 s, 4 s and so on up to 32 s while it goes on. After 32 s without
 * one, the next is news again. */
void ix_log_repeat(enum ix_log_level level, const char *group, const char *reason);
/* … that came so many times. */
void ix_log_repeat_times(enum ix_log_level level, const char *group, const char *reason, uint64_t times);
/* Where pairs go instead: once at the first, then once a second with how often. For a worker: its controller makes one
 * line of those of all workers. NULL: they become lines here. */
typedef void ix_log_pair_sink(void *context, enum ix_log_level level, const char *group, const char *reason,
                              uint64_t times);
void ix_log_set_pair_sink(ix_log_pair_sink *sink, void *context);

/* Lines that the rate limit swallowed since the process began. */
uint64_t ix_log_dropped(void);

/* Writes the pending counts, and how many lines the rate limit swallowed; call about once a second with
 * monotonic time (more often does nothing), and once with UINT64_MAX before the process ends. The limit is in
 * force from the first call on, so that a command without a loop loses no line. */
void ix_log_flush(uint64_t now_ns);

#endif
