/* pool.h — worker threads that steal work from each other; and pools for calls that block. */
#ifndef JOB_POOL_H
#define JOB_POOL_H

#include <job/arena.h>

JOB_BEGIN_DECLS

struct job_pool;

#define JOB_POOL_INLINE ((unsigned)-1)

struct job_pool_options {
    unsigned workers;          /* 0: as many as whole CPUs that this process may use (affinity and cgroup quota), at least 1.
                                  JOB_POOL_INLINE: no threads. Each task runs inside job_submit(), or, when that is called by a
                                  task of an inline pool, when that task has ended: for tests and debugging */
    int nice;                  /* added to the opener's: -20 to 19; below 0 needs the privilege, else it is logged and left */
    unsigned queue_limit;      /* tasks of handles that each submitting loop may have queued; 0: 1024; rounded up to a power of two.
                                  Tasks without a handle are not bounded */
    const char *name;          /* of the threads: name/0, name/1 …; NULL: "pool"; cut so that 15 bytes suffice */
    const uint64_t *affinity;  /* words of a CPU mask, bit i of word w is CPU 64*w+i, below 1024; NULL: the opener's */
    size_t affinity_words;
    unsigned blocked_limit;    /* threads that may be more than workers while tasks are between job_blocking_enter() and leave; 0: 64.
                                  They start as they are needed, and end when idle for 10 s */
    bool no_spin;              /* idle workers sleep at once: saves CPU, costs latency */
    /* Shedding by time in queue. 0: off. When for a whole interval every task has waited for longer than the target, more comes in than
       the pool can do; then those that have waited for more than twice the target end with -ETIME, still with their buf, and are not
       run, until the queue is short again. Tasks that a task submits without a handle are part of work that has begun, and are never shed;
       nor are those of an inline or of a blocking pool. Costs two readings of the clock a task. */
    uint64_t shed_target_ns;
    uint64_t shed_interval_ns; /* 0: 100 ms */
    bool blocking;             /* for calls that sleep in the kernel, not for work: a thread for each task that runs, in the order in which
                                  one loop submitted them, up to `workers` threads (0: 64). They start as they are needed, the first
                                  with the first submit. They share no CPU budget: what they run should sleep */
    uint64_t idle_timeout_ns;  /* with `blocking`: a thread that had nothing to do for so long ends, but for the last one; 0: 10 s */
};

struct job_pool_stats {
    uint64_t submitted, run, cancelled;   /* tasks since open: submitted = run + cancelled + shed + those still in flight */
    uint64_t shed;                        /* not run because they had waited too long */
    uint64_t refused;                     /* -EAGAIN since open */
    uint64_t stolen, parked, woken;
    unsigned workers;
};

/**
 * Opens a pool and starts its threads.
 *
 * @param options  NULL or {0}: defaults
 * @return 0, or -EINVAL (workers or blocked_limit above 1024, queue_limit above 2^24, nice out of range, an affinity without a usable CPU,
 *         idle_timeout_ns without blocking, or the
 *         runtime's memory limit cannot hold 16 KiB of output a worker beside what its loops hold; the sum is logged),
 *         -ENOMEM, -EAGAIN (the system refuses threads), -EPERM (forked); nothing is left behind on error
 * Thread: any. The threads block all signals but those of a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), and
 * those as well that the caller has blocked.
 */
JOB_API int job_pool_open(struct job_runtime *runtime, struct job_pool **pool, const struct job_pool_options *options);

/**
 * Stops a pool: from now on job_submit() is refused with -ECANCELED, every task that is queued completes with -ECANCELED and
 * its buf, every task that runs ends as it would. Returns at once; may be called again. Tasks that wait for room are told that
 * there is some, and are then refused. NULL is allowed; job_runtime_calls() is left alone.
 *
 * Thread: any.
 */
JOB_API void job_pool_stop(struct job_pool *pool);

/**
 * Stops a pool, waits until its threads have ended, and frees it; *pool becomes NULL. Completions that loops have not run yet
 * are still delivered by those loops. Tasks that still wait for room are not called any more; their handles' close ends the wait.
 * NULL is allowed.
 *
 * @return 0, or -EDEADLK: called by a task of this pool, or by its `done` there, or while one of an inline pool waits behind
 *         the caller's; -EINVAL: pool is NULL, or it is
 *         job_runtime_calls(), which the runtime closes; -EPERM: forked; nothing changed on error
 * Thread: any but the pool's, while no other is in a call with this pool, or will make one. Blocks for as long as the longest
 * running task: not on a loop that must answer.
 */
JOB_API int job_pool_close(struct job_pool **pool);

/** Worker threads; 0 for an inline pool, and for NULL; of a blocking pool those that live now. Thread: any. */
JOB_API unsigned job_pool_workers(const struct job_pool *pool);

/** A snapshot of the counters. Thread: any. */
JOB_API void job_pool_stats(const struct job_pool *pool, struct job_pool_stats *stats);

JOB_END_DECLS

#endif
