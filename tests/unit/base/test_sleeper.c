/* test_sleeper.c — a thread sleeps until it is woken, its time is over, or it shall stop. */
#include "base/root.h"
#include "base/sleeper.h"
#include "support/fixture.h"

#include <errno.h>
#include <pthread.h>

enum { ROUNDS = 2000 };

static const struct root root = {.now_ns = sys_clock_monotonic_ns};

struct letter {
    struct sleeper sleeper;
    int text;                /* written before the wake, read after the sleep: no atomic */
};

static void *wake(void *arg)
{
    struct letter *letter = arg;
    letter->text = 7;
    sleeper_wake(&letter->sleeper);
    return NULL;
}

START_TEST(a_sleeper_is_woken_and_sees_what_was_done_before)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct letter letter = {0};
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, wake, &letter), 0);

        int err = sleeper_wait(&letter.sleeper, &root, TIME_NEVER, NULL, 0);

        ck_assert_int_eq(err, 0);
        ck_assert_int_eq(letter.text, 7);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
}
END_TEST

START_TEST(whoever_was_woken_before_does_not_sleep_though_its_time_is_over)
{
    struct sleeper sleeper = {0};

    sleeper_wake(&sleeper);

    ck_assert_int_eq(sleeper_wait(&sleeper, &root, TIME_NEVER, NULL, 0), 0);
    ck_assert_int_eq(sleeper_wait(&sleeper, &root, 1, NULL, 0), 0);
}
END_TEST

START_TEST(a_sleeper_whose_time_is_over_can_wait_once_more)
{
    struct sleeper sleeper = {0};
    uint64_t until = sys_clock_monotonic_ns() + 1000000;

    ck_assert_int_eq(sleeper_wait(&sleeper, &root, 1, NULL, 0), -ETIMEDOUT);
    ck_assert_int_eq(sleeper_wait(&sleeper, &root, until, NULL, 0), -ETIMEDOUT);
    ck_assert_uint_ge(sys_clock_monotonic_ns(), until);
    sleeper_wake(&sleeper);

    ck_assert_int_eq(sleeper_wait(&sleeper, &root, TIME_NEVER, NULL, 0), 0);
}
END_TEST

START_TEST(a_sleeper_that_shall_stop_does_not_sleep)
{
    struct sleeper sleeper = {0};
    atomic_u32 word;
    struct sys_stop stop = {.word = &word, .runs = 1};

    store_relaxed(&word, 2);   /* this thread's own */
    ck_assert_int_eq(sleeper_wait(&sleeper, &root, TIME_NEVER, &stop, 1), -ECANCELED);
    sleeper_wake(&sleeper);

    ck_assert_int_eq(sleeper_wait(&sleeper, &root, TIME_NEVER, &stop, 1), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sleeper");
    TCase *tcase = tcase_create("sleeper");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_sleeper_is_woken_and_sees_what_was_done_before);
    tcase_add_test(tcase, whoever_was_woken_before_does_not_sleep_though_its_time_is_over);
    tcase_add_test(tcase, a_sleeper_whose_time_is_over_can_wait_once_more);
    tcase_add_test(tcase, a_sleeper_that_shall_stop_does_not_sleep);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
