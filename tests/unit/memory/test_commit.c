/* test_commit.c — memory that stands ready before it is asked for, memory that goes back, and caches that share their
 * bound. */
#include "memory/slot.h"
#include "support/memory.h"

#include <sys/mman.h>

enum { KIB = 1024, MIB = 1024 * KIB };

static struct root root;
static struct job_arena *arena;
static struct job_buf *bufs[20000];

static void set_up(void)
{
    memory_root(&root);
    ck_assert_ok(helper_open(&root, &root.helper));
    arena = memory_arena(&root, 64 * MIB);
}

static void tear_down(void)
{
    ck_assert_ok(arena_close(&arena));
    helper_close(&root.helper);
    ck_assert_uint_eq(load_relaxed(&root.threads), 0); /* joined */
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);
}

static unsigned resident_chunks(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < arena->chunk_count; i++) {
        unsigned char first = 0, last = 0;
        ck_assert_int_eq(mincore(arena_chunk_memory(arena, i), 1, &first), 0);
        ck_assert_int_eq(mincore(arena_chunk_memory(arena, i) + CHUNK_BYTES - 4096, 1, &last), 0);
        count += (first & 1) && (last & 1);
    }
    return count;
}

static unsigned committed(void)
{
    arena_lock(&arena->lock);
    unsigned count = arena->committed;
    arena_unlock(&arena->lock);
    return count;
}

/* Waits for a condition; the runner's time-out is the watchdog. */
#define WAIT_FOR(condition)                                                                                            \
    while (!(condition))                                                                                               \
    sched_yield()

static void take(unsigned count, size_t room)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_ok(job_buf_alloc(arena, room, NULL, &bufs[i]));
}

static void give_back(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        job_buf_free(&bufs[i]);
}

START_TEST(nothing_is_committed_before_somebody_asks)
{
    ck_assert_uint_eq(resident_chunks(), 0);
    ck_assert_uint_eq(load_relaxed(&root.threads), 0); /* the helper has not begun */
}
END_TEST

START_TEST(the_next_chunks_stand_ready_after_the_first_use)
{
    struct job_buf *first = NULL;
    ck_assert_ok(job_buf_alloc(arena, 16000, NULL, &first));
    WAIT_FOR(resident_chunks() >= COMMIT_AHEAD_CHUNKS); /* the first is committed by who touches it */
    ck_assert_uint_eq(load_relaxed(&root.threads), 1);
    WAIT_FOR(committed() == 1 + COMMIT_AHEAD_CHUNKS); /* counted after the pages are there */
    take(CHUNK_BYTES / (16 * KIB), 16000); /* into the second chunk */
    WAIT_FOR(committed() == 2 + COMMIT_AHEAD_CHUNKS);
    job_buf_free(&first);
    give_back(CHUNK_BYTES / (16 * KIB));
}
END_TEST

START_TEST(nothing_is_committed_beyond_the_limit)
{
    struct job_arena *small = memory_arena(&root, 3 * MIB);
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(small, 1, NULL, &buf));
    helper_forget(root.helper, &small->ahead); /* what was posted has run */
    ck_assert_uint_eq(small->committed, 1);
    job_buf_free(&buf);
    ck_assert_ok(arena_close(&small));
}
END_TEST

START_TEST(what_lies_idle_goes_back_by_halves_and_what_is_used_stays)
{
    take(20 * CHUNK_BYTES / (16 * KIB), 16000);
    for (unsigned i = 0; i < 20 * CHUNK_BYTES / (16 * KIB); i++)
        ck_assert_ok(job_buf_write(bufs[i], &i, sizeof i));
    helper_forget(root.helper, &arena->ahead);
    struct job_buf *kept = job_buf_take(&bufs[777]);
    give_back(20 * CHUNK_BYTES / (16 * KIB));
    unsigned before = committed(), steps = 0;
    arena_trim(arena);
    ck_assert_uint_eq(committed(), before); /* it did not lie idle at the last look */
    while (arena_trim(arena), committed() < before) {
        before = committed();
        ck_assert_uint_lt(++steps, 20);
    }
    ck_assert_uint_le(before, COMMIT_AHEAD_CHUNKS + 3);
    unsigned number;
    ck_assert_ok(job_buf_read(kept, 0, &number, sizeof number));
    ck_assert_uint_eq(number, 777);
    job_buf_free(&kept);
    take(64 * MIB / (16 * KIB), 16000); /* all of it can be had again, to the last slot */
    ck_assert_int_eq(job_buf_alloc(arena, 1, NULL, &kept), -ENOMEM);
    give_back(64 * MIB / (16 * KIB));
}
END_TEST

