/* stream_exact.c — data of a known length, contiguous.
 *
 * Up to a receive slot they are gathered where all late data waits, and made one segment only when they are not one already. More is
 * received by operations of one completion straight into a buf that is large enough; what the operation with many completions still brings
 * meanwhile is copied there. Which of the two is next is decided whenever a receive starts, so nothing else has to know.
 */
#include <errno.h>

#include "base/bits.h"
#include "io/stream.h"
#include "memory/buf.h"
#include "memory/owner.h"

static bool fill_is_in_flight(const struct job_stream *stream)
{
    const struct op *op = (const struct op *)stream->job_receive_op;
    return op_is_in_flight(op) && op->kind == OP_FILL;
}

static size_t missing(const struct job_stream *stream)
{
    return (size_t)stream->job_expected - job_buf_len(stream->job_exact);
}

bool stream_fills(const struct job_stream *stream)
{
    return fill_is_in_flight(stream) || (stream->job_exact && !stream->job_waiting && missing(stream) > 0);
}

static void count_copied(struct job_loop *loop, size_t len)
{
    line_count(loop->line, COUNTER_COPIED_BYTES, len);
    (void)fetch_add_relaxed(&loop->root->copied_bytes, len);   /* a count: orders nothing */
}

/* What waits goes where it is expected. */
static void copy_waiting(struct job_stream *stream)
{
    size_t room, len = stream->job_waiting ? min_size(missing(stream), job_buf_len(stream->job_waiting)) : 0;
    if (len == 0)
        return;
    void *at = job_buf_room(stream->job_exact, &room);
    assert(room >= len);
    int err = job_buf_read(stream->job_waiting, 0, at, len);
    assert(err == 0);
    (void)job_buf_extend(stream->job_exact, len);
    (void)job_buf_consume(&stream->job_waiting, len);
    if (job_buf_len(stream->job_waiting) == 0)
        job_buf_free(&stream->job_waiting);
    count_copied(stream->handle.job_loop, len);
}

static struct job_buf *next_large(struct job_stream *stream)
{
    if (fill_is_in_flight(stream))
        return NULL;
    copy_waiting(stream);
    if (missing(stream) > 0 && !stream_has(stream, STREAM_ENDED))
        return NULL;
    stream->job_expected = 0;
    if (job_buf_len(stream->job_exact) == 0)
        job_buf_free(&stream->job_exact);
    return job_buf_take(&stream->job_exact);
}

/* The first bytes of what waits, as one segment; NULL: no memory for that, which is waited for. */
static struct job_buf *cut(struct job_stream *stream)
{
    struct job_buf *rest = NULL;
    if (job_buf_split(&stream->job_waiting, (size_t)stream->job_expected, &rest) < 0)
        return NULL;
    if (job_buf_flatten(&stream->job_waiting) < 0) {
        int err = job_buf_append(stream->job_waiting, &rest);
        assert(err == 0);   /* it was one buf a moment ago */
        return NULL;
    }
    struct job_buf *whole = job_buf_take(&stream->job_waiting);
    if (job_buf_len(rest) > 0)
        stream->job_waiting = job_buf_take(&rest);
    job_buf_free(&rest);
    stream->job_expected = 0;
    return whole;
}

static struct job_buf *next_small(struct job_stream *stream)
{
    if (!stream->job_waiting)
        return NULL;
    if (job_buf_len(stream->job_waiting) < stream->job_expected && !stream_has(stream, STREAM_ENDED))
        return NULL;
    stream->job_expected = min_size((size_t)stream->job_expected, job_buf_len(stream->job_waiting));
    struct job_buf *whole = cut(stream);
    if (whole)
        return whole;
    stream_wait_for_memory(stream);
    return cut(stream);
}

struct job_buf *stream_next_data(struct job_stream *stream)
{
    if (stream->job_exact)
        return next_large(stream);
    return stream->job_expected > 0 ? next_small(stream) : job_buf_take(&stream->job_waiting);
}

