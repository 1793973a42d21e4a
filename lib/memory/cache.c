/* cache.c — a freed buf's way home: this thread's cache, or the depot; and who starves for it is told.
 *
 * Caches. A thread of the library keeps free slots for itself, without atomics, at most its share of an eighth of the arena; more go to
 * the depot in batches, and it takes batches from there. A foreign thread has no cache. What is in a depot belongs to nobody: every
 * thread can take it, so a parked or dead thread strands no more than its bounded cache, and none at all when it detached. While a loop
 * starves, frees go past the cache (memory/starved.c).
 *
 * The share shrinks with each thread that comes, but a thread that sleeps does not know: shares alone would let sixteen that came and
 * filled theirs one after the other hold three times the eighth. So a cache claims what it holds from the arena's sum, a batch ahead, and
 * gives back what it does not use any more, in batches again: slots that come and go touch no shared line. Accepted: one that fell asleep
 * with a large share leaves those who come later less than theirs, until it frees or takes; their slots are in the depot.
 */
#include "memory/cache.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "base/self.h"
#include "memory/arena.h"
#include "memory/starved.h"

enum { DESCRIPTORS_MAX = LIMIT(128, 2) };   /* free descriptors that a thread keeps; unmeasured */

struct cache {
    struct cache *next;          /* this thread's caches of other arenas */
    struct job_arena *arena;
    unsigned attached;
    unsigned descriptor_count;
    size_t bytes;                /* of all slots here */
    size_t claimed;              /* of arena->cached; never less than bytes */
    struct job_buf *descriptors; /* free, linked by next */
    struct {
        unsigned count;
        struct slot *slots[CACHE_SLOTS_MAX];
    } classes[SLOT_CLASSES];
};

static struct cache *find_cache(const struct job_arena *arena)
{
    struct cache *cache = self()->caches;
    while (cache && cache->arena != arena)
        cache = cache->next;
    return cache;
}

/* F1 for `count` slots of one class; the caller looks at the waiters afterwards. */
static void to_depot(struct job_arena *arena, struct slot **slots, unsigned count)
{
    for (unsigned i = 0; i + 1 < count; i++)
        store_relaxed(&slots[i]->next, slots[i + 1]->index + 1);   /* published by depot_push() */
    size_t bytes = count * (size_t)slots[0]->size;
    depot_push(arena, slots[0], slots[count - 1]);
    arena_note_freed(arena, bytes);
}

/* Counted before they are taken: whoever looks at what is spare in between must not see as spare what is gone. */
static unsigned from_depot(struct job_arena *arena, unsigned class, struct slot **slots, unsigned max)
{
    size_t bytes = slot_class_bytes(class);
    arena_note_out(arena, max * bytes);
    unsigned count = depot_pop(arena, class, slots, max);
    if (count < max) {   /* what it wrote before it lost a race is not ours */
        arena_note_back(arena, (max - count) * bytes);
        arena_wake_starved(arena);
    }
    return count;
}

/* Of what the cache has claimed; the share may have shrunk since. */
static size_t most_bytes(const struct cache *cache)
{
    return min_size(load_relaxed(&cache->arena->cache_share), cache->claimed);   /* a bound: orders nothing */
}

static bool has_room(const struct cache *cache, unsigned class)
{
    return cache->bytes + slot_class_bytes(class) <= most_bytes(cache) &&
           cache->classes[class].count < cache->arena->cache_max[class];
}

/* How many more slots of the class the cache may hold. */
static unsigned cache_room(const struct cache *cache, unsigned class)
{
    size_t most = most_bytes(cache);
    size_t slots = most > cache->bytes ? (most - cache->bytes) >> (SLOT_MIN_BITS + 2 * class) : 0;
    return (unsigned)min_size(slots, cache->arena->cache_max[class] - cache->classes[class].count);
}

static void lower_claim(struct cache *cache, size_t bytes)
{
    assert(bytes >= cache->bytes);
    if (bytes >= cache->claimed)
        return;
    (void)fetch_sub_relaxed(&cache->arena->cached, cache->claimed - bytes);   /* a bound: orders nothing */
    cache->claimed = bytes;
}

/* Up to a batch ahead, for slots of the class, or what its share and the others leave of that; nothing, if that is not even one slot. */
static void claim(struct cache *cache, unsigned class)
{
    struct job_arena *arena = cache->arena;
    size_t share = load_relaxed(&arena->cache_share);   /* these are bounds: no order */
    lower_claim(cache, max_size(share, cache->bytes));
    size_t ahead = cache->claimed - cache->bytes, batch = arena->cache_batch[class];
    size_t wanted = share > cache->claimed && ahead < batch ? min_size(batch - ahead, share - cache->claimed) : 0;
    uint64_t before = load_relaxed(&arena->cached);
    size_t got;
    do {
        got = min_size(wanted, arena->cache_bytes - before);
        if (got == 0 || cache->claimed + got < cache->bytes + slot_class_bytes(class))
            return;
    } while (!cas_relaxed(&arena->cached, &before, before + got));
    cache->claimed += got;
}

