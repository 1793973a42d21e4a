/* writer.c — a file in order: one write is under way, what is queued meanwhile is the next one.
 *
 *      idle ──start──▶ open ──finish──▶ finishing ──all written──▶ (sync) ──▶ idle, `end`
 *                       └── an error, a stop ──▶ ending ──nothing under way──────▲
 *
 * One at a time, so that after an error it is known what has been written: all before, nothing behind. A write takes the whole queue, as
 * far as the bound lets it grow, so a slow disk makes writes large and not many. All callbacks come from writer_run(), which runs after a
 * write has ended and from a mail at the end of the turn; `end` is its last touch of the writer.
 */
#include "job/writer.h"

#include <errno.h>

#include "base/limits.h"
#include "io/file.h"
#include "io/flow.h"
#include "memory/arena.h"
#include "memory/owner.h"

enum { WRITER_IDLE, WRITER_OPEN, WRITER_FINISHING, WRITER_ENDING };

/* job_writer.job_flags */
enum {
    WRITER_MAIL = 1,         /* `job_later` is queued */
    WRITER_BUSY = 2,         /* the op is in flight */
    WRITER_WAITS_ROOM = 4,   /* for a thread: the op's task waits */
    WRITER_OWES_ROOM = 8,    /* a write was refused: `writable` is to come */
    WRITER_SYNCS = 16,       /* before it ends */
};

static struct file_flow *flow_of(struct job_writer *writer)
{
    return (struct file_flow *)writer->job_flow;
}

static struct job_loop *loop_of(const struct job_writer *writer)
{
    return writer->job_file->handle.job_loop;
}

static bool has(const struct job_writer *writer, uint32_t flag)
{
    return (writer->job_flags & flag) != 0;
}

static void clear(struct job_writer *writer, uint32_t flag)
{
    writer->job_flags &= ~flag;
}

static void writer_run(struct job_writer *writer);

static void run_later(struct job_mail *mail)
{
    struct job_writer *writer = container_of(mail, struct job_writer, job_later);
    clear(writer, WRITER_MAIL);
    writer_run(writer);
}

static void later(struct job_writer *writer)
{
    if (has(writer, WRITER_MAIL))
        return;
    writer->job_flags |= WRITER_MAIL;
    writer->job_later.job_deliver = run_later;
    loop_defer_mail(loop_of(writer), &writer->job_later);
}

static void begin_end(struct job_writer *writer, int status)
{
    writer->job_state = WRITER_ENDING;
    writer->job_status = status;
}

static void file_closes(struct file_flow *flow)
{
    struct job_writer *writer = (struct job_writer *)((char *)flow - offsetof(struct job_writer, job_flow));
    if (writer->job_state != WRITER_ENDING)
        begin_end(writer, -ECANCELED);
    if (has(writer, WRITER_BUSY))
        (void)job_file_cancel(&writer->job_op);   /* its end comes from a turn */
    loop_unstall(loop_of(writer));   /* perhaps its mail */
    later(writer);
}

/* What was not written comes first in the queue again. */
static void put_back(struct job_writer *writer, struct job_buf *rest, uint64_t written)
{
    (void)job_buf_consume(&rest, (size_t)written);   /* no more than it has */
    if (job_buf_len(rest) == 0) {
        job_buf_free(&rest);
        return;
    }
    struct job_buf *queue = job_buf_take(&writer->job_queue);
    owner_pass(queue, BUF_QUEUE, BUF_CODE);
    if (queue)
        (void)job_buf_append(rest, &queue);   /* of one runtime, and few enough: job_writer_write() looked */
    owner_pass(rest, BUF_CODE, BUF_QUEUE);
    writer->job_queue = rest;
}

static void was_written(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct job_writer *writer = op->data;
    size_t all = job_buf_len(*buf);
    clear(writer, WRITER_BUSY);
    writer->job_written += op->count;
    writer->job_queued -= (size_t)op->count;
    writer->job_segments = 0;
    if (op->count < all) {
        struct job_buf *rest = job_buf_take(buf);
        put_back(writer, rest, op->count);
    }
    if (status < 0 && writer->job_state != WRITER_ENDING)
        begin_end(writer, status);
    job_buf_free(buf);   /* before `writable`: there is memory again */
    writer_run(writer);
}