START_TEST(a_large_buf_comes_back_warm_and_leaves_after_a_while)
{
    take(1, 10 * MIB);
    const uint8_t *at = job_buf_room(bufs[0], NULL);
    memset(job_buf_room(bufs[0], NULL), 1, 10 * MIB);
    give_back(1);
    take(1, 10 * MIB);
    ck_assert_ptr_eq(job_buf_room(bufs[0], NULL), at);
    ck_assert_uint_eq(at[9 * MIB], 1); /* no page has gone */
    give_back(1);
    helper_forget(root.helper, &arena->ahead);
    for (unsigned i = 0; i < 10; i++)
        arena_trim(arena);
    ck_assert_uint_le(committed(), COMMIT_AHEAD_CHUNKS + 1);
}
END_TEST

START_TEST(the_helper_gives_back_by_itself_and_rests_then)
{
    arena->trim_after_ns = 1000;
    take(20 * CHUNK_BYTES / (64 * KIB), 65000);
    give_back(20 * CHUNK_BYTES / (64 * KIB));
    WAIT_FOR(committed() <= 6);
}
END_TEST

START_TEST(a_spare_arena_gives_back_all_but_what_is_in_use)
{
    take(10 * CHUNK_BYTES / (16 * KIB), 16000);
    ck_assert_ok(job_buf_alloc(arena, 3 * MIB, NULL, &bufs[19999]));
    for (unsigned i = 0; i < 10 * CHUNK_BYTES / (16 * KIB); i++)
        ck_assert_ok(job_buf_write(bufs[i], &i, sizeof i));
    helper_forget(root.helper, &arena->ahead);
    helper_forget(root.helper, &arena->trim);
    arena->is_spare = true;
    struct job_buf *kept = job_buf_take(&bufs[777]);
    give_back(10 * CHUNK_BYTES / (16 * KIB));
    job_buf_free(&bufs[19999]);
    arena_trim(arena);
    ck_assert_uint_eq(committed(), 1);
    unsigned number;
    ck_assert_ok(job_buf_read(kept, 0, &number, sizeof number));
    ck_assert_uint_eq(number, 777);
    job_buf_free(&kept);
    arena_trim(arena);
    ck_assert_uint_eq(committed(), 0);
    ck_assert_uint_eq(resident_chunks(), 0);
    take(64 * MIB / (16 * KIB), 16000); /* all of it can be had again */
    give_back(64 * MIB / (16 * KIB));
}
END_TEST

START_TEST(the_helper_gives_back_by_itself_all_of_a_spare_arena_also_if_it_is_little)
{
    take(1, 16000);
    give_back(1);
    WAIT_FOR(committed() == 1 + COMMIT_AHEAD_CHUNKS);
    arena->trim_after_ns = 1000;
    arena_set_spare(arena, true);
    WAIT_FOR(committed() == 0);
    arena_set_spare(arena, false);
    take(1, 16000);
    WAIT_FOR(committed() == 1 + COMMIT_AHEAD_CHUNKS); /* as before */
    give_back(1);
}
END_TEST

struct churn {
    pthread_t thread;
    atomic_u32 *is_over;
    unsigned failed;
};

static void *churn(void *arg)
{
    struct churn *me = arg;
    struct job_buf *mine[40];
    while (!load_relaxed(me->is_over)) { /* a hint */
        for (unsigned i = 0; i < 40; i++) {
            mine[i] = NULL;
            me->failed += job_buf_alloc(arena, i % 2 ? 65000 : 4000, NULL, &mine[i]) < 0;
        }
        for (unsigned i = 0; i < 40; i++)
            job_buf_free(&mine[i]);
    }
    return NULL;
}

START_TEST(a_trim_makes_nobody_refuse_at_the_limit)
{
    atomic_u32 is_over = 0;
    struct churn churns[2] = {{.is_over = &is_over}, {.is_over = &is_over}};
    struct job_arena *large = arena;
    arena = memory_arena(&root, 12 * MIB); /* each thread may need one chunk and a bit a class */
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&churns[i].thread, NULL, churn, &churns[i]), 0);
    for (unsigned i = 0; i < 3000; i++)
        arena_trim(arena);
    store_relaxed(&is_over, 1);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(churns[i].thread, NULL);
        ck_assert_uint_eq(churns[i].failed, 0);
    }
    ck_assert_uint_eq(load_relaxed(&arena->out), 0);
    ck_assert_ok(arena_close(&arena));
    arena = large;
}
END_TEST

static atomic_u32 gate;

