/* The flags of `iotix bench`: one table for conn, pub and sub. */
#include "cli/bench_options.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTO(field) IX_OPTION_INTO(struct ix_bench_wish, field)

struct choice {
    unsigned kinds;
    struct ix_option option;
};

static const struct choice choices[] = {
    {IX_BENCH_ALL,
     {"--host", 'h', IX_OPT_TEXT, "HOST[,HOST…]",
      "broker, or several (default: localhost if it answers, else a private one)", INTO(host)}},
    {IX_BENCH_ALL, {"--port", 'p', IX_OPT_TEXT, "PORT", "port (default: 1883, with -S 8883)", INTO(port)}},
    {IX_BENCH_ALL,
     {"--version", 'V', IX_OPT_TEXT, "4|5", "MQTT version: 4 or 3.1.1, or 5 (default: 4)", INTO(version)}},
    {IX_BENCH_ALL, {"--count", 'c', IX_OPT_COUNT, "COUNT", "clients (default: 200)", INTO(count)}},
    {IX_BENCH_ALL,
     {"--startnumber", 'n', IX_OPT_COUNT, "NUMBER", "number of the first client (default: 0)", INTO(start)}},
    {IX_BENCH_ALL,
     {"--interval", 'i', IX_OPT_COUNT, "MS", "between two connects (default: 10)",
      IX_OPTION_INTO_ASKED(struct ix_bench_wish, interval, interval_given)}},
    {IX_BENCH_ALL,
     {"--connrate", 'R', IX_OPT_COUNT, "RATE", "connects per second; instead of -i", INTO(rate)}},
    {IX_BENCH_PUB,
     {"--topic", 't', IX_OPT_LIST, "TOPIC", "where to publish; %i client number, %c client id, %u user name",
      INTO(topics)}},
    {IX_BENCH_SUB,
     {"--topic", 't', IX_OPT_LIST, "FILTER",
      "what to subscribe to, wildcards allowed (repeatable); %i, %c, %u as in pub", INTO(topics)}},
    {IX_BENCH_PUB,
     {"--interval_of_msg", 'I', IX_OPT_COUNT, "MS", "between two messages of a client (default: 1000)",
      IX_OPTION_INTO_ASKED(struct ix_bench_wish, every, every_given)}},
    {IX_BENCH_PUB,
     {"--size", 's', IX_OPT_TEXT, "BYTES",
      "length of the payload, such as 200 or 4KiB (default: 256); from 24 on `bench sub` measures latency",
      IX_OPTION_INTO_ASKED(struct ix_bench_wish, size_text, size_given)}},
    {IX_BENCH_PUB,
     {"--message", 'm', IX_OPT_TEXT, "TEXT|@FILE", "the payload; instead of -s", INTO(message)}},
    {IX_BENCH_PUB,
     {"--model", 0, IX_OPT_TEXT, "MODEL",
      "telemetry of a device model (id or file); instead of -s, -m, -I and -L", INTO(model)}},
    {IX_BENCH_PUB | IX_BENCH_SUB,
     {"--qos", 'q', IX_OPT_TEXT, "0|1|2", "quality of service (default: 0)", INTO(qos)}},
    {IX_BENCH_PUB, {"--retain", 'r', IX_OPT_BOOL, NULL, "the broker keeps the last message", INTO(retain)}},
    {IX_BENCH_PUB,
     {"--limit", 'L', IX_OPT_COUNT, "COUNT", "messages in all, then end (default: no limit)", INTO(limit)}},
    {IX_BENCH_SUB,
     {"--limit", 'L', IX_OPT_COUNT, "COUNT", "end when so many were received (default: no limit)",
      INTO(limit)}},
    {IX_BENCH_PUB,
     {"--inflight", 'F', IX_OPT_COUNT, "COUNT",
      "unacknowledged messages of a client; more are never sent (default: 20)", INTO(inflight)}},
    {IX_BENCH_ALL,
     {"--keepalive", 'k', IX_OPT_COUNT, "SECONDS", "keep-alive, 0 or at least 5 (default: 60)",
      IX_OPTION_INTO_ASKED(struct ix_bench_wish, keepalive, keepalive_given)}},
    {IX_BENCH_ALL, {"--username", 'u', IX_OPT_TEXT, "USER", "user name; %i client number", INTO(user)}},
    {IX_BENCH_ALL, {"--password", 'P', IX_OPT_TEXT, "PASSWORD", "password", INTO(password)}},
    {IX_BENCH_ALL,
     {"--ifaddr", 0, IX_OPT_TEXT, "ADDR[-ADDR][,…]",
      "source addresses that clients connect from, in turn (default: as many as a broker on loopback needs)",
      INTO(ifaddr)}},
    {IX_BENCH_ALL,
     {"--prefix", 0, IX_OPT_TEXT, "TEXT",
      "client ids are this and the number (default: one of this run alone)", INTO(prefix)}},
    {IX_BENCH_ALL,
     {"--clean", 'C', IX_OPT_BOOL, NULL, "clean session (default: true; -C false)", INTO(clean)}},
    {IX_BENCH_ALL,
     {"--session-expiry", 'x', IX_OPT_COUNT, "SECONDS",
      "how long the broker keeps the session (-V 5; default: 0)", INTO(expiry)}},
    {IX_BENCH_ALL, {"--ssl", 'S', IX_OPT_BOOL, NULL, "TLS", INTO(tls)}},
    {IX_BENCH_ALL, {"--cacertfile", 0, IX_OPT_TEXT, "FILE", "authorities to trust, PEM", INTO(ca)}},
    {IX_BENCH_ALL, {"--certfile", 0, IX_OPT_TEXT, "FILE", "certificate of the clients, PEM", INTO(cert)}},
    {IX_BENCH_ALL, {"--keyfile", 0, IX_OPT_TEXT, "FILE", "its key, PEM", INTO(key)}},
    {IX_BENCH_ALL,
     {"--insecure", 0, IX_OPT_FLAG, NULL, "trust any certificate of the broker", INTO(insecure)}},
    {IX_BENCH_ALL,
     {"--duration", 0, IX_OPT_TIME, "TIME", "end so long after all have connected (default: at Ctrl-C)",
      INTO(duration)}},
    {IX_BENCH_ALL,
     {"--workers", 'w', IX_OPT_COUNT, "N", "worker processes to begin with (default: one per core)",
      IX_OPTION_INTO_ASKED(struct ix_bench_wish, workers, workers_given)}},
    {IX_BENCH_ALL,
     {"--seed", 0, IX_OPT_TEXT, "N", "repeats the random choices of an earlier run", INTO(seed)}},
    {IX_BENCH_ALL,
     {"--out", 'o', IX_OPT_LIST, "KIND=FILE", "writes a report: junit, json, html, csv, ndjson (repeatable)",
      INTO(outputs)}},
    {IX_BENCH_PUB,
     {"--observe", 0, IX_OPT_LIST, "FILTER",
      "accounts for every message to these topics with an observer of its own: delivered, lost, doubled, "
      "reordered, and end-to-end latency (repeatable; '#': all)",
      INTO(observe)}},
    {IX_BENCH_PUB,
     {"--observers", 0, IX_OPT_COUNT, "N",
      "observer processes; more than one share the subscription (default: 1)", INTO(observers)}},
    {IX_BENCH_PUB,
     {"--late-after", 0, IX_OPT_TIME, "TIME",
      "with --observe: later than this after they were due, messages count as late", INTO(late_after)}},
    {IX_BENCH_ALL,
     {"--data-dir", 0, IX_OPT_TEXT, "FOLDER",
      "where the journal goes, for iotix report (default: $XDG_STATE_HOME/iotix, else ~/.local/state/iotix)",
      INTO(data_dir)}},
    {IX_BENCH_ALL,
     {"--data-limit", 0, IX_OPT_TEXT, "SIZE", "what the journals of all runs may take there (default: 1GiB)",
      INTO(data_limit)}},
    {IX_BENCH_ALL,
     {"--progress", 0, IX_OPT_TIME, "TIME", "between progress lines (default: 1s)", INTO(progress)}},
    {IX_BENCH_ALL, {"--quiet", 0, IX_OPT_FLAG, NULL, "no progress", INTO(quiet)}},
};
_Static_assert(IX_ARRAY_LEN(choices) <= IX_BENCH_OPTIONS_MAX, "room for all options");

size_t ix_bench_options(enum ix_bench_kind kind, struct ix_option out[IX_BENCH_OPTIONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < IX_ARRAY_LEN(choices); i++)
        if (choices[i].kinds & kind)
            out[count++] = choices[i].option;
    return count;
}

/* What other tools call the same. */
static const struct {
    const char *theirs, *ours;
} other_names[] = {
    {"--hostname", "--host"},
    {"--mqtt-version", "--version"},
    {"--message-interval", "--interval_of_msg"},
    {"-im", "--interval_of_msg"},
    {"--payload-size", "--size"},
    {"--conn-rate", "--connrate"},
    {"--no-clean", "--clean=false"},
    {"--session-expiry-interval", "--session-expiry"},
    {"--ca", "--cacertfile"},
    {"--cert", "--certfile"},
    {"--key", "--keyfile"},
};

char *ix_bench_our_name(const char *word)
{
    size_t len = strcspn(word, "=");
    for (size_t i = 0; i < IX_ARRAY_LEN(other_names); i++)
        if (strlen(other_names[i].theirs) == len && strncmp(word, other_names[i].theirs, len) == 0)
            return ix_asprintf("%s%s", other_names[i].ours, word + len);
    return ix_strdup(word);
}
