/* test_segment.c — the statistics segment as a stranger finds it: its seals, its header, its records. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/root.h"
#include "base/sys.h"
#include "stats/names.h"
#include "stats/stats.h"
#include "support/fixture.h"

static struct root root;

static void set_up(void)
{
    root = (struct root){.pid = getpid(), .now_ns = sys_clock_monotonic_ns};
    root.features.available = 1U << FEATURE_COPYBREAK;
    root.features.disabled = 1U << FEATURE_SPIN;
    ck_assert_int_eq(stats_open(&root, "segment under test", &root.stats), 0);
}

static void tear_down(void)
{
    stats_close(&root, &root.stats);
    ck_assert_ptr_null(root.stats);
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);   /* one thread by now */
}

static const struct stats_table *table_of(enum stats_table_kind kind)
{
    const struct stats_header *header = root.stats->header;
    for (uint32_t i = 0; i < header->table_count; i++) {
        if (header->tables[i].kind == (uint32_t)kind)
            return &header->tables[i];
    }
    ck_abort_msg("no table %d", (int)kind);
    return NULL;
}

static const char *name_in(enum stats_table_kind kind, unsigned index)
{
    const struct stats_table *table = table_of(kind);
    ck_assert_uint_lt(index, table->count);
    return (const char *)root.stats->header + table->offset + (size_t)index * table->stride;
}

