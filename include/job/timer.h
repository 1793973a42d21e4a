/* timer.h — timers in ns, one-shot or repeating, never early. */
#ifndef JOB_TIMER_H
#define JOB_TIMER_H

#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_timer {
    struct job_handle handle;

    /* The library's. */
    uint64_t job_deadline[8];
    void (*job_fired)(struct job_timer *timer);
    void (*job_on_closed)(struct job_timer *timer);
    uint64_t job_interval_ns;
    uint64_t job_tick_ns;
    uint64_t job_missed;
    uint64_t job_slack_ns;
};

/**
 * Opens a timer; it is not armed.
 *
 * @param fired  called on the loop when the time has come
 * @return 0, or -EINVAL: an argument is NULL; -ECANCELED: the loop is closing; -EPERM: another thread's loop
 * Thread: loop thread, or before start.
 */
JOB_API int job_timer_open(struct job_loop *loop, struct job_timer *timer, void (*fired)(struct job_timer *timer));

/** Arms it (again) to fire once, `timeout_ns` from this call, never early. Timers fire in the order of their times, those of one time in
 * the order in which they were armed. What is armed while timers fire, also with 0, waits for the next round, so that it cannot
 * starve the rest. While it is armed it keeps the loop alive.
 * @return 0, or -EINVAL: NULL, or never opened; -ECANCELED: closing; -EPERM: not the loop's thread. Thread: loop thread, or before
 * start. */
JOB_API int job_timer_start(struct job_timer *timer, uint64_t timeout_ns);

/** As job_timer_start(), at a time of CLOCK_MONOTONIC, in ns; what has passed fires in the next round. Reads no clock: with
 * job_loop_now() + x it is the cheapest way, early by as much as the present callback has run.
 * @return as job_timer_start(). Thread: loop thread, or before start. */
JOB_API int job_timer_start_at(struct job_timer *timer, uint64_t due_ns);

/**
 * Arms it to fire `first_ns` from this call and then every `interval_ns`, without drift: the n-th time is due at first + n * interval,
 * however late those before it were. A loop that was held for longer than an interval does not make up for it: one call stands for all
 * times that have passed, job_timer_missed() says how many more than one, and the next comes at the next multiple.
 *
 * In its callback it is armed for its next time already: job_timer_stop(), any start (which replaces this one) and close work as elsewhere.
 *
 * @return 0, or -EINVAL: NULL, never opened, or interval_ns is 0; -ECANCELED: closing; -EPERM: not the loop's thread
 * Thread: loop thread, or before start.
 */
JOB_API int job_timer_start_repeating(struct job_timer *timer, uint64_t first_ns, uint64_t interval_ns);

/** In `fired` of a repeating timer: how many times were due since the last call besides this one; 0 when it is in time, and for others.
 * Thread: loop thread. */
JOB_API uint64_t job_timer_missed(const struct job_timer *timer);

/** From the next start on, it may fire up to `slack_ns` late where that lets it share a wake-up with others that have slack; 0, as opened:
 * in time. Wake-ups cost microseconds each and keep a CPU from sleeping. Thread: loop thread, or before start. */
JOB_API void job_timer_set_slack(struct job_timer *timer, uint64_t slack_ns);

/** Disarms it; it will not fire any more. Harmless when it is not armed. Thread: loop thread. */
JOB_API void job_timer_stop(struct job_timer *timer);

/** True while it is armed. Thread: loop thread. */
JOB_API bool job_timer_is_armed(const struct job_timer *timer);

/** Closes it; it fires no more. `closed` (may be NULL) comes later, once; a second close is ignored. Thread: loop thread. */
JOB_API void job_timer_close(struct job_timer *timer, void (*closed)(struct job_timer *timer));

JOB_END_DECLS

#endif
