/* ring.h — the io_uring engine's state, and what its three files have for each other. */
#ifndef JOB_ENGINE_RING_H
#define JOB_ENGINE_RING_H

#include <errno.h>
#include <liburing.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "engine/engine.h"
#include "engine/hunger.h"
#include "engine/inflight.h"
#include "engine/ring_buffers.h"

/* op->state while an op is in flight. */
enum ring_op_state {
    OP_PENDING = 1,   /* waits for an SQE */
    OP_KERNEL,        /* submitted, or in the submission queue */
    OP_STARVED,       /* a receive that found no slot */
    OP_ABORTED,       /* cancelled while not with the kernel: wait() tells the end */
};

/* user_data that are no ops: generation 0. */
enum { KEY_IGNORE = 1, KEY_WAKE = 2 };

/* What a send's entry points at. The kernel copies it when it takes the entry, so there is one an entry and none an operation. */
struct ring_frame {
    struct msghdr message;
    struct iovec vector[SEND_SEGMENTS];
};

struct ring_engine {
    struct engine base;
    struct io_uring uring;
    struct inflight table;
    struct ring_buffers buffers;
    struct hunger hunger;
    struct ring_frame *frames;   /* by the index of the submission entry */
    struct list pending;      /* ops, by op->starved */
    struct list cancels;      /* ops whose cancel found no SQE */
    struct list starved;
    struct list aborted;
    unsigned wait_flags;
    unsigned disk_unsubmitted;   /* requests to files among what waits for the next system call */
    int wake_fd;
    uint64_t woken;           /* what was read of it: nothing before the engine is to go */
    bool may_cap;             /* FEATURE_RECEIVE_CAP, until this kernel refuses it */
    bool is_enabled;          /* by the thread that waits */
    bool is_wake_armed;
    bool was_look;            /* the last wait may have ended only to tell of hunger: that must not heal a lost wake-up */
    bool is_closing;          /* what wakes is armed no more */
};

static inline struct ring_engine *ring_of(struct engine *engine)
{
    return container_of(engine, struct ring_engine, base);
}

/* The kernel was disturbed, or short of something for a moment: the operation has done nothing. */
static inline bool is_passing_error(int res)
{
    return res == -EAGAIN || res == -EINTR;
}

/* ring.c */
int ring_enter(struct ring_engine *ring, unsigned wait, uint64_t timeout_ns);   /* one system call: submits, and waits */

/* ring_submit.c */
struct io_uring_sqe *ring_sqe(struct ring_engine *ring);           /* NULL: there is none now */
int ring_start(struct engine *engine, struct op *op);
void ring_cancel(struct engine *engine, struct op *op);
void ring_issue(struct ring_engine *ring, struct op *op);          /* an op that is in the table */
void ring_abort(struct ring_engine *ring, struct op *op);          /* one that waits in a list: wait() tells its end */
void ring_issue_waiting(struct ring_engine *ring);
bool ring_starved_are_many(const struct ring_engine *ring);
void ring_restart_starved(struct ring_engine *ring);

/* ring_complete.c */
bool ring_complete(struct ring_engine *ring, const struct io_uring_cqe *cqe, struct completion *completion);
void ring_end_op(struct ring_engine *ring, struct op *op);         /* the kernel knows it no more */

#endif
