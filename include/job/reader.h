/* reader.h — a file from front to back: read ahead, told in order, at the pace of whoever takes it.
 *
 *      start ──▶ data, data … ──▶ end(0), once          paused: what has been read waits, and no more than `depth` bufs are read
 *        └─── stop, or the file closes ──▶ end(-ECANCELED)
 *
 * A reader is a long request of an open file, as job_file_read() is a short one: between job_reader_start() and `end` its memory is the
 * library's, and the file's `closed` comes after its `end`. Several may read one file at a time, each where it is.
 *
 * Memory: at most `depth` bufs of `chunk_bytes` are read or wait. What `data` has taken is no longer the reader's to count: pause until it
 * is freed, and the sum has a bound. Readers leave the arena's reserve to those who work on what they read; one that is refused memory
 * waits until some is freed, and goes on.
 */
#ifndef JOB_READER_H
#define JOB_READER_H

#include <job/file.h>

JOB_BEGIN_DECLS

struct job_reader;

enum { JOB_READER_DEPTH_MAX = 8 };

struct job_reader_events {
    /* The next bytes of the file, in one segment, at least one. Take the buf, or leave it: then it goes back to its arena. */
    void (*data)(struct job_reader *reader, struct job_buf **in);
    /* No more will come; the reader is idle: it may be started anew, or freed. 0: all has been told, to the end of the file or of `len`; or
     * the errno with which a read failed (-EIO …), after all that came before; -ECANCELED: it was stopped, or the file closed. */
    void (*end)(struct job_reader *reader, int status);
};

struct job_reader_options {
    uint64_t offset;       /* where to begin. JOB_FILE_CURRENT: where the descriptor stands; then one read at a time */
    uint64_t len;          /* 0: to the end of the file, also when it grows meanwhile */
    size_t chunk_bytes;    /* of one read, at most 1 GiB; 0: 252 KiB, which a slot of 256 KiB holds, or with O_DIRECT 256 KiB; or less
                              where the loop's arena is too small for that */
    unsigned depth;        /* reads at a time, at most JOB_READER_DEPTH_MAX; 0: 2. What has no offsets, as a pipe, has one */
};

struct job_reader_read {
    struct job_file_op job_op;
    struct job_buf *job_buf;
    uint64_t job_wanted;
    int32_t job_status;
    uint32_t job_state;
};

/* The caller supplies the memory, which may hold anything but a reader that has been started: zero it once. */
struct job_reader {
    void *data;            /* yours; not touched by the library */

    /* The library's. */
    void *job_flow[3];
    void *job_wait[3];     /* for memory */
    struct job_file *job_file;
    const struct job_reader_events *job_events;
    struct job_mail job_later;
    uint64_t job_offset;   /* of the next read */
    uint64_t job_end;      /* no read goes beyond */
    uint64_t job_size;     /* of the file, when it was looked at last */
    uint64_t job_told;     /* bytes */
    size_t job_chunk;
    uint32_t job_flags;
    int32_t job_status;
    uint8_t job_state;
    uint8_t job_depth;
    uint8_t job_first;     /* of job_reads: the next to be told */
    uint8_t job_count;
    uint8_t job_in_flight;
    uint8_t job_reserved0[3];
    uint64_t job_reserved[2];
    struct job_reader_read job_reads[JOB_READER_DEPTH_MAX];
};

/**
 * Starts reading. The first `data` comes from the loop, never inside this call.
 *
 * A file that shrinks meanwhile ends where a read finds its end; one that grows is read as far as it reaches then. With O_DIRECT, bufs are
 * page-aligned; offset, and len if it is given, must be multiples of the block size, and chunk_bytes is rounded up to pages.
 *
 * @param file     open for reading, by a path or by adoption: of a pipe or terminal as well, which one thread waits for
 * @param options  NULL or {0}: the whole file
 * @param events   both are required; must outlive the reader
 * @return 0, or -EINVAL: an argument; the slot or run for chunk_bytes is more than the loop's arena may
 *         ever have beside its receive rings; -EBUSY: it has been started; -EBADF: the
 *         file is not open yet, or failed to; -ECANCELED: it is closing; -EPERM: not the loop's thread; nothing changes on error
 * Thread: loop thread, or before start.
 */
JOB_API int job_reader_start(struct job_reader *reader, struct job_file *file,
                             const struct job_reader_options *options, const struct job_reader_events *events);

/** No callback from now on, but an `end` of -ECANCELED. What is being read arrives, and waits. Idempotent; of an idle reader nothing.
 * Thread: loop thread. */
JOB_API void job_reader_pause(struct job_reader *reader);

/** `data` again: what waits comes first, from the loop, not inside this call. Idempotent. Thread: loop thread. */
JOB_API void job_reader_resume(struct job_reader *reader);

/** True between pause and resume. Thread: loop thread. */
JOB_API bool job_reader_is_paused(const struct job_reader *reader);

/** Ends it early: no more `data`, what waits goes back, and `end` comes later, once, with -ECANCELED, after the last read that a disk or
 * a thread has begun. Of an idle reader nothing. Thread: loop thread. */
JOB_API void job_reader_stop(struct job_reader *reader);

/** Bytes that `data` has told since the start. Thread: loop thread. */
JOB_API uint64_t job_reader_told(const struct job_reader *reader);

JOB_END_DECLS

#endif
