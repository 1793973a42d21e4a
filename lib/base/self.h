/* self.h — what the library knows of the calling thread. The only thread-local state, behind one accessor.
 *
 * Threads of the library (loops while they run, pool threads) fill it in; a foreign thread finds it empty, which is a
 * legal state everywhere: no cache, no statistics line, no loop.
 */
#ifndef JOB_BASE_SELF_H
#define JOB_BASE_SELF_H

#include <stdint.h>

struct cache;
struct carrier;
struct delivery;
struct inline_run;
struct job_inside;
struct job_loop;
struct job_task;
struct pool_place;
struct root;
struct stats_line;
struct sys_stop;

struct self {
    struct cache *caches;              /* one an arena; memory/cache.c */
    struct root *root;                 /* the runtime whose loop, or pool, this thread runs: that of the line */
    struct stats_line *line;           /* what this thread does and counts; stats/line.h */
    struct job_loop *loop;             /* the loop that this thread runs now */
    struct pool_place *pool_place;     /* the place at a pool that this thread has */
    struct carrier *carrier;           /* the thread of a pool that this is; sched/carrier.c */
    struct job_task *task;             /* whose function runs on this thread now */
    unsigned (*stops)(struct sys_stop *stops);   /* NULL, or: what ends a wait of this thread early, and how many; sched/pool.c */
    struct delivery *delivery;         /* whose `done` runs on this thread now; sched/task.c */
    struct job_inside *inside;         /* the worker that this thread is; worker/inside.c */
    struct inline_run *inline_run;     /* inline pools at work on this thread; sched/inline.c */
    uint64_t serial;                   /* 0, or what self_serial() says */
};

struct self *self(void);

/* What no other thread of this process has been or will be called; not 0. The address of self() does not tell threads apart: the next
 * thread may have it when one has ended, and most often has. */
uint64_t self_serial(void);

/* self(), or nobody in a child that a callback or a task has forked: what runs here runs in the parent only, which shares the line. */
const struct self *self_unless_forked(void);

/* Into SYS_STOPS_MAX of base/sys.h. */
static inline unsigned self_stops(const struct self *me, struct sys_stop *stops)
{
    return me->stops ? me->stops(stops) : 0;
}

#endif