START_TEST(the_memfd_can_neither_change_its_size_nor_be_written_by_others)
{
    int fd = root.stats->fd;
    struct stat status;
    ck_assert_int_eq(fstat(fd, &status), 0);
    int seals = fcntl(fd, F_GET_SEALS);

    ck_assert_int_eq(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
    ck_assert_ptr_eq(mmap(NULL, (size_t)status.st_size, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    ck_assert_uint_eq((uint64_t)status.st_size, root.stats->header->size);
}
END_TEST

START_TEST(the_header_says_which_process_and_since_when)
{
    const struct stats_header *header = root.stats->header;

    ck_assert_mem_eq(header->magic, STATS_MAGIC, 8);
    ck_assert_uint_eq(header->major, STATS_MAJOR);
    ck_assert_uint_eq(header->pid, (uint32_t)getpid());
    ck_assert_uint_gt(header->start_ticks, 0);
    ck_assert_uint_eq(header->clock_id, CLOCK_MONOTONIC);
    ck_assert_uint_le(header->opened_ns, sys_clock_monotonic_ns());
    ck_assert_str_eq(header->name, "segment under test");
    ck_assert_str_eq(header->version, job_version_text);
    ck_assert_uint_eq(header->features_available, 1U << FEATURE_COPYBREAK);
    ck_assert_uint_eq(header->features_disabled, 1U << FEATURE_SPIN);
}
END_TEST

START_TEST(tables_lie_in_the_segment_and_do_not_overlap)
{
    const struct stats_header *header = root.stats->header;
    uint64_t end = sizeof *header;

    for (uint32_t i = 0; i < header->table_count; i++) {
        const struct stats_table *table = &header->tables[i];
        ck_assert_uint_ge(table->offset, end);
        ck_assert_uint_eq(table->offset % 64, 0);
        end = table->offset + (uint64_t)table->stride * table->count;
        ck_assert_uint_le(end, header->size);
    }
}
END_TEST

START_TEST(each_counter_reason_kind_and_feature_has_its_name_in_the_segment)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        ck_assert_str_eq(name_in(STATS_TABLE_COUNTER_NAMES, i), counter_name((enum counter)i));
    for (unsigned i = 0; i < JOB_WAIT_COUNT; i++)
        ck_assert_str_eq(name_in(STATS_TABLE_WAIT_NAMES, i), wait_name((enum job_wait)i));
    for (unsigned i = 0; i < LINE_KINDS; i++)
        ck_assert_str_eq(name_in(STATS_TABLE_KIND_NAMES, i), line_kind_name((enum line_kind)i));
    for (unsigned i = 0; i < FEATURE_COUNT; i++)
        ck_assert_str_eq(name_in(STATS_TABLE_FEATURE_NAMES, i), feature_name((enum feature)i));
}
END_TEST

START_TEST(a_long_name_is_cut_and_ends)
{
    char name[100];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct stats *other = NULL;
    ck_assert_int_eq(stats_open(&root, name, &other), 0);

    ck_assert_uint_eq(strlen(other->header->name), STATS_NAME_BYTES - 1);
    struct stats_arena *arena = stats_arena_claim(other, name);
    ck_assert_uint_eq(strlen(arena->name), STATS_NAME_BYTES - 1);

    stats_arena_release(arena);
    stats_close(&root, &other);
}
END_TEST

START_TEST(a_line_carries_its_thread_and_a_released_one_is_used_again)
{
    struct stats_line *line = line_claim(&root, LINE_LOOP, "front");
    ck_assert_str_eq(line->name, "front");
    ck_assert_uint_eq(line->tid, (uint32_t)sys_gettid());
    ck_assert_uint_eq(load_relaxed(&line->kind), LINE_LOOP);   /* one thread */
    uint32_t generation = load_relaxed(&line->generation);
    line_count(line, COUNTER_TURNS, 3);
    line_run(line, 42, 7);

    line_release(&root, line);
    ck_assert_uint_eq(load_relaxed(&line->kind), LINE_FREE);
    struct stats_line *again = line_claim(&root, LINE_HELPER, "x");

    ck_assert_ptr_eq(again, line);
    ck_assert_str_eq(again->name, "x");
    ck_assert_mem_eq(again->name, "x\0\0\0\0", 6);
    ck_assert_uint_eq(load_relaxed(&again->counters[COUNTER_TURNS]), 0);
    ck_assert_uint_eq(load_relaxed(&again->running), 0);
    ck_assert_uint_ne(load_relaxed(&again->generation), generation);
    line_release(&root, again);
}
END_TEST

START_TEST(more_threads_than_lines_get_private_ones)
{
    struct stats_line *lines[STATS_THREADS_MAX + 2];
    for (unsigned i = 0; i < ARRAY_COUNT(lines); i++) {
        lines[i] = line_claim(&root, LINE_POOL_THREAD, "many");
        ck_assert_ptr_nonnull(lines[i]);
        for (unsigned j = 0; j < i; j++)
            ck_assert_ptr_ne(lines[i], lines[j]);
        line_count(lines[i], COUNTER_TASKS_RUN, 1);
    }

    const struct stats_line *first = root.stats->lines, *end = first + STATS_THREADS_MAX;
    ck_assert(lines[STATS_THREADS_MAX] < first || lines[STATS_THREADS_MAX] >= end);
    for (unsigned i = 0; i < ARRAY_COUNT(lines); i++)
        line_release(&root, lines[i]);
}
END_TEST

START_TEST(without_a_segment_there_is_a_private_line_and_no_arena)
{
    struct root bare = {.pid = getpid(), .now_ns = sys_clock_monotonic_ns};
    struct stats_line *line = line_claim(&bare, LINE_LOOP, "alone");
    ck_assert_ptr_nonnull(line);
    line_wait(line, JOB_WAIT_KERNEL, 1);
    line_release(&bare, line);
    line_release(&bare, NULL);

    ck_assert_ptr_null(stats_arena_claim(NULL, "none"));
    stats_arena_use(NULL, 1);
    stats_arena_set(NULL, 1, 1, 1);
    stats_arena_count_failed(NULL);
    stats_arena_count_starved(NULL);
    stats_arena_release(NULL);
    stats_set_features(NULL, 1, 1);
    struct stats *none = NULL;
    stats_close(&bare, &none);
    ck_assert_uint_eq(load_relaxed(&bare.allocations), 0);
}
END_TEST

START_TEST(an_arena_says_what_it_has_and_its_record_is_used_again)
{
    struct stats_arena *arenas[STATS_ARENAS_MAX];
    for (unsigned i = 0; i < STATS_ARENAS_MAX; i++) {
        arenas[i] = stats_arena_claim(root.stats, "a");
        ck_assert_ptr_nonnull(arenas[i]);
    }
    ck_assert_ptr_null(stats_arena_claim(root.stats, "one too many"));

    stats_arena_set(arenas[1], 1, 2, 3);
    stats_arena_use(arenas[1], 5);
    stats_arena_use(arenas[1], -4);
    stats_arena_count_failed(arenas[1]);
    ck_assert_uint_eq(load_relaxed(&arenas[1]->limit_bytes), 1);
    ck_assert_uint_eq(load_relaxed(&arenas[1]->committed_bytes), 2);
    ck_assert_uint_eq(load_relaxed(&arenas[1]->held_bytes), 3);
    ck_assert_uint_eq(load_relaxed(&arenas[1]->used_bytes), 1);
    ck_assert_uint_eq(load_relaxed(&arenas[1]->failed), 1);
    stats_arena_release(arenas[1]);
    struct stats_arena *again = stats_arena_claim(root.stats, "b");

    ck_assert_ptr_eq(again, arenas[1]);
    ck_assert_uint_eq(load_relaxed(&again->limit_bytes), 0);
    for (unsigned i = 0; i < STATS_ARENAS_MAX; i++)
        stats_arena_release(arenas[i]);
}
END_TEST

START_TEST(what_a_thread_that_goes_has_begun_stays_in_its_pools_sum)
{
    struct stats_pool *pool = stats_pool_claim(&root, "work", 8, 2, 0);
    struct stats_line *line = line_claim(&root, LINE_POOL_THREAD, "work/0");
    struct stats_part *part = stats_part_claim(&root, STATS_PART_THREAD, pool, line);
    counter_add(&part->begun, 5);
    counter_add(&part->shed, 2);
    ck_assert_uint_eq(part->pool, (uint32_t)(pool - root.stats->pools) + 1);
    ck_assert_uint_eq(load_relaxed(&part->thread), (uint32_t)(line - root.stats->lines) + 1);

    stats_part_release(&root, pool, part);

    ck_assert_uint_eq(load_relaxed(&pool->begun), 5);
    ck_assert_uint_eq(load_relaxed(&pool->shed), 2);
    struct stats_part *again = stats_part_claim(&root, STATS_PART_LOOP, pool, NULL);
    ck_assert_ptr_eq(again, part);
    ck_assert_uint_eq(load_relaxed(&again->begun), 0);
    ck_assert_uint_eq(load_relaxed(&again->thread), 0);
    stats_part_thread(root.stats, again, line);
    ck_assert_uint_eq(load_relaxed(&again->thread), (uint32_t)(line - root.stats->lines) + 1);
    stats_part_release(&root, pool, again);
    stats_pool_close(pool);
    ck_assert_uint_eq(load_relaxed(&pool->kind), STATS_POOL_CLOSED);
    stats_pool_release(&root, pool);
    line_release(&root, line);
}
END_TEST

START_TEST(parts_beyond_the_table_are_private_and_their_pool_says_how_many)
{
    static struct stats_part *parts[STATS_PARTS_MAX + 3];
    struct stats_pool *pool = stats_pool_claim(&root, "work", 8, 2, 0), *inline_pool = stats_pool_claim(&root, "inline", 8, 0, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++)
        ck_assert_ptr_nonnull(parts[i] = stats_part_claim(&root, STATS_PART_LOOP, pool, NULL));

    ck_assert_uint_eq(load_relaxed(&pool->unseen), 3);
    stats_part_release(&root, pool, parts[STATS_PARTS_MAX + 1]);
    ck_assert_uint_eq(load_relaxed(&pool->unseen), 2);
    parts[STATS_PARTS_MAX + 1] = NULL;

    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++)
        stats_part_release(&root, pool, parts[i]);
    ck_assert_uint_eq(load_relaxed(&pool->unseen), 0);
    stats_pool_release(&root, pool);
    ck_assert(inline_pool < root.stats->pools || inline_pool >= root.stats->pools + STATS_POOLS_MAX);   /* it has no queue to show */
    stats_pool_release(&root, inline_pool);
    stats_pool_release(&root, NULL);
}
END_TEST

START_TEST(the_name_of_a_topic_goes_on_where_its_first_field_ends)
{
    static const char longest[] = "0123456789abcdef0123456789abcdeFGHIJKLMNOPQRSTUVWXYZ0123456789x";
    struct stats_topic *topic = stats_topic_claim(root.stats, longest);
    ck_assert_uint_eq(strlen(longest), 63);
    ck_assert_str_eq(topic->name, "0123456789abcdef0123456789abcde");
    ck_assert_mem_eq(topic->name_rest, "FGHIJKLMNOPQRSTUVWXYZ0123456789x", sizeof topic->name_rest);

    stats_topic_release(topic);
    ck_assert_ptr_eq(stats_topic_claim(root.stats, "0123456789abcdef0123456789abcde"), topic);   /* 31: nothing goes on */
    ck_assert_str_eq(topic->name, "0123456789abcdef0123456789abcde");
    ck_assert_str_eq(topic->name_rest, "");

    stats_topic_release(topic);
}
END_TEST

START_TEST(rpcs_topics_and_queues_say_what_they_are_and_their_records_are_used_again)
{
    struct stats_rpc *rpcs[STATS_RPCS_MAX];
    struct stats_topic *topics[STATS_TOPICS_MAX];
    struct stats_line *line = line_claim(&root, LINE_LOOP, "front");
    const struct stats_rpc_facts facts = {.name = "r", .overdue_ns = 9, .limit_calls = 8, .line = line};
    for (unsigned i = 0; i < STATS_RPCS_MAX; i++)
        ck_assert_ptr_nonnull(rpcs[i] = stats_rpc_claim(root.stats, &facts));
    ck_assert_ptr_null(stats_rpc_claim(root.stats, &facts));
    for (unsigned i = 0; i < STATS_TOPICS_MAX; i++)
        ck_assert_ptr_nonnull(topics[i] = stats_topic_claim(root.stats, "t"));
    ck_assert_ptr_null(stats_topic_claim(root.stats, "t"));
    ck_assert(rpcs[0]->thread == 1 && rpcs[0]->overdue_ns == 9 && rpcs[0]->limit_calls == 8);
    store_relaxed(&rpcs[1]->stray, 3);   /* one thread */
    store_relaxed(&topics[1]->posts, 3);

    stats_rpc_release(rpcs[1]);
    stats_topic_release(topics[1]);
    ck_assert_ptr_eq(stats_rpc_claim(root.stats, &facts), rpcs[1]);
    ck_assert_ptr_eq(stats_topic_claim(root.stats, "u"), topics[1]);
    const struct stats_queue_facts of_queue = {
        .kind = STATS_QUEUE_SUBSCRIBER, .name = "u", .topic = topics[1], .policy = 1};
    struct stats_queue *queue = stats_queue_claim(root.stats, &of_queue);

    ck_assert_uint_eq(load_relaxed(&rpcs[1]->stray), 0);
    ck_assert_uint_eq(load_relaxed(&topics[1]->posts), 0);
    ck_assert(load_relaxed(&queue->kind) == STATS_QUEUE_SUBSCRIBER && queue->topic == 2 && queue->policy == 1);
    stats_queue_release(queue);
    for (unsigned i = 0; i < STATS_RPCS_MAX; i++)
        stats_rpc_release(rpcs[i]);
    for (unsigned i = 0; i < STATS_TOPICS_MAX; i++)
        stats_topic_release(topics[i]);
    line_release(&root, line);
    ck_assert_ptr_null(stats_rpc_claim(NULL, &facts));
    ck_assert_ptr_null(stats_topic_claim(NULL, "t"));
    stats_rpc_release(NULL);
    stats_topic_release(NULL);
}
END_TEST

enum { CLAIMERS = 4, CLAIMS = 20000 };

static void *claim_and_release(void *arg)
{
    for (unsigned i = 0; i < CLAIMS; i++) {
        struct stats_line *line = line_claim(&root, LINE_POOL_THREAD, arg);
        ck_assert(strcmp(line->name, arg) == 0);
        ck_assert(load_relaxed(&line->counters[COUNTER_STOLEN]) == 0);   /* nobody else counts in it */
        line_count(line, COUNTER_STOLEN, 1);
        ck_assert(load_relaxed(&line->counters[COUNTER_STOLEN]) == 1);
        line_release(&root, line);
    }
    return NULL;
}

START_TEST(no_line_is_claimed_twice)
{
    static char names[CLAIMERS][8] = {"one", "two", "three", "four"};
    pthread_t threads[CLAIMERS];
    for (unsigned i = 0; i < CLAIMERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, claim_and_release, names[i]), 0);
    for (unsigned i = 0; i < CLAIMERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}
END_TEST

START_TEST(no_descriptor_left_is_said_and_nothing_is_kept)
{
    struct rlimit few = {32, 32};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);   /* check runs each test in its own process */
    int fds[64];
    unsigned count = 0;
    while (count < ARRAY_COUNT(fds) && (fds[count] = dup(0)) >= 0)
        count++;
    struct stats *other = NULL;
    uint64_t before = load_relaxed(&root.allocations);

    int err = stats_open(&root, "none", &other);

    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    ck_assert_int_eq(err, -EMFILE);
    ck_assert_ptr_null(other);
    ck_assert_uint_eq(load_relaxed(&root.allocations), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats/segment");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_memfd_can_neither_change_its_size_nor_be_written_by_others);
    tcase_add_test(tcase, the_header_says_which_process_and_since_when);
    tcase_add_test(tcase, tables_lie_in_the_segment_and_do_not_overlap);
    tcase_add_test(tcase, each_counter_reason_kind_and_feature_has_its_name_in_the_segment);
    tcase_add_test(tcase, a_long_name_is_cut_and_ends);
    tcase_add_test(tcase, a_line_carries_its_thread_and_a_released_one_is_used_again);
    tcase_add_test(tcase, more_threads_than_lines_get_private_ones);
    tcase_add_test(tcase, without_a_segment_there_is_a_private_line_and_no_arena);
    tcase_add_test(tcase, an_arena_says_what_it_has_and_its_record_is_used_again);
    tcase_add_test(tcase, what_a_thread_that_goes_has_begun_stays_in_its_pools_sum);
    tcase_add_test(tcase, parts_beyond_the_table_are_private_and_their_pool_says_how_many);
    tcase_add_test(tcase, the_name_of_a_topic_goes_on_where_its_first_field_ends);
    tcase_add_test(tcase, rpcs_topics_and_queues_say_what_they_are_and_their_records_are_used_again);
    tcase_add_test(tcase, no_line_is_claimed_twice);
    tcase_add_test(tcase, no_descriptor_left_is_said_and_nothing_is_kept);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
