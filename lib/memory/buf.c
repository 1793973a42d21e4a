/* buf.c — chains of segments: allocate, write, append, split, cut, flatten, free.
 *
 * The first segment stands for the whole: it knows the last one, the number and the sum, so that appending is O(1). A segment owns a
 * window of its slot; split cuts the window in two, and append joins two windows that meet, so pieces grow together without a copy.
 * The slot counts its pieces; whoever drops the last sends it home, on whatever thread that is.
 */
#include "memory/buf.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/self.h"
#include "memory/arena.h"
#include "memory/cache.h"
#include "memory/owner.h"
#include "memory/slot.h"
#include "memory/starved.h"
#include "stats/line.h"

static const size_t room_max = (size_t)1 << 30;

static struct root *root_of(const struct job_buf *buf)
{
    return buf->slot->arena->root;
}

static void count_bufs(const struct job_buf *buf, int64_t n)
{
    (void)fetch_add_relaxed(&root_of(buf)->bufs, (uint64_t)n);   /* ledger: orders nothing */
}

static void count_copied(const struct job_buf *buf, size_t bytes)
{
    (void)fetch_add_relaxed(&root_of(buf)->copied_bytes, bytes);   /* a count: orders nothing */
    if (self()->line)
        line_count(self()->line, COUNTER_COPIED_BYTES, bytes);
}

static uint32_t offset_of(const struct job_buf *segment)
{
    return (uint32_t)(segment->data - segment->slot->memory);
}

static size_t tail_room(const struct job_buf *segment)
{
    return segment->high - offset_of(segment) - segment->len;
}

bool buf_is_valid(const struct job_buf *buf)
{
    uint64_t total = 0;
    uint32_t segments = 0;
    const struct job_buf *last = NULL;
    for (const struct job_buf *segment = buf; segment; segment = segment->next) {
        if (segment->owner != (segment == buf ? BUF_CODE : BUF_SEGMENT))
            return false;
        if (segment->low > offset_of(segment) || offset_of(segment) + segment->len > segment->high ||
            segment->high > segment->slot->size)
            return false;
        total += segment->len;
        segments++;
        last = segment;
    }
    return total == buf->total && segments == buf->segments && last == buf->last;
}

bool buf_is_alone(const struct job_buf *buf)
{
    return load_acquire(&buf->slot->pieces) == 1;   /* pairs with fetch_sub_acq_rel in segment_drop: others' writes are over */
}

/* The descriptor and its share of the slot go back; the slot too if it was the last piece. */
static void segment_drop(struct job_buf *segment)
{
    struct slot *slot = segment->slot;
    segment->owner = BUF_FREE;
    if (!segment->is_home)
        cache_put_descriptor(slot->arena, segment);
    /* Alone: nobody else can make a further piece, so no read-modify-write is needed. */
    if (load_acquire(&slot->pieces) == 1)   /* pairs with the fetch_sub_acq_rel below: others' accesses are over */
        store_relaxed(&slot->pieces, 0);
    else if (fetch_sub_acq_rel(&slot->pieces, 1) > 1)   /* pairs with itself and with load_acquire above */
        return;
    slot_put(slot);
}

/* A further piece of the slot; it may live on another thread than the first. NULL: no memory. */
static struct job_buf *segment_new(struct slot *slot)
{
    struct job_buf *segment = cache_take_descriptor(slot->arena);
    if (!segment)
        return NULL;
    (void)fetch_add_relaxed(&slot->pieces, 1);   /* we own a piece, so it cannot be at zero; the hand-over orders */
    *segment = (struct job_buf){.slot = slot, .owner = BUF_SEGMENT};
    return segment;
}

