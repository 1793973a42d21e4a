/* file.c — the life of an open file: open by path or adopt a descriptor, close after the last request.
 *
 * Opening is a request as any other, of the file itself. Closing cancels what waits; what a disk or a thread has begun ends by itself, and
 * only then the descriptor is closed: so its number cannot be reused under a request. By a thread, unless it is known that close(2) has
 * nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "io/descriptor.h"
#include "io/file.h"
#include "io/flow.h"

static struct list *ops_of(struct job_file *file)
{
    return (struct list *)file->job_ops;
}

static struct list *flows_of(struct job_file *file)
{
    return (struct list *)file->job_flows;
}

static bool file_cancel(struct job_handle *handle)
{
    struct job_file *file = job_container_of(handle, struct job_file, handle);
    list_each(node, ops_of(file))
        (void)job_file_cancel(job_container_of(node, struct job_file_op, job_node));   /* unlinks nothing: ends come from a turn */
    return !list_is_empty(ops_of(file));
}

static void file_closing(struct job_handle *handle)
{
    struct job_file *file = job_container_of(handle, struct job_file, handle);
    (void)file_cancel(handle);
    list_each(node, flows_of(file)) {
        struct file_flow *flow = container_of(node, struct file_flow, node);
        flow->file_closes(flow);   /* unlinks nothing either */
    }
}

/* Nothing is to be done for a pipe or a socket, whose other end may be what all threads sleep in a read of; nor for a local file or
 * directory that was only read and has a name still. That another process may remove the last one this very moment is accepted; and that
 * a socket lingers for which the program asks that (SO_LINGER). A loop behind its deadline waits for no thread: local files and directories
 * it closes whatever was done to them, since that has an end; for what asks a server or a device the deadline would be none. */
static enum closer closer_of(const struct job_file *file)
{
    struct statx status;
    bool is_late = file->handle.job_loop->is_late;
    if (file->job_fd < 0 || file->job_flags & FILE_PIPE)
        return CLOSER_LOOP;
    if (!(file->job_flags & FILE_LOCAL))
        return file->job_flags & FILE_SEEKABLE ? CLOSER_THREAD : CLOSER_FREE_THREAD;
    if (!(is_late || file->job_flags & FILE_READ_ONLY) || job_file_stat(file, &status) < 0)
        return CLOSER_FREE_THREAD;
    bool is_plain = S_ISREG(status.stx_mode) || S_ISDIR(status.stx_mode);
    return is_plain && (is_late || status.stx_nlink > 0) ? CLOSER_LOOP : CLOSER_FREE_THREAD;
}

static bool file_last(struct job_handle *handle)
{
    struct job_file *file = job_container_of(handle, struct job_file, handle);
    return descriptor_close_last(handle, &file->job_open.job_task, &file->job_fd, closer_of(file));
}

static void file_closed(struct job_handle *handle)
{
    struct job_file *file = job_container_of(handle, struct job_file, handle);
    assert(list_is_empty(ops_of(file)));
    assert(list_is_empty(flows_of(file)));
    assert(file->job_fd < 0);
    HANDLE_TELL_CLOSED(file, file->job_on_closed);
}

static const struct handle_kind file_kind = {
    .name = "file", .close = file_closing, .last = file_last, .closed = file_closed, .cancel = file_cancel};

static int file_init(struct job_loop *loop, struct job_file *file)
{
    int err = handle_open(loop, &file->handle, sizeof *file, &file_kind);
    if (err < 0)
        return err;
    file->job_fd = -1;
    list_init(ops_of(file));
    list_init(flows_of(file));
    handle_set_idle(&file->handle, true);   /* its requests keep the loop alive, and not the file itself */
    return 0;
}

static void own(struct job_file *file, int fd, uint32_t flags)
{
    file->job_fd = fd;
    file->job_flags = flags;
    (void)fetch_add_relaxed(&file->handle.job_loop->root->fds, 1);   /* ledger: orders nothing */
}

static void open_ended(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct job_file *file = job_container_of(op, struct job_file, job_open);
    (void)buf;
    if (op->job_fd >= 0)
        own(file, op->job_fd, (uint32_t)op->job_len);
    if (handle_is_open(&file->handle))
        file->job_opened(file, status);
}

int job_file_open(struct job_loop *loop, struct job_file *file, const struct job_file_options *options,
                  void (*opened)(struct job_file *file, int status))
{
    if (!loop || !file || !options || !opened)
        return -EINVAL;
    int err = file_init(loop, file);
    if (err < 0)
        return err;
    struct job_file_op *op = &file->job_open;
    file->job_opened = opened;
    err = file_op_begin(op, &file->handle, FILE_CALL_OPEN, open_ended);
    assert(err == 0);   /* the handle has just been opened */
    op->job_flags = (uint32_t)options->flags;
    op->job_mode = options->mode;
    err = file_op_paths(op, &options->path, NULL);
    if (err < 0)
        file_op_undo(op);
    else if (file_call_try(op) == 0)   /* else -EAGAIN */
        file_op_defer(op, 0);
    else
        err = file_op_call(op);
    if (err < 0)
        handle_abandon(&file->handle);
    return err;
}

int job_file_adopt(struct job_loop *loop, struct job_file *file, int fd)
{
    uint32_t flags;
    if (!loop || !file)
        return -EINVAL;
    int open_flags = fcntl(fd, F_GETFL);   /* EBADF: no descriptor */
    int err = open_flags < 0 ? -errno : file_kind_of(loop->root, fd, open_flags, &flags);
    if (err == 0)
        err = file_init(loop, file);
    if (err == 0)
        own(file, fd, flags);
    return err;
}

int job_file_descriptor(const struct job_file *file)
{
    return file && handle_state(&file->handle) != HANDLE_NONE ? file->job_fd : -1;
}

void job_file_close(struct job_file *file, void (*closed)(struct job_file *file))
{
    if (!file || !handle_may_close(&file->handle))
        return;
    file->job_on_closed = closed;
    (void)handle_close(&file->handle);
}

int job_file_stat(const struct job_file *file, struct statx *status)
{
    int fd = job_file_descriptor(file);
    if (!file || !status)
        return -EINVAL;
    if (fd < 0)
        return -EBADF;
    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_BTIME, status) < 0 ? -errno : 0;
}

int job_file_lock(const struct job_file *file, enum job_file_lock lock, uint64_t offset, uint64_t len)
{
    static const short types[] = {
        [JOB_FILE_UNLOCK] = F_UNLCK, [JOB_FILE_LOCK_SHARED] = F_RDLCK, [JOB_FILE_LOCK_EXCLUSIVE] = F_WRLCK};
    int fd = job_file_descriptor(file);
    if (!file || lock > JOB_FILE_LOCK_EXCLUSIVE || offset > INT64_MAX || len > INT64_MAX)
        return -EINVAL;
    if (fd < 0)
        return -EBADF;
    struct flock range = {.l_type = types[lock], .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)len};
    if (fcntl(fd, F_OFD_SETLK, &range) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}
