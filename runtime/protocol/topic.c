#include "protocol/topic.h"

#include <mosquitto.h>
#include <string.h>

bool ix_topic_is_filter(const char *filter)
{
    return filter[0] && mosquitto_sub_topic_check(filter) == MOSQ_ERR_SUCCESS;
}

bool ix_topic_matches(const char *filter, const char *topic)
{
    bool matches = false;
    return mosquitto_topic_matches_sub(filter, topic, &matches) == MOSQ_ERR_SUCCESS && matches;
}

bool ix_topic_overlap(const char *a, const char *b)
{
    for (;;) {
        size_t a_len = strcspn(a, "/"), b_len = strcspn(b, "/");
        if (*a == '#' || *b == '#')
            return true;
        bool any = (a_len == 1 && *a == '+') || (b_len == 1 && *b == '+');
        if (!any && (a_len != b_len || memcmp(a, b, a_len) != 0))
            return false;
        if (!a[a_len] || !b[b_len]) {
            /* "a/#" is for "a", too. */
            const char *rest = a[a_len] ? a + a_len : b + b_len;
            return !*rest || strcmp(rest, "/#") == 0;
        }
        a += a_len + 1;
        b += b_len + 1;
    }
}
