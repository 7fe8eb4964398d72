/* What the files of worker/ share. A worker has the duties of its role (devices.c, observing.c); worker.c is its life,
 * and hands them the controller's frames; uplink.c is what it says to the controller. */
#ifndef IX_WORKER_INTERNAL_H
#define IX_WORKER_INTERNAL_H

#include "base/log.h"
#include "loop/frame.h"
#include "metrics/ledger.h"
#include "script/script.h"
#include "worker/accountant.h"
#include "worker/observer.h"
#include "worker/worker.h"

#define IX_WORKER_ENV_MAX 64 /* names that ${env.…} may use */

struct ix_worker;

/* What is done about one type of frame. A code < 0: the worker can't go on (its controller hears the error and the
 * process ends). What is only wrong with the request goes back in its result. */
struct ix_worker_request {
    uint8_t type; /* enum ix_wire_down */
    int (*handle)(struct ix_worker *w, struct ix_reader *in, struct ix_error *err);
};

struct ix_worker_duties {
    int (*start)(struct ix_worker *w, struct ix_error *err); /* after HELLO */
    const struct ix_worker_request *requests;
    size_t request_count;
};
extern const struct ix_worker_duties ix_worker_device_duties, ix_worker_observer_duties;

struct ix_worker {
    struct ix_loop *loop;
    struct ix_pipe *pipe;                       /* NULL: inside of another process, … */
    const struct ix_worker_local_config *local; /* … and this is how it is used */
    struct ix_segment *segment;
    uint64_t frames_dropped, log_dropped; /* of this process, as the segment has them */
    bool greeted;                         /* `hello` is here */
    struct ix_hello hello;
    const struct ix_worker_duties *duties; /* NULL: not started */
    struct ix_ledger *ledger;              /* NULL: nothing is observed */
    struct ix_wheel_entry housekeeping;
    struct ix_buf out; /* frames are built here */
    int status;        /* of the process */
    /* With devices. */
    struct ix_script *script;
    struct ix_engine *engine;
    unsigned failures; /* reported in this second */
    char *env_names[IX_WORKER_ENV_MAX];
    size_t env_count;
    /* As an observer. */
    struct ix_observer *observer;
    struct ix_accountant *accountant; /* NULL: it only listens */
};

/* worker.c */
void ix_worker_take_stock(struct ix_worker *w, uint64_t now_ns); /* of itself, into the segment */
/* w->ledger, or an error. */
int ix_worker_need_ledger(struct ix_worker *w, struct ix_error *err);

/* uplink.c: to the controller. False: dropped, since it overflowed or the queue is full. */
bool ix_worker_send_buffer(struct ix_worker *w, uint8_t type, const struct ix_buf *frame);
bool ix_worker_send(struct ix_worker *w, uint8_t type); /* w->out, which is empty then */
void ix_worker_send_result(struct ix_worker *w, uint64_t ticket, int code, const char *message,
                           const void *data, size_t len);
/* The worker can't do its work: the controller hears why, and the process ends. */
void ix_worker_send_fatal(struct ix_worker *w, const struct ix_error *err);
/* Callbacks (of log, script and engine) that tell the controller; the context is the worker. */
void ix_worker_tell_log(void *context, enum ix_log_level level, const char *line);
void ix_worker_tell_repeat(void *context, enum ix_log_level level, const char *group, const char *reason,
                           uint64_t times);
enum ix_error_fate ix_worker_tell_device_error(void *context, const char *group, uint64_t index,
                                               const char *message);
void ix_worker_tell_record_failed(void *context, const char *group, const struct ix_error *err);
void ix_worker_tell_event(void *context, const char *name, const char *json);

#endif
