/* test_timer.c — timers by the real clock, and against a model. */
#include "unit/loop/timers.h"

/* Both are constants, also for the preprocessor, of the type of all times. */
#if JOB_SECOND != 1000 * JOB_MS
#error "a second has a thousand milliseconds"
#endif
_Static_assert(JOB_SECOND == 1000000000 && JOB_MS == 1000000, "in ns");
_Static_assert(sizeof(JOB_SECOND) == sizeof(uint64_t) && sizeof(JOB_MS) == sizeof(uint64_t), "a day of them fits");

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

START_TEST(a_timer_fires_once_and_never_early)
{
    struct random random = fixture_random("a_timer_fires_once_and_never_early");
    enum { N = 500 };
    static struct probe probes[N];
    for (int i = 0; i < N; i++) {
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        uint64_t timeout = random_below(&random, 20000000);
        probes[i].due_ns = now_ns() + timeout;
        ck_assert_ok(job_timer_start(&probes[i].timer, timeout));
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    for (int i = 0; i < N; i++) {
        ck_assert_uint_eq(probes[i].fired, 1);
        ck_assert_uint_ge(probes[i].fired_ns, probes[i].due_ns);
    }
}
END_TEST

START_TEST(timers_fire_in_the_order_of_their_deadlines)
{
    enum { N = 200 };
    static struct probe probes[N];
    unsigned sequence = 0;
    for (int i = 0; i < N; i++) {
        probes[i].sequence = &sequence;
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        ck_assert_ok(job_timer_start(&probes[i].timer, (uint64_t)(N - i) * 20000));
        probes[i].due_ns = due_of(&probes[i]);
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    for (int i = 1; i < N; i++) {
        bool is_later = probes[i].due_ns >= probes[i - 1].due_ns;   /* a start may come late: equal ones in the order of arming */
        ck_assert(is_later == (probes[i].position > probes[i - 1].position));
    }
}
END_TEST

START_TEST(a_stopped_timer_does_not_fire_and_does_not_keep_the_loop_alive)
{
    static struct probe probe;
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));
    ck_assert_ok(job_timer_start(&probe.timer, 1000));
    ck_assert(job_timer_is_armed(&probe.timer));
    job_timer_stop(&probe.timer);
    job_timer_stop(&probe.timer);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(probe.fired, 0);
    ck_assert(!job_timer_is_armed(&probe.timer));
}
END_TEST

