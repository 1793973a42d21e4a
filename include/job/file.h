/* file.h — files: open, read and write at offsets, sync; every end is a callback on the loop, and bufs move in and come back.
 *
 *      open ──▶ opened(0) ──▶ job_file_read, job_file_write … ──▶ done each ──▶ job_file_close ──▶ closed
 *
 * Reads, and writes with O_DIRECT, of files that are on this machine's disks go to the kernel by the loop's ring. What would make the loop
 * sleep goes to a thread of job_runtime_calls(): paths, writes through the page cache, whatever is no regular file, and reads and writes
 * of what a server gives, such as NFS or FUSE (docs/decisions/011). The caller sees no difference.
 */
#ifndef JOB_FILE_H
#define JOB_FILE_H

#include <job/handle.h>
#include <job/task.h>

JOB_BEGIN_DECLS

struct job_file;
struct job_file_op;
struct statx;   /* the kernel's, of <sys/stat.h> with _GNU_SOURCE */

#define JOB_FILE_APPEND UINT64_MAX          /* as the offset of a write: at the end, whatever others append meanwhile; where the descriptor
                                               stands does not change */
#define JOB_FILE_CURRENT (UINT64_MAX - 1)   /* as any offset: where the descriptor stands, which moves on; one request at a time. A
                                               read may then be short before the end, as of a pipe */

/* The end of an op, on the loop. The op is idle again: it may be used anew, or freed. `status` is 0, a negative errno, or -ECANCELED.
 * `*buf` is what was read, or what was to be written; *buf is NULL for the others. What is left there goes back to its arena. */
typedef void job_file_done_fn(struct job_file_op *op, int status, struct job_buf **buf);

/* A path: from a directory that was opened before, or, without one, from the working directory. The text of the name and the
 * directory must stay until `done`; the struct is copied. */
struct job_path {
    const struct job_file *directory;
    const char *name;
    uint64_t resolve;   /* RESOLVE_* of openat2(2), for what opens a file: open, load, list. Elsewhere it must be 0 */
};

/* One request. The caller supplies the memory, which may hold anything but a request in flight: zero it once. */
struct job_file_op {
    void *data;          /* yours; not touched by the library */
    uint64_t count;      /* in `done`: bytes that were read or written, also when it failed after some */

    /* The library's. */
    struct job_buf *job_buf;
    struct job_file *job_file;
    struct job_handle *job_handle;
    job_file_done_fn *job_done;
    struct job_path job_paths[2];
    uint64_t job_offset;
    uint64_t job_len;
    void *job_result;
    uint32_t job_flags;
    uint32_t job_mode;
    int32_t job_status;
    int32_t job_fd;
    uint8_t job_state;
    uint8_t job_call;
    uint8_t job_reserved0[6];
    void *job_node[2];
    void *job_op[16];
    void *job_vector[16];
    struct job_mail job_mail;
    struct job_task job_task;
    const struct job_buf *job_at;
    uint64_t job_before;
    uint64_t job_reserved[2];
};

struct job_file {
    struct job_handle handle;

    /* The library's. */
    void (*job_opened)(struct job_file *file, int status);
    void (*job_on_closed)(struct job_file *file);
    int job_fd;
    uint32_t job_flags;
    void *job_ops[2];
    struct job_file_op job_open;
    void *job_flows[2];  /* readers and writers */
    uint64_t job_reserved[2];
};

struct job_file_options {
    struct job_path path;
    int flags;           /* of open(2): O_RDONLY, O_CREAT, O_DIRECT, O_PATH …; O_CLOEXEC is added */
    unsigned mode;       /* with O_CREAT or O_TMPFILE */
};

/**
 * Opens a file, by openat2(2). A path that the kernel has in memory is opened at once if its file system is local, any other by a thread.
 *
 * @param options  copied; the text of the path, and its directory, must stay until `opened`
 * @param opened   called once on the loop. 0, or what openat2(2) says; after an error the handle is open all the same, has no
 *                 descriptor, and is to be closed. Not called after job_file_close()
 * @return 0, or -EINVAL: an argument is NULL, or the directory is of another loop or not opened; -ECANCELED: the loop is closing; -EPERM:
 *         another thread's loop; -EAGAIN: 4096 calls of this loop wait already; -ENOMEM; nothing changes on error
 * Thread: loop thread, or before start.
 */
JOB_API int job_file_open(struct job_loop *loop, struct job_file *file, const struct job_file_options *options,
                          void (*opened)(struct job_file *file, int status));

/**
 * Makes a file of a descriptor, which it owns from then on: also of a pipe or a terminal, to be read or written in turn.
 * O_NONBLOCK makes no difference: a read waits, and so does a write.
 *
 * @return 0, or -EBADF: no descriptor; -ECANCELED, -EPERM, -EINVAL as above. On error the caller still owns fd
 * Thread: loop thread, or before start.
 */
JOB_API int job_file_adopt(struct job_loop *loop, struct job_file *file, int fd);

/** The descriptor, which stays the file's; -1: not opened. Thread: loop thread. */
JOB_API int job_file_descriptor(const struct job_file *file);

/**
 * Cancels what has not begun and closes the descriptor after the last op has ended: by a thread, unless the file was only read, is of a
 * local file system and has a name, or is a pipe or a socket; or unless all threads that there may be are busy, for which only the files
 * of servers wait. `closed` (may be NULL) comes after that, once. A call that sleeps in the kernel for good, such as a read of a terminal,
 * holds it up, and so does a server that does not answer.
 *
 * Thread: loop thread.
 */
