/* piece.c — a slot counts its pieces; whoever drops the last sends it home, on whatever thread that is.
 *
 * Windows of pieces whose bytes may change do not overlap. Those of frozen pieces may: a view and its slices (memory/view.c).
 *   States of slot->pieces: 0, in nobody's hands; 1, alone: its owner owns the whole slot; n, shared by n descriptors on as many threads.
 *   split, slice: C1 own a piece, or be lent the sight of one   C2 add 1   C3 hand the new piece over, as any buf is
 *   drop:         D1 all accesses to the bytes are over   D2 the count is 1: store 0; else subtract 1   D3 who made it 0 sends it home
 *   thaw:         T1 own a frozen piece   T2 the count is 1, else refuse   T3 its bytes may be changed again
 * Why no interleaving loses: whoever is at C1, D1 or T1 is himself in the count, so it does not reach 0 under him; and who reads 1 is
 * the only one who could change it. Whoever slices what another owns has that one's piece in the count, since the owner may neither free
 * nor change it meanwhile. The narrowest moment: T2 while another drops. Either it reads 2 and refuses, though a moment later it
 * need not; or it reads 1, then D2 was before, and acquires what D2 released: the other's reads are over before T3 writes.
 * Rejected: a count of views beside that of pieces (the last drop and thaw would have to see two words at once).
 * Accepted: thaw refuses because of any other piece of the slot, also one whose window is not touched.
 */
#include "memory/piece.h"

#include "base/annotate.h"
#include "memory/cache.h"
#include "memory/owner.h"

bool buf_is_alone(const struct job_buf *buf)
{
    bool is_alone = load_acquire(&buf->slot->pieces) == 1;   /* pairs with fetch_sub_acq_rel in piece_drop: others' writes are over */
    if (is_alone)
        annotate_take(buf->slot);
    return is_alone;
}

void piece_drop(struct job_buf *segment)
{
    struct slot *slot = segment->slot;
    /* Alone: nobody else can make a further piece, so no read-modify-write is needed. */
    bool is_last = load_acquire(&slot->pieces) == 1;   /* pairs with the fetch_sub_acq_rel below: others' accesses are over */
    if (segment->is_frozen)
        buf_count_views(segment, -1);
    if (!is_last && annotate_has_asan())
        owner_poison_piece(segment, true);
    segment->owner = BUF_FREE;
    if (!segment->is_home)
        cache_put_descriptor(slot->arena, segment);
    annotate_give(slot);
    if (is_last)
        store_relaxed(&slot->pieces, 0);
    else if (fetch_sub_acq_rel(&slot->pieces, 1) > 1)   /* pairs with itself and with load_acquire above */
        return;
    annotate_take(slot);
    slot_put(slot);
}

struct job_buf *piece_new(struct slot *slot)
{
    struct job_buf *segment = cache_take_descriptor(slot->arena);
    if (!segment)
        return NULL;
    (void)fetch_add_relaxed(&slot->pieces, 1);   /* we own a piece, so it cannot be at zero; the hand-over orders */
    *segment = (struct job_buf){.slot = slot, .owner = BUF_SEGMENT};
    return segment;
}
