/* cache.c — a freed buf's way home: this thread's cache, the depot, and a loop that starves for it.
 *
 * Caches. A thread of the library keeps free slots for itself, without atomics, at most its share of an eighth of the arena; more go to
 * the depot in batches, and it takes batches from there. A foreign thread has no cache. What is in a depot belongs to nobody: every
 * thread can take it, so a parked or dead thread strands no more than its bounded cache, and none at all when it detached.
 *
 * Starving. A loop whose receive ring finds no spare slot registers and sleeps until somebody frees.
 *   States of a waiter: not registered; registered (in arena->starved); taken (a thread that freed has it in its hands); mailed.
 *   the loop:        L1 push the waiter on arena->starved   L2 try again to take a slot   L3 if there is one, go on (the waiter stays
 *                    registered: a mail will come, once); else sleep
 *   whoever frees:   F1 push the slot on its depot, subtract it from `out`   F2 look at arena->starved; empty: done   F3 take all
 *                    waiters in one exchange   F4 post each one's mail, or push it again when there is still nothing spare
 *   Why no waiter sleeps beside free memory: L1 and F1 are sequentially consistent read-modify-writes, and L2 and F2 come after them.
 *   In their total order either F1 comes before L2 (the loop gets the slot) or L1 comes before F2 (the freeing
 *   thread sees the waiter). The narrowest moment: F2 has seen nothing, then L1, then L2: F1 was before, so L2 sees it.
 *   While somebody waits, frees go past the cache to the depot. A slot that went into a cache just before L1 stays there: bounded by
 *   cache_max, which is why a small arena has caches of zero slots.
 *   the loop goes:   U1 take all waiters, keep its own, push the others again   U2 its own was not there and is not mailed: another
 *                    thread has it in its hands and pushes or mails it; again   U3 mailed: wait until nobody posts any more
 *   What leaves a depot is counted in `out` before, and what comes back after; a loop claims what is spare by one exchange on `out`, so two
 *   loops that look at once do not both take the last spare slot, and then one of the reserve. Whoever had counted too much and takes it
 *   back does F2 as well.
 *   F4's second case: there is not enough for this one. Pushing it again is an L1 of its own and is followed by a look as well.
 * Rejected: a timer that looks again (heals a lost wake-up instead of showing it, and costs latency); a futex (a loop sleeps in the
 * kernel's ring, not on a word).
 * Accepted: a wake-up for nothing, when several loops starve and one takes what was freed.
 */
#include "memory/cache.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "base/self.h"
#include "memory/arena.h"
#include "stats/segment.h"

enum { DESCRIPTORS_MAX = LIMIT(128, 2) };   /* free descriptors that a thread keeps; unmeasured */

