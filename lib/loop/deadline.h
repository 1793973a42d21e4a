/* deadline.h — when the library itself must look at something again: time-outs of connections, linger, connect.
 *
 * A node in the memory of what it guards, so that setting one cannot fail. It is no handle: it keeps no loop alive and nothing waits
 * for its end.
 */
#ifndef JOB_LOOP_DEADLINE_H
#define JOB_LOOP_DEADLINE_H

#include <stdint.h>

struct job_loop;

struct deadline {
    uint64_t at_ns;              /* 0: not set */
    void (*passed)(struct deadline *deadline);   /* it is not set any more; may set it anew */
    struct deadline *child;      /* the first of those that come later */
    struct deadline *next;       /* sibling */
    struct deadline *back;       /* the sibling before, or the parent */
};

/* Sets it, or moves it. `passed` is called by a turn of the loop, never early. Loop thread. */
void deadline_set(struct job_loop *loop, struct deadline *deadline, uint64_t at_ns);
void deadline_clear(struct job_loop *loop, struct deadline *deadline);

/* UINT64_MAX: none is set. */
uint64_t deadlines_next_ns(const struct job_loop *loop);

/* Those that have passed, at most TURN_TIMERS_MAX. */
void deadlines_fire(struct job_loop *loop);

#endif
