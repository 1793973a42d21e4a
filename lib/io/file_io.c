/* file_io.c — requests of an open file: each says what it wants, and by which way (docs/decisions/011). */
#include <errno.h>

#include "io/file.h"

static int begin(struct job_file *file, struct job_file_op *op, enum file_call call, job_file_done_fn *done)
{
    if (!file)
        return -EINVAL;
    int err = file_op_begin(op, &file->handle, call, done);
    if (err < 0)
        return err;
    op->job_file = file;
    if (file->job_fd >= 0)
        return 0;
    file_op_undo(op);
    return -EBADF;
}

static bool is_seekable(const struct job_file *file)
{
    return (file->job_flags & FILE_SEEKABLE) != 0;
}

/* May the ring read and write it at an offset? When a read of a FUSE file that goes past the page cache is short, the ring asks for the
 * rest from where that read began (seen with 6.18): a file of 1400 bytes has 4096 then. */
static bool is_for_ring(const struct job_file *file)
{
    return is_seekable(file) && (file->job_flags & FILE_LOCAL) && !(file->job_flags & FILE_NONBLOCK);
}

/* Takes a buf over when the request has started, and not before. */
static int start_with(struct job_file_op *op, struct job_buf **buf, int (*start)(struct job_file_op *op))
{
    op->job_buf = *buf;
    int err = start(op);
    if (err == 0)
        *buf = NULL;
    else
        op->job_buf = NULL;
    return err;
}

int job_file_read(struct job_file *file, struct job_file_op *op, struct job_buf **buf, size_t len, uint64_t offset,
                  job_file_done_fn *done)
{
    size_t room = len;
    bool is_current = offset == JOB_FILE_CURRENT;
    if (!buf || len == 0 || len > TOTAL_BYTES_MAX || (!is_current && offset > INT64_MAX - len))
        return -EINVAL;
    if (*buf)
        (void)job_buf_room(*buf, &room);
    if (room < len)
        return -EINVAL;
    int err = begin(file, op, FILE_CALL_READ, done);
    if (err < 0)
        return err;
    op->job_len = len;
    op->job_offset = offset;
    struct job_buf *own = NULL;
    struct job_buf_options options = {.page_aligned = (file->job_flags & FILE_DIRECT) != 0};
    if (!*buf) {
        err = job_buf_alloc(file->handle.job_loop->arena, len, &options, &own);
        if (err < 0) {
            file_op_undo(op);
            return err;
        }
        buf = &own;
    }
    err = start_with(op, buf, is_for_ring(file) && !is_current ? file_op_ring : file_op_call);
    job_buf_free(&own);   /* NULL, unless it has not started */
    return err;
}

int job_file_read_now(const struct job_file *file, struct job_buf *buf, size_t len, uint64_t offset)
{
    size_t room = 0;
    struct iovec vector = {.iov_base = job_buf_room(buf, &room), .iov_len = len};
    if (!file || !buf || len == 0 || len > TOTAL_BYTES_MAX || len > room || offset > INT64_MAX - len)
        return -EINVAL;
    if (handle_state(&file->handle) == HANDLE_NONE || file->job_fd < 0)
        return -EBADF;
    if (!is_seekable(file) || (file->job_flags & FILE_DIRECT))
        return -EAGAIN;
    ssize_t n;
    do
        n = preadv2(file->job_fd, &vector, 1, (off_t)offset, RWF_NOWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EOPNOTSUPP ? -EAGAIN : -errno;
    (void)job_buf_extend(buf, (size_t)n);   /* no more than there was room for */
    return (int)n;
}

int file_write(struct job_file *file, struct job_file_op *op, struct job_buf **buf, uint64_t offset,
               job_file_done_fn *done)
{
    size_t len = job_buf_len(*buf);
    bool is_offset = offset != JOB_FILE_APPEND && offset != JOB_FILE_CURRENT;
    if (is_offset && offset > INT64_MAX - len)
        return -EINVAL;
    int err = begin(file, op, FILE_CALL_WRITE, done);
    if (err < 0)
        return err;
    op->job_len = len;
    op->job_offset = offset;
    bool by_ring = is_for_ring(file) && (file->job_flags & FILE_RING_WRITES) && is_offset;
    if (len > 0)
        return start_with(op, buf, by_ring ? file_op_ring : file_op_call);
    op->job_buf = job_buf_take(buf);
    file_op_defer(op, 0);   /* nothing to be written is written */
    return 0;
}

int job_file_write(struct job_file *file, struct job_file_op *op, struct job_buf **buf, uint64_t offset,
                   job_file_done_fn *done)
{
    if (!buf || !*buf || job_buf_len(*buf) > TOTAL_BYTES_MAX)
        return -EINVAL;
    return file_write(file, op, buf, offset, done);
}

int job_file_sync(struct job_file *file, struct job_file_op *op, bool is_data_only, job_file_done_fn *done)
{
    int err = begin(file, op, FILE_CALL_SYNC, done);
    if (err < 0)
        return err;
    op->job_flags = is_data_only;
    op->job_len = 0;
    return is_seekable(file) ? file_op_ring(op) : file_op_call(op);
}

int job_file_truncate(struct job_file *file, struct job_file_op *op, uint64_t len, job_file_done_fn *done)
{
    if (len > INT64_MAX)
        return -EINVAL;
    int err = begin(file, op, FILE_CALL_TRUNCATE, done);
    if (err < 0)
        return err;
    op->job_len = len;
    return file_op_call(op);
}

static int with_range(struct job_file *file, struct job_file_op *op, enum file_call call, int flags, uint64_t offset,
                      uint64_t len, job_file_done_fn *done)
{
    if (offset > INT64_MAX || len > INT64_MAX)
        return -EINVAL;
    int err = begin(file, op, call, done);
    if (err < 0)
        return err;
    op->job_flags = (uint32_t)flags;
    op->job_offset = offset;
    op->job_len = len;
    return file_op_call(op);
}

int job_file_allocate(struct job_file *file, struct job_file_op *op, int mode, uint64_t offset, uint64_t len,
                      job_file_done_fn *done)
{
    return with_range(file, op, FILE_CALL_ALLOCATE, mode, offset, len, done);
}

int job_file_advise(struct job_file *file, struct job_file_op *op, uint64_t offset, uint64_t len, int advice,
                    job_file_done_fn *done)
{
    return with_range(file, op, FILE_CALL_ADVISE, advice, offset, len, done);
}
