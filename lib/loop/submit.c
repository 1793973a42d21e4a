/* submit.c — where task and handle meet: submit for a handle, the end on its loop, waiting for room, cancel at close.
 *
 * A handle's tasks are counted and listed on the loop's own thread, so neither needs an atomic; therefore only that thread submits for
 * it. The way of a task: job_submit() puts it on the handle's list and into the loop's lane of that pool; a pool thread runs it and posts
 * its mail to the loop; deliver_done() takes it off the list, calls `done`, and only then lets the handle go. So `closed`, which waits for
 * the count, comes after the last `done`.
 *
 * Who wakes the pool's threads for what is in a lane: a wake-up costs microseconds, a small task a hundredth of that, so the loop does not
 * wake a second thread while a first one will soon have taken all. It *watches* the lane instead, and lane->is_watched tells the threads:
 *   W1 at each submit: is_watched = 1; wake one if all threads sleep (a plain load; may miss one that is just going to sleep)
 *   W2 when the loop has read its clock or ends a turn, WATCH_NS after the last look at the soonest: if what is in the lane will not be
 *      taken within WAKE_WORTH_NS, by what was taken since that look, wake one, unless a thread is searching already
 *   W3 before the loop sleeps or stops: is_watched = 0; fence; if tasks are in the lane, wake one
 *   a thread that found work (F2 and K3 in queue/park.c) and sees more in a lane: X1 is_watched == 0: wake the next one   X2 is_watched:
 *      only if, by its own last tasks, all will take it longer than WAKE_WORTH_NS
 * Why no task is left while threads sleep: as long as the loop is awake it comes to W2 or W3. After W3, which has a fence, either a sleeper
 * is woken or all threads are awake; each of those looks at every lane before it sleeps (queue/park.c), and whoever found work wakes the
 * next one by X1. The narrowest moment is X2, which saw is_watched and leaves the rest to a loop that is about to sleep: its look comes
 * after the read-modify-write by which the thread became busy (F1, K3), and before the store of W3; so the fence of W3 comes after F1,
 * and W3 sees who still sleeps.
 * That a long task stands behind short ones, X2 cannot know; the next look of W2 finds it, or W3 does not leave it to X2.
 * Rejected: waking at each submit, as for other queues (docs/decisions/002); a look every 16 callbacks, which took the line of `top` from
 * the threads every microsecond and woke a second thread thousands of times in a million small tasks (docs/decisions/005).
 * Accepted: in a callback that submits many long tasks and then goes on for long itself, only the first wakes a thread at once, and that
 * thread the next, if its own last tasks were long as well.
 *
 * A loop has a record for each pool that it submits to. The record keeps the pool's memory, so a pool may be closed, by any thread, while
 * the loop still holds its lane.
 */
#include "loop/submit.h"

#include <errno.h>

#include "base/alloc.h"
#include "loop/handle.h"
#include "sched/pool.h"
#include "sched/task.h"

struct loop_lane {
    struct list node;            /* in loop->lanes */
    struct job_loop *loop;
    struct job_pool *pool;
    struct lane *lane;
    struct list waiting;         /* tasks that were refused and want to know of room; first come, first called */
    bool is_asked;               /* the lane will post its mail */
    bool is_watched;             /* tasks went in, and at the last look not all were taken */
    uint64_t taken_before;       /* what lane_taken() was at the last look */
};

static struct list *task_node(struct job_task *task)
{
    return (struct list *)task->job_list;
}

static struct job_task *task_at(struct list *node)
{
    return (struct job_task *)((char *)node - offsetof(struct job_task, job_list));
}

static void room_arrived(struct job_mail *mail);

static void lane_forget(struct loop_lane *record)
{
    assert(list_is_empty(&record->waiting));
    list_remove(&record->node);
    pool_lane_close(record->pool, record->lane);
    alloc_free(record->loop->root, record);
}

