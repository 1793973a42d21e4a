/* test_time.c — sums of moments and durations that users choose. */
#include "base/time.h"
#include "support/fixture.h"

START_TEST(a_sum_that_no_clock_says_is_never)
{
    const uint64_t far = TIME_NEVER - 10;

    ck_assert_uint_eq(time_after(0, 0), 0);
    ck_assert_uint_eq(time_after(5, 7), 12);
    ck_assert_uint_eq(time_after(far, 9), TIME_NEVER - 1);
    ck_assert_uint_eq(time_after(far, 10), TIME_NEVER);
    ck_assert_uint_eq(time_after(far, 11), TIME_NEVER);
    ck_assert_uint_eq(time_after(1, TIME_NEVER), TIME_NEVER);
    ck_assert_uint_eq(time_after(TIME_NEVER, TIME_NEVER), TIME_NEVER);
}
END_TEST

START_TEST(what_is_left_ends_with_its_moment_and_of_never_it_stays_all)
{
    ck_assert_uint_eq(time_left(12, 5), 7);
    ck_assert_uint_eq(time_left(5, 5), 0);
    ck_assert_uint_eq(time_left(5, 12), 0);
    ck_assert_uint_eq(time_left(TIME_NEVER - 1, 0), TIME_NEVER - 1);
    ck_assert_uint_eq(time_left(TIME_NEVER, 12), TIME_NEVER);
}
END_TEST

START_TEST(nothing_was_in_the_future)
{
    ck_assert_uint_eq(time_since(5, 12), 7);
    ck_assert_uint_eq(time_since(5, 5), 0);
    ck_assert_uint_eq(time_since(12, 5), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("time");
    TCase *tcase = tcase_create("time");
    tcase_add_test(tcase, a_sum_that_no_clock_says_is_never);
    tcase_add_test(tcase, what_is_left_ends_with_its_moment_and_of_never_it_stays_all);
    tcase_add_test(tcase, nothing_was_in_the_future);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
