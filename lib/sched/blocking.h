/* blocking.h — the threads of a blocking pool: as many as calls that block, up to a limit. */
#ifndef JOB_SCHED_BLOCKING_H
#define JOB_SCHED_BLOCKING_H

#include <pthread.h>

#include "base/atomic.h"
#include "base/list.h"

struct job_mail;
struct job_pool;

struct blocking {
    /* fixed after open */
    unsigned limit;
    uint64_t idle_timeout_ns;
    /* any thread */
    atomic_u32 idle __attribute__((aligned(64)));   /* threads that sleep, or look a last time before */
    atomic_u32 wakes;                               /* the futex: one more for each waker that found an idler */
    atomic_u32 thread_count;                        /* written under the lock */
    atomic_u64 woken;                               /* counts */
    /* the pool's threads */
    atomic_u32 free __attribute__((aligned(64)));   /* those that run no task: they start, look, or sleep */
    atomic_u32 turn;                                /* which lane is looked at first */
    atomic_u64 parked;
    pthread_mutex_t queue_lock;                     /* the chain; never taken by a submitter */
    struct job_mail *chain;                         /* taken from the inbox, oldest first */
    /* under the lock; a submitter takes it once, for the first thread */
    pthread_mutex_t lock;
    struct list threads;                            /* those that were started and not joined */
    unsigned started;                               /* a number for each, for its name */
};

/* 0, or -ENOMEM. No thread is started. */
int blocking_open(struct job_pool *pool, unsigned limit, uint64_t idle_timeout_ns);
void blocking_free(struct job_pool *pool);

/* There is a thread from here on. 0; -EAGAIN, -ENOMEM: the system has none. Any thread, before a task is queued. */
int blocking_begin(struct job_pool *pool);

/* Would a task that is queued now wait for calls that block? No thread is free for it, by what is queued already, and no more may be
 * started. An estimate: a thread that takes a task is free still for some instructions. Any thread. */
bool blocking_is_full(struct job_pool *pool);

/* A task without a lane. */
void blocking_post(struct job_pool *pool, struct job_mail *mail);

/* After a task has been queued. */
void blocking_wake(struct job_pool *pool);
void blocking_wake_all(struct job_pool *pool);

/* After is_ending was set: until all threads have ended. */
void blocking_join(struct job_pool *pool);

#endif
