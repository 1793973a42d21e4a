/* reader.c — finds the tables, checks that they lie inside, and copies records out of them by their own stride.
 *
 * Fields are read by memcpy at the offsets of stats/segment.h: a table may lie at any address. A record may be longer
 * than what is known here (a newer library) but not shorter. The protocol of reader_copy() stands in
 * lib/stats/record.c.
 */
#include "reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats/segment.h"
#include "text.h"

struct bytes {
    const uint8_t *at;
    size_t size;
};

struct table {
    size_t offset, stride, count;
};

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t read_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* At most 32 bytes, which need not end. */
static void read_name(const uint8_t *at, size_t max, reader_name name)
{
    text_clean(at, max, name, READER_NAME_BYTES);
}

/* The i-th entry of the header's list; false: there is none, or it lies outside. */
static bool read_entry(struct bytes bytes, uint32_t i, struct stats_table *entry)
{
    size_t at = offsetof(struct stats_header, tables) + i * sizeof *entry;
    uint32_t count = read_u32(bytes.at + offsetof(struct stats_header, table_count));
    if (i >= count || i >= READER_TABLES_MAX || at + sizeof *entry > bytes.size)
        return false;
    memcpy(entry, bytes.at + at, sizeof *entry);
    return true;
}

/* Its records have all that is known of them, and lie in the segment. */
static bool is_usable(struct bytes bytes, const struct stats_table *entry)
{
    size_t stride_min = entry->kind == STATS_TABLE_THREADS   ? offsetof(struct stats_line, counters)
                        : entry->kind == STATS_TABLE_ARENAS  ? offsetof(struct stats_arena, reserved)
                        : entry->kind == STATS_TABLE_QUEUES  ? offsetof(struct stats_queue, reserved_more)
                        : entry->kind == STATS_TABLE_WORKERS ? offsetof(struct stats_worker, reserved)
                        : entry->kind == STATS_TABLE_POOLS   ? offsetof(struct stats_pool, reserved)
                        : entry->kind == STATS_TABLE_PARTS   ? offsetof(struct stats_part, reserved)
                        : entry->kind == STATS_TABLE_RPCS    ? offsetof(struct stats_rpc, reserved)
                        : entry->kind == STATS_TABLE_TOPICS  ? sizeof(struct stats_topic)
                                                             : 1;
    uint64_t end = entry->offset + (uint64_t)entry->stride * entry->count;   /* below 2^64: each has 32 bits */
    return entry->stride >= stride_min && end <= bytes.size;
}

/* The first usable table of the kind; count 0 when there is none. */
static struct table find_table(struct bytes bytes, enum stats_table_kind kind)
{
    struct stats_table entry;
    for (uint32_t i = 0; read_entry(bytes, i, &entry); i++) {
        if (entry.kind == (uint32_t)kind && is_usable(bytes, &entry))
            return (struct table){entry.offset, entry.stride, entry.count};
    }
    return (struct table){0};
}

static const uint8_t *record(struct bytes bytes, const struct table *table, size_t index)
{
    return bytes.at + table->offset + index * table->stride;
}

static bool is_live(uint32_t kind)
{
    return kind != 0 && (kind & STATS_CLAIMED) == 0;
}

/* Words that their writer goes on changing: each is of one moment. Aligned by the caller. */
static uint32_t word32(const uint8_t *shared)
{
    return load_acquire((const atomic_u32 *)(const void *)shared);   /* pairs with store_release in line_claim */
}

static uint64_t word64(const uint8_t *shared)
{
    return load_relaxed((const atomic_u64 *)(const void *)shared);   /* what orders stands in copy_record */
}

static void copy_words(const uint8_t *shared, size_t size, uint8_t *copy)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = word64(shared + i);
        memcpy(copy + i, &word, sizeof word);
    }
}

/* Offsets in a record: what says whose it is, and the words of what it does that belong together. */
struct watched {
    size_t generation;
    size_t state, state_end;
};

static bool is_steady(const uint8_t *shared, const uint8_t *copy, const struct watched *watched)
{
    for (size_t at = watched->state; at < watched->state_end; at += 8) {
        if (word64(shared + at) != read_u64(copy + at))
            return false;
    }
    return true;
}

