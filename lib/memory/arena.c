/* arena.c — how an arena opens, grows chunk by chunk, re-uses what has become empty, and closes.
 *
 * The range of addresses is reserved at open and never moves. A chunk (2 MiB, a huge page) belongs to one size class; when a class
 * runs dry at the limit, chunks of other classes whose slots are all in their depot are taken from them. In an arena of a single chunk
 * that is the last resort: a small slot cut from it would take the place of all large ones for as long as it lives. All of this happens
 * under one lock, off the fast path: what is in depots and caches needs no lock. -ENOMEM is only said after a look under the lock, so
 * it is never a passing state.
 *
 * Accepted risk: a loop that has to grow may wait for another thread that is growing at that moment, some microseconds of carving or
 * at most a walk over all free slots.
 */
#include "memory/arena.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/bits.h"
#include "base/container.h"
#include "base/self.h"
#include "base/sys.h"
#include "memory/starved.h"
#include "stats/segment.h"

enum { ARENA_CHUNKS_MAX = 1 << 21 };   /* 4 TiB: indices of slots stay below 2^31 */

static const size_t arena_limit_least = (size_t)1 << SLOT_MIN_BITS;
static const size_t arena_limit_most = ((size_t)ARENA_CHUNKS_MAX - 2) << CHUNK_BITS;

static int map_arena(struct job_arena *arena)
{
    void *base = NULL, *slots = NULL;
    size_t bytes = (size_t)arena->chunk_count << CHUNK_BITS;
    size_t records = (size_t)arena->chunk_count * CHUNK_SLOTS_MAX * sizeof(struct slot);
    int err = sys_reserve(bytes + CHUNK_BYTES, &base);   /* one more, to begin at a huge page */
    if (err < 0)
        return err;
    err = sys_reserve_small(records, &slots);
    if (err < 0) {
        (void)sys_release(base, bytes + CHUNK_BYTES);
        return err;
    }
    arena->mapped = base;
    arena->base = (uint8_t *)round_up((uintptr_t)base, CHUNK_BYTES);
    arena->slots = slots;
    return 0;
}

static void unmap_arena(struct job_arena *arena)
{
    size_t bytes = (size_t)arena->chunk_count << CHUNK_BITS;
    for (unsigned i = 0; i < arena->chunk_count; i++) {   /* not all of the range: its shadow would be written, an eighth of it */
        if (arena->chunks[i].was_used)
            annotate_unpoison(arena_chunk_memory(arena, i), CHUNK_BYTES);
    }
    (void)sys_release(arena->mapped, bytes + CHUNK_BYTES);
    (void)sys_release(arena->slots, (size_t)arena->chunk_count * CHUNK_SLOTS_MAX * sizeof(struct slot));
}

static void set_reserve(struct job_arena *arena)
{
    store_relaxed(&arena->reserve, max_size(arena->reserve_least, arena->outputs));   /* a bound, met at the next claim: orders nothing */
}

static void set_limits(struct job_arena *arena, const struct job_arena_options *options)
{
    arena->limit = options->limit_bytes ? options->limit_bytes : container_memory() / 4;
    arena->limit = round_up(min_size(arena->limit, arena_limit_most + 1), arena_limit_least);
    arena->reserve_least = options->reserve_bytes ? options->reserve_bytes : arena->limit / 4;
    set_reserve(arena);
    size_t slots = options->cache_slots_max == JOB_ARENA_NO_CACHE ? 0
                   : options->cache_slots_max                     ? options->cache_slots_max
                                                                  : CACHE_SLOTS_MAX;
    arena->cache_bytes = slots > 0 ? arena->limit / CACHE_SHARE : 0;
    for (unsigned class = 0; class < SLOT_CLASSES; class++)
        arena->cache_max[class] = (unsigned)min_size(slots, CACHE_SLOTS_MAX);
}

