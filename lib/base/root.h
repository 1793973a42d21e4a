/* root.h — what every layer may need of the runtime, without knowing the runtime: struct job_runtime starts with it. */
#ifndef JOB_BASE_ROOT_H
#define JOB_BASE_ROOT_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/atomic.h"
#include "base/features.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/time.h"

struct helper;
struct job_arena;
struct job_pool;
struct stats;

/* Of the watchdog: loop/watchdog.c argues how it sleeps. */
enum watch_state { WATCH_OFF, WATCH_AWAKE, WATCH_ASLEEP };

struct root {
    /* fixed after open */
    struct log log;
    struct features features;
    struct stats *stats;          /* the statistics segment; stats/segment.h */
    struct job_arena *arena;      /* the default one; memory/arena.h */
    struct job_pool *calls;       /* for calls that sleep in the kernel; sched/blocking.h */
    struct job_pool *names;       /* the same for io/resolve.c alone */
    struct helper *helper;        /* for what is too slow for a loop; queue/helper.h */
    pid_t pid;                    /* of the process that opened it: after fork nothing here may be used */
    const atomic_u32 *guard;      /* 1; in a forked child 0, since its page is wiped there */
    uint64_t (*now_ns)(void);     /* monotonic; tests put a virtual clock here */

    /* Any thread. Whole CPUs of the cgroup's quota, UINT32_MAX without one, as it was when its latest pool was opened; a runtime opens one
     * of its own. A quota that changes is seen with the next pool: a loop is not worth a dozen files. */
    atomic_u32 quota_cpus;
    /* any thread; seldom written */
    atomic_u32 watch;             /* enum watch_state */
    atomic_u32 watch_signal;      /* by which the watchdog asks for stacks; 0: it does not */

    /* any thread: the ledger. What is not zero at close is reported by name. */
    atomic_u64 allocations __attribute__((aligned(CACHE_LINE)));       /* alloc.c */
    atomic_u64 bufs;              /* bufs in anybody's hands: code, op, task, queue */
    atomic_u64 views;             /* frozen segments */
    atomic_u64 wraps;             /* foreign memory that is not yet released */
    atomic_u64 regions;
    atomic_u64 tasks;             /* submitted and not yet done */
    atomic_u64 handles;           /* open and not yet closed */
    atomic_u64 users;             /* loops, pools, arenas that were opened from it and are not closed */
    atomic_u64 fds;               /* descriptors of the library and of its handles */
    atomic_u64 threads;
    atomic_u64 copied_bytes;      /* payload bytes that the library copied: copybreak, flatten */
    atomic_u64 ends;              /* of channels */
    atomic_u64 senders;
    atomic_u64 topic_opens;       /* how often topics were opened and not yet closed */
    atomic_u64 boxes;             /* queues of channels: without an end or a sender one lives as long as a message that was kept */
    atomic_u64 news;              /* posts to topics that wait or were retained */
    atomic_u64 dropped;           /* messages that nobody received, since open */

    atomic_u64 worker_ids;        /* the last one that was given */

    /* any thread: the unique numbers of mounts whose file systems need no server, 0: none yet; io/mount.c */
    atomic_u64 local_mounts[MOUNTS_KNOWN];
    atomic_u32 local_mounts_next;

    /* workers that live, and arenas of those that have ended; worker/ */
    pthread_mutex_t workers_lock;
    struct list workers;
    struct job_arena *spare_arenas;

    /* topics by name; message/topic.c */
    pthread_mutex_t topics_lock;
    struct list topics;

    /* open handles of signals; io/signal.c */
    pthread_mutex_t signals_lock;
    struct list signals;

    /* children that outlive their handles; io/orphan.c */
    pthread_mutex_t orphans_lock;
    struct list orphans;

    pthread_mutex_t travel;       /* held while an end goes into a message or comes out; message/message.c */
};

/* After fork the child has none of the threads and shares the rings: whatever would touch them says -EPERM. A load, so that fast
 * paths can ask as well: getpid() is a system call. */
static inline bool root_is_forked(const struct root *root)
{
    return root->guard && load_relaxed(root->guard) == 0;   /* written once, before the runtime was known to anybody */
}

void root_wake_watchdog(struct root *root);

/* A thread that has slept has just said in its line that it runs (R1 to R4 in loop/watchdog.c). */
static inline void root_runs(struct root *root)
{
    if (load_relaxed(&root->watch) == WATCH_OFF)   /* one that opens now looks at all threads first */
        return;
    fence_seq_cst();                               /* R2; pairs with store_seq_cst in sleep_until_somebody_runs */
    if (load_relaxed(&root->watch) == WATCH_ASLEEP)
        root_wake_watchdog(root);
}

/* Lets the watchdog's signal through, for a thread that it may ask for its stack. */
void root_let_watchdog_ask(const struct root *root);

#endif
