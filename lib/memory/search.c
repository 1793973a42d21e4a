/* search.c — what a parser needs to look at bytes that lie in several segments: find some, and see some as if they were contiguous. */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "memory/buf.h"

/* Leads to the segment of an offset, and makes it one in that segment; the last segment has its end as well. */
static const struct job_buf *segment_at(const struct job_buf *segment, size_t *offset)
{
    while (segment->next && *offset >= segment->len) {
        *offset -= segment->len;
        segment = segment->next;
    }
    return segment;
}

/* There are `len` bytes from `offset` of the segment on. */
static bool is_here(const struct job_buf *segment, size_t offset, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t part = min_size(len, segment->len - offset);
        if (part > 0 && memcmp(segment->data + offset, bytes, part) != 0)
            return false;
        bytes += part;
        len -= part;
        offset = 0;
        segment = segment->next;
    }
    return true;
}

/* The first place from `from` on; places that begin at `end` or behind it are too near to the buf's end. */
static size_t find(const struct job_buf *buf, size_t from, size_t end, const uint8_t *bytes, size_t len)
{
    size_t offset = from;
    const struct job_buf *segment = segment_at(buf, &offset);
    size_t before = from - offset;   /* bytes of the segments before this one */
    while (before + offset < end) {
        size_t look = min_size(segment->len, end - before) - offset;
        const uint8_t *hit = look > 0 ? memchr(segment->data + offset, bytes[0], look) : NULL;
        if (!hit) {
            before += segment->len;
            offset = 0;
            segment = segment->next;
            if (!segment)
                break;
            continue;
        }
        offset = (size_t)(hit - segment->data);
        if (is_here(segment, offset, bytes, len))
            return before + offset;
        offset++;
    }
    return end;
}

int job_buf_find(const struct job_buf *buf, size_t from, const void *bytes, size_t len, size_t *at)
{
    if (!buf || (!bytes && len > 0) || from > buf->total)
        return -EINVAL;
    size_t end = buf->total - from < len ? from : buf->total - len + 1;
    size_t found = len == 0 ? from : find(buf, from, end, bytes, len);
    if (at)
        *at = found;
    return len > 0 && found == end ? -ENOENT : 0;
}

const void *job_buf_peek(const struct job_buf *buf, size_t offset, size_t len, void *scratch)
{
    if (!buf || offset > buf->total || len > buf->total - offset)
        return NULL;
    size_t skip = offset;
    const struct job_buf *segment = segment_at(buf, &skip);
    if (len <= segment->len - skip)
        return segment->data + skip;
    if (!scratch)
        return NULL;
    (void)job_buf_read(buf, offset, scratch, len);   /* they are there, so it cannot fail */
    return scratch;
}
