/* What `iotix bench` was asked for, and the flags that say it. */
#ifndef IX_CLI_BENCH_OPTIONS_H
#define IX_CLI_BENCH_OPTIONS_H

#include "cli/options.h"

#define IX_BENCH_OPTIONS_MAX 48

enum ix_bench_kind {
    IX_BENCH_CONN = 1,
    IX_BENCH_PUB = 2,
    IX_BENCH_SUB = 4,
    IX_BENCH_ALL = IX_BENCH_CONN | IX_BENCH_PUB | IX_BENCH_SUB
};

/* What was given; numbers hold their defaults before. */
struct ix_bench_wish {
    const char *host, *port, *version, *user, *password, *prefix, *ca, *cert, *key, *qos, *message, *model,
        *seed, *ifaddr, *size_text, *data_dir, *data_limit;
    struct ix_option_list topics, outputs, observe;
    uint64_t count, interval, rate, start, keepalive, expiry, duration, limit, every, size, inflight, workers,
        progress, seed_value, observers, late_after, data_limit_bytes;
    bool clean, tls, insecure, retain, quiet;
    bool keepalive_given, workers_given, every_given, size_given, interval_given;
    char *folder, *file; /* of --message @FILE */
};

/* The flags of one kind, which fill a struct ix_bench_wish; how many. */
size_t ix_bench_options(enum ix_bench_kind kind, struct ix_option out[IX_BENCH_OPTIONS_MAX]);
/* A word of the command line, with what other tools call a flag replaced by our name; the caller frees it. */
char *ix_bench_our_name(const char *word);

#endif
