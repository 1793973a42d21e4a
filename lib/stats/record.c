/* record.c — takes and gives back records of the segment, and changes what changes while it is open.
 *
 * A record that is taken and given back (a line, an arena, a queue, a worker, a pool, a part of one, an rpc, a topic) is read by another
 * process at any time, without a lock. Its first word is free (0), STATS_CLAIMED, or a kind.
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

#include "base/alloc.h"
#include "base/bits.h"
#include "base/root.h"
#include "stats/stats.h"

bool stats_record_claim(atomic_u32 *kind, atomic_u32 *generation)
{
    uint32_t expected = 0;
    if (load_relaxed(kind) != 0)   /* a look: most are taken, and the exchange costs more */
        return false;
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

/* `name` as a reader before minor 3 knows it, and as the queues of its subscribers have it: cut. `name_rest` need not end. */
static void name_topic(struct stats_topic *topic, const char *name)
{
    size_t len = strlen(name);
    size_t first = min_size(len, sizeof topic->name - 1);
    memset(topic->name, 0, sizeof topic->name);
    memset(topic->name_rest, 0, sizeof topic->name_rest);
    memcpy(topic->name, name, first);
    memcpy(topic->name_rest, name + first, min_size(len - first, sizeof topic->name_rest));
}

struct stats_topic *stats_topic_claim(struct stats *stats, const char *name)
{
    for (unsigned i = 0; stats && i < STATS_TOPICS_MAX; i++) {
        struct stats_topic *topic = &stats->topics[i];
        if (!stats_record_claim(&topic->kind, &topic->generation))
            continue;
        store_relaxed(&topic->posts, 0);   /* word by word, and no order, as in clear_arena() */
        store_relaxed(&topic->reached, 0);
        store_relaxed(&topic->dropped, 0);
        store_relaxed(&topic->refused, 0);
        store_relaxed(&topic->disconnected, 0);
        store_relaxed(&topic->subscribers, 0);
        name_topic(topic, name);
        topic->opened_ns = stats->root->now_ns();
        store_release(&topic->kind, (uint32_t)STATS_TOPIC_OPEN);   /* pairs with load_acquire in word32 (reader.c) */
        return topic;
    }
    return NULL;
}

