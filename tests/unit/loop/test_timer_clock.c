/* test_timer_clock.c — timers by a clock that the test moves: late, back, and far ahead. */
#include "unit/loop/timers.h"

/* Time as a word: each turn of the loop moves it by `step_ns`, until `end_ns`. The loop never sleeps meanwhile, since the call that does so
 * is always waiting. */
static atomic_u64 fake_ns;
static uint64_t step_ns, end_ns;
static struct job_call clock_call;

static uint64_t fake_now_ns(void)
{
    return load_relaxed(&fake_ns);   /* the helper reads it as well; no order */
}

static void set_clock(uint64_t now_ns)
{
    store_relaxed(&fake_ns, now_ns);   /* as above */
}

static void move_clock(struct job_call *call)
{
    set_clock(fake_ns + step_ns);
    if (fake_ns < end_ns)
        ck_assert_ok(job_loop_call(loop, call));
}

static void fake_setup(void)
{
    runtime = fixture_runtime();
    set_clock(UINT64_C(1000000000000));
    ((struct root *)runtime)->now_ns = fake_now_ns;   /* its first member */
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static void run_for(uint64_t duration_ns, uint64_t step)
{
    step_ns = step;
    end_ns = fake_ns + duration_ns;
    clock_call = (struct job_call){.run = move_clock};
    ck_assert_ok(job_loop_call(loop, &clock_call));
    ck_assert_int_eq(job_loop_run(loop), 0);
}

enum { MS = 1000000 };

struct ticker {
    struct job_timer timer;
    uint64_t begin_ns, interval_ns, ticks, missed, cost_ns;
    unsigned stop_after, closed;
};

static void ticked(struct job_timer *timer)
{
    struct ticker *ticker = job_container_of(timer, struct ticker, timer);
    ticker->ticks++;
    ticker->missed += job_timer_missed(timer);
    uint64_t due = ticker->begin_ns + (ticker->ticks + ticker->missed) * ticker->interval_ns;
    ck_assert_uint_ge(fake_ns, due);
    ck_assert_uint_lt(job_loop_now(loop), due + ticker->interval_ns);   /* it would be the next one */
    ck_assert(job_timer_is_armed(timer));
    set_clock(fake_ns + ticker->cost_ns);
    if (ticker->ticks == ticker->stop_after)
        job_timer_stop(timer);
}

static void start_ticker(struct ticker *ticker, uint64_t interval_ns)
{
    ck_assert_ok(job_timer_open(loop, &ticker->timer, ticked));
    ticker->begin_ns = fake_ns;
    ticker->interval_ns = interval_ns;
    ck_assert_ok(job_timer_start_repeating(&ticker->timer, interval_ns, interval_ns));
    job_handle_unref(&ticker->timer.handle);
}

START_TEST(a_repeating_timer_does_not_drift_however_late_each_call_is)
{
    static struct ticker ticker;
    ticker = (struct ticker){0};
    start_ticker(&ticker, 10 * MS);

    run_for(10000 * (uint64_t)MS, 3 * MS + 7);   /* each turn comes up to 3 ms late */

    ck_assert_uint_eq(ticker.ticks, 1000);
    ck_assert_uint_eq(ticker.missed, 0);
}
END_TEST

START_TEST(ticks_that_were_missed_are_one_call_and_counted)
{
    static struct ticker ticker;
    ticker = (struct ticker){0};
    start_ticker(&ticker, 10 * MS);

    run_for(1000 * (uint64_t)MS, 35 * MS);   /* the loop is held for 35 ms each turn */

    ck_assert_uint_lt(ticker.ticks, 30);
    ck_assert_uint_ge(ticker.missed, 2 * ticker.ticks);
    ck_assert_uint_eq(ticker.ticks + ticker.missed, (job_loop_now(loop) - ticker.begin_ns) / (10 * MS));
}
END_TEST

START_TEST(a_callback_longer_than_its_interval_does_not_starve_the_loop)
{
    static struct ticker ticker;
    static struct probe other;
    ticker = (struct ticker){.cost_ns = 25 * MS};
    start_ticker(&ticker, 10 * MS);
    other = (struct probe){0};
    ck_assert_ok(job_timer_open(loop, &other.timer, fired));
    ck_assert_ok(job_timer_start(&other.timer, 15 * MS));

    run_for(500 * (uint64_t)MS, MS);

    ck_assert_uint_eq(other.fired, 1);
    ck_assert_uint_gt(ticker.ticks, 15);
    ck_assert_uint_gt(ticker.missed, ticker.ticks);
}
END_TEST

START_TEST(stop_in_its_own_callback_ends_a_repeating_timer_and_start_makes_it_another)
{
    static struct ticker ticker;
    ticker = (struct ticker){.stop_after = 5};
    start_ticker(&ticker, 10 * MS);
    run_for(200 * (uint64_t)MS, 5 * MS);
    ck_assert_uint_eq(ticker.ticks, 5);
    ck_assert(!job_timer_is_armed(&ticker.timer));

    ticker.ticks = ticker.stop_after = 0;
    ticker.begin_ns = fake_ns;
    ck_assert_ok(job_timer_start_repeating(&ticker.timer, 10 * MS, 10 * MS));
    run_for(200 * (uint64_t)MS, 5 * MS);
    ck_assert_uint_ge(ticker.ticks, 19);
}
END_TEST

static void fires_once_more(struct job_timer *timer)
{
    struct probe *probe = job_container_of(timer, struct probe, timer);
    if (++probe->fired == 3)
        ck_assert_ok(job_timer_start(timer, 50 * MS));   /* one-shot from here on */
}

START_TEST(a_start_in_the_callback_of_a_repeating_timer_replaces_it)
{
    static struct probe probe;
    probe = (struct probe){0};
    ck_assert_ok(job_timer_open(loop, &probe.timer, fires_once_more));
    ck_assert_ok(job_timer_start_repeating(&probe.timer, 0, 10 * MS));
    job_handle_unref(&probe.timer.handle);

    run_for(500 * (uint64_t)MS, MS);

    ck_assert_uint_eq(probe.fired, 4);
    ck_assert(!job_timer_is_armed(&probe.timer));
}
END_TEST

static void closes_itself(struct job_timer *timer)
{
    struct probe *probe = job_container_of(timer, struct probe, timer);
    if (++probe->fired == 2)
        job_timer_close(timer, closed);
}

START_TEST(close_in_its_own_callback_ends_a_repeating_timer)
{
    static struct probe probe;
    probe = (struct probe){0};
    ck_assert_ok(job_timer_open(loop, &probe.timer, closes_itself));
    ck_assert_ok(job_timer_start_repeating(&probe.timer, 10 * MS, 10 * MS));

    run_for(100 * (uint64_t)MS, MS);

    ck_assert_uint_eq(probe.fired, 2);
    ck_assert_uint_eq(probe.closed, 1);
    ck_assert_int_eq(job_timer_start_repeating(&probe.timer, 1, 1), -ECANCELED);
}
END_TEST

START_TEST(a_clock_that_jumps_an_hour_fires_each_one_shot_once_and_a_repeating_one_once)
{
    static struct ticker ticker;
    static struct probe probes[60];
    ticker = (struct ticker){0};
    start_ticker(&ticker, 1000 * (uint64_t)MS);
    unsigned sequence = 0;
    for (unsigned i = 0; i < 60; i++) {
        probes[i] = (struct probe){.sequence = &sequence};
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        ck_assert_ok(job_timer_start(&probes[i].timer, (60 - i) * (uint64_t)60000 * MS));
    }

    run_for(MS, 3600 * (uint64_t)1000 * MS);

    for (unsigned i = 0; i < 60; i++) {
        ck_assert_uint_eq(probes[i].fired, 1);
        ck_assert_uint_eq(probes[i].position, 59 - i);
    }
    ck_assert_uint_eq(ticker.ticks, 1);
    ck_assert_uint_eq(ticker.missed, 3599);
}
END_TEST

START_TEST(a_clock_that_goes_back_makes_no_timer_early)
{
    static struct probe probe;
    probe = (struct probe){0};
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));
    run_for(100 * (uint64_t)MS, 10 * MS);
    set_clock(fake_ns - 50 * MS);
    uint64_t due = fake_ns + 20 * MS;
    ck_assert_ok(job_timer_start(&probe.timer, 20 * MS));
    job_handle_unref(&probe.timer.handle);

    run_for(19 * MS, MS);
    ck_assert_uint_eq(probe.fired, 0);
    run_for(10 * MS, MS);
    ck_assert_uint_eq(probe.fired, 1);
    ck_assert_uint_ge(fake_ns, due);
}
END_TEST