int arena_open(struct root *root, struct job_arena **out, const struct job_arena_options *options)
{
    static const struct job_arena_options defaults = {0};
    options = options ? options : &defaults;
    if (options->limit_bytes && options->limit_bytes < arena_limit_least)
        return -EINVAL;
    struct job_arena *arena = alloc_lines(root, sizeof *arena);
    if (!arena)
        return -ENOMEM;
    arena->root = root;
    strncpy(arena->name, options->name ? options->name : "arena", sizeof arena->name - 1);
    set_limits(arena, options);
    int err = -EINVAL;
    size_t chunks = (arena->limit >> CHUNK_BITS) + 2;   /* a partial one, and one to move to */
    if (arena->limit > arena_limit_most || arena->reserve_least > arena->limit)
        goto free_arena;
    err = -ENOMEM;
    arena->chunk_count = (unsigned)chunks;
    arena->chunks = alloc_zeroed(root, chunks * sizeof(struct chunk));
    if (!arena->chunks)
        goto free_arena;
    err = map_arena(arena);
    if (err < 0)
        goto free_chunks;
    (void)pthread_mutex_init(&arena->lock, NULL);
    (void)pthread_mutex_init(&arena->trimming, NULL);
    arena_commit_init(arena);
    arena->shown = stats_arena_claim(root->stats, arena->name);
    arena_publish(arena);
    *out = arena;
    return 0;
free_chunks:
    alloc_free(root, arena->chunks);
free_arena:
    alloc_free(root, arena);
    return err;
}

int arena_close(struct job_arena **arena_pointer)
{
    struct job_arena *arena = *arena_pointer;
    if (!arena)
        return 0;
    uint64_t out = load_relaxed(&arena->out);       /* no other thread uses the arena any more */
    uint32_t users = load_relaxed(&arena->users);
    uint32_t wraps = load_relaxed(&arena->wraps);
    if (out > 0 || users > 0 || wraps > 0) {
        log_write(&arena->root->log, JOB_LOG_ERROR,
                  "arena %s cannot be closed: %llu bytes in use, %u caches or loops, %u pieces of foreign memory in views",
                  arena->name, (unsigned long long)out, users, wraps);
        return -EBUSY;
    }
    struct root *root = arena->root;
    arena_commit_fini(arena);
    stats_arena_release(arena->shown);
    unmap_arena(arena);
    (void)pthread_mutex_destroy(&arena->trimming);
    (void)pthread_mutex_destroy(&arena->lock);
    alloc_free(root, arena->chunks);
    alloc_free(root, arena);
    *arena_pointer = NULL;
    return 0;
}

int job_arena_open(struct job_runtime *runtime, struct job_arena **arena, const struct job_arena_options *options)
{
    if (!runtime || !arena)
        return -EINVAL;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    int err = arena_open(root, arena, options);
    if (err == 0)
        (void)fetch_add_relaxed(&root->users, 1);   /* ledger: orders nothing */
    return err;
}

int job_arena_close(struct job_arena **arena)
{
    if (!arena)
        return -EINVAL;
    if (!*arena)
        return 0;
    struct root *root = (*arena)->root;
    if (*arena == root->arena)
        return -EINVAL;
    int err = arena_close(arena);
    if (err == 0)
        (void)fetch_sub_relaxed(&root->users, 1);   /* ledger: orders nothing */
    return err;
}

/* Whoever holds memory adds to one of the two sums, if all of them still fit: then whatever others do, each can make progress. */
static int hold(struct job_arena *arena, size_t rings, size_t outputs)
{
    arena_lock(&arena->lock);
    size_t reserve = max_size(arena->reserve_least, arena->outputs + outputs);
    size_t others = arena->held + arena->cache_bytes;
    size_t left = arena->limit > others ? arena->limit - others : 0;
    bool fits = rings <= left && reserve <= left - rings;
    size_t sum = others + rings + reserve;
    if (fits) {
        arena->held += rings;
        arena->outputs += outputs;
        set_reserve(arena);
    }
    arena_unlock(&arena->lock);
    arena_publish(arena);
    if (fits)
        return 0;
    log_write(&arena->root->log, JOB_LOG_ERROR,
              "arena %s: receive rings, caches, and the reserve or an output for each pool thread need %zu bytes, its limit is %zu: "
              "raise the limit, or lower receive_slots or the number of workers",
              arena->name, sum, arena->limit);
    return -EINVAL;
}