void buf_reset(struct job_buf *buf)
{
    size_t room;
    assert(buf_is_alone(buf) && buf->segments == 1);
    buf->data = slot_room(buf->slot, &room);
    buf->len = 0;
    buf->total = 0;
    buf->low = 0;
    buf->high = buf->slot->size;
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
    if (!arena || !out || room > room_max || (options && (options->headroom > room_max)))
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
    count_bufs(buf, -1);
    for (struct job_buf *next; buf; buf = next) {
        next = buf->next;
        segment_drop(buf);
    }
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
        *len = buf ? tail_room(buf->last) : 0;
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
    if (!buf || len > tail_room(buf->last))
        return -EINVAL;
    buf->last->len += (uint32_t)len;
    buf->total += len;
    return 0;
}

void *job_buf_prepend(struct job_buf *buf, size_t len)
{
    owner_check_slow(buf);
    if (!buf || len > offset_of(buf) - buf->low)
        return NULL;
    buf->data -= len;
    buf->len += (uint32_t)len;
    buf->total += len;
    return buf->data;
}

static void link_tail(struct job_buf *buf, struct job_buf *tail)
{
    buf->last->next = tail;
    buf->last = tail->last;
    buf->segments += tail->segments;
    buf->total += tail->total;
    tail->owner = BUF_SEGMENT;
    tail->last = NULL;
}

/* Does `tail` begin where the last segment ends, in the same slot, with nothing of anybody else between? */
static bool is_adjacent(const struct job_buf *last, const struct job_buf *tail)
{
    return last->slot == tail->slot && last->high == tail->low && tail->data == last->data + last->len &&
           last->high == offset_of(tail);
}

/* The first segment of a tail disappears into the last one of buf; what follows it is linked. */
static void absorb(struct job_buf *buf, struct job_buf *tail)
{
    struct job_buf *rest = tail->next;
    buf->last->len += tail->len;
    buf->total += tail->total;
    if (rest) {
        buf->last->next = rest;
        buf->last = tail->last;
        buf->segments += tail->segments - 1;
    }
    tail->owner = BUF_SEGMENT;
    segment_drop(tail);
}

int job_buf_append(struct job_buf *buf, struct job_buf **tail_pointer)
{
    struct job_buf *tail = tail_pointer ? *tail_pointer : NULL;
    if (!buf || !tail || buf == tail || root_of(buf) != root_of(tail))
        return -EINVAL;
    owner_check(buf);
    owner_check(tail);
    if (buf->segments + tail->segments > BUF_SEGMENTS_MAX)
        return -EOVERFLOW;
    *tail_pointer = NULL;
    struct job_buf *last = buf->last;
    count_bufs(buf, -1);   /* two bufs become one */
    if (is_adjacent(last, tail)) {
        last->high = tail->high;
        absorb(buf, tail);
    } else if (tail->len == 0 || tail->len < tail_room(last) >> COPYBREAK_SHIFT) {
        if (tail->len > 0)
            memcpy(last->data + last->len, tail->data, tail->len);
        count_copied(buf, tail->len);
        absorb(buf, tail);
    } else {
        link_tail(buf, tail);
    }
    assert_slow(buf_is_valid(buf));
    return 0;
}

int job_buf_write(struct job_buf *buf, const void *bytes, size_t len)
{
    owner_check_slow(buf);
    if (!buf || (!bytes && len > 0))
        return -EINVAL;
    struct job_buf *more = NULL;
    size_t room = tail_room(buf->last);
    if (len > room) {   /* all or nothing: memory first */
        int err = job_buf_alloc(buf->slot->arena, len - room, NULL, &more);
        if (err < 0)
            return err == -EINVAL ? -ENOMEM : err;
    }
    size_t part = min_size(len, room);
    if (part > 0)
        memcpy(buf->last->data + buf->last->len, bytes, part);
    buf->last->len += (uint32_t)part;
    buf->total += part;
    if (!more)
        return 0;
    memcpy(more->data, (const uint8_t *)bytes + part, len - part);
    more->len = (uint32_t)(len - part);
    more->total = len - part;
    count_bufs(buf, -1);
    link_tail(buf, more);
    return 0;
}

/* Makes the segments from `first` on a buf of their own. */
static void make_head(struct job_buf *first, struct job_buf *last, uint32_t segments, uint64_t total)
{
    first->owner = BUF_CODE;
    first->last = last;
    first->segments = segments;
    first->total = total;
}

