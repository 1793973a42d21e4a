/* pool.c — opening and closing a pool, lanes, and the way of a task through it.
 *
 * A task comes in by its loop's lane, or by the deque of the pool thread that submits it, or by the inbox. Its end goes by mail to the loop
 * (job_home), or is told on the pool thread when there is none. Stopping turns every task that has not begun into a cancelled one; the
 * threads stay until close, so whoever was submitting at that moment loses nothing.
 */
#include "sched/pool.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/bits.h"
#include "base/container.h"
#include "base/self.h"
#include "base/sys.h"
#include "memory/arena.h"
#include "stats/line.h"

bool pool_is_stopping(const struct job_pool *pool)
{
    return load_acquire(&pool->is_stopping) != 0;   /* pairs with store_seq_cst in request_stop */
}

/* The loop takes its mails as a chain, newest first; each tells it the address of one that comes some links later. */
static void note_ahead(struct pool_place *place, struct job_mail *mail)
{
    unsigned at = place->posted_count++ % MAILS_AHEAD;
    mail->job_ahead = place->posted[at];
    place->posted[at] = mail;
}

/* What comes from outside waits from now on; what a task forks belongs to work that has begun. */
static void note_queued(struct job_pool *pool, struct lane *lane, struct job_task *task)
{
    if (!shed_is_on(&pool->shed))
        return;   /* the loop's own time suffices */
    struct pool_place *place = self()->pool_place;
    bool is_forked = !lane && place && place->pool == pool;
    task->job_queued_ns = is_forked ? 0 : pool->root->now_ns();
}

static bool is_too_late(struct pool_place *place, const struct job_task *task)
{
    struct job_pool *pool = place->pool;
    if (!shed_is_on(&pool->shed) || task->job_queued_ns == 0)
        return false;
    return shed_is_too_late(&pool->shed, task->job_queued_ns, pool->root->now_ns());
}

static void count_end(struct job_pool *pool, struct pool_place *place, int status, bool is_run)
{
    if (!place)
        (void)fetch_add_relaxed(is_run ? &pool->inline_run : &pool->inline_cancelled, 1);   /* a count: orders nothing */
    else if (is_run)
        counter_add(&place->run, 1);
    else if (status != -ETIME) {
        counter_add(&place->cancelled, 1);
        line_count(place->line, COUNTER_TASKS_CANCELLED, 1);
    } else {
        counter_add(&place->shed, 1);
        counter_add(&place->part->shed, 1);
        line_count(place->line, COUNTER_TASKS_SHED, 1);
    }
}

/* A task that is cancelled, or whose pool stops, waits no more. */
static unsigned stops_of_task(struct sys_stop *stops)
{
    const struct job_task *task = self()->task;
    if (!task)
        return 0;
    stops[0] = (struct sys_stop){.word = &task->job_state, .runs = TASK_RUNNING};
    stops[1] = (struct sys_stop){.word = &task->job_pool->is_stopping, .runs = 0};
    return 2;
}

void pool_run_task(struct job_pool *pool, struct pool_place *place, struct job_task *task)
{
    int status = 0;
    annotate_take(task);
    bool is_run = task_begin(task) == TASK_OWES_RUN && !pool_is_stopping(pool);
    if (is_run && place && is_too_late(place, task)) {
        is_run = false;
        status = -ETIME;
    } else if (is_run) {
        struct self *me = self();
        struct job_task *outer = me->task;
        me->task = task;
        me->stops = stops_of_task;
        task->job_run(task);
        me->task = outer;
        place = me->pool_place == place ? place : NULL;   /* it may have lent its place */
    } else {
        status = -ECANCELED;
    }
    count_end(pool, place, status, is_run);
    struct mailbox *home = task->job_home;
    task_end(task, status);
    if (home) {
        if (place)
            note_ahead(place, &task->job_mail);
        bool is_behind = mailbox_post(home, &task->job_mail);   /* the loop owns it from here on */
        if (place)
            place->gap = is_behind ? (unsigned)min_size(place->gap * 2, SEARCH_GAP_MAX) : 1;
    } else
        task->job_mail.job_deliver(&task->job_mail);
}

/* What no lane carries: to the deque of the pool thread that submits it, or to the inbox. */
static void submit_without_lane(struct job_pool *pool, struct job_task *task)
{
    struct pool_place *place = self()->pool_place;
    (void)fetch_add_relaxed(&pool->shown->submitted, 1);   /* a count: orders nothing */
    if (pool->blocking) {
        blocking_post(pool, &task->job_mail);
        return;
    }
    bool has_deque = place && place->pool == pool && place != pool_outside(pool);
    if (!has_deque || !deque_push(&place->deque, task))
        (void)mailbox_post(&pool->inbox, &task->job_mail);
    park_notify(&pool->park);
}