static struct loop_lane *lane_new(struct job_loop *loop, struct job_pool *pool)
{
    struct loop_lane *record = alloc_zeroed(loop->root, sizeof *record);
    if (!record)
        return NULL;
    record->lane = pool_lane_open(pool, &loop->mailbox);
    if (!record->lane) {
        alloc_free(loop->root, record);
        return NULL;
    }
    record->loop = loop;
    record->pool = pool;
    record->lane->owner = record;
    stats_part_thread(loop->root->stats, record->lane->part, loop->line);
    record->lane->room_mail.job_deliver = room_arrived;
    list_init(&record->node);
    list_init(&record->waiting);
    list_push_front(&loop->lanes, &record->node);
    return record;
}

static bool is_closed(const struct loop_lane *record)
{
    return load_acquire(&record->pool->is_closed) != 0;   /* pairs with store_release in job_pool_close */
}

/* Records of pools that are closed go when nobody waits on them. */
static void forget_closed(struct job_loop *loop)
{
    list_each_safe(node, &loop->lanes) {
        struct loop_lane *record = container_of(node, struct loop_lane, node);
        if (is_closed(record) && !record->is_asked && list_is_empty(&record->waiting))
            lane_forget(record);
    }
}

static struct loop_lane *lane_of(struct job_loop *loop, struct job_pool *pool)
{
    list_each(node, &loop->lanes) {
        struct loop_lane *record = container_of(node, struct loop_lane, node);
        if (record->pool == pool)
            return record;
    }
    forget_closed(loop);
    return lane_new(loop, pool);
}

void lanes_close(struct job_loop *loop)
{
    while (!list_is_empty(&loop->lanes))
        lane_forget(container_of(loop->lanes.next, struct loop_lane, node));
}

/* Those of a handle: by the loop, once a turn. */
static void count_alone(struct root *root, int64_t n)
{
    (void)fetch_add_relaxed(&root->tasks, (uint64_t)n);   /* ledger: orders nothing */
}

static void deliver_done(struct job_mail *mail)
{
    struct job_task *task = container_of(mail, struct job_task, job_mail);
    struct job_handle *handle = task->job_handle;
    struct job_loop *loop = handle->job_loop;
    list_remove(task_node(task));
    assert(loop->tasks_out > 0);
    loop->tasks_out--;
    loop->tasks_uncounted--;
    line_count(loop->line, COUNTER_TASKS_DONE, 1);
    /* The user's function, not task_deliver(): it is what may block the loop. */
    loop_callback_begins(loop, (uint64_t)(uintptr_t)task->job_done, "task", task);
    task_deliver(task);
    loop_callback_ended(loop);
    handle_release(handle);
}

/* Without a handle: on the pool thread. */
static void deliver_here(struct job_mail *mail)
{
    struct job_task *task = container_of(mail, struct job_task, job_mail);
    struct job_pool *pool = task->job_pool;
    struct self *me = self();
    if (me->pool_place && me->line)   /* else it runs inside a callback, which is what is shown */
        store_relaxed(&me->line->running, (uint64_t)(uintptr_t)task->job_done);   /* figures for people: no order */
    count_alone(pool->root, -1);
    task_deliver(task);
}

static void watch(struct loop_lane *record)
{
    struct job_loop *loop = record->loop;
    if (!loop->has_watched_lanes)
        loop->watched_ns = loop->now_ns;
    loop->has_watched_lanes = true;
    record->is_watched = true;
    if (!load_relaxed(&record->lane->is_watched))        /* only this thread writes it */
        store_release(&record->lane->is_watched, 1);     /* W1; pairs with load_seq_cst in lane_has_more; too late: a wake too many */
}

static void tell_pool(struct loop_lane *record)
{
    if (!record)
        return;   /* inline: it has run */
    if (!record->loop->is_running) {
        store_relaxed(&record->lane->is_watched, 0);   /* as W3: no turn follows in which we could look again */
        pool_wake(record->pool);
        return;
    }
    pool_hint(record->pool);
    if (!record->is_watched)
        watch(record);
}