int arena_hold(struct job_arena *arena, size_t bytes)
{
    return hold(arena, bytes, 0);
}

void arena_unhold(struct job_arena *arena, size_t bytes)
{
    arena_lock(&arena->lock);
    assert(arena->held >= bytes);
    arena->held -= bytes;
    arena_unlock(&arena->lock);
    arena_publish(arena);
}

int arena_hold_outputs(struct job_arena *arena, size_t bytes)
{
    return hold(arena, 0, bytes);
}

void arena_unhold_outputs(struct job_arena *arena, size_t bytes)
{
    arena_lock(&arena->lock);
    assert(arena->outputs >= bytes);
    arena->outputs -= bytes;
    set_reserve(arena);
    arena_unlock(&arena->lock);
    arena_wake_starved(arena);   /* what was reserved may be spare now */
}

void arena_share_cache(struct job_arena *arena, int caches)
{
    arena_lock(&arena->lock);
    arena->caches += (unsigned)caches;
    size_t share = arena->caches > 0 ? arena->cache_bytes / arena->caches : 0;
    store_relaxed(&arena->cache_share, share);   /* a bound, met at each cache's next free: orders nothing */
    arena_unlock(&arena->lock);
}

size_t arena_spare(struct job_arena *arena)
{
    size_t taken = load_seq_cst(&arena->out) + load_relaxed(&arena->reserve);   /* pairs with fetch_sub_seq_cst in arena_note_back */
    return taken < arena->limit ? arena->limit - taken : 0;
}

void arena_note_out(struct job_arena *arena, size_t bytes)
{
    (void)fetch_add_seq_cst(&arena->out, bytes);   /* pairs with load_seq_cst in arena_spare */
    stats_arena_use(arena->shown, (int64_t)bytes);
}

void arena_note_freed(struct job_arena *arena, size_t bytes)
{
    arena_note_back(arena, bytes);
    (void)fetch_add_seq_cst(&arena->frees, 1);   /* pairs with load_seq_cst in arena_wake_starved and slot_take_spare */
}

void arena_note_back(struct job_arena *arena, size_t bytes)
{
    (void)fetch_sub_seq_cst(&arena->out, bytes);   /* pairs with load_seq_cst in arena_spare */
    stats_arena_use(arena->shown, -(int64_t)bytes);
}

bool arena_claim_spare(struct job_arena *arena, size_t bytes)
{
    uint64_t out = load_seq_cst(&arena->out);   /* pairs with fetch_sub_seq_cst in arena_note_back */
    uint64_t reserve = load_relaxed(&arena->reserve);   /* a bound: orders nothing */
    do {
        if (out + bytes + reserve > arena->limit)
            return false;
    } while (!cas_seq_cst(&arena->out, &out, out + bytes));   /* pairs with itself: two that look at once do not both get it */
    stats_arena_use(arena->shown, (int64_t)bytes);
    return true;
}

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
        }
    }
    while (all) {
        struct slot *slot = all;
        all = (struct slot *)slot->home.next;
        slot->home.next = NULL;
        struct chunk *chunk = &arena->chunks[slot->index >> (CHUNK_BITS - SLOT_MIN_BITS)];
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

void arena_publish(struct job_arena *arena)
{
    arena_lock(&arena->lock);
    stats_arena_set(arena->shown, arena->limit, arena->carved, arena->held);
    arena_unlock(&arena->lock);
}

void job_arena_stats(const struct job_arena *const_arena, struct job_arena_stats *stats)
{
    if (!stats)
        return;
    *stats = (struct job_arena_stats){0};
    if (!const_arena)
        return;
    struct job_arena *arena = (struct job_arena *)const_arena;   /* the lock is not part of its value */
    arena_lock(&arena->lock);
    *stats = (struct job_arena_stats){
        .limit_bytes = arena->limit,
        .committed_bytes = arena->carved,
        .used_bytes = load_relaxed(&arena->out),   /* a snapshot */
        .held_bytes = arena->held,
        .failed = load_relaxed(&arena->failed),
        .starved = load_relaxed(&arena->starved_count),
    };
    arena_unlock(&arena->lock);
}
