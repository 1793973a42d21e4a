/* deadline.h — when the library itself must look at something again: time-outs of connections, linger, connect. A timer is one with a
 * handle of its own.
 *
 * A node in the memory of what it guards, so that setting one cannot fail. It is no handle: it keeps no loop alive and nothing waits
 * for its end. Setting it later than it is costs a store, so a connection may do that at every byte.
 */
#ifndef JOB_LOOP_DEADLINE_H
#define JOB_LOOP_DEADLINE_H

#include <stdint.h>

#include "base/list.h"

struct job_loop;

enum deadline_place { DEADLINE_NOWHERE, DEADLINE_IN_BUCKET, DEADLINE_IN_HEAP };

struct deadline {
    uint64_t at_ns;              /* 0: not set */
    enum deadline_place place;   /* it may be left in a bucket when it is not set any more; beside at_ns: deadline_rest() reads both */
    uint64_t key_ns;             /* by which it is sorted: at_ns, or an earlier time that it had before */
    uint64_t order;              /* of setting, among equal ones */
    void (*passed)(struct deadline *deadline);   /* it is not set any more; may set it anew */
    union {
        struct list link;        /* in a bucket */
        struct {
            struct deadline *next;   /* in the heap: the sibling behind */
            struct deadline *back;   /* the sibling before, or the parent */
        };
    };
    struct deadline *child;      /* in the heap: the first of those that come later */
};

/* What public structs have room for. */
_Static_assert(sizeof(struct deadline) == 8 * sizeof(uint64_t), "uint64_t job_deadline[8]");

/* Sets it, or moves it. `passed` is called by a turn of the loop, never early; what has passed already comes in the next round, not in
 * the one that runs. Loop thread. */
void deadline_set(struct job_loop *loop, struct deadline *deadline, uint64_t at_ns);

/* The same, or up to slack_ns later, where others come as well. */
void deadline_set_within(struct job_loop *loop, struct deadline *deadline, uint64_t at_ns, uint64_t slack_ns);

/* It does not pass any more, and nothing points to it: before its memory goes. */
void deadline_clear(struct job_loop *loop, struct deadline *deadline);

/* It does not pass any more, but may be left where it is, for less. For what is set again, or closed by deadline_clear() some time. */
void deadline_rest(struct job_loop *loop, struct deadline *deadline);

/* When to look next: no later than the first; mostly just then. TIME_NEVER: none is set. */
uint64_t deadlines_next_ns(struct job_loop *loop);

/* A round: those that have passed, at most TURN_TIMERS_MAX. */
void deadlines_fire(struct job_loop *loop);

#endif
