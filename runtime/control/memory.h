/* Whether the devices of a run fit into this host's memory, asked before any of them is started. */
#ifndef IX_CONTROL_MEMORY_H
#define IX_CONTROL_MEMORY_H

#include "model/model.h"

struct ix_memory_parts {
    uint64_t iotix, kernel, broker; /* bytes */
};

/* What one device takes, from measurements (tests/bench/README.md): its process and its end of the connection;
 * `broker_is_here`: the broker's end and what the broker keeps, too. */
struct ix_memory_parts ix_memory_of_device(const struct ix_model *model, bool broker_is_here);
/* What the processes of a run take without devices: controller, so many workers and observers, the embedded broker. */
struct ix_memory_parts ix_memory_of_processes(uint64_t workers, uint64_t observers, bool embedded_broker);
/* Bytes that this host, and the control group that we are in, still have; UINT64_MAX if nobody says. */
uint64_t ix_memory_available(void);
/* 0, or -ENOMEM with both figures. */
int ix_memory_check(uint64_t devices, uint64_t needed, uint64_t available, struct ix_error *err);

#endif
