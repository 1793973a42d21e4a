/* task.c — the life of a task, and what it owns.
 *
 * Cancel against begin: both are compare-and-swaps on the state word from QUEUED, so exactly one wins; a queue cannot be searched for the
 * task, so a cancelled one stays in it and whoever takes it out ends it without running it. Cancel against end: a cancel that comes later
 * than the task function's last look changes nothing. A task that waits in the library (for a cell, for a message) sleeps at the state word
 * as well as at what it waits for, so a cancel wakes it there; the kernel compares both words before it sleeps.
 *
 * What is left in a task when `done` returns goes back, unless the task is not ours to look at any more: `done` may have submitted it anew
 * (then another thread may have it, or have freed it by now), made it wait for room, or ended it by job_task_fini(). Each of these says so
 * through job_leaving, which points to a word on the deliverer's stack while `done` runs. job_task_init() in `done` makes another task of
 * the memory; it may not believe what that holds, so it finds the word by the thread. Deliveries nest: `done` may submit to an inline pool.
 *
 * The buf in it is the task's while it waits, and code's while the task function or `done` runs (memory/owner.h).
 */
#include "sched/task.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/self.h"
#include "base/sys.h"
#include "memory/owner.h"
#include "sched/pool.h"

_Static_assert(sizeof(((struct job_task *)0)->job_regions) / sizeof(struct job_region *) == TASK_REGIONS_MAX, "room for all");

struct delivery {
    const struct job_task *task;   /* only ever compared */
    bool is_left;                  /* what the task owns goes back when its `done` returns */
    struct delivery *outer;
};

/* Old memory may look like a task that is queued. It is believed when it says where it is as well, which no task does once it is idle; and
 * not in a child that was forked meanwhile, where the pool is the parent's. */
#ifdef JOB_CHECKED
static void set_busy(struct job_task *task, bool is_busy)
{
    task->job_self = is_busy ? task : NULL;
}

static void check_not_busy(const struct job_task *task)
{
    const struct job_pool *pool = task->job_pool;
    if (task->job_self != task || task_state(task) < TASK_QUEUED || !pool || root_is_forked(pool->root))
        return;
    const char *state = task_state(task) <= TASK_CANCELLED ? "queued" : "running";
    assert_failed_text("task %p is %s, made another one by code in job_task_init()", (const void *)task, state);
}
#else
#define set_busy(task, is_busy) ((void)0)
#define check_not_busy(task) ((void)0)
#endif

/* Its memory becomes a new task: if `done` of the former one runs here, nothing of the new one goes back. */
static void forget_former(const struct job_task *task)
{
    for (struct delivery *delivery = self()->delivery; delivery; delivery = delivery->outer) {
        if (delivery->task == task)
            delivery->is_left = false;
    }
}

void task_keep(struct job_task *task)
{
    if (!task->job_leaving)
        return;
    *task->job_leaving = false;
    task->job_leaving = NULL;
}

bool task_submit(struct job_task *task)
{
    if (task_state(task) != TASK_IDLE)
        return false;
    task_keep(task);
    task->job_status = 0;
    owner_pass(task->buf, BUF_CODE, BUF_TASK);
    set_busy(task, true);
    store_relaxed(&task->job_state, TASK_QUEUED);   /* published by the queue that it goes into */
    return true;
}

void task_submit_undo(struct job_task *task)
{
    assert(task_state(task) == TASK_QUEUED);
    set_busy(task, false);
    store_relaxed(&task->job_state, TASK_IDLE);     /* nobody else knows the task */
    owner_pass(task->buf, BUF_TASK, BUF_CODE);
}

enum task_owed task_begin(struct job_task *task)
{
    /* An exchange, half the price of a compare-and-swap here: a cancelled task looks as if it ran until its end, which only turns the
     * answer of a second cancel from "was cancelled" into "runs"; both are -EALREADY. */
    uint32_t before = exchange_acquire(&task->job_state, TASK_RUNNING);   /* pairs with cas_acq_rel in task_cancel: one of the two wins */
    owner_pass(task->buf, BUF_TASK, BUF_CODE);
    if (before == TASK_QUEUED)
        return TASK_OWES_RUN;
    assert(before == TASK_CANCELLED);
    JOB_MARK(task_cancelled_in_queue);
    return TASK_OWES_NO_RUN;
}

void task_end(struct job_task *task, int status)
{
    if (status != 0)
        task->job_status = status;
    owner_pass(task->buf, BUF_CODE, BUF_TASK);
    store_release(&task->job_state, TASK_ENDED);   /* pairs with cas_acq_rel in task_cancel; the mail that follows publishes the rest */
}

