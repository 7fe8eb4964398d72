/* The shared memory of one worker: what it counts, and its table of devices. The worker writes, the
 * controller reads; a restarted worker maps its predecessor's segment, so counters never go back.
 *
 * A sparse memfd of maximum size: pages that nobody touched cost nothing. */
#ifndef IX_METRICS_SEGMENT_H
#define IX_METRICS_SEGMENT_H

#include "metrics/clock_offset.h"

#include "base/error.h"
#include "metrics/histogram.h"

#include <stdbool.h>

#define IX_SEGMENT_MAGIC    0x31304d4758544f49ull
#define IX_SEGMENT_GROUPS   512   /* metric sets: one per group of the run */
#define IX_SEGMENT_ROWS     65536 /* devices of one worker */
#define IX_SEGMENT_CLOCKS   8     /* other hosts' clocks that one worker compares with its own */
#define IX_SEGMENT_CUSTOM   1024  /* custom metric series of one worker */
#define IX_SEGMENT_DROPOUTS 256   /* dropouts of a run; the oldest finished one makes room */
#define IX_SEGMENT_REASONS  32    /* distinct refusal or loss reasons of one group */

/* Counters of one group in one worker. Order is free: names come from ix_counter_names. */
enum ix_counter {
    IX_C_SCHEDULED,               /* telemetry ticks that came due, and publishes asked for by scripts */
    IX_C_SENT,                    /* messages handed to the protocol */
    IX_C_ACKED,                   /* of these: QoS 0 in the kernel, 1 PUBACK, 2 PUBCOMP */
    IX_C_LOST,                    /* unacknowledged when their connection ended, or refused by the broker */
    IX_C_LOST_WORKER,             /* of these: their worker died */
    IX_C_NEVER_SENT_OFFLINE,      /* due while unconnected */
    IX_C_NEVER_SENT_BACKPRESSURE, /* due beyond maxInflight */
    IX_C_NEVER_SENT_ERROR,        /* the generator, or the encoder, failed */
    IX_C_NEVER_SENT_LATE,         /* due while iotix itself was stopped, behind, or had lost the connection */
    IX_C_BYTES_SENT,              /* payload bytes of sent messages */
    IX_C_RECEIVED,
    IX_C_BYTES_RECEIVED,
    IX_C_SUBSCRIBED,       /* subscriptions that the server accepted */
    IX_C_SUBSCRIBE_FAILED, /* … and refused */
    IX_C_CONNECT_ATTEMPTS,
    IX_C_CONNECTED,       /* accepted connections, ever */
    IX_C_REFUSED,         /* answered with a refusal */
    IX_C_CONNECT_FAILED,  /* no answer: unreachable, timed out, TLS */
    IX_C_CONNECTION_LOST, /* ended without our wish */
    IX_C_DROPPED,         /* ended by a dropout */
    IX_C_RECONNECTED,     /* accepted again after a loss or dropout */
    IX_C_COMMANDS,        /* commands received */
    IX_C_COMMANDS_INVALID,
    IX_C_COMMANDS_ANSWERED,
    IX_C_BEHAVIORS_FIRED,
    IX_C_SCRIPT_ERRORS,
    IX_C_D_SENT,            /* messages sent with a sequence, for observers */
    IX_C_D_UNWATCHED,       /* messages sent that could not carry one */
    IX_C_D_DELIVERED,       /* of those sent, the ones that an observer saw; by observers from here on */
    IX_C_D_DUPLICATED,      /* arrivals after the first */
    IX_C_D_REORDERED,       /* first arrivals after a later one of their stream */
    IX_C_D_LATE,            /* first arrivals after more than the limit */
    IX_C_D_STALE,           /* arrivals so far behind that it is not known whether they were the first */
    IX_C_D_MISSING,         /* a gauge, modulo 2^64: not there although a later one of the stream is */
    IX_C_D_CORRUPT,         /* arrivals that are not as they were sent */
    IX_C_D_UNKNOWN,         /* arrivals of another run, or with a sequence that was never sent */
    IX_C_D_FOREIGN,         /* arrivals without a sequence */
    IX_C_D_RETAINED,        /* retained copies that came because an observer subscribed */
    IX_C_D_LOST,            /* sent and not delivered; known at the end. By the controller from here on */
    IX_C_D_LOST_CONNECTION, /* of those lost: the last of a connection that broke, or was cut */
    IX_C_D_IN_FLIGHT,       /* a gauge: sent, not delivered, and not known to be lost */
    IX_C_D_IN_DOUBT, /* perhaps sent by a worker that died meanwhile, and not delivered; known at the end */
    IX_C_COUNT
};
extern const char
    *const ix_counter_names[IX_C_COUNT]; /* metric names: "messages.sent", "connect.refused", … */