/* A whole record, steps a to e; false: it was changing hands all the time. What the owner itself goes on changing
 * (state) is taken as it is after some attempts: then it has just begun something. */
static bool copy_record(const uint8_t *shared, size_t stride, const struct watched *watched, uint8_t *copy)
{
    for (unsigned attempt = 0; attempt < 16; attempt++) {
        uint32_t kind = word32(shared);
        uint32_t generation = word32(shared + watched->generation);
        copy_words(shared, stride, copy);
        fence_seq_cst();
        bool is_same = word32(shared) == kind && word32(shared + watched->generation) == generation;
        if (is_same && (attempt > 8 || is_steady(shared, copy, watched)))
            return is_live(kind) && read_u32(copy) == kind;
    }
    return false;
}

static void copy_records(const uint8_t *shared, struct bytes copied, uint8_t *copy, struct table table,
                         const struct watched *watched)
{
    if (table.offset % 8 != 0 || table.stride % 8 != 0)
        return;   /* not ours: the library aligns them */
    for (size_t i = 0; i < table.count; i++) {
        size_t at = table.offset + i * table.stride;
        if (!is_live(read_u32(copied.at + at)))
            continue;
        if (!copy_record(shared + at, table.stride, watched, copy + at))
            memset(copy + at, 0, sizeof(uint32_t));
    }
}

void reader_copy(const void *shared, size_t size, void *copy)
{
    static const struct watched line = {offsetof(struct stats_line, generation), offsetof(struct stats_line, wait),
                                        offsetof(struct stats_line, counters)};
    static const struct watched arena = {offsetof(struct stats_arena, generation), 0, 0};
    static const struct watched queue = {offsetof(struct stats_queue, generation), 0, 0};
    static const struct watched worker = {offsetof(struct stats_worker, generation), 0, 0};
    static const struct watched pool = {offsetof(struct stats_pool, generation), 0, 0};
    static const struct watched part = {offsetof(struct stats_part, generation), 0, 0};
    static const struct watched rpc = {offsetof(struct stats_rpc, generation), 0, 0};
    static const struct watched topic = {offsetof(struct stats_topic, generation), 0, 0};
    memset(copy, 0, size);
    copy_words(shared, size, copy);
    struct bytes bytes = {copy, size};
    if (size < READER_SEGMENT_MIN)
        return;
    /* As the copy has them: that does not change any more. */
    struct table threads = find_table(bytes, STATS_TABLE_THREADS);
    struct table arenas = find_table(bytes, STATS_TABLE_ARENAS);
    struct table queues = find_table(bytes, STATS_TABLE_QUEUES);
    struct table workers = find_table(bytes, STATS_TABLE_WORKERS);
    struct table pools = find_table(bytes, STATS_TABLE_POOLS);
    struct table parts = find_table(bytes, STATS_TABLE_PARTS);
    struct table rpcs = find_table(bytes, STATS_TABLE_RPCS);
    struct table topics = find_table(bytes, STATS_TABLE_TOPICS);
    copy_records(shared, bytes, copy, workers, &worker);
    copy_records(shared, bytes, copy, rpcs, &rpc);
    copy_records(shared, bytes, copy, topics, &topic);
    copy_records(shared, bytes, copy, threads, &line);
    copy_records(shared, bytes, copy, arenas, &arena);
    copy_records(shared, bytes, copy, queues, &queue);
    copy_records(shared, bytes, copy, pools, &pool);
    copy_records(shared, bytes, copy, parts, &part);
}

static unsigned read_names(struct bytes bytes, enum stats_table_kind kind, reader_name *names, unsigned max)
{
    struct table table = find_table(bytes, kind);
    unsigned count = table.count < max ? (unsigned)table.count : max;
    for (unsigned i = 0; i < count; i++) {
        read_name(record(bytes, &table, i), table.stride, names[i]);
        if (!names[i][0])
            (void)snprintf(names[i], READER_NAME_BYTES, "unnamed %u", i);
    }
    return count;
}

/* The name with that number in a table of names; a number that is not there is shown as itself. */
static void name_number(struct bytes bytes, enum stats_table_kind kind, const char *what, uint32_t number,
                        reader_name name)
{
    struct table table = find_table(bytes, kind);
    if (number < table.count)
        read_name(record(bytes, &table, number), table.stride, name);
    else
        (void)snprintf(name, READER_NAME_BYTES, "%s %u", what, number);
}

