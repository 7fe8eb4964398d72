/* One device with commands, on the rig of fake_protocol.h. */
#ifndef IX_TESTS_DEVICE_FIXTURE_H
#define IX_TESTS_DEVICE_FIXTURE_H

#include "fake_protocol.h"

#define SENSOR(type, more)                                                                     \
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"" type "\",\"protocol\":\"mqtt\",\"telemetry\":[" \
    "{\"name\":\"t\",\"type\":\"number\",\"intervalMs\":1000,"                                 \
    "\"generator\":{\"type\":\"sequence\",\"start\":0,\"step\":1,\"max\":1e9}},"               \
    "{\"name\":\"state\",\"type\":\"string\",\"intervalMs\":100000,"                           \
    "\"generator\":{\"type\":\"constant\",\"value\":\"off\"}}]" more "}"

#define COMMANDS                                                                              \
    ",\"commands\":[{\"name\":\"update\",\"topic\":\"d/${deviceId}/update\",\"parameters\":[" \
    "{\"name\":\"url\",\"type\":\"string\",\"required\":true},{\"name\":\"size\",\"type\":"   \
    "\"integer\"}],\"response\":{\"topic\":\"d/${deviceId}/done\",\"template\":{\"what\":"    \
    "\"${command}\",\"how\":\"${status}\",\"why\":\"${error}\",\"url\":\"${url}\",\"size\":"  \
    "\"${size}\",\"id\":\"${correlationId}\",\"text\":\"${command} of ${deviceId}\"}}},"      \
    "{\"name\":\"reboot\",\"topic\":\"d/${deviceId}/reboot\"},"                               \
    "{\"name\":\"set\",\"topic\":\"d/${deviceId}/set\",\"response\":{\"topic\":\"d/${deviceId}/s\"}}]"

static const char commands[] = SENSOR("sensor", COMMANDS);
static const char actuator[] = SENSOR("actuator", COMMANDS);

static inline void start_one(const char *model)
{
    add_group("g", 1, model);
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_number(row("g", 0)->status, IX_D_RUNNING);
}

static inline struct ix_device *device(void)
{
    return ix_device_find(rig.engine, "g", 0);
}

static inline int command(const char *name, const char *json, struct ix_error *err)
{
    return ix_engine_command(rig.engine, device(), name, json, strlen(json), err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)

#endif
