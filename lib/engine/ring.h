/* ring.h — the io_uring engine's state. */
#ifndef JOB_ENGINE_RING_H
#define JOB_ENGINE_RING_H

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
    uint64_t wake_count;      /* the kernel writes the eventfd's sum here */
    bool may_cap;             /* FEATURE_RECEIVE_CAP, until this kernel refuses it */
    bool is_enabled;          /* by the thread that waits */
    bool is_wake_armed;
    bool was_look;            /* the last wait may have ended only to tell of hunger: that must not heal a lost wake-up */
    bool is_closing;          /* what wakes is armed no more */
};

#endif