/* W2 */
static void look_at_lane(struct loop_lane *record, uint64_t elapsed_ns)
{
    uint64_t taken = lane_taken(record->lane);
    uint64_t moved = taken - record->taken_before;
    uint64_t left = lane_count(record->lane);
    record->taken_before = taken;
    record->is_watched = left > 0;
    if (left > 0 && (moved == 0 || left * elapsed_ns / moved > WAKE_WORTH_NS))
        pool_notify(record->pool);
}

void loop_watch_lanes(struct job_loop *loop)
{
    uint64_t elapsed_ns = loop->now_ns - loop->watched_ns;
    if (!loop->has_watched_lanes || elapsed_ns < WATCH_NS)
        return;
    loop->has_watched_lanes = false;
    loop->watched_ns = loop->now_ns;
    list_each(node, &loop->lanes) {
        struct loop_lane *record = container_of(node, struct loop_lane, node);
        if (record->is_watched)
            look_at_lane(record, elapsed_ns);
        loop->has_watched_lanes = loop->has_watched_lanes || record->is_watched;
    }
}

void loop_leave_lanes(struct job_loop *loop)
{
    if (!loop->has_watched_lanes)
        return;
    loop->has_watched_lanes = false;
    list_each(node, &loop->lanes) {
        struct loop_lane *record = container_of(node, struct loop_lane, node);
        if (!record->is_watched)
            continue;
        record->is_watched = false;
        store_relaxed(&record->lane->is_watched, 0);   /* W3; ordered by the fence in park_wake() */
        if (lane_is_empty(record->lane))
            continue;
        JOB_MARK(lane_woken_by_its_loop);
        pool_wake(record->pool);
    }
}

static int submit_alone(struct job_pool *pool, struct job_task *task)
{
    if (!task_submit(task))
        return -EBUSY;
    task->job_handle = NULL;
    task->job_home = NULL;
    task->job_pool = pool;
    task->job_mail.job_deliver = deliver_here;
    task->job_queued_ns = 0;
    count_alone(pool->root, 1);
    int err = pool_submit(pool, NULL, task);   /* the inbox is never full, but a blocking pool may have no thread */
    if (err < 0) {
        count_alone(pool->root, -1);
        task_submit_undo(task);
    }
    return err;
}

static int submit_for_handle(struct job_pool *pool, struct job_task *task, struct job_handle *handle)
{
    struct job_loop *loop = handle->job_loop;
    struct loop_lane *record = pool->thread_count > 0 ? lane_of(loop, pool) : NULL;
    if (pool->thread_count > 0 && !record)
        return -ENOMEM;
    bool *leaving = task->job_leaving;
    if (!task_submit(task))
        return -EBUSY;
    task->job_handle = handle;
    task->job_home = &loop->mailbox;
    task->job_pool = pool;
    task->job_mail.job_deliver = deliver_done;
    task->job_queued_ns = loop->now_ns;
    list_push_back((struct list *)handle->job_tasks, task_node(task));   /* before a pool thread can end it */
    loop->tasks_out++;
    loop->tasks_uncounted++;
    handle_hold(handle);
    int err = pool_submit(pool, record ? record->lane : NULL, task);
    if (err == 0) {
        line_count(loop->line, COUNTER_SUBMITTED, 1);
        tell_pool(record);
        return 0;
    }
    list_remove(task_node(task));
    loop->tasks_out--;
    loop->tasks_uncounted--;
    handle_release(handle);
    line_count(loop->line, COUNTER_REFUSED, 1);
    task_submit_undo(task);
    task->job_home = record;   /* job_task_when_writable() waits there */
    task->job_leaving = leaving;
    if (leaving)
        *leaving = true;
    return err;
}

/* Flattened: what a small task passes through has more callers than this one, and calls to them cost up to a sixth of it. */
__attribute__((flatten)) int job_submit(struct job_pool *pool, struct job_task *task, struct job_handle *handle)
{
    if (!pool || !task || task_state(task) == TASK_NEW)
        return -EINVAL;
    if (root_is_forked(pool->root))
        return -EPERM;
    if (task_state(task) != TASK_IDLE || !list_is_empty(task_node(task)))
        return -EBUSY;
    int err = handle ? handle_check(handle) : 0;
    if (err < 0)
        return err;
    if (pool_is_stopping(pool))
        return -ECANCELED;
    return handle ? submit_for_handle(pool, task, handle) : submit_alone(pool, task);
}

