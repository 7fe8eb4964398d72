/* When a device tries again: the model's policy, with randomness that depends on the device and the attempt
 * only. */
#include "base/random.h"
#include "device/internal.h"

#include <math.h>

/* Steps of the decorrelated walk that are replayed: by then its start is forgotten. */
#define WALK_STEPS 64

static double draw(const struct ix_device *d, unsigned attempt)
{
    uint64_t key = ix_random_key(ix_device_random_key(d), IX_DRAWS_RECONNECT);
    return ix_random_unit(ix_random_u64(key, (uint64_t)d->row->connections << 32 | attempt));
}

/* delay(n) = min(max, uniform(first, 3 · delay(n − 1))), delay(0) = first. M. Brooker, Exponential Backoff
 * And Jitter (2015), whose names "full" and "decorrelated" these are. */
static double decorrelated(const struct ix_device *d, double first, double max, unsigned attempt)
{
    double delay = first;
    for (unsigned n = attempt > WALK_STEPS ? attempt - WALK_STEPS : 0; n <= attempt; n++)
        delay = fmin(max, first + draw(d, n) * (fmin(delay * 3, max * 3) - first));
    return delay;
}

bool ix_reconnect_delay(const struct ix_device *d, bool refused, uint64_t *delay_ns)
{
    const struct ix_reconnect_policy *policy = &d->group->model->connection.reconnect;
    if (policy->backoff == IX_BACKOFF_NONE || (refused && !policy->on_refused) ||
        (policy->attempts && d->attempts >= policy->attempts))
        return false;
    double first = (double)policy->delay_ns;
    double max = fmax(first, (double)policy->max_delay_ns);
    /* After a loss the first wait comes before the first attempt, else after it. */
    unsigned failed = d->lost_ns || !d->attempts ? d->attempts : d->attempts - 1u;
    double delay = first;
    if (policy->jitter == IX_JITTER_DECORRELATED) {
        delay = decorrelated(d, first, max, failed);
    } else {
        if (policy->backoff == IX_BACKOFF_EXPONENTIAL)
            delay = fmin(max, first * pow(policy->base, failed));
        if (policy->jitter == IX_JITTER_FULL)
            delay *= draw(d, failed);
    }
    *delay_ns = (uint64_t)delay;
    return true;
}
