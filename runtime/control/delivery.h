/* The delivery ledger when it is closed: what became of every message that was sent with a sequence.
 *
 *   sent = delivered + lost + inFlight          for all, for each group and QoS, for each device
 *
 * neverSent, inDoubt, duplicated, reordered, late and stale stand beside it (metrics/ledger.h). Reads every slot
 * once: 96 bytes a stream.
 *
 * While it is open nothing is lost yet: what was not delivered is in flight, and `missing` are those of it that a
 * later message of their stream has overtaken. That is what is left of a run whose controller died. */
#ifndef IX_CONTROL_DELIVERY_H
#define IX_CONTROL_DELIVERY_H

#include "control/snapshot.h"
#include "metrics/ledger.h"

#include <jansson.h>

#define IX_DELIVERY_WORST      100         /* devices that are listed */
#define IX_DELIVERY_WORST_OPEN 10          /* while it is open */
#define IX_DELIVERY_LOOK_MAX   (64u << 10) /* slots that are looked through while it is open */

/* How the observers fared. */
struct ix_delivery_facts {
    const char *const *topics;
    size_t topic_count;
    int qos;
    uint64_t late_ns; /* 0: not judged */
    size_t observers; /* more than one: they share the subscription, and order is not judged */
    uint64_t observer_restarts, overruns, away_ns;
    bool settled; /* nothing arrived any more; else what is above the last arrival of a stream is in flight */
    const char
        *silent; /* a broker that answered nothing any more, which is why it isn't settled; NULL: none */
    uint64_t silent_ns; /* for so long */
    bool counts;        /* brokers say what they drop for slow subscribers … */
    uint64_t dropped;   /* … and it was so much while they were observed */
    bool away; /* an observer is without its subscription: what the broker keeps for it is in flight */
};

/* Names a device of a group; the caller frees it. */
typedef char *ix_delivery_name(void *context, const char *group, uint64_t index);

/* The object "delivery" of result.schema.json; the counters of `totals` (all and groups) become those of the
 * ledger. */
json_t *ix_delivery_close(const struct ix_ledger *ledger, const struct ix_delivery_facts *facts,
                          ix_delivery_name *name, void *context, struct ix_snapshot *totals);

/* While it is open: {observers, devices}. Of a ledger with more slots than are looked through the devices are unknown:
 * `affected` is null. */
json_t *ix_delivery_look(const struct ix_ledger *ledger, const struct ix_delivery_facts *facts,
                         ix_delivery_name *name, void *context);
/* The object "delivery" of an account that was never closed, by the last look and the counters of that instant; NULL
 * if nothing was observed. */
json_t *ix_delivery_open(const json_t *look, const struct ix_snapshot *totals);

/* All that has not arrived went with a connection that broke. */
bool ix_delivery_is_explained(const struct ix_ledger *ledger);

/* A figure of the object's "total"; 0 where it has none. */
uint64_t ix_delivery_count(const json_t *delivery, const char *name);

#endif
