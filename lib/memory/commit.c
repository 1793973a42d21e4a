/* commit.c — memory is committed ahead of need and given back after a while, both by the helper, never by a loop.
 *
 * Ahead. Touching a fresh chunk costs the toucher its page faults: 0.1 ms with huge pages, ten times that without. So
 * whoever carves a chunk asks the helper, which commits the next COMMIT_AHEAD_CHUNKS unused ones; they are carved in
 * the same order. Committing changes no byte, so it needs no agreement with a thread that carves the chunk meanwhile:
 * that one only pays some of the faults itself. Nothing is committed before somebody has asked for memory, nor beyond
 * the limit.
 *
 * Back. Every TRIM_AFTER the helper looks how much lies idle, and gives back half of what also lay idle at its last
 * look: unused chunks first, then chunks whose slots are all in their depot. It stops looking when little is left, and
 * begins again with the next growth. states of a chunk that goes: CHUNK_UNUSED or CHUNK_SLOTS with all slots in the
 * helper's hands; CHUNK_LEAVING while its pages go; CHUNK_UNUSED. To find complete chunks the helper takes a whole
 * depot in one exchange, puts the topmost slots back at once, and sorts the rest without any lock. Whoever finds the
 * depot empty meanwhile carves; at the limit, before it says -ENOMEM, it takes the lock `trimming`, which the helper
 * holds until all slots are back: so no thread refuses while memory is in the helper's hands. Rejected: counting free
 * slots by chunk where they are freed (an atomic on a shared line for each slot, on the fast path, for something that
 * happens every ten seconds). A spare arena (worker/spare_arena.c), which nobody is to need soon, gives back all at
 * once, and its depots are emptied under the lock. Accepted: at the limit, in the milliseconds of a trim, a loop may
 * wait for the end of the sorting.
 */
#include "base/annotate.h"
#include "base/bits.h"
#include "base/sys.h"
#include "memory/arena.h"
#include "memory/cache.h"

#include <errno.h>

enum { TRIM_LEAST_CHUNKS = 4, KEPT_BYTES = 1 << 20, KEPT_SLOTS = 64 };

static struct job_arena *arena_of_ahead(struct helper_job *job)
{
    return container_of(job, struct job_arena, ahead);
}

/* The next chunk that shall be ready, marked as committed; chunk_count: all are. */
static unsigned next_to_commit(struct job_arena *arena)
{
    unsigned index = arena->chunk_count, ready = 0;
    arena_lock(&arena->lock);
    unsigned wanted = arena->is_spare ? 0 : COMMIT_AHEAD_CHUNKS;
    for (unsigned i = arena->next_unused; i < arena->chunk_count && ready < wanted; i++) {
        if (arena->chunks[i].state != CHUNK_UNUSED)
            continue;
        ready++;
        if (arena->limit - arena->carved < (size_t)ready << CHUNK_BITS)
            break;
        if (arena->chunks[i].is_committed)
            continue;
        arena_chunk_commits(arena, i);
        index = i;
        break;
    }
    arena_unlock(&arena->lock);
    return index;
}

static bool is_worth_a_look(struct job_arena *arena)
{
    arena_lock(&arena->lock);
    bool is_worth = arena->committed > (arena->is_spare ? 0 : TRIM_LEAST_CHUNKS);
    arena_unlock(&arena->lock);
    return is_worth;
}

static void run_ahead(struct helper_job *job)
{
    struct job_arena *arena = arena_of_ahead(job);
    unsigned index;
    while ((index = next_to_commit(arena)) < arena->chunk_count) {
        if (sys_commit(arena_chunk_memory(arena, index), CHUNK_BYTES) < 0)
            break; /* no memory: whoever touches it will see; the chunk counts as committed, which only makes it go back
                      once more */
    }
    if (is_worth_a_look(arena))
        helper_again(job->helper, &arena->trim, arena->trim_after_ns);
}

static void run_trim(struct helper_job *job)
{
    struct job_arena *arena = container_of(job, struct job_arena, trim);
    arena_trim(arena);
    if (is_worth_a_look(arena))
        helper_again(arena->ahead.helper, job, arena->trim_after_ns);
}

void arena_commit_init(struct job_arena *arena)
{
    helper_job_init(&arena->ahead, arena->root->helper, run_ahead);
    helper_job_init(&arena->trim, arena->root->helper, run_trim);
    arena->trim_after_ns = TRIM_AFTER_NS;
}

void arena_commit_fini(struct job_arena *arena)
{
    helper_forget(arena->root->helper, &arena->ahead);
    helper_forget(arena->root->helper, &arena->trim);
}

/* The pages of a chunk that nobody can reach go. */
static void chunk_leaves(struct job_arena *arena, unsigned index)
{
    annotate_unpoison(arena_chunk_memory(arena, index), CHUNK_BYTES);  /* close looks only at chunks that were used */
    (void)sys_decommit(arena_chunk_memory(arena, index), CHUNK_BYTES); /* cannot fail: the range is mapped */
    arena_lock(&arena->lock);
    arena->chunks[index] = (struct chunk){0};
    arena->committed--;
    arena->next_unused = (unsigned)min_size(arena->next_unused, index);
    arena_unlock(&arena->lock);
}

/* Unused chunks, from the end, but for those that stand ready. */
static unsigned trim_unused(struct job_arena *arena, unsigned most)
{
    unsigned done = 0, ready = 0, first = 0;
    arena_lock(&arena->lock);
    while (first < arena->chunk_count && ready < COMMIT_AHEAD_CHUNKS)
        ready += arena->chunks[first++].state == CHUNK_UNUSED;
    arena_unlock(&arena->lock);
    for (unsigned i = arena->chunk_count; i-- > first && done < most;) {
        struct chunk *chunk = &arena->chunks[i];
        arena_lock(&arena->lock);
        bool is_idle = chunk->state == CHUNK_UNUSED && chunk->is_committed;
        if (is_idle)
            chunk->state = CHUNK_LEAVING;
        arena_unlock(&arena->lock);
        if (is_idle)
            chunk_leaves(arena, i);
        done += is_idle;
    }
    return done;
}