static void read_thread(struct bytes bytes, const uint8_t *at, size_t stride, unsigned counter_count,
                        struct reader_thread *thread)
{
    uint32_t wait = read_u32(at + offsetof(struct stats_line, wait));
    read_name(at + offsetof(struct stats_line, name), sizeof(((struct stats_line *)0)->name), thread->name);
    name_number(bytes, STATS_TABLE_KIND_NAMES, "kind", read_u32(at), thread->kind);
    name_number(bytes, STATS_TABLE_WAIT_NAMES, "reason", wait, thread->wait);
    thread->kind_number = read_u32(at);
    thread->wait_number = wait;
    thread->is_waiting = wait != JOB_WAIT_NONE;
    thread->tid = read_u32(at + offsetof(struct stats_line, tid));
    thread->started_ns = read_u64(at + offsetof(struct stats_line, started_ns));
    thread->since_ns = read_u64(at + offsetof(struct stats_line, since_ns));
    thread->function = read_u64(at + offsetof(struct stats_line, running));
    size_t room = (stride - offsetof(struct stats_line, counters)) / sizeof(uint64_t);
    for (unsigned i = 0; i < counter_count && i < room; i++)
        thread->counters[i] = read_u64(at + offsetof(struct stats_line, counters) + i * sizeof(uint64_t));
}

static size_t count_live(struct bytes bytes, const struct table *table, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < table->count && count < max; i++)
        count += is_live(read_u32(record(bytes, table, i)));
    return count;
}

static bool read_threads(struct bytes bytes, struct snapshot *snapshot)
{
    struct table table = find_table(bytes, STATS_TABLE_THREADS);
    size_t count = count_live(bytes, &table, READER_THREADS_MAX);
    snapshot->threads = calloc(count + 1, sizeof *snapshot->threads);   /* + 1: never of size 0 */
    if (!snapshot->threads)
        return false;
    for (size_t i = 0; i < table.count && snapshot->thread_count < count; i++) {
        const uint8_t *at = record(bytes, &table, i);
        if (!is_live(read_u32(at)))
            continue;
        struct reader_thread *thread = &snapshot->threads[snapshot->thread_count++];
        read_thread(bytes, at, table.stride, snapshot->counter_count, thread);
        thread->record = (uint32_t)i + 1;
    }
    return true;
}

/* What all live records of a table say, but of threads. */
struct list_of {
    enum stats_table_kind kind;
    size_t max, item_bytes;
    void (*read)(const uint8_t *at, uint32_t record, void *item);   /* `record`: 1 + its number */
};

static bool read_list(struct bytes bytes, const struct list_of *list, void *items, size_t *count)
{
    struct table table = find_table(bytes, list->kind);
    size_t live = count_live(bytes, &table, list->max);
    uint8_t *item = calloc(live + 1, list->item_bytes);   /* + 1: never of size 0 */
    if (!item)
        return false;
    memcpy(items, &item, sizeof item);   /* a pointer to whatever the list is of */
    for (size_t i = 0; i < table.count && *count < live; i++) {
        const uint8_t *at = record(bytes, &table, i);
        if (!is_live(read_u32(at)))
            continue;
        list->read(at, (uint32_t)i + 1, item);
        item += list->item_bytes;
        ++*count;
    }
    return true;
}

static void read_arena(const uint8_t *at, uint32_t record, void *item)
{
    struct reader_arena *arena = item;
    arena->record = record;
    read_name(at + offsetof(struct stats_arena, name), STATS_NAME_BYTES, arena->name);
    arena->opened_ns = read_u64(at + offsetof(struct stats_arena, opened_ns));
    arena->limit_bytes = read_u64(at + offsetof(struct stats_arena, limit_bytes));
    arena->committed_bytes = read_u64(at + offsetof(struct stats_arena, committed_bytes));
    arena->used_bytes = read_u64(at + offsetof(struct stats_arena, used_bytes));
    arena->held_bytes = read_u64(at + offsetof(struct stats_arena, held_bytes));
    arena->starved = read_u64(at + offsetof(struct stats_arena, starved));
    arena->failed = read_u64(at + offsetof(struct stats_arena, failed));
}