static void *fill_cache(void *arg)
{
    (void)arg;
    struct job_buf *mine[600];
    ck_assert_ok(cache_attach(arena));
    (void)fetch_add_seq_cst(&gate, 1);
    WAIT_FOR(load_seq_cst(&gate) >= 8);
    for (unsigned class = 0; class < SLOT_CLASSES; class ++) {
        size_t room = slot_class_bytes(class);
        unsigned count = (unsigned)(2 * MIB / room);
        for (unsigned i = 0; i < count; i++)
            mine[i] = NULL, (void)job_buf_alloc(arena, room, NULL, &mine[i]);
        for (unsigned i = 0; i < count; i++)
            job_buf_free(&mine[i]);
    }
    (void)fetch_add_seq_cst(&gate, 1);
    WAIT_FOR(load_seq_cst(&gate) >= 17);
    cache_detach(arena);
    return NULL;
}

START_TEST(eight_caches_together_hold_an_eighth_and_the_rest_can_be_had)
{
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fill_cache, NULL), 0);
    WAIT_FOR(load_seq_cst(&gate) >= 16);
    ck_assert_uint_le(load_relaxed(&arena->out), 8 * MIB);
    uint64_t cached = load_relaxed(&arena->out);
    unsigned count = 0;
    for (unsigned class = SLOT_CLASSES; class -- > 0;) { /* down to the last slot of each class */
        while (job_buf_alloc(arena, slot_class_bytes(class), NULL, &bufs[count]) == 0)
            count++;
    }
    ck_assert_uint_eq(load_relaxed(&arena->out), 64 * MIB);
    ck_assert_uint_le(cached, 8 * MIB);
    give_back(count);
    (void)fetch_add_seq_cst(&gate, 1);
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(load_relaxed(&arena->out), 0);
}
END_TEST

/* Threads that come one after the other, fill a cache, and sleep. */
struct sleeper {
    pthread_t thread;
    atomic_u32 is_filled, may_go;
    unsigned keeps;          /* bufs that it has again, in place of what is in its cache */
};

static void *fills_and_sleeps(void *arg)
{
    struct sleeper *me = arg;
    struct job_buf *mine[100] = {0};
    ck_assert_ok(cache_attach(arena));
    for (unsigned i = 0; i < 100; i++)
        ck_assert_ok(job_buf_alloc(arena, 60000, NULL, &mine[i]));
    for (unsigned i = 0; i < 100; i++)
        job_buf_free(&mine[i]);
    for (unsigned i = 0; i < me->keeps; i++)
        ck_assert_ok(job_buf_alloc(arena, 60000, NULL, &mine[i]));
    store_release(&me->is_filled, 1); /* pairs with load_acquire in fill_one */
    WAIT_FOR(load_acquire(&me->may_go)); /* pairs with store_release in end_one */
    for (unsigned i = 0; i < me->keeps; i++)
        job_buf_free(&mine[i]);
    cache_detach(arena);
    return NULL;
}

static void fill_one(struct sleeper *sleeper, unsigned keeps)
{
    *sleeper = (struct sleeper){.keeps = keeps};
    ck_assert_int_eq(pthread_create(&sleeper->thread, NULL, fills_and_sleeps, sleeper), 0);
    WAIT_FOR(load_acquire(&sleeper->is_filled)); /* pairs with store_release in fills_and_sleeps */
}

static void end_one(struct sleeper *sleeper)
{
    store_release(&sleeper->may_go, 1); /* pairs with load_acquire in fills_and_sleeps */
    pthread_join(sleeper->thread, NULL);
}

START_TEST(caches_of_threads_that_sleep_hold_an_eighth_also_if_they_came_one_after_the_other)
{
    enum { THREADS = 16 };
    struct sleeper sleepers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        fill_one(&sleepers[i], 0);
        ck_assert_uint_le(load_relaxed(&arena->out), 8 * MIB);
        ck_assert_uint_le(load_relaxed(&arena->cached), 8 * MIB);
    }
    for (unsigned i = 0; i < THREADS; i++)
        end_one(&sleepers[i]);
    ck_assert_uint_eq(load_relaxed(&arena->cached), 0);
    ck_assert_uint_eq(load_relaxed(&arena->out), 0);
}
END_TEST