static struct slot *follower(struct job_arena *arena, struct slot *slot)
{
    uint32_t next = load_relaxed(&slot->next); /* the list is ours alone */
    return next ? arena_slot(arena, next - 1) : NULL;
}

/* Takes the class's depot but for its topmost slots. */
static struct slot *take_depot(struct job_arena *arena, unsigned class)
{
    size_t keep = min_size(KEPT_SLOTS, KEPT_BYTES / slot_class_bytes(class));
    struct slot *first = depot_take_all(arena, class), *last = first;
    for (size_t i = 1; last && i < keep; i++)
        last = follower(arena, last);
    if (!last) {
        for (last = first; last && follower(arena, last);)
            last = follower(arena, last);
        if (first)
            depot_push(arena, first, last);
        return NULL;
    }
    struct slot *rest = follower(arena, last);
    depot_push(arena, first, last);
    return rest;
}

static struct chunk *chunk_of(struct job_arena *arena, const struct slot *slot)
{
    return &arena->chunks[slot->index >> (CHUNK_BITS - SLOT_MIN_BITS)];
}

/* Puts back what belongs to chunks that stay; marks at most `most` complete ones as leaving. */
static unsigned sort_slots(struct job_arena *arena, struct slot *rest, unsigned most)
{
    struct slot *first = NULL, *last = NULL;
    unsigned leaving = 0;
    for (struct slot *slot = rest, *next; slot; slot = next) {
        next = follower(arena, slot);
        struct chunk *chunk = chunk_of(arena, slot);
        if (chunk->state == CHUNK_SLOTS && chunk->found == chunk->slots && leaving < most) {
            arena_lock(&arena->lock);
            arena->carved -= chunk->bytes;
            chunk->state = CHUNK_LEAVING;
            arena_unlock(&arena->lock);
            leaving++;
        }
        if (chunk->state == CHUNK_LEAVING)
            continue;
        chunk->found = 0;
        if (last)
            store_relaxed(&last->next, slot->index + 1); /* published by depot_push() */
        first = first ? first : slot;
        last = slot;
    }
    if (first)
        depot_push(arena, first, last);
    return leaving;
}

/* All that are marked. */
static void leave(struct job_arena *arena)
{
    for (unsigned i = 0; i < arena->chunk_count; i++) {
        arena_lock(&arena->lock);
        bool is_leaving = arena->chunks[i].state == CHUNK_LEAVING; /* only this thread makes and ends it */
        arena_unlock(&arena->lock);
        if (!is_leaving)
            continue;
        JOB_MARK(arena_chunk_leaves);
        chunk_leaves(arena, i);
    }
}

static unsigned trim_class(struct job_arena *arena, unsigned class, unsigned most)
{
    struct slot *rest = take_depot(arena, class);
    for (struct slot *slot = rest; slot; slot = follower(arena, slot))
        chunk_of(arena, slot)->found++;
    unsigned leaving = sort_slots(arena, rest, most);
    if (leaving > 0)
        leave(arena);
    return leaving;
}

/* Bytes of pages that hold no slot in anybody's hands and are not to stand ready. */
static size_t idle_bytes(struct job_arena *arena)
{
    arena_lock(&arena->lock);
    size_t committed = ((size_t)arena->committed << CHUNK_BITS) + arena->charged;   /* which is in `out` as well */
    arena_unlock(&arena->lock);
    size_t busy = load_relaxed(&arena->out) + ((size_t)COMMIT_AHEAD_CHUNKS << CHUNK_BITS); /* an estimate */
    return committed > busy ? committed - busy : 0;
}

static void trim_idle(struct job_arena *arena)
{
    size_t idle = idle_bytes(arena);
    unsigned most = (unsigned)((min_size(idle, arena->idle_before) / 2 + CHUNK_BYTES - 1) >> CHUNK_BITS);
    arena->idle_before = idle;
    unsigned done = trim_unused(arena, most);
    for (unsigned class = 0; class < SLOT_CLASSES && done < most; class ++)
        done += trim_class(arena, class, most - done);
}

static void trim_all(struct job_arena *arena)
{
    arena_lock(&arena->lock);
    arena_retire(arena);
    for (unsigned i = 0; i < arena->chunk_count; i++) {
        struct chunk *chunk = &arena->chunks[i];
        if (chunk->state == CHUNK_UNUSED && chunk->is_committed)
            chunk->state = CHUNK_LEAVING;
    }
    arena_unlock(&arena->lock);
    leave(arena);
}

static bool is_spare(struct job_arena *arena)
{
    arena_lock(&arena->lock);
    bool is_spare = arena->is_spare;
    arena_unlock(&arena->lock);
    return is_spare;
}

void arena_trim(struct job_arena *arena)
{
    arena_lock(&arena->trimming);
    if (is_spare(arena))
        trim_all(arena);
    else
        trim_idle(arena);
    arena_unlock(&arena->trimming);
    arena_publish(arena);
}

void arena_set_spare(struct job_arena *arena, bool is_spare)
{
    arena_lock(&arena->lock);
    arena->is_spare = is_spare;
    bool has_pages = arena->committed > 0;
    arena_unlock(&arena->lock);
    if (is_spare && has_pages)
        helper_post(arena->root->helper, &arena->ahead); /* commits nothing, but looks whether a trim is worth it */
}