START_TEST(times_that_have_passed_fire_in_the_next_round_in_their_order_and_huge_ones_never)
{
    static struct probe probes[5];
    unsigned sequence = 0;
    const uint64_t dues[5] = {UINT64_MAX, fake_ns - 1, 0, UINT64_C(1) << 63, 1};
    for (unsigned i = 0; i < 5; i++) {
        probes[i] = (struct probe){.sequence = &sequence};
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        ck_assert_ok(job_timer_start_at(&probes[i].timer, dues[i]));
        job_handle_unref(&probes[i].timer.handle);
    }

    run_for(10 * MS, MS);

    ck_assert_uint_eq(sequence, 3);
    ck_assert_uint_eq(probes[2].position, 0);
    ck_assert_uint_eq(probes[4].position, 1);
    ck_assert_uint_eq(probes[1].position, 2);
    ck_assert(job_timer_is_armed(&probes[0].timer) && job_timer_is_armed(&probes[3].timer));
}
END_TEST

START_TEST(an_interval_of_2_to_the_63_fires_once_and_then_not_again)
{
    static struct probe probe;
    probe = (struct probe){0};
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));
    ck_assert_ok(job_timer_start_repeating(&probe.timer, 0, UINT64_C(1) << 63));
    job_handle_unref(&probe.timer.handle);
    run_for(10 * MS, MS);
    ck_assert_uint_eq(probe.fired, 1);
    ck_assert_uint_eq(job_timer_missed(&probe.timer), 0);

    ck_assert_ok(job_timer_start_repeating(&probe.timer, 1, UINT64_MAX));
    run_for(10 * MS, MS);
    ck_assert_uint_eq(probe.fired, 2);
}
END_TEST

