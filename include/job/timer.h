/* timer.h — one-shot timers in ns, never early. */
#ifndef JOB_TIMER_H
#define JOB_TIMER_H

#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_timer {
    struct job_handle handle;

    /* The library's. */
    void (*job_fired)(struct job_timer *timer);
    void (*job_on_closed)(struct job_timer *timer);
    uint64_t job_deadline_ns;
    uint64_t job_order;
    uint32_t job_heap_index;
    uint32_t job_reserved;
};

/**
 * Opens a timer; it is not armed.
 *
 * @param fired  called on the loop when the time has come
 * @return 0, or -EINVAL: an argument is NULL; -ENOMEM: no memory; -ECANCELED: the loop is closing;
 *         -EPERM: another thread's loop
 * Thread: loop thread, or before start.
 */
JOB_API int job_timer_open(struct job_loop *loop, struct job_timer *timer, void (*fired)(struct job_timer *timer));

/** Arms it (again) to fire once, `timeout_ns` from this call, never early; 0 fires in the next turn, not in this one. While it
 * is armed it keeps the loop alive.
 * @return 0, or -EINVAL: NULL; -ECANCELED: closing; -EPERM: not the loop's thread. Thread: loop thread, or before start. */
JOB_API int job_timer_start(struct job_timer *timer, uint64_t timeout_ns);

/** Disarms it; it will not fire any more. Harmless when it is not armed. Thread: loop thread. */
JOB_API void job_timer_stop(struct job_timer *timer);

/** True while it is armed. Thread: loop thread. */
JOB_API bool job_timer_is_armed(const struct job_timer *timer);

/** Closes it; it fires no more. `closed` (may be NULL) comes later, once; a second close is ignored. Thread: loop thread. */
JOB_API void job_timer_close(struct job_timer *timer, void (*closed)(struct job_timer *timer));

JOB_END_DECLS

#endif
