/* path.c — requests that name files: checks, and hands them to a thread; a load looks first whether it need sleep at all. */
#include "job/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "io/file.h"

static int begin(struct job_handle *handle, struct job_file_op *op, enum file_call call, const struct job_path *first,
                 const struct job_path *second, job_file_done_fn *done)
{
    bool opens = call == FILE_CALL_LOAD || call == FILE_CALL_LIST;
    if (!first || (!opens && (first->resolve || (second && second->resolve))))
        return -EINVAL;
    int err = file_op_begin(op, handle, call, done);
    if (err < 0)
        return err;
    err = file_op_paths(op, first, second);
    if (err < 0)
        file_op_undo(op);
    return err;
}

int job_path_load(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, size_t limit,
                  job_file_done_fn *done)
{
    if (limit > TOTAL_BYTES_MAX)
        return -EINVAL;
    int err = begin(handle, op, FILE_CALL_LOAD, path, NULL, done);
    if (err < 0)
        return err;
    op->job_len = limit;
    err = file_call_try(op);
    if (err == -EAGAIN)
        return file_op_call(op);
    file_op_defer(op, err);
    return 0;
}

int job_path_load_now(struct job_arena *arena, const struct job_path *path, size_t limit, struct job_buf **buf)
{
    if (!arena || !path || !path->name || !buf || limit > TOTAL_BYTES_MAX)
        return -EINVAL;
    const struct job_file *directory = path->directory;
    if (directory && (handle_state(&directory->handle) == HANDLE_NONE || directory->job_fd < 0))
        return -EINVAL;
    return file_load_now(arena, path, limit, buf);
}

int job_path_store(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, unsigned mode,
                   struct job_buf **buf, job_file_done_fn *done)
{
    if (!buf || !*buf)
        return -EINVAL;
    int err = begin(handle, op, FILE_CALL_STORE, path, NULL, done);
    if (err < 0)
        return err;
    op->job_mode = mode ? mode : 0666;
    op->job_offset = 0;
    op->job_buf = *buf;
    err = file_op_call(op);
    if (err == 0)
        *buf = NULL;
    else
        op->job_buf = NULL;
    return err;
}

int job_path_list(struct job_handle *handle, struct job_file_op *op, const struct job_path *path,
                  job_file_done_fn *done)
{
    int err = begin(handle, op, FILE_CALL_LIST, path, NULL, done);
    return err < 0 ? err : file_op_call(op);
}

static const struct job_entry *entry_at(const struct job_buf *segment, size_t offset)
{
    return (const struct job_entry *)(const void *)((const char *)job_buf_data(segment) + offset);
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

const struct job_entry *job_entry_next(const struct job_buf *buf, const struct job_entry *before)
{
    size_t offset = 0;
    if (before) {   /* the segment that it is in */
        for (; buf; buf = job_buf_next(buf)) {
            uintptr_t into = (uintptr_t)before - (uintptr_t)job_buf_data(buf);
            if (into < job_buf_segment_len(buf)) {
                offset = into + before->size;
                break;
            }
        }
    }
    for (; buf; buf = job_buf_next(buf), offset = 0) {
        while (offset < job_buf_segment_len(buf)) {
            const struct job_entry *entry = entry_at(buf, offset);
            if (!is_dot(entry->name))
                return entry;
            offset += entry->size;
        }
    }
    return NULL;
}

int job_path_stat(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, int flags,
                  struct statx *status, job_file_done_fn *done)
{
    if (!status)
        return -EINVAL;
    int err = begin(handle, op, FILE_CALL_STAT, path, NULL, done);
    if (err < 0)
        return err;
    op->job_flags = (uint32_t)flags;
    op->job_result = status;
    return file_op_call(op);
}

int job_path_rename(struct job_handle *handle, struct job_file_op *op, const struct job_path *from,
                    const struct job_path *to, unsigned flags, job_file_done_fn *done)
{
    if (!to)
        return -EINVAL;
    int err = begin(handle, op, FILE_CALL_RENAME, from, to, done);
    if (err < 0)
        return err;
    op->job_flags = flags;
    return file_op_call(op);
}

int job_path_link(struct job_handle *handle, struct job_file_op *op, const struct job_path *from,
                  const struct job_path *to, job_file_done_fn *done)
{
    if (!to)
        return -EINVAL;
    int err = begin(handle, op, FILE_CALL_LINK, from, to, done);
    return err < 0 ? err : file_op_call(op);
}

int job_path_symlink(struct job_handle *handle, struct job_file_op *op, const char *target, const struct job_path *path,
                     job_file_done_fn *done)
{
    if (!target)
        return -EINVAL;
    int err = begin(handle, op, FILE_CALL_SYMLINK, path, NULL, done);
    if (err < 0)
        return err;
    op->job_result = (void *)(uintptr_t)target;
    return file_op_call(op);
}

int job_path_unlink(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, bool is_directory,
                    job_file_done_fn *done)
{
    int err = begin(handle, op, FILE_CALL_UNLINK, path, NULL, done);
    if (err < 0)
        return err;
    op->job_flags = is_directory ? AT_REMOVEDIR : 0;
    return file_op_call(op);
}

int job_path_mkdir(struct job_handle *handle, struct job_file_op *op, const struct job_path *path, unsigned mode,
                   job_file_done_fn *done)
{
    int err = begin(handle, op, FILE_CALL_MKDIR, path, NULL, done);
    if (err < 0)
        return err;
    op->job_mode = mode;
    return file_op_call(op);
}
