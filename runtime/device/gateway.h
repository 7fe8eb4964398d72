/* The devices behind a gateway: their telemetry goes through its connection, all values of an instant in one
 * message. They have no connection, row or state of their own. */
#ifndef IX_DEVICE_GATEWAY_H
#define IX_DEVICE_GATEWAY_H

#include "device/device.h"

struct ix_gateway;

/* The children that a gateway's model names; *out is NULL if there are none. */
int ix_gateway_open(struct ix_gateway **out, const struct ix_model *model,
                    const struct ix_model_options *options, struct ix_error *err);
void ix_gateway_free(struct ix_gateway *gateway);

/* The first instant of any child that comes after those handled; UINT64_MAX if there is none. */
uint64_t ix_gateway_next(const struct ix_gateway *gateway, const struct ix_device *d);
/* Appends ,"children":[{"deviceId":…,"<name>":value,…},…] with what is due at the instant; false if no
 * value could be made. */
bool ix_gateway_put(struct ix_gateway *gateway, struct ix_device *d, uint64_t instant_ns, struct ix_buf *out);

#endif