/* Messages that came due and were not sent. */
static inline bool ix_counter_is_never_sent(enum ix_counter counter)
{
    return counter >= IX_C_NEVER_SENT_OFFLINE && counter <= IX_C_NEVER_SENT_LATE;
}

enum ix_trend {
    IX_T_CONNECT,  /* connect call to accepted */
    IX_T_RESPONSE, /* due instant to acknowledgement */
    IX_T_SERVICE,  /* send to acknowledgement */
    IX_T_LATENESS, /* due instant to send */
    IX_T_OUTAGE,   /* loss or drop to accepted again */
    IX_T_SCHEDULE, /* instant of a start or drop by a strategy to its doing */
    IX_T_RECEIVE,  /* send of a stamped message (generator/stamp.h) to its arrival at a device */
    IX_T_DELIVERY, /* due instant to arrival at an observer */
    IX_T_TRANSIT,  /* send to arrival at an observer */
    IX_T_COUNT
};
extern const char *const ix_trend_names[IX_T_COUNT]; /* "connect.time", "publish.latency", … */

enum ix_device_status {
    IX_D_CREATED,
    IX_D_STARTING,
    IX_D_RUNNING,
    IX_D_STOPPING,
    IX_D_STOPPED,
    IX_D_DROPPED,
    IX_D_ERROR,
    IX_D_STATUS_COUNT
};
extern const char *const ix_status_names[IX_D_STATUS_COUNT];

enum ix_device_link { IX_L_DISCONNECTED, IX_L_CONNECTING, IX_L_CONNECTED, IX_L_RECONNECTING, IX_L_COUNT };
extern const char *const ix_link_names[IX_L_COUNT];

struct ix_reason {
    uint64_t count;
    char text[56]; /* "not authorised", "connection refused"; "" = free */
};

/* Everything about one group in one worker. */
struct ix_group_metrics {
    char group[64]; /* id; "" = free */
    uint64_t counters[IX_C_COUNT];
    int64_t by_status[IX_D_STATUS_COUNT]; /* gauges of placed devices */
    int64_t connected;                    /* gauge: devices with an accepted connection */
    uint64_t waiting;                     /* gauge: messages that came due and wait for room; not yet among
                                             IX_C_SCHEDULED, which counts them when they are done with */
    struct ix_reason reasons[IX_SEGMENT_REASONS];
    struct ix_histogram trends[IX_T_COUNT];
    /* Times of messages with another QoS than the group's own, which scripts may choose: these are not among
     * `trends`. Without such messages they take no memory. */
    uint8_t qos;       /* 1 + the group's own; 0: not known */
    uint8_t other_qos; /* bit q: others[q] is used */
    struct ix_qos_trends {
        struct ix_histogram response, service;
    } others[3];
};

/* Bits of ix_device_row.flags. */
enum ix_row_flag {
    IX_ROW_BASE = 1,         /* base_ns is set */
    IX_ROW_TICKED = 2,       /* cursor_ns is set */
    IX_ROW_DROP_PENDING = 4, /* dropout drop_id will drop it at drop_until_ns */
    IX_ROW_DROP_HELD = 8,    /* dropout drop_id keeps it away, until drop_until_ns */
    IX_ROW_PLANNED = 16,     /* the launch record starts it at planned_ns */
    IX_ROW_GONE = 32,        /* deleted: a hole in its group, in no count */
};

