/* test_worker.c — workers, and what a loop tells of itself: what no other test has by its number. Those that are otherwise here are in
 * docs/decisions/040.
 */
#include <sched.h>
#include <stdatomic.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static void teardown(void)
{
    ck_assert_ok(job_loop_close(&loop, 0));
    fixture_close(runtime);
}

static void ends_at_once(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
}

START_TEST(W14_ids_go_up_over_a_thousand_lives_and_name_nobody_afterwards)
{
    uint64_t last = 0;
    struct job_worker_stats stats;
    for (unsigned i = 0; i < fixture_rounds("LIVES", 1000); i++) {
        struct job_worker worker;
        ck_assert_ok(job_worker_open(loop, &worker, ends_at_once, NULL, NULL));
        uint64_t id = job_worker_id(&worker);
        ck_assert_uint_gt(id, last);
        last = id;
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_int_eq(job_worker_stats(runtime, id, &stats), -ESRCH);
    }
}
END_TEST

enum { BUDGET = 16 << 20, PIECE = 1 << 20 };

static unsigned got_pieces;

static void takes_until_it_is_refused(struct job_inside *inside, struct job_message *start)
{
    static struct job_buf *bufs[64];
    (void)start;
    int err = 0;
    for (got_pieces = 0; got_pieces < 64; got_pieces++) {
        err = job_buf_alloc(job_inside_arena(inside), PIECE - 4096, NULL, &bufs[got_pieces]);
        if (err < 0)
            break;
    }
    ck_assert_int_eq(err, -ENOMEM);
    struct job_buf *other = NULL;   /* of the runtime: not concerned */
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), PIECE, NULL, &other));
    job_buf_free(&other);
    for (unsigned i = 0; i < got_pieces; i++)
        job_buf_free(&bufs[i]);
}

START_TEST(W17_a_worker_is_refused_memory_near_its_budget_and_others_are_not)
{
    struct job_worker worker;
    struct job_worker_options options = {.memory_limit_bytes = BUDGET};
    ck_assert_ok(job_worker_open(loop, &worker, takes_until_it_is_refused, &options, NULL));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_ge(got_pieces, BUDGET / PIECE * 3 / 4);
    ck_assert_uint_le(got_pieces, BUDGET / PIECE);
}
END_TEST

static void reads_arguments(struct job_inside *inside, struct job_message *start)
{
    size_t len;
    const char *arguments = job_message_bytes(start, &len);
    job_inside_exit(inside, len == 8 && memcmp(arguments, "one\0two", 8) == 0 ? 42 : 1);
}

static int code;

static void on_exit_code(struct job_worker *worker, int exit_code)
{
    (void)worker;
    code = exit_code;
}

static const struct job_worker_events exit_events = {.exit = on_exit_code};

START_TEST(W23_W24_what_a_worker_is_told_at_its_start_is_a_copy)
{
    struct job_worker worker;
    char arguments[] = "one\0two";
    struct job_worker_options options = {.start = {.bytes = arguments, .len = sizeof arguments}};
    ck_assert_ok(job_worker_open(loop, &worker, reads_arguments, &options, &exit_events));
    memset(arguments, 'x', sizeof arguments);   /* the caller's again */
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(code, 42);
}
END_TEST

enum { STREAMS = 10 };

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
}

static const struct job_stream_events stream_events = {.data = on_data};

static int peers[STREAMS];

static void opens_streams_and_ends(struct job_inside *inside, struct job_message *start)
{
    static struct job_stream streams[STREAMS];
    (void)start;
    for (unsigned i = 0; i < STREAMS; i++) {
        int fds[2];
        fixture_pair(fds);
        ck_assert_ok(job_stream_adopt(job_inside_loop(inside), &streams[i], fds[0], &stream_events));
        peers[i] = fds[1];
    }
    job_inside_exit(inside, 0);
}

START_TEST(W27_descriptors_that_belong_to_a_workers_handles_are_closed_when_it_exits)
{
    struct job_worker worker;
    int before = fixture_descriptors();
    ck_assert_ok(job_worker_open(loop, &worker, opens_streams_and_ends, NULL, NULL));
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned i = 0; i < STREAMS; i++)
        close(peers[i]);
    ck_assert_int_eq(fixture_descriptors(), before);
}
END_TEST

/* Seven workers, each of which posts to all others by their ids. */
enum { ALL = 7, ROUNDS = 50 };

static struct job_worker all[ALL];
static uint64_t ids[ALL];
static atomic_uint received[ALL], are_open, through;

static void receives(struct job_inside *inside, struct job_message *message)
{
    unsigned me;
    (void)message;
    for (me = 0; ids[me] != job_inside_id(inside); me++) {
    }
    if (atomic_fetch_add(&received[me], 1) + 1 == (ALL - 1) * ROUNDS)
        ck_assert_ok(job_inside_listen(inside, NULL));
}

