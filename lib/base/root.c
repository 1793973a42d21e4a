/* root.c — what a thread that begins to run owes to a watchdog (loop/watchdog.c). */
#include "base/root.h"

#include <signal.h>

#include "base/assert.h"
#include "base/sys.h"

void root_wake_watchdog(struct root *root)
{
    uint32_t asleep = WATCH_ASLEEP;
    JOB_MARK(root_watchdog_is_woken);
    if (cas_acq_rel(&root->watch, &asleep, WATCH_AWAKE))   /* pairs with store_seq_cst in sleep_until_somebody_runs */
        (void)sys_futex_wake(&root->watch, 1);
}

void root_let_watchdog_ask(const struct root *root)
{
    uint32_t signal = load_relaxed(&root->watch_signal);   /* whoever runs before the watchdog opens is not asked */
    if (signal == 0)
        return;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, (int)signal);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);        /* cannot fail: arguments are valid */
}
