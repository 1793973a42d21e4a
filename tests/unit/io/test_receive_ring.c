/* test_receive_ring.c — the receive ring of a loop: how many slots it lends, when it lends more, and what it does without any. */
#include "base/limits.h"
#include "base/root.h"
#include "support/fixture.h"

enum { TALKERS = 8, SLOTS = 2, ROUNDS = 8 };

static struct job_loop *loop;
static struct job_stream streams[TALKERS];
static int peers[TALKERS];
static unsigned heard;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    (void)in;
    if (++heard == TALKERS)
        job_loop_stop(loop);
}

static uint64_t starved(void)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    return stats.starved;
}

/* All have sent before the loop looks. */
static void all_talk(void)
{
    heard = 0;
    for (unsigned i = 0; i < TALKERS; i++)
        fixture_write(peers[i], "hello", 5);
    ck_assert_int_eq(job_loop_run(loop), 1);
}

static struct job_runtime *open_talkers(void)
{
    static const struct job_stream_events events = {.data = on_data};
    struct job_runtime *runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, &(struct job_loop_options){.receive_slots = SLOTS}));
    for (unsigned i = 0; i < TALKERS; i++) {
        int fds[2];
        fixture_pair(fds);
        peers[i] = fds[0];
        ck_assert_ok(job_stream_adopt(loop, &streams[i], fds[1], &events));
    }
    return runtime;
}

static void close_talkers(struct job_runtime *runtime)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    for (unsigned i = 0; i < TALKERS; i++)
        close(peers[i]);
    fixture_close(runtime);
}

START_TEST(a_ring_too_small_for_those_who_talk_at_once_grows)
{
    struct job_runtime *runtime = open_talkers();

    for (unsigned round = 0; round < ROUNDS; round++)
        all_talk();
    uint64_t before = starved();
    ck_assert_uint_gt(before, 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        all_talk();

    ck_assert_uint_eq(starved(), before);
    close_talkers(runtime);
}
END_TEST

enum { KIB = 1024, SMALL = 64 };

static struct job_arena *arena;
static struct job_buf *small[SMALL];

static uint64_t turns(void)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    return stats.turns;
}

static void stop_loop(struct job_timer *timer)
{
    (void)timer;
    job_loop_stop(loop);
}

/* Runs the loop for a while; returns how often it turned. */
static uint64_t turns_in_20_ms(struct job_timer *timer)
{
    uint64_t before = turns();
    ck_assert_ok(job_timer_start(timer, 20 * 1000000));
    ck_assert_int_eq(job_loop_run(loop), 1);
    return turns() - before;
}

/* An arena of one chunk, cut into 4 KiB, all of them taken. */
static void open_small_slots(struct job_runtime *runtime)
{
    struct job_arena_options options = {
        .limit_bytes = SMALL * 4 * KIB, .reserve_bytes = 4 * KIB, .cache_slots_max = JOB_ARENA_NO_CACHE};
    ck_assert_ok(job_arena_open(runtime, &arena, &options));
    for (unsigned i = 0; i < SMALL; i++)
        ck_assert_ok(job_buf_alloc(arena, 1, NULL, &small[i]));
}

START_TEST(a_starving_loop_makes_no_turns_while_nothing_is_freed)
{
    static const struct job_stream_events events = {.data = on_data};
    struct job_runtime *runtime = fixture_runtime();
    struct job_timer timer;
    int fds[2];
    open_small_slots(runtime);
    struct job_loop_options options = {
        .arena = arena, .receive_slots = SLOTS, .receive_slot_bytes = 16 * KIB, .no_spin = true};
    ck_assert_ok(job_loop_open(runtime, &loop, &options));
    ck_assert_ok(job_timer_open(loop, &timer, stop_loop));
    fixture_pair(fds);
    ck_assert_ok(job_stream_adopt(loop, &streams[0], fds[1], &events));
    heard = TALKERS - 1;
    fixture_write(fds[0], "hello", 5);
    for (unsigned i = 1; i < SMALL; i++) /* nearly all bytes are spare, in slots that are too small */
        job_buf_free(&small[i]);

    (void)turns_in_20_ms(&timer);
    ck_assert_uint_le(turns_in_20_ms(&timer), 3);
    ck_assert_uint_eq(heard, TALKERS - 1);

    job_buf_free(&small[0]); /* the chunk is empty: it can be cut anew */
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(heard, TALKERS);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    close(fds[0]);
    ck_assert_ok(job_arena_close(&arena));
    fixture_close(runtime);
}
END_TEST

static atomic_u64 ahead_ns;   /* of the real clock */
static char told[4096];
static unsigned told_count;

static uint64_t clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec + load_relaxed(&ahead_ns);
}

static void remember(void *arg, enum job_log_level level, const char *text)
{
    (void)arg;
    if (level != JOB_LOG_WARNING)
        return;
    told_count++;
    (void)snprintf(told, sizeof told, "%s", text);
}

