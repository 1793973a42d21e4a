/* buf.c — the life of a buf, its bytes and its room.
 *
 * A buf is a chain of segments, and each segment is a piece of a slot (memory/piece.c). The first one stands for the whole: it knows the
 * last one, the number and the sum. Joining and cutting are in memory/chain.c.
 */
#include "memory/buf.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "memory/arena.h"
#include "memory/owner.h"
#include "memory/piece.h"
#include "memory/starved.h"

bool buf_is_valid(const struct job_buf *buf)
{
    uint64_t total = 0;
    uint32_t segments = 0;
    const struct job_buf *last = NULL;
    for (const struct job_buf *segment = buf; segment; segment = segment->next) {
        if (segment->owner != (segment == buf ? BUF_CODE : BUF_SEGMENT))
            return false;
        if (segment->low > piece_offset(segment) || piece_offset(segment) + segment->len > segment->high ||
            segment->high > segment->slot->size)
            return false;
        total += segment->len;
        segments++;
        last = segment;
    }
    return total == buf->total && segments == buf->segments && last == buf->last;
}

void buf_reset(struct job_buf *buf)
{
    size_t room;
    assert(buf_is_alone(buf) && buf->segments == 1);
    assert(!buf->is_frozen);
    buf->data = slot_room(buf->slot, &room);
    buf->len = 0;
    buf->total = 0;
    buf->low = 0;
    buf->high = buf->slot->size;
    annotate_unpoison(buf->slot->memory, buf->slot->size);   /* pieces that have gone left theirs poisoned */
}

/* Data begins where `room` bytes fit behind it: after the wanted headroom and, if the slot is large enough, its colour. */
static void place_data(struct job_buf *buf, size_t room, const struct job_buf_options *options)
{
    if (options->page_aligned) {
        buf->data = buf->slot->memory;
        return;
    }
    size_t usual;
    uint8_t *data = slot_room(buf->slot, &usual);
    size_t most = buf->slot->size - room;   /* how far from the slot's beginning data may start */
    size_t headroom = min_size((size_t)(data - buf->slot->memory), most);
    buf->data = buf->slot->memory + max_size(headroom, options->headroom);
}

static int buf_alloc(struct job_arena *arena, size_t room, const struct job_buf_options *options, bool is_spare,
                     struct job_buf **out)
{
    static const struct job_buf_options defaults = {0};
    if (!arena || !out || room > TOTAL_BYTES_MAX || (options && (options->headroom > TOTAL_BYTES_MAX)))
        return -EINVAL;
    options = options ? options : &defaults;
    size_t bytes = room + (options->page_aligned ? 0 : options->headroom);
    unsigned class = slot_class_for(bytes);
    struct shortage ignored;
    struct slot *slot = class == SLOT_RUN ? arena_take_run(arena, bytes)
                        : is_spare        ? slot_take_spare(arena, class, false, &ignored)
                                          : slot_take(arena, class);
    if (!slot)
        return -ENOMEM;
    struct job_buf *buf = slot_buf(slot, 0);
    place_data(buf, room, options);
    *out = buf;
    return 0;
}

int job_buf_alloc(struct job_arena *arena, size_t room, const struct job_buf_options *options, struct job_buf **buf)
{
    return buf_alloc(arena, room, options, false, buf);
}

int buf_alloc_spare(struct job_arena *arena, size_t room, struct job_buf **buf)
{
    return buf_alloc(arena, room, NULL, true, buf);
}

void job_buf_free(struct job_buf **pointer)
{
    struct job_buf *buf = pointer ? *pointer : NULL;
    if (!buf)
        return;
    owner_check(buf);   /* else: freed twice, or part of another buf */
    assert_slow(buf_is_valid(buf));
    *pointer = NULL;
    buf_count(buf, -1);
    for (struct job_buf *next; buf; buf = next) {
        next = buf->next;
        piece_drop(buf);
    }
}

void buf_keep(const struct job_buf *buf)
{
    buf_count(buf, -1);
}

void buf_free_kept(struct job_buf **buf)
{
    if (*buf)
        buf_count(*buf, 1);
    job_buf_free(buf);
}

size_t job_buf_len(const struct job_buf *buf)
{
    return buf ? buf->total : 0;
}

size_t job_buf_segments(const struct job_buf *buf)
{
    return buf ? buf->segments : 0;
}

struct job_buf *job_buf_next(const struct job_buf *segment)
{
    return segment ? segment->next : NULL;
}

void *job_buf_data(const struct job_buf *segment)
{
    if (!segment)
        return NULL;
    owner_check_live(segment);
    return segment->data;
}

size_t job_buf_segment_len(const struct job_buf *segment)
{
    return segment ? segment->len : 0;
}

unsigned buf_vector(const struct job_buf *buf, struct iovec *vector, unsigned max)
{
    unsigned count = 0;
    for (; buf && count < max; buf = buf->next) {
        if (buf->len > 0)
            vector[count++] = (struct iovec){.iov_base = buf->data, .iov_len = buf->len};
    }
    return count;
}

void *job_buf_room(const struct job_buf *buf, size_t *len)
{
    owner_check_slow(buf);
    if (len)
        *len = buf ? piece_room(buf->last) : 0;
    return buf ? buf->last->data + buf->last->len : NULL;
}

struct job_arena *job_buf_arena(const struct job_buf *buf)
{
    return buf ? buf->slot->arena : NULL;
}

struct job_buf *job_buf_take(struct job_buf **slot)
{
    struct job_buf *buf = slot ? *slot : NULL;
    if (buf)
        *slot = NULL;
    return buf;
}

void job_buf_replace(struct job_buf **slot, struct job_buf **with)
{
    if (!slot || !with || slot == with)
        return;
    job_buf_free(slot);
    *slot = job_buf_take(with);
}

int job_buf_read(const struct job_buf *buf, size_t offset, void *bytes, size_t len)
{
    if (!buf || offset > buf->total || len > buf->total - offset || (!bytes && len > 0))
        return -EINVAL;
    uint8_t *to = bytes;
    for (const struct job_buf *segment = buf; len > 0; segment = segment->next) {
        size_t skip = min_size(offset, segment->len);
        size_t part = min_size(len, segment->len - skip);
        if (part > 0)
            memcpy(to, segment->data + skip, part);
        to += part;
        len -= part;
        offset -= skip;
    }
    return 0;
}

int job_buf_extend(struct job_buf *buf, size_t len)
{
    owner_check_slow(buf);
    if (!buf || len > piece_room(buf->last))
        return -EINVAL;
    buf->last->len += (uint32_t)len;
    buf->total += len;
    return 0;
}

void *job_buf_prepend(struct job_buf *buf, size_t len)
{
    owner_check_slow(buf);
    if (!buf || len > piece_headroom(buf))
        return NULL;
    buf->data -= len;
    buf->len += (uint32_t)len;
    buf->total += len;
    return buf->data;
}
