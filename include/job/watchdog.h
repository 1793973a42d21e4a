/* watchdog.h — says, while it happens, which callback holds a loop and which task takes too long, with its stack. */
#ifndef JOB_WATCHDOG_H
#define JOB_WATCHDOG_H

#include <job/runtime.h>

JOB_BEGIN_DECLS

struct job_watchdog;

/* What is held, and by what: valid during the call only. `object` is to be compared with, not to be followed: it may be gone. */
struct job_held {
    const char *thread;           /* the loop's name, or the pool thread's, as in jobctl */
    const char *kind;             /* of the object: "timer", "stream", "call", "task" … */
    const void *object;           /* the handle, call or task that is called; NULL: not known */
    uint64_t function;            /* address of the callback or task function */
    uint64_t since_ns, held_ns;   /* since when (CLOCK_MONOTONIC), for how long by now */
    unsigned tid;
    unsigned reports;             /* 1 for the first report of this call, 2 when it has taken twice as long, 3 … */
    void *const *stack;           /* return addresses, innermost first */
    unsigned depth;               /* 0: no stack could be taken; the log says why */
    const char *text;             /* the line that went to the log */
};

struct job_watchdog_options {
    uint64_t callback_limit_ns;   /* 0: 100 ms; UINT64_MAX: callbacks are not watched */
    uint64_t task_limit_ns;       /* 0: tasks are not watched */
    /* Called on the watchdog's thread; NULL: the log alone. It may do what any thread may, but not close the watchdog. */
    void (*held)(void *arg, const struct job_held *held);
    void *arg;
    int signal;                   /* with which stacks are taken; 0: SIGRTMAX - 3; -1: no stacks */
};

/**
 * Starts the watchdog of a runtime: a thread that sleeps while all loops and pool threads do. A callback or task that takes longer than its
 * limit is reported once while it goes on, and again whenever the time has doubled, as a warning in the log and by `held`.
 *
 * Stacks are taken by a signal to the thread in question; its handler is installed here and removed at close. A sleep or a read that the
 * callback is in ends with EINTR then. Loops that begin to run, and pools that are opened, from now on let the signal through; threads that
 * block it have no stack in their reports.
 *
 * @param options  NULL or {0}: defaults
 * @return 0, or
 *         -EINVAL   runtime or watchdog is NULL, or signal is not a real-time signal
 *         -EBUSY    the runtime has one already, or the signal has a handler of somebody else's
 *         -ENOTSUP  the runtime has no statistics segment (no_stats): that is what it looks at, so it sees the first 256 threads
 *         -ENOMEM; -EAGAIN: the system refuses a thread; -EPERM: forked
 * Thread: any. Costs loops and pools a load a sleep, and tasks, while they are watched, a reading of a coarse clock.
 */
JOB_API int job_watchdog_open(struct job_runtime *runtime, struct job_watchdog **watchdog,
                              const struct job_watchdog_options *options);

/** Ends it; *watchdog becomes NULL. NULL is allowed. Before the runtime's close. Waits for a call of `held` to return.
 * @return 0, or -EINVAL: watchdog is NULL; -EDEADLK: called by `held`; -EPERM: forked. Thread: any. */
JOB_API int job_watchdog_close(struct job_watchdog **watchdog);

JOB_END_DECLS

#endif
