/* arena.c — how an arena opens and closes, who holds how much of it, and what is spare.
 *
 * The limit is shared out before it is used: loops announce their receive rings and pools their outputs, and what cannot be kept is refused
 * at open. The range of addresses is reserved at open and never moves; how it is cut into chunks is in memory/chunk.c.
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

size_t arena_chunks_for(size_t limit)
{
    return (limit >> CHUNK_BITS) + 2;   /* a partial one, and one to move to */
}

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
    size_t limit = options->limit_bytes ? options->limit_bytes : min_size(container_memory() / 4, arena_limit_most);
    limit = round_up(min_size(limit, arena_limit_most + 1), arena_limit_least);
    store_relaxed(&arena->limit, limit);   /* a bound, as in arena_spare() */
    arena->reserve_least = options->reserve_bytes ? options->reserve_bytes : arena->limit / 4;
    set_reserve(arena);
    size_t slots = options->cache_slots_max == JOB_ARENA_NO_CACHE ? 0
                   : options->cache_slots_max                     ? options->cache_slots_max
                                                                  : CACHE_SLOTS_MAX;
    arena->cache_bytes = slots > 0 ? arena->limit / CACHE_SHARE : 0;
    for (unsigned class = 0; class < SLOT_CLASSES; class++) {
        size_t size = slot_class_bytes(class), most = max_size(size, arena->cache_bytes / CACHE_CLAIM_SHARE);
        arena->cache_max[class] = (unsigned)min_size(slots, CACHE_SLOTS_MAX);
        arena->cache_batch[class] = min_size(CACHE_BATCH * size, most);
        size_t held = min_size(arena->cache_max[class], arena->cache_batch[class] / size);   /* so many it surely holds at times */
        arena->cache_mask[class] = (unsigned)power_of_two_at_least(held / 2 + 1) - 1;
    }
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
    size_t chunks = arena_chunks_for(arena->limit);
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

/* Under both locks. */
static bool change_limit(struct job_arena *arena, size_t limit)
{
    if (arena->limit == limit)
        return true;
    arena_retire(arena);   /* how the last chunk was cut depends on the limit */
    if (arena->carved > 0)
        return false;
    set_limits(arena, &(struct job_arena_options){.limit_bytes = limit});
    return true;
}

bool arena_set_limit(struct job_arena *arena, size_t limit)
{
    if (arena_chunks_for(limit) > arena->chunk_count || pthread_mutex_trylock(&arena->trimming) != 0)
        return false;
    arena_lock(&arena->lock);
    bool has_limit = change_limit(arena, limit);
    arena_unlock(&arena->lock);
    arena_unlock(&arena->trimming);
    arena_publish(arena);
    return has_limit;
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
    if (root_is_forked(root))   /* its helper has no thread here that could be waited for */
        return -EPERM;
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

size_t arena_most(struct job_arena *arena)
{
    arena_lock(&arena->lock);
    size_t most = arena->limit - min_size(arena->held, arena->limit);
    arena_unlock(&arena->lock);
    return most;
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
    size_t limit = load_relaxed(&arena->limit);   /* a bound: whoever waits has seen it, and we have seen whom we wake */
    return taken < limit ? limit - taken : 0;
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
