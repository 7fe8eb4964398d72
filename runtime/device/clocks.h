/* Clocks of other hosts: an NTP-like exchange through the broker, so that `receive.latency` holds between hosts as well.
 *
 * A process whose devices publish stamps (generator/stamp.h) answers questions about its clock: one client a broker, of
 * worker 0, subscribed to iotix/clock/CLOCK. One that receives stamps of an unknown clock asks there, eight times at first
 * and then every five seconds, and waits for answers at iotix/clock/CLOCK/NUMBER. Both connect as a device does that needs
 * them: same broker, TLS, user name and password. */
#ifndef IX_DEVICE_CLOCKS_H
#define IX_DEVICE_CLOCKS_H

#include "device/device.h"
#include "generator/stamp.h"

struct ix_engine;
struct ix_clocks;

/* A device that publishes stamps is connected: its broker's questions are answered from now on. */
void ix_clocks_answer(struct ix_device *d);
/* A device received a stamp of another clock. Its time is noted now, or when that clock is measured; never, if it can't be. */
void ix_clocks_received(struct ix_device *d, const struct ix_stamp *stamp, uint64_t now_ns);
/* Nothing more will be measured: what waits is noted by what is known. */
void ix_clocks_settle(struct ix_engine *engine);
void ix_clocks_free(struct ix_engine *engine);

#endif