void stats_topic_release(struct stats_topic *topic)
{
    if (topic)
        store_release(&topic->kind, (uint32_t)STATS_TOPIC_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
}

static struct stats_queue *find_queue(struct stats *stats)
{
    for (unsigned i = 0; stats && i < STATS_QUEUES_MAX; i++) {
        struct stats_queue *queue = &stats->queues[i];
        if (stats_record_claim(&queue->kind, &queue->generation))
            return queue;
    }
    return NULL;
}

struct stats_queue *stats_queue_claim(struct stats *stats, const struct stats_queue_facts *facts)
{
    struct stats_queue *queue = find_queue(stats);
    if (!queue)
        return NULL;
    store_relaxed(&queue->receiver, 0);   /* word by word, and no order, as in clear_arena() */
    store_relaxed(&queue->taken, 0);
    store_relaxed(&queue->taken_ns, 0);
    store_relaxed(&queue->used, 0);
    store_relaxed(&queue->dropped, 0);
    store_relaxed(&queue->refused, 0);
    memset(queue->name, 0, sizeof queue->name);
    strncpy(queue->name, facts->name, sizeof queue->name - 1);
    queue->limit_messages = facts->limit_messages;
    queue->limit_bytes = facts->limit_bytes;
    queue->topic = facts->topic ? (uint32_t)(facts->topic - stats->topics) + 1 : 0;
    queue->policy = facts->policy;
    queue->opened_ns = stats->root->now_ns();
    store_release(&queue->kind, (uint32_t)facts->kind);   /* pairs with load_acquire in word32 (reader.c) */
    return queue;
}

void stats_queue_release(struct stats_queue *queue)
{
    if (queue)
        store_release(&queue->kind, (uint32_t)STATS_QUEUE_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
}

/* 0 for a line that is in no segment. */
static uint32_t number_of_line(const struct stats *stats, const struct stats_line *line)
{
    bool is_shown = line >= stats->lines && line < stats->lines + STATS_THREADS_MAX;
    return is_shown ? (uint32_t)(line - stats->lines) + 1 : 0;
}

void stats_queue_receiver(const struct stats *stats, struct stats_queue *queue, const struct stats_line *line)
{
    if (queue)
        store_relaxed(&queue->receiver, line ? number_of_line(stats, line) : 0);   /* a figure for people: no order */
}

static void clear_rpc(struct stats_rpc *rpc)
{
    store_relaxed(&rpc->oldest_ns, 0);   /* word by word, and no order, as in clear_arena() */
    store_relaxed(&rpc->open, 0);
    store_relaxed(&rpc->unanswered, 0);
    store_relaxed(&rpc->calls, 0);
    store_relaxed(&rpc->answered, 0);
    store_relaxed(&rpc->timed_out, 0);
    store_relaxed(&rpc->canceled, 0);
    store_relaxed(&rpc->dead, 0);
    store_relaxed(&rpc->late, 0);
    store_relaxed(&rpc->overdue, 0);
    store_relaxed(&rpc->served, 0);
    store_relaxed(&rpc->stray, 0);
}

static struct stats_rpc *find_rpc(struct stats *stats)
{
    for (unsigned i = 0; stats && i < STATS_RPCS_MAX; i++) {
        struct stats_rpc *rpc = &stats->rpcs[i];
        if (stats_record_claim(&rpc->kind, &rpc->generation))
            return rpc;
    }
    return NULL;
}

struct stats_rpc *stats_rpc_claim(struct stats *stats, const struct stats_rpc_facts *facts)
{
    struct stats_rpc *rpc = find_rpc(stats);
    if (!rpc)
        return NULL;
    clear_rpc(rpc);
    memset(rpc->name, 0, sizeof rpc->name);
    strncpy(rpc->name, facts->name, sizeof rpc->name - 1);
    rpc->overdue_ns = facts->overdue_ns;
    rpc->limit_calls = facts->limit_calls;
    rpc->thread = facts->line ? number_of_line(stats, facts->line) : 0;
    rpc->opened_ns = stats->root->now_ns();
    store_release(&rpc->kind, (uint32_t)STATS_RPC_OPEN);   /* pairs with load_acquire in word32 (reader.c) */
    return rpc;
}

void stats_rpc_release(struct stats_rpc *rpc)
{
    if (rpc)
        store_release(&rpc->kind, (uint32_t)STATS_RPC_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
}

static struct stats_worker *find_worker(struct stats *stats)
{
    for (unsigned i = 0; stats && i < STATS_WORKERS_MAX; i++) {
        struct stats_worker *worker = &stats->workers[i];
        if (stats_record_claim(&worker->kind, &worker->generation))
            return worker;
    }
    return NULL;
}

struct stats_worker *stats_worker_claim(struct stats *stats, const struct stats_worker_facts *facts)
{
    struct stats_worker *worker = find_worker(stats);
    if (!worker)
        return NULL;
    uint32_t hidden = facts->has_arena ? STATS_ARENA_HIDDEN : 0;
    uint32_t arena = facts->arena ? (uint32_t)(facts->arena - stats->arenas) + 1 : hidden;
    uint32_t queue = facts->queue ? (uint32_t)(facts->queue - stats->queues) + 1 : 0;
    store_relaxed(&worker->thread, facts->line ? number_of_line(stats, facts->line) : 0);   /* as in stats_queue_claim() */
    store_relaxed(&worker->arena, arena);
    store_relaxed(&worker->queue, queue);
    store_relaxed(&worker->state, STATS_WORKER_STARTS);
    memset(worker->name, 0, sizeof worker->name);
    strncpy(worker->name, facts->name, sizeof worker->name - 1);
    worker->id = facts->id;
    worker->parent = facts->parent;
    worker->opened_ns = stats->root->now_ns();
    store_release(&worker->kind, (uint32_t)STATS_WORKER_OPEN);   /* pairs with load_acquire in word32 (reader.c) */
    return worker;
}

void stats_worker_release(struct stats_worker *worker)
{
    if (worker)
        store_release(&worker->kind, (uint32_t)STATS_WORKER_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
}

void stats_worker_enter(struct stats_worker *worker, enum stats_worker_state state)
{
    uint32_t before = worker ? load_relaxed(&worker->state) : (uint32_t)state;   /* figures for people: no order */
    while (before < (uint32_t)state && !cas_relaxed(&worker->state, &before, (uint32_t)state)) {
    }
}

void stats_worker_leave_loop(struct stats_worker *worker)
{
    if (worker)
        store_relaxed(&worker->thread, 0);   /* as above */
}

/* 0: a private one. */
static uint32_t number_of_pool(const struct stats *stats, const struct stats_pool *pool)
{
    bool is_shown = stats && pool >= stats->pools && pool < stats->pools + STATS_POOLS_MAX;
    return is_shown ? (uint32_t)(pool - stats->pools) + 1 : 0;
}

static struct stats_pool *find_pool(struct stats *stats)
{
    for (unsigned i = 0; stats && i < STATS_POOLS_MAX; i++) {
        struct stats_pool *pool = &stats->pools[i];
        if (stats_record_claim(&pool->kind, &pool->generation))
            return pool;
    }
    return NULL;
}

struct stats_pool *stats_pool_claim(struct root *root, const char *name, uint32_t limit, uint32_t workers,
                                    uint64_t shed_target_ns)
{
    struct stats_pool *pool = workers > 0 ? find_pool(root->stats) : NULL;
    if (!pool)
        pool = alloc_lines(root, sizeof *pool);
    if (!pool)
        return NULL;
    store_relaxed(&pool->submitted, 0);   /* word by word, and no order, as in clear_arena() */
    store_relaxed(&pool->begun, 0);
    store_relaxed(&pool->shed, 0);
    store_relaxed(&pool->unseen, 0);
    memset(pool->name, 0, sizeof pool->name);
    strncpy(pool->name, name, sizeof pool->name - 1);
    pool->limit = limit;
    pool->workers = workers;
    pool->shed_target_ns = shed_target_ns;
    pool->opened_ns = root->now_ns();
    store_release(&pool->kind, (uint32_t)STATS_POOL_OPEN);   /* pairs with load_acquire in word32 (reader.c) */
    return pool;
}

void stats_pool_release(struct root *root, struct stats_pool *pool)
{
    if (!pool)
        return;
    if (number_of_pool(root->stats, pool) > 0)
        store_release(&pool->kind, (uint32_t)STATS_POOL_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
    else
        alloc_free(root, pool);
}

static struct stats_part *find_part(struct stats *stats)
{
    for (unsigned i = 0; i < STATS_PARTS_MAX; i++) {
        struct stats_part *part = &stats->parts[i];
        if (stats_record_claim(&part->kind, &part->generation))
            return part;
    }
    return NULL;
}

struct stats_part *stats_part_claim(struct root *root, enum stats_part_kind kind, struct stats_pool *pool,
                                    const struct stats_line *line)
{
    uint32_t number = number_of_pool(root->stats, pool);
    struct stats_part *part = number > 0 ? find_part(root->stats) : NULL;
    if (!part) {
        part = alloc_lines(root, sizeof *part);
        if (!part)
            return NULL;
        (void)fetch_add_relaxed(&pool->unseen, 1);   /* a count: orders nothing */
    }
    store_relaxed(&part->thread, line && number > 0 ? number_of_line(root->stats, line) : 0);   /* as in stats_pool_claim() */
    store_relaxed(&part->submitted, 0);
    store_relaxed(&part->refused, 0);
    store_relaxed(&part->begun, 0);
    store_relaxed(&part->shed, 0);
    store_relaxed(&part->waited_ns, 0);
    part->pool = number;
    store_release(&part->kind, (uint32_t)kind);   /* pairs with load_acquire in word32 (reader.c) */
    return part;
}

static bool is_shown_part(const struct stats *stats, const struct stats_part *part)
{
    return stats && part >= stats->parts && part < stats->parts + STATS_PARTS_MAX;
}

void stats_part_release(struct root *root, struct stats_pool *pool, struct stats_part *part)
{
    if (!part)
        return;
    (void)fetch_add_relaxed(&pool->begun, load_relaxed(&part->begun));   /* counts, and this thread's own: no order */
    (void)fetch_add_relaxed(&pool->shed, load_relaxed(&part->shed));
    if (is_shown_part(root->stats, part)) {
        store_release(&part->kind, (uint32_t)STATS_PART_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
        return;
    }
    (void)fetch_sub_relaxed(&pool->unseen, 1);   /* as above */
    alloc_free(root, part);
}

void stats_part_thread(const struct stats *stats, struct stats_part *part, const struct stats_line *line)
{
    if (is_shown_part(stats, part))
        store_relaxed(&part->thread, number_of_line(stats, line));   /* a figure for people: no order */
}

void stats_set_features(struct stats *stats, uint32_t available, uint32_t disabled)
{
    if (!stats)
        return;
    store_relaxed(&stats->header->features_available, available);   /* figures for people: no order */
    store_relaxed(&stats->header->features_disabled, disabled);
}
