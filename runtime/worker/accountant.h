/* The observers' part of the delivery ledger: takes note of every message that arrives. */
#ifndef IX_WORKER_ACCOUNTANT_H
#define IX_WORKER_ACCOUNTANT_H

#include "metrics/ledger.h"
#include "metrics/segment.h"
#include "protocol/protocol.h"

struct ix_accountant;

struct ix_accounting {
    struct ix_ledger *ledger;   /* mapped writable; stays the caller's */
    struct ix_segment *segment; /* where counters and times go */
    const char *field;          /* of JSON payloads that carry a mark */
    uint64_t late_ns;           /* from the due instant; 0: nothing is late */
    bool is_shared;             /* other observers work on the same entries */
};

struct ix_accountant *ix_accountant_new(const struct ix_accounting *accounting);
void ix_accountant_free(struct ix_accountant *accountant);
/* A message that arrived at `now_ns`. One of QoS 2 whose `duplicate` says that its packet was there before counts
 * once: the library hands on what it should have told apart. */
void ix_accountant_message(struct ix_accountant *accountant, const struct ix_message *message,
                           uint64_t now_ns);

#endif
