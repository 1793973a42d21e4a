/* steal.c — where a pool thread looks for its next task.
 *
 * Own deque first (newest: its data are in this CPU's cache), then lanes and inbox, then the others' deques (oldest: most work behind it).
 * Every FAIRNESS_TICK tasks the shared queues come first, so that a thread whose tasks fork tasks does not starve those who wait outside.
 */
#include "sched/pool.h"

static struct job_task *task_of(struct job_mail *mail)
{
    return mail ? container_of(mail, struct job_task, job_mail) : NULL;
}

/* Takes the whole inbox: the first is ours, the rest goes where others can steal it: our deque, and back to the inbox. */
static struct job_task *find_in_inbox(struct pool_thread *thread)
{
    struct job_pool *pool = thread->pool;
    struct job_mail *last = NULL;
    struct job_mail *mail = mailbox_take(&pool->inbox, &last);
    struct job_task *first = task_of(mail);
    if (!first)
        return NULL;
    mail = mail->job_next;
    bool has_more = mail != NULL;
    while (mail) {
        struct job_mail *next = mail->job_next;
        if (!deque_push(&thread->deque, task_of(mail)))
            break;
        mail = next;
    }
    if (mail)
        mailbox_post_chain(&pool->inbox, mail, last);
    if (has_more)
        park_notify(&pool->park);
    return first;
}

static struct job_task *find_in_lanes(struct pool_thread *thread)
{
    struct job_pool *pool = thread->pool;
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane: the lane is visible first */
    for (unsigned i = 0; i < count; i++) {
        struct lane *lane = pool->lanes[(thread->tick + thread->index + i) % count];
        struct job_task *task = lane_pop(lane);
        if (task)
            return task;
    }
    return NULL;
}

struct job_task *find_own(struct pool_thread *thread)
{
    return deque_take(&thread->deque);
}

struct job_task *find_shared(struct pool_thread *thread)
{
    struct job_task *task = find_in_lanes(thread);
    return task ? task : find_in_inbox(thread);
}

struct job_task *find_stolen(struct pool_thread *thread)
{
    struct job_pool *pool = thread->pool;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        unsigned victim = (thread->next_victim + i) % pool->thread_count;
        if (victim == thread->index)
            continue;
        struct job_task *task = deque_steal(&pool->threads[victim].deque);
        if (task) {
            thread->next_victim = victim;   /* where there was work there may be more */
            counter_add(&thread->stolen, 1);
            return task;
        }
    }
    thread->next_victim++;
    return NULL;
}

bool pool_has_work(struct job_pool *pool)
{
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    for (unsigned i = 0; i < count; i++) {
        if (!lane_is_empty(pool->lanes[i]))
            return true;
    }
    return pool_has_forked_work(pool);
}

bool pool_has_forked_work(struct job_pool *pool)
{
    if (!mailbox_is_empty(&pool->inbox))
        return true;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        if (!deque_is_empty(&pool->threads[i].deque))
            return true;
    }
    return false;
}