START_TEST(E01_ten_thousand_equal_deadlines_fire_in_the_order_of_arming_none_early)
{
    enum { N = 10000 };
    static struct probe probes[N];
    struct random random = fixture_random("E01");
    unsigned sequence = 0;
    for (unsigned i = 0; i < N; i++) {
        probes[i] = (struct probe){.sequence = &sequence};
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        ck_assert_ok(job_timer_start(&probes[i].timer, random_below(&random, 100 * MS)));   /* another one first */
        job_handle_unref(&probes[i].timer.handle);   /* nobody else moves the clock */
    }
    for (unsigned i = 0; i < N; i++)
        ck_assert_ok(job_timer_start(&probes[(i * 7919) % N].timer, 50 * MS));
    for (unsigned i = 0; i < N; i++)
        ck_assert_uint_eq(due_of(&probes[i]), fake_ns + 50 * MS);

    run_for(49 * MS, MS);
    ck_assert_uint_eq(sequence, 0);
    run_for(60 * MS, MS);
    for (unsigned turns = 0; sequence < N && turns < N; turns += 100)   /* a JOB_SMALL turn calls a few */
        run_for(100, 1);

    ck_assert_uint_eq(sequence, N);
    for (unsigned i = 0; i < N; i++)
        ck_assert_uint_eq(probes[(i * 7919) % N].position, i);
}
END_TEST

