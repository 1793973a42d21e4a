/* shed.h — says which queued task is too late to begin, so that an overloaded pool answers some in time instead of all too late. */
#ifndef JOB_SCHED_SHED_H
#define JOB_SCHED_SHED_H

#include <stdbool.h>

#include "base/atomic.h"

struct shed {
    /* fixed after open */
    uint64_t target_ns;         /* 0: nothing is ever too late */
    uint64_t interval_ns;
    /* any pool thread */
    atomic_u64 interval_end_ns; /* of the interval that is measured */
    atomic_u64 least_ns;        /* the shortest wait in it */
    atomic_u32 is_overloaded;   /* what the interval before has shown */
};

/* target_ns 0: off; interval_ns 0: SHED_INTERVAL_NS. */
void shed_init(struct shed *shed, uint64_t target_ns, uint64_t interval_ns);

static inline bool shed_is_on(const struct shed *shed)
{
    return shed->target_ns > 0;
}

/* A task that waited since `queued_ns` would begin now: is it too late? Counts its wait either way. */
bool shed_is_too_late(struct shed *shed, uint64_t queued_ns, uint64_t now_ns);

#endif
