/* spare_arena.c — a worker's arena outlives it, since bufs that it has sent away are still in it.
 *
 * Nobody can tell when the last thread that frees such a buf is through with the arena, so it is unmapped only with the runtime. Until
 * then it waits here, and the next worker with the same limit gets it as soon as nothing is in it. So there are never more than workers
 * lived at once, plus those whose bufs are still about; their idle chunks go back to the system as those of all arenas do.
 */
#include "worker/spare_arena.h"

#include "base/bits.h"
#include "memory/arena.h"

int spare_arena_take(struct root *root, size_t limit_bytes, struct job_arena **out)
{
    size_t limit = round_up(limit_bytes, (size_t)1 << SLOT_MIN_BITS);
    struct job_arena *found = NULL;
    (void)pthread_mutex_lock(&root->workers_lock);
    for (struct job_arena **at = &root->spare_arenas; *at; at = &(*at)->next_spare) {
        struct job_arena *arena = *at;
        bool is_empty = load_relaxed(&arena->out) == 0 && load_relaxed(&arena->users) == 0;   /* who is last may still look at it */
        if (arena->limit != limit || !is_empty)
            continue;
        *at = arena->next_spare;
        found = arena;
        break;
    }
    (void)pthread_mutex_unlock(&root->workers_lock);
    if (found) {
        *out = found;
        return 0;
    }
    return arena_open(root, out, &(struct job_arena_options){.limit_bytes = limit, .name = "worker"});
}

void spare_arena_put(struct job_arena **pointer)
{
    struct job_arena *arena = *pointer;
    struct root *root = arena->root;
    *pointer = NULL;
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