START_TEST(with_slack_timers_share_a_round)
{
    static struct probe probes[50];
    struct job_loop_stats stats;
    for (unsigned i = 0; i < 50; i++) {
        probes[i] = (struct probe){0};
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        job_timer_set_slack(&probes[i].timer, 200 * MS);
        ck_assert_ok(job_timer_start(&probes[i].timer, (100 + i) * (uint64_t)MS));
    }
    unsigned distinct = 0;
    uint64_t last = 0;
    for (unsigned i = 0; i < 50; i++) {
        distinct += due_of(&probes[i]) != last;
        last = due_of(&probes[i]);
    }
    ck_assert_uint_le(distinct, 2);

    run_for(400 * (uint64_t)MS, MS);

    job_loop_stats(loop, &stats);
    ck_assert_uint_eq(stats.timers, 50);
}
END_TEST

START_TEST(E03_the_loop_ends_when_no_referenced_timer_is_armed)
{
    static struct ticker ticker;
    static struct probe probe;
    ticker = (struct ticker){0};
    probe = (struct probe){0};
    start_ticker(&ticker, MS);   /* unreferenced: it alone does not keep the loop */
    ck_assert_ok(job_timer_open(loop, &probe.timer, fired));

    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(ticker.ticks, 0);

    ck_assert_ok(job_timer_start(&probe.timer, 0));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(probe.fired, 1);
}
END_TEST

static struct job_call mails[5000];
static unsigned mails_run, mails_before_timer;

static void mail_runs(struct job_call *call)
{
    mails_run++;
    set_clock(fake_ns + 1000);
    ck_assert_ok(job_loop_call(loop, call));   /* a flood that never ends */
}

static void slow_mail_runs(struct job_call *call)
{
    (void)call;
    mails_run++;
    set_clock(fake_ns + 100000);
}

static void nothing(struct job_call *call)
{
    (void)call;
}

static void flood_timer(struct job_timer *timer)
{
    (void)timer;
    mails_before_timer = mails_run;
    job_loop_stop(loop);
}

START_TEST(P06_a_timer_waits_for_one_turn_of_a_flood_of_calls_and_not_for_the_flood)
{
    static struct job_timer timer;
    mails_run = mails_before_timer = 0;
    ck_assert_ok(job_timer_open(loop, &timer, flood_timer));
    for (unsigned i = 0; i < 5000; i++) {
        mails[i] = (struct job_call){.run = mail_runs};
        ck_assert_ok(job_loop_call(loop, &mails[i]));
    }
    ck_assert_ok(job_timer_start(&timer, 500));

    ck_assert_int_eq(job_loop_run(loop), 1);

    ck_assert_uint_le(mails_before_timer, TURN_MAILS_MAX);
    for (unsigned i = 0; i < 5000; i++)
        mails[i].run = nothing;
}
END_TEST

START_TEST(P06_a_timer_waits_for_a_millisecond_of_slow_calls_and_not_for_all_of_a_turn)
{
    static struct job_timer timer;
    mails_run = mails_before_timer = 0;
    ck_assert_ok(job_timer_open(loop, &timer, flood_timer));
    for (unsigned i = 0; i < 100; i++) {
        mails[i] = (struct job_call){.run = slow_mail_runs};
        ck_assert_ok(job_loop_call(loop, &mails[i]));
    }
    ck_assert_ok(job_timer_start(&timer, 500));

    ck_assert_int_eq(job_loop_run(loop), 1);

    ck_assert_uint_ge(mails_before_timer, min_size(TURN_MAILS_MAX, 10));
    ck_assert_uint_le(mails_before_timer, 11);
    job_timer_close(&timer, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(mails_run, 100);   /* the rest came later */
}
END_TEST

START_TEST(very_many_timers_live_half_are_stopped_and_each_other_one_fires_once)
{
    unsigned count = fixture_rounds("TIMERS", 200000);   /* the benchmark `timers` has a million */
    struct probe *probes = calloc(count, sizeof *probes);
    struct random random = fixture_random("very_many_timers_live");
    unsigned sequence = 0;
    for (unsigned i = 0; i < count; i++) {
        ck_assert_ok(job_timer_open(loop, &probes[i].timer, fired));
        ck_assert_ok(job_timer_start(&probes[i].timer, random_below(&random, 10000 * (uint64_t)MS)));
        probes[i].sequence = &sequence;
    }
    for (unsigned i = 0; i < count; i += 2)
        job_timer_stop(&probes[i].timer);

    run_for(10000 * (uint64_t)MS, 200 * MS);

    ck_assert_uint_eq(sequence, count / 2);
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_eq(probes[i].fired, i % 2);
        job_timer_close(&probes[i].timer, closed);
    }
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(probes[i].closed, 1);
    free(probes);
}
END_TEST

