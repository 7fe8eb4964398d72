/* What travels between the controller and its workers: one frame each (loop/frame.h), payloads packed
 * (base/pack.h). The numbers are part of the build: a HELLO with another build hash is refused. */
#ifndef IX_WORKER_WIRE_H
#define IX_WORKER_WIRE_H

#include "device/record.h"

/* controller → worker */
enum ix_wire_down {
    IX_DOWN_HELLO = 1, /* struct ix_hello; answered by IX_UP_HELLO */
    IX_DOWN_RECORD,    /* ix_record_pack; answered by IX_UP_ACK */
    IX_DOWN_EACH,   /* u64 ticket, str group, bytes function, u64 first, u64 count; result: visited, errors */
    IX_DOWN_DEVICE, /* u64 ticket, str group, u64 index, bytes function; result: what it returned */
    IX_DOWN_COMMAND,  /* u64 ticket, str group, u64 index, str name, str json; result: "" */
    IX_DOWN_VALUES,   /* u64 ticket, str group, u64 index; result: {attribute: last value} */
    IX_DOWN_ELIGIBLE, /* u64 ticket, str group, bytes function ("" = all), u64 count; result: a bitmap */
    /* u64 ticket, u64 id, str topic, u8 qos, str username, str password, ix_wire_tls_pack, u32 count and the targets;
     * observers only. The result, empty, comes when every broker has accepted it. */
    IX_DOWN_SUBSCRIBE,
    IX_DOWN_UNSUBSCRIBE, /* u64 id; observers only */
    IX_DOWN_ACCOUNT,     /* ix_account_pack: observers only; the result comes as that of SUBSCRIBE */
    IX_DOWN_OBSERVE,     /* u64 ticket, u8 way, str field, ix_texts_pack of the topics: ix_engine_observe */
    IX_DOWN_PACE,        /* f64 interval_ns, f64 offset_ns, u32 window: ix_engine_set_pace */
    IX_DOWN_DRAIN,       /* u64 ns; answered by IX_UP_DRAINED */
    IX_DOWN_EXIT,        /* nothing; the worker ends */
};

/* worker → controller */
enum ix_wire_up {
    IX_UP_HELLO = 1,    /* u64 build, u64 run, u32 worker, u32 epoch, u32 pid, u64 descriptors */
    IX_UP_ACK,          /* u64 sequence, u32 code (0 or errno), str message */
    IX_UP_RESULT,       /* u64 ticket, u32 code, str message, bytes result */
    IX_UP_LOG,          /* u8 level, str line */
    IX_UP_EVENT,        /* str name, str json */
    IX_UP_FAILURE,      /* str group, u64 index, str message: a script error of a device */
    IX_UP_LATE_FAILURE, /* str group, str message: a record could not be carried out to its end */
    IX_UP_MESSAGE,      /* u64 id, u64 at_ns, u8 qos, u8 retain, u8 dup, str topic, bytes payload */
    IX_UP_DRAINED,      /* nothing */
    IX_UP_REPEAT,       /* u8 level, str group, str reason, u64 times: ix_log_repeat_times */
    IX_UP_FATAL,        /* u32 code, str message: the worker can't work and ends */
};

/* Descriptors of a worker. */
#define IX_WORKER_PIPE_FD    3
#define IX_WORKER_SEGMENT_FD 4
#define IX_WORKER_LEDGER_FD  5

enum ix_worker_role { IX_WORKER_DEVICES, IX_WORKER_OBSERVER };

struct ix_hello {
    uint64_t build;
    uint64_t run;
    uint32_t worker;
    uint32_t epoch;
    uint8_t role; /* enum ix_worker_role */
    uint8_t log_level;
    uint8_t no_jit;
    uint64_t seed;
    uint64_t run_start_ns;
    int64_t wall_offset_ns;
    char *scenario_path; /* "" none */
    char *scenario;      /* text */
    char *options;       /* JSON object of t.options, for the scenario's generators and strategies */
    char *allowed_env;   /* names joined by "," */
};

/* How observers connect. */
struct ix_wire_tls {
    uint8_t is_on, insecure;              /* insecure: no check of the broker's certificate */
    char *ca_file, *cert_file, *key_file; /* NULL: the system's authorities; none */
};
void ix_wire_tls_pack(const struct ix_wire_tls *tls, struct ix_buf *out);
/* Texts are owned by *tls then. */
void ix_wire_tls_unpack(struct ix_wire_tls *tls, struct ix_reader *in);
void ix_wire_tls_deinit(struct ix_wire_tls *tls);

/* A subscription whose messages an observer accounts for in the ledger. */
struct ix_account {
    uint64_t ticket, id;
    uint8_t qos;
    uint8_t is_shared; /* among several observers: the topics say so, too */
    uint64_t late_ns;
    char *field;
    char *username, *password; /* "" none */
    struct ix_wire_tls tls;
    char **topics;
    size_t topic_count;
    struct ix_target *targets;
    size_t target_count;
};
void ix_account_pack(const struct ix_account *account, struct ix_buf *out);
/* Everything inside is then owned by *account; false: it is cut off. */
bool ix_account_unpack(struct ix_account *account, struct ix_reader *in);
void ix_account_deinit(struct ix_account *account);

/* Texts behind their number; the caller frees them. NULL and *count 0 if cut off. */
void ix_texts_pack(const char *const *texts, size_t count, struct ix_buf *out);
char **ix_texts_unpack(struct ix_reader *in, size_t *count);
void ix_texts_free(char **texts, size_t count);
/* "A,B", for ix_hello.allowed_env; the caller frees it. */
char *ix_texts_join(const char *const *texts, size_t count);

/* Hash of this binary, the same in all its processes. */
uint64_t ix_wire_build(void);

void ix_hello_pack(const struct ix_hello *hello, struct ix_buf *out);
int ix_hello_unpack(struct ix_hello *hello, struct ix_reader *in, struct ix_error *err);
void ix_hello_deinit(struct ix_hello *hello);

void ix_target_pack(const struct ix_target *target, struct ix_buf *out);
void ix_target_unpack(struct ix_target *target, struct ix_reader *in);

#endif