/* Two batches may be unused: what comes and goes moves nothing. */
static void use_less(struct cache *cache, unsigned class)
{
    size_t batch = cache->arena->cache_batch[class];
    if (cache->claimed - cache->bytes > 2 * batch)
        lower_claim(cache, cache->bytes + batch);
}

static struct slot *take_cached(struct cache *cache, unsigned class)
{
    unsigned *count = &cache->classes[class].count;
    if (*count == 0)
        return NULL;
    cache->bytes -= slot_class_bytes(class);
    if ((*count & cache->arena->cache_mask[class]) == 0)
        use_less(cache, class);
    return cache->classes[class].slots[--*count];
}

struct slot *cache_take_own(struct job_arena *arena, unsigned class)
{
    struct cache *cache = find_cache(arena);
    return cache ? take_cached(cache, class) : NULL;
}

struct slot *cache_take(struct job_arena *arena, unsigned class)
{
    struct cache *cache = find_cache(arena);
    struct slot *slot = cache ? take_cached(cache, class) : NULL;
    if (slot)
        return slot;
    if (cache && cache_room(cache, class) < CACHE_BATCH)
        claim(cache, class);
    unsigned batch = cache ? (unsigned)min_size(cache_room(cache, class), CACHE_BATCH) : 0;
    if (batch == 0)
        return from_depot(arena, class, &slot, 1) == 1 ? slot : NULL;
    unsigned count = from_depot(arena, class, cache->classes[class].slots, batch);
    cache->classes[class].count = count;
    cache->bytes += count * slot_class_bytes(class);
    return take_cached(cache, class);
}

static void spill(struct cache *cache, unsigned class, unsigned count)
{
    unsigned *have = &cache->classes[class].count;
    assert(count <= *have);
    if (count == 0)
        return;
    *have -= count;
    cache->bytes -= count * slot_class_bytes(class);
    to_depot(cache->arena, &cache->classes[class].slots[*have], count);
}

/* For one slot; what stands in its way goes to the depot. False: there is none. */
static bool make_room(struct cache *cache, unsigned class)
{
    if (cache->classes[class].count < cache->arena->cache_max[class])
        claim(cache, class);
    if (has_room(cache, class))
        return true;
    spill(cache, class, (unsigned)min_size(cache->classes[class].count, CACHE_BATCH));
    arena_wake_starved(cache->arena);   /* F2: somebody may have registered since the hint */
    return has_room(cache, class);
}

void cache_put(struct slot *slot)
{
    struct job_arena *arena = slot->arena;
    unsigned class = slot->class;
    struct cache *cache = find_cache(arena);
    bool is_wanted = load_relaxed(&arena->starved) != NULL;   /* a hint; arena_wake_starved() looks with order */
    if (cache && !is_wanted) {
        if (has_room(cache, class) || make_room(cache, class)) {
            cache->bytes += slot->size;
            cache->classes[class].slots[cache->classes[class].count++] = slot;
            return;
        }
    }
    to_depot(arena, &slot, 1);
    arena_wake_starved(arena);
}

int cache_attach(struct job_arena *arena)
{
    struct cache *cache = find_cache(arena);
    if (!cache) {
        cache = alloc_lines(arena->root, sizeof *cache);
        if (!cache)
            return -ENOMEM;
        cache->arena = arena;
        cache->next = self()->caches;
        self()->caches = cache;
        (void)fetch_add_relaxed(&arena->users, 1);   /* read at close: orders nothing */
        arena_share_cache(arena, 1);
    }
    cache->attached++;
    return 0;
}

void cache_detach(struct job_arena *arena)
{
    struct cache *cache = find_cache(arena);
    assert(cache && cache->attached > 0);
    if (--cache->attached > 0)
        return;
    for (unsigned class = 0; class < SLOT_CLASSES; class++)
        spill(cache, class, cache->classes[class].count);
    lower_claim(cache, 0);
    arena_share_cache(arena, -1);
    arena_wake_starved(arena);
    while (cache->descriptors) {
        struct job_buf *buf = cache->descriptors;
        cache->descriptors = buf->next;
        alloc_free(arena->root, buf);
    }
    struct cache **link = &self()->caches;
    while (*link != cache)
        link = &(*link)->next;
    *link = cache->next;
    alloc_free(arena->root, cache);
    (void)fetch_sub_relaxed(&arena->users, 1);   /* ledger: orders nothing */
}

struct job_buf *cache_take_descriptor(struct job_arena *arena)
{
    struct cache *cache = find_cache(arena);
    if (!cache || !cache->descriptors)
        return alloc_lines(arena->root, sizeof(struct job_buf));
    struct job_buf *buf = cache->descriptors;
    cache->descriptors = buf->next;
    cache->descriptor_count--;
    return buf;
}

void cache_put_descriptor(struct job_arena *arena, struct job_buf *buf)
{
    struct cache *cache = find_cache(arena);
    if (!cache || cache->descriptor_count == DESCRIPTORS_MAX) {
        alloc_free(arena->root, buf);
        return;
    }
    buf->next = cache->descriptors;
    cache->descriptors = buf;
    cache->descriptor_count++;
}
