/* seed.c — writes the seed, and tries what tests have made of it. */
#include "seed.h"

#include "text.h"
#include "tries.h"

unsigned tried, parsed;
_Alignas(struct stats_line) uint8_t whole[SEGMENT_MAX], changed[SEGMENT_MAX];
size_t seed_size;

uint32_t add_table(struct stats_header *header, uint32_t kind, uint32_t stride, uint32_t count, uint32_t offset)
{
    header->tables[header->table_count++] = (struct stats_table){kind, offset, stride, count};
    return offset + stride * count;
}

static void write_pools(struct stats_pool *pools, struct stats_part *parts)
{
    for (unsigned i = 0; i < POOLS; i++) {
        pools[i] = (struct stats_pool){.kind = STATS_POOL_OPEN + i, .limit = 16, .submitted = 3};
        snprintf(pools[i].name, sizeof pools[i].name, "pool %u", i);
    }
    parts[0] = (struct stats_part){.kind = STATS_PART_LOOP, .pool = 1, .thread = 1, .submitted = 40};
    for (unsigned i = 1; i < PARTS; i++)
        parts[i] = (struct stats_part){.kind = STATS_PART_THREAD, .pool = 1, .thread = i + 1, .begun = 12};
}

static void write_calls_and_topics(struct stats_rpc *rpcs, struct stats_topic *topics)
{
    for (unsigned i = 0; i < RPCS; i++) {
        rpcs[i] = (struct stats_rpc){.kind = STATS_RPC_OPEN, .overdue_ns = 1, .limit_calls = 2, .thread = i + 1,
                                     .oldest_ns = 3, .open = 4, .unanswered = 5, .calls = 6, .answered = 7,
                                     .timed_out = 8, .canceled = 9, .dead = 10, .late = 11, .overdue = 12,
                                     .served = 13, .stray = 14};
        snprintf(rpcs[i].name, sizeof rpcs[i].name, "rpc %u", i);
    }
    for (unsigned i = 0; i < TOPICS; i++) {
        topics[i] = (struct stats_topic){.kind = STATS_TOPIC_OPEN + i, .posts = 1, .reached = 2, .dropped = 3,
                                         .refused = 4, .disconnected = 5, .subscribers = 6};
        snprintf(topics[i].name, sizeof topics[i].name, "topic %u", i);
    }
}

/* A whole segment in `bytes`, which are zero; its size. */
static size_t write_segment(uint8_t *bytes)
{
    struct stats_header *header = (struct stats_header *)(void *)bytes;
    uint32_t lines = sizeof *header, end = lines;
    *header = (struct stats_header){.major = STATS_MAJOR, .pid = 1, .features_available = 5, .features_disabled = 2,
                                    .opened_ns = 7, .name = "seed", .version = "0.1.0"};
    memcpy(header->magic, STATS_MAGIC, sizeof header->magic);
    end = add_table(header, STATS_TABLE_THREADS, sizeof(struct stats_line), LINES, end);
    uint32_t arenas = end;
    end = add_table(header, STATS_TABLE_ARENAS, sizeof(struct stats_arena), ARENAS, end);
    uint32_t queues = end;
    end = add_table(header, STATS_TABLE_QUEUES, sizeof(struct stats_queue), QUEUES, end);
    uint32_t workers = end;
    end = add_table(header, STATS_TABLE_WORKERS, sizeof(struct stats_worker), WORKERS, end);
    uint32_t pools = end;
    end = add_table(header, STATS_TABLE_POOLS, sizeof(struct stats_pool), POOLS, end);
    uint32_t parts = end;
    end = add_table(header, STATS_TABLE_PARTS, sizeof(struct stats_part), PARTS, end);
    uint32_t rpcs = end;
    end = add_table(header, STATS_TABLE_RPCS, sizeof(struct stats_rpc), RPCS, end);
    uint32_t topics = end;
    end = add_table(header, STATS_TABLE_TOPICS, sizeof(struct stats_topic), TOPICS, end);
    uint32_t names = end;
    end = add_table(header, STATS_TABLE_COUNTER_NAMES, STATS_NAME_BYTES, NAMES, end);
    end = add_table(header, STATS_TABLE_WAIT_NAMES, STATS_NAME_BYTES, NAMES, end);
    end = add_table(header, STATS_TABLE_KIND_NAMES, STATS_NAME_BYTES, LINE_KINDS, end);
    end = add_table(header, STATS_TABLE_FEATURE_NAMES, STATS_NAME_BYTES, NAMES, end);
    ck_assert_uint_le(end, SEGMENT_MAX);
    for (uint32_t at = names; at < end; at += STATS_NAME_BYTES)
        snprintf((char *)bytes + at, STATS_NAME_BYTES, "name %u", at);
    for (unsigned i = 0; i < LINES; i++) {
        struct stats_line *line = (struct stats_line *)(void *)(bytes + lines) + i;
        line->kind = LINE_LOOP;
        line->tid = 100 + i;
        line->counters[1] = 11;
        snprintf(line->name, sizeof line->name, "line %u", i);
    }
    for (unsigned i = 0; i < ARENAS; i++) {
        struct stats_arena *arena = (struct stats_arena *)(void *)(bytes + arenas) + i;
        *arena = (struct stats_arena){.kind = STATS_ARENA_OPEN, .opened_ns = 1, .limit_bytes = 2, .committed_bytes = 3,
                                      .used_bytes = 4, .held_bytes = 5, .starved = 6, .failed = 7};
        snprintf(arena->name, sizeof arena->name, "arena %u", i);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        struct stats_queue *queue = (struct stats_queue *)(void *)(bytes + queues) + i;
        queue->kind = STATS_QUEUE_OPEN + i;
        queue->receiver = i + 1;
        queue->limit_messages = 8;
        queue->used = ((uint64_t)5 << STATS_QUEUE_BYTES_BITS) + 77;
        queue->topic = 2;
        queue->policy = 1;
        queue->dropped = 30 + i;
        queue->refused = 40 + i;
        snprintf(queue->name, sizeof queue->name, "queue %u", i);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        struct stats_worker *worker = (struct stats_worker *)(void *)(bytes + workers) + i;
        worker->kind = STATS_WORKER_OPEN;
        worker->state = i == 0 ? STATS_WORKER_STUCK : 4711;
        worker->id = 90 + i;
        worker->thread = worker->arena = worker->queue = i + 1;
        snprintf(worker->name, sizeof worker->name, "worker %u", i);
    }
    write_pools((struct stats_pool *)(void *)(bytes + pools), (struct stats_part *)(void *)(bytes + parts));
    write_calls_and_topics((struct stats_rpc *)(void *)(bytes + rpcs), (struct stats_topic *)(void *)(bytes + topics));
    header->size = end;
    return end;
}

