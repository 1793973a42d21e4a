/* budget.c — a token bucket of CPU time, shared by a pool's threads.
 *
 * A pool that uses up its cgroup's quota has the whole process stopped by the kernel, loop included, until the period ends: p99 48 ms
 * where 0.15 ms is possible, and nice has no say in it. So the pool keeps to the quota less a reserve for loops: the bucket fills with
 * real time at that rate, holds at most one window, and a task that ran for longer leaves a debt that is waited for between tasks.
 */
#include "sched/budget.h"

enum {
    WINDOW_NS = 10000000,       /* 10 ms: a tenth of the kernel's default period */
    RESERVE_PERMILLE = 200,     /* of the quota, for loops; unmeasured beyond 1 CPU */
};

void budget_init(struct budget *budget, struct container_quota quota, unsigned workers, uint64_t now_ns)
{
    *budget = (struct budget){.balance_ns = WINDOW_NS, .refilled_ns = now_ns};
    if (quota.quota_us == 0 || quota.period_us == 0)
        return;
    uint64_t cpus_permille = quota.quota_us * 1000 / quota.period_us;
    if ((uint64_t)(workers + 1) * 1000 <= cpus_permille)
        return;
    budget->rate_permille = cpus_permille * (1000 - RESERVE_PERMILLE) / 1000;
    if (budget->rate_permille == 0)
        budget->rate_permille = 1;
}

/* Real time since the last refill becomes balance; one thread a moment does it. */
static void refill(struct budget *budget, uint64_t now_ns)
{
    uint64_t before = load_relaxed(&budget->refilled_ns);   /* the exchange decides */
    if (now_ns <= before || !cas_relaxed(&budget->refilled_ns, &before, now_ns))
        return;
    int64_t more = (int64_t)((now_ns - before) * budget->rate_permille / 1000);
    uint64_t old = load_relaxed(&budget->balance_ns);       /* a sum of CPU time: orders nothing */
    int64_t filled;
    do {
        filled = (int64_t)old + more;
        if (filled > WINDOW_NS)
            filled = WINDOW_NS;
    } while (!cas_relaxed(&budget->balance_ns, &old, (uint64_t)filled));
}

uint64_t budget_charge(struct budget *budget, uint64_t used_ns, uint64_t now_ns)
{
    refill(budget, now_ns);
    int64_t balance = (int64_t)(fetch_sub_relaxed(&budget->balance_ns, used_ns) - used_ns);   /* a sum: orders nothing */
    if (balance >= 0)
        return 0;
    return (uint64_t)-balance * 1000 / budget->rate_permille;
}
