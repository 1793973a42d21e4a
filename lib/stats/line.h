/* line.h — what one thread tells the outside: what it does or waits for, since when, and its counters.
 *
 * One writer, any reader, also from another process (jobctl maps the segment read-only). A counter is a plain add and
 * store.
 */
#ifndef JOB_STATS_LINE_H
#define JOB_STATS_LINE_H

#include "base/atomic.h"
#include "base/root.h"

/* Why a thread sleeps. Append only: the numbers are part of the segment's layout. Whatever sleeps in this library says
 * why. */
enum job_wait {
    JOB_WAIT_NONE,        /* it runs */
    JOB_WAIT_KERNEL,      /* a loop, for completions */
    JOB_WAIT_NO_WORK,     /* a pool thread, parked */
    JOB_WAIT_CPU_BUDGET,  /* a pool thread, so that the cgroup's quota is not used up */
    JOB_WAIT_THREAD_END,  /* a closing pool, for its threads */
    JOB_WAIT_COMMIT,      /* the helper, for a request to commit memory */
    JOB_WAIT_MESSAGE,     /* a thread without a loop, for a message */
    JOB_WAIT_REGION,      /* a thread without a loop, for a cell of a region */
    JOB_WAIT_NOT_RUN,     /* a loop that no thread runs */
    JOB_WAIT_DRAIN,       /* a loop that closes, for what is in flight */
    JOB_WAIT_COUNT,
};

enum line_kind { LINE_FREE, LINE_LOOP, LINE_POOL_THREAD, LINE_HELPER, LINE_KINDS };

/* Counters of one thread. Append only. */
enum counter {
    COUNTER_TURNS, COUNTER_COMPLETIONS, COUNTER_MAILS, COUNTER_TIMERS, COUNTER_WAITS, COUNTER_WOKEN,
    COUNTER_STALE, COUNTER_STARVED, COUNTER_OVERFLOWS, COUNTER_COPIED_BYTES, COUNTER_RECEIVED_BYTES, COUNTER_SENT_BYTES,
    COUNTER_ACCEPTED, COUNTER_SUBMITTED, COUNTER_REFUSED, COUNTER_TASKS_DONE,
    COUNTER_TASKS_RUN, COUNTER_TASKS_CANCELLED, COUNTER_STOLEN, COUNTER_PARKED,
    COUNTER_LONGEST_CALLBACK_NS,
    COUNTER_TASKS_SHED,
    COUNTER_IDLE_NS, COUNTER_COUNT,
};

/* The layout is fixed by segment.h; 64-byte aligned. */
struct stats_line {
    /* written once by claim, published by kind */
    atomic_u32 kind;              /* enum line_kind; LINE_FREE: nobody's */
    atomic_u32 tid;               /* of the claiming thread, or of who runs the loop since */
    char name[32];
    uint64_t started_ns;
    /* the thread itself */
    atomic_u32 wait;              /* enum job_wait */
    atomic_u32 generation;        /* one more for each claim: see record.c */
    atomic_u64 since_ns;          /* of the wait, or of the callback or task that runs */
    atomic_u64 running;           /* address of the function that runs now, 0 between */
    atomic_u64 counters[COUNTER_COUNT];
    /* for the watchdog of this process; no part of the layout */
    const char *object_kind;      /* atomic, as the next: of what `running` is called with */
    const void *object;
} __attribute__((aligned(64)));

/* A line of the segment for the calling thread; when there is no segment, or it is full, a private line that nobody
 * sees: never NULL unless memory is short. Set it in self()->line by the caller. */
struct stats_line *line_claim(struct root *root, enum line_kind kind, const char *name);
void line_release(struct root *root, struct stats_line *line);

static inline void line_count(struct stats_line *line, enum counter counter, uint64_t n)
{
    counter_add(&line->counters[counter], n);
}

/* now_ns may be the last known time: since_ns is for seconds, not for ns. */
static inline void line_wait(struct stats_line *line, enum job_wait why, uint64_t now_ns)
{
    store_relaxed(&line->since_ns, now_ns);   /* no order: a reader takes each word as it is */
    store_relaxed(&line->wait, why);
}

/* It has slept, and runs again. */
static inline void line_wake(struct root *root, struct stats_line *line, uint64_t now_ns)
{
    line_wait(line, JOB_WAIT_NONE, now_ns);
    root_runs(root);
}

static inline void line_run(struct stats_line *line, uint64_t function, uint64_t now_ns)
{
    store_relaxed(&line->since_ns, now_ns);   /* no order, as in line_wait() */
    store_relaxed(&line->running, function);
}

/* What the function that runs next is called with: compared, never followed. */
static inline void line_object(struct stats_line *line, const char *kind, const void *object)
{
    store_relaxed(&line->object_kind, kind);   /* no order, as in line_wait() */
    store_relaxed(&line->object, object);
}

#endif
