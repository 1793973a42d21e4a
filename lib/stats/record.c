/* record.c — takes and gives back records of the segment, and changes what changes while it is open.
 *
 * A record that is taken and given back (a line, an arena) is read by another process at any time, without a lock.
 * Its first word is free (0), STATS_CLAIMED, or a kind.
 *
 *   writer 1 free → claimed, by compare-and-swap     reader a kind, acquire; free or claimed ends it
 *          2 generation + 1                                 b generation
 *          3 fence                                          c copies the record
 *          4 the fields                                     d fence
 *          5 claimed → kind, release                        e kind and generation again; others than before: anew
 *          6 kind → free, release
 *
 * Narrowest moment: a record is given back and taken again between a and e, with the same kind. A field of the new
 * owner in the copy was stored behind 3, so e finds the generation of 2, or a later one. Rejected: a lock (no reader
 * may stop the writer, and its mapping is read-only); an odd and even count (the kind says the same). Accepted:
 * counters and times are single words that go on changing: they are not of one moment.
 */
#include <string.h>

#include "base/root.h"
#include "stats/stats.h"

bool stats_record_claim(atomic_u32 *kind, atomic_u32 *generation)
{
    uint32_t expected = 0;
    if (!cas_acq_rel(kind, &expected, STATS_CLAIMED))   /* pairs with store_release in line_release */
        return false;
    store_relaxed(generation, load_relaxed(generation) + 1);   /* ours alone now */
    fence_seq_cst();   /* step 3 above; pairs with the reader's fence, step d */
    return true;
}

static void clear_arena(struct stats_arena *arena)
{
    /* Word by word, since a reader of the arena before may still be copying it. No order: all are behind the claim. */
    store_relaxed(&arena->limit_bytes, 0);
    store_relaxed(&arena->committed_bytes, 0);
    store_relaxed(&arena->used_bytes, 0);
    store_relaxed(&arena->held_bytes, 0);
    store_relaxed(&arena->starved, 0);
    store_relaxed(&arena->failed, 0);
    memset(arena->name, 0, sizeof arena->name);
}

struct stats_arena *stats_arena_claim(struct stats *stats, const char *name)
{
    for (unsigned i = 0; stats && i < STATS_ARENAS_MAX; i++) {
        struct stats_arena *arena = &stats->arenas[i];
        if (!stats_record_claim(&arena->kind, &arena->generation))
            continue;
        clear_arena(arena);
        strncpy(arena->name, name, sizeof arena->name - 1);
        arena->opened_ns = stats->root->now_ns();
        store_release(&arena->kind, (uint32_t)STATS_ARENA_OPEN);   /* pairs with load_acquire in word32 (reader.c) */
        return arena;
    }
    return NULL;
}

void stats_arena_release(struct stats_arena *arena)
{
    if (arena)
        store_release(&arena->kind, (uint32_t)STATS_ARENA_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
}

void stats_set_features(struct stats *stats, uint32_t available, uint32_t disabled)
{
    if (!stats)
        return;
    store_relaxed(&stats->header->features_available, available);   /* figures for people: no order */
    store_relaxed(&stats->header->features_disabled, disabled);
}