int task_cancel(struct job_task *task)
{
    uint32_t state = TASK_QUEUED;
    if (cas_acq_rel(&task->job_state, &state, TASK_CANCELLED))   /* pairs with exchange_acquire in task_begin */
        return 0;
    atomic_u32 *word = &task->job_state;
    if (state == TASK_RUNNING && cas_acq_rel(word, &state, TASK_RUNNING_CANCELLED)) {   /* pairs with store_release in task_end */
        JOB_MARK(task_cancelled_while_running);
        (void)sys_futex_wake(word, 1);   /* by its address alone: it may have ended by now */
    }
    return state == TASK_IDLE || state == TASK_NEW ? -ENOENT : -EALREADY;
}

bool job_task_is_cancelled(const struct job_task *task)
{
    return task && (task_state(task) == TASK_RUNNING_CANCELLED || (task->job_pool && pool_is_stopping(task->job_pool)));
}

int job_task_init(struct job_task *task, struct job_pool *pool, job_task_run_fn *run, job_task_done_fn *done)
{
    if (!task || !run)
        return -EINVAL;
    check_not_busy(task);
    forget_former(task);
    void *data = task->data;
    memset(task, 0, sizeof *task);
    task->data = data;
    task->pool = pool;
    task->job_run = run;
    task->job_done = done;
    list_init((struct list *)task->job_list);
    store_relaxed(&task->job_state, TASK_IDLE);   /* nobody else knows the task */
    return 0;
}

/* May the caller change what the task owns? Idle: its owner. Running: the task function, and nobody else; a loop that gives it the next
 * chunk too early is refused. */
static bool is_mine(const struct job_task *task)
{
    return task_state(task) == TASK_IDLE || self()->task == task;
}

int job_task_give(struct job_task *task, struct job_buf **buf)
{
    if (!task || !buf || !*buf || task_state(task) == TASK_NEW)
        return -EINVAL;
    if (!is_mine(task) || task->buf)
        return -EBUSY;
    owner_check_slow(*buf);
    task->buf = job_buf_take(buf);
    if (task_state(task) == TASK_IDLE)   /* else its function gives it to itself */
        owner_pass(task->buf, BUF_CODE, BUF_TASK);
    return 0;
}

struct job_buf *job_task_take(struct job_task *task)
{
    if (!task || !is_mine(task))
        return NULL;
    owner_pass(task->buf, BUF_TASK, BUF_CODE);
    return job_buf_take(&task->buf);
}

int job_task_share(struct job_task *task, struct job_region *region)
{
    if (!task || !region || task_state(task) == TASK_NEW)
        return -EINVAL;
    if (task_state(task) != TASK_IDLE)
        return -EBUSY;
    if (task->job_region_count == TASK_REGIONS_MAX)
        return -ENOSPC;
    task->job_regions[task->job_region_count++] = job_region_retain(region);
    return 0;
}

struct job_region *job_task_region(const struct job_task *task, unsigned index)
{
    return task && index < TASK_REGIONS_MAX ? task->job_regions[index] : NULL;
}

void job_task_set_status(struct job_task *task, int status)
{
    if (task)
        task->job_status = status;
}

void task_drop(struct job_task *task)
{
    owner_pass(task->buf, BUF_TASK, BUF_CODE);
    job_buf_free(&task->buf);
    while (task->job_region_count > 0)
        job_region_release(&task->job_regions[--task->job_region_count]);
}

int job_task_fini(struct job_task *task)
{
    if (!task)
        return -EINVAL;
    if (task_state(task) == TASK_NEW)
        return 0;
    if (task_state(task) != TASK_IDLE)
        return -EBUSY;
    list_remove((struct list *)task->job_list);   /* it may wait for room */
    task_keep(task);
    task_drop(task);
    store_relaxed(&task->job_state, TASK_NEW);   /* its owner's */
    return 0;
}

void task_deliver(struct job_task *task)
{
    struct self *me = self();
    struct delivery delivery = {.task = task, .is_left = true, .outer = me->delivery};
    assert(task_state(task) == TASK_ENDED);
    task->job_leaving = &delivery.is_left;
    me->delivery = &delivery;
    owner_pass(task->buf, BUF_TASK, BUF_CODE);
    set_busy(task, false);
    store_relaxed(&task->job_state, TASK_IDLE);   /* the deliverer owns it; later hand-overs order themselves */
    if (task->job_done)
        task->job_done(task, task->job_status);
    me->delivery = delivery.outer;
    if (!delivery.is_left)
        return;   /* queued anew, waiting for room, another task, or gone: not ours to touch */
    task->job_leaving = NULL;
    task_drop(task);
}
