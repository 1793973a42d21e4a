/* fake.h — what the files of the fake kernel share.
 *
 *      SQE ──consume──▶ request ──run──▶ completion, held ──post──▶ completion queue
 *                                                          └──full──▶ backlog ──flushed by enter──▶ completion queue
 *
 * The bytes of a receive stand in the held completion; they reach the lent buffer when it is posted, however late that is.
 */
#ifndef JOB_TESTKIT_FAKE_H
#define JOB_TESTKIT_FAKE_H

#include <liburing.h>
#include <poll.h>
#include <pthread.h>

#include "base/list.h"
#include "testkit/fake_kernel.h"
#include "testkit/seed.h"

struct fake_request {
    struct list node;             /* ring->requests */
    struct io_uring_sqe sqe;      /* a copy: the engine's is scribbled over */
    uint64_t inode;               /* of the descriptor when it was submitted */
    struct iovec *vector;         /* sends: a copy, as the kernel makes one */
    unsigned count;
    size_t len;
    size_t cap;                   /* receives: how many more bytes until it ends; 0: no such end */
    uint64_t sum;                 /* sends: of the bytes; they may not change until the end */
    unsigned held;                /* completions not yet posted */
    unsigned doom;                /* steps until it ends, after a cancel that has lost; 0: not cancelled */
    unsigned entry;               /* in the ring's polled */
    bool has_ended;               /* its last completion is held or posted */
    uint64_t blocked_at;          /* the step in which one of its completions was left behind */
    bool tells_edges;             /* a multishot poll: what is new, as the ring's descriptor knows */
};

struct fake_completion {
    struct list node;             /* ring->held or ring->backlog */
    struct fake_request *request; /* NULL: of none */
    uint64_t due;                 /* the step */
    void *target;                 /* where the bytes go when it is posted */
    uint8_t *bytes;
    size_t len;
    bool is_buffer;               /* the target is a lent buffer */
    struct io_uring_cqe cqe;      /* last: liburing lets it end in an array of no length */
};

struct fake_buffer {
    uint8_t *bytes;
    uint32_t len;
    bool is_lent;
};

struct fake_buffers {
    struct io_uring_buf_ring *shared;   /* NULL: not registered */
    unsigned count;
    uint16_t head;                /* the next one to pick */
    uint16_t seen;                /* lent and looked at up to here */
    struct fake_buffer *lent;     /* by id */
};

struct fake_ring {
    struct list node;
    int fd;                       /* an epoll instance: of what a multishot poll waits for, one a ring */
    unsigned sq_entries, cq_entries;
    bool is_enabled, has_skipped;
    pthread_t issuer;
    /* shared with the engine: liburing points at these */
    unsigned sq_head, sq_tail, sq_mask, sq_flags, sq_dropped;
    unsigned cq_head, cq_tail, cq_mask, cq_flags, cq_overflow;
    unsigned *sq_array;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    /* the fake's own */
    unsigned scribbled;           /* consumed completion entries up to here are scribbled over */
    struct fake_buffers buffers;
    struct list requests, held, backlog;
    uint64_t step;
    uint64_t fruitless;           /* enters since something was moved or it slept */
    int64_t fruitless_since_ms;   /* of real time, once they are many */
    uint64_t last_key;            /* of a request that has ended */
    struct pollfd *polled;        /* one a descriptor that a request waits for */
    unsigned *entries;            /* by descriptor: where in polled it is */
    size_t entries_capacity;      /* of both */
    struct dice dice;
    struct fake_faults faults;
};

/* fake_kernel.c */
extern struct fake_world {
    struct fake_options options;
    struct fake_counts counts;
    struct list rings;
    uint64_t opened;
} fake_world;

_Noreturn void fake_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *fake_alloc(size_t size);

/* fake_request.c: takes one entry of the submission queue; runs what is ready. */
void fake_consume(struct fake_ring *ring, const struct io_uring_sqe *sqe);
void fake_run(struct fake_ring *ring);
size_t fake_poll_set(struct fake_ring *ring);        /* fills ring->polled */
void fake_request_free(struct fake_request *request);

/* fake_operation.c: one request, tried once without blocking. */
void fake_try(struct fake_ring *ring, struct fake_request *request);
uint64_t fake_sum(const struct fake_request *request);

/* fake_completion.c */
struct fake_completion *fake_complete(struct fake_ring *ring, struct fake_request *request, int res, bool is_more);
void fake_complete_key(struct fake_ring *ring, uint64_t key, int res);   /* of no request */
void fake_post(struct fake_ring *ring);
unsigned fake_ready(const struct fake_ring *ring);

/* fake_buffer.c */
int fake_buffers_register(struct fake_ring *ring, const struct io_uring_buf_reg *reg);
void fake_buffers_look(struct fake_ring *ring);      /* at what was lent since */
bool fake_buffers_pick(struct fake_ring *ring, unsigned *id);
const struct fake_buffer *fake_buffers_at(const struct fake_ring *ring, unsigned id);
void fake_buffers_verify(const struct fake_buffer *buffer);

#endif