/* One device; 128 bytes: two cache lines, of which a message touches the first. */
struct ix_device_row {
    _Alignas(64) uint64_t group_key; /* hash of the group id; with index the identity of the row. 0 = free */
    uint32_t index;
    uint8_t status;   /* enum ix_device_status */
    uint8_t link;     /* enum ix_device_link */
    uint8_t reason;   /* 1 + place in the group's reasons of the last error, 0 none */
    uint8_t flags;    /* enum ix_row_flag */
    uint64_t base_ns; /* instant of the first connection after start; 0 before: ticks count from here */
    uint64_t
        cursor_ns; /* last telemetry instant handled. All are whole ms; n ns before one: n of its messages wait */
    uint64_t counted_ns; /* messages due after cursor_ns and until here wait for room; ≤ cursor_ns: none */
    uint64_t sent;
    uint64_t received;
    uint64_t bytes_sent;

    uint64_t bytes_received;
    uint64_t started_ns;
    uint32_t connections;
    uint32_t errors;
    uint64_t drop_id;         /* last dropout that named the device, 0 none; the flags say how far it is */
    uint64_t drop_until_ns;   /* UINT64_MAX: it does not come back by itself */
    uint64_t launch_sequence; /* the last launch, stop or device record that the row reflects */
    uint64_t planned_ns;      /* when the launch record will start it */
};
_Static_assert(offsetof(struct ix_device_row, bytes_received) == 64, "what a message touches is in one line");
_Static_assert(sizeof(struct ix_device_row) <= 128, "a device's row must stay within its memory budget");

enum ix_custom_kind { IX_CUSTOM_FREE, IX_CUSTOM_COUNTER, IX_CUSTOM_GAUGE, IX_CUSTOM_RATE, IX_CUSTOM_TREND };

/* A metric declared by a script. Counter: sum of added values; gauge: last value; rate: share of true
 * samples; trend: histogram of milliseconds kept in ns. */
struct ix_custom_metric {
    uint32_t kind;
    char name[80];  /* without tags */
    char tags[172]; /* "key:value,key:value", sorted; "" none */
    double value;   /* counter sum, gauge value, rate: true samples */
    uint64_t count; /* samples */
    struct ix_histogram trend;
};

/* Progress of one dropout in one worker. */
struct ix_dropout_metrics {
    uint64_t id;       /* 0 = free */
    uint64_t start_ns; /* of the dropout */
    uint64_t chosen;   /* devices of this worker that the selection named */
    uint64_t dropped;
    uint64_t already_gone;         /* not running when their instant came */
    uint64_t back;                 /* connected again, or started anew */
    uint64_t cancelled;            /* chosen, but the dropout was cancelled before */
    uint64_t ended;                /* dropped, then stopped or failed before they were back */
    struct ix_histogram back_time; /* start of the dropout to connected again */
};

/* The value that a script is being asked for. */
struct ix_sampling {
    uint64_t instant_ns;
    uint32_t row; /* 1 + its place; 0: none */
    uint32_t stream;
};

struct ix_segment {
    uint64_t magic;
    uint64_t build; /* hash of the binary */
    uint32_t worker;
    uint32_t epoch;     /* of the worker that writes now */
    uint64_t turns;     /* loop turns: stands still in a hung worker */
    uint64_t busy_ns;   /* time in callbacks since the worker began */
    uint64_t cpu_ns;    /* user + system CPU of the process, updated about once a second */
    uint64_t alive_ns;  /* monotonic instant of that update */
    uint64_t lua_bytes; /* memory of the Lua state */
    uint64_t
        wait_ns; /* time in which the process wanted a CPU and had none; 0 where the kernel doesn't say */
    uint64_t frames_dropped; /* to the controller, because the queue was full; of all epochs */
    uint64_t log_dropped;    /* lines left out, of all epochs */
    uint32_t rows_used;
    uint32_t custom_used;
    uint32_t
        dropouts_used; /* places that were ever taken, from the first on: the others' pages are not there */
    uint32_t is_observer;    /* it observes, and has no devices … */
    uint32_t accounts;       /* … for the delivery ledger */
    uint32_t away;           /* its clients that are without a subscription that they had */
    uint32_t ledger_pending; /* 1 + the slot of the ledger whose next message is being sent; 0: none is */
    uint64_t overruns;       /* looks at the observer's sockets that found them as good as full */
    uint64_t held_ns;      /* sum of delays above 50 ms with which the observer's loop got to what was due */
    uint64_t held_most_ns; /* the longest of them */
    uint64_t torn;         /* connections of the ledger by QoS 2 that broke, while the session went on */
    uint64_t away_ns;      /* time without an accepted subscription after the first one */
    uint64_t
        answered_ns; /* every broker answered a question that was asked then, or later; 0: one never did */
    uint64_t renewed_ns; /* every broker that says what it drops has renewed its figure since; 0: not yet */
    uint64_t broker_dropped; /* messages that brokers say they dropped for slow subscribers meanwhile … */
    uint32_t counting;       /* … and how many of them say so */
    uint32_t silent;         /* 1 + the place of the broker that has not answered for longest; 0: none */
    uint64_t dropped;        /* messages for the scenario that found no room on their way to the controller */
    struct ix_clock_offset clocks[IX_SEGMENT_CLOCKS]; /* of other hosts whose messages came */
    uint64_t ungrouped[IX_C_COUNT];                   /* what belongs to no group */
    struct ix_sampling sampling; /* left behind by a worker that hung in it: its successor asks once more */
    struct ix_group_metrics groups[IX_SEGMENT_GROUPS];
    struct ix_device_row rows[IX_SEGMENT_ROWS];
    struct ix_custom_metric custom[IX_SEGMENT_CUSTOM];
    struct ix_dropout_metrics dropouts[IX_SEGMENT_DROPOUTS];
    uint32_t ledger_rows[IX_SEGMENT_ROWS]; /* 1 + the first slot in the ledger of each row; 0: none yet */
};