static void read_queue(const uint8_t *at, uint32_t record, void *item)
{
    struct reader_queue *queue = item;
    uint64_t used = read_u64(at + offsetof(struct stats_queue, used));
    queue->record = record;
    read_name(at + offsetof(struct stats_queue, name), STATS_NAME_BYTES, queue->name);
    queue->is_closed = read_u32(at) == STATS_QUEUE_CLOSED;
    queue->is_subscriber = read_u32(at) == STATS_QUEUE_SUBSCRIBER;
    queue->topic = read_u32(at + offsetof(struct stats_queue, topic));
    queue->policy = read_u32(at + offsetof(struct stats_queue, policy));
    queue->dropped = read_u64(at + offsetof(struct stats_queue, dropped));
    queue->refused = read_u64(at + offsetof(struct stats_queue, refused));
    queue->opened_ns = read_u64(at + offsetof(struct stats_queue, opened_ns));
    queue->limit_messages = read_u32(at + offsetof(struct stats_queue, limit_messages));
    queue->limit_bytes = read_u64(at + offsetof(struct stats_queue, limit_bytes));
    queue->receiver = read_u32(at + offsetof(struct stats_queue, receiver));
    queue->taken = read_u64(at + offsetof(struct stats_queue, taken));
    queue->taken_ns = read_u64(at + offsetof(struct stats_queue, taken_ns));
    queue->waiting = used >> STATS_QUEUE_BYTES_BITS;
    queue->waiting_bytes = used & (((uint64_t)1 << STATS_QUEUE_BYTES_BITS) - 1);
}

static void read_worker(const uint8_t *at, uint32_t record, void *item)
{
    (void)record;
    struct reader_worker *worker = item;
    static const char *const states[STATS_WORKER_STATES] = {"none", "starts", "online", "stops", "stuck", "ends", "left"};
    uint32_t state = read_u32(at + offsetof(struct stats_worker, state));
    read_name(at + offsetof(struct stats_worker, name), STATS_NAME_BYTES, worker->name);
    if (state < STATS_WORKER_STATES)
        (void)snprintf(worker->state, sizeof worker->state, "%s", states[state]);
    else
        (void)snprintf(worker->state, sizeof worker->state, "state %u", state);
    worker->state_number = state;
    worker->opened_ns = read_u64(at + offsetof(struct stats_worker, opened_ns));
    worker->id = read_u64(at + offsetof(struct stats_worker, id));
    worker->parent = read_u64(at + offsetof(struct stats_worker, parent));
    worker->thread = read_u32(at + offsetof(struct stats_worker, thread));
    worker->arena = read_u32(at + offsetof(struct stats_worker, arena));
    worker->queue = read_u32(at + offsetof(struct stats_worker, queue));
}

static void read_pool(const uint8_t *at, uint32_t record, void *item)
{
    struct reader_pool *pool = item;
    pool->record = record;
    read_name(at + offsetof(struct stats_pool, name), STATS_NAME_BYTES, pool->name);
    pool->is_closed = read_u32(at) == STATS_POOL_CLOSED;
    pool->opened_ns = read_u64(at + offsetof(struct stats_pool, opened_ns));
    pool->limit = read_u32(at + offsetof(struct stats_pool, limit));
    pool->workers = read_u32(at + offsetof(struct stats_pool, workers));
    pool->shed_target_ns = read_u64(at + offsetof(struct stats_pool, shed_target_ns));
    pool->submitted = read_u64(at + offsetof(struct stats_pool, submitted));
    pool->begun = read_u64(at + offsetof(struct stats_pool, begun));
    pool->shed = read_u64(at + offsetof(struct stats_pool, shed));
    pool->unseen = read_u32(at + offsetof(struct stats_pool, unseen));
}

static void read_part(const uint8_t *at, uint32_t record, void *item)
{
    (void)record;
    struct reader_part *part = item;
    part->is_loop = read_u32(at) == STATS_PART_LOOP;
    part->pool = read_u32(at + offsetof(struct stats_part, pool));
    part->thread = read_u32(at + offsetof(struct stats_part, thread));
    part->submitted = read_u64(at + offsetof(struct stats_part, submitted));
    part->refused = read_u64(at + offsetof(struct stats_part, refused));
    part->begun = read_u64(at + offsetof(struct stats_part, begun));
    part->shed = read_u64(at + offsetof(struct stats_part, shed));
    part->waited_ns = read_u64(at + offsetof(struct stats_part, waited_ns));
}