int pool_submit(struct job_pool *pool, struct lane *lane, struct job_task *task)
{
    int err = pool->blocking ? blocking_begin(pool) : 0;
    if (err < 0)
        return -ENOMEM;
    note_queued(pool, lane, task);
    annotate_give(task);
    if (pool->thread_count == 0) {
        inline_submit(pool, task);
    } else if (!lane) {
        submit_without_lane(pool, task);
    } else if (!lane_push(lane, task)) {
        (void)fetch_add_relaxed(&pool->refused, 1);   /* a count: orders nothing */
        counter_add(&lane->part->refused, 1);
        return -EAGAIN;
    } else {
        counter_add(&lane->part->submitted, 1);
    }
    return 0;
}

/* Each call that blocks wants a thread of its own: there is no second kind of wake-up. */
void pool_hint(struct job_pool *pool)
{
    pool->blocking ? blocking_wake(pool) : park_hint(&pool->park);
}

void pool_notify(struct job_pool *pool)
{
    pool->blocking ? blocking_wake(pool) : park_notify(&pool->park);
}

void pool_wake(struct job_pool *pool)
{
    pool->blocking ? blocking_wake(pool) : park_wake(&pool->park);
}

static struct lane *reuse_lane(struct job_pool *pool)
{
    unsigned count = load_relaxed(&pool->lane_count);   /* under the lock */
    for (unsigned i = 0; i < count; i++) {
        uint32_t use = LANE_FREE;
        if (cas_acq_rel(&pool->lanes[i]->use, &use, LANE_USED))   /* pairs with store_release in pool_lane_close */
            return pool->lanes[i];
    }
    return NULL;
}

static struct lane *add_lane(struct job_pool *pool)
{
    unsigned count = load_relaxed(&pool->lane_count);   /* under the lock */
    struct lane *lane = count < POOL_LANES_MAX ? lane_open(pool->root, pool->lane_capacity) : NULL;
    if (!lane)
        return NULL;
    lane->part = stats_part_claim(pool->root, STATS_PART_LOOP, pool->shown, NULL);   /* who it is, the loop says */
    if (!lane->part) {
        lane_free(pool->root, lane);
        return NULL;
    }
    store_relaxed(&lane->use, LANE_USED);               /* published with the count */
    pool->lanes[count] = lane;
    store_release(&pool->lane_count, count + 1);        /* pairs with load_acquire in find_in_lanes and pool_has_work */
    return lane;
}

