/* ring_buffers.h — the receive ring: slots lent to the kernel, one of which each receive picks when there is data. */
#ifndef JOB_ENGINE_RING_BUFFERS_H
#define JOB_ENGINE_RING_BUFFERS_H

#include <liburing.h>

#include "memory/slot.h"
#include "memory/starved.h"

struct ring_buffers {
    struct root *root;
    struct job_arena *arena;
    struct io_uring *ring;
    struct io_uring_buf_ring *shared;   /* with the kernel */
    struct slot **slots;                /* by buffer id; NULL: the id is free */
    uint16_t *free_ids;
    unsigned capacity;                  /* buffer ids; a power of two */
    unsigned free_count;
    unsigned count;                     /* how many slots the loop holds for it */
    unsigned wanted;                    /* how many it lends while there is spare memory: count, more once grown */
    unsigned available;                 /* lent and not yet used by a receive */
    unsigned class;
    size_t held;
    bool is_used;                       /* before the first receive nothing is lent: many loops only hear messages */
    struct starved starved;
};

/* 0, -ENOMEM, or -EINVAL: the arena's limit cannot hold the ring (logged). */
int ring_buffers_open(struct ring_buffers *buffers, struct root *root, struct job_arena *arena, struct io_uring *ring,
                      struct mailbox *mailbox, unsigned count, unsigned class);

/* The kernel uses the ring no more: all slots go home. */
void ring_buffers_close(struct ring_buffers *buffers);

/* A receive will be submitted: lends from now on; before the loop runs for the first time not at once, since then its thread's cache
 * serves it. Loop thread. */
void ring_buffers_use(struct ring_buffers *buffers, bool is_running);

/* Lends spare slots until as many are lent as wanted; registers as starving when there are fewer than `count`. Loop thread. */
void ring_buffers_refill(struct ring_buffers *buffers);

/* The ring is too small for those who have data at the same moment: it wants twice as many slots from now on. Loop thread. */
void ring_buffers_grow(struct ring_buffers *buffers);

/* A receive has used buffer `id`: a buf of `len` bytes, which the caller owns; NULL for an id that is not lent. */
struct job_buf *ring_buffers_take(struct ring_buffers *buffers, unsigned id, size_t len);

/* A receive has picked a buffer without using it: back to the arena. */
void ring_buffers_put(struct ring_buffers *buffers, unsigned id);

#endif