static void read_rpc(const uint8_t *at, uint32_t record, void *item)
{
    (void)record;
    struct reader_rpc *rpc = item;
    read_name(at + offsetof(struct stats_rpc, name), STATS_NAME_BYTES, rpc->name);
    rpc->opened_ns = read_u64(at + offsetof(struct stats_rpc, opened_ns));
    rpc->overdue_ns = read_u64(at + offsetof(struct stats_rpc, overdue_ns));
    rpc->limit_calls = read_u32(at + offsetof(struct stats_rpc, limit_calls));
    rpc->thread = read_u32(at + offsetof(struct stats_rpc, thread));
    rpc->oldest_ns = read_u64(at + offsetof(struct stats_rpc, oldest_ns));
    rpc->open = read_u32(at + offsetof(struct stats_rpc, open));
    rpc->unanswered = read_u32(at + offsetof(struct stats_rpc, unanswered));
    rpc->calls = read_u64(at + offsetof(struct stats_rpc, calls));
    rpc->answered = read_u64(at + offsetof(struct stats_rpc, answered));
    rpc->timed_out = read_u64(at + offsetof(struct stats_rpc, timed_out));
    rpc->canceled = read_u64(at + offsetof(struct stats_rpc, canceled));
    rpc->dead = read_u64(at + offsetof(struct stats_rpc, dead));
    rpc->late = read_u64(at + offsetof(struct stats_rpc, late));
    rpc->overdue = read_u64(at + offsetof(struct stats_rpc, overdue));
    rpc->served = read_u64(at + offsetof(struct stats_rpc, served));
    rpc->stray = read_u64(at + offsetof(struct stats_rpc, stray));
}

/* One text in two fields, of which a character may have bytes in both. */
static void read_topic_name(const uint8_t *at, struct reader_topic *topic)
{
    enum { FIRST = STATS_NAME_BYTES - 1 };
    uint8_t whole[FIRST + STATS_NAME_BYTES];
    memcpy(whole, at + offsetof(struct stats_topic, name), FIRST);
    memcpy(whole + FIRST, at + offsetof(struct stats_topic, name_rest), STATS_NAME_BYTES);
    text_clean(whole, sizeof whole, topic->name, sizeof topic->name);
}

static void read_topic(const uint8_t *at, uint32_t record, void *item)
{
    struct reader_topic *topic = item;
    topic->record = record;
    read_topic_name(at, topic);
    read_name(at + offsetof(struct stats_topic, name), STATS_NAME_BYTES, topic->cut);
    topic->has_ended = read_u32(at) == STATS_TOPIC_ENDED;
    topic->opened_ns = read_u64(at + offsetof(struct stats_topic, opened_ns));
    topic->subscribers = read_u32(at + offsetof(struct stats_topic, subscribers));
    topic->posts = read_u64(at + offsetof(struct stats_topic, posts));
    topic->reached = read_u64(at + offsetof(struct stats_topic, reached));
    topic->dropped = read_u64(at + offsetof(struct stats_topic, dropped));
    topic->refused = read_u64(at + offsetof(struct stats_topic, refused));
    topic->disconnected = read_u64(at + offsetof(struct stats_topic, disconnected));
}

