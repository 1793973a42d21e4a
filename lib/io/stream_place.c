/* stream_place.c — places in the send queue, so that what is computed in parallel is sent in order.
 *
 *      job_queue   place 1: behind   place 2: behind   …      what is sent goes behind the last place
 *
 * Whoever fills a place hands buf and `behind` to what is before it: another place's `behind`, or the queue itself. So a place that was
 * filled or given up is the user's again at once, in whatever order that happens, and only open ones hold anything up.
 */
#include <errno.h>

#include "base/limits.h"
#include "io/stream.h"
#include "memory/arena.h"
#include "memory/buf.h"
#include "memory/owner.h"

static struct list *places_of(struct job_stream *stream)
{
    return (struct list *)stream->job_places;
}

static struct list *node_of(struct job_place *place)
{
    return (struct list *)place->job_node;
}

static struct job_place *place_of(struct list *node)
{
    return (struct job_place *)((char *)node - offsetof(struct job_place, job_node));
}

/* What ends where `node` begins. */
static struct job_buf **before(struct job_stream *stream, const struct list *node)
{
    return node->prev == places_of(stream) ? &stream->job_queue : &place_of(node->prev)->job_behind;
}

struct job_buf **stream_tail(struct job_stream *stream)
{
    return before(stream, places_of(stream));
}

int job_stream_reserve(struct job_stream *stream, struct job_place *place)
{
    if (!place)
        return -EINVAL;
    int err = stream_check_sending(stream);
    if (err < 0)
        return err;
    if (stream->job_place_count >= STREAM_PLACES_MAX) {
        stream_set(stream, STREAM_OWES_ROOM);
        return -EAGAIN;
    }
    *place = (struct job_place){.job_stream = stream, .job_number = ++stream->job_place_number};
    list_init(node_of(place));
    list_push_back(places_of(stream), node_of(place));
    stream->job_place_count++;
    return 0;
}

static void forget(struct job_place *place)
{
    list_remove(node_of(place));
    place->job_stream->job_place_count--;
    place->job_stream = NULL;
}

/* What was behind it moves to *queue. */
static void leave(struct job_stream *stream, struct job_place *place, struct job_buf **queue)
{
    struct job_buf *behind = job_buf_take(&place->job_behind);
    forget(place);
    stream->job_progress_ns = stream->handle.job_loop->now_ns;
    if (behind) {
        stream->job_segments -= (uint32_t)job_buf_segments(behind);
        owner_pass(behind, BUF_QUEUE, BUF_CODE);
        stream_enqueue(stream, queue, &behind);
    }
    if (queue == &stream->job_queue || stream->job_place_count == 0)
        stream_sendable(stream);
    if (stream_has(stream, STREAM_OWES_ROOM))
        stream_later(stream, STREAM_LATER_ROOM);
}

static int check(const struct job_place *place)
{
    const struct job_stream *stream = place->job_stream;
    int err = stream ? stream_check(stream) : -ECANCELED;
    if (err < 0)
        return err;
    return stream->job_error < 0 ? -ECANCELED : 0;   /* its places are forgotten as soon as the send in flight has ended */
}

/* So many bytes more come into the queue that ends where the place begins. Nothing starts yet: the place is still open. */
static void count(struct job_place *place, size_t len)
{
    stream_notices_shift(place->job_stream, place->job_number, len);
    stream_count_queued(place->job_stream, len);
}

int job_place_fill(struct job_place *place, struct job_buf **buf)
{
    if (!place || !buf || !*buf)
        return -EINVAL;
    int err = check(place);
    if (err < 0)
        return err;
    struct job_stream *stream = place->job_stream;
    if (job_buf_arena(*buf)->root != stream->handle.job_loop->root)
        return -EINVAL;
    owner_check_slow(*buf);
    if (stream->job_segments + job_buf_segments(*buf) > BUF_SEGMENTS_MAX)
        return -EOVERFLOW;
    struct job_buf **queue = before(stream, node_of(place));
    count(place, job_buf_len(*buf));
    stream_enqueue(stream, queue, buf);
    leave(stream, place, queue);
    return 0;
}

int job_place_write(struct job_place *place, const void *bytes, size_t len)
{
    if (!place || (!bytes && len > 0))
        return -EINVAL;
    int err = check(place);
    if (err < 0)
        return err;
    struct job_stream *stream = place->job_stream;
    struct job_buf **queue = before(stream, node_of(place));
    if (stream_gather(*queue, bytes, len)) {
        count(place, len);
        leave(stream, place, queue);
        return 0;
    }
    struct job_buf *buf = NULL;
    err = stream_alloc(stream, len, &buf);
    if (err == 0 && len > 0)
        err = job_buf_write(buf, bytes, len);
    if (err == 0)
        err = job_place_fill(place, &buf);
    job_buf_free(&buf);   /* NULL, unless something failed */
    return err;
}

void job_place_abandon(struct job_place *place)
{
    if (!place || !place->job_stream || !handle_is_here(&place->job_stream->handle, "job_place_abandon"))
        return;
    struct job_stream *stream = place->job_stream;
    leave(stream, place, before(stream, node_of(place)));
}

void stream_places_empty(struct job_stream *stream)
{
    list_each(node, places_of(stream)) {
        struct job_buf *behind = job_buf_take(&place_of(node)->job_behind);
        owner_pass(behind, BUF_QUEUE, BUF_CODE);
        job_buf_free(&behind);
    }
}

void stream_places_drop(struct job_stream *stream)
{
    stream_places_empty(stream);
    while (!list_is_empty(places_of(stream)))
        forget(place_of(list_first(places_of(stream))));
}