/* Late by some ticks, it becomes a one-shot; what that has missed is noted. */
static uint64_t missed_by[2];

static void becomes_one_shot(struct job_timer *timer)
{
    struct probe *probe = job_container_of(timer, struct probe, timer);
    ck_assert_uint_lt(probe->fired, 2);
    missed_by[probe->fired++] = job_timer_missed(timer);
    if (probe->fired == 1)
        ck_assert_ok(job_timer_start(timer, 50 * MS));
}

START_TEST(a_one_shot_has_missed_nothing_though_it_repeated_before)
{
    static struct probe probe;
    probe = (struct probe){0};
    ck_assert_ok(job_timer_open(loop, &probe.timer, becomes_one_shot));
    ck_assert_ok(job_timer_start_repeating(&probe.timer, 10 * MS, 10 * MS));
    set_clock(fake_ns + 45 * MS);

    run_for(500 * (uint64_t)MS, MS);

    ck_assert_uint_eq(probe.fired, 2);
    ck_assert_uint_eq(missed_by[0], 3);
    ck_assert_uint_eq(missed_by[1], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer clock");
    TCase *fake = tcase_create("fake clock");
    tcase_add_checked_fixture(fake, fake_setup, teardown);
    tcase_set_timeout(fake, 60);
    tcase_add_test(fake, a_repeating_timer_does_not_drift_however_late_each_call_is);
    tcase_add_test(fake, ticks_that_were_missed_are_one_call_and_counted);
    tcase_add_test(fake, a_callback_longer_than_its_interval_does_not_starve_the_loop);
    tcase_add_test(fake, stop_in_its_own_callback_ends_a_repeating_timer_and_start_makes_it_another);
    tcase_add_test(fake, a_start_in_the_callback_of_a_repeating_timer_replaces_it);
    tcase_add_test(fake, close_in_its_own_callback_ends_a_repeating_timer);
    tcase_add_test(fake, a_clock_that_jumps_an_hour_fires_each_one_shot_once_and_a_repeating_one_once);
    tcase_add_test(fake, a_clock_that_goes_back_makes_no_timer_early);
    tcase_add_test(fake, times_that_have_passed_fire_in_the_next_round_in_their_order_and_huge_ones_never);
    tcase_add_test(fake, an_interval_of_2_to_the_63_fires_once_and_then_not_again);
    tcase_add_test(fake, E01_ten_thousand_equal_deadlines_fire_in_the_order_of_arming_none_early);
    tcase_add_test(fake, with_slack_timers_share_a_round);
    tcase_add_test(fake, E03_the_loop_ends_when_no_referenced_timer_is_armed);
    tcase_add_test(fake, P06_a_timer_waits_for_a_millisecond_of_slow_calls_and_not_for_all_of_a_turn);
    tcase_add_test(fake, P06_a_timer_waits_for_one_turn_of_a_flood_of_calls_and_not_for_the_flood);
    tcase_add_test(fake, very_many_timers_live_half_are_stopped_and_each_other_one_fires_once);
    tcase_add_test(fake, a_one_shot_has_missed_nothing_though_it_repeated_before);
    suite_add_tcase(suite, fake);
    return fixture_run(suite);
}