static void posts_to_all(struct job_inside *inside, struct job_message *start)
{
    static const struct job_inside_events events = {.message = receives};
    (void)start;
    while (!atomic_load(&are_open))
        sched_yield();
    ck_assert_ok(job_inside_listen(inside, &events));
    atomic_fetch_add(&through, 1);
    while (atomic_load(&through) < ALL)   /* all live */
        sched_yield();
    for (unsigned i = 0; i < ALL * ROUNDS; i++) {
        uint64_t to = ids[i % ALL];
        int err = job_worker_post_to(runtime, to, &(struct job_post){0});
        ck_assert_int_eq(err, to == job_inside_id(inside) ? -EINVAL : 0);
    }
}

START_TEST(W34_seven_workers_post_to_each_other_by_id)
{
    for (unsigned i = 0; i < ALL; i++) {
        ck_assert_ok(job_worker_open(loop, &all[i], posts_to_all, NULL, NULL));
        ids[i] = job_worker_id(&all[i]);
    }
    atomic_store(&are_open, 1);
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned i = 0; i < ALL; i++)
        ck_assert_uint_eq(atomic_load(&received[i]), (ALL - 1) * ROUNDS);
}
END_TEST

struct seen {
    unsigned handles, alive;
    char kinds[128];
};

static void see(void *arg, const struct job_handle_info *info)
{
    struct seen *seen = arg;
    size_t len = strlen(seen->kinds);
    seen->handles++;
    seen->alive += info->keeps_alive;
    snprintf(seen->kinds + len, sizeof seen->kinds - len, "%s%s ", info->kind, info->keeps_alive ? "!" : "");
}

static void fired(struct job_timer *timer)
{
    (void)timer;
}

static void *looks_from_elsewhere(void *arg)
{
    ck_assert_uint_eq(job_loop_handles(arg, NULL, NULL), 0);
    return NULL;
}

START_TEST(O06_a_loop_says_who_keeps_it_alive)
{
    struct seen seen = {0};
    struct job_timer armed, idle, unreferenced;
    struct job_stream stream;
    int fds[2];
    pthread_t thread;
    fixture_pair(fds);
    ck_assert_ok(job_timer_open(loop, &armed, fired));
    ck_assert_ok(job_timer_start(&armed, 1000000));
    ck_assert_ok(job_timer_open(loop, &idle, fired));
    ck_assert_ok(job_timer_open(loop, &unreferenced, fired));
    ck_assert_ok(job_timer_start(&unreferenced, 1000000));
    job_handle_unref(&unreferenced.handle);
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[0], &stream_events));
    ck_assert_uint_eq(job_loop_handles(loop, see, &seen), 2);
    ck_assert_uint_eq(seen.handles, 4);
    ck_assert_uint_eq(seen.alive, 2);
    ck_assert_str_eq(seen.kinds, "timer! timer timer stream! ");
    job_stream_close(&stream);
    close(fds[1]);
    job_timer_close(&idle, NULL);
    job_timer_close(&unreferenced, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);   /* until the armed one has fired */
    ck_assert_uint_eq(job_loop_handles(loop, NULL, NULL), 0);
    job_timer_close(&armed, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(job_loop_handles(NULL, see, &seen), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, looks_from_elsewhere, loop), 0);
    pthread_join(thread, NULL);
}
END_TEST

static void blocks(struct job_timer *timer)
{
    struct timespec now;
    uint64_t end = 0;
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t at = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
        end = end ? end : at + 50000000;
        if (at >= end)
            break;
    } while (true);
    job_timer_close(timer, NULL);
}

START_TEST(O07_a_turn_that_was_held_for_50_ms_is_in_the_histogram)
{
    struct job_loop_turns turns;
    struct job_timer timer;
    uint64_t all_turns = 0, long_turns = 0;
    struct job_loop_stats stats;
    ck_assert_ok(job_timer_open(loop, &timer, blocks));
    ck_assert_ok(job_timer_start(&timer, 0));
    ck_assert_int_eq(job_loop_run(loop), 0);
    job_loop_turns(loop, &turns);
    job_loop_stats(loop, &stats);
    for (unsigned i = 0; i < JOB_LOOP_TURN_BUCKETS; i++) {
        all_turns += turns.counts[i];
        long_turns += i >= 25 ? turns.counts[i] : 0;   /* 2^25 ns: 33.5 ms */
    }
    ck_assert_uint_ge(long_turns, 1);
    ck_assert_uint_eq(all_turns, stats.turns);
    job_loop_turns(NULL, &turns);
    ck_assert_uint_eq(turns.counts[25], 0);
    job_loop_turns(loop, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows");
    TCase *tcase = tcase_create("rows");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, W14_ids_go_up_over_a_thousand_lives_and_name_nobody_afterwards);
    tcase_add_test(tcase, W17_a_worker_is_refused_memory_near_its_budget_and_others_are_not);
    tcase_add_test(tcase, W23_W24_what_a_worker_is_told_at_its_start_is_a_copy);
    tcase_add_test(tcase, W27_descriptors_that_belong_to_a_workers_handles_are_closed_when_it_exits);
    tcase_add_test(tcase, W34_seven_workers_post_to_each_other_by_id);
    tcase_add_test(tcase, O06_a_loop_says_who_keeps_it_alive);
    tcase_add_test(tcase, O07_a_turn_that_was_held_for_50_ms_is_in_the_histogram);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
