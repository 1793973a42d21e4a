/* pool.h — a pool's shared state, its threads, and how tasks come in. */
#ifndef JOB_SCHED_POOL_H
#define JOB_SCHED_POOL_H

#include <pthread.h>

#include "base/root.h"
#include "job/pool.h"
#include "queue/deque.h"
#include "queue/lane.h"
#include "queue/park.h"
#include "sched/blocking.h"
#include "sched/budget.h"
#include "sched/carrier.h"
#include "sched/shed.h"
#include "sched/task.h"
#include "stats/segment.h"

/* What makes a thread one of a pool's workers: a place, which it may lend to another one (carrier.c). */
struct pool_place {
    /* fixed after open */
    struct job_pool *pool;
    unsigned index;
    /* who lends it, and who takes it */
    atomic_u32 state;            /* enum place_state */
    /* the thread that holds it; thieves steal from the deque */
    struct stats_line *line;     /* the thread's, as the next */
    struct stats_part *part;
    unsigned tick;               /* tasks since it last looked at the lanes first */
    unsigned next_victim;
    uint64_t spin_ns;            /* adaptive: how long searching has paid lately */
    uint64_t now_ns;             /* what the clock said last */
    unsigned untimed;            /* tasks since then */
    unsigned together;           /* how many share a reading now */
    uint64_t mean_ns;            /* what those before the last reading took each */
    unsigned gap;                /* pauses between two looks: more while the loops are behind anyway */
    unsigned posted_count;
    const void *posted[MAILS_AHEAD];   /* addresses of the last mails that it posted; never followed */
    atomic_u64 run, cancelled, shed, stolen, parked;   /* single writer */
    struct deque deque;
    void *deque_slots[DEQUE_LENGTH];
} __attribute__((aligned(CACHE_LINE)));

struct job_pool {
    /* fixed after open */
    struct root *root;
    char name[16];
    int nice;
    unsigned lane_capacity;
    unsigned thread_count;       /* 0: inline; 1 in a blocking pool */
    struct blocking *blocking;   /* its threads; NULL: a pool that computes */
    bool may_spin;
    unsigned cpus;               /* that loops and pool threads share */
    uint64_t *affinity;
    size_t affinity_words;
    struct pool_place *places;   /* the places, and one that stands for all threads without */
    struct budget budget;
    struct carriers carriers;    /* its threads, but a blocking one's */
    struct stats_pool *shown;    /* what jobctl sees; counts what was submitted without a lane */

    /* any thread */
    struct shed shed;
    struct park park;
    struct mailbox inbox;        /* tasks from threads that have no lane, and what a deque could not hold */
    struct job_mail *leftover;   /* atomic; a part of the inbox that was taken, oldest first; steal.c */
    struct lane *lanes[POOL_LANES_MAX];   /* atomic; filled from the front, never removed */
    atomic_u32 lane_count;
    atomic_u32 is_stopping;      /* tasks are cancelled instead of run */
    atomic_u32 is_ending;        /* threads end when nothing is queued */
    atomic_u32 is_closed;        /* the threads are gone and nothing is queued any more */
    atomic_u32 references;       /* whoever opened it, and each loop that has a lane: the last one frees the memory */
    atomic_u32 inline_active;    /* tasks submitted and not ended; inline.c */
    pthread_mutex_t lock;        /* opening lanes */
    /* any thread, and written often: not beside what the threads read */
    atomic_u64 refused __attribute__((aligned(CACHE_LINE)));
    atomic_u64 inline_run, inline_cancelled;   /* by threads without a record: submitters, a blocking pool's, who closes it */
};

/* What a thread that has lent its place is. Nobody holds it: it only says which pool this is. */
static inline struct pool_place *pool_outside(struct job_pool *pool)
{
    return &pool->places[pool->thread_count];
}

bool pool_is_stopping(const struct job_pool *pool);

/* A lane for a loop, its own until pool_lane_close(): one that another loop has left, or a new one. It keeps the pool's memory, also
 * after job_pool_close(). NULL: no memory, or POOL_LANES_MAX. */
struct lane *pool_lane_open(struct job_pool *pool, struct mailbox *home);

/* The loop goes, or is done with the pool. It must not wait for room. */
void pool_lane_close(struct job_pool *pool, struct lane *lane);

/* Queues a task whose end is posted to `home` by its job_mail, or, without a lane, told on the pool thread. The caller has done
 * task_submit(). 0; -EAGAIN: the lane is full; -ENOMEM: a blocking pool has no thread and the system refuses one. What went into a
 * lane is followed by pool_hint() or one of its kind. */
int pool_submit(struct job_pool *pool, struct lane *lane, struct job_task *task);

/* What a loop owes its lane: see loop/submit.c. Closing the pool meanwhile is no harm: it takes everything. */
void pool_hint(struct job_pool *pool);
void pool_notify(struct job_pool *pool);
void pool_wake(struct job_pool *pool);

/* Runs or cancels a task that was taken from a queue, and delivers its end. */
void pool_run_task(struct job_pool *pool, struct pool_place *place, struct job_task *task);

/* steal.c: the next task for a thread, by its own deque, the lanes, the inbox and the others' deques; NULL: none was seen. */
struct job_task *find_own(struct pool_place *place);
struct job_task *find_shared(struct pool_place *place);
struct job_task *find_stolen(struct pool_place *place);
struct job_mail *pool_take_inbox(struct job_pool *pool, struct job_mail **last);   /* oldest first; *last may stay NULL */
bool pool_has_work(struct job_pool *pool);
bool pool_has_more(struct job_pool *pool, uint64_t mean_ns);   /* worth another thread, when a task takes mean_ns: loop/submit.c */

/* inline.c: runs a task here, or when the one that runs on this thread has ended. */
void inline_submit(struct job_pool *pool, struct job_task *task);
bool inline_is_inside(const struct job_pool *pool);   /* does a task of it run on this thread, or wait to? */
void inline_wait(struct job_pool *pool);              /* until no thread runs one */

/* pool_thread.c */
int pool_threads_start(struct job_pool *pool);
void pool_threads_join(struct job_pool *pool);

/* A thread of the pool: all signals blocked, with its affinity, counted. 0 or a negative errno. */
int pool_spawn(struct job_pool *pool, pthread_t *thread, void *(*function)(void *arg), void *arg);

/* Its first steps: name, nice, time slice. */
void pool_thread_set_up(struct job_pool *pool, const char *name);

#endif
