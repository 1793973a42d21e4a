/* blocking.c — a pool for calls that block: a thread each, first come first served, up to a limit.
 *
 * Tasks come in as in any pool, by a loop's lane or by the inbox. What differs is who runs them: there is always one thread more than there
 * are calls, so a submitter only ever wakes a thread; to start one, which costs tens of microseconds, is the business of the thread that is
 * about to block. The very first is started by the first submit; the last one stays until the pool closes.
 *
 * States of a thread: started ──▶ free (looks, sleeps) ◀──▶ busy (runs a task); a free one that has slept for idle_timeout_ns ──▶ gone.
 *   a submitter:  B1 queue the task   B2 fence   B3 if somebody is idle: raise `wakes`, wake one
 *   a thread:     T1 take a task; else read `wakes`, be counted as idle, and look again   T2 sleep while `wakes` is what it was
 *                 T3 with a task: take itself off `free`; if that was the last one and the limit is not reached: start another
 *                 T4 run the task, be free again, T1
 *                 T5 after a sleep that timed out: under the lock, if another one is free (an exchange from n > 1 to n - 1), go
 * Why no task waits beside room: a task that is queued is seen by every thread that is free, since each looks once more after it was
 * counted as idle (with B1 to B3 that is an event count, as in queue/park.c); and below the limit one is free or being started at any
 * time, because whoever takes the number of free ones to 0, by T3, starts one, and T5 never does. The narrowest moment: one leaves while
 * another takes a task. Both change one word, so either T3 finds 0 and waits for the lock until the leaver is no longer counted, or
 * the leaver finds itself the last free one and stays.
 * Rejected: starting threads in job_submit() (a loop would pay for each, docs/decisions/010); a queue with a lock that submitters take (a
 * loop would wait for a thread that was preempted). Accepted: one thread more than needed; a cancelled task keeps its place in
 * the queue until a thread takes it, and with the limit reached that may be long.
 */
#include "sched/blocking.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/self.h"
#include "base/sys.h"
#include "base/thread.h"
#include "memory/arena.h"
#include "memory/cache.h"
#include "sched/pool.h"
#include "stats/line.h"

struct blocking_thread {
    struct list node;             /* blocking->threads, under the lock */
    struct job_pool *pool;
    pthread_t thread;
    struct stats_line *line;
    struct stats_part *part;
    bool is_gone;                 /* under the lock: it only has to be joined */
};

static void no_wake(struct mailbox *mailbox)
{
    (void)mailbox;   /* threads are woken by blocking_wake() */
}

int blocking_open(struct job_pool *pool, unsigned limit, uint64_t idle_timeout_ns)
{
    struct blocking *blocking = alloc_lines(pool->root, sizeof *blocking);
    if (!blocking)
        return -ENOMEM;
    blocking->limit = limit;
    blocking->idle_timeout_ns = idle_timeout_ns;
    list_init(&blocking->threads);
    (void)pthread_mutex_init(&blocking->lock, NULL);
    (void)pthread_mutex_init(&blocking->queue_lock, NULL);
    mailbox_init(&pool->inbox, no_wake);
    pool->blocking = blocking;
    return 0;
}

void blocking_free(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    if (!blocking)
        return;
    assert(list_is_empty(&blocking->threads) && !blocking->chain);
    (void)pthread_mutex_destroy(&blocking->queue_lock);
    (void)pthread_mutex_destroy(&blocking->lock);
    alloc_free(pool->root, blocking);
    pool->blocking = NULL;
}

static struct job_task *take_from_inbox(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    struct job_mail *last;
    (void)pthread_mutex_lock(&blocking->queue_lock);
    if (!blocking->chain)
        blocking->chain = mailbox_take(&pool->inbox, &last);
    struct job_mail *mail = blocking->chain;
    if (mail)
        blocking->chain = mail->job_next;
    (void)pthread_mutex_unlock(&blocking->queue_lock);
    return mail ? container_of(mail, struct job_task, job_mail) : NULL;
}

/* The oldest task of one submitter; submitters take turns. */
static struct job_task *take(struct job_pool *pool)
{
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane: the lane is visible first */
    unsigned turn = fetch_add_relaxed(&pool->blocking->turn, 1);   /* any order is fair */
    for (unsigned i = 0; i <= count; i++) {
        unsigned place = (turn + i) % (count + 1);
        struct job_task *task = place < count ? lane_pop(pool->lanes[place]) : take_from_inbox(pool);
        if (task)
            return task;
    }
    return NULL;
}

