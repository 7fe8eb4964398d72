/* Answers of the fake server. */
#ifndef IX_TESTS_MQTT_ANSWERS_H
#define IX_TESTS_MQTT_ANSWERS_H

#include "mqtt_fixture.h"

static const uint8_t connack_v3[] = {0x20, 2, 0, 0};

static inline size_t put(uint8_t *out, const uint8_t *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return len;
}

static inline size_t accept_v3(const uint8_t *packet, size_t len, uint8_t *out)
{
    (void)len;
    return packet[0] == 0x10 ? put(out, connack_v3, sizeof(connack_v3)) : 0;
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up_loop, tear_down_loop)

#endif