START_TEST(a_cache_claims_nothing_for_a_slot_that_its_share_cannot_hold)
{
    struct job_arena *small = memory_arena(&root, 4 * MIB);
    struct job_buf *buf = NULL;
    ck_assert_ok(cache_attach(small));
    ck_assert_ok(job_buf_alloc(small, MIB, NULL, &buf));
    job_buf_free(&buf);
    ck_assert_uint_eq(load_relaxed(&small->cached), 0);
    ck_assert_ok(job_buf_alloc(small, 100000, NULL, &buf));
    job_buf_free(&buf);
    ck_assert_uint_ge(load_relaxed(&small->cached), 256 * KIB);
    cache_detach(small);
    ck_assert_uint_eq(load_relaxed(&small->cached), 0);
    ck_assert_ok(arena_close(&small));
}
END_TEST

/* What it may hold and does not is left to others, but for little. */
START_TEST(a_cache_that_was_emptied_leaves_its_share_to_others)
{
    struct sleeper first, second;
    fill_one(&first, 64);
    ck_assert_uint_le(load_relaxed(&arena->cached), 3 * MIB);
    uint64_t without = load_relaxed(&arena->out);
    fill_one(&second, 0);
    ck_assert_uint_ge(load_relaxed(&arena->out) - without, CACHE_SLOTS_MAX * 48 * KIB);
    end_one(&second);
    end_one(&first);
    ck_assert_uint_eq(load_relaxed(&arena->cached), 0);
}
END_TEST

/* Misses of a class of which the cache may never hold a batch. */
START_TEST(a_cache_claims_no_more_than_a_batch_ahead_however_often_it_misses)
{
    enum { MISSES = 20, SLOTS = 8 };
    static const struct job_arena_options options = {.limit_bytes = 64 * MIB, .cache_slots_max = SLOTS};
    struct job_arena *few;
    ck_assert_ok(arena_open(&root, &few, &options));
    ck_assert_ok(cache_attach(few));
    for (unsigned class = 0; class < 3; class++) {
        size_t room = slot_class_bytes(class) - BUF_HEADROOM;
        for (unsigned i = 0; i < MISSES * SLOTS; i++) {
            ck_assert_ok(job_buf_alloc(few, room, NULL, &bufs[i]));
            ck_assert_uint_le(load_relaxed(&few->cached), SLOTS * slot_class_bytes(class) + few->cache_batch[class]);
        }
        give_back(MISSES * SLOTS);
    }
    cache_detach(few);
    ck_assert_uint_eq(load_relaxed(&few->cached), 0);
    ck_assert_ok(arena_close(&few));
}
END_TEST

/* A batch of MiB slots is one of them: the cache never has sixteen. */
START_TEST(a_cache_of_large_slots_gives_back_what_it_does_not_use_too)
{
    enum { LARGE = CACHE_SLOTS_MAX < 6 ? CACHE_SLOTS_MAX : 6 };
    ck_assert_ok(cache_attach(arena));
    take(LARGE, MIB - KIB);
    give_back(LARGE);
    uint64_t filled = load_relaxed(&arena->cached);
    take(LARGE, MIB - KIB);
    ck_assert_uint_ge(filled, LARGE * MIB);
    ck_assert_uint_le(load_relaxed(&arena->cached), 3 * arena->cache_batch[SLOT_CLASSES - 1]);
    give_back(LARGE);
    cache_detach(arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("commit");
    TCase *tcase = tcase_create("commit");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, nothing_is_committed_before_somebody_asks);
    tcase_add_test(tcase, the_next_chunks_stand_ready_after_the_first_use);
    tcase_add_test(tcase, nothing_is_committed_beyond_the_limit);
    tcase_add_test(tcase, what_lies_idle_goes_back_by_halves_and_what_is_used_stays);
    tcase_add_test(tcase, a_large_buf_comes_back_warm_and_leaves_after_a_while);
    tcase_add_test(tcase, the_helper_gives_back_by_itself_and_rests_then);
    tcase_add_test(tcase, a_spare_arena_gives_back_all_but_what_is_in_use);
    tcase_add_test(tcase, the_helper_gives_back_by_itself_all_of_a_spare_arena_also_if_it_is_little);
    tcase_add_test(tcase, a_trim_makes_nobody_refuse_at_the_limit);
    tcase_add_test(tcase, eight_caches_together_hold_an_eighth_and_the_rest_can_be_had);
    tcase_add_test(tcase, caches_of_threads_that_sleep_hold_an_eighth_also_if_they_came_one_after_the_other);
    tcase_add_test(tcase, a_cache_claims_nothing_for_a_slot_that_its_share_cannot_hold);
    tcase_add_test(tcase, a_cache_that_was_emptied_leaves_its_share_to_others);
    tcase_add_test(tcase, a_cache_claims_no_more_than_a_batch_ahead_however_often_it_misses);
    tcase_add_test(tcase, a_cache_of_large_slots_gives_back_what_it_does_not_use_too);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