/* Creates the memfd (close-on-exec); returns the descriptor. */
int ix_segment_create(uint32_t worker, struct ix_error *err);
/* Maps a descriptor; writable for the worker, read-only for the controller. NULL on error. */
struct ix_segment *ix_segment_map(int fd, bool writable, struct ix_error *err);
void ix_segment_unmap(struct ix_segment *segment);

/* The metric set of a group: found, or taken from the free ones; NULL when all are taken, and for an id
 * without or with more than 63 bytes. Writer only. */
struct ix_group_metrics *ix_segment_group(struct ix_segment *segment, const char *group);
/* A group was removed: what it counted is added to the set of all removed ones (IX_SEGMENT_REMOVED), so that sums
 * never go back, and its place can be taken again. Writer only. */
#define IX_SEGMENT_REMOVED "~removed"
void ix_segment_release_group(struct ix_segment *segment, struct ix_group_metrics *metrics);
/* A place that was given back; it keeps its rank between used ones. */
#define IX_SEGMENT_VACANT "~"
static inline bool ix_segment_is_vacant(const struct ix_group_metrics *metrics)
{
    return metrics->group[0] == '~' && metrics->group[1] == '\0';
}
/* Found only. */
const struct ix_group_metrics *ix_segment_find_group(const struct ix_segment *segment, const char *group);
void ix_group_metrics_other_qos(struct ix_group_metrics *group, int qos, uint64_t response_ns,
                                uint64_t service_ns);
/* An acknowledgement: times from the due instant and from the send. Writer only. */
static inline void ix_group_metrics_acked(struct ix_group_metrics *group, int qos, uint64_t response_ns,
                                          uint64_t service_ns)
{
    if (__builtin_expect(group->qos == qos + 1, 1)) {
        ix_histogram_add(&group->trends[IX_T_RESPONSE], response_ns);
        ix_histogram_add(&group->trends[IX_T_SERVICE], service_ns);
    } else
        ix_group_metrics_other_qos(group, qos, response_ns, service_ns);
}
/* Counts one more of a reason; returns its place + 1. Reasons beyond the limit share the last, "other". */
uint8_t ix_group_metrics_reason(struct ix_group_metrics *group, const char *text);
/* The series of (name, tags): found or taken; NULL when all are taken, the kind differs, or a text is too
 * long. Writer only. */
struct ix_custom_metric *ix_segment_custom(struct ix_segment *segment, enum ix_custom_kind kind,
                                           const char *name, const char *tags);
/* The progress of a dropout: found or taken. Writer only. */
struct ix_dropout_metrics *ix_segment_dropout(struct ix_segment *segment, uint64_t id);
/* Found only. */
const struct ix_dropout_metrics *ix_segment_find_dropout(const struct ix_segment *segment, uint64_t id);
/* A sample: counter adds, gauge sets, rate counts value != 0, trend takes value in ms
 * (negative ones count as 0). NaN and infinities are ignored. */
void ix_custom_metric_add(struct ix_custom_metric *metric, double value);

#endif