struct cache {
    struct cache *next;          /* this thread's caches of other arenas */
    struct job_arena *arena;
    unsigned attached;
    unsigned descriptor_count;
    size_t bytes;                /* of all slots here */
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

static void push_waiters(struct job_arena *arena, struct starved *first, struct starved *last)
{
    struct starved *head = load_relaxed(&arena->starved);   /* a guess; the exchange decides */
    do {
        last->next = head;
    } while (!cas_seq_cst(&arena->starved, &head, first));   /* L1; pairs with load_seq_cst in arena_wake_starved */
}

/* F3 and F4. Returns what the least modest of the waiters that stay needs; SIZE_MAX: nobody stays. */
static size_t post_to_waiters(struct job_arena *arena, size_t spare)
{
    size_t wanted = SIZE_MAX;
    (void)fetch_add_seq_cst(&arena->waking, 1);   /* pairs with load_seq_cst in arena_unstarve */
    struct starved *waiter = exchange_seq_cst(&arena->starved, NULL);   /* pairs with cas_seq_cst in push_waiters */
    while (waiter) {
        struct starved *next = waiter->next;
        if (waiter->bytes <= spare) {
            store_release(&waiter->is_mailed, 1);   /* pairs with load_acquire in arena_unstarve */
            mailbox_post(waiter->mailbox, &waiter->mail);   /* from here on it may be gone */
        } else {
            wanted = min_size(wanted, waiter->bytes);
            push_waiters(arena, waiter, waiter);
        }
        waiter = next;
    }
    (void)fetch_sub_seq_cst(&arena->waking, 1);   /* pairs with load_seq_cst in arena_unstarve: all mail is posted */
    return wanted;
}

void arena_wake_starved(struct job_arena *arena)
{
    while (load_seq_cst(&arena->starved)) {   /* F2; pairs with cas_seq_cst in push_waiters */
        size_t spare = arena_spare(arena);
        if (spare < slot_class_bytes(0))
            return;                           /* whoever frees more looks again */
        JOB_MARK(starved_seen_by_free);
        size_t wanted = post_to_waiters(arena, spare);
        if (arena_spare(arena) < wanted)      /* after they are pushed again, not before */
            return;
    }
}

void arena_starve(struct job_arena *arena, struct starved *waiter)
{
    assert(!waiter->is_registered);
    waiter->is_registered = true;
    store_relaxed(&waiter->is_mailed, 0);   /* published by push_waiters() */
    (void)fetch_add_relaxed(&arena->starved_count, 1);   /* a count: orders nothing */
    stats_arena_count_starved(arena->shown);
    push_waiters(arena, waiter, waiter);
    JOB_MARK(starve_looks_again);
}

/* U1: takes all waiters, keeps `waiter` if it is among them, pushes the others again. */
static void pull_out(struct job_arena *arena, struct starved *waiter)
{
    struct starved *all = exchange_seq_cst(&arena->starved, NULL);   /* pairs with cas_seq_cst in push_waiters */
    while (all) {
        struct starved *next = all->next;
        if (all == waiter)
            waiter->is_registered = false;
        else
            push_waiters(arena, all, all);
        all = next;
    }
}

void arena_unstarve(struct job_arena *arena, struct starved *waiter)
{
    if (!waiter->is_registered)
        return;
    pull_out(arena, waiter);
    while (waiter->is_registered && !load_acquire(&waiter->is_mailed)) {   /* U2; pairs with store_release in post_to_waiters */
        JOB_MARK(unstarve_finds_it_taken);
        cpu_relax();
        pull_out(arena, waiter);
    }
    arena_wake_starved(arena);   /* the others were out of sight for a moment */
    while (load_seq_cst(&arena->waking) > 0)   /* U3; pairs with fetch_sub_seq_cst in post_to_waiters */
        cpu_relax();
}

/* F1 for `count` slots of one class; the caller looks at the waiters afterwards. */
static void to_depot(struct job_arena *arena, struct slot **slots, unsigned count)
{
    for (unsigned i = 0; i + 1 < count; i++)
        store_relaxed(&slots[i]->next, slots[i + 1]->index + 1);   /* published by depot_push() */
    size_t bytes = count * (size_t)slots[0]->size;
    depot_push(arena, slots[0], slots[count - 1]);
    arena_note_back(arena, bytes);
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

/* How many more slots of the class the cache may hold. */
static unsigned cache_room(const struct cache *cache, unsigned class)
{
    size_t share = load_relaxed(&cache->arena->cache_share);   /* a bound: orders nothing */
    size_t slots = share > cache->bytes ? (share - cache->bytes) >> (SLOT_MIN_BITS + 2 * class) : 0;
    return (unsigned)min_size(slots, cache->arena->cache_max[class] - cache->classes[class].count);
}

static struct slot *take_cached(struct cache *cache, unsigned class)
{
    unsigned *count = &cache->classes[class].count;
    if (*count == 0)
        return NULL;
    cache->bytes -= slot_class_bytes(class);
    return cache->classes[class].slots[--*count];
}

struct slot *cache_take(struct job_arena *arena, unsigned class)
{
    struct cache *cache = find_cache(arena);
    struct slot *slot = cache ? take_cached(cache, class) : NULL;
    if (slot)
        return slot;
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

void cache_put(struct slot *slot)
{
    struct job_arena *arena = slot->arena;
    unsigned class = slot->class;
    struct cache *cache = find_cache(arena);
    bool is_wanted = load_relaxed(&arena->starved) != NULL;   /* a hint; arena_wake_starved() looks with order */
    if (cache && !is_wanted) {
        unsigned *count = &cache->classes[class].count;
        if (cache_room(cache, class) == 0) {
            spill(cache, class, (unsigned)min_size(*count, CACHE_BATCH));
            arena_wake_starved(arena);   /* F2: somebody may have registered since the hint */
        }
        if (cache_room(cache, class) > 0) {
            cache->bytes += slot->size;
            cache->classes[class].slots[(*count)++] = slot;
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