JOB_API void job_file_close(struct job_file *file, void (*closed)(struct job_file *file));

/**
 * Reads until `len` bytes have come, the file ends, or an error: fewer than `len` is the end of the file. Of a pipe or terminal: what is
 * there when something is there; 0 bytes is its end.
 *
 * @param buf     where to: *buf with room for `len` bytes behind what it holds, taken over on success; or *buf is NULL: one is taken from
 *                the loop's arena. With O_DIRECT one that was allocated page_aligned, and offset and len multiples of the block size
 * @param len     1 to 1 GiB
 * @param offset  ignored where there are none
 * @param done    required; tells the buf, with the bytes behind what it held
 * @return 0, or -EINVAL: an argument; there is less room; -EBUSY: the op is in flight; -EBADF: the file is not open yet, or failed to;
 *         -ENOMEM; -EAGAIN: 2^20 operations are in flight, or 4096 calls wait; -ECANCELED: closing; -EPERM: not the loop's thread;
 *         nothing changes
 * Thread: loop thread.
 */
JOB_API int job_file_read(struct job_file *file, struct job_file_op *op, struct job_buf **buf, size_t len,
                          uint64_t offset, job_file_done_fn *done);

/**
 * Reads what the kernel has in memory, at once, and never sleeps: for a task, which then has the bytes in its own cache, where reads by the
 * loop would leave them in the loop's. What is not in memory is read by job_file_read(), or by a reader.
 *
 * @param file    stays open meanwhile: the task was submitted for its handle
 * @param buf     the bytes go behind what it holds
 * @param len     at most 1 GiB, and the room of the buf
 * @return how many bytes came, perhaps fewer than wanted; 0: the end; -EAGAIN: the first of them is not in memory, or that cannot be known
 *         (O_DIRECT, pipes, some file systems); -EINVAL: an argument; -EBADF: not open; -EIO and what else preadv2(2) says
 * Thread: any.
 */
JOB_API int job_file_read_now(const struct job_file *file, struct job_buf *buf, size_t len, uint64_t offset);

/**
 * Writes all bytes of a buf. Writes of one file that are in flight together may reach it in any order. With O_DIRECT each segment must
 * begin on a page, and lengths be multiples of the block size.
 *
 * @param buf     taken over on success; comes back whole in `done`, where op->count says how much of it was written: all, unless it failed
 *                (-ENOSPC, -EIO, -EFBIG …)
 * @param offset  JOB_FILE_APPEND: at the end. Of a descriptor with O_APPEND every write goes there, whatever this says: the kernel's way
 * @return as job_file_read(); -EINVAL as well: *buf is NULL, or has more than 1 GiB
 * Thread: loop thread.
 */
JOB_API int job_file_write(struct job_file *file, struct job_file_op *op, struct job_buf **buf, uint64_t offset,
                           job_file_done_fn *done);

/** What was written is on the device when `done` says 0: fsync(2), or fdatasync(2). @return as job_file_read(). Thread: loop thread. */
JOB_API int job_file_sync(struct job_file *file, struct job_file_op *op, bool is_data_only, job_file_done_fn *done);

/** ftruncate(2). @return as job_file_read(). Thread: loop thread. */
JOB_API int job_file_truncate(struct job_file *file, struct job_file_op *op, uint64_t len, job_file_done_fn *done);

/** fallocate(2), with FALLOC_FL_* as mode. @return as job_file_read(). Thread: loop thread. */
JOB_API int job_file_allocate(struct job_file *file, struct job_file_op *op, int mode, uint64_t offset, uint64_t len,
                              job_file_done_fn *done);

/** posix_fadvise(2), with POSIX_FADV_*. @return as job_file_read(). Thread: loop thread. */
JOB_API int job_file_advise(struct job_file *file, struct job_file_op *op, uint64_t offset, uint64_t len, int advice,
                            job_file_done_fn *done);

/** statx(2) of the open file, at once: what the kernel has in memory, without asking a server for what is new. Who wants that asks by
 * job_path_stat(), with the file as directory, the name "" and AT_EMPTY_PATH. @return 0, or a negative errno; -EBADF: not open. Thread:
 * loop thread. */
JOB_API int job_file_stat(const struct job_file *file, struct statx *status);

enum job_file_lock { JOB_FILE_UNLOCK, JOB_FILE_LOCK_SHARED, JOB_FILE_LOCK_EXCLUSIVE };

/** An OFD lock (fcntl(2), F_OFD_SETLK) of `len` bytes from `offset`, 0: to the end. It does not wait for who has it, though on NFS for the
 * server, and ends with the descriptor.
 * @return 0; -EAGAIN: somebody else has it (nobody tells when that ends); -EBADF; -EINVAL. Thread: loop thread. */
JOB_API int job_file_lock(const struct job_file *file, enum job_file_lock lock, uint64_t offset, uint64_t len);

/**
 * Asks that an op end early. Its end arrives later, once, through `done`: -ECANCELED, or what it ends with. What a disk or a thread has
 * begun is not interrupted; nothing follows it. The op's `count` says how much was done.
 *
 * @return 0: asked; -ENOENT: it is idle; -EINVAL: NULL; -EPERM: not the loop's thread
 * Thread: loop thread.
 */
JOB_API int job_file_cancel(struct job_file_op *op);

JOB_END_DECLS

#endif
