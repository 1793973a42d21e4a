/* op.h — one I/O request in flight, and its completion; the same for every engine.
 *
 * The memory of an op, and all that it points at, belongs to the engine from start until the terminal completion (`more` is false),
 * whatever is cancelled or closed meanwhile. The in-flight table (inflight.h) knows an op by index and generation, so a late or
 * unknown completion touches no memory.
 */
#ifndef JOB_ENGINE_OP_H
#define JOB_ENGINE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/list.h"

struct job_buf;
struct op;

enum op_kind {
    OP_NONE,
    OP_ACCEPT,     /* fd is a listening socket; many completions, or one if is_single; res is the accepted fd (non-blocking,
                    * close-on-exec) */
    OP_RECEIVE,    /* fd is a stream socket; many completions: res > 0 with buf; 0 is end of file and the last */
    OP_SEND,       /* buf, which stays the caller's: one completion, res is how many bytes the kernel took, perhaps fewer. Never SIGPIPE */
    OP_READ,       /* bytes, len from a descriptor that blocks and is not a file (eventfd, signalfd): one completion. O_NONBLOCK would
                    * make it end with EAGAIN at once on some kernels, and the engine try again for ever */
    OP_READ_AT,    /* bytes, len at offset of a file or a block device: one completion, res is how many bytes came; 0 is the end */
    OP_WRITE_AT,   /* vector, count at offset of such a file: one completion, res is how many bytes went, perhaps fewer */
    OP_SYNC,       /* is_data_only: fdatasync(2), else fsync(2); one completion */
    OP_CLOSE,      /* closes fd; one completion */
    OP_POLL,       /* events of poll(2), none of which must be there; one completion when one is: res is what is there */
    OP_FILL,       /* bytes, len from a stream socket: one completion, res is how many came, 0 is end of file */
    OP_KINDS,
};

struct completion {
    struct op *op;
    struct job_buf *buf;   /* OP_RECEIVE with res > 0: the receiver owns it; else NULL */
    int32_t res;           /* 0 or more, or a negative errno; -ECANCELED after cancel, unless the op ended first */
    bool more;             /* further completions of this op will come */
};

struct op {
    /* the caller's, before start; untouched until the terminal completion */
    void (*completed)(struct op *op, const struct completion *completion);
    int fd;
    uint8_t kind;          /* enum op_kind */
    union {
        struct {
            bool is_single;
        } accept;
        struct {
            uint32_t events;
        } poll;
        struct {
            const struct job_buf *buf;
        } send;
        struct {
            void *bytes;
            uint64_t offset;
            uint32_t len;
        } read;
        struct {
            struct iovec *vector;
            uint64_t offset;
            unsigned count;
        } write;
        struct {
            bool is_data_only;
        } sync;
    };

    /* the engine's */
    uint8_t state;         /* OP_IDLE; engine-private while in flight; OP_ENDED once wait() has handed out the terminal completion,
                            * until op_delivered(), so that nobody starts it anew between the two */
    bool is_cancelled;     /* cancel was called */
    bool is_capped;        /* a receive that ends after some bytes and is started anew */
    uint32_t index;        /* in the in-flight table */
    uint64_t since_ns;     /* when it was started: the loop's time then */
    struct list starved;   /* receives that wait for memory */
};

_Static_assert(sizeof(struct op) <= 16 * sizeof(void *), "an op fits into the words that public handles reserve");

enum { OP_IDLE = 0, OP_ENDED = 255 };

/* From start until the terminal completion is delivered. */
static inline bool op_is_in_flight(const struct op *op)
{
    return op->state != OP_IDLE;
}

/* Whoever runs completions calls this for each, just before completion->op->completed(): a terminal one makes the op idle. */
static inline void op_delivered(const struct completion *completion)
{
    if (completion->more)
        return;
    assert(completion->op->state == OP_ENDED);
    completion->op->state = OP_IDLE;
}

#endif
