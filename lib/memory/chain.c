/* chain.c — joins and cuts chains of segments: append, write, split, consume, truncate, flatten.
 *
 * The first segment stands for the whole: it knows the last one, the number and the sum, so that appending is O(1). Split cuts a
 * segment's window in two, and append joins two windows that meet, so pieces of one slot grow together again without a copy.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/self.h"
#include "memory/owner.h"
#include "memory/piece.h"
#include "stats/line.h"

void buf_count_copied(const struct job_buf *buf, size_t bytes)
{
    (void)fetch_add_relaxed(&buf_root(buf)->copied_bytes, bytes);   /* a count: orders nothing */
    struct stats_line *line = self_unless_forked()->line;
    if (line)
        line_count(line, COUNTER_COPIED_BYTES, bytes);
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
    if (last->slot != tail->slot || last->is_frozen != tail->is_frozen || tail->data != last->data + last->len)
        return false;
    return last->is_frozen || (last->high == tail->low && last->high == piece_offset(tail));
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
    piece_drop(tail);
}

int job_buf_append(struct job_buf *buf, struct job_buf **tail_pointer)
{
    struct job_buf *tail = tail_pointer ? *tail_pointer : NULL;
    if (!buf || !tail || buf == tail || buf_root(buf) != buf_root(tail))
        return -EINVAL;
    owner_check(buf);
    owner_check(tail);
    if (buf->segments + tail->segments > BUF_SEGMENTS_MAX)
        return -EOVERFLOW;
    *tail_pointer = NULL;
    struct job_buf *last = buf->last;
    buf_count(buf, -1);   /* two bufs become one */
    if (is_adjacent(last, tail)) {
        last->high = tail->high;
        tail->low = tail->high;
        absorb(buf, tail);
    } else if (tail->len == 0 || (!tail->is_frozen && tail->len < piece_room(last) >> COPYBREAK_SHIFT)) {
        if (tail->len > 0)
            memcpy(last->data + last->len, tail->data, tail->len);
        buf_count_copied(buf, tail->len);
        absorb(buf, tail);
    } else {
        link_tail(buf, tail);
    }
    assert_slow(buf_is_valid(buf));
    return 0;
}

/* No bytes: zeros. */
static void fill(uint8_t *at, const uint8_t *bytes, size_t len)
{
    if (len > 0 && bytes)
        memcpy(at, bytes, len);
    else if (len > 0)
        memset(at, 0, len);
}

static int write_behind(struct job_buf *buf, const uint8_t *bytes, size_t len)
{
    struct job_buf *more = NULL;
    size_t room = piece_room(buf->last);
    if (len > room) {   /* all or nothing: memory first */
        int err = job_buf_alloc(buf->slot->arena, len - room, NULL, &more);
        if (err < 0)
            return err == -EINVAL ? -ENOMEM : err;
    }
    size_t part = min_size(len, room);
    fill(buf->last->data + buf->last->len, bytes, part);
    buf->last->len += (uint32_t)part;
    buf->total += part;
    if (!more)
        return 0;
    fill(more->data, bytes ? bytes + part : NULL, len - part);
    more->len = (uint32_t)(len - part);
    more->total = len - part;
    buf_count(buf, -1);
    link_tail(buf, more);
    return 0;
}

int job_buf_write(struct job_buf *buf, const void *bytes, size_t len)
{
    owner_check_slow(buf);
    if (!buf || (!bytes && len > 0))
        return -EINVAL;
    return write_behind(buf, bytes, len);
}

/* Makes the segments from `first` on a buf of their own. */
void buf_make_head(struct job_buf *first, struct job_buf *last, uint32_t segments, uint64_t total)
{
    first->owner = BUF_CODE;
    first->last = last;
    first->segments = segments;
    first->total = total;
}

/* Cuts a segment behind its first n bytes: a new segment has the rest of them, and the room. */
static struct job_buf *cut_segment(struct job_buf *segment, size_t n)
{
    struct job_buf *rest = piece_new(segment->slot);
    if (!rest)
        return NULL;
    rest->data = segment->data + n;
    rest->len = segment->len - (uint32_t)n;
    rest->low = piece_offset(rest);
    rest->high = segment->high;
    rest->is_frozen = segment->is_frozen;
    if (rest->is_frozen)
        buf_count_views(rest, 1);
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
        buf_make_head(rest, last, all - segments + 1, buf->total - n);
        buf_make_head(buf, before, segments - 1, n);
    } else {
        rest = cut_segment(segment, left);
        if (!rest)
            return -ENOMEM;
        buf_make_head(rest, segment == last ? rest : last, all - segments + 1, buf->total - n);
        buf_make_head(buf, segment, segments, n);
    }
    buf_count(buf, 1);
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
        buf_make_head(next, buf->last, buf->segments - 1, buf->total - buf->len);
        piece_drop(buf);
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
    buf_make_head(buf, segment, segments, n);
    while (drop) {
        struct job_buf *next = drop->next;
        piece_drop(drop);
        drop = next;
    }
    assert_slow(buf_is_valid(buf));
    return 0;
}

int job_buf_resize(struct job_buf *buf, size_t len)
{
    owner_check_slow(buf);
    if (!buf)
        return -EINVAL;
    return len <= buf->total ? job_buf_truncate(buf, len) : write_behind(buf, NULL, len - buf->total);
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
    buf_count_copied(buf, buf->total);
    job_buf_replace(pointer, &flat);
    return 0;
}
