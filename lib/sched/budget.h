/* budget.h — keeps a pool below its cgroup's CPU quota, so that the kernel does not stop the loops together with it. */
#ifndef JOB_SCHED_BUDGET_H
#define JOB_SCHED_BUDGET_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/container.h"

struct budget {
    /* fixed after open */
    uint64_t rate_permille;     /* CPU time a real time, in 1/1000: the quota less the loops' reserve; 0: no budget is kept */
    /* any pool thread */
    atomic_u64 balance_ns;      /* signed: what may still be used; below zero: a debt */
    atomic_u64 refilled_ns;     /* when it was last refilled */
};

/* No budget when there is no quota, or when workers and a loop together cannot exceed it. */
void budget_init(struct budget *budget, struct container_quota quota, unsigned workers, uint64_t now_ns);

static inline bool budget_is_kept(const struct budget *budget)
{
    return budget->rate_permille > 0;
}

/* Charges CPU time that was used. Returns how long the thread should wait now, 0: not at all. */
uint64_t budget_charge(struct budget *budget, uint64_t used_ns, uint64_t now_ns);

#endif
