/* fake_kernel.h — io_uring without a kernel: what a test links instead of liburing's exported half.
 *
 * liburing's inline half runs unchanged on rings that the fake owns, so lib/engine/ring*.c are tested as it ships. Requests work on real
 * descriptors, without blocking, inside io_uring_enter2(): all that happens is a function of the seed and of what the test does to the
 * other ends. What the kernel may do on a bad day is a rate below. What the engine may not do ends the program with the seed and a
 * sentence: a submission entry used after it was given away, a descriptor closed or a buffer written under a request, an entry that
 * is not filled in, two requests of one name, a ring left with requests in flight.
 */
#ifndef JOB_TESTKIT_FAKE_KERNEL_H
#define JOB_TESTKIT_FAKE_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* Rates are in a thousand; 0 is never. */
struct fake_faults {
    unsigned cq_entries;         /* 0: as the engine asks; else a power of two: overflow at will */
    uint16_t shorten;            /* a receive or send moves fewer bytes than it could */
    uint16_t late;               /* a completion is told some steps later; a request that is ready is tried later */
    uint16_t reorder;            /* completions of different requests overtake each other */
    uint16_t cancel_loses;       /* -EALREADY: the request goes on for a while and ends as it likes */
    uint16_t data_after_cancel;  /* what has arrived is delivered before -ECANCELED */
    uint16_t fail_receive;       /* ECONNRESET, ENOMEM */
    uint16_t fail_send;          /* EPIPE, ECONNRESET, ENOMEM */
    uint16_t fail_accept;        /* EMFILE, ENFILE, ENOMEM: all three make a listener wait for a descriptor */
    uint16_t abort_accept;       /* ECONNABORTED, EPROTO …: the next one may be accepted */
    uint16_t transient;          /* EINTR, EAGAIN as the result of a request */
    uint16_t refuse_cap;         /* EINVAL for a receive that is to end after some bytes: before kernel 6.17 */
    uint16_t no_buffers;         /* -ENOBUFS though buffers are lent */
    uint16_t end_multishot;      /* F_MORE is missing though nothing is wrong */
    uint16_t buffer_on_end;      /* the last completion of a receive has picked a buffer that it did not fill */
    uint16_t partial_submit;     /* enter takes a part of the queue, and does not wait */
    uint16_t interrupt;          /* enter: EINTR */
    uint16_t refuse;             /* enter: EAGAIN, EBUSY; nothing is taken */
    uint16_t stale;              /* completions of requests that have ended, or that never were */
};

struct fake_options {
    uint64_t seed;
    struct fake_faults faults;
    bool is_real_time;           /* other threads take part: sleep in poll(2). Else time is virtual (virtual_clock.h) and a sleep that
                                  * nothing can end is a lost wake-up, which ends the program */
};

/* How often each thing has happened since fake_kernel_start(). */
struct fake_counts {
    uint64_t enters, sleeps, submitted, completed;
    uint64_t shortened, late, reordered, cancels, cancels_lost, failed, transients, starved, ended, unfilled, uncapped;
    uint64_t partial, interrupted, refused, overflowed, stale;
};

/* Rings that are opened from here on behave like this. No ring is open. */
void fake_kernel_start(const struct fake_options *options);

struct fake_counts fake_kernel_counts(void);

/* A mix of faults drawn from the seed, each one on or off, so that some runs have few kinds and many of each. `hard` adds those that
 * end connections. */
struct fake_faults fake_faults_draw(uint64_t seed, bool hard);

#endif
