/* sleeper.h — a thread that sleeps until another one wakes it, once. It lies on the stack of the one that sleeps, which may go as soon as
 * it is woken: whoever wakes it touches it no more. */
#ifndef JOB_BASE_SLEEPER_H
#define JOB_BASE_SLEEPER_H

#include "base/sys.h"

struct root;

struct sleeper {
    atomic_u32 is_woken;
};

/* Any thread; what it did before is seen by the one that slept. */
void sleeper_wake(struct sleeper *sleeper);

/* 0: woken; -ETIMEDOUT: not until deadline_ns (TIME_NEVER: there is none); -ECANCELED: one of the stops does not hold its value any more.
 * After an error it may still be woken: its memory stays until the caller knows that it will not be, or has waited once more. */
int sleeper_wait(struct sleeper *sleeper, const struct root *root, uint64_t deadline_ns, const struct sys_stop *stops,
                 unsigned stop_count);

#endif
