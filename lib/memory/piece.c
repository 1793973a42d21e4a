/* piece.c — a slot counts its pieces; whoever drops the last sends it home, on whatever thread that is. */
#include "memory/piece.h"

#include "memory/cache.h"

bool buf_is_alone(const struct job_buf *buf)
{
    return load_acquire(&buf->slot->pieces) == 1;   /* pairs with fetch_sub_acq_rel in piece_drop: others' writes are over */
}

void piece_drop(struct job_buf *segment)
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

struct job_buf *piece_new(struct slot *slot)
{
    struct job_buf *segment = cache_take_descriptor(slot->arena);
    if (!segment)
        return NULL;
    (void)fetch_add_relaxed(&slot->pieces, 1);   /* we own a piece, so it cannot be at zero; the hand-over orders */
    *segment = (struct job_buf){.slot = slot, .owner = BUF_SEGMENT};
    return segment;
}