/* What was gathered in a large buf comes first. False: the kernel still has it. */
static bool take_back(struct job_stream *stream)
{
    if (fill_is_in_flight(stream))
        return false;
    struct job_buf *gathered = job_buf_take(&stream->job_exact);
    if (gathered && job_buf_len(gathered) > 0) {
        if (stream->job_waiting) {
            int err = job_buf_append(gathered, &stream->job_waiting);
            assert(err == 0);
        }
        stream->job_waiting = job_buf_take(&gathered);
    }
    job_buf_free(&gathered);
    stream->job_expected = 0;
    return true;
}

/* The kernel has given back what was expected, and nobody wants it whole any more. What is complete comes all the same. */
static bool give_up_if_cancelled(struct job_stream *stream)
{
    bool is_cancelled = stream_has(stream, STREAM_EXPECT_CANCELLED);
    stream_clear(stream, STREAM_EXPECT_CANCELLED);
    if (!is_cancelled || missing(stream) == 0)
        return false;
    bool was_ours = take_back(stream);
    assert(was_ours);   /* its operation has just ended */
    return true;
}

static void fill_completed(struct op *op, const struct completion *completion)
{
    struct job_stream *stream = job_container_of(op, struct job_stream, job_receive_op);
    owner_pass(stream->job_exact, BUF_OP, BUF_CODE);
    if (completion->res > 0) {
        int err = job_buf_extend(stream->job_exact, (size_t)completion->res);
        assert(err == 0);   /* it was given no more room than that */
        stream_receive_arrived(stream, (size_t)completion->res);
    }
    if (!stream_may_tell(stream) || stream_has(stream, STREAM_END_TOLD))
        stream_exact_drop(stream);
    else if (give_up_if_cancelled(stream) || completion->res > 0)
        stream_deliver(stream);
    if (handle_is_open(&stream->handle))
        stream_receive_ended(stream, completion->res > 0 ? -ECANCELED : completion->res);   /* it goes on, as is right by now */
    stream_finish_step(stream);
    handle_release(&stream->handle);
}

int stream_fill_start(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    struct op *op = stream_receive_op(stream);
    size_t room;
    op->completed = fill_completed;
    op->kind = OP_FILL;
    op->fd = stream->job_fd;
    op->read.bytes = job_buf_room(stream->job_exact, &room);
    op->read.len = (uint32_t)missing(stream);
    assert(room >= op->read.len);
    int err = loop->engine->type->start(loop->engine, op);
    if (err < 0)
        return err;
    owner_pass(stream->job_exact, BUF_CODE, BUF_OP);
    handle_hold(&stream->handle);
    return 0;
}

void stream_exact_drop(struct job_stream *stream)
{
    if (fill_is_in_flight(stream))
        return;   /* the kernel may write there until it has ended */
    job_buf_free(&stream->job_exact);
    stream->job_expected = 0;
}

bool stream_expect_cancel(struct job_stream *stream)
{
    if (stream->job_expected == 0)
        return false;
    if (take_back(stream)) {
        stream_later(stream, STREAM_LATER_RESUME);
        return true;
    }
    stream_set(stream, STREAM_EXPECT_CANCELLED);
    stream_receive_cancel(stream);
    return true;
}

int job_stream_expect(struct job_stream *stream, size_t len)
{
    if (len > TOTAL_BYTES_MAX)
        return -EINVAL;
    int err = stream_check(stream);
    if (err == 0 && stream_has(stream, STREAM_LEAVING))
        err = -EBUSY;
    if (err < 0)
        return err;
    struct job_loop *loop = stream->handle.job_loop;
    struct job_buf *exact = NULL;
    if (len > loop->receive_slot_bytes)
        err = job_buf_alloc(loop->arena, len, NULL, &exact);
    if (err == 0 && !take_back(stream))
        err = -EBUSY;
    if (err < 0) {
        job_buf_free(&exact);
        return err;
    }
    stream->job_expected = len;
    stream->job_exact = exact;
    if (exact && op_is_in_flight(stream_receive_op(stream)) && !stream_has(stream, STREAM_CONNECTING))
        stream_receive_cancel(stream);   /* what is on its way is copied, the rest is not */
    stream_later(stream, STREAM_LATER_RESUME);
    return 0;
}
