/* buf.h — the descriptor of one segment; the first of a chain stands for the whole.
 *
 * Descriptors are 64 bytes. Each slot has one built in (its home); further pieces of a slot get theirs from the thread's cache.
 */
#ifndef JOB_MEMORY_BUF_H
#define JOB_MEMORY_BUF_H

#include <sys/uio.h>

#include "base/assert.h"
#include "job/buf.h"

struct slot;

enum buf_owner {
    BUF_FREE,       /* nobody: the descriptor is in a cache */
    BUF_CODE,       /* whoever holds the pointer */
    BUF_SEGMENT,    /* part of the buf before it */
    /* only in checked builds; memory/owner.h */
    BUF_TASK,       /* a task that waits for its turn; its function and its `done` are code */
    BUF_QUEUE,      /* a stream that will send it */
    BUF_OP,         /* an operation in flight */
    BUF_KERNEL,     /* a descriptor whose slot is lent to receive into */
    BUF_MESSAGE,    /* a message on its way */
};

struct job_buf {
    struct job_buf *next;       /* the next segment */
    struct job_buf *last;       /* first segment only: the last one */
    struct slot *slot;
    uint8_t *data;
    uint32_t len;
    uint32_t low, high;         /* the window of the slot that this piece alone may use */
    uint32_t segments;          /* first segment only */
    uint64_t total;             /* first segment only: bytes of all */
    uint8_t owner;              /* enum buf_owner */
    bool is_home;               /* built into the slot */
    bool is_frozen;             /* its bytes may be shared: nobody writes them; memory/view.c */
};

_Static_assert(sizeof(struct job_buf) == 64, "one cache line");

/* No other piece of the slot exists: the whole slot is ours. */
bool buf_is_alone(const struct job_buf *buf);

/* An alone buf of one segment becomes empty, with all room of its slot. */
void buf_reset(struct job_buf *buf);

/* As job_buf_alloc(), from what the arena's reserve leaves: -ENOMEM earlier. */
int buf_alloc_spare(struct job_arena *arena, size_t room, struct job_buf **buf);

/* The first segments that are not empty, at most `max`, as a vector for the kernel; returns how many. Whoever owns the buf. */
unsigned buf_vector(const struct job_buf *buf, struct iovec *vector, unsigned max);

/* Makes the segments from `first` on a buf of their own. */
void buf_make_head(struct job_buf *first, struct job_buf *last, uint32_t segments, uint64_t total);

/* So many payload bytes were copied by the library of its own accord. */
void buf_count_copied(const struct job_buf *buf, size_t bytes);

/* A buf that the library keeps for its own use is in nobody's hands: `bufs` does not count it, so that whoever looks for a leak sees none.
 * It is freed by buf_free_kept(), NULL is fine; pieces that are split off count as ever. */
void buf_keep(const struct job_buf *buf);
void buf_free_kept(struct job_buf **buf);

/* For asserts in checked builds: links, windows and sums agree. */
bool buf_is_valid(const struct job_buf *buf);

#endif
