/* signal.h — signals as callbacks on a loop. */
#ifndef JOB_SIGNAL_H
#define JOB_SIGNAL_H

#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_signal {
    struct job_handle handle;

    /* The library's. */
    void (*job_caught)(struct job_signal *signal, int number);
    void (*job_on_closed)(struct job_signal *signal);
    void *job_op[16];
    uint64_t job_info[16];
    int job_fd;
    uint32_t job_reserved0;
    struct job_mail job_later;
    void *job_node[2];
    uint64_t job_numbers, job_told;
    struct job_mail job_told_mail;
};

/**
 * Blocks the signals that a service wants as callbacks, in the calling thread and so in all threads that it starts later. Call
 * it first in main(), before any thread exists; a signal that some thread does not block is not seen by job_signal_open().
 *
 * @param numbers  such as {SIGINT, SIGTERM}
 * @return 0, or -EINVAL: not a signal, or one that cannot be blocked; -EBUSY: other threads exist already
 * Thread: before start.
 */
JOB_API int job_signals_block(const int *numbers, size_t count);

/**
 * Calls `caught` on the loop for each delivery of one of the signals. Several of one kind may be merged, by the kernel before the first is
 * read, and here as long as the loop has not come to the one before. Any number of handles may be open for a signal, on any loops of
 * the runtime, those of workers too: each hears it, in no certain order. Two runtimes in one process would take signals from each
 * other, as would code that waits for them in another way. The handle is unreferenced: it does not keep the loop running.
 *
 * @return 0, or -EINVAL: an argument is NULL, count is 0, or one is not a signal; -EPERM: one is not blocked (see
 *         job_signals_block()), or another thread's loop; -EMFILE, -ENFILE, -ENOMEM; -EAGAIN: 2^20 operations are in flight, or no
 *         memory for one more; -ECANCELED: the loop is closing
 * Thread: loop thread, or before start.
 */
JOB_API int job_signal_open(struct job_loop *loop, struct job_signal *signal, const int *numbers, size_t count,
                            void (*caught)(struct job_signal *signal, int number));

/** Closes it. `closed` (may be NULL) comes later, once, and `caught` no more. Other handles go on hearing. The signals stay blocked.
 * Thread: loop thread. */
JOB_API void job_signal_close(struct job_signal *signal, void (*closed)(struct job_signal *signal));

JOB_END_DECLS

#endif