int loop_submit_last(struct job_pool *pool, struct job_task *task, struct job_handle *handle, bool may_wait)
{
    assert(handle_state(handle) == HANDLE_CLOSING);
    assert(!pool_is_stopping(pool));   /* the runtime's own, which nobody stops while a handle lives */
    bool would_wait = pool->blocking && !may_wait && blocking_is_full(pool);
    return would_wait ? -EAGAIN : submit_for_handle(pool, task, handle);
}

static void ask_for_room(struct loop_lane *record);

/* The record stays while callbacks run, although they may submit to another pool: it is still asked (forget_closed()). */
static void call_waiting(struct loop_lane *record)
{
    struct lane *lane = record->lane;
    unsigned room = lane->capacity - lane_count(lane);
    struct list *node;
    while (room-- > 0 && !is_closed(record) && (node = list_pop_front(&record->waiting))) {
        struct job_task *task = task_at(node);
        LOOP_CALL(record->loop, task->job_writable, (task));
    }
}

static void room_arrived(struct job_mail *mail)
{
    struct loop_lane *record = container_of(mail, struct lane, room_mail)->owner;
    call_waiting(record);
    record->is_asked = false;
    ask_for_room(record);
}

static void ask_for_room(struct loop_lane *record)
{
    if (record->is_asked || list_is_empty(&record->waiting) || is_closed(record))
        return;   /* a closed pool has no room ever: its waits end with their handles */
    record->is_asked = true;
    if (lane_want_room(record->lane))   /* there is room already: told by the loop itself, not inside the user's call */
        loop_defer_mail(record->loop, &record->lane->room_mail);
}

/* The record that refused a task, unless it has gone with its pool since. */
static struct loop_lane *find_record(struct job_loop *loop, const void *refused_by, const struct job_pool *pool)
{
    list_each(node, &loop->lanes) {
        struct loop_lane *record = container_of(node, struct loop_lane, node);
        if (record == refused_by && record->pool == pool)
            return record;
    }
    return NULL;
}

int job_task_when_writable(struct job_task *task, void (*writable)(struct job_task *task))
{
    if (!task || !writable || task_state(task) != TASK_IDLE || !task->job_handle || !task->job_home)
        return -EINVAL;
    struct job_loop *loop = task->job_handle->job_loop;
    if (loop_check_thread(loop) < 0)
        return -EPERM;
    if (!list_is_empty(task_node(task)))
        return -EALREADY;
    if (!handle_is_open(task->job_handle))
        return -ECANCELED;
    struct loop_lane *record = find_record(loop, task->job_home, task->job_pool);
    if (!record)
        return task->job_home == &loop->mailbox ? -EINVAL : -ECANCELED;   /* its last submit succeeded; or the pool is closed */
    if (is_closed(record))
        return -ECANCELED;
    task_keep(task);
    task->job_writable = writable;
    list_push_back(&record->waiting, task_node(task));
    ask_for_room(record);
    return 0;
}

int job_task_cancel(struct job_task *task)
{
    return task ? task_cancel(task) : -EINVAL;
}

static void cancel_waits(struct job_handle *handle)
{
    struct job_loop *loop = handle->job_loop;
    list_each(at, &loop->lanes) {
        struct loop_lane *record = container_of(at, struct loop_lane, node);
        list_each_safe(node, &record->waiting) {
            if (task_at(node)->job_handle != handle)
                continue;
            list_remove(node);
            task_drop(task_at(node));   /* nobody is called for it any more */
        }
    }
}

bool handle_cancel_queued(struct job_handle *handle)
{
    struct list *tasks = (struct list *)handle->job_tasks;
    list_each(node, tasks)
        (void)task_cancel(task_at(node));   /* those that run go on; all come back through deliver_done() */
    return !list_is_empty(tasks);
}

void handle_cancel_tasks(struct job_handle *handle)
{
    (void)handle_cancel_queued(handle);
    cancel_waits(handle);
}
