/* charge.h — what a message counts in a queue.
 *
 * What waits holds memory: a region as well, of which the sender may have let go. Each counts in full, in each message that shares it, but
 * together never for more than the queue: regions may be larger than any queue, and cannot be split. Such a message waits alone.
 */
#ifndef JOB_MESSAGE_CHARGE_H
#define JOB_MESSAGE_CHARGE_H

#include <stdint.h>

struct charge {
    uint64_t bytes;               /* copied, or of what moves or is frozen */
    uint64_t region_bytes;
};

/* Above the limit: it never fits. */
static inline uint64_t charge_within(const struct charge *charge, uint64_t limit)
{
    if (charge->bytes >= limit)
        return charge->bytes;
    uint64_t room = limit - charge->bytes;
    return charge->bytes + (charge->region_bytes < room ? charge->region_bytes : room);
}

#endif
