/* writer.h — a file written from front to back: bufs queue, in order, up to a bound; who writes faster than the disk is told to wait.
 *
 *      start ──▶ write, write, -EAGAIN ──▶ writable ──▶ write … finish ──▶ end(0), once
 *        └─── an error, a stop, or the file closes ──▶ end(its errno, and what was not written)
 *
 * A writer is a long request of an open file, as job_file_write() is a short one: between job_writer_start() and `end` its memory is the
 * library's, and the file's `closed` comes after its `end`. What is queued in one turn, or while the disk is busy, goes to the file
 * together. One that has nothing to write does not keep job_loop_run() from returning.
 */
#ifndef JOB_WRITER_H
#define JOB_WRITER_H

#include <job/file.h>

JOB_BEGIN_DECLS

struct job_writer;

struct job_writer_events {
    /* After a write was refused with -EAGAIN: half of the bound is free again. May be NULL. */
    void (*writable)(struct job_writer *writer);
    /* The writer is idle: it may be started anew, or freed. 0: all has been written, and is on the device if that was asked for; or the
     * errno with which it failed (-ENOSPC, -EIO …); -ECANCELED: it was stopped, or the file closed. *rest is what was not written, in
     * order, or NULL; what is left there goes back to its arena. */
    void (*end)(struct job_writer *writer, int status, struct job_buf **rest);
};

struct job_writer_options {
    uint64_t offset;        /* where to begin; JOB_FILE_APPEND: at the end; JOB_FILE_CURRENT: where the descriptor stands */
    size_t limit_bytes;     /* as long as fewer are queued, one more buf is taken; at most 1 GiB; 0: 1 MiB */
};

/* The caller supplies the memory, which may hold anything but a writer that has been started: zero it once. */
struct job_writer {
    void *data;             /* yours; not touched by the library */

    /* The library's. */
    void *job_flow[3];
    struct job_file *job_file;
    const struct job_writer_events *job_events;
    struct job_mail job_later;
    struct job_buf *job_queue;   /* behind what is being written */
    uint64_t job_offset;
    uint64_t job_written;
    size_t job_queued;           /* bytes, also those being written */
    size_t job_limit;
    uint32_t job_segments;       /* being written */
    uint32_t job_flags;
    int32_t job_status;
    uint8_t job_state;
    uint8_t job_reserved0[3];
    uint64_t job_reserved[4];
    struct job_file_op job_op;
};

/**
 * Starts a writer. Nothing is written before job_writer_write().
 *
 * @param file     open for writing, by a path or by adoption: a pipe or terminal as well. With O_DIRECT the rules of job_file_write() hold
 * @param options  NULL or {0}: from the beginning
 * @param events   `end` is required; must outlive the writer
 * @return 0, or -EINVAL: an argument; -EBUSY: it has been started; -EBADF: the file is not open yet, or failed to; -ECANCELED: it is
 *         closing; -EPERM: not the loop's thread; nothing changes on error
 * Thread: loop thread, or before start.
 */
JOB_API int job_writer_start(struct job_writer *writer, struct job_file *file,
                             const struct job_writer_options *options, const struct job_writer_events *events);

/**
 * Queues a buf behind those before it. Callbacks come from the loop, never inside this call.
 *
 * @param buf  *buf becomes NULL on success; on error nothing changes
 * @return 0, or -EAGAIN: the bound is reached, and `writable` comes; -EPIPE: it has not been started, or was finished, stopped or failed;
 *         -EINVAL: an argument or *buf is NULL, a buf of another runtime or of more than 1 GiB, or offsets beyond 2^63; -EOVERFLOW: more
 *         than 2^20 segments; -EPERM: not the loop's thread
 * Thread: loop thread.
 */
JOB_API int job_writer_write(struct job_writer *writer, struct job_buf **buf);

/**
 * No more is queued: `end` comes when all has been written.
 *
 * @param is_durable  `end` comes when all is on the device: fsync(2)
 * @return 0; -EPIPE: it has not been started, or was finished, stopped or failed; -EINVAL: NULL; -EPERM: not the loop's thread
 * Thread: loop thread.
 */
JOB_API int job_writer_finish(struct job_writer *writer, bool is_durable);

/** Ends it early: `end` comes later, once, with -ECANCELED and what was not written, after the write that a disk or a thread has begun.
 * Of an idle writer nothing. Thread: loop thread. */
JOB_API void job_writer_stop(struct job_writer *writer);

/** Bytes that are queued or being written: what backpressure looks at. Thread: loop thread. */
JOB_API size_t job_writer_queued(const struct job_writer *writer);

/** Bytes that have been written since the start. Thread: loop thread. */
JOB_API uint64_t job_writer_written(const struct job_writer *writer);

JOB_END_DECLS

#endif
