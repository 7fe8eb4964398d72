/* MQTT topic filters (MQTT 3.1.1, 4.7): + stands for a whole level, # for the rest and ends it. */
#ifndef IX_PROTOCOL_TOPIC_H
#define IX_PROTOCOL_TOPIC_H

#include <stdbool.h>

bool ix_topic_is_filter(const char *filter);
/* Whether a subscription to `filter` gets messages of `topic`. */
bool ix_topic_matches(const char *filter, const char *topic);
/* Whether there are topics that both match. */
bool ix_topic_overlap(const char *a, const char *b);

#endif
