/* chunk.c — how an arena grows chunk by chunk, and re-uses what has become empty.
 *
 * A chunk (2 MiB, a huge page) belongs to one size class; when a class runs dry at the limit, chunks of other classes whose slots are
 * all in their depot are taken from them. In an arena of a single chunk that is the last resort: a small slot cut from it would take the
 * place of all large ones for as long as it lives. All of this happens under one lock, off the fast path: what is in depots and caches
 * needs no lock. -ENOMEM is only said after a look under the lock, so it is never a passing state.
 *
 * Accepted risk: a loop that has to grow may wait for another thread that is growing at that moment, some microseconds of carving or
 * at most a walk over all free slots.
 */
#include "base/annotate.h"
#include "base/bits.h"
#include "memory/arena.h"
#include "memory/starved.h"

#include <errno.h>

/* The first of `count` adjacent unused chunks, or chunk_count. */
static unsigned find_unused(struct job_arena *arena, unsigned count)
{
    unsigned run = 0;
    for (unsigned i = arena->next_unused; i < arena->chunk_count; i++) {
        run = arena->chunks[i].state == CHUNK_UNUSED ? run + 1 : 0;
        if (run == count)
            return i - count + 1;
    }
    return arena->chunk_count;
}

static void slot_init(struct job_arena *arena, struct slot *slot, uint32_t index, unsigned class, uint8_t *memory,
                      size_t size)
{
    slot->arena = arena;
    slot->memory = memory;
    slot->size = (uint32_t)size;
    slot->index = index;
    slot->class = (uint8_t)class;
    slot->home.owner = BUF_FREE;
    store_relaxed(&slot->pieces, 0);   /* published by depot_push() */
}

/* Slots of the class in an unused chunk; all but the first go to the depot. */
static struct slot *carve(struct job_arena *arena, unsigned index, unsigned class)
{
    size_t size = slot_class_bytes(class);
    size_t bytes = min_size(CHUNK_BYTES, arena->limit - arena->carved);
    unsigned count = (unsigned)(bytes / size);
    assert(count > 0 && count <= CHUNK_SLOTS_MAX);
    bool was_used = arena->chunks[index].was_used;
    arena_chunk_commits(arena, index);
    arena->chunks[index] = (struct chunk){.state = CHUNK_SLOTS,
                                          .class = (uint8_t)class,
                                          .was_used = true,
                                          .is_committed = true,
                                          .slots = (uint16_t)count,
                                          .bytes = (uint32_t)(count * size)};
    arena->carved += count * size;
    if (index == arena->next_unused)
        arena->next_unused++;
    struct slot *first = arena_slot(arena, index << (CHUNK_BITS - SLOT_MIN_BITS));
    for (unsigned i = 0; i < count; i++) {
        slot_init(arena, first + i, first->index, class, arena_chunk_memory(arena, index) + i * size, size);
        first[i].index = (index << (CHUNK_BITS - SLOT_MIN_BITS)) + i;
        store_relaxed(&first[i].next, first[i].index + 2);   /* the one behind; the last is linked by depot_push() */
        annotate_unpoison(first[i].memory, size);
        if (was_used)
            annotate_slot_freed(first[i].memory, size);   /* what another class left there is not this one's pattern */
        else
            annotate_poison(first[i].memory, size);
        annotate_give(first + i);
    }
    if (count > 1)
        depot_push(arena, first + 1, first + count - 1);
    return first;
}

/* Takes a whole depot, counts what it finds of each chunk, and keeps the chunks that are complete; the rest goes back. Whoever finds
 * the depot empty meanwhile comes to the lock. */
static void retire_class(struct job_arena *arena, unsigned class)
{
    enum { BATCH = 64 };
    struct slot *taken[BATCH], *all = NULL;
    unsigned count;
    while ((count = depot_pop(arena, class, taken, BATCH)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            arena->chunks[taken[i]->index >> (CHUNK_BITS - SLOT_MIN_BITS)].found++;
            taken[i]->home.next = (struct job_buf *)all;   /* free slots: their descriptors are ours to link with */
            all = taken[i];
            annotate_take(all);
        }
    }
    while (all) {
        struct slot *slot = all;
        all = (struct slot *)slot->home.next;
        slot->home.next = NULL;
        struct chunk *chunk = &arena->chunks[slot->index >> (CHUNK_BITS - SLOT_MIN_BITS)];
        annotate_give(slot);
        if (chunk->found < chunk->slots)
            depot_push(arena, slot, slot);
    }
    for (unsigned i = 0; i < arena->chunk_count; i++) {
        struct chunk *chunk = &arena->chunks[i];
        if (chunk->state != CHUNK_SLOTS || chunk->class != class)
            continue;
        if (chunk->found == chunk->slots) {
            JOB_MARK(arena_retires_chunk);
            arena->carved -= chunk->bytes;
            *chunk = (struct chunk){.was_used = true, .is_committed = true};
            arena->next_unused = (unsigned)min_size(arena->next_unused, i);
        }
        chunk->found = 0;
    }
}

static void retire_others(struct job_arena *arena, unsigned class)
{
    for (unsigned other = 0; other < SLOT_CLASSES; other++) {
        if (other != class)
            retire_class(arena, other);
    }
}

void arena_retire(struct job_arena *arena)
{
    if (arena->carved > 0)   /* else all depots are empty, and a large range has many chunks to look at */
        retire_others(arena, SLOT_CLASSES);
}

static bool can_carve(struct job_arena *arena, size_t bytes)
{
    return arena->limit - arena->carved >= bytes;
}