static void *blocking_main(void *arg);

/* Under the lock. */
static int start_thread(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    struct root *root = pool->root;
    struct blocking_thread *thread = alloc_zeroed(root, sizeof *thread);
    if (!thread)
        return -ENOMEM;
    char name[32];
    (void)snprintf(name, sizeof name, "%.9s/%u", pool->name, blocking->started);
    thread->pool = pool;
    list_init(&thread->node);
    thread->line = line_claim(root, LINE_POOL_THREAD, name);
    thread->part = stats_part_claim(root, STATS_PART_THREAD, pool->shown, thread->line);
    int err = thread->line && thread->part ? 0 : -ENOMEM;
    (void)fetch_add_relaxed(&blocking->free, 1);   /* before it runs: it takes itself off */
    if (err == 0)
        err = pool_spawn(pool, &thread->thread, blocking_main, thread);
    if (err < 0) {
        (void)fetch_sub_relaxed(&blocking->free, 1);
        stats_part_release(root, pool->shown, thread->part);
        line_release(root, thread->line);
        alloc_free(root, thread);
        return err;
    }
    blocking->started++;
    list_push_back(&blocking->threads, &thread->node);
    store_release(&blocking->thread_count, load_relaxed(&blocking->thread_count) + 1);   /* pairs with load_acquire in blocking_begin */
    return 0;
}

int blocking_begin(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    if (load_acquire(&blocking->thread_count) > 0)   /* pairs with store_release in start_thread; the last one stays */
        return 0;
    (void)pthread_mutex_lock(&blocking->lock);
    int err = load_relaxed(&blocking->thread_count) > 0 ? 0 : start_thread(pool);   /* under the lock */
    (void)pthread_mutex_unlock(&blocking->lock);
    return err;
}

bool blocking_is_full(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    if (load_relaxed(&blocking->thread_count) < blocking->limit)   /* an estimate, as all of this: orders nothing */
        return false;
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    uint64_t queued = mailbox_is_empty(&pool->inbox) ? 0 : 1;
    for (unsigned i = 0; i < count; i++)
        queued += lane_count(pool->lanes[i]);
    return load_relaxed(&blocking->free) <= queued;     /* as above */
}

/* Those that have gone: they are about to end, or have. Under the lock, by a thread of the pool. */
static void join_gone(struct blocking *blocking, struct root *root)
{
    list_each_safe(node, &blocking->threads) {
        struct blocking_thread *thread = container_of(node, struct blocking_thread, node);
        if (!thread->is_gone)
            continue;
        (void)pthread_join(thread->thread, NULL);
        list_remove(node);
        alloc_free(root, thread);
    }
}

/* T3: the thread is about to block, and nobody is free for what comes next. */
static void start_another(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    (void)pthread_mutex_lock(&blocking->lock);
    join_gone(blocking, pool->root);
    bool has_room = load_relaxed(&blocking->thread_count) < blocking->limit;   /* under the lock */
    int err = 0;
    bool is_ending = load_acquire(&pool->is_ending) != 0;   /* pairs with store_seq_cst in pool_threads_join */
    if (has_room && load_relaxed(&blocking->free) == 0 && !is_ending)   /* who makes it more than 0 looks by itself */
        err = start_thread(pool);
    if (err < 0)
        log_write(&pool->root->log, JOB_LOG_WARNING, "pool %s: no thread for a call that may block: %s; it waits for others", pool->name,
                  job_strerror(err));
    (void)pthread_mutex_unlock(&blocking->lock);
}

/* T5. */
static bool may_go(struct blocking_thread *thread)
{
    struct blocking *blocking = thread->pool->blocking;
    (void)pthread_mutex_lock(&blocking->lock);
    uint32_t free = load_relaxed(&blocking->free);   /* the exchange decides */
    while (free > 1 && !cas_acq_rel(&blocking->free, &free, free - 1)) {   /* pairs with fetch_sub_acq_rel in next_task */
    }
    thread->is_gone = free > 1;
    if (thread->is_gone)
        store_release(&blocking->thread_count, load_relaxed(&blocking->thread_count) - 1);   /* pairs with load_acquire in blocking_begin */
    (void)pthread_mutex_unlock(&blocking->lock);
    return thread->is_gone;
}

