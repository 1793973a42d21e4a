/* file_op.c — the life of a file request: begun, then by ring, by thread or done already, then `done`.
 *
 *      idle ──begin──▶ busy ──▶ ring: parts, until all bytes or the end ──┐
 *                          ├──▶ a task of the runtime's blocking pool ────┼──▶ idle, `done`, and only then the handles are let go
 *                          └──▶ done at once: a mail at the turn's end ───┘
 *
 * The op is not touched after `done`: it may be gone, or in flight again. So the buf is told by an argument and not left in the op.
 */
#include <errno.h>

#include "io/file.h"
#include "memory/owner.h"
#include "sched/pool.h"

enum { FILE_OP_IDLE, FILE_OP_CALL, FILE_OP_RING, FILE_OP_DONE };

static struct list *node_of(struct job_file_op *op)
{
    return (struct list *)op->job_node;
}

int file_op_begin(struct job_file_op *op, struct job_handle *handle, enum file_call call, job_file_done_fn *done)
{
    int err = op && handle && done ? handle_check(handle) : -EINVAL;
    if (err < 0)
        return err;
    if (op->job_state != FILE_OP_IDLE)
        return -EBUSY;
    op->count = 0;
    op->job_buf = NULL;
    op->job_at = NULL;
    op->job_file = NULL;
    op->job_handle = handle;
    op->job_done = done;
    op->job_paths[0] = op->job_paths[1] = (struct job_path){0};
    op->job_fd = -1;
    op->job_status = 0;
    op->job_call = (uint8_t)call;
    op->job_state = FILE_OP_CALL;
    list_init(node_of(op));
    handle_hold(handle);
    loop_keep_alive(handle->job_loop);   /* an open file waits for nothing, a request does */
    return 0;
}

/* The directories of its paths may close from here on. */
static void release_directories(const struct job_path paths[2])
{
    for (int i = 0; i < 2; i++) {
        if (paths[i].directory)
            handle_release((struct job_handle *)(uintptr_t)&paths[i].directory->handle);
    }
}

void file_op_undo(struct job_file_op *op)
{
    op->job_state = FILE_OP_IDLE;
    release_directories(op->job_paths);
    loop_let_go(op->job_handle->job_loop);
    handle_release(op->job_handle);
}

static bool is_usable(const struct job_path *path, const struct job_handle *handle)
{
    const struct job_file *directory = path->directory;
    return path->name && (!directory || (handle_is_open(&directory->handle) && directory->job_fd >= 0 &&
                                         directory->handle.job_loop == handle->job_loop));
}

int file_op_paths(struct job_file_op *op, const struct job_path *first, const struct job_path *second)
{
    if (!is_usable(first, op->job_handle) || (second && !is_usable(second, op->job_handle)))
        return -EINVAL;
    op->job_paths[0] = *first;
    if (second)
        op->job_paths[1] = *second;
    for (int i = 0; i < 2; i++) {
        if (op->job_paths[i].directory)
            handle_hold((struct job_handle *)(uintptr_t)&op->job_paths[i].directory->handle);
    }
    return 0;
}

/* The last touch of the op before `done`. */
static void end(struct job_file_op *op, int status)
{
    struct job_handle *handle = op->job_handle;
    struct job_loop *loop = handle->job_loop;
    struct job_path paths[2] = {op->job_paths[0], op->job_paths[1]};
    owner_pass(op->job_buf, BUF_OP, BUF_CODE);
    struct job_buf *buf = job_buf_take(&op->job_buf);
    list_remove(node_of(op));
    op->job_state = FILE_OP_IDLE;
    LOOP_CALL(loop, op->job_done, (op, status, &buf));
    job_buf_free(&buf);
    release_directories(paths);
    loop_let_go(loop);
    handle_release(handle);
}

static void run_call(struct job_task *task)
{
    struct job_file_op *op = task->data;
    owner_pass(op->job_buf, BUF_OP, BUF_CODE);
    job_task_set_status(task, file_call_run(op));
    owner_pass(op->job_buf, BUF_CODE, BUF_OP);
}

static void call_ended(struct job_task *task, int status)
{
    struct job_file_op *op = task->data;
    (void)job_task_fini(task);   /* idle: it cannot fail. The op may be gone after its `done` */
    end(op, status);
}

int file_op_call(struct job_file_op *op)
{
    struct root *root = op->job_handle->job_loop->root;
    (void)job_task_init(&op->job_task, root->calls, run_call, call_ended);   /* the arguments are there */
    op->job_task.data = op;
    owner_pass(op->job_buf, BUF_CODE, BUF_OP);
    int err = job_submit(root->calls, &op->job_task, op->job_handle);
    if (err < 0) {
        owner_pass(op->job_buf, BUF_OP, BUF_CODE);
        file_op_undo(op);
    }
    return err;
}

