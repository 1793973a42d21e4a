/* sleeper.c — sleeps on a word that becomes 1. */
#include "base/sleeper.h"

#include <errno.h>

#include "base/root.h"

void sleeper_wake(struct sleeper *sleeper)
{
    atomic_u32 *word = &sleeper->is_woken;
    store_release(word, 1);          /* pairs with load_acquire in sleeper_wait; the sleeper may go from here on */
    (void)sys_futex_wake(word, 1);   /* by its address alone */
}

int sleeper_wait(struct sleeper *sleeper, const struct root *root, uint64_t deadline_ns, const struct sys_stop *stops,
                 unsigned stop_count)
{
    while (!load_acquire(&sleeper->is_woken)) {   /* pairs with store_release in sleeper_wake */
        uint64_t left = deadline_ns == TIME_NEVER ? TIME_NEVER : time_left(deadline_ns, root->now_ns());
        if (left == 0)
            return -ETIMEDOUT;
        int err = sys_futex_wait_stoppable(&sleeper->is_woken, 0, false, stops, stop_count, left);
        if (err == -ECANCELED)
            return err;   /* for whatever else it ends, the word is looked at */
    }
    return 0;
}