START_TEST(arming_again_moves_the_deadline)
{
    static struct probe probe;
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));
    ck_assert_ok(job_timer_start(&probe.timer, 3600000000000ULL));
    ck_assert_ok(job_timer_start(&probe.timer, 1000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(probe.fired, 1);
}
END_TEST

static unsigned rounds;

static void again(struct job_timer *timer)
{
    if (++rounds < 5)
        ck_assert_ok(job_timer_start(timer, 0));
    else
        job_timer_close(timer, closed);
}

START_TEST(a_timer_of_zero_that_arms_itself_waits_for_the_next_turn)
{
    static struct probe probe;
    rounds = 0;
    ck_assert_ok(job_timer_open(loop, &probe.timer, again));
    ck_assert_ok(job_timer_start(&probe.timer, 0));
    struct job_loop_stats stats;

    ck_assert_int_eq(job_loop_run(loop), 0);

    job_loop_stats(loop, &stats);
    ck_assert_uint_ge(stats.turns, 5);
    ck_assert_uint_eq(probe.closed, 1);
}
END_TEST

static struct probe *victim;

static void closes_other(struct job_timer *timer)
{
    job_timer_close(&victim->timer, closed);
    job_timer_close(timer, closed);
}

START_TEST(a_timer_closed_by_another_callback_of_the_same_turn_fires_no_more)
{
    static struct probe first, second;
    victim = &second;
    ck_assert_ok(job_timer_open(loop, &first.timer, closes_other));
    ck_assert_ok(job_timer_open(loop, &second.timer, fired));
    ck_assert_ok(job_timer_start(&first.timer, 0));
    ck_assert_ok(job_timer_start(&second.timer, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(second.fired, 0);
    ck_assert_uint_eq(second.closed, 1);
    ck_assert_uint_eq(first.closed, 1);
}
END_TEST

START_TEST(an_unreferenced_armed_timer_does_not_keep_the_loop_alive)
{
    static struct probe probe;
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));
    ck_assert_ok(job_timer_start(&probe.timer, 3600000000000ULL));
    ck_assert(job_handle_has_ref(&probe.timer.handle));
    job_handle_unref(&probe.timer.handle);
    job_handle_unref(&probe.timer.handle);
    ck_assert(!job_handle_has_ref(&probe.timer.handle));

    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(probe.fired, 0);

    job_handle_ref(&probe.timer.handle);
    ck_assert_ok(job_timer_start(&probe.timer, 0));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(probe.fired, 1);
}
END_TEST

START_TEST(bad_arguments_change_nothing)
{
    static struct probe probe;
    ck_assert_int_eq(job_timer_open(NULL, &probe.timer, fired), -EINVAL);
    ck_assert_int_eq(job_timer_open(loop, NULL, fired), -EINVAL);
    ck_assert_int_eq(job_timer_open(loop, &probe.timer, NULL), -EINVAL);
    ck_assert_int_eq(job_timer_start(NULL, 0), -EINVAL);
    ck_assert_int_eq(job_timer_start(&probe.timer, 0), -EINVAL);   /* never opened */
    ck_assert_int_eq(job_timer_start_repeating(&probe.timer, 1, 1), -EINVAL);
    job_timer_close(NULL, NULL);
    job_timer_close(&probe.timer, closed);
    job_timer_stop(NULL);
    ck_assert(!job_timer_is_armed(NULL));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(probe.closed, 0);
}
END_TEST

START_TEST(the_largest_timeout_neither_wraps_nor_fires)
{
    static struct probe probe, soon;
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));
    ck_assert_ok(job_timer_open(loop, &soon.timer, fired));
    ck_assert_ok(job_timer_start(&probe.timer, UINT64_MAX));
    ck_assert_ok(job_timer_start(&soon.timer, 1000));
    job_handle_unref(&probe.timer.handle);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(soon.fired, 1);
    ck_assert_uint_eq(probe.fired, 0);
    ck_assert_int_eq(job_timer_start(&probe.timer, 1), 0);
    job_timer_close(&probe.timer, closed);
    job_timer_close(&probe.timer, closed);
    ck_assert_int_eq(job_timer_start(&probe.timer, 1), -ECANCELED);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(probe.closed, 1);
}
END_TEST

START_TEST(the_heap_agrees_with_a_sorted_list_under_random_start_and_stop)
{
    struct random random = fixture_random("the_heap_agrees_with_a_sorted_list");
    enum { N = 64 };
    static struct probe probes[N];
    bool armed[N] = {false};
    unsigned sequence = 0;
    for (int i = 0; i < N; i++) {
        probes[i].sequence = &sequence;
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
    }
    for (int step = 0; step < 5000; step++) {
        int i = (int)random_below(&random, N);
        armed[i] = random_below(&random, 3) > 0;
        if (armed[i])
            ck_assert_ok(job_timer_start(&probes[i].timer, random_below(&random, 1000000)));
        else
            job_timer_stop(&probes[i].timer);
    }
    for (int i = 0; i < N; i++)
        probes[i].due_ns = due_of(&probes[i]);

    ck_assert_int_eq(job_loop_run(loop), 0);

    for (int i = 0; i < N; i++) {
        ck_assert_uint_eq(probes[i].fired, armed[i] ? 1 : 0);
        for (int j = 0; j < N; j++) {
            if (armed[i] && armed[j] && probes[i].due_ns < probes[j].due_ns)
                ck_assert_uint_lt(probes[i].position, probes[j].position);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer");
    TCase *tcase = tcase_create("timer");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_timer_fires_once_and_never_early);
    tcase_add_test(tcase, timers_fire_in_the_order_of_their_deadlines);
    tcase_add_test(tcase, a_stopped_timer_does_not_fire_and_does_not_keep_the_loop_alive);
    tcase_add_test(tcase, arming_again_moves_the_deadline);
    tcase_add_test(tcase, a_timer_of_zero_that_arms_itself_waits_for_the_next_turn);
    tcase_add_test(tcase, a_timer_closed_by_another_callback_of_the_same_turn_fires_no_more);
    tcase_add_test(tcase, an_unreferenced_armed_timer_does_not_keep_the_loop_alive);
    tcase_add_test(tcase, bad_arguments_change_nothing);
    tcase_add_test(tcase, the_largest_timeout_neither_wraps_nor_fires);
    tcase_add_test(tcase, the_heap_agrees_with_a_sorted_list_under_random_start_and_stop);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
