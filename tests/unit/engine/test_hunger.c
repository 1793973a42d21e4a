/* test_hunger.c — when a loop without memory is told of, and how long it may sleep before. */
#include "engine/hunger.h"
#include "support/memory.h"

static const uint64_t second = 1000000000;

static struct root root;
static struct job_arena *arena;
static struct hunger hunger;
static uint64_t now;
static unsigned told;

static uint64_t clock_ns(void)
{
    return now;
}

static void count(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)text;
    ck_assert_int_eq(level, JOB_LOG_WARNING);
    told++;
}

static void set_up(void)
{
    arena = memory_arena(memory_root(&root), 1 << 20);
    root.now_ns = clock_ns;
    root.log.hook = count;
    hunger = (struct hunger){.who = "test", .arena = arena};
    now = 5 * second;
    told = 0;
}

static void tear_down(void)
{
    memory_close(&root, arena);
}

START_TEST(a_loop_that_does_not_starve_asks_no_clock_and_sleeps_as_long_as_it_likes)
{
    root.now_ns = NULL;
    ck_assert_uint_eq(hunger_look(&hunger, false), UINT64_MAX);
    ck_assert_uint_eq(told, 0);
}
END_TEST

START_TEST(hunger_is_told_after_a_second_and_then_the_loop_sleeps_as_long_as_it_likes)
{
    ck_assert_uint_eq(hunger_look(&hunger, true), 6 * second);
    now = 6 * second - 1;
    ck_assert_uint_eq(hunger_look(&hunger, true), 6 * second);
    ck_assert_uint_eq(told, 0);
    now++;
    ck_assert_uint_eq(hunger_look(&hunger, true), UINT64_MAX);
    ck_assert_uint_eq(told, 1);
    now += 1000 * second;
    ck_assert_uint_eq(hunger_look(&hunger, true), UINT64_MAX);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(hunger_look(&hunger, false), UINT64_MAX); /* its end */
    ck_assert_uint_eq(told, 2);
    ck_assert_uint_eq(hunger_look(&hunger, false), UINT64_MAX);
    ck_assert_uint_eq(told, 2);
}
END_TEST

START_TEST(short_hunger_is_never_told)
{
    for (unsigned i = 0; i < 100; i++) {
        (void)hunger_look(&hunger, true);
        now += second - 1;
        (void)hunger_look(&hunger, false);
    }
    ck_assert_uint_eq(told, 0);
}
END_TEST

START_TEST(hunger_soon_after_what_was_told_waits_for_its_time)
{
    (void)hunger_look(&hunger, true);
    now += second;
    (void)hunger_look(&hunger, true);
    uint64_t again = now + HUNGER_TELL_S * second;
    (void)hunger_look(&hunger, false);
    ck_assert_uint_eq(told, 2);

    now += second;
    ck_assert_uint_eq(hunger_look(&hunger, true), again);
    now = again - 1;
    ck_assert_uint_eq(hunger_look(&hunger, true), again);
    ck_assert_uint_eq(told, 2);
    now = again;
    ck_assert_uint_eq(hunger_look(&hunger, true), UINT64_MAX);
    ck_assert_uint_eq(told, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hunger");
    TCase *tcase = tcase_create("hunger");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_loop_that_does_not_starve_asks_no_clock_and_sleeps_as_long_as_it_likes);
    tcase_add_test(tcase, hunger_is_told_after_a_second_and_then_the_loop_sleeps_as_long_as_it_likes);
    tcase_add_test(tcase, short_hunger_is_never_told);
    tcase_add_test(tcase, hunger_soon_after_what_was_told_waits_for_its_time);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