static void assert_told(unsigned count, const char *words)
{
    ck_assert_uint_eq(told_count, count);
    ck_assert_msg(!words || strstr(told, words), "\"%s\" is not in: %s", words ? words : "", told);
}

START_TEST(hunger_that_lasts_is_told_once_with_its_arena_and_so_is_its_end)
{
    static const struct job_stream_events events = {.data = on_data};
    struct job_runtime *runtime = NULL;
    struct job_timer timer;
    int fds[2];
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = remember}));
    ((struct root *)runtime)->now_ns = clock_ns;   /* its first member */
    open_small_slots(runtime);
    struct job_loop_options options = {
        .arena = arena, .receive_slots = SLOTS, .receive_slot_bytes = 16 * KIB, .no_spin = true, .name = "hungry"};
    ck_assert_ok(job_loop_open(runtime, &loop, &options));
    ck_assert_ok(job_timer_open(loop, &timer, stop_loop));
    fixture_pair(fds);
    ck_assert_ok(job_stream_adopt(loop, &streams[0], fds[1], &events));
    heard = TALKERS - 1;
    told_count = 0;
    fixture_write(fds[0], "hello", 5);

    (void)turns_in_20_ms(&timer);
    for (unsigned i = 0; i < 2; i++) { /* the second time there is nothing new */
        (void)fetch_add_relaxed(&ahead_ns, 2 * 1000000000ULL);   /* the helper reads it as well; no order */
        (void)turns_in_20_ms(&timer);
        assert_told(1, "loop hungry receives nothing since ");
    }
    assert_told(1, "arena arena");
    for (unsigned i = 0; i < SMALL; i++)
        job_buf_free(&small[i]);
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(heard, TALKERS);
    (void)turns_in_20_ms(&timer);
    assert_told(2, "loop hungry receives again after ");
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    close(fds[0]);
    ck_assert_ok(job_arena_close(&arena));
    fixture_close(runtime);
}
END_TEST

/* After a turn in which the ring was filled again. */
static uint64_t used_bytes(struct job_timer *timer)
{
    struct job_arena_stats stats;
    (void)turns_in_20_ms(timer);
    job_arena_stats(arena, &stats);
    return stats.used_bytes;
}

/* What is lent to an idle loop comes back from nobody. */
START_TEST(a_ring_does_not_grow_into_the_last_quarter_of_its_arena)
{
    static const struct job_stream_events events = {.data = on_data};
    enum { SLOT = 4 * KIB, SLOTS_ALL = 512, RESERVE = 4, HELD = SLOTS_ALL - RESERVE - SLOTS_ALL / RECEIVE_GROWN_SPARE };
    static struct job_buf *held[HELD];
    struct job_runtime *runtime = fixture_runtime();
    struct job_timer timer;
    struct job_arena_options arena_options = {
        .limit_bytes = SLOTS_ALL * SLOT, .reserve_bytes = RESERVE * SLOT, .cache_slots_max = JOB_ARENA_NO_CACHE};
    ck_assert_ok(job_arena_open(runtime, &arena, &arena_options));
    struct job_loop_options options = {
        .arena = arena, .receive_slots = SLOTS, .receive_slot_bytes = SLOT, .no_spin = true};
    ck_assert_ok(job_loop_open(runtime, &loop, &options));
    ck_assert_ok(job_timer_open(loop, &timer, stop_loop));
    for (unsigned i = 0; i < TALKERS; i++) {
        int fds[2];
        fixture_pair(fds);
        peers[i] = fds[0];
        ck_assert_ok(job_stream_adopt(loop, &streams[i], fds[1], &events));
    }
    for (unsigned i = 0; i < HELD; i++)
        ck_assert_ok(job_buf_alloc(arena, 1, NULL, &held[i]));

    for (unsigned round = 0; round < ROUNDS; round++)
        all_talk();
    ck_assert_uint_gt(starved(), 0);                                  /* it is too small for them */
    ck_assert_uint_lt(used_bytes(&timer), (HELD + TALKERS) * SLOT);   /* and stays so */
    for (unsigned i = 0; i < HELD; i++)
        job_buf_free(&held[i]);

    ck_assert_uint_ge(used_bytes(&timer), TALKERS * SLOT);            /* now there is room */
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    for (unsigned i = 0; i < TALKERS; i++)
        close(peers[i]);
    ck_assert_ok(job_arena_close(&arena));
    fixture_close(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("receive ring");
    TCase *growth = tcase_create("growth");
    tcase_add_test(growth, a_ring_too_small_for_those_who_talk_at_once_grows);
    tcase_add_test(growth, a_ring_does_not_grow_into_the_last_quarter_of_its_arena);
    suite_add_tcase(suite, growth);
    TCase *hunger = tcase_create("hunger");
    tcase_add_test(hunger, a_starving_loop_makes_no_turns_while_nothing_is_freed);
    tcase_add_test(hunger, hunger_that_lasts_is_told_once_with_its_arena_and_so_is_its_end);
    suite_add_tcase(suite, hunger);
    return fixture_run(suite);
}