/* From the depot, since somebody may have been faster, or from a chunk; NULL: neither. */
static struct slot *pop_or_carve(struct job_arena *arena, unsigned class)
{
    struct slot *slot;
    if (depot_pop(arena, class, &slot, 1) == 1)
        return slot;
    unsigned index = can_carve(arena, slot_class_bytes(class)) ? find_unused(arena, 1) : arena->chunk_count;
    return index < arena->chunk_count ? carve(arena, index, class) : NULL;
}

/* Memory may be in others' depots, or in the hands of a trim. */
static struct slot *retire_and_carve(struct job_arena *arena, unsigned class)
{
    arena_lock(&arena->trimming);
    arena_lock(&arena->lock);
    struct slot *slot = pop_or_carve(arena, class);
    if (!slot) {
        retire_others(arena, class);
        slot = pop_or_carve(arena, class);
    }
    arena_unlock(&arena->lock);
    arena_unlock(&arena->trimming);
    return slot;
}

struct slot *arena_grow(struct job_arena *arena, unsigned class, bool may_retire)
{
    size_t size = slot_class_bytes(class);
    arena_note_out(arena, size);
    arena_lock(&arena->lock);
    struct slot *slot = pop_or_carve(arena, class);
    arena_unlock(&arena->lock);
    if (!slot && may_retire)
        slot = retire_and_carve(arena, class);
    if (!slot) {
        arena_note_back(arena, size);
        arena_wake_starved(arena);
        return NULL;
    }
    arena_publish(arena);
    helper_post(arena->root->helper, &arena->ahead);
    return slot;
}

static struct slot *carve_run(struct job_arena *arena, unsigned count)
{
    size_t size = (size_t)count << CHUNK_BITS;
    unsigned index = can_carve(arena, size) ? find_unused(arena, count) : arena->chunk_count;
    if (index == arena->chunk_count)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        struct chunk *chunk = &arena->chunks[index + i];
        arena_chunk_commits(arena, index + i);
        chunk->state = i == 0 ? CHUNK_RUN : CHUNK_RUN_TAIL;
        chunk->class = SLOT_RUN;
        chunk->was_used = true;
        chunk->chunks = i == 0 ? count : 0;
    }
    arena->carved += size;
    struct slot *slot = arena_slot(arena, index << (CHUNK_BITS - SLOT_MIN_BITS));
    slot_init(arena, slot, index << (CHUNK_BITS - SLOT_MIN_BITS), SLOT_RUN, arena_chunk_memory(arena, index), size);
    annotate_unpoison(slot->memory, size);
    return slot;
}

struct slot *arena_take_run(struct job_arena *arena, size_t bytes)
{
    unsigned count = (unsigned)((bytes + CHUNK_BYTES - 1) >> CHUNK_BITS);
    size_t size = (size_t)count << CHUNK_BITS;
    arena_note_out(arena, size);
    arena_lock(&arena->lock);
    struct slot *slot = carve_run(arena, count);
    arena_unlock(&arena->lock);
    if (!slot) {
        arena_lock(&arena->trimming);
        arena_lock(&arena->lock);
        retire_others(arena, SLOT_RUN);
        slot = carve_run(arena, count);
        arena_unlock(&arena->lock);
        arena_unlock(&arena->trimming);
    }
    if (!slot) {
        arena_note_back(arena, size);
        arena_wake_starved(arena);
        arena_count_failed(arena);
    }
    arena_publish(arena);
    helper_post(arena->root->helper, &arena->ahead);
    return slot;
}

/* The pages stay: giving them back takes a loop a millisecond for each 10 MiB, and so does touching them again. */
void arena_put_run(struct slot *slot)
{
    struct job_arena *arena = slot->arena;
    unsigned index = slot->index >> (CHUNK_BITS - SLOT_MIN_BITS);
    size_t size = slot->size;
    annotate_unpoison(slot->memory, size);
    arena_lock(&arena->lock);
    unsigned count = arena->chunks[index].chunks;
    assert(arena->chunks[index].state == CHUNK_RUN && (size_t)count << CHUNK_BITS == size);
    for (unsigned i = 0; i < count; i++)
        arena->chunks[index + i] = (struct chunk){.was_used = true, .is_committed = true};
    arena->carved -= size;
    arena->next_unused = (unsigned)min_size(arena->next_unused, index);
    arena_unlock(&arena->lock);
    arena_note_freed(arena, size);
    arena_publish(arena);
    arena_wake_starved(arena);
}

/* Under the lock. */
static bool charge(struct job_arena *arena, size_t bytes)
{
    if (!can_carve(arena, bytes))
        return false;
    arena->carved += bytes;
    arena->charged += bytes;
    return true;
}

/* Chunks that are empty make room; their pages go back with the next trims. */
int arena_charge(struct job_arena *arena, size_t bytes)
{
    arena_note_out(arena, bytes);
    arena_lock(&arena->lock);
    bool fits = charge(arena, bytes);
    arena_unlock(&arena->lock);
    if (!fits) {
        arena_lock(&arena->trimming);
        arena_lock(&arena->lock);
        retire_others(arena, SLOT_RUN);
        fits = charge(arena, bytes);
        arena_unlock(&arena->lock);
        arena_unlock(&arena->trimming);
    }
    if (!fits) {
        arena_note_back(arena, bytes);
        arena_wake_starved(arena);
    }
    arena_publish(arena);
    return fits ? 0 : -ENOMEM;
}

void arena_uncharge(struct job_arena *arena, size_t bytes)
{
    arena_lock(&arena->lock);
    assert(arena->charged >= bytes);
    arena->charged -= bytes;
    arena->carved -= bytes;
    arena_unlock(&arena->lock);
    arena_note_freed(arena, bytes);
    arena_publish(arena);
    arena_wake_starved(arena);
}
