/* virtual_clock.c — one word a process: root->now_ns takes no argument, so the clock cannot be an object. */
#include "testkit/virtual_clock.h"

#include "base/atomic.h"

static atomic_u64 now_ns = 1000000000U;   /* not 0: that means "do not wait" */

uint64_t virtual_clock_now_ns(void)
{
    return load_relaxed(&now_ns);   /* one thread moves it and looks at it */
}

void virtual_clock_advance(uint64_t ns)
{
    (void)fetch_add_relaxed(&now_ns, ns);
}
