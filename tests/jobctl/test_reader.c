/* test_reader.c — jobctl's reader on bytes that no library wrote, in this very process, so that the sanitizers see each access.
 *
 * A small segment is the seed: it has everything that a real one has, in 2 KiB, so that each byte can be tried with each bit.
 */
#include "support/fixture.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>

#include "json.h"
#include "reader.h"
#include "stats/names.h"
#include "stats/stats.h"
#include "symbol.h"
#include "text.h"

enum {
    LINES = 3,
    ARENAS = 2,
    QUEUES = 3,
    WORKERS = 2,
    POOLS = 2,
    PARTS = 3,
    RPCS = 2,
    TOPICS = 2,
    NAMES = 6,
    SEGMENT_MAX = 5120,
};

/* What was tried, so that a run that tries nothing does not pass. */
static unsigned tried, parsed;

static uint32_t add_table(struct stats_header *header, uint32_t kind, uint32_t stride, uint32_t count, uint32_t offset)
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
        arena->kind = STATS_ARENA_OPEN;
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

/* check writes down each of its asserts, which is ten times what a try costs. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s", #condition);                                                                            \
    } while (0)

static void check_name(const char *name)
{
    char again[READER_NAME_BYTES];
    MUST(memchr(name, '\0', READER_NAME_BYTES));
    text_clean(name, READER_NAME_BYTES, again, sizeof again);
    MUST(strcmp(again, name) == 0);   /* clean already */
}

static void check_snapshot(const struct snapshot *snapshot)
{
    check_name(snapshot->name);
    check_name(snapshot->version);
    MUST(snapshot->feature_count <= READER_FEATURES_MAX);
    MUST(snapshot->counter_count <= READER_COUNTERS_MAX);
    MUST(snapshot->thread_count <= READER_THREADS_MAX);
    MUST(snapshot->arena_count <= READER_ARENAS_MAX);
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
    MUST(snapshot->queue_count <= READER_QUEUES_MAX);
    MUST(snapshot->worker_count <= READER_WORKERS_MAX);
    MUST(snapshot->pool_count <= READER_POOLS_MAX);
    MUST(snapshot->part_count <= READER_PARTS_MAX);
    for (size_t i = 0; i < snapshot->pool_count; i++)
        check_name(snapshot->pools[i].name);
    for (size_t i = 0; i < snapshot->queue_count; i++)
        check_name(snapshot->queues[i].name);
    for (size_t i = 0; i < snapshot->worker_count; i++) {
        check_name(snapshot->workers[i].name);
        check_name(snapshot->workers[i].state);
    }
    MUST(snapshot->rpc_count <= READER_RPCS_MAX);
    MUST(snapshot->topic_count <= READER_TOPICS_MAX);
    for (size_t i = 0; i < snapshot->rpc_count; i++)
        check_name(snapshot->rpcs[i].name);
    for (size_t i = 0; i < snapshot->topic_count; i++)
        MUST(memchr(snapshot->topics[i].name, '\0', READER_TOPIC_NAME_BYTES));
}

