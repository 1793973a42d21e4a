/* slot.c — the life of a slot: taken for a buf, from the cache, a depot or a chunk, and given back; and where its data begins. */
#include "memory/slot.h"

#include <string.h>

#include "base/annotate.h"
#include "base/bits.h"
#include "memory/arena.h"
#include "memory/cache.h"
#include "memory/foreign.h"
#include "memory/owner.h"
#include "memory/starved.h"

unsigned slot_class_for(size_t bytes)
{
    unsigned class = 0;
    while (class < SLOT_CLASSES && slot_class_bytes(class) < bytes)
        class++;
    return class;
}

static size_t colour_of(const struct slot *slot)
{
    size_t colours = min_size(BUF_COLOURS, slot->size / 16 / CACHE_LINE);
    return colours ? (slot->index % colours) * CACHE_LINE : 0;
}

uint8_t *slot_room(const struct slot *slot, size_t *len)
{
    size_t offset = BUF_HEADROOM + colour_of(slot);
    *len = slot->size - offset;
    return slot->memory + offset;
}

struct job_buf *slot_buf(struct slot *slot, size_t len)
{
    size_t room;
    struct job_buf *buf = &slot->home;
    assert(buf->owner == BUF_FREE);
    assert(load_relaxed(&slot->pieces) == 0);   /* nobody else knows the slot */
    uint8_t *data = slot_room(slot, &room);
    assert(len <= room);
    *buf = (struct job_buf){
        .last = buf,
        .slot = slot,
        .data = data,
        .len = (uint32_t)len,
        .low = 0,
        .high = slot->size,
        .segments = 1,
        .total = len,
        .owner = BUF_CODE,
        .is_home = true,
    };
    store_relaxed(&slot->pieces, 1);   /* we own the slot; who gets a piece gets it through a hand-over that orders */
    (void)fetch_add_relaxed(&slot->arena->root->bufs, 1);   /* ledger: orders nothing */
    return buf;
}

static struct slot *took(struct slot *slot)
{
    if (slot) {
        annotate_take(slot);
        annotate_unpoison(slot->memory, slot->size);
        owner_check_untouched(slot, 0, slot->size);
        slot->generation++;
    }
    return slot;
}

/* How hard to try, in this order: what is free; where that ruins nothing, an empty chunk of another class; any empty chunk. */
enum take { TAKE_FREE, TAKE_HARMLESS, TAKE_ANY };

static struct slot *take_of_class(struct job_arena *arena, unsigned class, enum take take)
{
    struct slot *slot = cache_take(arena, class);
    if (slot || take == TAKE_FREE)
        return slot;
    return arena_grow(arena, class, take == TAKE_ANY || !arena_is_one_chunk(arena));
}

/* At the limit a slot that is too large is better than none; and better than the only chunk cut up for a small slot, since until that
 * comes back nobody would find a large one. */
struct slot *slot_take(struct job_arena *arena, unsigned class)
{
    struct slot *slot = take_of_class(arena, class, TAKE_HARMLESS);
    for (unsigned larger = class + 1; !slot && larger < SLOT_CLASSES; larger++)
        slot = take_of_class(arena, larger, TAKE_FREE);
    for (; !slot && class < SLOT_CLASSES; class++)   /* the larger ones again: it may have come back meanwhile */
        slot = take_of_class(arena, class, TAKE_ANY);
    if (!slot)
        arena_count_failed(arena);
    return took(slot);
}

static struct slot *claim_and_take(struct job_arena *arena, unsigned class, enum take take, struct shortage *shortage)
{
    size_t bytes = slot_class_bytes(class);
    struct slot *own = arena_spare(arena) >= bytes ? cache_take_own(arena, class) : NULL;
    if (own)
        return own;   /* counted when it came into the cache: nothing is claimed, so two that look at once do no harm */
    if (!arena_claim_spare(arena, bytes)) {
        shortage->refused_bytes = bytes < shortage->refused_bytes ? bytes : shortage->refused_bytes;
        return NULL;
    }
    struct slot *slot = take_of_class(arena, class, take);   /* counts itself */
    arena_note_back(arena, bytes);
    arena_wake_starved(arena);
    return slot;
}

struct slot *slot_take_spare(struct job_arena *arena, unsigned class, bool is_needed, struct shortage *shortage)
{
    /* pairs with fetch_add_seq_cst in arena_note_freed: what was freed before is found below */
    *shortage = (struct shortage){.frees = load_seq_cst(&arena->frees), .refused_bytes = UINT64_MAX};
    struct slot *slot = claim_and_take(arena, class, TAKE_HARMLESS, shortage);
    if (!is_needed)
        return took(slot);
    for (unsigned larger = class + 1; !slot && larger < SLOT_CLASSES; larger++)
        slot = claim_and_take(arena, larger, TAKE_FREE, shortage);
    for (; !slot && class < SLOT_CLASSES; class++)
        slot = claim_and_take(arena, class, TAKE_ANY, shortage);
    return took(slot);
}

void slot_put(struct slot *slot)
{
    assert(load_relaxed(&slot->pieces) == 0);   /* whoever dropped the last piece is here */
    if (slot->class == SLOT_FOREIGN) {
        foreign_put(slot);
        return;
    }
    annotate_unpoison(slot->memory, slot->size);   /* pieces that went before left theirs poisoned */
    owner_check_frozen(slot);
    annotate_slot_freed(slot->memory, slot->size);
    annotate_give(slot);
    if (slot->class == SLOT_RUN)
        arena_put_run(slot);
    else
        cache_put(slot);
}