static bool read_lists(struct bytes bytes, struct snapshot *snapshot)
{
    static const struct list_of arenas = {STATS_TABLE_ARENAS, READER_ARENAS_MAX, sizeof *snapshot->arenas, read_arena};
    static const struct list_of queues = {STATS_TABLE_QUEUES, READER_QUEUES_MAX, sizeof *snapshot->queues, read_queue};
    static const struct list_of workers = {STATS_TABLE_WORKERS, READER_WORKERS_MAX, sizeof *snapshot->workers,
                                           read_worker};
    static const struct list_of pools = {STATS_TABLE_POOLS, READER_POOLS_MAX, sizeof *snapshot->pools, read_pool};
    static const struct list_of parts = {STATS_TABLE_PARTS, READER_PARTS_MAX, sizeof *snapshot->parts, read_part};
    static const struct list_of rpcs = {STATS_TABLE_RPCS, READER_RPCS_MAX, sizeof *snapshot->rpcs, read_rpc};
    static const struct list_of topics = {STATS_TABLE_TOPICS, READER_TOPICS_MAX, sizeof *snapshot->topics, read_topic};
    return read_list(bytes, &arenas, &snapshot->arenas, &snapshot->arena_count) &&
           read_list(bytes, &queues, &snapshot->queues, &snapshot->queue_count) &&
           read_list(bytes, &workers, &snapshot->workers, &snapshot->worker_count) &&
           read_list(bytes, &pools, &snapshot->pools, &snapshot->pool_count) &&
           read_list(bytes, &parts, &snapshot->parts, &snapshot->part_count) &&
           read_list(bytes, &rpcs, &snapshot->rpcs, &snapshot->rpc_count) &&
           read_list(bytes, &topics, &snapshot->topics, &snapshot->topic_count);
}

static unsigned count_ignored(struct bytes bytes)
{
    uint32_t count = read_u32(bytes.at + offsetof(struct stats_header, table_count)), usable = 0;
    struct stats_table entry;
    for (uint32_t i = 0; read_entry(bytes, i, &entry); i++)
        usable += is_usable(bytes, &entry);
    return count - usable;
}

static void read_header(struct bytes bytes, struct snapshot *snapshot)
{
    const uint8_t *at = bytes.at;
    snapshot->pid = read_u32(at + offsetof(struct stats_header, pid));
    snapshot->start_ticks = read_u64(at + offsetof(struct stats_header, start_ticks));
    snapshot->opened_ns = read_u64(at + offsetof(struct stats_header, opened_ns));
    snapshot->clock_id = read_u32(at + offsetof(struct stats_header, clock_id));
    snapshot->available = read_u32(at + offsetof(struct stats_header, features_available));
    snapshot->disabled = read_u32(at + offsetof(struct stats_header, features_disabled));
    read_name(at + offsetof(struct stats_header, name), STATS_NAME_BYTES, snapshot->name);
    read_name(at + offsetof(struct stats_header, version), STATS_NAME_BYTES, snapshot->version);
    snapshot->ignored_tables = count_ignored(bytes);
}

enum reader_result reader_parse(const void *memory, size_t size, struct snapshot *snapshot)
{
    struct bytes bytes = {memory, size};
    memset(snapshot, 0, sizeof *snapshot);
    if (size < READER_SEGMENT_MIN || memcmp(bytes.at, STATS_MAGIC, sizeof STATS_MAGIC - 1) != 0)
        return READER_NO_SEGMENT;
    snapshot->major = read_u32(bytes.at + offsetof(struct stats_header, major));
    snapshot->minor = read_u32(bytes.at + offsetof(struct stats_header, minor));
    if (snapshot->major != STATS_MAJOR)
        return READER_VERSION;
    uint64_t own_size = read_u64(bytes.at + offsetof(struct stats_header, size));
    if (own_size > size || own_size < READER_SEGMENT_MIN)
        return READER_DAMAGED;
    bytes.size = (size_t)own_size;
    read_header(bytes, snapshot);
    snapshot->feature_count = read_names(bytes, STATS_TABLE_FEATURE_NAMES, snapshot->features, READER_FEATURES_MAX);
    snapshot->counter_count = read_names(bytes, STATS_TABLE_COUNTER_NAMES, snapshot->counters, READER_COUNTERS_MAX);
    if (read_threads(bytes, snapshot) && read_lists(bytes, snapshot))
        return READER_OK;
    reader_free(snapshot);
    return READER_NO_MEMORY;
}

void reader_free(struct snapshot *snapshot)
{
    free(snapshot->threads);
    free(snapshot->arenas);
    free(snapshot->queues);
    free(snapshot->workers);
    free(snapshot->pools);
    free(snapshot->parts);
    free(snapshot->rpcs);
    free(snapshot->topics);
    *snapshot = (struct snapshot){0};
}

const struct reader_thread *reader_find_thread(const struct snapshot *snapshot, uint32_t record)
{
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        if (snapshot->threads[i].record == record)
            return &snapshot->threads[i];
    }
    return NULL;
}