static void was_synced(struct job_file_op *op, int status, struct job_buf **none)
{
    struct job_writer *writer = op->data;
    (void)none;
    clear(writer, WRITER_BUSY);
    if (writer->job_state != WRITER_ENDING)
        begin_end(writer, status);
    writer_run(writer);
}

static void room_came(struct job_task *task)
{
    struct job_file_op *op = job_container_of(task, struct job_file_op, job_task);
    struct job_writer *writer = op->data;
    clear(writer, WRITER_WAITS_ROOM);
    writer_run(writer);
}

static int start_write(struct job_writer *writer)
{
    struct job_buf *buf = job_buf_take(&writer->job_queue);
    size_t len = job_buf_len(buf);
    uint32_t segments = (uint32_t)job_buf_segments(buf);
    owner_pass(buf, BUF_QUEUE, BUF_CODE);
    int err = file_write(writer->job_file, &writer->job_op, &buf, writer->job_offset, was_written);
    if (err < 0) {
        owner_pass(buf, BUF_CODE, BUF_QUEUE);
        writer->job_queue = buf;
        return err;
    }
    if (writer->job_offset != JOB_FILE_APPEND && writer->job_offset != JOB_FILE_CURRENT)
        writer->job_offset += len;
    writer->job_segments = segments;
    return 0;
}

/* The file has too much to do: -EAGAIN of what was just asked. */
static void wait_for_room(struct job_writer *writer)
{
    int waits = flow_wait_for_room(&writer->job_op, room_came);
    if (waits < 0) {
        begin_end(writer, waits);
    } else if (waits == FLOW_WAITS_ROOM) {
        writer->job_flags |= WRITER_WAITS_ROOM;
    } else if (!has(writer, WRITER_MAIL)) {
        writer->job_flags |= WRITER_MAIL;
        writer->job_later.job_deliver = run_later;
        loop_stall_mail(loop_of(writer), &writer->job_later);
    }
}

/* Asks the file for the next thing; when there is none, and no more is to come, it ends. */
static void go_on(struct job_writer *writer)
{
    bool is_finishing = writer->job_state == WRITER_FINISHING;
    int err;
    if (writer->job_queue) {
        err = start_write(writer);
    } else if (is_finishing && has(writer, WRITER_SYNCS)) {
        err = job_file_sync(writer->job_file, &writer->job_op, false, was_synced);
    } else {
        if (is_finishing)
            begin_end(writer, 0);
        return;
    }
    if (err == 0)
        writer->job_flags |= WRITER_BUSY;
    else if (err == -EAGAIN)
        wait_for_room(writer);
    else
        begin_end(writer, err);
}

/* The last touch. */
static void tell_end(struct job_writer *writer)
{
    struct job_file *file = writer->job_file;
    struct job_loop *loop = loop_of(writer);
    struct job_buf *rest = job_buf_take(&writer->job_queue);
    owner_pass(rest, BUF_QUEUE, BUF_CODE);
    (void)job_task_fini(&writer->job_op.job_task);   /* a wait for room; else there is nothing to end */
    flow_end(flow_of(writer));
    writer->job_state = WRITER_IDLE;
    LOOP_CALL(loop, writer->job_events->end, (writer, writer->job_status, &rest));
    job_buf_free(&rest);
    handle_release(&file->handle);
}

static void writer_run(struct job_writer *writer)
{
    if (!has(writer, WRITER_BUSY | WRITER_WAITS_ROOM) && writer->job_state != WRITER_ENDING)
        go_on(writer);
    bool has_room = writer->job_queued <= writer->job_limit / 2;
    if (has(writer, WRITER_OWES_ROOM) && writer->job_state == WRITER_OPEN && has_room) {
        clear(writer, WRITER_OWES_ROOM);
        if (writer->job_events->writable)
            LOOP_CALL(loop_of(writer), writer->job_events->writable, (writer));
    }
    if (writer->job_state == WRITER_ENDING && !has(writer, WRITER_BUSY | WRITER_MAIL))
        tell_end(writer);
}

