/* The state of a run, shared by run.c (its phases), ops.c (what scenarios ask), run_broker.c (which broker)
 * and run_observe.c (subscriptions). */
#ifndef IX_CONTROL_RUN_INTERNAL_H
#define IX_CONTROL_RUN_INTERNAL_H

#include "control/advice.h"
#include "control/brokers.h"
#include "control/fleet.h"
#include "control/http_client.h"
#include "control/journal.h"
#include "control/models.h"
#include "control/run.h"
#include "control/source_choice.h"
#include "metrics/mark.h"
#include "script/script.h"

enum run_phase { RUN_STARTING, RUN_RUNNING, RUN_DRAINING, RUN_STOPPING, RUN_DONE };

struct subscription {
    struct subscription *next;
    uint64_t id;
    uint64_t ticket;       /* waiting for the observer's answer; 0: answered */
    struct ix_buf request; /* the frame, sent again to a restarted observer */
    uint64_t received, dropped;
};

struct completion { /* an answer that came inside the call that asked */
    struct ix_run *run;
    uint64_t ticket;
    int code;
    json_t *result;
    char *message;
};

struct ix_run {
    struct ix_run_config config;
    struct ix_loop loop;
    enum run_phase phase;
    uint64_t id;
    uint64_t start_ns;
    char *text; /* of the scenario */
    size_t text_len;
    char *folder;
    struct ix_script *script;
    struct ix_host host;
    struct ix_workers *workers;
    struct ix_fleet *fleet;
    struct ix_hello hello;
    struct ix_models_config models;
    bool on_error_run; /* a device's script error ends the run */
    json_t *limits;    /* of the judgement, as the scenario says them; NULL: none */

    /* which broker */
    struct ix_brokers brokers;
    void (*broker_ready)(struct ix_run *run);
    struct ix_source_choice sources; /* from which addresses */

    /* observers */
    struct subscription *subscriptions;
    uint64_t last_subscription;
    uint32_t observer;
    bool has_observer;
    struct ix_run_ledger *ledger; /* NULL: nobody asked for it */

    /* measuring */
    struct ix_advice advice;
    struct ix_result result;
    struct ix_snapshot now;
    struct ix_custom_totals *own_metrics; /* of the scenario itself, by metric.add */
    size_t own_metric_count;
    struct ix_wheel_entry tick;
    uint64_t next_tick_ns, tick_ns;
    unsigned ticks_a_point, ticks_left; /* the journal looks more often than once an interval */
    uint64_t cpu_all, cpu_stolen;       /* of the machine, when the run began; ticks */
    struct ix_journal *journal;         /* NULL: it could not be made, or the run is over */
    struct ix_snapshot before_drain;    /* states and connections before everything was stopped */

    struct ix_http_client *http; /* from the first http.request on */

    /* the end */
    enum ix_exit preset; /* of an error that ended the run */
    bool interrupted;
    uint64_t interrupted_ns;
    uv_signal_t sigint, sigterm;
    bool signals_open;
};

/* run_broker.c: decides and, if need be, starts the embedded broker; `ready` later, or at once. */
int ix_run_broker_start(struct ix_run *run, void (*ready)(struct ix_run *run), struct ix_error *err);

/* plan.c: what a dry run takes note of. ix_plan_begin: before anything is in the loop. */
void ix_plan_begin(struct ix_run *run);
void ix_plan_note_launch(struct ix_run *run, const char *group, const struct ix_strategy_spec *strategy);
void ix_plan_note_http(struct ix_run *run, const char *method, const char *url);
void ix_plan_note_tick(struct ix_run *run, const struct ix_point *point);
/* The threshold at `place` failed and asks to abort. */
void ix_plan_note_abort(struct ix_run *run, size_t place);
/* In place of the loop's run: follows the scenario to its end, or as far as it goes. */
void ix_plan_follow(struct ix_run *run);
/* In place of summary and reports: the exit code. */
enum ix_exit ix_plan_conclude(struct ix_run *run);

/* run_workers.c; the context is the run. */
extern const struct ix_workers_events ix_run_worker_events;

/* run_observe.c */
int ix_run_subscribe(struct ix_run *run, const char *topic, int qos, uint64_t limit, const char *username,
                     const char *password, uint64_t ticket, struct ix_error *err);