/* As jobctl does it; each block has exactly the size, so that a sanitizer sees one byte too many. */
static enum reader_result try(const uint8_t *bytes, size_t size)
{
    struct snapshot snapshot;
    uint8_t *shared = aligned_alloc(8, (size + 8) & ~(size_t)7), *copy = malloc(size ? size : 1);
    memcpy(shared, bytes, size);
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

static _Alignas(struct stats_line) uint8_t seed[SEGMENT_MAX], bytes[SEGMENT_MAX];   /* records are written in place */
static size_t seed_size;

static void set_up(void)
{
    memset(seed, 0, sizeof seed);
    seed_size = write_segment(seed);
    memcpy(bytes, seed, sizeof bytes);
    tried = parsed = 0;
}

START_TEST(a_whole_segment_is_read_as_it_was_written)
{
    struct snapshot snapshot;
    ck_assert_int_eq(reader_parse(seed, seed_size, &snapshot), READER_OK);

    ck_assert_str_eq(snapshot.name, "seed");
    ck_assert_uint_eq(snapshot.thread_count, LINES);
    ck_assert_uint_eq(snapshot.arena_count, ARENAS);
    ck_assert_uint_eq(snapshot.counter_count, NAMES);
    ck_assert_uint_eq(snapshot.ignored_tables, 0);
    ck_assert_uint_eq(snapshot.queue_count, QUEUES);
    ck_assert_str_eq(snapshot.queues[1].name, "queue 1");
    ck_assert_uint_eq(snapshot.queues[1].record, 2);
    ck_assert_uint_eq(snapshot.queues[1].receiver, 2);
    ck_assert(!snapshot.queues[0].is_closed && snapshot.queues[1].is_closed);
    ck_assert_uint_eq(snapshot.queues[0].waiting, 5);
    ck_assert_uint_eq(snapshot.queues[0].waiting_bytes, 77);
    ck_assert(!snapshot.queues[1].is_subscriber && snapshot.queues[2].is_subscriber && !snapshot.queues[2].is_closed);
    ck_assert_uint_eq(snapshot.queues[2].topic, 2);
    ck_assert_uint_eq(snapshot.queues[2].policy, 1);
    ck_assert_uint_eq(snapshot.queues[2].dropped, 32);
    ck_assert_uint_eq(snapshot.queues[2].refused, 42);
    ck_assert_uint_eq(snapshot.worker_count, WORKERS);
    ck_assert_str_eq(snapshot.workers[0].state, "stuck");
    ck_assert_str_eq(snapshot.workers[1].state, "state 4711");
    ck_assert_uint_eq(snapshot.workers[1].id, 91);
    ck_assert_uint_eq(snapshot.workers[1].arena, 2);
    ck_assert_uint_eq(snapshot.pool_count, POOLS);
    ck_assert_str_eq(snapshot.pools[1].name, "pool 1");
    ck_assert_uint_eq(snapshot.pools[1].record, 2);
    ck_assert(!snapshot.pools[0].is_closed && snapshot.pools[1].is_closed);
    ck_assert_uint_eq(snapshot.pools[0].limit, 16);
    ck_assert_uint_eq(snapshot.pools[0].submitted, 3);
    ck_assert_uint_eq(snapshot.part_count, PARTS);
    ck_assert(snapshot.parts[0].is_loop && !snapshot.parts[1].is_loop);
    ck_assert_uint_eq(snapshot.parts[0].submitted, 40);
    ck_assert_uint_eq(snapshot.parts[2].begun, 12);
    ck_assert_uint_eq(snapshot.parts[2].pool, 1);
    ck_assert_uint_eq(snapshot.parts[2].thread, 3);
    ck_assert_uint_eq(snapshot.threads[2].record, 3);
    ck_assert_str_eq(snapshot.threads[2].name, "line 2");
    ck_assert_uint_eq(snapshot.threads[2].tid, 102);
    ck_assert_uint_eq(snapshot.threads[2].counters[1], 11);
    ck_assert_str_eq(snapshot.arenas[1].name, "arena 1");
    reader_free(&snapshot);
}
END_TEST

START_TEST(ends_of_calls_and_topics_are_read_as_they_were_written)
{
    struct snapshot snapshot;
    ck_assert_int_eq(reader_parse(seed, seed_size, &snapshot), READER_OK);

    ck_assert_uint_eq(snapshot.rpc_count, RPCS);
    const struct reader_rpc *rpc = &snapshot.rpcs[1];
    ck_assert_str_eq(rpc->name, "rpc 1");
    ck_assert_uint_eq(rpc->thread, 2);
    ck_assert_str_eq(reader_find_thread(&snapshot, rpc->thread)->name, "line 1");
    ck_assert_ptr_null(reader_find_thread(&snapshot, 0));
    ck_assert(rpc->overdue_ns == 1 && rpc->limit_calls == 2 && rpc->oldest_ns == 3);
    ck_assert(rpc->open == 4 && rpc->unanswered == 5);
    ck_assert(rpc->calls == 6 && rpc->answered == 7 && rpc->timed_out == 8 && rpc->canceled == 9 && rpc->dead == 10);
    ck_assert(rpc->late == 11 && rpc->overdue == 12 && rpc->served == 13 && rpc->stray == 14);
    ck_assert_uint_eq(snapshot.topic_count, TOPICS);
    const struct reader_topic *topic = &snapshot.topics[1];
    ck_assert_str_eq(topic->name, "topic 1");
    ck_assert(topic->record == 2 && topic->has_ended && !snapshot.topics[0].has_ended);
    ck_assert(topic->posts == 1 && topic->reached == 2 && topic->dropped == 3 && topic->refused == 4);
    ck_assert(topic->disconnected == 5 && topic->subscribers == 6);
    reader_free(&snapshot);
}
END_TEST

START_TEST(the_name_of_a_topic_is_read_whole_also_where_a_character_is_in_both_fields)
{
    struct snapshot snapshot;
    struct stats_topic *topic = NULL;
    memcpy(bytes, seed, seed_size);
    for (size_t at = 0; at + sizeof *topic <= seed_size && !topic; at += 8) {
        if (memcmp(bytes + at + offsetof(struct stats_topic, name), "topic 0", 8) == 0)
            topic = (struct stats_topic *)(void *)(bytes + at);
    }
    ck_assert_ptr_nonnull(topic);
    memset(topic->name, 'n', sizeof topic->name);
    topic->name[30] = '\xc3';
    topic->name[31] = '\0';
    memset(topic->name_rest, 'r', sizeof topic->name_rest);   /* without an end */
    topic->name_rest[0] = '\xa9';

    ck_assert_int_eq(reader_parse(bytes, seed_size, &snapshot), READER_OK);
    ck_assert_str_eq(snapshot.topics[0].name, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\xc3\xa9rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
    ck_assert_str_eq(snapshot.topics[0].cut, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn?");
    ck_assert_str_eq(snapshot.topics[1].name, "topic 1");
    reader_free(&snapshot);
}
END_TEST

START_TEST(every_byte_with_every_bit_changed_is_survived)
{
    for (size_t at = 0; at < seed_size; at++) {
        for (unsigned bit = 0; bit < 10; bit++) {
            bytes[at] = (uint8_t)(bit < 8 ? seed[at] ^ (1U << bit) : bit == 8 ? 0 : 0xff);
            (void)try(bytes, seed_size);
        }
        bytes[at] = seed[at];
    }

    ck_assert_uint_eq(tried, 10 * seed_size);
    ck_assert_uint_gt(parsed, seed_size);
}
END_TEST

START_TEST(every_size_is_survived)
{
    for (size_t size = 0; size <= seed_size; size++)
        (void)try(seed, size);

    ck_assert_int_eq(try(seed, seed_size), READER_OK);
    ck_assert_int_eq(try(seed, seed_size - 1), READER_DAMAGED);
    ck_assert_int_eq(try(seed, 0), READER_NO_SEGMENT);
}
END_TEST

static const uint32_t nasty[] = {
    0,      1,       2,         3,          4,          7,          8,          31,         32,         63,
    64,     65,      71,        72,         127,        128,        255,        256,        257,        0x7fff,
    0xffff, 0x10000, 0x1000000, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffff8, 0xffffffc0, 0xfffffffe, 0xffffffff,
};
enum { NASTY = sizeof nasty / sizeof nasty[0] };

static uint32_t nasty_value(unsigned i)
{
    return i < NASTY ? nasty[i] : (uint32_t)seed_size - (NASTY + 4 - i);   /* the last ones: about its size */
}

static void put(size_t at, uint32_t value)
{
    memcpy(bytes + at, &value, sizeof value);
}

START_TEST(every_pair_of_table_fields_at_nasty_values_is_survived)
{
    const struct stats_header *header = (const struct stats_header *)(const void *)seed;
    for (unsigned table = 0; table < header->table_count; table++) {
        size_t entry = offsetof(struct stats_header, tables) + table * sizeof(struct stats_table);
        for (unsigned pair = 0; pair < 6; pair++) {
            static const uint8_t first[] = {0, 0, 0, 4, 4, 8}, second[] = {4, 8, 12, 8, 12, 12};
            for (unsigned i = 0; i < (NASTY + 8) * (NASTY + 8); i++) {
                put(entry + first[pair], nasty_value(i / (NASTY + 8)));
                put(entry + second[pair], nasty_value(i % (NASTY + 8)));
                (void)try(bytes, seed_size);
            }
            memcpy(bytes, seed, sizeof bytes);
        }
    }

    ck_assert_uint_gt(tried, 50000);
}
END_TEST

START_TEST(every_word_of_the_header_at_nasty_values_is_survived)
{
    for (size_t at = 8; at < sizeof(struct stats_header); at += 4) {
        for (unsigned i = 0; i < NASTY + 8; i++) {
            put(at, nasty_value(i));
            (void)try(bytes, seed_size);
        }
        memcpy(bytes, seed, sizeof bytes);
    }

    ck_assert_uint_gt(parsed, 0);
}
END_TEST

static void mutate(struct random *random)
{
    unsigned count = 1 + (unsigned)random_below(random, 12);
    for (unsigned i = 0; i < count; i++) {
        size_t room = random_below(random, 2) ? sizeof(struct stats_header) : seed_size;   /* the header decides most */
        size_t at = random_below(random, room);
        switch (random_below(random, 4)) {
        case 0: bytes[at] = (uint8_t)random_next(random); break;
        case 1: put(at & ~(size_t)3, nasty_value((unsigned)random_below(random, NASTY + 8))); break;
        case 2: bytes[at] = (uint8_t)(bytes[at] ^ (1U << random_below(random, 8))); break;
        default:
            memmove(bytes + at, bytes + random_below(random, seed_size), random_below(random, SEGMENT_MAX - seed_size));
            break;
        }
    }
}

START_TEST(a_hundred_thousand_random_changes_are_survived)
{
    struct random random = fixture_random("random_changes");
    for (unsigned i = 0; i < 100000; i++) {
        memcpy(bytes, seed, seed_size);
        mutate(&random);
        (void)try(bytes, random_below(&random, 8) ? seed_size : random_below(&random, seed_size + 1));
    }

    ck_assert_uint_gt(parsed, 10000);   /* they are not all refused at the door */
}
END_TEST

START_TEST(random_bytes_are_refused_or_survived)
{
    struct random random = fixture_random("random_bytes");
    for (unsigned i = 0; i < 5000; i++) {
        size_t size = random_below(&random, SEGMENT_MAX);
        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)random_next(&random);
        if (random_below(&random, 2))
            memcpy(bytes, seed, 24);   /* magic, version, size: in by the door */
        (void)try(bytes, size);
    }

    ck_assert_uint_gt(parsed, 100);
}
END_TEST

START_TEST(a_longer_record_of_a_newer_library_is_read_by_its_own_stride)
{
    static uint8_t wide[SEGMENT_MAX];
    struct stats_header *header = (struct stats_header *)(void *)wide;
    struct snapshot snapshot;
    memcpy(wide, seed, seed_size);
    uint32_t stride = sizeof(struct stats_arena) + 64, offset = (uint32_t)seed_size;
    const uint8_t *arenas = seed + header->tables[1].offset;
    for (unsigned i = 0; i < ARENAS; i++)
        memcpy(wide + offset + i * stride, arenas + i * sizeof(struct stats_arena), sizeof(struct stats_arena));
    header->tables[1] = (struct stats_table){STATS_TABLE_ARENAS, offset, stride, ARENAS};
    header->tables[header->table_count++] = (struct stats_table){77, 0, 8, 1};   /* a kind that is not known yet */
    header->minor = 9;
    header->size = offset + ARENAS * stride;

    ck_assert_int_eq(reader_parse(wide, (size_t)header->size, &snapshot), READER_OK);

    ck_assert_uint_eq(snapshot.arena_count, ARENAS);
    ck_assert_str_eq(snapshot.arenas[1].name, "arena 1");
    reader_free(&snapshot);
}
END_TEST

/* TSan is right that names are stored plainly while another reads them; the reader sees the generation and copies anew. */
#ifndef JOB_TSAN
enum {
    LONG_STRIDE = 2048,
    LONG_COUNTERS = (LONG_STRIDE - offsetof(struct stats_line, counters)) / 8,
    HELD_MAX = 4096,   /* stores while the line is somebody's: sometimes shorter than a copy, sometimes longer */
};

struct turns {
    struct stats_line *line;
    atomic_u32 is_over;
};

/* Takes the line, fills in one figure everywhere, another each time, gives it back, again and again: as line.c does it, without what takes
 * longer. */
static void *take_turns(void *arg)
{
    struct turns *turns = arg;
    struct stats_line *line = turns->line;
    atomic_u64 *counters = line->counters;   /* more of them than today's line has */
    struct random random = {1};
    for (uint64_t figure = 1; !load_relaxed(&turns->is_over); figure = 3 - figure) {   /* a hint to end */
        MUST(stats_record_claim(&line->kind, &line->generation));
        line->started_ns = figure;
        for (unsigned i = 0; i < LONG_COUNTERS; i++)
            store_relaxed(&counters[i], figure);   /* no order: behind the claim */
        store_release(&line->kind, (uint32_t)LINE_LOOP);   /* pairs with load_acquire in word32 (reader.c) */
        for (uint64_t left = random_below(&random, HELD_MAX); left > 0; left--)
            store_relaxed(&counters[0], figure);   /* as a counter: no order */
        store_release(&line->kind, (uint32_t)LINE_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
    }
    return NULL;
}

/* One line, so long that it changes hands while it is copied; its size. */
static size_t write_long_line(uint8_t *memory)
{
    struct stats_header *header = (struct stats_header *)(void *)memory;
    *header = (struct stats_header){.major = STATS_MAJOR};
    memcpy(header->magic, STATS_MAGIC, sizeof header->magic);
    uint32_t end = add_table(header, STATS_TABLE_THREADS, LONG_STRIDE, 1, sizeof *header);
    end = add_table(header, STATS_TABLE_COUNTER_NAMES, STATS_NAME_BYTES, READER_COUNTERS_MAX, end);
    header->size = end;
    return end;
}

START_TEST(a_record_that_changes_hands_is_never_read_half)
{
    static uint8_t memory[1 << 14] __attribute__((aligned(64))), copy[1 << 14] __attribute__((aligned(64)));
    size_t size = write_long_line(memory);
    struct turns turns = {.line = (struct stats_line *)(void *)(memory + sizeof(struct stats_header))};
    pthread_t owner;
    unsigned seen[3] = {0};
    ck_assert_int_eq(pthread_create(&owner, NULL, take_turns, &turns), 0);

    for (unsigned i = 0; i < 20000 || seen[1] == 0 || seen[2] == 0; i++) {   /* under check's time-out */
        struct snapshot snapshot;
        reader_copy(memory, size, copy);
        MUST(reader_parse(copy, size, &snapshot) == READER_OK);
        for (size_t j = 0; j < snapshot.thread_count; j++) {
            const struct reader_thread *thread = &snapshot.threads[j];
            MUST(thread->started_ns == 1 || thread->started_ns == 2);
            seen[thread->started_ns]++;
            for (unsigned k = 0; k < READER_COUNTERS_MAX; k++)
                MUST(thread->counters[k] == thread->started_ns);
        }
        reader_free(&snapshot);
    }

    store_relaxed(&turns.is_over, 1);   /* a hint to end */
    ck_assert_int_eq(pthread_join(owner, NULL), 0);
}
END_TEST
#endif

/* A function to be found by name in this program's own symbol table. */
void __attribute__((noinline)) function_to_be_found(void);
void __attribute__((noinline)) function_to_be_found(void)
{
    __asm__ volatile("" ::: "memory");
}

START_TEST(a_function_of_this_program_is_found_by_its_address)
{
    struct symbol_budget budget = {SYMBOL_READS_MAX};
    struct symbol symbol;

    symbol_find(getpid(), (uint64_t)(uintptr_t)function_to_be_found, &budget, &symbol);

    ck_assert_str_eq(symbol.name, "function_to_be_found");
    ck_assert_uint_eq(symbol.offset, 0);
    ck_assert_ptr_nonnull(strstr(symbol.module, "jobctl_reader"));
    symbol_find(getpid(), (uint64_t)(uintptr_t)&symbol, &budget, &symbol);   /* the stack: no file */
    ck_assert_str_eq(symbol.name, "");
    symbol_find(getpid(), 1, &budget, &symbol);
    ck_assert_str_eq(symbol.module, "");
}
END_TEST

struct small_elf {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    Elf64_Shdr sections[3];
    Elf64_Sym symbols[3];
    char strings[32];
};

static struct small_elf make_elf(void)
{
    const uint8_t own_order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    struct small_elf elf = {.strings = "\0first\0second"};
    elf.header = (Elf64_Ehdr){
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, own_order},
        .e_phoff = offsetof(struct small_elf, segments),
        .e_phnum = 2,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_shoff = offsetof(struct small_elf, sections),
        .e_shnum = 3,
        .e_shentsize = sizeof(Elf64_Shdr),
    };
    elf.segments[0].p_type = PT_NOTE;
    elf.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof elf};
    elf.sections[1] = (Elf64_Shdr){
        .sh_type = SHT_SYMTAB,
        .sh_offset = offsetof(struct small_elf, symbols),
        .sh_size = sizeof elf.symbols,
        .sh_entsize = sizeof(Elf64_Sym),
        .sh_link = 2,
    };
    elf.sections[2] = (Elf64_Shdr){
        .sh_type = SHT_STRTAB,
        .sh_offset = offsetof(struct small_elf, strings),
        .sh_size = sizeof elf.strings,
    };
    elf.symbols[1] = (Elf64_Sym){.st_name = 1, .st_info = STT_OBJECT, .st_shndx = 1, .st_value = 0x1010, .st_size = 8};
    elf.symbols[2] = (Elf64_Sym){.st_name = 7, .st_info = STT_FUNC, .st_shndx = 1, .st_value = 0x1010, .st_size = 16};
    return elf;
}

static bool find_in(int fd, const struct small_elf *elf, size_t size, struct symbol *symbol)
{
    *symbol = (struct symbol){0};
    MUST(ftruncate(fd, (off_t)size) == 0);
    MUST(pwrite(fd, elf, size, 0) == (ssize_t)size);
    struct symbol_budget budget = {SYMBOL_READS_MAX};
    return symbol_in_file(fd, 0x18, &budget, symbol);
}

/* 60000 tables over the same bytes, each as large as one may be: 6 * 10^10 symbols in a file of a few blocks. */
START_TEST(a_file_of_many_symbol_tables_is_read_up_to_a_bound_that_all_searches_share)
{
    enum { SECTIONS = 60000, SYMBOLS = 1 << 20, AT = 8 << 20 };
    static Elf64_Shdr sections[SECTIONS];
    struct symbol_budget budget = {SYMBOL_READS_MAX};
    struct symbol symbol = {0};
    struct small_elf elf = make_elf();
    elf.header.e_shnum = SECTIONS;
    elf.header.e_shoff = sizeof elf;
    for (unsigned i = 0; i < SECTIONS; i++)
        sections[i] = (Elf64_Shdr){.sh_type = SHT_SYMTAB, .sh_offset = AT, .sh_size = SYMBOLS * sizeof(Elf64_Sym),
                                   .sh_entsize = sizeof(Elf64_Sym)};
    int fd = memfd_create("elf", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, &elf, sizeof elf), (ssize_t)sizeof elf);
    ck_assert_int_eq(write(fd, sections, sizeof sections), (ssize_t)sizeof sections);
    ck_assert_int_eq(ftruncate(fd, AT + SYMBOLS * (off_t)sizeof(Elf64_Sym)), 0);

