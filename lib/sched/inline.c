/* inline.c — a pool without threads: each task runs on its submitter, inside job_submit().
 *
 * What is submitted while a task of an inline pool runs on this thread (by its function, or by a `done` that is told here) waits until
 * that one has ended, as it would on a pool thread: a task that submits its successor does not use up the stack.
 */
#include "base/self.h"
#include "base/sys.h"
#include "sched/pool.h"

enum { CLOSER = 1 << 30 };   /* in pool->inline_active: somebody waits for the last one to end */

/* On the stack of the outermost job_submit(). */
struct inline_run {
    const struct job_pool *pool;   /* whose task is at work */
    struct job_mail *first;
    struct job_mail **last;
};

static void run_one(struct inline_run *run, struct job_task *task)
{
    struct job_pool *pool = task->job_pool;
    struct carrier *carrier = self()->carrier;   /* NULL: no task of a pool thread is outside of this one */
    unsigned outer = carrier ? carrier_nest(carrier) : 0;
    run->pool = pool;
    pool_run_task(pool, NULL, task);
    if (carrier)
        carrier_unnest(carrier, outer);
    if (fetch_sub_acq_rel(&pool->inline_active, 1) == CLOSER + 1)   /* pairs with itself and fetch_or_acq_rel in inline_wait */
        (void)sys_futex_wake(&pool->inline_active, 1);              /* the address alone: the pool may be gone */
}

void inline_submit(struct job_pool *pool, struct job_task *task)
{
    struct self *me = self();
    (void)fetch_add_relaxed(&pool->shown->submitted, 1);   /* a count: orders nothing */
    (void)fetch_add_relaxed(&pool->inline_active, 1);   /* close comes after this call */
    struct inline_run *outer = me->inline_run;
    if (outer) {
        task->job_mail.job_next = NULL;
        *outer->last = &task->job_mail;
        outer->last = &task->job_mail.job_next;
        return;
    }
    struct inline_run run = {.last = &run.first};
    me->inline_run = &run;
    run_one(&run, task);
    while (run.first) {
        struct job_mail *mail = run.first;
        run.first = mail->job_next;
        if (!run.first)
            run.last = &run.first;
        run_one(&run, container_of(mail, struct job_task, job_mail));
    }
    me->inline_run = NULL;
}

bool inline_is_inside(const struct job_pool *pool)
{
    const struct inline_run *run = self()->inline_run;
    bool is_inside = run && run->pool == pool;
    for (struct job_mail *mail = run ? run->first : NULL; mail && !is_inside; mail = mail->job_next)
        is_inside = container_of(mail, struct job_task, job_mail)->job_pool == pool;
    return is_inside;
}

void inline_wait(struct job_pool *pool)
{
    uint32_t active = fetch_or_acq_rel(&pool->inline_active, CLOSER) | CLOSER;   /* pairs with fetch_sub_acq_rel in run_one */
    while (active != CLOSER) {
        (void)sys_futex_wait(&pool->inline_active, active, TIME_NEVER);
        active = load_acquire(&pool->inline_active);   /* pairs with fetch_sub_acq_rel in run_one */
    }
}
