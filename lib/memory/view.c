/* view.c — freezes bytes, so that they can be in several places at once, and slices them.
 *
 * A view is a buf whose segments are marked as frozen. A slice is further pieces of the same slots, whose windows overlap. All that
 * follows from the mark is that nobody finds room to write (memory/piece.h); who may free what and when, and when bytes may be changed
 * again, is the count of pieces that slots have anyway (memory/piece.c).
 */
#include "job/view.h"

#include <errno.h>

#include "base/bits.h"
#include "memory/owner.h"
#include "memory/piece.h"

int job_buf_freeze(struct job_buf *buf)
{
    if (!buf)
        return -EINVAL;
    owner_check(buf);
    for (struct job_buf *segment = buf; segment; segment = segment->next) {
        if (segment->is_frozen)
            continue;
        segment->is_frozen = true;
        segment->low = piece_offset(segment);
        segment->high = segment->low + segment->len;
        owner_freeze(segment);
        buf_count_views(segment, 1);
    }
    return 0;
}

static int check_thaw(const struct job_buf *buf)
{
    for (const struct job_buf *segment = buf; segment; segment = segment->next) {
        if (!segment->is_frozen)
            continue;
        if (segment->slot->class == SLOT_FOREIGN)
            return -EPERM;
        if (!buf_is_alone(segment))
            return -EBUSY;
    }
    return 0;
}

int job_buf_thaw(struct job_buf *buf)
{
    if (!buf)
        return -EINVAL;
    owner_check(buf);
    int err = check_thaw(buf);
    if (err < 0)
        return err;
    for (struct job_buf *segment = buf; segment; segment = segment->next) {
        if (!segment->is_frozen)
            continue;
        owner_check_frozen(segment->slot);
        segment->is_frozen = false;
        segment->low = 0;
        segment->high = segment->slot->size;
        annotate_unpoison(segment->slot->memory, segment->slot->size);   /* as buf_reset() */
        buf_count_views(segment, -1);
    }
    return 0;
}

bool job_buf_is_frozen(const struct job_buf *buf)
{
    const struct job_buf *segment = buf;
    while (segment && segment->is_frozen)
        segment = segment->next;
    return buf && !segment;
}

/* Bytes `skip` to `skip + len` of a segment; NULL: no memory. */
static struct job_buf *slice_segment(const struct job_buf *segment, size_t skip, size_t len)
{
    struct job_buf *piece = piece_new(segment->slot);
    if (!piece)
        return NULL;
    piece->data = segment->data + skip;
    piece->len = (uint32_t)len;
    piece->low = piece_offset(piece);
    piece->high = piece->low + piece->len;
    piece->is_frozen = true;
    buf_count_views(piece, 1);
    return piece;
}

/* The pieces of `view` from `offset` on, linked behind `head`; 0, -EINVAL or -ENOMEM, and whatever was made is linked. */
static int slice_chain(const struct job_buf *view, size_t offset, size_t len, struct job_buf *head)
{
    struct job_buf *last = head;
    while (view->next && offset >= view->len) {
        offset -= view->len;
        view = view->next;
    }
    do {
        size_t part = min_size(len, view->len - offset);
        if (part > 0 || len == 0) {   /* but for empty segments between */
            if (!view->is_frozen)
                return -EINVAL;
            last->next = slice_segment(view, offset, part);
            if (!last->next)
                return -ENOMEM;
            last = last->next;
            head->segments++;
        }
        len -= part;
        offset = 0;
        view = view->next;
    } while (len > 0);
    head->last = last;
    return 0;
}

int job_buf_slice(const struct job_buf *view, size_t offset, size_t len, struct job_buf **slice)
{
    owner_check_slow(view);
    if (!view || !slice || offset > view->total || len > view->total - offset)
        return -EINVAL;
    struct job_buf head = {0};
    int err = slice_chain(view, offset, len, &head);
    struct job_buf *first = head.next;
    if (err < 0) {
        for (struct job_buf *next; first; first = next) {
            next = first->next;
            piece_drop(first);
        }
        return err;
    }
    buf_make_head(first, head.last, head.segments, len);
    buf_count(first, 1);
    *slice = first;
    assert_slow(buf_is_valid(first));
    return 0;
}