/* Cuts a segment behind its first n bytes: a new segment has the rest of them, and the room. */
static struct job_buf *cut_segment(struct job_buf *segment, size_t n)
{
    struct job_buf *rest = segment_new(segment->slot);
    if (!rest)
        return NULL;
    rest->data = segment->data + n;
    rest->len = segment->len - (uint32_t)n;
    rest->low = offset_of(rest);
    rest->high = segment->high;
    rest->next = segment->next;
    segment->len = (uint32_t)n;
    segment->high = rest->low;
    segment->next = NULL;
    return rest;
}

int job_buf_split(struct job_buf **pointer, size_t n, struct job_buf **rest_pointer)
{
    struct job_buf *buf = pointer ? *pointer : NULL;
    if (!buf || !rest_pointer || n > buf->total)
        return -EINVAL;
    owner_check(buf);
    struct job_buf *segment = buf, *before = NULL;
    uint32_t segments = 1;
    size_t left = n;
    while (segment->next && left >= segment->len) {   /* a cut between two segments cuts no slot, but for n == 0 */
        left -= segment->len;
        before = segment;
        segment = segment->next;
        segments++;
    }
    struct job_buf *rest, *last = buf->last;
    uint32_t all = buf->segments;
    if (left == 0 && before) {
        rest = segment;
        before->next = NULL;
        make_head(rest, last, all - segments + 1, buf->total - n);
        make_head(buf, before, segments - 1, n);
    } else {
        rest = cut_segment(segment, left);
        if (!rest)
            return -ENOMEM;
        make_head(rest, segment == last ? rest : last, all - segments + 1, buf->total - n);
        make_head(buf, segment, segments, n);
    }
    count_bufs(buf, 1);
    *rest_pointer = rest;
    assert_slow(buf_is_valid(buf) && buf_is_valid(rest));
    return 0;
}

int job_buf_consume(struct job_buf **pointer, size_t n)
{
    struct job_buf *buf = pointer ? *pointer : NULL;
    if (!buf || n > buf->total)
        return -EINVAL;
    owner_check(buf);
    while (buf->next && n >= buf->len) {   /* whole segments go; the last one stays, perhaps empty */
        struct job_buf *next = buf->next;
        n -= buf->len;
        make_head(next, buf->last, buf->segments - 1, buf->total - buf->len);
        segment_drop(buf);
        buf = next;
    }
    buf->data += n;
    buf->len -= (uint32_t)n;
    buf->total -= n;
    *pointer = buf;
    assert_slow(buf_is_valid(buf));
    return 0;
}

int job_buf_truncate(struct job_buf *buf, size_t n)
{
    owner_check_slow(buf);
    if (!buf || n > buf->total)
        return -EINVAL;
    struct job_buf *segment = buf;
    uint32_t segments = 1;
    size_t left = n;
    while (left > segment->len) {
        left -= segment->len;
        segment = segment->next;
        segments++;
    }
    struct job_buf *drop = segment->next;
    segment->len = (uint32_t)left;
    segment->next = NULL;
    make_head(buf, segment, segments, n);
    while (drop) {
        struct job_buf *next = drop->next;
        segment_drop(drop);
        drop = next;
    }
    assert_slow(buf_is_valid(buf));
    return 0;
}

int job_buf_flatten(struct job_buf **pointer)
{
    struct job_buf *buf = pointer ? *pointer : NULL;
    owner_check_slow(buf);
    if (!buf)
        return -EINVAL;
    if (buf->segments == 1)
        return 0;
    struct job_buf *flat = NULL;
    int err = job_buf_alloc(buf->slot->arena, buf->total, NULL, &flat);
    if (err < 0)
        return -ENOMEM;   /* also when it is larger than any buf can be */
    err = job_buf_read(buf, 0, flat->data, buf->total);
    assert(err == 0);
    flat->len = (uint32_t)buf->total;
    flat->total = buf->total;
    count_copied(buf, buf->total);
    job_buf_replace(pointer, &flat);
    return 0;
}