    ck_assert(!symbol_in_file(fd, 0x18, &budget, &symbol));

    ck_assert_uint_eq(budget.reads, 0);
    elf = make_elf();
    ck_assert_int_eq(pwrite(fd, &elf, sizeof elf, 0), (ssize_t)sizeof elf);
    ck_assert(!symbol_in_file(fd, 0x18, &budget, &symbol));   /* the next search has nothing left */
    budget.reads = SYMBOL_READS_MAX;
    ck_assert(symbol_in_file(fd, 0x18, &budget, &symbol));
    ck_assert_str_eq(symbol.name, "second");
    close(fd);
}
END_TEST

START_TEST(a_broken_symbol_table_is_survived)
{
    struct small_elf elf = make_elf();
    struct symbol symbol;
    struct random random = fixture_random("symbol_table");
    unsigned found = 0;
    int fd = memfd_create("elf", MFD_CLOEXEC);
    ck_assert(find_in(fd, &elf, sizeof elf, &symbol));
    ck_assert_str_eq(symbol.name, "second");
    ck_assert_uint_eq(symbol.offset, 8);
    for (size_t size = 0; size < sizeof elf - sizeof elf.strings; size++)
        MUST(!find_in(fd, &elf, size, &symbol));

    for (unsigned i = 0; i < 20000; i++) {
        elf = make_elf();
        uint8_t *raw = (uint8_t *)&elf;
        for (unsigned count = 1 + (unsigned)random_below(&random, 4); count > 0; count--) {
            size_t at = random_below(&random, sizeof elf - 8);
            if (random_below(&random, 2))
                raw[at] = (uint8_t)(raw[at] ^ (1U << random_below(&random, 8)));
            else
                memcpy(raw + (at & ~(size_t)3), &nasty[random_below(&random, NASTY)], 4);
        }
        found += find_in(fd, &elf, sizeof elf, &symbol);
        MUST(memchr(symbol.name, '\0', sizeof symbol.name));
    }

    close(fd);
    ck_assert_uint_gt(found, 1000);
}
END_TEST

