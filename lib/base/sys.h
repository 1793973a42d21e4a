/* sys.h — the thin layer over system calls that tests wrap or replace: a negative errno instead of errno, no policy. */
#ifndef JOB_BASE_SYS_H
#define JOB_BASE_SYS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/time.h"

/* Sleeps while *word == expected, at most timeout_ns (TIME_NEVER: for ever). 0 when woken, perhaps spuriously; -EAGAIN when
 * the word differs; -EINTR; -ETIMEDOUT. Private to the process. */
int sys_futex_wait(atomic_u32 *word, uint32_t expected, uint64_t timeout_ns);

/* Wakes at most count waiters; returns how many. */
int sys_futex_wake(atomic_u32 *word, unsigned count);

/* A word that holds `runs` until a thread shall stop what it waits for: who changes it wakes those who sleep at it. */
struct sys_stop {
    const atomic_u32 *word;
    uint32_t runs;
};

enum { SYS_STOPS_MAX = 2 };

/* As sys_futex_wait(), and -ECANCELED: one of the stops does not hold its value. Who is stopped takes nobody's wake-up at `word`. Where the
 * kernel waits for one word only (below 5.16, or behind a filter), it looks at the stops every 50 ms. `is_shared`: the word, not the
 * stops, lies in memory that processes share. */
int sys_futex_wait_stoppable(atomic_u32 *word, uint32_t expected, bool is_shared, const struct sys_stop *stops,
                             unsigned count, uint64_t timeout_ns);

/* Among processes, for words in shared memory. */
int sys_futex_wake_shared(atomic_u32 *word, unsigned count);

uint64_t sys_clock_monotonic_ns(void);

int sys_eventfd(void);                       /* close-on-exec, not blocking, lifted */
int sys_eventfd_signal(int fd);
int sys_eventfd_take(int fd, uint64_t *count);   /* signals since it was taken last; -EAGAIN: none */
int sys_close(int fd);

/* What stays open has a number above 2: whoever closes standard input, output or error, or was started without them, shall neither get hold
 * of it nor write messages into it. sys_lift() moves *fd up if need be; -EMFILE: it stays where it is. sys_lifted() does so with what a
 * system call has returned, -1 with errno included, and closes it if it cannot: the descriptor, close-on-exec, or a negative errno. */
int sys_lift(int *fd);
int sys_lifted(int fd);

/* Reserves address space, readable and writable, not committed, not copied by fork, advised for huge pages. */
int sys_reserve(size_t bytes, void **address);
int sys_reserve_small(size_t bytes, void **address);   /* the same for records that are touched sparsely: no huge pages */
int sys_release(void *address, size_t bytes);

/* The size of a file; a private, read-only mapping of it, `offset` a multiple of the page. */
int sys_file_bytes(int fd, uint64_t *bytes);
int sys_map_file(int fd, uint64_t offset, size_t bytes, void **address);
int sys_commit(void *address, size_t bytes); /* touches every page now; -ENOMEM, -EFAULT */
int sys_decommit(void *address, size_t bytes);

/* A page that holds the number 1, and in a forked child 0: the kernel wipes it there. */
enum { SYS_GUARD_BYTES = 4096 };
int sys_fork_guard(atomic_u32 **guard);

/* A sealed memfd of that size, mapped: the seals allow this mapping's writes and nobody else's. */
int sys_memfd_shared(const char *name, size_t bytes, int *fd, void **address);

/* A memfd of that size, sealed against shrinking and growing, mapped, and closed: who inherits the mapping shares it. */
int sys_memfd_inherited(const char *name, size_t bytes, void **address);

/* What liburing 2.3 does not export. */
int sys_io_uring_register(int fd, unsigned opcode, void *arg, unsigned count);

int sys_pidfd_signal(int pidfd, int signal, unsigned flags);

int sys_gettid(void);
/* The calling thread's time slice, under the policy SCHED_OTHER alone: who has a shorter one is served sooner after it has slept. 100 us to
 * 100 ms. 0: the kernel (below 6.12) or the policy knows none. */
uint64_t sys_slice(void);
void sys_set_slice(uint64_t slice_ns);

/* Blocks all signals in the calling thread, and in those that it starts, but those that tell of a fault of its own code: while they are
 * blocked the kernel kills the process without a word to the handlers of users and sanitizers. Those that are blocked already stay so: they
 * may be for a signalfd. *before: what was blocked. */
void sys_block_signals(sigset_t *before);

void sys_thread_name(const char *name);      /* the calling thread; cut to 15 bytes */

#endif