static int check(const struct job_writer *writer, const struct job_file *file, const struct job_writer_options *options,
                 const struct job_writer_events *events)
{
    bool is_offset = options->offset != JOB_FILE_APPEND && options->offset != JOB_FILE_CURRENT;
    if (!writer || !events || !events->end || options->limit_bytes > TOTAL_BYTES_MAX)
        return -EINVAL;
    if (is_offset && options->offset > INT64_MAX)
        return -EINVAL;
    int err = flow_check(file);
    return err == 0 && writer->job_state != WRITER_IDLE ? -EBUSY : err;
}

int job_writer_start(struct job_writer *writer, struct job_file *file, const struct job_writer_options *options,
                     const struct job_writer_events *events)
{
    static const struct job_writer_options defaults = {0};
    options = options ? options : &defaults;
    int err = check(writer, file, options, events);
    if (err < 0)
        return err;
    void *data = writer->data;
    *writer = (struct job_writer){.data = data, .job_file = file, .job_events = events};
    writer->job_offset = options->offset;
    writer->job_limit = options->limit_bytes ? options->limit_bytes : WRITER_LIMIT_DEFAULT;
    writer->job_op.data = writer;
    writer->job_state = WRITER_OPEN;
    flow_begin(flow_of(writer), file, file_closes);
    return 0;
}

static int check_open(const struct job_writer *writer)
{
    if (!writer)
        return -EINVAL;
    if (writer->job_state == WRITER_IDLE)
        return -EPIPE;
    if (loop_check_thread(loop_of(writer)) < 0)
        return -EPERM;
    return writer->job_state == WRITER_OPEN ? 0 : -EPIPE;
}

static int check_buf(const struct job_writer *writer, const struct job_buf *buf)
{
    bool is_offset = writer->job_offset != JOB_FILE_APPEND && writer->job_offset != JOB_FILE_CURRENT;
    size_t len = job_buf_len(buf);
    if (!buf || job_buf_arena(buf)->root != loop_of(writer)->root || len > TOTAL_BYTES_MAX)
        return -EINVAL;
    if (is_offset && writer->job_offset + writer->job_queued > INT64_MAX - len)
        return -EINVAL;
    size_t queued = writer->job_queue ? job_buf_segments(writer->job_queue) : 0;
    return writer->job_segments + queued + job_buf_segments(buf) > BUF_SEGMENTS_MAX ? -EOVERFLOW : 0;
}

int job_writer_write(struct job_writer *writer, struct job_buf **buf)
{
    int err = check_open(writer);
    if (err == 0)
        err = buf ? check_buf(writer, *buf) : -EINVAL;
    if (err < 0)
        return err;
    if (writer->job_queued >= writer->job_limit) {
        writer->job_flags |= WRITER_OWES_ROOM;
        return -EAGAIN;
    }
    size_t len = job_buf_len(*buf);
    owner_pass(writer->job_queue, BUF_QUEUE, BUF_CODE);
    if (!writer->job_queue)
        writer->job_queue = job_buf_take(buf);
    else
        (void)job_buf_append(writer->job_queue, buf);   /* all that it may refuse has been looked at */
    owner_pass(writer->job_queue, BUF_CODE, BUF_QUEUE);
    writer->job_queued += len;
    later(writer);
    return 0;
}

int job_writer_finish(struct job_writer *writer, bool is_durable)
{
    int err = check_open(writer);
    if (err < 0)
        return err;
    writer->job_state = WRITER_FINISHING;
    writer->job_flags |= is_durable ? WRITER_SYNCS : 0;
    later(writer);
    return 0;
}

void job_writer_stop(struct job_writer *writer)
{
    if (writer && writer->job_state != WRITER_IDLE && handle_is_here(&writer->job_file->handle, "job_writer_stop"))
        file_closes(flow_of(writer));
}

size_t job_writer_queued(const struct job_writer *writer)
{
    return writer ? writer->job_queued : 0;
}

uint64_t job_writer_written(const struct job_writer *writer)
{
    return writer ? writer->job_written : 0;
}
