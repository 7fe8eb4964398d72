#include "protocol/protocol.h"

const struct ix_protocol *ix_protocol_find(enum ix_protocol_kind kind, struct ix_error *err)
{
    if (kind == IX_PROTOCOL_MQTT)
        return &ix_protocol_mqtt;
    ix_fail(err, -ENOTSUP,
            "this build of iotix connects devices by MQTT only, not by %s; give the model `\"protocol\": "
            "\"mqtt\"` to "
            "run it (`iotix model check` knows all three)",
            kind == IX_PROTOCOL_COAP ? "CoAP" : "HTTP");
    return NULL;
}