/* Looks, sleeps, and is woken or times out; *task is what it found. False: it has slept for nothing. */
static bool sleep_or_take(struct blocking_thread *thread, struct job_task **task)
{
    struct job_pool *pool = thread->pool;
    struct blocking *blocking = pool->blocking;
    uint32_t wakes = load_seq_cst(&blocking->wakes);   /* pairs with fetch_add_seq_cst in blocking_wake: read before we are idle */
    (void)fetch_add_seq_cst(&blocking->idle, 1);       /* pairs with fence_seq_cst in blocking_wake: counted before the last look */
    int rc = 0;
    *task = take(pool);
    if (!*task && !load_acquire(&pool->is_ending)) {   /* pairs with store_seq_cst in pool_threads_join */
        (void)fetch_add_relaxed(&blocking->parked, 1);   /* a count */
        line_wait(thread->line, JOB_WAIT_NO_WORK, pool->root->now_ns());
        rc = sys_futex_wait(&blocking->wakes, wakes, blocking->idle_timeout_ns);
        line_wake(pool->root, thread->line, pool->root->now_ns());
    }
    (void)fetch_sub_relaxed(&blocking->idle, 1);   /* who still sees it wakes one too many: no harm */
    return rc != -ETIMEDOUT;
}

/* NULL: the thread ends. */
static struct job_task *next_task(struct blocking_thread *thread)
{
    struct job_pool *pool = thread->pool;
    for (;;) {
        struct job_task *task = take(pool);
        if (!task && load_acquire(&pool->is_ending))   /* pairs with store_seq_cst in pool_threads_join */
            return NULL;
        if (!task && !sleep_or_take(thread, &task) && may_go(thread)) {
            JOB_MARK(blocking_thread_goes);
            return NULL;
        }
        if (!task)
            continue;
        if (fetch_sub_acq_rel(&pool->blocking->free, 1) == 1)   /* pairs with cas_acq_rel in may_go */
            start_another(pool);
        return task;
    }
}

static void *blocking_main(void *arg)
{
    struct blocking_thread *thread = arg;
    struct job_pool *pool = thread->pool;
    struct root *root = pool->root;
    struct stats_line *line = thread->line;
    store_relaxed(&line->tid, (uint32_t)sys_gettid());   /* a figure for people */
    self()->pool_place = pool->places;   /* one stands for all: which pool this is */
    self()->root = root;
    self()->line = line;
    pool_thread_set_up(pool, line->name);
    bool has_cache = cache_attach(root->arena) == 0;   /* without one it works, more slowly */
    struct job_task *task;
    while ((task = next_task(thread))) {
        uint64_t now = root->now_ns();
        stats_part_begin(thread->part, task->job_queued_ns, now);
        line_run(line, (uint64_t)(uintptr_t)task->job_run, now);
        pool_run_task(pool, NULL, task);
        store_relaxed(&line->running, 0);   /* figures for people: no order */
        line_count(line, COUNTER_TASKS_RUN, 1);
        (void)fetch_add_relaxed(&pool->blocking->free, 1);   /* the look that follows orders itself */
    }
    if (has_cache)
        cache_detach(root->arena);
    stats_part_release(root, pool->shown, thread->part);
    line_release(root, line);
    *self() = (struct self){0};
    thread_ends(root);
    return NULL;
}

void blocking_post(struct job_pool *pool, struct job_mail *mail)
{
    (void)mailbox_post(&pool->inbox, mail);
    blocking_wake(pool);
}

void blocking_wake(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    fence_seq_cst();   /* pairs with fetch_add_seq_cst in sleep_or_take: the task is queued before we look for idlers */
    if (load_relaxed(&blocking->idle) == 0)   /* behind the fence */
        return;
    (void)fetch_add_seq_cst(&blocking->wakes, 1);   /* pairs with load_seq_cst in sleep_or_take */
    (void)fetch_add_relaxed(&blocking->woken, 1);   /* a count */
    (void)sys_futex_wake(&blocking->wakes, 1);
}

void blocking_wake_all(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    (void)fetch_add_seq_cst(&blocking->wakes, 1);   /* pairs with load_seq_cst in sleep_or_take */
    (void)sys_futex_wake(&blocking->wakes, (unsigned)-1);
}

void blocking_join(struct job_pool *pool)
{
    struct blocking *blocking = pool->blocking;
    for (;;) {
        (void)pthread_mutex_lock(&blocking->lock);
        struct list *node = list_pop_front(&blocking->threads);
        (void)pthread_mutex_unlock(&blocking->lock);
        if (!node)
            break;
        struct blocking_thread *thread = container_of(node, struct blocking_thread, node);
        (void)pthread_join(thread->thread, NULL);
        alloc_free(pool->root, thread);
    }
}
