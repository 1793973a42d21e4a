/* waitlist.h — who waits for cells of a region: one queue for those who block and those who do not. */
#ifndef JOB_MEMORY_WAITLIST_H
#define JOB_MEMORY_WAITLIST_H

#include <pthread.h>

#include "base/atomic.h"
#include "base/list.h"

struct waitlist {
    atomic_u32 waiters;          /* in the list, or just about to be: who finds none needs no lock */
    pthread_mutex_t lock;
    struct list list;            /* under the lock: first come, first */
};

struct wait_node {
    struct list node;            /* under the lock */
    const void *cell;
    bool is_queued;              /* under the lock */
    /* Called once by who notifies, after it was taken out, without the lock. The node may go from then on. */
    void (*notified)(struct wait_node *node);
};

void waitlist_init(struct waitlist *list);
void waitlist_fini(struct waitlist *list);

/* Does a cell of 4 or 8 bytes hold that? */
bool waitlist_cell_holds(const void *cell, size_t width, uint64_t expected);

/* Queues a node if the cell of 4 or 8 bytes holds `expected`. 0; -EAGAIN: it does not. Any thread. */
int waitlist_enter(struct waitlist *list, struct wait_node *node, const void *cell, size_t width, uint64_t expected);

/* Takes a node out again. False: it was notified, and `notified` is called, or soon will be. Who entered it. */
bool waitlist_leave(struct waitlist *list, struct wait_node *node);

/* Notifies the first ones of a cell; how many. Any thread. */
unsigned waitlist_notify(struct waitlist *list, const void *cell, unsigned count);

#endif
