/* test_reader.c — jobctl's reader tells what is in a segment: each field, records longer than it knows, and records that change hands. */
#include "seed.h"
#include "tries.h"

START_TEST(a_whole_segment_is_read_as_it_was_written)
{
    struct snapshot snapshot;
    ck_assert_int_eq(reader_parse(whole, seed_size, &snapshot), READER_OK);

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
    const struct reader_arena *arena = &snapshot.arenas[1];
    ck_assert_str_eq(arena->name, "arena 1");
    ck_assert(arena->record == 2 && arena->opened_ns == 1 && arena->limit_bytes == 2 && arena->committed_bytes == 3);
    ck_assert(arena->used_bytes == 4 && arena->held_bytes == 5 && arena->starved == 6 && arena->failed == 7);
    reader_free(&snapshot);
}
END_TEST

START_TEST(ends_of_calls_and_topics_are_read_as_they_were_written)
{
    struct snapshot snapshot;
    ck_assert_int_eq(reader_parse(whole, seed_size, &snapshot), READER_OK);

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
    memcpy(changed, whole, seed_size);
    for (size_t at = 0; at + sizeof *topic <= seed_size && !topic; at += 8) {
        if (memcmp(changed + at + offsetof(struct stats_topic, name), "topic 0", 8) == 0)
            topic = (struct stats_topic *)(void *)(changed + at);
    }
    ck_assert_ptr_nonnull(topic);
    memset(topic->name, 'n', sizeof topic->name);
    topic->name[30] = '\xc3';
    topic->name[31] = '\0';
    memset(topic->name_rest, 'r', sizeof topic->name_rest);   /* without an end */
    topic->name_rest[0] = '\xa9';

    ck_assert_int_eq(reader_parse(changed, seed_size, &snapshot), READER_OK);
    ck_assert_str_eq(snapshot.topics[0].name, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\xc3\xa9rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr");
    ck_assert_str_eq(snapshot.topics[0].cut, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnn?");
    ck_assert_str_eq(snapshot.topics[1].name, "topic 1");
    reader_free(&snapshot);
}
END_TEST

START_TEST(a_longer_record_of_a_newer_library_is_read_by_its_own_stride)
{
    static uint8_t wide[SEGMENT_MAX];
    struct stats_header *header = (struct stats_header *)(void *)wide;
    struct snapshot snapshot;
    memcpy(wide, whole, seed_size);
    uint32_t stride = sizeof(struct stats_arena) + 64, offset = (uint32_t)seed_size;
    const uint8_t *arenas = whole + header->tables[1].offset;
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
        ck_assert(stats_record_claim(&line->kind, &line->generation));
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
        ck_assert(reader_parse(copy, size, &snapshot) == READER_OK);
        for (size_t j = 0; j < snapshot.thread_count; j++) {
            const struct reader_thread *thread = &snapshot.threads[j];
            ck_assert(thread->started_ns == 1 || thread->started_ns == 2);
            seen[thread->started_ns]++;
            for (unsigned k = 0; k < READER_COUNTERS_MAX; k++)
                ck_assert(thread->counters[k] == thread->started_ns);
        }
        reader_free(&snapshot);
    }

    store_relaxed(&turns.is_over, 1);   /* a hint to end */
    ck_assert_int_eq(pthread_join(owner, NULL), 0);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("jobctl/reader");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, seed_set_up, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_whole_segment_is_read_as_it_was_written);
    tcase_add_test(tcase, ends_of_calls_and_topics_are_read_as_they_were_written);
    tcase_add_test(tcase, the_name_of_a_topic_is_read_whole_also_where_a_character_is_in_both_fields);
    tcase_add_test(tcase, a_longer_record_of_a_newer_library_is_read_by_its_own_stride);
#ifndef JOB_TSAN
    tcase_add_test(tcase, a_record_that_changes_hands_is_never_read_half);
#endif
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
