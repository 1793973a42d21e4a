/* carrier.c — a task that blocks lends its thread's place to another thread, so that as many compute as before.
 *
 * What makes a thread one of a pool's workers is its *place*: the deque, the part in the park, the counts (struct pool_place). There are
 * as many places as workers, always, and only who holds one looks for tasks. A *carrier* is a thread. job_blocking_enter() offers the
 * place to a carrier that has none; job_blocking_leave() takes it back if nobody has it yet; else the task goes on without, and its
 * thread waits for a place when the task has ended.
 *
 * States of a place: HELD ──lend──▶ OFFERED ──whoever exchanges it──▶ HELD.
 *   who lends:    L1 the place is no longer ours; OFFERED   L2 under the lock: a spare off the list, or a new thread; it is told the place
 *                 L3 none of both: exchange OFFERED for HELD; done: ours again, and refused; not done: somebody was faster, all the same
 *                 L4 wake it, still under the lock
 *   who leaves:   B1 exchange OFFERED for HELD: ours again, or somebody has it
 *   a spare:      S1 under the lock: onto the list, unless the pool ends   S2 sleep until called   S3 exchange; not done: S1
 *                 S4 a sleep that timed out: under the lock, still on the list: off it, and gone
 * Why no place is lost: OFFERED is followed by a call (L4), or by the exchange of L3, or of B1; each caller's thread exchanges after it was
 * called, and to leave the list by time-out (S4) and by a call (L2) is done under one lock. An exchange has one winner, so nobody shares a
 * place. The narrowest moment: one leaves while its spare wakes up, enters again, and offers the place anew: the first spare may win
 * the exchange that was meant for the second, which then finds HELD and waits again: a place is as good for the one as for the other.
 * What is in the place is written before OFFERED (release) and read after the exchange (acquire).
 * Rejected: a thread more whenever a task says that it blocks, without places (the width would grow with each that leaves); waiting in
 * leave until a place is free (the task may hold what others wait for). Accepted: those who have left compute beside the others until their
 * task ends, and count as threads meanwhile, so a limit may refuse earlier; short calls wake a thread for nothing.
 */
#include "sched/carrier.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/self.h"
#include "base/sys.h"
#include "sched/pool.h"
#include "stats/line.h"

void carriers_init(struct carriers *carriers, unsigned limit)
{
    carriers->limit = limit;
    (void)pthread_mutex_init(&carriers->lock, NULL);
    list_init(&carriers->all);
    list_init(&carriers->spares);
}

void carriers_fini(struct carriers *carriers)
{
    assert(list_is_empty(&carriers->all));
    (void)pthread_mutex_destroy(&carriers->lock);
}

static bool is_ending(struct job_pool *pool)
{
    return load_acquire(&pool->is_ending) != 0;   /* pairs with store_seq_cst in pool_threads_join */
}

static void carrier_free(struct job_pool *pool, struct carrier *carrier)
{
    (void)pthread_join(carrier->thread, NULL);
    alloc_free(pool->root, carrier);
}

/* Under the lock, by a thread of the pool. */
static void join_gone(struct job_pool *pool)
{
    list_each_safe(node, &pool->carriers.all) {
        struct carrier *carrier = container_of(node, struct carrier, node);
        if (!carrier->is_gone)
            continue;
        list_remove(node);
        carrier_free(pool, carrier);
    }
}

/* Under the lock. With a place of its own, or with one that is offered to it. */
static int start(struct job_pool *pool, struct pool_place *place, struct pool_place *offer)
{
    struct carriers *carriers = &pool->carriers;
    char name[32];
    struct carrier *carrier = alloc_zeroed(pool->root, sizeof *carrier);
    if (!carrier)
        return -ENOMEM;
    (void)snprintf(name, sizeof name, "%.9s/%u", pool->name, carriers->started);
    *carrier = (struct carrier){.pool = pool, .place = place, .offer = offer};
    store_relaxed(&carrier->is_called, offer != NULL);   /* before the thread exists */
    list_init(&carrier->node);
    list_init(&carrier->spare);
    carrier->line = line_claim(pool->root, LINE_POOL_THREAD, name);
    carrier->part = stats_part_claim(pool->root, STATS_PART_THREAD, pool->shown, carrier->line);
    int err = carrier->line && carrier->part ? pool_spawn(pool, &carrier->thread, carrier_main, carrier) : -ENOMEM;
    if (err < 0) {
        stats_part_release(pool->root, pool->shown, carrier->part);
        line_release(pool->root, carrier->line);
        alloc_free(pool->root, carrier);
        return err;
    }
    list_push_back(&carriers->all, &carrier->node);
    carriers->count++;
    carriers->started++;
    return 0;
}

int carrier_start(struct job_pool *pool, struct pool_place *place)
{
    (void)pthread_mutex_lock(&pool->carriers.lock);
    int err = start(pool, place, NULL);
    (void)pthread_mutex_unlock(&pool->carriers.lock);
    return err;
}

/* Under the lock: off the list, and told. */
static void call(struct carrier *carrier, struct pool_place *offer)
{
    list_remove(&carrier->spare);
    carrier->offer = offer;
    store_release(&carrier->is_called, 1);   /* pairs with load_acquire in sleep_until_called */
    (void)sys_futex_wake(&carrier->is_called, 1);
}

void carriers_join(struct job_pool *pool)
{
    struct carriers *carriers = &pool->carriers;
    struct list *node;
    (void)pthread_mutex_lock(&carriers->lock);
    while (!list_is_empty(&carriers->spares))
        call(container_of(carriers->spares.next, struct carrier, spare), NULL);
    while ((node = list_pop_front(&carriers->all))) {
        (void)pthread_mutex_unlock(&carriers->lock);   /* whoever is still in a task may yet start another */
        carrier_free(pool, container_of(node, struct carrier, node));
        (void)pthread_mutex_lock(&carriers->lock);
    }
    (void)pthread_mutex_unlock(&carriers->lock);
}

