#include "worker/broker_watch.h"

#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#define ASK_BUSY_NS  IX_S
#define ASK_QUIET_NS (200 * IX_MS)
#define DROPPED      "$SYS/broker/publish/messages/dropped"
#define UPTIME       "$SYS/broker/uptime" /* changes whenever figures are published */

void ix_watch_connected(struct ix_broker_watch *watch, struct ix_link *link)
{
    memset(watch->questions, 0, sizeof watch->questions);
    watch->asked_ns = 0;
    /* Whether a broker has them, or lets us see them, is its business. */
    if (ix_protocol_mqtt.subscribe(link, DROPPED, 0) == 0)
        ix_protocol_mqtt.subscribe(link, UPTIME, 0);
}

void ix_watch_look(struct ix_broker_watch *watch, struct ix_link *link, bool busy, uint64_t now_ns)
{
    bool waits = watch->answered_ns < watch->asked_ns;
    if (watch->asked_ns && now_ns - watch->asked_ns < (busy || waits ? ASK_BUSY_NS : ASK_QUIET_NS))
        return;
    uint16_t token;
    if (ix_protocol_mqtt.ask(link, &token) < 0)
        return;
    watch->asked_ns = now_ns;
    watch->questions[watch->next].asked_ns = now_ns;
    watch->questions[watch->next].token = token;
    watch->next = (watch->next + 1) % IX_WATCH_QUESTIONS;
}

void ix_watch_answered(struct ix_broker_watch *watch, uint16_t token)
{
    for (size_t i = 0; i < IX_WATCH_QUESTIONS; i++) {
        uint64_t asked_ns = watch->questions[i].asked_ns;
        if (!asked_ns || watch->questions[i].token != token)
            continue;
        watch->questions[i].asked_ns = 0;
        if (asked_ns > watch->answered_ns)
            watch->answered_ns = asked_ns;
        if (watch->tick_ns && asked_ns > watch->tick_ns)
            watch->renewed_ns = watch->tick_ns;
    }
}

bool ix_watch_message(struct ix_broker_watch *watch, const struct ix_message *message, uint64_t now_ns)
{
    if (message->topic[0] != '$')
        return false;
    if (strcmp(message->topic, UPTIME) == 0) {
        if (!message->retain)
            watch->tick_ns = now_ns;
        return true;
    }
    if (strcmp(message->topic, DROPPED) != 0)
        return false;
    char text[24] = "";
    memcpy(text, message->payload, message->len < sizeof text ? message->len : sizeof text - 1);
    uint64_t said = strtoull(text, NULL, 10);
    if (watch->counts)
        watch->dropped += said >= watch->said ? said - watch->said : said; /* less: it was started anew */
    watch->counts = true;
    watch->said = said;
    return true;
}
