/* waitlist.c — a queue of waiters under a lock, and a count that spares the lock when nobody waits.
 *
 *   a waiter:     W1 count itself   W2 lock; compare the cell; another value: take the count back   W3 queue itself; unlock   W4 sleep
 *   who notifies: N1 store the cell (the user)   N2 look at the count; zero: done   N3 lock; take the first ones of the cell out; unlock
 *                 N4 call each one's `notified`
 *
 * Why no wake-up is lost: W1 and N1 are sequentially consistent, and so are the looks of W2 and N2. Either N2 sees the count, and N3 then
 * waits for the lock until the waiter is queued or gone; or W2 comes after N1, sees the new value, and does not wait.
 * Why the number is exact: a node is out of the queue by N3 or by its own hand, under the lock; who finds that N3 was first has been
 * notified, whatever its clock says.
 * A waiter that is out of time, or shall stop (a cancelled task: sys_futex_wait_stoppable()), leaves by its own hand.
 * Rejected: futex(2) on the cell, as for regions that processes share: the kernel does not tell who was first when some wait by io_uring,
 * has no cells of 64 bits, and each notify is a system call. Accepted: one queue a region, so a notify looks at those of other cells.
 */
#include "memory/waitlist.h"

#include <errno.h>

#include "base/annotate.h"

void waitlist_init(struct waitlist *list)
{
    list->waiters = 0;
    (void)pthread_mutex_init(&list->lock, NULL);   /* cannot fail without attributes */
    list_init(&list->list);
}

void waitlist_fini(struct waitlist *list)
{
    assert(list_is_empty(&list->list));
    (void)pthread_mutex_destroy(&list->lock);
}

bool waitlist_cell_holds(const void *cell, size_t width, uint64_t expected)
{
    bool holds = width == sizeof(uint32_t)
                     ? load_seq_cst((const uint32_t *)cell) == (uint32_t)expected   /* pairs with load_seq_cst in waitlist_notify: W2 */
                     : load_seq_cst((const uint64_t *)cell) == expected;            /* the same */
    annotate_take(cell);   /* from whoever stored what is there; for TSan the user's own stores give */
    return holds;
}

int waitlist_enter(struct waitlist *list, struct wait_node *node, const void *cell, size_t width, uint64_t expected)
{
    int err = 0;
    list_init(&node->node);
    node->cell = cell;
    (void)fetch_add_seq_cst(&list->waiters, 1);   /* pairs with load_seq_cst in waitlist_notify: W1 before W2 */
    (void)pthread_mutex_lock(&list->lock);
    node->is_queued = waitlist_cell_holds(cell, width, expected);
    if (node->is_queued) {
        list_push_back(&list->list, &node->node);
    } else {
        JOB_MARK(waitlist_cell_has_changed);
        (void)fetch_sub_relaxed(&list->waiters, 1);   /* under the lock; too many only costs a look */
        err = -EAGAIN;
    }
    (void)pthread_mutex_unlock(&list->lock);
    return err;
}

/* Under the lock. */
static void take_out(struct waitlist *list, struct wait_node *node)
{
    list_remove(&node->node);
    node->is_queued = false;
    (void)fetch_sub_relaxed(&list->waiters, 1);   /* too many only costs a look */
}

bool waitlist_leave(struct waitlist *list, struct wait_node *node)
{
    (void)pthread_mutex_lock(&list->lock);
    bool was_queued = node->is_queued;
    if (was_queued)
        take_out(list, node);
    (void)pthread_mutex_unlock(&list->lock);
    return was_queued;
}

unsigned waitlist_notify(struct waitlist *list, const void *cell, unsigned count)
{
    struct list taken;
    unsigned woken = 0;
    if (count == 0 || load_seq_cst(&list->waiters) == 0)   /* pairs with fetch_add_seq_cst in waitlist_enter: N2 */
        return 0;
    list_init(&taken);
    (void)pthread_mutex_lock(&list->lock);
    list_each_safe(at, &list->list) {
        struct wait_node *node = container_of(at, struct wait_node, node);
        if (woken == count)
            break;
        if (node->cell != cell)
            continue;
        take_out(list, node);
        list_push_back(&taken, &node->node);
        woken++;
    }
    (void)pthread_mutex_unlock(&list->lock);
    struct list *first;
    while ((first = list_pop_front(&taken))) {
        struct wait_node *node = container_of(first, struct wait_node, node);
        node->notified(node);
    }
    return woken;
}