void ix_run_unsubscribe(struct ix_run *run, uint64_t id);
struct subscription *ix_run_subscription(struct ix_run *run, uint64_t id);
void ix_run_observer_ready(struct ix_run *run);
bool ix_run_observer_frame(struct ix_run *run, uint8_t type, struct ix_reader *in);
void ix_run_observers_free(struct ix_run *run);

/* run_ledger.c: the delivery ledger. */
#define IX_OBSERVERS_MAX 64
#define IX_TOPICS_MAX    64
#define IX_LEDGER_TICKET (UINT64_MAX - 1) /* of requests to workers */
#define IX_SETTLE_NS     (2ull * 1000000000)

struct ix_observe {
    char **topics; /* filters that do not overlap */
    size_t topic_count;
    int qos;
    size_t observers;   /* processes; more than one share the subscription */
    uint64_t late_ns;   /* after the due instant; 0: not judged */
    uint64_t settle_ns; /* so long after the last arrival what is missing is lost */
    enum ix_mark_way way;
    char *field;
    char *username, *password; /* "" none */
};
/* Opens it: `opened`, or else the ticket's answer, follows once every message that is published from then on is
 * accounted for. Copies the spec. */
int ix_run_observe(struct ix_run *run, const struct ix_observe *spec, uint64_t ticket,
                   void (*opened)(struct ix_run *run, int code, const char *message), struct ix_error *err);
/* How observers connect to the run's broker; its texts are the config's. */
struct ix_wire_tls ix_run_observer_tls(const struct ix_run *run);
/* Opens what the command line asks for, if it does, then(run). A failure ends the run. */
void ix_run_observe_first(struct ix_run *run, void (*then)(struct ix_run *run));
bool ix_run_ledger_is_observer(const struct ix_run *run, uint32_t worker);
/* Before the fleet is told: a worker must know what to mark before it has devices. */
void ix_run_ledger_worker_ready(struct ix_run *run, uint32_t worker);
void ix_run_ledger_worker_lost(struct ix_run *run, uint32_t worker);
/* True if the frame was one for the ledger. */
bool ix_run_ledger_frame(struct ix_run *run, uint32_t worker, uint8_t type, struct ix_reader *in);
/* Waits until nothing arrives any more; then, or at once, closed(run). */
void ix_run_ledger_settle(struct ix_run *run, void (*closed)(void *context));
/* Once a second: how the account stands, for the journal. */
void ix_run_ledger_look(struct ix_run *run, uint64_t now_ns);
/* The account into result.delivery and run->now. */
void ix_run_ledger_close(struct ix_run *run);
void ix_run_ledger_free(struct ix_run *run);

/* ops.c: the host's call. */
int ix_run_call(void *context, const char *operation, const json_t *arguments, uint64_t ticket,
                json_t **result, struct ix_error *err);
/* Answers a ticket on the next turn (never inside the call that asked). Takes over result. */
void ix_run_complete(struct ix_run *run, uint64_t ticket, int code, json_t *result, const char *message);
/* {"env":"prod","a":1} → "a:1,env:prod"; the caller frees it. NULL gives "". */
char *ix_tags_text(const json_t *tags);
/* A custom metric of the scenario itself; a value of NaN only declares it. */
int ix_run_metric_add(struct ix_run *run, const char *kind, const char *name, const char *tags, double value,
                      struct ix_error *err);
/* Current totals, the scenario's own metrics included, in run->now. */
void ix_run_measure(struct ix_run *run);

/* run_facts.c: settings and host into the result, once options and limits are known. */
void ix_run_facts(struct ix_run *run);
/* A group that does not go to the run's broker. */
void ix_run_settings_group(struct ix_run *run, const char *group, const struct ix_model *model,
                           const char *scenario_broker, const struct ix_target *targets, size_t count);
/* The share of the machine's CPU time since ix_run_facts that others had. */
void ix_run_steal(struct ix_run *run);
uint32_t ix_run_cores(void); /* run.c */

/* run_ticks.c: the run over time. From begin to end once an interval a point, and more often what the journal
 * keeps; finish takes the last figures, when the workers have drained. */
void ix_run_ticks_begin(struct ix_run *run);
void ix_run_ticks_end(struct ix_run *run);
void ix_run_ticks_finish(struct ix_run *run);

/* run.c: ends the run with an error; the first one counts. */
void ix_run_fail(struct ix_run *run, enum ix_exit code, const char *message);

#endif
