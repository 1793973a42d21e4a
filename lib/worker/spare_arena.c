/* spare_arena.c — a worker's arena outlives it, since bufs that it has sent away are still in it.
 *
 * Nobody can tell when the last thread that frees such a buf is through with the arena, so it is unmapped only with the runtime. Until
 * then it waits here, and the next worker whose limit it has the addresses for gets it as soon as nothing is in it. Addresses are reserved
 * for the next power of two, so that workers whose limits differ by a little follow each other in one arena; where there are not so many,
 * for the limit. A small worker gets no large range: RANGE_SHARE times its own at most, else it would keep it from a large one, for which
 * another would be opened each time. So of each range there are never more than workers of that range, or of one that is RANGE_SHARE times
 * smaller at most, lived at once, plus those whose bufs are still about, and one whose pages go at the moment. After a while a spare one
 * has no pages any more.
 */
#include "worker/spare_arena.h"

#include <errno.h>

#include "base/bits.h"
#include "memory/arena.h"

enum { RANGE_SHARE = 4 };   /* unmeasured: what it wastes are addresses */

static const size_t range_most = (size_t)1 << 40;   /* what is larger is not rounded up: addresses are not as plenty as that */

static size_t range_for(size_t limit)
{
    size_t range = CHUNK_BYTES;
    while (range < limit && range < range_most)
        range *= 2;
    return max_size(range, limit);
}

static bool has_range(const struct job_arena *arena, size_t limit)
{
    return arena->chunk_count >= arena_chunks_for(limit) &&
           arena->chunk_count <= arena_chunks_for(RANGE_SHARE * range_for(limit));
}

/* `limit` is what it has already, or the smallest range that is enough. Under the lock. */
static struct job_arena *take(struct root *root, size_t limit)
{
    struct job_arena **best = NULL;
    for (struct job_arena **at = &root->spare_arenas; *at; at = &(*at)->next_spare) {
        struct job_arena *arena = *at;
        /* Who is last may still look at it. Pairs with fetch_sub_seq_cst in arena_note_back: what they have done otherwise is over. */
        bool is_empty = load_seq_cst(&arena->out) == 0 && load_relaxed(&arena->users) == 0;
        if (!is_empty || !has_range(arena, limit))
            continue;
        if (!best || arena->limit == limit || ((*best)->limit != limit && arena->chunk_count < (*best)->chunk_count))
            best = at;
    }
    struct job_arena *arena = best ? *best : NULL;
    if (arena)
        *best = arena->next_spare;
    return arena;
}

static int open_new(struct root *root, size_t limit, struct job_arena **out)
{
    struct job_arena_options options = {.limit_bytes = range_for(limit), .name = "worker"};
    int err = arena_open(root, out, &options);
    if (err == -ENOMEM && options.limit_bytes > limit) {
        options.limit_bytes = limit;
        err = arena_open(root, out, &options);
    }
    if (err < 0)
        return err;
    bool is_set = arena_set_limit(*out, limit);
    assert(is_set);   /* nothing is in it, and nobody knows it */
    return 0;
}

int spare_arena_take(struct root *root, size_t limit_bytes, struct job_arena **out)
{
    size_t limit = round_up(limit_bytes, (size_t)1 << SLOT_MIN_BITS);
    (void)pthread_mutex_lock(&root->workers_lock);
    struct job_arena *found = take(root, limit);
    (void)pthread_mutex_unlock(&root->workers_lock);
    if (!found)
        return open_new(root, limit, out);
    arena_set_spare(found, false);   /* first: what begins to give back from now on takes little, and who gives back all already is seen */
    if (!arena_set_limit(found, limit)) {
        spare_arena_put(&found);
        return open_new(root, limit, out);
    }
    *out = found;
    return 0;
}

void spare_arena_put(struct job_arena **pointer)
{
    struct job_arena *arena = *pointer;
    struct root *root = arena->root;
    *pointer = NULL;
    arena_set_spare(arena, true);
    (void)pthread_mutex_lock(&root->workers_lock);
    arena->next_spare = root->spare_arenas;
    root->spare_arenas = arena;
    (void)pthread_mutex_unlock(&root->workers_lock);
}

void spare_arenas_close(struct root *root)
{
    while (root->spare_arenas) {
        struct job_arena *arena = root->spare_arenas;
        root->spare_arenas = arena->next_spare;
        int err = arena_close(&arena);
        assert(err == 0);   /* no buf lives */
    }
}
