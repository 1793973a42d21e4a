/* path.h — what is done with names of files: load, store, list, stat, rename, link, unlink, mkdir.
 *
 * Each runs on a thread of job_runtime_calls() and belongs to a handle, of any kind: `done` comes on the loop of that handle, its `closed`
 * after it, and closing the handle cancels what has not begun. The text of a path, and the directory that it begins at, must stay until
 * `done`; the struct is copied. job_path_load_now() alone is a plain call.
 *
 * All others return 0, or -EINVAL: an argument; a directory of another loop or not open; -EBUSY: the op is in flight; -ECANCELED: the
 * handle is closing; -EAGAIN: 4096 calls of this loop wait; -ENOMEM; -EPERM: not the loop's thread. Nothing changes on error.
 */
#ifndef JOB_PATH_H
#define JOB_PATH_H

#include <job/file.h>

JOB_BEGIN_DECLS

/**
 * Reads a whole file: opens, reads to its end whatever its size was before, closes. A small file of a local file system that the kernel
 * has in memory is read at once. A FIFO takes a thread until somebody writes to it, and nothing ends that earlier.
 *
 * @param limit  more bytes than that are -EFBIG; at most 1 GiB
 * @param done   tells one contiguous buf, empty for an empty file
 * Thread: loop thread of the handle.
 */
JOB_API int job_path_load(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, size_t limit,
                          job_file_done_fn *done);

/**
 * Reads a whole file that the kernel has in memory, at once, and waits for nothing: for a task that works on many small files, which then
 * has the bytes in its own cache, and hands no file from thread to thread. What it refuses, for whatever reason, is loaded by
 * job_path_load(). A large file of which some of the end is missing is read for nothing: see job_file_read_now() for those.
 *
 * Files of NFS, FUSE and the like are refused, since their server is asked when a file is opened. It may be asked all the same where that
 * cannot be known: docs/decisions/011.
 *
 * @param path   its directory stays open meanwhile, and may be of any loop
 * @param limit  more bytes than that are -EFBIG; at most 1 GiB
 * @param buf    receives one contiguous buf, empty for an empty file; unchanged on error. The caller owns it
 * @return 0, or -EAGAIN: its path or some of its bytes are not in memory, or that cannot be known (/proc, some file systems), a server
 *         gives it, somebody has a lease on it, it is no regular file, or the kernel would have to sleep to say what is wrong with it;
 *         -EFBIG; -ENOMEM; -EMFILE, -ENFILE; -EINVAL: an argument; a directory that is not open; -ENOENT, -EACCES, -EIO and what else
 *         openat2(2) and preadv2(2) say
 * Thread: any.
 */
JOB_API int job_path_load_now(struct job_arena *arena, const struct job_path *path, size_t limit,
                              struct job_buf **buf);

/**
 * Writes a whole file so that whoever opens the name finds the old content or the new, never a part, also after a crash: a temporary file
 * beside it (.job- and a number, which a crash may leave), fsync, rename over the name, fsync of the directory. After an error the old
 * file is as it was, but for one of the last fsync: then the new one is there, perhaps not durable. The directory must be readable: else
 * -EACCES, as it could not be made durable.
 *
 * @param mode  permissions of the new file; 0: 0666, less the umask
 * @param buf   taken over on success; comes back in `done`
 * Thread: loop thread of the handle.
 */
JOB_API int job_path_store(struct job_handle *handle, struct job_file_op *op, const struct job_path *path,
                           unsigned mode, struct job_buf **buf, job_file_done_fn *done);

/* An entry of a directory, as the kernel writes them. */
struct job_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;     /* of this record */
    uint8_t type;      /* DT_*; DT_UNKNOWN where the file system does not say */
    char name[1];      /* as long as it is; ends with 0 */
};

/**
 * Lists a directory, in no order.
 *
 * @param done  tells a buf for job_entry_next()
 * Thread: loop thread of the handle.
 */
JOB_API int job_path_list(struct job_handle *handle, struct job_file_op *op, const struct job_path *path,
                          job_file_done_fn *done);

/** The entry behind `before` (NULL: the first) of a buf that job_path_list() made, without "." and ".."; NULL: no more. Valid as long as
 * the buf. Thread: owner of the buf. */
JOB_API const struct job_entry *job_entry_next(const struct job_buf *buf, const struct job_entry *before);

/** statx(2) with AT_* flags; the basic fields and the birth time, into *status, which must stay until `done`. Thread: loop thread. */
JOB_API int job_path_stat(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, int flags,
                          struct statx *status, job_file_done_fn *done);

/** renameat2(2), with RENAME_* flags. Thread: loop thread of the handle. */
JOB_API int job_path_rename(struct job_handle *handle, struct job_file_op *op, const struct job_path *from,
                            const struct job_path *to, unsigned flags, job_file_done_fn *done);

/** linkat(2): a second name. Thread: loop thread of the handle. */
JOB_API int job_path_link(struct job_handle *handle, struct job_file_op *op, const struct job_path *from,
                          const struct job_path *to, job_file_done_fn *done);

/** symlinkat(2): `path` becomes a link to `target`, which must stay until `done`. Thread: loop thread of the handle. */
JOB_API int job_path_symlink(struct job_handle *handle, struct job_file_op *op, const char *target,
                             const struct job_path *path, job_file_done_fn *done);

/** unlinkat(2): removes a name, or with is_directory an empty directory. Thread: loop thread of the handle. */
JOB_API int job_path_unlink(struct job_handle *handle, struct job_file_op *op, const struct job_path *path,
                            bool is_directory, job_file_done_fn *done);

/** mkdirat(2). Thread: loop thread of the handle. */
JOB_API int job_path_mkdir(struct job_handle *handle, struct job_file_op *op, const struct job_path *path,
                           unsigned mode, job_file_done_fn *done);

JOB_END_DECLS

#endif
