/* file.h — what the files of the file layer share: the calls that a thread makes, and the life of a request. */
#ifndef JOB_IO_FILE_H
#define JOB_IO_FILE_H

#include <sys/uio.h>

#include "engine/op.h"
#include "job/path.h"
#include "loop/handle.h"

enum file_call {
    FILE_CALL_OPEN, FILE_CALL_READ, FILE_CALL_WRITE, FILE_CALL_SYNC, FILE_CALL_TRUNCATE, FILE_CALL_ALLOCATE,
    FILE_CALL_ADVISE, FILE_CALL_LOAD, FILE_CALL_STORE, FILE_CALL_LIST, FILE_CALL_STAT, FILE_CALL_RENAME,
    FILE_CALL_LINK, FILE_CALL_SYMLINK, FILE_CALL_UNLINK, FILE_CALL_MKDIR, FILE_CALL_WATCH,
    FILE_CALLS,
};

/* job_file.job_flags */
enum {
    FILE_SEEKABLE = 1,   /* a regular file or a block device: it can be read at an offset */
    FILE_DIRECT = 2,     /* O_DIRECT */
    FILE_RING_WRITES = 4, /* the ring writes it as well: those with O_DIRECT, docs/decisions/011; and in tests */
    FILE_NONBLOCK = 8,   /* O_NONBLOCK: the ring would end with EAGAIN what has to wait for the disk, and begin anew, over and over */
    FILE_LOCAL = 16,     /* a regular file, a directory or a block device of a file system that needs no server: io/mount.h */
    FILE_READ_ONLY = 32, /* O_RDONLY: its close frees no blocks */
    FILE_PIPE = 64,      /* a pipe or a socket: a read of its other end may wait for its close */
};

enum { FILE_VECTOR_MAX = sizeof(((struct job_file_op *)0)->job_vector) / (sizeof(struct iovec)) };

static inline struct op *file_ring_op(struct job_file_op *op)
{
    return (struct op *)op->job_op;
}

static inline struct iovec *file_vector(struct job_file_op *op)
{
    return (struct iovec *)op->job_vector;
}

/* file_op.c: checks, then makes the op the handle's. 0; -EINVAL, -EBUSY, -EPERM, -ECANCELED: nothing has changed. */
int file_op_begin(struct job_file_op *op, struct job_handle *handle, enum file_call call, job_file_done_fn *done);
void file_op_undo(struct job_file_op *op);   /* a begun one that did not start */

/* Paths of a begun op, and that their directories are open on this loop until its end. 0, or -EINVAL: nothing has changed. */
int file_op_paths(struct job_file_op *op, const struct job_path *first, const struct job_path *second);

/* Starts a begun one; on error it is idle again and nothing else has changed. */
int file_op_call(struct job_file_op *op);                    /* on a thread */
int file_op_ring(struct job_file_op *op);                    /* OP_READ_AT, OP_WRITE_AT, OP_SYNC, as op->job_call says */
void file_op_defer(struct job_file_op *op, int status);      /* it has been done: the end comes at the end of the turn */

/* file_io.c: job_file_write() of a buf that is there, whatever its length: a writer joins what it was given. */
int file_write(struct job_file *file, struct job_file_op *op, struct job_buf **buf, uint64_t offset,
               job_file_done_fn *done);

/* file_call.c: what a request does, by plain calls, on any thread. The status. */
int file_call_run(struct job_file_op *op);

/* The same without sleeping, for what can be done so: 0; -EFBIG; -EAGAIN: it would sleep, or it is not known what is wrong. */
int file_call_try(struct job_file_op *op);

/* job_path_load_now(), of arguments that were checked. */
int file_load_now(struct job_arena *arena, const struct job_path *path, size_t limit, struct job_buf **buf);

/* As many segments from byte `done` on, which never goes back, as the vector takes; returns their number, and how many bytes they are. */
unsigned file_fill_vector(struct job_file_op *op, size_t done, size_t *len);

/* What a descriptor is, FILE_*, given its flags of open(2); as mount_look(). FILE_CALL_OPEN leaves it in `job_len`. */
int file_kind_of(struct root *root, int fd, int open_flags, uint32_t *flags);

#endif