struct lane *pool_lane_open(struct job_pool *pool, struct mailbox *home)
{
    (void)pthread_mutex_lock(&pool->lock);
    struct lane *lane = reuse_lane(pool);
    if (!lane)
        lane = add_lane(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    if (!lane)
        return NULL;
    (void)fetch_add_relaxed(&pool->references, 1);   /* whoever opened the pool holds one: not zero */
    lane->home = home;
    return lane;
}

static void pool_release(struct job_pool *pool);

void pool_lane_close(struct job_pool *pool, struct lane *lane)
{
    assert(load_relaxed(&lane->is_room_wanted) == 0);   /* the caller has no request open: nobody touches `home` any more */
    store_release(&lane->use, LANE_FREE);   /* pairs with cas_acq_rel in reuse_lane */
    pool_release(pool);
}

static int check_options(const struct job_pool_options *options)
{
    bool is_inline = options->workers == JOB_POOL_INLINE;
    if (options->idle_timeout_ns > 0 && !options->blocking)
        return -EINVAL;
    if ((!is_inline && options->workers > POOL_WORKERS_MAX) || options->blocked_limit > POOL_WORKERS_MAX)
        return -EINVAL;
    if (options->queue_limit > LANE_LENGTH_MAX || options->nice < -20 || options->nice > 19)
        return -EINVAL;
    if ((options->affinity == NULL) != (options->affinity_words == 0))
        return -EINVAL;
    bool has_cpu = options->affinity == NULL;
    for (size_t i = 0; i < options->affinity_words; i++)
        has_cpu = has_cpu || options->affinity[i] != 0;
    return has_cpu ? 0 : -EINVAL;
}

static void no_wake(struct mailbox *mailbox)
{
    (void)mailbox;   /* pool threads are woken by the park, not by the inbox */
}

/* As many as whole CPUs that its threads may use. */
static unsigned workers_default(const struct job_pool_options *options, size_t most)
{
    size_t cpus = 0;
    for (size_t i = 0; i < options->affinity_words; i++)
        cpus += (unsigned)__builtin_popcountll(options->affinity[i]);
    cpus = cpus ? min_size(cpus, most) : most;
    return (unsigned)min_size(cpus, POOL_WORKERS_MAX);
}

static int pool_init(struct job_pool *pool, struct root *root, const struct job_pool_options *options)
{
    pool->root = root;
    pool->references = 1;
    pool->nice = options->nice;
    bool is_inline = options->workers == JOB_POOL_INLINE;
    bool is_blocking = options->blocking && !is_inline;
    struct container_quota quota = {0};
    uint32_t quota_cpus = load_relaxed(&root->quota_cpus);   /* a hint for loops: orders nothing */
    if (!is_blocking || quota_cpus == 0) {   /* a blocking pool keeps no budget: it reads for the runtime, whose first pool it is */
        quota = container_quota();
        quota_cpus = container_quota_cpus(quota);
        store_relaxed(&root->quota_cpus, quota_cpus);        /* as above */
    }
    pool->cpus = (unsigned)min_size(quota_cpus, container_affinity_cpus());
    unsigned queue_limit = options->queue_limit ? options->queue_limit : LANE_LENGTH_DEFAULT;
    pool->lane_capacity = (unsigned)power_of_two_at_least(queue_limit);
    unsigned workers = options->workers ? options->workers : workers_default(options, pool->cpus);
    pool->thread_count = is_inline ? 0 : is_blocking ? 1 : workers;   /* of a blocking one a record that stands for all threads */
    pool->may_spin = !options->no_spin && feature_is_on(&root->features, FEATURE_SPIN) && container_affinity_cpus() > 1;
    (void)snprintf(pool->name, sizeof pool->name, "%s", options->name ? options->name : "pool");
    shed_init(&pool->shed, options->shed_target_ns, options->shed_interval_ns);
    budget_init(&pool->budget, quota, pool->thread_count, root->now_ns());
    park_init(&pool->park, pool->thread_count);
    mailbox_init(&pool->inbox, no_wake);
    carriers_init(&pool->carriers, options->blocked_limit ? options->blocked_limit : BLOCKING_THREADS_DEFAULT);
    unsigned threads_max = is_blocking && options->workers == 0 ? BLOCKING_THREADS_DEFAULT : workers;
    pool->shown = stats_pool_claim(root, pool->name, pool->lane_capacity, is_inline ? 0 : threads_max,
                                   options->shed_target_ns);
    if (!pool->shown)
        return -ENOMEM;
    if (pool->thread_count == 0)
        return 0;
    pool->places = alloc_lines(root, (pool->thread_count + 1) * sizeof *pool->places);
    if (!pool->places)
        return -ENOMEM;
    pool->places[0].pool = pool_outside(pool)->pool = pool;
    if (options->affinity_words > 0) {
        pool->affinity = alloc_zeroed(root, options->affinity_words * sizeof *pool->affinity);
        if (!pool->affinity)
            return -ENOMEM;
        memcpy(pool->affinity, options->affinity, options->affinity_words * sizeof *pool->affinity);
        pool->affinity_words = options->affinity_words;
    }
    if (!is_blocking)
        return 0;
    return blocking_open(pool, options->workers ? options->workers : BLOCKING_THREADS_DEFAULT,
                         options->idle_timeout_ns ? options->idle_timeout_ns : BLOCKING_IDLE_NS);
}

/* Each thread can fill one buf while receive rings have all the rest: a slot as large as those that it is given to read. */
static size_t outputs_bytes(const struct job_pool *pool)
{
    return pool->blocking ? 0 : pool->thread_count * (size_t)RECEIVE_SLOT_BYTES_DEFAULT;
}

static void pool_free(struct job_pool *pool)
{
    struct root *root = pool->root;
    unsigned count = load_relaxed(&pool->lane_count);   /* nobody else has the pool */
    for (unsigned i = 0; i < count; i++) {
        stats_part_release(root, pool->shown, pool->lanes[i]->part);
        lane_free(root, pool->lanes[i]);
    }
    stats_pool_release(root, pool->shown);
    blocking_free(pool);
    carriers_fini(&pool->carriers);
    alloc_free(root, pool->affinity);
    alloc_free(root, pool->places);
    alloc_free(root, pool);
}

static void pool_release(struct job_pool *pool)
{
    annotate_give(pool);
    if (fetch_sub_acq_rel(&pool->references, 1) > 1)   /* pairs with itself: the last one sees the others' accesses ended */
        return;
    annotate_take(pool);
    (void)pthread_mutex_destroy(&pool->lock);
    pool_free(pool);
}

int job_pool_open(struct job_runtime *runtime, struct job_pool **out, const struct job_pool_options *options)
{
    static const struct job_pool_options defaults = {0};
    if (!runtime || !out)
        return -EINVAL;
    options = options ? options : &defaults;
    int err = check_options(options);
    if (err < 0)
        return err;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    struct job_pool *pool = alloc_lines(root, sizeof *pool);
    if (!pool)
        return -ENOMEM;
    err = pool_init(pool, root, options);
    if (err < 0)
        goto free_pool;
    err = arena_hold_outputs(root->arena, outputs_bytes(pool));
    if (err < 0)
        goto free_pool;
    (void)pthread_mutex_init(&pool->lock, NULL);
    err = pool_threads_start(pool);
    if (err < 0)
        goto unhold_outputs;
    (void)fetch_add_relaxed(&root->users, 1);   /* ledger: orders nothing */
    *out = pool;
    return 0;
unhold_outputs:
    (void)pthread_mutex_destroy(&pool->lock);
    arena_unhold_outputs(root->arena, outputs_bytes(pool));
free_pool:
    pool_free(pool);
    return err;
}

static void request_stop(struct job_pool *pool)
{
    store_seq_cst(&pool->is_stopping, 1);   /* pairs with load_acquire in pool_is_stopping */
    (void)sys_futex_wake(&pool->is_stopping, UINT_MAX);   /* keep_budget() waits on that word, and tasks that wait do */
    pool->blocking ? blocking_wake_all(pool) : park_notify_all(&pool->park);
}

void job_pool_stop(struct job_pool *pool)
{
    if (!pool || root_is_forked(pool->root) || pool == pool->root->calls)   /* without that one no file is opened any more */
        return;
    request_stop(pool);
}

/* What was submitted while the threads were ending. This thread stands in for one of them meanwhile: a `done` that is told here may as
 * little close the pool. */
static void cancel_rest(struct job_pool *pool)
{
    struct pool_place *before = self()->pool_place;
    self()->pool_place = pool->places;
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    struct job_task *task;
    for (unsigned i = 0; i < count; i++) {
        while ((task = lane_pop(pool->lanes[i])))
            pool_run_task(pool, NULL, task);
    }
    struct job_mail *mail;
    while ((mail = pool_take_inbox(pool, &(struct job_mail *){NULL}))) {
        for (struct job_mail *next; mail; mail = next) {
            next = mail->job_next;
            pool_run_task(pool, NULL, container_of(mail, struct job_task, job_mail));
        }
    }
    self()->pool_place = before;
}

int job_pool_close(struct job_pool **pointer)
{
    if (!pointer)
        return -EINVAL;
    struct job_pool *pool = *pointer;
    if (!pool)
        return 0;
    if (root_is_forked(pool->root))
        return -EPERM;
    if (pool == pool->root->calls && pointer != &pool->root->calls)
        return -EINVAL;
    struct pool_place *place = self()->pool_place;
    if ((place && place->pool == pool) || inline_is_inside(pool))
        return -EDEADLK;
    request_stop(pool);
    inline_wait(pool);
    pool_threads_join(pool);
    cancel_rest(pool);
    arena_unhold_outputs(pool->root->arena, outputs_bytes(pool));
    stats_pool_close(pool->shown);
    store_release(&pool->is_closed, 1);   /* pairs with load_acquire in is_closed (loop/submit.c) */
    (void)fetch_sub_relaxed(&pool->root->users, 1);   /* ledger */
    *pointer = NULL;
    pool_release(pool);
    return 0;
}

unsigned job_pool_workers(const struct job_pool *pool)
{
    if (!pool)
        return 0;
    return pool->blocking ? load_relaxed(&pool->blocking->thread_count) : pool->thread_count;   /* a snapshot */
}

void job_pool_stats(const struct job_pool *pool, struct job_pool_stats *stats)
{
    if (!pool || !stats)
        return;
    /* A snapshot: each word for itself. */
    *stats = (struct job_pool_stats){
        .submitted = load_relaxed(&pool->shown->submitted),
        .run = load_relaxed(&pool->inline_run),
        .cancelled = load_relaxed(&pool->inline_cancelled),
        .refused = load_relaxed(&pool->refused),
        .woken = load_relaxed(&pool->park.woken),
        .workers = job_pool_workers(pool),
    };
    if (pool->blocking) {
        stats->woken = load_relaxed(&pool->blocking->woken);
        stats->parked = load_relaxed(&pool->blocking->parked);
    }
    unsigned lanes = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    for (unsigned i = 0; i < lanes; i++)
        stats->submitted += lane_pushed(pool->lanes[i]);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        const struct pool_place *place = &pool->places[i];
        stats->run += load_relaxed(&place->run);
        stats->cancelled += load_relaxed(&place->cancelled);
        stats->shed += load_relaxed(&place->shed);
        stats->stolen += load_relaxed(&place->stolen);
        stats->parked += load_relaxed(&place->parked);
    }
}