static bool take(struct pool_place *place)
{
    uint32_t state = PLACE_OFFERED;
    return cas_acq_rel(&place->state, &state, PLACE_HELD);   /* pairs with store_release in lend */
}

static void hold(struct carrier *carrier, struct pool_place *place)
{
    carrier->place = place;
    place->line = carrier->line;
    place->part = carrier->part;
    place->now_ns = carrier->pool->root->now_ns();   /* not what its last holder has seen */
    place->untimed = 0;
    self()->pool_place = place;
}

/* S2, S4. False: it ends. */
static bool sleep_until_called(struct carrier *carrier)
{
    struct job_pool *pool = carrier->pool;
    bool has_gone = false;
    line_wait(carrier->line, JOB_WAIT_NO_WORK, pool->root->now_ns());
    while (!has_gone && !load_acquire(&carrier->is_called)) {   /* pairs with store_release in call */
        if (sys_futex_wait(&carrier->is_called, 0, BLOCKING_IDLE_NS) != -ETIMEDOUT)
            continue;
        (void)pthread_mutex_lock(&pool->carriers.lock);
        has_gone = carrier->is_gone = !list_is_empty(&carrier->spare);   /* else it is being called */
        list_remove(&carrier->spare);
        pool->carriers.count -= has_gone;
        if (has_gone)
            JOB_MARK(carrier_goes);
        (void)pthread_mutex_unlock(&pool->carriers.lock);
    }
    store_relaxed(&carrier->is_called, 0);   /* nobody calls one that is not on the list */
    line_wake(pool->root, carrier->line, pool->root->now_ns());
    return !has_gone;
}

struct pool_place *carrier_wait(struct carrier *carrier)
{
    struct job_pool *pool = carrier->pool;
    bool is_new = load_relaxed(&carrier->is_called) != 0;   /* started for an offer: this thread's own now */
    for (;;) {
        (void)pthread_mutex_lock(&pool->carriers.lock);
        bool has_ended = !is_new && is_ending(pool);
        if (!has_ended && !is_new)   /* S1 */
            list_push_back(&pool->carriers.spares, &carrier->spare);
        (void)pthread_mutex_unlock(&pool->carriers.lock);
        if (has_ended || !sleep_until_called(carrier))
            return NULL;
        is_new = false;
        if (carrier->offer && take(carrier->offer)) {   /* S3 */
            JOB_MARK(carrier_takes_place);
            hold(carrier, carrier->offer);
            return carrier->place;
        }
        JOB_MARK(carrier_called_for_nothing);
    }
}

struct pool_place *carrier_begin(struct carrier *carrier)
{
    if (!carrier->place)
        return carrier_wait(carrier);
    hold(carrier, carrier->place);
    return carrier->place;
}

/* L2, L4. */
static int call_another(struct job_pool *pool, struct pool_place *place)
{
    struct carriers *carriers = &pool->carriers;
    int err = 0;
    (void)pthread_mutex_lock(&carriers->lock);
    if (!list_is_empty(&carriers->spares)) {
        call(container_of(carriers->spares.next, struct carrier, spare), place);
    } else if (carriers->count >= pool->thread_count + carriers->limit || is_ending(pool)) {
        err = -EAGAIN;
    } else {
        join_gone(pool);
        err = start(pool, NULL, place);
    }
    (void)pthread_mutex_unlock(&carriers->lock);
    return err;
}

static int lend(struct carrier *carrier)
{
    struct job_pool *pool = carrier->pool;
    struct pool_place *place = carrier->place;
    carrier->place = NULL;
    carrier->lent = place;
    self()->pool_place = pool_outside(pool);
    store_release(&place->state, PLACE_OFFERED);   /* L1; pairs with cas_acq_rel in take */
    int err = call_another(pool, place);
    if (err < 0 && take(place)) {                  /* L3 */
        hold(carrier, place);
        return -EAGAIN;
    }
    return 0;
}

static void take_back(struct carrier *carrier)
{
    if (take(carrier->lent))   /* B1 */
        hold(carrier, carrier->lent);
    else
        JOB_MARK(carrier_leaves_without_place);
}

/* One that was refused has kept its place. */
static void leave_to(struct carrier *carrier, unsigned depth)
{
    bool is_out = carrier->depth > 0 && depth == 0;
    carrier->depth = depth;
    if (is_out && !carrier->place)
        take_back(carrier);
}

void carrier_settle(struct carrier *carrier)
{
    leave_to(carrier, 0);
}

unsigned carrier_nest(struct carrier *carrier)
{
    unsigned outer = carrier->floor;
    carrier->floor = carrier->depth;
    return outer;
}

void carrier_unnest(struct carrier *carrier, unsigned outer)
{
    leave_to(carrier, carrier->floor);
    carrier->floor = outer;
}

int job_blocking_enter(void)
{
    struct self *me = self();
    struct carrier *carrier = me->carrier;
    if (!me->task)
        return -EPERM;
    if (!carrier)
        return 0;   /* an inline pool has no other thread, a blocking one has always another */
    if (carrier->depth == 0 && carrier->place) {
        int err = lend(carrier);
        if (err < 0)
            return err;
    }
    carrier->depth++;
    return 0;
}

int job_blocking_leave(void)
{
    struct self *me = self();
    struct carrier *carrier = me->carrier;
    if (!me->task)
        return -EPERM;
    if (!carrier)
        return 0;
    if (carrier->depth == carrier->floor)
        return -EINVAL;
    leave_to(carrier, carrier->depth - 1);
    return 0;
}
