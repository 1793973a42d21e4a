/* steal.c — where a pool thread looks for its next task.
 *
 * Own deque first (newest: its data are in this CPU's cache), then lanes and inbox, then the others' deques (oldest: most work behind it).
 * Every FAIRNESS_TICK tasks the shared queues come first, so that a thread whose tasks fork tasks does not starve those who wait outside.
 *
 * The inbox is taken whole, so most of a long one must go back where others see it.
 *   States of pool->leftover: NULL; a chain, oldest first. Nobody changes a chain while it is there: it is taken whole as well.
 *   a thread: I1 take leftover, else the inbox, by one exchange   I2 the first task is its own; fill its deque if that is empty
 *             I3 put the rest into leftover if that is NULL, else behind the newest of the inbox   I4 notify, when there was more than one
 * Why no task is left while threads sleep: between I1 and I3 the rest is in one thread's hands, and the others may see nothing and go to
 * sleep; that thread is awake, and I4, after I3, is the notice that any work from outside gives (queue/park.c).
 * Rejected: putting the rest back into the inbox (reversed anew for each deque, 10^6 tasks took over a minute; and newer ones overtook it).
 * Accepted: when two threads put back at once, the later part may run after what was posted meanwhile.
 */
#include "sched/pool.h"
#include "stats/line.h"

static struct job_task *task_of(struct job_mail *mail)
{
    return mail ? container_of(mail, struct job_task, job_mail) : NULL;
}

/* What came without a lane, oldest first: what an earlier look left over, else the whole inbox. */
struct job_mail *pool_take_inbox(struct job_pool *pool, struct job_mail **last)
{
    struct job_mail *mail = NULL;
    if (load_relaxed(&pool->leftover))   /* a hint that saves an exchange; whoever sets it notifies */
        mail = exchange_acq_rel(&pool->leftover, NULL);   /* pairs with cas_acq_rel in leave_over */
    *last = NULL;
    return mail ? mail : mailbox_take(&pool->inbox, last);
}

/* Keeps a chain in order for the next who looks, so that a million tasks are reversed once and not for each deque that they fill. */
static void leave_over(struct job_pool *pool, struct job_mail *mail, struct job_mail *last)
{
    struct job_mail *nothing = NULL;
    JOB_MARK(steal_leaves_over);
    if (cas_acq_rel(&pool->leftover, &nothing, mail))   /* pairs with exchange_acq_rel in pool_take_inbox */
        return;
    JOB_MARK(steal_two_leftovers);   /* another thread was faster with what came later */
    for (last = last ? last : mail; last->job_next;)
        last = last->job_next;
    mailbox_post_chain(&pool->inbox, mail, last);
}

/* Moves the next tasks of a chain into an empty deque, where others can steal them, so that its owner, who takes what was pushed last,
 * finds the oldest first. Returns what is left of the chain. */
static struct job_mail *fill_deque(struct deque *deque, struct job_mail *mail)
{
    struct job_task *tasks[DEQUE_LENGTH];
    unsigned count = 0;
    for (; mail && count < DEQUE_LENGTH; mail = mail->job_next)
        tasks[count++] = task_of(mail);
    while (count > 0) {
        bool is_pushed = deque_push(deque, tasks[--count]);
        assert(is_pushed);
    }
    return mail;
}

/* The first is ours. What our deque cannot hold, or must not get in front of what it holds, is left over. */
static struct job_task *find_in_inbox(struct pool_place *place)
{
    struct job_pool *pool = place->pool;
    struct job_mail *last = NULL;
    struct job_mail *mail = pool_take_inbox(pool, &last);
    struct job_task *first = task_of(mail);
    if (!first)
        return NULL;
    mail = mail->job_next;
    bool has_more = mail != NULL;
    if (has_more && deque_is_empty(&place->deque))
        mail = fill_deque(&place->deque, mail);
    if (mail)
        leave_over(pool, mail, last);
    if (has_more)
        park_notify(&pool->park);
    return first;
}

static struct job_task *find_in_lanes(struct pool_place *place)
{
    struct job_pool *pool = place->pool;
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane: the lane is visible first */
    for (unsigned i = 0; i < count; i++) {
        struct lane *lane = pool->lanes[(place->tick + place->index + i) % count];
        struct job_task *task = lane_pop(lane);
        if (task)
            return task;
    }
    return NULL;
}

struct job_task *find_own(struct pool_place *place)
{
    return deque_take(&place->deque);
}

struct job_task *find_shared(struct pool_place *place)
{
    struct job_task *task = find_in_lanes(place);
    return task ? task : find_in_inbox(place);
}

struct job_task *find_stolen(struct pool_place *place)
{
    struct job_pool *pool = place->pool;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        unsigned victim = (place->next_victim + i) % pool->thread_count;
        if (victim == place->index)
            continue;
        struct job_task *task = deque_steal(&pool->places[victim].deque);
        if (task) {
            place->next_victim = victim;   /* where there was work there may be more */
            counter_add(&place->stolen, 1);
            line_count(place->line, COUNTER_STOLEN, 1);
            return task;
        }
    }
    place->next_victim++;
    return NULL;
}

static bool has_forked_work(struct job_pool *pool)
{
    if (!mailbox_is_empty(&pool->inbox) || load_acquire(&pool->leftover))   /* pairs with cas_acq_rel in leave_over */
        return true;
    for (unsigned i = 0; i < pool->thread_count; i++) {
        if (!deque_is_empty(&pool->places[i].deque))
            return true;
    }
    return false;
}

bool pool_has_work(struct job_pool *pool)
{
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    for (unsigned i = 0; i < count; i++) {
        if (!lane_is_empty(pool->lanes[i]))
            return true;
    }
    return has_forked_work(pool);
}

/* X1, X2 in loop/submit.c: a loop that watches its lane wakes a thread itself when this one does not get on. */
static bool lane_has_more(struct lane *lane, uint64_t mean_ns)
{
    uint64_t left = lane_count(lane);
    if (left == 0)
        return false;
    bool is_watched = load_seq_cst(&lane->is_watched);   /* pairs with store_relaxed in loop_leave_lanes; a fence follows it */
    if (!is_watched || left * mean_ns >= WAKE_WORTH_NS)
        return true;
    JOB_MARK(lane_left_to_its_loop);
    return false;
}

bool pool_has_more(struct job_pool *pool, uint64_t mean_ns)
{
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    for (unsigned i = 0; i < count; i++) {
        if (lane_has_more(pool->lanes[i], mean_ns))
            return true;
    }
    return has_forked_work(pool);
}