START_TEST(any_text_becomes_one_json_string)
{
    struct random random = fixture_random("json");
    char command[256];
    int fd = memfd_create("json", MFD_CLOEXEC);
    struct json json = {.file = fdopen(fd, "w")};
    json_open(&json, NULL, '[');
    for (unsigned i = 0; i < 2000; i++) {
        char text[64];
        for (size_t at = 0; at < sizeof text; at++)
            text[at] = (char)(random_below(&random, 4) ? random_next(&random) : 0xe0 + random_below(&random, 32));
        text[sizeof text - 1] = '\0';
        json_text(&json, NULL, text);
    }
    json_open(&json, NULL, '{');
    json_number(&json, "number", UINT64_MAX);
    json_seconds(&json, "seconds", 1000000001);
    json_address(&json, "address", UINT64_MAX);
    json_bool(&json, "yes", true);
    json_text(&json, "\"", NULL);
    json_close(&json, '}');
    json_close(&json, ']');
    ck_assert_int_eq(fflush(json.file), 0);

    snprintf(command, sizeof command,
             "jq -e 'length == 2001 and .[2000].seconds == 1.000000001 and .[2000].yes' /proc/%d/fd/%d >/dev/null",
             (int)getpid(), fd);
    int status = system(command);
    ck_assert_int_eq(fclose(json.file), 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(figures_are_cut_and_carry_their_unit)
{
    static const struct { uint64_t value; const char *bytes, *duration; } rows[] = {
        {0, "0 B", "0 ns"}, {999, "999 B", "999 ns"}, {1023, "1023 B", "1.0 us"}, {1024, "1.0 KiB", "1.0 us"},
        {1536, "1.5 KiB", "1.5 us"}, {10240, "10 KiB", "10 us"}, {1048575, "1023 KiB", "1.0 ms"},
        {59999999999, "55 GiB", "59 s"}, {61000000000, "56 GiB", "1 min 1 s"}, {3661000000000, "3.3 TiB", "1 h 1 min"},
        {90000000000000, "81 TiB", "1 d 1 h"}, {UINT64_MAX, "15 EiB", "213503 d 23 h"},
    };
    text_figure text;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_str_eq(text_bytes(rows[i].value, text), rows[i].bytes);
        ck_assert_str_eq(text_duration(rows[i].value, text), rows[i].duration);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobctl/reader");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_whole_segment_is_read_as_it_was_written);
    tcase_add_test(tcase, ends_of_calls_and_topics_are_read_as_they_were_written);
    tcase_add_test(tcase, the_name_of_a_topic_is_read_whole_also_where_a_character_is_in_both_fields);
    tcase_add_test(tcase, every_byte_with_every_bit_changed_is_survived);
    tcase_add_test(tcase, every_size_is_survived);
    tcase_add_test(tcase, every_pair_of_table_fields_at_nasty_values_is_survived);
    tcase_add_test(tcase, every_word_of_the_header_at_nasty_values_is_survived);
    tcase_add_test(tcase, a_hundred_thousand_random_changes_are_survived);
    tcase_add_test(tcase, random_bytes_are_refused_or_survived);
    tcase_add_test(tcase, a_longer_record_of_a_newer_library_is_read_by_its_own_stride);
#ifndef JOB_TSAN
    tcase_add_test(tcase, a_record_that_changes_hands_is_never_read_half);
#endif
    tcase_add_test(tcase, a_function_of_this_program_is_found_by_its_address);
    tcase_add_test(tcase, a_broken_symbol_table_is_survived);
    tcase_add_test(tcase, a_file_of_many_symbol_tables_is_read_up_to_a_bound_that_all_searches_share);
    tcase_add_test(tcase, any_text_becomes_one_json_string);
    tcase_add_test(tcase, figures_are_cut_and_carry_their_unit);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
