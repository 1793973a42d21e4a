/* shed.c — CoDel's question, asked of a queue of tasks: does it stand, or is it a burst that will pass?
 *
 * A burst drains: within an interval somebody waits little. A queue of which even the luckiest task has waited longer than the target for a
 * whole interval stands: more comes in than the pool can do, and first in, first out then gives every task the full wait, also those
 * whose client has long gone. So once an interval the least wait of the last one is compared with the target, and while it is above, tasks
 * that have waited for more than twice the target end with -ETIME and are not run. Those that are run have therefore waited for at most
 * that. Twice: the waits of what is still run lie just below the bound, and must stay above the target for the overload to be
 * seen as long as it lasts. The wait is looked at when a task is taken out, when it is known; dropping then costs next to nothing.
 *
 * All words are hints of several writers: each alone is valid, and a lost race moves a decision by a task. Rejected: a limit on the
 * length (how long is too long depends on the tasks); last in, first out (thieves and lanes take the oldest, and old ones starve until
 * their client gives up). Figures:
 * docs/decisions/031.
 */
#include "sched/shed.h"

#include "base/limits.h"

void shed_init(struct shed *shed, uint64_t target_ns, uint64_t interval_ns)
{
    *shed = (struct shed){
        .target_ns = target_ns,
        .interval_ns = interval_ns ? interval_ns : SHED_INTERVAL_NS,
        .least_ns = UINT64_MAX,
    };
}

/* One thread closes the interval and says what it has shown. An interval in which nobody came, or that ended long ago, shows nothing. */
static void next_interval(struct shed *shed, uint64_t end_ns, uint64_t waited_ns, uint64_t now_ns)
{
    if (!cas_relaxed(&shed->interval_end_ns, &end_ns, now_ns + shed->interval_ns))   /* who wins decides: orders nothing */
        return;
    uint64_t least = load_relaxed(&shed->least_ns);   /* a hint */
    bool is_recent = now_ns - end_ns < shed->interval_ns;
    store_relaxed(&shed->is_overloaded, is_recent && least != UINT64_MAX && least > shed->target_ns);   /* a hint */
    store_relaxed(&shed->least_ns, waited_ns);        /* a hint */
}

bool shed_is_too_late(struct shed *shed, uint64_t queued_ns, uint64_t now_ns)
{
    uint64_t waited = now_ns > queued_ns ? now_ns - queued_ns : 0;
    uint64_t end = load_relaxed(&shed->interval_end_ns);   /* a hint; the exchange decides */
    if (now_ns >= end)
        next_interval(shed, end, waited, now_ns);
    else if (waited < load_relaxed(&shed->least_ns))       /* hints, as below */
        store_relaxed(&shed->least_ns, waited);
    return load_relaxed(&shed->is_overloaded) && waited / 2 > shed->target_ns;
}