static void check_name(const char *name)
{
    char again[READER_NAME_BYTES];
    ck_assert(memchr(name, '\0', READER_NAME_BYTES));
    text_clean(name, READER_NAME_BYTES, again, sizeof again);
    ck_assert(strcmp(again, name) == 0);   /* clean already */
}

static void check_snapshot(const struct snapshot *snapshot)
{
    check_name(snapshot->name);
    check_name(snapshot->version);
    ck_assert(snapshot->feature_count <= READER_FEATURES_MAX);
    ck_assert(snapshot->counter_count <= READER_COUNTERS_MAX);
    ck_assert(snapshot->thread_count <= READER_THREADS_MAX);
    ck_assert(snapshot->arena_count <= READER_ARENAS_MAX);
    for (unsigned i = 0; i < snapshot->feature_count; i++)
        check_name(snapshot->features[i]);
    for (unsigned i = 0; i < snapshot->counter_count; i++)
        check_name(snapshot->counters[i]);
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        check_name(snapshot->threads[i].name);
        check_name(snapshot->threads[i].kind);
        check_name(snapshot->threads[i].wait);
    }
    for (size_t i = 0; i < snapshot->arena_count; i++)
        check_name(snapshot->arenas[i].name);
    ck_assert(snapshot->queue_count <= READER_QUEUES_MAX);
    ck_assert(snapshot->worker_count <= READER_WORKERS_MAX);
    ck_assert(snapshot->pool_count <= READER_POOLS_MAX);
    ck_assert(snapshot->part_count <= READER_PARTS_MAX);
    for (size_t i = 0; i < snapshot->pool_count; i++)
        check_name(snapshot->pools[i].name);
    for (size_t i = 0; i < snapshot->queue_count; i++)
        check_name(snapshot->queues[i].name);
    for (size_t i = 0; i < snapshot->worker_count; i++) {
        check_name(snapshot->workers[i].name);
        check_name(snapshot->workers[i].state);
    }
    ck_assert(snapshot->rpc_count <= READER_RPCS_MAX);
    ck_assert(snapshot->topic_count <= READER_TOPICS_MAX);
    for (size_t i = 0; i < snapshot->rpc_count; i++)
        check_name(snapshot->rpcs[i].name);
    for (size_t i = 0; i < snapshot->topic_count; i++)
        ck_assert(memchr(snapshot->topics[i].name, '\0', READER_TOPIC_NAME_BYTES));
}

enum reader_result try(const uint8_t *segment, size_t size)
{
    struct snapshot snapshot;
    uint8_t *shared = aligned_alloc(8, (size + 8) & ~(size_t)7), *copy = malloc(size ? size : 1);
    memcpy(shared, segment, size);
    reader_copy(shared, size, copy);
    free(shared);
    enum reader_result result = reader_parse(copy, size, &snapshot);
    free(copy);
    tried++;
    if (result != READER_OK)
        return result;
    parsed++;
    check_snapshot(&snapshot);
    reader_free(&snapshot);
    return result;
}

void seed_set_up(void)
{
    memset(whole, 0, sizeof whole);
    seed_size = write_segment(whole);
    memcpy(changed, whole, sizeof changed);
    tried = parsed = 0;
}