static void deliver_done(struct job_mail *mail)
{
    struct job_file_op *op = container_of(mail, struct job_file_op, job_mail);
    end(op, op->job_status);
}

void file_op_defer(struct job_file_op *op, int status)
{
    op->job_state = FILE_OP_DONE;
    op->job_status = status;
    op->job_mail.job_deliver = deliver_done;
    owner_pass(op->job_buf, BUF_CODE, BUF_OP);
    loop_defer_mail(op->job_handle->job_loop, &op->job_mail);
}

static void ring_completed(struct op *ring_op, const struct completion *completion);

/* Starts the next part: of a read the rest of what is wanted, of a write as many segments as the vector takes. */
static int start_part(struct job_file_op *op)
{
    struct op *ring_op = file_ring_op(op);
    struct engine *engine = op->job_handle->job_loop->engine;
    size_t done = (size_t)op->count, room;
    ring_op->completed = ring_completed;
    ring_op->fd = op->job_file->job_fd;
    switch ((enum file_call)op->job_call) {
    case FILE_CALL_READ:
        ring_op->kind = OP_READ_AT;
        ring_op->read.bytes = job_buf_room(op->job_buf, &room);   /* behind what has come */
        ring_op->read.len = (uint32_t)(op->job_len - done);
        ring_op->read.offset = op->job_offset + done;
        assert(room >= ring_op->read.len);
        break;
    case FILE_CALL_WRITE:
        ring_op->kind = OP_WRITE_AT;
        ring_op->write.vector = file_vector(op);
        ring_op->write.count = file_fill_vector(op, done, &room);
        ring_op->write.offset = op->job_offset + done;
        break;
    default:
        assert(op->job_call == FILE_CALL_SYNC);
        ring_op->kind = OP_SYNC;
        ring_op->sync.is_data_only = op->job_flags != 0;
    }
    owner_pass(op->job_buf, BUF_CODE, BUF_OP);
    int err = engine->type->start(engine, ring_op);
    if (err < 0)
        owner_pass(op->job_buf, BUF_OP, BUF_CODE);
    return err;
}

/* The part that was in flight may have succeeded all the same: nothing follows it. */
static bool is_wanted(struct job_file_op *op)
{
    return handle_is_open(op->job_handle) && !file_ring_op(op)->is_cancelled;
}

/* A read that is short has met the end of the file, or was interrupted. To ask again finds out; but not with O_DIRECT, where what follows
 * would begin in the middle of a block. */
static bool is_to_go_on(struct job_file_op *op, int res)
{
    if (res <= 0 || op->count >= op->job_len || !is_wanted(op))
        return false;
    return op->job_call == FILE_CALL_WRITE || !(op->job_file->job_flags & FILE_DIRECT);
}

static void ring_completed(struct op *ring_op, const struct completion *completion)
{
    struct job_file_op *op = job_container_of(ring_op, struct job_file_op, job_op);
    int res = completion->res;
    owner_pass(op->job_buf, BUF_OP, BUF_CODE);
    if (res > 0)
        op->count += (uint64_t)res;
    if (res > 0 && op->job_call == FILE_CALL_READ)
        (void)job_buf_extend(op->job_buf, (size_t)res);   /* the kernel writes no more than it was asked for */
    if (is_to_go_on(op, res)) {
        res = start_part(op);
        if (res == 0)
            return;
    }
    bool is_short = op->count < op->job_len;
    if (res == 0 && is_short && op->job_call == FILE_CALL_WRITE)
        res = -EIO;         /* the kernel takes nothing and says no reason */
    else if (res > 0 && is_short && !is_wanted(op))
        res = -ECANCELED;   /* there may be more */
    end(op, res < 0 ? res : 0);
}

int file_op_ring(struct job_file_op *op)
{
    op->job_state = FILE_OP_RING;
    int err = start_part(op);
    if (err < 0) {
        file_op_undo(op);
        return err;
    }
    list_push_back((struct list *)op->job_file->job_ops, node_of(op));
    return 0;
}

int job_file_cancel(struct job_file_op *op)
{
    if (!op)
        return -EINVAL;
    if (op->job_state == FILE_OP_IDLE)
        return -ENOENT;
    if (loop_check_thread(op->job_handle->job_loop) < 0)
        return -EPERM;
    switch (op->job_state) {
    case FILE_OP_CALL: (void)job_task_cancel(&op->job_task); return 0;   /* what runs goes on */
    case FILE_OP_RING: {
        struct engine *engine = op->job_handle->job_loop->engine;
        engine->type->cancel(engine, file_ring_op(op));
        return 0;
    }
    default: return 0;
    }
}
